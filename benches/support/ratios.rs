//! Ratios to rivals: both sides in turns within one run, medians, a table, and a file of comma-separated
//! values.
//!
//! Not a bench of its own and not for absolute figures; criterion gives those.
#![allow(dead_code)] // Each bench takes what it needs.

#[path = "instructions.rs"]
pub(crate) mod instructions;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Rounds of one pair. Odd, so that a median is a measurement.
const ROUNDS: usize = 101;
/// Calls of each side where a call says how long it took.
const CALLS_TIMED: usize = 1_001;
/// How long one side runs in one round: long beside the clock's steps, short beside what else the machine
/// does.
const ROUND: Duration = Duration::from_micros(500);

/// The rows of one bench.
pub(crate) struct Ratios {
    bench: &'static str,
    rows: Vec<Row>,
    /// False if this run is a test: each side runs once, and nothing is written.
    measures: bool,
}

/// One row. A ratio above 1 means that we are ahead, whichever way the unit counts.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) ours: f64,
    pub(crate) rival: f64,
    pub(crate) rival_name: String,
    pub(crate) ratio: f64,
    pub(crate) unit: &'static str,
    /// Instructions of ours and of the rival's for the same, where the processor counts them.
    pub(crate) instructions: Option<(f64, f64)>,
}

impl Row {
    /// What counts less is better: time, bytes.
    pub(crate) fn of_cost(
        case: impl Into<String>,
        (ours, rival): (f64, f64),
        rival_name: impl Into<String>,
        unit: &'static str,
    ) -> Row {
        let (case, rival_name) = (case.into(), rival_name.into());
        let ratio = rival / ours;
        Row { case, ours, rival, rival_name, ratio, unit, instructions: None }
    }

    /// What counts more is better: a rate.
    pub(crate) fn of_rate(
        case: impl Into<String>,
        (ours, rival): (f64, f64),
        rival_name: impl Into<String>,
        unit: &'static str,
    ) -> Row {
        Row { ratio: ours / rival, ..Row::of_cost(case, (ours, rival), rival_name, unit) }
    }
}

impl Ratios {
    pub(crate) fn new(bench: &'static str) -> Ratios {
        Ratios { bench, rows: Vec::new(), measures: measures() }
    }

    /// Measures two ways to do the same work; each call does it `units` times.
    pub(crate) fn pair(
        &mut self,
        case: &str,
        rival_name: &str,
        units: usize,
        mut ours: impl FnMut(),
        mut rival: impl FnMut(),
    ) {
        if !self.measures {
            ours();
            rival();
            return;
        }
        let (our_calls, rival_calls) = (calls(&mut ours), calls(&mut rival));
        let (mut our_ns, mut rival_ns) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            our_ns.push(ns(&mut ours, our_calls) / units as f64);
            rival_ns.push(ns(&mut rival, rival_calls) / units as f64);
        }
        let per_unit = |counted: Option<u64>| Some(counted? as f64 / units as f64);
        let instructions =
            per_unit(instructions(&mut ours)).zip(per_unit(instructions(&mut rival)));
        let row = Row::of_cost(case, (median(our_ns), median(rival_ns)), rival_name, "ns");
        self.push(Row { instructions, ..row });
    }

    /// The same where each call says how long the part of it took that counts: something has to be made
    /// ready before each call, which is the work of neither side. A call is long beside the clock's steps.
    pub(crate) fn pair_timed(
        &mut self,
        case: &str,
        rival_name: &str,
        units: usize,
        mut ours: impl FnMut() -> Duration,
        mut rival: impl FnMut() -> Duration,
    ) {
        let rounds = if self.measures { CALLS_TIMED } else { 1 };
        let per_unit = |took: Duration| took.as_nanos() as f64 / units as f64;
        let (mut our_ns, mut rival_ns) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            our_ns.push(per_unit(ours()));
            rival_ns.push(per_unit(rival()));
        }
        self.push(Row::of_cost(case, (median(our_ns), median(rival_ns)), rival_name, "ns"));
    }

    /// Takes in what was measured elsewhere.
    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Repeats the row of the lower ratio of these cases under a name that stands for all of them.
    pub(crate) fn push_lowest(&mut self, case: &str, of: &[&str]) {
        let rows = self.rows.iter().filter(|row| of.contains(&row.case.as_str()));
        if let Some(lowest) = rows.min_by(|a, b| a.ratio.total_cmp(&b.ratio)).cloned() {
            self.push(Row { case: case.to_owned(), ..lowest });
        }
    }

    /// Prints the table and writes `target/ratios/<bench>.csv`.
    pub(crate) fn finish(self) {
        if !self.measures {
            return;
        }
        let mut csv = "case,ours,rival,rival_name,ratio,unit\n".to_owned();
        let longest = |text: fn(&Row) -> &str| self.rows.iter().map(|row| text(row).len()).max();
        let cases = longest(|row| &row.case).unwrap_or(0);
        let rivals = longest(|row| &row.rival_name).unwrap_or(0);
        println!(
            "{:<cases$}{:>12}{:>12}  {:<rivals$}{:>9}  unit",
            "case", "ours", "rival", "against", "ratio"
        );
        for row in &self.rows {
            let Row { case, ours, rival, rival_name, ratio, unit, instructions } = row;
            let decimals = if ours.min(*rival) < 10.0 { 2 } else { 1 };
            let counted = instructions.map_or(String::new(), |(ours, rival)| {
                format!("  instructions {ours:.1} to {rival:.1}")
            });
            println!(
                "{case:<cases$}{ours:>12.decimals$}{rival:>12.decimals$}  {rival_name:<rivals$}{ratio:>8.2}x  {unit}{counted}"
            );
            writeln!(
                csv,
                "{case},{ours:.decimals$},{rival:.decimals$},{rival_name},{ratio:.2},{unit}"
            )
            .expect("a String takes all");
        }
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/target/ratios");
        let file = format!("{directory}/{}.csv", self.bench);
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&file, csv))
            .expect("a file");
        println!("written to target/ratios/{}.csv", self.bench);
    }
}

/// False if this run is a test: `cargo test --bench`, or `cargo bench -- --test`.
pub(crate) fn measures() -> bool {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    has("--bench") && !has("--test")
}

/// Calls that fill a round, found by running longer and longer; warms up on the way.
fn calls(work: &mut impl FnMut()) -> usize {
    let mut calls = 1;
    loop {
        let ns = ns(work, calls) * calls as f64;
        if ns >= ROUND.as_nanos() as f64 {
            return calls;
        }
        calls *= 2;
    }
}

/// Nanoseconds a call.
fn ns(work: &mut impl FnMut(), calls: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// Instructions of one call.
fn instructions(work: &mut impl FnMut()) -> Option<u64> {
    let counter = instructions::Instructions::begin()?;
    work();
    counter.end()
}

/// The middle one; of an even number the upper of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
