//! Goal: what is wrong with a peer ends its connection and is told to both; a connection has its one stream
//! and room for no other; whom we talk to need not be us. Method: quinn as the other side, with keys of our
//! making, on loopback; and a paused clock where time matters.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use tokio::{sync::mpsc, time::timeout};

use super::{
    CloseCode, LinkReceiver, QuicConfig, QuicEndpoint, QuicLink,
    tls::{Expected, Identity},
};
use crate::{
    link::{Outbox, Outgoing},
    transport::{Ended, Flow, frame::OPENING},
};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn bound() -> QuicEndpoint {
    QuicEndpoint::bind(ANY, QuicConfig::default()).unwrap()
}

fn outbox() -> Arc<Outbox<Outgoing>> {
    Arc::new(Outbox::new(64, 1 << 20))
}

async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = timeout(Duration::from_secs(20), future).await;
    outcome.unwrap_or_else(|_| panic!("{what}: not within 20 s"))
}

/// Says what it is given, but for empty batches.
struct Recorder(mpsc::UnboundedSender<(u64, Bytes)>);

impl LinkReceiver for Recorder {
    fn on_message(&mut self, number: u64, bytes: Bytes) -> Flow {
        self.0.send((number, bytes)).unwrap();
        Flow::Continue
    }

    fn on_control(&mut self, control: Bytes) {
        panic!("{control:?} is taken for control")
    }
}

fn recorder() -> (Recorder, mpsc::UnboundedReceiver<(u64, Bytes)>) {
    let (sender, taken) = mpsc::unbounded_channel();
    (Recorder(sender), taken)
}

/// A connection between quinn and ours, its stream opened by both.
struct Met {
    quinn: Connection,
    send: SendStream,
    receive: RecvStream,
    link: QuicLink,
    _ends: (Endpoint, QuicEndpoint),
}

/// quinn dials us; nothing has been said on the stream.
async fn quinn_dials(key: &Identity, ours: &QuicEndpoint) -> (Endpoint, Connection) {
    let (tls, _) = key.client(ours.fingerprint()).unwrap();
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    client.transport_config(Arc::new(QuicConfig::default().transport(1).unwrap()));
    let endpoint = Endpoint::client(ANY).unwrap();
    let address = ours.local_addr().unwrap();
    let dialling = endpoint.connect_with(client, address, "hyperty").unwrap();
    let quinn = bounded("the handshake", dialling).await.unwrap();
    (endpoint, quinn)
}

/// quinn dials us, and both open the stream.
async fn dialled_by_quinn() -> Met {
    let (key, ours) = (Identity::generate().unwrap(), bound());
    let _expectation = ours.expect(key.fingerprint());
    let (endpoint, quinn) = quinn_dials(&key, &ours).await;
    let (mut send, mut receive) = bounded("the stream", quinn.accept_bi()).await.unwrap();
    let mut opening = [0; OPENING.len()];
    receive.read_exact(&mut opening).await.unwrap();
    assert_eq!(opening, OPENING);
    send.write_all(&OPENING).await.unwrap();
    let link = bounded("the link", ours.accept()).await.unwrap();
    assert_eq!(link.peer_fingerprint(), key.fingerprint());
    Met { quinn, send, receive, link, _ends: (endpoint, ours) }
}

/// We dial quinn.
async fn dialled_by_us() -> Met {
    let (key, ours) = (Identity::generate().unwrap(), bound());
    let expected = Expected::default();
    let _expectation = expected.add(ours.fingerprint());
    let tls = QuicServerConfig::try_from(key.server(&expected).unwrap()).unwrap();
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    server.transport_config(Arc::new(QuicConfig::default().transport(0).unwrap()));
    let endpoint = Endpoint::server(server, ANY).unwrap();
    let candidates = [endpoint.local_addr().unwrap()];
    let accepting = async {
        let quinn = endpoint.accept().await.unwrap().await.unwrap();
        let (mut send, receive) = quinn.open_bi().await.unwrap();
        send.write_all(&OPENING).await.unwrap();
        (quinn, send, receive)
    };
    let both = async { tokio::join!(ours.dial(&candidates, key.fingerprint()), accepting) };
    let (link, (quinn, send, mut receive)) = bounded("connecting", both).await;
    let mut opening = [0; OPENING.len()];
    bounded("the opening", receive.read_exact(&mut opening)).await.unwrap();
    assert_eq!(opening, OPENING);
    Met { quinn, send, receive, link: link.unwrap(), _ends: (endpoint, ours) }
}

