//! How much one runtime's control plane has under way. It changes nothing.

use crate::ua::RuntimeUa;

/// What is under way in a runtime; all zero when nothing is to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests of the runtime that wait for an answer.
    pub requests: usize,
    /// Set-ups, and the connections that came of them.
    pub set_ups: usize,
    /// Addresses that are being looked up, or were in vain not long ago.
    pub look_ups: usize,
    /// Notes of the data plane, status events, Registry changes and lists of addresses that wait to be
    /// handled.
    pub notes: usize,
    /// Numbered messages that have not ended, and such that are held back, at all peers.
    pub messages: usize,
    /// Peers with something to do when time has gone by.
    pub timers: usize,
}

impl RuntimeUa {
    /// What is under way now. O(remote runtimes).
    pub fn load(&self) -> Load {
        let peers = || self.remotes.values().map(|remote| &remote.peer);
        Load {
            requests: self.requests.len(),
            set_ups: self.attempts.len(),
            look_ups: self.look_ups.len(),
            notes: self.inbox.len()
                + self.unsaid.len()
                + self.pending_changes.len()
                + self.work.len(),
            messages: peers().map(|peer| peer.unacknowledged().0 + peer.held_back().0).sum(),
            timers: peers().filter(|peer| peer.poll_timeout().is_some()).count(),
        }
    }
}
