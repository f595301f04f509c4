//! What both transports share: a receiver's verdict on more, and how a connection ended.

use std::{fmt, sync::Arc};

use tokio::sync::Notify;

/// A receiver's verdict after it took a message. It never blocks: it says whether it wants another.
#[derive(Clone, Debug)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// Taken, but read nothing more until this is notified (`notify_one`, so that a notification that comes
    /// early isn't missed). What was read already waits in the transport; the peer feels its window close.
    /// Control frames behind wait too, so a hold-back that needs control to resolve must never pause.
    Pause(Arc<Notify>),
    /// Taken, but read nothing more ever. The connection lives until its outbox is closed and empty.
    Stop,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// By us: its handle was closed, or its outbox was closed and everything in it was sent.
    ClosedHere,
    /// By the peer, with its code (QUIC application code, WebSocket close code) and reason.
    ClosedByPeer {
        /// The peer's code; 0 or 1000 is an ordinary end.
        code: u64,
        /// The peer's words, possibly empty.
        reason: String,
    },
    /// The peer fell silent for longer than the idle time-out.
    TimedOut,
    /// The peer broke the protocol; it was told so and cut.
    Protocol {
        /// What it did.
        reason: String,
    },
    /// The network or the peer's system took the connection away.
    Lost {
        /// The system's words.
        reason: String,
    },
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::ClosedHere => f.write_str("closed by us"),
            Ended::ClosedByPeer { code, reason } if reason.is_empty() => {
                write!(f, "closed by the peer with code {code}")
            }
            Ended::ClosedByPeer { code, reason } => {
                write!(f, "closed by the peer with code {code}: {reason}")
            }
            Ended::TimedOut => f.write_str("the peer fell silent"),
            Ended::Protocol { reason } => write!(f, "the peer broke the protocol: {reason}"),
            Ended::Lost { reason } => write!(f, "connection lost: {reason}"),
        }
    }
}
