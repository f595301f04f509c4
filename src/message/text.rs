//! Strings of JSON: escapes read and written. The text given is what stands between the quotes.
//!
//! Nothing here looks for the end of a string or for control characters; the cursor does.

use std::borrow::Cow;

use super::error::{ParseError, ParseErrorKind};

/// What `raw` means. Borrows if there is no escape, else copies; O(length).
///
/// # Errors
/// An invalid escape or a lone surrogate, with its offset in `raw`.
pub(super) fn unescape(raw: &str) -> Result<Cow<'_, str>, ParseError> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    Unescaped::new(raw).collect::<Result<String, _>>().map(Cow::Owned)
}

/// Whether a lone surrogate escape is an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LoneSurrogates {
    Refuse,
    Allow,
}

/// Checks every escape of `raw`. O(length), nothing allocated.
///
/// # Errors
/// As [`unescape`], but for lone surrogates if those are allowed.
pub(super) fn check_escapes(raw: &str, lone: LoneSurrogates) -> Result<(), ParseError> {
    for decoded in Unescaped::new(raw) {
        match decoded {
            Err(e) if e.kind == ParseErrorKind::LoneSurrogate && lone == LoneSurrogates::Allow => {}
            Err(e) => return Err(e),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Writes `text` as a JSON string with its quotes: `"`, `\` and what lies below 0x20 escaped, all else as it
/// is. Returns whether an escape was needed.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) -> bool {
    let mut escaped = false;
    out.push(b'"');
    for &byte in text.as_bytes() {
        escaped |= byte < 0x20 || byte == b'"' || byte == b'\\';
        write_byte(out, byte);
    }
    out.push(b'"');
    escaped
}

fn write_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend([b'\\', byte]),
        b'\n' => out.extend(*b"\\n"),
        b'\r' => out.extend(*b"\\r"),
        b'\t' => out.extend(*b"\\t"),
        0..0x20 => {
            let (high, low) = (HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]);
            out.extend([b'\\', b'u', b'0', b'0', high, low]);
        }
        _ => out.push(byte),
    }
}

/// The characters that `raw` means, one by one. Goes on behind an error, so that errors can be passed over.
#[derive(Clone)]
pub(super) struct Unescaped<'a> {
    raw: &'a str,
    at: usize,
}

impl<'a> Unescaped<'a> {
    pub(super) fn new(raw: &'a str) -> Self {
        Unescaped { raw, at: 0 }
    }

    /// The four digits behind `\u` at `at`.
    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = self.raw.as_bytes().get(at..at + 4)?;
        digits.iter().try_fold(0, |value, &digit| Some(value * 16 + (digit as char).to_digit(16)?))
    }

    /// The low half of a surrogate pair, escaped at `at`.
    fn low_surrogate(&self, at: usize) -> Option<u32> {
        self.raw.as_bytes()[at..].starts_with(b"\\u").then_some(())?;
        self.hex4(at + 2).filter(|unit| (0xdc00..0xe000).contains(unit))
    }

    /// `\uXXXX` whose backslash stands at `start`.
    fn unicode(&mut self, start: usize) -> Result<char, ParseErrorKind> {
        let unit = self.hex4(start + 2).ok_or(ParseErrorKind::InvalidEscape)?;
        self.at = start + 6;
        if let Some(char) = char::from_u32(unit) {
            return Ok(char);
        }
        let low = self.low_surrogate(self.at).filter(|_| unit < 0xdc00);
        let low = low.ok_or(ParseErrorKind::LoneSurrogate)?;
        self.at += 6;
        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
            .ok_or(ParseErrorKind::LoneSurrogate)
    }

    fn escape(&mut self, start: usize) -> Result<char, ParseErrorKind> {
        let letter = self.raw[self.at..].chars().next().ok_or(ParseErrorKind::InvalidEscape)?;
        self.at += letter.len_utf8();
        match letter {
            '"' | '\\' | '/' => Ok(letter),
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'u' => self.unicode(start),
            _ => Err(ParseErrorKind::InvalidEscape),
        }
    }
}

impl Iterator for Unescaped<'_> {
    type Item = Result<char, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let char = self.raw[start..].chars().next()?;
        self.at += char.len_utf8();
        if char != '\\' {
            return Some(Ok(char));
        }
        Some(self.escape(start).map_err(|kind| kind.at(start)))
    }
}
