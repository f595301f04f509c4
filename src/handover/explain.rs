//! Which path messages take now, and why, in words. It decides nothing.

use std::fmt;

use crate::{address::Url, link::Path};

/// The answer to "which path, and why".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The path; `None` if there is none.
    pub path: Option<Path>,
    /// Why.
    pub reason: Reason,
    /// True if messages are numbered.
    pub numbered: bool,
}

/// Why a message takes the path it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A direct way is open.
    Direct {
        /// The URL of the stub it belongs to.
        via: Url,
    },
    /// No direct way is open.
    NoDirectWay,
    /// A direct way came back and has not stood for the dwell time yet.
    Dwell {
        /// Milliseconds left.
        milliseconds: u64,
    },
    /// No stream is agreed yet, so messages stay plain.
    NoStream,
    /// Plain messages may still be under way by this stub.
    Barrier {
        /// The stub.
        stub: Url,
    },
    /// Neither a direct way nor a stub is at hand.
    NoWay,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Direct { via } => write!(f, "the direct way by {via} is open"),
            Reason::NoDirectWay => f.write_str("no direct way is open"),
            Reason::Dwell { milliseconds } => {
                write!(f, "the direct way came back and is used in {milliseconds} ms")
            }
            Reason::NoStream => f.write_str("no stream is agreed with the remote runtime yet"),
            Reason::Barrier { stub } => {
                write!(f, "earlier messages may still be under way by {stub}")
            }
            Reason::NoWay => f.write_str("no direct way is open and no stub is at hand"),
        }
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.map_or("nowhere", Path::word);
        let kind = if self.numbered { "numbered" } else { "plain" };
        write!(f, "{path}, {kind}: {}", self.reason)
    }
}
