//! What is chosen or given when a peer is made. Nothing here changes afterwards.

use std::time::Duration;

use crate::limits::{HANDOVER_DEADLINE, HANDOVER_DWELL, HANDOVER_WINDOW_BYTES};

/// Where ids of streams come from.
pub trait Random: Send + Sync {
    /// 128 random bits, never the same again.
    fn draw(&self) -> u128;
}

impl<F: Fn() -> u128 + Send + Sync> Random for F {
    fn draw(&self) -> u128 {
        self()
    }
}

/// What can be chosen about a peer.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes that the other side may have unacknowledged, and so the most that is held back.
    pub window_bytes: usize,
    /// Wait before traffic moves to a direct way that came back; at most 1 s.
    pub dwell: Duration,
    /// From acceptance to in doubt or returned.
    pub deadline: Duration,
    #[doc(hidden)]
    pub mutation: Mutation,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            window_bytes: HANDOVER_WINDOW_BYTES,
            dwell: HANDOVER_DWELL,
            deadline: HANDOVER_DEADLINE,
            mutation: Mutation::None,
        }
    }
}

/// A law left out, so that the simulation can show that it would notice.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    #[default]
    None,
    NoDedupe,
    NoHoldBack,
    NoResend,
    NoBarrier,
    /// A receiver confirms what it does not fence.
    NoFence,
    /// A receiver takes the numbers of any stream for those of the one that it gave.
    NoGeneration,
    /// A run below the mark is delivered, though its messages were delivered before, or fenced.
    NoRunDedupe,
    /// A run is delivered though messages before it are missing.
    NoRunHoldBack,
    /// A run of any stream is delivered as if it was of the one that it gave, and next there.
    NoRunGeneration,
    /// What the listener had no room for counts as taken, with the run that it was in.
    NoRunRoom,
}
