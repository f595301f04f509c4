//! The earliest moment at which one half of a peer has something to do. It owns no clock.

use std::time::Instant;

/// An alarm that only moves earlier until it is set anew from all reasons.
#[derive(Debug, Default)]
pub(super) struct Timer {
    at: Option<Instant>,
    lowered: bool,
}

impl Timer {
    /// Asks to be woken at `at` or before.
    pub(super) fn arm(&mut self, at: Instant) {
        if self.at.is_none_or(|earlier| at < earlier) {
            self.at = Some(at);
            self.lowered = true;
        }
    }

    /// When to wake. Waking early is harmless.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Forgets everything; the reasons arm it again.
    pub(super) fn reset(&mut self) {
        self.at = None;
    }

    /// True once after the alarm moved earlier.
    pub(super) fn take_lowered(&mut self) -> bool {
        std::mem::take(&mut self.lowered)
    }
}

/// A wait that doubles up to a bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    wait: std::time::Duration,
    max: std::time::Duration,
}

impl Backoff {
    /// Starts at `wait`.
    pub(super) fn new(wait: std::time::Duration, max: std::time::Duration) -> Self {
        Backoff { wait, max }
    }

    /// The wait from `now`, the next one being twice as long.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        let at = now + self.wait;
        self.wait = (self.wait * 2).min(self.max);
        at
    }
}
