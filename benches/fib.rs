//! What a look-up of `to`, an edit and a prefix' memory cost, by the size of the table and beside other ways.
//!
//! Both sides start with checked addresses and end with the target of the longest prefix, and must agree on
//! every query before anything is timed. The rivals find that one target; ours also finds every listener and
//! subscription on the way. Names, queries and their order are those of `support/workload.rs`; each round
//! goes on where the last one stopped, through more queries than the caches hold.
//!
//! * `batch`, `zipf`: 32 at a time of ours, a plain loop over the same independent queries of the rival's, so
//!   that the processor overlaps its look-ups as far as it can.
//! * `one`, `zipf-one`: which query is the next follows from the answer to the last, on both sides.
//! * `trie`, `papaya`, `btree`, `matchit`: as `batch`, against the others.
//! * `memory`: bytes that are live for each prefix, as a counting allocator sees them, with all that was
//!   retired freed. `insert`, `load`, `remove`: million prefixes a second.
//!
//! ```text
//! cargo bench --no-default-features --bench fib                  # 1 k, 100 k, 1 M: criterion, then ratios
//! cargo bench --no-default-features --bench fib -- none          # the ratios alone
//! FIB_10M=1 cargo bench --no-default-features --bench fib -- none    # 10 M as well: 5 GB, some minutes
//! ```
//!
//! At 10 M matchit is left out (14 GB, by what it needs at 1 M), and edits are not timed.

#[path = "../tests/support/counting.rs"]
mod counting;
#[path = "support/fib_edits.rs"]
mod fib_edits;
#[path = "support/fib_rivals.rs"]
mod fib_rivals;
#[path = "support/ratios.rs"]
mod ratios;
#[path = "support/workload.rs"]
mod workload;

use std::{hint::black_box, ops::Range, time::Duration};

use counting::live_bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use fib_rivals::{Hashbrown, Matchit, Ordered, Papaya, RadixTrie, Rival};
use hyperty_router::{
    address::Address,
    fib::{Entry, Fib, FibWriter, Match},
    limits::FIB_BATCH_MAX,
    slab::Target,
};
use ratios::{Ratios, Row};
use workload::{Names, Spread, Texts, Want, queries};

/// A size of table, and the name of its cases.
struct Size {
    name: &'static str,
    prefixes: usize,
}

const SIZES: [Size; 3] = [
    Size { name: "fib-1k", prefixes: 1_000 },
    Size { name: "fib-100k", prefixes: 100_000 },
    Size { name: "fib-1m", prefixes: 1_000_000 },
];
const TEN_MILLION: Size = Size { name: "fib-10m", prefixes: 10_000_000 };
/// Look-ups of one call: so few that the call mostly fits into one time slice of a busy machine.
const WINDOW: usize = 1_024;
/// Least and most windows of a set of queries. What 262,144 queries touch in a table of 1 M fits into no
/// cache of today; 8,192 texts do, and a table of 1 k is to be measured and not how they come from memory.
const WINDOWS_MIN: usize = 8;
const WINDOWS_MAX: usize = 256;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    let mut ratios = Ratios::new("fib");
    // As a test the smallest is enough: the code is the same.
    let sizes = if ratios::measures() { &SIZES[..] } else { &SIZES[..1] };
    for size in sizes {
        look_ups(&mut criterion, &mut ratios, size);
        fib_edits::edits(&mut ratios, size.name, size.prefixes);
    }
    if std::env::var_os("FIB_10M").is_some() {
        look_ups(&mut criterion, &mut ratios, &TEN_MILLION);
    }
    criterion.final_summary();
    ratios.finish();
}

