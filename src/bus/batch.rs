//! Posting many messages at once. What becomes of them is what would become of them one by one, in order.
//!
//! Up to [`FIB_BATCH_MAX`] are read, then looked up together under one guard, then sent in order. Two laws
//! make it the same as one by one:
//!
//! * **A look-up counts only while the table is as it was.** Before each message is sent the table's number
//!   of edits is read; if a sink has edited it since, the message is resolved anew.
//! * **Only queues are given runs.** Messages that follow each other into one queue are pushed under one lock
//!   ([`Sink::push_run`]). Pushing into a queue has no other effect, so nobody can tell that the next message
//!   was read before. Any other sink gets its message before the next one is looked at.

use std::{ptr, sync::Arc, time::Instant};

use bytes::Bytes;
use crossbeam_epoch::Guard;
use smallvec::SmallVec;

use crate::{
    address::Address,
    bus::{MessageBus, PostError, Posted, post::to_address},
    fib::Match,
    limits::FIB_BATCH_MAX,
    link::{Delivery, Ingress, Sink},
    message::{Kind, Message, To},
    registry::{Listener, resolve_found},
};

impl MessageBus {
    /// Posts `messages` as [`MessageBus::post`] would, one after the other, and puts one outcome for each
    /// behind `outcomes`. The memory accesses of their look-ups overlap, and what follows each other into one
    /// queue takes its lock once, so it costs less; nothing is allocated that posting one by one would not.
    /// Up to [`FIB_BATCH_MAX`] are taken from `messages` before the first of them is posted.
    pub fn post_batch(
        &self,
        messages: impl IntoIterator<Item = Bytes>,
        ingress: Ingress,
        now: Instant,
        outcomes: &mut Vec<Result<Posted, PostError>>,
    ) {
        let mut messages = messages.into_iter();
        let mut found: [Match; FIB_BATCH_MAX] = Default::default();
        let mut batch = Batch::new(self, ingress, now);
        while batch.fill(&mut messages) {
            batch.post(&mut found, outcomes);
        }
    }
}

/// The messages that are looked up together.
struct Batch<'b> {
    bus: &'b MessageBus,
    ingress: Ingress,
    now: Instant,
    /// Emptied as they are sent.
    deliveries: SmallVec<[Option<Delivery>; FIB_BATCH_MAX]>,
    /// What was wrong with those that are no deliveries.
    errors: SmallVec<[PostError; 0]>,
}

impl<'b> Batch<'b> {
    fn new(bus: &'b MessageBus, ingress: Ingress, now: Instant) -> Self {
        let (deliveries, errors) = (SmallVec::new(), SmallVec::new());
        Batch { bus, ingress, now, deliveries, errors }
    }

    /// Reads the next messages; false if there was none.
    fn fill(&mut self, messages: &mut impl Iterator<Item = Bytes>) -> bool {
        self.deliveries.clear();
        for bytes in messages.take(FIB_BATCH_MAX) {
            let before = self.deliveries.last().and_then(Option::as_ref);
            let delivery = match self.bus.read_after(before, bytes) {
                Ok(message) => Some(Delivery { message, ingress: self.ingress, hop: None }),
                Err(error) => {
                    self.errors.push(error);
                    None
                }
            };
            self.deliveries.push(delivery);
        }
        self.errors.reverse();
        !self.deliveries.is_empty()
    }

    fn post(
        &mut self,
        found: &mut [Match; FIB_BATCH_MAX],
        outcomes: &mut Vec<Result<Posted, PostError>>,
    ) {
        let (bus, guard) = (self.bus, crossbeam_epoch::pin());
        let edits = bus.table.edits();
        let looked_up = self.look_up(found, &guard);
        let takers = self.takers(&looked_up, found, &guard);
        let first = outcomes.len();
        let mut run = Run { bus, start: 0, sink: None, takers: &takers };
        for at in 0..self.deliveries.len() {
            let Some(delivery) = &self.deliveries[at] else {
                outcomes.extend(self.errors.pop().map(Err));
                continue;
            };
            let may_be_awaited = delivery.message.kind() == Kind::Response && bus.awaits();
            let place = looked_up[at].filter(|_| !may_be_awaited);
            let is_current = || place.is_some() && bus.table.edits() == edits;
            if let Some(listener) = takers[at].filter(|listener| listener.sink.is_queue()) {
                // First, for who is woken by it may edit the table.
                if !run.is_into(listener) {
                    run.end(at, &mut self.deliveries, &mut outcomes[first..]);
                }
                if is_current() {
                    run.extend(listener, at);
                    outcomes.push(Ok(Posted::here(1)));
                    continue;
                }
            }
            run.end(at, &mut self.deliveries, &mut outcomes[first..]);
            let Some(delivery) = self.deliveries[at].take() else { continue };
            outcomes.push(match place {
                Some(place) if is_current() => {
                    self.send(delivery, takers[at], &mut found[usize::from(place)], &guard)
                }
                _ => bus.post_checked(delivery.message, self.ingress, self.now),
            });
        }
        run.end(self.deliveries.len(), &mut self.deliveries, &mut outcomes[first..]);
    }

