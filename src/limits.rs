//! Every bound of the crate, in one place: its value, its unit and why it is that.
//!
//! Nothing here is a tuning knob that a correct program needs; each is the point past which input is
//! refused with a clear error instead of being allowed to cost more memory or time.

use std::time::Duration;

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

/// Bytes of a P2P frame before its payload: three RFC 9000 varints of at most 8 bytes.
pub const FRAME_HEAD_BYTES_MAX: usize = 24;
/// Frames gathered into one write. Batching is worth 3.5× up to about here and nothing beyond.
pub const WRITE_BATCH_ITEMS_MAX: usize = 64;
/// Bytes gathered into one write, so that a batch of large messages doesn't hold its memory twice for long.
pub const WRITE_BATCH_BYTES_MAX: usize = 256 << 10;
/// Bytes of a payload up to which it is copied next to its frame head: up to here a copy costs less than a
/// second buffer to share, queue and release.
pub const COALESCED_BYTES_MAX: usize = 2 << 10;
/// Bytes of a close reason that we send. A reason is for a log line.
pub const CLOSE_REASON_BYTES_MAX: usize = 120;

/// Bytes of a QUIC stream in flight to us, unread, unless configured otherwise: four of the largest messages, and
/// 40 MB/s at a round trip of 100 ms.
pub const QUIC_RECEIVE_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes of a QUIC stream from us, unacknowledged, unless configured otherwise. As the receive window.
pub const QUIC_SEND_WINDOW_BYTES: u64 = 4 << 20;
/// Between two signs of life on an idle QUIC connection, unless configured otherwise. With
/// [`QUIC_IDLE`] a dead peer is noticed within a second of its last packet.
pub const QUIC_KEEP_ALIVE: Duration = Duration::from_millis(200);
/// Silence after which a QUIC peer counts as dead, unless configured otherwise.
pub const QUIC_IDLE: Duration = Duration::from_millis(800);
/// For one `dial` with all its candidates, and for one incoming handshake, unless configured otherwise.
pub const QUIC_HANDSHAKE: Duration = Duration::from_secs(3);
/// For the peer to acknowledge what was sent before an orderly close.
pub const QUIC_DRAIN: Duration = Duration::from_secs(2);
/// Candidates of one peer tried at once; the rest of a longer list is ignored. A host has few interfaces.
pub const QUIC_CANDIDATES_MAX: usize = 8;
/// Incoming QUIC handshakes under way at once; what comes beyond is refused.
pub const QUIC_HANDSHAKES_MAX: usize = 64;
/// Incoming QUIC connections that wait for `accept`.
pub const QUIC_ACCEPT_QUEUE: usize = 64;

/// For one WebSocket handshake, TCP connection included.
pub const WEBSOCKET_HANDSHAKE: Duration = Duration::from_secs(3);
/// For the peer to answer a WebSocket close.
pub const WEBSOCKET_CLOSE: Duration = Duration::from_secs(1);
/// Between two looks at a silent socket on a client, unless configured otherwise. A Message Node that vanished is
/// noticed within three of them.
pub const WEBSOCKET_KEEP_ALIVE_CLIENT: Duration = Duration::from_secs(2);
/// The same on a server, which has many sockets and can wait longer.
pub const WEBSOCKET_KEEP_ALIVE_SERVER: Duration = Duration::from_secs(15);
/// Bytes of a WebSocket's read buffer. A message taken out of it keeps it alive, so it is small.
pub const WEBSOCKET_READ_BUFFER_BYTES: usize = 32 << 10;
/// Bytes gathered before a WebSocket writes without being flushed.
pub const WEBSOCKET_WRITE_BUFFER_BYTES: usize = 64 << 10;
/// Frames read from one WebSocket before its task lets others run.
pub const WEBSOCKET_READ_BATCH_MAX: usize = 64;
/// Sockets of one server, unless configured otherwise.
pub const WEBSOCKET_SOCKETS_MAX: usize = 65_536;
/// WebSocket handshakes under way at once; more wait in the system's backlog.
pub const WEBSOCKET_HANDSHAKES_MAX: usize = 256;
