//! Two peers, handed each other's frames by a loop, on a virtual clock. It asserts nothing but that frames
//! are well formed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    address::Url,
    handover::{Announced, Config, Peer, SendError},
    limits::HANDOVER_ACK_WAIT,
    link::{Delivery, Ingress, LinkId, Outbox, Outgoing, Path, Refusal, Stub},
    message::{Message, To},
};

/// Longer than an acknowledgement waits.
pub(super) const LATER: Duration = HANDOVER_ACK_WAIT.saturating_add(Duration::from_millis(1));

pub(super) struct Side {
    pub(super) peer: Peer,
    pub(super) stub: Arc<Stub>,
    pub(super) by_node: Arc<Outbox<Outgoing>>,
    pub(super) direct: Arc<Outbox<Outgoing>>,
    pub(super) announced: Announced,
    pub(super) heard: Vec<String>,
    /// The listener refuses everything.
    pub(super) full: bool,
    /// What leaves here is lost.
    pub(super) mute: bool,
}

pub(super) struct Two {
    pub(super) now: Instant,
    pub(super) sides: [Side; 2],
}

pub(super) fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL of the test")
}

pub(super) fn side(index: u64, config: Config, now: Instant) -> Side {
    let (stub, by_node) = new_stub("d", 1, 1_000);
    let drawn = AtomicU64::new(index << 32);
    let random = Arc::new(move || u128::from(drawn.fetch_add(1, Ordering::Relaxed)) + 1);
    let peer = Peer::new(url("runtime://b/1"), LinkId(2), u128::from(index) + 77, random, config);
    let ends = [url("runtime://a/1/p2phandler/1"), url("runtime://b/1/p2prequester/1")];
    let [ours, theirs] = if index == 0 { ends } else { [ends[1].clone(), ends[0].clone()] };
    peer.set_endpoints(ours, theirs);
    peer.set_stub(&stub, now).expect("the first stub");
    let direct = Arc::new(Outbox::new(1_000, 1 << 20));
    let announced = Announced::default();
    Side { peer, stub, by_node, direct, announced, heard: Vec::new(), full: false, mute: false }
}

/// A stub of another domain, which carried nothing yet, and its queue: whose Message Node it is decides the
/// test.
pub(super) fn other_stub() -> (Arc<Stub>, Arc<Outbox<Outgoing>>) {
    new_stub("e", 3, 100)
}

fn new_stub(domain: &str, link: u32, items_max: usize) -> (Arc<Stub>, Arc<Outbox<Outgoing>>) {
    let queue = Arc::new(Outbox::new(items_max, 1 << 20));
    let stub = Stub {
        url: url(&format!("runtime://a/1/protostub/{domain}")),
        domain: domain.into(),
        link: LinkId(link),
        sink: Arc::clone(&queue) as _,
    };
    (Arc::new(stub), queue)
}

impl Two {
    pub(super) fn new(config: Config) -> Two {
        let now = Instant::now();
        Two { now, sides: [0, 1].map(|index| side(index, config, now)) }
    }

    pub(super) fn agreed(config: Config) -> Two {
        let mut two = Two::new(config);
        for side in &two.sides {
            side.peer.set_capable(true);
            side.peer.offer(two.now);
        }
        two.settle();
        assert!(two.sides.iter().all(|side| side.peer.is_numbered()));
        two
    }

    pub(super) fn open(&mut self) {
        for side in &self.sides {
            let sink = Arc::clone(&side.direct) as _;
            side.peer.open_direct(sink, url("runtime://a/1/p2phandler/1/c"), self.now);
        }
        self.settle();
    }

    pub(super) fn send(&self, text: &str) -> Result<Path, SendError> {
        let bytes = format!(
            r#"{{"id":1,"type":"update","from":"hyperty://a/1","to":"hyperty://b/1","body":{{"t":"{text}"}}}}"#
        );
        let message = Message::parse(Bytes::from(bytes)).expect("a message of the test");
        let delivery = Delivery { message, ingress: Ingress::LOCAL, hop: None };
        let from = &self.sides[0];
        from.peer.send(delivery, Some(&from.stub), self.now).map(|sent| sent.path)
    }

    /// Carries frames until none are left.
    pub(super) fn settle(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for from in 0..2 {
                let mut frames = Vec::new();
                self.sides[from].by_node.try_drain(&mut frames, usize::MAX);
                self.sides[from].direct.try_drain(&mut frames, usize::MAX);
                quiet &= frames.is_empty();
                if self.sides[from].mute {
                    continue;
                }
                frames.into_iter().for_each(|frame| self.sides[1 - from].arrive(frame, self.now));
            }
        }
    }

    /// Lets `time` go by; only time-outs that are due are handled.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.settle();
            let due = self.sides.iter().filter_map(|side| side.peer.poll_timeout()).min();
            let Some(at) = due.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            for side in &mut self.sides {
                let (heard, full) = (&mut side.heard, side.full);
                side.peer.handle_timeout(self.now, &mut |delivery| listen(heard, full, &delivery));
            }
        }
        self.now = until;
    }
}

impl Side {
    pub(super) fn arrive(&mut self, frame: Outgoing, now: Instant) {
        let (message, hop) = match frame {
            Outgoing::Control(text) => {
                let text = std::str::from_utf8(&text).expect("control is text");
                if !self.announced.read(text).expect("control is well formed") {
                    self.peer.handle_control(text, Path::P2p, now).expect("control is taken");
                }
                return;
            }
            Outgoing::Message { bytes, hop } => (Message::parse(bytes).expect("parses"), hop),
        };
        if matches!(message.to(), To::One(to) if to.ends_with("/path")) {
            let body = message.body().expect("control has a body");
            self.peer.handle_control(body, Path::MessageNode, now).expect("control is taken");
            return;
        }
        let (heard, full) = (&mut self.heard, self.full);
        let delivery = Delivery { message, ingress: Ingress::LOCAL, hop };
        let listen = &mut |delivery| listen(heard, full, &delivery);
        let taken = self.peer.receive(delivery, listen, now);
        assert_eq!(taken, Ok(()));
    }
}

pub(super) fn listen(
    heard: &mut Vec<String>,
    full: bool,
    delivery: &Delivery,
) -> Result<(), Refusal> {
    if full {
        return Err(Refusal::Full { bound: 1 });
    }
    heard.extend(delivery.message.body_text(&["t"]).map(String::from));
    Ok(())
}
