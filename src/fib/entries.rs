//! The entries of one prefix, as the word that a slot of the directory holds.
//!
//! None and one are in the word itself, with their target; several are a list (see
//! [`super::lists`]), whose record is in the word. So a change, also of a list, is one atomic
//! store, and the common prefix, with one entry, needs no more memory. This module does not know
//! nodes or prefixes.

use smallvec::SmallVec;

use super::{
    Entry,
    arena::{Arena, Record},
    lists::{self, Lists},
    slot::Word,
};
use crate::slab::Target;

/// Gives each entry of `word` to `each`, in order.
///
/// # Safety
/// `word` was read from a slot of the table with this arena, by the writer or under a guard that
/// was pinned before and is held until the end of the call.
#[inline]
pub(super) unsafe fn for_each(word: Word, arena: &Arena, mut each: impl FnMut(Entry)) {
    match word.kind() {
        MANY => {
            // SAFETY: a list in a word is given up when no slot has that word any more, and freed
            // when the guards of then are gone.
            unsafe { lists::for_each(arena, list_of(word), |number| each(decode(number))) };
        }
        NONE => {}
        kind => each(entry_of(kind, Target(word.value()))),
    }
}

/// `word` with `entry` besides, and the route that had to make place. What it no longer needs is
/// noted in `lists`.
pub(super) fn with(word: Word, entry: Entry, lists: &mut Lists<'_>) -> (Word, Option<Entry>) {
    let number = encode(entry);
    match word.kind() {
        NONE => (one(entry), None),
        MANY => {
            let mut list = list_of(word);
            if lists.contains(list, number) {
                return (word, None);
            }
            let last = decode(lists.ends(list).1);
            let replaced = Some(last).filter(|last| is_route(last) && is_route(&entry));
            list = lists.with(list, number);
            let list = replaced.map_or(list, |last| {
                lists.without(list, encode(last)).expect("the new one is in it")
            });
            (many(list), replaced)
        }
        kind => {
            let old = entry_of(kind, Target(word.value()));
            if old == entry {
                (word, None)
            } else if is_route(&old) && is_route(&entry) {
                (one(entry), Some(old))
            } else {
                let mut numbers = [encode(old), number];
                numbers.sort_unstable();
                (many(lists.create(&numbers)), None)
            }
        }
    }
}

/// `word` without `entry`, or `None` if that is not in it. What it no longer needs is noted in
/// `lists`.
pub(super) fn without(word: Word, entry: Entry, lists: &mut Lists<'_>) -> Option<Word> {
    if word.kind() != MANY {
        return (word == one(entry)).then_some(Word::NONE);
    }
    let (list, number) = (list_of(word), encode(entry));
    if !lists.contains(list, number) {
        return None;
    }
    let left = lists.without(list, number).expect("a list has two entries at least");
    let (first, last) = lists.ends(left);
    if first != last {
        return Some(many(left));
    }
    lists.give_up(left);
    Some(one(decode(first)))
}

/// The entries of `word`, in order.
///
/// # Safety
/// As for [`for_each`].
pub(super) unsafe fn all(word: Word, arena: &Arena) -> SmallVec<[Entry; 4]> {
    let mut entries = SmallVec::new();
    // SAFETY: the caller's promise.
    unsafe { for_each(word, arena, |entry| entries.push(entry)) };
    entries
}

/// A word that is one route, or one listener for a prefix and what lies below, as nearly all are.
pub(super) enum Usual {
    Route(Target),
    Listener(Target),
    /// No entry, or something else.
    Other,
}

#[inline(always)]
pub(super) fn usual(word: Word) -> Usual {
    match word.kind() {
        ROUTE => Usual::Route(Target(word.value())),
        LISTENER => Usual::Listener(Target(word.value())),
        _ => Usual::Other,
    }
}

fn is_route(entry: &Entry) -> bool {
    matches!(entry, Entry::Route { .. })
}

