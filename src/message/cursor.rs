//! A place in a JSON text, and the steps that can be taken from it: white space, a string, a number, a whole
//! nested value. Every step either ends behind what it read or says what is wrong and where.
//!
//! Nothing recurses and nothing is allocated: open brackets are bits of one word.

use super::error::{ParseError, ParseErrorKind};
use super::text::{LoneSurrogates, check_escapes};
use crate::limits::MESSAGE_DEPTH_MAX;

pub(super) type Step<T> = Result<T, ParseError>;

#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// A string that was stepped over: where its content lies, and whether it holds a backslash.
#[derive(Clone, Copy)]
pub(super) struct Quoted<'a> {
    pub(super) raw: &'a str,
    pub(super) start: usize,
    pub(super) escaped: bool,
}

impl Quoted<'_> {
    /// Checks the escapes, if there are any. Offsets count from the start of the whole text.
    pub(super) fn check_escapes(&self, lone: LoneSurrogates) -> Step<()> {
        if !self.escaped {
            return Ok(());
        }
        check_escapes(self.raw, lone).map_err(|e| e.kind.at(self.start + e.offset))
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Cursor { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes to `at`, a place between two characters.
    pub(super) fn jump(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn fail<T>(&self, kind: ParseErrorKind) -> Step<T> {
        Err(kind.at(self.at))
    }

    /// What to say when the byte here is not `expected`.
    pub(super) fn unexpected<T>(&self, expected: &'static str) -> Step<T> {
        self.fail(match self.peek() {
            None => ParseErrorKind::Truncated,
            Some(b'}' | b']') => ParseErrorKind::Unbalanced,
            Some(_) => ParseErrorKind::Syntax { expected },
        })
    }

    pub(super) fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it is here.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += here as usize;
        here
    }

    /// Steps into the object that must start here, white space before it allowed.
    pub(super) fn enter_object(&mut self) -> Step<()> {
        self.skip_white_space();
        if self.take(b'{') { Ok(()) } else { self.fail(ParseErrorKind::NotAnObject) }
    }

    /// From behind `{` (`first`) or behind a member's value: to the first byte of the next member's value,
    /// giving its name, or behind the `}` that ends the object.
    pub(super) fn next_member(&mut self, first: bool) -> Step<Option<Quoted<'a>>> {
        self.skip_white_space();
        if self.take(b'}') {
            return Ok(None);
        }
        if !first {
            if !self.take(b',') {
                return self.unexpected("`,` or `}`");
            }
            self.skip_white_space();
            if self.peek() == Some(b'}') {
                return self.fail(ParseErrorKind::Syntax { expected: "a member's name" });
            }
        }
        let name = self.string("a member's name")?;
        self.skip_white_space();
        if !self.take(b':') {
            return self.unexpected("`:`");
        }
        self.skip_white_space();
        Ok(Some(name))
    }

    /// As [`next_member`](Self::next_member), for an array: true if the cursor stands at an element.
    pub(super) fn next_element(&mut self, first: bool) -> Step<bool> {
        self.skip_white_space();
        if self.take(b']') {
            return Ok(false);
        }
        if !first {
            if !self.take(b',') {
                return self.unexpected("`,` or `]`");
            }
            self.skip_white_space();
        }
        Ok(true)
    }

    /// Steps over the string that must start here.
    pub(super) fn string(&mut self, expected: &'static str) -> Step<Quoted<'a>> {
        if !self.take(b'"') {
            return self.unexpected(expected);
        }
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let mut escaped = false;
        loop {
            self.at = first_marked(bytes, self.at, special_bytes);
            match self.peek() {
                None => return self.fail(ParseErrorKind::Truncated),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    match self.peek() {
                        None => return self.fail(ParseErrorKind::Truncated),
                        Some(0..0x20) => return self.fail(ParseErrorKind::ControlCharacter),
                        Some(_) => self.at += 1,
                    }
                }
                Some(_) => return self.fail(ParseErrorKind::ControlCharacter),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(Quoted { raw, start, escaped })
    }

    /// Steps over the number that must start here, by RFC 8259 section 6.
    pub(super) fn number(&mut self) -> Step<()> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Step<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.unexpected("a digit") } else { Ok(()) }
    }

    /// Steps over the number or literal that must start here.
    pub(super) fn scalar(&mut self) -> Step<()> {
        let rest = &self.text.as_bytes()[self.at..];
        if let Some(literal) =
            ["true", "false", "null"].iter().find(|l| rest.starts_with(l.as_bytes()))
        {
            self.at += literal.len();
            return Ok(());
        }
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.unexpected("a value"),
        }
    }

    /// Steps over the value that must start here. Of what lies within an object or array only brackets
    /// and strings are looked at. `depth` is that of what this value lies in.
    pub(super) fn skip_value(&mut self, depth: Depth) -> Step<()> {
        match self.peek() {
            Some(b'"') => self.string("a string").map(drop),
            Some(b'{' | b'[') => self.skip_nested(depth, |_| Ok(())),
            _ => self.scalar(),
        }
    }

    /// Steps over the object or array that starts here: brackets must match, strings end, and each string
    /// is shown to `check`. Literals, colons and commas are passed over unseen.
    pub(super) fn skip_nested(
        &mut self,
        depth: Depth,
        check: impl Fn(&Quoted<'a>) -> Step<()>,
    ) -> Step<()> {
        let mut open = Brackets::default();
        loop {
            self.skip_to_structural();
            match self.peek() {
                None => return self.fail(ParseErrorKind::Truncated),
                Some(b'"') => check(&self.string("a string")?)?,
                Some(bracket @ (b'{' | b'[')) => {
                    if depth.outer + open.len() >= depth.max {
                        return self.fail(ParseErrorKind::TooDeep { depth_max: depth.max });
                    }
                    open.push(bracket);
                    self.at += 1;
                }
                Some(bracket) => {
                    if !open.pop(bracket) {
                        return self.fail(ParseErrorKind::Unbalanced);
                    }
                    self.at += 1;
                    if open.len() == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn skip_to_structural(&mut self) {
        self.at = first_marked(self.text.as_bytes(), self.at, structural_bytes);
    }

    /// White space up to the end of the text, and nothing else.
    pub(super) fn end(&mut self) -> Step<()> {
        self.skip_white_space();
        if self.at == self.text.len() { Ok(()) } else { self.fail(ParseErrorKind::TrailingBytes) }
    }
}

/// How deep a value already lies, and how deep one may.
#[derive(Clone, Copy)]
pub(super) struct Depth {
    /// Open objects and arrays around the value.
    pub(super) outer: usize,
    /// At most [`MESSAGE_DEPTH_MAX`].
    pub(super) max: usize,
}

impl Depth {
    /// For values of a text that was scanned before.
    pub(super) const SCANNED: Depth = Depth { outer: 0, max: MESSAGE_DEPTH_MAX };
}

/// The open brackets, one bit each: the innermost is the lowest, 1 stands for `{`.
#[derive(Default)]
pub(super) struct Brackets {
    bits: u128,
    len: usize,
}

const _: () = assert!(MESSAGE_DEPTH_MAX <= u128::BITS as usize, "one bit for each level");

impl Brackets {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, bracket: u8) {
        self.bits = self.bits << 1 | (bracket == b'{') as u128;
        self.len += 1;
    }

    /// Closes the innermost; false, and nothing done, if `bracket` does not fit it.
    pub(super) fn pop(&mut self, bracket: u8) -> bool {
        let fits = self.len > 0 && self.in_object() == (bracket == b'}');
        if fits {
            self.bits >>= 1;
            self.len -= 1;
        }
        fits
    }

    pub(super) fn in_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

/// The first byte of `bytes` from `at` on that `marks` marks, else their end. Eight bytes a step.
///
/// `marks` sets the top bit of each byte of a word that it is after. It may be wrong above the first one: a
/// borrow only ever runs upwards from a marked byte, and the lowest is the only one that is used.
#[inline]
fn first_marked(bytes: &[u8], mut at: usize, marks: impl Fn(u64) -> u64) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return at + marked.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    // Spaces are never marked.
    let mut word = [b' '; 8];
    word[..rest.len()].copy_from_slice(rest);
    let marked = marks(u64::from_le_bytes(word));
    if marked == 0 { bytes.len() } else { at + marked.trailing_zeros() as usize / 8 }
}

/// `"`, `\` and what lies below 0x20: where plain text of a string ends.
#[inline]
fn special_bytes(word: u64) -> u64 {
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (equal(word, b'"') | equal(word, b'\\') | controls) & TOPS
}

/// `"` and the four brackets: what counts outside strings.
#[inline]
fn structural_bytes(word: u64) -> u64 {
    // The bit of lower case is all that tells `[` from `{` and `]` from `}`.
    let folded = word | (ONES * 0x20);
    (equal(word, b'"') | equal(folded, b'{') | equal(folded, b'}')) & TOPS
}

/// Sets the top bit of each byte that is `byte`.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let zero_if_equal = word ^ (ONES * byte as u64);
    zero_if_equal.wrapping_sub(ONES) & !zero_if_equal
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const TOPS: u64 = ONES << 7;
