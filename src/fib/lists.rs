//! Sorted lists of numbers, never changed once readers see them; an edit makes a new one that
//! shares what stayed.
//!
//! A short list is one block. A long one is a *spine* of blocks, of which an edit copies one block
//! and the spine, 1 KiB and four bytes for each block, so that a prefix with 100,000 subscribers
//! takes another as cheaply as it can without moving the ones that readers are at. What the numbers
//! mean is the business of [`super::entries`].
//!
//! ```text
//! block:  0 length · 8 number · 16 number …      spine:  0 blocks | SPINE · 8 block · 12 block …
//! ```

use std::slice;

use smallvec::SmallVec;

use super::arena::{Allocator, Arena, Record};

/// Gives the numbers of `list` to `each`, in order.
///
/// # Safety
/// `list` was made by a [`Lists`] of this arena, and neither it nor what it shares is freed before
/// the end of the call.
pub(super) unsafe fn for_each(arena: &Arena, list: Record, mut each: impl FnMut(u64)) {
    // SAFETY: the caller's promise.
    match unsafe { open(arena, list) } {
        Opened::Block(numbers) => numbers.iter().copied().for_each(each),
        Opened::Spine(blocks) => {
            for block in blocks {
                // SAFETY: a spine leads to blocks that are not freed before it.
                if let Opened::Block(numbers) = unsafe { open(arena, *block) } {
                    numbers.iter().copied().for_each(&mut each);
                }
            }
        }
    }
}

/// The writer's hand on all lists of a table.
pub(super) struct Lists<'a> {
    pub(super) arena: &'a Arena,
    pub(super) allocator: &'a mut Allocator,
    /// Records that the lists made here no longer need, to be retired when nothing leads to them.
    pub(super) replaced: &'a mut SmallVec<[Record; 4]>,
}

impl Lists<'_> {
    /// A list of these sorted numbers.
    pub(super) fn create(&mut self, numbers: &[u64]) -> Record {
        let record = self.allocator.allocate(self.arena, 8 + size_of_val(numbers));
        let at = self.arena.at(record);
        // SAFETY: the record was just allocated with so many bytes, aligned to 16, and nobody else
        // knows it.
        unsafe {
            at.cast::<u64>().write(numbers.len() as u64);
            at.add(8).cast::<u64>().copy_from_nonoverlapping(numbers.as_ptr(), numbers.len());
        }
        record
    }

    /// `list` with `number`; itself if that is in it.
    pub(super) fn with(&mut self, list: Record, number: u64) -> Record {
        let (mut blocks, at) = self.find(list, number);
        let old = self.block(blocks[at]);
        let Err(place) = old.binary_search(&number) else {
            return list;
        };
        let mut numbers = Numbers::with_capacity(old.len() + 1);
        numbers.extend_from_slice(&old[..place]);
        numbers.push(number);
        numbers.extend_from_slice(&old[place..]);
        self.replaced.push(blocks[at]);
        if numbers.len() <= BLOCK_MAX {
            blocks[at] = self.create(&numbers);
        } else {
            let (low, high) = numbers.split_at(numbers.len() / 2);
            blocks[at] = self.create(low);
            blocks.insert(at + 1, self.create(high));
        }
        self.join(list, &blocks)
    }

    /// `list` without `number`, or `None` if nothing is left; itself if it is not in it.
    pub(super) fn without(&mut self, list: Record, number: u64) -> Option<Record> {
        let (mut blocks, at) = self.find(list, number);
        let old = self.block(blocks[at]);
        let Ok(place) = old.binary_search(&number) else {
            return Some(list);
        };
        let mut numbers = Numbers::from(old);
        numbers.remove(place);
        self.replaced.push(blocks[at]);
        if let Some(next) = blocks
            .get(at + 1)
            .copied()
            .filter(|next| numbers.len() + self.block(*next).len() <= BLOCK_MAX / 2)
        {
            numbers.extend_from_slice(self.block(next));
            self.replaced.push(next);
            blocks.remove(at + 1);
        }
        if numbers.is_empty() {
            blocks.remove(at);
        } else {
            blocks[at] = self.create(&numbers);
        }
        (!blocks.is_empty()).then(|| self.join(list, &blocks))
    }

    /// True if `number` is in `list`.
    pub(super) fn contains(&self, list: Record, number: u64) -> bool {
        let (blocks, at) = self.find(list, number);
        self.block(blocks[at]).binary_search(&number).is_ok()
    }

    /// The first number, and the last.
    pub(super) fn ends(&self, list: Record) -> (u64, u64) {
        let (blocks, _) = self.find(list, 0);
        let (first, last) = (self.block(blocks[0]), self.block(blocks[blocks.len() - 1]));
        (first[0], last[last.len() - 1])
    }

    /// Gives `list` up with all that it leads to.
    pub(super) fn give_up(&mut self, list: Record) {
        let (blocks, _) = self.find(list, 0);
        self.replaced.extend_from_slice(&blocks);
        if self.is_spine(list) {
            self.replaced.push(list);
        }
    }

    /// The blocks of `list`, and which of them is the one for `number`.
    fn find(&self, list: Record, number: u64) -> (SmallVec<[Record; 4]>, usize) {
        // SAFETY: a list that the writer finds is one that it did not give up.
        let blocks = match unsafe { open(self.arena, list) } {
            Opened::Block(_) => return (SmallVec::from_slice(&[list]), 0),
            Opened::Spine(blocks) => SmallVec::from_slice(blocks),
        };
        let behind = blocks.partition_point(|block| self.block(*block)[0] <= number);
        (blocks, behind.saturating_sub(1))
    }

    fn is_spine(&self, list: Record) -> bool {
        // SAFETY: as in `find`.
        matches!(unsafe { open(self.arena, list) }, Opened::Spine(_))
    }

    fn block(&self, block: Record) -> &[u64] {
        // SAFETY: as in `find`; blocks are not freed before the list that leads to them.
        match unsafe { open(self.arena, block) } {
            Opened::Block(numbers) => numbers,
            Opened::Spine(_) => unreachable!("a spine leads to blocks"),
        }
    }

    /// A list of `blocks` in place of `old`.
    fn join(&mut self, old: Record, blocks: &[Record]) -> Record {
        if self.is_spine(old) {
            self.replaced.push(old);
        }
        if let [block] = blocks {
            return *block;
        }
        let record = self.allocator.allocate(self.arena, 8 + size_of_val(blocks));
        let at = self.arena.at(record);
        // SAFETY: as in `create`.
        unsafe {
            at.cast::<u64>().write(blocks.len() as u64 | SPINE);
            at.add(8).cast::<Record>().copy_from_nonoverlapping(blocks.as_ptr(), blocks.len());
        }
        record
    }
}

