//! The page "P2P Connection Messages", heading by heading.

use hyperty_router::link::Path;
use serde_json::{Value, json};

use crate::{
    page::{A_SECOND, ALICE, BOB, connected, page, the_one, the_response, written},
    world::{World, hyperty},
};

/// ### P2P Connection Messages
///
/// This doc specifies Messages that are used to manage P2P Connections between different Runtime using P2P
/// Protostubs …
///
/// - `<P2PHandlerStubURL>` is the Runtime URL of the P2P Handler Protostub
///
/// #### Runtime UA Management
///
/// ##### Add P2P Handler path
///
/// Request by P2P Handler Runtime UA to its domain Message Node Subscription Manager to add the path to P2P
/// Handler stub.
///
/// ```text
/// "id" : 1,
/// "type" : "subscribe",
/// "from" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/ua",
/// "to" : "domain://msg-node.<p2p-handler-sp-domain>/sm",
/// "body" : { "subscribe" : ["<P2PHandlerStubURL>"], "source" : "hyperty-runtime://<p2p-handler-sp-domain>/p2phandler/<p2p-handler-instance-identifier>" }
/// ```
///
/// With this message the setup of the routing path is:
///
/// 1- who is subscribing: `body.source` or `from` in case there is no `body.source`
/// 2- what to subscribe: `body.subscribe` ie a list of URLs to be subscribed to
///
/// ###### Response
///
/// 200OK Response Message sent back by Message Node to P2P Handler Stub Runtime User Agent.
///
/// ```text
/// "id" : 1,
/// "type" : "response",
/// "from" : "domain://msg-node.<p2p-handler-sp-domain>/sm",
/// "to" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/ua",
/// "body" : { "code" : "2XX" }
/// ```
#[test]
fn add_p2p_handler_path() {
    let world = World::ready(&["alice", "bob"]);
    let id = the_one(&written(&world, BOB), &page(ADD_HANDLER_PATH, &[]));
    the_response(&world.parties[BOB].from_node, &page(HANDLER_PATH_RESPONSE, &[]), &id);
    // And the path is there: what is sent to the Handler stub reaches it.
    let mut world = world;
    let stub = "hyperty-runtime://example.org/bob/p2phandler/1";
    world.post(ALICE, stub, 1).unwrap();
    world.run_for(A_SECOND);
    let came = world.parties[BOB].from_node.iter().filter(|message| message["to"] == stub).count();
    assert_eq!(came, 1);
}

const ADD_HANDLER_PATH: &str = r#"
    "id" : 1,
    "type" : "subscribe",
    "from" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/ua",
    "to" : "domain://msg-node.<p2p-handler-sp-domain>/sm",
    "body" : { "subscribe" : ["<P2PHandlerStubURL>"], "source" : "hyperty-runtime://<p2p-handler-sp-domain>/p2phandler/<p2p-handler-instance-identifier>" }
"#;
const HANDLER_PATH_RESPONSE: &str = r#"
    "id" : 1,
    "type" : "response",
    "from" : "domain://msg-node.<p2p-handler-sp-domain>/sm",
    "to" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/ua",
    "body" : { "code" : "2XX" }
"#;

