//! A runtime whose way out is full: what is posted again when there is room, and what a shut-down tells.
//!
//! Method: a Message Node that nobody runs, so that its stub's queue fills to its bound, and a Hyperty that
//! reads late; no clock is read.

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

/// Goal: a batch larger than the queue that it goes to arrives whole and in order while somebody reads, and
/// what was wrong with single messages is told by their places.
#[tokio::test]
async fn a_batch_waits_for_room_and_keeps_its_order() {
    let runtime = Url::parse("hyperty-runtime://example.org/1").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = format!("ws://{closed}/ws").parse().unwrap();
    let config = RuntimeConfig::new(runtime, vec![node]).unwrap().policy(P2pPolicy::Off);
    let (runtime, _events) = Runtime::start(config).unwrap();
    let near = runtime.add_hyperty(Url::parse(NEAR).unwrap());

    let count = limits::HYPERTY_QUEUE_MESSAGES + 1_000;
    let numbered = |number: usize| {
        let to = if number == 70 { "none" } else { NEAR };
        bytes::Bytes::from(format!(
            r#"{{"id":{number},"type":"update","from":"{FAR}","to":"{to}"}}"#
        ))
    };
    let post = runtime.post_batch_when_room((0..count).map(numbered));
    let read = async {
        let mut got = Vec::new();
        while got.len() < count - 1 {
            near.next_batch(&mut got, 4_096).await;
        }
        got
    };
    let both = async { tokio::join!(post, read) };
    let (posted, got) = timeout(Duration::from_secs(60), both).await.expect("room comes back");
    assert_eq!((posted.len(), posted.local), (count, count - 1));
    assert_eq!(posted.others.len(), 1);
    assert_eq!(posted.first_error().map(|(at, error)| (at, error.code())), Some((70, 400)));
    let ids = got.iter().map(|delivery| delivery.message.id().unwrap().parse::<usize>().unwrap());
    assert!(ids.eq((0..count).filter(|number| *number != 70)));
}
