//! What a message costs from bytes in to bytes with its listener, and to a live peer.
//!
//! A message of 400 bytes, posted to one of 1, 1,000 and 100,000 listeners, or to one of as many addresses of a
//! peer. The rival is the obvious way, in the same run: `serde_json` to a `Value`, a `HashMap` cut at each `/` of
//! `to`, the bytes into a channel. Both ends are drained within the measurement, and both must agree on who got
//! which bytes before anything is timed. The rival does less: no check of `from`, of `body.via`, of duplicate
//! members, no bound of the queue.
//!
//! ```text
//! cargo bench --no-default-features --bench bus
//! ```

use std::{collections::HashMap, hint::black_box, sync::Arc, time::Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::channel::{Receiver, Sender, unbounded};
use hyperty_router::{
    address::Url,
    bus::{BusConfig, MessageBus},
    handover::Peer,
    link::{Delivery, Ingress, LinkId, Outbox, Outgoing},
    registry::Place,
    status::Status,
};

const MESSAGE_BYTES: usize = 400;
/// Messages a round, drained at its end.
const ROUND: usize = 256;
const SIZES: [usize; 3] = [1, 1_000, 100_000];

/// Post one message, and what came out at the end of a round.
trait Party {
    fn post(&mut self, bytes: Bytes);
    fn drain(&mut self, out: &mut Vec<Bytes>);
}

struct Ours {
    bus: MessageBus,
    end: End,
    now: Instant,
}

enum End {
    Listener(Arc<Outbox<Delivery>>, Vec<Delivery>),
    Peer(Arc<Outbox<Outgoing>>, Vec<Outgoing>),
}

fn bus() -> MessageBus {
    MessageBus::new(BusConfig::new(url("hyperty-runtime://a.example.org/alice")))
}

impl Ours {
    fn with_listeners(urls: &[String]) -> Self {
        let (bus, queue) = (bus(), Arc::new(Outbox::new(ROUND, usize::MAX)));
        for text in urls {
            bus.add_listener(url(text), None, queue.clone());
        }
        Ours { bus, end: End::Listener(queue, Vec::new()), now: Instant::now() }
    }

    /// All of `urls` live behind one peer that is live. It has given no stream, so nothing is numbered.
    fn with_peer(urls: &[String]) -> Self {
        let (bus, queue, now) = (bus(), Arc::new(Outbox::new(ROUND, usize::MAX)), Instant::now());
        let remote = url("hyperty-runtime://b.example.org/bob");
        let peer = Peer::new(remote, LinkId(1), 1, Arc::new(|| 5), Default::default());
        let peer = Arc::new(peer);
        let place = bus.add_place(Place::Peer(peer.clone()));
        let urls: Vec<_> = urls.iter().map(|text| url(text)).collect();
        bus.associate(place, &urls);
        peer.open_direct(
            queue.clone(),
            url("hyperty-runtime://a.example.org/alice/p2phandler/1/1"),
            now,
        );
        peer.slot().store(1, Status::Live);
        Ours { bus, end: End::Peer(queue, Vec::new()), now }
    }
}

impl Party for Ours {
    fn post(&mut self, bytes: Bytes) {
        let posted = self.bus.post(bytes, Ingress::LOCAL, self.now).expect("a message");
        assert!(posted.first_error().is_none());
    }

    fn drain(&mut self, out: &mut Vec<Bytes>) {
        match &mut self.end {
            End::Listener(queue, taken) => {
                queue.try_drain(taken, ROUND);
                out.extend(taken.drain(..).map(|delivery| delivery.message.into_bytes()));
            }
            End::Peer(queue, taken) => {
                queue.try_drain(taken, ROUND);
                out.extend(taken.drain(..).map(|item| match item {
                    Outgoing::Message { bytes, .. } => bytes,
                    Outgoing::Control(control) => panic!("{control:?}"),
                }));
            }
        }
    }
}

/// The obvious way.
struct Rival {
    listeners: HashMap<String, Sender<Bytes>>,
    end: Receiver<Bytes>,
}

impl Rival {
    fn new(urls: &[String]) -> Self {
        let (sender, end) = unbounded();
        let listeners = urls.iter().map(|text| (text.clone(), sender.clone())).collect();
        Rival { listeners, end }
    }

    fn longest(&self, to: &str) -> Option<&Sender<Bytes>> {
        let mut prefix = to;
        loop {
            if let Some(sender) = self.listeners.get(prefix) {
                return Some(sender);
            }
            prefix = &prefix[..prefix.rfind('/').filter(|at| !prefix[..*at].ends_with('/'))?];
        }
    }
}

impl Party for Rival {
    fn post(&mut self, bytes: Bytes) {
        let message: serde_json::Value = serde_json::from_slice(&bytes).expect("a message");
        let to = message["to"].as_str().expect("a URL");
        self.longest(to).expect("a listener").send(bytes).expect("an end");
    }

    fn drain(&mut self, out: &mut Vec<Bytes>) {
        out.extend(self.end.try_iter());
    }
}

fn posts(criterion: &mut Criterion) {
    for size in SIZES {
        let urls: Vec<_> = (0..size).map(name).collect();
        let messages = messages(&urls);
        let (mut listeners, mut peer, mut rival) =
            (Ours::with_listeners(&urls), Ours::with_peer(&urls), Rival::new(&urls));
        check(&mut [&mut listeners, &mut peer, &mut rival], &messages);
        let mut group = criterion.benchmark_group(format!("bus/{size}"));
        group.throughput(Throughput::Elements(ROUND as u64));
        let parties: [(_, &mut dyn Party); 3] = [
            ("ours, to a listener", &mut listeners),
            ("ours, to a live peer", &mut peer),
            ("serde_json + HashMap + channel", &mut rival),
        ];
        for (label, party) in parties {
            let mut rounds = messages.chunks_exact(ROUND).cycle();
            let mut out = Vec::with_capacity(ROUND);
            group.bench_function(label, |bencher| {
                bencher.iter(|| {
                    for bytes in rounds.next().expect("it cycles") {
                        party.post(black_box(bytes.clone()));
                    }
                    party.drain(&mut out);
                    assert_eq!(black_box(&out).len(), ROUND);
                    out.clear();
                });
            });
        }
        group.finish();
    }
}

/// All take the same messages, in order, byte for byte.
fn check(parties: &mut [&mut dyn Party], messages: &[Bytes]) {
    for round in messages.chunks_exact(ROUND) {
        for party in parties.iter_mut() {
            let mut out = Vec::new();
            round.iter().for_each(|bytes| party.post(bytes.clone()));
            party.drain(&mut out);
            assert_eq!(out, round);
        }
    }
}

/// 4,096 messages to listeners all over, every other one to an address below.
fn messages(urls: &[String]) -> Vec<Bytes> {
    let message = |number: usize| {
        let to = &urls[number.wrapping_mul(7_919) % urls.len()];
        let below = if number.is_multiple_of(2) { "" } else { "/changes" };
        let head = format!(
            r#"{{"id":{number},"type":"update","from":"hyperty://a.example.org/5d3c9e60-alice","to":"{to}{below}","body":{{"value":""#
        );
        let tail = r#"","attribute":"text","lastModified":"2026-01-01T00:00:00.000Z"}}"#;
        let text = "x".repeat(MESSAGE_BYTES - head.len() - tail.len());
        Bytes::from(format!("{head}{text}{tail}"))
    };
    (0..4_096).map(message).collect()
}

fn name(number: usize) -> String {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("hyperty://domain-{:04}.example.net/{mixed:016x}-hyperty", mixed % 3_000)
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL of the bench")
}

criterion_group!(benches, posts);
criterion_main!(benches);
