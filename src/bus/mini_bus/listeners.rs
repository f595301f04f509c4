//! The listeners of one sandbox, and `*`: a few stand in a list, more in a table.
//!
//! Both say the same of every address; a sandbox with a listener or two is not to cost what a table does. The
//! list is replaced as a whole, so readers take no lock. Once there was a table it stays one.

use std::sync::Arc;

use crossbeam_epoch::Guard;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::{
    address::{Address, Url},
    fib::Match,
    limits::MINI_BUS_LIST_MAX,
    link::Sink,
    registry::table::{Listener, ListenerKey, Place, RoutingTable},
    slab::{self, Latest, Target},
};

/// The listeners, and `*`.
pub(super) struct Listeners {
    now: Latest<Now>,
    writer: Mutex<Writer>,
}

/// What readers see. It is replaced and never changed; only the table, if there is one, is edited in place.
#[derive(Clone, Default)]
struct Now {
    /// How often the list was edited.
    edits: u64,
    /// In the order in which they were added; none once there is a table.
    few: Vec<Few>,
    table: Option<Arc<RoutingTable>>,
    default: Option<Arc<dyn Sink>>,
}

/// One of a few listeners.
#[derive(Clone)]
struct Few {
    number: u64,
    exact: bool,
    listener: Arc<Listener>,
}

/// What only edits need.
#[derive(Default)]
struct Writer {
    /// Of the next listener.
    number: u64,
    /// Where listeners that stood in the list stand in the table, by their numbers.
    moved: Vec<(u64, ListenerKey)>,
}

/// What a listener of a MiniBus is removed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MiniKey(Key);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// Added to the list; by now it may stand in the table.
    Few(u64),
    Table(ListenerKey),
}

/// A path through a sandbox: messages that enter it go to the listeners on its URL.
#[derive(Debug)]
pub struct Path {
    url: Url,
    /// The only listener that was found on it, and the number of edits before that.
    last: Mutex<Option<(u64, Last)>>,
}

/// Where a listener was found.
#[derive(Clone, Copy, Debug)]
enum Last {
    /// At this place of the list.
    Few(usize),
    /// In the table, whose edits were counted.
    Table(Target),
}

impl Path {
    /// The path `url`.
    pub fn new(url: Url) -> Self {
        Path { url, last: Mutex::new(None) }
    }
}

impl Listeners {
    pub(super) fn new() -> Self {
        Listeners { now: Latest::new(Now::default()), writer: Mutex::default() }
    }

    /// The listeners as they are now, for as long as `guard` is held.
    #[inline]
    pub(super) fn now<'g>(&'g self, guard: &'g Guard) -> View<'g> {
        View { now: self.now.get(guard), guard }
    }

    /// Adds a listener; an exact one is passed over below its URL.
    pub(super) fn add(&self, listener: Listener, exact: bool) -> MiniKey {
        let mut writer = self.writer.lock();
        let mut now = self.copy();
        let table = match &now.table {
            Some(table) => table.clone(),
            None if now.few.len() < MINI_BUS_LIST_MAX => {
                let number = writer.number;
                writer.number += 1;
                now.few.reserve_exact(1);
                now.few.push(Few { number, exact, listener: Arc::new(listener) });
                now.edits += 1;
                self.now.set(now);
                return MiniKey(Key::Few(number));
            }
            None => {
                // Readers see the table once all of the list are in it.
                let table = Arc::new(RoutingTable::new());
                let moved = now.few.iter().map(|few| {
                    let Listener { url, link, sink } = &*few.listener;
                    let copy = Listener { url: url.clone(), link: *link, sink: sink.clone() };
                    (few.number, table.add_listener(copy, few.exact))
                });
                writer.moved = moved.collect();
                self.now.set(Now { few: Vec::new(), table: Some(table.clone()), ..now });
                table
            }
        };
        drop(writer);
        MiniKey(Key::Table(table.add_listener(listener, exact)))
    }

