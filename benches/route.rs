//! What a message costs from bytes in to its listener's queue, to a live peer's and to a Message Node's: one
//! at a time and in batches.
//!
//! A message with a body of 400 bytes (`support/messages.rs`) is posted to one of 1, 1,000 or 100,000
//! addresses, names of 71 bytes over 3,000 domains, every other one to an address one to three segments
//! below. Each side has its own buffers, which go round: what is drained is posted again, so nothing but the
//! route itself makes or shares a `Bytes`. Draining is part of what is timed; that a round of messages is in
//! the caches when it is posted, as after a read from a socket, is made sure of before. The names are all
//! over the table, which is not. All must hand out the same bytes in the same order, in the buffers that they
//! came in, before anything is timed.
//!
//! * `route-1`, `-1k`, `-100k`: each address has a listener, all have one queue. `-zipf`: as often as Zipf's
//!   law says.
//! * `-peer`: they live behind one live peer that has agreed on no stream, so nothing is numbered.
//! * `-numbered`: the same with a stream: the hand-over numbers and keeps each message, and the other side
//!   acknowledges each round of 256, as it would; reading that word and letting go of the round is timed,
//!   too.
//! * `-stub`: by the Message Node of our own domain, of addresses that were looked up in vain.
//!   `-stub-numbered`: of addresses behind a peer with a stream, but without a connection.
//! * `…-batch`: by `post_batch`, 256 at a time.
//!
//! The rivals are the obvious way: read the message with `serde_json`, look for the longest prefix of `to` in
//! a hash map by cutting at each `/`, and send the bytes into a bounded crossbeam channel. They do less than
//! we do: no check of the form of `from` and `to`, none of `body.via`, one listener a prefix, no bound in
//! bytes, no counters, and they number and keep nothing. They have no batches: theirs are the same rounds,
//! one at a time.
//!
//! ```text
//! cargo bench --no-default-features --bench route            # criterion, then the table of ratios
//! cargo bench --no-default-features --bench route -- none    # the table alone
//! ```

#[path = "../tests/support/agreed.rs"]
mod agreed;
#[path = "support/messages.rs"]
mod messages;
#[path = "support/ratios.rs"]
mod ratios;
#[path = "support/route_ours.rs"]
mod route_ours;
#[path = "support/route_rivals.rs"]
mod route_rivals;
#[path = "support/workload.rs"]
mod workload;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput};
use hyperty_router::address::Url;

use messages::{Order, Recipe};
use ratios::Ratios;
use route_ours::Ours;
use route_rivals::{Rival, Way};
use workload::{Names, Spread};

const BODY_BYTES: usize = 400;
/// Messages between two drains.
const ROUND: usize = 256;
/// Rounds until the same messages come again: 16,384, more than the names that the inner caches hold.
const ROUNDS: usize = 64;
/// As a test less is enough: the code is the same.
const NAMES_MAX_AS_TEST: usize = 1_000;
const ROUNDS_AS_TEST: usize = 2;

/// Posts messages, and gives back what came out at the other end.
trait Party {
    fn name(&self) -> &'static str;
    /// Posts `messages` and leaves none.
    fn post(&mut self, messages: &mut Vec<Bytes>);
    fn drain(&mut self, into: &mut Vec<Bytes>);
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut ratios = Ratios::new("route");
    for (size, names) in [("1", 1), ("1k", 1_000), ("100k", 100_000)] {
        let names = if ratios::measures() { names } else { names.min(NAMES_MAX_AS_TEST) };
        let names = Names::new(names);
        let urls = urls(&names);
        for ways in ways(size) {
            let texts = texts(names, ways.spread);
            for &(tail, in_batches) in &[("", false), ("-batch", true)][..ways.kinds] {
                let ours = (ways.ours)(&urls);
                let ours = if in_batches { ours.in_batches() } else { ours };
                let name = format!("route-{size}{}{tail}", ways.name);
                measure(&mut criterion, &mut ratios, Case::new(name, ours, &urls, &texts));
            }
        }
    }
    criterion.final_summary();
    ratios.finish();
}

/// How ours sends the messages, and what the cases call it.
struct Ways {
    name: &'static str,
    spread: Spread,
    ours: fn(&[Url]) -> Ours,
    /// One at a time only (1), or in batches as well (2).
    kinds: usize,
}

