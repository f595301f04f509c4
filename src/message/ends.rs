//! Whether two messages go between the same two ends, byte for byte. No address is read here.

use super::{Message, envelope::Member};

impl Message {
    /// True if `to` stands in both messages in the same bytes, escapes and all: what is known of the one
    /// holds for the other. O(length of `to`).
    #[inline]
    pub fn has_same_to(&self, other: &Message) -> bool {
        self.raw(Member::To) == other.raw(Member::To)
    }

    /// The same for `from`.
    #[inline]
    pub fn has_same_from(&self, other: &Message) -> bool {
        self.raw(Member::From) == other.raw(Member::From)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(from: &str, to: &str) -> Message {
        let text = format!(r#"{{"type":"update","to":{to},"from":"{from}"}}"#);
        Message::parse(Bytes::from(text)).expect("a message")
    }

    #[test]
    fn the_same_bytes_are_the_same_ends_and_nothing_else_is() {
        let one = message("a://b/1", r#""a://b/2""#);
        for (other, from, to) in [
            (message("a://b/1", r#""a://b/2""#), true, true),
            (message("a://b/1", r#""a://b/2/""#), true, false),
            (message("a://b/", r#""a:\u002f/b/2""#), false, false),
            (message("a://b/1", r#"["a://b/2"]"#), true, false),
        ] {
            assert_eq!((one.has_same_from(&other), one.has_same_to(&other)), (from, to));
        }
    }
}
