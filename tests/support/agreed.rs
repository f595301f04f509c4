//! Two runtimes that have agreed on streams, as far as their peers know: a direct way is open, nothing is
//! under way by a Message Node, and what leaves from now on is numbered. For tests and benches of the data
//! plane.
//!
//! It is driven by hand and has no timer: nothing is repeated, nothing is given up.
#![allow(dead_code)] // Each takes what it needs.

use std::{sync::Arc, time::Instant};

use hyperty_router::{
    address::Url,
    bus::{BusConfig, MessageBus},
    handover::Peer,
    link::{LinkId, Outbox, Outgoing, Path, Stub},
    message::{Hop, Message, To},
    registry::Place,
    status::Status,
};

pub(crate) struct Agreed {
    pub(crate) ours: End,
    pub(crate) theirs: End,
    now: Instant,
}

/// What one of the two has of the other, and its ways there.
pub(crate) struct End {
    pub(crate) peer: Arc<Peer>,
    pub(crate) direct: Arc<Outbox<Outgoing>>,
    pub(crate) stub: Arc<Stub>,
    pub(crate) by_node: Arc<Outbox<Outgoing>>,
}

impl Agreed {
    /// Each of the ways of `ours` takes `items_max`.
    pub(crate) fn new(ours: &str, theirs: &str, items_max: usize, now: Instant) -> Self {
        let end =
            |own: &str, remote: &str, number: u32| End::new(own, remote, number, items_max, now);
        let agreed = Agreed { ours: end(ours, theirs, 1), theirs: end(theirs, ours, 2), now };
        for end in [&agreed.ours, &agreed.theirs] {
            end.peer.open_direct(end.direct.clone(), url(&format!("{ours}/p2phandler/1/1")), now);
            end.peer.offer(now);
        }
        agreed.talk();
        let explained = agreed.ours.peer.explain(Some(&agreed.ours.stub), now);
        assert!(explained.numbered && explained.path == Some(Path::P2p), "{explained:?}");
        agreed
    }

    /// A bus on which `urls` live in the other runtime, whose connection is live if `is_live`.
    pub(crate) fn bus(&self, urls: &[Url], is_live: bool) -> MessageBus {
        let bus = MessageBus::new(BusConfig::new(self.theirs.peer.remote().clone()));
        bus.add_stub(self.ours.stub.clone()).expect("a domain");
        let place = bus.add_place(Place::Peer(self.ours.peer.clone()));
        bus.associate(place, urls);
        if is_live {
            self.ours.peer.slot().store(1, Status::Live);
        } else {
            self.ours.peer.close_direct(self.now);
        }
        bus
    }

    /// What the other side says when its listener has taken everything up to `hop`.
    pub(crate) fn acknowledge(&self, hop: Hop) {
        let Hop { stream, number } = hop;
        let words = format!(r#"{{"control":"ack","stream":"{stream:032x}","number":{number}}}"#);
        self.ours.peer.handle_control(&words, Path::P2p, self.now).expect("it was sent");
    }

    /// Carries words until nobody says any more.
    fn talk(&self) {
        let (ours, theirs) = (&self.ours, &self.theirs);
        while ours.say_to(&theirs.peer, self.now) + theirs.say_to(&ours.peer, self.now) > 0 {}
    }
}

impl End {
    fn new(own: &str, remote: &str, number: u32, items_max: usize, now: Instant) -> End {
        let queue = || Arc::new(Outbox::new(items_max, usize::MAX));
        let (direct, by_node) = (queue(), queue());
        let own = url(own);
        let domain = own.address().domain();
        let stub = Arc::new(Stub {
            url: url(&format!("{own}/protostub/{domain}")),
            domain: domain.into(),
            link: LinkId(10 + number),
            sink: by_node.clone(),
        });
        let (incarnation, stream) = (u128::from(number), 100 + u128::from(number));
        let peer = Peer::new(
            url(remote),
            LinkId(number),
            incarnation,
            Arc::new(move || stream),
            Default::default(),
        );
        let handler = |of: &str| url(&format!("{of}/p2phandler/1"));
        peer.set_endpoints(handler(own.as_str()), handler(remote));
        peer.set_stub(&stub, now).expect("the first stub");
        peer.set_capable(true);
        End { peer: Arc::new(peer), direct, stub, by_node }
    }

    /// Carries what this end has to say; how many words that were.
    fn say_to(&self, peer: &Peer, now: Instant) -> usize {
        let mut words = Vec::new();
        self.direct.try_drain(&mut words, usize::MAX);
        self.by_node.try_drain(&mut words, usize::MAX);
        for word in &words {
            let (text, path) = match word {
                Outgoing::Control(text) => (text.clone(), Path::P2p),
                Outgoing::Message { bytes, .. } => {
                    (body_of_control(bytes.clone()), Path::MessageNode)
                }
            };
            let text = std::str::from_utf8(&text).expect("control is text");
            peer.handle_control(text, path, now).expect("it is well formed");
        }
        words.len()
    }
}

fn body_of_control(bytes: bytes::Bytes) -> bytes::Bytes {
    let message = Message::parse(bytes).expect("control by Message Node is a message");
    assert!(matches!(message.to(), To::One(to) if to.ends_with("/path")), "nothing else was sent");
    let body = message.body().expect("control has a body");
    message.bytes().slice_ref(body.as_bytes())
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL is right")
}