/// ##### Request to remove P2P Handler Routing Path at P2P Handler Message Node
///
/// Message sent by P2P Handler Runtime UA to P2P Handler Message Node to request the removal of the P2P
/// Handler Routing Path.
///
/// ```text
/// "id" : 2,
/// "type" : "unsubscribe",
/// "from" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/ua",
/// "to" : "domain://msg-node.<p2p-handler-sp-domain>/sm",
/// "body" : { "unsubscribe" : ["<P2PHandlerStubURL>"] }
/// ```
///
/// ###### Response
///
/// 200OK Response Message sent back by Message Node to Observer Runtime Sync Manager.
///
/// ```text
/// "id" : 2,
/// "type" : "response",
/// "from" : "domain://msg-node.<p2p-handler-sp-domain>/sm",
/// "to" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/ua",
/// "body" : { "code" : "2XX" }
/// ```
#[test]
fn request_to_remove_p2p_handler_routing_path() {
    let mut world = World::ready(&["alice", "bob"]);
    let before = world.node.metrics().subscriptions;
    let now = world.now;
    world.parties[BOB].ua.shut_down(now);
    world.run_for(A_SECOND);
    let request = page(
        r#"
        "id" : 2,
        "type" : "unsubscribe",
        "from" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/ua",
        "to" : "domain://msg-node.<p2p-handler-sp-domain>/sm",
        "body" : { "unsubscribe" : ["<P2PHandlerStubURL>"] }
        "#,
        &[],
    );
    let id = the_one(&written(&world, BOB), &request);
    the_response(&world.parties[BOB].from_node, &page(HANDLER_PATH_RESPONSE, &[]), &id);
    assert_eq!(world.node.metrics().subscriptions, before - 1);
}

/// #### Registration
///
/// ##### Set P2P Requester routing path
///
/// Request by P2P Requester Registry to its domain Message Node Subscription Manager to add the routing path
/// to P2P Requester stub.
///
/// ```text
/// "id" : 1,
/// "type" : "subscribe",
/// "from" : "hyperty-runtime://<p2p-requester-sp-domain>/<p2p-requester-runtime-instance-identifier>/registry",
/// "to" : "domain://msg-node.<p2p-requester-sp-domain>/sm",
/// "body" : { "subscribe" : ["<P2PRequesterStubURL>"], "source" : "hyperty-runtime://<p2p-requester-sp-domain>/p2prequester/<p2p-requester-identifier>" }
/// ```
///
/// With this message the setup of the routing path is:
///
/// 1- who is subscribing: `body.source` or `from` in case there is no `body.source`
/// 2- what to subscribe: `body.subscribe` ie a list of URLs to be subscribed to
///
/// ###### Response
///
/// 200OK Response Message sent back by Message Node to P2P Handler Stub Runtime User Agent.
///
/// ```text
/// "id" : 1,
/// "type" : "response",
/// "from" : "domain://msg-node.<p2p-requester-sp-domain>/sm",
/// "to" : "hyperty-runtime://<p2p-requester-sp-domain>/<p2p-requester-runtime-instance-identifier>/registry",
/// "body" : { "code" : "2XX" }
/// ```
#[test]
fn set_p2p_requester_routing_path() {
    let world = connected();
    let request = page(
        r#"
        "id" : 1,
        "type" : "subscribe",
        "from" : "hyperty-runtime://<p2p-requester-sp-domain>/<p2p-requester-runtime-instance-identifier>/registry",
        "to" : "domain://msg-node.<p2p-requester-sp-domain>/sm",
        "body" : { "subscribe" : ["<P2PRequesterStubURL>"], "source" : "hyperty-runtime://<p2p-requester-sp-domain>/p2prequester/<p2p-requester-identifier>" }
        "#,
        &[],
    );
    let id = the_one(&written(&world, ALICE), &request);
    the_response(&world.parties[ALICE].from_node, &page(REQUESTER_PATH_RESPONSE, &[]), &id);
    // And the path is used: the Handler's invitation came by it.
    let stub = "hyperty-runtime://example.org/alice/p2prequester/1";
    assert!(
        world.parties[ALICE].from_node.iter().any(|of| of["to"] == stub && of["type"] == "create")
    );
}

const REQUESTER_PATH_RESPONSE: &str = r#"
    "id" : 1,
    "type" : "response",
    "from" : "domain://msg-node.<p2p-requester-sp-domain>/sm",
    "to" : "hyperty-runtime://<p2p-requester-sp-domain>/<p2p-requester-runtime-instance-identifier>/registry",
    "body" : { "code" : "2XX" }
"#;

