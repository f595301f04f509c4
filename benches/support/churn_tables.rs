//! The tables of the churn bench: ours, and the same prefixes shared in the two usual ways.
//!
//! * Behind a `RwLock`: hashbrown cut at each `/`, the quickest map that can be put there. Readers lock once
//!   for 32 look-ups and the writer once for a burst, which is the kindest to both; it shows edits up to a
//!   burst late.
//! * In an `ArcSwap`: a persistent hash trie (rpds), of which the writer changes a private copy that shares
//!   all but what changed, and stores a clone after each burst. A hash map cloned for each store is no rival
//!   at this rate: a clone of 200,000 keys takes many times the millisecond that a burst has.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyperty_router::{
    address::Address,
    fib::{Entry, Fib, FibWriter, Match},
    slab::Target,
};
use parking_lot::RwLock;

use crate::fib_rivals::{Hashbrown, cut};

/// An edit: the prefix is put in, or taken out.
#[derive(Clone, Copy)]
pub(crate) struct Edit<'a> {
    pub(crate) prefix: Address<'a>,
    pub(crate) target: Target,
    pub(crate) is_insert: bool,
}

/// What any thread reads.
pub(crate) trait Reader: Sync {
    /// Looks up some addresses that fit one batch; gives the sum of what was found.
    fn sum_of(&self, to: &[Address<'_>]) -> u64;
}

/// What one thread edits.
pub(crate) trait Writer: Send {
    const NAME: &'static str;
    type Reader: Reader;

    fn new() -> Self;
    fn reader(&self) -> Self::Reader;
    /// Makes a burst of edits, which all readers see when it returns.
    fn edit(&mut self, edits: &[Edit<'_>]);
    /// Bytes given up and not freed.
    fn retired_bytes(&self) -> usize {
        0
    }
}

impl Writer for FibWriter {
    const NAME: &'static str = "ours";
    type Reader = Fib;

    fn new() -> FibWriter {
        FibWriter::new()
    }

    fn reader(&self) -> Fib {
        FibWriter::reader(self)
    }

    fn edit(&mut self, edits: &[Edit<'_>]) {
        for Edit { prefix, target, is_insert } in edits {
            let entry = Entry::Route { target: *target };
            if *is_insert {
                self.insert(prefix, entry);
            } else {
                self.remove(prefix, entry);
            }
        }
        self.publish();
    }

    fn retired_bytes(&self) -> usize {
        FibWriter::retired_bytes(self)
    }
}

impl Reader for Fib {
    fn sum_of(&self, to: &[Address<'_>]) -> u64 {
        let mut found: [Match; hyperty_router::limits::FIB_BATCH_MAX] = Default::default();
        let found = &mut found[..to.len()];
        self.look_up_batch(to, found);
        found.iter().map(|found| value(found.route)).sum()
    }
}

pub(crate) type Locked = Arc<RwLock<Hashbrown>>;

impl Writer for Locked {
    const NAME: &'static str = "RwLock<hashbrown>";
    type Reader = Locked;

    fn new() -> Locked {
        Locked::default()
    }

    fn reader(&self) -> Locked {
        Arc::clone(self)
    }

    fn edit(&mut self, edits: &[Edit<'_>]) {
        let mut map = self.write();
        for Edit { prefix, target, is_insert } in edits {
            if *is_insert {
                map.insert(prefix.as_str().into(), *target);
            } else {
                map.remove(prefix.as_str());
            }
        }
    }
}

impl Reader for Locked {
    fn sum_of(&self, to: &[Address<'_>]) -> u64 {
        let map = self.read();
        let one = |to: &Address<'_>| value(cut(to.as_str(), |prefix| map.get(prefix).copied()));
        to.iter().map(one).sum()
    }
}

type Persistent = rpds::HashTrieMapSync<Box<str>, Target, ahash::RandomState>;

/// The writer's own version, and the one that readers see.
pub(crate) struct Swapped {
    own: Persistent,
    shared: Arc<ArcSwap<Persistent>>,
}

impl Writer for Swapped {
    const NAME: &'static str = "ArcSwap<rpds>";
    type Reader = Arc<ArcSwap<Persistent>>;

    fn new() -> Swapped {
        let own = Persistent::new_with_hasher_and_ptr_kind(ahash::RandomState::new());
        Swapped { shared: Arc::new(ArcSwap::from_pointee(own.clone())), own }
    }

    fn reader(&self) -> Self::Reader {
        Arc::clone(&self.shared)
    }

    fn edit(&mut self, edits: &[Edit<'_>]) {
        for Edit { prefix, target, is_insert } in edits {
            if *is_insert {
                self.own.insert_mut(prefix.as_str().into(), *target);
            } else {
                self.own.remove_mut(prefix.as_str());
            }
        }
        self.shared.store(Arc::new(self.own.clone()));
    }
}

impl Reader for Arc<ArcSwap<Persistent>> {
    fn sum_of(&self, to: &[Address<'_>]) -> u64 {
        let map = self.load();
        let one = |to: &Address<'_>| value(cut(to.as_str(), |prefix| map.get(prefix).copied()));
        to.iter().map(one).sum()
    }
}

fn value(target: Option<Target>) -> u64 {
    target.map_or(0, |target| u64::from(target.0) + 1)
}
