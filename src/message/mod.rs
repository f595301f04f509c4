//! A message: shared bytes and the spans of its routing members. Nothing here knows where a message goes.
//!
//! What comes in is what goes out: the bytes are never rewritten. Parsing looks for `id`, `type`, `from`,
//! `to`, `body` and `hop` at the top level and leaves the body alone until somebody asks for it.
//!
//! ```
//! use bytes::Bytes;
//! use hyperty_router::message::{Kind, Message};
//!
//! let bytes = br#"{"type":"update","from":"comm://a/1","to":"comm://a/1/changes","body":{"value":[1,2]}}"#;
//! let message = Message::parse(Bytes::from_static(bytes))?;
//! assert_eq!(message.kind(), Kind::Update);
//! assert_eq!(message.from(), "comm://a/1");
//! assert_eq!(message.body_member(&["value"]), Some("[1,2]"));
//!
//! let error = Message::parse(Bytes::from_static(br#"{"to":"a://b","from":"c://d","t\u006f":"e://f"}"#));
//! assert_eq!(error.unwrap_err().to_string(), "duplicate member \"to\" at byte 29");
//! # Ok::<(), hyperty_router::message::ParseError>(())
//! ```

mod body;
mod checked;
mod compose;
mod cursor;
mod ends;
mod envelope;
mod error;
mod exact;
mod fast;
mod hop;
mod kind;
mod nested;
mod salvage;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod validate;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

pub use compose::{compose, respond, response_code};
pub use error::{ParseError, ParseErrorKind};
pub use hop::{HOP_BYTES_MAX, Hop, write_hop};
pub use kind::Kind;
pub use salvage::salvage;
pub use scan::ParseLimits;
#[doc(hidden)]
pub use scan::ScanPath;

use checked::Checked;
use cursor::Cursor;
use envelope::{Envelope, Member, Span};

/// One message: its bytes, shared, and where `id`, `type`, `from`, `to`, `body` and `hop` stand in them.
///
/// ```text
///  bytes  {"id":7,"type":"read","from":"a://b/c","to":"d://e/f","body":{…}}
///  spans        ^        ^~~~~~        ^~~~~~~~~      ^~~~~~~~~        ^~~
/// ```
///
/// Cloning shares the bytes: O(1). The bytes never change: what came in is what goes out.
#[derive(Clone)]
pub struct Message {
    text: Checked,
    envelope: Envelope,
}

impl Message {
    /// Scans `bytes` within the default limits: 1 MiB, depth 128. Nothing is copied.
    ///
    /// # Errors
    /// As [`Message::parse_with`].
    #[inline]
    pub fn parse(bytes: Bytes) -> Result<Message, ParseError> {
        Message::parse_with(bytes, &ParseLimits::default())
    }

    /// Scans `bytes` within `limits`. O(length), on a constant stack; nothing is allocated or copied.
    ///
    /// The body's brackets, strings and UTF-8 are checked, its grammar is not; see [`Message::validate`].
    ///
    /// # Errors
    /// [`ParseError`] names what is wrong and at which byte: no single JSON object, too long or too deep,
    /// invalid UTF-8, control characters in strings, a routing member missing (`type`, `from`, `to`), given
    /// twice, of the wrong type, or not readable in one way only.
    #[inline]
    pub fn parse_with(bytes: Bytes, limits: &ParseLimits) -> Result<Message, ParseError> {
        let mut envelope = Envelope::default();
        let text = Checked::scanned(bytes, limits, &mut envelope)?;
        Ok(Message { text, envelope })
    }

    /// The same by one given way, to hold the ways against each other.
    ///
    /// # Errors
    /// As [`Message::parse_with`].
    #[doc(hidden)]
    pub fn parse_by(
        path: ScanPath,
        bytes: Bytes,
        limits: &ParseLimits,
    ) -> Result<Message, ParseError> {
        let mut envelope = Envelope::default();
        let text = Checked::scanned_by(path, bytes, limits, &mut envelope)?;
        Ok(Message { text, envelope })
    }

    /// The bytes as they came, without `hop` if it was taken off.
    #[inline]
    pub fn bytes(&self) -> &Bytes {
        self.text.bytes()
    }

