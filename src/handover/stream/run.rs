//! Numbered messages that arrive together: what is in order goes to the listener as it came. Nothing is held
//! back here.

use std::time::Instant;

use super::Stream;
use crate::{
    handover::{config::Mutation, outcome::RunTaken},
    limits::HANDOVER_ROOM_WAIT,
    link::{Delivery, Weigh},
};

/// Where listeners take messages one behind the other, from the front until one is refused for want of room:
/// that one and what is behind it are left in their places.
pub(in crate::handover) type DeliverRun<'a> =
    &'a mut dyn FnMut(&mut [Option<Delivery>]) -> RunTaken;

impl Stream {
    /// How many messages at the front of `run` are the next ones, while nothing waits before them.
    pub(in crate::handover) fn next_ones(
        &self,
        run: &[Option<Delivery>],
        mutation: Mutation,
    ) -> usize {
        if self.retry_at.is_some() || self.held_messages > 0 {
            return 0;
        }
        let mut next = self.taken + 1;
        if mutation != Mutation::None
            && let Some(first) = first_number(run).filter(|of| self.lets_begin(*of, mutation))
        {
            next = first;
        }
        let numbers = run.iter().map_while(|place| Some(place.as_ref()?.hop?.number));
        numbers.zip(next..).take_while(|(number, next)| number == next).count()
    }

    /// Gives the listener `run`, which are the [`Stream::next_ones`]. The same as one by one: how many it
    /// took, and how many of them found nobody. What it has no room for is left in its place, to be held
    /// back.
    pub(in crate::handover) fn take_run(
        &mut self,
        run: &mut [Option<Delivery>],
        deliver: DeliverRun<'_>,
        now: Instant,
        mutation: Mutation,
    ) -> RunTaken {
        self.seen_at = now;
        let before_it = first_number(run).map_or(self.taken, |first| first - 1);
        let weight = |run: &[Option<Delivery>]| -> usize {
            run.iter().flatten().map(Weigh::weight_bytes).sum()
        };
        let before = weight(run);
        let outcome = deliver(run);
        if mutation == Mutation::NoRunRoom {
            run.fill(None);
        }
        let count = run.iter().take_while(|place| place.is_none()).count();
        self.unacknowledged_bytes += before - weight(&run[count..]);
        self.taken = self.taken.max(before_it + count as u64);
        self.highest = self.highest.max(self.taken);
        if self.received < self.taken {
            self.received = self.taken;
            self.gap_at = None;
        }
        if count < run.len() {
            self.retry_at = Some(now + HANDOVER_ROOM_WAIT);
        }
        self.note_gap(now);
        RunTaken { count, ..outcome }
    }

    /// True if a protocol without a law would let a run begin with number `first`.
    fn lets_begin(&self, first: u64, mutation: Mutation) -> bool {
        match mutation {
            Mutation::NoRunDedupe => first <= self.taken,
            Mutation::NoRunHoldBack => first > self.taken,
            _ => false,
        }
    }
}

fn first_number(run: &[Option<Delivery>]) -> Option<u64> {
    Some(run.first()?.as_ref()?.hop?.number)
}
