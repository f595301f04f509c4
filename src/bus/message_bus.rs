//! The MessageBus: a message comes in, `resolve` says where it goes, each sink gets the same bytes.
//!
//! Posting takes `&self` from any thread, never blocks and never waits. What could not be sent is said in the
//! return value, at once. **Bytes in are bytes out**: only an array `to` makes copies.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize},
};

use parking_lot::Mutex;

use crate::{
    address::{Address, Url},
    bus::{BusConfig, Counters, Drop, Note, P2pPolicy, Reply, Requests, TargetReport},
    fib::{Entry, Match},
    handover::Peer,
    limits,
    link::{Ingress, LinkId, Outbox, Sink, Stub},
    message::ParseLimits,
    registry::{
        Listener, ListenerKey, Onward, Own, Place, Receiver, Resolution, RoutingTable, resolve,
    },
    slab::Target,
};

/// The bus of one runtime.
pub struct MessageBus {
    pub(super) own: Own,
    pub(super) table: Arc<RoutingTable>,
    pub(super) counters: Counters,
    pub(super) limits: ParseLimits,
    inbox: Option<Arc<Outbox<Note>>>,
    pub(super) requests: Mutex<Requests<Reply>>,
    /// Requests pending, so that a response costs no lock when there are none.
    pub(super) pending: AtomicUsize,
    pub(super) next_id: AtomicU64,
    pub(super) policy: P2pPolicy,
    pub(super) tap: Option<Arc<dyn Sink>>,
}

impl MessageBus {
    /// A bus without listeners, stubs or peers.
    pub fn new(config: BusConfig) -> Self {
        MessageBus {
            own: Own::new(config.runtime),
            table: Arc::new(RoutingTable::new()),
            counters: Counters::default(),
            limits: config.limits,
            inbox: config.inbox,
            requests: Mutex::new(Requests::new(limits::REQUEST_TIMEOUT, limits::REQUESTS_MAX)),
            pending: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            policy: config.policy,
            tap: config.tap,
        }
    }

    /// Who we are.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// The bounds for each message.
    pub fn limits(&self) -> &ParseLimits {
        &self.limits
    }

    /// What became of messages.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Adds a listener on `url` and below. Several may stand on one URL; all get what comes. `link`: the
    /// sandbox it stands in, from which it never gets its own messages back.
    pub fn add_listener(&self, url: Url, link: Option<LinkId>, sink: Arc<dyn Sink>) -> ListenerKey {
        self.table.add_listener(Listener { url, link, sink }, false)
    }

    /// Adds a listener that has been made already: a stub's sandbox, or a path through it.
    pub fn add_path_listener(&self, listener: Listener) -> ListenerKey {
        self.table.add_listener(listener, false)
    }

    /// The same as [`MessageBus::add_listener`], on `url` only, not below.
    pub fn add_exact_listener(&self, url: Url, sink: Arc<dyn Sink>) -> ListenerKey {
        self.table.add_listener(Listener { url, link: None, sink }, true)
    }

    /// Removes a listener; false if it had gone already.
    pub fn remove_listener(&self, key: &ListenerKey) -> bool {
        self.table.remove_listener(key)
    }

    /// From now on what is sent to `prefix` and below goes to its local listeners *and* once onward.
    pub fn add_publish(&self, prefix: &Url) {
        self.table.insert([(prefix.address(), Entry::Publish)]);
    }

    /// Ends [`MessageBus::add_publish`]; false if there was none.
    pub fn remove_publish(&self, prefix: &Url) -> bool {
        self.table.remove([(prefix.address(), Entry::Publish)]) > 0
    }

    /// Makes `stub` the way to the Message Node of its domain.
    pub fn add_stub(&self, stub: Arc<Stub>) -> Option<Target> {
        let is_home = stub.domain == self.own.domain;
        self.table.add_stub(stub, is_home)
    }

    /// Gives a remote runtime, or what is learnt over one of its connections, a place that addresses can be
    /// associated with.
    pub fn add_place(&self, place: Place) -> Target {
        self.table.add_place(place)
    }

