//! Goal: whatever comes in the signalling of a P2P connection, the set-up alone fails, with the
//! reason in the status event's `desc`; traffic stays on the Message Node, and nothing else is
//! touched. And what is forged touches nothing at all. Method: whole runtimes on a virtual clock
//! (see [`world`]); a table of wrong members, each put into one message of an otherwise right
//! set-up; forgeries posted by a third runtime.

#[path = "support/world.rs"]
mod world;

use std::{cell::Cell, rc::Rc, time::Duration};

use hyperty_router::{
    bus::Drop,
    limits,
    link::{Ingress, Outgoing, Path},
};
use serde_json::{Value, json};
use world::{LINK_LATENCY, NODE_LATENCY, World, hyperty};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const MALLORY: usize = 2;
const SECOND: Duration = Duration::from_secs(1);

/// Which message of a set-up from Alice to Bob a wrong member is put into.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    /// Alice's invitation.
    Invitation,
    /// Bob's 200 to it.
    Agreement,
    /// What Alice's Connection object holds.
    Offer,
    /// Bob's invitation.
    Mirror,
    /// What Bob's Connection object holds.
    Answer,
}

impl Of {
    fn is(self, message: &Value) -> bool {
        let text = |member: &str| message[member].as_str().unwrap_or_default();
        let (kind, from, to) = (text("type"), text("from"), text("to"));
        let reports = from.ends_with("/subscription");
        match self {
            Of::Invitation => kind == "create" && reports && to.contains("/p2phandler/"),
            Of::Mirror => kind == "create" && reports && to.contains("/p2prequester/"),
            Of::Agreement => {
                kind == "response" && from.contains("/p2phandler/") && to.ends_with("/subscription")
            }
            Of::Offer => kind == "response" && reports && to.contains("/p2phandler/"),
            Of::Answer => kind == "response" && reports && to.contains("/p2prequester/"),
        }
    }

    /// Whose status event tells the reason.
    fn told_by(self) -> usize {
        match self {
            Of::Invitation | Of::Agreement | Of::Answer => ALICE,
            Of::Offer | Of::Mirror => BOB,
        }
    }
}

/// The pointer's member, what is there instead (`Null`: nothing), and words of the reason.
type Wrong = (&'static str, Value, &'static str);

fn wrong_invitations() -> Vec<Wrong> {
    let url = "hyperty://example.org/x";
    vec![
        ("/body/value", Value::Null, "`value` is missing"),
        ("/body/value/url", Value::Null, "`url` is missing"),
        ("/body/value/url", json!(7), "`url` is not a string"),
        ("/body/value/url", json!("connection:/x"), "`url` is not a URL address"),
        ("/body/value/url", json!("connection://example.org/other"), "`from` is not"),
        ("/body/value/runtime", Value::Null, "`runtime` is missing"),
        ("/body/value/runtime", json!("alice"), "`runtime` is not a URL address"),
        ("/body/value/runtime", json!(url), "`reporter` is not a stub of `value.runtime`"),
        ("/body/value/reporter", Value::Null, "`reporter` is missing"),
        ("/body/value/reporter", json!(url), "`reporter` is not"),
        ("/body/value/reporter", json!({}), "`reporter` is not a string"),
        ("/body/value/token", json!("no hexadecimal"), "`token` is not"),
        ("/body/value/token", json!(1), "`token` is not"),
        ("/body/value/transports", json!("quic"), "`transports` is not an array"),
        ("/body/value/transports", json!(vec!["quic"; 10_000]), "`transports` has 10000 entries"),
    ]
}

