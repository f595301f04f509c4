//! Goal: what the control plane knows of remote runtimes grows, turns and goes without holding
//! anybody up: 1,000,000 addresses behind one connection, path changes told as they are, runtimes
//! forgotten when nothing depends on them, numbering none the worse. Method: whole runtimes on a
//! virtual clock (see [`world`]), and one runtime whose remote is played; the length of a step is
//! counted in addresses and notes, not by a clock.

#[path = "support/world.rs"]
mod world;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    address::{Address, Url},
    handover::Reason,
    limits,
    link::{Delivery, Path, Refusal},
    p2p::Candidate,
    ua::{NodeIngress, Output, PathChange, RuntimeUa, Stubs, UaConfig},
};
use serde_json::json;
use world::{World, hyperty};

const ALICE: usize = 0;
const BOB: usize = 1;
const SECOND: Duration = Duration::from_secs(1);
/// Few, so that the bound is soon met.
const REMOTES_MAX: usize = 200;
const REMOTE: &str = "hyperty-runtime://example.org/bob";

/// One runtime whose stubs and whose remote are played.
struct Played {
    ua: RuntimeUa,
    node: NodeIngress,
    now: Instant,
    id: u64,
}

impl Played {
    fn new() -> Played {
        let next = AtomicU64::new(1);
        let random = move || u128::from(next.fetch_add(1, Ordering::Relaxed)) << 64 | 1;
        let url = Url::parse("hyperty-runtime://example.org/alice").unwrap();
        let config = UaConfig::new(url, Arc::new(random)).unwrap();
        let config = UaConfig { stubs: Stubs::Played, remotes_max: REMOTES_MAX, ..config };
        let mut ua = RuntimeUa::new(config);
        let node = ua.add_node("example.org", Arc::new(|_: Delivery| Ok::<(), Refusal>(())));
        Played { ua, node, now: Instant::now(), id: 0 }
    }

    /// A status event of the Handler stub.
    fn status(&mut self, value: &str) {
        let stub = "hyperty-runtime://example.org/alice/p2phandler/1";
        let from = Address::parse(stub).unwrap();
        let ingress = self.ua.ingress_of(&from);
        let body = json!({ "value": value, "resource": REMOTE });
        let message = self.message("update", stub, &format!("{stub}/status"), body);
        self.ua.bus().post(message, ingress, self.now).unwrap();
    }

    /// An update of the remote Registry; it comes as any message from elsewhere does.
    fn changes(&mut self, body: serde_json::Value) {
        let (from, to) = (format!("{REMOTE}/registry"), format!("{REMOTE}/registry/changes"));
        let message = self.message("update", &from, &to, body);
        assert!(message.len() <= limits::MESSAGE_BYTES_MAX, "it would not fit a message");
        self.node.on_text(message, self.now).unwrap();
    }

    fn message(&mut self, kind: &str, from: &str, to: &str, body: serde_json::Value) -> Bytes {
        self.id += 1;
        let message = json!({ "id": self.id, "type": kind, "from": from, "to": to, "body": body });
        message.to_string().into()
    }

    /// One step of the control plane; false if there was nothing to do.
    fn step(&mut self) -> bool {
        let was_busy = self.ua.is_busy();
        self.ua.handle_notes(self.now);
        while self.ua.poll_output().is_some() {}
        was_busy
    }

    fn decision(&self, address: &str) -> &'static str {
        self.ua.bus().explain(&Address::parse(address).unwrap()).decision
    }

    fn is_known(&self, address: &str) -> bool {
        self.ua.bus().peer_of(&Address::parse(address).unwrap()).is_some()
    }
}

fn address(number: usize) -> String {
    format!("hyperty://example.org/{number:08}-4f1d-4c3a-9b52-0d1f9c8e7a66")
}

