//! One line of the directory, and a run of lines that one part of the hashes falls into.
//!
//! A line of 64 bytes holds seven slots and a control word with a tag for each and a count of the
//! nodes that found the line full and went to a later one.
//!
//! **A node never moves within its lines.** Every change is one atomic store, to a slot that no tag
//! or only its own leads to, or to a control word that always holds the tags and counts of all
//! nodes that stay; so a reader cannot miss a node that was there before and after. Lines do not
//! grow: they are replaced by more.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    arena::{Allocator, Arena, Record},
    hash::Hash,
    slot::Slot,
};

#[repr(C, align(64))]
pub(super) struct Line {
    /// Bytes 0 to 6: the tags of the slots, 0 for an empty one. Byte 7: nodes that passed this line
    /// over, and from 255 on no longer counted.
    control: AtomicU64,
    /// See [`Slot`]; what it holds without a tag means nothing.
    slots: [AtomicU64; SLOTS],
}

/// Lines that stay allocated for `'g`. Their number is `4 << n` to `7 << n`, told by a class that
/// goes into the low bits of their address.
#[derive(Clone, Copy)]
pub(super) struct Lines<'g> {
    /// Aligned to 64 bytes, the class in the bits below.
    tagged: *mut Line,
    lines: PhantomData<&'g Line>,
}

/// Lines that nobody has put anything into, for tables without a node.
static EMPTY: [Line; 4] = [const { Line::new() }; 4];

impl<'g> Lines<'g> {
    /// The shared empty lines. Nothing may be put into them.
    pub(super) fn empty() -> Lines<'static> {
        Lines { tagged: (&raw const EMPTY).cast_mut().cast(), lines: PhantomData }
    }

    pub(super) fn is_empty_ones(self) -> bool {
        self.tagged.cast_const() == (&raw const EMPTY).cast()
    }

    /// New lines of `class`, in a record of their own.
    ///
    /// # Safety
    /// The record is not freed within `'g`.
    pub(super) unsafe fn create(
        arena: &'g Arena,
        allocator: &mut Allocator,
        class: usize,
    ) -> (Lines<'g>, Record) {
        let bytes = Self::count_of(class) * size_of::<Line>();
        let record = allocator.allocate(arena, bytes);
        let at = arena.at(record);
        assert!(at.cast::<Line>().is_aligned(), "a record of whole lines begins with one");
        // SAFETY: the record was just allocated with so many bytes, and nobody else knows it.
        unsafe { at.write_bytes(0, bytes) };
        let tagged = at.cast::<Line>().map_addr(|at| at | class);
        (Lines { tagged, lines: PhantomData }, record)
    }

    /// To be given to [`Lines::from_tagged`].
    pub(super) fn tagged(self) -> *mut Line {
        self.tagged
    }

    /// # Safety
    /// `tagged` came from [`Lines::tagged`], and what it names is not freed within `'g`.
    #[inline]
    pub(super) unsafe fn from_tagged(tagged: *mut Line) -> Lines<'g> {
        Lines { tagged, lines: PhantomData }
    }

    #[inline]
    pub(super) fn class(self) -> usize {
        self.tagged.addr() % align_of::<Line>()
    }

    /// Lines of `class`.
    #[inline]
    pub(super) fn count_of(class: usize) -> usize {
        (4 + class % 4) << (class / 4)
    }

    /// The smallest class of so many lines at least.
    pub(super) fn class_for(lines: usize) -> usize {
        (0..CLASSES).find(|class| Self::count_of(*class) >= lines).unwrap_or(CLASSES - 1)
    }

    pub(super) fn count(self) -> usize {
        Self::count_of(self.class())
    }

    /// Where the line of `hash` is; an address, which says nothing about what stands there.
    #[inline]
    pub(super) fn address_of_home(self, hash: Hash) -> *const Line {
        self.first().wrapping_add(self.home(hash))
    }

    /// The line of `hash`.
    #[inline]
    pub(super) fn home_line(self, hash: Hash) -> &'g Line {
        // SAFETY: `home` is below the number of lines, and they stay allocated for `'g`; what
        // changes in one is atomic.
        unsafe { &*self.address_of_home(hash) }
    }

    /// The slot of `hash` whose node is `is_it`. Wait-free: one line nearly always, never more than
    /// there are.
    #[inline]
    pub(super) fn find(self, hash: Hash, is_it: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let (_, slot) = self.search(hash, is_it)?;
        Some(slot)
    }

    /// Puts a node in; there must be an empty slot. Only the writer calls this.
    pub(super) fn put(self, hash: Hash, slot: Slot) {
        let mut at = self.home(hash);
        while !self.line(at).fill(hash.tag(), slot) {
            self.line(at).pass();
            at = self.after(at);
        }
    }

    /// Takes `node` out, which must be in. Only the writer calls this.
    pub(super) fn take(self, hash: Hash, node: Record) {
        let ((at, slot), _) = self.place(hash, node);
        self.line(at).clear(slot);
        let mut passed = self.home(hash);
        while passed != at {
            self.line(passed).unpass();
            passed = self.after(passed);
        }
    }

    /// Changes the slot of `node`, which must be in. Only the writer calls this.
    pub(super) fn edit(self, hash: Hash, node: Record, edit: impl FnOnce(Slot) -> Slot) {
        let ((at, slot), old) = self.place(hash, node);
        self.line(at).slots[slot].store(edit(old).0, Ordering::Release);
    }

    /// Gives every tag and slot to `visit`, which is told ahead of time which nodes will come.
    pub(super) fn each(self, mut soon: impl FnMut(Record), mut visit: impl FnMut(u8, Slot)) {
        for at in 0..self.count() + AHEAD {
            if at < self.count() {
                self.line(at).each(|_, slot| soon(slot.node()));
            }
            if let Some(at) = at.checked_sub(AHEAD) {
                self.line(at).each(&mut visit);
            }
        }
    }

    /// What finding `node` costs: the lines looked at and the slots tried.
    #[cfg(test)]
    pub(super) fn probes(self, hash: Hash, node: Record) -> usize {
        let (mut tried, mut lines) = (0, 1);
        let found = self.search(hash, |slot| {
            tried += 1;
            slot.node() == node
        });
        let ((at, _), _) = found.expect("it is in");
        let mut line = self.home(hash);
        while line != at {
            line = self.after(line);
            lines += 1;
        }
        tried + lines
    }

    fn place(self, hash: Hash, node: Record) -> ((usize, usize), Slot) {
        let found = self.search(hash, |slot| slot.node() == node);
        found.expect("a node that is edited is in the directory")
    }

    #[inline]
    fn search(
        self,
        hash: Hash,
        mut is_it: impl FnMut(Slot) -> bool,
    ) -> Option<((usize, usize), Slot)> {
        let mut at = self.home(hash);
        for _ in 0..self.count() {
            let line = self.line(at);
            let control = line.control.load(Ordering::Acquire);
            let mut hits = matching(control, hash.tag());
            while hits != 0 {
                let slot = Slot(line.slots[slot_of(hits)].load(Ordering::Acquire));
                if is_it(slot) {
                    return Some(((at, slot_of(hits)), slot));
                }
                hits &= hits - 1;
            }
            if passed_over(control) == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    #[inline]
    fn first(self) -> *const Line {
        self.tagged.map_addr(|at| at & !(align_of::<Line>() - 1)).cast_const()
    }

    #[inline]
    fn line(self, at: usize) -> &'g Line {
        debug_assert!(at < self.count());
        // SAFETY: every `at` is made by `home` and `after`, or counted, below the number of lines,
        // and they stay allocated for `'g`; what changes in one is atomic.
        unsafe { &*self.first().add(at) }
    }

    #[inline]
    fn home(self, hash: Hash) -> usize {
        let place = u64::from(hash.0 & PLACE_MASK);
        ((place * Self::count_of(self.class()) as u64) >> PLACE_BITS) as usize
    }

    #[inline]
    fn after(self, at: usize) -> usize {
        if at + 1 == self.count() { 0 } else { at + 1 }
    }
}

