//! The writing side: the trie's nodes made, edited and taken away again.
//!
//! A node stands for each prefix that carries an entry and for each prefix of such a one; it goes
//! when it has neither entries nor children. Every edit is seen by readers as soon as it is made,
//! parents before children and children gone before parents.

use std::{fmt, sync::Arc};

use smallvec::SmallVec;

use super::{
    Entry, Fib,
    arena::{Allocator, Record},
    entries,
    growth::{Context, Growth, writers_lines},
    hash::{Hash, Prefix},
    lists::Lists,
    node::Node,
    retire::Retired,
    segment_of,
    slot::{Slot, Word},
    table::Table,
};
use crate::{address::Address, limits::FIB_ARENA_BYTES_FOR_OTHERS};

/// The one writer of a table. Dropping it leaves its readers an empty one.
pub struct FibWriter {
    pub(super) table: Arc<Table>,
    allocator: Allocator,
    growth: Growth,
    retired: Retired,
    /// Prefixes with an entry.
    prefixes: usize,
    nodes: usize,
    bare: Bare,
}

/// Bare prefixes with an entry, by the length of their scheme modulo 64.
struct Bare([usize; 64]);

impl Bare {
    /// Counts one more (or one less), and gives the lengths that have any.
    fn count(&mut self, prefix: &Address<'_>, change: isize) -> u64 {
        let count = &mut self.0[prefix.scheme_len() % 64];
        *count = count.wrapping_add_signed(change);
        (0..64).filter(|length| self.0[*length] != 0).fold(0, |all, length| all | 1 << length)
    }
}

