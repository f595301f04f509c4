//! Our side of the route bench: a bus with many addresses behind one end, which is a listener's queue, a
//! direct link or the queue of a Message Node's stub.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use hyperty_router::{
    address::Url,
    bus::{BusConfig, MessageBus, PostError, Posted},
    handover::Peer,
    link::{Delivery, Ingress, LinkId, Outbox, Outgoing, Stub},
    registry::Place,
    status::Status,
};

use crate::{Party, agreed::Agreed};

pub(crate) struct Ours {
    bus: MessageBus,
    end: End,
    now: Instant,
    in_batches: bool,
    outcomes: Vec<Result<Posted, PostError>>,
}

enum End {
    Listener(Arc<Outbox<Delivery>>, Vec<Delivery>),
    /// A direct link or a stub's queue; who has agreed on numbers says what has arrived.
    Away {
        queue: Arc<Outbox<Outgoing>>,
        taken: Vec<Outgoing>,
        agreed: Option<Agreed>,
    },
}

const OURS: &str = "hyperty-runtime://a.example.org/alice";
const THEIRS: &str = "hyperty-runtime://b.example.org/bob";

impl Ours {
    /// Each of `urls` has a listener, all with one queue, as a Hyperty with many addresses has it.
    pub(crate) fn with_listeners(urls: &[Url], items_max: usize) -> Self {
        let (bus, queue) = (bus(), Arc::new(Outbox::new(items_max, usize::MAX)));
        for url in urls {
            bus.add_listener(url.clone(), None, queue.clone());
        }
        Ours::new(bus, End::Listener(queue, Vec::new()))
    }

    /// All of `urls` live behind one peer that is live. It has given no stream, so nothing is numbered.
    pub(crate) fn with_peer(urls: &[Url], items_max: usize) -> Self {
        let (bus, queue) = (bus(), Arc::new(Outbox::new(items_max, usize::MAX)));
        let peer = Peer::new(url(THEIRS), LinkId(1), 1, Arc::new(|| 5), Default::default());
        let peer = Arc::new(peer);
        let place = bus.add_place(Place::Peer(peer.clone()));
        bus.associate(place, urls);
        let via = url(&format!("{OURS}/p2phandler/1/1"));
        peer.open_direct(queue.clone(), via, Instant::now());
        peer.slot().store(1, Status::Live);
        Ours::new(bus, End::away(queue, None))
    }

    /// All of `urls` live behind one peer that has given a stream: by the direct link if it is live, else by
    /// the stub of a Message Node.
    pub(crate) fn numbered(urls: &[Url], items_max: usize, is_live: bool) -> Self {
        // The stream is announced on the link before its first number.
        let agreed = Agreed::new(OURS, THEIRS, items_max + 1, Instant::now());
        let bus = agreed.bus(urls, is_live);
        let queue = if is_live { &agreed.ours.direct } else { &agreed.ours.by_node };
        let end = End::away(queue.clone(), Some(agreed));
        Ours::new(bus, end)
    }

    /// Of none of `urls` more is known than that a Message Node may know it: a look-up was in vain.
    pub(crate) fn with_stub(urls: &[Url], items_max: usize) -> Self {
        let (bus, queue) = (bus(), Arc::new(Outbox::new(items_max, usize::MAX)));
        let domain = url(OURS).address().domain().into();
        let stub_url = url(&format!("{OURS}/protostub/{domain}"));
        let stub = Stub { url: stub_url, domain, link: LinkId(1), sink: queue.clone() };
        let place = bus.add_stub(Arc::new(stub)).expect("a domain");
        bus.associate(place, urls);
        Ours::new(bus, End::away(queue, None))
    }

    pub(crate) fn in_batches(self) -> Self {
        Ours { in_batches: true, ..self }
    }

    fn new(bus: MessageBus, end: End) -> Self {
        Ours { bus, end, now: Instant::now(), in_batches: false, outcomes: Vec::new() }
    }
}

impl Party for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn post(&mut self, messages: &mut Vec<Bytes>) {
        if self.in_batches {
            let (all, outcomes) = (messages.drain(..), &mut self.outcomes);
            self.bus.post_batch(all, Ingress::LOCAL, self.now, outcomes);
            for posted in outcomes.drain(..) {
                assert!(posted.expect("a message").first_error().is_none());
            }
        }
        for bytes in messages.drain(..) {
            let posted = self.bus.post(bytes, Ingress::LOCAL, self.now).expect("a message");
            assert!(posted.first_error().is_none());
        }
    }

    fn drain(&mut self, into: &mut Vec<Bytes>) {
        match &mut self.end {
            End::Listener(queue, taken) => {
                queue.try_drain(taken, usize::MAX);
                into.extend(taken.drain(..).map(|delivery| delivery.message.into_bytes()));
            }
            End::Away { queue, taken, agreed } => {
                queue.try_drain(taken, usize::MAX);
                let mut last = None;
                for item in taken.drain(..) {
                    match item {
                        Outgoing::Message { bytes, hop } => {
                            assert_eq!(hop.is_some(), agreed.is_some());
                            into.push(bytes);
                            last = hop;
                        }
                        Outgoing::Control(words) => assert!(agreed.is_some(), "{words:?}"),
                    }
                }
                if let (Some(agreed), Some(hop)) = (agreed, last) {
                    agreed.acknowledge(hop);
                }
            }
        }
    }
}

impl End {
    fn away(queue: Arc<Outbox<Outgoing>>, agreed: Option<Agreed>) -> End {
        End::Away { queue, taken: Vec::new(), agreed }
    }
}

fn bus() -> MessageBus {
    MessageBus::new(BusConfig::new(url(OURS)))
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL of the bench")
}
