//! The page "P2P Msg delivery", step by step.

use hyperty_router::{link::Path, status::Status};
use serde_json::Value;

use crate::{
    page::{A_SECOND, ALICE, BOB, connected, in_order, written},
    world::{World, hyperty},
};

/// "This section describes how P2P Connections are performed as triggered by the registry.resolve procedure."
///
/// ![P2P Connection Setup]
///
/// "Steps 1 - 8. As soon as the P2P Requester is activated, it starts the setup process which will be done
/// through messages sent through "local MN StubURL". The Registry resolve invocation will return Bob's Msg
/// Node Stub URL since the P2P Connection is still not connected (check status=connecting)."
#[test]
fn p2p_connection_setup_steps_1_to_8() {
    let mut world = World::ready(&["alice", "bob"]);
    let bob = hyperty("bob");
    world.post(ALICE, &bob, 1).unwrap();
    world.run_until("it is connecting", |world| world.words(ALICE).ends_with(&["in-progress"]));
    let resolved = world.explain(ALICE, &bob);
    assert_eq!(resolved.decision, "message-node");
    assert_eq!(
        resolved.via.unwrap().as_str(),
        "hyperty-runtime://example.org/alice/protostub/example.org"
    );
    world.post(ALICE, &bob, 2).unwrap();
    world.run_until("both are live", World::all_live);
    // All that was written up to here, the invitation among it, went by the Message Node.
    assert_eq!(world.parties[ALICE].ua.bus().counters().snapshot().p2p, 0);
    let heard: Vec<Path> = world.parties[BOB].heard.lock().iter().map(|(path, _)| *path).collect();
    assert_eq!(heard, [Path::MessageNode, Path::MessageNode]);
    let to_handler = |of: &Value| of["type"] == "create" && of["to"] == HANDLER;
    assert!(world.parties[BOB].from_node.iter().any(to_handler));
}

/// "Steps 9-14: On the remote peer, messages are handled by P2P Handler Sub that was deployed when the
/// Runtime was instantiated. Messages are exchanged among the two Stubs using the Reporter - Observer pattern
/// applied to the Connection data model to establish the WebRTC Data Channel as it is done with the Connector
/// Hyperty. In this case the P2P Requester protostub is the Reporter of the Connection data object while the
/// P2P Handler protostub is the Observer. To be noted that an event with "status=created" is fired by the
/// handler stub as soon as a p2p request is received. This event is received by the runtime registry that
/// will create a new p2pConnection entry to avoid a second p2p connection setup is triggered when signalling
/// messages request sent by the handler are resolved by the registry."
///
/// (The channel is a QUIC connection here; each side reports its own half as a Connection object of its own.)
#[test]
fn p2p_connection_setup_steps_9_to_14() {
    let world = connected();
    let is = |kind: &'static str, from: &'static str, to: &'static str| {
        move |of: &Value| {
            let like = |text: &Value, part: &str| {
                let text = text.as_str().unwrap();
                text == part || (part.starts_with('*') && text.ends_with(&part[1..]))
            };
            of["type"] == kind && like(&of["from"], from) && like(&of["to"], to)
        }
    };
    // The Handler answers, fires its event at once, and observes the Requester's object.
    in_order(
        &written(&world, BOB),
        &[
            ("the answer to the invitation", &is("response", HANDLER, "*/subscription")),
            ("created", &is("create", HANDLER, "*/p2phandler/1/status")),
            ("changes", &is("subscribe", HANDLER, "domain://msg-node.example.org/sm")),
            ("observing", &is("subscribe", HANDLER, "*/subscription")),
            ("its own object's invitation", &is("create", "*/subscription", REQUESTER)),
            ("what it reports", &is("response", "*/subscription", REQUESTER)),
        ],
    );
    // The Requester reports, then observes the Handler's object.
    in_order(
        &written(&world, ALICE),
        &[
            ("the invitation", &is("create", "*/subscription", HANDLER)),
            ("what it reports", &is("response", "*/subscription", HANDLER)),
            ("the answer", &is("response", REQUESTER, "*/subscription")),
            ("changes", &is("subscribe", REQUESTER, "domain://msg-node.example.org/sm")),
            ("observing", &is("subscribe", REQUESTER, "*/subscription")),
        ],
    );
    // No second set-up from the Handler's side.
    let requesters =
        world.parties[BOB].statuses.iter().filter(|of| of.0.as_str().contains("p2prequester"));
    assert_eq!(requesters.count(), 0);
    assert_eq!(world.links.len(), 1);
}

