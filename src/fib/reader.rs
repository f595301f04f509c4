//! The reading side: wait-free look-ups, alone and in batches.
//!
//! A look-up begins at the first segment: one line of the directory, whose slot holds the entries.
//! That it is the right slot is made sure by the record of the node and of its parent, a branch
//! that the processor foresees, so that the next look-up need not wait for it. Only if the node has
//! children is the rest of the address even hashed. It takes no lock, retries nothing and allocates
//! nothing.

use std::{fmt, mem::MaybeUninit, slice, sync::Arc};

use crossbeam_epoch::{self as epoch, Guard};
use smallvec::SmallVec;

use super::{
    Match,
    arena::Record,
    entries::{self, Usual},
    hash::{Hash, PREFIXES_MAX, Prefix},
    line::{Guess, Line},
    node::Node,
    segment_of,
    slot::{Slot, Word},
    table::Table,
};
use crate::{
    address::Address,
    limits::{FIB_BATCH_MAX, FIB_PREFIXES_IN_FLIGHT_MAX},
    memory::prefetch,
};

/// A reading handle: cheap to clone, `Send + Sync`, never blocks and is never blocked.
#[derive(Clone)]
pub struct Fib {
    pub(super) table: Arc<Table>,
}

impl Fib {
    /// Looks `to` up, writing into `found` (cleared first).
    ///
    /// Wait-free, O(length of `to`) and of what is found. An entry that is there before and after
    /// is found whatever the writer does meanwhile. To use a [`Target`](crate::slab::Target) with
    /// its slab, pin one guard around both; under a guard that the caller holds over a run of
    /// look-ups each of them is cheaper, for pinning is a full fence.
    pub fn look_up(&self, to: &Address<'_>, found: &mut Match) {
        // The line is asked for before the fence of the pin, so that the two waits are one.
        let first = self.table.hasher.first(to);
        if let Some(first) = first {
            self.table.directory.prefetch(first.hash);
        }
        self.look_up_first(to, first, found, &epoch::pin());
    }

    /// The same under a guard of the caller's, under which what was found may be followed.
    ///
    /// # Panics
    /// If `guard` belongs to another collector than crossbeam-epoch's default one: it would protect nothing.
    #[inline]
    pub fn look_up_under(&self, to: &Address<'_>, found: &mut Match, guard: &Guard) {
        let is_default = guard.collector().is_none_or(|its| its == epoch::default_collector());
        assert!(is_default, "the guard of a foreign collector does not protect a table");
        self.look_up_first(to, self.table.hasher.first(to), found, guard);
    }

    #[inline]
    fn look_up_first(
        &self,
        to: &Address<'_>,
        first: Option<Prefix>,
        found: &mut Match,
        guard: &Guard,
    ) {
        let reading = Reading { table: &self.table, guard };
        let Some(first) = first else {
            reading.begin(to, found);
            return;
        };
        let line = reading.table.directory.lines(first.hash, guard).home_line(first.hash);
        if let Some(node) = reading.first_node(to, first, line.guess(first.hash), found) {
            let mut journeys = [Journey { number: 0, end: first.end, node, until: 0 }];
            let found = slice::from_mut(found);
            reading.go_on(&mut journeys, slice::from_ref(to), found);
        }
    }

    /// Looks addresses up, each into its own of `found`, with their memory accesses overlapped, up
    /// to [`FIB_BATCH_MAX`] at a time. The results are those of [`Fib::look_up`].
    ///
    /// # Panics
    /// If `to` and `found` differ in length.
    pub fn look_up_batch(&self, to: &[Address<'_>], found: &mut [Match]) {
        assert_eq!(to.len(), found.len(), "each address needs a place for what is found");
        let guard = epoch::pin();
        let reading = Reading { table: &self.table, guard: &guard };
        for (to, found) in to.chunks(FIB_BATCH_MAX).zip(found.chunks_mut(FIB_BATCH_MAX)) {
            reading.batch(to, found);
        }
    }
}

impl fmt::Debug for Fib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fib").finish_non_exhaustive()
    }
}

/// A table under a guard.
#[derive(Clone, Copy)]
struct Reading<'g> {
    table: &'g Table,
    guard: &'g Guard,
}

/// The first segment of one address of a batch, on its way.
struct Probe<'g> {
    /// `None` for an address without a path.
    at: Option<(Prefix, &'g Line)>,
    guess: Guess,
}

/// An address that goes on below its first segment, or what is known of it.
struct Journey {
    /// Its place in the batch.
    number: usize,
    /// Where its first segment ends.
    end: u16,
    /// That segment's node.
    node: Record,
    /// Where its further prefixes end among those of the batch.
    until: usize,
}

