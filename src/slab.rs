//! Numbered places, one writer, many readers that take no lock.
//!
//! What a place holds is given out by reference for the life of an epoch guard; a removed value is
//! dropped, and its number given out again, only when no such guard can be left. This module knows
//! nothing of what the values are; it is not a map: the number is chosen here, not by the caller.
//!
//! Places stand in chunks that double in size and never move, so a reader takes two loads and no
//! retry. A chunk's memory (8 bytes a place) stays until the last handle goes; the values' does
//! not.

use std::{
    fmt,
    ptr::{self, NonNull},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
};

use crossbeam::queue::SegQueue;
use crossbeam_epoch::{self as epoch, Guard};

use crate::{limits::SLAB_PLACES_MAX, memory::prefetch};

/// What an entry points at: a place in a [`Slab`], whose meaning the owner of the table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(pub u32);

/// The one writer of a slab. Dropping it empties every place; readers then find nothing.
pub struct SlabWriter<T> {
    places: Arc<Places<T>>,
    /// The first number never given out.
    next: u64,
    len: usize,
}

/// A reading handle: cheap to clone, `Send + Sync`.
pub struct Slab<T> {
    places: Arc<Places<T>>,
}

impl<T: Send + Sync + 'static> SlabWriter<T> {
    /// An empty slab. It allocates its first places with the first value.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let places =
            Places { chunks: [const { OnceLock::new() }; CHUNKS], reclaimed: SegQueue::new() };
        SlabWriter { places: Arc::new(places), next: 0, len: 0 }
    }

    /// A handle that reads it.
    pub fn reader(&self) -> Slab<T> {
        Slab { places: Arc::clone(&self.places) }
    }

    /// Gives `value` a place, its number never one that a reader may still hold for a value removed
    /// before. O(1) amortised.
    ///
    /// # Panics
    /// If all 2^32 numbers are taken.
    pub fn insert(&mut self, value: T) -> Target {
        let number = self.take_number();
        let value = Box::into_raw(Box::new(value));
        self.places.place_or_grow(number).store(value, Ordering::Release);
        self.len += 1;
        Target(number)
    }

    /// Empties a place; false if it was empty. Who looks from now on finds nothing, also with a
    /// number read before: take what leads here away first. The value is dropped once no reader can
    /// see it any more, by whichever thread finds that out, a reader's too, and only then is its number
    /// given out again. O(1).
    pub fn remove(&mut self, target: Target) -> bool {
        let Some(value) = self.places.take(target.0) else {
            return false;
        };
        self.len -= 1;
        let (places, guard) = (Arc::clone(&self.places), epoch::pin());
        let reclaim = move || {
            // SAFETY: `take` gave this pointer to us alone, and no guard that saw it is left.
            unsafe { drop(Box::from_raw(value.as_ptr())) }
            places.reclaimed.push(target.0);
        };
        // SAFETY: the closure owns its value, which is `Send`, and the place no longer leads to it.
        unsafe { guard.defer_unchecked(reclaim) };
        // Or it would wait in this thread's bag until that is full.
        guard.flush();
        true
    }

    /// The value at a place, for the writer.
    pub fn get(&self, target: Target) -> Option<&T> {
        let value = self.places.place(target.0)?.load(Ordering::Relaxed);
        // SAFETY: non-null pointers in places are live boxes, and only `remove` and `drop`, which
        // need `&mut self`, take one out.
        unsafe { value.as_ref() }
    }

    /// Values in it. O(1).
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no place holds a value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn take_number(&mut self) -> u32 {
        self.places.reclaimed.pop().unwrap_or_else(|| {
            assert!(
                self.next < SLAB_PLACES_MAX,
                "all {SLAB_PLACES_MAX} places of a slab are taken"
            );
            self.next += 1;
            (self.next - 1) as u32
        })
    }
}

impl<T: Send + Sync + 'static> Slab<T> {
    /// The value at `target`, for as long as `guard` is held. Hold one guard over the look-up in
    /// the FIB and this. Wait-free, O(1).
    ///
    /// # Panics
    /// If `guard` belongs to another collector than crossbeam-epoch's default one: it would protect
    /// nothing.
    pub fn get<'g>(&self, target: Target, guard: &'g Guard) -> Option<&'g T> {
        let is_default = guard.collector().is_none_or(|its| its == epoch::default_collector());
        assert!(is_default, "the guard of a foreign collector does not protect a slab");
        let value = self.places.place(target.0)?.load(Ordering::Acquire);
        // SAFETY: non-null pointers in places are live boxes; a removed one is dropped through the
        // default collector, so not before `guard`, which was pinned before this load, is gone.
        unsafe { value.as_ref() }
    }

    /// Asks for the memory of all these places and of their values, so that reading them one after the
    /// other waits for one only. A hint; O(number of targets).
    pub fn prefetch(&self, targets: impl Iterator<Item = Target> + Clone) {
        let places = targets.filter_map(|target| self.places.place(target.0));
        places.clone().for_each(|place| prefetch(place));
        places.map(|place| place.load(Ordering::Relaxed).cast_const()).for_each(|value| {
            prefetch(value);
            prefetch(value.cast::<u8>().wrapping_add(size_of::<T>().saturating_sub(1)));
        });
    }
}

