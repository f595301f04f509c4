//! `resolve`: which way an address takes now.
//!
//! Carries out section "resolve" of the design, step by step, in one descent of the trie (and a second,
//! short one for the Message Node stub of a domain). It reads; it delivers nothing and changes nothing.

use std::sync::Arc;

use crossbeam_epoch::Guard;
use smallvec::SmallVec;

use crate::{
    address::{Address, Url},
    fib::Match,
    handover::Peer,
    link::{LinkId, Stub},
    registry::table::{Listener, Place, RoutingTable},
    slab::Target,
    subscription::is_topic,
};

/// Who we are, as far as routing needs it.
#[derive(Clone, Debug)]
pub struct Own {
    /// Our runtime URL.
    pub runtime: Url,
    /// Our domain, whose Message Node is the default.
    pub domain: Box<str>,
}

impl Own {
    /// From the runtime's URL.
    pub fn new(runtime: Url) -> Self {
        let domain = runtime.address().domain().into();
        Own { runtime, domain }
    }

    /// True for our runtime URL and everything below it.
    pub fn is_ours(&self, address: &Address<'_>) -> bool {
        self.runtime.address().covers(address)
    }
}

/// Somebody local who gets a copy, lent for as long as the guard that it was found under is held.
#[derive(Clone, Copy, Debug)]
pub enum Receiver<'g> {
    /// A listener.
    Listener(&'g Listener),
    /// A remote runtime that has subscribed here (to our registry's changes).
    Subscriber(&'g Arc<Peer>),
}

impl Receiver<'_> {
    /// The link it stands on, from which it gets nothing.
    pub fn link(&self) -> Option<LinkId> {
        match self {
            Receiver::Listener(listener) => listener.link,
            Receiver::Subscriber(peer) => Some(peer.link()),
        }
    }

    /// The URL it listens on, or that of the runtime.
    pub fn url(&self) -> &Url {
        match self {
            Receiver::Listener(listener) => &listener.url,
            Receiver::Subscriber(peer) => peer.remote(),
        }
    }
}

/// The way out of this runtime, lent as a [`Receiver`] is.
#[derive(Clone, Copy, Debug)]
pub enum Onward<'g> {
    /// None is needed: the local receivers are all.
    None,
    /// The direct connection.
    P2p {
        /// The remote runtime.
        peer: &'g Arc<Peer>,
        /// The Message Node stub that stands in when the connection goes.
        stub: Option<&'g Arc<Stub>>,
    },
    /// A Message Node.
    MessageNode {
        /// The stub.
        stub: &'g Arc<Stub>,
        /// The remote runtime, if the address is known to live there.
        peer: Option<&'g Arc<Peer>>,
        /// Nothing is known of the address: worth a look-up behind the message.
        unknown: bool,
    },
    /// Nobody.
    Unreachable(Unreachable),
}

/// Why an address has nobody behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// It is ours and nobody listens.
    NoListener,
    /// There is no Message Node stub at all.
    NoMessageNode,
    /// It came in by a link and is not for anybody here: there is no transit.
    NoTransit,
}

impl Unreachable {
    /// One sentence for the caller.
    pub fn reason(self) -> &'static str {
        match self {
            Unreachable::NoListener => "the address is ours and nobody listens there",
            Unreachable::NoMessageNode => "there is no Message Node stub to send it by",
            Unreachable::NoTransit => "it came in by a link and nobody here listens for it",
        }
    }
}

/// What `resolve` gives.
#[derive(Clone, Debug)]
pub struct Resolution<'g> {
    /// Who gets a copy here.
    pub receivers: Receivers<'g>,
    /// Where it goes besides.
    pub onward: Onward<'g>,
}

/// The local receivers of one message; seldom more than one, and no allocation for up to four.
pub type Receivers<'g> = SmallVec<[Receiver<'g>; 4]>;

/// Resolves `to`, posted by a local party.
pub fn resolve<'g>(
    table: &'g RoutingTable,
    own: &Own,
    to: &Address<'_>,
    guard: &'g Guard,
) -> Resolution<'g> {
    let mut found = Match::default();
    table.look_up(to, &mut found, guard);
    resolve_found(table, own, to, &mut found, guard)
}

/// The same once `to` has been looked up under `guard`.
pub fn resolve_found<'g>(
    table: &'g RoutingTable,
    own: &Own,
    to: &Address<'_>,
    found: &mut Match,
    guard: &'g Guard,
) -> Resolution<'g> {
    if lacks_a_place(table, found, guard) {
        table.look_up(to, found, guard);
    }
    let route = route(table, found, guard);
    if !goes_onward(found, route) {
        let receivers = receivers(table, found, guard);
        if !receivers.is_empty() {
            let onward = match found.publish {
                true => onward(table, own, to, route, guard),
                false => Onward::None,
            };
            // A published topic that has nobody outside is still delivered here.
            let onward = match onward {
                Onward::Unreachable(_) => Onward::None,
                onward => onward,
            };
            return Resolution { receivers, onward };
        }
    }
    Resolution { receivers: SmallVec::new(), onward: onward(table, own, to, route, guard) }
}

