//! What can be asked about one remote runtime. Nothing changes by it, but that outcomes are moved out.

use std::{sync::Arc, time::Instant};

use super::Peer;
use crate::{
    address::Url,
    handover::{
        explain::Explained,
        outcome::{Counters, Outcome},
    },
    link::Stub,
};

impl Peer {
    /// Which path a message with this `stub` takes now, and why.
    pub fn explain(&self, stub: Option<&Arc<Stub>>, now: Instant) -> Explained {
        self.sender.lock().explain(stub, now)
    }

    /// The URL that `resolve` gives for the direct way, while one is open.
    pub fn via(&self) -> Option<Url> {
        self.sender.lock().ways.direct.as_ref().map(|direct| direct.via.clone())
    }

    /// Moves out how messages ended that were not delivered; call it after [`Peer::handle_timeout`] and
    /// [`Peer::handle_control`].
    pub fn drain_outcomes(&self, into: &mut Vec<Outcome>) {
        // With its memory: it is seldom used, and then much of it.
        into.extend(std::mem::take(&mut self.sender.lock().outcomes));
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let sender = self.sender.lock();
        let mut counters = sender.counters;
        counters.control_refused = sender.ways.control_refused;
        drop(sender);
        let received = self.receiver.lock().counters;
        Counters {
            taken: received.taken,
            duplicate: received.duplicate,
            unknown: received.unknown,
            beyond: received.beyond,
            fenced: received.fenced,
            unheard: received.unheard,
            ..counters
        }
    }

    /// Messages sent and not acknowledged, and their bytes.
    pub fn unacknowledged(&self) -> (usize, usize) {
        self.sender.lock().pending()
    }

    /// True if messages were accepted that wait for room in a sink. Whoever can wait does so then: what is
    /// not written soon has left the processor's caches when it is.
    pub fn has_backlog(&self) -> bool {
        self.sender.lock().has_backlog()
    }

    /// When the oldest message that has not ended was accepted.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.sender.lock().waiting_since()
    }

    /// The stream that leaves, if messages are numbered now.
    pub fn stream(&self) -> Option<u128> {
        self.sender.lock().stream()
    }

    /// Messages held back on arrival, and their bytes.
    pub fn held_back(&self) -> (usize, usize) {
        self.receiver.lock().pending()
    }

    /// True if `stream` is the one that we gave the other side.
    pub fn receives(&self, stream: u128) -> bool {
        self.receiver.lock().gave(stream)
    }

    /// True if no stream stands in either direction: a peer made anew would know as much.
    pub fn is_at_rest(&self) -> bool {
        !self.is_numbered() && self.receiver.lock().is_at_rest()
    }

    /// True if messages to this peer are numbered now.
    pub fn is_numbered(&self) -> bool {
        self.sender.lock().has_stream()
    }
}
