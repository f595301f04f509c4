//! The P2P frame, read naively: everything at hand at once, every payload copied.

use bytes::Bytes;
use hyperty_router::{
    limits::FRAME_HEAD_BYTES_MAX,
    transport::frame::{Frame, FrameError},
};

/// What payloads are bounded by here, so that small inputs get over it.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 5_000;

/// The specification of [`FrameDecoder`]: all frames of `bytes`, the error that ends them, and whether
/// they end between two frames.
pub(crate) fn naive(mut bytes: &[u8]) -> (Vec<Frame>, Result<bool, FrameError>) {
    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let size = 1usize << (bytes.first()? >> 6);
        if bytes.len() < size {
            return None;
        }
        let mut word = [0; 8];
        word[8 - size..].copy_from_slice(&bytes[..size]);
        word[8 - size] &= 0x3f;
        *bytes = &bytes[size..];
        Some(u64::from_be_bytes(word))
    }
    let mut frames = Vec::new();
    loop {
        let mut rest = bytes;
        let Some(length) = varint(&mut rest) else { return (frames, Ok(bytes.is_empty())) };
        let too_long = |bytes| FrameError::TooLong { bytes, bytes_max: PAYLOAD_BYTES_MAX };
        if length > (PAYLOAD_BYTES_MAX + FRAME_HEAD_BYTES_MAX) as u64 {
            return (frames, Err(too_long(length)));
        }
        if (rest.len() as u64) < length {
            return (frames, Ok(bytes.is_empty()));
        }
        let (mut frame, behind) = rest.split_at(length as usize);
        bytes = behind;
        let kind = varint(&mut frame);
        let number = if kind == Some(0) { varint(&mut frame) } else { Some(0) };
        let (Some(kind), Some(number)) = (kind, number) else {
            return (frames, Err(FrameError::HeadCutShort));
        };
        if kind > 1 {
            return (frames, Err(FrameError::UnknownKind { kind }));
        }
        if frame.len() > PAYLOAD_BYTES_MAX {
            return (frames, Err(too_long(frame.len() as u64)));
        }
        let payload = Bytes::copy_from_slice(frame);
        frames.push(match kind {
            0 => Frame::Message { number, bytes: payload },
            _ => Frame::Control(payload),
        });
    }
}
