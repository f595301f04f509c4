//! Why a text is no URL address. Nothing here decides; `Address::parse` does.

use std::fmt;

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
