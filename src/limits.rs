//! Every bound of the crate, in one place: its value, its unit and why it is that.
//!
//! Nothing here is a tuning knob that a correct program needs; each is the point past which input is
//! refused with a clear error instead of being allowed to cost more memory or time.

use std::time::Duration;

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

/// Subscriptions made through one session of a Message Node. A runtime with a subscription for each
/// of 100,000 Hyperties and data objects fits with room to spare; at some 300 bytes each this is 80
/// MB.
pub const SUBSCRIPTIONS_PER_SESSION_MAX: usize = 1 << 18;
/// Subscriptions of one Message Node, all sessions together: about a gigabyte of table.
pub const SUBSCRIPTIONS_MAX: usize = 1 << 22;
/// Sockets open at one Message Node, with or without a session: what one machine's ports and file
/// descriptors carry without special set-up.
pub const NODE_SOCKETS_MAX: usize = 1 << 16;
/// Sessions of one Message Node, those waiting for their socket to come back included.
pub const NODE_SESSIONS_MAX: usize = 1 << 16;
/// Messages in the queue of one session: two seconds at half a million messages a second.
pub const SESSION_QUEUE_ITEMS_MAX: usize = 1 << 20;
/// Bytes in the queue of one session: sixty-four messages of the largest size, or as many small
/// ones as a slow reader lags behind in a second at full rate.
pub const SESSION_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Replies waiting on one socket ahead of its session's queue. Enough for a client that sends
/// several frames before it reads; past it a sender of rubbish that reads nothing costs no more
/// memory.
pub const SOCKET_REPLIES_MAX: usize = 64;
/// How long a session outlives its socket.
pub const SESSION_KEEP: Duration = Duration::from_secs(30);
/// Addresses given out by one allocation request: a response of some 60 KB.
pub const ALLOCATIONS_PER_REQUEST_MAX: usize = 1_024;
/// Addresses allocated to one session, as many as it may have subscriptions.
pub const ALLOCATIONS_PER_SESSION_MAX: usize = 1 << 18;
/// Bytes of one allocationKey; it is held for as long as the addresses are, and a URL fits.
pub const ALLOCATION_KEY_BYTES_MAX: usize = ADDRESS_BYTES_MAX;
/// Bytes of the scheme that addresses are allocated for; the longest in use has 16.
pub const ALLOCATION_SCHEME_BYTES_MAX: usize = 64;
/// Entries of the in-memory domain registry: with the next bound, 4 GB at the very worst.
pub const REGISTRY_ENTRIES_MAX: usize = 1 << 20;
/// Bytes of one domain registry entry as JSON text; usual ones have under a thousand.
pub const REGISTRY_ENTRY_BYTES_MAX: usize = 4 << 10;
/// Entries registered by one session.
pub const REGISTRY_ENTRIES_PER_SESSION_MAX: usize = 1 << 18;
/// Entries in one answer of the domain registry, so that at their largest they fit one message.
pub const REGISTRY_FOUND_MAX: usize = 160;
/// How long a domain registry entry that names no `expires` is live without a keep-alive.
pub const REGISTRY_EXPIRES_DEFAULT: Duration = Duration::from_secs(3_600);
/// The longest that a domain registry entry may ask to stay live without a keep-alive.
pub const REGISTRY_EXPIRES_MAX: Duration = Duration::from_secs(30 * 86_400);
/// How long a disconnected entry can still be found, before it is forgotten.
pub const REGISTRY_DISCONNECTED_KEEP: Duration = Duration::from_secs(86_400);
