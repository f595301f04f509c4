//! The FIB against its oracle, under concurrent readers, and back to nothing.
//!
//! Goal: every look-up finds what the naive table finds, at every moment; nothing stays behind.
//! Method: property tests over edits and addresses, the fuzz corpus replayed, threads that read
//! while one writes. Whose target is allowed what is no matter here; that is policy.

#[path = "../fuzz/bodies/fib.rs"]
mod fuzz_body;
#[path = "support/naive_fib.rs"]
mod naive_fib;

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use crossbeam_epoch as epoch;
use hyperty_router::{
    address::Address,
    fib::{Entry, Fib, FibWriter, Match},
    slab::{SlabWriter, Target},
};
use proptest::prelude::*;

fn at(text: &str) -> Address<'_> {
    Address::parse(text).expect("a test's address is right")
}

fn listener(number: u32) -> Entry {
    Entry::Listener { target: Target(number), exact: false }
}

fn subscription(number: u32) -> Entry {
    Entry::Subscription { target: Target(number), exact: false }
}

fn look_up(fib: &Fib, to: &str) -> Match {
    let mut found = Match { publish: true, ..Match::default() };
    fib.look_up(&at(to), &mut found);
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 100 }))]

    /// The fuzz target's body on random edits of few addresses: every kind of entry meets every
    /// other.
    #[test]
    fn agrees_with_the_naive_table(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz_body::run(&data);
    }

    /// Addresses of any text and depth, in batches whose size has nothing to do with theirs.
    #[test]
    fn batches_of_any_shape_agree(
        prefixes in prop::collection::vec("[a-z]{1,3}://[a-b]{1,2}(/[a-cé]{1,18}){0,4}", 1..40),
        deep in prop::collection::vec("s://d(/[ab]){0,64}", 0..40),
    ) {
        let mut writer = FibWriter::new();
        let mut naive = naive_fib::NaiveFib::default();
        for (number, text) in prefixes.iter().chain(&deep).enumerate() {
            let entry = [listener, subscription][number % 2](number as u32);
            prop_assert_eq!(writer.insert(&at(text), entry), naive.insert(&at(text), entry));
        }
        let below: Vec<_> = prefixes.iter().map(|text| format!("{text}/below")).collect();
        let to: Vec<_> = prefixes.iter().chain(&deep).chain(&below).map(|text| at(text)).collect();
        let mut found = vec![Match::default(); to.len()];
        writer.reader().look_up_batch(&to, &mut found);
        for (to, found) in to.iter().zip(found) {
            prop_assert_eq!(&found, &naive.look_up(to));
            prop_assert_eq!(found, look_up(&writer.reader(), to.as_str()));
        }
    }
}

/// Loading is inserting: into an empty table and a filled one, with doublets and several entries on
/// a prefix, and whatever the iterator promises.
#[test]
fn loading_is_inserting() {
    let count = if cfg!(miri) { 100 } else { 5_000 };
    let texts: Vec<_> =
        (0..count).map(|number| format!("s://d{}/{}/x", number % 3, number % 1_999)).collect();
    let entry = |number: usize| match number % 5 {
        0 => subscription(number as u32),
        1 => Entry::Publish,
        2 => Entry::Route { target: Target(number as u32) },
        _ => listener(number as u32 % 7),
    };
    let (mut writer, mut one_by_one) = (FibWriter::new(), naive_fib::NaiveFib::default());
    let all = || texts.iter().enumerate().map(|(number, text)| (at(text), entry(number)));
    for (address, entry) in all() {
        one_by_one.insert(&address, entry);
    }
    writer.load(all().take(count / 3));
    // A filter promises nothing.
    writer.load(all().skip(count / 3).filter(|_| true));
    writer.load([]);
    assert_eq!((writer.len(), writer.node_count()), (one_by_one.len(), one_by_one.node_count()));
    let fib = writer.reader();
    for text in &texts {
        assert_eq!(look_up(&fib, text), one_by_one.look_up(&at(text)), "{text}");
        assert_eq!(writer.entries(&at(text))[..], one_by_one.entries(&at(text)));
    }
}

/// Each file of the fuzz corpus, as the fuzzer would run it.
#[test]
#[cfg_attr(miri, ignore = "reads files")]
fn the_fuzz_corpus_is_replayed() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/fib");
    let files = std::fs::read_dir(corpus).expect("the corpus is part of the project");
    let inputs = files.map(|file| std::fs::read(file.expect("it is listed").path()));
    let count = inputs.inspect(|input| fuzz_body::run(input.as_ref().expect("it is read"))).count();
    assert!(count >= 5, "only {count} files");
}

