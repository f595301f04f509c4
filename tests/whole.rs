//! Goal: runtimes and a Message Node do together what the pages say, from the first message to an unknown
//! address to a connection that comes back, and no message is lost, doubled or put out of order on the way.
//! Method: a world without a network on a virtual clock (see [`world`]); statuses, decisions and the ways
//! really taken are asserted.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use hyperty_router::{
    bus::Drop,
    limits::HANDOVER_ACK_WAIT,
    link::{Ingress, Path},
    status::Status,
};
use serde_json::{Value, json};
use world::{World, hyperty};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(3);
const AT_ONCE: Duration = Duration::ZERO;

/// Unknown address → look-up at the domain registry → Requester → live on both sides → P2P, decided and
/// taken.
#[test]
fn the_first_message_brings_a_connection_up() {
    let mut world = World::ready(&["alice", "bob"]);
    assert_eq!(world.explain(ALICE, &hyperty("bob")).decision, "message-node");
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", World::all_live);
    assert_eq!(world.words(ALICE), ["created", "in-progress", "live"]);
    assert_eq!(world.words(BOB), ["created", "in-progress", "live"]);
    world.run_for(SECOND);
    let (to_bob, to_alice) =
        (world.explain(ALICE, &hyperty("bob")), world.explain(BOB, &hyperty("alice")));
    assert_eq!((to_bob.decision, to_alice.decision), ("p2p", "p2p"));
    let runtime = |party: usize| world.parties[party].url.clone();
    assert_eq!(to_bob.via, runtime(ALICE).join("p2prequester/1").ok());
    assert_eq!(to_alice.via, runtime(BOB).join("p2phandler/1/1").ok());
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    world.post(BOB, &hyperty("alice"), 1).unwrap();
    world.run_for(SECOND);
    assert_eq!(heard(&world, BOB), [(Path::MessageNode, 1), (Path::P2p, 2)]);
    assert_eq!(heard(&world, ALICE), [(Path::P2p, 1)]);
    assert_eq!(world.links.len(), 1);
}

/// Traffic both ways from before the connection to after its return: each message once and in order.
#[test]
fn traffic_moves_falls_back_and_returns_without_a_loss() {
    for (noticed, cuts) in [(AT_ONCE, 3), (Duration::from_millis(800), 2)] {
        let mut world = World::ready(&["alice", "bob"]);
        let mut talk = Talk::default();
        // Alice alone begins, or there would be two set-ups at once.
        world.post(ALICE, &hyperty("bob"), 0).unwrap();
        world.run_for(Duration::from_millis(50));
        world.parties[BOB].heard.lock().clear();
        talk.run(&mut world, 2 * SECOND);
        for _ in 0..cuts {
            world.cut(noticed);
            talk.run(&mut world, noticed + 3 * SECOND);
            assert!(world.all_live(), "{}", world.describe());
        }
        world.run_for(2 * SECOND);
        talk.judge(&world);
        let again = ["disconnected", "created", "in-progress", "live"];
        let expected: Vec<&str> = ["created", "in-progress", "live"]
            .into_iter()
            .chain(again.into_iter().cycle().take(4 * cuts))
            .collect();
        assert_eq!(world.words(ALICE), expected);
        assert_eq!(world.words(BOB), expected);
        for party in [ALICE, BOB] {
            let by = |path: Path| heard(&world, party).iter().filter(|(by, _)| *by == path).count();
            assert!(by(Path::P2p) > 500 && by(Path::MessageNode) > 10, "{}", world.describe());
        }
    }
}