impl FibWriter {
    /// An empty table, with a random key of its own.
    ///
    /// # Panics
    /// If the operating system gives no random bytes.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        FibWriter {
            table: Arc::new(Table::new()),
            allocator: Allocator::new(),
            growth: Growth::new(),
            retired: Retired::new(),
            prefixes: 0,
            nodes: 0,
            bare: Bare([0; 64]),
        }
    }

    /// A handle that reads what this writer writes.
    pub fn reader(&self) -> Fib {
        Fib { table: Arc::clone(&self.table) }
    }

    /// Puts `entry` on `prefix`. A second `Route` on one prefix replaces the first, which is
    /// returned; an entry that is already there changes nothing.
    ///
    /// O(length of the prefix) amortised, never more than copying one part of the directory; with
    /// n entries on this very prefix besides O(n / 128), a copy of 1 KiB and 4 bytes for each block
    /// of them.
    ///
    /// # Panics
    /// If the table is full ([`FIB_ARENA_BYTES_MAX`](crate::limits::FIB_ARENA_BYTES_MAX)), which
    /// [`Self::has_room`] tells long before.
    pub fn insert(&mut self, prefix: &Address<'_>, entry: Entry) -> Option<Entry> {
        let way = way(&self.table, prefix);
        self.insert_by(prefix, &way, entry)
    }

    /// Takes `entry` off `prefix`; false if it was not there. Its memory comes back when no reader
    /// that is at it can be left, with the edits and publications after that.
    ///
    /// The cost is that of [`Self::insert`].
    pub fn remove(&mut self, prefix: &Address<'_>, entry: Entry) -> bool {
        let way = way(&self.table, prefix);
        let slots = slots(&self.table, prefix, &way);
        if slots.len() < way.len() {
            return false;
        }
        let (last, slot) = (way[way.len() - 1], slots[way.len() - 1]);
        let edit = |lists: &mut Lists<'_>| match entries::without(slot.word(), entry, lists) {
            Some(word) => (word, true),
            None => (slot.word(), false),
        };
        let (word, removed) = self.edit(last.hash, slot, edit);
        if removed && word == Word::NONE {
            self.prefixes -= 1;
            if prefix.is_bare() {
                self.table.set_bare(self.bare.count(prefix, -1));
            }
            if !slot.has_children() {
                self.prune(&way, &slots);
            }
        }
        self.step_if_due();
        removed
    }

    /// Makes all edits so far visible to readers, at the latest now, and hands on what they gave up
    /// for freeing.
    pub fn publish(&mut self) {
        self.step();
    }

    /// The entries that stand exactly on `prefix`, in the order of [`Entry`]. O(length of the
    /// prefix) and of what is found.
    pub fn entries(&self, prefix: &Address<'_>) -> SmallVec<[Entry; 4]> {
        let way = way(&self.table, prefix);
        let slots = slots(&self.table, prefix, &way);
        if slots.len() < way.len() {
            return SmallVec::new();
        }
        // SAFETY: the word was read by the writer, and `&self` keeps it from changing.
        unsafe { entries::all(slots[way.len() - 1].word(), &self.table.arena) }
    }

    /// Prefixes that carry at least one entry. O(1).
    pub fn len(&self) -> usize {
        self.prefixes
    }

    /// True if no prefix carries an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nodes of the trie: the prefixes with an entry and those that lead to one. 0 if the table is
    /// empty. O(1).
    pub fn node_count(&self) -> usize {
        self.nodes
    }

    /// Bytes that the table is allocated with: its fixed part, and the chunks that its directory,
    /// nodes and lists of entries stand in, room for more and what of it waits for readers included;
    /// not the chunks that wait when all of them go at once.
    /// O(1).
    pub fn memory_bytes(&self) -> usize {
        FIXED_BYTES + self.allocator.bytes()
    }

    /// True if addresses that others choose may still be put in, a request's worth of them: what they may
    /// fill ends well before the table does. A deep address takes many times its length. O(1).
    pub fn has_room(&self) -> bool {
        self.allocator.bytes() < FIB_ARENA_BYTES_FOR_OTHERS && self.allocator.has_numbers()
    }

    /// Bytes of nodes, lists and parts of the directory that were taken out and wait for readers
    /// that might still be at them. Goes to 0 as epochs move on and the writer publishes. O(1).
    pub fn retired_bytes(&self) -> usize {
        self.retired.bytes()
    }

    /// Makes an empty table's directory ready for `nodes` nodes.
    pub(super) fn reserve(&mut self, nodes: usize) {
        if self.growth.is_empty() {
            let FibWriter { table, allocator, growth, retired, .. } = self;
            growth.reserve(&mut context(table, allocator, retired), nodes);
        }
    }

    /// [`Self::insert`] with the hashed prefixes of `prefix` at hand.
    pub(super) fn insert_by(
        &mut self,
        prefix: &Address<'_>,
        way: &[Prefix],
        entry: Entry,
    ) -> Option<Entry> {
        let slots = slots(&self.table, prefix, way);
        let replaced = if slots.len() == way.len() {
            let (last, slot) = (way[way.len() - 1], slots[way.len() - 1]);
            if slot.word() == Word::NONE {
                self.count_prefix(prefix);
            }
            self.edit(last.hash, slot, |lists| entries::with(slot.word(), entry, lists)).1
        } else {
            self.count_prefix(prefix);
            self.grow_way(prefix, way, &slots, entry);
            None
        };
        self.step_if_due();
        replaced
    }

    fn count_prefix(&mut self, prefix: &Address<'_>) {
        self.prefixes += 1;
        if prefix.is_bare() {
            self.table.set_bare(self.bare.count(prefix, 1));
        }
    }

    /// Makes the nodes of `way` behind those in `slots`, the last one with `entry`.
    fn grow_way(&mut self, prefix: &Address<'_>, way: &[Prefix], slots: &[Slot], entry: Entry) {
        let mut parent = slots.last().map_or(Record::NONE, |slot| slot.node());
        for at in slots.len()..way.len() {
            let is_last = at + 1 == way.len();
            let word = if is_last { entries::one(entry) } else { Word::NONE };
            let start = if at == 0 { 0 } else { way[at - 1].end as usize };
            let segment = segment_of(prefix, start, way[at]);
            let node = self.create(way[at].hash, parent, segment, !is_last, word);
            if at > 0 && at == slots.len() {
                self.adopt(way[at - 1].hash, slots[at - 1]);
            }
            parent = node;
        }
    }

    fn create(
        &mut self,
        hash: Hash,
        parent: Record,
        segment: &[u8],
        has_children: bool,
        word: Word,
    ) -> Record {
        let FibWriter { table, allocator, growth, retired, .. } = self;
        let node = Node::create(&table.arena, allocator, parent, segment, hash);
        // SAFETY: it was just made.
        unsafe { Node::at(&table.arena, node) }.set_children(u32::from(has_children));
        growth.put(
            &mut context(table, allocator, retired),
            hash,
            Slot::new(node, has_children, word),
        );
        self.nodes += 1;
        node
    }

    /// Counts one child more of a node that was there before.
    fn adopt(&mut self, hash: Hash, slot: Slot) {
        // SAFETY: the slot was read in this very edit, so its node is there.
        let node = unsafe { Node::at(&self.table.arena, slot.node()) };
        node.set_children(node.children() + 1);
        if !slot.has_children() {
            let lines = writers_lines(&self.table.directory, hash);
            lines.edit(hash, slot.node(), |slot| slot.with_children(true));
        }
    }

    /// Replaces the word of `slot` by what `edit` makes of it, and gives up what that no longer
    /// needs.
    fn edit<T>(
        &mut self,
        hash: Hash,
        slot: Slot,
        edit: impl FnOnce(&mut Lists<'_>) -> (Word, T),
    ) -> (Word, T) {
        let FibWriter { table, allocator, retired, .. } = self;
        let mut replaced = SmallVec::new();
        let (word, told) =
            edit(&mut Lists { arena: &table.arena, allocator, replaced: &mut replaced });
        if word != slot.word() {
            let lines = writers_lines(&table.directory, hash);
            lines.edit(hash, slot.node(), |slot| slot.with_word(word));
        }
        for record in replaced {
            retired.add(record, allocator.bytes_of(record));
        }
        (word, told)
    }

    /// Takes away the last node of a way, which carries nothing and leads nowhere, and those above
    /// it that then don't either.
    fn prune(&mut self, way: &[Prefix], slots: &[Slot]) {
        for at in (0..way.len()).rev() {
            let FibWriter { table, allocator, growth, retired, .. } = self;
            let node = slots[at].node();
            growth.take(&mut context(table, allocator, retired), way[at].hash, node);
            retired.add(node, allocator.bytes_of(node));
            self.nodes -= 1;
            if at == 0 || !self.abandon(way[at - 1].hash, slots[at - 1]) {
                return;
            }
        }
    }

    /// Counts one child less of a node; true if that was the last one and it carries nothing.
    fn abandon(&mut self, hash: Hash, slot: Slot) -> bool {
        // SAFETY: the slot was read in this very edit, and its node was not taken out.
        let node = unsafe { Node::at(&self.table.arena, slot.node()) };
        node.set_children(node.children() - 1);
        if node.children() > 0 {
            return false;
        }
        if slot.word() == Word::NONE {
            return true;
        }
        let lines = writers_lines(&self.table.directory, hash);
        lines.edit(hash, slot.node(), |slot| slot.with_children(false));
        false
    }

    fn step_if_due(&mut self) {
        if self.retired.is_due() {
            self.step();
        }
    }

    /// Frees what readers have left, and hands on what they may still be at.
    fn step(&mut self) {
        let FibWriter { table, allocator, growth, retired, .. } = self;
        for record in retired.passed(|record| allocator.bytes_of(record)) {
            // SAFETY: it was retired once, when nothing led to it any more, and the guards of then
            // are gone.
            unsafe { allocator.free(&table.arena, record) };
        }
        if self.nodes == 0 && !growth.is_empty() && !retired.has_records() {
            growth.clear(&table.directory);
            // No node is left and none waits, so readers can be at the lines only, which lead nowhere.
            let bytes = allocator.bytes();
            retired.free_chunks(allocator.take_all(), bytes);
        }
        retired.hand_on();
    }
}

