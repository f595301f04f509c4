//! One node of the trie: its place under its parent, the last segment of its prefix, its entries.
//!
//! A node is one allocation, its segment behind its header, so that a look-up touches one or two lines.
//! What a reader sees of it never changes but the entries, which are one atomic word. This module does not
//! know where nodes are found, nor when it is safe to free one.
//!
//! ```text
//! 0        8         16         20     24        26
//! parent · entries · children · hash · length · segment …
//! ```

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    marker::PhantomData,
    mem::offset_of,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use crossbeam_epoch::Guard;

/// A node that stays allocated for `'g`, the life of a guard that was pinned before the node was found.
#[derive(Clone, Copy)]
pub(super) struct Node<'g> {
    header: NonNull<Header>,
    guard: PhantomData<&'g Guard>,
}

/// The fixed part of a node.
#[repr(C)]
pub(super) struct Header {
    parent: *const Header,
    /// See [`super::entries`].
    entries: AtomicU64,
    /// Nodes whose parent this is. Only the writer reads and writes it.
    children: AtomicU32,
    /// The high half of the keyed hash of the whole prefix.
    hash: u32,
    length: u16,
}

impl<'g> Node<'g> {
    /// A new node without entries and children, to be freed by [`free`].
    pub(super) fn new(parent: Option<Node<'g>>, segment: &[u8], hash: u32) -> Node<'g> {
        let layout = layout(segment.len());
        let header = Header {
            parent: parent_pointer(parent),
            entries: AtomicU64::new(0),
            children: AtomicU32::new(0),
            hash,
            length: u16::try_from(segment.len()).expect("an address is at most 2,048 bytes long"),
        };
        // SAFETY: the layout is not of size zero; it has room and alignment for the header at its start
        // and for the segment from `SEGMENT_AT` on, which is written last, over the header's padding.
        unsafe {
            let bytes = alloc(layout);
            let Some(at) = NonNull::new(bytes.cast::<Header>()) else { handle_alloc_error(layout) };
            at.write(header);
            ptr::copy_nonoverlapping(segment.as_ptr(), bytes.add(SEGMENT_AT), segment.len());
            Node { header: at, guard: PhantomData }
        }
    }

    /// The node at `header`, if that is not null.
    ///
    /// # Safety
    /// `header` came from [`Node::as_ptr`] and is not freed within `'g`.
    pub(super) unsafe fn from_ptr(header: *mut Header) -> Option<Node<'g>> {
        NonNull::new(header).map(|header| Node { header, guard: PhantomData })
    }

    pub(super) fn as_ptr(self) -> *mut Header {
        self.header.as_ptr()
    }

    /// True if this is the node for `segment` under `parent`.
    pub(super) fn is(self, parent: Option<Node<'_>>, segment: &[u8]) -> bool {
        ptr::eq(self.header().parent, parent_pointer(parent)) && self.segment() == segment
    }

    /// The packed entries.
    pub(super) fn entries(self) -> u64 {
        self.header().entries.load(Ordering::Acquire)
    }

    /// Replaces the packed entries. Only the writer calls this.
    pub(super) fn set_entries(self, entries: u64) {
        self.header().entries.store(entries, Ordering::Release);
    }

    /// The high half of the keyed hash of the whole prefix.
    pub(super) fn hash(self) -> u32 {
        self.header().hash
    }

    /// Counts one child more. Only the writer calls this.
    pub(super) fn add_child(self) {
        let children = &self.header().children;
        children.store(children.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Counts one child less. Only the writer calls this.
    pub(super) fn remove_child(self) {
        let children = &self.header().children;
        children.store(children.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// True if it carries nothing and leads nowhere.
    pub(super) fn is_unused(self) -> bool {
        self.entries() == 0 && self.header().children.load(Ordering::Relaxed) == 0
    }

    /// Bytes it is allocated with, without the allocator's own.
    pub(super) fn bytes(self) -> usize {
        layout(self.header().length as usize).size()
    }

    fn header(&self) -> &'g Header {
        // SAFETY: the header is initialised and stays allocated for `'g`; what changes in it is atomic.
        unsafe { self.header.as_ref() }
    }

    fn segment(&self) -> &'g [u8] {
        let length = self.header().length as usize;
        // SAFETY: `new` initialised so many bytes there within the same allocation, whose provenance
        // `header` has; they never change and stay for `'g`.
        unsafe { slice::from_raw_parts(self.header.as_ptr().cast::<u8>().add(SEGMENT_AT), length) }
    }
}

/// Frees a node.
///
/// # Safety
/// `header` came from [`Node::as_ptr`], is freed only this once, and no `Node` for it is used any more.
pub(super) unsafe fn free(header: *mut Header) {
    // SAFETY: by the contract the node is still allocated, with the layout of its length; a header
    // needs no drop.
    unsafe {
        let layout = layout((*header).length as usize);
        dealloc(header.cast(), layout);
    }
}

fn parent_pointer(parent: Option<Node<'_>>) -> *const Header {
    parent.map_or(ptr::null(), |parent| parent.as_ptr().cast_const())
}

fn layout(length: usize) -> Layout {
    let bytes = (SEGMENT_AT + length).max(size_of::<Header>());
    Layout::from_size_align(bytes, align_of::<Header>()).expect("a segment is at most 2,048 bytes")
}

/// Where the segment starts: in the padding at the header's end.
const SEGMENT_AT: usize = offset_of!(Header, length) + size_of::<u16>();
