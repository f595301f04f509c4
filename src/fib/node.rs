//! The record of one node of the trie: its place under its parent and the last segment of its
//! prefix.
//!
//! What a reader sees of it never changes. The entries are not here but in the directory's slot
//! (see [`super::slot`]); a look-up reads the record only to make sure that the slot is the right
//! one, which it may do behind the answer.
//!
//! ```text
//! 0                                                          8          12
//! parent (28 bits) · length (12 bits) · hash (24 bits)       children · segment …
//! ```

use std::{marker::PhantomData, slice};

use super::{
    arena::{Allocator, Arena, Record},
    hash::Hash,
    text::is_equal,
};

/// A node whose record is not freed within `'g`.
#[derive(Clone, Copy)]
pub(super) struct Node<'g> {
    at: *mut u8,
    arena: PhantomData<&'g Arena>,
}

impl<'g> Node<'g> {
    /// The node of `record`.
    ///
    /// # Safety
    /// The record was made by [`Node::create`] in this arena and is not freed within `'g`.
    #[inline]
    pub(super) unsafe fn at(arena: &'g Arena, record: Record) -> Node<'g> {
        Node { at: arena.at(record), arena: PhantomData }
    }

    /// A record for a new node without children. `segment` is what it adds to its parent's prefix,
    /// without the `/`.
    pub(super) fn create(
        arena: &Arena,
        allocator: &mut Allocator,
        parent: Record,
        segment: &[u8],
        hash: Hash,
    ) -> Record {
        let bytes = SEGMENT_AT + segment.len();
        // All look-ups of a domain read its record.
        let record = match parent {
            Record::NONE => allocator.allocate_shared(arena, bytes),
            _ => allocator.allocate(arena, bytes),
        };
        let header = u64::from(parent.0)
            | (segment.len() as u64) << LENGTH_SHIFT
            | u64::from(hash.0 >> 8) << HASH_SHIFT;
        let at = arena.at(record);
        // SAFETY: the record was just allocated with so many bytes, aligned to 16, and nobody else
        // knows it.
        unsafe {
            at.cast::<u64>().write(header);
            at.add(CHILDREN_AT).cast::<u32>().write(0);
            at.add(SEGMENT_AT).copy_from_nonoverlapping(segment.as_ptr(), segment.len());
        }
        record
    }

    /// The parent, or [`Record::NONE`] for `scheme://domain`.
    #[inline]
    pub(super) fn parent(self) -> Record {
        Record(self.header() as u32 & ((1 << Record::BITS) - 1))
    }

    /// True if this is the node for `segment`, whatever its parent.
    #[inline(always)]
    pub(super) fn is_named(self, segment: &[u8]) -> bool {
        is_equal(self.segment(), segment)
    }

    /// True if this is the node for `segment` under `parent`.
    #[inline]
    pub(super) fn is(self, parent: Record, segment: &[u8]) -> bool {
        self.parent() == parent && self.is_named(segment)
    }

    /// The hash that it was made with, whose tag is `tag`.
    pub(super) fn hash(self, tag: u8) -> Hash {
        Hash((self.header() >> HASH_SHIFT) as u32 * 256 + u32::from(tag))
    }

    /// Nodes whose parent this is. Only the writer asks.
    pub(super) fn children(self) -> u32 {
        // SAFETY: the record is there, with an initialised number at this place, which only the
        // writer, who asks, reads and writes.
        unsafe { self.at.add(CHILDREN_AT).cast::<u32>().read() }
    }

    /// Sets [`Self::children`]. Only the writer does.
    pub(super) fn set_children(self, children: u32) {
        // SAFETY: as in `children`; no reference to these four bytes is ever made.
        unsafe { self.at.add(CHILDREN_AT).cast::<u32>().write(children) };
    }

    #[inline]
    fn header(self) -> u64 {
        // SAFETY: the record is there for `'g` and begins with a header that never changes.
        unsafe { self.at.cast::<u64>().read() }
    }

    #[inline]
    fn segment(self) -> &'g [u8] {
        let length = (self.header() >> LENGTH_SHIFT) as usize & LENGTH_MASK;
        // SAFETY: `create` wrote so many bytes there; they never change and stay for `'g`.
        unsafe { slice::from_raw_parts(self.at.add(SEGMENT_AT), length) }
    }
}

const LENGTH_SHIFT: u32 = Record::BITS;
/// Enough for the longest address.
const LENGTH_MASK: usize = 0xfff;
const HASH_SHIFT: u32 = 40;
const CHILDREN_AT: usize = 8;
const SEGMENT_AT: usize = 12;
const _: () =
    assert!(crate::limits::ADDRESS_BYTES_MAX <= LENGTH_MASK && LENGTH_SHIFT + 12 == HASH_SHIFT);
