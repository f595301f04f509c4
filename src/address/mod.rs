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

mod boundaries;
mod error;
mod shape;
#[cfg(test)]
mod tests;
mod url;

use std::{fmt, hash};

pub use boundaries::Boundaries;
pub use error::AddressError;
pub use url::Url;

use shape::Shape;

/// A checked URL address that borrows its text. `Copy`: four words.
///
/// The text carries no trailing `/`. A *bare* address (`scheme://domain`) has no path.
#[derive(Clone, Copy)]
pub struct Address<'a> {
    text: &'a str,
    shape: Shape,
}

impl<'a> Address<'a> {
    /// Checks `text` and borrows it. O(length of `text`), which is at most 2,048 bytes, one trailing `/` not
    /// counted.
    ///
    /// # Errors
    /// [`AddressError`] names what is wrong and at which byte.
    #[inline]
    pub fn parse(text: &'a str) -> Result<Self, AddressError> {
        let (text, shape) = shape::check(text)?;
        Ok(Address { text, shape })
    }

    /// The whole text, without a trailing `/`.
    #[inline]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// What stands before `://`.
    pub fn scheme(&self) -> &'a str {
        &self.text[..self.shape.scheme_len as usize]
    }

    /// What stands between `://` and the first `/`.
    pub fn authority(&self) -> &'a str {
        &self.text[self.shape.scheme_len as usize + 3..self.shape.authority_end as usize]
    }

    /// `scheme://authority`, the part that can be neither subscribed to nor claimed.
    pub fn base(&self) -> &'a str {
        &self.text[..self.shape.authority_end as usize]
    }

    /// Length of [`Self::scheme`] in bytes.
    #[inline]
    pub(crate) fn scheme_len(&self) -> usize {
        self.shape.scheme_len as usize
    }

    /// Where [`Self::base`] ends, in bytes.
    #[inline]
    pub(crate) fn authority_end(&self) -> usize {
        self.shape.authority_end as usize
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
        let (text, mut ends) = (self.text, self.boundaries());
        let mut start = ends.next().unwrap_or(0);
        ends.map(move |end| &text[std::mem::replace(&mut start, end) + 1..end])
    }

    /// The byte offset at which each prefix of this address ends, shortest first: the end of the authority,
    /// then the end of each segment. A step is a few instructions in the first 64 bytes of the path.
    #[inline]
    pub fn boundaries(&self) -> Boundaries<'a> {
        Boundaries::new(self.text, self.shape)
    }

    /// True for `scheme://domain` without a path.
    pub fn is_bare(&self) -> bool {
        self.shape.authority_end as usize == self.text.len()
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

impl PartialEq for Address<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Address<'_> {}

impl hash::Hash for Address<'_> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
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
