//! The reading side: wait-free look-ups, alone and in batches.
//!
//! A look-up hashes every prefix of the address, asks for all lines of the directory at once, then for all
//! nodes, and only then descends, from parent to child as far as there are nodes. It takes no lock, retries
//! nothing and allocates nothing.

use std::{fmt, sync::Arc};

use crossbeam_epoch::{self as epoch, Guard};
use smallvec::SmallVec;

use super::{
    Entry, Match,
    directory::Directory,
    entries,
    hash::{PREFIXES_MAX, Prefix},
    segment_of,
    table::Table,
};
use crate::{
    address::Address,
    limits::{FIB_BATCH_MAX, FIB_PREFIXES_IN_FLIGHT_MAX},
    slab::Target,
};

/// A reading handle: cheap to clone, `Send + Sync`, never blocks and is never blocked.
#[derive(Clone)]
pub struct Fib {
    pub(super) table: Arc<Table>,
}

impl Fib {
    /// Looks `to` up, writing into `found` (cleared first).
    ///
    /// Wait-free, O(length of `to`) and of what is found. An entry that is there before and after is found
    /// whatever the writer does meanwhile. To use a [`Target`] with its slab, pin one guard around both.
    pub fn look_up(&self, to: &Address<'_>, found: &mut Match) {
        let guard = epoch::pin();
        let directory = self.table.directory(&guard);
        let mut group = Group::new();
        group.add(&self.table, directory, to);
        group.look_up(&self.table, directory, &guard, &[*to], std::slice::from_mut(found));
    }

    /// Looks addresses up, each into its own of `found`, with their memory accesses overlapped, up to
    /// [`FIB_BATCH_MAX`] at a time. The results are those of [`Fib::look_up`], all of one directory.
    ///
    /// # Panics
    /// If `to` and `found` differ in length.
    pub fn look_up_batch(&self, to: &[Address<'_>], found: &mut [Match]) {
        assert_eq!(to.len(), found.len(), "each address needs a place for what is found");
        let guard = epoch::pin();
        let directory = self.table.directory(&guard);
        let (mut to, mut found) = (to, found);
        while !to.is_empty() {
            let mut group = Group::new();
            let count = to.iter().take_while(|to| group.add(&self.table, directory, to)).count();
            let (now, later) = to.split_at(count);
            let (now_found, later_found) = found.split_at_mut(count);
            group.look_up(&self.table, directory, &guard, now, now_found);
            (to, found) = (later, later_found);
        }
    }
}

impl fmt::Debug for Fib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fib").finish_non_exhaustive()
    }
}

/// The hashed prefixes of the addresses that are looked up together.
struct Group {
    prefixes: SmallVec<[Prefix; FIB_PREFIXES_IN_FLIGHT_MAX]>,
    /// Where each address' prefixes end.
    ends: SmallVec<[u16; FIB_BATCH_MAX]>,
}

impl Group {
    fn new() -> Group {
        Group { prefixes: SmallVec::new(), ends: SmallVec::new() }
    }

    /// Hashes `to` and asks for its lines; false if the group is full without it. One always fits.
    fn add(&mut self, table: &Table, directory: &Directory, to: &Address<'_>) -> bool {
        let room = FIB_PREFIXES_IN_FLIGHT_MAX - self.prefixes.len();
        if self.ends.len() == FIB_BATCH_MAX || room < PREFIXES_MAX {
            return false;
        }
        table.hasher.prefixes(to, |prefix| {
            directory.prefetch(prefix.hash);
            self.prefixes.push(prefix);
        });
        self.ends.push(self.prefixes.len() as u16);
        true
    }

    fn look_up(
        &self,
        table: &Table,
        directory: &Directory,
        guard: &Guard,
        to: &[Address<'_>],
        found: &mut [Match],
    ) {
        for prefix in &self.prefixes {
            directory.prefetch_node(prefix.hash);
        }
        let mut first = 0;
        for ((to, found), end) in to.iter().zip(found).zip(&self.ends) {
            let prefixes = &self.prefixes[first..*end as usize];
            descend(table, directory, guard, to, prefixes, found);
            first = *end as usize;
        }
    }
}

fn descend(
    table: &Table,
    directory: &Directory,
    guard: &Guard,
    to: &Address<'_>,
    prefixes: &[Prefix],
    found: &mut Match,
) {
    found.clear();
    let (mut parent, mut start) = (None, 0);
    for prefix in prefixes {
        let segment = segment_of(to, start, *prefix);
        let Some(node) = directory.find(prefix.hash, parent, segment) else {
            return;
        };
        start = prefix.end as usize;
        let is_whole = start == to.as_str().len();
        let take = |entry| found.take(entry, prefix.end, is_whole);
        entries::for_each(node.entries(), &table.lists, guard, take);
        parent = Some(node);
    }
}

impl Match {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.listeners.clear();
        self.subscriptions.clear();
        (self.listener_len, self.subscription_len, self.route_len) = (0, 0, 0);
        self.route = None;
        self.publish = false;
    }

    /// Takes in an entry on the prefix of `length` bytes, which no earlier one was longer than; the
    /// entries of one prefix come in order. `is_whole`: this prefix is all of the address.
    fn take(&mut self, entry: Entry, length: u16, is_whole: bool) {
        match entry {
            Entry::Listener { exact: true, .. } | Entry::Subscription { exact: true, .. }
                if !is_whole => {}
            Entry::Listener { target, .. } => {
                if self.listener_len != length {
                    self.listeners.clear();
                    self.listener_len = length;
                }
                push_once(&mut self.listeners, 0, target);
            }
            Entry::Subscription { target, .. } => {
                let is_first = self.subscription_len != length;
                let from = if is_first { self.subscriptions.len() } else { 0 };
                self.subscription_len = length;
                push_once(&mut self.subscriptions, from, target);
            }
            Entry::Publish => self.publish = true,
            Entry::Route { target } => (self.route, self.route_len) = (Some(target), length),
        }
    }
}

/// Pushes `target` unless it is the last one and stands at `from` or behind: it stands on this prefix
/// twice then, as exact and as not.
fn push_once(targets: &mut SmallVec<[Target; 4]>, from: usize, target: Target) {
    if targets[from..].last() != Some(&target) {
        targets.push(target);
    }
}
