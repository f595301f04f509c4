//! An address that owns its text. Checking and taking apart is [`Address`]'s.

use std::{borrow::Borrow, fmt, sync::Arc};

use super::{Address, AddressError, shape::Shape};

/// A checked URL address that owns its text. Cloning shares the text.
#[derive(Clone)]
pub struct Url {
    text: Arc<str>,
    shape: Shape,
}

impl Url {
    pub(super) fn new(address: Address<'_>) -> Self {
        Url { text: Arc::from(address.text), shape: address.shape }
    }

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
        Address { text: &self.text, shape: self.shape }
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
