//! What the tables ask of memory beyond allocating it: huge pages, and lines ahead of their use.
//!
//! A look-up in a table of many megabytes touches a few lines, each on a page of its own. With pages of 4 KiB
//! the processor then walks its page tables for nearly every one of them, and within a virtual machine the
//! host's besides: often longer than the line itself takes. Chunks of whole huge pages therefore ask for
//! them. Nothing here allocates, and all of it is advice: without it everything works the same, slower.

/// Bytes of a huge page where most machines have them, and their alignment.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Asks for huge pages behind these bytes, which have not been written yet. Does nothing where the machine
/// cannot be asked, or for what is not made of whole huge pages.
pub(crate) fn advise_huge_pages(at: *mut u8, bytes: usize) {
    if bytes == 0
        || !bytes.is_multiple_of(HUGE_PAGE_BYTES)
        || !at.addr().is_multiple_of(HUGE_PAGE_BYTES)
    {
        return;
    }
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: this advice changes neither what the bytes hold nor who may use them, whoever owns them; for an
    // address that is not mapped it answers with an error. Whether it was taken makes no difference but to
    // speed.
    unsafe {
        libc::madvise(at.cast(), bytes, libc::MADV_HUGEPAGE);
    }
}

/// Asks for a line of memory, where the machine can be asked; a hint, so any address is fine.
#[inline]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
