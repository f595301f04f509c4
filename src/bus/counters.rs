//! What became of messages: counted, so that none vanishes silently.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

use crate::link::{Path, Refusal};

/// Why a message ended here without reaching anybody or its sender hearing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Drop {
    /// Nobody is behind its address.
    Unreachable = 0,
    /// The sink was full.
    Full,
    /// The sink was closed.
    Closed,
    /// Its `body.via` names one of our own stubs: it would go round.
    OwnVia,
    /// It is numbered in a stream that nobody here knows.
    UnknownStream,
    /// Its `from` is ours or another runtime's.
    ForgedFrom,
    /// It is no message.
    NotAMessage,
    /// An error response from a foreign Message Node to a numbered message.
    SwallowedError,
    /// A status event that changes nothing: forged, repeated, late or forbidden.
    StatusIgnored,
    /// The control plane's inbox was full.
    InboxFull,
    /// A control message that nothing was expecting or that made no sense.
    Control,
    /// A stub could not send it in time; its sender was told.
    Returned,
}

impl Drop {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Drop; 12] = [
        Drop::Unreachable,
        Drop::Full,
        Drop::Closed,
        Drop::OwnVia,
        Drop::UnknownStream,
        Drop::ForgedFrom,
        Drop::NotAMessage,
        Drop::SwallowedError,
        Drop::StatusIgnored,
        Drop::InboxFull,
        Drop::Control,
        Drop::Returned,
    ];

    /// A name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Drop::Unreachable => "unreachable",
            Drop::Full => "full",
            Drop::Closed => "closed",
            Drop::OwnVia => "own-via",
            Drop::UnknownStream => "unknown-stream",
            Drop::ForgedFrom => "forged-from",
            Drop::NotAMessage => "not-a-message",
            Drop::SwallowedError => "swallowed-error",
            Drop::StatusIgnored => "status-ignored",
            Drop::InboxFull => "inbox-full",
            Drop::Control => "control",
            Drop::Returned => "returned",
        }
    }
}

/// Counters of one router. Each is one relaxed add, and those of different ways share no cache line.
#[derive(Debug, Default)]
pub struct Counters {
    local: CachePadded<AtomicU64>,
    p2p: CachePadded<AtomicU64>,
    message_node: CachePadded<AtomicU64>,
    drops: CachePadded<[AtomicU64; Drop::ALL.len()]>,
    turned_away: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Copies taken by local listeners.
    pub local: u64,
    /// Messages handed to direct connections.
    pub p2p: u64,
    /// Messages handed to Message Node stubs.
    pub message_node: u64,
    /// Messages that ended here, by reason.
    pub drops: Vec<(Drop, u64)>,
    /// Addresses of remote runtimes that a full table did not take: they are reached by Message Node only.
    pub addresses_turned_away: u64,
}

impl Counters {
    pub(crate) fn count_local(&self, copies: usize) {
        self.local.fetch_add(copies as u64, Ordering::Relaxed);
    }

    /// Counts one message that a local sink refused.
    pub(crate) fn count_refusal(&self, refusal: Refusal) {
        self.count_drop(match refusal {
            Refusal::Closed => Drop::Closed,
            _ => Drop::Full,
        });
    }

    /// Counts addresses that a full table did not take.
    pub(crate) fn count_turned_away(&self, addresses: usize) {
        self.turned_away.fetch_add(addresses as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_p2p(&self) {
        self.p2p.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts messages that a peer took.
    pub(crate) fn count_sent(&self, path: Path, messages: usize) {
        let counter = if path == Path::P2p { &self.p2p } else { &self.message_node };
        counter.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_message_node(&self) {
        self.message_node.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one message that ended for `reason`.
    pub fn count_drop(&self, reason: Drop) {
        self.drops[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many ended for `reason`.
    pub fn drops(&self, reason: Drop) -> u64 {
        self.drops[reason as usize].load(Ordering::Relaxed)
    }

    /// All of them.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            local: self.local.load(Ordering::Relaxed),
            p2p: self.p2p.load(Ordering::Relaxed),
            message_node: self.message_node.load(Ordering::Relaxed),
            drops: Drop::ALL.into_iter().map(|reason| (reason, self.drops(reason))).collect(),
            addresses_turned_away: self.turned_away.load(Ordering::Relaxed),
        }
    }
}
