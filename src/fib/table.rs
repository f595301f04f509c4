//! What the writer and the readers of one table share.
//!
//! It owns neither the lines nor the chunks that it leads to: the writer does, and hands them to
//! crossbeam-epoch when it takes them out, at the latest when it goes. It knows no prefixes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{arena::Arena, directory::Directory, hash::PrefixHasher};
use crate::address::Address;

/// The shared part of a table. Every guard used with it is one of the default collector.
pub(super) struct Table {
    pub(super) directory: Directory,
    pub(super) arena: Arena,
    pub(super) hasher: PrefixHasher,
    /// For which lengths of the scheme, modulo 64, a prefix without a path carries entries: a bit
    /// each. In the running system only the stubs on `domain://<domain>` do, so that a look-up in
    /// another scheme begins at its first segment.
    bare: AtomicU64,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            directory: Directory::new(),
            arena: Arena::new(),
            hasher: PrefixHasher::new(),
            bare: AtomicU64::new(0),
        }
    }

    /// True if the bare prefix of `address` may carry entries.
    #[inline]
    pub(super) fn may_have_bare(&self, address: &Address<'_>) -> bool {
        self.bare.load(Ordering::Acquire) >> (address.scheme_len() % 64) & 1 != 0
    }

    /// Sets which bare prefixes may carry entries. Only the writer does: before the first gets one,
    /// and after the last has lost its own.
    pub(super) fn set_bare(&self, lengths: u64) {
        self.bare.store(lengths, Ordering::Release);
    }
}
