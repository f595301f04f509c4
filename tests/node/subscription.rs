//! The Subscription Manager on the wire: the pages' messages member by member, and the design's
//! sentences.

use serde_json::{Value, json};

use crate::harness::{Client, Net, message, sm};

const SM: &str = "domain://msg-node.a.com/sm";
const TOPIC: &str = "comm://a.com/1/changes";

fn ask(net: &Net, client: &Client, kind: &str, body: Value) -> u64 {
    net.code(client, sm(5, kind, &client.url, body))
}

fn reaches(net: &Net, from: &Client, to: &str, client: &Client) -> bool {
    net.send(from, message(9, "update", &from.url, to, json!({})));
    let got = client.take();
    assert!(got.len() <= 1);
    got.len() == 1
}

/// "Add P2P Handler path" and "Request to remove P2P Handler Routing Path at P2P Handler Message
/// Node".
///
/// `source` is not below the runtimeURL: it is claimed by naming it. `code` of the page's `"2XX"`
/// is 200.
#[test]
fn add_and_remove_p2p_handler_path() {
    let source = "hyperty-runtime://a.com/p2phandler/7";
    path_is_set_and_removed("ua", "hyperty-runtime://a.com/1/p2phandler/1", source);
}

/// "Set P2P Requester routing path", and its removal.
#[test]
fn set_and_remove_p2p_requester_path() {
    let source = "hyperty-runtime://a.com/p2prequester/7";
    path_is_set_and_removed("registry", "hyperty-runtime://a.com/p2prequester/stub/7", source);
}

fn path_is_set_and_removed(part: &str, stub: &str, source: &str) {
    let net = Net::new();
    let [runtime, other] = ["1", "2"].map(|name| net.client(name));
    let from = format!("{}/{part}", runtime.url);
    let request = json!({
        "id": 1, "type": "subscribe", "from": from, "to": SM,
        "body": { "subscribe": [stub], "source": source },
    });
    let response = |id: u64| json!({ "id": id, "type": "response", "from": SM, "to": from, "body": { "code": 200 } });
    assert_eq!(net.ask(&runtime, request), response(1));
    assert!(reaches(&net, &other, stub, &runtime));
    assert!(reaches(&net, &other, &format!("{stub}/below"), &runtime));
    let from_source = message(9, "execute", source, &runtime.url, json!({}));
    assert_eq!(net.code(&other, from_source.clone()), 403, "the source is claimed");

    let request = json!({
        "id": 2, "type": "unsubscribe", "from": from, "to": SM, "body": { "unsubscribe": [stub] },
    });
    assert_eq!(net.ask(&runtime, request), response(2));
    assert_eq!(net.node.metrics().subscriptions, 0);
    net.send(&other, from_source);
    assert_eq!(runtime.take().len(), 1, "the claim stood as long as the subscription");
}

/// "The list is `body.subscribe` / `body.unsubscribe`; also `body.resources` (array or one string),
/// and `body.resource` with `body.childrenResources` (each child is `<resource>/children/<name>`)."
#[test]
fn each_form_of_the_list() {
    let forms = [
        json!({ "subscribe": ["a://b/c/children/x"], "unsubscribe": ["a://b/c/children/x"] }),
        json!({ "resources": ["a://b/c/children/x"] }),
        json!({ "resources": "a://b/c/children/x" }),
        json!({ "resource": "a://b/c", "childrenResources": ["x"] }),
        json!({ "resource": "a://b/c/", "childrenResources": ["x", "x"], "resources": [] }),
    ];
    for form in forms {
        let net = Net::new();
        let [a, b] = ["1", "2"].map(|name| net.client(name));
        assert_eq!(ask(&net, &a, "subscribe", form.clone()), 200, "{form}");
        assert_eq!(net.node.metrics().subscriptions, 1);
        assert!(reaches(&net, &b, "a://b/c/children/x/1", &a));
        assert!(!reaches(&net, &b, "a://b/c/children/y", &a));
        assert_eq!(ask(&net, &a, "unsubscribe", form), 200);
        assert_eq!(net.node.metrics().subscriptions, 0);
    }
}