/// The word that holds one entry.
pub(super) fn one(entry: Entry) -> Word {
    let (kind, target) = match entry {
        Entry::Listener { target, exact: false } => (LISTENER, target),
        Entry::Listener { target, exact: true } => (LISTENER_EXACT, target),
        Entry::Subscription { target, exact: false } => (SUBSCRIPTION, target),
        Entry::Subscription { target, exact: true } => (SUBSCRIPTION_EXACT, target),
        Entry::Publish => (PUBLISH, Target(0)),
        Entry::Route { target } => (ROUTE, target),
    };
    Word::new(kind, target.0)
}

fn many(list: Record) -> Word {
    Word::new(MANY, list.0)
}

fn list_of(word: Word) -> Record {
    Record(word.value())
}

#[inline]
fn entry_of(kind: u64, target: Target) -> Entry {
    match kind {
        LISTENER => Entry::Listener { target, exact: false },
        LISTENER_EXACT => Entry::Listener { target, exact: true },
        SUBSCRIPTION => Entry::Subscription { target, exact: false },
        SUBSCRIPTION_EXACT => Entry::Subscription { target, exact: true },
        PUBLISH => Entry::Publish,
        _ => Entry::Route { target },
    }
}

/// A number for an entry in a list, in the order of [`Entry`].
fn encode(entry: Entry) -> u64 {
    let number = |order: u64, target: Target, exact| {
        order << 33 | u64::from(target.0) << 1 | u64::from(exact)
    };
    match entry {
        Entry::Listener { target, exact } => number(0, target, exact),
        Entry::Subscription { target, exact } => number(1, target, exact),
        Entry::Publish => number(2, Target(0), false),
        Entry::Route { target } => number(3, target, false),
    }
}

fn decode(number: u64) -> Entry {
    let (target, exact) = (Target((number >> 1) as u32), number & 1 != 0);
    match number >> 33 {
        0 => Entry::Listener { target, exact },
        1 => Entry::Subscription { target, exact },
        2 => Entry::Publish,
        _ => Entry::Route { target },
    }
}

const NONE: u64 = 0;
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
    use crate::fib::arena::Allocator;

    /// Every entry goes into a word and a number and comes back, and numbers are in the order of
    /// entries.
    #[test]
    fn entries_are_packed_in_order() {
        let mut entries = vec![Entry::Publish];
        for target in [0, 1, 77, u32::MAX].map(Target) {
            entries.push(Entry::Route { target });
            for exact in [false, true] {
                entries.push(Entry::Listener { target, exact });
                entries.push(Entry::Subscription { target, exact });
            }
        }
        entries.sort_unstable();
        assert!(entries.is_sorted_by_key(|entry| encode(*entry)));
        for entry in entries {
            let (word, value) = (one(entry), Target(one(entry).value()));
            assert_eq!((decode(encode(entry)), entry_of(word.kind(), value)), (entry, entry));
        }
    }

    /// A list that shrinks to one entry gives all its records back.
    #[test]
    fn what_is_replaced_is_noted() {
        let (arena, mut allocator, mut replaced) =
            (Arena::new(), Allocator::new(), SmallVec::new());
        let mut lists = Lists { arena: &arena, allocator: &mut allocator, replaced: &mut replaced };
        let [first, second] = [1, 2].map(|target| Entry::Route { target: Target(target) });
        let (word, _) = with(Word::NONE, Entry::Publish, &mut lists);
        let (word, _) = with(word, first, &mut lists);
        let (word, old) = with(word, second, &mut lists);
        assert_eq!(old, Some(first));
        assert_eq!(without(word, first, &mut lists), None);
        assert_eq!(without(word, Entry::Publish, &mut lists), Some(one(second)));
        // The list of two, the one of three on the way to the next two, these, and the last one.
        assert_eq!(replaced.len(), 4);
        drop(allocator.take_all());
    }
}