fn wrong_descriptions() -> Vec<Wrong> {
    let candidate = |text: &str| json!([{ "type": "candidate", "candidate": text }]);
    let many =
        json!(vec![json!({ "type": "candidate", "candidate": "udp 10.0.0.1 9 host" }); 10_000]);
    let description = "/body/value/data/connectionDescription";
    vec![
        ("/body/value", Value::Null, "`value.data` is missing"),
        ("/body/value/data", json!("nothing"), "`connectionDescription` is missing"),
        (description, Value::Null, "`connectionDescription` is missing"),
        (description, json!([1, 2]), "`type` is missing"),
        ("/body/value/data/connectionDescription/type", json!("bid"), "`type` is not"),
        ("/body/value/data/connectionDescription/transport", json!("tcp"), "`transport` is not"),
        ("/body/value/data/connectionDescription/alpn", json!("h3"), "`alpn` is not"),
        (
            "/body/value/data/connectionDescription/fingerprint",
            json!("sha-256 AB:CD"),
            "`fingerprint` is not",
        ),
        (
            "/body/value/data/connectionDescription/fingerprint",
            Value::Null,
            "`fingerprint` is missing",
        ),
        ("/body/value/data/iceCandidates", json!({}), "`iceCandidates` is not an array"),
        ("/body/value/data/iceCandidates", many, "`iceCandidates` has 10000 entries"),
        ("/body/value/data/iceCandidates", candidate("udp 10.0.0.1 0 host"), "`candidate` is not"),
        ("/body/value/data/iceCandidates", json!(["udp"]), "`type` is missing"),
    ]
}

/// Each member of each message wrong in turn: that set-up fails for that reason, traffic stays
/// where it was, and the next set-up succeeds.
#[test]
fn each_wrong_member_fails_its_set_up_and_nothing_else() {
    let mut cases: Vec<(Of, Wrong)> = Vec::new();
    cases.extend(wrong_invitations().into_iter().map(|wrong| (Of::Invitation, wrong)));
    let unknown = json!(["carrier-pigeon"]);
    let none_in_common = ("/body/value/transports", unknown, "no transport in common");
    cases.push((Of::Invitation, none_in_common));
    cases.push((Of::Agreement, ("/body/value/token", json!([]), "`token` is not")));
    cases.extend(wrong_descriptions().into_iter().map(|wrong| (Of::Offer, wrong)));
    cases.extend(wrong_invitations().into_iter().map(|wrong| (Of::Mirror, wrong)));
    let another = json!("00000000000000000000000000000001");
    cases.push((Of::Mirror, ("/body/value/token", another, "`token` is not that of the answer")));
    cases.extend(wrong_descriptions().into_iter().map(|wrong| (Of::Answer, wrong)));
    for (of, wrong) in cases {
        judge(of, &wrong);
    }
}

fn judge(of: Of, (pointer, value, words): &Wrong) {
    let case = format!("{of:?} {pointer} {words}");
    let mut world = World::ready(&["alice", "bob"]);
    let done = Rc::new(Cell::new(false));
    let meddled = done.clone();
    let (pointer, value) = (*pointer, value.clone());
    world.meddle = Some(Box::new(move |message| {
        let is_it = !meddled.get() && of.is(message);
        is_it.then(|| {
            meddled.set(true);
            with(message, pointer, &value)
        })
    }));
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until(&case, |world| {
        world.parties[of.told_by()].reasons.iter().any(|reason| reason.contains(words))
    });
    assert!(done.get(), "{case}: nothing was made wrong");
    assert_eq!(world.expected_keys.len(), usize::from(of == Of::Answer), "{case}");
    assert_eq!(world.links.len(), 0, "{case}");
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    world.run_until(&case, |world| heard(world, BOB).len() == 2);
    assert_eq!(heard(&world, BOB), [(Path::MessageNode, 1), (Path::MessageNode, 2)], "{case}");
    world.run_until(&case, World::all_live);
    world.run_for(SECOND);
    world.post(ALICE, &hyperty("bob"), 3).unwrap();
    world.run_for(SECOND);
    assert_eq!(heard(&world, BOB).last(), Some(&(Path::P2p, 3)), "{case}");
}

/// `message` with `value` at `pointer`; with nothing there if that is `Null`.
fn with(message: &Value, pointer: &str, value: &Value) -> Value {
    let mut other = message.clone();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = other.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.remove(member)),
        value => drop(parent.insert(member.to_owned(), value.clone())),
    }
    other
}