fn ways(size: &str) -> Vec<Ways> {
    let ways = |name, spread, ours| Ways { name, spread, ours, kinds: 2 };
    let listeners = |urls: &[Url]| Ours::with_listeners(urls, ROUND);
    if size != "100k" {
        return vec![Ways { kinds: 1, ..ways("", Spread::Uniform, listeners) }];
    }
    vec![
        ways("", Spread::Uniform, listeners),
        ways("-zipf", Spread::Zipf, listeners),
        ways("-peer", Spread::Uniform, |urls| Ours::with_peer(urls, ROUND)),
        ways("-numbered", Spread::Uniform, |urls| Ours::numbered(urls, ROUND, true)),
        ways("-stub", Spread::Uniform, |urls| Ours::with_stub(urls, ROUND)),
        ways("-stub-numbered", Spread::Uniform, |urls| Ours::numbered(urls, ROUND, false)),
    ]
}

/// One row of the goals, or beside them: ours, then the rivals, that of the goal first.
struct Case {
    name: String,
    sides: Vec<Side>,
}

impl Case {
    fn new(name: String, ours: Ours, urls: &[Url], texts: &[String]) -> Self {
        let rivals = [Way::Struct, Way::Value, Way::Borrowed];
        let mut sides = vec![Side::new(Box::new(ours), texts)];
        sides.extend(rivals.map(|way| Side::new(Box::new(Rival::new(way, urls, ROUND)), texts)));
        Case { name, sides }
    }
}

fn measure(criterion: &mut Criterion, ratios: &mut Ratios, mut case: Case) {
    check(&mut case);
    absolute(criterion, &mut case);
    let (ours, rivals) = case.sides.split_first_mut().expect("ours is the first");
    for rival in rivals {
        let name = rival.party.name();
        ratios.pair_timed(&case.name, name, ROUND, || ours.round(), || rival.round());
    }
}

/// A party and the messages it posts, round after round.
struct Side {
    party: Box<dyn Party>,
    rounds: Vec<Vec<Bytes>>,
    next: usize,
}

impl Side {
    /// Each message is in a buffer of its own.
    fn new(party: Box<dyn Party>, texts: &[String]) -> Self {
        let message = |text: &String| BytesMut::from(text.as_str()).freeze();
        let rounds = texts.chunks(ROUND).map(|texts| texts.iter().map(message).collect());
        Side { party, rounds: rounds.collect(), next: 0 }
    }

    /// Posts the next round; how long that took.
    fn round(&mut self) -> Duration {
        let messages = &mut self.rounds[self.next];
        black_box(receive(messages));
        let start = Instant::now();
        self.party.post(messages);
        self.party.drain(messages);
        let took = start.elapsed();
        assert_eq!(messages.len(), ROUND);
        self.next = (self.next + 1) % self.rounds.len();
        took
    }
}

/// Reads the messages, so that they stand in the caches as what a socket has just filled in does.
fn receive(messages: &[Bytes]) -> u64 {
    messages.iter().flat_map(|message| message.iter()).map(|byte| u64::from(*byte)).sum()
}

/// All hand out what was posted, in order, byte for byte, in the buffers that it came in.
fn check(case: &mut Case) {
    let expected = case.sides[0].rounds.concat();
    for Side { party, rounds, .. } in &mut case.sides {
        for (round, expected) in rounds.iter_mut().zip(expected.chunks(ROUND)) {
            let buffers: Vec<_> = round.iter().map(|bytes| bytes.as_ptr()).collect();
            party.post(round);
            assert!(round.is_empty());
            party.drain(round);
            assert_eq!(round, expected, "{}", party.name());
            assert!(round.iter().map(|bytes| bytes.as_ptr()).eq(buffers));
        }
    }
}

fn absolute(criterion: &mut Criterion, case: &mut Case) {
    let mut group = criterion.benchmark_group(&case.name);
    group.throughput(Throughput::Elements(ROUND as u64));
    for side in &mut case.sides {
        group.bench_function(side.party.name(), |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| side.round()).sum());
        });
    }
    group.finish();
}

/// A round is from one sender, as what a Hyperty posts at once.
fn texts(to: Names, spread: Spread) -> Vec<String> {
    let (order, a_sender) = (Order::HeaderFirst, ROUND);
    let recipe = Recipe { to, spread, body_bytes: BODY_BYTES, order, a_sender };
    recipe.messages(ROUND * if ratios::measures() { ROUNDS } else { ROUNDS_AS_TEST })
}

fn urls(names: &Names) -> Vec<Url> {
    let url = |number| Url::parse(&names.name(number)).expect("the generator makes them");
    (0..names.count).map(url).collect()
}
