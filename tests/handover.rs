//! Moving between paths, judged by simulation.
//!
//! Goal: whatever cuts of the direct way do in mid-traffic, every message arrives once and in order for each
//! (from, to), each accepted one has exactly one outcome, and nothing is left over. Method: two peers on a
//! virtual clock, everything random drawn from one seed; then the same with one law left out, which must
//! be noticed. Replay one seed with `HANDOVER_SEED=<seed> cargo test --test handover`, run more with
//! `HANDOVER_SEEDS=<count>`.

#[path = "handover/along.rs"]
mod along;
#[path = "handover/laws.rs"]
mod laws;
#[path = "handover/sim.rs"]
mod sim;
#[path = "handover/two.rs"]
mod two;

use hyperty_router::handover::Mutation;
use sim::{Report, Scenario, run};

#[test]
fn cuts_in_mid_traffic_lose_double_and_reorder_nothing() {
    let mut total = Report::default();
    for seed in seeds(200) {
        match run(seed, Scenario::Cuts, Mutation::None) {
            Ok(report) => total.add(&report),
            Err(violation) => fail(seed, "cuts_in", &violation),
        }
    }
    println!("{total:?}");
    assert!(total.messages > 0 && total.by_p2p > 0 && total.by_node > 0);
}

#[test]
fn dead_paths_and_new_incarnations_end_each_message_exactly_once() {
    let mut total = Report::default();
    for seed in seeds(200) {
        match run(seed, Scenario::Ruin, Mutation::None) {
            Ok(report) => total.add(&report),
            Err(violation) => fail(seed, "dead_paths", &violation),
        }
    }
    println!("{total:?}");
}

#[test]
fn each_law_left_out_is_noticed() {
    let left_out =
        [Mutation::NoDedupe, Mutation::NoHoldBack, Mutation::NoResend, Mutation::NoBarrier];
    for mutation in left_out {
        let noticed = (0..200).find_map(|seed| run(seed, Scenario::Cuts, mutation).err());
        let violation = noticed.unwrap_or_else(|| panic!("{mutation:?} was not noticed"));
        println!("{mutation:?}: {violation}");
    }
}

fn fail(seed: u64, test: &str, violation: &str) -> ! {
    panic!(
        "seed {seed}: {violation}\nreplay: HANDOVER_SEED={seed} cargo test --test handover {test}"
    )
}

fn seeds(default: u64) -> Box<dyn Iterator<Item = u64>> {
    let read = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (read("HANDOVER_SEED"), read("HANDOVER_SEEDS")) {
        (Some(seed), _) => Box::new(std::iter::once(seed)),
        (None, count) => Box::new(0..count.unwrap_or(default)),
    }
}
