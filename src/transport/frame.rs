//! The frame of a P2P link, pure bytes: no socket is here.
//!
//! ```text
//! length  varint   counts what follows it
//! kind    varint   0 message, 1 control
//! number  varint   messages only; 0 is plain
//! bytes            the message, or the control object
//! ```
//!
//! Varints are those of RFC 9000 §16. The frame lies in the stream at no alignment with what the reads give.
//! A control frame without bytes says nothing; it opens a stream ([`OPENING`]) and is passed over.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::{
    limits::{COALESCED_BYTES_MAX, FRAME_HEAD_BYTES_MAX},
    link::Outgoing,
};

/// What opens a stream: a control frame without bytes, sent first by the accepting side once it knows who is
/// there and then by the dialling side on the connection that it keeps.
pub const OPENING: [u8; 2] = [1, 1];

/// The largest value of a varint, 2^62 − 1.
pub const VARINT_MAX: u64 = (1 << 62) - 1;

/// Bytes set aside for a frame of which the beginning has come, if it is that long; more only as more comes.
const PARTIAL_BYTES_FIRST: usize = 16 << 10;
/// Bytes by which that room grows at most, once more has come.
const PARTIAL_BYTES_STEP: usize = 64 << 10;
/// Bytes of the buffer that small frames across chunks share: some ten of them for one allocation, and no
/// more than this is kept alive by a message that stays.
const SHARED_PARTIAL_BYTES: usize = 4 << 10;
/// Bytes of a frame across chunks up to which it shares that buffer.
const SHARING_BYTES_MAX: usize = 1 << 10;

const MESSAGE: u64 = 0;
const CONTROL: u64 = 1;

/// One frame, its bytes shared with the chunk it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Message {
        /// Its number in the stream of its sender; 0 is plain.
        number: u64,
        /// The message.
        bytes: Bytes,
    },
    /// A control object.
    Control(Bytes),
}

/// Cuts a byte stream into frames, whatever chunks it comes in.
///
/// A frame that lies within one chunk is a slice of it; one across chunks is copied once. Memory: the chunk
/// being read, at most one frame of the allowed length, and a buffer of 4 KiB until [`FrameDecoder::rest`].
#[derive(Debug)]
pub struct FrameDecoder {
    payload_bytes_max: usize,
    chunk: Bytes,
    /// The beginning of a frame that the chunks so far did not complete.
    partial: BytesMut,
}

impl FrameDecoder {
    /// A decoder that refuses payloads of more than `payload_bytes_max` bytes.
    pub fn new(payload_bytes_max: usize) -> Self {
        FrameDecoder { payload_bytes_max, chunk: Bytes::new(), partial: BytesMut::new() }
    }

    /// Takes the next chunk of the stream, once [`FrameDecoder::next_frame`] has returned `None`.
    ///
    /// # Panics
    /// If the chunk before it was not used up.
    pub fn feed(&mut self, chunk: Bytes) {
        assert!(self.chunk.is_empty(), "feed: the last chunk has {} bytes left", self.chunk.len());
        self.chunk = chunk;
    }

