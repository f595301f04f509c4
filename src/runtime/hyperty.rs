//! A Hyperty's own end: what was sent to it, in order.

use std::{future::poll_fn, sync::Arc, task::Poll};

use crate::{
    address::Url,
    link::{Delivery, Drained, Outbox},
    registry::ListenerKey,
};

/// A Hyperty that lives in this runtime. Take its messages out with [`Hyperty::next`] or in batches.
///
/// Its queue is bounded. When it is full, numbered messages wait with their sender's window, and plain ones
/// are refused with 503.
#[derive(Debug)]
pub struct Hyperty {
    key: ListenerKey,
    inbox: Arc<Outbox<Delivery>>,
}

impl Hyperty {
    pub(super) fn new(key: ListenerKey, inbox: Arc<Outbox<Delivery>>) -> Self {
        Hyperty { key, inbox }
    }

    /// The URL it listens on.
    pub fn url(&self) -> &Url {
        self.key.url()
    }

    /// The next message; `None` when the Hyperty was removed, or its runtime is gone, and its queue is empty.
    /// Cancel-safe.
    pub async fn next(&self) -> Option<Delivery> {
        poll_fn(|context| self.inbox.poll_next(context)).await
    }

    /// Moves up to `max` messages that are there into `into`, waiting for the first; how many. 0 when the
    /// Hyperty was removed and its queue is empty. Cancel-safe.
    pub async fn next_batch(&self, into: &mut Vec<Delivery>, max: usize) -> usize {
        poll_fn(|context| match self.inbox.poll_drain(context, into, max) {
            Poll::Ready(Drained::Items(count)) => Poll::Ready(count),
            Poll::Ready(Drained::End) => Poll::Ready(0),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    pub(super) fn key(&self) -> &ListenerKey {
        &self.key
    }

    pub(super) fn close(&self) {
        self.inbox.close();
    }
}
