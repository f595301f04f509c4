//! Numbered places, one writer, many readers that take no lock; and [`Latest`], a single value of that kind.
//!
//! What a place holds is given out by reference for the life of an epoch guard; a removed value is
//! dropped, and its number given out again, only when no such guard can be left. This module knows
//! nothing of what the values are; it is not a map: the number is chosen here, not by the caller.
//!
//! Places stand in chunks that never move, and hold their values themselves, so a reader who has a number
//! takes two loads and no retry, one of them to memory that is seldom in its caches. A chunk is freed with
//! the next edit after the last of its places was given back; the first stays, and one more.

mod chunks;
mod latest;

use std::{collections::BTreeSet, fmt, sync::Arc};

use crossbeam::queue::SegQueue;
use crossbeam_epoch::{self as epoch, Guard};

use crate::{limits::SLAB_PLACES_MAX, memory::prefetch};
pub use latest::Latest;

use chunks::{NOBODY, Place, Places, first_of, locate, places_of};

/// What an entry points at: a place in a [`Slab`], whose meaning the owner of the table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(pub u32);

/// The one writer of a slab. Dropping it empties every place; readers then find nothing.
pub struct SlabWriter<T> {
    shared: Arc<Shared<T>>,
    chunks: Vec<Chunk>,
    /// Chunks that have a number to give; the first is used first, so that the others may become empty.
    with_room: BTreeSet<usize>,
    /// A chunk none of whose places is in use, if it has stayed so: a value that comes and goes at the edge
    /// of a chunk is not to cost one each time. The first chunk stays besides.
    spare: Option<usize>,
    len: usize,
}

/// A reading handle: cheap to clone, `Send + Sync`.
pub struct Slab<T> {
    shared: Arc<Shared<T>>,
}

/// What writer and readers share.
struct Shared<T> {
    places: Places<T>,
    /// Numbers whose readers are gone, on their way back to the writer.
    reclaimed: SegQueue<u32>,
}

/// What the writer knows of a chunk. One that is not there is as new.
#[derive(Clone, Copy)]
struct Chunk {
    /// Numbers given out and not reclaimed.
    used: usize,
    /// Offsets below this were given out before.
    next: usize,
    /// The first of its numbers that were reclaimed, each of which keeps the next; or [`NOBODY`].
    free: u32,
}

impl Chunk {
    const NEW: Chunk = Chunk { used: 0, next: 0, free: NOBODY };
}