/// "When both sides set up at once, the runtime whose URL is lower (bytes) stays Requester; the other's
/// attempt ends failed, its Handler owns the entry, and no Requester tries again while any connection to that
/// runtime exists."
#[test]
fn two_set_ups_at_once_end_in_one_connection() {
    let mut world = World::ready(&["alice", "bob"]);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.post(BOB, &hyperty("alice"), 1).unwrap();
    world.run_for(60 * SECOND);
    assert_eq!(world.links.len(), 1, "{}", world.describe());
    let of = |party: usize, kind: &str| -> Vec<&'static str> {
        let of_kind =
            world.parties[party].statuses.iter().filter(|(stub, ..)| stub.as_str().contains(kind));
        of_kind.map(|(_, status, _)| status.word()).collect()
    };
    assert_eq!(of(ALICE, "p2prequester"), ["created", "in-progress", "live"]);
    assert_eq!(of(ALICE, "p2phandler"), [""; 0]);
    let given_up = of(BOB, "p2prequester");
    assert_eq!((given_up.first(), given_up.last()), (Some(&"created"), Some(&"failed")));
    assert_eq!(of(BOB, "p2phandler"), ["created", "in-progress", "live"]);
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    world.post(BOB, &hyperty("alice"), 2).unwrap();
    world.run_for(SECOND);
    assert_eq!(heard(&world, ALICE), [(Path::MessageNode, 1), (Path::P2p, 2)]);
    assert_eq!(heard(&world, BOB), [(Path::MessageNode, 1), (Path::P2p, 2)]);
}

/// Associations by registry changes: what comes and goes in one runtime is learnt by the other, and so
/// reached directly, without a look-up.
#[test]
fn what_comes_and_goes_is_learnt_by_the_other_side() {
    let mut world = World::connected();
    let late = "comm://example.org/late";
    let looked_up = world.written(ALICE, "read").len();
    world.add_hyperty(BOB, late);
    world.run_for(SECOND);
    assert_eq!(world.explain(ALICE, late).decision, "p2p");
    world.post(ALICE, late, 7).unwrap();
    world.run_for(SECOND);
    assert_eq!(heard(&world, BOB).last(), Some(&(Path::P2p, 7)));
    let url = late.parse().unwrap();
    assert!(world.parties[BOB].ua.remove_resource(&url, world.now));
    world.run_for(SECOND);
    assert_eq!(world.explain(ALICE, late).decision, "message-node");
    assert_eq!(world.written(ALICE, "read").len(), looked_up);
}

/// A Message Node that has forgotten everything is told again: the stubs' paths, the registrations. A runtime
/// that nobody has a connection with is found and reached as before.
#[test]
fn a_message_node_that_forgot_everything_is_told_again() {
    let mut world = World::ready(&["alice", "bob", "carol"]);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", |world| live(world, ALICE) && live(world, BOB));
    world.restart_node();
    world.run_for(5 * SECOND);
    let handler_paths = world
        .written(BOB, "subscribe")
        .iter()
        .filter(|of| of["from"].as_str().unwrap().ends_with("/ua"))
        .count();
    assert_eq!(handler_paths, 2);
    world.post(CAROL, &hyperty("bob"), 1).unwrap();
    world.run_until("carol is live", |world| live(world, CAROL));
    world.cut(AT_ONCE);
    world.run_for(10 * SECOND);
    assert_eq!(world.links.len(), 2, "{}", world.describe());
    assert!(world.all_live(), "{}", world.describe());
}

/// The direct connection needs no Message Node: traffic goes on while it is away, and neither its loss nor
/// its return costs a message.
#[test]
fn a_message_node_that_is_away_costs_nothing_while_live() {
    let mut world = World::ready(&["alice", "bob"]);
    let mut talk = Talk::default();
    talk.run(&mut world, 2 * SECOND);
    world.lose_socket(ALICE);
    talk.run(&mut world, 2 * SECOND);
    world.open_socket(ALICE);
    talk.run(&mut world, 2 * SECOND);
    world.restart_node();
    talk.run(&mut world, 2 * SECOND);
    talk.judge(&world);
    assert_eq!(world.words(ALICE), ["created", "in-progress", "live"]);
}