/// ![P2P Connection Registration for Handler]
///
/// "Steps 1 - 7: As soon as the connection is successfuly setup, the Handler Stub fires a new "p2p connection
/// is established" event to the protostub status listener. On receiving this event the runtime registry
/// generates the p2p connection stub URL - the p2p-connectionUrl (step 2) and add required listeners to the
/// MessageBus (step 3) and to the Minibus (steps 4-6). The former listener is added by sending a subscribe
/// request message ent to the P2P Handler itself. Then it updates the P2P Connection status to "connected"."
#[test]
fn p2p_connection_registration_for_handler_steps_1_to_7() {
    let mut world = connected();
    let is_live = |of: &Value| of["body"]["value"] == "live";
    let asks = |of: &Value| of["type"] == "subscribe" && of["to"] == HANDLER;
    let granted =
        |of: &Value| of["type"] == "response" && of["from"] == HANDLER && of["body"]["code"] == 200;
    in_order(&written(&world, BOB), &[("live", &is_live), ("subscribe", &asks), ("200", &granted)]);
    // The MessageBus listener stands on the p2p-connectionUrl, and goes with the connection.
    let path = format!("{HANDLER}/1");
    assert_eq!(
        world.explain(BOB, &path).listeners.iter().map(|url| url.as_str()).collect::<Vec<_>>(),
        [&path]
    );
    assert_eq!(world.explain(BOB, &hyperty("alice")).via.unwrap().as_str(), path);
    world.cut(A_SECOND);
    world.run_until("it notices", |world| world.words(BOB).ends_with(&["disconnected"]));
    assert_eq!(
        world.explain(BOB, &path).listeners.iter().map(|url| url.as_str()).collect::<Vec<_>>(),
        [HANDLER]
    );
    assert_eq!(world.explain(BOB, &hyperty("alice")).decision, "message-node");
    // The next connection has a URL of its own.
    world.run_until("it is back", World::all_live);
    world.run_for(A_SECOND);
    let again = world.explain(BOB, &hyperty("alice")).via.unwrap();
    assert!(again.as_str().starts_with(HANDLER) && again.as_str() != path, "{again}");
}

/// "Steps 8 - 18: Optionaly, each Runtime Registry can request to subscribe the remote runtime registry
/// (<RuntimeRegistryURL>/changes) to be updated about executing hyperty URLs and reporting data objects by
/// sending a subscribe request message. If accepted, the subscribe response would return the URLs of all
/// Hyperties and Data Objects currently executing in the remote runtime. These URLs would be added to the P2P
/// Connection table. Every time a new Hyperty or Data Object is instantiated an Update Message would be
/// published to all subscribers in order to keep the P2P Connection table updated. In this way, the Resolve
/// procedure would always return the best routing path ie through the P2P Connection."
#[test]
fn p2p_connection_registration_for_handler_steps_8_to_18() {
    let mut world = connected();
    for (party, other) in [(ALICE, "bob"), (BOB, "alice")] {
        let registry = format!("hyperty-runtime://example.org/{other}/registry");
        let asked = written(&world, party)
            .iter()
            .filter(|of| of["type"] == "subscribe" && of["to"] == registry)
            .count();
        assert_eq!(asked, 1);
        // Known from the response: Bob never looked Alice's Hyperty up, and reaches it directly.
        assert_eq!(world.explain(party, &hyperty(other)).decision, "p2p");
    }
    assert_eq!(world.written(BOB, "read"), [] as [Value; 0]);
    // Instantiated later, on either side: published, learnt, reached directly.
    for (party, other, url) in
        [(BOB, ALICE, "comm://example.org/bobs"), (ALICE, BOB, "hyperty://example.org/alice/2nd")]
    {
        world.add_hyperty(party, url);
        world.run_for(A_SECOND);
        assert_eq!(world.explain(other, url).decision, "p2p");
        world.post(other, url, 9).unwrap();
        world.run_for(A_SECOND);
        let (path, message) = world.parties[party].heard.lock().last().cloned().unwrap();
        assert_eq!((path, &message["to"]), (Path::P2p, &Value::from(url)));
    }
    assert!(world.parties.iter().all(|party| party.statuses.last().unwrap().1 == Status::Live));
}

const HANDLER: &str = "hyperty-runtime://example.org/bob/p2phandler/1";
const REQUESTER: &str = "hyperty-runtime://example.org/alice/p2prequester/1";
