//! Tokens and identifiers: version 4 UUIDs from the random source that the node was given.

use std::fmt::Write;

/// Fills a buffer with random bytes. Given from outside, so that a simulation can repeat itself.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// A version 4 UUID in lower case, from 122 random bits.
pub(super) fn uuid(random: &mut Random) -> String {
    let mut bytes = [0; 16];
    random(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// True for eight, four, four, four and twelve hexadecimal digits with `-` between.
pub(super) fn is_uuid_shaped(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_uuid_shaped_and_of_version_4() {
        let mut next = 0x9e_u8;
        let mut random: Random = Box::new(move |bytes| {
            for byte in bytes {
                next = next.wrapping_mul(167).wrapping_add(13);
                *byte = next;
            }
        });
        let (one, two) = (uuid(&mut random), uuid(&mut random));
        assert!(is_uuid_shaped(&one) && is_uuid_shaped(&two));
        assert_ne!(one, two);
        assert_eq!(&one[14..15], "4");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"));
    }

    #[test]
    fn shapes_that_are_none() {
        let good = "01234567-89ab-cdef-ABCD-0123456789ab";
        assert!(is_uuid_shaped(good));
        for bad in ["", "alice", &good[1..], &good.replace('-', "0"), &good.replace('c', "g")] {
            assert!(!is_uuid_shaped(bad), "{bad}");
        }
    }
}
