//! Where the places of a slab stand: chunks that never move, found from a number by two loads.
//!
//! A place holds its value itself, beside one word that says whether it does, so that who has a number asks
//! for one line of memory and is there. This file knows neither when a value may be dropped nor when a chunk
//! may be freed: whoever does either has waited for the readers.
//!
//! ```text
//! number + 32:  below 8,192    chunk by its highest bit: 32, 64, … 4,096 places
//!               from there on  32,768 places each: at 64 bytes a place, a huge page
//! ```

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{self, NonNull},
    sync::{
        OnceLock,
        atomic::{AtomicPtr, AtomicU32, Ordering},
    },
};

use crate::{
    limits::SLAB_PLACES_MAX,
    memory::{HUGE_PAGE_BYTES, advise_huge_pages},
};

/// One numbered place.
pub(super) struct Place<T> {
    /// [`FULL`], or what the writer keeps in an empty place.
    state: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// The places of one slab by number. It frees the chunks that are left when it goes, and drops no value.
pub(super) struct Places<T> {
    small: [AtomicPtr<Place<T>>; SMALL_CHUNKS],
    large: OnceLock<Box<[AtomicPtr<Place<T>>; LARGE_CHUNKS]>>,
}

// SAFETY: places are given out by `&self` as shared references to `T` from any thread, and values are moved
// in and dropped by any thread that has the right to.
unsafe impl<T: Send + Sync> Send for Places<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Places<T> {}

/// A chunk that no number leads to any more. It must be freed once nobody reads in it.
pub(super) struct Unlinked<T> {
    memory: NonNull<Place<T>>,
    chunk: usize,
}

// SAFETY: a chunk whose places are empty is plain memory.
unsafe impl<T> Send for Unlinked<T> {}

impl<T> Place<T> {
    /// The value, if there is one.
    ///
    /// # Safety
    /// Within `'a` no value that is here now is dropped, and the chunk is not freed.
    #[inline]
    pub(super) unsafe fn get<'a>(&self) -> Option<&'a T> {
        if self.state.load(Ordering::Acquire) != FULL {
            return None;
        }
        // SAFETY: a full place holds a value, which is only read until it is dropped, not within `'a`.
        Some(unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// Puts a value into an empty place. Only the writer does.
    ///
    /// # Safety
    /// The place is empty, and nobody can be at a value that it held before.
    pub(super) unsafe fn fill(&self, value: T) {
        // SAFETY: by the contract nobody else reads or writes the value of an empty place.
        unsafe { (*self.value.get()).write(value) };
        self.state.store(FULL, Ordering::Release);
    }

    /// Empties the place, whose value stays where it is until [`Place::drop_value`]; false if it was empty.
    /// Only the writer does.
    pub(super) fn empty(&self) -> bool {
        // A place that is empty keeps what it has: it may be the writer's way to others.
        self.state.compare_exchange(FULL, NOBODY, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Drops the value of a place that was full and has been emptied.
    ///
    /// # Safety
    /// This is done once for each value, and nobody can be at it any more.
    pub(super) unsafe fn drop_value(&self) {
        // SAFETY: by the contract the value is there and ours alone.
        unsafe { (*self.value.get()).assume_init_drop() };
    }

    /// A number kept in an empty place, below [`NOBODY`].
    pub(super) fn keep(&self, number: u32) {
        self.state.store(number, Ordering::Relaxed);
    }

    /// What [`Place::keep`] was given last.
    pub(super) fn kept(&self) -> u32 {
        self.state.load(Ordering::Relaxed)
    }
}

impl<T> Places<T> {
    pub(super) fn new() -> Places<T> {
        let small = [const { AtomicPtr::new(ptr::null_mut()) }; SMALL_CHUNKS];
        Places { small, large: OnceLock::new() }
    }

    /// The place of `number`, if its chunk is there.
    ///
    /// # Safety
    /// Within `'a` the chunk is not freed.
    #[inline]
    pub(super) unsafe fn place<'a>(&self, number: u32) -> Option<&'a Place<T>> {
        let at = self.address(number)?;
        // SAFETY: a chunk holds all its places, initialised, and by the contract it stays.
        Some(unsafe { at.as_ref() })
    }

    /// Where the place of `number` is; an address, which says nothing about what stands there.
    #[inline]
    pub(super) fn address(&self, number: u32) -> Option<NonNull<Place<T>>> {
        let (chunk, offset) = locate(number);
        let first = self.link(chunk)?.load(Ordering::Acquire);
        NonNull::new(first.wrapping_add(if first.is_null() { 0 } else { offset }))
    }

    /// Makes a chunk of empty places. Only the writer does, for a chunk that is not there.
    pub(super) fn create(&self, chunk: usize) {
        let layout = layout::<T>(chunk);
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc(layout) };
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        advise_huge_pages(memory, layout.size());
        let first = memory.cast::<Place<T>>();
        for offset in 0..places_of(chunk) {
            // SAFETY: the place lies within what was just allocated, which nobody else knows.
            unsafe { (&raw mut (*first.add(offset)).state).write(AtomicU32::new(NOBODY)) };
        }
        let link = match chunk.checked_sub(SMALL_CHUNKS) {
            None => &self.small[chunk],
            Some(large) => {
                let none = || Box::new([const { AtomicPtr::new(ptr::null_mut()) }; LARGE_CHUNKS]);
                &self.large.get_or_init(none)[large]
            }
        };
        link.store(first, Ordering::Release);
    }

    /// Takes a chunk away from its numbers, if it is there. Only the writer does.
    pub(super) fn unlink(&self, chunk: usize) -> Option<Unlinked<T>> {
        let memory = self.link(chunk)?.swap(ptr::null_mut(), Ordering::AcqRel);
        Some(Unlinked { memory: NonNull::new(memory)?, chunk })
    }

    #[inline]
    fn link(&self, chunk: usize) -> Option<&AtomicPtr<Place<T>>> {
        match chunk.checked_sub(SMALL_CHUNKS) {
            None => Some(&self.small[chunk]),
            Some(large) => self.large.get()?.get(large),
        }
    }
}

impl<T> Unlinked<T> {
    /// Frees it.
    ///
    /// # Safety
    /// Nobody reads in it any more.
    pub(super) unsafe fn free(self) {
        // SAFETY: `create` allocated it with this layout, and it was unlinked, so this is done once.
        unsafe { dealloc(self.memory.as_ptr().cast(), layout::<T>(self.chunk)) };
    }
}

impl<T> Drop for Places<T> {
    fn drop(&mut self) {
        for chunk in 0..SMALL_CHUNKS + LARGE_CHUNKS {
            if let Some(unlinked) = self.unlink(chunk) {
                // SAFETY: the last handle goes, so nobody reads.
                unsafe { unlinked.free() };
            }
        }
    }
}

/// Chunk, and offset in it, of a place.
#[inline]
pub(super) fn locate(number: u32) -> (usize, usize) {
    let biased = u64::from(number) + FIRST_CHUNK;
    if biased < LARGE_FROM {
        let chunk = biased.ilog2() - FIRST_CHUNK.ilog2();
        return (chunk as usize, (biased - (FIRST_CHUNK << chunk)) as usize);
    }
    let behind = biased - LARGE_FROM;
    ((behind / LARGE_CHUNK) as usize + SMALL_CHUNKS, (behind % LARGE_CHUNK) as usize)
}

/// The first number of a chunk.
pub(super) fn first_of(chunk: usize) -> u32 {
    let biased = match chunk.checked_sub(SMALL_CHUNKS) {
        None => FIRST_CHUNK << chunk,
        Some(large) => LARGE_FROM + large as u64 * LARGE_CHUNK,
    };
    (biased - FIRST_CHUNK) as u32
}

pub(super) fn places_of(chunk: usize) -> usize {
    match chunk < SMALL_CHUNKS {
        true => (FIRST_CHUNK << chunk) as usize,
        false => LARGE_CHUNK as usize,
    }
}

fn layout<T>(chunk: usize) -> Layout {
    let bytes = places_of(chunk) * size_of::<Place<T>>();
    let whole = bytes.is_multiple_of(HUGE_PAGE_BYTES);
    let alignment = if whole { HUGE_PAGE_BYTES } else { LINE_BYTES.max(align_of::<Place<T>>()) };
    Layout::from_size_align(bytes, alignment).expect("a chunk is smaller than memory")
}

/// The state of a place with a value.
const FULL: u32 = u32::MAX;
/// The state of an empty one that keeps no number.
pub(super) const NOBODY: u32 = u32::MAX - 1;
/// Places in the first chunk: small, for a slab of a few peers costs little then.
const FIRST_CHUNK: u64 = 32;
/// Places of a large chunk: of 64 bytes each, a huge page.
const LARGE_CHUNK: u64 = 1 << 15;
/// Where large chunks begin: what has so many values may take a page more than it needs. A thousand P2P
/// connections have some 5,000 places.
const LARGE_FROM: u64 = 1 << 13;
const SMALL_CHUNKS: usize = (LARGE_FROM / FIRST_CHUNK).ilog2() as usize;
const LARGE_CHUNKS: usize = (SLAB_PLACES_MAX / LARGE_CHUNK) as usize + 1;
/// So that a place of 64 bytes stands on one line.
const LINE_BYTES: usize = 64;
const _: () = assert!(SLAB_PLACES_MAX < NOBODY as u64);

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks follow each other without a gap or an overlap, to the last number.
    #[test]
    fn places_are_located_without_gaps() {
        let mut expected = (0, 0);
        for number in 0..200_000 {
            assert_eq!(locate(number), expected, "place {number}");
            expected.1 += 1;
            if expected.1 == places_of(expected.0) {
                expected = (expected.0 + 1, 0);
                assert_eq!(first_of(expected.0), number + 1);
            }
        }
        let (last, _) = locate((SLAB_PLACES_MAX - 1) as u32);
        assert!(last < SMALL_CHUNKS + LARGE_CHUNKS);
    }
}
