//! A map whose values have deadlines, ordered by them: the next one is known without looking at all.
//!
//! **Whoever may have changed a deadline is looked at again**: each mutable access marks its key, and until
//! [`Timed::settle`] puts the marked ones in their place they are looked at one by one. What changes a
//! deadline without the map's knowledge says so by [`Timed::touch`], at the latest when it becomes earlier.
//! There is no clock here, and nobody is woken.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Index,
    time::Instant,
};

/// A value that has something to do when its time comes.
pub(super) trait Due {
    /// When; `None`: never, as things stand.
    fn due(&self) -> Option<Instant>;
}

/// The map. Iterates by key.
#[derive(Debug)]
pub(super) struct Timed<K, V> {
    /// In boxes of their own: a tree keeps room for as many again as it holds, at worst.
    map: BTreeMap<K, Box<Entry<V>>>,
    by_time: BTreeSet<(Instant, K)>,
    /// Each once, as its entry knows.
    touched: Vec<K>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// Where it stands in `by_time`.
    placed: Option<Instant>,
    touched: bool,
}

impl<K: Ord + Clone, V: Due> Timed<K, V> {
    pub(super) fn new() -> Self {
        Timed { map: BTreeMap::new(), by_time: BTreeSet::new(), touched: Vec::new() }
    }

    /// When [`Timed::take_due`] gives something; may be early. O(marked keys).
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let touched = self.touched.iter().filter_map(|key| self.map.get(key)?.value.due());
        touched.chain(self.by_time.first().map(|(at, _)| *at)).min()
    }

    /// The keys whose time has come, in order of their times; they are marked. O(those, log n each).
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<K> {
        self.settle();
        let due = self.by_time.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<K> = due.map(|(_, key)| key.clone()).collect();
        due.iter().for_each(|key| self.touch(key));
        due
    }

    /// Puts the marked keys in their place.
    pub(super) fn settle(&mut self) {
        for key in std::mem::take(&mut self.touched) {
            let Some(entry) = self.map.get_mut(&key) else { continue };
            entry.touched = false;
            let due = entry.value.due();
            if entry.placed == due {
                continue;
            }
            if let Some(at) = std::mem::replace(&mut entry.placed, due) {
                self.by_time.remove(&(at, key.clone()));
            }
            self.by_time.extend(due.map(|at| (at, key)));
        }
    }

    /// The deadline of `key`, if it is there, may have changed.
    pub(super) fn touch(&mut self, key: &K) {
        if let Some(entry) = self.map.get_mut(key)
            && !std::mem::replace(&mut entry.touched, true)
        {
            self.touched.push(key.clone());
        }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let entry = self.map.get_mut(key)?;
        if !std::mem::replace(&mut entry.touched, true) {
            self.touched.push(key.clone());
        }
        Some(&mut entry.value)
    }

    /// Marks all keys.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let touched = &mut self.touched;
        self.map.iter_mut().map(|(key, entry)| {
            if !std::mem::replace(&mut entry.touched, true) {
                touched.push(key.clone());
            }
            (key, &mut entry.value)
        })
    }

    /// Marks all keys.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Puts `value` in, in the place of what was there.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        let entry = Entry { value, placed: None, touched: true };
        self.map.insert(key.clone(), Box::new(entry));
        self.touched.push(key);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.map.remove(key)?;
        if let Some(at) = entry.placed {
            self.by_time.remove(&(at, key.clone()));
        }
        if entry.touched {
            // One that comes back under this key is to be marked once.
            self.touched.retain(|of| of != key);
        }
        Some(entry.value)
    }
}

/// What is the same for any map.
impl<K: Ord, V> Timed<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key).map(|entry| &entry.value)
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.map.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.map.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.map.values().map(|entry| &entry.value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.map.iter().map(|(key, entry)| (key, &entry.value))
    }
}

impl<K: Ord, V> Index<&K> for Timed<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        &self.map[key].value
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the next deadline is never later than the true one, and after settling it is the true one,
    //! whatever was done. Method: random edits, held against a look at all values.

    use std::{cell::Cell, time::Duration};

    use proptest::prelude::*;

    use super::*;

    impl Due for Cell<Option<Instant>> {
        fn due(&self) -> Option<Instant> {
            self.get()
        }
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Insert(u8, Option<u64>),
        Remove(u8),
        Set(u8, Option<u64>),
        SetAll(Option<u64>),
        /// Without the map's knowledge until it is told.
        Inside(u8, Option<u64>),
        Settle,
        TakeDue(u64),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let (key, at) = (0..12_u8, prop::option::weighted(0.8, 0..50_u64));
        prop_oneof![
            4 => (key.clone(), at.clone()).prop_map(|(key, at)| Edit::Insert(key, at)),
            2 => key.clone().prop_map(Edit::Remove),
            6 => (key.clone(), at.clone()).prop_map(|(key, at)| Edit::Set(key, at)),
            1 => at.clone().prop_map(Edit::SetAll),
            4 => (key, at).prop_map(|(key, at)| Edit::Inside(key, at)),
            4 => Just(Edit::Settle),
            4 => (0..60_u64).prop_map(Edit::TakeDue),
        ]
    }

    proptest! {
        #[test]
        fn the_next_deadline_is_that_of_a_look_at_all(edits in prop::collection::vec(edit(), 1..200)) {
            let start = Instant::now();
            let time = |at: u64| start + Duration::from_millis(at);
            let mut timed: Timed<u8, Cell<Option<Instant>>> = Timed::new();
            for edit in edits {
                match edit {
                    Edit::Insert(key, at) => timed.insert(key, Cell::new(at.map(time))),
                    Edit::Remove(key) => drop(timed.remove(&key)),
                    Edit::Set(key, at) => {
                        if let Some(value) = timed.get_mut(&key) {
                            value.set(at.map(time));
                        }
                    }
                    Edit::SetAll(at) => timed.values_mut().for_each(|of| of.set(at.map(time))),
                    Edit::Inside(key, at) => {
                        if let Some(value) = timed.get(&key) {
                            value.set(at.map(time));
                        }
                        timed.touch(&key);
                    }
                    Edit::Settle => timed.settle(),
                    Edit::TakeDue(now) => {
                        let is_due = |of: &Cell<Option<Instant>>| of.get().is_some_and(|at| at <= time(now));
                        let mut due = timed.take_due(time(now));
                        due.sort_unstable();
                        let all = timed.iter().filter(|(_, of)| is_due(of));
                        prop_assert_eq!(due, all.map(|(key, _)| *key).collect::<Vec<_>>());
                        timed.settle();
                    }
                }
                let first = timed.values().filter_map(Cell::get).min();
                let polled = timed.poll_timeout();
                prop_assert!(first.is_none_or(|at| polled.is_some_and(|polled| polled <= at)));
                if timed.touched.is_empty() {
                    prop_assert_eq!(polled, first);
                }
                prop_assert!(timed.by_time.len() <= timed.len() && timed.touched.len() <= timed.len());
            }
        }
    }
}
