//! Why bytes are no message: what is wrong, and at which byte. Nothing here decides; `scan` and `validate`
//! do.

use std::fmt;

/// Why bytes are no message: what, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Byte offset at which it was noticed, counted from 0.
    pub offset: usize,
}

/// What is wrong with a text that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// More bytes than allowed.
    TooLong {
        /// Bytes found, a `hop` that can be taken off not counted.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The first thing in the text is no `{`. A byte order mark counts as such a thing.
    NotAnObject,
    /// The text ends before its object does.
    Truncated,
    /// A closing bracket that does not fit the one that was opened.
    Unbalanced,
    /// More objects and arrays within each other than allowed.
    TooDeep {
        /// Depth allowed, the outer object being depth 1.
        depth_max: usize,
    },
    /// Something other than white space behind the object.
    TrailingBytes,
    /// No UTF-8.
    InvalidUtf8,
    /// A byte below 0x20 within a string.
    ControlCharacter,
    /// A backslash that starts no escape of JSON.
    InvalidEscape,
    /// Half of a surrogate pair, escaped, where no parser could agree with another on what it is.
    LoneSurrogate,
    /// A routing member given twice; the offset is that of the second name.
    DuplicateMember(&'static str),
    /// A routing member whose value is of the wrong JSON type.
    WrongType(&'static str),
    /// A routing member that must be there and is not; the offset is that of the closing brace.
    Missing(&'static str),
    /// Something else than what the grammar of JSON wants at this place.
    Syntax {
        /// What the grammar wants.
        expected: &'static str,
    },
}

impl ParseErrorKind {
    pub(super) fn at(self, offset: usize) -> ParseError {
        ParseError { kind: self, offset }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ParseErrorKind::TooLong { .. } => self.kind.fmt(f),
            kind => write!(f, "{kind} at byte {}", self.offset),
        }
    }
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ParseErrorKind::TooLong { bytes, bytes_max } => {
                write!(f, "message of {bytes} bytes, at most {bytes_max} are allowed")
            }
            ParseErrorKind::NotAnObject => f.write_str("no JSON object"),
            ParseErrorKind::Truncated => f.write_str("text ends within the JSON object"),
            ParseErrorKind::Unbalanced => f.write_str("closing bracket that fits no open one"),
            ParseErrorKind::TooDeep { depth_max } => {
                write!(f, "nesting deeper than {depth_max}")
            }
            ParseErrorKind::TrailingBytes => f.write_str("something behind the JSON object"),
            ParseErrorKind::InvalidUtf8 => f.write_str("invalid UTF-8"),
            ParseErrorKind::ControlCharacter => f.write_str("control character in a string"),
            ParseErrorKind::InvalidEscape => f.write_str("invalid escape"),
            ParseErrorKind::LoneSurrogate => f.write_str("lone surrogate escape"),
            ParseErrorKind::DuplicateMember(name) => write!(f, "duplicate member \"{name}\""),
            ParseErrorKind::WrongType(name) => {
                write!(f, "member \"{name}\" is not {}", wanted_type(name))
            }
            ParseErrorKind::Missing(name) => write!(f, "missing member \"{name}\""),
            ParseErrorKind::Syntax { expected } => write!(f, "expected {expected}"),
        }
    }
}

impl std::error::Error for ParseError {}

fn wanted_type(name: &str) -> &'static str {
    match name {
        "id" => "a number or a string",
        "to" => "a string or an array of strings",
        "body" => "an object",
        "hop" => "an array",
        _ => "a string",
    }
}
