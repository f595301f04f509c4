//! Where the records of a table stand: nodes, lists of entries, and the lines of the directory, named by 28
//! bits.
//!
//! A record is a run of units of 16 bytes in a chunk; a [`Record`] is the number of its first unit.
//! A chunk holds records of one size class, the first of a class small, later ones larger, so that
//! a small table is small and a large one has few. This file is the readers' half, from a number to
//! an address, and the writer's half, from a size to a number. It knows neither what a record holds
//! nor when nobody reads it any more: whoever frees one has waited for that.
//!
//! ```text
//! record:  chunk (11 bits) · unit within it (17 bits)        0: none, for there is no chunk 0
//! chunk:   [record][record] … [free, naming the next free one] … [never used yet]
//! ```

use std::{
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
};

use super::regions::{BLOCK_BYTES_MIN, Block, Regions, free_alone};

use crate::limits::FIB_ARENA_BYTES_MAX;

/// The number of a record; [`Record::NONE`] names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record(pub(super) u32);

impl Record {
    pub(super) const NONE: Record = Record(0);
    /// Bits that a number has at most.
    pub(super) const BITS: u32 = CHUNK_BITS + UNIT_BITS;
}

/// From numbers to addresses: the half that readers share with the writer.
pub(super) struct Arena {
    near: [AtomicPtr<u8>; CHUNKS_NEAR],
    /// All others, by number too; only large tables have any.
    far: OnceLock<Box<[AtomicPtr<u8>; CHUNKS]>>,
}

impl Arena {
    pub(super) fn new() -> Arena {
        let near = [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS_NEAR];
        Arena { near, far: OnceLock::new() }
    }

    /// Where `record` stands, if it is one that is not freed; without meaning otherwise.
    #[inline]
    pub(super) fn at(&self, record: Record) -> *mut u8 {
        let number = (record.0 >> UNIT_BITS) as usize;
        let chunk = match self.near.get(number) {
            Some(chunk) => chunk,
            None => match self.far.get() {
                Some(far) => &far[number % CHUNKS],
                None => &self.near[0],
            },
        };
        chunk.load(Ordering::Acquire).wrapping_add((record.0 & UNIT_MASK) as usize * UNIT)
    }

    /// Makes a number lead to a chunk, or to none.
    fn set(&self, number: u32, chunk: *mut u8) {
        let number = number as usize;
        let none = || Box::new([const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS]);
        let place = match self.near.get(number) {
            Some(place) => place,
            None => &self.far.get_or_init(none)[number],
        };
        place.store(chunk, Ordering::Release);
    }
}

/// The writer's half. It frees what is in it only by [`Allocator::free`] and [`Chunks`].
pub(super) struct Allocator {
    /// By number; there is none with number 0.
    chunks: Vec<Option<Chunk>>,
    /// Numbers below `chunks.len()` that no chunk has.
    unused: Vec<u32>,
    classes: Vec<Class>,
    regions: Regions,
}

/// Chunks taken out of an arena. Dropping it frees them.
pub(super) struct Chunks {
    chunks: Vec<Option<Chunk>>,
    /// What the others lie in; goes with it.
    _regions: Regions,
}

#[derive(Default)]
struct Class {
    /// Bytes of its chunks.
    bytes: usize,
    /// Its chunks that have room, by number; the last is used first.
    with_room: Vec<u32>,
}

struct Chunk {
    memory: Block,
    class: usize,
    /// Records that are not free.
    live: u32,
    /// Units from its start that were ever used.
    used: u32,
    /// The first of the freed records, each of which begins with the number of the next.
    free: Record,
}

// SAFETY: a chunk is plain memory that it owns.
unsafe impl Send for Chunk {}
// SAFETY: it gives nothing out by `&self`.
unsafe impl Sync for Chunk {}

impl Allocator {
    pub(super) fn new() -> Allocator {
        Allocator {
            chunks: Vec::new(),
            unused: Vec::new(),
            classes: Vec::new(),
            regions: Regions::new(),
        }
    }

    /// Bytes of all chunks, and of what they lie in.
    pub(super) fn bytes(&self) -> usize {
        self.regions.bytes()
    }

    /// A record of at least `bytes`, not initialised, aligned to 16. O(1) amortised.
    ///
    /// # Panics
    /// If all chunks that can be numbered are in use, which [`Allocator::has_numbers`] tells long before.
    pub(super) fn allocate(&mut self, arena: &Arena, bytes: usize) -> Record {
        self.allocate_of(arena, 2 * class_of(bytes))
    }

    /// The same for a record that many look-ups pass by. Such records stand together, so that they stay in
    /// the processor's caches.
    ///
    /// # Panics
    /// As [`Allocator::allocate`].
    pub(super) fn allocate_shared(&mut self, arena: &Arena, bytes: usize) -> Record {
        let class = class_of(bytes);
        // Larger ones are rare, and each class more spends numbers of chunks.
        self.allocate_of(arena, 2 * class + usize::from(class < SHARED_CLASSES))
    }

