//! Whether readers notice a writer that makes 100,000 edits a second, and what reading costs that takes no
//! lock.
//!
//! 200,000 prefixes stand still, 20,000 come and go. Readers look up what stands still, 32 at a time,
//! uniform; the writer edits in a burst each millisecond. Every round measures each table in quiet and in
//! churn, one after the other; a row holds medians of all their samples. There are as many readers as the
//! machine has cores beside the writer's. The same readers on the same prefixes behind a `RwLock` and an
//! `ArcSwap` (`support/churn_tables.rs` says of what) are the rivals; all give the same answers before
//! anything is timed.
//!
//! * `churn-readers`: ns a look-up in churn, against quiet. `-instructions`: the same by hardware counters;
//!   the row is missing on a machine that lends none. `-rwlock`, `-arc-swap`: how much the rivals' readers
//!   notice.
//! * `churn-rwlock`, `churn-arc-swap` (and `quiet-…`): ns a look-up, ours against theirs.
//! * `two-readers`: look-ups of two threads against one, in quiet.
//! * `section-…`: entering and leaving a read, on one thread, without any look-up.
//! * `churn-pace`: that the writer kept its pace. `churn-retired`, `churn-retired-stalled`: the most that
//!   waited to be freed in these rounds, and after 1,000,000 edits while a reader stood still, against a
//!   bound of 64 MiB.
//!
//! ```text
//! cargo bench --no-default-features --bench churn             # criterion, then the table of ratios
//! cargo bench --no-default-features --bench churn -- none     # the table alone
//! ```

#[path = "support/churn_tables.rs"]
mod churn_tables;
#[path = "support/fib_rivals.rs"]
#[allow(dead_code)] // Two of its rivals are ours too.
mod fib_rivals;
#[path = "support/paced.rs"]
mod paced;
#[path = "support/ratios.rs"]
mod ratios;
#[path = "support/workload.rs"]
mod workload;

use std::{
    hint::black_box,
    sync::{Arc, Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use churn_tables::{Edit, Locked, Reader, Swapped, Writer};
use criterion::Criterion;
use hyperty_router::{address::Address, fib::FibWriter, limits::FIB_BATCH_MAX, slab::Target};
use paced::{EDITS_PER_SECOND, Pace, Stream};
use parking_lot::RwLock;
use ratios::{Ratios, Row, instructions::Instructions, measures, median};
use workload::{Names, Spread, Texts, Want, queries};

/// What a run does; a test does as little as shows that all of it works.
struct Plan {
    still: usize,
    ring: usize,
    /// Look-ups of one reader in one round.
    look_ups: usize,
    rounds: usize,
    stalled_edits: usize,
}

const PLAN: Plan =
    Plan { still: 200_000, ring: 40_000, look_ups: 1 << 17, rounds: 61, stalled_edits: 1_000_000 };
const TEST: Plan =
    Plan { still: 1_000, ring: 400, look_ups: 1 << 10, rounds: 3, stalled_edits: 1_000 };
/// Look-ups that are timed together: a millisecond and more, so that each sample has its share of a burst,
/// and short beside the time slices of a busy machine.
const SAMPLE: usize = 1 << 14;
/// Sections that one call enters and leaves.
const SECTIONS: usize = 1_000;
const RETIRED_BYTES_MAX: f64 = (64 << 20) as f64;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    let mut ratios = Ratios::new("churn");
    let plan = if measures() { PLAN } else { TEST };
    readers(&mut ratios, &plan);
    sections(&mut criterion, &mut ratios);
    stalled(&mut ratios, &plan);
    criterion.final_summary();
    ratios.finish();
}

/// One table with a writer that waits for its turn, and what was measured of it.
struct Contender<'a, W: Writer> {
    reader: W::Reader,
    pace: &'a Pace,
    quiet: Vec<Measured>,
    churn: Vec<Measured>,
    one: Vec<Measured>,
    two: Vec<Measured>,
}

fn readers(ratios: &mut Ratios, plan: &Plan) {
    let names = Names::new(plan.still);
    let texts = queries(names, Want::Hit, Spread::Uniform, plan.look_ups);
    let to = texts.addresses();
    let mut others = Names::new(plan.ring);
    others.seed = workload::SEED_OTHERS;
    let others = others.texts();
    let count = thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1));
    let paces: [Pace; 3] = Default::default();
    thread::scope(|scope| {
        let [a, b, c] = &paces;
        let mut ours = Contender::<FibWriter>::start(scope, plan, &others, a);
        let mut locked = Contender::<Locked>::start(scope, plan, &others, b);
        let mut swapped = Contender::<Swapped>::start(scope, plan, &others, c);
        for to in to.chunks(FIB_BATCH_MAX) {
            let sum = ours.reader.sum_of(to);
            assert_eq!(sum, locked.reader.sum_of(to));
            assert_eq!(sum, swapped.reader.sum_of(to));
        }
        for _ in 0..plan.rounds {
            ours.round(count, &to);
            locked.round(count, &to);
            swapped.round(count, &to);
        }
        paces.iter().for_each(Pace::end);
        ours.rows_of(ratios);
        ours.own_rows(ratios);
        locked.rows_of(ratios);
        swapped.rows_of(ratios);
        ours.rows_against(&locked, ratios);
        ours.rows_against(&swapped, ratios);
    });
}

