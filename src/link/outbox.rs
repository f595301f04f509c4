//! A bounded queue between any number of pushing threads and one draining task.
//!
//! It owns no task and knows no async runtime: the drainer leaves a [`Waker`] of `std::task` behind. Order is
//! the order of the pushes; pushing never blocks.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use crate::{limits::OUTBOX_PLACES_KEPT, link::Refusal};

/// What an item costs of the byte bound.
pub trait Weigh {
    /// Bytes this item holds on to.
    fn weight_bytes(&self) -> usize;
}

/// A bounded queue: many push, one drains, in order.
#[derive(Debug)]
pub struct Outbox<T> {
    inner: Mutex<Inner<T>>,
    items_max: usize,
    bytes_max: usize,
}

/// What [`Outbox::poll_drain`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// So many items were moved out.
    Items(usize),
    /// Closed, and nothing is left.
    End,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    bytes: usize,
    closed: bool,
    drainer: Option<Waker>,
}

impl<T: Weigh> Outbox<T> {
    /// An empty queue that holds at most `items_max` items and `bytes_max` bytes. One item larger than
    /// `bytes_max` is taken when the queue is empty, so no item is unsendable.
    pub fn new(items_max: usize, bytes_max: usize) -> Self {
        let inner = Inner { items: VecDeque::new(), bytes: 0, closed: false, drainer: None };
        Outbox { inner: Mutex::new(inner), items_max, bytes_max }
    }

    /// Puts `item` at the end, or says at once why not. O(1), one short lock.
    ///
    /// # Errors
    /// [`Refusal::Full`] at a bound, [`Refusal::Closed`] after [`Outbox::close`].
    pub fn push(&self, item: T) -> Result<(), Refusal> {
        let mut inner = self.inner.lock();
        self.room(&inner, item.weight_bytes())?;
        inner.push(item);
        let drainer = inner.drainer.take();
        drop(inner);
        if let Some(drainer) = drainer {
            drainer.wake();
        }
        Ok(())
    }

    /// Puts the items of `run` at the end, in order and under one lock; `refused` is told the place and the
    /// reason of each that is not taken, and must not come back to this queue. Leaves `None`s.
    pub fn push_run(&self, run: &mut [Option<T>], refused: &mut dyn FnMut(usize, Refusal)) {
        let mut inner = self.inner.lock();
        let queued = inner.items.len();
        for (at, place) in run.iter_mut().enumerate() {
            let Some(item) = place.take() else { continue };
            match self.room(&inner, item.weight_bytes()) {
                Ok(()) => inner.push(item),
                Err(refusal) => refused(at, refusal),
            }
        }
        let drainer = if inner.items.len() > queued { inner.drainer.take() } else { None };
        drop(inner);
        drainer.into_iter().for_each(Waker::wake);
    }

    /// Puts the items of `run` at the end, in order and under one lock, until one finds no room; that one and
    /// what stands behind it are left.
    ///
    /// # Errors
    /// As [`Outbox::push`], if not all were taken.
    pub fn push_in_order<S: Weigh + Into<T>>(&self, run: &mut [Option<S>]) -> Result<(), Refusal> {
        let mut inner = self.inner.lock();
        let queued = inner.items.len();
        let mut outcome = Ok(());
        for place in run {
            let Some(item) = place else { continue };
            outcome = self.room(&inner, item.weight_bytes());
            if outcome.is_err() {
                break;
            }
            if let Some(item) = place.take() {
                inner.push(item.into());
            }
        }
        let drainer = if inner.items.len() > queued { inner.drainer.take() } else { None };
        drop(inner);
        drainer.into_iter().for_each(Waker::wake);
        outcome
    }

    fn room(&self, inner: &Inner<T>, weight: usize) -> Result<(), Refusal> {
        if inner.closed {
            return Err(Refusal::Closed);
        }
        if inner.items.len() >= self.items_max {
            return Err(Refusal::Full { bound: self.items_max });
        }
        if !inner.items.is_empty() && inner.bytes + weight > self.bytes_max {
            return Err(Refusal::Full { bound: self.bytes_max });
        }
        Ok(())
    }

    /// Moves up to `max` items into `into`, or leaves the waker of `context` to be woken by the next push or
    /// by [`Outbox::close`].
    pub fn poll_drain(
        &self,
        context: &mut Context<'_>,
        into: &mut Vec<T>,
        max: usize,
    ) -> Poll<Drained> {
        let mut inner = self.inner.lock();
        if inner.items.is_empty() {
            if inner.closed {
                return Poll::Ready(Drained::End);
            }
            inner.drainer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Drained::Items(inner.drain(into, max)))
    }

    /// Takes out the first item, `None` when the queue is closed and empty; else leaves the waker as
    /// [`Outbox::poll_drain`] does.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inner = self.inner.lock();
        if let Some(item) = inner.items.pop_front() {
            inner.bytes -= item.weight_bytes();
            if inner.items.is_empty() {
                // From the front again, as after a drain: few places are used, and they stay in the cache.
                inner.items.clear();
            }
            return Poll::Ready(Some(item));
        }
        if inner.closed {
            return Poll::Ready(None);
        }
        inner.drainer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Moves up to `max` items into `into` without waiting.
    pub fn try_drain(&self, into: &mut Vec<T>, max: usize) -> usize {
        self.inner.lock().drain(into, max)
    }

    /// Moves out what stands at the front for as long as `leave` says so of an item, without waiting.
    pub fn try_drain_while(&self, into: &mut Vec<T>, mut leave: impl FnMut(&T) -> bool) -> usize {
        let mut inner = self.inner.lock();
        let moved = inner.items.iter().take_while(|item| leave(item)).count();
        inner.drain(into, moved)
    }