/// What the home line of a hash says without further ado.
#[derive(Clone, Copy)]
pub(super) enum Guess {
    /// It is in this slot, if this is its node.
    Slot(Slot),
    /// It is nowhere.
    Nowhere,
    /// It may be in a later line.
    Elsewhere,
}

impl Line {
    const fn new() -> Line {
        Line { control: AtomicU64::new(0), slots: [const { AtomicU64::new(0) }; SLOTS] }
    }

    /// The most likely slot of `hash`, whose home this is.
    #[inline]
    pub(super) fn guess(&self, hash: Hash) -> Guess {
        let control = self.control.load(Ordering::Acquire);
        let hits = matching(control, hash.tag());
        if hits != 0 {
            return Guess::Slot(Slot(self.slots[slot_of(hits)].load(Ordering::Acquire)));
        }
        if passed_over(control) == 0 { Guess::Nowhere } else { Guess::Elsewhere }
    }

    fn each(&self, mut visit: impl FnMut(u8, Slot)) {
        let tags = self.control.load(Ordering::Relaxed).to_le_bytes();
        for (tag, slot) in tags.into_iter().zip(&self.slots).filter(|(tag, _)| *tag != 0) {
            visit(tag, Slot(slot.load(Ordering::Relaxed)));
        }
    }

    /// Takes `slot` in; false if it is full. The tag comes last: whoever sees it sees the slot.
    fn fill(&self, tag: u8, slot: Slot) -> bool {
        let control = self.control.load(Ordering::Relaxed);
        let empty = matching(control, 0);
        if empty == 0 {
            return false;
        }
        let at = slot_of(empty);
        self.slots[at].store(slot.0, Ordering::Release);
        self.control.store(control | u64::from(tag) << (8 * at), Ordering::Release);
        true
    }

