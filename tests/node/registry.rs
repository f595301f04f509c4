//! "Domain registry", sentence by sentence.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Net, message};

const REGISTRY: &str = "domain://registry.a.com";
const X: &str = "hyperty://a.com/x";
const USER: &str = "user://a.com/alice";

fn ask(net: &Net, client: &Client, kind: &str, body: Value) -> Value {
    net.ask(client, message(4, kind, &client.url, REGISTRY, body))["body"].clone()
}

fn entry(url: &str) -> Value {
    json!({
        "url": url, "user": USER, "runtime": "hyperty-runtime://a.com/1",
        "p2pHandler": "hyperty-runtime://a.com/1/p2phandler/1",
        "p2pRequester": "hyperty-runtime://a.com/1/p2prequester/1",
        "status": "live", "expires": 100, "dataSchemes": ["comm", "conn"], "resources": ["chat"],
    })
}

fn register(net: &Net, client: &Client, value: Value) {
    assert_eq!(ask(net, client, "create", json!({ "value": value })), json!({ "code": 200 }));
}

/// `create`, and `read` `{"resource":URL}` → `value` with every member that was sent.
#[test]
fn what_is_created_is_read() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    register(&net, &a, entry(X));
    let found = ask(&net, &b, "read", json!({ "resource": X }));
    assert_eq!(found, json!({ "code": 200, "value": entry(X) }));
    assert_eq!(ask(&net, &b, "read", json!({ "resource": "hyperty://a.com/y" }))["code"], 404);
    net.send(&b, message(9, "update", &b.url, X, json!({})));
    assert_eq!(a.take().len(), 1, "it is owned, with a route");
    assert_eq!(net.subscribe(&b, &[X]), 403);
}

/// `read` by user and criteria.
#[test]
fn a_user_and_criteria_are_searched_for() {
    let net = Net::new();
    let a = net.client("1");
    register(&net, &a, entry(X));
    let mut video = entry("hyperty://a.com/v");
    video["resources"] = json!(["chat", "video"]);
    register(&net, &a, video.clone());
    let both = json!({ X: entry(X), "hyperty://a.com/v": video });
    let only_video = json!({ "hyperty://a.com/v": video });
    for (body, expected) in [
        (json!({ "user": USER }), &both),
        (json!({ "resource": USER }), &both),
        (json!({ "user": USER, "dataSchemes": ["comm"], "resources": ["chat"] }), &both),
        (json!({ "user": USER, "criteria": { "resources": ["video", "chat"] } }), &only_video),
    ] {
        let found = ask(&net, &a, "read", body.clone());
        assert_eq!(found, json!({ "code": 200, "value": expected }), "{body}");
    }
    for body in [
        json!({ "user": USER, "resources": ["fax"] }),
        json!({ "user": USER, "dataSchemes": ["comm", "other"] }),
        json!({ "user": "user://a.com/nobody" }),
    ] {
        assert_eq!(ask(&net, &a, "read", body.clone())["code"], 404, "{body}");
    }
}

/// "408 with the entries when only disconnected ones are": by `expires` running out, and
/// keep-alive.
#[test]
fn entries_expire_and_are_kept_alive() {
    let mut net = Net::new();
    let a = net.client("1");
    register(&net, &a, entry(X));
    assert_eq!(net.node.poll_timeout(), Some(net.now + Duration::from_secs(100)));
    net.pass(Duration::from_secs(99));
    assert_eq!(ask(&net, &a, "update", json!({ "resource": X })), json!({ "code": 200 }));
    net.pass(Duration::from_secs(99));
    assert_eq!(ask(&net, &a, "read", json!({ "resource": X }))["code"], 200);
    net.now += Duration::from_secs(1);
    let mut gone = entry(X);
    gone["status"] = json!("disconnected");
    let found = ask(&net, &a, "read", json!({ "resource": X }));
    assert_eq!((&found["code"], &found["value"]), (&json!(408), &gone));
    let found = ask(&net, &a, "read", json!({ "user": USER }));
    assert_eq!((&found["code"], &found["value"]), (&json!(408), &json!({ X: gone })));

    register(&net, &a, entry("hyperty://a.com/y"));
    let found = ask(&net, &a, "read", json!({ "user": USER }));
    assert_eq!(found["value"], json!({ "hyperty://a.com/y": entry("hyperty://a.com/y") }));

    assert_eq!(ask(&net, &a, "update", json!({ "resource": X }))["code"], 200);
    assert_eq!(ask(&net, &a, "read", json!({ "resource": X }))["code"], 200, "alive again");
    net.pass(Duration::from_secs(100));
    net.pass(Duration::from_secs(86_400));
    assert_eq!(ask(&net, &a, "read", json!({ "resource": X }))["code"], 404, "forgotten");
}

