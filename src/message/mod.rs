//! A message: shared bytes and the spans of its routing members. Skeleton; see the doc of each item.

use std::borrow::Cow;

use bytes::Bytes;

/// One message: its bytes, shared, and where `id`, `type`, `from`, `to`, `body` and `hop` stand in them.
///
/// Cloning shares the bytes. The bytes never change: what came in is what goes out.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Bytes,
}

impl Message {
    /// Scans `bytes` within the default limits.
    pub fn parse(bytes: Bytes) -> Result<Message, ParseError> {
        Message::parse_with(bytes, &ParseLimits::default())
    }
    /// Scans `bytes` within `limits`.
    pub fn parse_with(bytes: Bytes, limits: &ParseLimits) -> Result<Message, ParseError> {
        let _ = (bytes, limits);
        todo!()
    }
    /// The bytes as they came, without `hop` if it was taken off.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// The bytes, handed over.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
    /// The `id` as the JSON token it came as (`7` or `"7"`), if there is one.
    pub fn id(&self) -> Option<&str> {
        todo!()
    }
    /// What kind of message this is, by `type` in any case.
    pub fn kind(&self) -> Kind {
        todo!()
    }
    /// `type` as it came, unescaped.
    pub fn kind_text(&self) -> Cow<'_, str> {
        todo!()
    }
    /// `from`, unescaped (borrowed when it has no escape).
    pub fn from(&self) -> Cow<'_, str> {
        todo!()
    }
    /// `to`: one URL or a list.
    pub fn to(&self) -> To<'_> {
        todo!()
    }
    /// The raw bytes of `body` (an object), if there is one.
    pub fn body(&self) -> Option<&str> {
        todo!()
    }
    /// The body parsed with simd-json (copies it); `None` if there is no body or it is no JSON.
    pub fn body_value(&self) -> Option<simd_json::OwnedValue> {
        todo!()
    }
    /// Raw JSON text of the member found by following `path` through nested objects of the body, read
    /// on demand without building a tree: `body_member(&["value"])`.
    pub fn body_member(&self, path: &[&str]) -> Option<&str> {
        let _ = path;
        todo!()
    }
    /// The same, as an unescaped string; `None` if it is no string.
    pub fn body_text(&self, path: &[&str]) -> Option<Cow<'_, str>> {
        let _ = path;
        todo!()
    }
    /// The raw text of a top-level `hop` member, if there is one.
    pub fn hop(&self) -> Option<&str> {
        todo!()
    }
    /// If this message begins with `{"hop":["<stream>",<number>],`: the hop, and the message without it by
    /// slicing (the comma's place becomes `{`).
    pub fn split_hop(self) -> Result<(Hop, Message), Message> {
        todo!()
    }
    /// A copy of this message with `to` being the one string `to` (for an array `to`).
    pub fn with_to(&self, to: &str) -> Message {
        let _ = to;
        todo!()
    }
    /// Checks the whole text against RFC 8259.
    pub fn validate(&self) -> Result<(), ParseError> {
        todo!()
    }
}
/// `to` of a message.
#[derive(Debug)]
pub enum To<'a> {
    /// A string.
    One(Cow<'a, str>),
    /// An array of strings, possibly empty.
    Many(Vec<Cow<'a, str>>),
}
/// Numbering by Message Node: `{"hop":["<stream>",<number>],`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The stream: 128 random bits, 32 hexadecimal digits on the wire.
    pub stream: u128,
    /// The number within the stream, from 1.
    pub number: u64,
}
/// Bounds for one parse.
#[derive(Clone, Debug)]
pub struct ParseLimits {
    /// Bytes of one message, `hop` not counted.
    pub bytes_max: usize,
    /// Nesting depth, the outer object being 1.
    pub depth_max: usize,
}
impl Default for ParseLimits {
    fn default() -> Self {
        use crate::limits::{MESSAGE_BYTES_MAX, MESSAGE_DEPTH_MAX};
        ParseLimits { bytes_max: MESSAGE_BYTES_MAX, depth_max: MESSAGE_DEPTH_MAX }
    }
}
/// `type` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `create`
    Create,
    /// `read`
    Read,
    /// `update`
    Update,
    /// `delete`
    Delete,
    /// `subscribe`
    Subscribe,
    /// `unsubscribe`
    Unsubscribe,
    /// `execute`
    Execute,
    /// `response`
    Response,
    /// `forward`, `open`, `close`, … : whatever else
    Other,
}
/// Why bytes are no message: what, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Byte offset at which it was noticed.
    pub offset: usize,
}
/// What is wrong with a text that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// More bytes than allowed.
    TooLong {
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    // … NotAnObject, Truncated, Unbalanced, TooDeep, TrailingBytes, InvalidUtf8, ControlCharacter, DuplicateMember(name),
    // WrongType(name), LoneSurrogate, Missing(name), Syntax, …
}
pub mod compose;
pub use compose::{compose, respond, response_code};
/// `id` and `from` of a text that is no message, as far as they can be read, so that a 400 can be sent: (id token, from).
pub fn salvage(bytes: &[u8]) -> Option<(String, String)> {
    let _ = bytes;
    todo!()
}
