//! One QUIC connection to one peer runtime, as its user has it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use quinn_proto::ConnectionError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    CloseCode, Fingerprint,
    carry::{Carrier, LinkReceiver},
    mailbox::Mailbox,
};
use crate::{
    limits::CLOSE_REASON_BYTES_MAX,
    link::{Outbox, Outgoing},
    transport::Ended,
};

/// A connection whose peer is known and wants us. Dropped without [`QuicLink::start`], it is closed.
#[derive(Debug)]
pub struct QuicLink {
    pub(super) connection: CloseOnDrop,
    pub(super) peer: Fingerprint,
    pub(super) payload_bytes_max: usize,
    /// Of an incoming one, its place among the handshakes until somebody has taken it.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Closes and observes a connection that runs elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QuicHandle(Arc<Mailbox>);

impl QuicHandle {
    /// Closes at once, telling the peer `reason`, cut at 120 bytes. What wasn't sent yet is not sent.
    /// Idempotent.
    pub fn close(&self, reason: &str) {
        self.0.close(CloseCode::Done, Bytes::copy_from_slice(cut(reason).as_bytes()));
    }

    /// The peer's address at the moment; it changes when the peer's network does.
    pub fn remote_address(&self) -> SocketAddr {
        let address = self.0.known().remote;
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// UDP datagrams sent so far: what gathering spares.
    pub fn datagrams_sent(&self) -> u64 {
        self.0.known().datagrams_sent
    }

    /// The smoothed round trip.
    pub fn round_trip(&self) -> Duration {
        self.0.known().round_trip
    }
}

impl QuicLink {
    /// The key that the peer proved to hold.
    pub fn peer_fingerprint(&self) -> Fingerprint {
        self.peer
    }

    /// A handle that stays useful when [`QuicLink::start`] has taken the link.
    pub fn handle(&self) -> QuicHandle {
        QuicHandle(self.connection.mailbox.clone())
    }

    /// Carries frames both ways, in the task of the connection itself, until it ends; then `tell` is told
    /// how, on that task, or at once if that has gone. [`QuicHandle::close`] ends it from here. What had come
    /// before the peer's end is handed over first, unless the receiver has paused.
    ///
    /// Writes gather what is ready, up to 64 frames or 256 KiB, and wait for no timer. When `outbox` is
    /// closed and empty, the connection is closed in order after the peer acknowledged all. `outbox` is left
    /// as it is when the connection ends first; up to one batch taken out of it may not have been sent.
    pub fn start<R: LinkReceiver>(
        self,
        outbox: Arc<Outbox<Outgoing>>,
        receiver: R,
        tell: impl FnOnce(Ended) + Send + 'static,
    ) {
        let receiver = Box::new(receiver);
        let carrier = Carrier::new(outbox, receiver, self.payload_bytes_max, Box::new(tell));
        self.connection.keep_open().carry(Box::new(carrier));
    }

    /// As [`QuicLink::start`], for who wants to wait for the end; dropping the future closes the connection.
    pub async fn run<R: LinkReceiver>(self, outbox: Arc<Outbox<Outgoing>>, receiver: R) -> Ended {
        let _close = CloseOnDrop::new(self.connection.mailbox.clone());
        let (tell, told) = oneshot::channel();
        // Who asked may have stopped waiting.
        self.start(outbox, receiver, move |ended| drop(tell.send(ended)));
        told.await.unwrap_or(Ended::ClosedHere)
    }
}

/// A connection that ends with its owner, whatever handles there are.
#[derive(Debug)]
pub(super) struct CloseOnDrop {
    mailbox: Arc<Mailbox>,
    is_kept: bool,
}

impl CloseOnDrop {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        CloseOnDrop { mailbox, is_kept: false }
    }

    /// Of all that were dialled this is the one that is kept.
    pub(super) fn choose(&self) {
        self.mailbox.choose();
    }

    /// The connection, which somebody else closes.
    fn keep_open(mut self) -> Arc<Mailbox> {
        self.is_kept = true;
        self.mailbox.clone()
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if !self.is_kept {
            self.mailbox.abandon();
        }
    }
}

pub(super) fn ended(error: ConnectionError) -> Ended {
    match error {
        ConnectionError::LocallyClosed => Ended::ClosedHere,
        ConnectionError::TimedOut => Ended::TimedOut,
        ConnectionError::ApplicationClosed(close) => Ended::ClosedByPeer {
            code: close.error_code.into_inner(),
            reason: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        ConnectionError::TransportError(error) => Ended::Protocol { reason: error.to_string() },
        other => Ended::Lost { reason: other.to_string() },
    }
}

/// `reason` within the bound of what is sent, cut between characters.
pub(super) fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)]
}