/// The one listener that gets what was looked up, if it is no more than that: the most frequent answer of
/// [`resolve_found`], with the least to be read.
#[inline]
pub fn sole_listener<'g>(
    table: &'g RoutingTable,
    found: &Match,
    guard: &'g Guard,
) -> Option<&'g Listener> {
    let &[target] = found.listeners.as_slice() else { return None };
    let is_all = found.subscriptions.is_empty() && !found.publish;
    if !is_all || found.route_len > found.listener_len {
        return None;
    }
    match table.place(target, guard) {
        Some(Place::Listener(listener)) => Some(listener),
        _ => None,
    }
}

/// Resolves `to` for a message that came in by the link `from`: local listeners or nobody, never another
/// link.
pub fn resolve_incoming<'g>(
    table: &'g RoutingTable,
    to: &Address<'_>,
    from: LinkId,
    guard: &'g Guard,
) -> SmallVec<[&'g Listener; 4]> {
    let mut found = Match::default();
    table.look_up(to, &mut found, guard);
    if lacks_a_place(table, &found, guard) {
        table.look_up(to, &mut found, guard);
    }
    let receivers = receivers(table, &found, guard);
    let listener = |receiver| match receiver {
        Receiver::Listener(listener) if listener.link != Some(from) => Some(listener),
        _ => None,
    };
    receivers.into_iter().filter_map(listener).collect()
}

fn route<'g>(table: &'g RoutingTable, found: &Match, guard: &'g Guard) -> Option<&'g Place> {
    found.route.and_then(|target| table.place(target, guard))
}

/// True if something of what was found went, with its place, between the two reads: what stood behind
/// it all the time was not found then.
fn lacks_a_place(table: &RoutingTable, found: &Match, guard: &Guard) -> bool {
    let targets = found.listeners.iter().chain(&found.subscriptions).chain(&found.route);
    targets.into_iter().any(|target| table.place(*target, guard).is_none())
}

/// Step 1: nobody local, or step 3 has a longer prefix.
fn goes_onward(found: &Match, route: Option<&Place>) -> bool {
    let local_len = found.listener_len.max(found.subscription_len);
    let is_remote = route.is_some_and(|place| place.peer().is_some());
    local_len == 0 || is_remote && found.route_len > local_len
}

/// The Message Node stub for `domain`, else that of our own domain.
pub fn stub_for<'g>(
    table: &'g RoutingTable,
    own: &Own,
    domain: &str,
    guard: &'g Guard,
) -> Option<&'g Arc<Stub>> {
    let is_home = *own.domain == *domain;
    let other = if is_home { None } else { table.other_stub(domain, guard) };
    other.or_else(|| table.home_stub(guard))
}

/// Steps 2 to 6.
fn onward<'g>(
    table: &'g RoutingTable,
    own: &Own,
    to: &Address<'_>,
    route: Option<&'g Place>,
    guard: &'g Guard,
) -> Onward<'g> {
    if own.is_ours(to) {
        return Onward::Unreachable(Unreachable::NoListener);
    }
    let signalling = is_backend(to) || is_foreign_topic(to);
    let route = route.filter(|_| !signalling);
    let domain = if to.scheme() == "global" { &*own.domain } else { to.domain() };
    let stub = stub_for(table, own, domain, guard);
    let peer = route.and_then(Place::peer);
    if let Some(peer) = peer.filter(|_| route.is_some_and(Place::is_live)) {
        return Onward::P2p { peer, stub };
    }
    match stub {
        // A route to a stub says that a look-up is under way or was in vain.
        Some(stub) => Onward::MessageNode { stub, peer, unknown: route.is_none() && !signalling },
        None => Onward::Unreachable(Unreachable::NoMessageNode),
    }
}

/// Every covering subscription, else the listeners of the longest prefix; each once. Listeners on the very
/// URL that is subscribed to get it as well: several may stand there, and all get it.
fn receivers<'g>(table: &'g RoutingTable, found: &Match, guard: &'g Guard) -> Receivers<'g> {
    let listeners = match found.listener_len >= found.subscription_len {
        true => found.listeners.as_slice(),
        false => &[],
    };
    let receiver = |target: &Target| table.place(*target, guard).and_then(receiver);
    if found.subscriptions.is_empty() {
        return listeners.iter().filter_map(receiver).collect();
    }
    let mut seen: SmallVec<[Target; 4]> = SmallVec::new();
    let mut receivers = SmallVec::new();
    for target in found.subscriptions.iter().chain(listeners) {
        if !seen.contains(target) {
            seen.push(*target);
            receivers.extend(receiver(target));
        }
    }
    receivers
}

fn receiver(place: &Place) -> Option<Receiver<'_>> {
    match place {
        Place::Listener(listener) => Some(Receiver::Listener(listener)),
        Place::Peer(peer) | Place::Learnt { peer, .. } => Some(Receiver::Subscriber(peer)),
        Place::Stub(_) => None,
    }
}

/// Step 2: what signalling itself rests on, and the backend.
fn is_backend(to: &Address<'_>) -> bool {
    let scheme = to.scheme();
    scheme == "domain"
        || scheme.starts_with("domain-")
        || scheme == "global"
        || scheme == "connection"
        || to.segments().any(|segment| segment == "p2phandler" || segment == "p2prequester")
}

/// Step 2: a topic of a data object that is not ours (ours has a local listener or is published). Runtimes
/// and Hyperties are no data objects.
fn is_foreign_topic(to: &Address<'_>) -> bool {
    let is_data_object = !matches!(to.scheme(), "hyperty" | "hyperty-runtime" | "runtime");
    is_data_object && is_topic(to)
}
