//! P2P connection status: the words, the table of steps, and whose events count.

use serde_json::json;

use crate::harness::{
    BOB, BY_NODE, BY_REQUESTER, HANDLED, LIVE, ME, OURS, TAKEN, UNKNOWN, check, handler, message,
    requester, short, to, trace,
};

/// "Words on the wire: `created`, `in-progress`, `live`, `failed`, `disconnected`; accepted on input also
/// `create`, `connecting` (in-progress), `connected` (live), `deployment-failed` (failed)."
#[test]
fn each_word_and_each_synonym_is_understood() {
    check(
        &[],
        &[
            (requester("create"), TAKEN),
            (to(BOB), BY_NODE),
            (requester("connecting"), TAKEN),
            (to(BOB), BY_NODE),
            (requester("connected"), LIVE),
            (to(BOB), BY_REQUESTER),
            (requester("disconnected"), TAKEN),
            (to(BOB), BY_NODE),
            (requester("in-progress"), TAKEN),
            (requester("deployment-failed"), TAKEN),
            (requester("live"), TAKEN),
            (to(BOB), BY_NODE),
            (requester("created"), TAKEN),
            (requester("failed"), TAKEN),
            (requester("created"), TAKEN),
            (requester("Live"), TAKEN),
            (requester("online"), TAKEN),
            (to(BOB), BY_NODE),
            (requester("live"), LIVE),
            (to(BOB), BY_REQUESTER),
        ],
    );
}

/// "Within a **generation**: created → in-progress → live → disconnected; created → live; created or
/// in-progress → failed. A new generation … starts at created or in-progress from any state …; a Requester's
/// may start at live after disconnected." "In `trace`, where events carry no generation, one ends only at
/// failed or disconnected."
///
/// From each status, each word: the table below says where it leads; `live` is seen by the way that messages
/// take.
#[test]
fn every_step_from_every_status() {
    let words = ["created", "in-progress", "live", "failed", "disconnected"];
    let ways: [(&str, &[&str]); 6] = [
        ("nothing", &[]),
        ("created", &["created"]),
        ("in-progress", &["in-progress"]),
        ("live", &["created", "live"]),
        ("failed", &["created", "failed"]),
        ("disconnected", &["created", "live", "disconnected"]),
    ];
    for (event, role) in [(requester as fn(&str) -> String, "requester"), (handler, "handler")] {
        for (status, way) in ways {
            for word in words {
                let after = step(role, status, word);
                // What else can be told apart: whether `live` is a step from where we are.
                let then = step(role, after, "live");
                let mut lines: Vec<String> = way.iter().map(|word| event(word)).collect();
                lines.extend([event(word), to(BOB), event("live"), to(BOB)]);
                let out = trace(&[], &lines);
                let is_live = |at: usize| short(&out[at]).starts_with("p2p");
                let (first, second) = (lines.len() - 3, lines.len() - 1);
                let case = format!("{role}: {status}, then {word}");
                assert_eq!(is_live(first), after == "live", "{case}");
                assert_eq!(is_live(second), then == "live", "{case}, then live");
            }
        }
    }
}

/// The design's table, without numbers.
fn step<'s>(role: &str, status: &'s str, word: &'s str) -> &'s str {
    match (status, word) {
        ("created", "in-progress" | "live" | "failed")
        | ("in-progress", "live" | "failed")
        | ("live", "disconnected")
        | ("nothing" | "failed" | "disconnected", "created" | "in-progress") => word,
        ("disconnected", "live") if role == "requester" => word,
        _ => status,
    }
}

/// "An event counts only if its `from` is the stub that owns the connection *and* it came from that stub's
/// own sandbox".
#[test]
fn a_forged_event_changes_nothing() {
    let stub = format!("{OURS}/p2prequester/1");
    let event = |from: &str, word: &str| {
        let body = json!({ "value": word, "resource": BOB });
        message("update", from, json!(format!("{stub}/status")), body)
    };
    check(
        &[],
        &[
            (event(ME, "created"), "unreachable ! 404"),
            (requester("created"), TAKEN),
            (event(ME, "live"), TAKEN),
            (event(&format!("{OURS}/p2phandler/1"), "live"), TAKEN),
            (event(&format!("{OURS}/p2prequester/2"), "live"), TAKEN),
            (event(&format!("{stub}/x"), "live"), TAKEN),
            (event(&format!("{BOB}/p2prequester/1"), "live"), TAKEN),
            (event(OURS, "live"), TAKEN),
            (to(BOB), BY_NODE),
            (event(&stub, "live"), LIVE),
            (event(ME, "disconnected"), TAKEN),
            (event(&format!("{OURS}/p2phandler/1"), "disconnected"), TAKEN),
            (to(BOB), BY_REQUESTER),
        ],
    );
}

