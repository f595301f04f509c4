//! What a message costs from bytes in to its listener's queue, and to a live peer: one at a time and in batches.
//!
//! A message of 400 bytes is posted to one of 1, 1,000 or 100,000 listeners with names of 71 bytes over 3,000
//! domains, every other one to an address one to three segments below. Each side has its own buffers, which go
//! round: what is drained is posted again, so nothing but the route itself makes or shares a `Bytes`. Draining is
//! part of what is timed; that a round of messages is in the caches when it is posted, as after a read from a socket,
//! is made sure of before. The names are all over the table, which is not. All must hand out the same bytes in the same order before anything is timed.
//!
//! The rivals are the obvious way: read the message with `serde_json`, look for the longest prefix of `to` in a hash
//! map by cutting at each `/`, and send the bytes into a bounded crossbeam channel. They do less than we do: no check
//! of the form of `from` and `to`, none of `body.via`, one listener a prefix, no bound in bytes, no counters.
//!
//! ```text
//! cargo bench --no-default-features --bench route            # criterion, then the table of ratios
//! cargo bench --no-default-features --bench route -- none    # the table alone
//! ```

#[path = "support/ratios.rs"]
mod ratios;
#[path = "support/route_parties.rs"]
mod route_parties;
#[path = "support/workload.rs"]
mod workload;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput};

use ratios::Ratios;
use route_parties::{Ours, Party, Rival, Way};
use workload::{Names, Random, SEED};

const MESSAGE_BYTES: usize = 400;
/// Messages between two drains.
const ROUND: usize = 256;
/// Rounds until the same messages come again: 16,384, more than the names that the inner caches hold.
const ROUNDS: usize = 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut ratios = Ratios::new("route");
    for (size, size_name) in [(1, "1"), (1_000, "1k"), (100_000, "100k")] {
        let names = names(size);
        for mut case in cases(size_name, &names) {
            check(&mut case);
            absolute(&mut criterion, &mut case);
            let (ours, rivals) = case.sides.split_first_mut().expect("ours is the first");
            for rival in rivals {
                let name = rival.party.name();
                ratios.pair_timed(&case.name, name, ROUND, || ours.round(), || rival.round());
            }
        }
    }
    criterion.final_summary();
    ratios.finish();
}

/// One row of the goals, or beside them: ours, then the rivals, the one of the goal first.
struct Case {
    name: String,
    sides: Vec<Side>,
}

/// A party and the messages it posts, round after round.
struct Side {
    party: Box<dyn Party>,
    rounds: Vec<Vec<Bytes>>,
    next: usize,
}

impl Side {
    fn new(party: Box<dyn Party>, names: &[String]) -> Self {
        let messages = messages(names);
        let rounds = messages.chunks(ROUND).map(<[Bytes]>::to_vec).collect();
        Side { party, rounds, next: 0 }
    }

    /// Posts the next round; how long that took.
    fn round(&mut self) -> Duration {
        let messages = &mut self.rounds[self.next];
        self.next = (self.next + 1) % ROUNDS;
        black_box(receive(messages));
        let start = Instant::now();
        self.party.post(messages);
        self.party.drain(messages);
        let took = start.elapsed();
        assert_eq!(messages.len(), ROUND);
        took
    }
}

/// Reads the messages, so that they stand in the caches as what a socket has just filled in does.
fn receive(messages: &[Bytes]) -> u64 {
    messages.iter().flat_map(|message| message.iter()).map(|byte| u64::from(*byte)).sum()
}

fn cases(size_name: &str, names: &[String]) -> Vec<Case> {
    let case = |more: &str, ours: Ours| {
        let parties: [Box<dyn Party>; 4] = [
            Box::new(ours),
            Box::new(Rival::new(Way::Struct, names, ROUND)),
            Box::new(Rival::new(Way::Value, names, ROUND)),
            Box::new(Rival::new(Way::Borrowed, names, ROUND)),
        ];
        let sides = parties.map(|party| Side::new(party, names)).into();
        Case { name: format!("route-{size_name}{more}"), sides }
    };
    let mut cases = vec![case("", Ours::with_listeners(names, ROUND))];
    if names.len() == 100_000 {
        cases.push(case("-batch", Ours::with_listeners(names, ROUND).in_batches()));
        cases.push(case("-peer", Ours::with_peer(names, ROUND)));
        cases.push(case("-peer-batch", Ours::with_peer(names, ROUND).in_batches()));
    }
    cases
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

/// Messages to names all over, every other one to an address below; each in a buffer of its own, a round from one
/// sender. Their bodies are a chat line, every other one with escapes.
fn messages(names: &[String]) -> Vec<Bytes> {
    let mut random = Random::of(SEED + 1, 0);
    let senders = self::names(ROUNDS);
    let mut message = |number: usize| {
        let to = &names[random.below(names.len() as u64) as usize];
        let below = match number % 2 {
            0 => "",
            _ => ["/chat", "/chat/room-12", "/chat/room-12/changes"][random.below(3) as usize],
        };
        let (from, at) = (&senders[number / ROUND], random.below(1 << 40));
        let said = [r#"He said \"good morning\", and "#, "Went on. "][random.below(2) as usize];
        let mut text = format!(
            r#"{{"id":{number},"type":"update","from":"{from}","to":"{to}{below}","body":{{"attribute":"messages","value":[{{"at":{at},"text":"{said}"#
        );
        let tail = r#""}]}}"#;
        let words = "lorem ipsum dolor ".chars().cycle();
        text.extend(words.take(MESSAGE_BYTES - text.len() - tail.len()));
        text.push_str(tail);
        BytesMut::from(text.as_str()).freeze()
    };
    (0..ROUND * ROUNDS).map(&mut message).collect()
}

/// `count` names, as text of their own.
fn names(count: usize) -> Vec<String> {
    let names = Names::new(count);
    let name = |number| {
        let mut text = String::new();
        names.write(number, &mut text);
        text
    };
    (0..count).map(name).collect()
}