#[test]
fn the_longest_prefix_takes_listeners_and_route_each_by_itself() {
    let mut writer = FibWriter::new();
    writer.insert(&at("hyperty://d/c"), listener(1));
    writer.insert(&at("hyperty://d/c/x"), Entry::Route { target: Target(2) });
    writer.insert(&at("hyperty://d/cart"), listener(3));
    let found = look_up(&writer.reader(), "hyperty://d/c/x/y");
    assert_eq!((&found.listeners[..], found.listener_len), (&[Target(1)][..], 13));
    assert_eq!((found.route, found.route_len), (Some(Target(2)), 15));
    assert!(!found.publish);
    assert_eq!(look_up(&writer.reader(), "hyperty://d/ca"), Match::default());
}

#[test]
fn an_exact_entry_is_passed_over_below() {
    let mut writer = FibWriter::new();
    let target = Target(2);
    writer.insert(&at("s://d/a"), listener(1));
    writer.insert(&at("s://d/a/b"), Entry::Listener { target, exact: true });
    writer.insert(&at("s://d/a/b"), Entry::Subscription { target, exact: true });
    assert_eq!(look_up(&writer.reader(), "s://d/a/b").listeners[..], [target]);
    let below = look_up(&writer.reader(), "s://d/a/b/c");
    assert_eq!((&below.listeners[..], below.listener_len), (&[Target(1)][..], 7));
    assert!(below.subscriptions.is_empty());
}

#[test]
fn a_target_on_one_prefix_is_found_once_and_on_two_twice() {
    let mut writer = FibWriter::new();
    let target = Target(5);
    for exact in [true, false] {
        writer.insert(&at("s://d/a"), Entry::Subscription { target, exact });
        writer.insert(&at("s://d/a"), Entry::Listener { target, exact });
    }
    writer.insert(&at("s://d"), subscription(5));
    let found = look_up(&writer.reader(), "s://d/a");
    assert_eq!(found.listeners[..], [target]);
    assert_eq!(found.subscriptions[..], [target, target]);
    assert_eq!(found.subscription_len, 7);
}

#[test]
fn a_route_replaces_the_one_before() {
    let mut writer = FibWriter::new();
    let [one, two] = [1, 2].map(|number| Entry::Route { target: Target(number) });
    assert_eq!(writer.insert(&at("s://d/a"), one), None);
    assert_eq!(writer.insert(&at("s://d/a"), one), None);
    writer.insert(&at("s://d/a"), listener(9));
    assert_eq!(writer.insert(&at("s://d/a"), two), Some(one));
    assert_eq!(writer.entries(&at("s://d/a"))[..], [listener(9), two]);
    assert!(!writer.remove(&at("s://d/a"), one));
    assert!(writer.remove(&at("s://d/a"), two));
    assert_eq!(writer.len(), 1);
}

/// After everything is removed and epochs have moved on the table is as it was made: no node, the
/// memory of an empty one, nothing retired. Wide and deep, so that the directory grows, splits,
/// shrinks and joins.
#[test]
fn memory_comes_back() {
    let mut writer = FibWriter::new();
    let empty_bytes = writer.memory_bytes();
    let count = if cfg!(miri) { 200 } else { 50_000 };
    let texts: Vec<_> =
        (0..count).map(|number| format!("s://d{}/a/{number}", number % 7)).collect();
    for text in &texts {
        writer.insert(&at(text), listener(1));
        writer.insert(&at(text), subscription(2));
    }
    assert_eq!((writer.len(), writer.node_count()), (count, count + 14));
    assert!(writer.memory_bytes() > empty_bytes + count * 28);
    for text in &texts {
        assert!(writer.remove(&at(text), listener(1)) && writer.remove(&at(text), subscription(2)));
    }
    assert!(writer.is_empty());
    assert_eq!(writer.node_count(), 0);
    for _ in 0..1_000_000 {
        if writer.retired_bytes() == 0 && writer.memory_bytes() == empty_bytes {
            return;
        }
        writer.publish();
        thread::yield_now();
    }
    panic!("{} bytes were never freed", writer.retired_bytes());
}

/// What a reader at work may still see is not freed.
#[test]
fn nothing_is_freed_under_a_guard() {
    let mut writer = FibWriter::new();
    let guard = epoch::pin();
    writer.insert(&at("s://d/a"), listener(1));
    writer.remove(&at("s://d/a"), listener(1));
    for _ in 0..1_000 {
        writer.publish();
    }
    assert!(writer.retired_bytes() > 0);
    drop(guard);
}