impl<T> Drop for SlabWriter<T> {
    fn drop(&mut self) {
        let guard = epoch::pin();
        for number in 0..self.next {
            let Some(value) = self.places.take(number as u32) else {
                continue;
            };
            // SAFETY: `take` gave this pointer to us alone and the place no longer leads to it; the
            // closure runs when no guard that saw it is left. `T` is `Send` wherever a writer was
            // made.
            unsafe { guard.defer_unchecked(move || drop(Box::from_raw(value.as_ptr()))) };
        }
        guard.flush();
    }
}

impl<T> Clone for Slab<T> {
    fn clone(&self) -> Self {
        Slab { places: Arc::clone(&self.places) }
    }
}

impl<T> fmt::Debug for SlabWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlabWriter").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab").finish_non_exhaustive()
    }
}

/// What writer and readers share. A null pointer is an empty place.
struct Places<T> {
    /// Chunk `k` holds `32 << k` places.
    chunks: [OnceLock<Box<[AtomicPtr<T>]>>; CHUNKS],
    /// Numbers whose readers are gone, on their way back to the writer.
    reclaimed: SegQueue<u32>,
}

impl<T> Places<T> {
    fn place(&self, number: u32) -> Option<&AtomicPtr<T>> {
        let (chunk, offset) = locate(number);
        self.chunks[chunk].get().map(|places| &places[offset])
    }

    fn place_or_grow(&self, number: u32) -> &AtomicPtr<T> {
        let (chunk, offset) = locate(number);
        let empty = || (0..FIRST_CHUNK << chunk).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        &self.chunks[chunk].get_or_init(empty)[offset]
    }

    /// Empties a place and hands what stood there over. Only the writer calls this.
    fn take(&self, number: u32) -> Option<NonNull<T>> {
        NonNull::new(self.place(number)?.swap(ptr::null_mut(), Ordering::AcqRel))
    }
}

/// Chunk, and offset in it, of a place.
fn locate(number: u32) -> (usize, usize) {
    let biased = u64::from(number) + FIRST_CHUNK;
    let chunk = biased.ilog2() - FIRST_CHUNK.ilog2();
    (chunk as usize, (biased - (FIRST_CHUNK << chunk)) as usize)
}

/// Places in the first chunk: small, for a slab of a few peers costs little then.
const FIRST_CHUNK: u64 = 32;
/// As many doubling chunks as [`SLAB_PLACES_MAX`] numbers need.
const CHUNKS: usize = (SLAB_PLACES_MAX.ilog2() - FIRST_CHUNK.ilog2()) as usize + 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks follow each other without a gap or an overlap, to the last number.
    #[test]
    fn places_are_located_without_gaps() {
        let mut expected = (0, 0);
        for number in 0..10_000 {
            assert_eq!(locate(number), expected, "place {number}");
            expected.1 += 1;
            if expected.1 as u64 == FIRST_CHUNK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(locate(u32::MAX), (CHUNKS - 1, FIRST_CHUNK as usize - 1));
    }

    /// A number removed under a held guard is not given out again before the guard goes.
    #[test]
    fn a_number_waits_for_its_readers() {
        let mut writer = SlabWriter::new();
        let reader = writer.reader();
        let target = writer.insert(String::from("first"));
        let guard = epoch::pin();
        let held = reader.get(target, &guard).expect("it was just put in");
        assert!(writer.remove(target));
        assert!(!writer.remove(target), "it is gone");
        assert!(reader.get(target, &guard).is_none());
        for _ in 0..1_000 {
            assert_ne!(writer.insert(String::from("later")), target);
            epoch::pin().flush();
        }
        assert_eq!(held, "first");
    }

    /// The writer's end frees every value, once the readers are gone; a reader then finds nothing.
    #[test]
    fn the_writers_end_frees_everything() {
        let value = Arc::new(());
        let mut writer = SlabWriter::new();
        let targets: Vec<_> = (0..100).map(|_| writer.insert(Arc::clone(&value))).collect();
        assert!(writer.remove(targets[7]));
        assert_eq!(writer.len(), 99);
        let reader = writer.reader();
        drop(writer);
        assert!(targets.iter().all(|target| reader.get(*target, &epoch::pin()).is_none()));
        for _ in 0..1_000_000 {
            if Arc::strong_count(&value) == 1 {
                return;
            }
            epoch::pin().flush();
            std::thread::yield_now();
        }
        panic!("{} values were never dropped", Arc::strong_count(&value) - 1);
    }

    #[test]
    #[should_panic(expected = "foreign collector")]
    fn a_foreign_guard_is_refused() {
        let mut writer = SlabWriter::new();
        let target = writer.insert(1);
        let foreign = epoch::Collector::new();
        let _ = writer.reader().get(target, &foreign.register().pin());
    }
}
