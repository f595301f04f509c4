//! The numbering by Message Node: `{"hop":["<stream>",<number>],` before the rest of a message, put on and
//! taken off by slicing. What the numbers mean is not known here.

use bytes::{Buf, Bytes, BytesMut};

use super::envelope::{Envelope, Member};

/// A number within a stream, as a message carries it by Message Node: `{"hop":["<stream>",<number>],`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The stream: 128 random bits, 32 lower-case hexadecimal digits on the wire.
    pub stream: u128,
    /// The number within the stream, from 1.
    pub number: u64,
}

/// Bytes that [`write_hop`] writes at most: 9 before the stream, 32 of it, 2 between, a number of 20, 2
/// behind.
pub const HOP_BYTES_MAX: usize = 65;

/// Writes `{"hop":["<stream>",<number>],`, the slice that goes before the
/// [`members`](super::Message::members) of the message. At most [`HOP_BYTES_MAX`] bytes.
///
/// ```
/// use hyperty_router::message::{Hop, write_hop};
///
/// let mut slice = Vec::new();
/// write_hop(Hop { stream: 0xabc, number: 7 }, &mut slice);
/// assert_eq!(slice, br#"{"hop":["00000000000000000000000000000abc",7],"#);
/// ```
pub fn write_hop(hop: Hop, out: &mut impl Extend<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend(OPENING.iter().copied());
    out.extend((0..32).rev().map(|digit| HEX[(hop.stream >> (4 * digit)) as usize & 15]));
    out.extend(*b"\",");
    let mut digits = [0; 20];
    let mut first = digits.len();
    let mut rest = hop.number;
    while first == digits.len() || rest > 0 {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend(digits[first..].iter().copied());
    out.extend(*b"],");
}

/// The hop that `bytes` begin with, written exactly as [`write_hop`] does, and where its comma stands.
pub(super) fn hop_prefix(bytes: &[u8]) -> Option<(Hop, usize)> {
    let rest = bytes.strip_prefix(OPENING)?;
    let (stream, rest) = rest.split_at_checked(32)?;
    let stream = stream.iter().try_fold(0, |stream, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(stream << 4 | digit as u128)
    })?;
    let rest = rest.strip_prefix(b"\",")?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let number = read_number(&rest[..digits])?;
    let behind = rest[digits..].strip_prefix(b"],")?;
    Some((Hop { stream, number }, bytes.len() - behind.len() - 1))
}

/// `bytes` from `comma` on, with `{` in the comma's place, and the envelope of what remains.
///
/// O(1) in place if nobody else holds the bytes and they can be written; else one copy.
pub(super) fn take_off(
    mut bytes: Bytes,
    mut envelope: Envelope,
    comma: usize,
) -> (Bytes, Envelope) {
    bytes.advance(comma);
    let mut bytes = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    bytes[0] = b'{';
    envelope.clear(Member::Hop);
    envelope.shift(comma, -(comma as isize));
    (bytes.freeze(), envelope)
}

const OPENING: &[u8] = br#"{"hop":[""#;

/// A number from 1 to `u64::MAX` without leading zeros.
fn read_number(digits: &[u8]) -> Option<u64> {
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add((digit - b'0') as u64))
}
