//! Why a posted message was refused, told to whoever posted it.

use std::fmt;

use crate::{
    address::AddressError,
    handover::SendError,
    link::Refusal,
    message::{ParseError, ParseErrorKind},
    registry::Unreachable,
};

/// Why a message, or one of the copies for its array `to`, was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostError {
    /// The bytes are no message.
    NotAMessage(ParseError),
    /// `from` or `to` is no URL address.
    Address {
        /// `from` or `to`.
        member: &'static str,
        /// What is wrong with it.
        error: AddressError,
    },
    /// `to` is an empty array.
    NoTarget,
    /// `to` names more URLs than one message may.
    TooManyTargets {
        /// URLs found.
        urls: usize,
        /// URLs allowed.
        urls_max: usize,
    },
    /// It carries `hop`, which only stubs write.
    HasHop,
    /// `body.via` names one of our own stubs.
    OwnVia,
    /// Nobody is behind the address.
    Unreachable(Unreachable),
    /// The sink did not take it.
    Refused(Refusal),
    /// The peer's window did not take it.
    Peer(SendError),
}

impl PostError {
    /// The code that a response would carry: 400, 404, 413 or 503.
    pub fn code(&self) -> u16 {
        match self {
            PostError::NotAMessage(ParseError { kind: ParseErrorKind::TooLong { .. }, .. }) => 413,
            PostError::NotAMessage(_)
            | PostError::Address { .. }
            | PostError::NoTarget
            | PostError::TooManyTargets { .. }
            | PostError::HasHop
            | PostError::OwnVia => 400,
            PostError::Unreachable(_) => 404,
            PostError::Refused(_) | PostError::Peer(_) => 503,
        }
    }

    /// True if the same message may be taken later: a queue or a window was full.
    pub fn is_full(&self) -> bool {
        matches!(self, PostError::Refused(Refusal::Full { .. }))
            || matches!(self, PostError::Peer(error) if error.is_full())
    }
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PostError::NotAMessage(error) => error.fmt(f),
            PostError::Address { member, error } => write!(f, "`{member}`: {error}"),
            PostError::NoTarget => f.write_str("`to` is an empty array"),
            PostError::TooManyTargets { urls, urls_max } => {
                write!(f, "`to` names {urls} URLs, at most {urls_max} are allowed")
            }
            PostError::HasHop => f.write_str("a posted message must not have `hop`"),
            PostError::OwnVia => f.write_str("`body.via` names one of our own stubs"),
            PostError::Unreachable(why) => f.write_str(why.reason()),
            PostError::Refused(refusal) => refusal.fmt(f),
            PostError::Peer(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PostError {}

impl From<ParseError> for PostError {
    fn from(error: ParseError) -> Self {
        PostError::NotAMessage(error)
    }
}