    /// Removes a listener; false if it had gone already.
    pub(super) fn remove(&self, key: &MiniKey) -> bool {
        let mut writer = self.writer.lock();
        let mut now = self.copy();
        let was_there = match (&key.0, &now.table) {
            (Key::Few(number), None) => {
                let before = now.few.len();
                now.few.retain(|few| few.number != *number);
                let was_there = now.few.len() < before;
                if was_there {
                    now.edits += 1;
                    self.now.set(now);
                }
                was_there
            }
            (Key::Few(number), Some(table)) => {
                let at = writer.moved.iter().position(|(of, _)| of == number);
                at.is_some_and(|at| table.remove_listener(&writer.moved.swap_remove(at).1))
            }
            (Key::Table(key), Some(table)) => table.remove_listener(key),
            // Of another bus.
            (Key::Table(_), None) => false,
        };
        drop(writer);
        slab::hand_on();
        was_there
    }

    pub(super) fn set_default(&self, default: Option<Arc<dyn Sink>>) {
        let writer = self.writer.lock();
        self.now.set(Now { default, ..self.copy() });
        drop(writer);
        slab::hand_on();
    }

    /// For the writer, to be changed and set.
    fn copy(&self) -> Now {
        self.now.get(&crossbeam_epoch::pin()).clone()
    }
}

/// The listeners of one moment.
#[derive(Clone, Copy)]
pub(super) struct View<'g> {
    now: &'g Now,
    guard: &'g Guard,
}

/// Those on the longest prefix of an address that has any, each once; up to four without an allocation.
pub(super) type Found<'g> = SmallVec<[&'g Listener; 4]>;

impl<'g> View<'g> {
    /// The `*` listener.
    pub(super) fn default(self) -> Option<&'g Arc<dyn Sink>> {
        self.now.default.as_ref()
    }

    /// The listeners for `at`: those on the longest prefix that has any.
    #[inline]
    pub(super) fn at(self, at: &Address<'_>) -> Found<'g> {
        let mut found = Found::new();
        if let Some(table) = &self.now.table {
            self.in_table(table, at, &mut found);
            return found;
        }
        let mut longest = 0;
        for Few { exact, listener, .. } in &self.now.few {
            let url = listener.url.as_str();
            let is_whole = url.len() == at.as_str().len();
            if url.len() < longest || (*exact && !is_whole) || !listener.url.address().covers(at) {
                continue;
            }
            if url.len() > longest {
                longest = url.len();
                found.clear();
            }
            found.push(listener);
        }
        found
    }

    /// The listeners on `path` itself. The only one is remembered.
    pub(super) fn on(self, path: &Path) -> Found<'g> {
        let mut found = Found::new();
        let last = match &self.now.table {
            None => {
                let few = self.now.few.iter().enumerate();
                let on_it = few.filter(|(_, few)| few.listener.url == path.url);
                let mut first = None;
                for (at, few) in on_it {
                    first.get_or_insert(at);
                    found.push(&*few.listener);
                }
                first.map(|at| (self.now.edits, Last::Few(at)))
            }
            Some(table) => {
                let edits = table.edits();
                let (first, length) = self.in_table(table, &path.url.address(), &mut found);
                if length < path.url.as_str().len() {
                    return Found::new();
                }
                first.map(|target| (edits, Last::Table(target)))
            }
        };
        if found.len() == 1 {
            *path.last.lock() = last;
        }
        found
    }

    /// The only listener on `path`, if it was found before and nothing was edited since.
    #[inline]
    pub(super) fn last_on(self, path: &Path) -> Option<&'g Listener> {
        let (edits, last) = (*path.last.lock())?;
        match (last, &self.now.table) {
            (Last::Table(target), Some(table)) => table.listener_as_of(target, edits, self.guard),
            (Last::Few(at), None) if edits == self.now.edits => {
                self.now.few.get(at).map(|few| &*few.listener)
            }
            _ => None,
        }
    }

    /// Adds the listeners of the longest prefix to `found`. Returns the target of the first, and the length
    /// of that prefix.
    #[inline]
    fn in_table(
        self,
        table: &'g RoutingTable,
        at: &Address<'_>,
        found: &mut Found<'g>,
    ) -> (Option<Target>, usize) {
        let mut matched = Match::default();
        table.look_up(at, &mut matched, self.guard);
        for target in &matched.listeners {
            if let Some(Place::Listener(listener)) = table.place(*target, self.guard) {
                found.push(listener);
            }
        }
        (matched.listeners.first().copied(), usize::from(matched.listener_len))
    }
}
