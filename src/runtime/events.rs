//! What a runtime tells whoever runs it.

use tokio::sync::mpsc;

use crate::{address::Url, limits, message::Message, status::Status};

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

/// The receiving end. Events that nobody reads are dropped beyond the bound, with a line in the log.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// The next event; `None` when the runtime is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }
}

/// The sending end.
#[derive(Clone, Debug)]
pub(super) struct EventSender(mpsc::Sender<Event>);

impl EventSender {
    pub(super) fn send(&self, event: Event) {
        if self.0.try_send(event).is_err() && !self.0.is_closed() {
            tracing::warn!("an event was dropped: nobody reads them");
        }
    }
}

pub(super) fn channel() -> (EventSender, Events) {
    let (sender, receiver) = mpsc::channel(limits::RUNTIME_EVENTS_MAX);
    (EventSender(sender), Events(receiver))
}