impl Drop for FibWriter {
    fn drop(&mut self) {
        let FibWriter { table, allocator, growth, retired, .. } = self;
        growth.clear(&table.directory);
        table.set_bare(0);
        let bytes = allocator.bytes();
        retired.free_chunks(allocator.take_all(), bytes);
        retired.hand_on();
    }
}

impl fmt::Debug for FibWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FibWriter")
            .field("prefixes", &self.prefixes)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

/// The hashed prefixes of an address, shortest first.
pub(super) type Way = SmallVec<[Prefix; 8]>;

pub(super) fn way(table: &Table, address: &Address<'_>) -> Way {
    let mut way = Way::new();
    table.hasher.prefixes(address, 0, |prefix| way.push(prefix));
    way
}

/// The slots of the nodes of a way, as far as there are any.
fn slots(table: &Table, address: &Address<'_>, way: &[Prefix]) -> SmallVec<[Slot; 8]> {
    let (mut slots, mut parent, mut start) = (SmallVec::new(), Record::NONE, 0);
    for prefix in way {
        let segment = segment_of(address, start, *prefix);
        let found = writers_lines(&table.directory, prefix.hash).find(prefix.hash, |slot| {
            // SAFETY: a node in the directory is not freed, and only the writer, who is here, takes
            // one out.
            unsafe { Node::at(&table.arena, slot.node()) }.is(parent, segment)
        });
        let Some(slot) = found else {
            break;
        };
        slots.push(slot);
        (parent, start) = (slot.node(), prefix.end as usize);
    }
    slots
}

