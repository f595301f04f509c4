//! The steps of `resolve`.

use serde_json::json;

use crate::harness::{
    BOB, BY_NODE, BY_REQUESTER, CAROL, HANDLED, LEARNT, LIVE, ME, OURS, TAKEN, UNKNOWN, changes,
    check, handler, message, requester, to,
};

/// Step 1: "local subscriptions and listeners → deliver locally, unless step 3 has a longer prefix".
#[test]
fn a_longer_remote_prefix_beats_a_local_listener() {
    check(
        &["comm://example.com/room"],
        &[
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (changes(None, &["comm://example.com/room/bobs", "comm://example.com"]), LEARNT),
            (to("comm://example.com/room"), "local comm://example.com/room"),
            (to("comm://example.com/room/mine"), "local comm://example.com/room"),
            (to("comm://example.com/room/bobs"), BY_REQUESTER),
            (to("comm://example.com/room/bobs/1"), BY_REQUESTER),
        ],
    );
}

/// Step 2: "backend addresses (scheme `domain`, `domain-*`, `global`) … → the MN stub of its domain, never
/// P2P". "The domain of an address is its authority with one leading `msg-node.` or `registry.` taken off;
/// `global://` is our own."
#[test]
fn the_backend_is_reached_by_its_message_node() {
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (
                changes(None, &["domain://b.org/x", "domain-idp://b.org/y", "global://b.org/z"]),
                LEARNT,
            ),
            (to("domain://b.org/x"), BY_NODE),
            (to("domain://msg-node.b.org/sm"), BY_NODE),
            (to("domain://registry.b.org"), BY_NODE),
            (to("domain://registry.msg-node.b.org/x"), "message-node ~/protostub/msg-node.b.org"),
            (to("domain-idp://b.org/y"), BY_NODE),
            (to("global://b.org/z"), "message-node ~/protostub/example.com"),
            (to("domains://b.org/y"), UNKNOWN),
        ],
    );
}

/// Step 2: "Connection objects (scheme `connection`)".
#[test]
fn connection_objects_go_by_message_node() {
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (changes(None, &["connection://b.org/1"]), LEARNT),
            (to("connection://b.org/1"), BY_NODE),
            (to("connection://b.org/1/subscription"), BY_NODE),
            (to("connection://b.org/1/changes"), BY_NODE),
        ],
    );
}

/// Step 2: "any address with a segment `p2phandler` or `p2prequester` that is not ours → the MN stub of its
/// domain, never P2P: signalling must not depend on the connection it sets up".
#[test]
fn signalling_never_takes_the_connection_it_sets_up() {
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (to(&format!("{BOB}/p2phandler/1")), BY_NODE),
            (to(&format!("{BOB}/p2prequester/1/path")), BY_NODE),
            (to(&format!("{BOB}/p2phandlers/1")), BY_REQUESTER),
            (to(&format!("{OURS}/p2phandler/1")), "local ~/p2phandler/1"),
        ],
    );
}

/// Step 2: "topics of a data object that is not ours (they have other subscribers than its owner)".
#[test]
fn topics_of_a_foreign_data_object_go_by_message_node() {
    check(
        &["comm://example.com/ours"],
        &[
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (changes(None, &["comm://b.org/x", "hyperty://b.org/x"]), LEARNT),
            (to("comm://b.org/x"), BY_REQUESTER),
            (to("comm://b.org/x/subscription"), BY_REQUESTER),
            (to("comm://b.org/x/changes"), BY_NODE),
            (to("comm://b.org/x/registration"), BY_NODE),
            (to("comm://b.org/x/children/message/1"), BY_NODE),
            (to("hyperty://b.org/x/changes"), BY_REQUESTER),
            (to("comm://example.com/ours/changes"), "local comm://example.com/ours"),
        ],
    );
}

/// Step 3: "the longest prefix that stands for a remote runtime, or for a Hyperty or data object known to
/// live there, whose connection is **live** → P2P." The remote runtime's own URL needs no list.
#[test]
fn a_remote_runtime_and_what_lives_there_are_reached_directly_while_live() {
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (to(&format!("{BOB}/sm")), BY_NODE),
            (requester("live"), LIVE),
            (to(BOB), BY_REQUESTER),
            (to(&format!("{BOB}/sm")), BY_REQUESTER),
            (to(&format!("{BOB}by/sm")), UNKNOWN),
            (to(CAROL), "message-node ~/protostub/c.net > read domain://registry.c.net"),
            (changes(None, &["hyperty://c.net/at-bobs"]), LEARNT),
            (to("hyperty://c.net/at-bobs/x"), BY_REQUESTER),
        ],
    );
}