/// From the message that asks for it to `live`, a set-up takes five round trips between the runtimes by
/// Message Node. In ways between a runtime and the Message Node, four of which are a round trip: 2 for the
/// look-up, 2 for the Requester's path, 2 for its object, 4 until that is observed, 4 until the Handler's object
/// is, 4 to read it, and 2 for the Handler's object, which is allocated once the offer has been read. Then the probe.
#[test]
fn a_set_up_takes_five_round_trips() {
    let mut world = World::ready(&["alice", "bob"]);
    let begin = world.now;
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("Alice is live", |world| world.words(ALICE).ends_with(&["live"]));
    assert_eq!(world.now - begin, 5 * (4 * NODE_LATENCY) + 2 * LINK_LATENCY);
}

/// A description with a well-formed fingerprint that is nobody's: nobody is reached, and traffic
/// stays.
#[test]
fn a_fingerprint_that_is_nobodys_fails_in_time() {
    let mut world = World::ready(&["alice", "bob"]);
    let key = format!("sha-256 {}", vec!["66"; 32].join(":"));
    let pointer = "/body/value/data/connectionDescription/fingerprint";
    world.meddle = Some(Box::new(move |message| {
        Of::Answer.is(message).then(|| with(message, pointer, &json!(key.as_str())))
    }));
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("it fails", |world| world.words(ALICE).ends_with(&["failed"]));
    assert_eq!(world.parties[ALICE].reasons, ["the connection was not up in time"]);
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    world.run_for(SECOND);
    assert_eq!(heard(&world, BOB), [(Path::MessageNode, 1), (Path::MessageNode, 2)]);
}

/// An invitation in the name of a runtime that is connected, or about to be: the connection stays
/// and carries, the set-up goes on, and no status is told. Each round of it leaves nothing behind.
#[test]
fn a_forged_invitation_touches_nothing_that_stands() {
    for before in [Duration::from_millis(30), Duration::from_millis(70), 2 * SECOND] {
        let mut world = World::ready(&["alice", "bob", "mallory"]);
        claim_object(&mut world, "evil");
        world.post(ALICE, &hyperty("bob"), 1).unwrap();
        world.run_for(before);
        let handler = format!("{}/p2phandler/1", url(&world, BOB));
        for id in 0..20 {
            let body = invitation(&world, ALICE, "p2prequester/1", "evil");
            invite(&mut world, 100 + id, "evil", &handler, body);
            world.run_for(Duration::from_millis(100));
            report(&mut world, "evil", &handler, "offer");
            world.run_for(Duration::from_millis(100));
        }
        world.run_for(20 * SECOND);
        assert_eq!(world.words(ALICE), ["created", "in-progress", "live"], "{before:?}");
        assert_eq!(world.words(BOB), ["created", "in-progress", "live"], "{before:?}");
        assert_eq!((world.links.len(), world.expected_keys.len()), (1, 1), "{before:?}");
        world.post(ALICE, &hyperty("bob"), 2).unwrap();
        world.run_for(SECOND);
        assert_eq!(heard(&world, BOB).last(), Some(&(Path::P2p, 2)));
        assert!(world.parties[BOB].log.iter().any(|line| line.contains("in the name of")));
    }
}

/// A forger that comes first cannot keep a runtime from its own set-up: what is not proven ends
/// soon, and what was wanted meanwhile is begun then.
#[test]
fn a_forgery_that_comes_first_gives_way() {
    let mut world = World::ready(&["alice", "bob", "mallory"]);
    claim_object(&mut world, "evil");
    let handler = format!("{}/p2phandler/1", url(&world, BOB));
    let body = invitation(&world, ALICE, "p2prequester/1", "evil");
    invite(&mut world, 100, "evil", &handler, body);
    world.run_for(SECOND);
    assert_eq!(world.words(BOB), ["created"]);
    // Bob wants a connection to the runtime in whose name the invitation came.
    world.post(BOB, &hyperty("alice"), 1).unwrap();
    let asked = world.now;
    world.run_until("Bob is live", |world| world.words(BOB).ends_with(&["live"]));
    assert!(world.now - asked < 6 * SECOND, "{:?}", world.now - asked);
    assert_eq!(world.words(BOB), ["created", "failed", "created", "in-progress", "live"]);
}

