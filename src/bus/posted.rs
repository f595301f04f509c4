//! How a posted message went, and what `resolve` says of an address. Nothing is decided here.

use smallvec::SmallVec;

use crate::{address::Url, bus::PostError, link::Path};

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
}

impl Posted {
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