/// `update` (status).
#[test]
fn status_is_updated_by_value_or_by_attribute() {
    let net = Net::new();
    let a = net.client("1");
    register(&net, &a, entry(X));
    let body = json!({ "resource": X, "value": { "status": "disconnected" } });
    assert_eq!(ask(&net, &a, "update", body)["code"], 200);
    assert_eq!(ask(&net, &a, "read", json!({ "resource": X }))["code"], 408);
    let body = json!({ "resource": X, "attribute": "status", "value": "live" });
    assert_eq!(ask(&net, &a, "update", body)["code"], 200);
    assert_eq!(ask(&net, &a, "read", json!({ "resource": X }))["value"], entry(X));
    assert_eq!(ask(&net, &a, "update", json!({ "resource": "a://b/c" }))["code"], 404);
}

/// `delete`; what isn't there is 404.
#[test]
fn what_is_deleted_is_gone_and_free() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    register(&net, &a, entry(X));
    assert_eq!(ask(&net, &b, "delete", json!({ "resource": X }))["code"], 403);
    assert_eq!(ask(&net, &a, "delete", json!({ "resource": X })), json!({ "code": 200 }));
    assert_eq!(ask(&net, &a, "delete", json!({ "resource": X }))["code"], 404);
    assert_eq!(ask(&net, &a, "read", json!({ "resource": X }))["code"], 404);
    assert_eq!(net.subscribe(&b, &[X]), 200);
}

/// A session that is freed leaves its entries disconnected and its addresses free; whoever keeps
/// one alive next has it.
#[test]
fn a_freed_session_leaves_disconnected_entries() {
    let mut net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let mut long = entry(X);
    long["expires"] = json!(10_000);
    register(&net, &a, long);
    net.close_socket(&a);
    net.pass(Duration::from_secs(29));
    assert_eq!(ask(&net, &b, "read", json!({ "resource": X }))["code"], 200);
    net.pass(Duration::from_secs(1));
    assert_eq!(ask(&net, &b, "read", json!({ "resource": X }))["code"], 408);
    let again = net.client("1");
    assert_eq!(ask(&net, &again, "update", json!({ "resource": X }))["code"], 200);
    net.send(&b, message(9, "update", &b.url, X, json!({})));
    assert_eq!(again.take().len(), 1);
}

/// Nobody registers, updates or overlays what is another session's.
#[test]
fn what_is_anothers_is_refused() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    register(&net, &a, entry("hyperty://a.com/x/y"));
    net.subscribe(&a, &["hyperty-runtime://a.com/p2phandler/1"]);
    for url in [
        "hyperty://a.com/x/y",
        "hyperty://a.com/x/y/z",
        "hyperty://a.com/x",
        "hyperty-runtime://a.com/p2phandler",
        "domain://msg-node.a.com/sm",
    ] {
        let body = json!({ "value": { "url": url } });
        assert_eq!(ask(&net, &b, "create", body)["code"], 403, "{url}");
    }
    let body = json!({ "resource": "hyperty://a.com/x/y" });
    assert_eq!(ask(&net, &b, "update", body)["code"], 403);
    register(&net, &a, entry("hyperty://a.com/x"));
}

#[test]
fn bad_requests_and_bounds() {
    let net = Net::with(|config| config.limits.registry_entries_per_session_max = 1);
    let a = net.client("1");
    for (kind, body) in [
        ("create", json!({})),
        ("create", json!({ "value": "x" })),
        ("create", json!({ "value": { "user": USER } })),
        ("create", json!({ "value": { "url": "a://b" } })),
        ("create", json!({ "value": { "url": X, "expires": "soon" } })),
        ("create", json!({ "value": { "url": X, "expires": -1 } })),
        ("read", json!({})),
        ("read", json!({ "user": USER, "resources": "chat" })),
        ("update", json!({})),
        ("update", json!({ "resource": X, "attribute": "url", "value": "a://b/c" })),
        ("delete", json!({ "resource": 1 })),
        ("execute", json!({ "resource": X })),
    ] {
        assert_eq!(ask(&net, &a, kind, body.clone())["code"], 400, "{kind} {body}");
    }
    let big = json!({ "value": { "url": X, "filler": "x".repeat(5_000) } });
    assert_eq!(ask(&net, &a, "create", big)["code"], 413);
    register(&net, &a, entry(X));
    register(&net, &a, entry(X));
    let second = json!({ "value": entry("hyperty://a.com/y") });
    assert_eq!(ask(&net, &a, "create", second)["code"], 429);
}
