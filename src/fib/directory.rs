//! The hash directory: where the node of a prefix is found without walking down to it.
//!
//! It indexes the trie's nodes by the keyed hash of their whole prefix and replaces none of what they
//! know: a hit is taken only if the node has the right parent and the right segment. One line of 64 bytes
//! holds seven nodes and a control word with a tag for each and a count of the nodes that found the line
//! full and went to a later one.
//!
//! **A node never moves within a directory.** Every change is one atomic store to a control word that
//! always holds the tags and counts of all nodes that stay, so a reader cannot miss a node that was there
//! before and after. A directory does not grow: the table replaces it by a larger one.

use std::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

use super::node::{self, Header, Node};

/// Lines of seven nodes. A `&'g Directory` is given out for the life of an epoch guard only, within which
/// no node that it leads to is freed.
pub(super) struct Directory {
    lines: Box<[Line]>,
}

#[repr(C, align(64))]
struct Line {
    /// Bytes 0 to 6: the tags of the slots, 0 for an empty one. Byte 7: nodes that passed this line over,
    /// and from 255 on no longer counted.
    control: AtomicU64,
    slots: [AtomicPtr<Header>; SLOTS],
}

impl Directory {
    /// An empty directory with room for `nodes` and some more.
    pub(super) fn for_nodes(nodes: usize) -> Directory {
        Directory { lines: (0..nodes / NODES_A_LINE + 1).map(|_| Line::new()).collect() }
    }

    /// A copy of this one with room for `nodes` and some more. O(size of both).
    pub(super) fn resized(&self, nodes: usize) -> Directory {
        let copy = Directory::for_nodes(nodes);
        self.each(|node, tag| copy.put(node, tag));
        copy
    }

    /// True if `nodes` would crowd it: then lines overflow too often.
    pub(super) fn is_too_small_for(&self, nodes: usize) -> bool {
        nodes * 5 > self.lines.len() * SLOTS * 4
    }

    /// True if `nodes` would leave most of it empty.
    pub(super) fn is_too_large_for(&self, nodes: usize) -> bool {
        self.lines.len() > 1 && nodes * 5 < self.lines.len() * SLOTS
    }

    /// Bytes that it is allocated with.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }

    /// The node for `segment` under `parent`, the whole prefix having `hash`. Wait-free: one line
    /// nearly always, never more than there are.
    pub(super) fn find<'g>(
        &'g self,
        hash: u64,
        parent: Option<Node<'_>>,
        segment: &[u8],
    ) -> Option<Node<'g>> {
        let tag = tag_of(hash);
        let mut at = self.home(high(hash));
        for _ in 0..self.lines.len() {
            let line = &self.lines[at];
            let control = line.control.load(Ordering::Acquire);
            let mut hits = matching(control, tag);
            while hits != 0 {
                let node = line.node(slot_of(hits));
                if let Some(node) = node.filter(|node| node.is(parent, segment)) {
                    return Some(node);
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

    /// Puts a new node in. Only the writer calls this, with room made before.
    pub(super) fn insert(&self, hash: u64, node: Node<'_>) {
        self.put(node, tag_of(hash));
    }

    /// Takes a node out; it must be in. Only the writer calls this.
    pub(super) fn remove(&self, node: Node<'_>) {
        let home = self.home(node.hash());
        let mut at = home;
        let slot = loop {
            let slots = &self.lines[at].slots;
            if let Some(slot) =
                slots.iter().position(|slot| slot.load(Ordering::Relaxed) == node.as_ptr())
            {
                break slot;
            }
            at = self.after(at);
            assert_ne!(at, home, "a node that is removed is in the directory");
        };
        self.lines[at].clear(slot);
        self.pass(home, at, Line::unpass);
    }

    /// Asks for the line of `hash`.
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(&raw const self.lines[self.home(high(hash))]);
    }

    /// Asks for the node that `hash` leads to most likely, its line being here.
    pub(super) fn prefetch_node(&self, hash: u64) {
        let line = &self.lines[self.home(high(hash))];
        let hits = matching(line.control.load(Ordering::Relaxed), tag_of(hash));
        if hits != 0 {
            prefetch(line.slots[slot_of(hits)].load(Ordering::Relaxed).cast_const());
        }
    }

    /// Frees every node that is in it.
    ///
    /// # Safety
    /// No other directory leads to these nodes and nobody uses them or this directory any more.
    pub(super) unsafe fn free_nodes(&self) {
        // SAFETY: each node is in one slot, so it is freed once; the rest is the caller's promise.
        self.each(|node, _| unsafe { node::free(node.as_ptr()) });
    }

    fn each(&self, mut visit: impl FnMut(Node<'_>, u8)) {
        for line in &self.lines {
            let tags = line.control.load(Ordering::Relaxed).to_le_bytes();
            for (slot, tag) in tags.into_iter().enumerate().take(SLOTS) {
                if let Some(node) = line.node(slot) {
                    visit(node, tag);
                }
            }
        }
    }

    fn put(&self, node: Node<'_>, tag: u8) {
        let home = self.home(node.hash());
        let mut at = home;
        while !self.lines[at].fill(node, tag) {
            at = self.after(at);
            assert_ne!(at, home, "room is made before a node is put in");
        }
        self.pass(home, at, Line::pass);
    }

    /// Does `each` with the lines from `home` up to `at`, which a node passed over.
    fn pass(&self, home: usize, at: usize, each: fn(&Line)) {
        let mut passed = home;
        while passed != at {
            each(&self.lines[passed]);
            passed = self.after(passed);
        }
    }

    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.lines.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.lines.len() { 0 } else { at + 1 }
    }
}

impl Line {
    fn new() -> Line {
        let slots = [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS];
        Line { control: AtomicU64::new(0), slots }
    }

    fn node(&self, slot: usize) -> Option<Node<'_>> {
        // SAFETY: a slot holds null or a node that is freed only after it was taken out of here and
        // every guard of that time is gone, and `&self` lives within a guard.
        unsafe { Node::from_ptr(self.slots[slot].load(Ordering::Acquire)) }
    }

    /// Takes `node` in; false if it is full. The tag comes last: whoever sees it sees the node.
    fn fill(&self, node: Node<'_>, tag: u8) -> bool {
        let control = self.control.load(Ordering::Relaxed);
        let empty = matching(control, 0);
        if empty == 0 {
            return false;
        }
        let slot = slot_of(empty);
        self.slots[slot].store(node.as_ptr(), Ordering::Release);
        self.control.store(control | u64::from(tag) << (8 * slot), Ordering::Release);
        true
    }

    fn clear(&self, slot: usize) {
        self.slots[slot].store(ptr::null_mut(), Ordering::Release);
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

/// A set bit, the highest of its byte, for each slot with `tag`; the lowest is always right, one above
/// it may be wrong, which costs a comparison.
fn matching(control: u64, tag: u8) -> u64 {
    let differing = control ^ (u64::from(tag) * EACH_BYTE);
    differing.wrapping_sub(EACH_BYTE) & !differing & TOP_OF_SLOTS
}

fn slot_of(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

fn passed_over(control: u64) -> u64 {
    control >> 56
}

/// Never 0, which means an empty slot. Its bits have no part in where the line is.
fn tag_of(hash: u64) -> u8 {
    (hash as u8).max(1)
}

/// The half that says where the line is, and that the node keeps.
pub(super) fn high(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Asks for a line of memory, where the machine can be asked; a hint, so any address is fine.
fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Slots of a line: with the control word they make 64 bytes where pointers have eight.
const SLOTS: usize = 7;
/// Nodes a line in a fresh directory: 4/7, between the 1/5 and 4/5 at which it is replaced.
const NODES_A_LINE: usize = 4;
const PASSED_MAX: u64 = 255;
const ONE_PASSED: u64 = 1 << 56;
const EACH_BYTE: u64 = u64::from_le_bytes([1; 8]);
const TOP_OF_SLOTS: u64 = u64::from_le_bytes([128, 128, 128, 128, 128, 128, 128, 0]);

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that overflow, with nodes of one hash and a full wrap: everything is found, and after all
    /// is removed no count is left. Goal: the passing counts. Method: 21 nodes of one home in six lines.
    #[test]
    fn crowded_lines_pass_nodes_on() {
        let directory = Directory::for_nodes(20);
        assert_eq!(directory.lines.len(), 6);
        let hash = u64::MAX - 7;
        let names: Vec<[u8; 1]> = (0..21).map(|name| [name]).collect();
        let nodes: Vec<_> = names.iter().map(|name| Node::new(None, name, high(hash))).collect();
        for node in &nodes {
            directory.insert(hash, *node);
        }
        assert_eq!(passed_over(directory.lines[5].control.load(Ordering::Relaxed)), 14);
        for (at, node) in nodes.iter().enumerate() {
            assert!(
                directory
                    .find(hash, None, &names[at])
                    .is_some_and(|found| { ptr::eq(found.as_ptr(), node.as_ptr()) })
            );
            assert!(directory.find(hash, Some(*node), &names[at]).is_none(), "another parent");
        }
        for (at, node) in nodes.iter().enumerate() {
            directory.remove(*node);
            assert!(directory.find(hash, None, &names[at]).is_none());
            assert!(names[at + 1..].iter().all(|name| directory.find(hash, None, name).is_some()));
            // SAFETY: it was just taken out of the only directory it was in.
            unsafe { node::free(node.as_ptr()) };
        }
        assert!(directory.lines.iter().all(|line| line.control.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn tags_are_matched() {
        let control = u64::from_le_bytes([0, 5, 255, 1, 5, 128, 0, 5]);
        assert_eq!(matching(control, 5).count_ones(), 2);
        assert_eq!(slot_of(matching(control, 5)), 1);
        assert_eq!(slot_of(matching(control, 255)), 2);
        assert_eq!(slot_of(matching(control, 128)), 5);
        assert_eq!(slot_of(matching(control, 0)), 0);
        assert_eq!(matching(control, 77), 0);
    }
}
