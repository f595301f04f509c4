//! One socket of the Message Node, as its transport sees it: frames go in by
//! [`MessageNode::on_frame`](crate::node::MessageNode::on_frame), frames to write come out here.
//!
//! No socket of the operating system is in it. A session's queue outlives the socket; this is the
//! place where the two are joined and parted.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::{
    limits,
    link::{Drained, Outbox, Outgoing, Weigh},
    slab::Target,
};

/// One socket: which session stands on it, and what is to be written to it.
///
/// **What a writer takes out is the writer's.** One task drains a socket, with
/// [`Socket::poll_drain`], and writes what it got. Replies of the node itself come first, then the
/// session's queue, in order. When another socket takes the session over, this one gets
/// [`Drained::End`] and nothing of the session any more; what is still queued goes to the new
/// socket. What the writer had taken out and knows to be unwritten when the connection fails it
/// hands to [`Socket::give_back`] before it reports the socket closed; the next socket writes it
/// first. Lost can be only what was written to a connection that then broke, and what an old
/// socket's writer holds at the moment of a take-over.
#[derive(Debug)]
pub struct Socket {
    /// Which of the counters it uses, and what tells it apart in logs.
    number: u32,
    session: AtomicU32,
    inner: Mutex<Inner>,
}

/// The queue of one session, on whatever socket it stands.
#[derive(Debug)]
pub(super) struct SessionQueue {
    pub(super) outbox: Outbox<Outgoing>,
    /// Taken out by the writer of a socket that then failed: older than all that the outbox holds.
    returned: Mutex<VecDeque<Outgoing>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The node's own replies, ahead of the session's queue.
    replies: VecDeque<Bytes>,
    /// What an earlier socket's writer gave back, next in order.
    returned: VecDeque<Outgoing>,
    queue: Option<Arc<SessionQueue>>,
    /// The node is done with it.
    ended: bool,
    /// The transport is done with it.
    closed: bool,
    writer: Option<Waker>,
}

/// What stands on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No session yet, or none any more but one may be opened.
    Vacant,
    /// This session.
    Session(Target),
    /// Nothing ever again.
    Ended,
}

/// No session: no node has so many.
const VACANT: u32 = u32::MAX;
const ENDED: u32 = u32::MAX - 1;

impl Socket {
    pub(super) fn new(number: u32) -> Self {
        Socket { number, session: AtomicU32::new(VACANT), inner: Mutex::default() }
    }

