//! How a [`Match`] is filled, entry by entry.

use super::{Entry, Match};
use crate::slab::Target;
use smallvec::SmallVec;

impl Match {
    /// Empties it, keeping its memory.
    #[inline]
    pub fn clear(&mut self) {
        // SAFETY: no length is shorter, and a target needs no drop.
        unsafe {
            self.listeners.set_len(0);
            self.subscriptions.set_len(0);
        }
        (self.listener_len, self.subscription_len, self.route_len) = (0, 0, 0);
        self.route = None;
        self.publish = false;
    }

    /// Takes in the one listener on the prefix of `length` bytes, which all earlier ones were shorter than.
    #[inline(always)]
    pub(super) fn take_listener(&mut self, target: Target, length: u16) {
        self.listeners.clear();
        self.listeners.push(target);
        self.listener_len = length;
    }

    /// Takes in an entry on the prefix of `length` bytes, which no earlier one was longer than; the
    /// entries of one prefix come in order. `is_whole`: this prefix is all of the address.
    #[inline]
    pub(super) fn take(&mut self, entry: Entry, length: u16, is_whole: bool) {
        match entry {
            Entry::Listener { exact: true, .. } | Entry::Subscription { exact: true, .. }
                if !is_whole => {}
            Entry::Listener { target, .. } => {
                if self.listener_len != length {
                    self.listeners.clear();
                    self.listener_len = length;
                }
                push_once(&mut self.listeners, 0, target);
            }
            Entry::Subscription { target, .. } => {
                let is_first = self.subscription_len != length;
                let from = if is_first { self.subscriptions.len() } else { 0 };
                self.subscription_len = length;
                push_once(&mut self.subscriptions, from, target);
            }
            Entry::Publish => self.publish = true,
            Entry::Route { target } => (self.route, self.route_len) = (Some(target), length),
        }
    }
}

/// Pushes `target` unless it is the last one and stands at `from` or behind: it stands on this
/// prefix twice then, as exact and as not.
#[inline]
fn push_once(targets: &mut SmallVec<[Target; 4]>, from: usize, target: Target) {
    if targets[from..].last() != Some(&target) {
        targets.push(target);
    }
}
