//! What lives in remote runtimes: learnt, retired and dropped in slices, however many addresses
//! there are.
//!
//! A list of addresses is work that waits in a queue, and each step of the control plane does a
//! bounded part of it, so that nobody waits long for its lock. What has to be at once, and is, is
//! one store in the peer's slot: addresses learnt over a connection that has gone count no more
//! from that store on (see [`Place::Learnt`]).
//!
//! [`Place::Learnt`]: crate::registry::Place::Learnt

use std::{
    collections::{HashMap, VecDeque, hash_map},
    time::Instant,
};

use simd_json::{OwnedValue, prelude::*};

use crate::{
    address::Url,
    limits,
    slab::Target,
    status::Status,
    ua::{RuntimeUa, remote::Remote},
};

/// Work on addresses that is still to be done, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Work {
    queue: VecDeque<Task>,
    /// Items of the largest step so far.
    longest: usize,
}

/// One list of addresses.
#[derive(Debug)]
enum Task {
    /// A remote Registry says that they live in `remote`; good for the connection that turned live
    /// as number `epoch`.
    Learn { remote: Url, epoch: u64, list: std::vec::IntoIter<OwnedValue> },
    /// It says that they do not any more.
    Unlearn { remote: Url, list: std::vec::IntoIter<OwnedValue> },
    /// They were learnt, and a newer list has taken their place: out of the table, but for those
    /// that the newer list has. Then nothing points at `places` any more.
    Retire { remote: Url, old: hash_map::IntoIter<Url, Target>, places: Vec<Target> },
}

impl Work {
    /// Lists that are still to be worked through.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

impl RuntimeUa {
    /// True while [`RuntimeUa::handle_notes`] has something to do.
    pub fn is_busy(&self) -> bool {
        !self.inbox.is_empty() || !self.work.queue.is_empty()
    }

    /// Notes handled and addresses edited by the largest single step so far, for who watches how
    /// long the control plane is held.
    pub fn longest_step(&self) -> usize {
        self.work.longest
    }

    pub(super) fn note_step(&mut self, items: usize) {
        self.work.longest = self.work.longest.max(items);
    }

    /// The remote Registry's list: with `replace` it is all that lives there, else it adds to what
    /// is known. `more`: how many addresses are to come by further lists before what is not among
    /// them is dropped.
    pub(super) fn learn_list(
        &mut self,
        remote: &Url,
        list: OwnedValue,
        replace: Option<usize>,
        now: Instant,
    ) {
        let Some(state) = self.remotes.get_mut(remote) else { return };
        let epoch = state.epoch;
        let list = items(list);
        match replace {
            Some(more) => {
                let (old, places) =
                    (std::mem::take(&mut state.learnt), std::mem::take(&mut state.retired));
                state.outdated.push((old, places));
                state.awaited = more;
                state.outdated_until = Some(now + limits::LIST_AWAITED);
            }
            None => state.awaited = state.awaited.saturating_sub(list.len()),
        }
        let is_whole = state.awaited == 0;
        self.work.queue.push_back(Task::Learn {
            remote: remote.clone(),
            epoch,
            list: list.into_iter(),
        });
        if is_whole {
            self.retire_outdated(remote);
        }
    }

    /// The remote Registry says that these do not live there any more.
    pub(super) fn unlearn_list(&mut self, remote: &Url, list: OwnedValue) {
        let list = items(list).into_iter();
        self.work.queue.push_back(Task::Unlearn { remote: remote.clone(), list });
    }

    /// Has what earlier lists said of `remote` taken out of the table, where the present one does
    /// not say it too.
    pub(super) fn retire_outdated(&mut self, remote: &Url) {
        let Some(state) = self.remotes.get_mut(remote) else { return };
        state.outdated_until = None;
        for (old, places) in std::mem::take(&mut state.outdated) {
            if !old.is_empty() || !places.is_empty() {
                let (remote, old) = (remote.clone(), old.into_iter());
                self.work.queue.push_back(Task::Retire { remote, old, places });
            }
        }
    }

    /// Takes everything out of the table that was known of a runtime which is forgotten.
    pub(super) fn drop_addresses(&mut self, remote: &Url, state: Remote) {
        let target = state.target;
        let looked_up = state.looked_up.into_iter().chain([remote.clone()]);
        let own: HashMap<Url, Target> = looked_up.map(|url| (url, target)).collect();
        let places = state.retired.into_iter().chain(state.learning).chain([target]).collect();
        let lists = state.outdated.into_iter().chain([(own, Vec::new()), (state.learnt, places)]);
        for (old, places) in lists {
            let (remote, old) = (remote.clone(), old.into_iter());
            self.work.queue.push_back(Task::Retire { remote, old, places });
        }
    }

