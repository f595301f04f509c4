//! Where a message goes, and what its sender is told when it goes nowhere.

use hyperty_router::node::{DropReason, FrameEnd};
use serde_json::{Value, json};

use crate::harness::{Net, message, sm};

const X: &str = "hyperty://a.com/x";
const TOPIC: &str = "comm://a.com/1/changes";

fn update(from: &str, to: &str) -> Value {
    message(9, "update", from, to, json!({}))
}

fn execute(from: &str, to: &str) -> Value {
    message(9, "execute", from, to, json!({ "method": "m" }))
}

/// "A message goes to every subscription that covers `to`": each session gets it once.
#[test]
fn every_covering_subscription_gets_it_once() {
    let net = Net::new();
    let [a, b, c] = ["1", "2", "3"].map(|name| net.client(name));
    net.subscribe(&a, &[TOPIC, "comm://a.com/1/changes/deep"]);
    net.subscribe(&b, &[TOPIC]);
    net.send(&c, update(&c.url, "comm://a.com/1/changes/deep/er"));
    assert_eq!((a.take().len(), b.take().len(), c.take().len()), (1, 1, 0));
    net.send(&c, update(&c.url, "comm://a.com/1/changesx"));
    assert_eq!((a.take().len(), b.take().len()), (0, 0), "a prefix ends at a segment boundary");
}

/// "… if there is none, to the route with the longest prefix."
#[test]
fn the_longest_route_counts_where_nobody_has_subscribed() {
    let net = Net::new();
    let [a, b, c] = ["1", "1/2", "3"].map(|name| net.client(name));
    net.send(&c, update(&c.url, "hyperty-runtime://a.com/1/2/ua"));
    assert_eq!((a.take().len(), b.take().len()), (0, 1));
    net.send(&c, update(&c.url, "hyperty-runtime://a.com/1/ua"));
    assert_eq!((a.take().len(), b.take().len()), (1, 0));
    net.subscribe(&c, &["hyperty-runtime://a.com/1/registry/changes"]);
    net.send(&b, update(&b.url, "hyperty-runtime://a.com/1/registry/changes"));
    assert_eq!((a.take().len(), c.take().len()), (0, 1));
}

/// "… the link it came from never."
#[test]
fn nothing_goes_back_to_the_session_it_came_from() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    net.subscribe(&a, &[TOPIC]);
    net.subscribe(&b, &[TOPIC]);
    net.send(&a, update(&a.url, TOPIC));
    assert_eq!((a.take().len(), b.take().len()), (0, 1));
    assert_eq!(net.code(&a, execute(&a.url, &a.url)), 404);
}

/// Delivered bytes are the bytes that came, whatever their form.
#[test]
fn bytes_in_are_bytes_out() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let frames = [
        format!(
            r#" {{ "x": [1.0e3], "body":{{"a":"\u00e9"}}, "to":"hyperty-runtime:\/\/a.com/1", "from" : "{}" ,"type":"UPDATE","id":"7"}} "#,
            b.url
        ),
        // "A message with `hop`": bytes unchanged.
        format!(
            r#"{{"hop":["0123456789abcdef0123456789abcdef",7],"id":1,"type":"execute","from":"{}","to":"{}"}}"#,
            b.url, a.url
        ),
    ];
    for frame in frames {
        assert_eq!(net.frame(&b, frame.clone()), FrameEnd::Continue);
        let got = a.take_bytes();
        assert_eq!(got, [frame.as_bytes()]);
    }
}

/// "An array `to` means one copy for each URL, with a string `to`; empty → 400."
#[test]
fn an_array_is_one_copy_for_each() {
    let net = Net::new();
    let [a, b, c] = ["1", "2", "3"].map(|name| net.client(name));
    let many = |to: Value| json!({ "id": 9, "type": "execute", "from": c.url, "to": to, "n": 1 });
    net.send(&c, many(json!([a.url, format!("{}/ua", a.url), b.url])));
    let to: Vec<_> = a.take().iter().map(|m| m["to"].clone()).collect();
    assert_eq!(to, [a.url.clone(), format!("{}/ua", a.url)]);
    let got = b.take();
    assert_eq!(got, [json!({"id": 9, "type": "execute", "from": c.url, "to": b.url, "n": 1})]);

    let reply = net.ask(&c, many(json!([])));
    assert_eq!((&reply["body"]["code"], &reply["to"]), (&json!(400), &json!(c.url)));
    let reply = net.ask(&c, many(json!(["no url", a.url])));
    assert_eq!((&reply["body"]["code"], &reply["from"]), (&json!(400), &json!("no url")));
    assert_eq!(a.take().len(), 1, "the other copies are not held up");
}

