//! The MiniBus: listeners within one sandbox, and `*` for what nothing else matched.
//!
//! The same trie as everywhere, without routes. A sandbox joins its MiniBus to the MessageBus: the
//! MessageBus's listener *is* the MiniBus, found under the URL it was added for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crossbeam_epoch::Guard;
use parking_lot::Mutex;

use crate::{
    address::{Address, Url},
    fib::Match,
    link::{Delivery, LinkId, Refusal, Sink},
    message::To,
    registry::table::{Listener, ListenerKey, Place, RoutingTable},
    slab::{self, Slab, SlabWriter, Target},
};

/// The bus of one sandbox.
pub struct MiniBus {
    table: RoutingTable,
    /// The number of the `*` listener among `defaults`, or [`NOBODY`].
    default: AtomicU64,
    defaults: Slab<Arc<dyn Sink>>,
    writer: Mutex<SlabWriter<Arc<dyn Sink>>>,
}

/// A path through a sandbox: messages that enter it go to the listeners on its URL.
#[derive(Debug)]
pub struct Path {
    url: Url,
    /// The only listener that was found on it, and the number of edits of the table before that.
    last: Mutex<Option<(u64, Target)>>,
}

impl Path {
    /// The path `url`.
    pub fn new(url: Url) -> Self {
        Path { url, last: Mutex::new(None) }
    }
}

