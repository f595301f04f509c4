//! Goal: a peer that breaks the protocol in the middle of a run is cut, counted and reported; what stood
//! before the fault is delivered, and what stood behind it comes another way, each once and in order. Method:
//! a world without a network on a virtual clock (see [`world`]), whose links hand over in runs what arrives
//! together, as a transport's reader does; frames that our runtimes never send are put between theirs.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use bytes::Bytes;
use hyperty_router::{bus::Drop, link::Outgoing};
use world::{LINK_LATENCY, World, hyperty};

const ALICE: usize = 0;
const BOB: usize = 1;
const SECOND: Duration = Duration::from_secs(1);

/// Puts `fault` into the middle of a run from Alice to Bob, `behind` more messages; what Bob makes of it.
fn cut_by(fault: Outgoing, reason: &str, counted: Drop) {
    let mut world = World::connected();
    let count = |world: &World| world.parties[BOB].ua.bus().counters().drops(counted);
    let before = count(&world);
    for value in 2..5 {
        world.post(ALICE, &hyperty("bob"), value).unwrap();
    }
    world.run_for(Duration::ZERO);
    world.inject(ALICE, fault);
    for value in 5..8 {
        world.post(ALICE, &hyperty("bob"), value).unwrap();
    }
    world.run_for(LINK_LATENCY);
    assert_eq!(heard(&world), [1, 2, 3, 4], "{reason}: before it, at once\n{}", world.describe());
    assert_eq!(count(&world), before + 1, "{reason}: counted once");
    for party in [ALICE, BOB] {
        let reasons = &world.parties[party].reasons;
        assert!(reasons.iter().any(|of| of.contains(reason)), "{reason}: reported in {reasons:?}");
        assert_eq!(world.words(party).last(), Some(&"disconnected"), "{reason}: cut");
    }
    world.run_for(SECOND / 4);
    assert_eq!(heard(&world), [1, 2, 3, 4, 5, 6, 7], "{reason}: behind it\n{}", world.describe());
    world.run_for(5 * SECOND);
    assert!(world.all_live(), "{}", world.describe());
    assert_eq!(heard(&world).len(), 7);
    assert!(world.parties[ALICE].undelivered.is_empty());
    assert_eq!(count(&world), before + 1, "nothing more of it is taken");
}

fn plain(text: String) -> Outgoing {
    Outgoing::Message { bytes: text.into(), hop: None }
}

fn message_from(from: &str) -> Outgoing {
    let to = hyperty("bob");
    plain(format!(r#"{{"type":"update","from":"{from}","to":"{to}","body":{{"value":99}}}}"#))
}

#[test]
fn a_frame_that_is_no_message() {
    cut_by(plain(r#"{"type":"update","#.into()), "a frame is no message", Drop::NotAMessage);
    cut_by(plain(String::new()), "a frame is no message", Drop::NotAMessage);
}

#[test]
fn a_message_in_our_own_name() {
    cut_by(message_from(&hyperty("bob")), "no right to send from", Drop::ForgedFrom);
    let registry = "hyperty-runtime://example.org/bob/registry";
    cut_by(message_from(registry), "no right to send from", Drop::ForgedFrom);
}

#[test]
fn control_that_makes_no_sense() {
    let reason = "a control frame makes no sense";
    cut_by(Outgoing::Control(r#"{"control":"ack"}"#.into()), reason, Drop::Control);
    cut_by(Outgoing::Control(r#"{"control":"dance"}"#.into()), reason, Drop::Control);
    let text = "a control frame is no UTF-8";
    cut_by(Outgoing::Control(Bytes::from_static(&[0xff, 0xfe])), text, Drop::Control);
}

/// The values that Bob's Hyperty took, in order.
fn heard(world: &World) -> Vec<u64> {
    let heard = world.parties[BOB].heard.lock();
    heard.iter().map(|(_, message)| message["body"]["value"].as_u64().unwrap()).collect()
}
