//! Two QUIC endpoints on loopback: order, pinning both ways, limits, back-pressure, and noticing a dead
//! network.
//!
//! Method: real sockets on port 0, every wait is on an event and bounded by [`bounded`]; nothing sleeps.

#![cfg(feature = "quic")]

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use hyperty_router::{
    link::{Outbox, Outgoing},
    message::Hop,
    transport::{
        Ended, Flow,
        quic::{DialError, LinkReceiver, QuicConfig, QuicEndpoint, QuicLink},
    },
};
use tokio::sync::{Notify, mpsc};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Nothing here takes long; a test that hangs fails instead.
async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within 20 s"),
    }
}

/// Patient enough for a machine under load; the tests of time-outs set their own.
fn config() -> QuicConfig {
    QuicConfig {
        idle: Duration::from_secs(10),
        keep_alive: Duration::from_secs(2),
        ..QuicConfig::default()
    }
}

fn endpoint(config: QuicConfig) -> QuicEndpoint {
    QuicEndpoint::bind(ANY, config).expect("loopback can be bound")
}

/// `dialling` connected to `accepting`: the link of each.
async fn connect(dialling: &QuicEndpoint, accepting: &QuicEndpoint) -> (QuicLink, QuicLink) {
    let expectation = accepting.expect(dialling.fingerprint());
    let candidates = [accepting.local_addr().unwrap()];
    let (dialled, accepted) = bounded("connecting", async {
        tokio::join!(dialling.dial(&candidates, accepting.fingerprint()), accepting.accept())
    })
    .await;
    drop(expectation);
    (dialled.expect("dialled"), accepted.expect("accepted"))
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Message(u64, Bytes),
    Control(Bytes),
    BatchEnd,
}

/// Passes all events on, and pauses after every message if it has a `gate`.
struct Recorder {
    events: mpsc::UnboundedSender<Event>,
    gate: Option<Arc<Notify>>,
}

impl Recorder {
    fn new() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Recorder { events, gate: None }, receiver)
    }

    fn send(&self, event: Event) {
        // A test that has seen enough drops its end.
        let _ = self.events.send(event);
    }
}

impl LinkReceiver for Recorder {
    fn on_message(&mut self, number: u64, bytes: Bytes) -> Flow {
        self.send(Event::Message(number, bytes));
        self.gate.clone().map_or(Flow::Continue, Flow::Pause)
    }

    fn on_control(&mut self, bytes: Bytes) {
        self.send(Event::Control(bytes));
    }

    fn on_batch_end(&mut self) {
        self.send(Event::BatchEnd);
    }
}

fn outbox() -> Arc<Outbox<Outgoing>> {
    Arc::new(Outbox::new(100_000, 1 << 30))
}

fn message(number: u64) -> Outgoing {
    // Every size class: copied next to the head, and shared.
    let bytes = if number.is_multiple_of(97) { 9_000 } else { 40 };
    let bytes = Bytes::from(format!("{number:0bytes$}"));
    let hop = (number > 0).then_some(Hop { stream: 1, number });
    Outgoing::Message { bytes, hop }
}

/// Goal: a link keeps all frames, in order, both ways at once, numbers and control included; closing an
/// outbox sends the rest and then ends the link in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_frames_both_ways_in_order() {
    const COUNT: u64 = 10_000;
    let (alice, bob) = (endpoint(config()), endpoint(config()));
    let (dialled, accepted) = connect(&alice, &bob).await;
    assert_eq!(dialled.peer_fingerprint(), bob.fingerprint());
    assert_eq!(accepted.peer_fingerprint(), alice.fingerprint());
    let (from_alice, from_bob) = (outbox(), outbox());
    let (at_alice, mut alice_events) = Recorder::new();
    let (at_bob, mut bob_events) = Recorder::new();
    let alice_run = tokio::spawn(dialled.run(from_alice.clone(), at_alice));
    let bob_run = tokio::spawn(accepted.run(from_bob.clone(), at_bob));
    for number in 0..COUNT {
        from_alice.push(message(number)).unwrap();
        from_bob.push(message(number)).unwrap();
        if number % 1_000 == 0 {
            from_alice.push(Outgoing::Control(Bytes::from(number.to_string()))).unwrap();
        }
    }
    let controls = bounded("all frames at Bob", in_order(&mut bob_events, COUNT)).await;
    assert_eq!(controls, (0..10).map(|n| (n * 1_000).to_string()).collect::<Vec<_>>());
    assert!(bounded("all frames at Alice", in_order(&mut alice_events, COUNT)).await.is_empty());

    from_alice.close();
    assert_eq!(bounded("Alice's end", alice_run).await.unwrap(), Ended::ClosedHere);
    let ended = bounded("Bob's end", bob_run).await.unwrap();
    assert_eq!(ended, Ended::ClosedByPeer { code: 0, reason: "done".into() });
}

