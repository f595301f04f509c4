//! What a runtime tells whoever runs it.

use std::{future::poll_fn, sync::Arc};

use crate::{
    address::Url,
    limits,
    link::{Drained, Outbox, Refusal, Weigh},
    message::Message,
    status::Status,
};

/// Something that happened in a runtime.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The session is open, the Handler's path confirmed, the Hyperties registered.
    Ready,
    /// The session with a Message Node is open.
    NodeOpened {
        /// Its domain.
        domain: String,
    },
    /// The session with a Message Node is down; it is tried again.
    NodeClosed {
        /// Its domain.
        domain: String,
        /// Why.
        reason: String,
    },
    /// A P2P connection's status has changed.
    Status {
        /// The stub that owns it.
        stub: Url,
        /// The new status.
        value: Status,
        /// The remote runtime.
        resource: Url,
        /// Why, if it failed or went.
        desc: Option<String>,
    },
    /// A message that had been accepted ended otherwise than delivered.
    Undelivered {
        /// The message.
        message: Message,
        /// 503: returned, it never left. 504: in doubt.
        code: u16,
    },
}

impl Weigh for Event {
    fn weight_bytes(&self) -> usize {
        match self {
            Event::Undelivered { message, .. } => message.bytes().len(),
            _ => 0,
        }
    }
}

/// The receiving end. Events that nobody reads are dropped beyond the bound, with a line in the log; the
/// bound is wide enough for all that one peer's end can give back at once.
#[derive(Debug)]
pub struct Events(Arc<Outbox<Event>>);

impl Events {
    /// The next event; `None` when the runtime is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        let mut one = Vec::with_capacity(1);
        let drained = poll_fn(|context| self.0.poll_drain(context, &mut one, 1)).await;
        match drained {
            Drained::Items(_) => one.pop(),
            Drained::End => None,
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        let mut one = Vec::with_capacity(1);
        self.0.try_drain(&mut one, 1);
        one.pop()
    }
}

/// The sending end.
#[derive(Debug)]
pub(super) struct EventSender(Arc<Outbox<Event>>);

impl EventSender {
    pub(super) fn send(&self, event: Event) {
        if let Err(Refusal::Full { bound }) = self.0.push(event) {
            tracing::warn!(bound, "an event was dropped: nobody reads them");
        }
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.0.close();
    }
}

pub(super) fn channel() -> (EventSender, Events) {
    let events = Arc::new(Outbox::new(limits::RUNTIME_EVENTS_MAX, limits::RUNTIME_EVENTS_BYTES));
    (EventSender(events.clone()), Events(events))
}
