//! A runtime whose way out is full: what `post_when_room` posts again, and what a shut-down tells.
//!
//! Method: a Message Node that nobody runs, so that its stub's queue fills to its bound; no clock is read.

#![cfg(all(feature = "runtime", feature = "quic"))]

use std::time::Duration;

use hyperty_router::{
    address::Url,
    bus::P2pPolicy,
    limits,
    runtime::{Event, Runtime, RuntimeConfig},
};
use tokio::time::timeout;

const FAR: &str = "hyperty://example.org/far";
const NEAR: &str = "hyperty://example.org/near";

fn message(to: &str) -> bytes::Bytes {
    format!(r#"{{"id":1,"type":"update","from":"{NEAR}","to":{to}}}"#).into()
}

/// Goal: of an array whose one target is full the other gets one copy, however often the full one is tried;
/// and every message that never left is told when the runtime ends.
#[tokio::test]
async fn a_full_target_doubles_no_other_and_nothing_ends_unsaid() {
    let runtime = Url::parse("hyperty-runtime://example.org/1").unwrap();
    // A port where nobody listens: it is closed before it is used.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = format!("ws://{closed}/ws").parse().unwrap();
    let config = RuntimeConfig::new(runtime, vec![node]).unwrap().policy(P2pPolicy::Off);
    let (runtime, mut events) = Runtime::start(config).unwrap();
    let near = runtime.add_hyperty(Url::parse(NEAR).unwrap());

    let mut taken = 0;
    while runtime.post(message(&format!("\"{FAR}\""))).unwrap().first_error().is_none() {
        taken += 1;
    }
    assert_eq!(taken, limits::STUB_QUEUE_MESSAGES);
    let both = message(&format!("[\"{FAR}\",\"{NEAR}\"]"));
    let tried = timeout(limits::PROGRESS_POLL * 10, runtime.post_when_room(both)).await;
    assert!(tried.is_err(), "there is no room");
    let mut got = Vec::new();
    near.next_batch(&mut got, 16).await;
    assert_eq!(got.len(), 1);

    runtime.shut_down(Duration::from_millis(40)).await;
    let mut told = 0;
    while let Some(event) = events.try_next() {
        told += usize::from(matches!(event, Event::Undelivered { code: 503, .. }));
    }
    assert_eq!(told, taken);
}