/// No number of a place.
const NOBODY: u64 = u64::MAX;

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
        let writer = SlabWriter::new();
        MiniBus {
            table: RoutingTable::new(),
            default: AtomicU64::new(NOBODY),
            defaults: writer.reader(),
            writer: Mutex::new(writer),
        }
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
        let mut writer = self.writer.lock();
        let number = sink.map_or(NOBODY, |sink| u64::from(writer.insert(sink).0));
        let old = self.default.swap(number, Ordering::AcqRel);
        if let Ok(old) = u32::try_from(old) {
            writer.remove(Target(old));
            drop(writer);
            slab::hand_on();
        }
    }

    /// Removes a listener; false if it had gone already.
    pub fn remove_listener(&self, key: &ListenerKey) -> bool {
        self.table.remove_listener(key)
    }

    /// Gives `delivery` to the listeners of `at` (the message's `to`, or the URL of the path it takes), else
    /// to `*`. Each gets it once; the sandbox it came from does not.
    ///
    /// # Errors
    /// The first [`Refusal`] of a listener; [`Refusal::Closed`] if there is none at all.
    pub fn deliver(&self, at: &Address<'_>, delivery: Delivery) -> Result<(), Refusal> {
        let guard = crossbeam_epoch::pin();
        let mut found = Match::default();
        self.table.look_up(at, &mut found, &guard);
        self.deliver_found(&found, delivery, &guard)
    }

    /// The same, at the message's own `to`.
    ///
    /// # Errors
    /// As [`MiniBus::deliver`]; also [`Refusal::Closed`] if `to` is no single URL address.
    pub fn deliver_to_target(&self, delivery: Delivery) -> Result<(), Refusal> {
        let guard = crossbeam_epoch::pin();
        let mut found = Match::default();
        self.look_up_target(&delivery, &mut found, &guard)?;
        self.deliver_found(&found, delivery, &guard)
    }

    /// Looks up the message's own `to`.
    fn look_up_target(
        &self,
        delivery: &Delivery,
        found: &mut Match,
        guard: &Guard,
    ) -> Result<(), Refusal> {
        let To::One(to) = delivery.message.to() else { return Err(Refusal::Closed) };
        let at = Address::parse(&to).map_err(|_| Refusal::Closed)?;
        self.table.look_up(&at, found, guard);
        Ok(())
    }

    /// Gives `delivery` to the listeners on `path` itself, and to nobody else: without one the path is gone.
    ///
    /// # Errors
    /// As [`MiniBus::deliver`].
    pub fn deliver_by_path(&self, path: &Path, delivery: Delivery) -> Result<(), Refusal> {
        let guard = crossbeam_epoch::pin();
        if let Some(listener) = self.last_on(path, &guard)
            && listener.link != Some(delivery.ingress.link)
        {
            return listener.sink.push(delivery);
        }
        let found = self.look_up_path(path, &guard)?;
        hand_over(self.sinks(&found, delivery.ingress.link, &guard), delivery)
    }

    /// The same for messages one behind the other, with one look-up for all: see [`Sink::push_in_order`].
    ///
    /// # Errors
    /// As [`MiniBus::deliver_by_path`], for the first that is not taken.
    pub fn deliver_run_by_path(
        &self,
        path: &Path,
        run: &mut [Option<Delivery>],
    ) -> Result<(), Refusal> {
        let guard = crossbeam_epoch::pin();
        let found = self.look_up_path(path, &guard)?;
        let alike = |one: &Delivery, other: &Delivery| one.ingress.link == other.ingress.link;
        for_each_stretch(run, alike, |_, stretch| {
            self.deliver_run_found(&found, None, stretch, &guard)
        })
    }

    /// What stands on `path` itself; if that is one listener, it is remembered.
    fn look_up_path(&self, path: &Path, guard: &Guard) -> Result<Match, Refusal> {
        let edits = self.table.edits();
        let mut found = Match::default();
        self.table.look_up(&path.url.address(), &mut found, guard);
        if usize::from(found.listener_len) < path.url.as_str().len() {
            return Err(Refusal::Closed);
        }
        if let &[target] = found.listeners.as_slice() {
            *path.last.lock() = Some((edits, target));
        }
        Ok(found)
    }

    /// The only listener on `path`, if it was looked up and nothing was edited since.
    fn last_on<'g>(&'g self, path: &Path, guard: &'g Guard) -> Option<&'g Listener> {
        let (edits, target) = (*path.last.lock())?;
        self.table.listener_as_of(target, edits, guard)
    }

    /// [`MiniBus::deliver_to_target`] for messages one behind the other, with one look-up for each stretch of
    /// the same `to`: see [`Sink::push_in_order`].
    ///
    /// # Errors
    /// As [`MiniBus::deliver_to_target`], for the first that is not taken.
    pub fn deliver_run_to_targets(&self, run: &mut [Option<Delivery>]) -> Result<(), Refusal> {
        let alike = |one: &Delivery, other: &Delivery| {
            one.ingress.link == other.ingress.link && one.message.has_same_to(&other.message)
        };
        for_each_stretch(run, alike, |first, stretch| {
            let guard = crossbeam_epoch::pin();
            let mut found = Match::default();
            self.look_up_target(first, &mut found, &guard)?;
            let default = self.default_sink(&guard);
            self.deliver_run_found(&found, default, stretch, &guard)
        })
    }

    /// To the only listener among `found`, or if there is none to `default`. All came by the same link.
    fn deliver_run_found(
        &self,
        found: &Match,
        default: Option<&Arc<dyn Sink>>,
        run: &mut [Option<Delivery>],
        guard: &Guard,
    ) -> Result<(), Refusal> {
        let Some(Some(first)) = run.first() else { return Ok(()) };
        let from = first.ingress.link;
        let mut sinks = self.sinks(found, from, guard);
        match (sinks.next(), sinks.next()) {
            (None, _) => default.ok_or(Refusal::Closed)?.push_in_order(run),
            (Some(sink), None) => sink.push_in_order(run),
            (Some(_), Some(_)) => {
                for place in run {
                    let Some(delivery) = place else { continue };
                    hand_over(self.sinks(found, from, guard), delivery.clone())?;
                    *place = None;
                }
                Ok(())
            }
        }
    }

    fn deliver_found(
        &self,
        found: &Match,
        delivery: Delivery,
        guard: &Guard,
    ) -> Result<(), Refusal> {
        let mut takers = self.sinks(found, delivery.ingress.link, guard).peekable();
        match takers.peek() {
            Some(_) => hand_over(takers, delivery),
            None => self.default_sink(guard).ok_or(Refusal::Closed)?.push(delivery),
        }
    }

    /// The `*` listener. Read again only if it was replaced between two reads.
    fn default_sink<'g>(&'g self, guard: &'g Guard) -> Option<&'g Arc<dyn Sink>> {
        let mut number = self.default.load(Ordering::Acquire);
        loop {
            let sink = self.defaults.get(Target(u32::try_from(number).ok()?), guard);
            let again = self.default.load(Ordering::Acquire);
            if sink.is_some() || again == number {
                return sink;
            }
            number = again;
        }
    }

    fn sinks<'g>(
        &'g self,
        found: &'g Match,
        from: LinkId,
        guard: &'g Guard,
    ) -> impl Iterator<Item = &'g Arc<dyn Sink>> {
        found.listeners.iter().filter_map(move |target| match self.table.place(*target, guard) {
            Some(Place::Listener(of)) if of.link != Some(from) => Some(&of.sink),
            _ => None,
        })
    }
}

/// Has `deliver` take stretches of messages that are `alike`, with the first of each, in order, until it
/// fails.
fn for_each_stretch(
    run: &mut [Option<Delivery>],
    alike: impl Fn(&Delivery, &Delivery) -> bool,
    mut deliver: impl FnMut(&Delivery, &mut [Option<Delivery>]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut rest = run;
    while let Some(start) = rest.iter().position(Option::is_some) {
        let Some(first) = rest[start].clone() else { break };
        let is_like = |of: &Option<Delivery>| of.as_ref().is_some_and(|of| alike(&first, of));
        let length = rest[start..].iter().take_while(|of| is_like(of)).count();
        deliver(&first, &mut rest[start..start + length])?;
        rest = &mut rest[start + length..];
    }
    Ok(())
}

/// Gives each sink the same message; the last one the buffer itself.
///
/// # Errors
/// The first [`Refusal`]; the others get their copy all the same.
fn hand_over<'s>(
    sinks: impl Iterator<Item = &'s Arc<dyn Sink>>,
    delivery: Delivery,
) -> Result<(), Refusal> {
    let mut sinks = sinks.peekable();
    let mut delivery = Some(delivery);
    let mut outcome = if sinks.peek().is_some() { Ok(()) } else { Err(Refusal::Closed) };
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
