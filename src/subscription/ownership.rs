//! Who owns which address, and who claims one: the routes and claims of the FIB, counted.
//!
//! It grants whatever it is told to; the policy stands in [`crate::subscription`].

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
};

use smallvec::SmallVec;

use crate::{
    address::{Address, Url},
    fib::{Entry, Fib, FibWriter, Match},
    slab::Target,
};

/// Why a session owns an address. Several reasons may hold at once; it is owned until the last one
/// ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// It is the session's runtimeURL.
    Runtime = 1,
    /// It was allocated to the session.
    Allocation = 2,
    /// The session registered it.
    Registration = 4,
}

/// Who holds an address, by what the FIB says of it.
///
/// Owning beats claiming, because only an unowned address can be claimed; within each, the longest
/// prefix counts. So a session is held off by `other` if and only if `other` owns the longest owned
/// prefix, or, where nothing is owned, others alone have claimed the longest claimed one.
pub fn held_by_other(found: &Match, session: Target) -> bool {
    match found.route {
        Some(owner) => owner != session,
        None => !found.listeners.is_empty() && !found.listeners.contains(&session),
    }
}

/// Ownership and claims of all sessions.
///
/// In the FIB an owned address is a route, a claimed one a listener; a Message Node delivers to
/// routes and never to listeners, for a claim is no route of its own.
#[derive(Debug, Default)]
pub struct Ownership {
    /// The owners of each address; the last one has the route. More than one only under policy
    /// `open`, or where a runtimeURL was opened that another session had.
    owned: BTreeMap<Url, SmallVec<[(Target, u8); 1]>>,
    by_session: HashMap<Target, Holding>,
    claims: Counted,
}

/// What one session owns.
#[derive(Debug, Default)]
struct Holding {
    urls: HashSet<Url>,
    /// How many of them for each reason: by its bit's place.
    counts: [usize; 3],
}

impl Reason {
    fn place(self) -> usize {
        (self as u8).trailing_zeros() as usize
    }
}

impl Ownership {
    /// Lets `session` own `url`, with a route, for `reason`. O(1) beside the FIB's edit.
    pub fn own(&mut self, fib: &mut FibWriter, session: Target, url: &Url, reason: Reason) {
        let holding = self.by_session.entry(session).or_default();
        holding.urls.insert(url.clone());
        let owners = self.owned.entry(url.clone()).or_default();
        let known = owners.iter_mut().find(|(owner, _)| *owner == session);
        let had = known.as_ref().map_or(0, |(_, reasons)| *reasons);
        match known {
            Some((_, reasons)) => *reasons |= reason as u8,
            None => owners.push((session, reason as u8)),
        }
        if had & reason as u8 == 0 {
            holding.counts[reason.place()] += 1;
        }
        let (last, _) = owners[owners.len() - 1];
        fib.insert(&url.address(), Entry::Route { target: last });
    }

    /// Ends one reason for which `session` owns `url`; with the last one its route goes. False if
    /// it did not own it for that reason.
    pub fn disown(
        &mut self,
        fib: &mut FibWriter,
        session: Target,
        url: &Url,
        reason: Reason,
    ) -> bool {
        let Some(owners) = self.owned.get_mut(url) else { return false };
        let Some(at) = owners.iter().position(|(owner, _)| *owner == session) else { return false };
        if owners[at].1 & reason as u8 == 0 {
            return false;
        }
        owners[at].1 &= !(reason as u8);
        let is_last = owners[at].1 == 0;
        let holding = self.by_session.entry(session).or_default();
        holding.counts[reason.place()] -= 1;
        if is_last {
            holding.urls.remove(url);
            self.remove(fib, session, url);
        }
        true
    }

    /// True if `session` owns exactly `url` for `reason`.
    pub fn owns(&self, session: Target, url: &Url, reason: Reason) -> bool {
        let owners = self.owned.get(url);
        owners.is_some_and(|owners| {
            owners.iter().any(|(owner, reasons)| *owner == session && reasons & reason as u8 != 0)
        })
    }

    /// The addresses that `session` owns for `reason`, in no order.
    pub fn of(&self, session: Target, reason: Reason) -> Vec<Url> {
        let urls = self.by_session.get(&session).into_iter().flat_map(|holding| &holding.urls);
        urls.filter(|url| self.owns(session, url, reason)).cloned().collect()
    }

    /// How many addresses `session` owns for `reason`. O(1).
    pub fn count(&self, session: Target, reason: Reason) -> usize {
        self.by_session.get(&session).map_or(0, |holding| holding.counts[reason.place()])
    }

