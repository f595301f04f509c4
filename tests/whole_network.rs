//! Goal: a runtime whose network address changes in mid-traffic loses, doubles and reorders
//! nothing, whichever side of the connection it is. Method: two runtimes and a Message Node over
//! real sockets on loopback; the P2P endpoint of each is moved to another port while numbered
//! messages flow. Every wait is on an event under one generous deadline.

#![cfg(all(feature = "runtime", feature = "node", feature = "quic"))]

use std::{future::Future, sync::Arc, time::Duration};

use hyperty_router::{
    address::Url,
    link::{Delivery, Path},
    node::{
        MessageNode, NodeConfig,
        serve::{ServeHandle, serve},
    },
    runtime::{Event, Events, Hyperty, Runtime, RuntimeConfig},
    status::Status,
    transport::websocket::ServerConfig,
};
use tokio::{net::TcpListener, time::timeout};

const ALICE: &str = "hyperty://example.org/alice";
const BOB: &str = "hyperty://example.org/bob";

/// Nothing here takes long; a test that hangs fails instead.
async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

struct Party {
    runtime: Runtime,
    events: Events,
    hyperty: Hyperty,
}

impl Party {
    async fn start(name: &str, node: &ServeHandle) -> Party {
        let url = Url::parse(&format!("hyperty-runtime://example.org/{name}")).unwrap();
        let node = format!("ws://{}/ws", node.local_addr()).parse().unwrap();
        let config = RuntimeConfig::new(url, vec![node]).unwrap();
        let (runtime, mut events) = Runtime::start(config).unwrap();
        let url = Url::parse(&format!("hyperty://example.org/{name}")).unwrap();
        let hyperty = runtime.add_hyperty(url);
        until(&mut events, "ready", |event| matches!(event, Event::Ready)).await;
        Party { runtime, events, hyperty }
    }

    async fn send(&self, from: &str, to: &str, number: u64) {
        let text = format!(
            r#"{{"id":{number},"type":"update","from":"{from}","to":"{to}","body":{{"value":{number}}}}}"#
        );
        let posted = bounded("room", self.runtime.post_when_room(text.into())).await.unwrap();
        assert_eq!(posted.first_error(), None);
    }

    /// The next message; it must be number `number`.
    async fn expect(&self, number: u64) -> Delivery {
        let next = bounded("a message", self.hyperty.next()).await.expect("the runtime lives");
        let value = next.message.body_member(&["value"]).unwrap().to_owned();
        assert_eq!(value, number.to_string(), "each once and in order");
        next
    }
}

async fn until(events: &mut Events, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
    bounded(what, async {
        loop {
            let event = events.next().await.expect("the runtime lives");
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
}

fn is_status(event: &Event, wanted: Status) -> bool {
    matches!(event, Event::Status { value, .. } if *value == wanted)
}

async fn node() -> ServeHandle {
    let random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("random bytes");
    let node = Arc::new(MessageNode::new(NodeConfig::new("example.org"), random).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, node, ServerConfig::default()).unwrap()
}

/// Sends and reads until a message came by `path`; gives back the next number.
async fn flow_until(alice: &Party, bob: &Party, mut number: u64, path: Path) -> u64 {
    loop {
        alice.send(ALICE, BOB, number).await;
        let way = bob.expect(number).await.ingress.path;
        number += 1;
        if way == path {
            return number;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_changes_in_mid_traffic_costs_nothing() {
    let node = node().await;
    let (mut alice, mut bob) =
        (Party::start("alice", &node).await, Party::start("bob", &node).await);
    let mut number = flow_until(&alice, &bob, 1, Path::P2p).await;
    // Alice dialled: her connection moves with her.
    for burst in 0..10 {
        let first = number;
        for _ in 0..500 {
            alice.send(ALICE, BOB, number).await;
            number += 1;
        }
        if burst % 3 == 0 {
            alice.runtime.rebind().await.unwrap();
        }
        for expected in first..number {
            bob.expect(expected).await;
        }
    }
    number = flow_until(&alice, &bob, number, Path::P2p).await;
    while let Some(event) = alice.events.try_next() {
        assert!(!is_status(&event, Status::Disconnected), "{event:?}");
    }
    // Bob accepted: his connection ends, another one is made, and what was under way arrives all
    // the same.
    while bob.events.try_next().is_some() {}
    let first = number;
    for _ in 0..500 {
        alice.send(ALICE, BOB, number).await;
        number += 1;
    }
    bob.runtime.rebind().await.unwrap();
    for _ in 0..500 {
        alice.send(ALICE, BOB, number).await;
        number += 1;
    }
    for expected in first..number {
        bob.expect(expected).await;
    }
    until(&mut alice.events, "it went", |event| is_status(event, Status::Disconnected)).await;
    until(&mut alice.events, "it is back", |event| is_status(event, Status::Live)).await;
    flow_until(&alice, &bob, number, Path::P2p).await;
    alice.runtime.shut_down(Duration::from_secs(1)).await;
    bob.runtime.shut_down(Duration::from_secs(1)).await;
    node.shutdown().await;
}

/// What was taken is acknowledged before the end, though that has time; else its sender would be told that it
/// is in doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_messages_and_shuts_down_leaves_nobody_in_doubt() {
    let node = node().await;
    let (mut alice, bob) = (Party::start("alice", &node).await, Party::start("bob", &node).await);
    let first = flow_until(&alice, &bob, 1, Path::P2p).await;
    for number in first..first + 10 {
        alice.send(ALICE, BOB, number).await;
    }
    for number in first..first + 10 {
        bob.expect(number).await;
    }
    bob.runtime.shut_down(Duration::from_secs(1)).await;
    alice.runtime.shut_down(Duration::from_secs(1)).await;
    while let Some(event) = alice.events.try_next() {
        assert!(!matches!(event, Event::Undelivered { .. }), "{event:?}");
    }
    node.shutdown().await;
}