impl<T: Send + Sync + 'static> SlabWriter<T> {
    /// An empty slab. It allocates its first places with the first value.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let shared = Arc::new(Shared { places: Places::new(), reclaimed: SegQueue::new() });
        SlabWriter { shared, chunks: Vec::new(), with_room: BTreeSet::new(), spare: None, len: 0 }
    }

    /// A handle that reads it.
    pub fn reader(&self) -> Slab<T> {
        Slab { shared: Arc::clone(&self.shared) }
    }

    /// Gives `value` a place, its number never one that a reader may still hold for a value removed
    /// before. O(log of the number of chunks) amortised.
    ///
    /// # Panics
    /// If all [`SLAB_PLACES_MAX`] numbers are taken.
    pub fn insert(&mut self, value: T) -> Target {
        self.take_back();
        let number = self.take_number();
        let place = self.place(number).expect("a number that is given out has a place");
        // SAFETY: the number was never given out, or was reclaimed, when no reader was left.
        unsafe { place.fill(value) };
        self.len += 1;
        Target(number)
    }

    /// Empties a place; false if it was empty. Who looks from now on finds nothing, also with a
    /// number read before: take what leads here away first. The value is dropped once no reader can
    /// see it any more, by whichever thread finds that out, a reader's too, and only then is its number
    /// given out again. Removing many is followed by one [`hand_on`]. O(1) amortised.
    pub fn remove(&mut self, target: Target) -> bool {
        self.take_back();
        if !self.place(target.0).is_some_and(Place::empty) {
            return false;
        }
        self.len -= 1;
        self.drop_later(target.0, &epoch::pin());
        true
    }

    /// The value at a place, for the writer.
    pub fn get(&self, target: Target) -> Option<&T> {
        // SAFETY: only `remove` and `drop`, which need `&mut self`, have a value dropped.
        unsafe { self.place(target.0)?.get() }
    }

    /// Values in it. O(1).
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no place holds a value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn place(&self, number: u32) -> Option<&Place<T>> {
        // SAFETY: only `take_back`, which needs `&mut self`, has a chunk freed.
        unsafe { self.shared.places.place(number) }
    }

    /// Has the value of a place that was just emptied dropped, and its number reclaimed.
    fn drop_later(&self, number: u32, guard: &Guard) {
        let shared = Arc::clone(&self.shared);
        let reclaim = move || {
            // SAFETY: a chunk is freed when all its numbers are reclaimed, or with `shared`; and the place
            // was emptied once, when the guards that are gone now were all that could have seen its value.
            unsafe { shared.places.place(number).inspect(|place| place.drop_value()) };
            shared.reclaimed.push(number);
        };
        // SAFETY: values are `Send` wherever a writer was made, and the closure owns what it names.
        unsafe { guard.defer_unchecked(reclaim) };
    }

    fn take_number(&mut self) -> u32 {
        let chunk = match self.with_room.first() {
            Some(chunk) => *chunk,
            None => self.add_chunk(),
        };
        let known = &mut self.chunks[chunk];
        if known.used == 0 && known.next == 0 {
            self.shared.places.create(chunk);
        }
        let number = match known.free {
            NOBODY => {
                known.next += 1;
                first_of(chunk) + known.next as u32 - 1
            }
            number => number,
        };
        if known.free == number {
            // SAFETY: the chunk is there, for one of its numbers is free and not all are.
            let place = unsafe { self.shared.places.place(number) };
            known.free = place.expect("a free number has a place").kept();
        }
        known.used += 1;
        if known.free == NOBODY && known.next == places_of(chunk) {
            self.with_room.remove(&chunk);
        }
        number
    }

    fn add_chunk(&mut self) -> usize {
        let chunk = self.chunks.len();
        let is_last = u64::from(first_of(chunk)) >= SLAB_PLACES_MAX;
        assert!(!is_last, "all {SLAB_PLACES_MAX} places of a slab are taken");
        self.chunks.push(Chunk::NEW);
        self.with_room.insert(chunk);
        chunk
    }

    /// True if another chunk than this is spare; else this one is, if it is empty.
    fn has_spare_beside(&mut self, chunk: usize) -> bool {
        let is_spare = |other: &usize| *other != chunk && self.chunks[*other].used == 0;
        let beside = self.spare.filter(is_spare);
        self.spare = beside.or(Some(chunk));
        beside.is_some()
    }

    /// Takes reclaimed numbers back, and frees chunks of which none is in use.
    fn take_back(&mut self) {
        while let Some(number) = self.shared.reclaimed.pop() {
            let (chunk, _) = locate(number);
            self.chunks[chunk].used -= 1;
            self.with_room.insert(chunk);
            let is_empty = self.chunks[chunk].used == 0;
            if !is_empty || chunk == 0 || !self.has_spare_beside(chunk) {
                let free = std::mem::replace(&mut self.chunks[chunk].free, number);
                self.place(number).expect("a number in use has a place").keep(free);
                continue;
            }
            self.chunks[chunk] = Chunk::NEW;
            let unlinked = self.shared.places.unlink(chunk).expect("a chunk in use is there");
            // SAFETY: no number leads to the chunk any more, so when the guards of now are gone nobody reads
            // in it; and of its values, all were dropped before their numbers came back.
            unsafe { epoch::pin().defer_unchecked(move || unlinked.free()) };
        }
    }
}

/// Lets what this thread removed from slabs be dropped as soon as its readers are gone, which otherwise waits
/// until it has removed more. What has waited long enough is dropped here; but any other pin may do that too,
/// so whatever is put into a slab must not call back when it is dropped.
pub fn hand_on() {
    epoch::pin().flush();
}