    /// The next frame, or `None` when more bytes are needed. O(1) for a frame within one chunk.
    ///
    /// # Errors
    /// [`FrameError`]; the stream cannot be read any further then.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if !self.partial.is_empty() {
            return self.complete_partial();
        }
        match self.whole_length(&self.chunk)? {
            Some(bytes) if bytes <= self.chunk.len() => {
                let frame = self.chunk.split_to(bytes);
                self.parse(frame).map(Some)
            }
            whole => {
                self.begin_partial(whole.unwrap_or(0));
                Ok(None)
            }
        }
    }

    /// True if the stream may end here: no frame has begun.
    pub fn is_between_frames(&self) -> bool {
        self.chunk.is_empty() && self.partial.is_empty()
    }

    /// Keeps no memory that is not in use.
    pub fn rest(&mut self) {
        if self.partial.is_empty() && self.partial.capacity() > 0 {
            self.partial = BytesMut::new();
        }
    }

    /// What is left of the chunk is the beginning of a frame of `bytes`, or of one of which that isn't known.
    fn begin_partial(&mut self, bytes: usize) {
        let wanted = bytes.max(self.chunk.len());
        if wanted > SHARING_BYTES_MAX {
            // Room for the whole frame at once, unless it is so large that its beginning deserves none yet.
            let room = bytes.min(PARTIAL_BYTES_FIRST).max(self.chunk.len());
            self.partial = BytesMut::with_capacity(room);
        } else if self.partial.capacity() < wanted {
            self.partial = BytesMut::with_capacity(SHARED_PARTIAL_BYTES);
        }
        self.partial.extend_from_slice(&self.chunk);
        self.chunk.clear();
    }

    fn complete_partial(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let wanted = match self.whole_length(&self.partial)? {
                Some(bytes) => bytes - self.partial.len(),
                None => varint_bytes(self.partial[0]) - self.partial.len(),
            };
            if wanted == 0 {
                let frame = self.partial.split().freeze();
                return self.parse(frame).map(Some);
            }
            if self.chunk.is_empty() {
                return Ok(None);
            }
            let taken = wanted.min(self.chunk.len());
            self.partial.reserve(wanted.min(PARTIAL_BYTES_STEP).max(taken));
            self.partial.extend_from_slice(&self.chunk[..taken]);
            self.chunk.advance(taken);
        }
    }

    /// Bytes of the frame that begins in `bytes`, its length field included, if that field is there whole.
    #[inline]
    fn whole_length(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some((length, field)) = read_varint(bytes) else { return Ok(None) };
        let bytes_max = self.payload_bytes_max + FRAME_HEAD_BYTES_MAX;
        match usize::try_from(length) {
            Ok(length) if length <= bytes_max => Ok(Some(field + length)),
            _ => Err(FrameError::TooLong { bytes: length, bytes_max: self.payload_bytes_max }),
        }
    }

    /// Takes the head off a whole frame.
    #[inline]
    fn parse(&self, mut frame: Bytes) -> Result<Frame, FrameError> {
        let mut head = 0;
        let mut next = || {
            let (value, size) = read_varint(&frame[head..]).ok_or(FrameError::HeadCutShort)?;
            head += size;
            Ok(value)
        };
        next()?;
        let (kind, number) = match next()? {
            MESSAGE => (MESSAGE, next()?),
            kind => (kind, 0),
        };
        frame.advance(head);
        if kind > CONTROL {
            return Err(FrameError::UnknownKind { kind });
        }
        if frame.len() > self.payload_bytes_max {
            let (bytes, bytes_max) = (frame.len() as u64, self.payload_bytes_max);
            return Err(FrameError::TooLong { bytes, bytes_max });
        }
        Ok(match kind {
            MESSAGE => Frame::Message { number, bytes: frame },
            _ => Frame::Control(frame),
        })
    }
}

/// Gathers frames into few buffers for one write.
///
/// Small payloads are copied next to their heads into one buffer; large ones stay the caller's, shared.
#[derive(Debug, Default)]
pub struct BatchEncoder {
    buffer: BytesMut,
    chunks: Chunks,
    bytes: usize,
}

/// What one write carries: most often one buffer.
pub type Chunks = SmallVec<[Bytes; 1]>;

impl BatchEncoder {
    /// Makes room for exactly `items`, so that a batch costs one allocation.
    pub fn reserve(&mut self, items: &[Outgoing]) {
        let copied = |item: &Outgoing| match payload(item).len() {
            bytes if bytes <= COALESCED_BYTES_MAX => head_bytes(item) + bytes,
            _ => head_bytes(item),
        };
        self.buffer.reserve(items.iter().map(copied).sum());
    }

    /// Adds one frame.
    ///
    /// # Panics
    /// If a number is over [`VARINT_MAX`], which no sender reaches by counting.
    pub fn push(&mut self, item: &Outgoing) {
        let payload = payload(item);
        let mut head = Head::default();
        head.put(counted_bytes(item) as u64);
        match item {
            Outgoing::Message { hop, .. } => {
                head.put(MESSAGE);
                head.put(hop.map_or(0, |hop| hop.number));
            }
            Outgoing::Control(_) => head.put(CONTROL),
        }
        self.buffer.extend_from_slice(&head.bytes[..head.length]);
        self.bytes += head.length + payload.len();
        if payload.len() <= COALESCED_BYTES_MAX {
            self.buffer.extend_from_slice(payload);
        } else {
            self.chunks.push(self.buffer.split().freeze());
            self.chunks.push(payload.clone());
        }
    }

