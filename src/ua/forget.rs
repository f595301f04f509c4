//! Remote runtimes that are no more of use are forgotten, so that a runtime may meet any number of
//! them.
//!
//! One is kept while anything depends on it: a live connection, a stream in either direction, which
//! outlives the connection by its own time (a sender's 60 s, a receiver's 10 minutes), or a message
//! that is not acknowledged. What was agreed with it has lapsed by then on both sides, so whoever
//! is met again begins anew and no number is mistaken.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    address::Url,
    handover::Peer,
    limits,
    ua::{
        RuntimeUa,
        remote::{Remote, taken},
    },
};

impl RuntimeUa {
    /// Has the remote runtimes looked through after a while.
    pub(super) fn forget_later(&mut self, now: Instant) {
        self.forget_at.get_or_insert(now + limits::FORGET_EVERY);
    }

    pub(super) fn forget_timeout(&mut self, now: Instant) {
        if self.forget_at.is_some_and(|at| at <= now) {
            self.forget_at = None;
            self.forget_idle(limits::REMOTE_KEEP, now);
        }
    }

    /// At the bound of remote runtimes: those without use make room, if there are any. Once a
    /// second at most, for it looks at all of them.
    pub(super) fn make_room(&mut self, now: Instant) {
        if self.made_room_at.is_none_or(|at| at + limits::MAKE_ROOM_EVERY <= now) {
            self.made_room_at = Some(now);
            self.forget_idle(limits::MAKE_ROOM_KEEP, now);
        }
    }

    /// Forgets whoever was of no use for `keep`, a bounded number at once. O(remote runtimes).
    fn forget_idle(&mut self, keep: Duration, now: Instant) {
        let mut idle = Vec::new();
        let away = self.remotes.values().filter(|state| !state.peer.slot().is_live());
        let away: Vec<Arc<Peer>> = away.map(|state| state.peer.clone()).collect();
        // Streams that have gone silent end by time.
        for peer in away {
            let bus = self.bus.clone();
            peer.handle_timeout(now, &mut |delivery| bus.deliver(delivery, now).map(taken));
            self.collect_outcomes(&peer);
        }
        for (url, state) in self.remotes.iter_mut() {
            if is_of_use(state) {
                state.used_at = now;
            } else if state.used_at + keep <= now {
                idle.push(url.clone());
            }
        }
        // All were touched: taking some of them out costs less when that is noted.
        self.settle();
        // Nobody is in a hurry to be forgotten: a set-up ends first, and its end is told.
        idle.retain(|remote| keep < limits::REMOTE_KEEP || !self.give_up(remote, now));
        idle.retain(|remote| self.attempts.values().all(|of| of.remote != *remote));
        let is_all = idle.len() <= limits::FORGET_MAX;
        idle.truncate(limits::FORGET_MAX);
        let forgotten: Vec<Arc<Peer>> =
            idle.iter().filter_map(|remote| self.forget(remote, now)).collect();
        if !forgotten.is_empty() {
            let is_gone = |of: &Arc<Peer>| forgotten.iter().any(|gone| Arc::ptr_eq(gone, of));
            self.peers.write().retain(|of| !is_gone(of));
        }
        if !is_all {
            self.forget_at = Some(now + limits::MAKE_ROOM_EVERY);
        }
        if self.remotes.values().any(|state| !state.peer.slot().is_live()) {
            self.forget_later(now);
        }
    }

    /// Tries no more to reach `remote`; true if something was under way, whose end is still to be
    /// told.
    fn give_up(&mut self, remote: &Url, now: Instant) -> bool {
        if let Some(state) = self.remotes.get_mut(remote) {
            state.given_up = true;
            state.retry_at = None;
        }
        let of = self.attempts.iter().filter(|(_, of)| of.remote == *remote);
        let under_way: Vec<u64> = of.map(|(id, _)| *id).collect();
        for attempt in &under_way {
            self.end_attempt(*attempt, "the runtime was not reached for long", now);
        }
        !under_way.is_empty()
    }

    /// Nothing is known of `remote` any more; its addresses leave the table in slices.
    fn forget(&mut self, remote: &Url, now: Instant) -> Option<Arc<Peer>> {
        let mut state = self.remotes.remove(remote)?;
        self.links.remove(&state.peer.link());
        self.connections.forget(remote);
        state.peer.abandon();
        self.collect_outcomes(&state.peer);
        let keys = [state.path_listener.take().map(|(key, _)| key), state.changes_listener.take()];
        for key in keys.into_iter().flatten() {
            self.bus.remove_listener(&key);
        }
        if let Some(stub) = &state.requester {
            self.remove_requester(stub, now);
        }
        let peer = state.peer.clone();
        self.drop_addresses(remote, state);
        Some(peer)
    }
}

fn is_of_use(state: &Remote) -> bool {
    state.peer.slot().is_live() || !state.peer.is_at_rest()
}
