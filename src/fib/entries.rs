//! The entries of one prefix, packed into one word.
//!
//! None and one are in the word itself, with their target; several are an immutable list in a slab, whose
//! number is in the word. So a change, also of a list, is one atomic store, and the common node, with one
//! entry, needs no more memory. This module does not know nodes or prefixes.
//!
//! A reader that read a word goes on to the list, whatever the writer does in between. So a list that no
//! word leads to any more stays in its place until those readers are gone, and only then leaves the slab.
//!
//! ```text
//! bits 32..64: target, or number of the list    bits 0..8: what it is
//! ```

use std::sync::Arc;

use crossbeam_epoch::Guard;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::Entry;
use crate::slab::{Slab, SlabWriter, Target};

/// Several entries, sorted, each once.
pub(super) type EntryList = SmallVec<[Entry; 4]>;

/// What a word stands for.
#[derive(Clone, Copy)]
enum Unpacked {
    None,
    One(Entry),
    Many(Target),
}

/// Gives each entry of `word` to `each`, in order. `guard` must have been pinned before the word was read.
pub(super) fn for_each(
    word: u64,
    lists: &Slab<EntryList>,
    guard: &Guard,
    mut each: impl FnMut(Entry),
) {
    match unpack(word) {
        Unpacked::None => {}
        Unpacked::One(entry) => each(entry),
        // Only a list whose writer is gone is missing; its table is empty then.
        Unpacked::Many(list) => {
            lists.get(list, guard).into_iter().flatten().copied().for_each(each)
        }
    }
}

/// The one writer of all lists of a table.
pub(super) struct EntryWriter {
    lists: SlabWriter<EntryList>,
    bytes: usize,
    /// Lists that no word leads to and no reader is on its way to.
    unreachable: Arc<Mutex<Vec<Target>>>,
}

impl EntryWriter {
    pub(super) fn new() -> Self {
        EntryWriter { lists: SlabWriter::new(), bytes: 0, unreachable: Arc::default() }
    }

    pub(super) fn reader(&self) -> Slab<EntryList> {
        self.lists.reader()
    }

    /// Bytes in lists that a word leads to.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives up the lists that no reader can come to any more.
    pub(super) fn sweep(&mut self) {
        // Not under the lock: what `remove` may run along the way takes it too.
        let unreachable = std::mem::take(&mut *self.unreachable.lock());
        for list in unreachable {
            self.lists.remove(list);
        }
    }

    /// `word` with `entry` besides, stored by `store` before the old list is given up; returns the route
    /// that had to make place. O(entries of `word`).
    pub(super) fn insert(
        &mut self,
        word: u64,
        entry: Entry,
        guard: &Guard,
        store: impl FnOnce(u64),
    ) -> Option<Entry> {
        let mut entries = self.entries(word);
        if entries.contains(&entry) {
            return None;
        }
        let is_route = |entry: &Entry| matches!(entry, Entry::Route { .. });
        let old = entries.iter().position(|old| is_route(&entry) && is_route(old));
        let replaced = old.map(|at| entries.remove(at));
        let at = entries.partition_point(|other| *other < entry);
        entries.insert(at, entry);
        self.replace(word, entries, guard, store);
        replaced
    }

    /// `word` without `entry`, stored by `store` before the old list is given up; false if it was not
    /// there. O(entries of `word`).
    pub(super) fn remove(
        &mut self,
        word: u64,
        entry: Entry,
        guard: &Guard,
        store: impl FnOnce(u64),
    ) -> bool {
        let mut entries = self.entries(word);
        let Some(at) = entries.iter().position(|other| *other == entry) else {
            return false;
        };
        entries.remove(at);
        self.replace(word, entries, guard, store);
        true
    }

    /// The entries of `word`, in order.
    pub(super) fn entries(&self, word: u64) -> EntryList {
        match unpack(word) {
            Unpacked::None => EntryList::new(),
            Unpacked::One(entry) => EntryList::from_iter([entry]),
            Unpacked::Many(list) => self.lists.get(list).cloned().unwrap_or_default(),
        }
    }