/// ##### Request to remove P2P Handler Routing Path at P2P Handler Message Node
///
/// Message sent by P2P Handler Runtime UA to P2P Handler Message Node to request the removal of the P2P
/// Handler Routing Path. (The page's text; its JSON is of the P2P Requester's path, under "Registration".)
///
/// ```text
/// "id" : 2,
/// "type" : "unsubscribe",
/// "from" : "hyperty-runtime://<p2p-requester-sp-domain>/<p2p-requester-runtime-instance-identifier>/registry",
/// "to" : "domain://msg-node.<p2p-requester-sp-domain>/sm",
/// "body" : { "unsubscribe" : ["<P2PRequesterStubURL>"] }
/// ```
///
/// ###### Response
///
/// 200OK Response Message sent back by Message Node to Observer Runtime Sync Manager.
///
/// ```text
/// "id" : 2,
/// "type" : "response",
/// "from" : "domain://msg-node.<p2p-requester-sp-domain>/sm",
/// "to" : "hyperty-runtime://<p2p-requester-sp-domain>/<p2p-requester-runtime-instance-identifier>/registry",
/// "body" : { "code" : "2XX" }
/// ```
#[test]
fn request_to_remove_p2p_requester_routing_path() {
    let mut world = connected();
    let now = world.now;
    world.parties[ALICE].ua.shut_down(now);
    world.run_for(A_SECOND);
    let request = page(
        r#"
        "id" : 2,
        "type" : "unsubscribe",
        "from" : "hyperty-runtime://<p2p-requester-sp-domain>/<p2p-requester-runtime-instance-identifier>/registry",
        "to" : "domain://msg-node.<p2p-requester-sp-domain>/sm",
        "body" : { "unsubscribe" : ["<P2PRequesterStubURL>"] }
        "#,
        &[],
    );
    let id = the_one(&written(&world, ALICE), &request);
    the_response(&world.parties[ALICE].from_node, &page(REQUESTER_PATH_RESPONSE, &[]), &id);
}

/// ##### Add Handler listener to minibus for new P2P Connection
///
/// Request by P2P Handler Registry to P2P Handler Stub to add its listener to its minibus.
///
/// ```text
/// "id" : 2,
/// "type" : "subscribe",
/// "from" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/registry",
/// "to" : <P2PHandlerStubURL>,
/// "body" : { "subscribe" : ["<p2p-connectionUrl>"], "source" : <P2PHandlerStubURL> }
/// ```
///
/// With this message the P2P Handler Stub invoke `minibus.addListener( <p2p-connectionUrl>,
/// p2pHandlerStub.postmsg() )`
///
/// ###### Response
///
/// 200OK Response Message sent back by P2P Handler Stub to P2P Handler Registry.
///
/// ```text
/// "id" : 2,
/// "type" : "response",
/// "from" : <P2PHandlerStubURL>,
/// "to" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/registry",
/// "body" : { "code" : "2XX" }
/// ```
#[test]
fn add_handler_listener_to_minibus_for_new_p2p_connection() {
    let mut world = connected();
    let request = page(
        r#"
        "id" : 2,
        "type" : "subscribe",
        "from" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/registry",
        "to" : <P2PHandlerStubURL>,
        "body" : { "subscribe" : ["<p2p-connectionUrl>"], "source" : <P2PHandlerStubURL> }
        "#,
        &[],
    );
    let response = page(
        r#"
        "id" : 2,
        "type" : "response",
        "from" : <P2PHandlerStubURL>,
        "to" : "hyperty-runtime://<p2p-handler-sp-domain>/<p2p-handler-runtime-instance-identifier>/registry",
        "body" : { "code" : "2XX" }
        "#,
        &[],
    );
    let written = written(&world, BOB);
    let id = the_one(&written, &request);
    the_response(&written, &response, &id);
    // And the path is that listener: what Bob sends to Alice takes it.
    let path = world.explain(BOB, &hyperty("alice"));
    assert_eq!(path.via.unwrap().as_str(), "hyperty-runtime://example.org/bob/p2phandler/1/1");
    world.post(BOB, &hyperty("alice"), 1).unwrap();
    world.run_for(A_SECOND);
    assert_eq!(world.parties[ALICE].heard.lock()[0].0, Path::P2p);
}