    /// True if there are numbers enough for more chunks than one request's worth of records can need. The
    /// small chunks that each class begins with use them up sooner than the bytes if records of all sizes
    /// come.
    pub(super) fn has_numbers(&self) -> bool {
        self.chunks.len() - self.unused.len() <= CHUNKS / 4 * 3
    }

    fn allocate_of(&mut self, arena: &Arena, class: usize) -> Record {
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Class::default);
        }
        let number = match self.classes[class].with_room.last() {
            Some(number) => *number,
            None => self.add_chunk(arena, class),
        };
        let chunk = self.chunks[number as usize].as_mut().expect("a chunk with room is there");
        let record = chunk.take(number);
        if !chunk.has_room() {
            self.classes[class].with_room.pop();
        }
        record
    }

    /// Frees a record.
    ///
    /// # Safety
    /// It came from [`Self::allocate`] or [`Self::allocate_shared`] with this `arena`, is freed only this
    /// once, and nobody reads it any more.
    pub(super) unsafe fn free(&mut self, arena: &Arena, record: Record) {
        let number = record.0 >> UNIT_BITS;
        let chunk = self.chunks[number as usize].as_mut().expect("a live record's chunk is there");
        let class = &mut self.classes[chunk.class];
        if !chunk.has_room() {
            class.with_room.push(number);
        }
        // SAFETY: by the contract the record is ours alone; it has room for a number and is aligned
        // for it.
        unsafe { arena.at(record).cast::<Record>().write(chunk.free) };
        chunk.free = record;
        chunk.live -= 1;
        // One chunk stays, so that a record that comes and goes costs no chunk each time; but not for records
        // so large that they cost as much as their chunk.
        let is_spare =
            class.with_room.len() > 1 || chunk.memory.bytes < MANY * record_bytes(chunk.class);
        if chunk.live == 0 && is_spare {
            class.with_room.retain(|other| *other != number);
            class.bytes -= chunk.memory.bytes;
            arena.set(number, ptr::null_mut());
            self.unused.push(number);
            let memory = chunk.memory;
            self.chunks[number as usize] = None;
            // SAFETY: no record in it is live, and by the contract nobody reads one that was.
            unsafe { self.regions.free(memory) };
        }
    }

    /// Bytes that `record` takes.
    pub(super) fn bytes_of(&self, record: Record) -> usize {
        let chunk = self.chunks[(record.0 >> UNIT_BITS) as usize].as_ref();
        record_bytes(chunk.expect("a live record's chunk is there").class)
    }

    /// Takes everything out. Numbers given out before may be given out again at once, so readers
    /// must find no way to one of them from now on; those on their way may read until the chunks
    /// are dropped.
    pub(super) fn take_all(&mut self) -> Chunks {
        (self.classes, self.unused) = (Vec::new(), Vec::new());
        let regions = std::mem::replace(&mut self.regions, Regions::new());
        Chunks { chunks: std::mem::take(&mut self.chunks), _regions: regions }
    }

    fn add_chunk(&mut self, arena: &Arena, class: usize) -> u32 {
        let number = self.unused.pop().unwrap_or_else(|| {
            self.chunks.resize_with(self.chunks.len().max(1) + 1, || None);
            self.chunks.len() as u32 - 1
        });
        assert!((number as usize) < CHUNKS, "a table has at most {CHUNKS} chunks");
        let memory = self.regions.allocate(chunk_bytes(class, self.classes[class].bytes));
        let chunk = Chunk { memory, class, live: 0, used: 0, free: Record::NONE };
        self.classes[class].bytes += memory.bytes;
        self.classes[class].with_room.push(number);
        arena.set(number, memory.memory.as_ptr());
        self.chunks[number as usize] = Some(chunk);
        number
    }
}

impl Chunk {
    fn has_room(&self) -> bool {
        let units = (self.memory.bytes / UNIT) as u32;
        self.free != Record::NONE || self.used + (record_bytes(self.class) / UNIT) as u32 <= units
    }

    /// A record; there must be room.
    fn take(&mut self, number: u32) -> Record {
        self.live += 1;
        if self.free == Record::NONE {
            let record = Record(number << UNIT_BITS | self.used);
            self.used += (record_bytes(self.class) / UNIT) as u32;
            return record;
        }
        let record = self.free;
        let at = (record.0 & UNIT_MASK) as usize * UNIT;
        // SAFETY: a freed record lies in this chunk and begins with the number that `free` wrote.
        self.free = unsafe { self.memory.memory.add(at).cast::<Record>().read() };
        record
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        for chunk in self.chunks.drain(..).flatten().filter(|chunk| chunk.memory.is_alone()) {
            // SAFETY: it came from these regions, and its one owner goes.
            unsafe { free_alone(chunk.memory) };
        }
    }
}

impl Drop for Allocator {
    fn drop(&mut self) {
        debug_assert!(self.chunks.iter().flatten().next().is_none(), "a table is emptied first");
    }
}

