//! What a Message Node counts. Every message that comes in ends in at least one of these.
//!
//! It formats nothing; exposition is a transport's work.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// Why a message, or a copy of one, went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// The frame was no message.
    BadFrame,
    /// The message was over the size limit.
    TooLong,
    /// `from` or `to` is no URL, or the list of them empty.
    BadAddress,
    /// The socket has no session, or has lost it to another socket.
    NoSession,
    /// `from` is another session's.
    Forbidden,
    /// Nobody stands at `to`.
    Unreachable,
    /// The receiving session's queue was full.
    QueueFull,
    /// The receiving session had just ended.
    QueueClosed,
    /// A reply of the node found no room at the socket that had asked.
    ReplyLost,
    /// It was queued for a session that ended.
    SessionEnded,
}

impl DropReason {
    /// All of them, in order.
    pub const ALL: [DropReason; 10] = [
        DropReason::BadFrame,
        DropReason::TooLong,
        DropReason::BadAddress,
        DropReason::NoSession,
        DropReason::Forbidden,
        DropReason::Unreachable,
        DropReason::QueueFull,
        DropReason::QueueClosed,
        DropReason::ReplyLost,
        DropReason::SessionEnded,
    ];

    /// A word for logs and metrics, in lower case with `_`.
    pub fn word(self) -> &'static str {
        match self {
            DropReason::BadFrame => "bad_frame",
            DropReason::TooLong => "too_long",
            DropReason::BadAddress => "bad_address",
            DropReason::NoSession => "no_session",
            DropReason::Forbidden => "forbidden",
            DropReason::Unreachable => "unreachable",
            DropReason::QueueFull => "queue_full",
            DropReason::QueueClosed => "queue_closed",
            DropReason::ReplyLost => "reply_lost",
            DropReason::SessionEnded => "session_ended",
        }
    }
}

/// A reading of all that a node counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Frames that came in.
    pub frames: u64,
    /// Copies put into a session's queue.
    pub delivered: u64,
    /// Requests that the node carried out itself: 200, or `close`.
    pub served: u64,
    /// Error responses sent.
    pub refused: u64,
    /// What went nowhere, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Sockets open now.
    pub sockets: usize,
    /// Sessions now, those without a socket included.
    pub sessions: usize,
    /// Subscriptions now.
    pub subscriptions: usize,
    /// Entries of the domain registry now.
    pub registry_entries: usize,
    /// Messages in the queues of all sessions now.
    pub queue_items: usize,
    /// Bytes in the queues of all sessions now.
    pub queue_bytes: usize,
}

impl Metrics {
    /// How many were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

/// Counters in several rows, so that threads seldom write the same cache line.
#[derive(Debug, Default)]
pub(super) struct Counters {
    rows: [CachePadded<Row>; ROWS],
}

/// As many as threads that usefully route at once on one machine of today.
const ROWS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) frames: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) served: AtomicU64,
    pub(super) refused: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl Row {
    pub(super) fn drop(&self, reason: DropReason) {
        self.drop_many(reason, 1);
    }

    /// Counts a request that the node answered itself.
    pub(super) fn answer(&self, code: u16) {
        count(if code == 200 { &self.served } else { &self.refused });
    }

    pub(super) fn drop_many(&self, reason: DropReason, count: usize) {
        self.dropped[reason as usize].fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// The row that a socket of this number writes.
    pub(super) fn row(&self, number: u32) -> &Row {
        &self.rows[number as usize % ROWS]
    }

    /// The sums, into the counting part of `metrics`.
    pub(super) fn read(&self, metrics: &mut Metrics) {
        for row in &self.rows {
            metrics.frames += row.frames.load(Ordering::Relaxed);
            metrics.delivered += row.delivered.load(Ordering::Relaxed);
            metrics.served += row.served.load(Ordering::Relaxed);
            metrics.refused += row.refused.load(Ordering::Relaxed);
            for (sum, counter) in metrics.dropped.iter_mut().zip(&row.dropped) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
    }
}
