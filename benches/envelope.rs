//! What it costs to know where a message goes: our scan, which checks the whole message, beside serde_json (a
//! borrowed struct whose body is passed over), simd-json (a tape of everything, all buffers reused) and
//! sonic-rs (four paths, checked and not). Every answer is checked before anything is timed.
//!
//! A case has the size of its bodies in its name, from 64 bytes to 64 KB; some 190 bytes of header come on
//! top. Each is a set of messages from `support/messages.rs`, no two alike, so that no branch is learnt by
//! heart.
//!
//! * `env-400`, and so on: header first; `env-400-body-first`: `body` before all else. Against the two rivals
//!   that read the message to its end. simd-json unescapes in place, so each of its runs gets a copy of the
//!   message, as a router would have to make one. It does not see that a member is given twice; serde_json
//!   does.
//! * `…-lazy`: the same work of ours, against sonic-rs, which looks at nothing behind the last member that it
//!   was asked for, `get_many_unchecked` not even at what it passes over. The larger the body behind the
//!   header, the less of the message it has seen.
//! * `env-1k-avx2` and the like, `env-portable`: each path of ours that this machine has, by name.
//!
//! ```text
//! cargo bench --no-default-features --bench envelope            # criterion, then the table of ratios
//! cargo bench --no-default-features --bench envelope -- none    # the table alone
//! ```

#[path = "support/envelope_rivals.rs"]
mod envelope_rivals;
#[path = "support/messages.rs"]
mod messages;
#[path = "support/ratios.rs"]
mod ratios;
#[path = "support/workload.rs"]
mod workload;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use hyperty_router::message::{Message, ParseLimits, ScanPath, To};

use envelope_rivals::{Found, SimdJson, Sonic, serde_json_borrowed};
use messages::{Order, Recipe};
use ratios::Ratios;
use workload::{Names, Spread};

/// Bytes of the body, and what the cases call them.
const SIZES: [(&str, usize); 5] =
    [("64", 64), ("400", 400), ("1k", 1 << 10), ("4k", 4 << 10), ("64k", 64 << 10)];
const ORDERS: [(&str, Order); 2] = [("", Order::HeaderFirst), ("-body-first", Order::BodyFirst)];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    absolute(&mut criterion);
    criterion.final_summary();
    let mut ratios = Ratios::new("envelope");
    for (size, body_bytes) in SIZES {
        for (tail, order) in ORDERS {
            let texts = messages(body_bytes, order);
            against_all(&mut ratios, &format!("env-{size}{tail}"), &texts);
        }
    }
    by_path(&mut ratios);
    ratios.finish();
}

/// Ours beside every rival; of each case the rival that the goal names comes first.
fn against_all(ratios: &mut Ratios, case: &str, texts: &[String]) {
    let mut tape = SimdJson::new(texts[0].len());
    let mut tape = |ratios: &mut _| {
        against(ratios, case, "simd-json tape", texts, |text| tape.read(text));
    };
    let borrowed = |ratios: &mut _| {
        against(ratios, case, "serde_json borrowed", texts, serde_json_borrowed);
    };
    if case == "env-64k" {
        borrowed(ratios);
        tape(ratios);
    } else {
        tape(ratios);
        borrowed(ratios);
    }
    let (sonic, case) = (Sonic::new(), format!("{case}-lazy"));
    against(ratios, &case, "sonic-rs get_many_unchecked", texts, |text| sonic.unchecked(text));
    against(ratios, &case, "sonic-rs get_many", texts, |text| sonic.checked(text));
}

/// Every path of ours that this machine has, at 1 KB and at 64 KB.
fn by_path(ratios: &mut Ratios) {
    for (name, body_bytes) in [("1k", 1 << 10), ("64k", 64 << 10)] {
        let texts = messages(body_bytes, Order::HeaderFirst);
        for path in ScanPath::available() {
            let case = match (path.name(), name) {
                ("portable", "1k") => "env-portable".to_owned(),
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
    for (size, body_bytes) in SIZES {
        for (_, order) in ORDERS {
            let text = messages(body_bytes, order).swap_remove(0);
            let case = format!("{size}/{order:?}");
            let mut bytes = Bytes::from(text.clone());
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(BenchmarkId::new("ours", &case), |bencher| {
                bencher.iter(|| ours(&mut bytes, |bytes| Message::parse(bytes).expect("a message")))
            });
            let (mut tape, sonic) = (SimdJson::new(text.len()), Sonic::new());
            let mut rival = |name: &str, read: &mut dyn FnMut(&[u8]) -> Found| {
                group.bench_function(BenchmarkId::new(name, &case), |bencher| {
                    bencher.iter(|| read(black_box(text.as_bytes())))
                });
            };
            rival("serde_json", &mut serde_json_borrowed);
            rival("simd-json tape", &mut |text| tape.read(text));
            rival("sonic-rs get_many", &mut |text| sonic.checked(text));
            rival("sonic-rs get_many_unchecked", &mut |text| sonic.unchecked(text));
        }
    }
    group.finish();
}

/// Messages of one case: more than a branch predictor knows by heart, as far as they fit into the caches.
const MESSAGES_MAX: usize = 32;
const MESSAGES_BYTES: usize = 256 << 10;
/// Names that they are for, as many as the largest table of the bench `route` has.
const NAMES: usize = 100_000;

fn messages(body_bytes: usize, order: Order) -> Vec<String> {
    let (to, spread) = (Names::new(NAMES), Spread::Uniform);
    let recipe = Recipe { to, spread, body_bytes, order, a_sender: 1 };
    recipe.messages(MESSAGES_MAX.min(MESSAGES_BYTES / body_bytes))
}