/// Each wait of a Requester is twice the one before, less up to a quarter, up to the ceiling; and
/// one success ends that.
#[test]
fn a_requester_that_fails_waits_longer_each_time() {
    let mut world = World::ready(&["alice", "bob"]);
    world.dials_fail = true;
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    let count = |world: &World, word: &str| {
        world.words(ALICE).iter().filter(|of| **of == word).count() as u32
    };
    let mut waits = Vec::new();
    for failures in 1..12 {
        world.run_until("it fails", |world| count(world, "failed") == failures);
        let failed = world.now;
        world.run_until("it tries again", |world| count(world, "created") == failures + 1);
        let base = (limits::RETRY_FIRST * 2u32.pow(failures - 1)).min(limits::RETRY_CEILING);
        let wait = world.now - failed;
        assert!(base * 3 / 4 <= wait && wait <= base, "{failures}: {wait:?} of {base:?}");
        waits.push(wait * 1_000 / base.as_millis() as u32);
    }
    waits.dedup();
    assert!(waits.len() > 8, "jitter: {waits:?}");
    world.dials_fail = false;
    world.run_until("both are live", World::all_live);
    world.run_for(SECOND);
    world.cut(Duration::ZERO);
    let cut = world.now;
    world.run_until("it is back", |world| world.now > cut && world.all_live());
    assert!(world.now - cut < SECOND, "{:?}", world.now - cut);
}

/// The same against the Requester: an object that is not the Handler's is not observed, so its key
/// is never dialled. The set-up goes on to the right one.
#[test]
fn a_forged_object_is_not_taken_for_the_handlers() {
    for before in [20, 40, 60, 80, 100, 120, 140] {
        let mut world = World::ready(&["alice", "bob", "mallory"]);
        claim_object(&mut world, "evil");
        world.post(ALICE, &hyperty("bob"), 1).unwrap();
        world.run_for(Duration::from_millis(before));
        let requester = format!("{}/p2prequester/1", url(&world, ALICE));
        let body = invitation(&world, BOB, "p2phandler/1", "evil");
        invite(&mut world, 100, "evil", &requester, body);
        world.run_for(5 * SECOND);
        let observed = world.parties[MALLORY].from_node.iter().any(|of| {
            of["to"] == object_url("evil") + "/subscription" && of["type"] == "subscribe"
        });
        assert!(!observed, "after {before} ms");
        assert_eq!(world.words(ALICE), ["created", "in-progress", "live"], "after {before} ms");
        assert_eq!(world.words(BOB), ["created", "in-progress", "live"], "after {before} ms");
    }
}

/// An answer from somebody else to what another runtime was asked, with the right number, is
/// nobody's answer.
#[test]
fn an_answer_in_anothers_stead_is_not_taken() {
    let mut world = World::ready(&["alice", "bob", "mallory"]);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("it is invited", |world| {
        world.written(ALICE, "create").iter().any(|of| Of::Invitation.is(of))
    });
    let invited = world.written(ALICE, "create").into_iter().find(|of| Of::Invitation.is(of));
    let invited = invited.unwrap();
    let dropped = world.parties[ALICE].ua.bus().counters().drops(Drop::Control);
    let (id, from) =
        (invited["id"].as_u64().unwrap(), invited["from"].as_str().unwrap().to_owned());
    send(&mut world, id, "response", &hyperty("mallory"), &from, json!({ "code": 403 }));
    world.run_until("both are live", |world| {
        world.words(ALICE).ends_with(&["live"]) && world.words(BOB).ends_with(&["live"])
    });
    assert_eq!(world.words(ALICE), ["created", "in-progress", "live"]);
    assert!(world.parties[ALICE].ua.bus().counters().drops(Drop::Control) > dropped);
}

