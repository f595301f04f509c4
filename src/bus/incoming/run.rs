//! Messages that come in one behind the other: what goes to one and the same queue is looked up once and
//! pushed under one lock.
//!
//! It is the same as one by one. Only a queue is given several ([`Sink::is_queue`]), and pushing into one has
//! no other effect; so that the table was read once for them says no more than that they all came in at that
//! moment.
//!
//! [`Sink::is_queue`]: crate::link::Sink::is_queue

use std::time::Instant;

use crossbeam_epoch::Guard;

use super::MessageBus;
use crate::{
    address::Address,
    fib::Match,
    handover::RunTaken,
    link::{Delivery, LinkId, Path, Refusal},
    message::{Kind, To},
    registry::{Listener, sole_listener},
    slab::Target,
};

/// Who got what came last by a link, if that is one queue: most likely it gets the next message too.
#[derive(Debug, Default)]
pub struct LastTaker {
    /// The message's `to` as it stood in it.
    to: String,
    /// The number of edits of the table before it was looked up.
    edits: u64,
    target: Option<Target>,
}

impl MessageBus {
    /// Gives messages that came in by a link to the local listeners, from the front of `run` until every
    /// listener of one is full; that one and what stands behind it are left, the other places are `None`
    /// then. Everything but want of room ends here and is counted, as in [`MessageBus::deliver`].
    pub fn deliver_run(
        &self,
        run: &mut [Option<Delivery>],
        last: &mut LastTaker,
        now: Instant,
    ) -> RunTaken {
        let mut taken = RunTaken::default();
        while let Some(Some(first)) = run.get(taken.count) {
            if self.is_ordinary(first) {
                let length = self.stretch(first, &run[taken.count + 1..]) + 1;
                let count = self.deliver_stretch(&mut run[taken.count..taken.count + length], last);
                taken.count += count;
                if count > 0 {
                    continue;
                }
            }
            let Some(first) = run.get_mut(taken.count) else { break };
            let Some(delivery) = first.clone() else { break };
            match self.deliver(delivery, now) {
                Ok(_) => {}
                Err(Refusal::Closed) => {
                    taken.unheard += 1;
                    if let Some(unheard) = first.as_ref() {
                        self.refused_plain(unheard, Refusal::Closed, now);
                    }
                }
                Err(Refusal::Full { .. }) => break,
            }
            *first = None;
            taken.count += 1;
        }
        taken
    }

    /// How many messages at the front of `behind` need no look-up of their own after `first`.
    fn stretch(&self, first: &Delivery, behind: &[Option<Delivery>]) -> usize {
        let alike = |of: &Delivery| {
            of.ingress == first.ingress
                && first.message.has_same_to(&of.message)
                && self.is_ordinary(of)
        };
        behind.iter().take_while(|of| of.as_ref().is_some_and(alike)).count()
    }

    /// True for what goes to whoever listens, and nowhere else.
    fn is_ordinary(&self, delivery: &Delivery) -> bool {
        delivery.ingress.link != LinkId::FORGED
            && delivery.ingress.path == Path::P2p
            && !(delivery.message.kind() == Kind::Response && self.awaits())
            && !self.names_our_stub(&delivery.message)
    }

    /// To the one queue that all of `stretch` goes to, if that is so: how many it took.
    fn deliver_stretch(&self, stretch: &mut [Option<Delivery>], last: &mut LastTaker) -> usize {
        let Some(Some(first)) = stretch.first() else { return 0 };
        let To::One(to) = first.message.to() else { return 0 };
        let guard = crossbeam_epoch::pin();
        let target = last.target.filter(|_| *to == *last.to);
        let listener = target
            .and_then(|target| self.table.listener_as_of(target, last.edits, &guard))
            .or_else(|| self.find_taker(&to, last, &guard))
            .filter(|listener| listener.link != Some(first.ingress.link));
        let Some(listener) = listener.filter(|listener| listener.sink.is_queue()) else { return 0 };
        // Why it took no more is asked again with the first that is left.
        let _ = listener.sink.push_in_order(stretch);
        let count = stretch.iter().take_while(|place| place.is_none()).count();
        self.counters.count_local(count);
        count
    }

    /// Looks `to` up for the one listener that there is, and remembers it.
    fn find_taker<'g>(
        &'g self,
        to: &str,
        last: &mut LastTaker,
        guard: &'g Guard,
    ) -> Option<&'g Listener> {
        last.target = None;
        let address = Address::parse(to).ok()?;
        let edits = self.table.edits();
        let mut found = Match::default();
        self.table.look_up(&address, &mut found, guard);
        let listener = sole_listener(&self.table, &found, guard)?;
        to.clone_into(&mut last.to);
        (last.edits, last.target) = (edits, found.listeners.first().copied());
        Some(listener)
    }
}
