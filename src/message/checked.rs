//! Bytes that are known to be UTF-8, so that reading a piece of them looks at its two ends only.
//!
//! How that came to be known is written here, once for each way to make one; each `unsafe` rests on it.

use std::ops::Range;

use bytes::Bytes;

use super::envelope::Envelope;
use super::error::ParseError;
use super::hop::take_off;
use super::scan::{ParseLimits, ScanPath, scan, scan_by};

/// Shared bytes of a message: UTF-8 from the first to the last.
#[derive(Clone)]
pub(super) struct Checked(Bytes);

impl Checked {
    /// What the scan accepts is UTF-8. The routing members are put into `envelope`, which is empty.
    #[inline]
    pub(super) fn scanned(
        bytes: Bytes,
        limits: &ParseLimits,
        envelope: &mut Envelope,
    ) -> Result<Checked, ParseError> {
        scan(&bytes, limits, envelope)?;
        Ok(Checked(bytes))
    }

    /// The same by one given way.
    pub(super) fn scanned_by(
        path: ScanPath,
        bytes: Bytes,
        limits: &ParseLimits,
        envelope: &mut Envelope,
    ) -> Result<Checked, ParseError> {
        scan_by(path, &bytes, limits, envelope)?;
        Ok(Checked(bytes))
    }

    /// What we wrote ourselves. O(length).
    ///
    /// # Panics
    /// If it is no UTF-8.
    pub(super) fn written(bytes: Vec<u8>) -> Checked {
        assert!(simdutf8::basic::from_utf8(&bytes).is_ok(), "what we write is UTF-8");
        Checked(Bytes::from(bytes))
    }

    /// What is behind a hop that ends before `comma`: cut at an ASCII byte, and another one put in its place.
    pub(super) fn behind_hop(self, envelope: Envelope, comma: usize) -> (Checked, Envelope) {
        assert_eq!(self.0[comma], b',', "a hop ends before a comma");
        let (bytes, envelope) = take_off(self.0, envelope, comma);
        (Checked(bytes), envelope)
    }

    #[inline]
    pub(super) fn bytes(&self) -> &Bytes {
        &self.0
    }

    #[inline]
    pub(super) fn into_bytes(self) -> Bytes {
        self.0
    }

    /// What stands between the quotes that are the first and the last byte of `quoted`. O(1).
    ///
    /// # Panics
    /// If they are no quotes.
    #[inline]
    pub(super) fn between_quotes(&self, quoted: Range<usize>) -> &str {
        let [b'"', raw @ .., b'"'] = &self.0[quoted] else { panic!("a string has two quotes") };
        // SAFETY: what stands between two ASCII bytes of a text that is UTF-8 is UTF-8.
        unsafe { std::str::from_utf8_unchecked(raw) }
    }

    /// O(1).
    #[inline]
    pub(super) fn as_str(&self) -> &str {
        // SAFETY: the bytes are UTF-8, as each way to make a `Checked` says, and `Bytes` never change.
        unsafe { std::str::from_utf8_unchecked(&self.0) }
    }
}