/// A genuine new life of either side is connected again within seconds of its return, whichever
/// side writes first.
#[test]
fn a_new_life_is_connected_again_within_seconds() {
    for (killed, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let names = ["alice", "bob"];
        let mut world = World::ready(&names);
        world.post(ALICE, &hyperty("bob"), 1).unwrap();
        world.run_until("both are live", World::all_live);
        world.run_for(SECOND);
        world.kill(killed, Duration::from_millis(800));
        world.run_for(Duration::from_millis(400));
        world.revive(killed);
        world.run_for(SECOND / 2);
        let back = world.now;
        world.post(other, &hyperty(names[killed]), 2).unwrap();
        world.run_until("both are live again", |world| {
            world.all_live() && world.links.iter().any(|link| link.ends.len() == 2)
        });
        let took = world.now - back;
        assert!(took < 5 * SECOND, "{killed}: {took:?}\n{}", world.describe());
        world.run_for(SECOND);
        world.post(other, &hyperty(names[killed]), 3).unwrap();
        world.run_for(SECOND);
        assert_eq!(heard(&world, killed).last(), Some(&(Path::P2p, 3)), "{}", world.describe());
    }
}

/// The same while somebody floods the other side with invitations in its name, each with an object
/// of its own.
#[test]
fn a_new_life_gets_through_a_flood_of_forgeries() {
    let mut world = World::ready(&["alice", "bob", "mallory"]);
    claim_object(&mut world, "evil");
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("Bob is live", |world| world.words(BOB).ends_with(&["live"]));
    world.run_for(SECOND);
    world.kill(ALICE, Duration::from_millis(800));
    world.revive(ALICE);
    world.run_until("she is ready", |world| world.parties[ALICE].ready);
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    let handler = format!("{}/p2phandler/1", url(&world, BOB));
    for number in 0..100 {
        let object = format!("evil/{number}");
        let body = invitation(&world, ALICE, "p2prequester/1", &object);
        invite(&mut world, 100 + number, &object, &handler, body);
        world.run_for(Duration::from_millis(20));
    }
    assert!(world.words(ALICE).ends_with(&["live"]), "{:?}", world.words(ALICE));
    assert!(world.words(BOB).ends_with(&["live"]), "{:?}", world.words(BOB));
    world.run_for(20 * SECOND);
    assert_eq!(world.links.len(), 1);
    world.post(ALICE, &hyperty("bob"), 3).unwrap();
    world.run_for(SECOND);
    assert_eq!(heard(&world, BOB).last(), Some(&(Path::P2p, 3)));
}

/// A candidate that comes for a connection that is gone, or is none, changes nothing.
#[test]
fn a_late_candidate_for_nobody_changes_nothing() {
    let mut world = World::ready(&["alice", "bob", "carol"]);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", |world| {
        world.words(ALICE).ends_with(&["live"]) && world.words(BOB).ends_with(&["live"])
    });
    world.run_for(SECOND);
    let objects: Vec<String> = world
        .written(BOB, "create")
        .iter()
        .filter(|of| Of::Mirror.is(of))
        .map(|of| of["body"]["value"]["url"].as_str().unwrap().to_owned())
        .collect();
    let candidate = json!({ "type": "candidate", "candidate": "udp 10.0.0.1 9 host" });
    let late = json!({ "attribute": "iceCandidates.1", "value": candidate });
    for body in [late, json!({ "attribute": "iceCandidates.0", "value": "x" }), json!({})] {
        let to = format!("{}/changes", objects[0]);
        send_by(&mut world, BOB, 900, "update", &objects[0], &to, body);
        world.run_for(SECOND);
    }
    assert_eq!(world.words(ALICE), ["created", "in-progress", "live"]);
    assert_eq!(world.words(CAROL), [""; 0]);
}