/// "Request to remove P2P Handler Routing Path": at shut-down; connections end, and the other side knows at
/// once.
#[test]
fn shutting_down_removes_the_paths_and_ends_the_connections() {
    let mut world = World::connected();
    let now = world.now;
    world.parties[ALICE].ua.shut_down(now);
    world.run_for(SECOND);
    assert_eq!(world.words(ALICE).last(), Some(&"disconnected"));
    assert_eq!(world.words(BOB).last(), Some(&"disconnected"));
    assert_eq!(world.links.len(), 0);
    let removed: Vec<String> = world
        .written(ALICE, "unsubscribe")
        .iter()
        .map(|of| of["body"]["unsubscribe"][0].as_str().unwrap().to_owned())
        .collect();
    for stub in ["p2phandler/1", "p2prequester/1"] {
        let path = world.parties[ALICE].url.join(stub).unwrap();
        assert!(removed.contains(&path.to_string()), "{stub} is not in {removed:?}");
    }
    let subscribed = world.node.metrics().subscriptions;
    assert_eq!(subscribed, 1, "only Bob's Handler path is left");
    world.run_for(60 * SECOND);
    assert_eq!(world.links.len(), 0, "nobody comes back: {}", world.describe());
}

/// Who is about to end says what it took before its time has come.
#[test]
fn what_was_taken_is_acknowledged_when_it_is_asked_for() {
    let mut world = World::connected();
    world.post(ALICE, &hyperty("bob"), 7).unwrap();
    world.run_for(HANDOVER_ACK_WAIT / 2);
    let heard =
        |world: &World| world.parties[BOB].heard.lock().last().map(|of| of.1["body"].clone());
    assert_eq!(heard(&world), Some(json!({ "value": 7 })));
    let bob = world.parties[BOB].url.clone();
    let peer = world.parties[ALICE].ua.bus().peer_of(&bob.address()).expect("they spoke");
    assert_eq!(peer.unacknowledged().0, 1);
    world.parties[BOB].ua.acknowledge(world.now);
    world.run_for(HANDOVER_ACK_WAIT / 2);
    assert_eq!(peer.unacknowledged().0, 0);
    let counters = peer.counters();
    assert_eq!((counters.delivered, counters.in_doubt), (counters.accepted, 0));
}

/// "A Requester's stays, and tries again after disconnected *and* failed, with exponential back-off, jitter
/// and a ceiling."
#[test]
fn a_requester_tries_again_ever_more_slowly_and_succeeds_when_it_can() {
    let mut world = World::ready(&["alice", "bob"]);
    world.dials_fail = true;
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    let mut failed_at = Vec::new();
    while failed_at.len() < 10 {
        let before = world.words(ALICE).len();
        world.run_until("one more status", |world| world.words(ALICE).len() > before);
        failed_at.extend(world.words(ALICE).ends_with(&["failed"]).then_some(world.now));
    }
    let waits: Vec<Duration> = failed_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] < SECOND, "{waits:?}");
    assert!(waits[5] > 4 * waits[1], "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 31 * SECOND) && waits[8] > 20 * SECOND, "{waits:?}");
    world.dials_fail = false;
    world.run_until("both are live", World::all_live);
    // The hand-over is agreed on behind it; until then messages keep to their path.
    world.run_for(SECOND);
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    world.run_for(SECOND);
    assert_eq!(heard(&world, BOB), [(Path::MessageNode, 1), (Path::P2p, 2)]);
}

/// A peer that is no more: `disconnected`, and each message that was accepted ends, delivered or told of.
#[test]
fn a_peer_that_dies_leaves_no_message_without_an_end() {
    let mut world = World::ready(&["alice", "bob"]);
    let mut talk = Talk::default();
    talk.run(&mut world, 2 * SECOND);
    world.kill(BOB, Duration::from_millis(800));
    let mut refused = 0;
    let accepted = talk.sent;
    let mut posted = 0;
    for _ in 0..500 {
        match world.post(ALICE, &hyperty("bob"), accepted + posted + 1) {
            Ok(sent) if sent.first_error().is_none() => posted += 1,
            _ => refused += 1,
        }
        world.run_for(STEP);
    }
    world.run_for(120 * SECOND);
    assert_eq!(
        world.parties[ALICE].statuses.iter().filter(|of| of.1 == Status::Disconnected).count(),
        1
    );
    // It goes on trying, though nobody answers its invitations.
    let tries = world.words(ALICE).iter().filter(|word| **word == "failed").count();
    assert!(tries >= 3, "{:?}", world.words(ALICE));
    let told = world.parties[ALICE].undelivered.len() as u64;
    let delivered = heard(&world, BOB).len() as u64;
    // Some may have been delivered without Alice's having heard of it: in doubt.
    assert!(delivered + told >= accepted + posted, "{}", world.describe());
    assert!(told >= posted && refused == 0, "{told} told of {posted}, {refused} refused");
}

