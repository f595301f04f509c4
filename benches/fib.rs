//! How long a look-up takes among 100,000 prefixes, against a hash map that cuts `to` at each `/`.
//!
//! Names of 71 bytes over 3,000 domains, uniform, from one seed; both sides start with a checked
//! address and end with the target of the longest prefix, and must agree on all before anything is
//! timed. The rival finds one kind of entry on the longest prefix; ours also every subscription on
//! the way. This is no ratio table yet: compare the lines of one run.
//!
//! ```text
//! cargo bench --no-default-features --bench fib
//! ```

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hyperty_router::{
    address::Address,
    fib::{Entry, Fib, FibWriter, Match},
    slab::Target,
};

type Rival = hashbrown::HashMap<Box<str>, Target, ahash::RandomState>;

const PREFIXES: usize = 100_000;
const DOMAINS: u64 = 3_000;
/// Look-ups a round: enough that no cache holds what they touch from the round before.
const QUERIES: usize = 50_000;
const BATCH: usize = 16;
const SEED: u64 = 0x5eed;

fn look_ups(criterion: &mut Criterion) {
    let names = names(SEED, PREFIXES);
    let (mut writer, mut rival) = (FibWriter::new(), Rival::default());
    for (number, name) in names.iter().enumerate() {
        let target = Target(number as u32);
        writer.insert(&parse(name), Entry::Route { target });
        rival.insert(name.as_str().into(), target);
    }
    let fib = writer.reader();
    eprintln!(
        "{} prefixes, {} nodes, {} bytes a prefix",
        writer.len(),
        writer.node_count(),
        writer.memory_bytes() / writer.len()
    );
    for (case, texts) in queries(&names) {
        let queries: Vec<_> = texts.iter().map(|text| parse(text)).collect();
        check(&fib, &rival, &queries);
        let mut group = criterion.benchmark_group(format!("fib-100k/{case}"));
        group.throughput(Throughput::Elements(QUERIES as u64));
        group.bench_function("ours, one", |bencher| bencher.iter(|| one_by_one(&fib, &queries)));
        group.bench_function("ours, 16", |bencher| bencher.iter(|| batches(&fib, &queries)));
        group.bench_function("hashbrown", |bencher| bencher.iter(|| cut(&rival, &queries)));
        group.finish();
    }
}

fn edits(criterion: &mut Criterion) {
    let names = names(SEED, PREFIXES);
    let prefixes: Vec<_> = names.iter().map(|name| parse(name)).collect();
    let entry = Entry::Route { target: Target(1) };
    let fill = |mut writer: FibWriter| {
        for prefix in &prefixes {
            writer.insert(prefix, entry);
        }
        writer
    };
    let empty = |mut writer: FibWriter| {
        for prefix in &prefixes {
            writer.remove(prefix, entry);
        }
        writer
    };
    let mut group = criterion.benchmark_group("fib-100k/edit");
    group.sample_size(10).throughput(Throughput::Elements(PREFIXES as u64));
    group.bench_function("insert", |bencher| {
        bencher.iter_batched(FibWriter::new, fill, BatchSize::PerIteration);
    });
    group.bench_function("remove", |bencher| {
        bencher.iter_batched(|| fill(FibWriter::new()), empty, BatchSize::PerIteration);
    });
    group.finish();
}

/// The work of one round, ours: the sum of what is found, so that nothing is optimised away.
fn one_by_one(fib: &Fib, queries: &[Address<'_>]) -> u64 {
    let mut found = Match::default();
    let mut sum = 0;
    for to in queries {
        fib.look_up(black_box(to), &mut found);
        sum += value(found.route);
    }
    sum
}

fn batches(fib: &Fib, queries: &[Address<'_>]) -> u64 {
    let mut found: [Match; BATCH] = Default::default();
    let mut sum = 0;
    for to in queries.chunks(BATCH) {
        let found = &mut found[..to.len()];
        fib.look_up_batch(black_box(to), found);
        sum += found.iter().map(|found| value(found.route)).sum::<u64>();
    }
    sum
}

fn cut(rival: &Rival, queries: &[Address<'_>]) -> u64 {
    queries.iter().map(|to| value(longest(rival, black_box(to).as_str()))).sum()
}

fn longest(rival: &Rival, to: &str) -> Option<Target> {
    let mut prefix = to;
    loop {
        if let Some(target) = rival.get(prefix) {
            return Some(*target);
        }
        prefix = &prefix[..prefix.rfind('/').filter(|at| !prefix[..*at].ends_with('/'))?];
    }
}

fn value(target: Option<Target>) -> u64 {
    target.map_or(0, |target| u64::from(target.0) + 1)
}

fn check(fib: &Fib, rival: &Rival, queries: &[Address<'_>]) {
    let mut found = vec![Match::default(); queries.len()];
    fib.look_up_batch(queries, &mut found);
    for (to, batched) in queries.iter().zip(found) {
        let mut alone = Match::default();
        fib.look_up(to, &mut alone);
        assert_eq!(alone, batched);
        assert_eq!(alone.route, longest(rival, to.as_str()), "{to}");
    }
}

/// What is looked up, by case: a name, a name with one to three segments more, a name that is not
/// there.
fn queries(names: &[String]) -> [(&'static str, Vec<String>); 3] {
    let mut random = Random(SEED + 1);
    let mut pick = |more: fn(u64) -> &'static str| {
        let next =
            |_| names[random.below(PREFIXES as u64) as usize].clone() + more(random.below(3));
        (0..QUERIES).map(next).collect::<Vec<_>>()
    };
    let hit = pick(|_| "");
    let below = pick(|more| ["/chat", "/chat/room-12", "/chat/room-12/changes"][more as usize]);
    [("hit", hit), ("prefix", below), ("miss", self::names(SEED + 2, QUERIES))]
}

/// `count` names of 71 bytes.
fn names(seed: u64, count: usize) -> Vec<String> {
    let mut random = Random(seed);
    let name = |_| {
        let (domain, [high, low]) = (random.below(DOMAINS), [random.next(), random.next()]);
        format!("hyperty://domain-{domain:05}.example.net/{high:016x}-hyp-{low:015x}")[..71].into()
    };
    (0..count).map(name).collect()
}

fn parse(text: &str) -> Address<'_> {
    Address::parse(text).expect("the generator makes addresses")
}

/// SplitMix64: a few lines, and the same names everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

criterion_group!(benches, look_ups, edits);
criterion_main!(benches);
