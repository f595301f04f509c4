//! The specification of the FIB: a `BTreeMap` and a loop. Not fast, and not shared with readers.

use std::collections::{BTreeMap, BTreeSet};

use hyperty_router::{
    address::Address,
    fib::{Entry, Match},
};

/// The table, by the text of each prefix.
#[derive(Debug, Default)]
pub(crate) struct NaiveFib(BTreeMap<String, BTreeSet<Entry>>);

impl NaiveFib {
    pub(crate) fn insert(&mut self, prefix: &Address<'_>, entry: Entry) -> Option<Entry> {
        let entries = self.0.entry(prefix.to_string()).or_default();
        let is_route = |entry: &Entry| matches!(entry, Entry::Route { .. });
        let old = entries.iter().copied().find(|old| is_route(old) && is_route(&entry));
        let replaced = old.filter(|old| *old != entry && entries.remove(old));
        entries.insert(entry);
        replaced
    }

    pub(crate) fn remove(&mut self, prefix: &Address<'_>, entry: Entry) -> bool {
        let Some(entries) = self.0.get_mut(prefix.as_str()) else { return false };
        let removed = entries.remove(&entry);
        self.0.retain(|_, entries| !entries.is_empty());
        removed
    }

    pub(crate) fn entries(&self, prefix: &Address<'_>) -> Vec<Entry> {
        self.0.get(prefix.as_str()).into_iter().flatten().copied().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Prefixes of prefixes with an entry, themselves among them.
    pub(crate) fn node_count(&self) -> usize {
        let addresses = self.0.keys().map(|text| Address::parse(text).expect("it was one"));
        let prefixes =
            addresses.flat_map(|all| all.boundaries().map(move |end| &all.as_str()[..end]));
        prefixes.collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn look_up(&self, to: &Address<'_>) -> Match {
        let mut found = Match::default();
        let covers = |prefix: &str| Address::parse(prefix).expect("it was one").covers(to);
        for (prefix, entries) in self.0.iter().filter(|(prefix, _)| covers(prefix)) {
            let (length, is_whole) = (prefix.len() as u16, prefix == to.as_str());
            let (mut listeners, mut subscriptions) = (BTreeSet::new(), BTreeSet::new());
            for entry in entries {
                match *entry {
                    Entry::Listener { target, exact } if is_whole || !exact => {
                        listeners.insert(target);
                    }
                    Entry::Subscription { target, exact } if is_whole || !exact => {
                        subscriptions.insert(target);
                    }
                    Entry::Listener { .. } | Entry::Subscription { .. } => {}
                    Entry::Publish => found.publish = true,
                    Entry::Route { target } => {
                        (found.route, found.route_len) = (Some(target), length)
                    }
                }
            }
            if !listeners.is_empty() {
                (found.listeners, found.listener_len) = (listeners.into_iter().collect(), length);
            }
            if !subscriptions.is_empty() {
                found.subscriptions.extend(subscriptions);
                found.subscription_len = length;
            }
        }
        found
    }
}
