//! The fast scan: accepts a message, in blocks of 64 bytes, or declines. It never says what is wrong; that is
//! for [`exact`](super::exact), which it must agree with on all that it accepts.
//!
//! A `type`, `from` or `to` that is written as most senders do is read in one stride. What else is on the top
//! level is read byte for byte, with one look at a block for each string; a nested value is left to
//! [`nested`]. Declined are, besides what is no message, some things that hardly occur: escapes in top-level
//! names, a `hop` that cannot be taken off, texts shorter than a block.

use super::envelope::{Envelope, Member};
use super::hop::hop_prefix;
use super::kind::Kind;
use super::nested::{self, block_at};
use super::text::{LoneSurrogates, check_escapes};
use crate::limits::MESSAGE_DEPTH_MAX;
use crate::simd::{BLOCK_BYTES, Blocks, Work};

/// The scan of `bytes`, which are shorter than 4 GiB, into an empty envelope. The answer is false if it
/// declines; what is in the envelope then means nothing. O(length), nothing allocated.
pub(super) struct FastScan<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) depth_max: usize,
    pub(super) envelope: &'a mut Envelope,
}

impl Work for FastScan<'_> {
    type Answer = bool;

    #[inline(always)]
    fn with<B: Blocks>(self, blocks: B) -> bool {
        let FastScan { bytes, depth_max, envelope } = self;
        if bytes.len() < BLOCK_BYTES || depth_max == 0 {
            return false;
        }
        let mut scan = Fast { blocks, bytes, at: 0, depth_max, non_ascii: false, envelope };
        scan.object().is_some() && (!scan.non_ascii || simdutf8::basic::from_utf8(bytes).is_ok())
    }
}

/// The end of the object or array that starts at `at` of `bytes`, a text that was scanned; `None` if it
/// declines.
pub(super) struct NestedEnd<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Work for NestedEnd<'_> {
    type Answer = Option<usize>;

    #[inline(always)]
    fn with<B: Blocks>(self, blocks: B) -> Option<usize> {
        if self.bytes.len() < BLOCK_BYTES {
            return None;
        }
        nested::end(blocks, self.bytes, self.at, MESSAGE_DEPTH_MAX).map(|nested| nested.end)
    }
}

struct Fast<'a, B> {
    blocks: B,
    /// At least one block.
    bytes: &'a [u8],
    at: usize,
    depth_max: usize,
    /// A byte above 0x7f was passed over.
    non_ascii: bool,
    envelope: &'a mut Envelope,
}

/// A string that was stepped over: where its content lies, and whether it holds a backslash.
#[derive(Clone, Copy)]
struct Content {
    start: usize,
    end: usize,
    escaped: bool,
}