fn context<'a>(
    table: &'a Table,
    allocator: &'a mut Allocator,
    retired: &'a mut Retired,
) -> Context<'a> {
    Context { directory: &table.directory, arena: &table.arena, allocator, retired }
}

/// The shared part.
const FIXED_BYTES: usize = size_of::<Table>();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Target;

    /// Siblings whose names are chosen cost no more to find than random ones.
    ///
    /// Goal: at most twice the probes, lines and slots together. Method: a million names (fewer
    /// unoptimised) each of four patterns that unkeyed hashes are weak against, and as many random
    /// ones, counted in the directory itself.
    #[test]
    fn chosen_siblings_cost_what_random_ones_do() {
        let count: u64 = match (cfg!(miri), cfg!(debug_assertions)) {
            (true, _) => 100,
            (_, true) => 25_000,
            _ => 1_000_000,
        };
        let random = probes(count, |number| {
            let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{:016x}{:016x}", mixed ^ mixed >> 29, mixed.wrapping_mul(mixed | 1))
        });
        let counted = probes(count, |number| number.to_string());
        let same_ends = probes(count, |number| format!("{:0>16}{number:08}{:0>16}", "", ""));
        let halves = probes(count, |number| format!("{number:08}{:08}", 99_999_999 - number));
        let letters = probes(count, |number| {
            (0..20).map(|bit| if number >> bit & 1 == 0 { 'a' } else { 'b' }).collect()
        });
        for chosen in [counted, same_ends, halves, letters] {
            assert!(chosen <= 2 * random, "{chosen} probes, {random} for random names");
        }
    }

    /// Probes for all of `count` siblings, each once.
    fn probes(count: u64, name: impl Fn(u64) -> String) -> usize {
        let mut writer = FibWriter::new();
        let text = |number| format!("s://d/{}", name(number));
        for number in 0..count {
            let prefix = text(number);
            let prefix = Address::parse(&prefix).expect("right");
            let entry = Entry::Route { target: Target(number as u32) };
            assert_eq!(writer.insert(&prefix, entry), None);
        }
        let probes = (0..count).map(|number| {
            let text = text(number);
            let prefix = Address::parse(&text).expect("right");
            let way = way(&writer.table, &prefix);
            let slots = slots(&writer.table, &prefix, &way);
            let (last, slot) = (way[1].hash, slots[1]);
            writers_lines(&writer.table.directory, last).probes(last, slot.node())
        });
        probes.sum()
    }
}
