//! Goal: what a Message Node must know of a runtime is said until it has confirmed it, however often it
//! forgets and sockets break; till then nobody could be reached by it. Method: a world without a network on a
//! virtual clock (see [`world`]); each test is headed with the story of what the simulation found.

#[path = "support/world.rs"]
mod world;

use std::{cell::Cell, rc::Rc, time::Duration};

use hyperty_router::address::Url;
use serde_json::Value;
use world::{NODE_LATENCY, World, hyperty};

const ALICE: usize = 0;
const BOB: usize = 1;
const SECOND: Duration = Duration::from_secs(1);

/// The Message Node forgot everything, and the new sessions broke before what was said by them had arrived.
/// They were opened again by their tokens, so nothing was said again: the registrations and paths still
/// counted as confirmed, by the Message Node that had forgotten them, until each request had been without an
/// answer for 15 s. Until then whoever wrote by Message Node was given its messages back, though both
/// sessions were open.
#[test]
fn what_broke_with_the_first_socket_after_a_restart_is_said_by_the_second() {
    let mut world = World::connected();
    restart_and_break(&mut world);
    world.dials_fail = true;
    world.cut(Duration::ZERO);
    for value in 2..5 {
        world.post(ALICE, &hyperty("bob"), value).unwrap();
        world.post(BOB, &hyperty("alice"), value).unwrap();
    }
    world.run_for(SECOND);
    for party in [ALICE, BOB] {
        assert_eq!(heard(&world, party).last(), Some(&4), "{}", world.describe());
        // Acknowledged as well: that comes to the stubs, by their paths.
        assert!(world.parties[party].ua.is_idle(), "{}", world.describe());
        assert!(world.parties[party].undelivered.is_empty());
    }
}

/// A path whose answer was lost while the connection stood is set again, though nothing is to be set up:
/// where a Message Node goes by the paths alone, the hand-over's control words come by it, and the next
/// set-up's answers.
#[test]
fn a_path_without_an_answer_is_set_again_while_the_connection_stands() {
    let mut world = World::connected();
    let asked = |world: &World| {
        let paths = world.written(ALICE, "subscribe");
        paths.iter().filter(|of| path_of(of).is_some_and(is_requester)).count()
    };
    let before = asked(&world);
    let lost = Rc::new(Cell::new(0));
    let losing = lost.clone();
    world.meddle = Some(Box::new(move |message| {
        let is_path = path_of(message).is_some_and(is_requester);
        let is_first = is_path && losing.replace(losing.get() + 1) == 0;
        // Its answer goes to somebody else.
        is_first.then(|| {
            let mut message = message.clone();
            message["id"] = 1_000_000.into();
            message
        })
    }));
    world.restart_node();
    world.run_for(SECOND);
    assert_eq!((asked(&world), lost.get()), (before + 1, 1));
    world.run_for(20 * SECOND);
    assert_eq!(asked(&world), before + 2, "{}", world.describe());
    assert!(is_live(&world, ALICE));
}

/// The path that a subscribe request asks for.
fn path_of(message: &Value) -> Option<&str> {
    message["body"]["subscribe"][0].as_str()
}

fn is_requester(path: &str) -> bool {
    path.ends_with("/p2prequester/1")
}

/// The word that a Hyperty is no more was under way on a socket that broke: it stayed in the domain registry
/// for an hour, and whoever looked it up was sent there. Now it is said again until it is confirmed; not if
/// the Hyperty is back.
#[test]
fn what_was_removed_is_said_until_it_is_confirmed() {
    let mut world = World::ready(&["alice", "bob"]);
    let entries = |world: &World| world.node.metrics().registry_entries;
    world.add_hyperty(BOB, "comm://example.org/1");
    world.add_hyperty(BOB, "comm://example.org/2");
    world.run_for(SECOND);
    assert_eq!(entries(&world), 4);
    let now = world.now;
    for url in ["comm://example.org/1", "comm://example.org/2"] {
        assert!(world.parties[BOB].ua.remove_resource(&Url::parse(url).unwrap(), now));
    }
    world.run_for(NODE_LATENCY / 2);
    world.lose_socket(BOB);
    world.run_for(SECOND);
    assert_eq!(entries(&world), 4);
    world.add_hyperty(BOB, "comm://example.org/2");
    world.open_socket(BOB);
    world.run_for(SECOND);
    assert_eq!(entries(&world), 3);
    let said = world.written(BOB, "delete").len();
    world.run_for(60 * SECOND);
    assert_eq!((entries(&world), world.written(BOB, "delete").len()), (3, said));
}

/// The Message Node forgets, the sessions are opened anew, and each socket breaks with what was first said by
/// it.
fn restart_and_break(world: &mut World) {
    world.restart_node();
    world.run_for(2 * NODE_LATENCY + NODE_LATENCY / 2);
    for party in [ALICE, BOB] {
        world.lose_and_open(party);
    }
    world.run_for(SECOND);
}

fn is_live(world: &World, party: usize) -> bool {
    world.words(party).last() == Some(&"live")
}

/// The values that the Hyperty of `party` took, in order.
fn heard(world: &World, party: usize) -> Vec<u64> {
    let heard = world.parties[party].heard.lock();
    heard.iter().map(|(_, message)| message["body"]["value"].as_u64().unwrap()).collect()
}
