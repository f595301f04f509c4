//! Every bound of the crate, in one place: its value, its unit and why it is that.
//!
//! Nothing here is a tuning knob that a correct program needs; each is the point past which input is
//! refused with a clear error instead of being allowed to cost more memory or time.

/// Bytes of one URL address. The bound of the design; a URL longer than this is no Hyperty's.
pub const ADDRESS_BYTES_MAX: usize = 2_048;
/// Path segments of one URL address. Bounds the depth of the FIB and of every descent.
pub const ADDRESS_SEGMENTS_MAX: usize = 64;

/// Addresses whose memory accesses one batched look-up overlaps; longer batches are cut. More than this
/// many lines in flight find no free line-fill buffer, and their hashes would no longer fit the stack frame.
pub const FIB_BATCH_MAX: usize = 32;
/// Hashed prefixes that one batched look-up holds on its stack; a batch of deep addresses is cut before
/// it needs more. Room for five prefixes an address in a full batch, and for the deepest address twice.
pub const FIB_PREFIXES_IN_FLIGHT_MAX: usize = 160;
/// Places of one slab: what the 32-bit number of a place can name. Memory ends long before (32 GiB).
pub const SLAB_PLACES_MAX: u64 = 1 << 32;

/// Bytes of one message, without `hop`, unless configured otherwise.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Nesting depth of one message, its outer object being depth 1.
pub const MESSAGE_DEPTH_MAX: usize = 128;
/// URLs in one array `to`. Each costs a copy of the header, so this bounds amplification.
pub const TO_URLS_MAX: usize = 1_024;
