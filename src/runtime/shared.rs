//! What the tasks of one runtime share: the control plane, and who is to be woken.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    runtime::{events::EventSender, paths::PathWatchers},
    ua::RuntimeUa,
};

/// Shared by the control task, the links' tasks and the stubs' tasks.
pub(super) struct Shared {
    pub(super) ua: Mutex<RuntimeUa>,
    /// The control task has something to do.
    pub(super) wake: Arc<Notify>,
    /// Something has left a queue or a window.
    pub(super) progress: Arc<Notify>,
    pub(super) events: EventSender,
    pub(super) paths: PathWatchers,
}

impl Shared {
    /// Does something with the control plane, whose outputs are then carried out by its task.
    pub(super) fn with_ua<R>(&self, act: impl FnOnce(&mut RuntimeUa) -> R) -> R {
        let done = act(&mut self.ua.lock());
        self.wake.notify_one();
        done
    }
}

/// A task that ends with who holds this.
#[derive(Debug)]
pub(super) struct Task<T>(pub(super) JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
