//! What it costs to know where a message goes: our scan, which checks the whole message, beside serde_json (a
//! borrowed struct whose body is passed over), simd-json (a tape of everything, all buffers reused) and sonic-rs
//! (four paths; behind the last of them it looks at nothing). Every answer is checked before anything is timed.
//!
//! Each case is a set of messages from one seed, no two alike, so that no branch is learnt by heart. simd-json
//! unescapes in place, so each of its runs gets a copy of the message, as a router would have to make one. None
//! of the rivals but serde_json sees that a member is given twice.
//!
//! ```text
//! cargo bench --no-default-features --bench envelope            # criterion, then the table of ratios
//! cargo bench --no-default-features --bench envelope -- none    # the table alone
//! ```

#[path = "support/envelope_rivals.rs"]
mod envelope_rivals;
#[path = "support/ratios.rs"]
mod ratios;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use hyperty_router::message::{Message, ParseLimits, ScanPath, To};

use envelope_rivals::{Found, SimdJson, Sonic, serde_json_borrowed};
use ratios::Ratios;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    absolute(&mut criterion);
    criterion.final_summary();
    let mut ratios = Ratios::new("envelope");
    goals(&mut ratios);
    by_path(&mut ratios);
    ratios.finish();
}

/// The cases that have a goal, each beside all its rivals; the first named is the one of the goal.
fn goals(ratios: &mut Ratios) {
    for (case, size, order) in [
        ("env-400", 400, Order::HeaderFirst),
        ("env-1k", 1 << 10, Order::HeaderFirst),
        ("env-1k-body-first", 1 << 10, Order::BodyFirst),
    ] {
        let texts = messages(size, order);
        let mut tape = SimdJson::new(size);
        against(ratios, case, "simd-json tape", &texts, |text| tape.read(text));
        against(ratios, case, "serde_json borrowed", &texts, serde_json_borrowed);
        let sonic = Sonic::new();
        against(ratios, case, "sonic-rs get_many", &texts, |text| sonic.checked(text));
    }
    let (sonic, texts) = (Sonic::new(), messages(400, Order::HeaderFirst));
    let rival = "sonic-rs get_many_unchecked";
    against(ratios, "env-400-lazy", rival, &texts, |text| sonic.unchecked(text));
    let texts = messages(64 << 10, Order::HeaderFirst);
    against(ratios, "env-64k", "serde_json borrowed", &texts, serde_json_borrowed);
    let mut tape = SimdJson::new(64 << 10);
    against(ratios, "env-64k", "simd-json tape", &texts, |text| tape.read(text));
}

/// Every path of ours that this machine has, at 1 KB and at 64 KB.
fn by_path(ratios: &mut Ratios) {
    for (size, name) in [(1 << 10, "1k"), (64 << 10, "64k")] {
        let texts = messages(size, Order::HeaderFirst);
        for path in ScanPath::available() {
            let case = match (path.name(), size) {
                ("portable", 1024) => "env-portable".to_owned(),
                (path, _) => format!("env-{name}-{path}"),
            };
            let limits = ParseLimits::default();
            let parse = |bytes| Message::parse_by(path, bytes, &limits).expect("a message");
            let rival = "serde_json borrowed";
            pair(ratios, &case, rival, &texts, parse, serde_json_borrowed);
        }
    }
}

fn against(
    ratios: &mut Ratios,
    case: &str,
    rival_name: &str,
    texts: &[String],
    rival: impl FnMut(&[u8]) -> Found,
) {
    let parse = |bytes| Message::parse(bytes).expect("a message");
    pair(ratios, case, rival_name, texts, parse, rival);
}