/// What is no message and no control cuts the connection, with the reason told and counted; traffic
/// falls back, and the connection is made anew.
#[test]
fn a_peer_that_sends_garbage_is_cut_counted_and_reported() {
    let message = |text: &'static str| Outgoing::Message { bytes: text.into(), hop: None };
    let control = |bytes: &'static [u8]| Outgoing::Control(bytes.into());
    for (garbage, counted, words) in [
        (message("neither JSON nor anything"), Drop::NotAMessage, "a frame is no message"),
        (message(r#"{"to":"x"}"#), Drop::NotAMessage, "a frame is no message"),
        (control(b"\xff\xfe"), Drop::Control, "a control frame is no UTF-8"),
        (control(b"not JSON"), Drop::Control, "a control frame makes no sense"),
        (control(br#"{"control":"ack","stream":7}"#), Drop::Control, "a control frame makes no"),
    ] {
        let mut world = World::connected();
        world.inject(ALICE, garbage);
        world.post(ALICE, &hyperty("bob"), 2).unwrap();
        world.run_until(words, |world| world.words(BOB).ends_with(&["disconnected"]));
        assert!(world.parties[BOB].reasons[0].contains(words), "{:?}", world.parties[BOB].reasons);
        assert_eq!(world.parties[BOB].ua.bus().counters().drops(counted), 1, "{words}");
        world.run_until("both are live again", World::all_live);
        world.run_for(SECOND);
        world.post(ALICE, &hyperty("bob"), 3).unwrap();
        world.run_for(SECOND);
        let values: Vec<u64> = heard(&world, BOB).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [1, 2, 3], "{words}");
    }
}

fn url(world: &World, party: usize) -> String {
    world.parties[party].url.to_string()
}

fn object_url(name: &str) -> String {
    format!("connection://example.org/{name}")
}

/// Mallory listens at an object of its own, so that nobody answers 404 for it.
fn claim_object(world: &mut World, name: &str) {
    let object = object_url(name);
    world.add_hyperty(MALLORY, &object);
    let session = url(world, MALLORY);
    let claim = json!({ "subscribe": [object], "source": hyperty("mallory") });
    send(world, 1, "subscribe", &session, "domain://msg-node.example.org/sm", claim);
}

fn invitation(world: &World, of: usize, stub: &str, object: &str) -> Value {
    let runtime = url(world, of);
    json!({ "value": { "reporter": format!("{runtime}/{stub}"), "runtime": runtime,
        "url": object_url(object), "transports": ["quic"], "handover": 1 } })
}

fn invite(world: &mut World, id: u64, object: &str, to: &str, body: Value) {
    send(world, id, "create", &(object_url(object) + "/subscription"), to, body);
}

/// Mallory answers whoever observes its object, as a reporter would.
fn report(world: &mut World, object: &str, to: &str, kind: &str) {
    let from = object_url(object) + "/subscription";
    let asked = world.parties[MALLORY].from_node.iter();
    let ids: Vec<u64> = asked
        .filter(|of| of["to"] == from.as_str() && of["type"] == "subscribe")
        .filter_map(|of| of["id"].as_u64())
        .collect();
    for id in ids {
        let description = json!({ "code": 200, "value": { "data": {
            "connectionDescription": { "type": kind, "transport": "quic", "alpn": "hyperty-p2p/1",
                "fingerprint": format!("sha-256 {}", vec!["66"; 32].join(":")) },
            "iceCandidates": [] }}});
        send(world, id, "response", &from, to, description);
    }
}

fn send(world: &mut World, id: u64, kind: &str, from: &str, to: &str, body: Value) {
    send_by(world, MALLORY, id, kind, from, to, body);
}

fn send_by(world: &mut World, by: usize, id: u64, kind: &str, from: &str, to: &str, body: Value) {
    let message =
        json!({ "id": id, "type": kind, "from": from, "to": to, "body": body }).to_string();
    let posted =
        world.parties[by].ua.bus().post(message.into(), Ingress::LOCAL, world.now).unwrap();
    assert_eq!(posted.first_error(), None);
}

fn heard(world: &World, party: usize) -> Vec<(Path, u64)> {
    let heard = world.parties[party].heard.lock();
    heard
        .iter()
        .filter_map(|(path, message)| Some((*path, message["body"]["value"].as_u64()?)))
        .collect()
}
