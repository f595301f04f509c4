//! "Address allocation", sentence by sentence.

use serde_json::{Value, json};

use crate::harness::{Client, Net, is_uuid, message};

const ALLOCATION: &str = "domain://msg-node.a.com/address-allocation";

fn ask(net: &Net, client: &Client, kind: &str, body: Value) -> Value {
    net.ask(client, message(4, kind, &client.url, ALLOCATION, body))
}

fn allocate(net: &Net, client: &Client, number: u64, key: Option<&str>) -> Vec<String> {
    let mut body = json!({ "scheme": "hyperty", "value": { "number": number } });
    if let Some(key) = key {
        body["value"]["allocationKey"] = json!(key);
    }
    let reply = ask(net, client, "create", body);
    let allocated = reply["body"]["value"]["allocated"].as_array().unwrap().clone();
    let expected = json!({
        "id": 4, "type": "response", "from": ALLOCATION, "to": client.url,
        "body": { "code": 200, "value": { "allocated": allocated } },
    });
    assert_eq!(reply, expected);
    allocated.iter().map(|url| url.as_str().unwrap().to_owned()).collect()
}

/// `create` answers with `["<scheme>://<domain>/<uuid>",…]`, all different; they are owned and have
/// a route.
#[test]
fn what_is_allocated_is_owned_and_routed() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let mut urls = allocate(&net, &a, 3, None);
    for url in &urls {
        assert!(is_uuid(url.strip_prefix("hyperty://a.com/").unwrap()));
        net.send(&b, message(9, "update", &b.url, url, json!({})));
        assert_eq!(a.take().len(), 1);
        assert_eq!(net.subscribe(&b, &[url]), 403);
    }
    urls.dedup();
    assert_eq!(urls.len(), 3);
}

/// `delete` by `{"resource":key}` (string or array) or `{"childrenResources":[…]}` (flat or nested
/// once) → 200.
#[test]
fn each_form_of_delete_frees() {
    type Form = fn(&[String]) -> Value;
    let forms: [Form; 6] = [
        |_| json!({ "resource": "k" }),
        |_| json!({ "resource": ["k", "other"] }),
        |urls| json!({ "resource": urls }),
        |urls| json!({ "childrenResources": urls }),
        |urls| json!({ "childrenResources": [urls] }),
        |urls| json!({ "childrenResources": [[urls[0]], [urls[1]]] }),
    ];
    for form in forms {
        let net = Net::new();
        let [a, b] = ["1", "2"].map(|name| net.client(name));
        let urls = allocate(&net, &a, 2, Some("k"));
        let reply = ask(&net, &a, "delete", form(&urls));
        assert_eq!(reply["body"], json!({ "code": 200 }));
        for url in urls {
            assert_eq!(net.code(&b, message(9, "read", &b.url, &url, json!({}))), 404);
            assert_eq!(net.subscribe(&b, &[&url]), 200);
        }
    }
}

/// "Deleting another's allocationKey answers 200 and frees nothing while its owner lives."
#[test]
fn deleting_anothers_key_frees_nothing() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let urls = allocate(&net, &a, 1, Some("k"));
    for body in [json!({ "resource": "k" }), json!({ "childrenResources": urls })] {
        assert_eq!(ask(&net, &b, "delete", body)["body"]["code"], 200);
        net.send(&b, message(9, "update", &b.url, &urls[0], json!({})));
        assert_eq!(a.take().len(), 1);
    }
    let close = json!({ "id": 1, "type": "close", "from": a.url, "to": "mn:/session" });
    let _ = net.frame(&a, close.to_string());
    assert_eq!(net.subscribe(&b, &[&urls[0]]), 200, "freed with the session");
}

/// De-allocating what is also registered ends the registration.
#[test]
fn de_allocation_ends_the_registration() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let url = allocate(&net, &a, 1, Some("k")).remove(0);
    let registry = "domain://registry.a.com";
    let create = message(5, "create", &a.url, registry, json!({ "value": { "url": url } }));
    assert_eq!(net.code(&a, create), 200);
    ask(&net, &a, "delete", json!({ "resource": "k" }));
    let read = message(5, "read", &b.url, registry, json!({ "resource": url }));
    assert_eq!(net.code(&b, read), 404);
    assert_eq!(net.subscribe(&b, &[&url]), 200);
}

#[test]
fn refusals_in_order() {
    let net = Net::with(|config| {
        config.limits.allocations_per_request_max = 3;
        config.limits.allocations_per_session_max = 4;
    });
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let bodies = [
        json!({}),
        json!({ "scheme": "hyperty" }),
        json!({ "scheme": "", "value": { "number": 1 } }),
        json!({ "scheme": "a/b", "value": { "number": 1 } }),
        json!({ "scheme": "hyperty", "value": { "number": 0 } }),
        json!({ "scheme": "hyperty", "value": { "number": -1 } }),
        json!({ "scheme": "hyperty", "value": { "number": "1" } }),
        json!({ "scheme": "hyperty", "value": { "number": 1, "allocationKey": 7 } }),
    ];
    for body in bodies {
        assert_eq!(ask(&net, &a, "create", body.clone())["body"]["code"], 400, "{body}");
    }
    for body in [json!({}), json!({ "resource": 1 }), json!({ "childrenResources": [[["x"]]] })] {
        assert_eq!(ask(&net, &a, "delete", body.clone())["body"]["code"], 400, "{body}");
    }
    let wanted = |number: u64| json!({ "scheme": "hyperty", "value": { "number": number } });
    let forged = message(4, "create", &b.url, ALLOCATION, wanted(9));
    assert_eq!(net.code(&a, forged), 403);
    assert_eq!(ask(&net, &a, "create", wanted(4))["body"]["code"], 429);
    assert_eq!(ask(&net, &a, "create", wanted(u64::MAX))["body"]["code"], 429);
    allocate(&net, &a, 3, None);
    assert_eq!(ask(&net, &a, "create", wanted(2))["body"]["code"], 429);
    allocate(&net, &a, 1, None);
    assert_eq!(ask(&net, &a, "read", json!({}))["body"]["code"], 400);
}
