//! The MiniBus: listeners within one sandbox, and `*` for what nothing else matched.
//!
//! The same rule as everywhere, without routes. A sandbox joins its MiniBus to the MessageBus: the
//! MessageBus's listener *is* the MiniBus, found under the URL it was added for.

mod listeners;

use std::sync::Arc;

use crate::{
    address::{Address, Url},
    link::{Delivery, LinkId, Refusal, Sink},
    message::To,
    registry::table::Listener,
};

use listeners::{Found, Listeners, View};
pub use listeners::{MiniKey, Path};

/// The bus of one sandbox. Some 300 bytes with a few listeners.
pub struct MiniBus {
    listeners: Listeners,
}

impl Default for MiniBus {
    fn default() -> Self {
        MiniBus::new()
    }
}

impl std::fmt::Debug for MiniBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MiniBus").finish_non_exhaustive()
    }
}

impl MiniBus {
    /// Without listeners.
    pub fn new() -> Self {
        MiniBus { listeners: Listeners::new() }
    }

    /// Adds a listener on `url` and below. Several may stand on one URL; all get what comes.
    pub fn add_listener(&self, url: Url, link: Option<LinkId>, sink: Arc<dyn Sink>) -> MiniKey {
        self.listeners.add(Listener { url, link, sink }, false)
    }

    /// The same on `url` only, not below.
    pub fn add_exact_listener(&self, url: Url, sink: Arc<dyn Sink>) -> MiniKey {
        self.listeners.add(Listener { url, link: None, sink }, true)
    }

    /// Sets the `*` listener, which gets only what nothing else matched; `None` takes it away.
    pub fn set_default_listener(&self, sink: Option<Arc<dyn Sink>>) {
        self.listeners.set_default(sink);
    }

    /// Removes a listener; false if it had gone already.
    pub fn remove_listener(&self, key: &MiniKey) -> bool {
        self.listeners.remove(key)
    }

    /// Gives `delivery` to the listeners of `at` (the message's `to`, or the URL of the path it takes), else
    /// to `*`. Each gets it once; the sandbox it came from does not.
    ///
    /// # Errors
    /// The first [`Refusal`] of a listener; [`Refusal::Closed`] if there is none at all.
    pub fn deliver(&self, at: &Address<'_>, delivery: Delivery) -> Result<(), Refusal> {
        let guard = crossbeam_epoch::pin();
        let now = self.listeners.now(&guard);
        deliver_found(&now.at(at), now, delivery)
    }

    /// The same, at the message's own `to`.
    ///
    /// # Errors
    /// As [`MiniBus::deliver`]; also [`Refusal::Closed`] if `to` is no single URL address.
    pub fn deliver_to_target(&self, delivery: Delivery) -> Result<(), Refusal> {
        let guard = crossbeam_epoch::pin();
        let now = self.listeners.now(&guard);
        deliver_found(&at_target(now, &delivery)?, now, delivery)
    }

    /// Gives `delivery` to the listeners on `path` itself, and to nobody else: without one the path is gone.
    ///
    /// # Errors
    /// As [`MiniBus::deliver`].
    pub fn deliver_by_path(&self, path: &Path, delivery: Delivery) -> Result<(), Refusal> {
        let guard = crossbeam_epoch::pin();
        let now = self.listeners.now(&guard);
        if let Some(listener) = now.last_on(path)
            && listener.link != Some(delivery.ingress.link)
        {
            return listener.sink.push(delivery);
        }
        hand_over(sinks(&now.on(path), delivery.ingress.link), delivery)
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
        let found = self.listeners.now(&guard).on(path);
        if found.is_empty() {
            return Err(Refusal::Closed);
        }
        let alike = |one: &Delivery, other: &Delivery| one.ingress.link == other.ingress.link;
        for_each_stretch(run, alike, |_, stretch| deliver_run_found(&found, None, stretch))
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
            let now = self.listeners.now(&guard);
            deliver_run_found(&at_target(now, first)?, now.default(), stretch)
        })
    }
}

/// The listeners for the message's own `to`.
#[inline]
fn at_target<'g>(now: View<'g>, delivery: &Delivery) -> Result<Found<'g>, Refusal> {
    let To::One(to) = delivery.message.to() else { return Err(Refusal::Closed) };
    let at = Address::parse(&to).map_err(|_| Refusal::Closed)?;
    Ok(now.at(&at))
}

/// To the only one of `found`, or if there is none to `default`. All came by the same link.
#[inline]
fn deliver_run_found(
    found: &Found<'_>,
    default: Option<&Arc<dyn Sink>>,
    run: &mut [Option<Delivery>],
) -> Result<(), Refusal> {
    let Some(Some(first)) = run.first() else { return Ok(()) };
    let from = first.ingress.link;
    let mut takers = sinks(found, from);
    match (takers.next(), takers.next()) {
        (None, _) => default.ok_or(Refusal::Closed)?.push_in_order(run),
        (Some(sink), None) => sink.push_in_order(run),
        (Some(_), Some(_)) => {
            for place in run {
                let Some(delivery) = place else { continue };
                hand_over(sinks(found, from), delivery.clone())?;
                *place = None;
            }
            Ok(())
        }
    }
}

#[inline]
fn deliver_found(found: &Found<'_>, now: View<'_>, delivery: Delivery) -> Result<(), Refusal> {
    let mut takers = sinks(found, delivery.ingress.link).peekable();
    match takers.peek() {
        Some(_) => hand_over(takers, delivery),
        None => now.default().ok_or(Refusal::Closed)?.push(delivery),
    }
}

/// Those of `found` that do not stand in the sandbox that the message came from.
fn sinks<'s>(found: &'s Found<'_>, from: LinkId) -> impl Iterator<Item = &'s Arc<dyn Sink>> {
    found.iter().filter(move |of| of.link != Some(from)).map(|of| &of.sink)
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
