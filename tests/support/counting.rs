//! A global allocator that counts: bytes that are live in the whole process, and what the calling thread has
//! asked for. Bytes are those asked for, without what the allocator needs itself, which is much the same for
//! all.
//!
//! For tests and benches; each that has this file counts everything in its process. It costs four additions
//! an allocation, on every side of a bench that uses it.
#![allow(dead_code)] // Each takes what it needs.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static ASKED: Cell<Asked> = const { Cell::new(Asked { times: 0, bytes: 0 }) };
}

/// Bytes that are allocated and not freed, by all threads.
pub(crate) fn live_bytes() -> usize {
    LIVE_BYTES.load(Relaxed)
}

/// What was asked for: new memory, and more or less of what there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) times: usize,
    pub(crate) bytes: usize,
}

impl Asked {
    pub(crate) const NOTHING: Asked = Asked { times: 0, bytes: 0 };

    /// True if neither is more than in `bound`.
    pub(crate) fn is_within(self, bound: Asked) -> bool {
        self.times <= bound.times && self.bytes <= bound.bytes
    }
}

/// What this thread asks for in the course of `work`.
pub(crate) fn asked_by(work: impl FnOnce()) -> Asked {
    let before = ASKED.get();
    work();
    let after = ASKED.get();
    Asked { times: after.times - before.times, bytes: after.bytes - before.bytes }
}

fn count_asked(bytes: usize) {
    let Asked { times, bytes: before } = ASKED.get();
    ASKED.set(Asked { times: times + 1, bytes: before + bytes });
}

struct Counting;

// SAFETY: every call is handed on to `System` as it is; the counters have no part in what memory is given
// out, and that of a thread is a constant without a destructor, which needs no allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Relaxed);
        count_asked(layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Relaxed);
        count_asked(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        LIVE_BYTES.fetch_add(bytes.wrapping_sub(layout.size()), Relaxed);
        count_asked(bytes);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}