    /// The bytes, handed over.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.text.into_bytes()
    }

    /// The bytes behind the opening brace, sharing them: what goes behind the slice of [`write_hop`]. O(1)
    /// but for white space before the brace.
    pub fn members(&self) -> Bytes {
        let brace = memchr::memchr(b'{', self.bytes()).map_or(0, |at| at + 1);
        self.bytes().slice(brace..)
    }

    /// The `id` as the JSON token it came as (`7` or `"7"`), if there is one.
    #[inline]
    pub fn id(&self) -> Option<&str> {
        self.raw(Member::Id)
    }

    /// What kind of message this is, by `type` in any ASCII case.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.envelope.kind
    }

    /// `type` as it came, unescaped.
    #[inline]
    pub fn kind_text(&self) -> Cow<'_, str> {
        self.string(Member::Type)
    }

    /// `from`, unescaped: borrowed when it has no escape, which is nearly always.
    #[inline]
    pub fn from(&self) -> Cow<'_, str> {
        self.string(Member::From)
    }

    /// `to`: one URL or a list. Allocates for a list only.
    #[inline]
    pub fn to(&self) -> To<'_> {
        let raw = self.raw(Member::To).unwrap_or_default();
        if raw.starts_with('[') { To::Many(urls(raw)) } else { To::One(self.string(Member::To)) }
    }

    /// `to`, if it is one URL that stands in the bytes as it is meant, without escapes: nearly always.
    #[inline]
    pub fn to_plain(&self) -> Option<&str> {
        let raw = self.raw(Member::To)?.strip_prefix('"')?;
        if self.envelope.is_escaped(Member::To) { None } else { raw.strip_suffix('"') }
    }

    /// The raw text of `body` (an object), if there is one. O(1).
    #[inline]
    pub fn body(&self) -> Option<&str> {
        self.raw(Member::Body)
    }

    /// The body parsed with simd-json, which takes a copy of it. Of a member given twice the last counts.
    ///
    /// `None` if there is no body, it is no JSON, or it holds what simd-json refuses: numbers beyond
    /// `f64` and 64 bits, lone surrogate escapes.
    pub fn body_value(&self) -> Option<simd_json::OwnedValue> {
        body::value(self.body()?)
    }

    /// Raw JSON text of the member found by following `path` through nested objects of the body, read on
    /// demand without building a tree: `body_member(&["value"])`. Of a member given twice the last counts.
    ///
    /// O(length of the body) for each step of `path`. `None` if a step is missing, no object, or no JSON.
    pub fn body_member(&self, path: &[&str]) -> Option<&str> {
        body::member(self.body()?, path)
    }

    /// The same, as an unescaped string; `None` if it is no string or its escapes are invalid.
    pub fn body_text(&self, path: &[&str]) -> Option<Cow<'_, str>> {
        body::string(self.body_member(path)?)
    }

    /// False if there can be no string in the body that begins with `name`, letters and digits behind an
    /// opening quote, however they are written: `"\"p2p"`; with its closing quote if that is all of it:
    /// `"\"via\""`. A cheap look before [`Message::body_member`], and nearly free for names of three bytes.
    ///
    /// O(length of the body).
    #[inline]
    pub fn body_may_name(&self, name: &str) -> bool {
        let lacks = self.envelope.body_lacks;
        let is_triple = name.len() == 5 && name.ends_with('"');
        let lacks_it = is_triple && lacks.triples() && lacks.unicode();
        !lacks_it && self.body_has_name(name, is_triple)
    }

    fn body_has_name(&self, name: &str, is_triple: bool) -> bool {
        let (Some(body), lacks) = (self.body(), self.envelope.body_lacks) else { return false };
        let has = |what: &[u8]| memchr::memmem::find(body.as_bytes(), what).is_some();
        // Letters are escaped as `\u` only.
        (!is_triple || !lacks.triples()) && has(name.as_bytes()) || !lacks.unicode() && has(b"\\u")
    }

    /// The raw text of a top-level `hop` member, in any form and place, if there is one.
    pub fn hop(&self) -> Option<&str> {
        self.raw(Member::Hop)
    }

    /// If this message begins with exactly `{"hop":["<stream>",<number>],`: the hop, and the message without
    /// it, by slicing: the comma's place becomes `{`, and the spans move along without another scan.
    ///
    /// O(1) and in place if this is the only handle to bytes that can be written. The bytes are immutable for
    /// everybody else, so if a clone of them lives, or they are static, what remains is copied.
    ///
    /// # Errors
    /// The message itself, untouched, if it begins otherwise.
    pub fn split_hop(self) -> Result<(Hop, Message), Message> {
        let Some((hop, comma)) = hop::hop_prefix(self.bytes()) else { return Err(self) };
        let (text, envelope) = self.text.behind_hop(self.envelope, comma);
        Ok((hop, Message { text, envelope }))
    }

    /// A copy of this message with `to` being the one string `to` (for an array `to`). All else stays byte
    /// for byte.
    pub fn with_to(&self, to: &str) -> Message {
        let Some(old) = self.envelope.span(Member::To) else { return self.clone() };
        let (old, text) = (old.range(), self.bytes());
        let mut bytes = Vec::with_capacity(text.len() - old.len() + to.len() + 2);
        bytes.extend_from_slice(&text[..old.start]);
        let escaped = text::write_string(&mut bytes, to);
        let end = bytes.len();
        bytes.extend_from_slice(&text[old.end..]);
        let mut envelope = self.envelope;
        envelope.shift(old.end, end as isize - old.end as isize);
        envelope.set(Member::To, Span::new(old.start, end), escaped);
        Message { text: Checked::written(bytes), envelope }
    }

    /// Checks the whole text against RFC 8259. O(length), on a constant stack.
    ///
    /// # Errors
    /// What is wrong and at which byte, as [`ParseError`].
    pub fn validate(&self) -> Result<(), ParseError> {
        validate::validate(self.text.as_str())
    }

    #[inline]
    fn raw(&self, member: Member) -> Option<&str> {
        self.envelope.span(member).map(|span| &self.text.as_str()[span.range()])
    }

    #[inline]
    fn string(&self, member: Member) -> Cow<'_, str> {
        let span = self.envelope.span(member);
        let raw = span.map_or("", |span| self.text.between_quotes(span.range()));
        if self.envelope.is_escaped(member) { unescaped(raw) } else { Cow::Borrowed(raw) }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", self.text.as_str())
    }
}

/// `to` of a message, unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To<'a> {
    /// A string.
    One(Cow<'a, str>),
    /// An array of strings, possibly empty.
    Many(Vec<Cow<'a, str>>),
}

/// The strings of an array that was scanned before.
fn urls(array: &str) -> Vec<Cow<'_, str>> {
    let mut cursor = Cursor::new(array);
    cursor.take(b'[');
    let mut urls = Vec::new();
    while let Ok(true) = cursor.next_element(urls.is_empty()) {
        let Ok(url) = cursor.string("a string") else { break };
        urls.push(unescaped(url.raw));
    }
    urls
}

fn unescaped(raw: &str) -> Cow<'_, str> {
    text::unescape(raw).expect("the scan has checked the escapes")
}