    fn replace(&mut self, word: u64, entries: EntryList, guard: &Guard, store: impl FnOnce(u64)) {
        store(match entries[..] {
            [] => 0,
            [entry] => pack_one(entry),
            _ => {
                self.bytes += bytes_of(&entries);
                pack(MANY, self.lists.insert(entries))
            }
        });
        if let Unpacked::Many(list) = unpack(word) {
            self.bytes -= self.lists.get(list).map_or(0, bytes_of);
            let unreachable = Arc::clone(&self.unreachable);
            guard.defer(move || unreachable.lock().push(list));
            self.sweep();
        }
    }
}

fn bytes_of(list: &EntryList) -> usize {
    let heap = if list.spilled() { list.capacity() * size_of::<Entry>() } else { 0 };
    size_of::<EntryList>() + heap
}

fn pack(kind: u64, target: Target) -> u64 {
    u64::from(target.0) << 32 | kind
}

fn pack_one(entry: Entry) -> u64 {
    match entry {
        Entry::Listener { target, exact: false } => pack(LISTENER, target),
        Entry::Listener { target, exact: true } => pack(LISTENER_EXACT, target),
        Entry::Subscription { target, exact: false } => pack(SUBSCRIPTION, target),
        Entry::Subscription { target, exact: true } => pack(SUBSCRIPTION_EXACT, target),
        Entry::Publish => PUBLISH,
        Entry::Route { target } => pack(ROUTE, target),
    }
}

fn unpack(word: u64) -> Unpacked {
    let target = Target((word >> 32) as u32);
    Unpacked::One(match word & 0xff {
        LISTENER => Entry::Listener { target, exact: false },
        LISTENER_EXACT => Entry::Listener { target, exact: true },
        SUBSCRIPTION => Entry::Subscription { target, exact: false },
        SUBSCRIPTION_EXACT => Entry::Subscription { target, exact: true },
        PUBLISH => Entry::Publish,
        ROUTE => Entry::Route { target },
        MANY => return Unpacked::Many(target),
        _ => return Unpacked::None,
    })
}

const LISTENER: u64 = 1;
const LISTENER_EXACT: u64 = 2;
const SUBSCRIPTION: u64 = 3;
const SUBSCRIPTION_EXACT: u64 = 4;
const PUBLISH: u64 = 5;
const ROUTE: u64 = 6;
const MANY: u64 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    /// A list goes only when the guards that were there when its word went are gone.
    ///
    /// The story: the slab empties a place at once, so a reader between word and list found no entry
    /// where there always was one.
    #[test]
    fn a_list_waits_for_readers_of_its_word() {
        let (mut writer, mut word) = (EntryWriter::new(), 0);
        let lists = writer.reader();
        let reading = crossbeam_epoch::pin();
        let route = Entry::Route { target: Target(1) };
        writer.insert(word, route, &crossbeam_epoch::pin(), |new| word = new);
        writer.insert(word, Entry::Publish, &crossbeam_epoch::pin(), |new| word = new);
        let (read, mut found) = (word, EntryList::new());
        assert!(writer.remove(word, Entry::Publish, &crossbeam_epoch::pin(), |new| word = new));
        for _ in 0..1_000 {
            crossbeam_epoch::pin().flush();
            writer.sweep();
        }
        for_each(read, &lists, &reading, |entry| found.push(entry));
        assert_eq!(found[..], [Entry::Publish, route]);
        assert_eq!((writer.lists.len(), writer.bytes()), (1, 0));
        drop(reading);
        for _ in 0..1_000_000 {
            if writer.lists.is_empty() {
                return;
            }
            crossbeam_epoch::pin().flush();
            writer.sweep();
            std::thread::yield_now();
        }
        panic!("{} lists were never given up", writer.lists.len());
    }
}
