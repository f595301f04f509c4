//! What it costs to know where a message goes: our scan beside serde_json (a borrowed struct whose body is
//! passed over) and simd-json (a tape of everything). Every answer is checked before anything is timed.
//!
//! Messages of 400 B, 1 KB and 64 KB, each with the header before the body and behind it. simd-json
//! unescapes in place, so each of its runs gets a copy of the message, as a router would have to make one.

use std::borrow::Cow;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hyperty_router::message::{Message, To};
use serde::Deserialize;
use serde::de::IgnoredAny;
use simd_json::prelude::*;

criterion_group!(benches, envelope);
criterion_main!(benches);

fn envelope(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    for (size, bytes_wanted) in [("400B", 400), ("1KB", 1 << 10), ("64KB", 64 << 10)] {
        for header_first in [true, false] {
            let text = message(bytes_wanted, header_first);
            let order = if header_first { "header-first" } else { "body-first" };
            let case = format!("{size}/{order}");
            let bytes = Bytes::from(text.clone());
            let mut copy = Vec::with_capacity(text.len());
            let mut buffers = simd_json::Buffers::new(text.len());
            check(&text);

            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(BenchmarkId::new("ours", &case), |bencher| {
                bencher.iter(|| ours(black_box(&bytes)))
            });
            group.bench_function(BenchmarkId::new("serde_json", &case), |bencher| {
                bencher.iter(|| serde_json_borrowed(black_box(text.as_bytes())))
            });
            group.bench_function(BenchmarkId::new("simd-json tape", &case), |bencher| {
                bencher.iter(|| simd_json_tape(black_box(text.as_bytes()), &mut copy, &mut buffers))
            });
        }
    }
    group.finish();
}

/// What each contender has to find: lengths stand for the texts, so that nothing borrowed is returned.
type Found = (usize, usize, usize);

fn ours(bytes: &Bytes) -> Found {
    let message = Message::parse(bytes.clone()).expect("a message");
    let To::One(to) = message.to() else { panic!("one URL") };
    (to.len(), message.from().len(), message.kind_text().len())
}

#[derive(Deserialize)]
struct Borrowed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "body")]
    _body: IgnoredAny,
}

fn serde_json_borrowed(bytes: &[u8]) -> Found {
    let found: Borrowed<'_> = serde_json::from_slice(bytes).expect("a message");
    (found.to.len(), found.from.len(), found.kind.len())
}

fn simd_json_tape(bytes: &[u8], copy: &mut Vec<u8>, buffers: &mut simd_json::Buffers) -> Found {
    copy.clear();
    copy.extend_from_slice(bytes);
    let tape = simd_json::to_tape_with_buffers(copy, buffers).expect("a message");
    let root = tape.as_value();
    let len = |name: &str| root.get(name).and_then(|v| v.as_str().map(str::len)).expect("a string");
    (len("to"), len("from"), len("type"))
}

fn check(text: &str) {
    let expected = (TO.len(), FROM.len(), "update".len());
    assert_eq!(ours(&Bytes::from(text.to_owned())), expected);
    assert_eq!(serde_json_borrowed(text.as_bytes()), expected);
    let mut buffers = simd_json::Buffers::new(text.len());
    assert_eq!(simd_json_tape(text.as_bytes(), &mut Vec::new(), &mut buffers), expected);
}

const FROM: &str =
    "hyperty-runtime://alice.example.org/0c8ab7d0-41ad-4f1e-8b4e-2b1d9c1c7e11/registry";
const TO: &str = "comm://bob.example.org/5f3b6c52-9f0f-4c6f-9e57-a7a1cbb7d0b5/changes";

/// A message of about `bytes_wanted` bytes; its body is chat lines with numbers and escapes in them.
fn message(bytes_wanted: usize, header_first: bool) -> String {
    let header = format!(r#""id":7,"type":"update","from":"{FROM}","to":"{TO}""#);
    let mut lines = String::new();
    while header.len() + lines.len() + 120 < bytes_wanted {
        let line = lines.len();
        lines.push_str(&format!(
            r#"{{"n":{line},"at":1700000000.{line},"text":"He said \"good morning\", and went on."}},"#
        ));
    }
    let body = format!(
        r#""body":{{"attribute":"messages","operation":"add","value":[{}]}}"#,
        lines.trim_end_matches(',')
    );
    if header_first { format!("{{{header},{body}}}") } else { format!("{{{body},{header}}}") }
}
