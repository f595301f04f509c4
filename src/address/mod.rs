//! URL addresses: `scheme://domain/path…`, checked once and compared byte for byte.
//!
//! Nothing is folded, decoded or rewritten: two addresses are the same if and only if their bytes are,
//! after JSON unescaping and without one trailing `/`. This module knows nothing of messages or routes.
//!
//! ```
//! use hyperty_router::address::Address;
//!
//! let changes = Address::parse("comm://example.org/7/changes")?;
//! assert!(Address::parse("comm://example.org/7/")?.covers(&changes));
//! assert_eq!(changes.domain(), "example.org");
//! assert_eq!(Address::parse("comm://a//b").unwrap_err().to_string(),
//!     "empty path segment at byte 9 of the URL");
//! # Ok::<(), hyperty_router::address::AddressError>(())
//! ```

mod error;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;

use crate::limits::{ADDRESS_BYTES_MAX, ADDRESS_SEGMENTS_MAX};

pub use error::AddressError;
pub use url::Url;

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
    /// Checks `text` and borrows it. O(length of `text`), which is at most 2,048 bytes, one trailing `/` not counted.
    ///
    /// # Errors
    /// [`AddressError`] names what is wrong and at which byte.
    pub fn parse(text: &'a str) -> Result<Self, AddressError> {
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        if trimmed.len() > ADDRESS_BYTES_MAX {
            let (bytes, bytes_max) = (trimmed.len(), ADDRESS_BYTES_MAX);
            return Err(AddressError::TooLong { bytes, bytes_max });
        }
        if let Some(at) = control_character(text) {
            return Err(AddressError::ControlCharacter { at });
        }
        let scheme_len = text.find("://").ok_or(AddressError::NoScheme)?;
        if scheme_len == 0 {
            return Err(AddressError::EmptyScheme);
        }
        let authority_start = scheme_len + 3;
        // The slashes of `scheme://` are no trailing ones.
        let text = if trimmed.len() < authority_start { text } else { trimmed };
        let authority_end =
            text[authority_start..].find('/').map_or(text.len(), |at| authority_start + at);
        if authority_end == authority_start {
            return Err(AddressError::EmptyDomain);
        }
        check_segments(text, authority_end)?;
        Ok(Address { text, scheme_len: scheme_len as u16, authority_end: authority_end as u16 })
    }

    /// The whole text, without a trailing `/`.
    #[inline]
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

    /// Length of [`Self::scheme`] in bytes.
    #[inline]
    pub(crate) fn scheme_len(&self) -> usize {
        self.scheme_len as usize
    }

    /// Where [`Self::base`] ends, in bytes.
    #[inline]
    pub(crate) fn authority_end(&self) -> usize {
        self.authority_end as usize
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
        Url::new(*self)
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

/// Where the first control character stands, those of ASCII and U+0080 to U+009F.
fn control_character(text: &str) -> Option<usize> {
    let printable_ascii = text.bytes().fold(true, |all, b| all & (0x20..0x7f).contains(&b));
    if printable_ascii {
        return None;
    }
    text.char_indices().find(|(_, char)| char.is_control()).map(|(at, _)| at)
}

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