/// "Missing or empty list, or a member that is no URL → 400."
#[test]
fn bad_lists() {
    let net = Net::new();
    let a = net.client("1");
    let bodies = [
        json!({}),
        json!({ "subscribe": [] }),
        json!({ "unsubscribe": ["a://b/c"] }),
        json!({ "subscribe": "a://b/c" }),
        json!({ "subscribe": ["a://b/c", 1] }),
        json!({ "subscribe": ["a://b/c", "nothing"] }),
        json!({ "subscribe": ["a://b"] }),
        json!({ "subscribe": ["a://b/c//d"] }),
        json!({ "resources": {} }),
        json!({ "resource": "a://b/c" }),
        json!({ "childrenResources": ["x"] }),
        json!({ "resource": "a://b/c", "childrenResources": [".."] }),
        json!({ "subscribe": ["a://b/c"], "source": 1 }),
        json!({ "subscribe": ["a://b/c"], "source": "me" }),
        json!({ "subscribe": ["a://b/c"], "source": "a://b" }),
    ];
    for body in bodies {
        assert_eq!(ask(&net, &a, "subscribe", body.clone()), 400, "{body}");
    }
    let bare = json!({ "id": 1, "type": "subscribe", "from": a.url, "to": SM });
    assert_eq!(net.code(&a, bare), 400);
    assert_eq!(ask(&net, &a, "read", json!({ "subscribe": ["a://b/c"] })), 400);
    assert_eq!(net.node.metrics().subscriptions, 0);
}

/// "400; not allowed → 403; over a quota → 429, in this order; the whole request takes effect or
/// none of it."
#[test]
fn the_order_of_refusals_and_all_or_nothing() {
    let net = Net::with(|config| config.limits.subscriptions.per_session_max = 2);
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let held = b.url.as_str();
    for (list, code) in [
        (json!([TOPIC, "a://b/1", "a://b/2", held, "no url"]), 400),
        (json!([TOPIC, "a://b/1", "a://b/2", held]), 403),
        (json!([TOPIC, "a://b/1", "a://b/2"]), 429),
    ] {
        assert_eq!(ask(&net, &a, "subscribe", json!({ "subscribe": list })), code);
        assert_eq!(net.node.metrics().subscriptions, 0);
        assert!(!reaches(&net, &b, TOPIC, &a));
        net.send(&b, message(9, "update", "a://b/1", &a.url, json!({})));
        assert_eq!(a.take().len(), 1, "nothing was claimed");
    }
    let two = json!({ "subscribe": [TOPIC, "a://b/1"] });
    assert_eq!(ask(&net, &a, "subscribe", two.clone()), 200);
    assert_eq!(ask(&net, &a, "subscribe", two), 200, "what is there already costs no quota");
    let forged = sm(5, "subscribe", held, json!({ "subscribe": ["a://b/9"] }));
    assert_eq!(net.code(&a, forged), 403, "`from` is another session's");
    let forged = json!({ "subscribe": ["a://b/9"], "source": format!("{held}/ua") });
    assert_eq!(ask(&net, &a, "subscribe", forged), 403, "`source` is another session's");
    assert_eq!(ask(&net, &a, "subscribe", json!({ "subscribe": [SM] })), 403, "the node's own");
}

/// All sessions together are bounded too.
#[test]
fn the_quota_of_the_node() {
    let net = Net::with(|config| config.limits.subscriptions.all_max = 1);
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    assert_eq!(net.subscribe(&a, &[TOPIC]), 200);
    assert_eq!(net.subscribe(&b, &[TOPIC]), 429);
}