    /// The slot keeps its node, which is no longer found: a reader that saw the tag may still come.
    fn clear(&self, slot: usize) {
        let control = self.control.load(Ordering::Relaxed);
        self.control.store(control & !(0xff << (8 * slot)), Ordering::Release);
    }

    fn pass(&self) {
        let control = self.control.load(Ordering::Relaxed);
        if passed_over(control) < PASSED_MAX {
            self.control.store(control + ONE_PASSED, Ordering::Release);
        }
    }

    fn unpass(&self) {
        let control = self.control.load(Ordering::Relaxed);
        if passed_over(control) < PASSED_MAX {
            self.control.store(control - ONE_PASSED, Ordering::Release);
        }
    }
}

/// A set bit, the highest of its byte, for each slot with `tag`, and for no other: an empty slot
/// may still name a node that is freed.
#[inline]
fn matching(control: u64, tag: u8) -> u64 {
    let differing = control ^ (u64::from(tag) * EACH_BYTE);
    !(((differing & BELOW_TOP) + BELOW_TOP) | differing) & TOP_OF_SLOTS
}

#[inline]
fn slot_of(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

#[inline]
fn passed_over(control: u64) -> u64 {
    control >> 56
}

/// Slots of a line: with the control word they make 64 bytes.
pub(super) const SLOTS: usize = 7;
/// What fits the bits of an address aligned to 64.
const CLASSES: usize = 64;
/// Bits of a hash that say which line; the others say which lines.
pub(super) const PLACE_BITS: u32 = 22;
const PLACE_MASK: u32 = (1 << PLACE_BITS) - 1;
/// Lines between being told of a node and its visit: enough for its record to come from memory.
const AHEAD: usize = 4;
const PASSED_MAX: u64 = 255;
const ONE_PASSED: u64 = 1 << 56;
const EACH_BYTE: u64 = u64::from_le_bytes([1; 8]);
const BELOW_TOP: u64 = u64::from_le_bytes([127; 8]);
const TOP_OF_SLOTS: u64 = u64::from_le_bytes([128, 128, 128, 128, 128, 128, 128, 0]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fib::slot::Word;

    /// Lines that overflow, with nodes of one hash and a full wrap: everything is found, and after
    /// all is taken out no count is left. Goal: the passing counts. Method: 21 nodes of one home,
    /// the last of four lines.
    #[test]
    fn crowded_lines_pass_nodes_on() {
        let (arena, mut allocator) = (Arena::new(), Allocator::new());
        // SAFETY: all records are freed at the end of the test.
        let (lines, _) = unsafe { Lines::create(&arena, &mut allocator, 0) };
        let hash = Hash(u32::MAX - 7);
        let slots: Vec<_> =
            (1..22).map(|node| Slot::new(Record(node), false, Word::NONE)).collect();
        for slot in &slots {
            lines.put(hash, *slot);
        }
        assert_eq!(passed_over(lines.line(3).control.load(Ordering::Relaxed)), 14);
        for slot in &slots {
            assert_eq!(lines.find(hash, |other| other == *slot), Some(*slot));
        }
        for (at, slot) in slots.iter().enumerate() {
            lines.edit(hash, slot.node(), |slot| slot.with_children(true));
            lines.take(hash, slot.node());
            assert_eq!(lines.find(hash, |other| other.node() == slot.node()), None);
            let later = &slots[at + 1..];
            assert!(later.iter().all(|slot| lines.find(hash, |other| other == *slot).is_some()));
        }
        assert!((0..4).all(|at| lines.line(at).control.load(Ordering::Relaxed) == 0));
        drop(allocator.take_all());
    }

    /// A tag is found in its slots, and in no slot beside one.
    #[test]
    fn tags_are_matched() {
        let control = u64::from_le_bytes([0, 5, 255, 1, 5, 128, 0, 5]);
        assert_eq!(matching(control, 5).count_ones(), 2);
        assert_eq!(slot_of(matching(control, 5)), 1);
        assert_eq!(slot_of(matching(control, 255)), 2);
        assert_eq!(slot_of(matching(control, 128)), 5);
        assert_eq!(slot_of(matching(control, 0)), 0);
        assert_eq!(matching(control, 77), 0);
        let beside = u64::from_le_bytes([1, 0, 1, 0, 0, 1, 0, 0]);
        assert_eq!(matching(beside, 1).count_ones(), 3);
    }

    /// Classes go up in steps of a quarter at most and fit the address they stand in.
    #[test]
    fn classes_grow_in_small_steps() {
        for class in 1..CLASSES {
            let (smaller, lines) = (Lines::count_of(class - 1), Lines::count_of(class));
            assert!(smaller < lines && lines <= smaller * 5 / 4);
            assert_eq!(Lines::class_for(smaller + 1), class);
        }
        assert!(CLASSES <= align_of::<Line>());
    }
}