/// A Hyperty that comes while the socket to the Message Node is away, or whose registration got lost with it,
/// is registered when the session is there again; and registrations are renewed though the hour of renewal
/// found no socket.
#[test]
fn registrations_outlive_a_lost_socket() {
    let mut world = World::ready(&["alice", "bob"]);
    world.lose_socket(BOB);
    world.add_hyperty(BOB, "comm://example.org/1");
    world.run_for(SECOND);
    world.open_socket(BOB);
    world.run_for(SECOND);
    assert_eq!(world.node.metrics().registry_entries, 3);
    // Lost on its way: after 15 s without an answer it is said again.
    world.add_hyperty(BOB, "comm://example.org/2");
    world.run_for(Duration::from_millis(1));
    world.lose_and_open(BOB);
    world.run_for(20 * SECOND);
    assert_eq!(world.node.metrics().registry_entries, 4);
    let hour = 3600 * SECOND;
    world.run_for(hour / 2 - world.age() - SECOND);
    world.lose_socket(BOB);
    world.run_for(3 * SECOND);
    world.open_socket(BOB);
    world.run_for(hour - world.age() + 60 * SECOND);
    let found = world.written(BOB, "create").len();
    assert!(found >= 8, "{found} registrations\n{}", world.describe());
}

/// "`from` of what comes by a P2P link must not be somebody else's: …; an unknown one is accepted and looked
/// up behind." What the look-up finds counts for the next message of the same sender.
#[test]
fn a_sender_that_the_look_up_gives_away_is_refused() {
    let mut world = World::ready(&["alice", "bob", "mallory"]);
    let mallory = CAROL;
    world.post(mallory, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", |world| live(world, mallory) && live(world, BOB));
    world.run_for(SECOND);
    let forge = |world: &mut World, value: u64| {
        let body = json!({ "value": value });
        world.post_as(mallory, &hyperty("alice"), &hyperty("bob"), body).unwrap();
        world.run_for(SECOND);
    };
    forge(&mut world, 2);
    assert_eq!(heard(&world, BOB).last(), Some(&(Path::P2p, 2)));
    forge(&mut world, 3);
    assert_eq!(world.words(mallory)[3], "disconnected");
    let forged = world.parties[BOB].ua.bus().counters().drops(Drop::ForgedFrom);
    assert!(forged > 0, "{}", world.describe());
}

/// A message in another's name takes its place in the stream and is dropped; the connection is cut for it,
/// once, and what was sent behind it arrives.
#[test]
fn a_forged_message_holds_nobody_elses_up() {
    let mut world = World::connected();
    let forged = json!({ "value": 2 });
    world.post_as(ALICE, &hyperty("bob"), &hyperty("bob"), forged).unwrap();
    for value in 3..6 {
        world.post(ALICE, &hyperty("bob"), value).unwrap();
    }
    world.run_for(20 * SECOND);
    let values: Vec<u64> = heard(&world, BOB).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [1, 3, 4, 5], "{}", world.describe());
    let cuts = world.words(ALICE).iter().filter(|word| **word == "disconnected").count();
    assert_eq!(cuts, 1, "{:?}", world.words(ALICE));
    assert_eq!(world.parties[BOB].ua.bus().counters().drops(Drop::ForgedFrom), 1);
}