/// Every case of one size. The rivals are built one after the other, so that two tables at most are in
/// memory.
fn look_ups(criterion: &mut Criterion, ratios: &mut Ratios, size: &Size) {
    let names = Names::new(size.prefixes);
    let count = WINDOW * (size.prefixes / WINDOW).clamp(WINDOWS_MIN, WINDOWS_MAX);
    let texts = |spread| Want::ALL.map(|want| (want, queries(names, want, spread, count)));
    let (uniform, zipf) = (texts(Spread::Uniform), texts(Spread::Zipf));
    let uniform = uniform.each_ref().map(|(want, texts)| Queries::new(*want, texts));
    let zipf = zipf.each_ref().map(|(want, texts)| Queries::new(*want, texts));

    let ours = Ours::new(names);
    ours.absolute(criterion, size, &uniform);
    let bench = Bench { size, ours: &ours, names };
    let hashbrown = bench.rival::<Hashbrown>(criterion, ratios, &uniform);
    bench.overlapped(ratios, "batch", &hashbrown, &uniform);
    bench.dependent(ratios, "one", &hashbrown, &uniform);
    check::<Hashbrown>(&ours.fib, &hashbrown, &zipf);
    bench.overlapped(ratios, "zipf", &hashbrown, &zipf);
    bench.dependent(ratios, "zipf-one", &hashbrown, &zipf);
    drop(hashbrown);
    let trie = bench.rival::<RadixTrie>(criterion, ratios, &uniform);
    bench.overlapped(ratios, "trie", &trie, &uniform);
    let name = size.name;
    let of = [format!("{name}-trie-hit"), format!("{name}-trie-prefix")];
    ratios.push_lowest(&format!("{name}-trie"), &of.each_ref().map(|case| case.as_str()));
    drop(trie);
    let papaya = bench.rival::<Papaya>(criterion, ratios, &uniform);
    bench.overlapped(ratios, "papaya", &papaya, &uniform);
    drop(papaya);
    let ordered = bench.rival::<Ordered>(criterion, ratios, &uniform);
    bench.overlapped(ratios, "btree", &ordered, &uniform);
    drop(ordered);
    if size.prefixes < TEN_MILLION.prefixes {
        let matchit = bench.rival::<Matchit>(criterion, ratios, &uniform);
        bench.overlapped(ratios, "matchit", &matchit, &uniform);
    }
}

/// The queries of one case, and where the next window of them starts.
struct Queries<'a> {
    want: Want,
    addresses: Vec<Address<'a>>,
    slashed: Vec<&'a str>,
}

impl<'a> Queries<'a> {
    fn new(want: Want, texts: &'a Texts) -> Queries<'a> {
        Queries { want, addresses: texts.addresses(), slashed: texts.slashed().collect() }
    }

    /// One window after the other, for ever.
    fn windows(&self) -> impl FnMut() -> Range<usize> {
        let (mut next, count) = (0, self.addresses.len());
        move || {
            let start = next;
            next = (next + WINDOW) % count;
            start..start + WINDOW
        }
    }
}

/// Our table, and what it takes.
struct Ours {
    /// Keeps the table alive.
    _writer: FibWriter,
    fib: Fib,
    bytes: usize,
}

impl Ours {
    fn new(names: Names) -> Ours {
        let before = live_bytes();
        let (mut writer, mut text) = (FibWriter::new(), String::new());
        for number in 0..names.count {
            text.clear();
            names.write(number, &mut text);
            let prefix = Address::parse(&text).expect("the generator makes them");
            writer.insert(&prefix, Entry::Route { target: Target(number as u32) });
        }
        drop(text);
        settle(&mut writer);
        Ours { fib: writer.reader(), bytes: live_bytes() - before, _writer: writer }
    }