    /// An address below `url` that another session owns or claims. O(log n + what `session` has
    /// there).
    pub(super) fn held_below(&self, session: Target, url: &Url) -> Option<&Url> {
        let mut owned = below(&self.owned, url);
        let mut claimed = below(&self.claims.0, url);
        let owned = owned.find(|(_, by)| by.iter().any(|(by, _)| *by != session));
        owned.map(|(url, _)| url).or_else(|| {
            let claimed = claimed.find(|(_, by)| by.iter().any(|(by, _)| *by != session));
            claimed.map(|(url, _)| url)
        })
    }

    /// Passes all that `old` owns to `new`, a session that owns nothing yet. O(addresses of `old`).
    ///
    /// Among several owners of one address the new one takes the old one's place, so nobody gains a
    /// route by it.
    pub fn pass(&mut self, fib: &mut FibWriter, old: Target, new: Target) {
        let holding = self.by_session.remove(&old).unwrap_or_default();
        for url in &holding.urls {
            let owners = self.owned.get_mut(url).into_iter().flatten();
            owners.filter(|(owner, _)| *owner == old).for_each(|(owner, _)| *owner = new);
            if let Some(&(last, _)) = self.owned.get(url).and_then(|owners| owners.last()) {
                fib.insert(&url.address(), Entry::Route { target: last });
            }
        }
        self.by_session.insert(new, holding);
    }

    /// Ends all that `session` owns. O(its addresses).
    pub fn end(&mut self, fib: &mut FibWriter, session: Target) {
        for url in self.by_session.remove(&session).unwrap_or_default().urls {
            self.remove(fib, session, &url);
        }
    }

    /// Counts one more claim of `session` on `url`.
    pub(super) fn claim(&mut self, fib: &mut FibWriter, session: Target, url: &Url) {
        if self.claims.add(url, session) {
            fib.insert(&url.address(), Entry::Listener { target: session, exact: false });
        }
    }

    /// Counts one claim less; with the last one it ends.
    pub(super) fn disclaim(&mut self, fib: &mut FibWriter, session: Target, url: &Url) {
        if self.claims.remove(url, session) {
            fib.remove(&url.address(), Entry::Listener { target: session, exact: false });
        }
    }

    /// Takes `session` off the owners of `url`; the route passes to the owner before it, if any.
    fn remove(&mut self, fib: &mut FibWriter, session: Target, url: &Url) {
        let Some(owners) = self.owned.get_mut(url) else { return };
        owners.retain(|(owner, _)| *owner != session);
        match owners.last() {
            Some(&(last, _)) => {
                fib.insert(&url.address(), Entry::Route { target: last });
            }
            None => {
                fib.remove(&url.address(), Entry::Route { target: session });
                self.owned.remove(url);
            }
        }
    }
}

/// The entries strictly below `url`, in order.
fn below<'a, T>(map: &'a BTreeMap<Url, T>, url: &Url) -> impl Iterator<Item = (&'a Url, &'a T)> {
    let first = format!("{url}/");
    let range = (Bound::Excluded(first.as_str()), Bound::Unbounded);
    let entries = map.range::<str, _>(range);
    entries.take_while(move |(below, _)| below.as_str().starts_with(&first))
}

/// The session that owns `address`, by what is published. One look-up.
pub(super) fn owner(fib: &Fib, address: &Address<'_>) -> Option<Target> {
    let mut found = Match::default();
    fib.look_up(address, &mut found);
    found.route
}

/// How often each session stands on each address.
#[derive(Debug, Default)]
pub(super) struct Counted(BTreeMap<Url, SmallVec<[(Target, u32); 1]>>);

impl Counted {
    /// True if this is the first.
    pub(super) fn add(&mut self, url: &Url, session: Target) -> bool {
        let counts = self.0.entry(url.clone()).or_default();
        match counts.iter_mut().find(|(of, _)| *of == session) {
            Some((_, count)) => *count += 1,
            None => {
                counts.push((session, 1));
                return true;
            }
        }
        false
    }

    /// Where others than `session` stand at `url` and below. O(log n + what stands there).
    pub(super) fn of_others(&self, session: Target, url: &Url) -> Vec<(Url, Target)> {
        let here = self.0.get_key_value(url.as_str());
        let all = here.into_iter().chain(below(&self.0, url));
        let each = all.flat_map(|(url, by)| by.iter().map(move |(by, _)| (url, *by)));
        each.filter(|(_, by)| *by != session).map(|(url, by)| (url.clone(), by)).collect()
    }

    /// True if this was the last.
    pub(super) fn remove(&mut self, url: &Url, session: Target) -> bool {
        let Some(counts) = self.0.get_mut(url) else { return false };
        let Some(at) = counts.iter().position(|(of, _)| *of == session) else { return false };
        counts[at].1 -= 1;
        if counts[at].1 > 0 {
            return false;
        }
        counts.remove(at);
        if counts.is_empty() {
            self.0.remove(url);
        }
        true
    }
}