/// A runtime that was killed comes back as a new process. Whoever writes to it hears that the old stream is
/// no more, and its messages arrive again; the set-up that still waited for the old process yields to the new
/// one's.
#[test]
fn a_peer_that_comes_back_is_reached_again() {
    let mut world = World::connected();
    world.kill(BOB, Duration::from_millis(800));
    world.run_until("Alice notices", |world| world.words(ALICE).contains(&"disconnected"));
    world.run_for(SECOND);
    // In the stream of the old life: the new one does not know it, and nobody can say whether it arrived.
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    world.run_for(SECOND);
    world.revive(BOB);
    world.run_until("Alice hears of it", |world| !world.parties[ALICE].undelivered.is_empty());
    let back = world.now;
    for value in 3..6 {
        world.post(ALICE, &hyperty("bob"), value).unwrap();
    }
    world.run_until("both are live", World::all_live);
    assert!(world.now - back < 5 * SECOND, "{:?}", world.now - back);
    world.run_for(2 * SECOND);
    world.post(ALICE, &hyperty("bob"), 6).unwrap();
    world.run_for(SECOND);
    let values: Vec<u64> = heard(&world, BOB).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [3, 4, 5, 6], "{}", world.describe());
    assert_eq!(heard(&world, BOB).last(), Some(&(Path::P2p, 6)));
    assert_eq!(world.parties[ALICE].undelivered.len(), 1);
}

/// An invitation in another runtime's name gets its sender no connection: that runtime's stub denies the
/// set-up, and before it has confirmed it no key is let in.
#[test]
fn an_invitation_in_anothers_name_lets_nobody_in() {
    const MALLORY: usize = CAROL;
    let mut world = World::ready(&["alice", "bob", "mallory"]);
    let handler = format!("{}/p2phandler/1", world.parties[BOB].url);
    let alice = world.parties[ALICE].url.to_string();
    let (object, own) = ("connection://example.org/evil", hyperty("mallory"));
    // It listens there, so that nobody answers 404 for it.
    world.add_hyperty(MALLORY, object);
    let session = world.parties[MALLORY].url.to_string();
    let claim = json!({ "subscribe": [object], "source": own });
    send(&mut world, MALLORY, 1, "subscribe", &session, "domain://msg-node.example.org/sm", claim);
    let value = json!({ "reporter": format!("{alice}/p2prequester/1"), "runtime": alice, "url": object,
        "transports": ["quic"], "handover": 1 });
    let (from, body) = (format!("{object}/subscription"), json!({ "value": value }));
    send(&mut world, MALLORY, 2, "create", &from, &handler, body);
    world.run_for(SECOND / 2);
    let asked = world.parties[MALLORY]
        .from_node
        .iter()
        .find(|of| of["to"] == from && of["type"] == "subscribe");
    let id = asked.expect("the Handler observes the object")["id"].as_u64().unwrap();
    let description = json!({ "code": 200, "value": { "data": {
        "connectionDescription": { "type": "offer", "transport": "quic", "alpn": "hyperty-p2p/1",
            "fingerprint": format!("sha-256 {}", vec!["66"; 32].join(":")) },
        "iceCandidates": [] }}});
    send(&mut world, MALLORY, id, "response", &from, &handler, description);
    world.run_for(SECOND);
    assert_eq!(world.expected_keys, [""; 0]);
    assert_eq!(world.words(BOB), ["created", "failed"], "{}", world.describe());
}

fn send(world: &mut World, by: usize, id: u64, kind: &str, from: &str, to: &str, body: Value) {
    let message =
        json!({ "id": id, "type": kind, "from": from, "to": to, "body": body }).to_string();
    let posted =
        world.parties[by].ua.bus().post(message.into(), Ingress::LOCAL, world.now).unwrap();
    assert_eq!(posted.first_error(), None);
}

/// Whatever happens to links and sockets: each message once and in order, in each direction. More seeds:
/// `WORLD_SEEDS=<count> cargo test --test whole`.
#[test]
fn nothing_that_happens_to_the_paths_costs_a_message() {
    for seed in 0..seeds(4) {
        let mut draw = Draw(seed);
        let mut world = World::ready(&["alice", "bob"]);
        let mut talk = Talk::default();
        talk.run(&mut world, SECOND);
        for _ in 0..12 {
            talk.run(&mut world, Duration::from_millis(draw.below(700)));
            match draw.below(6) {
                0 => world.cut(AT_ONCE),
                1 => world.cut(Duration::from_millis(draw.below(900))),
                2 if !world.links.is_empty() => world.lose_and_open(draw.below(2) as usize),
                3 if !world.links.is_empty() => world.restart_node(),
                _ => {}
            }
        }
        world.run_for(30 * SECOND);
        talk.judge_seed(&world, seed);
        assert_eq!(world.links.len(), 1, "seed {seed}: {}", world.describe());
        assert!(world.all_live(), "seed {seed}: {}", world.describe());
    }
}

