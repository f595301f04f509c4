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

/// Unacknowledged bytes of one stream that a receiver allows unless configured otherwise, and so the most it
/// ever holds back: some 20,000 messages of 400 bytes, a second of a fast path that lost its other path.
pub const HANDOVER_WINDOW_BYTES: usize = 8 << 20;
/// Unacknowledged messages of one stream, whatever their size; bounds the places of the hold-back.
pub const HANDOVER_WINDOW_MESSAGES: usize = 65_536;
/// Messages taken before an acknowledgement is given at once: one small frame for each 32.
pub const HANDOVER_ACK_EVERY: u64 = 32;
/// Longest wait of an acknowledgement for more messages to share it.
pub const HANDOVER_ACK_WAIT: Duration = Duration::from_millis(5);
/// How long a gap may stand before the receiver says `have`, and between repeats: longer than the usual
/// difference between two paths, short beside the deadline.
pub const HANDOVER_GAP_WAIT: Duration = Duration::from_millis(200);
/// Wait without progress before a sender asks by `marker`; doubles up to four times this.
pub const HANDOVER_PROBE_WAIT: Duration = Duration::from_secs(1);
/// Wait before a full sink or a full listener is tried again, if nobody says earlier that it has room.
pub const HANDOVER_ROOM_WAIT: Duration = Duration::from_millis(10);
/// From acceptance until a numbered message that is not acknowledged ends in doubt or is returned.
pub const HANDOVER_DEADLINE: Duration = Duration::from_secs(10);
/// How long a barrier may hold numbered messages on a silent Message Node path; under the deadline, so that a
/// dead Message Node never costs a message that the direct way could carry.
pub const HANDOVER_BARRIER_MAX: Duration = Duration::from_secs(8);
/// A stream whose receiver said nothing for this long, with messages unacknowledged, ends: three deadlines.
pub const HANDOVER_SILENCE_MAX: Duration = Duration::from_secs(30);
/// A sender's stream ends after this long without a connection and without anything unacknowledged.
pub const HANDOVER_IDLE_SENDER: Duration = Duration::from_secs(60);
/// A receiver forgets a stream that was silent for this long without a connection.
pub const HANDOVER_IDLE_RECEIVER: Duration = Duration::from_secs(600);
/// Dwell before traffic moves to a direct way that came back, unless configured otherwise (at most 1 s).
pub const HANDOVER_DWELL: Duration = Duration::from_millis(200);
/// Upper bound of that dwell.
pub const HANDOVER_DWELL_MAX: Duration = Duration::from_secs(1);
/// First wait between repeats of an offer or of the end of a stream; doubles up to
/// [`HANDOVER_REPEAT_MAX`], and stops after [`HANDOVER_REPEATS`].
pub const HANDOVER_REPEAT_WAIT: Duration = Duration::from_millis(200);
/// Longest wait between those repeats.
pub const HANDOVER_REPEAT_MAX: Duration = Duration::from_secs(5);
/// Repeats before an offer rests until the next connection or call: some two minutes.
pub const HANDOVER_REPEATS: u32 = 32;
/// Message Node stubs that one peer's messages may take: one for each domain.
pub const HANDOVER_STUBS_MAX: usize = 64;
