//! Goal: what was agreed with an earlier process life of a runtime ends at once when the new one is met,
//! whatever it is met by; and what the hand-over has to do at a moment is done when that moment's time-outs
//! are. Method: a world without a network on a virtual clock (see [`world`]); each test is headed with the
//! story of what the simulation found.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use serde_json::json;
use world::{World, hyperty};

const ALICE: usize = 0;
const BOB: usize = 1;
const SECOND: Duration = Duration::from_secs(1);

/// Alice came back as a new process and heard of Bob by her own message, before there was a connection. What
/// Bob still sent in the old stream she could not answer, for she knew Bob but no way to his stub: all of it
/// was in doubt after ten seconds, one by one, instead of Bob's hearing at once that the stream is no more.
#[test]
fn a_new_life_that_knows_a_peer_by_a_message_answers_for_the_old_stream() {
    let mut world = World::connected();
    world.kill(ALICE, Duration::from_millis(800));
    world.run_for(2 * SECOND);
    world.dials_fail = true;
    world.revive(ALICE);
    world.run_until("Alice is ready", |world| world.parties[ALICE].ready);
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    world.run_for(SECOND / 4);
    world.post(BOB, &hyperty("alice"), 3).unwrap();
    world.run_for(SECOND);
    let told: Vec<u16> = world.parties[BOB].undelivered.iter().map(|(code, _)| *code).collect();
    assert_eq!(told, [504], "{}", world.describe());
    world.post(BOB, &hyperty("alice"), 4).unwrap();
    world.run_for(SECOND);
    assert_eq!(heard(&world, ALICE), [4]);
}

/// Bob held a message of Alice's back when she died, and asked her Requester stub for what was missing. Her
/// new life had no reason yet to have one, so nobody answered, and Bob held the message for ten minutes.
#[test]
fn a_new_life_answers_for_the_stubs_of_the_old_one() {
    let mut world = World::connected();
    world.dials_fail = true;
    world.cut(Duration::ZERO);
    world.run_for(SECOND);
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    world.run_for(SECOND);
    let (stream, number) = last_hop(&world, BOB);
    let (from, to, number) = (hyperty("alice"), hyperty("bob"), number + 2);
    world.kill(ALICE, Duration::from_millis(800));
    world.arrive(
        BOB,
        format!(
            r#"{{"hop":[{stream},{number}],"type":"update","from":"{from}","to":"{to}","body":{{"value":4}}}}"#
        ),
    );
    let alice = world.parties[ALICE].url.clone();
    let held = |world: &World| {
        let bus = world.parties[BOB].ua.bus();
        bus.peer_of(&alice.address()).expect("they spoke").held_back().0
    };
    world.run_for(2 * SECOND);
    assert_eq!(held(&world), 1);
    world.revive(ALICE);
    world.run_until("Alice is ready", |world| world.parties[ALICE].ready);
    world.run_for(SECOND);
    assert_eq!(held(&world), 0);
    assert_eq!(heard(&world, BOB), [1, 2]);
}

/// A way to the Message Node came back, and much was there at once: a time-out that was due, a message that
/// had to be held back, and in the inbox the `base` that set it free. The peers' time-outs were handled
/// before the inbox, so when all was handled one was due again, at the same moment.
#[test]
fn what_a_base_sets_free_is_delivered_by_the_time_out_that_meets_it() {
    let mut world = World::ready(&["alice", "bob"]);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", World::all_live);
    world.dials_fail = true;
    world.cut(Duration::ZERO);
    world.run_for(SECOND);
    world.post(ALICE, &hyperty("bob"), 2).unwrap();
    world.run_for(SECOND);
    assert_eq!(heard(&world, BOB), [1, 2]);
    let (stream, number) = last_hop(&world, BOB);
    // The next number never comes.
    let (from, to, number) = (hyperty("alice"), hyperty("bob"), number + 2);
    world.arrive(
        BOB,
        format!(
            r#"{{"hop":[{stream},{number}],"type":"update","from":"{from}","to":"{to}","body":{{"value":4}}}}"#
        ),
    );
    assert_eq!(heard(&world, BOB), [1, 2]);
    world.now = world.parties[BOB].ua.poll_timeout().unwrap();
    let [theirs, ours] = [ALICE, BOB].map(|party| world.parties[party].url.clone());
    let base = json!({ "control": "base", "stream": stream, "from": number - 1, "number": number });
    let (from, to) = (format!("{theirs}/p2prequester/1"), format!("{ours}/p2phandler/1/path"));
    let control = json!({ "id": 900, "type": "update", "from": from, "to": to, "body": base });
    world.arrive(BOB, control.to_string());
    let now = world.now;
    let bob = &mut world.parties[BOB].ua;
    bob.handle_timeout(now);
    assert!(bob.poll_timeout().is_none_or(|due| due > now), "handled, yet still due");
    assert_eq!(heard(&world, BOB), [1, 2, 4]);
}

/// Stream and number of what came last to `party` by Message Node.
fn last_hop(world: &World, party: usize) -> (serde_json::Value, u64) {
    let from_node = world.parties[party].from_node.iter();
    let hop = from_node.filter_map(|frame| frame["hop"].as_array()).next_back().unwrap();
    (hop[0].clone(), hop[1].as_u64().unwrap())
}

/// The values that the Hyperty of `party` took, in order.
fn heard(world: &World, party: usize) -> Vec<u64> {
    let heard = world.parties[party].heard.lock();
    heard.iter().map(|(_, message)| message["body"]["value"].as_u64().unwrap()).collect()
}
