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
    /// Every sink that did not take its copy, also where others took theirs: a queue or window that is full
    /// or closed. Empty, and without memory, when all took it.
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

/// How messages went that were posted together. Those that were taken by one path, with nothing else to tell,
/// are counted; of all others there is the outcome.
#[derive(Clone, Debug, Default)]
pub struct PostedBatch {
    /// Messages that local listeners took.
    pub local: usize,
    /// Messages that took a direct connection.
    pub p2p: usize,
    /// Messages that took a Message Node.
    pub message_node: usize,
    /// The others by their places among all that were posted, in order: what was refused or in part refused,
    /// and what had several targets.
    pub others: Vec<(usize, Result<Posted, PostError>)>,
}

impl PostedBatch {
    /// How many were posted, whatever became of them.
    pub fn len(&self) -> usize {
        self.local + self.p2p + self.message_node + self.others.len()
    }

    /// True if none were posted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first error among all targets, with the place of its message.
    pub fn first_error(&self) -> Option<(usize, &PostError)> {
        self.others.iter().find_map(|(at, outcome)| match outcome {
            Ok(posted) => posted.first_error().map(|error| (*at, error)),
            Err(error) => Some((*at, error)),
        })
    }

    /// So many were taken by one path.
    pub(super) fn count(&mut self, path: Path, messages: usize) {
        *match path {
            Path::Local => &mut self.local,
            Path::P2p => &mut self.p2p,
            Path::MessageNode => &mut self.message_node,
        } += messages;
    }

    /// Takes in the outcome of the next one.
    pub fn add(&mut self, outcome: Result<Posted, PostError>) {
        if let Ok(Posted { targets, refused }) = &outcome
            && refused.is_empty()
            && let [Ok(sent)] = targets.as_slice()
        {
            return self.count(sent.path, 1);
        }
        self.others.push((self.len(), outcome));
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
