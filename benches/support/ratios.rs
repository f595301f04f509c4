//! Ratios to rivals: both sides in turns within one run, medians, a table, and a file of comma-separated values.
//!
//! Not a bench of its own and not for absolute figures; criterion gives those.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Rounds of one pair. Odd, so that a median is a measurement.
const ROUNDS: usize = 101;
/// How long one side runs in one round: long beside the clock's steps, short beside what else the machine does.
const ROUND: Duration = Duration::from_micros(500);

/// The rows of one bench.
pub(crate) struct Ratios {
    bench: &'static str,
    rows: Vec<Row>,
    /// False if this run is a test: each side runs once, and nothing is written.
    measures: bool,
}

struct Row {
    case: String,
    rival_name: String,
    ours_ns: f64,
    rival_ns: f64,
}

impl Ratios {
    pub(crate) fn new(bench: &'static str) -> Ratios {
        let measures = std::env::args().any(|argument| argument == "--bench");
        Ratios { bench, rows: Vec::new(), measures }
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
        self.rows.push(Row {
            case: case.to_owned(),
            rival_name: rival_name.to_owned(),
            ours_ns: median(our_ns),
            rival_ns: median(rival_ns),
        });
    }

    /// Prints the table and writes `target/ratios/<bench>.csv`.
    pub(crate) fn finish(self) {
        if !self.measures {
            return;
        }
        let mut csv = "case,ours,rival,rival_name,ratio,unit\n".to_owned();
        println!(
            "{:<24}{:>10}{:>12}  {:<28}{:>8}",
            "case", "ours ns", "rival ns", "rival", "ratio"
        );
        for Row { case, rival_name, ours_ns, rival_ns } in &self.rows {
            let ratio = rival_ns / ours_ns;
            println!("{case:<24}{ours_ns:>10.1}{rival_ns:>12.1}  {rival_name:<28}{ratio:>7.2}x");
            writeln!(csv, "{case},{ours_ns:.1},{rival_ns:.1},{rival_name},{ratio:.2},ns")
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