/// Takes messages 0 to `count`, each as it must be; the control objects among them.
async fn in_order(events: &mut mpsc::UnboundedReceiver<Event>, count: u64) -> Vec<String> {
    let mut controls = Vec::new();
    let mut next = 0;
    while next < count {
        match events.recv().await.expect("the link runs") {
            Event::Message(number, bytes) => {
                let Outgoing::Message { bytes: wanted, .. } = message(next) else { unreachable!() };
                assert_eq!((number, bytes), (next, wanted));
                next += 1;
            }
            Event::Control(bytes) => controls.push(String::from_utf8(bytes.to_vec()).unwrap()),
            Event::BatchEnd => {}
        }
    }
    controls
}

/// Goal: what was sent before the outbox was closed arrives, also when the close follows at once.
#[tokio::test]
async fn closing_the_outbox_loses_nothing() {
    let (alice, bob) = (endpoint(config()), endpoint(config()));
    let (dialled, accepted) = connect(&alice, &bob).await;
    let (from_alice, (at_bob, mut events)) = (outbox(), Recorder::new());
    (0..1_000).for_each(|number| from_alice.push(message(number)).unwrap());
    from_alice.close();
    let (at_alice, _kept) = Recorder::new();
    let ends = tokio::join!(dialled.run(from_alice, at_alice), accepted.run(outbox(), at_bob));
    assert_eq!(ends.0, Ended::ClosedHere);
    bounded("all frames", in_order(&mut events, 1_000)).await;
}

/// Goal: the dialling side refuses any key but the one that it expects, and says which it met.
#[tokio::test]
async fn the_dialling_side_pins_the_key() {
    let (alice, bob, mallory) = (endpoint(config()), endpoint(config()), endpoint(config()));
    let _expectation = mallory.expect(alice.fingerprint());
    let candidates = [mallory.local_addr().unwrap()];
    let error = bounded("dial", alice.dial(&candidates, bob.fingerprint())).await.unwrap_err();
    let (expected, found) = (bob.fingerprint(), mallory.fingerprint());
    assert_eq!(error, DialError::WrongFingerprint { expected, found });
}

/// Goal: the accepting side lets in nobody whom it doesn't expect: nobody expected, another expected, no
/// longer expected.
#[tokio::test]
async fn the_accepting_side_pins_the_key() {
    let (alice, bob, carol) = (endpoint(config()), endpoint(config()), endpoint(config()));
    let candidates = [bob.local_addr().unwrap()];
    let dial = || bounded("dial", alice.dial(&candidates, bob.fingerprint()));
    assert!(matches!(dial().await, Err(DialError::Refused { .. })), "nobody expected");
    let _carol = bob.expect(carol.fingerprint());
    assert!(matches!(dial().await, Err(DialError::Refused { .. })), "another expected");
    let (first, second) = (bob.expect(alice.fingerprint()), bob.expect(alice.fingerprint()));
    drop(first);
    let (dialled, accepted) = tokio::join!(dial(), bounded("accept", bob.accept()));
    let (_dialled, accepted) = (dialled.expect("dialled"), accepted.expect("accepted"));
    assert_eq!(accepted.peer_fingerprint(), alice.fingerprint());
    drop(second);
    assert!(matches!(dial().await, Err(DialError::Refused { .. })), "guards dropped");
    let _alice = bob.expect(alice.fingerprint());
    bob.unexpect(alice.fingerprint());
    assert!(matches!(dial().await, Err(DialError::Refused { .. })), "no longer expected");
}

/// Goal: of several candidates the one that answers is taken, and the accepting side sees one connection.
#[tokio::test]
async fn candidates_are_raced() {
    let (alice, bob) = (endpoint(config()), endpoint(config()));
    let silent = std::net::UdpSocket::bind(ANY).unwrap();
    let _expectation = bob.expect(alice.fingerprint());
    let bob_is = bob.local_addr().unwrap();
    let candidates = [silent.local_addr().unwrap(), "[::1]:9".parse().unwrap(), bob_is, bob_is];
    let (dialled, accepted) = bounded("connecting", async {
        tokio::join!(alice.dial(&candidates, bob.fingerprint()), bob.accept())
    })
    .await;
    let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
    assert_eq!(dialled.handle().remote_address(), bob_is);
    let error = bounded("dial", alice.dial(&[], bob.fingerprint())).await.unwrap_err();
    assert_eq!(error, DialError::NoCandidate);
    drop(accepted);
}