/// The class of records of `bytes`: one for each number of units up to 16, then eight an octave.
fn class_of(bytes: usize) -> usize {
    let below = bytes.div_ceil(UNIT).max(1) - 1;
    if below < FINE {
        return below;
    }
    let shift = below.ilog2() as usize - 3;
    FINE + (shift - 1) * 8 + (below >> shift) - 8
}

/// Bytes of the next chunk for records of `class`, of which there are `class_bytes` so far.
fn chunk_bytes(class: usize, class_bytes: usize) -> usize {
    let wanted = (class_bytes / 2).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
    (1 << wanted.ilog2()).max(record_bytes(class).next_power_of_two())
}

/// Bytes of a record of a class of an [`Allocator`], of which each two are for records of one size.
fn record_bytes(class: usize) -> usize {
    units_of(class / 2) * UNIT
}

/// Units of a record of `class`.
fn units_of(class: usize) -> usize {
    if class < FINE {
        return class + 1;
    }
    let shift = (class - FINE) / 8 + 1;
    ((class - FINE) % 8 + 9) << shift
}

/// Bytes of a unit: what a record is aligned to, and what 28 bits count up to 4 GiB.
const UNIT: usize = 16;
const UNIT_BITS: u32 = 17;
const UNIT_MASK: u32 = (1 << UNIT_BITS) - 1;
const CHUNK_BITS: u32 = 11;
const CHUNKS: usize = 1 << CHUNK_BITS;
/// Chunks that a table has room to name from the start: a table of a few nodes should take a few kilobytes.
const CHUNKS_NEAR: usize = 64;
/// The first chunk of a class: a table of a few nodes should take a few kilobytes.
const CHUNK_BYTES_MIN: usize = BLOCK_BYTES_MIN;
/// The largest chunk, a huge page: of a large table it is a small part.
const CHUNK_BYTES_MAX: usize = UNIT << UNIT_BITS;
/// Records of a chunk that is kept though it is empty, at least.
const MANY: usize = 16;
/// Sizes, from the smallest, of which the shared records have chunks of their own: up to 128 bytes.
const SHARED_CLASSES: usize = 8;
/// Classes of one unit's difference.
const FINE: usize = 16;
const _: () = assert!(CHUNKS * CHUNK_BYTES_MAX == FIB_ARENA_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ADDRESS_BYTES_MAX;

    /// A class is the smallest that holds its size, and wastes little.
    #[test]
    fn classes_fit() {
        for bytes in 1..300_000 {
            let class = class_of(bytes);
            let size = units_of(class) * UNIT;
            assert!(
                bytes <= size && size <= (bytes + UNIT).max(bytes * 9 / 8 + 2 * UNIT),
                "{bytes}"
            );
            assert!(class == 0 || bytes > units_of(class - 1) * UNIT, "{bytes}");
        }
    }

    /// Records of mixed sizes, freed in another order and taken again: none overlaps another, all
    /// chunks but one a class come back.
    #[test]
    fn records_do_not_overlap() {
        let (arena, mut allocator) = (Arena::new(), Allocator::new());
        let rounds = if cfg!(miri) { 40 } else { 4_000 };
        for _ in 0..3 {
            let mut records = Vec::new();
            for round in 0..rounds {
                let bytes = [48, 33, 700, 16][round % 4];
                let record = allocator.allocate(&arena, bytes);
                assert!(bytes <= allocator.bytes_of(record));
                // SAFETY: the record is this test's own and has so many bytes.
                unsafe { arena.at(record).write_bytes(round as u8, bytes) };
                records.push((record, bytes, round as u8));
            }
            for (record, bytes, value) in records.into_iter().rev() {
                // SAFETY: the record is this test's own, and all its bytes were written.
                let written = unsafe { std::slice::from_raw_parts(arena.at(record), bytes) };
                assert!(written.iter().all(|byte| *byte == value));
                // SAFETY: it came from here, is freed once, and nobody else reads it.
                unsafe { allocator.free(&arena, record) };
            }
            assert_eq!(allocator.chunks.iter().flatten().count(), 3, "48 and 33 share a class");
        }
        assert!(
            allocator.take_all().chunks.iter().flatten().count() == 3 && allocator.bytes() == 0
        );
    }

    /// Records of all sizes, plain and shared, in equal numbers: the worst use of the numbers of chunks. Long
    /// before there are none left it is said that there is no more room.
    ///
    /// Method: until it is said, and then on, more than any one request can take. Nothing is written into the
    /// records, so the system gives no memory for most of them.
    #[test]
    fn numbers_of_chunks_last_until_it_is_said() {
        let (arena, mut allocator) = (Arena::new(), Allocator::new());
        let round = |allocator: &mut Allocator| {
            for units in 1..=ADDRESS_BYTES_MAX.div_ceil(UNIT) + 1 {
                allocator.allocate(&arena, units * UNIT);
                allocator.allocate_shared(&arena, units * UNIT);
            }
        };
        while allocator.has_numbers() {
            round(&mut allocator);
        }
        assert!(allocator.bytes() > 256 << 20, "{} bytes", allocator.bytes());
        (0..500).for_each(|_| round(&mut allocator));
        drop(allocator.take_all());
    }
}
