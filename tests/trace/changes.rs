//! Registry changes: which addresses are known to live in a remote runtime.

use serde_json::json;

use crate::harness::{
    BOB, BY_NODE, BY_REQUESTER, CAROL, LEARNT, LIVE, ME, OURS, TAKEN, UNKNOWN, changes, check,
    message, requester, status, to, trace,
};

const X: &str = "hyperty://b.org/x";
const Y: &str = "hyperty://b.org/y";
const Z: &str = "comm://b.org/z";

/// "An update without `body.operation` replaces the list, with `"add"` or `"remove"` changes it."
#[test]
fn addresses_are_replaced_added_and_removed() {
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (changes(None, &[X, Y]), LEARNT),
            (to(X), BY_REQUESTER),
            (to(Y), BY_REQUESTER),
            (changes(None, &[Y, Z]), LEARNT),
            (to(X), UNKNOWN),
            (to(Y), BY_REQUESTER),
            (to(Z), BY_REQUESTER),
            (changes(Some("add"), &[X]), LEARNT),
            (to(X), BY_REQUESTER),
            (to(Y), BY_REQUESTER),
            (changes(Some("remove"), &[Y]), LEARNT),
            (to(X), BY_REQUESTER),
            (to(Y), UNKNOWN),
            (changes(Some("increment"), &[Y]), LEARNT),
            (to(Y), BY_NODE),
            (changes(None, &[]), LEARNT),
            (to(X), BY_NODE),
        ],
    );
}

/// "disconnect retires them: they no longer count for step 3, and the publisher's listener goes". A
/// connection that comes back knows them only when they are learnt again.
#[test]
fn a_disconnect_retires_what_was_learnt() {
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (changes(None, &[X]), LEARNT),
            (to(X), BY_REQUESTER),
            (requester("disconnected"), TAKEN),
            (to(X), BY_NODE),
            // The listener has gone: this is now a message to a remote runtime.
            (changes(None, &[X]), BY_NODE),
            (requester("live"), LIVE),
            (to(X), BY_NODE),
            (to(BOB), BY_REQUESTER),
            (changes(None, &[X]), LEARNT),
            (to(X), BY_REQUESTER),
        ],
    );
}

/// "an update counts if it is from `<remote>/registry` and the subscription was accepted."
#[test]
fn others_cannot_say_what_lives_there() {
    let topic = json!(format!("{BOB}/registry/changes"));
    let body = json!({ "value": [X] });
    let by = |from: &str, kind: &str| message(kind, from, topic.clone(), body.clone());
    check(
        &[],
        &[
            (by(&format!("{BOB}/registry"), "update"), UNKNOWN),
            (requester("created"), TAKEN),
            (by(&format!("{BOB}/registry"), "update"), BY_NODE),
            (requester("live"), LIVE),
            (by(&format!("{CAROL}/registry"), "update"), LEARNT),
            (by(BOB, "update"), LEARNT),
            (by(&format!("{BOB}/registry/x"), "update"), LEARNT),
            (to(X), UNKNOWN),
            (by(&format!("{BOB}/registry"), "update"), LEARNT),
            (to(X), BY_REQUESTER),
        ],
    );
}

/// An update whose `value` is no list, or whose `operation` is no word, says nothing: what was learnt stays.
#[test]
fn an_update_that_makes_no_sense_changes_nothing() {
    let from = format!("{BOB}/registry");
    let odd = |body| message("update", &from, json!(format!("{BOB}/registry/changes")), body);
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (changes(None, &[X]), LEARNT),
            (odd(json!({ "value": Y })), LEARNT),
            (odd(json!({ "value": {} })), LEARNT),
            (odd(json!({ "value": null })), LEARNT),
            (odd(json!({ "value": [Y], "operation": null })), LEARNT),
            (odd(json!({ "value": [Y], "operation": 5 })), LEARNT),
            (odd(json!({})), LEARNT),
            (to(X), BY_REQUESTER),
            (to(Y), UNKNOWN),
        ],
    );
}

/// What one runtime says does not take the addresses of another, nor ours.
#[test]
fn a_remote_registry_cannot_take_what_is_not_its_own() {
    let mine = "hyperty://example.com/mine";
    let carol = |word| status("p2prequester/2", word, CAROL);
    let live = "local ~/p2prequester/2/status > subscribe hyperty-runtime://c.net/carol/registry";
    check(
        &[mine],
        &[
            (carol("created"), "local ~/p2prequester/2/status"),
            (carol("live"), live),
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (changes(None, &[mine, OURS, &format!("{OURS}/registry"), CAROL, X]), LEARNT),
            (to(mine), "local hyperty://example.com/mine"),
            (to(&format!("{OURS}/registry")), "local ~/registry"),
            (to(&format!("{CAROL}/x")), "p2p ~/p2prequester/2"),
            (to(X), BY_REQUESTER),
        ],
    );
}

/// "The response carries every Hyperty and data object": those that live here, and none of the runtime's own
/// parts.
#[test]
fn our_own_registry_answers_with_what_lives_here() {
    let (from, ours) = (format!("{BOB}/registry"), format!("{OURS}/registry"));
    let subscribe =
        |topic: &str| message("subscribe", &from, json!(ours), json!({ "subscribe": [topic] }));
    let lines = [
        subscribe(&format!("{ours}/changes")),
        subscribe(&format!("{ours}/other")),
        message("read", ME, json!(ours), json!({})),
    ];
    let part = format!("{OURS}/part");
    let arguments = ["--listen", ME, "--listen", Z, "--listen", &part];
    let out = trace(&arguments, &lines);
    assert_eq!(
        out[0]["emitted"],
        json!([{
        "id": 1, "type": "response", "from": ours, "to": from,
        "body": { "code": 200, "value": [Z, ME] } }])
    );
    assert_eq!(out[1]["emitted"][0]["body"]["code"], 400);
    assert_eq!(out[2]["emitted"][0]["body"]["code"], 400);
}

/// A runtime's URL may stand below another's: a subscription is the nearest one's, in every run.
#[test]
fn of_two_runtimes_the_nearest_is_meant() {
    let (inner, ours) = (format!("{BOB}/inner"), format!("{OURS}/registry"));
    let body = json!({ "subscribe": [format!("{ours}/changes")] });
    let subscribe = message("subscribe", &format!("{inner}/registry"), json!(ours), body);
    let topic = format!("{ours}/changes");
    for _ in 0..8 {
        check(
            &[],
            &[
                (requester("created"), TAKEN),
                (requester("live"), LIVE),
                (status("p2prequester/2", "created", &inner), "local ~/p2prequester/2/status"),
                (
                    subscribe.clone(),
                    "local ~/registry > response 200 hyperty-runtime://b.org/bob/inner/registry",
                ),
                // The end of Bob's connection is not the end of it.
                (requester("disconnected"), TAKEN),
                (to(&topic), "local ~/registry/changes"),
            ],
        );
    }
}
