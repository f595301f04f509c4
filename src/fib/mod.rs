//! The forwarding information base. Skeleton; see the doc of each item.

use smallvec::SmallVec;

use crate::{address::Address, slab::Target};

/// The kinds of entry that one prefix can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// A local listener: a route whose `to` lives here. Several may stand on one prefix.
    Listener {
        /// Who listens.
        target: Target,
        /// Only this very address; passed over below it.
        exact: bool,
    },
    /// Asks for copies, whatever else matches.
    Subscription {
        /// Who gets the copies.
        target: Target,
        /// Only this very address.
        exact: bool,
    },
    /// What is sent here or below goes to the local listeners *and* onward.
    Publish,
    /// Where the addresses from here on live: a session, a remote runtime, a MN stub. One a prefix.
    Route {
        /// Who takes them.
        target: Target,
    },
}

/// What one look-up found. Reused from look-up to look-up; the inline capacity makes it allocation-free
/// for up to four listeners and four subscriptions.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Match {
    /// The listeners of the longest prefix that has one for this address.
    pub listeners: SmallVec<[Target; 4]>,
    /// That prefix's length in bytes (0: none).
    pub listener_len: u16,
    /// Every subscription that covers the address, shortest prefix first; a target more than once if it is
    /// subscribed on several prefixes.
    pub subscriptions: SmallVec<[Target; 4]>,
    /// Length in bytes of the longest prefix with such a subscription (0: none).
    pub subscription_len: u16,
    /// The route of the longest prefix that has one.
    pub route: Option<Target>,
    /// That prefix's length in bytes (0: none).
    pub route_len: u16,
    /// Some covering prefix is marked for publishing.
    pub publish: bool,
}

/// The one writer of a table.
#[derive(Debug)]
pub struct FibWriter {}

/// A reading handle: cheap to clone, `Send + Sync`, never blocks and is never blocked.
#[derive(Clone, Debug)]
pub struct Fib {}

impl FibWriter {
    /// An empty table.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        todo!()
    }
    /// A handle that reads what this writer writes.
    pub fn reader(&self) -> Fib {
        todo!()
    }
    /// Puts `entry` on `prefix`. A second `Route` on one prefix replaces the first, which is returned; an entry that
    /// is already there changes nothing.
    pub fn insert(&mut self, prefix: &Address<'_>, entry: Entry) -> Option<Entry> {
        let _ = (prefix, entry);
        todo!()
    }
    /// Takes `entry` off `prefix`; false if it was not there.
    pub fn remove(&mut self, prefix: &Address<'_>, entry: Entry) -> bool {
        let _ = (prefix, entry);
        todo!()
    }
    /// Makes all edits so far visible to readers, at the latest now.
    pub fn publish(&mut self) {
        todo!()
    }
    /// The entries that stand exactly on `prefix`.
    pub fn entries(&self, prefix: &Address<'_>) -> SmallVec<[Entry; 4]> {
        let _ = prefix;
        todo!()
    }
    /// Prefixes that carry at least one entry.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// True if no prefix carries an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Fib {
    /// Looks `to` up, writing into `found` (cleared first).
    pub fn look_up(&self, to: &Address<'_>, found: &mut Match) {
        let _ = (to, found);
        todo!()
    }
    /// Looks up to 32 addresses up, with their memory accesses overlapped.
    pub fn look_up_batch(&self, to: &[Address<'_>], found: &mut [Match]) {
        let _ = (to, found);
        todo!()
    }
}
