//! What the writer and the readers of one table share.
//!
//! It owns neither the lines nor the chunks that it leads to: the writer does, and hands them to
//! crossbeam-epoch when it takes them out, at the latest when it goes. It knows no prefixes.

use std::sync::atomic::AtomicUsize;

use super::{arena::Arena, directory::Directory, hash::PrefixHasher};

/// The shared part of a table. Every guard used with it is one of the default collector.
pub(super) struct Table {
    pub(super) directory: Directory,
    pub(super) arena: Arena,
    pub(super) hasher: PrefixHasher,
    /// Prefixes without a path that carry entries. While there are none, which is the rule, a
    /// look-up begins at the first segment.
    pub(super) bare: AtomicUsize,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            directory: Directory::new(),
            arena: Arena::new(),
            hasher: PrefixHasher::new(),
            bare: AtomicUsize::new(0),
        }
    }
}