/// Goal: while the best candidate has its head start no other costs anything: nothing is sent to it.
#[tokio::test]
async fn the_best_candidate_is_tried_alone_first() {
    let hour = Duration::from_secs(3_600);
    let alice = endpoint(QuicConfig { head_start: hour, ..config() });
    let bob = endpoint(config());
    let other = std::net::UdpSocket::bind(ANY).unwrap();
    other.set_nonblocking(true).unwrap();
    let _expectation = bob.expect(alice.fingerprint());
    let candidates = [bob.local_addr().unwrap(), other.local_addr().unwrap()];
    let (dialled, accepted) = bounded("connecting", async {
        tokio::join!(alice.dial(&candidates, bob.fingerprint()), bob.accept())
    })
    .await;
    let heard = other.recv(&mut [0; 2_000]);
    assert_eq!(heard.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop((dialled.unwrap(), accepted.unwrap()));
}

/// Goal: an endpoint on all interfaces is reached by IPv4 and by IPv6, on one socket, and dials
/// both.
#[tokio::test]
async fn all_interfaces_take_both_families() {
    let everywhere = || {
        let any = (std::net::Ipv6Addr::UNSPECIFIED, 0).into();
        QuicEndpoint::bind(any, config()).expect("all interfaces can be bound")
    };
    let (alice, bob) = (everywhere(), everywhere());
    let port = bob.local_addr().unwrap().port();
    let loopbacks = hyperty_router::transport::quic::reachable_at(Ipv4Addr::LOCALHOST.into());
    let mut reached = 0;
    for ip in loopbacks.unwrap().into_iter().filter(std::net::IpAddr::is_loopback) {
        let (_expected, candidate) = (bob.expect(alice.fingerprint()), SocketAddr::new(ip, port));
        let candidates = [candidate];
        let (dialled, accepted) = bounded("connecting", async {
            tokio::join!(alice.dial(&candidates, bob.fingerprint()), bob.accept())
        })
        .await;
        assert_eq!(dialled.unwrap().handle().remote_address(), candidate);
        assert_eq!(accepted.unwrap().handle().remote_address().ip(), ip);
        reached += 1;
    }
    assert!(reached > 0);
}

/// Goal: a dialling side whose address changes in mid-traffic goes on: nothing lost, doubled or
/// reordered, either way. Method: its endpoint is bound to another port twice while frames are
/// under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_address_is_survived() {
    const COUNT: u64 = 9_000;
    let (alice, bob) = (endpoint(config()), endpoint(config()));
    let (dialled, accepted) = connect(&alice, &bob).await;
    let (at_first, bobs_view) = (alice.local_addr().unwrap(), accepted.handle());
    assert_eq!(bobs_view.remote_address(), at_first);
    let (from_alice, from_bob) = (outbox(), outbox());
    let (at_alice, mut alice_events) = Recorder::new();
    let (at_bob, mut bob_events) = Recorder::new();
    let alice_run = tokio::spawn(dialled.run(from_alice.clone(), at_alice));
    let bob_run = tokio::spawn(accepted.run(from_bob.clone(), at_bob));
    for third in 0..3 {
        for number in third * COUNT / 3..(third + 1) * COUNT / 3 {
            from_alice.push(message(number)).unwrap();
            from_bob.push(message(number)).unwrap();
        }
        if third < 2 {
            alice.rebind(ANY).unwrap();
        }
    }
    bounded("all frames at Bob", in_order(&mut bob_events, COUNT)).await;
    bounded("all frames at Alice", in_order(&mut alice_events, COUNT)).await;
    let now_at = alice.local_addr().unwrap();
    assert_ne!(now_at, at_first);
    assert_eq!(bobs_view.remote_address(), now_at, "Bob follows");
    from_alice.close();
    assert_eq!(bounded("Alice's end", alice_run).await.unwrap(), Ended::ClosedHere);
    let done = Ended::ClosedByPeer { code: 0, reason: "done".into() };
    assert_eq!(bounded("Bob's end", bob_run).await.unwrap(), done);
    let six = (std::net::Ipv6Addr::LOCALHOST, 0).into();
    assert!(alice.rebind(six).is_err(), "the family stays");
}