    /// Ready when there is something to drain, or the queue is closed; else leaves the drainer's waker.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if !inner.items.is_empty() || inner.closed {
            return Poll::Ready(());
        }
        inner.drainer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Refuses pushes from now on; what is queued can still be drained.
    pub fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let drainer = inner.drainer.take();
        drop(inner);
        drainer.into_iter().for_each(Waker::wake);
    }

    /// Gives back what a burst took of places, if nothing is queued. For a drainer that has had nothing to do
    /// for a while: the next burst takes them anew, which costs some 50 ns an item.
    pub fn rest(&self) {
        let mut inner = self.inner.lock();
        if inner.items.is_empty() {
            inner.items.shrink_to(OUTBOX_PLACES_KEPT);
        }
    }

    /// Items queued now.
    pub fn len(&self) -> usize {
        self.inner.lock().items.len()
    }

    /// Bytes queued now.
    pub fn queued_bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    /// True if nothing is queued now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Weigh> Inner<T> {
    fn push(&mut self, item: T) {
        self.bytes += item.weight_bytes();
        self.items.push_back(item);
    }

    fn drain(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let (moved, start) = (self.items.len().min(max), into.len());
        if moved == self.items.len() {
            self.bytes = 0;
            into.extend(self.items.drain(..));
        } else {
            into.extend(self.items.drain(..moved));
            self.bytes -= into[start..].iter().map(Weigh::weight_bytes).sum::<usize>();
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for usize {
        fn weight_bytes(&self) -> usize {
            *self
        }
    }

    fn drain(outbox: &Outbox<usize>, max: usize) -> (Poll<Drained>, Vec<usize>) {
        let mut items = Vec::new();
        let poll = outbox.poll_drain(&mut Context::from_waker(Waker::noop()), &mut items, max);
        (poll, items)
    }

    #[test]
    fn order_is_kept_and_the_bounds_hold() {
        let outbox = Outbox::new(3, 10);
        assert_eq!(outbox.push(4), Ok(()));
        assert_eq!(outbox.push(6), Ok(()));
        assert_eq!(outbox.push(1), Err(Refusal::Full { bound: 10 }));
        assert_eq!(drain(&outbox, 1), (Poll::Ready(Drained::Items(1)), vec![4]));
        assert_eq!(outbox.push(1), Ok(()));
        assert_eq!(outbox.push(1), Ok(()));
        assert_eq!(outbox.push(1), Err(Refusal::Full { bound: 3 }));
        assert_eq!(drain(&outbox, 9), (Poll::Ready(Drained::Items(3)), vec![6, 1, 1]));
        assert_eq!(drain(&outbox, 9), (Poll::Pending, vec![]));
    }

    #[test]
    fn one_item_over_the_byte_bound_is_taken_when_empty() {
        let outbox = Outbox::new(3, 10);
        assert_eq!(outbox.push(11), Ok(()));
        assert_eq!(outbox.push(0), Err(Refusal::Full { bound: 10 }));
    }

    #[test]
    fn in_order_means_that_nothing_passes_what_found_no_room() {
        let outbox = Outbox::new(3, 10);
        let mut run = [Some(4), Some(7), Some(1)];
        assert_eq!(outbox.push_in_order(&mut run), Err(Refusal::Full { bound: 10 }));
        assert_eq!(run, [None, Some(7), Some(1)]);
        assert_eq!(drain(&outbox, 9).1, vec![4]);
        assert_eq!(outbox.push_in_order(&mut run), Ok(()));
        assert_eq!(run, [None; 3]);
        assert_eq!(drain(&outbox, 9).1, vec![7, 1]);
        outbox.close();
        assert_eq!(outbox.push_in_order(&mut [Some(1)]), Err(Refusal::Closed));
    }

    #[test]
    fn closing_lets_what_is_queued_out_and_nothing_in() {
        let outbox = Outbox::new(3, 10);
        assert_eq!(outbox.push(1), Ok(()));
        outbox.close();
        assert_eq!(outbox.push(1), Err(Refusal::Closed));
        assert_eq!(drain(&outbox, 9), (Poll::Ready(Drained::Items(1)), vec![1]));
        assert_eq!(drain(&outbox, 9), (Poll::Ready(Drained::End), vec![]));
    }

    #[test]
    fn a_rest_gives_back_what_a_burst_took_unless_something_waits() {
        const BURST: usize = 10_000;
        let outbox = Outbox::new(BURST, BURST);
        let places = || outbox.inner.lock().items.capacity();
        (0..BURST).for_each(|_| outbox.push(1).unwrap());
        outbox.rest();
        assert_eq!(outbox.try_drain(&mut Vec::new(), BURST - 1), BURST - 1);
        outbox.rest();
        assert!(places() >= BURST, "there may be more at once");
        assert_eq!(outbox.try_drain(&mut Vec::new(), BURST), 1);
        outbox.rest();
        assert_eq!(places(), OUTBOX_PLACES_KEPT);
    }

    #[test]
    fn one_by_one_is_a_way_to_drain() {
        let outbox = Outbox::new(3, 10);
        let next = || outbox.poll_next(&mut Context::from_waker(Waker::noop()));
        assert_eq!(next(), Poll::Pending);
        assert_eq!(outbox.push(4), Ok(()));
        assert_eq!(outbox.push(6), Ok(()));
        assert_eq!(next(), Poll::Ready(Some(4)));
        assert_eq!(outbox.queued_bytes(), 6);
        outbox.close();
        assert_eq!((next(), next()), (Poll::Ready(Some(6)), Poll::Ready(None)));
    }
}
