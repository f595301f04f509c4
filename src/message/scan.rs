//! The scan: bytes in, the envelope out, or the reason why they are no message.
//!
//! The law it keeps: **no conforming JSON parser that accepts the bytes sees other routing members than the
//! envelope says.** To that end the top level is read by the full grammar, and of what lies deeper the
//! brackets and the strings. The body is not parsed: its literals, colons and escapes pass unseen.
//!
//! One function, so that a faster one can take its place; the oracle is `tests/support/naive_envelope.rs`.

use super::cursor::{Cursor, Depth, Quoted, Step};
use super::error::{ParseError, ParseErrorKind};
use super::hop::hop_prefix;
use super::kind::Kind;
use super::text::{LoneSurrogates, Unescaped};
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

/// Where the routing members stand, whether they hold escapes, and what `type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    spans: [Span; Member::ALL.len()],
    /// Bit `member as u8`: the value holds a backslash in a string.
    escaped: u8,
    pub(super) kind: Kind,
}

impl Default for Envelope {
    fn default() -> Self {
        Envelope { spans: Default::default(), escaped: 0, kind: Kind::Other }
    }
}

impl Envelope {
    /// The span of a value, quotes and brackets included; `None` if the member is not there.
    pub(super) fn span(&self, member: Member) -> Option<Span> {
        Some(self.spans[member as usize]).filter(|span| span.end != 0)
    }

    pub(super) fn is_escaped(&self, member: Member) -> bool {
        self.escaped & 1 << member as u8 != 0
    }

    pub(super) fn set(&mut self, member: Member, span: Span, escaped: bool) {
        self.spans[member as usize] = span;
        self.escaped = self.escaped & !(1 << member as u8) | (escaped as u8) << member as u8;
    }

    pub(super) fn clear(&mut self, member: Member) {
        self.set(member, Span::default(), false);
    }

    /// Moves every span that starts at or behind `from` by `by` bytes.
    pub(super) fn shift(&mut self, from: usize, by: isize) {
        let moved = |at: u32| (at as isize + by) as u32;
        for span in self.spans.iter_mut().filter(|s| s.end != 0 && s.start as usize >= from) {
            *span = Span { start: moved(span.start), end: moved(span.end) };
        }
    }
}

/// Half-open byte range. No value of a message starts at 0, so an `end` of 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// # Panics
    /// Beyond 4 GiB; a scanned text is never that long.
    pub(super) fn new(start: usize, end: usize) -> Self {
        let offset = |at: usize| u32::try_from(at).expect("a message is shorter than 4 GiB");
        Span { start: offset(start), end: offset(end) }
    }

    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A routing member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Id,
    Type,
    From,
    To,
    Body,
    Hop,
}

impl Member {
    pub(super) const ALL: [Member; 6] =
        [Member::Id, Member::Type, Member::From, Member::To, Member::Body, Member::Hop];

    pub(super) fn name(self) -> &'static str {
        match self {
            Member::Id => "id",
            Member::Type => "type",
            Member::From => "from",
            Member::To => "to",
            Member::Body => "body",
            Member::Hop => "hop",
        }
    }

    /// The member that a name names once its escapes, which must be valid, are read.
    pub(super) fn named(name: &Quoted<'_>) -> Option<Member> {
        if name.escaped {
            let is = |member: &Member| Unescaped::new(name.raw).eq(member.name().chars().map(Ok));
            return Member::ALL.into_iter().find(is);
        }
        match name.raw {
            "id" => Some(Member::Id),
            "type" => Some(Member::Type),
            "from" => Some(Member::From),
            "to" => Some(Member::To),
            "body" => Some(Member::Body),
            "hop" => Some(Member::Hop),
            _ => None,
        }
    }
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