#[test]
fn a_reader_outlives_the_writer_and_finds_nothing() {
    let mut writer = FibWriter::new();
    writer.insert(&at("s://d/a"), listener(1));
    writer.insert(&at("s://d/a"), listener(2));
    let fib = writer.reader();
    assert_eq!(look_up(&fib, "s://d/a").listeners.len(), 2);
    drop(writer);
    assert_eq!(look_up(&fib, "s://d/a"), Match::default());
}

/// Readers at work while the writer edits all around what stays.
///
/// Goal: an entry that is there throughout is found in every look-up, and no value is ever wrong,
/// through growth, shrinking, lists that come and go, and reused slots. Method: the writer runs a
/// fixed number of rounds in which the table grows and shrinks some hundredfold; the readers run
/// until it is done, at least a fixed number of look-ups. Route and listeners of a prefix are a
/// function of its name.
#[test]
fn readers_miss_nothing_while_the_writer_edits() {
    edit_under_readers(6, 2_000);
}

/// The same while parts of the directory split and join.
#[test]
fn readers_miss_nothing_while_the_directory_splits() {
    edit_under_readers(2, 25_000);
}

/// Readers at work while the table is emptied, filled again, and dropped in the end.
///
/// Goal: who is on the way when everything goes, an entry on a bare prefix included, finds a right answer
/// or none, and reads no memory that is gone (run it with a sanitizer). Method: rounds that fill and
/// empty the table, then the writer's end, two readers beside; the target says which name it is for.
#[test]
fn readers_survive_the_emptying_of_the_table() {
    let texts: Vec<_> = std::iter::once("s://d".to_owned())
        .chain((0..500).map(|number| format!("s://d/go/{number}")))
        .collect();
    let (writer, done, looked) = (FibWriter::new(), AtomicBool::new(false), AtomicUsize::new(0));
    let fib = writer.reader();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let number = looked.fetch_add(1, Ordering::Relaxed) % texts.len();
                    let route = look_up(&fib, &texts[number]).route;
                    let right = [None, Some(Target(0)), Some(Target(number as u32))];
                    assert!(right.contains(&route), "{route:?} for {}", texts[number]);
                }
            });
        }
        let mut writer = writer;
        let before = looked.load(Ordering::Relaxed);
        let mut rounds = 0;
        while rounds < 20 || looked.load(Ordering::Relaxed) < before + 5_000 {
            for (number, text) in texts.iter().enumerate() {
                writer.insert(&at(text), Entry::Route { target: Target(number as u32) });
            }
            writer.publish();
            for (number, text) in texts.iter().enumerate() {
                assert!(writer.remove(&at(text), Entry::Route { target: Target(number as u32) }));
            }
            writer.publish();
            rounds += 1;
        }
        assert!(writer.is_empty());
        writer.insert(&at(&texts[0]), Entry::Route { target: Target(0) });
        drop(writer);
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(look_up(&fib, &texts[0]), Match::default());
}

fn edit_under_readers(rounds: usize, wide: usize) {
    let looks = 500;
    let lasting: Vec<_> =
        (0..64).map(|number| format!("s://d{}/keep/{number}", number % 3)).collect();
    let passing: Vec<_> =
        (0..wide).map(|number| format!("s://d{}/go/{number}", number % 5)).collect();
    let mut writer = FibWriter::new();
    for (number, text) in lasting.iter().enumerate() {
        writer.insert(&at(text), Entry::Route { target: Target(number as u32) });
    }
    let (fib, done, ready) = (writer.reader(), AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut looked = 0;
                while looked < looks || !done.load(Ordering::Relaxed) {
                    check_lasting(&fib, &lasting, looked);
                    check_passing(&fib, &passing[looked % wide], looked % wide);
                    looked += 1;
                    ready.store(looked, Ordering::Relaxed);
                }
            });
        }
        while ready.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        for round in 0..rounds {
            edit(&mut writer, &lasting, &passing, round);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(writer.len(), lasting.len());
}