/// Goal: what is ready goes out together: many frames share a datagram.
#[tokio::test]
async fn frames_that_are_ready_share_datagrams() {
    const COUNT: u64 = 2_000;
    for segmentation_offload in [true, false] {
        let config = || QuicConfig { segmentation_offload, ..config() };
        let (alice, bob) = (endpoint(config()), endpoint(config()));
        let (dialled, accepted) = connect(&alice, &bob).await;
        let (handle, from_alice) = (dialled.handle(), outbox());
        for _ in 0..COUNT {
            from_alice.push(message(1)).unwrap();
        }
        let before = handle.datagrams_sent();
        let (at_bob, mut events) = Recorder::new();
        let alice_run = tokio::spawn(dialled.run(from_alice, Recorder::new().0));
        let bob_run = tokio::spawn(accepted.run(outbox(), at_bob));
        let mut heard = 0;
        while heard < COUNT {
            let event = bounded("a frame", events.recv()).await.expect("the link runs");
            heard += u64::from(matches!(event, Event::Message(1, _)));
        }
        // 42 bytes a frame: some 28 in a datagram of 1,200 bytes. Probes and acknowledgements come
        // on top.
        let sent = handle.datagrams_sent() - before;
        assert!(sent < COUNT / 8, "{sent} datagrams for {COUNT} frames");
        alice_run.abort();
        bob_run.abort();
    }
}

