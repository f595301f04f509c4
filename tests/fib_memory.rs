//! What the FIB costs in memory, and that it comes back, as a counting allocator sees it.
//!
//! Goal: the bytes of a prefix stay below their bound; after everything is removed live bytes are
//! those of an empty table; a reader that stalls holds back no more than 64 MB over a million
//! published edits; a prefix with many subscribers takes another without copying them all.
//! Method: an allocator that counts the live bytes of the whole process, so there is one
//! test in this binary, whose parts run one after another. Epochs are moved on by publishing.

#[path = "support/counting.rs"]
mod counting;

use std::thread;

use crossbeam_epoch as epoch;
use hyperty_router::{
    address::Address,
    fib::{Entry, FibWriter, Match},
    slab::Target,
};

use counting::live_bytes;

/// Fewer unoptimised, so that the ordinary tests stay quick; the bounds scale along.
const PREFIXES: u64 = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
/// A smaller table has more room to spare for its size: it takes huge pages as well.
const BYTES_MAX: usize = if PREFIXES < 1_000_000 { 120 } else { 90 };
const LOADED_BYTES_MAX: u64 = if PREFIXES < 1_000_000 { 105 } else { 75 };
const EDITS: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

#[test]
fn memory_is_bounded_and_comes_back() {
    // Once through, so that what the epochs' own bookkeeping keeps is there before.
    fill_and_empty(&mut FibWriter::new());
    let before = live_bytes();
    let mut writer = FibWriter::new();
    let empty = live_bytes();

    let filled = fill_and_empty(&mut writer);
    assert!(
        filled - empty <= BYTES_MAX * PREFIXES as usize,
        "{} bytes a prefix",
        (filled - empty) as u64 / PREFIXES
    );
    settle(&mut writer, empty);
    load_and_empty(&mut writer, empty);
    settle(&mut writer, empty);
    a_stalled_reader_holds_back_little(&mut writer);
    settle(&mut writer, empty);
    many_subscribers_are_cheap(&mut writer);
    settle(&mut writer, empty);
    drop(writer);
    for _ in 0..1_000_000 {
        if live_bytes() <= before + SLACK_BYTES {
            return;
        }
        epoch::pin().flush();
        thread::yield_now();
    }
    panic!("{} bytes stay", live_bytes() - before);
}

/// In one by one and out again; live bytes when all were in.
fn fill_and_empty(writer: &mut FibWriter) -> usize {
    let mut text = String::new();
    for number in 0..PREFIXES {
        assert_eq!(writer.insert(&name(&mut text, number), route(number)), None);
    }
    publish_often(writer);
    let filled = live_bytes();
    for number in 0..PREFIXES {
        assert!(writer.remove(&name(&mut text, number), route(number)));
    }
    publish_often(writer);
    filled
}

/// In at once, with no more bytes than one by one, and out again.
fn load_and_empty(writer: &mut FibWriter, empty: usize) {
    let texts: Vec<_> = (0..PREFIXES)
        .map(|number| {
            let mut text = String::new();
            name(&mut text, number);
            text
        })
        .collect();
    let names = live_bytes() - empty;
    let parse = |text| Address::parse(text).expect("a test's address is right");
    writer.load(texts.iter().zip(0..).map(|(text, number)| (parse(text), route(number))));
    let bytes = (live_bytes() - names - empty) as u64 / PREFIXES;
    assert!(bytes <= LOADED_BYTES_MAX, "{bytes} bytes a prefix");
    assert_eq!(writer.len() as u64, PREFIXES);
    let (fib, mut found) = (writer.reader(), Match::default());
    for (text, number) in texts.iter().zip(0..) {
        fib.look_up(&parse(text), &mut found);
        assert_eq!(found.route, Some(target(number)), "{text}");
        assert!(writer.remove(&parse(text), route(number)));
    }
}

/// Each edit is published while one guard stays pinned.
fn a_stalled_reader_holds_back_little(writer: &mut FibWriter) {
    let (before, mut text) = (live_bytes(), String::new());
    let stalled = epoch::pin();
    for number in 0..EDITS / 2 {
        writer.insert(&name(&mut text, number), route(number));
        writer.publish();
        assert!(writer.remove(&name(&mut text, number), route(number)));
        writer.publish();
    }
    assert!(writer.retired_bytes() > 0, "the guard holds nothing back");
    let held = live_bytes() - before;
    assert!(held <= 64 << 20, "{held} bytes held back");
    drop(stalled);
}

/// One subscriber more and one less among many, by the bytes that the edit has copied.
fn many_subscribers_are_cheap(writer: &mut FibWriter) {
    let many = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
    let topic = Address::parse("comm://example.org/7/changes").expect("right");
    let subscription = |number| Entry::Subscription { target: Target(number), exact: false };
    for number in 0..many {
        writer.insert(&topic, subscription(2 * number));
    }
    publish_often(writer);
    let before = writer.retired_bytes();
    let guard = epoch::pin();
    writer.insert(&topic, subscription(many + 1));
    assert!(writer.retired_bytes() - before <= 16 << 10);
    assert!(writer.remove(&topic, subscription(many + 1)));
    assert!(writer.retired_bytes() - before <= 32 << 10);
    drop(guard);
    let mut found = Match::default();
    writer.reader().look_up(&topic, &mut found);
    assert!(
        found.subscriptions.iter().map(|target| target.0).eq((0..many).map(|number| 2 * number))
    );
    drop(found);
    (0..many).for_each(|number| assert!(writer.remove(&topic, subscription(2 * number))));
}

/// Publishes until live bytes are those of an empty table.
fn settle(writer: &mut FibWriter, empty: usize) {
    assert!(writer.is_empty());
    for _ in 0..1_000_000 {
        if writer.retired_bytes() == 0 && live_bytes() <= empty + SLACK_BYTES {
            return;
        }
        writer.publish();
        thread::yield_now();
    }
    panic!("{} bytes stay", live_bytes() - empty);
}

fn publish_often(writer: &mut FibWriter) {
    (0..100).for_each(|_| writer.publish());
}

fn target(number: u64) -> Target {
    Target(number as u32)
}

fn route(number: u64) -> Entry {
    Entry::Route { target: target(number) }
}

/// A name of 71 bytes on one of 3,000 domains, or as many as give each a like share.
fn name(text: &mut String, number: u64) -> Address<'_> {
    text.clear();
    let domain = number % (PREFIXES * 3 / 1_000);
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::fmt::Write::write_fmt(
        text,
        format_args!("hyperty://domain-{domain:05}.example.net/{mixed:016x}-hyp-{number:015x}"),
    )
    .expect("a string takes all");
    text.truncate(71);
    Address::parse(text).expect("a test's address is right")
}

/// What the epochs' own queues may have more than before: a few bags of closures.
const SLACK_BYTES: usize = 16 << 10;