/// "A message of type `create`, `read`, `delete`, `subscribe`, `unsubscribe`, `execute` also gets a
/// response 404. Updates and responses never draw an error response … a message with `hop` draws
/// none from a MN."
#[test]
fn only_a_request_without_hop_is_told_that_there_is_nobody() {
    let net = Net::new();
    let a = net.client("1");
    for kind in ["create", "read", "delete", "subscribe", "unsubscribe", "execute", "EXECUTE"] {
        let reply = net.ask(&a, message(9, kind, &a.url, X, json!({})));
        let desc = reply["body"]["desc"].clone();
        assert!(desc.as_str().unwrap().contains(X));
        let expected = json!({
            "id": 9, "type": "response", "from": X, "to": a.url,
            "body": { "code": 404, "desc": desc },
        });
        assert_eq!(reply, expected);
    }
    for kind in ["update", "response", "forward", "open"] {
        net.send(&a, message(9, kind, &a.url, X, json!({ "code": 200 })));
        assert_eq!(a.take().len(), 0, "{kind}");
    }
    let hop = format!(
        r#"{{"hop":["0123456789abcdef0123456789abcdef",7],"id":1,"type":"execute","from":"{}","to":"{X}"}}"#,
        a.url
    );
    assert_eq!(net.frame(&a, hop), FrameEnd::Continue);
    assert_eq!(a.take().len(), 0);
    assert_eq!(net.node.metrics().dropped(DropReason::Unreachable), 12);
}

/// "403 for a `from` … within what another session owns or claims", for a non-request dropped and
/// counted.
#[test]
fn nobody_sends_from_what_another_session_owns_or_claims() {
    let net = Net::new();
    let [a, b, c] = ["1", "2", "3"].map(|name| net.client(name));
    let named = json!({ "subscribe": [TOPIC], "source": "hyperty-runtime://a.com/p2phandler/1" });
    assert_eq!(net.code(&a, sm(2, "subscribe", &a.url, named)), 200);
    net.subscribe(&a, &[X]);
    let held = [
        "hyperty-runtime://a.com/1/ua",
        "hyperty://a.com/x/y",
        "hyperty-runtime://a.com/p2phandler/1",
        "domain://msg-node.a.com/sm",
        "domain://registry.a.com",
    ];
    for from in held {
        let reply = net.ask(&b, execute(from, &c.url));
        assert_eq!(reply["body"]["code"], 403, "{from}");
        assert_eq!((&reply["from"], &reply["to"]), (&json!(c.url), &json!(from)));
        net.send(&b, update(from, &c.url));
    }
    assert_eq!((b.take().len(), c.take().len()), (0, 0));
    assert_eq!(net.node.metrics().dropped(DropReason::Forbidden), 10);
    for from in [&held[..3], &["hyperty://b.com/free"]].concat() {
        net.send(&a, update(from, &c.url));
        assert_eq!(c.take().len(), 1, "{from}");
    }
}

/// "Policy `open`: no 403s."
#[test]
fn under_policy_open_anyone_sends_from_anything() {
    let net = Net::open_policy();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    net.send(&b, update("hyperty-runtime://a.com/1/ua", &a.url));
    assert_eq!(a.take().len(), 1);
}

/// A full queue: counted, and the sender of a request gets 503; nobody else is held up.
#[test]
fn a_full_queue_is_told_and_counted() {
    let net = Net::with(|config| config.limits.queue_items_max = 1);
    let [a, b, c] = ["1", "2", "3"].map(|name| net.client(name));
    for client in [&a, &b] {
        net.subscribe(client, &[TOPIC]);
    }
    net.send(&c, update(&c.url, &a.url));
    let reply = net.ask(&c, execute(&c.url, &a.url));
    assert_eq!((&reply["body"]["code"], &reply["from"]), (&json!(503), &json!(a.url)));
    net.send(&c, update(&c.url, &a.url));
    net.send(&c, execute(&c.url, TOPIC));
    assert_eq!((a.take().len(), b.take().len(), c.take().len()), (1, 1, 0));
    assert_eq!(net.node.metrics().dropped(DropReason::QueueFull), 3);
}

/// Bytes bound a queue too, and the metrics tell how many there are.
#[test]
fn a_queue_is_bounded_in_bytes() {
    let net = Net::with(|config| config.limits.queue_bytes_max = 300);
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let frame = update(&b.url, &a.url).to_string();
    net.send(&b, update(&b.url, &a.url));
    assert_eq!(net.node.metrics().queue_bytes, frame.len());
    let big = message(9, "execute", &b.url, &a.url, json!({ "filler": "x".repeat(300) }));
    assert_eq!(net.code(&b, big), 503);
}

/// A message before `open` is refused with 400, and an update counted.
#[test]
fn nothing_is_routed_without_a_session() {
    let net = Net::new();
    let (a, stranger) = (net.client("1"), net.socket());
    assert_eq!(net.code(&stranger, execute("hyperty://a.com/s", &a.url)), 400);
    net.send(&stranger, update("hyperty://a.com/s", &a.url));
    assert_eq!((a.take().len(), stranger.take().len()), (0, 0));
    assert_eq!(net.node.metrics().dropped(DropReason::NoSession), 2);
}