impl<T: Send + Sync + 'static> Slab<T> {
    /// The value at `target`, for as long as `guard` is held. Hold one guard over the look-up in
    /// the FIB and this. Wait-free, O(1).
    ///
    /// # Panics
    /// If `guard` belongs to another collector than crossbeam-epoch's default one: it would protect
    /// nothing.
    #[inline]
    pub fn get<'g>(&self, target: Target, guard: &'g Guard) -> Option<&'g T> {
        let is_default = guard.collector().is_none_or(|its| its == epoch::default_collector());
        assert!(is_default, "the guard of a foreign collector does not protect a slab");
        // SAFETY: chunks are freed, and values dropped, through the default collector, so not before `guard`,
        // which was pinned before what leads to them was read, is gone.
        unsafe { self.shared.places.place(target.0)?.get() }
    }

    /// Asks for the memory of these places, so that reading them one after the other waits for one only. A
    /// hint; O(number of targets).
    pub fn prefetch(&self, targets: impl Iterator<Item = Target>) {
        for at in targets.filter_map(|target| self.shared.places.address(target.0)) {
            prefetch(at.as_ptr());
            // A value may stand on two lines.
            prefetch(at.as_ptr().cast::<u8>().wrapping_add(size_of::<Place<T>>() - 1));
        }
    }
}

impl<T> Drop for SlabWriter<T> {
    fn drop(&mut self) {
        let guard = epoch::pin();
        for (chunk, known) in self.chunks.iter().enumerate() {
            for number in (first_of(chunk)..).take(known.next) {
                // SAFETY: chunks are freed by the writer, which is here, or with `shared`.
                let place = unsafe { self.shared.places.place(number) };
                if !place.is_some_and(Place::empty) {
                    continue;
                }
                let shared = Arc::clone(&self.shared);
                let drop_value = move || {
                    // SAFETY: the chunk stays as long as `shared`; the place was emptied once, above, and no
                    // guard that saw its value is left.
                    unsafe { shared.places.place(number).inspect(|place| place.drop_value()) };
                };
                // SAFETY: `T` is `Send` wherever a writer was made.
                unsafe { guard.defer_unchecked(drop_value) };
            }
        }
        guard.flush();
    }
}

impl<T> Clone for Slab<T> {
    fn clone(&self) -> Self {
        Slab { shared: Arc::clone(&self.shared) }
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

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Chunks go when all in them has gone, and come again; meanwhile their numbers lead nowhere, and
    /// removing what is not there changes nothing.
    ///
    /// Goal: no place is given out twice, none is lost, and memory comes back. Method: more values than the
    /// small chunks hold, removed in another order, three times over; epochs are moved on by hand.
    #[test]
    fn chunks_come_and_go() {
        let mut writer = SlabWriter::new();
        let reader = writer.reader();
        for round in 0..3 {
            let targets: Vec<_> =
                (0..40_000_u32).map(|value| writer.insert(value + round)).collect();
            let distinct: BTreeSet<_> = targets.iter().collect();
            assert_eq!((distinct.len(), writer.len()), (40_000, 40_000));
            let guard = epoch::pin();
            assert!(
                targets.iter().zip(0..).all(|(target, value)| {
                    reader.get(*target, &guard) == Some(&(value + round))
                })
            );
            drop(guard);
            let (odd, even): (Vec<_>, Vec<_>) =
                targets.iter().partition(|target| target.0 % 2 == 1);
            assert!(odd.iter().chain(&even).all(|target| writer.remove(*target)));
            hand_on();
            let last = Target(39_999);
            let is_there = |number| reader.shared.places.address(number).is_some();
            for _ in 0..1_000_000 {
                if writer.chunks.iter().all(|chunk| chunk.used == 0) {
                    break;
                }
                epoch::pin().flush();
                std::thread::yield_now();
                writer.take_back();
            }
            assert!(writer.chunks.iter().all(|chunk| chunk.used == 0), "numbers are lost");
            let there = (0..writer.chunks.len()).filter(|chunk| is_there(first_of(*chunk)));
            assert!((1..=2).contains(&there.count()), "the first, and one to spare");
            assert!(targets.iter().all(|target| !writer.remove(*target)), "all are empty");
            assert!(reader.get(last, &epoch::pin()).is_none());
        }
        assert!(reader.get(Target(u32::MAX), &epoch::pin()).is_none());
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