enum Opened<'g> {
    Block(&'g [u64]),
    Spine(&'g [Record]),
}

/// # Safety
/// `list` was made by a [`Lists`] of this arena and is not freed within `'g`.
unsafe fn open<'g>(arena: &'g Arena, list: Record) -> Opened<'g> {
    let at = arena.at(list).cast_const();
    // SAFETY: by the contract the record is there and begins with its header; behind it stand as
    // many numbers or records as that says, initialised before anybody else knew the list and never
    // changed.
    unsafe {
        let header = at.cast::<u64>().read();
        let length = (header & !SPINE) as usize;
        if header & SPINE == 0 {
            Opened::Block(slice::from_raw_parts(at.add(8).cast(), length))
        } else {
            Opened::Spine(slice::from_raw_parts(at.add(8).cast(), length))
        }
    }
}

type Numbers = SmallVec<[u64; 8]>;

/// Numbers of a block at most: 1 KiB to copy for an edit, against a spine of four bytes a block.
const BLOCK_MAX: usize = 128;
const SPINE: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Numbers in and out in an order that splits and joins blocks, against a `BTreeSet`; what is
    /// replaced is freed at once, so that a list which needs it still would be seen to.
    #[test]
    fn agrees_with_a_set() {
        let (arena, mut allocator) = (Arena::new(), Allocator::new());
        let (mut list, mut set) = (None::<Record>, BTreeSet::new());
        let (count, factor) = if cfg!(miri) { (400, 77) } else { (5_000, 777) };
        for step in 0..2 * count {
            let number = (step * factor) % count;
            let mut replaced = SmallVec::new();
            let mut lists =
                Lists { arena: &arena, allocator: &mut allocator, replaced: &mut replaced };
            list = match list {
                None => Some(lists.create(&[number])),
                Some(list) if step < count => Some(lists.with(list, number)),
                Some(list) => {
                    assert!(lists.contains(list, number));
                    lists.without(list, number)
                }
            };
            if step < count {
                set.insert(number)
            } else {
                set.remove(&number)
            };
            if let Some(list) = list {
                assert!(!lists.contains(list, count));
                let ends = (*set.first().expect("some"), *set.last().expect("some"));
                assert_eq!(lists.ends(list), ends);
            }
            for record in replaced {
                // SAFETY: the list no longer leads to it, and nobody else does.
                unsafe { allocator.free(&arena, record) };
            }
            if step % 97 == 0 || list.is_none() {
                let mut found = Vec::new();
                if let Some(list) = list {
                    // SAFETY: it was made here and is not freed.
                    unsafe { for_each(&arena, list, |number| found.push(number)) };
                }
                assert!(found.iter().eq(&set), "step {step}");
            }
        }
        assert_eq!(list, None);
        assert!(set.is_empty());
        drop(allocator.take_all());
    }
}