/// Three runtimes that all write to each other from the beginning, so that every set-up has its rival, on
/// links that cannot always be made. In the end each pair has one connection, and no message was lost,
/// doubled or reordered.
#[test]
fn three_runtimes_end_with_one_connection_for_each_pair() {
    const NAMES: [&str; 3] = ["alice", "bob", "carol"];
    for seed in 0..seeds(4) {
        let mut draw = Draw(seed + 1_000);
        let mut world = World::ready(&NAMES);
        let mut sent = 0;
        for _ in 0..150 {
            if draw.below(12) == 0 {
                world.dials_fail = draw.below(2) == 0;
                world.cut(Duration::from_millis(draw.below(200)));
            }
            sent += 1;
            for (from, to) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
                let posted = world.post(from, &hyperty(NAMES[to]), sent).unwrap();
                assert_eq!(posted.first_error(), None, "seed {seed}: {}", world.describe());
            }
            world.run_for(Duration::from_millis(draw.below(60)));
        }
        world.dials_fail = false;
        world.run_for(120 * SECOND);
        assert_eq!(world.links.len(), 3, "seed {seed}: {}", world.describe());
        for (party, name) in NAMES.iter().enumerate() {
            for from in NAMES.iter().filter(|from| *from != name) {
                let heard = world.parties[party].heard.lock();
                let of = heard.iter().filter(|(_, message)| message["from"] == hyperty(from));
                let numbers: Vec<u64> =
                    of.map(|(_, message)| message["body"]["value"].as_u64().unwrap()).collect();
                drop(heard);
                let expected: Vec<u64> = (1..=sent).collect();
                assert_eq!(
                    numbers,
                    expected,
                    "seed {seed}: {from} to {name}\n{}",
                    world.describe()
                );
            }
        }
    }
}

fn seeds(usual: u64) -> u64 {
    std::env::var("WORLD_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// Messages with running numbers, both ways.
#[derive(Default)]
struct Talk {
    sent: u64,
}

impl Talk {
    fn run(&mut self, world: &mut World, span: Duration) {
        let end = world.now + span;
        while world.now < end {
            self.sent += 1;
            for (from, to) in [(ALICE, "bob"), (BOB, "alice")] {
                let posted = world.post(from, &hyperty(to), self.sent).unwrap();
                assert_eq!(posted.first_error(), None, "{}", world.describe());
            }
            world.run_for(STEP);
        }
    }

    /// 0 lost, 0 duplicated, 0 reordered.
    fn judge(&self, world: &World) {
        self.judge_seed(world, 0);
    }

    fn judge_seed(&self, world: &World, seed: u64) {
        for party in [ALICE, BOB] {
            let heard: Vec<u64> = heard(world, party).iter().map(|(_, number)| *number).collect();
            let expected: Vec<u64> = (1..=self.sent).collect();
            let first = heard.iter().zip(&expected).position(|(heard, expected)| heard != expected);
            assert!(
                heard == expected,
                "seed {seed}: {} heard {} of {}, wrong from {first:?} on\n{}",
                world.parties[party].name,
                heard.len(),
                self.sent,
                world.describe()
            );
        }
    }
}

/// Numbers from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn live(world: &World, party: usize) -> bool {
    world.parties[party].statuses.last().is_some_and(|last| last.1 == Status::Live)
}

fn heard(world: &World, party: usize) -> Vec<(Path, u64)> {
    let heard = world.parties[party].heard.lock();
    heard
        .iter()
        .map(|(path, message)| (*path, message["body"]["value"].as_u64().unwrap()))
        .collect()
}