    /// A number that tells sockets of one node apart.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Moves up to `max` frames into `into`, or leaves the waker of `context` behind.
    /// [`Drained::End`]: nothing more will ever come, close the connection.
    pub fn poll_drain(
        &self,
        context: &mut Context<'_>,
        into: &mut Vec<Outgoing>,
        max: usize,
    ) -> Poll<Drained> {
        let mut inner = self.inner.lock();
        let mut moved = inner.drain_own(into, max);
        if let Some(queue) = &inner.queue {
            if moved > 0 {
                moved += queue.outbox.try_drain(into, max - moved);
            } else if let Poll::Ready(drained) = queue.outbox.poll_drain(context, into, max) {
                return Poll::Ready(drained);
            }
        }
        if moved > 0 {
            return Poll::Ready(Drained::Items(moved));
        }
        if inner.ended {
            return Poll::Ready(Drained::End);
        }
        inner.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Moves up to `max` frames into `into` without waiting.
    pub fn try_drain(&self, into: &mut Vec<Outgoing>, max: usize) -> usize {
        let mut inner = self.inner.lock();
        let moved = inner.drain_own(into, max);
        let queue = inner.queue.as_ref();
        moved + queue.map_or(0, |queue| queue.outbox.try_drain(into, max - moved))
    }

    /// Takes back, in order, what was drained and is known not to be written. Returns how many of
    /// them are kept for the session's next socket: none if this socket has no session any more.
    ///
    /// Call it when the connection has failed, before the socket is reported closed.
    pub fn give_back(&self, unwritten: Vec<Outgoing>) -> usize {
        let mut inner = self.inner.lock();
        if inner.queue.is_none() {
            return 0;
        }
        for item in unwritten.iter().rev() {
            inner.returned.push_front(item.clone());
        }
        unwritten.len()
    }

    /// True when the node is done with this socket: write what is left and close.
    pub fn is_ended(&self) -> bool {
        self.standing() == Standing::Ended
    }

    /// True while no session stands on it, but one may be opened.
    pub fn is_vacant(&self) -> bool {
        self.standing() == Standing::Vacant
    }

    /// What stands on this socket now. One load.
    pub(super) fn standing(&self) -> Standing {
        match self.session.load(Ordering::Acquire) {
            VACANT => Standing::Vacant,
            ENDED => Standing::Ended,
            session => Standing::Session(Target(session)),
        }
    }

    /// Queues a reply of the node ahead of the session's messages; false at the bound.
    pub(super) fn reply(&self, bytes: Bytes) -> bool {
        let mut inner = self.inner.lock();
        if inner.ended || inner.replies.len() >= limits::SOCKET_REPLIES_MAX {
            return false;
        }
        inner.replies.push_back(bytes);
        wake(inner);
        true
    }

    /// Lets `session` stand on this socket; from now on its queue is drained here.
    pub(super) fn attach(&self, session: Target, queue: Arc<SessionQueue>) {
        let mut inner = self.inner.lock();
        inner.returned = std::mem::take(&mut *queue.returned.lock());
        inner.queue = Some(queue);
        self.session.store(session.0, Ordering::Release);
        wake(inner);
    }

    /// Parts the session, if any, from this socket; what was given back to it stays with the
    /// session.
    pub(super) fn detach(&self) {
        let mut inner = self.inner.lock();
        self.session.store(VACANT, Ordering::Release);
        if let Some(queue) = inner.queue.take() {
            queue.returned.lock().append(&mut inner.returned);
        }
    }

    /// Parts the session from this socket for good: the writer writes the replies that are left and
    /// ends.
    pub(super) fn end(&self) {
        self.detach();
        let mut inner = self.inner.lock();
        self.session.store(ENDED, Ordering::Release);
        inner.ended = true;
        wake(inner);
    }

    /// Notes that the connection is gone; false if that was known.
    pub(super) fn close(&self) -> bool {
        !std::mem::replace(&mut self.inner.lock().closed, true)
    }
}

impl SessionQueue {
    pub(super) fn new(items_max: usize, bytes_max: usize) -> Self {
        SessionQueue { outbox: Outbox::new(items_max, bytes_max), returned: Mutex::default() }
    }

    /// Messages and bytes that it holds now.
    pub(super) fn held(&self) -> (usize, usize) {
        let returned = self.returned.lock();
        let returned_bytes: usize = returned.iter().map(Weigh::weight_bytes).sum();
        (returned.len() + self.outbox.len(), returned_bytes + self.outbox.queued_bytes())
    }

    /// Closes the queue and empties it. Returns how many messages were in it.
    pub(super) fn end(&self) -> usize {
        self.outbox.close();
        let returned = std::mem::take(&mut *self.returned.lock());
        let mut queued = Vec::new();
        self.outbox.try_drain(&mut queued, usize::MAX);
        returned.len() + queued.len()
    }
}

impl Inner {
    fn drain_own(&mut self, into: &mut Vec<Outgoing>, max: usize) -> usize {
        let replies = self.replies.len().min(max);
        let reply = |bytes| Outgoing::Message { bytes, hop: None };
        into.extend(self.replies.drain(..replies).map(reply));
        let returned = self.returned.len().min(max - replies);
        into.extend(self.returned.drain(..returned));
        replies + returned
    }
}

/// Wakes the writer, if one waits, after the lock is let go: it may poll at once.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let writer = inner.writer.take();
    drop(inner);
    writer.into_iter().for_each(Waker::wake);
}