/// Step 3: "What is returned is the p2p-connectionUrl for a connection of our Handler, the stub's URL for a
/// Requester". "the p2p-connectionUrl `<P2PHandlerStubURL>/<connection id>`".
#[test]
fn a_handlers_connection_is_taken_by_its_connection_url() {
    let live = |id| {
        format!(
            "local ~/p2phandler/1/status > subscribe ~/p2phandler/1 \
             > response 200 ~/registry > subscribe hyperty-runtime://{id}/registry"
        )
    };
    let carol = |word| crate::harness::status("p2phandler/1", word, CAROL);
    check(
        &[],
        &[
            (handler("created"), HANDLED),
            (carol("created"), HANDLED),
            (carol("live"), &live("c.net/carol")),
            (handler("in-progress"), HANDLED),
            (handler("live"), &live("b.org/bob")),
            (to(CAROL), "p2p ~/p2phandler/1/1"),
            (to(BOB), "p2p ~/p2phandler/1/2"),
            (handler("disconnected"), HANDLED),
            (to(BOB), BY_NODE),
            (to(CAROL), "p2p ~/p2phandler/1/1"),
            (handler("created"), HANDLED),
            (handler("live"), &live("b.org/bob")),
            (to(BOB), "p2p ~/p2phandler/1/3"),
        ],
    );
}

/// Step 4: "the same but not live → the MN stub of the domain of `to`" – of `to`, not of the runtime.
#[test]
fn a_known_address_without_connection_goes_by_the_node_of_its_own_domain() {
    check(
        &[],
        &[
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (changes(None, &["hyperty://c.net/at-bobs"]), LEARNT),
            (requester("disconnected"), TAKEN),
            (to("hyperty://c.net/at-bobs"), "message-node ~/protostub/c.net"),
            (to(BOB), BY_NODE),
        ],
    );
}

/// Step 5: "unknown, and P2P is wanted … → by the MN stub at once; behind it the entry is looked up … a
/// `read` to `domain://registry.<domain>`, once for all who wait".
#[test]
fn an_unknown_address_is_looked_up_once() {
    let found = json!({ "code": 200, "value": {
        "url": "hyperty://b.org/x", "runtime": BOB, "p2pHandler": format!("{BOB}/p2phandler/1") }});
    let registry = format!("{OURS}/registry");
    check(
        &[],
        &[
            (to("hyperty://b.org/x"), UNKNOWN),
            (to("hyperty://b.org/x"), BY_NODE),
            (to("hyperty://b.org/y"), UNKNOWN),
            // "if the remote runtime can do P2P, … one is set up": the Requester's path comes first.
            (
                message("response", "domain://registry.b.org", json!(registry), found),
                "local ~/registry > subscribe domain://msg-node.example.com/sm",
            ),
            (to("hyperty://b.org/x"), BY_NODE),
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (to("hyperty://b.org/x"), BY_REQUESTER),
            (to("hyperty://b.org/y"), BY_NODE),
        ],
    );
}

/// Step 5: "(hints `body.p2pHandler`/`body.p2pRequester`, else a `read` …)" and "the address is associated
/// with the existing connection to it, or one is set up".
#[test]
fn a_hint_spares_the_look_up() {
    let hinted = |to: &str, member: &str, stub: &str| {
        message("update", ME, json!(to), json!({ member: format!("{BOB}/{stub}") }))
    };
    check(
        &[],
        &[
            (
                hinted("hyperty://b.org/x", "p2pHandler", "p2phandler/1"),
                "message-node ~/protostub/b.org > subscribe domain://msg-node.example.com/sm",
            ),
            (requester("created"), TAKEN),
            (requester("live"), LIVE),
            (to("hyperty://b.org/x"), BY_REQUESTER),
            (hinted("hyperty://b.org/y", "p2pHandler", "p2phandler/1"), BY_NODE),
            (to("hyperty://b.org/y"), BY_REQUESTER),
            (hinted("hyperty://b.org/z", "p2pRequester", "p2prequester/9"), BY_NODE),
            (to("hyperty://b.org/z"), BY_REQUESTER),
        ],
    );
}

/// "On `created` from the Handler: an entry at once, so that no second set-up starts from this side."
#[test]
fn no_second_set_up_beside_the_handlers() {
    let hint = json!({ "p2pHandler": format!("{BOB}/p2phandler/1") });
    let hinted = |to: &str| message("update", ME, json!(to), hint.clone());
    check(
        &[],
        &[
            (handler("created"), HANDLED),
            (hinted("hyperty://b.org/x"), BY_NODE),
            (handler("failed"), HANDLED),
            (
                hinted("hyperty://b.org/y"),
                "message-node ~/protostub/b.org > subscribe domain://msg-node.example.com/sm",
            ),
        ],
    );
}

/// Step 6: "our own runtime's prefix without a listener … → unreachable: told to the caller …; a message of
/// type `create`, `read`, `delete`, `subscribe`, `unsubscribe`, `execute` also gets a response 404. Updates
/// and responses never draw an error response."
#[test]
fn our_own_runtime_without_a_listener_is_unreachable() {
    let nobody = format!("{OURS}/nobody");
    let of = |kind: &str| message(kind, ME, json!(nobody), json!({}));
    let answered = "unreachable ! 404 > response 404 hyperty://example.com/me";
    check(
        &[ME],
        &[
            (of("create"), answered),
            (of("read"), answered),
            (of("delete"), answered),
            (of("subscribe"), answered),
            (of("unsubscribe"), answered),
            (of("execute"), answered),
            (of("EXECUTE"), answered),
            (of("update"), "unreachable ! 404"),
            (of("response"), "unreachable ! 404"),
            (of("something-else"), "unreachable ! 404"),
        ],
    );
}
