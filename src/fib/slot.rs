//! What one slot of the directory says: a node, whether it has children, and its entries.
//!
//! All in one word, so that an edit of the entries is one atomic store and a look-up that stands
//! before the slot has its answer. No entry and one are in the word itself; several are a list,
//! whose record is in the word. See [`super::entries`] for what the entries mean.
//!
//! ```text
//! bits 32..64: target, or record of the list    29..32: kind    28: has children    0..28: node
//! ```

use super::arena::Record;

/// The content of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u64);

/// The entries' part of a slot, all other bits 0. [`Word::NONE`]: no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Slot {
    /// A slot for `node`.
    pub(super) fn new(node: Record, has_children: bool, word: Word) -> Slot {
        Slot(word.0 | u64::from(has_children) << CHILDREN_BIT | u64::from(node.0))
    }

    #[inline]
    pub(super) fn node(self) -> Record {
        Record(self.0 as u32 & NODE_MASK)
    }

    #[inline]
    pub(super) fn has_children(self) -> bool {
        self.0 >> CHILDREN_BIT & 1 != 0
    }

    #[inline]
    pub(super) fn word(self) -> Word {
        Word(self.0 >> KIND_SHIFT << KIND_SHIFT)
    }

    pub(super) fn with_word(self, word: Word) -> Slot {
        Slot::new(self.node(), self.has_children(), word)
    }

    pub(super) fn with_children(self, has_children: bool) -> Slot {
        Slot::new(self.node(), has_children, self.word())
    }
}

impl Word {
    pub(super) const NONE: Word = Word(0);

    pub(super) fn new(kind: u64, value: u32) -> Word {
        Word(u64::from(value) << 32 | kind << KIND_SHIFT)
    }

    /// 1 to 7, or 0 for [`Word::NONE`].
    #[inline]
    pub(super) fn kind(self) -> u64 {
        self.0 >> KIND_SHIFT & 7
    }

    /// The target, or the list's record.
    #[inline]
    pub(super) fn value(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

const NODE_MASK: u32 = (1 << Record::BITS) - 1;
const CHILDREN_BIT: u32 = Record::BITS;
const KIND_SHIFT: u32 = CHILDREN_BIT + 1;
