//! The specification of the MessageBus without peers: a `BTreeMap` and a loop. Nothing is sent.

use std::collections::{BTreeMap, BTreeSet};

/// A bus of the runtime `own`, perhaps with the stub of a Message Node.
#[derive(Debug, Default)]
pub(crate) struct NaiveBus {
    own: String,
    has_stub: bool,
    listeners: BTreeMap<String, Vec<Listener>>,
    published: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listener {
    number: usize,
    link: Option<u32>,
    exact: bool,
}

/// Who is to get a message: the numbers of listeners, and the Message Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takers {
    pub(crate) listeners: BTreeSet<usize>,
    pub(crate) node: bool,
}

impl Takers {
    pub(crate) fn is_nobody(&self) -> bool {
        self.listeners.is_empty() && !self.node
    }
}

impl NaiveBus {
    pub(crate) fn new(own: &str, has_stub: bool) -> Self {
        NaiveBus { own: own.to_owned(), has_stub, ..NaiveBus::default() }
    }

    pub(crate) fn add_listener(
        &mut self,
        url: &str,
        number: usize,
        link: Option<u32>,
        exact: bool,
    ) {
        let listener = Listener { number, link, exact };
        self.listeners.entry(url.to_owned()).or_default().push(listener);
    }

    pub(crate) fn remove_listener(&mut self, number: usize) {
        self.listeners.values_mut().for_each(|all| all.retain(|one| one.number != number));
    }

    pub(crate) fn add_publish(&mut self, prefix: &str) {
        self.published.insert(prefix.to_owned());
    }

    pub(crate) fn remove_publish(&mut self, prefix: &str) -> bool {
        self.published.remove(prefix)
    }

    /// Posted by a local party on `link`.
    pub(crate) fn post(&self, to: &str, link: u32) -> Takers {
        let listeners = self.longest(to);
        let onward = listeners.is_empty() || self.published.iter().any(|one| covers(one, to));
        Takers {
            listeners: except(listeners, link),
            node: onward && self.has_stub && !covers(&self.own, to),
        }
    }

    /// Come in by `link`: local listeners or nobody.
    pub(crate) fn deliver(&self, to: &str, link: u32) -> Takers {
        Takers { listeners: except(self.longest(to), link), node: false }
    }

    fn longest(&self, to: &str) -> Vec<Listener> {
        let mut longest = (0, Vec::new());
        for (url, listeners) in self.listeners.iter().filter(|(url, _)| covers(url, to)) {
            let here: Vec<_> =
                listeners.iter().copied().filter(|one| !one.exact || url == to).collect();
            if !here.is_empty() && url.len() >= longest.0 {
                longest = (url.len(), here);
            }
        }
        longest.1
    }
}

fn except(listeners: Vec<Listener>, link: u32) -> BTreeSet<usize> {
    listeners.iter().filter(|one| one.link != Some(link)).map(|one| one.number).collect()
}

fn covers(prefix: &str, to: &str) -> bool {
    to.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