    fn absolute(&self, criterion: &mut Criterion, size: &Size, sets: &[Queries<'_>]) {
        let mut group = criterion.benchmark_group(size.name);
        group.throughput(Throughput::Elements(WINDOW as u64));
        for set in sets {
            let mut window = set.windows();
            group.bench_function(BenchmarkId::new("ours, batch", set.want.name()), |bencher| {
                bencher.iter(|| batches(&self.fib, &set.addresses[window()]));
            });
            group.bench_function(BenchmarkId::new("ours, one", set.want.name()), |bencher| {
                bencher.iter(|| chain(&self.fib, &set.addresses[window()]));
            });
        }
        group.finish();
    }
}

/// Ours of one size, to be held beside one rival after the other.
struct Bench<'a> {
    size: &'a Size,
    ours: &'a Ours,
    names: Names,
}

impl Bench<'_> {
    /// Builds a rival, weighs it, checks its answers, and has criterion time it.
    fn rival<R: Rival>(
        &self,
        criterion: &mut Criterion,
        ratios: &mut Ratios,
        sets: &[Queries<'_>],
    ) -> R {
        let before = live_bytes();
        let (mut rival, mut text) = (R::default(), String::new());
        for number in 0..self.names.count {
            text.clear();
            self.names.write(number, &mut text);
            text.push('/');
            rival.insert(&text, Target(number as u32));
        }
        drop(text);
        let a_prefix = |bytes: usize| bytes as f64 / self.names.count as f64;
        let both = (a_prefix(self.ours.bytes), a_prefix(live_bytes() - before));
        let case = match (self.size.name, R::NAME == Hashbrown::NAME) {
            ("fib-1m", true) => "fib-memory".to_owned(),
            (size, _) => format!("{size}-memory"),
        };
        ratios.push(Row::of_cost(case, both, R::NAME, "bytes/prefix"));
        check::<R>(&self.ours.fib, &rival, sets);

        let mut group = criterion.benchmark_group(self.size.name);
        group.throughput(Throughput::Elements(WINDOW as u64));
        for set in sets {
            let mut window = set.windows();
            group.bench_function(BenchmarkId::new(R::NAME, set.want.name()), |bencher| {
                bencher.iter(|| rival_loop(&rival, &set.slashed[window()]));
            });
        }
        group.finish();
        rival
    }

    /// Rows of independent look-ups.
    fn overlapped<R: Rival>(
        &self,
        ratios: &mut Ratios,
        label: &str,
        rival: &R,
        sets: &[Queries<'_>],
    ) {
        for set in sets {
            let case = format!("{}-{label}-{}", self.size.name, set.want.name());
            let (mut our_window, mut rival_window) = (set.windows(), set.windows());
            let ours = || _ = black_box(batches(&self.ours.fib, &set.addresses[our_window()]));
            let rival = || _ = black_box(rival_loop(rival, &set.slashed[rival_window()]));
            ratios.pair(&case, R::NAME, WINDOW, ours, rival);
        }
    }

    /// Rows of look-ups that wait for each other; a miss says nothing that the next could wait for.
    fn dependent<R: Rival>(
        &self,
        ratios: &mut Ratios,
        label: &str,
        rival: &R,
        sets: &[Queries<'_>],
    ) {
        for set in sets.iter().filter(|set| set.want != Want::Miss) {
            let case = format!("{}-{label}-{}", self.size.name, set.want.name());
            let (mut our_window, mut rival_window) = (set.windows(), set.windows());
            let ours = || _ = black_box(chain(&self.ours.fib, &set.addresses[our_window()]));
            let rival = || _ = black_box(rival_chain(rival, &set.slashed[rival_window()]));
            ratios.pair(&case, R::NAME, WINDOW, ours, rival);
        }
    }
}

/// The sum of what is found, so that nothing is optimised away.
fn batches(fib: &Fib, queries: &[Address<'_>]) -> u64 {
    let mut found: [Match; FIB_BATCH_MAX] = Default::default();
    let mut sum = 0;
    for to in queries.chunks(FIB_BATCH_MAX) {
        let found = &mut found[..to.len()];
        fib.look_up_batch(black_box(to), found);
        sum += found.iter().map(|found| value(found.route)).sum::<u64>();
    }
    sum
}

/// A rival that pins something does so as often as ours.
fn rival_loop<R: Rival>(rival: &R, queries: &[&str]) -> u64 {
    let batch = |queries: &[&str]| {
        let pinned = rival.pin();
        queries.iter().map(|to| value(R::longest(&pinned, black_box(to)))).sum::<u64>()
    };
    queries.chunks(FIB_BATCH_MAX).map(batch).sum()
}

fn chain(fib: &Fib, queries: &[Address<'_>]) -> u64 {
    let mut found = Match::default();
    one_after_the_other(queries.len(), |at| {
        fib.look_up(&queries[at], &mut found);
        found.route
    })
}

fn rival_chain<R: Rival>(rival: &R, queries: &[&str]) -> u64 {
    one_after_the_other(queries.len(), |at| R::longest(&rival.pin(), queries[at]))
}

/// Asks for each in turn; where the next stands is known when the last was answered, and not before.
#[inline(always)]
fn one_after_the_other(count: usize, mut look_up: impl FnMut(usize) -> Option<Target>) -> u64 {
    let (mut at, mut sum) = (0, 0);
    for _ in 0..count {
        let value = value(look_up(at));
        sum += value;
        // Nothing is added but 1: no target is that large. Only we know that.
        at += 1 + (value >> 31) as usize;
    }
    sum
}

fn value(target: Option<Target>) -> u64 {
    target.map_or(0, |target| u64::from(target.0) + 1)
}

/// Ours alone, ours in batches and the rival say the same to every query.
fn check<R: Rival>(fib: &Fib, rival: &R, sets: &[Queries<'_>]) {
    let pinned = rival.pin();
    for set in sets {
        let mut batched = vec![Match::default(); set.addresses.len()];
        fib.look_up_batch(&set.addresses, &mut batched);
        let mut alone = Match::default();
        for ((to, slashed), batched) in set.addresses.iter().zip(&set.slashed).zip(batched) {
            fib.look_up(to, &mut alone);
            assert_eq!(alone, batched, "{to}");
            assert_eq!(alone.route, R::longest(&pinned, slashed), "{}: {to}", R::NAME);
            assert_eq!(alone.route.is_some(), set.want != Want::Miss, "{to}");
        }
    }
}

/// Has everything freed that the writer gave up.
fn settle(writer: &mut FibWriter) {
    const PUBLISHES_MAX: usize = 100_000;
    for _ in 0..PUBLISHES_MAX {
        writer.publish();
        if writer.retired_bytes() == 0 {
            return;
        }
    }
    panic!("{} bytes stay retired, and no reader is left", writer.retired_bytes());
}
