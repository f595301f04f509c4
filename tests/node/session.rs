//! "Message Node over WebSocket", sentence by sentence.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyperty_router::{
    link::Drained,
    node::{DropReason, FrameEnd},
};
use serde_json::json;

use crate::harness::{Net, bytes, is_uuid, message, session, sm};

const RUNTIME: &str = "hyperty-runtime://a.com/alice";

/// `{"id":1,"type":"response","from":"mn:/session","to":"<runtimeURL>","body":{"code":200,"runtimeToken":"<uuid>"}}`
#[test]
fn open_is_answered_member_by_member() {
    let net = Net::new();
    let reply = net.ask(&net.socket(), session(1, "open", RUNTIME));
    let token = reply["body"]["runtimeToken"].clone();
    assert!(is_uuid(token.as_str().unwrap()));
    let expected = json!({
        "id": 1, "type": "response", "from": "mn:/session", "to": RUNTIME,
        "body": { "code": 200, "runtimeToken": token },
    });
    assert_eq!(reply, expected);
}

/// "The client compares `id` and `code` strictly": the id is echoed as the token it came as.
#[test]
fn the_id_is_echoed_as_it_came() {
    for id in ["1", "\"1\"", "1.50", "\"\\u0061\""] {
        let net = Net::new();
        let client = net.socket();
        let text = format!(r#"{{"id":{id},"type":"open","from":"{RUNTIME}","to":"mn:/session"}}"#);
        assert_eq!(net.frame(&client, text), FrameEnd::Continue);
        let reply = String::from_utf8(client.take_bytes()[0].to_vec()).unwrap();
        assert!(reply.contains(&format!(r#""id":{id},"#)), "{reply}");
        assert!(reply.contains(r#""code":200,"#), "{reply}");
    }
}

/// "`re-open` … -> code 200, subscriptions kept."
#[test]
fn re_open_keeps_the_subscriptions_and_what_was_queued() {
    let mut net = Net::new();
    let (alice, bob) = (net.client("alice"), net.client("bob"));
    net.subscribe(&alice, &["comm://a.com/1/changes"]);
    net.close_socket(&alice);
    let update = |n: u64| message(n, "update", &bob.url, "comm://a.com/1/changes", json!({}));
    net.send(&bob, update(5));
    net.pass(Duration::from_secs(29));

    let again = net.socket();
    let reply = net.ask_first(&again, session(9, "re-open", &format!("{RUNTIME}/{}", alice.token)));
    assert_eq!(reply["id"], 9);
    assert_eq!(reply["from"], "mn:/session");
    assert_eq!(reply["body"], json!({ "code": 200 }));
    net.send(&bob, update(6));
    let ids: Vec<_> = again.take().iter().map(|m| m["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [5, 6]);
    net.pass(Duration::from_secs(60));
    net.send(&bob, update(7));
    assert_eq!(again.take().len(), 1, "a session on a socket does not end");
}

/// "`close` -> no reply; the server closes", "`close` frees at once".
#[test]
fn close_has_no_reply_and_frees_at_once() {
    let net = Net::new();
    let (alice, bob) = (net.client("alice"), net.client("bob"));
    net.subscribe(&alice, &["hyperty://a.com/x"]);
    let close = session(3, "close", &format!("{RUNTIME}/{}", alice.token));
    assert_eq!(net.frame(&alice, close.to_string()), FrameEnd::CloseSocket);
    assert_eq!(alice.take(), Vec::<serde_json::Value>::new());
    let metrics = net.node.metrics();
    assert_eq!((metrics.sessions, metrics.subscriptions), (1, 0));
    let request = message(4, "read", &bob.url, "hyperty://a.com/x", json!({}));
    assert_eq!(net.code(&bob, request), 404);
    assert_eq!(net.subscribe(&bob, &["hyperty://a.com/x"]), 200, "the claim is gone");
    assert_eq!(net.frame(&alice, "{}"), FrameEnd::CloseSocket);
}

/// A `close` that names neither the session's token nor, from its own socket, its runtimeURL frees
/// nothing.
#[test]
fn close_with_a_wrong_token_frees_nothing() {
    let net = Net::new();
    let (alice, mallory) = (net.client("alice"), net.client("mallory"));
    for from in [format!("{RUNTIME}/01234567-89ab-4def-8bcd-0123456789ab"), RUNTIME.to_owned()] {
        let close = session(3, "close", &from).to_string();
        assert_eq!(net.frame(&mallory, close), FrameEnd::CloseSocket);
        assert_eq!(net.node.metrics().sessions, 2);
    }
    assert!(mallory.socket.is_ended(), "the server closes, whatever the close named");
    assert!(!alice.socket.is_ended());
    let close = session(3, "close", RUNTIME).to_string();
    assert_eq!(net.frame(&alice, close), FrameEnd::CloseSocket);
    assert_eq!(net.node.metrics().sessions, 1);
}

/// "One party's subscription never takes another's messages away": what was subscribed before the runtime
/// opened ends, but topics stay.
#[test]
fn a_runtime_gets_its_messages_whoever_subscribed_to_them_before_it_opened() {
    let net = Net::new();
    let mallory = net.client("mallory");
    let (within, topic) = (format!("{RUNTIME}/ua"), format!("{RUNTIME}/registry/changes"));
    assert_eq!(net.subscribe(&mallory, &[RUNTIME, &within, &topic]), 200);
    let alice = net.client("alice");
    net.send(&mallory, message(2, "update", &mallory.url, &within, json!({})));
    assert_eq!(alice.take().len(), 1);
    net.send(&alice, message(3, "update", RUNTIME, &topic, json!({})));
    assert_eq!(mallory.take().len(), 1, "topics have any number of subscribers");
    assert_eq!(net.node.metrics().subscriptions, 1);
}

/// "The last segment is a token if and only if it is UUID-shaped."
#[test]
fn a_last_segment_that_is_not_uuid_shaped_belongs_to_the_runtime_url() {
    let net = Net::new();
    let client = net.socket();
    let reply = net.ask(&client, session(1, "re-open", &format!("{RUNTIME}/undefined")));
    assert_eq!(reply["body"]["code"], 200);
    assert!(is_uuid(reply["body"]["runtimeToken"].as_str().unwrap()));
    let bob = net.client("bob");
    let to = format!("{RUNTIME}/undefined/ua");
    net.send(&bob, message(2, "update", &bob.url, &to, json!({})));
    assert_eq!(client.take().len(), 1);
    net.send(&bob, message(2, "update", &bob.url, &format!("{RUNTIME}/ua"), json!({})));
    assert_eq!(client.take().len(), 0);
}

/// "A re-open with an unknown or no token opens a new session for `<runtimeURL>` (200 with a
/// `runtimeToken`)."
#[test]
fn re_open_with_an_unknown_or_no_token_opens_a_new_session() {
    for tail in ["/01234567-89ab-4def-8bcd-0123456789ab", ""] {
        let net = Net::new();
        let client = net.socket();
        let reply = net.ask(&client, session(1, "re-open", &format!("{RUNTIME}{tail}")));
        assert_eq!(reply["body"]["code"], 200);
        assert!(is_uuid(reply["body"]["runtimeToken"].as_str().unwrap()));
        let bob = net.client("bob");
        net.send(&bob, message(2, "update", &bob.url, &format!("{RUNTIME}/ua"), json!({})));
        assert_eq!(client.take().len(), 1, "it has the route of {RUNTIME}");
    }
}

/// A token is good for its own runtimeURL only.
#[test]
fn a_token_of_another_runtime_url_is_unknown() {
    let net = Net::new();
    let (alice, bob) = (net.client("alice"), net.socket());
    let from = format!("hyperty-runtime://a.com/bob/{}", alice.token);
    let reply = net.ask(&bob, session(1, "re-open", &from));
    assert!(is_uuid(reply["body"]["runtimeToken"].as_str().unwrap()));
    assert!(!alice.socket.is_ended());
    assert_eq!(net.node.metrics().sessions, 2);
}

/// "Re-open takes over from a socket still open": what is queued goes to the new one, the old one
/// ends, and its late end touches nothing.
#[test]
fn re_open_takes_over_from_a_socket_still_open() {
    let mut net = Net::new();
    let (alice, bob) = (net.client("alice"), net.client("bob"));
    net.send(&bob, message(5, "update", &bob.url, &format!("{RUNTIME}/ua"), json!({})));
    let again = net.socket();
    let reply = net.ask_first(&again, session(9, "re-open", &format!("{RUNTIME}/{}", alice.token)));
    assert_eq!(reply["body"]["code"], 200);
    let mut frames = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(alice.socket.poll_drain(&mut context, &mut frames, 9), Poll::Ready(Drained::End));
    assert!(frames.is_empty());
    assert_eq!(again.take().len(), 1);
    assert_eq!(net.frame(&alice, "{}"), FrameEnd::CloseSocket);

    net.close_socket(&alice);
    net.pass(Duration::from_secs(60));
    net.send(&bob, message(6, "update", &bob.url, &format!("{RUNTIME}/ua"), json!({})));
    assert_eq!(again.take().len(), 1);
}

/// The waker of the old socket's writer is woken at the take-over, and the new one's by the next
/// message.
#[test]
fn writers_are_woken_at_a_take_over() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let net = Net::new();
    let (alice, bob, again) = (net.client("alice"), net.client("bob"), net.socket());
    let [old, new] = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
    let (old_waker, new_waker) = (Waker::from(old.clone()), Waker::from(new.clone()));
    let mut frames = Vec::new();
    let mut poll = |client: &crate::harness::Client, waker: &Waker| {
        client.socket.poll_drain(&mut Context::from_waker(waker), &mut frames, 9)
    };
    assert_eq!(poll(&alice, &old_waker), Poll::Pending);
    assert_eq!(poll(&again, &new_waker), Poll::Pending);
    net.send(&again, session(9, "re-open", &format!("{RUNTIME}/{}", alice.token)));
    assert!(old.0.load(Ordering::Relaxed) > 0);
    assert!(new.0.swap(0, Ordering::Relaxed) > 0);
    assert_eq!(poll(&alice, &old_waker), Poll::Ready(Drained::End));
    assert_eq!(poll(&again, &new_waker), Poll::Ready(Drained::Items(1)));
    assert_eq!(poll(&again, &new_waker), Poll::Pending);
    net.send(&bob, message(5, "update", &bob.url, &format!("{RUNTIME}/ua"), json!({})));
    assert_eq!(new.0.load(Ordering::Relaxed), 1);
}

/// "`open` for a runtimeURL that has a session ends the older session's subscriptions, claims and
/// queue".
#[test]
fn open_ends_the_older_session() {
    let mut net = Net::new();
    let (old, bob) = (net.client("alice"), net.client("bob"));
    net.subscribe(&old, &["hyperty://a.com/x"]);
    net.send(&bob, message(5, "update", &bob.url, "hyperty://a.com/x", json!({})));
    let new = net.client("alice");
    assert_ne!(old.token, new.token);
    assert!(old.socket.is_ended());
    assert_eq!(new.take().len(), 0, "the queue has ended");
    let metrics = net.node.metrics();
    assert_eq!((metrics.sessions, metrics.subscriptions), (2, 0));
    assert_eq!(metrics.dropped(DropReason::SessionEnded), 1);
    assert_eq!(net.subscribe(&bob, &["hyperty://a.com/x"]), 200, "the claim has ended");

    // "The late end of the old socket touches nothing of it."
    net.close_socket(&old);
    net.pass(Duration::from_secs(60));
    net.send(&bob, message(6, "update", &bob.url, &format!("{RUNTIME}/ua"), json!({})));
    assert_eq!(new.take().len(), 1);

    // The old token is worth nothing any more.
    let mallory = net.socket();
    let reply = net.ask(&mallory, session(7, "re-open", &format!("{RUNTIME}/{}", old.token)));
    assert!(is_uuid(reply["body"]["runtimeToken"].as_str().unwrap()));
}

/// "… and its allocations and registrations pass to the new one."
#[test]
fn open_passes_allocations_and_registrations_on() {
    let net = Net::new();
    let (old, bob) = (net.client("alice"), net.client("bob"));
    let allocation = "domain://msg-node.a.com/address-allocation";
    let create = json!({ "scheme": "hyperty", "value": { "number": 1, "allocationKey": "k" } });
    let reply = net.ask(&old, message(2, "create", &old.url, allocation, create));
    let address = reply["body"]["value"]["allocated"][0].as_str().unwrap().to_owned();
    let entry = json!({ "value": { "url": "comm://a.com/1", "user": "user://a.com/alice" } });
    let create = message(3, "create", &old.url, "domain://registry.a.com", entry);
    assert_eq!(net.code(&old, create), 200);

    let new = net.client("alice");
    for to in [address.as_str(), "comm://a.com/1"] {
        net.send(&bob, message(4, "update", &bob.url, to, json!({})));
        assert_eq!(new.take().len(), 1, "{to}");
        assert_eq!(net.subscribe(&bob, &[to]), 403);
    }
    let delete = message(5, "delete", &new.url, allocation, json!({ "resource": "k" }));
    assert_eq!(net.code(&new, delete), 200);
    assert_eq!(net.subscribe(&bob, &[&address]), 200, "the key has passed too");
}

/// `open` twice on one socket: it goes on with the new session.
#[test]
fn open_again_on_the_same_socket_goes_on() {
    let net = Net::new();
    let (alice, bob) = (net.client("alice"), net.client("bob"));
    let reply = net.ask(&alice, session(2, "open", RUNTIME));
    assert_ne!(reply["body"]["runtimeToken"], alice.token.as_str());
    net.send(&bob, message(6, "update", &bob.url, RUNTIME, json!({})));
    assert_eq!(alice.take().len(), 1);
    let again = session(
        3,
        "re-open",
        &format!("{RUNTIME}/{}", reply["body"]["runtimeToken"].as_str().unwrap()),
    );
    assert_eq!(net.ask(&alice, again)["body"], json!({ "code": 200 }));
    assert_eq!(net.node.metrics().sessions, 2);
}

/// "A dropped socket keeps its subscriptions 30 s, messages queueing within the session's limits."
#[test]
fn a_dropped_socket_keeps_its_session_for_thirty_seconds() {
    let mut net = Net::with(|config| config.limits.queue_items_max = 2);
    let (alice, bob) = (net.client("alice"), net.client("bob"));
    net.subscribe(&alice, &["hyperty://a.com/x"]);
    net.close_socket(&alice);
    assert_eq!(net.node.poll_timeout(), Some(net.now + Duration::from_secs(30)));
    let request = |n: u64| message(n, "execute", &bob.url, "hyperty://a.com/x", json!({}));
    net.send(&bob, request(5));
    net.send(&bob, request(6));
    assert_eq!(net.node.metrics().queue_items, 2);
    assert_eq!(net.code(&bob, request(7)), 503);
    assert_eq!(net.subscribe(&bob, &["hyperty://a.com/x"]), 403, "the claim stands");
    net.pass(Duration::from_millis(29_999));
    assert_eq!(net.node.metrics().sessions, 2);
    net.pass(Duration::from_millis(1));
    assert_eq!(net.node.metrics().sessions, 1);
    assert_eq!(net.node.metrics().dropped(DropReason::SessionEnded), 2);
    assert_eq!(net.code(&bob, request(8)), 404);
    assert_eq!(net.subscribe(&bob, &["hyperty://a.com/x"]), 200);
    assert_eq!(net.node.poll_timeout(), None);
}

/// What a writer had taken out and could not write is first on the next socket.
#[test]
fn what_a_writer_gives_back_comes_first_on_the_next_socket() {
    let net = Net::new();
    let (alice, bob) = (net.client("alice"), net.client("bob"));
    for id in 1..=4 {
        net.send(&bob, message(id, "update", &bob.url, RUNTIME, json!({})));
    }
    let mut taken = alice.take_outgoing(3);
    let written = bytes(taken.remove(0));
    assert!(written.starts_with(b"{") && taken.len() == 2);
    assert_eq!(alice.socket.give_back(taken.clone()), 2);
    net.close_socket(&alice);
    assert_eq!(alice.socket.give_back(taken), 0, "too late: the session is no longer there");
    let again = net.socket();
    net.ask_first(&again, session(9, "re-open", &format!("{RUNTIME}/{}", alice.token)));
    let ids: Vec<_> = again.take().iter().map(|m| m["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [2, 3, 4]);
}

/// "Frames are handled in order; data may follow `open` before its reply."
#[test]
fn data_may_follow_open_before_its_reply() {
    let net = Net::new();
    let (alice, bob) = (net.socket(), net.client("bob"));
    net.send(&alice, session(1, "open", RUNTIME));
    net.send(&alice, sm(2, "subscribe", RUNTIME, json!({ "subscribe": ["hyperty://a.com/x"] })));
    net.send(&alice, message(3, "update", RUNTIME, &bob.url, json!({})));
    net.send(&bob, message(4, "update", &bob.url, "hyperty://a.com/x", json!({})));
    let ids: Vec<_> = alice.take().iter().map(|m| m["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 4]);
    assert_eq!(bob.take()[0]["id"], 3);
}

/// "Anyone may open any runtimeURL" but the node's own addresses and what is none; the quota is a
/// 429.
#[test]
fn what_cannot_be_opened() {
    let net = Net::with(|config| config.limits.sessions_max = 1);
    let client = net.socket();
    for from in
        ["domain://msg-node.a.com/sm", "runtime://a.com", "alice", "domain://registry.a.com/x"]
    {
        assert_eq!(net.code(&client, session(1, "open", from)), 400, "{from}");
    }
    assert_eq!(net.code(&client, session(1, "execute", RUNTIME)), 400);
    assert_eq!(net.code(&client, session(1, "open", RUNTIME)), 200);
    assert_eq!(net.code(&net.socket(), session(1, "open", RUNTIME)), 200, "it takes over");
    assert_eq!(net.code(&net.socket(), session(1, "open", "runtime://a.com/bob")), 429);
}

/// Sockets are bounded, and their places come back.
#[test]
fn sockets_are_bounded() {
    let net = Net::with(|config| config.limits.sockets_max = 1);
    let client = net.client("alice");
    assert_eq!(net.node.open_socket().unwrap_err().sockets_max, 1);
    net.close_socket(&client);
    net.close_socket(&client);
    assert_eq!(net.node.metrics().sockets, 0);
    net.client("alice");
    assert!(net.node.open_socket().is_err());
}
