//! Which path each remote runtime's messages take, watched: a change is told when it is seen.
//!
//! The hand-over decides on the data plane and tells nobody. Looked at is whenever the control
//! plane has a hand in it, and while messages are about to move, every now and then. So a path that
//! is left and taken again between two looks is not told.

use std::time::{Duration, Instant};

use crate::{
    address::Url,
    limits,
    link::Path,
    ua::{Output, PathChange, RuntimeUa},
};

/// What was told last of one remote runtime, and when to look again.
#[derive(Debug)]
pub(super) struct Watched {
    told: Option<Path>,
    again: Option<(Instant, Duration)>,
}

impl Default for Watched {
    /// Before anything is known of a runtime, its messages go by Message Node.
    fn default() -> Self {
        Watched { told: Some(Path::MessageNode), again: None }
    }
}

impl Watched {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.again.map(|(at, _)| at)
    }
}

impl RuntimeUa {
    /// Looks which path `remote` takes now.
    pub(super) fn look_at_path(&mut self, remote: &Url, now: Instant) {
        let stub = self.stub_towards(remote);
        let Some(state) = self.remotes.get_mut(remote) else { return };
        let now_at = state.peer.explain(stub.as_ref(), now);
        let is_moving = state.direct.is_some() && now_at.path != Some(Path::P2p);
        let last = state.watched.again.take().map(|(_, wait)| wait * 2);
        if is_moving {
            let wait = last.unwrap_or(limits::PATH_LOOK).min(limits::PATH_LOOK_MAX);
            state.watched.again = Some((now + wait, wait));
        }
        let from = std::mem::replace(&mut state.watched.told, now_at.path);
        if from != now_at.path {
            self.outputs.push_back(Output::PathChanged(PathChange {
                remote: remote.clone(),
                from,
                to: now_at.path,
                why: now_at.reason,
                numbered: now_at.numbered,
            }));
        }
    }

    pub(super) fn paths_timeout(&mut self, now: Instant) {
        for remote in self.due_remotes(now) {
            let at = self.remotes.get(&remote).and_then(|state| state.watched.poll_timeout());
            if at.is_some_and(|at| at <= now) {
                self.look_at_path(&remote, now);
            }
        }
    }
}
