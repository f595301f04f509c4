//! Every bound of the crate, in one place: its value, its unit and why it is that.
//!
//! Nothing here is a tuning knob that a correct program needs; each is the point past which input is
//! refused with a clear error instead of being allowed to cost more memory or time.

/// Bytes of one URL address. The bound of the design; a URL longer than this is no Hyperty's.
pub const ADDRESS_BYTES_MAX: usize = 2_048;
/// Path segments of one URL address. Bounds the depth of the FIB and of every descent.
pub const ADDRESS_SEGMENTS_MAX: usize = 64;

/// Bytes of one message, without `hop`, unless configured otherwise.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Nesting depth of one message, its outer object being depth 1.
pub const MESSAGE_DEPTH_MAX: usize = 128;
/// URLs in one array `to`. Each costs a copy of the header, so this bounds amplification.
pub const TO_URLS_MAX: usize = 1_024;