    /// Bytes gathered so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The chunks gathered, to be written in order; the encoder is empty after it and holds no memory of
    /// theirs.
    pub fn take(&mut self) -> Chunks {
        if !self.buffer.is_empty() {
            self.chunks.push(std::mem::take(&mut self.buffer).freeze());
        }
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }
}

/// What the length field of the frame of `item` counts, in bytes.
fn counted_bytes(item: &Outgoing) -> usize {
    let number = match item {
        Outgoing::Message { hop, .. } => varint_size(hop.map_or(0, |hop| hop.number)),
        Outgoing::Control(_) => 0,
    };
    1 + number + payload(item).len()
}

/// Bytes of the frame of `item` before its payload.
fn head_bytes(item: &Outgoing) -> usize {
    let counted = counted_bytes(item);
    varint_size(counted as u64) + counted - payload(item).len()
}

fn payload(item: &Outgoing) -> &Bytes {
    match item {
        Outgoing::Message { bytes, .. } | Outgoing::Control(bytes) => bytes,
    }
}

/// The head of a frame as it is put together.
#[derive(Default)]
struct Head {
    bytes: [u8; FRAME_HEAD_BYTES_MAX],
    length: usize,
}

impl Head {
    #[inline]
    fn put(&mut self, value: u64) {
        let (bytes, size) = varint(value);
        self.bytes[self.length..self.length + size].copy_from_slice(&bytes[..size]);
        self.length += size;
    }
}

/// Appends `value` as an RFC 9000 varint, in its shortest form.
///
/// # Panics
/// If `value` is over [`VARINT_MAX`].
pub fn write_varint(into: &mut BytesMut, value: u64) {
    let (bytes, size) = varint(value);
    into.extend_from_slice(&bytes[..size]);
}

/// `value` as a varint in its shortest form, and how many of the bytes that is.
#[inline]
fn varint(value: u64) -> ([u8; 8], usize) {
    let size = varint_size(value);
    let marked = value | (size.trailing_zeros() as u64) << (8 * size - 2);
    ((marked << (64 - 8 * size)).to_be_bytes(), size)
}

/// The varint at the beginning of `bytes` and how many bytes it takes, or `None` if it isn't there whole.
#[inline]
pub fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let size = varint_bytes(*bytes.first()?);
    let value = match size {
        1 => u64::from(bytes[0]),
        2 => u64::from(u16::from_be_bytes(*bytes.first_chunk()?)),
        4 => u64::from(u32::from_be_bytes(*bytes.first_chunk()?)),
        _ => u64::from_be_bytes(*bytes.first_chunk()?),
    };
    Some((value & (u64::MAX >> (66 - 8 * size)), size))
}

/// Bytes of the varint whose first byte is `first`.
fn varint_bytes(first: u8) -> usize {
    1 << (first >> 6)
}

/// Bytes of the shortest varint of `value`.
fn varint_size(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => {
            assert!(value <= VARINT_MAX, "varint: {value} is over {VARINT_MAX}");
            8
        }
    }
}

/// Why a stream is no sequence of frames. All of these are the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame longer than allowed; nothing was allocated for it.
    TooLong {
        /// Bytes announced.
        bytes: u64,
        /// Payload bytes allowed.
        bytes_max: usize,
    },
    /// A kind that isn't known.
    UnknownKind {
        /// The kind.
        kind: u64,
    },
    /// The length ends inside the frame's own head.
    HeadCutShort,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { bytes, bytes_max } => {
                write!(f, "frame of {bytes} bytes, allowed are {bytes_max}")
            }
            FrameError::UnknownKind { kind } => write!(f, "unknown frame kind {kind}"),
            FrameError::HeadCutShort => f.write_str("frame length ends within the frame's head"),
        }
    }
}

impl std::error::Error for FrameError {}