/// One row, after both sides have given the same answers.
fn pair(
    ratios: &mut Ratios,
    case: &str,
    rival_name: &str,
    texts: &[String],
    parse: impl Fn(Bytes) -> Message,
    mut rival: impl FnMut(&[u8]) -> Found,
) {
    let mut bytes: Vec<_> = texts.iter().map(|text| Bytes::from(text.clone())).collect();
    for (slot, text) in bytes.iter_mut().zip(texts) {
        assert_eq!(ours(slot, &parse), rival(text.as_bytes()), "{case}, {rival_name}: {text}");
    }
    let ours = || bytes.iter_mut().for_each(|slot| _ = black_box(ours(slot, &parse)));
    let rival = || texts.iter().for_each(|text| _ = black_box(rival(black_box(text.as_bytes()))));
    ratios.pair(case, rival_name, texts.len(), ours, rival);
}

/// Takes the bytes, as a router gets them, and gives them back: no counter of references is touched.
#[inline]
fn ours(slot: &mut Bytes, parse: impl Fn(Bytes) -> Message) -> Found {
    let message = parse(black_box(std::mem::take(slot)));
    let To::One(to) = message.to() else { panic!("one URL") };
    let found = (to.len(), message.from().len(), message.kind_text().len());
    black_box((message.id(), message.kind(), message.body()));
    drop(to);
    *slot = message.into_bytes();
    found
}

/// What one run costs, by criterion.
fn absolute(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    for (size_name, size) in [("400B", 400), ("1KB", 1 << 10), ("64KB", 64 << 10)] {
        for order in [Order::HeaderFirst, Order::BodyFirst] {
            let text = messages(size, order).swap_remove(0);
            let case = format!("{size_name}/{order:?}");
            let mut bytes = Bytes::from(text.clone());
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(BenchmarkId::new("ours", &case), |bencher| {
                bencher.iter(|| ours(&mut bytes, |bytes| Message::parse(bytes).expect("a message")))
            });
            group.bench_function(BenchmarkId::new("serde_json", &case), |bencher| {
                bencher.iter(|| serde_json_borrowed(black_box(text.as_bytes())))
            });
            let mut tape = SimdJson::new(size);
            group.bench_function(BenchmarkId::new("simd-json tape", &case), |bencher| {
                bencher.iter(|| tape.read(black_box(text.as_bytes())))
            });
        }
    }
    group.finish();
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    HeaderFirst,
    BodyFirst,
}

/// Messages of one case: more than a branch predictor knows by heart, as far as they fit into the caches.
const MESSAGES_MAX: usize = 32;
const MESSAGES_BYTES: usize = 256 << 10;
const SEED: u64 = 0x5eed;

fn messages(size: usize, order: Order) -> Vec<String> {
    let count = MESSAGES_MAX.min(MESSAGES_BYTES / size);
    (0..count as u64).map(|number| message(&mut Random(SEED + number), size, order)).collect()
}

/// A message of about `size` bytes; its body is chat lines of any length with numbers and escapes in them.
fn message(random: &mut Random, size: usize, order: Order) -> String {
    let (from, to) = (name(random, "hyperty-runtime", 71), name(random, "comm", 71));
    let id = random.below(100_000);
    let header = format!(r#""id":{id},"type":"update","from":"{from}","to":"{to}""#);
    let mut lines = String::new();
    while header.len() + lines.len() + 120 < size {
        let (at, words) = (random.below(1 << 40), random.below(12) as usize);
        let said = [r#"He said \"good morning\", and "#, "Went on. "][random.below(2) as usize];
        let text = "lorem ipsum dolor ".chars().cycle().take(words * 5).collect::<String>();
        lines.push_str(&format!(r#"{{"n":{},"at":{at},"text":"{said}{text}"}},"#, lines.len()));
    }
    let body = format!(
        r#""body":{{"attribute":"messages","operation":"add","value":[{}]}}"#,
        lines.trim_end_matches(',')
    );
    match order {
        Order::HeaderFirst => format!("{{{header},{body}}}"),
        Order::BodyFirst => format!("{{{body},{header}}}"),
    }
}

/// A URL of about `bytes` bytes.
fn name(random: &mut Random, scheme: &str, bytes: usize) -> String {
    let mut name = format!("{scheme}://domain-{}.example.org/", random.below(3_000));
    while name.len() < bytes {
        name.push_str(&format!("{:x}", random.below(16)));
    }
    name
}

/// Numbers that look random, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 31) % bound
    }
}