impl<'g> Reading<'g> {
    /// At most [`FIB_BATCH_MAX`] addresses: first all lines are asked for, then all records, and
    /// only then is anything decided.
    fn batch(self, to: &[Address<'_>], found: &mut [Match]) {
        let mut probes = [const { MaybeUninit::<Probe<'g>>::uninit() }; FIB_BATCH_MAX];
        for (to, probe) in to.iter().zip(&mut probes) {
            probe.write(self.probe(to));
        }
        // SAFETY: the loop above wrote one for each address, of which there are no more than
        // places.
        let probes = unsafe { probes[..to.len()].assume_init_mut() };
        for probe in &mut *probes {
            self.guess(probe);
        }
        let mut journeys = SmallVec::<[Journey; FIB_BATCH_MAX]>::new();
        for (number, ((to, found), probe)) in to.iter().zip(&mut *found).zip(probes).enumerate() {
            let Some((first, _)) = probe.at else {
                self.begin(to, found);
                continue;
            };
            if let Some(node) = self.first_node(to, first, probe.guess, found) {
                journeys.push(Journey { number, end: first.end, node, until: 0 });
            }
        }
        if !journeys.is_empty() {
            self.go_on(&mut journeys, to, found);
        }
    }

    #[inline]
    fn probe(self, to: &Address<'_>) -> Probe<'g> {
        let at = self.table.hasher.first(to).map(|first| {
            let line = self.table.directory.lines(first.hash, self.guard).home_line(first.hash);
            prefetch(line);
            (first, line)
        });
        Probe { at, guess: Guess::Nowhere }
    }

    /// Asks for the record of the node that the line shows.
    #[inline]
    fn guess(self, probe: &mut Probe<'g>) {
        if let Some((first, line)) = probe.at {
            probe.guess = line.guess(first.hash);
            if let Guess::Slot(slot) = probe.guess {
                let record = self.table.arena.at(slot.node()).cast_const();
                prefetch(record);
                prefetch(record.wrapping_add(RECORD_BYTES_USUAL - 1));
            }
        }
    }

    /// Clears `found` and takes in what stands on `scheme://domain`.
    #[inline(always)]
    fn begin(self, to: &Address<'_>, found: &mut Match) {
        found.clear();
        if self.table.may_have_bare(to) {
            self.take_bare(to, found);
        }
    }

    #[inline(never)]
    fn take_bare(self, to: &Address<'_>, found: &mut Match) {
        let base = to.base().as_bytes();
        let hash = self.table.hasher.hash(base);
        let slot = self.find(hash, Record::NONE, base);
        self.take(slot.map_or(Word::NONE, Slot::word), base.len(), to, found);
    }

    /// Takes in what stands on the prefix `first`, which ends with the first segment, and above.
    /// Returns its node if there may be more below.
    #[inline(always)]
    fn first_node(
        self,
        to: &Address<'_>,
        first: Prefix,
        guess: Guess,
        found: &mut Match,
    ) -> Option<Record> {
        self.begin(to, found);
        let slot = match guess {
            Guess::Nowhere => return None,
            Guess::Slot(slot) => {
                // The entries first and the check behind them: what waits for the record's memory
                // keeps as little as possible from being begun meanwhile.
                self.take(slot.word(), first.end as usize, to, found);
                if !self.is_first(slot, to, first) {
                    return self.first_node_elsewhere(to, first, found);
                }
                slot
            }
            Guess::Elsewhere => return self.first_node_elsewhere(to, first, found),
        };
        Self::node_if_more(slot, first, to)
    }

    /// As [`Self::first_node`], from the start, where the first guess was wrong.
    #[cold]
    #[inline(never)]
    fn first_node_elsewhere(
        self,
        to: &Address<'_>,
        first: Prefix,
        found: &mut Match,
    ) -> Option<Record> {
        self.begin(to, found);
        let lines = self.table.directory.lines(first.hash, self.guard);
        let slot = lines.find(first.hash, |slot| self.is_first(slot, to, first))?;
        self.take(slot.word(), first.end as usize, to, found);
        Self::node_if_more(slot, first, to)
    }

    #[inline]
    fn node_if_more(slot: Slot, first: Prefix, to: &Address<'_>) -> Option<Record> {
        let more = slot.has_children() && (first.end as usize) < to.as_str().len();
        more.then(|| slot.node())
    }

    /// True if the slot's node is that of the first segment of `to`.
    #[inline(always)]
    fn is_first(self, slot: Slot, to: &Address<'_>, first: Prefix) -> bool {
        let base = to.authority_end();
        let text = to.as_str().as_bytes();
        let node = self.node(slot);
        // A node whose name has no slash is no `scheme://domain`, so it has a parent; and a node
        // whose name has some is one, so it has none.
        node.is_named(&text[base + 1..first.end as usize])
            && self.parent(node).is_named(&text[..base])
    }

    /// Goes on below first segments: again all lines first, then all records, then the descents.
    #[inline(never)]
    fn go_on(self, journeys: &mut [Journey], to: &[Address<'_>], found: &mut [Match]) {
        let mut prefixes = SmallVec::<[Prefix; FIB_PREFIXES_IN_FLIGHT_MAX]>::new();
        let mut journeys = journeys;
        while !journeys.is_empty() {
            prefixes.clear();
            let mut count = 0;
            while let Some(journey) = journeys.get_mut(count)
                && prefixes.len() + PREFIXES_MAX <= FIB_PREFIXES_IN_FLIGHT_MAX
            {
                self.hash(journey, &to[journey.number], &mut prefixes);
                count += 1;
            }
            let (now, later) = journeys.split_at_mut(count);
            prefixes.iter().for_each(|prefix| self.prefetch_node(prefix.hash));
            let mut from = 0;
            for journey in now {
                let way = &prefixes[from..journey.until];
                self.descend(journey, way, &to[journey.number], &mut found[journey.number]);
                from = journey.until;
            }
            journeys = later;
        }
    }

    /// Hashes the further prefixes of `to` and asks for their lines.
    fn hash(
        self,
        journey: &mut Journey,
        to: &Address<'_>,
        prefixes: &mut SmallVec<[Prefix; FIB_PREFIXES_IN_FLIGHT_MAX]>,
    ) {
        self.table.hasher.prefixes(to, journey.end as usize, |prefix| {
            self.table.directory.prefetch(prefix.hash);
            prefixes.push(prefix);
        });
        journey.until = prefixes.len();
    }

    fn prefetch_node(self, hash: Hash) {
        let lines = self.table.directory.lines(hash, self.guard);
        if let Guess::Slot(slot) = lines.home_line(hash).guess(hash) {
            prefetch(self.table.arena.at(slot.node()).cast_const());
        }
    }

    fn descend(self, journey: &Journey, prefixes: &[Prefix], to: &Address<'_>, found: &mut Match) {
        let (mut parent, mut start) = (journey.node, journey.end as usize);
        for prefix in prefixes {
            let segment = segment_of(to, start, *prefix);
            let Some(slot) = self.find(prefix.hash, parent, segment) else {
                return;
            };
            (parent, start) = (slot.node(), prefix.end as usize);
            self.take(slot.word(), start, to, found);
            if !slot.has_children() {
                return;
            }
        }
    }

    fn find(self, hash: Hash, parent: Record, segment: &[u8]) -> Option<Slot> {
        let lines = self.table.directory.lines(hash, self.guard);
        lines.find(hash, |slot| self.node(slot).is(parent, segment))
    }

    #[inline]
    fn node(self, slot: Slot) -> Node<'g> {
        // SAFETY: the slot was read under the guard from lines that were current under it, and a
        // node is freed when the guards from before it was taken out of those are gone.
        unsafe { Node::at(&self.table.arena, slot.node()) }
    }

    /// The parent of a node that has one.
    #[inline]
    fn parent(self, node: Node<'g>) -> Node<'g> {
        // SAFETY: a node is taken out after its children, so it is there as long as they are.
        unsafe { Node::at(&self.table.arena, node.parent()) }
    }

    /// Takes in the entries of the prefix of `length` bytes.
    #[inline(always)]
    fn take(self, word: Word, length: usize, to: &Address<'_>, found: &mut Match) {
        match entries::usual(word) {
            Usual::Route(target) => (found.route, found.route_len) = (Some(target), length as u16),
            Usual::Listener(target) => found.take_listener(target, length as u16),
            Usual::Other if word == Word::NONE => {}
            Usual::Other => self.take_others(word, length, to, found),
        }
    }

    /// The same for what is neither one route nor one listener.
    #[inline(never)]
    fn take_others(self, word: Word, length: usize, to: &Address<'_>, found: &mut Match) {
        let is_whole = length == to.as_str().len();
        let take = |entry| found.take(entry, length as u16, is_whole);
        // SAFETY: the word was read under the guard.
        unsafe { entries::for_each(word, &self.table.arena, take) };
    }
}

/// Bytes of a record with a usual name; they may stand on two lines.
const RECORD_BYTES_USUAL: usize = 48;
