//! The queue of one MN stub: in order, bounded, and with the time each message has waited.
//!
//! While the session is down messages wait here; those that have waited for the deadline are given back.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use parking_lot::Mutex;

use crate::{
    limits,
    link::{Delivery, Drained, Outbox, Outgoing, Refusal, Sink, Weigh},
    message::Message,
    transport::websocket::Source,
};

/// One message that waits.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    message: Message,
    hop: Option<crate::message::Hop>,
}

impl Weigh for Waiting {
    fn weight_bytes(&self) -> usize {
        self.message.bytes().len()
    }
}

/// The queue; the stub's sink on one side, the socket's source on the other.
#[derive(Debug)]
pub(super) struct StubQueue {
    queue: Outbox<Waiting>,
    gate: Mutex<Gate>,
}

/// Nothing leaves before the session is open.
#[derive(Debug, Default)]
struct Gate {
    open: bool,
    waiting: Option<Waker>,
}

impl StubQueue {
    pub(super) fn new() -> Self {
        StubQueue {
            queue: Outbox::new(limits::STUB_QUEUE_MESSAGES, limits::STUB_QUEUE_BYTES),
            gate: Mutex::default(),
        }
    }

    pub(super) fn set_open(&self, open: bool) {
        let mut gate = self.gate.lock();
        gate.open = open;
        if let Some(waker) = gate.waiting.take() {
            waker.wake();
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.gate.lock().open
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes nothing more; the socket is closed when what is queued has been written.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// The messages that have waited for the deadline. Numbered ones are still in their peer's window, which
    /// decides about them.
    pub(super) fn take_expired(&self, now: Instant) -> Vec<Message> {
        let mut expired = Vec::new();
        let deadline = limits::STUB_DEADLINE;
        self.queue.try_drain_while(&mut expired, |waiting| waiting.since + deadline <= now);
        plain(expired)
    }

    /// All that still waits, but for numbered ones.
    pub(super) fn take_all(&self) -> Vec<Message> {
        let mut all = Vec::new();
        self.queue.try_drain(&mut all, usize::MAX);
        plain(all)
    }
}

fn plain(waiting: Vec<Waiting>) -> Vec<Message> {
    let plain = waiting.into_iter().filter(|waiting| waiting.hop.is_none());
    plain.map(|waiting| waiting.message).collect()
}

impl Sink for StubQueue {
    fn push(&self, delivery: Delivery) -> Result<(), Refusal> {
        let Delivery { message, hop, .. } = delivery;
        self.queue.push(Waiting { since: Instant::now(), message, hop })
    }
}

/// The source of the socket's frames.
pub(super) struct QueueSource {
    queue: Arc<StubQueue>,
    batch: Vec<Waiting>,
}

impl QueueSource {
    pub(super) fn new(queue: Arc<StubQueue>) -> Self {
        QueueSource { queue, batch: Vec::new() }
    }
}

impl Source for QueueSource {
    fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<Outgoing>,
        max: usize,
    ) -> Poll<Drained> {
        {
            let mut gate = self.queue.gate.lock();
            if !gate.open {
                gate.waiting = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        let drained = self.queue.queue.poll_drain(context, &mut self.batch, max);
        into.extend(self.batch.drain(..).map(|waiting| Outgoing::Message {
            bytes: waiting.message.into_bytes(),
            hop: waiting.hop,
        }));
        drained
    }
}
