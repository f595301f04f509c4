//! What the writer and the readers of one table share, and how the writer gives memory up.
//!
//! It owns the current directory and through it all nodes. What is taken out goes through crossbeam-epoch:
//! freed when every guard that was pinned at that time is gone. It knows no prefixes and no entries.

use std::sync::{
    Arc,
    atomic::{AtomicPtr, AtomicUsize, Ordering},
};

use crossbeam_epoch::Guard;

use super::{
    directory::Directory,
    entries::EntryList,
    hash::PrefixHasher,
    node::{self, Node},
};
use crate::slab::Slab;

/// The shared part of a table. Every `guard` handed to it is one of the default collector.
pub(super) struct Table {
    /// Never null; a box that is given up by [`Table::replace_directory`] or on drop.
    directory: AtomicPtr<Directory>,
    pub(super) hasher: PrefixHasher,
    pub(super) lists: Slab<EntryList>,
    /// Bytes of nodes and directories taken out and not yet freed.
    retired_bytes: AtomicUsize,
}

impl Table {
    pub(super) fn new(lists: Slab<EntryList>) -> Arc<Table> {
        let directory = Box::into_raw(Box::new(Directory::for_nodes(0)));
        Arc::new(Table {
            directory: AtomicPtr::new(directory),
            hasher: PrefixHasher::new(),
            lists,
            retired_bytes: AtomicUsize::new(0),
        })
    }

    /// The current directory, and with it all nodes that it leads to, for as long as `guard` is held.
    pub(super) fn directory<'g>(&'g self, _guard: &'g Guard) -> &'g Directory {
        // SAFETY: it is never null, and a directory that was replaced stays until the guards that were
        // pinned before are gone; the last one stays as long as `self`.
        unsafe { &*self.directory.load(Ordering::Acquire) }
    }

    /// Bytes of nodes and directories taken out and not yet freed.
    pub(super) fn retired_bytes(&self) -> usize {
        self.retired_bytes.load(Ordering::Relaxed)
    }

    /// Makes `directory` the current one. Only the writer calls this, with all nodes of the old one in
    /// the new one.
    pub(super) fn replace_directory(self: &Arc<Self>, directory: Directory, guard: &Guard) {
        self.swap_directory(directory, guard, |_| {});
    }

    /// Makes the table empty, and frees everything once the readers are gone. Only the writer calls this.
    pub(super) fn clear(self: &Arc<Self>, guard: &Guard) {
        self.swap_directory(Directory::for_nodes(0), guard, |old| {
            // SAFETY: the nodes are in the old directory only, and this runs when no guard is left under
            // which it was the current one.
            unsafe { old.free_nodes() }
        });
    }

    /// Frees `node` once the readers are gone.
    ///
    /// # Safety
    /// The node was just taken out of the current directory, and this is done once. Only the writer may.
    pub(super) unsafe fn retire(self: &Arc<Self>, node: Node<'_>, guard: &Guard) {
        let (table, bytes, header) = (Arc::clone(self), node.bytes(), node.as_ptr());
        table.retired_bytes.fetch_add(bytes, Ordering::Relaxed);
        let reclaim = move || {
            // SAFETY: no current directory leads to it any more, and no guard is left from when one did.
            unsafe { node::free(header) };
            table.retired_bytes.fetch_sub(bytes, Ordering::Relaxed);
        };
        // SAFETY: a node is plain memory that any thread may free; the closure owns what else it names.
        unsafe { guard.defer_unchecked(reclaim) };
    }

    fn swap_directory(
        self: &Arc<Self>,
        directory: Directory,
        guard: &Guard,
        before_drop: impl FnOnce(&Directory),
    ) {
        let directory = Box::into_raw(Box::new(directory));
        let old = self.directory.swap(directory, Ordering::AcqRel);
        let table = Arc::clone(self);
        let reclaim = move || {
            // SAFETY: the swap gave this box to us alone, and no guard that saw it is left.
            let old = unsafe { Box::from_raw(old) };
            before_drop(&old);
            table.retired_bytes.fetch_sub(old.bytes(), Ordering::Relaxed);
        };
        // SAFETY: `old` is still allocated, for it is freed by the closure below at the earliest.
        let bytes = unsafe { (*old).bytes() };
        self.retired_bytes.fetch_add(bytes, Ordering::Relaxed);
        // SAFETY: a directory is memory that any thread may free, `before_drop` names nothing of its
        // own, and the closure owns what else it names.
        unsafe { guard.defer_unchecked(reclaim) };
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: nobody else has the table, so nobody has its directory; the writer, which emptied it
        // of nodes when it went, is gone.
        unsafe { drop(Box::from_raw(*self.directory.get_mut())) }
    }
}
