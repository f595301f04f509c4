//! Who takes part in the route bench: ours, and the obvious way, read in three ways.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use crossbeam::channel::{self, Receiver, Sender};
use hyperty_router::{
    address::Url,
    bus::{BusConfig, MessageBus, PostError, Posted},
    handover::Peer,
    link::{Delivery, Ingress, LinkId, Outbox, Outgoing},
    registry::Place,
    status::Status,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

/// Posts messages, and gives back what came out at the other end.
pub(crate) trait Party {
    fn name(&self) -> &'static str;
    /// Posts `messages` and leaves none.
    fn post(&mut self, messages: &mut Vec<Bytes>);
    fn drain(&mut self, into: &mut Vec<Bytes>);
}

pub(crate) struct Ours {
    bus: MessageBus,
    end: End,
    now: Instant,
    in_batches: bool,
    outcomes: Vec<Result<Posted, PostError>>,
}

enum End {
    Listener(Arc<Outbox<Delivery>>, Vec<Delivery>),
    Peer(Arc<Outbox<Outgoing>>, Vec<Outgoing>),
}

impl Ours {
    /// Each of `urls` has a listener, all with one queue, as a Hyperty with many addresses has it.
    pub(crate) fn with_listeners(urls: &[String], items_max: usize) -> Self {
        let (bus, queue) = (bus(), Arc::new(Outbox::new(items_max, usize::MAX)));
        for text in urls {
            bus.add_listener(url(text), None, queue.clone());
        }
        let end = End::Listener(queue, Vec::new());
        Ours { bus, end, now: Instant::now(), in_batches: false, outcomes: Vec::new() }
    }

    /// All of `urls` live behind one peer that is live. It has given no stream, so nothing is numbered.
    pub(crate) fn with_peer(urls: &[String], items_max: usize) -> Self {
        let (bus, now) = (bus(), Instant::now());
        let queue = Arc::new(Outbox::new(items_max, usize::MAX));
        let remote = url("hyperty-runtime://b.example.org/bob");
        let peer = Peer::new(remote, LinkId(1), 1, Arc::new(|| 5), Default::default());
        let peer = Arc::new(peer);
        let place = bus.add_place(Place::Peer(peer.clone()));
        let urls: Vec<_> = urls.iter().map(|text| url(text)).collect();
        bus.associate(place, &urls);
        let via = url("hyperty-runtime://a.example.org/alice/p2phandler/1/1");
        peer.open_direct(queue.clone(), via, now);
        peer.slot().store(1, Status::Live);
        Ours {
            bus,
            end: End::Peer(queue, Vec::new()),
            now,
            in_batches: false,
            outcomes: Vec::new(),
        }
    }

    pub(crate) fn in_batches(self) -> Self {
        Ours { in_batches: true, ..self }
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
            End::Peer(queue, taken) => {
                queue.try_drain(taken, usize::MAX);
                into.extend(taken.drain(..).map(|item| match item {
                    Outgoing::Message { bytes, .. } => bytes,
                    Outgoing::Control(control) => panic!("{control:?}"),
                }));
            }
        }
    }
}

/// How the obvious way reads `to`.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Into a struct that owns its members; the standard library's map.
    Struct,
    /// Into a tree; the standard library's map.
    Value,
    /// Into a struct that borrows and passes the body over; hashbrown with ahash.
    Borrowed,
}

/// The obvious way.
pub(crate) struct Rival {
    way: Way,
    std: HashMap<String, Sender<Bytes>>,
    ahash: hashbrown::HashMap<String, Sender<Bytes>, ahash::RandomState>,
    end: Receiver<Bytes>,
}

impl Rival {
    pub(crate) fn new(way: Way, urls: &[String], items_max: usize) -> Self {
        let (sender, end) = channel::bounded(items_max);
        let entries = urls.iter().map(|text| (text.clone(), sender.clone()));
        let mut rival = Rival { way, std: HashMap::new(), ahash: Default::default(), end };
        match way {
            Way::Borrowed => rival.ahash.extend(entries),
            Way::Struct | Way::Value => rival.std.extend(entries),
        }
        rival
    }

    fn sender(&self, bytes: &[u8]) -> Option<&Sender<Bytes>> {
        match self.way {
            Way::Struct => {
                let message: Owned = serde_json::from_slice(bytes).ok()?;
                longest(&message.to, |prefix| self.std.get(prefix))
            }
            Way::Value => {
                let message: Value = serde_json::from_slice(bytes).ok()?;
                longest(message["to"].as_str()?, |prefix| self.std.get(prefix))
            }
            Way::Borrowed => {
                let message: Borrowed<'_> = serde_json::from_slice(bytes).ok()?;
                longest(&message.to, |prefix| self.ahash.get(prefix))
            }
        }
    }
}

impl Party for Rival {
    fn name(&self) -> &'static str {
        match self.way {
            Way::Struct => "serde_json struct + HashMap + crossbeam",
            Way::Value => "serde_json Value + HashMap + crossbeam",
            Way::Borrowed => "serde_json borrowed + hashbrown/ahash + crossbeam",
        }
    }

    fn post(&mut self, messages: &mut Vec<Bytes>) {
        for bytes in messages.drain(..) {
            let sender = self.sender(&bytes).expect("a message to a listener");
            sender.try_send(bytes).expect("room");
        }
    }

    fn drain(&mut self, into: &mut Vec<Bytes>) {
        into.extend(self.end.try_iter());
    }
}

#[derive(Deserialize)]
struct Owned {
    #[serde(rename = "id")]
    _id: Value,
    #[serde(rename = "type")]
    _kind: String,
    #[serde(rename = "from")]
    _from: String,
    to: String,
    #[serde(rename = "body")]
    _body: Value,
}

#[derive(Deserialize)]
struct Borrowed<'a> {
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "type", borrow)]
    _kind: Cow<'a, str>,
    #[serde(rename = "from", borrow)]
    _from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(rename = "body")]
    _body: IgnoredAny,
}

/// What stands on the longest prefix of `to`, cut at each `/` but those before the domain.
fn longest<'m, T>(to: &str, find: impl Fn(&str) -> Option<&'m T>) -> Option<&'m T> {
    let mut prefix = to;
    loop {
        if let Some(found) = find(prefix) {
            return Some(found);
        }
        prefix = &prefix[..prefix.rfind('/').filter(|at| !prefix[..*at].ends_with('/'))?];
    }
}

fn bus() -> MessageBus {
    MessageBus::new(BusConfig::new(url("hyperty-runtime://a.example.org/alice")))
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL of the bench")
}