/// "Unsubscribing removes every subscription to that URL made through the requesting session,
/// whatever source it had named; what isn't there is 200."
#[test]
fn unsubscribing_does_not_ask_for_the_source() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    for source in ["a://b/s1", "a://b/s2"] {
        let body = json!({ "subscribe": [TOPIC], "source": source });
        assert_eq!(ask(&net, &a, "subscribe", body), 200);
    }
    net.subscribe(&b, &[TOPIC]);
    assert_eq!(net.node.metrics().subscriptions, 3);
    assert!(reaches(&net, &b, TOPIC, &a), "one copy for both");
    assert_eq!(ask(&net, &a, "unsubscribe", json!({ "unsubscribe": [TOPIC, "a://b/c"] })), 200);
    assert_eq!(net.node.metrics().subscriptions, 1, "the other session's stands");
    assert!(!reaches(&net, &b, TOPIC, &a));
    assert_eq!(ask(&net, &a, "unsubscribe", json!({ "unsubscribe": [b.url] })), 200);
}

/// "It claims an unowned address, of any domain, by subscribing to it (topics excepted)", "Topics
/// may have any number of subscribers".
#[test]
fn claims_hold_others_off_and_topics_do_not() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let topics =
        [TOPIC, "comm://a.com/1/children/m", "comm://a.com/1/registration", "comm://z.org/9"];
    assert_eq!(net.subscribe(&a, &topics), 200);
    assert_eq!(net.subscribe(&b, &topics[..3]), 200);
    assert_eq!(net.subscribe(&b, &topics[3..]), 403);
    assert_eq!(net.subscribe(&b, &["comm://z.org/9/below"]), 403);
    assert_eq!(net.subscribe(&b, &["comm://z.org/99"]), 200);
    assert_eq!(net.subscribe(&b, &["comm://z.org/9/changes"]), 200, "a topic of another's object");
    ask(&net, &a, "unsubscribe", json!({ "unsubscribe": ["comm://z.org/9"] }));
    assert_eq!(net.subscribe(&b, &["comm://z.org/9"]), 200);
}

/// "A claim is no route of its own": naming a source brings no messages to it.
#[test]
fn a_claim_is_no_route() {
    let net = Net::new();
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    ask(&net, &a, "subscribe", json!({ "subscribe": [TOPIC], "source": "a://b/source" }));
    assert_eq!(net.code(&b, message(9, "read", &b.url, "a://b/source", json!({}))), 404);
}

/// What a session comes to own is no longer another's by an older claim.
#[test]
fn owning_beats_an_older_claim() {
    let net = Net::new();
    let squatter = net.client("2");
    assert_eq!(net.subscribe(&squatter, &["hyperty-runtime://a.com/1/ua"]), 200);
    let owner = net.client("1");
    net.send(
        &owner,
        message(9, "update", "hyperty-runtime://a.com/1/ua", &squatter.url, json!({})),
    );
    assert_eq!(squatter.take().len(), 1);
    let forged = message(9, "execute", "hyperty-runtime://a.com/1/ua", &owner.url, json!({}));
    assert_eq!(net.code(&squatter, forged), 403);
}

/// "Messages go to the session that owns the subscriber address, else to the requesting one",
/// policy `open`: what others subscribed for a session that ends goes to those who asked.
#[test]
fn under_policy_open_the_owner_of_the_source_gets_the_messages() {
    let net = Net::open_policy();
    let [a, b, c] = ["1", "2", "3"].map(|name| net.client(name));
    let body = json!({ "subscribe": ["hyperty://a.com/x"], "source": format!("{}/ua", b.url) });
    assert_eq!(ask(&net, &a, "subscribe", body), 200);
    assert!(reaches(&net, &c, "hyperty://a.com/x", &b));
    assert_eq!(a.take().len(), 0);

    let again = net.client("2");
    assert!(reaches(&net, &c, "hyperty://a.com/x", &again), "it follows the owner");
    let close = json!({ "id": 1, "type": "close", "from": again.url, "to": "mn:/session" });
    let _ = net.frame(&again, close.to_string());
    assert!(reaches(&net, &c, "hyperty://a.com/x", &a));
    ask(&net, &a, "unsubscribe", json!({ "unsubscribe": ["hyperty://a.com/x"] }));
    assert!(!reaches(&net, &c, "hyperty://a.com/x", &a));
    assert_eq!(net.node.metrics().subscriptions, 0);
}
