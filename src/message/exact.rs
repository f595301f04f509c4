//! The exact scan: the envelope out, or what is wrong with the bytes and where. It steps from value to value
//! with a cursor and is not the fast way; what the fast way does not accept comes here.

use super::cursor::{Cursor, Depth, Quoted, Step};
use super::envelope::{Envelope, Member, Span};
use super::error::ParseErrorKind;
use super::kind::Kind;
use super::text::LoneSurrogates;

/// Finds the routing members of the message `bytes`. O(length), on a constant stack, nothing allocated.
///
/// # Errors
/// The first thing wrong, but for UTF-8, which is looked at before anything else.
pub(super) fn envelope(bytes: &[u8], depth_max: usize) -> Step<Envelope> {
    let text =
        std::str::from_utf8(bytes).map_err(|e| ParseErrorKind::InvalidUtf8.at(e.valid_up_to()))?;
    let depth = Depth { outer: 1, max: depth_max };
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
