//! The stream of path changes, for whoever watches. It decides nothing and holds nobody up.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{address::Url, ua::PathChange};

/// Which path the messages for each remote runtime take, as it changes.
///
/// Who reads slowly misses no state, only steps: of each remote runtime at most one change waits,
/// from the path that was read last to the newest. So it is bounded by the number of remote
/// runtimes.
#[derive(Debug)]
pub struct PathChanges(Arc<Watcher>);

impl PathChanges {
    /// The next change; `None` when the runtime is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<PathChange> {
        loop {
            if let Some(change) = self.try_next() {
                return Some(change);
            }
            if self.0.unread.lock().ended {
                return None;
            }
            self.0.news.notified().await;
        }
    }

    /// The next change, if there is one already.
    pub fn try_next(&mut self) -> Option<PathChange> {
        let mut unread = self.0.unread.lock();
        loop {
            let remote = unread.order.pop_front()?;
            // It may have turned back before it was read.
            if let Some(change) = unread.changes.remove(&remote) {
                return Some(change);
            }
        }
    }
}

/// Everybody who watches the paths of one runtime.
#[derive(Debug, Default)]
pub(super) struct PathWatchers(Mutex<Vec<Weak<Watcher>>>);

#[derive(Debug, Default)]
struct Watcher {
    unread: Mutex<Unread>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Unread {
    order: VecDeque<Url>,
    changes: HashMap<Url, PathChange>,
    ended: bool,
}

impl PathWatchers {
    pub(super) fn watch(&self) -> PathChanges {
        let watcher = Arc::new(Watcher::default());
        let mut watchers = self.0.lock();
        watchers.retain(|of| of.strong_count() > 0);
        watchers.push(Arc::downgrade(&watcher));
        PathChanges(watcher)
    }

    pub(super) fn tell(&self, change: &PathChange) {
        for watcher in self.0.lock().iter().filter_map(Weak::upgrade) {
            watcher.unread.lock().add(change.clone());
            watcher.news.notify_one();
        }
    }
}

impl Drop for PathWatchers {
    fn drop(&mut self) {
        for watcher in self.0.lock().iter().filter_map(Weak::upgrade) {
            watcher.unread.lock().ended = true;
            watcher.news.notify_one();
        }
    }
}

impl Unread {
    fn add(&mut self, change: PathChange) {
        match self.changes.remove(&change.remote) {
            Some(waiting) if waiting.from == change.to => {
                self.order.retain(|remote| *remote != change.remote);
            }
            Some(waiting) => {
                let change = PathChange { from: waiting.from, ..change };
                self.changes.insert(change.remote.clone(), change);
            }
            None => {
                self.order.push_back(change.remote.clone());
                self.changes.insert(change.remote.clone(), change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{handover::Reason, link::Path};

    fn change(remote: &str, from: Option<Path>, to: Option<Path>) -> PathChange {
        let remote = Url::parse(&format!("runtime://a/{remote}")).unwrap();
        PathChange { remote, from, to, why: Reason::NoDirectWay, numbered: true }
    }

    /// Goal: the newest state of each runtime is read, in the order of the first change that was
    /// not; steps in between are left out, and what turned back is none.
    #[test]
    fn only_steps_are_lost() {
        let (node, direct) = (Some(Path::MessageNode), Some(Path::P2p));
        let watchers = PathWatchers::default();
        let mut watched = watchers.watch();
        for (remote, from, to) in [
            ("bob", node, direct),
            ("carol", node, direct),
            ("dave", node, direct),
            ("bob", direct, None),
            ("carol", direct, node),
            ("carol", node, None),
        ] {
            watchers.tell(&change(remote, from, to));
        }
        assert_eq!(watched.try_next(), Some(change("bob", node, None)));
        assert_eq!(watched.try_next(), Some(change("dave", node, direct)));
        assert_eq!(watched.try_next(), Some(change("carol", node, None)));
        assert_eq!(watched.try_next(), None);
    }

    #[tokio::test]
    async fn it_ends_with_the_runtime() {
        let watchers = PathWatchers::default();
        let mut watched = watchers.watch();
        watchers.tell(&change("bob", None, Some(Path::P2p)));
        drop(watchers);
        assert!(watched.next().await.is_some());
        assert_eq!(watched.next().await, None);
    }
}