impl<B: Blocks> Fast<'_, B> {
    #[inline(always)]
    fn object(&mut self) -> Option<()> {
        self.skip_space();
        self.take(b'{')?;
        self.hop();
        loop {
            while self.usual_member().is_some() {}
            self.skip_space();
            self.member()?;
            self.skip_space();
            if self.take(b',').is_none() {
                break;
            }
        }
        self.take(b'}')?;
        self.skip_space();
        let is_there = |member| self.envelope.span(member).is_some();
        let whole = is_there(Member::Type) && is_there(Member::From) && is_there(Member::To);
        (whole && self.at == self.bytes.len()).then_some(())
    }

    /// The first member, if it is a `hop` that can be taken off. Its brackets are the second level.
    #[inline(always)]
    fn hop(&mut self) {
        // At least a block: there is a first word.
        let word = self.bytes.first_chunk().map(|word| u64::from_le_bytes(*word));
        if word.is_some_and(|word| begins(word, b"{\"hop\":["))
            && self.depth_max >= 2
            && let Some((_, comma)) = hop_prefix(self.bytes)
        {
            self.envelope.add(Member::Hop, b"{\"hop\":".len(), comma, false);
            self.at = comma + 1;
        }
    }

    /// Steps over a `type`, `from` or `to` and the comma behind it, if they stand here as most senders write
    /// them: plain ASCII, and without white space. Else does nothing.
    #[inline(always)]
    fn usual_member(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let word = u64::from_le_bytes(*rest.first_chunk()?);
        let (member, name_bytes) = match second(word) {
            b'f' if begins(word, b"\"from\":\"") => (Member::From, 8),
            b't' if begins(word, b"\"to\":\"") => (Member::To, 6),
            b't' if begins(word, b"\"type\":\"") => (Member::Type, 8),
            _ => return None,
        };
        let mut len = name_bytes;
        loop {
            let special = self.blocks.special(rest.get(len..)?.first_chunk()?);
            if special != 0 {
                len += special.trailing_zeros() as usize;
                break;
            }
            len += BLOCK_BYTES;
        }
        if *rest.get(len..)?.first_chunk()? != *b"\"," || self.envelope.span(member).is_some() {
            return None;
        }
        if member == Member::Type {
            self.envelope.kind = Kind::of_bytes(&rest[name_bytes..len]);
        }
        self.envelope.add(member, self.at + name_bytes - 1, self.at + len + 1, false);
        self.at += len + 2;
        Some(())
    }

    /// One member, from its name to the end of its value. Strings and nested values of all members are read
    /// at one place each, or so many copies of that code would be made.
    #[inline(always)]
    fn member(&mut self) -> Option<()> {
        let member = match self.usual_name() {
            Some(member) => Some(member),
            None => self.any_name()?,
        };
        if member.is_some_and(|member| self.envelope.span(member).is_some()) {
            return None;
        }
        self.skip_space();
        let start = self.at;
        let escaped = match (self.peek()?, member) {
            (b'"', None | Some(Member::Id | Member::Type | Member::From | Member::To)) => {
                self.member_string(member)?
            }
            (b'{', None | Some(Member::Body)) | (b'[', None) => self.nested(member)?,
            (b'[', Some(Member::To)) => self.urls()?,
            (b'-' | b'0'..=b'9', None | Some(Member::Id)) => self.number().map(|()| false)?,
            (_, None) => self.literal().map(|()| false)?,
            _ => return None,
        };
        if let Some(member) = member {
            self.envelope.add(member, start, self.at, escaped);
        }
        Some(())
    }

    /// A string that is the value of a member; true if it holds an escape.
    #[inline(always)]
    fn member_string(&mut self, member: Option<Member>) -> Option<bool> {
        let content = self.string()?;
        if content.escaped {
            let routes = member.is_some();
            let lone = if routes { LoneSurrogates::Refuse } else { LoneSurrogates::Allow };
            check_escapes_of(self.bytes, content, lone)?;
        }
        if member == Some(Member::Type) {
            self.envelope.kind = self.kind(content);
        }
        Some(content.escaped)
    }

    /// Steps over the name of a routing member and its colon, if they stand here without white space.
    #[inline(always)]
    fn usual_name(&mut self) -> Option<Member> {
        let word = u64::from_le_bytes(*self.bytes.get(self.at..)?.first_chunk()?);
        let (member, bytes) = match second(word) {
            b'i' if begins(word, b"\"id\":") => (Member::Id, 5),
            b'b' if begins(word, b"\"body\":") => (Member::Body, 7),
            b'f' if begins(word, b"\"from\":") => (Member::From, 7),
            b't' if begins(word, b"\"to\":") => (Member::To, 5),
            b't' if begins(word, b"\"type\":") => (Member::Type, 7),
            _ => return None,
        };
        self.at += bytes;
        Some(member)
    }

    /// Steps over a name and its colon.
    #[inline(always)]
    fn any_name(&mut self) -> Option<Option<Member>> {
        let name = self.string()?;
        self.skip_space();
        self.take(b':')?;
        if name.escaped {
            return None;
        }
        let name = &self.bytes[name.start..name.end];
        Some(Member::ALL.into_iter().find(|member| member.name().as_bytes() == name))
    }

    #[inline(always)]
    fn kind(&self, content: Content) -> Kind {
        let raw = &self.bytes[content.start..content.end];
        if !content.escaped {
            return Kind::of_bytes(raw);
        }
        std::str::from_utf8(raw).map_or(Kind::Other, Kind::of_raw)
    }

    /// An array `to`; true if one of its strings holds an escape.
    #[inline(always)]
    fn urls(&mut self) -> Option<bool> {
        if self.depth_max < 2 {
            return None;
        }
        self.take(b'[')?;
        self.skip_space();
        let mut escaped = false;
        if self.take(b']').is_some() {
            return Some(escaped);
        }
        loop {
            let content = self.string()?;
            if content.escaped {
                check_escapes_of(self.bytes, content, LoneSurrogates::Refuse)?;
                escaped = true;
            }
            self.skip_space();
            if self.take(b']').is_some() {
                return Some(escaped);
            }
            self.take(b',')?;
            self.skip_space();
        }
    }

    #[inline(always)]
    fn nested(&mut self, member: Option<Member>) -> Option<bool> {
        let nested = nested::end(self.blocks, self.bytes, self.at, self.depth_max - 1)?;
        self.at = nested.end;
        self.non_ascii |= nested.non_ascii;
        if member == Some(Member::Body) {
            self.envelope.body_lacks = nested.lacks;
        }
        Some(false)
    }

    #[inline(always)]
    fn literal(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let literal = ["true", "false", "null"].iter().find(|l| rest.starts_with(l.as_bytes()))?;
        self.at += literal.len();
        Some(())
    }

    /// A number by RFC 8259 section 6.
    #[inline(always)]
    fn number(&mut self) -> Option<()> {
        let _ = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek()?, b'e' | b'E') {
            self.at += 1;
            if self.take(b'+').is_none() {
                let _ = self.take(b'-');
            }
            self.digits()?;
        }
        Some(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek()?.is_ascii_digit() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Steps over the string that must start here.
    #[inline(always)]
    fn string(&mut self) -> Option<Content> {
        self.take(b'"')?;
        let start = self.at;
        let mut escaped = false;
        let mut window = start;
        loop {
            let (block, passed) = block_at(self.bytes, window)?;
            let mut special = self.blocks.special(block) >> passed;
            let mut next = window + BLOCK_BYTES;
            while special != 0 {
                let place = special.trailing_zeros() as usize;
                let here = window + place;
                let byte = block[(passed + place) % BLOCK_BYTES];
                if byte == b'"' {
                    self.at = here + 1;
                    return Some(Content { start, end: here, escaped });
                }
                if byte == b'\\' {
                    escaped = true;
                    let escaped_byte = *self.bytes.get(here + 1)?;
                    if escaped_byte < 0x20 {
                        return None;
                    }
                    // What is escaped may be a quote, and may lie in the next block.
                    next = next.max(here + 2);
                    special &= (special - 1) & !(2 << place);
                    self.non_ascii |= escaped_byte > 0x7f;
                } else if byte < 0x20 {
                    return None;
                } else {
                    self.non_ascii = true;
                    special &= !(self.blocks.non_ascii(block) >> passed);
                }
            }
            window = next;
        }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline(always)]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// Not a method: what a call is given the address of is kept in memory.
#[cold]
fn check_escapes_of(bytes: &[u8], content: Content, lone: LoneSurrogates) -> Option<()> {
    let raw = std::str::from_utf8(&bytes[content.start..content.end]).ok()?;
    check_escapes(raw, lone).ok()
}

/// The byte behind the quote that a name begins with.
#[inline(always)]
fn second(word: u64) -> u8 {
    (word >> 8) as u8
}

/// Whether the bytes of `word`, the first being the lowest, begin with `name`.
#[inline(always)]
fn begins<const N: usize>(word: u64, name: &[u8; N]) -> bool {
    let mut wanted = [0; 8];
    wanted[8 - N..].copy_from_slice(name);
    word << (64 - 8 * N) == u64::from_le_bytes(wanted)
}