impl<'a, W: Writer> Contender<'a, W> {
    fn start<'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        plan: &Plan,
        others: &'scope Texts,
        pace: &'scope Pace,
    ) -> Contender<'a, W>
    where
        'scope: 'a,
        W: 'scope,
    {
        let mut writer = W::new();
        fill(&mut writer, plan.still);
        let reader = writer.reader();
        let mut stream = Stream::start(others, plan.still as u32, &mut writer);
        scope.spawn(move || pace.run(&mut writer, &mut stream));
        let [quiet, churn, one, two] = [const { Vec::new() }; 4];
        Contender { reader, pace, quiet, churn, one, two }
    }

    fn round(&mut self, readers: usize, to: &[Address<'_>]) {
        self.quiet.push(read(&self.reader, readers, to));
        self.churn.push(self.pace.during_churn(|| read(&self.reader, readers, to)));
        self.one.push(read(&self.reader, 1, to));
        self.two.push(read(&self.reader, 2, to));
    }

    /// How much its readers notice of the writer and of each other.
    fn rows_of(&self, ratios: &mut Ratios) {
        let tail = tail(W::NAME);
        let (quiet, churn) = (ns(&self.quiet), ns(&self.churn));
        let case = format!("churn-readers{tail}");
        ratios.push(Row::of_cost(case, (churn, quiet), "the same readers in quiet", "ns"));
        let case = format!("two-readers{tail}");
        let rates = (2e3 / ns(&self.two), 1e3 / ns(&self.one));
        ratios.push(Row::of_rate(case, rates, "one reader", "M look-ups/s"));
    }

    fn own_rows(&self, ratios: &mut Ratios) {
        if let (Some(quiet), Some(churn)) = (instructions(&self.quiet), instructions(&self.churn)) {
            let rival = "the same readers in quiet";
            let row =
                Row::of_cost("churn-readers-instructions", (churn, quiet), rival, "instructions");
            ratios.push(row);
        } else {
            eprintln!("no hardware counters here: no churn-readers-instructions");
        }
        let pace = (self.pace.edits_per_second(), EDITS_PER_SECOND as f64);
        ratios.push(Row::of_rate("churn-pace", pace, "what it was told", "edits/s"));
        let retired = (self.pace.retired_bytes_max().max(1) as f64, RETIRED_BYTES_MAX);
        ratios.push(Row::of_cost("churn-retired", retired, "the bound", "bytes"));
    }

    fn rows_against<R: Writer>(&self, rival: &Contender<'_, R>, ratios: &mut Ratios) {
        let tail = tail(R::NAME);
        let churn = (ns(&self.churn), ns(&rival.churn));
        ratios.push(Row::of_cost(format!("churn{tail}"), churn, R::NAME, "ns"));
        let quiet = (ns(&self.quiet), ns(&rival.quiet));
        ratios.push(Row::of_cost(format!("quiet{tail}"), quiet, R::NAME, "ns"));
    }
}

/// How the cases of a table end.
fn tail(name: &str) -> &'static str {
    match name {
        Locked::NAME => "-rwlock",
        Swapped::NAME => "-arc-swap",
        _ => "",
    }
}

fn fill(writer: &mut impl Writer, prefixes: usize) {
    let texts = Names::new(prefixes).texts();
    let edit = |(number, prefix)| Edit { prefix, target: Target(number as u32), is_insert: true };
    let edits: Vec<_> = texts.addresses().into_iter().enumerate().map(edit).collect();
    writer.edit(&edits);
}

/// One round of some readers: each looks all of `to` up once.
struct Measured {
    /// Nanoseconds a look-up, of every sample of every reader.
    samples: Vec<f64>,
    look_ups: usize,
    instructions: Option<u64>,
}

