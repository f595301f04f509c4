//! The scan: bytes in, the envelope out, or the reason why they are no message.
//!
//! The law it keeps: **no conforming JSON parser that accepts the bytes sees other routing members than the
//! envelope says.** To that end the top level is read by the full grammar, and of what lies deeper the
//! brackets and the strings. The body is not parsed: its literals, colons and escapes pass unseen.
//!
//! One function, so that a faster one can take its place; the oracle is `tests/support/naive_envelope.rs`.

use super::cursor::{Cursor, Depth, Quoted, Step};
use super::envelope::{Envelope, Member, Span};
use super::error::{ParseError, ParseErrorKind};
use super::hop::hop_prefix;
use super::kind::Kind;
use super::text::LoneSurrogates;
use crate::limits::{MESSAGE_BYTES_MAX, MESSAGE_DEPTH_MAX};

/// Bounds for one parse.
#[derive(Clone, Debug)]
pub struct ParseLimits {
    /// Bytes of one message, a `hop` that can be taken off not counted. More than 2 GiB counts as that.
    pub bytes_max: usize,
    /// Nesting depth, the outer object being 1. More than [`MESSAGE_DEPTH_MAX`] counts as that.
    pub depth_max: usize,
}

impl Default for ParseLimits {
    fn default() -> Self {
        ParseLimits { bytes_max: MESSAGE_BYTES_MAX, depth_max: MESSAGE_DEPTH_MAX }
    }
}

/// Finds the routing members of the message `bytes`. O(length), on a constant stack, nothing allocated.
pub(super) fn scan(bytes: &[u8], limits: &ParseLimits) -> Result<Envelope, ParseError> {
    check_length(bytes, limits.bytes_max)?;
    let text =
        std::str::from_utf8(bytes).map_err(|e| ParseErrorKind::InvalidUtf8.at(e.valid_up_to()))?;
    let depth = Depth { outer: 1, max: limits.depth_max.min(MESSAGE_DEPTH_MAX) };
    let mut scan = Scan { cursor: Cursor::new(text), depth, envelope: Envelope::default() };
    scan.object()
}

struct Scan<'a> {
    cursor: Cursor<'a>,
    depth: Depth,
    envelope: Envelope,
}

impl<'a> Scan<'a> {
    fn object(&mut self) -> Step<Envelope> {
        self.cursor.enter_object()?;
        if self.depth.max == 0 {
            return self.cursor.fail(ParseErrorKind::TooDeep { depth_max: 0 });
        }
        let mut first = true;
        while let Some(name) = self.cursor.next_member(first)? {
            name.check_escapes(LoneSurrogates::Refuse)?;
            match Member::named(&name) {
                Some(member) => self.routing_member(member, &name)?,
                None => self.other_value()?,
            }
            first = false;
        }
        let brace = self.cursor.at() - 1;
        self.cursor.end()?;
        for member in [Member::Type, Member::From, Member::To] {
            if self.envelope.span(member).is_none() {
                return Err(ParseErrorKind::Missing(member.name()).at(brace));
            }
        }
        Ok(self.envelope)
    }

    fn routing_member(&mut self, member: Member, name: &Quoted<'_>) -> Step<()> {
        if self.envelope.span(member).is_some() {
            return Err(ParseErrorKind::DuplicateMember(member.name()).at(name.start - 1));
        }
        let start = self.cursor.at();
        let escaped = match (member, self.cursor.peek()) {
            (Member::Type, Some(b'"')) => self.kind()?,
            (Member::Id | Member::From | Member::To, Some(b'"')) => self.routing_string()?.escaped,
            (Member::Id, Some(b'-' | b'0'..=b'9')) => self.cursor.number().map(|()| false)?,
            (Member::To, Some(b'[')) => self.urls()?,
            (Member::Body, Some(b'{')) => {
                self.cursor.skip_nested(self.depth, |_| Ok(())).map(|()| false)?
            }
            (Member::Hop, Some(b'[')) => {
                let check = |string: &Quoted<'_>| string.check_escapes(LoneSurrogates::Refuse);
                self.cursor.skip_nested(self.depth, check).map(|()| false)?
            }
            (_, None) => return self.cursor.fail(ParseErrorKind::Truncated),
            _ => return self.cursor.fail(ParseErrorKind::WrongType(member.name())),
        };
        self.envelope.set(member, Span::new(start, self.cursor.at()), escaped);
        Ok(())
    }

    fn routing_string(&mut self) -> Step<Quoted<'a>> {
        let string = self.cursor.string("a string")?;
        string.check_escapes(LoneSurrogates::Refuse)?;
        Ok(string)
    }

    fn kind(&mut self) -> Step<bool> {
        let string = self.routing_string()?;
        self.envelope.kind = Kind::of_raw(string.raw);
        Ok(string.escaped)
    }

    /// An array `to`; true if one of its strings holds an escape.
    fn urls(&mut self) -> Step<bool> {
        if self.depth.max < 2 {
            return self.cursor.fail(ParseErrorKind::TooDeep { depth_max: self.depth.max });
        }
        self.cursor.take(b'[');
        let (mut first, mut escaped) = (true, false);
        while self.cursor.next_element(first)? {
            match self.cursor.peek() {
                Some(b'"') => escaped |= self.routing_string()?.escaped,
                Some(b'{' | b'[' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => {
                    return self.cursor.fail(ParseErrorKind::WrongType("to"));
                }
                _ => return self.cursor.unexpected("a string"),
            }
            first = false;
        }
        Ok(escaped)
    }

    /// The value of a member that routing does not know.
    fn other_value(&mut self) -> Step<()> {
        if self.cursor.peek() == Some(b'"') {
            return self.cursor.string("a string")?.check_escapes(LoneSurrogates::Allow);
        }
        self.cursor.skip_value(self.depth)
    }
}

fn check_length(bytes: &[u8], bytes_max: usize) -> Step<()> {
    let bytes_max = bytes_max.min(u32::MAX as usize / 2);
    if bytes.len() <= bytes_max {
        return Ok(());
    }
    let hop_len = hop_prefix(bytes).map_or(0, |(_, comma)| comma);
    if bytes.len() - hop_len <= bytes_max {
        return Ok(());
    }
    Err(ParseErrorKind::TooLong { bytes: bytes.len() - hop_len, bytes_max }.at(bytes_max))
}
