//! How a posted message went, and what `resolve` says of an address. Nothing is decided here.

use smallvec::{SmallVec, smallvec};

use crate::{
    address::Url,
    bus::PostError,
    link::{Path, Refusal},
};

/// How one copy went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The way it took.
    pub path: Path,
    /// Local receivers that took it.
    pub receivers: usize,
}

/// How a posted message went: one outcome for each URL of `to`.
#[derive(Clone, Debug)]
pub struct Posted {
    /// In the order of `to`.
    pub targets: SmallVec<[Result<Sent, PostError>; 1]>,
    /// Every sink that did not take its copy, also where others took theirs: a queue or window that is full or
    /// closed. Empty, and without memory, when all took it.
    pub refused: Vec<Refused>,
}

/// A sink that did not take its copy of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// For which of the [`Posted::targets`].
    pub target: usize,
    /// Who it is: the URL that the listener listens on, the stub's, or that of the remote runtime.
    pub by: Url,
    /// Why.
    pub error: PostError,
}

impl Posted {
    /// One target, taken by so many local receivers.
    pub(super) fn here(receivers: usize) -> Posted {
        let sent = Sent { path: Path::Local, receivers };
        Posted { targets: smallvec![Ok(sent)], refused: Vec::new() }
    }

    /// One target, and the one listener on `by` refused it.
    pub(super) fn refused_by(by: &Url, why: Refusal) -> Posted {
        let error = PostError::Refused(why);
        let refused = Refused { target: 0, by: by.clone(), error: error.clone() };
        Posted { targets: smallvec![Err(error)], refused: vec![refused] }
    }

    /// The first error among the targets.
    pub fn first_error(&self) -> Option<&PostError> {
        self.targets.iter().find_map(|target| target.as_ref().err())
    }
}

/// What `resolve` says of one target, for people and tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    /// The address.
    pub to: String,
    /// `local`, `p2p`, `message-node` or `unreachable`.
    pub decision: &'static str,
    /// The p2p-connectionUrl or stub that a message takes.
    pub via: Option<Url>,
    /// The URLs of the listeners that get it.
    pub listeners: Vec<Url>,
}
