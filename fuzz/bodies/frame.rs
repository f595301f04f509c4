//! What the fuzz target `frame` does, as a plain function: the same bytes, in chunks and naively.
//!
//! The first eight bytes say where the rest is cut.

use bytes::Bytes;
use hyperty_router::transport::frame::{Frame, FrameDecoder, FrameError};

use crate::naive_frame::{PAYLOAD_BYTES_MAX, naive};

/// Reads `data` both ways.
///
/// # Panics
/// If the two readings differ.
pub(crate) fn run(data: &[u8]) {
    let Some((cuts, bytes)) = data.split_at_checked(8) else { return };
    let cuts: Vec<usize> = cuts.iter().map(|&cut| cut.into()).collect();
    assert_eq!(chunked(&Bytes::copy_from_slice(bytes), &cuts), naive(bytes));
}

/// What [`FrameDecoder`] makes of the same bytes in chunks that end at `cuts`.
pub(crate) fn chunked(bytes: &Bytes, cuts: &[usize]) -> (Vec<Frame>, Result<bool, FrameError>) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut decoder = FrameDecoder::new(PAYLOAD_BYTES_MAX);
    let mut frames = Vec::new();
    for ends in cuts.windows(2) {
        decoder.feed(bytes.slice(ends[0]..ends[1]));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(decoder.is_between_frames()))
}