#[tokio::test]
async fn quinn_and_we_understand_each_other() {
    for mut met in [dialled_by_quinn().await, dialled_by_us().await] {
        let (at_us, mut taken) = recorder();
        let ours = outbox();
        ours.push(Outgoing::Control("{}".into())).unwrap();
        let running = tokio::spawn(met.link.run(ours.clone(), at_us));
        met.send.write_all(&[5, 0, 7, b'a', b'b', b'c', 2, 0]).await.unwrap();
        met.send.write_all(&[9]).await.unwrap();
        let next = bounded("a message", taken.recv()).await;
        assert_eq!(next, Some((7, Bytes::from_static(b"abc"))));
        let next = bounded("a message", taken.recv()).await;
        assert_eq!(next, Some((9, Bytes::new())));
        let mut frame = [0; 4];
        bounded("a frame", met.receive.read_exact(&mut frame)).await.unwrap();
        assert_eq!(frame, [3, 1, b'{', b'}']);
        // An outbox that is closed and empty ends it in order.
        ours.close();
        let end = bounded("the end of the stream", met.receive.read_chunk(1, true)).await;
        assert_eq!(end.unwrap(), None);
        let told = bounded("quinn's end", met.quinn.closed()).await;
        assert!(matches!(told, ConnectionError::ApplicationClosed(close)
            if close.error_code == CloseCode::Done.into() && *close.reason == *b"done"));
        assert_eq!(bounded("our end", running).await.unwrap(), Ended::ClosedHere);
    }
}

#[tokio::test]
async fn what_is_no_frame_cuts() {
    let table: [(&[u8], &str); 4] = [
        (&[0xff; 16], "bytes, allowed are"),
        (&[2, 9, 9], "kind"),
        (&[0x7f, 0xff, 0, 0], "within a frame"),
        (&[0], ""),
    ];
    for (garbage, words) in table {
        let mut met = dialled_by_quinn().await;
        met.send.write_all(garbage).await.unwrap();
        met.send.finish().unwrap();
        let (at_us, _taken) = recorder();
        match bounded("our end", met.link.run(outbox(), at_us)).await {
            Ended::Protocol { reason } => assert!(reason.contains(words), "{reason}"),
            other => panic!("{garbage:?}: {other}"),
        }
        let told = bounded("quinn's end", met.quinn.closed()).await;
        assert!(matches!(told, ConnectionError::ApplicationClosed(close)
            if close.error_code == CloseCode::Protocol.into()));
    }
}

/// What came before a proper end of the stream is handed over, and nobody is cut for the end.
#[tokio::test]
async fn a_finished_stream_is_no_fault() {
    let mut met = dialled_by_quinn().await;
    met.send.write_all(&[5, 0, 7, b'a', b'b', b'c']).await.unwrap();
    met.send.finish().unwrap();
    let (at_us, mut taken) = recorder();
    let ours = outbox();
    let running = tokio::spawn(met.link.run(ours.clone(), at_us));
    assert!(bounded("the message", taken.recv()).await.is_some());
    bounded("the acknowledgement", met.send.stopped()).await.unwrap();
    ours.push(Outgoing::Control("{}".into())).unwrap();
    let mut frame = [0; 4];
    bounded("a frame", met.receive.read_exact(&mut frame)).await.unwrap();
    met.quinn.close(3_u32.into(), b"enough");
    let ended = Ended::ClosedByPeer { code: 3, reason: "enough".into() };
    assert_eq!(bounded("our end", running).await.unwrap(), ended);
}

#[tokio::test]
async fn a_stream_that_is_reset_or_stopped_is_the_end() {
    let mut met = dialled_by_quinn().await;
    met.send.reset(5_u32.into()).unwrap();
    let (at_us, _taken) = recorder();
    match bounded("our end", met.link.run(outbox(), at_us)).await {
        Ended::Protocol { reason } => assert!(reason.contains("reset"), "{reason}"),
        other => panic!("reset: {other}"),
    }
    let mut met = dialled_by_quinn().await;
    met.receive.stop(5_u32.into()).unwrap();
    let ours = outbox();
    ours.push(Outgoing::Control("{}".into())).unwrap();
    let (at_us, _taken) = recorder();
    assert_eq!(bounded("our end", met.link.run(ours, at_us)).await, Ended::ClosedHere);
    let told = bounded("quinn's end", met.quinn.closed()).await;
    assert!(matches!(told, ConnectionError::ApplicationClosed(close)
        if close.error_code == CloseCode::Protocol.into()));
}

#[tokio::test]
async fn there_is_room_for_one_stream() {
    let mut context = Context::from_waker(Waker::noop());
    for met in [dialled_by_quinn().await, dialled_by_us().await] {
        assert!(pin!(met.quinn.open_bi()).poll(&mut context).is_pending());
        assert!(pin!(met.quinn.open_uni()).poll(&mut context).is_pending());
        assert_eq!(met.quinn.max_datagram_size(), None);
    }
}