    /// True if a list of `remote` waits to be worked through.
    pub(super) fn has_list_of(&self, remote: &Url) -> bool {
        self.work.queue.iter().any(|task| match task {
            Task::Learn { remote: of, .. }
            | Task::Unlearn { remote: of, .. }
            | Task::Retire { remote: of, .. } => of == remote,
        })
    }

    pub(super) fn lists_timeout(&mut self, now: Instant) {
        for remote in self.due_remotes(now) {
            let until = self.remotes.get(&remote).and_then(|state| state.outdated_until);
            if until.is_some_and(|at| at <= now) {
                self.retire_outdated(&remote);
            }
        }
    }

    /// Does work on at most `items_max` addresses; on how many it did.
    pub(super) fn do_work(&mut self, items_max: usize, now: Instant) -> usize {
        let mut done = 0;
        while done < items_max
            && let Some(mut task) = self.work.queue.pop_front()
        {
            let (items, is_done) = self.do_part(&mut task, items_max - done, now);
            done += items;
            if !is_done {
                self.work.queue.push_front(task);
            }
        }
        done
    }

    fn do_part(&mut self, task: &mut Task, items_max: usize, now: Instant) -> (usize, bool) {
        match task {
            Task::Learn { remote, epoch, list } => {
                let part: Vec<OwnedValue> = list.by_ref().take(items_max).collect();
                let urls = part.iter().filter_map(|url| Url::parse(url.as_str()?).ok());
                if self.is_epoch(remote, *epoch) {
                    self.learn(remote, urls.collect(), now);
                }
                (part.len(), list.len() == 0)
            }
            Task::Unlearn { remote, list } => {
                let part: Vec<OwnedValue> = list.by_ref().take(items_max).collect();
                for url in part.iter().filter_map(|url| Url::parse(url.as_str()?).ok()) {
                    self.dissociate(remote, &url);
                }
                (part.len(), list.len() == 0)
            }
            Task::Retire { remote, old, places } => {
                let part: Vec<(Url, Target)> = old.by_ref().take(items_max).collect();
                // An address that was learnt anew points elsewhere, or again where it did.
                let learnt = self.remotes.get(remote).map(|state| &state.learnt);
                let again = |url: &Url| learnt.is_some_and(|learnt| learnt.contains_key(url));
                for (url, target) in part.iter().filter(|(url, _)| !again(url)) {
                    self.bus.dissociate(*target, [url]);
                }
                let is_done = old.len() == 0;
                if is_done {
                    for place in places.drain(..) {
                        self.bus.remove_place(place);
                    }
                }
                (part.len(), is_done)
            }
        }
    }

    /// Says that `list` lives in `remote`, as long as the present connection stands.
    fn learn(&mut self, remote: &Url, list: Vec<Url>, now: Instant) {
        let Some(state) = self.remotes.get(remote) else { return };
        let Some(target) = state.learning.filter(|_| state.peer.slot().status() == Status::Live)
        else {
            return;
        };
        let peer = state.peer.clone();
        let room = limits::ASSOCIATIONS_MAX.saturating_sub(state.learnt.len());
        let acceptable: Vec<Url> =
            list.into_iter().filter(|url| self.may_live_in(remote, url)).take(room).collect();
        let mut last = None;
        for url in &acceptable {
            // A barrier for each stub, not for each address.
            if let Some(stub) = self.stub_towards(url)
                && last.replace(stub.link) != Some(stub.link)
            {
                let _ = peer.bind(&stub, now);
            }
        }
        self.bus.associate(target, &acceptable);
        if let Some(state) = self.remotes.get_mut(remote) {
            state.learnt.extend(acceptable.into_iter().map(|url| (url, target)));
        }
    }

    /// A remote runtime can't claim our addresses, nor those of a third runtime.
    fn may_live_in(&self, remote: &Url, url: &Url) -> bool {
        let address = url.address();
        let is_runtime = matches!(address.scheme(), "hyperty-runtime" | "runtime");
        !address.is_bare()
            && !self.bus.own().is_ours(&address)
            && !self.registered.contains_key(url)
            && (!is_runtime || remote.address().covers(&address))
            && !self.is_associated_elsewhere(remote, url)
    }

    /// The table has one route for an address, so that one look-up says whose it may be.
    fn is_associated_elsewhere(&self, remote: &Url, url: &Url) -> bool {
        let Some(peer) = self.bus.peer_of(&url.address()) else { return false };
        let state = self.remotes.get(peer.remote()).filter(|_| peer.remote() != remote);
        peer.slot().is_live()
            && state.is_some_and(|of| of.learnt.contains_key(url) || of.looked_up.contains(url))
    }
}

/// The members of a list; none if it is no list.
fn items(list: OwnedValue) -> Vec<OwnedValue> {
    match list {
        OwnedValue::Array(list) => list.into_iter().collect(),
        _ => Vec::new(),
    }
}
