//! URL addresses: `scheme://domain/path…`, checked once and compared byte for byte.
//!
//! Nothing is folded, decoded or rewritten: two addresses are the same if and only if their bytes are,
//! after JSON unescaping and without one trailing `/`. This module knows nothing of messages or routes.

use std::{borrow::Borrow, fmt, sync::Arc};

use crate::limits::{ADDRESS_BYTES_MAX, ADDRESS_SEGMENTS_MAX};

/// A checked URL address that borrows its text. `Copy`: two words and two offsets.
///
/// The text carries no trailing `/`. A *bare* address (`scheme://domain`) has no path.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address<'a> {
    text: &'a str,
    /// Length of the scheme, so the authority starts three bytes later.
    scheme_len: u16,
    /// Where the authority ends: the first `/` of the path, or the end of the text.
    authority_end: u16,
}

impl<'a> Address<'a> {
    /// Checks `text` and borrows it. O(length of `text`), which is at most 2,048 bytes.
    ///
    /// # Errors
    /// [`AddressError`] names what is wrong and at which byte.
    pub fn parse(text: &'a str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong { bytes: text.len(), bytes_max: ADDRESS_BYTES_MAX });
        }
        if let Some(at) = text.bytes().position(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(AddressError::ControlCharacter { at });
        }
        let scheme_len = text.find("://").ok_or(AddressError::NoScheme)?;
        if scheme_len == 0 {
            return Err(AddressError::EmptyScheme);
        }
        let authority_start = scheme_len + 3;
        let text = text.strip_suffix('/').filter(|t| t.len() > authority_start).unwrap_or(text);
        let authority_end =
            text[authority_start..].find('/').map_or(text.len(), |at| authority_start + at);
        if authority_end == authority_start {
            return Err(AddressError::EmptyDomain);
        }
        check_segments(text, authority_end)?;
        Ok(Address { text, scheme_len: scheme_len as u16, authority_end: authority_end as u16 })
    }

    /// The whole text, without a trailing `/`.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// What stands before `://`.
    pub fn scheme(&self) -> &'a str {
        &self.text[..self.scheme_len as usize]
    }

    /// What stands between `://` and the first `/`.
    pub fn authority(&self) -> &'a str {
        &self.text[self.scheme_len as usize + 3..self.authority_end as usize]
    }

    /// `scheme://authority`, the part that can be neither subscribed to nor claimed.
    pub fn base(&self) -> &'a str {
        &self.text[..self.authority_end as usize]
    }

    /// The domain whose Message Node serves this address: the authority with one leading `msg-node.` or
    /// `registry.` taken off.
    pub fn domain(&self) -> &'a str {
        let authority = self.authority();
        ["msg-node.", "registry."]
            .into_iter()
            .find_map(|label| authority.strip_prefix(label).filter(|rest| !rest.is_empty()))
            .unwrap_or(authority)
    }

    /// The segments of the path, in order; none for a bare address.
    pub fn segments(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let path = &self.text[self.authority_end as usize..];
        path.split('/').skip(1)
    }

    /// The byte offset at which each prefix of this address ends, shortest first: the end of the
    /// authority, then the end of each segment.
    pub fn boundaries(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (text, first) = (self.text, self.authority_end as usize);
        let later = memchr::memchr_iter(b'/', &text.as_bytes()[first..])
            .skip(1)
            .map(move |at| first + at)
            .chain(std::iter::once(text.len()));
        std::iter::once(first).chain(later.take(if first == text.len() { 0 } else { usize::MAX }))
    }

    /// True for `scheme://domain` without a path.
    pub fn is_bare(&self) -> bool {
        self.authority_end as usize == self.text.len()
    }

    /// True if `self` is `other` or ends at a segment boundary of it: `hyperty://a/b` covers itself and
    /// `hyperty://a/b/c`, never `hyperty://a/bc`.
    pub fn covers(&self, other: &Address<'_>) -> bool {
        other
            .text
            .strip_prefix(self.text)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// An owned copy, shared from then on.
    pub fn to_owned(&self) -> Url {
        Url {
            text: Arc::from(self.text),
            scheme_len: self.scheme_len,
            authority_end: self.authority_end,
        }
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.text)
    }
}

/// A checked URL address that owns its text. Cloning shares the text.
#[derive(Clone)]
pub struct Url {
    text: Arc<str>,
    scheme_len: u16,
    authority_end: u16,
}

impl Url {
    /// Checks `text` and copies it.
    ///
    /// # Errors
    /// As [`Address::parse`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Address::parse(text).map(|address| address.to_owned())
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The borrowed form; free.
    pub fn address(&self) -> Address<'_> {
        Address { text: &self.text, scheme_len: self.scheme_len, authority_end: self.authority_end }
    }

    /// This URL with `/` and `path` behind it.
    ///
    /// # Errors
    /// As [`Address::parse`], for what comes out.
    pub fn join(&self, path: &str) -> Result<Self, AddressError> {
        Url::parse(&format!("{}/{path}", self.text))
    }
}

impl PartialEq for Url {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Url {}

impl PartialOrd for Url {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Url {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for Url {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Url {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({})", self.text)
    }
}

impl std::str::FromStr for Url {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Url::parse(text)
    }
}

/// Why a text is no URL address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no `://`.
    NoScheme,
    /// Nothing stands before `://`.
    EmptyScheme,
    /// Nothing stands between `://` and the path.
    EmptyDomain,
    /// Two slashes in a row, with the byte offset of the second.
    EmptySegment {
        /// Byte offset.
        at: usize,
    },
    /// A segment is `.` or `..`, with the byte offset where it starts.
    DotSegment {
        /// Byte offset.
        at: usize,
    },
    /// A control character, with its byte offset.
    ControlCharacter {
        /// Byte offset.
        at: usize,
    },
    /// More bytes than an address may have.
    TooLong {
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// More path segments than an address may have.
    TooManySegments {
        /// Segments found.
        segments: usize,
        /// Segments allowed.
        segments_max: usize,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            AddressError::NoScheme => f.write_str("no `://` in the URL"),
            AddressError::EmptyScheme => f.write_str("nothing before `://` in the URL"),
            AddressError::EmptyDomain => f.write_str("no domain behind `://` in the URL"),
            AddressError::EmptySegment { at } => {
                write!(f, "empty path segment at byte {at} of the URL")
            }
            AddressError::DotSegment { at } => {
                write!(f, "`.` or `..` as a path segment at byte {at} of the URL")
            }
            AddressError::ControlCharacter { at } => {
                write!(f, "control character at byte {at} of the URL")
            }
            AddressError::TooLong { bytes, bytes_max } => {
                write!(f, "URL of {bytes} bytes, at most {bytes_max} are allowed")
            }
            AddressError::TooManySegments { segments, segments_max } => {
                write!(f, "URL of {segments} path segments, at most {segments_max} are allowed")
            }
        }
    }
}

impl std::error::Error for AddressError {}

/// `text` has its authority end at `authority_end` and no trailing `/` that may be ignored.
fn check_segments(text: &str, authority_end: usize) -> Result<(), AddressError> {
    let mut at = authority_end + 1;
    let mut segments = 0;
    for segment in text[authority_end..].split('/').skip(1) {
        match segment {
            "" => return Err(AddressError::EmptySegment { at }),
            "." | ".." => return Err(AddressError::DotSegment { at }),
            _ => {}
        }
        at += segment.len() + 1;
        segments += 1;
    }
    if segments > ADDRESS_SEGMENTS_MAX {
        let segments_max = ADDRESS_SEGMENTS_MAX;
        return Err(AddressError::TooManySegments { segments, segments_max });
    }
    Ok(())
}