/// ##### New P2P Connection event
///
/// Event to notify the Registry there is a new P2P Connection.
///
/// ```text
/// "id" : 3,
/// "type" : "create",
/// "from" : "<P2PStubURL>",
/// "to" :  "<P2PStubURL>/status",
/// "body" : { "value" : "created", "resource" : <remoteRuntimeURL> }
/// ```
#[test]
fn new_p2p_connection_event() {
    let world = connected();
    for (party, stub, remote) in stubs() {
        let event = page(
            r#"
            "id" : 3,
            "type" : "create",
            "from" : "<P2PStubURL>",
            "to" :  "<P2PStubURL>/status",
            "body" : { "value" : "created", "resource" : <remoteRuntimeURL> }
            "#,
            &[("<P2PStubURL>", stub), ("<remoteRuntimeURL>", remote)],
        );
        the_one(&written(&world, party), &event);
        assert_eq!(world.words(party)[0], "created");
    }
}

/// ##### P2P Connection Update event
///
/// Event to notify the Registry P2P Connection status changed.
///
/// ```text
/// "id" : 3,
/// "type" : "update",
/// "from" : "<P2PStubURL>",
/// "to" :  "<P2PStubURL>/status",
/// "body" : { "value" : "in-progress|live|failed|disconnected", "resource" : <remoteRuntimeURL> }
/// ```
#[test]
fn p2p_connection_update_event() {
    let of = |word: &str, stub: &str, remote: &str| {
        let words = [
            ("in-progress|live|failed|disconnected", word),
            ("<P2PStubURL>", stub),
            ("<remoteRuntimeURL>", remote),
        ];
        let members = r#"
            "id" : 3,
            "type" : "update",
            "from" : "<P2PStubURL>",
            "to" :  "<P2PStubURL>/status",
            "body" : { "value" : "in-progress|live|failed|disconnected", "resource" : <remoteRuntimeURL> }
        "#;
        page(members, &words)
    };
    let mut world = connected();
    for (party, stub, remote) in stubs() {
        for word in ["in-progress", "live"] {
            the_one(&written(&world, party), &of(word, stub, remote));
        }
    }
    world.cut(A_SECOND);
    world.run_until("both notice", |world| {
        (0..2).all(|party| world.words(party).contains(&"disconnected"))
    });
    // Why it ended is ours to add.
    let without_desc = |world: &World, party: usize| -> Vec<Value> {
        let mut all = written(world, party);
        for message in &mut all {
            message["body"].as_object_mut().unwrap().remove("desc");
        }
        all
    };
    for (party, stub, remote) in stubs() {
        the_one(&without_desc(&world, party), &of("disconnected", stub, remote));
    }
    let mut world = World::ready(&["alice", "bob"]);
    world.dials_fail = true;
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("it fails", |world| world.words(ALICE).contains(&"failed"));
    let (party, stub, remote) = stubs()[0];
    the_one(&without_desc(&world, party), &of("failed", stub, remote));
}

/// Whose stub, and for which remote runtime.
fn stubs() -> [(usize, &'static str, &'static str); 2] {
    [
        (
            ALICE,
            "hyperty-runtime://example.org/alice/p2prequester/1",
            "hyperty-runtime://example.org/bob",
        ),
        (
            BOB,
            "hyperty-runtime://example.org/bob/p2phandler/1",
            "hyperty-runtime://example.org/alice",
        ),
    ]
}

