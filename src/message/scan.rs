//! The scan: bytes in, the envelope out, or the reason why they are no message.
//!
//! The law it keeps: **no conforming JSON parser that accepts the bytes sees other routing members than the
//! envelope says.** To that end the top level is read by the full grammar, and of what lies deeper the
//! brackets and the strings. The body is not parsed: its literals, colons and escapes pass unseen.
//!
//! Two ways, one after the other. The [fast](super::fast) one reads blocks of 64 bytes and either gives the
//! envelope or declines; what it declines is read by the [exact] one, which also finds out what is
//! wrong and where. So the fast way may decline whatever it likes and must never accept what the exact one
//! refuses, nor read it differently.
//! The oracle of both is `tests/support/naive_envelope.rs`.

use super::envelope::Envelope;
use super::error::{ParseError, ParseErrorKind};
use super::exact;
use super::fast::{FastScan, NestedEnd};
use super::hop::hop_prefix;
use crate::limits::{MESSAGE_BYTES_MAX, MESSAGE_DEPTH_MAX};
use crate::simd::{Way, Work};

/// Bounds for one parse.
#[derive(Clone, Debug)]
pub struct ParseLimits {
    /// Bytes of one message, a `hop` that can be taken off not counted. More than 2 GiB counts as that.
    pub bytes_max: usize,
    /// Nesting depth, the outer object being 1. More than [`MESSAGE_DEPTH_MAX`] counts as that.
    pub depth_max: usize,
}

impl Default for ParseLimits {
    fn default() -> Self {
        ParseLimits { bytes_max: MESSAGE_BYTES_MAX, depth_max: MESSAGE_DEPTH_MAX }
    }
}

/// Puts the routing members of the message `bytes` into an empty envelope, the fastest way that this machine
/// has. O(length), on a constant stack, nothing allocated.
#[inline]
pub(super) fn scan(
    bytes: &[u8],
    limits: &ParseLimits,
    envelope: &mut Envelope,
) -> Result<(), ParseError> {
    scan_by(best(), bytes, limits, envelope)
}

/// The end of the object or array that starts at `at` of a scanned text, at least a block long, if the fast
/// way can tell it.
pub(super) fn nested_end(bytes: &[u8], at: usize) -> Option<usize> {
    by(best(), NestedEnd { bytes, at })?
}

#[inline]
fn best() -> ScanPath {
    ScanPath(Some(Way::best()))
}

/// The same, one given way. All ways give the same answer to the same bytes.
#[inline]
pub(super) fn scan_by(
    path: ScanPath,
    bytes: &[u8],
    limits: &ParseLimits,
    envelope: &mut Envelope,
) -> Result<(), ParseError> {
    check_length(bytes, limits.bytes_max)?;
    let depth_max = limits.depth_max.min(MESSAGE_DEPTH_MAX);
    if by(path, FastScan { bytes, depth_max, envelope }) != Some(true) {
        *envelope = exact::envelope(bytes, depth_max)?;
    }
    Ok(())
}

/// What the fast way alone says within the usual depth, for tests of what it declines.
#[cfg(test)]
pub(super) fn fast_alone(path: ScanPath, bytes: &[u8]) -> Option<Envelope> {
    let mut envelope = Envelope::default();
    let scan = FastScan { bytes, depth_max: MESSAGE_DEPTH_MAX, envelope: &mut envelope };
    (by(path, scan) == Some(true)).then_some(envelope)
}

/// What the blocks of `path` make of `work`; `None` if it has none.
#[inline]
fn by<W: Work>(path: ScanPath, work: W) -> Option<W::Answer> {
    path.0.map(|way| way.run(work))
}

/// A way to scan: for tests and benches, which hold one against another. Programs never need to choose.
///
/// `None` is the exact way alone.
#[derive(Clone, Copy, Debug)]
pub struct ScanPath(Option<Way>);

impl ScanPath {
    /// The paths that this machine has, the slowest first: `exact`, `portable`, `avx2`, `avx512`.
    pub fn available() -> impl Iterator<Item = ScanPath> {
        [None].into_iter().chain(Way::available().map(Some)).map(ScanPath)
    }

    /// The name of the path.
    pub fn name(self) -> &'static str {
        self.0.map_or("exact", Way::name)
    }
}

#[inline]
fn check_length(bytes: &[u8], bytes_max: usize) -> Result<(), ParseError> {
    let bytes_max = bytes_max.min(u32::MAX as usize / 2);
    if bytes.len() <= bytes_max {
        return Ok(());
    }
    let hop_len = hop_prefix(bytes).map_or(0, |(_, comma)| comma);
    if bytes.len() - hop_len <= bytes_max {
        return Ok(());
    }
    Err(ParseErrorKind::TooLong { bytes: bytes.len() - hop_len, bytes_max }.at(bytes_max))
}