/// Goal: the defaults notice a dead peer within a second, and a lost sign of life or two does not
/// kill a living one.
#[test]
fn the_default_time_outs_notice_death_within_a_second() {
    let QuicConfig { idle, keep_alive, .. } = QuicConfig::default();
    // On a virtual clock, and with what else counts: `src/transport/quic/tests.rs`.
    assert!(idle + keep_alive < Duration::from_secs(1), "{idle:?} and {keep_alive:?}");
    assert!(keep_alive * 3 < idle, "{keep_alive:?} of {idle:?}");
    let never = QuicConfig { keep_alive: idle, ..QuicConfig::default() };
    let wrong = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bound = wrong.block_on(async { QuicEndpoint::bind(ANY, never).map(drop) });
    assert_eq!(bound.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

/// Goal: a peer that announces a frame over the limit is cut, and told why; the size is that of the receiver.
#[tokio::test]
async fn a_frame_over_the_limit_cuts() {
    let alice = endpoint(config());
    let bob = endpoint(QuicConfig { payload_bytes_max: 1_000, ..config() });
    let (dialled, accepted) = connect(&alice, &bob).await;
    let from_alice = outbox();
    from_alice.push(message(1)).unwrap();
    from_alice.push(message(97)).unwrap();
    let ((at_alice, _a), (at_bob, mut events)) = (Recorder::new(), Recorder::new());
    let (alice_end, bob_end) = bounded("both ends", async {
        tokio::join!(dialled.run(from_alice, at_alice), accepted.run(outbox(), at_bob))
    })
    .await;
    let reason = "frame of 9003 bytes, allowed are 1000".to_string();
    assert_eq!(bob_end, Ended::Protocol { reason: reason.clone() });
    assert_eq!(alice_end, Ended::ClosedByPeer { code: 1, reason });
    let Outgoing::Message { bytes, .. } = message(1) else { unreachable!() };
    assert_eq!(events.recv().await, Some(Event::Message(1, bytes)), "what came before counts");
    assert_eq!(events.recv().await, Some(Event::BatchEnd), "and is handed over");
}

/// Goal: when the network swallows everything, both ends notice by themselves.
/// Method: the default time-outs, the switch, and waiting for the event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blackhole_is_noticed() {
    let (alice, bob) = (endpoint(QuicConfig::default()), endpoint(QuicConfig::default()));
    let (dialled, accepted) = connect(&alice, &bob).await;
    let ((at_alice, _a), (at_bob, mut events)) = (Recorder::new(), Recorder::new());
    let from_alice = outbox();
    from_alice.push(message(1)).unwrap();
    let alice_run = tokio::spawn(dialled.run(from_alice.clone(), at_alice));
    let bob_run = tokio::spawn(accepted.run(outbox(), at_bob));
    assert!(matches!(bounded("a frame", events.recv()).await, Some(Event::Message(1, _))));
    alice.blackhole().set(true);
    from_alice.push(message(2)).unwrap();
    assert_eq!(bounded("Alice's end", alice_run).await.unwrap(), Ended::TimedOut);
    assert_eq!(bounded("Bob's end", bob_run).await.unwrap(), Ended::TimedOut);
    alice.blackhole().set(false);
    connect(&alice, &bob).await;
}

/// Goal: a handle closes a running link, with its reason, cut to its bound between characters.
#[tokio::test]
async fn a_handle_closes_with_a_reason() {
    let (alice, bob) = (endpoint(config()), endpoint(config()));
    let (dialled, accepted) = connect(&alice, &bob).await;
    let handle = dialled.handle();
    let ((at_alice, _a), (at_bob, _b)) = (Recorder::new(), Recorder::new());
    let runs = async {
        tokio::join!(dialled.run(outbox(), at_alice), accepted.run(outbox(), at_bob), async {
            handle.close(&"ä".repeat(100))
        })
    };
    let (alice_end, bob_end, ()) = bounded("both ends", runs).await;
    assert_eq!(alice_end, Ended::ClosedHere);
    assert_eq!(bob_end, Ended::ClosedByPeer { code: 0, reason: "ä".repeat(60) });
}

/// Goal: a receiver that stops gets no more, and what is queued towards the peer still arrives before the
/// end.
#[tokio::test]
async fn a_stopped_receiver_still_sends() {
    struct Once(mpsc::UnboundedSender<u64>);
    impl LinkReceiver for Once {
        fn on_message(&mut self, number: u64, _bytes: Bytes) -> Flow {
            self.0.send(number).unwrap();
            Flow::Stop
        }

        fn on_control(&mut self, _bytes: Bytes) {}
    }
    let (alice, bob) = (endpoint(config()), endpoint(config()));
    let (dialled, accepted) = connect(&alice, &bob).await;
    let ((at_alice, mut events), (from_alice, from_bob)) = (Recorder::new(), (outbox(), outbox()));
    (1..3).for_each(|number| from_alice.push(message(number)).unwrap());
    let (sender, mut numbers) = mpsc::unbounded_channel();
    let alice_run = tokio::spawn(dialled.run(from_alice, at_alice));
    let bob_run = tokio::spawn(accepted.run(from_bob.clone(), Once(sender)));
    assert_eq!(bounded("a message", numbers.recv()).await, Some(1));
    (0..1_000).for_each(|number| from_bob.push(message(number)).unwrap());
    from_bob.close();
    bounded("all frames", in_order(&mut events, 1_000)).await;
    assert_eq!(bounded("Bob's end", bob_run).await.unwrap(), Ended::ClosedHere);
    let ended = bounded("Alice's end", alice_run).await.unwrap();
    assert_eq!(ended, Ended::ClosedByPeer { code: 0, reason: "done".into() });
    assert_eq!(numbers.recv().await, None);
}

/// Goal: a link that is dropped is closed, also when somebody kept a handle of it.
#[tokio::test]
async fn a_dropped_link_is_closed() {
    let (alice, bob) = (endpoint(config()), endpoint(config()));
    let (dialled, accepted) = connect(&alice, &bob).await;
    let _handle = dialled.handle();
    let (at_bob, _events) = Recorder::new();
    drop(dialled);
    let ended = bounded("Bob's end", accepted.run(outbox(), at_bob)).await;
    assert_eq!(ended, Ended::ClosedByPeer { code: 0, reason: String::new() });
}

/// Goal: a receiver that pauses is given nothing until it resumes; nothing is lost by it, and a connection
/// that ends meanwhile is noticed.
#[tokio::test]
async fn a_paused_receiver_is_left_alone() {
    let (alice, bob) = (endpoint(config()), endpoint(config()));
    let (dialled, accepted) = connect(&alice, &bob).await;
    let handle = dialled.handle();
    let gate = Arc::new(Notify::new());
    let ((at_alice, _a), (mut at_bob, mut events)) = (Recorder::new(), Recorder::new());
    at_bob.gate = Some(gate.clone());
    let from_alice = outbox();
    (0..50).for_each(|number| from_alice.push(message(number)).unwrap());
    let alice_run = tokio::spawn(dialled.run(from_alice, at_alice));
    let bob_run = tokio::spawn(accepted.run(outbox(), at_bob));
    for number in 0..40 {
        let message = async {
            // The end of a read may fall behind the end of a pause.
            while let Some(event) = events.recv().await {
                if let Event::Message(number, _) = event {
                    return Some(number);
                }
            }
            None
        };
        assert_eq!(bounded("a message", message).await, Some(number));
        assert_eq!(bounded("its batch end", events.recv()).await, Some(Event::BatchEnd));
        assert!(events.try_recv().is_err(), "given more than it asked for");
        gate.notify_one();
    }
    handle.close("enough");
    assert_eq!(bounded("Alice's end", alice_run).await.unwrap(), Ended::ClosedHere);
    let ended = bounded("Bob's end", bob_run).await.unwrap();
    assert_eq!(ended, Ended::ClosedByPeer { code: 0, reason: "enough".into() });
}