fn read(reader: &impl Reader, readers: usize, to: &[Address<'_>]) -> Measured {
    let start = Barrier::new(readers);
    let one = |number: usize| {
        // Each begins elsewhere, so that none runs in the other's wake.
        let (last, first) =
            to.split_at(to.len() / readers * number / FIB_BATCH_MAX * FIB_BATCH_MAX);
        warm_up(reader, first);
        start.wait();
        let counter = Instructions::begin();
        let samples = first.chunks(SAMPLE).chain(last.chunks(SAMPLE)).map(|to| sample(reader, to));
        let samples: Vec<_> = samples.collect();
        (samples, counter.and_then(Instructions::end))
    };
    let done: Vec<_> = thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..readers).map(|number| scope.spawn(move || one(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    Measured {
        instructions: done.iter().map(|(_, instructions)| *instructions).sum(),
        samples: done.into_iter().flat_map(|(samples, _)| samples).collect(),
        look_ups: to.len(),
    }
}

/// Nanoseconds a look-up.
fn sample(reader: &impl Reader, to: &[Address<'_>]) -> f64 {
    let start = Instant::now();
    for to in to.chunks(FIB_BATCH_MAX) {
        black_box(reader.sum_of(black_box(to)));
    }
    start.elapsed().as_nanos() as f64 / to.len() as f64
}

/// A new thread's first steps are not what is measured.
fn warm_up(reader: &impl Reader, to: &[Address<'_>]) {
    for to in to.chunks(FIB_BATCH_MAX).take(64) {
        black_box(reader.sum_of(to));
    }
}

/// Nanoseconds of one look-up of one reader, the median of the samples.
fn ns(rounds: &[Measured]) -> f64 {
    median(rounds.iter().flat_map(|round| &round.samples).copied().collect())
}

/// Instructions of all readers for each look-up that one of them makes, the same way.
fn instructions(rounds: &[Measured]) -> Option<f64> {
    let each = |round: &Measured| Some(round.instructions? as f64 / round.look_ups as f64);
    rounds.iter().map(each).collect::<Option<Vec<_>>>().map(median)
}

/// What a reader pays to enter and leave, before it looks at anything. Ours pins once for a look-up or a
/// batch.
fn sections(criterion: &mut Criterion, ratios: &mut Ratios) {
    let shared = Arc::new(7_u64);
    let (swap, lock) = (ArcSwap::new(Arc::clone(&shared)), RwLock::new(7_u64));
    let mut cache = arc_swap::Cache::new(&swap);
    let mut group = criterion.benchmark_group("section");
    group.bench_function("epoch pin", |bencher| bencher.iter(crossbeam_epoch::pin));
    group.bench_function("RwLock read", |bencher| bencher.iter(|| *lock.read()));
    group.bench_function("ArcSwap load", |bencher| bencher.iter(|| **swap.load()));
    group.bench_function("ArcSwap Cache", |bencher| bencher.iter(|| **cache.load()));
    group.finish();

    let pin = || repeat(|| _ = black_box(crossbeam_epoch::pin()));
    ratios.pair("section-rwlock", "RwLock read", SECTIONS, pin, || {
        repeat(|| _ = black_box(*lock.read()));
    });
    ratios.pair("section-arc-swap", "ArcSwap load", SECTIONS, pin, || {
        repeat(|| _ = black_box(**swap.load()));
    });
    ratios.pair("section-arc-swap-cache", "ArcSwap Cache", SECTIONS, pin, || {
        repeat(|| _ = black_box(**cache.load()));
    });
}

fn repeat(mut work: impl FnMut()) {
    (0..SECTIONS).for_each(|_| work());
}

/// What piles up while a reader stands still within a pin, and whether all of it goes when that one leaves.
fn stalled(ratios: &mut Ratios, plan: &Plan) {
    let mut others = Names::new(plan.ring);
    others.seed = workload::SEED_OTHERS;
    let others = others.texts();
    let mut writer = <FibWriter as Writer>::new();
    fill(&mut writer, plan.still);
    let mut stream = Stream::start(&others, plan.still as u32, &mut writer);
    let (stands, standing) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let retired_bytes = thread::scope(|scope| {
        scope.spawn(move || {
            let _guard = crossbeam_epoch::pin();
            stands.send(()).expect("the writer waits");
            left.recv().expect_err("nothing is said, the sender goes");
        });
        standing.recv().expect("the reader has begun");
        let mut edits = 0;
        while edits < plan.stalled_edits {
            let burst = stream.burst();
            edits += burst.len();
            writer.edit(burst);
        }
        let retired_bytes = writer.retired_bytes();
        drop(leave);
        retired_bytes
    });
    let start = Instant::now();
    while writer.retired_bytes() > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody reads, and it is not freed");
        writer.publish();
    }
    eprintln!("a stalled reader: {retired_bytes} bytes retired, all freed after it");
    let bytes = (retired_bytes.max(1) as f64, RETIRED_BYTES_MAX);
    ratios.push(Row::of_cost("churn-retired-stalled", bytes, "the bound", "bytes"));
}