    /// Takes a place away. No address may be associated with it any more.
    pub fn remove_place(&self, target: Target) -> bool {
        self.table.remove_place(target)
    }

    /// The target of the MN stub of `domain`, to route addresses to it without further look-ups.
    pub fn stub_target(&self, domain: &str) -> Option<Target> {
        self.table.stub_target(domain)
    }

    /// The remote runtime that `address` is known to live in. No lock.
    pub fn peer_of(&self, address: &Address<'_>) -> Option<Arc<Peer>> {
        let guard = crossbeam_epoch::pin();
        let mut found = Match::default();
        self.table.look_up(address, &mut found, &guard);
        self.table.place(found.route?, &guard)?.peer().cloned()
    }

    /// Says that `addresses` live behind the peer at `target`. A table that is full takes none of them: then
    /// it counts them, the answer is false, and they are reached by Message Node.
    pub fn associate<'a>(
        &self,
        target: Target,
        addresses: impl IntoIterator<Item = &'a Url>,
    ) -> bool {
        let entry = Entry::Route { target };
        let mut addresses = addresses.into_iter();
        let entries = addresses.by_ref().map(|url| (url.address(), entry));
        let is_in = self.table.insert_of_others(entries);
        if !is_in {
            self.counters.count_turned_away(addresses.count());
        }
        is_in
    }

    /// Says that `addresses` do not live behind the peer at `target` any more.
    pub fn dissociate<'a>(&self, target: Target, addresses: impl IntoIterator<Item = &'a Url>) {
        let entry = Entry::Route { target };
        self.table.remove(addresses.into_iter().map(|url| (url.address(), entry)));
    }

    /// Lets the peer or listener at `target` have copies of what is sent to `prefix` and below.
    pub fn subscribe(&self, prefix: &Url, target: Target) {
        self.table.insert([(prefix.address(), Entry::Subscription { target, exact: false })]);
    }

    /// Ends [`MessageBus::subscribe`]; false if there was none.
    pub fn unsubscribe(&self, prefix: &Url, target: Target) -> bool {
        self.table.remove([(prefix.address(), Entry::Subscription { target, exact: false })]) > 0
    }

    /// What `resolve` says now, without sending anything, of a message that a local party posts.
    pub fn explain(&self, to: &Address<'_>) -> TargetReport {
        self.explain_from(to, Ingress::LOCAL)
    }

    /// The same for a message that comes in by `ingress`, whose own sandbox never gets it back.
    pub fn explain_from(&self, to: &Address<'_>, ingress: Ingress) -> TargetReport {
        let guard = crossbeam_epoch::pin();
        let Resolution { receivers, onward } = resolve(&self.table, &self.own, to, &guard);
        let listeners: Vec<Url> = receivers
            .iter()
            .filter_map(|receiver| match receiver {
                Receiver::Listener(listener) if listener.link == Some(ingress.link) => None,
                Receiver::Listener(listener) => Some(listener.url.clone()),
                Receiver::Subscriber(peer) if peer.link() == ingress.link => None,
                Receiver::Subscriber(_) => Some(to.to_owned()),
            })
            .collect();
        let (decision, via) = match onward {
            Onward::None if listeners.is_empty() => ("unreachable", None),
            Onward::None => ("local", None),
            Onward::P2p { peer, .. } => ("p2p", peer.via()),
            Onward::MessageNode { stub, .. } => ("message-node", Some(stub.url.clone())),
            Onward::Unreachable(_) => ("unreachable", None),
        };
        TargetReport { to: to.as_str().to_owned(), decision, via, listeners }
    }

    /// Tells the control plane; a full inbox is counted.
    pub(crate) fn note(&self, note: Note) {
        if self.inbox.as_ref().is_some_and(|inbox| inbox.push(note).is_err()) {
            self.counters.count_drop(Drop::InboxFull);
        }
    }
}

impl std::fmt::Debug for MessageBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageBus").field("own", &self.own).finish_non_exhaustive()
    }
}
