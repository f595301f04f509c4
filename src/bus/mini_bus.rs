//! The MiniBus: listeners within one sandbox, and `*` for what nothing else matched.
//!
//! The same trie as everywhere, without routes. A sandbox joins its MiniBus to the MessageBus: the
//! MessageBus's listener *is* the MiniBus, found under the URL it was added for.

use std::sync::Arc;

use crate::{
    address::{Address, Url},
    fib::Match,
    link::{Delivery, LinkId, Refusal, Sink},
    registry::table::{Listener, ListenerKey, Place, RoutingTable},
};

/// The bus of one sandbox.
pub struct MiniBus {
    table: RoutingTable,
    default: parking_lot::RwLock<Option<Arc<dyn Sink>>>,
}

impl Default for MiniBus {
    fn default() -> Self {
        MiniBus::new()
    }
}

impl std::fmt::Debug for MiniBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MiniBus").field("table", &self.table).finish_non_exhaustive()
    }
}

impl MiniBus {
    /// Without listeners.
    pub fn new() -> Self {
        MiniBus { table: RoutingTable::new(), default: parking_lot::RwLock::new(None) }
    }

    /// Adds a listener on `url` and below. Several may stand on one URL; all get what comes.
    pub fn add_listener(&self, url: Url, link: Option<LinkId>, sink: Arc<dyn Sink>) -> ListenerKey {
        self.table.add_listener(Listener { url, link, sink }, false)
    }

    /// The same on `url` only, not below.
    pub fn add_exact_listener(&self, url: Url, sink: Arc<dyn Sink>) -> ListenerKey {
        self.table.add_listener(Listener { url, link: None, sink }, true)
    }

    /// Sets the `*` listener, which gets only what nothing else matched; `None` takes it away.
    pub fn set_default_listener(&self, sink: Option<Arc<dyn Sink>>) {
        *self.default.write() = sink;
    }

    /// Removes a listener; false if it had gone already.
    pub fn remove_listener(&self, key: &ListenerKey) -> bool {
        self.table.remove_listener(key)
    }

    /// Gives `delivery` to the listeners of `at` (the message's `to`, or the URL of the path it takes), else to
    /// `*`. Each gets it once; the sandbox it came from does not.
    ///
    /// # Errors
    /// The first [`Refusal`] of a listener; [`Refusal::Closed`] if there is none at all.
    pub fn deliver(&self, at: &Address<'_>, delivery: Delivery) -> Result<(), Refusal> {
        let guard = crossbeam_epoch::pin();
        let mut found = Match::default();
        self.table.look_up(at, &mut found, &guard);
        let listeners =
            found.listeners.iter().filter_map(|target| match self.table.place(*target, &guard) {
                Some(Place::Listener(listener)) => Some(listener),
                _ => None,
            });
        let from = delivery.ingress.link;
        let mut takers = listeners
            .filter(|listener| listener.link != Some(from))
            .map(|listener| &listener.sink)
            .peekable();
        if takers.peek().is_none() {
            let default = self.default.read().clone();
            return default.map_or(Err(Refusal::Closed), |sink| sink.push(delivery));
        }
        hand_over(takers, delivery)
    }
}

/// Gives each sink the same message; the last one the buffer itself.
///
/// # Errors
/// The first [`Refusal`]; the others get their copy all the same.
pub(crate) fn hand_over<'s>(
    sinks: impl Iterator<Item = &'s Arc<dyn Sink>>,
    delivery: Delivery,
) -> Result<(), Refusal> {
    let mut sinks = sinks.peekable();
    let mut delivery = Some(delivery);
    let mut outcome = Ok(());
    while let Some(sink) = sinks.next() {
        let copy = match sinks.peek() {
            Some(_) => delivery.clone(),
            None => delivery.take(),
        };
        if let Some(copy) = copy {
            outcome = outcome.and(sink.push(copy));
        }
    }
    outcome
}