    /// Looks up what has one URL without escapes; says for each message where it was found.
    fn look_up(
        &self,
        found: &mut [Match; FIB_BATCH_MAX],
        guard: &Guard,
    ) -> SmallVec<[Option<u8>; FIB_BATCH_MAX]> {
        let mut addresses: SmallVec<[Address<'_>; FIB_BATCH_MAX]> = SmallVec::new();
        let places = self.deliveries.iter().map(|delivery| {
            let address = one_address(&delivery.as_ref()?.message)?;
            addresses.push(address);
            Some((addresses.len() - 1) as u8)
        });
        let places = places.collect();
        let found = &mut found[..addresses.len()];
        self.bus.table.look_up_batch(&addresses, found, guard);
        self.bus.table.prefetch(found);
        places
    }

    /// For each message the only one who gets it, if there is one. All are read before the first is needed,
    /// so that no one waits for the memory of another.
    fn takers<'g>(
        &self,
        looked_up: &[Option<u8>],
        found: &[Match; FIB_BATCH_MAX],
        guard: &'g Guard,
    ) -> Takers<'g>
    where
        'b: 'g,
    {
        let taker = |place: &Option<u8>| {
            self.bus.taker(&found[usize::from((*place)?)], self.ingress, guard)
        };
        looked_up.iter().map(taker).collect()
    }

    fn send(
        &self,
        delivery: Delivery,
        taker: Option<&Listener>,
        found: &mut Match,
        guard: &Guard,
    ) -> Result<Posted, PostError> {
        if let Some(listener) = taker {
            return Ok(self.bus.give_one(listener, delivery));
        }
        let (bus, message) = (self.bus, delivery.message);
        let resolution = match message.to() {
            To::One(to) => resolve_found(&bus.table, &bus.own, &to_address(&to)?, found, guard),
            To::Many(_) => return bus.post_checked(message, self.ingress, self.now),
        };
        Ok(bus.send_one(message, self.ingress, resolution, self.now))
    }
}

type Takers<'g> = SmallVec<[Option<&'g Listener>; FIB_BATCH_MAX]>;

/// Messages that follow each other into one queue, the first at `start`; their outcomes stand as taken until
/// it ends.
struct Run<'a, 'g> {
    bus: &'a MessageBus,
    start: usize,
    sink: Option<&'g Arc<dyn Sink>>,
    takers: &'a Takers<'g>,
}

impl<'g> Run<'_, 'g> {
    /// True if it goes into the queue of `listener`.
    fn is_into(&self, listener: &Listener) -> bool {
        self.sink.is_some_and(|sink| ptr::addr_eq(&**sink, &*listener.sink))
    }

    /// The message at `at` goes to `listener`, too, or begins a run.
    fn extend(&mut self, listener: &'g Listener, at: usize) {
        if self.sink.is_none() {
            (self.start, self.sink) = (at, Some(&listener.sink));
        }
    }

    /// Pushes what stands before `end`.
    fn end(
        &mut self,
        end: usize,
        deliveries: &mut [Option<Delivery>],
        outcomes: &mut [Result<Posted, PostError>],
    ) {
        let Some(sink) = self.sink.take() else { return };
        let run = &mut deliveries[self.start..end];
        let mut taken = run.iter().flatten().count();
        sink.push_run(run, &mut |at, refusal| {
            taken -= 1;
            self.bus.counters.count_refusal(refusal);
            let at = self.start + at;
            if let Some(listener) = self.takers[at] {
                outcomes[at] = Ok(Posted::refused_by(&listener.url, refusal));
            }
        });
        self.bus.counters.count_local(taken);
    }
}

/// `to`, if it is one URL that stands in the bytes as it is meant.
fn one_address(message: &Message) -> Option<Address<'_>> {
    Address::parse(message.to_plain()?).ok()
}