/// In the gate 100,000 addresses; `ASSOCIATIONS=1000000 cargo test --release --no-default-features
/// --test whole_registry` for all that one connection may have.
#[test]
fn a_million_addresses_come_turn_and_go_in_short_steps() {
    let count = std::env::var("ASSOCIATIONS").map_or(100_000, |count| count.parse().unwrap());
    let part = 10_000;
    let mut played = Played::new();
    played.status("created");
    played.status("live");
    while played.step() {}
    for first in (0..count).step_by(part) {
        let list: Vec<String> = (first..(first + part).min(count)).map(address).collect();
        played.changes(json!({ "value": list, "operation": "add" }));
        // The data plane is never in the way, and never waits.
        played.step();
        assert_eq!(played.decision("hyperty://elsewhere.org/x"), "message-node");
    }
    while played.step() {}
    let sample: Vec<String> = (0..count).step_by(count / 1_000).map(address).collect();
    assert!(sample.iter().all(|of| played.decision(of) == "p2p"));

    // One store turns them all, in one step that edits none of them.
    played.status("disconnected");
    assert!(played.step());
    assert!(sample.iter().all(|of| played.decision(of) == "message-node" && played.is_known(of)));
    assert!(!played.ua.is_busy(), "nothing is left to be done");

    // They are known again at once when the connection is back with a list of its own, and the rest
    // goes in slices.
    played.status("created");
    played.status("live");
    while played.step() {}
    let kept: Vec<String> = sample.iter().take(500).cloned().collect();
    played.changes(json!({ "value": kept }));
    let mut steps = 0;
    while played.step() {
        steps += 1;
    }
    assert!(steps >= count / limits::STEP_ADDRESSES_MAX, "in {steps} steps");
    assert!(kept.iter().all(|of| played.decision(of) == "p2p"));
    assert!(sample.iter().filter(|of| !kept.contains(of)).all(|of| !played.is_known(of)));

    let longest = played.ua.longest_step();
    let bound = limits::STEP_ADDRESSES_MAX + limits::INBOX_BATCH;
    assert!((limits::STEP_ADDRESSES_MAX..=bound).contains(&longest), "{longest} items in a step");
}

/// A runtime that nothing depends on is forgotten with its addresses; what was never known of it is
/// not missed.
#[test]
fn a_runtime_of_no_more_use_is_forgotten() {
    let mut played = Played::new();
    played.status("created");
    played.status("live");
    while played.step() {}
    played.changes(json!({ "value": (0..5_000).map(address).collect::<Vec<_>>() }));
    while played.step() {}
    played.status("disconnected");
    while played.step() {}
    assert!(played.is_known(&address(4_999)) && played.is_known(REMOTE));
    let end = played.now + limits::REMOTE_KEEP + 2 * limits::FORGET_EVERY;
    while let Some(at) = played.ua.poll_timeout().filter(|at| *at <= end) {
        played.now = played.now.max(at);
        played.ua.handle_timeout(played.now);
        while played.step() {}
    }
    assert!(!played.is_known(&address(4_999)) && !played.is_known(&address(0)));
    assert!(!played.is_known(REMOTE));
    assert!(played.ua.longest_step() <= limits::STEP_ADDRESSES_MAX + limits::INBOX_BATCH);
}

/// However many runtimes come by, no more than the bound are known at once, and a new one always
/// finds room once an old one is of no use.
#[test]
fn runtimes_that_come_and_go_leave_room() {
    let mut played = Played::new();
    let stub = "hyperty-runtime://example.org/alice/p2phandler/1";
    let from = Address::parse(stub).unwrap();
    let ingress = played.ua.ingress_of(&from);
    for number in 0..20 * REMOTES_MAX {
        let remote = format!("hyperty-runtime://example.org/r{number}");
        for value in ["created", "failed"] {
            let body = json!({ "value": value, "resource": remote });
            let message = played.message("update", stub, &format!("{stub}/status"), body);
            played.ua.bus().post(message, ingress, played.now).unwrap();
        }
        while played.step() {}
        assert!(played.is_known(&remote), "{remote}");
        if number % (limits::FORGET_MAX / 2) == 0 {
            played.now += limits::MAKE_ROOM_EVERY;
        }
    }
    let known = (0..20 * REMOTES_MAX)
        .filter(|number| played.is_known(&format!("hyperty-runtime://example.org/r{number}")));
    assert!(known.count() <= REMOTES_MAX);
}

