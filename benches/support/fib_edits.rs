//! Rows of the fib bench for the writing side: prefixes inserted one by one, loaded at once and removed, in
//! millions a second. The rival is hashbrown, for orientation: it keeps no trie, publishes nothing and lets
//! nobody read.

use std::time::Instant;

use hyperty_router::{
    address::Address,
    fib::{Entry, FibWriter},
    slab::Target,
};

use crate::{
    fib_rivals::{Hashbrown, Rival},
    ratios::{Ratios, Row, measures, median},
    workload::Names,
};

/// Prefixes that one side edits in all rounds of a case together, at least.
const PREFIXES: usize = 5_000_000;
const ROUNDS_MAX: usize = 101;

pub(crate) fn edits(ratios: &mut Ratios, size: &str, prefixes: usize) {
    let texts = Names::new(prefixes).texts();
    let addresses = texts.addresses();
    let rounds = if measures() { (PREFIXES / prefixes).min(ROUNDS_MAX) | 1 } else { 1 };
    let mut cases = ["insert", "load", "remove"].map(|case| (case, Vec::new(), Vec::new()));
    for _ in 0..rounds {
        let ours = ours(&addresses);
        let rivals = rivals(&addresses);
        for (((_, our_rates, rival_rates), ours), rival) in cases.iter_mut().zip(ours).zip(rivals) {
            our_rates.push(ours);
            rival_rates.push(rival);
        }
    }
    for (case, ours, rivals) in cases {
        let case = match size {
            "fib-1m" => format!("fib-{case}"),
            size => format!("{size}-{case}"),
        };
        let both = (median(ours), median(rivals));
        ratios.push(Row::of_rate(case, both, Hashbrown::NAME, "M prefixes/s"));
    }
}

/// Rates of inserting, loading and removing.
fn ours(prefixes: &[Address<'_>]) -> [f64; 3] {
    let entry = |number: usize| Entry::Route { target: Target(number as u32) };
    let mut writer = FibWriter::new();
    let insert = rate(prefixes.len(), || {
        for (number, prefix) in prefixes.iter().enumerate() {
            writer.insert(prefix, entry(number));
        }
        writer.publish();
    });
    let remove = rate(prefixes.len(), || {
        for (number, prefix) in prefixes.iter().enumerate() {
            writer.remove(prefix, entry(number));
        }
        writer.publish();
    });
    assert!(writer.is_empty());
    drop(writer);
    let mut loaded = None;
    let load = rate(prefixes.len(), || {
        let entries = prefixes.iter().enumerate();
        loaded = Some(bulk_load(entries.map(|(number, prefix)| (*prefix, entry(number)))));
    });
    assert_eq!(loaded.map(|writer| writer.len()), Some(prefixes.len()));
    [insert, load, remove]
}

/// A table of all these entries at once.
fn bulk_load<'a>(entries: impl IntoIterator<Item = (Address<'a>, Entry)>) -> FibWriter {
    let mut writer = FibWriter::new();
    writer.load(entries);
    writer
}

/// The same of a hash map; it loads by `collect`, which makes room for all of them first.
fn rivals(prefixes: &[Address<'_>]) -> [f64; 3] {
    let mut map = Hashbrown::default();
    let insert = rate(prefixes.len(), || {
        for (number, prefix) in prefixes.iter().enumerate() {
            map.insert(prefix.as_str().into(), Target(number as u32));
        }
    });
    let remove = rate(prefixes.len(), || {
        for prefix in prefixes {
            map.remove(prefix.as_str());
        }
    });
    assert!(map.is_empty());
    drop(map);
    let mut loaded = Hashbrown::default();
    let load = rate(prefixes.len(), || {
        let entries = prefixes.iter().enumerate();
        let entry = |(number, prefix): (usize, &Address<'_>)| {
            (prefix.as_str().into(), Target(number as u32))
        };
        loaded = entries.map(entry).collect();
    });
    assert_eq!(loaded.len(), prefixes.len());
    [insert, load, remove]
}

/// Millions a second.
fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    count as f64 / start.elapsed().as_nanos() as f64 * 1e3
}