/// One round of the writer: all passing prefixes in and out, and second entries on the lasting
/// ones.
fn edit(writer: &mut FibWriter, lasting: &[String], passing: &[String], round: usize) {
    for (number, text) in passing.iter().enumerate() {
        writer.insert(&at(text), listener(number as u32));
        writer.insert(&at(text), listener(number as u32 + 1));
        let near = &lasting[(number + round) % lasting.len()];
        assert_eq!(writer.insert(&at(near), Entry::Publish), None);
        assert!(writer.remove(&at(near), Entry::Publish));
    }
    writer.publish();
    for (number, text) in passing.iter().enumerate() {
        assert!(writer.remove(&at(text), listener(number as u32)));
        assert!(writer.remove(&at(text), listener(number as u32 + 1)));
    }
    writer.publish();
}

/// The lasting routes, in batches of any size and by an address below.
fn check_lasting(fib: &Fib, lasting: &[String], looked: usize) {
    let from = looked % lasting.len();
    let below: Vec<_> = lasting[from..].iter().map(|text| format!("{text}/b")).collect();
    let to: Vec<_> = below.iter().map(|text| at(text)).collect();
    let mut found = vec![Match::default(); to.len()];
    fib.look_up_batch(&to, &mut found);
    for (number, (to, found)) in (from..).zip(to.iter().zip(&found)) {
        assert_eq!(found.route, Some(Target(number as u32)), "{to}");
        assert_eq!(found.route_len as usize, to.as_str().len() - 2);
        assert!(found.listeners.is_empty());
    }
}

/// A passing prefix has none, the first, the second or both of its listeners, and no others.
fn check_passing(fib: &Fib, text: &str, number: usize) {
    let found = look_up(fib, text);
    let (first, second) = (Target(number as u32), Target(number as u32 + 1));
    let allowed: [&[Target]; 4] = [&[], &[first], &[second], &[first, second]];
    assert!(allowed.contains(&&found.listeners[..]), "{text}: {:?}", found.listeners);
    assert_eq!(found.route, None);
}

/// A slab beside a table, as the router uses them: what a look-up found is there under the same
/// guard, and is the value that belongs to it. Method: each value names the prefix it was made for.
#[test]
fn a_target_found_leads_to_its_value() {
    let (rounds, wide) = if cfg!(miri) { (20, 5) } else { (20_000, 50) };
    let texts: Vec<_> = (0..wide).map(|number| format!("s://d/{number}")).collect();
    let (mut writer, mut slab) = (FibWriter::new(), SlabWriter::new());
    let (fib, values, done) = (writer.reader(), slab.reader(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut found = Match::default();
            for text in texts.iter().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                let guard = epoch::pin();
                fib.look_up(&at(text), &mut found);
                for target in &found.listeners {
                    // The writer takes the entry away first, then the value: it may be gone, never
                    // another.
                    let value: Option<&String> = values.get(*target, &guard);
                    assert!(value.is_none_or(|value| value == text));
                }
            }
        });
        let mut there = vec![None; texts.len()];
        for round in 0..rounds {
            let (text, place) = (&texts[round % wide], &mut there[round % wide]);
            if let Some(old) = place.take() {
                assert!(writer.remove(&at(text), Entry::Listener { target: old, exact: false }));
                assert!(slab.remove(old));
            } else {
                let target = slab.insert(text.clone());
                *place = Some(target);
                writer.insert(&at(text), Entry::Listener { target, exact: false });
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(slab.len(), writer.len());
}

/// A million children of one node (fewer unoptimised), put in, found and taken out: edits that cost
/// by the width would not come to an end.
#[test]
fn a_million_siblings() {
    let count = if cfg!(miri) {
        100
    } else if cfg!(debug_assertions) {
        30_000
    } else {
        1_000_000
    };
    let mut writer = FibWriter::new();
    let mut text = String::new();
    let mut each = |edit: &mut dyn FnMut(&Address<'_>, u32)| {
        for number in 0..count {
            text.clear();
            std::fmt::Write::write_fmt(&mut text, format_args!("s://d/{number}")).expect("room");
            edit(&at(&text), number);
        }
    };
    each(&mut |prefix, number| assert_eq!(writer.insert(prefix, listener(number)), None));
    let fib = writer.reader();
    each(&mut |prefix, number| {
        assert_eq!(look_up(&fib, prefix.as_str()).listeners[..], [Target(number)]);
    });
    each(&mut |prefix, number| assert!(writer.remove(prefix, listener(number))));
    assert_eq!(writer.node_count(), 0);
}

/// The handles go where they are needed.
#[test]
fn handles_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Fib>();
    crosses::<FibWriter>();
    crosses::<hyperty_router::slab::Slab<String>>();
    crosses::<SlabWriter<String>>();
}