/// Both runtimes forget each other after minutes without a connection; what is sent then arrives,
/// once and in order, and they are connected again.
#[test]
fn two_that_forgot_each_other_meet_anew() {
    let mut world = World::connected();
    world.dials_fail = true;
    world.cut(Duration::ZERO);
    let known = |world: &World, party: usize, of: usize| {
        let of = world.parties[of].url.clone();
        world.parties[party].ua.bus().peer_of(&of.address()).is_some()
    };
    world.run_for(limits::REMOTE_KEEP + limits::HANDOVER_IDLE_RECEIVER + 4 * limits::FORGET_EVERY);
    assert!(!known(&world, ALICE, BOB) && !known(&world, BOB, ALICE), "{}", world.describe());
    // The set-ups that were tried meanwhile have ended, and that was told.
    for party in [ALICE, BOB] {
        assert_eq!(world.words(party).last(), Some(&"failed"), "{}", world.describe());
    }
    world.dials_fail = false;
    for value in 2..200 {
        world.post(ALICE, &hyperty("bob"), value).unwrap();
        world.post(BOB, &hyperty("alice"), value).unwrap();
        world.run_for(Duration::from_millis(5));
    }
    world.run_for(60 * SECOND);
    assert_eq!(world.links.len(), 1, "{}", world.describe());
    for (party, first) in [(BOB, 1), (ALICE, 2)] {
        let heard = world.parties[party].heard.lock();
        let values: Vec<u64> =
            heard.iter().map(|(_, message)| message["body"]["value"].as_u64().unwrap()).collect();
        assert_eq!(values, (first..200).collect::<Vec<_>>());
    }
}

/// However many messages wait for an address that is not known, it is looked up once; what was
/// looked up in vain is not looked up again for a while.
#[test]
fn an_unknown_address_is_looked_up_once() {
    let mut world = World::ready(&["alice", "bob"]);
    let reads = |world: &World| world.written(ALICE, "read").len();
    for value in 0..50 {
        world.post(ALICE, &hyperty("bob"), value).unwrap();
        world.post(ALICE, "hyperty://example.org/nobody", value).unwrap();
    }
    world.run_for(SECOND);
    assert_eq!(reads(&world), 2);
    for value in 0..50 {
        world.post(ALICE, "hyperty://example.org/nobody", value).unwrap();
        world.run_for(SECOND / 2);
    }
    assert_eq!(reads(&world), 2);
    world.run_for(limits::LOOK_UP_FORGOTTEN_AFTER);
    world.post(ALICE, "hyperty://example.org/nobody", 51).unwrap();
    world.run_for(SECOND);
    assert_eq!(reads(&world), 3);
}

/// A stale association: the receiver says `not-here`, the address goes, and what is sent then takes
/// the Message Node.
#[test]
fn what_is_not_there_any_more_is_sent_by_message_node() {
    let mut world = World::connected();
    let gone = "comm://example.org/gone";
    let url = Url::parse(gone).unwrap();
    let now = world.now;
    // Told of, but nobody listens.
    world.parties[BOB].ua.add_resource(url.clone(), now);
    world.run_for(SECOND);
    assert_eq!(world.explain(ALICE, gone).decision, "p2p");
    world.post(ALICE, gone, 2).unwrap();
    world.run_for(SECOND);
    assert_eq!(world.explain(ALICE, gone).decision, "message-node");
    assert!(world.parties[ALICE].ua.bus().peer_of(&url.address()).is_none());
    // The connection and everything else on it stay.
    assert_eq!(world.explain(ALICE, &hyperty("bob")).decision, "p2p");
    assert_eq!(world.words(ALICE), ["created", "in-progress", "live"]);
}

/// More of its own than fits a message is told in parts, before any later change, and learnt whole.
#[test]
fn a_list_of_many_parts_is_learnt_whole() {
    let mut world = World::ready(&["alice", "bob"]);
    let now = world.now;
    let of = |number: usize| format!("comm://example.org/{number:05}{}", "-".repeat(1_900));
    // Some 1.9 kB each, counted at six bytes a character: 90 or so a message.
    for number in 0..400 {
        world.parties[BOB].ua.add_resource(Url::parse(&of(number)).unwrap(), now);
    }
    world.run_for(SECOND);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", World::all_live);
    world.run_for(2 * SECOND);
    let answer = world.written(BOB, "response");
    let answer = answer.iter().find(|of| of["body"]["more"].is_u64()).expect("a list in parts");
    let first = answer["body"]["value"].as_array().unwrap().len();
    assert_eq!(first + answer["body"]["more"].as_u64().unwrap() as usize, 401);
    assert!((0..400).all(|number| world.explain(ALICE, &of(number)).decision == "p2p"));
    // After a reconnection nothing is unbound meanwhile, and nothing is left out.
    world.cut(Duration::ZERO);
    world.run_for(limits::LIST_AWAITED);
    assert!(world.all_live());
    assert!((0..400).all(|number| world.explain(ALICE, &of(number)).decision == "p2p"));
}

