//! Which peers have something to do earlier than the control plane knows: they ring, from any thread. Nobody
//! is woken here, and no peer is looked at.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use crate::address::Url;

/// Those that have rung since somebody last looked, each once: no more than there are peers.
#[derive(Default)]
pub(super) struct Bells(Arc<Mutex<Vec<Arc<Bell>>>>);

struct Bell {
    remote: Url,
    has_rung: AtomicBool,
}

impl Bells {
    /// A bell of the peer for `remote`. To ring it takes a lock for a moment, no other within it.
    pub(super) fn bell(&self, remote: &Url) -> impl Fn() + Send + Sync + 'static {
        let bell = Arc::new(Bell { remote: remote.clone(), has_rung: AtomicBool::new(false) });
        let rung = self.0.clone();
        move || {
            if !bell.has_rung.swap(true, Ordering::AcqRel) {
                rung.lock().push(bell.clone());
            }
        }
    }

    /// Who has rung. Look at a peer after this: what it rang for has happened before.
    pub(super) fn take(&self) -> Vec<Url> {
        let rung = std::mem::take(&mut *self.0.lock());
        let silence = |bell: Arc<Bell>| {
            bell.has_rung.swap(false, Ordering::AcqRel);
            bell.remote.clone()
        };
        rung.into_iter().map(silence).collect()
    }

    /// Who has rung, and is still to be taken.
    pub(super) fn rung(&self) -> Vec<Url> {
        self.0.lock().iter().map(|bell| bell.remote.clone()).collect()
    }
}
