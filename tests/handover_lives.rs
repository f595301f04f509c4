//! Goal: what was agreed with an earlier process life of a runtime ends at once when the new one is met, whatever it
//! is met by. Method: a world without a network on a virtual clock (see [`world`]); each test is headed with the story
//! of what the simulation found.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use world::{World, hyperty};

const ALICE: usize = 0;
const BOB: usize = 1;
const SECOND: Duration = Duration::from_secs(1);

/// Alice came back as a new process and heard of Bob by her own message, before there was a connection. What Bob still
/// sent in the old stream she could not answer, for she knew Bob but no way to his stub: all of it was in doubt after
/// ten seconds, one by one, instead of Bob's hearing at once that the stream is no more.
#[test]
fn a_new_life_that_knows_a_peer_by_a_message_answers_for_the_old_stream() {
    let mut world = World::ready(&["alice", "bob"]);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", World::all_live);
    world.run_for(SECOND);
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
    let heard = world.parties[ALICE].heard.lock();
    let values: Vec<u64> =
        heard.iter().map(|(_, message)| message["body"]["value"].as_u64().unwrap()).collect();
    assert_eq!(values, [4]);
}
