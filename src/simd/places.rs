//! Where the marked bytes of some blocks stand, in a buffer that nobody has to clear first.

use std::mem::MaybeUninit;

use super::{BLOCK_BYTES, Blocks};

/// Blocks that can be taken into one [Room].
pub(crate) const BLOCKS_MAX: usize = 16;

/// A block more than can be marked: the places of each are written into a whole block's room.
const ROOM: usize = (BLOCKS_MAX + 1) * BLOCK_BYTES;

/// The buffer, apart from how much of it is written, so that this can stay in a register.
pub(crate) struct Room([MaybeUninit<u16>; ROOM]);

impl Room {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Room([const { MaybeUninit::uninit() }; ROOM])
    }

    #[inline(always)]
    pub(crate) fn places(&mut self) -> Places<'_> {
        Places { room: &mut self.0, len: 0 }
    }
}

/// Places count from the start of the first block.
pub(crate) struct Places<'a> {
    room: &'a mut [MaybeUninit<u16>; ROOM],
    /// At most `ROOM`; the places before it are written.
    len: usize,
}

const _: () = assert!(ROOM <= u16::MAX as usize);

impl Places<'_> {
    /// Appends the places that `mask` marks in the block that starts at `start`.
    ///
    /// # Panics
    /// If the room of [`BLOCKS_MAX`] blocks is used up.
    #[inline(always)]
    pub(crate) fn push(&mut self, blocks: impl Blocks, mask: u64, start: u16) {
        assert!(self.len <= ROOM - BLOCK_BYTES, "at most so many blocks");
        let room = &mut self.room[self.len..][..BLOCK_BYTES];
        let room = room.first_chunk_mut().expect("as long as a block");
        blocks.write_places(mask, start, room);
        self.len += mask.count_ones() as usize;
    }

    #[inline(always)]
    pub(crate) fn written(&self) -> &[u16] {
        let written = self.room[..self.len].as_ptr().cast();
        // SAFETY: every `write_places` writes as many places as its mask has bits, and `len` counts those
        // bits.
        unsafe { std::slice::from_raw_parts(written, self.len) }
    }
}