/// Path changes are told as they are: up when the connection carries, down when it goes, up again
/// after the dwell; and what was told last is what `path_of` says.
#[test]
fn each_change_of_path_is_told_with_its_reason() {
    let mut world = World::ready(&["alice", "bob"]);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", World::all_live);
    world.run_for(2 * SECOND);
    world.cut(Duration::ZERO);
    world.run_for(5 * SECOND);
    for (party, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let remote = world.parties[other].url.clone();
        let paths = &world.parties[party].paths;
        assert!(paths.iter().all(|change| change.remote == remote && change.numbered));
        let steps: Vec<_> = paths.iter().map(|change| (change.from, change.to)).collect();
        let (node, direct) = (Some(Path::MessageNode), Some(Path::P2p));
        assert_eq!(steps, [(node, direct), (direct, node), (node, direct)], "{paths:?}");
        assert!(matches!(paths[0].why, Reason::Direct { .. }), "{paths:?}");
        assert_eq!(paths[1].why, Reason::NoDirectWay);
        let report = world.parties[party].ua.bus().path_of(&remote.address(), world.now);
        assert_eq!(
            report.peer.map(|peer| peer.path),
            paths.last().map(|last: &PathChange| last.to)
        );
    }
}

/// What goes by Message Node whatever connection there is takes no part in it: `path_of` names no
/// peer for it.
#[test]
fn the_path_of_signalling_is_no_peers() {
    let world = World::connected();
    let bus = world.parties[ALICE].ua.bus();
    let of = |url: &str| bus.path_of(&Address::parse(url).unwrap(), world.now).peer;
    assert!(of(&hyperty("bob")).is_some_and(|peer| peer.path == Some(Path::P2p)));
    assert_eq!(of("hyperty-runtime://example.org/bob/p2phandler/1"), None);
}

/// A Handler that has no address yet names it when it has one: the Requester waits for it, and
/// dials.
#[test]
fn a_candidate_that_comes_late_is_dialled() {
    let mut world = World::ready(&["alice", "bob"]);
    let now = world.now;
    world.parties[BOB].ua.set_candidates(Vec::new(), now);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_for(2 * SECOND);
    assert_eq!(world.words(ALICE), ["created", "in-progress"]);
    assert_eq!(world.links.len(), 0);
    let (now, late) = (world.now, Candidate(([10, 0, 0, 7], 4433).into()));
    world.parties[BOB].ua.set_candidates(vec![late], now);
    world.run_until("both are live", World::all_live);
    let told: Vec<_> = world.written(BOB, "update");
    let told = told.iter().find(|of| of["to"].as_str().unwrap().starts_with("connection://"));
    assert_eq!(
        told.unwrap()["body"],
        json!({ "attribute": "iceCandidates.0", "attributeType": "array", "operation": "add",
            "value": { "type": "candidate", "candidate": "udp 10.0.0.7 4433 host" } })
    );
    // Once it is live, nothing more is told.
    let (now, later) = (world.now, Candidate(([10, 0, 0, 8], 4433).into()));
    let written = world.written(BOB, "update").len();
    world.parties[BOB].ua.set_candidates(vec![late, later], now);
    assert_eq!(world.written(BOB, "update").len(), written);
}

/// Where the stubs are played by somebody else, the path turns as well, without a stream.
#[test]
fn a_played_runtime_tells_its_paths_too() {
    let mut played = Played::new();
    played.status("created");
    played.status("live");
    let mut told = Vec::new();
    while played.ua.is_busy() {
        played.ua.handle_notes(played.now);
        while let Some(output) = played.ua.poll_output() {
            if let Output::PathChanged(change) = output {
                told.push((change.from, change.to));
            }
        }
    }
    assert_eq!(told, [(Some(Path::MessageNode), Some(Path::P2p))]);
}
