//! Where the chunks of a large table lie: in regions of one huge page each, cut in halves.
//!
//! A small table takes its chunks from the allocator. From [`REGIONS_FROM_BYTES`] on they are cut out of
//! regions, so that all of a large table stands on few pages: a look-up touches a few lines anywhere in it,
//! and what it waits for is as often the page tables as the line. Blocks are powers of two; a block that is
//! freed joins the half that it was cut from (buddies), and a region that is whole again goes back. It knows
//! nothing of what is in a block.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    ptr::NonNull,
};

use crate::memory::{HUGE_PAGE_BYTES, advise_huge_pages};

/// The memory of one table's chunks. Dropping it frees the regions with all that is in them, and no block
/// that stands alone.
pub(super) struct Regions {
    regions: Vec<NonNull<u8>>,
    /// Free blocks within regions, by the logarithm of their size less that of the smallest.
    free: [Vec<NonNull<u8>>; ORDERS],
    bytes: usize,
}

// SAFETY: regions are plain memory that it owns.
unsafe impl Send for Regions {}
// SAFETY: it gives nothing out by `&self`.
unsafe impl Sync for Regions {}

/// Some bytes of memory, a power of two of them and at least [`BLOCK_BYTES_MIN`].
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) memory: NonNull<u8>,
    pub(super) bytes: usize,
    in_region: bool,
}

impl Regions {
    pub(super) fn new() -> Regions {
        Regions { regions: Vec::new(), free: [const { Vec::new() }; ORDERS], bytes: 0 }
    }

    /// Bytes of all regions, and of the blocks that stand alone.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A block, not initialised, aligned to its size up to a cache line at least.
    pub(super) fn allocate(&mut self, bytes: usize) -> Block {
        assert!(bytes.is_power_of_two() && bytes >= BLOCK_BYTES_MIN);
        let in_region = bytes <= HUGE_PAGE_BYTES
            && (bytes == HUGE_PAGE_BYTES || self.bytes + bytes > REGIONS_FROM_BYTES);
        let memory = if in_region { self.cut(order_of(bytes)) } else { self.allocate_alone(bytes) };
        Block { memory, bytes, in_region }
    }

    /// Frees a block.
    ///
    /// # Safety
    /// It came from here, is freed only this once, and nobody uses it any more.
    pub(super) unsafe fn free(&mut self, block: Block) {
        if !block.in_region {
            self.bytes -= block.bytes;
            // SAFETY: by the contract it is there, allocated with this layout.
            unsafe { free_alone(block) };
            return;
        }
        let (mut memory, mut order) = (block.memory, order_of(block.bytes));
        while order < ORDERS - 1 {
            let buddy = memory.addr().get() ^ (BLOCK_BYTES_MIN << order);
            let Some(at) = self.free[order].iter().position(|free| free.addr().get() == buddy)
            else {
                self.free[order].push(memory);
                return;
            };
            memory = memory.min(self.free[order].swap_remove(at));
            order += 1;
        }
        self.regions.retain(|region| *region != memory);
        self.bytes -= HUGE_PAGE_BYTES;
        // SAFETY: the whole region is free, it was allocated with this layout, and is forgotten.
        unsafe { dealloc(memory.as_ptr(), region_layout()) };
    }

    /// A block of this order within a region.
    fn cut(&mut self, order: usize) -> NonNull<u8> {
        let larger = (order..ORDERS - 1).find(|order| !self.free[*order].is_empty());
        let (memory, mut from) = match larger {
            Some(from) => (self.free[from].pop().expect("one is there"), from),
            None => (self.add_region(), ORDERS - 1),
        };
        while from > order {
            from -= 1;
            // SAFETY: the upper half lies within the block that is cut.
            self.free[from].push(unsafe { memory.add(BLOCK_BYTES_MIN << from) });
        }
        memory
    }

    fn add_region(&mut self) -> NonNull<u8> {
        let memory = allocate(region_layout());
        advise_huge_pages(memory.as_ptr(), HUGE_PAGE_BYTES);
        self.bytes += HUGE_PAGE_BYTES;
        self.regions.push(memory);
        memory
    }

    fn allocate_alone(&mut self, bytes: usize) -> NonNull<u8> {
        self.bytes += bytes;
        allocate(alone_layout(bytes))
    }
}

impl Block {
    /// True if it stands alone, and is freed by [`free_alone`] when its [`Regions`] have gone.
    pub(super) fn is_alone(&self) -> bool {
        !self.in_region
    }
}

/// Frees a block that stands alone.
///
/// # Safety
/// As for [`Regions::free`].
pub(super) unsafe fn free_alone(block: Block) {
    // SAFETY: by the contract it is there, allocated with this layout.
    unsafe { dealloc(block.memory.as_ptr(), alone_layout(block.bytes)) };
}

impl Drop for Regions {
    fn drop(&mut self) {
        for region in self.regions.drain(..) {
            // SAFETY: it was allocated with this layout, and its one owner goes.
            unsafe { dealloc(region.as_ptr(), region_layout()) };
        }
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: no layout here is of size zero.
    let memory = unsafe { alloc(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

fn region_layout() -> Layout {
    Layout::from_size_align(HUGE_PAGE_BYTES, HUGE_PAGE_BYTES).expect("a power of two")
}

fn alone_layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, LINE_BYTES).expect("a block is smaller than memory")
}

fn order_of(bytes: usize) -> usize {
    (bytes / BLOCK_BYTES_MIN).ilog2() as usize
}

/// The smallest block.
pub(super) const BLOCK_BYTES_MIN: usize = 1 << 10;
/// Bytes of a table from which on it takes regions: half of one, so that the first is not the most of it.
const REGIONS_FROM_BYTES: usize = HUGE_PAGE_BYTES / 2;
/// From the smallest block to a region.
const ORDERS: usize = (HUGE_PAGE_BYTES / BLOCK_BYTES_MIN).ilog2() as usize + 1;
/// A cache line, so that the place of a record within its line is what its number says.
const LINE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of mixed sizes, freed in another order and taken again: none overlaps another, and all memory
    /// comes back.
    #[test]
    fn blocks_do_not_overlap() {
        let mut regions = Regions::new();
        for _ in 0..3 {
            let mut blocks = Vec::new();
            for round in 0_usize..400 {
                let bytes = BLOCK_BYTES_MIN << [0, 3, 1, 9, 0, 2, 11][round % 7];
                let block = regions.allocate(bytes);
                assert!(block.memory.addr().get().is_multiple_of(LINE_BYTES));
                // SAFETY: the block is this test's own and has so many bytes.
                unsafe { block.memory.write_bytes(round as u8, bytes) };
                blocks.push((block, round as u8));
                if round % 3 == 2 {
                    let (block, value) = blocks.swap_remove(round / 3);
                    free(&mut regions, block, value);
                }
            }
            assert!(regions.bytes() > 0);
            blocks.into_iter().for_each(|(block, value)| free(&mut regions, block, value));
            assert_eq!((regions.bytes(), regions.regions.len()), (0, 0));
            assert!(regions.free.iter().all(Vec::is_empty));
        }
    }

    fn free(regions: &mut Regions, block: Block, value: u8) {
        let memory = block.memory.as_ptr().cast_const();
        // SAFETY: the block is the test's own, and all its bytes were written.
        let written = unsafe { std::slice::from_raw_parts(memory, block.bytes) };
        assert!(written.iter().all(|byte| *byte == value));
        // SAFETY: it came from here and is freed once.
        unsafe { regions.free(block) };
    }
}
