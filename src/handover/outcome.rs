//! What callers are told: where a message went, how it ended, why it was refused, what was counted.

use std::fmt;

use crate::{
    address::Url,
    link::{Delivery, Path, Refusal},
    message::Hop,
};

/// A message that [`Peer::send`](super::Peer::send) accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The way it took, or will take as things stand when a queue was full.
    pub path: Path,
    /// Its stream and number; `None` for a plain message, which is *sent* and has no outcome.
    pub hop: Option<Hop>,
}

/// Messages that [`Peer::send_run`](super::Peer::send_run) accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentRun {
    /// How many, at least one.
    pub count: usize,
    /// The way they took, or will take as things stand when a queue was full.
    pub path: Path,
}

/// What listeners took of messages that were given to them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunTaken {
    /// How many, from the front.
    pub count: usize,
    /// Of them, those that no listener was left for; the caller has answered for them.
    pub unheard: usize,
}

/// How an accepted numbered message ended, if not delivered; those are only counted.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was never sent, or the receiver confirmed that it has fenced it: it is not delivered, and never
    /// will be.
    Returned {
        /// 503.
        code: u16,
        /// The message.
        delivery: Delivery,
    },
    /// It was sent and neither acknowledged nor known to be undelivered: 504.
    InDoubt {
        /// The message.
        delivery: Delivery,
    },
}

/// What a control object asks of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The remote runtime says that this address does not live there: the association is to go.
    NotHere {
        /// The address.
        resource: Url,
    },
    /// The remote runtime came back as a new incarnation; both streams have ended.
    Reborn,
}

/// Why [`Peer::send`](super::Peer::send) did not accept a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The unacknowledged window is used up.
    WindowFull {
        /// Bytes unacknowledged now.
        bytes: usize,
        /// Bytes that the receiver allows.
        bytes_max: usize,
        /// Messages unacknowledged now.
        messages: usize,
    },
    /// Neither a direct way is open nor a stub at hand.
    NoWay,
    /// The sink refused a plain message.
    Refused(Refusal),
    /// More stubs than one peer can have.
    TooManyStubs {
        /// The bound.
        stubs_max: usize,
    },
}

impl SendError {
    /// True if the same message may be accepted later: a window or a queue was full.
    pub fn is_full(&self) -> bool {
        matches!(self, SendError::WindowFull { .. } | SendError::Refused(Refusal::Full { .. }))
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::WindowFull { bytes, bytes_max, messages } => write!(
                f,
                "window used up: {messages} messages of {bytes} bytes unacknowledged, {bytes_max} \
                 bytes allowed"
            ),
            SendError::NoWay => f.write_str("no direct way is open and no stub is at hand"),
            SendError::Refused(refusal) => refusal.fmt(f),
            SendError::TooManyStubs { stubs_max } => {
                write!(f, "more than {stubs_max} stubs for one peer")
            }
        }
    }
}

impl std::error::Error for SendError {}

/// Counts since the peer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Numbered messages accepted for sending.
    pub accepted: u64,
    /// Of them, acknowledged.
    pub delivered: u64,
    /// Of them, returned.
    pub returned: u64,
    /// Of them, in doubt.
    pub in_doubt: u64,
    /// Messages pushed to a sink again.
    pub resent: u64,
    /// Control objects that no sink took.
    pub control_refused: u64,
    /// Numbered messages given to a listener.
    pub taken: u64,
    /// Dropped on arrival: had already.
    pub duplicate: u64,
    /// Dropped on arrival: of an unknown stream.
    pub unknown: u64,
    /// Dropped on arrival: beyond the window that was stated.
    pub beyond: u64,
    /// Dropped on arrival: fenced by `base` while held back.
    pub fenced: u64,
    /// Taken off the hold-back though no listener was left to take it.
    pub unheard: u64,
}