/// "an older generation, a repeat or a forbidden step changes nothing and is counted."
#[test]
fn a_repeated_or_late_event_changes_nothing() {
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (requester("live"), TAKEN),
            (requester("created"), TAKEN),
            (requester("in-progress"), TAKEN),
            (requester("failed"), TAKEN),
            (to(BOB), BY_REQUESTER),
            (requester("disconnected"), TAKEN),
            (requester("disconnected"), TAKEN),
            (requester("failed"), TAKEN),
            (to(BOB), BY_NODE),
        ],
    );
}

/// An event has to say of whom, in a form that can be read; nothing else counts, and the program goes on.
#[test]
fn an_event_that_makes_no_sense_changes_nothing() {
    let stub = format!("{OURS}/p2prequester/1");
    let with = |body| message("update", &stub, json!(format!("{stub}/status")), body);
    let of_kind = |kind: &str| {
        let body = json!({ "value": "live", "resource": BOB });
        message(kind, &stub, json!(format!("{stub}/status")), body)
    };
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (with(json!({})), TAKEN),
            (with(json!({ "value": "live" })), TAKEN),
            (with(json!({ "value": 7, "resource": BOB })), TAKEN),
            (with(json!({ "value": "live", "resource": "bob" })), TAKEN),
            (with(json!({ "value": "live", "resource": [BOB] })), TAKEN),
            (with(json!({ "value": "live", "resource": OURS })), TAKEN),
            (with(json!({ "value": "live", "resource": format!("{OURS}/x") })), TAKEN),
            (of_kind("execute"), TAKEN),
            (to(BOB), BY_NODE),
            (requester("live"), LIVE),
            (to(BOB), BY_REQUESTER),
        ],
    );
}

/// "the Handler at `<runtime>/p2phandler/1`; stubs under `<runtime>/p2phandler/` and
/// `<runtime>/p2prequester/` exist as soon as they speak".
#[test]
fn a_stub_exists_as_soon_as_it_speaks() {
    let stub = format!("{OURS}/p2prequester/new");
    check(
        &[ME],
        &[
            (to(&format!("{OURS}/p2phandler/1")), "local ~/p2phandler/1"),
            (to(&stub), "unreachable ! 404"),
            (message("update", &stub, json!(ME), json!({})), "local hyperty://example.com/me"),
            (to(&stub), "local ~/p2prequester/new"),
            (to(&format!("{stub}/status")), "local ~/p2prequester/new/status"),
        ],
    );
}

/// "Each sink gets it once, the link it came from never": a stub has nothing of what it sends to itself.
#[test]
fn a_stub_does_not_get_its_own_message_back() {
    let stub = format!("{OURS}/p2phandler/1");
    check(
        &[],
        &[
            (message("update", &stub, json!(stub), json!({})), "unreachable ! 404"),
            (message("update", ME, json!(stub), json!({})), "local ~/p2phandler/1"),
        ],
    );
}

/// "A Handler's entry goes when disconnected": its generation begins anew, at created or in-progress only.
#[test]
fn a_handlers_entry_goes_when_disconnected() {
    let live = "local ~/p2phandler/1/status > subscribe ~/p2phandler/1 \
                > response 200 ~/registry > subscribe hyperty-runtime://b.org/bob/registry";
    check(
        &[],
        &[
            (to("hyperty://b.org/x"), UNKNOWN),
            (handler("created"), HANDLED),
            (handler("connected"), live),
            (handler("disconnected"), HANDLED),
            (handler("live"), HANDLED),
            (to(BOB), BY_NODE),
            (handler("connecting"), HANDLED),
            (handler("live"), live),
            (to(BOB), "p2p ~/p2phandler/1/2"),
        ],
    );
}