/// Who opens the stream with anything but the opening is not let in.
#[tokio::test]
async fn another_opening_is_refused() {
    let (key, ours) = (Identity::generate().unwrap(), bound());
    let _expectation = ours.expect(key.fingerprint());
    let (_endpoint, quinn) = quinn_dials(&key, &ours).await;
    let (mut send, _receive) = bounded("the stream", quinn.accept_bi()).await.unwrap();
    send.write_all(&[1, 2]).await.unwrap();
    let told = bounded("quinn's end", quinn.closed()).await;
    assert!(matches!(told, ConnectionError::ApplicationClosed(close)
        if close.error_code == CloseCode::Protocol.into()));
}

/// What came before the end is handed over before the end is told, however slow the receiver, and also if
/// nobody had carried until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_the_end_is_handed_over() {
    const FRAMES: u64 = 3_000;
    let done = Ended::ClosedByPeer { code: 0, reason: "done".into() };
    for carried_before in [true, false] {
        let Met { quinn, mut send, receive: _receive, link, _ends } = dialled_by_quinn().await;
        let (recorder, mut taken) = recorder();
        let start = move || tokio::spawn(link.run(outbox(), Slow(recorder)));
        let (running, start) = match carried_before {
            true => (Some(start()), None),
            false => (None, Some(start)),
        };
        let frames = if carried_before { FRAMES } else { 100 };
        for number in 1..=frames {
            let mut frame = vec![0x44, 0x05, 0, 0x80, 0, 0, 0];
            frame[3..7].copy_from_slice(&(0x8000_0000 | number as u32).to_be_bytes());
            frame.resize(2 + 0x405, b'x');
            bounded("a write", send.write_all(&frame)).await.unwrap();
        }
        send.finish().unwrap();
        bounded("the acknowledgement of all", send.stopped()).await.unwrap();
        quinn.close(0_u32.into(), b"done");
        let running = running.or_else(|| start.map(|start| start())).unwrap();
        assert_eq!(bounded("our end", running).await.unwrap(), done);
        for number in 1..=frames {
            assert_eq!(taken.recv().await.map(|(number, _)| number), Some(number));
        }
        assert_eq!(taken.recv().await, None);
    }
}

/// A receiver that takes its time.
struct Slow(Recorder);

impl LinkReceiver for Slow {
    fn on_message(&mut self, number: u64, bytes: Bytes) -> Flow {
        for turn in 0..5_000 {
            std::hint::black_box(turn);
        }
        self.0.on_message(number, bytes)
    }

    fn on_control(&mut self, control: Bytes) {
        self.0.on_control(control);
    }
}

/// Who carries when the connection's task has gone, with its runtime, is told so.
#[test]
fn who_comes_after_the_runtime_is_told() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let met = first.block_on(dialled_by_quinn());
    drop(first);
    // The other side goes only now: its farewell comes too late for that runtime.
    let Met { link, .. } = met;
    let (at_us, _taken) = recorder();
    let ended = runtime().block_on(link.run(outbox(), at_us));
    assert!(matches!(ended, Ended::Lost { .. }), "{ended}");
}

#[tokio::test]
async fn a_closed_endpoint_accepts_nobody() {
    let ours = Arc::new(bound());
    let accepting = ours.clone();
    let accepted = tokio::spawn(async move { accepting.accept().await.is_none() });
    bounded("the close", ours.close("enough")).await;
    assert!(bounded("the end of accepting", accepted).await.unwrap());
    let error = ours.dial(&[ours.local_addr().unwrap()], ours.fingerprint()).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
}

/// By the clock of the connections themselves: a peer of which nothing is heard any more is given up within a
/// second, and one that lives and says nothing is not, however long.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_and_a_quiet_one_is_not() {
    let (alice, bob) = (bound(), bound());
    let _expectation = bob.expect(alice.fingerprint());
    let candidates = [bob.local_addr().unwrap()];
    let both = async { tokio::join!(alice.dial(&candidates, bob.fingerprint()), bob.accept()) };
    let (dialled, accepted) = both.await;
    let ((at_alice, _a), (at_bob, _b)) = (recorder(), recorder());
    let mut alice_runs = pin!(dialled.unwrap().run(outbox(), at_alice));
    let _bob_runs = tokio::spawn(accepted.unwrap().run(outbox(), at_bob));
    assert!(timeout(Duration::from_secs(30), &mut alice_runs).await.is_err());
    bob.blackhole().set(true);
    let died = tokio::time::Instant::now();
    let ended = timeout(Duration::from_secs(5), &mut alice_runs).await;
    assert_eq!(ended.expect("noticed"), Ended::TimedOut);
    assert!(died.elapsed() <= Duration::from_secs(1), "{:?}", died.elapsed());
}
