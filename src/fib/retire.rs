//! What the writer took out and readers may still be at.
//!
//! Records, of which there are many, wait in a list of their own, four bytes each. One closure at a
//! time is given to crossbeam-epoch; when it runs, every guard that was there when it was given has
//! gone, and with them all readers of what had been taken out by then. So a reader that stalls
//! holds back the records themselves, but no closure for each. Chunks, when all of them go at once, are
//! freed by a closure of their own, by whichever thread finds that their time has come.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use crossbeam_epoch as epoch;

use super::arena::{Chunks, Record};

/// The writer's list of what waits.
pub(super) struct Retired {
    /// Taken out before the closure under way was given.
    waiting: Vec<Record>,
    /// Taken out since.
    later: Vec<Record>,
    /// Closures given.
    given: u64,
    shared: Arc<Shared>,
    record_bytes: usize,
    /// Records added since the last closure was thought of, and their bytes.
    added: usize,
    added_bytes: usize,
}

struct Shared {
    /// The last closure that ran.
    passed: AtomicU64,
    /// Bytes of chunks not freed yet.
    bytes: AtomicUsize,
}

impl Retired {
    pub(super) fn new() -> Retired {
        let shared = Shared { passed: AtomicU64::new(0), bytes: AtomicUsize::new(0) };
        Retired {
            waiting: Vec::new(),
            later: Vec::new(),
            given: 0,
            shared: Arc::new(shared),
            record_bytes: 0,
            added: 0,
            added_bytes: 0,
        }
    }

    /// Bytes of everything that waits.
    pub(super) fn bytes(&self) -> usize {
        self.record_bytes + self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Takes note of a record of `bytes` that readers can't come to any more.
    pub(super) fn add(&mut self, record: Record, bytes: usize) {
        self.record_bytes += bytes;
        self.later.push(record);
        self.added += 1;
        self.added_bytes += bytes;
    }

    /// True if a writer that does not publish should see to what waits.
    pub(super) fn is_due(&self) -> bool {
        self.added >= ADDED_MAX || self.added_bytes >= ADDED_BYTES_MAX
    }

    /// True if any records wait.
    pub(super) fn has_records(&self) -> bool {
        !self.waiting.is_empty() || !self.later.is_empty()
    }

    /// Records whose readers are gone; `bytes_of` tells of each what it was added with.
    pub(super) fn passed(&mut self, bytes_of: impl Fn(Record) -> usize) -> Vec<Record> {
        if !self.has_passed() {
            return Vec::new();
        }
        let passed = std::mem::take(&mut self.waiting);
        self.record_bytes -= passed.iter().map(|record| bytes_of(*record)).sum::<usize>();
        passed
    }

    /// Gives the next closure if there is none under way, and lets epochs move on.
    pub(super) fn hand_on(&mut self) {
        (self.added, self.added_bytes) = (0, 0);
        let guard = epoch::pin();
        if self.waiting.is_empty() && !self.later.is_empty() {
            self.waiting = std::mem::take(&mut self.later);
            self.given += 1;
            let (shared, number) = (Arc::clone(&self.shared), self.given);
            guard.defer(move || shared.passed.fetch_max(number, Ordering::AcqRel));
        }
        guard.flush();
    }

    /// Frees `chunks`, of `bytes`, once the readers are gone.
    pub(super) fn free_chunks(&self, chunks: Chunks, bytes: usize) {
        let shared = Arc::clone(&self.shared);
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        epoch::pin().defer(move || {
            drop(chunks);
            shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
        });
    }

    fn has_passed(&self) -> bool {
        self.shared.passed.load(Ordering::Acquire) == self.given
    }
}

/// Records added before a writer that does not publish sees to them by itself.
const ADDED_MAX: usize = 1_024;
/// Bytes of records added before it does: one large part of the directory.
const ADDED_BYTES_MAX: usize = 256 << 10;