/// ##### Subscribe for Registry changes
///
/// Request to receive notifications about changes in a remote Runtime Registry.
///
/// ```text
/// "id" : 3,
/// "type" : "subscribe",
/// "from" : "<SubscriberURL>",
/// "to" :  "hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry",
/// "body" : { "subscribe" : ["hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry/changes"] }
/// ```
///
/// With this message the P2P Requester Registry invokes `msgbus.addListener(
/// "hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry/changes",
/// p2pSubscriberStubSandbox.postmsg() )`
///
/// ###### Response
///
/// 200OK Response Message sent back with all registered Hyperty and Data Objects.
///
/// ```text
/// "id" : 3,
/// "type" : "response",
/// "from" : "hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry",
/// "to" : "<SubscriberURL>",
/// "body" : { "code" : "2XX" , "value" : ["URL1", "URL2", ...]}
/// ```
#[test]
fn subscribe_for_registry_changes() {
    let mut world = World::ready(&["alice", "bob"]);
    world.add_hyperty(BOB, "comm://example.org/bobs");
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", World::all_live);
    world.run_for(A_SECOND);
    for (subscriber, publisher, name, list) in [
        (ALICE, BOB, "bob", r#""comm://example.org/bobs", "hyperty://example.org/bob""#),
        (BOB, ALICE, "alice", r#""hyperty://example.org/alice""#),
    ] {
        let registry = format!("{}/registry", world.parties[subscriber].url);
        let words = [
            ("<SubscriberURL>", registry.as_str()),
            ("<runtime-instance-identifier>", name),
            (r#""URL1", "URL2", ..."#, list),
        ];
        let request = page(
            r#"
            "id" : 3,
            "type" : "subscribe",
            "from" : "<SubscriberURL>",
            "to" :  "hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry",
            "body" : { "subscribe" : ["hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry/changes"] }
            "#,
            &words,
        );
        let response = page(
            r#"
            "id" : 3,
            "type" : "response",
            "from" : "hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry",
            "to" : "<SubscriberURL>",
            "body" : { "code" : "2XX" , "value" : ["URL1", "URL2", ...]}
            "#,
            &words,
        );
        let id = the_one(&written(&world, subscriber), &request);
        the_response(&written(&world, publisher), &response, &id);
    }
    // And the list is used.
    assert_eq!(world.explain(ALICE, "comm://example.org/bobs").decision, "p2p");
}

/// ##### Registry changes update
///
/// Message sent by Runtime Registry to Changes Handler when its registration table changes ie Hyperty
/// instances / Object instances are added or removed.
///
/// ```text
/// "id" : 4,
/// "type" : "update",
/// "from" : "hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry",
/// "to" : "hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry/changes",
/// "body" : { "value" : ["URL1", "URL2", ...] }
/// ```
#[test]
fn registry_changes_update() {
    let mut world = connected();
    let url = "comm://example.org/late";
    let update = |operation: &str| {
        let mut update = page(
            r#"
            "id" : 4,
            "type" : "update",
            "from" : "hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry",
            "to" : "hyperty-runtime://<sp-domain>/<runtime-instance-identifier>/registry/changes",
            "body" : { "value" : ["URL1", "URL2", ...] }
            "#,
            &[
                ("<runtime-instance-identifier>", "bob"),
                (r#""URL1", "URL2", ..."#, &format!("{url:?}")),
            ],
        );
        // Ours says which way it changes the list; without it the list would be replaced.
        update["body"]["operation"] = json!(operation);
        update
    };
    world.add_hyperty(BOB, url);
    world.run_for(A_SECOND);
    the_one(&written(&world, BOB), &update("add"));
    assert_eq!(world.explain(ALICE, url).decision, "p2p");
    let now = world.now;
    world.parties[BOB].ua.remove_resource(&url.parse().unwrap(), now);
    world.run_for(A_SECOND);
    the_one(&written(&world, BOB), &update("remove"));
    assert_eq!(world.explain(ALICE, url).decision, "message-node");
}
