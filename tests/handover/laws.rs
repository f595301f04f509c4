//! Single laws that the simulation meets seldom or does not look at: idle ends, refusals, plain messages,
//! what a user is told. Two peers, handed each other's frames by a loop, on a virtual clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::two::{LATER, Two, other_stub, url};
use bytes::Bytes;
use hyperty_router::{
    handover::{Config, ControlError, Event, Outcome, SendError},
    limits::HANDOVER_ACK_WAIT,
    link::{Delivery, Ingress, Outgoing, Path},
    message::Message,
};

#[test]
fn a_window_that_is_used_up_refuses_with_numbers_and_opens_by_acknowledgement() {
    let mut two = Two::agreed(Config { window_bytes: 300, ..Config::default() });
    let mut accepted = 0;
    let refused = loop {
        match two.send("x") {
            Ok(_) => accepted += 1,
            Err(refused) => break refused,
        }
    };
    let SendError::WindowFull { bytes, bytes_max: 300, messages } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((messages, two.sides[0].peer.unacknowledged()), (accepted, (accepted, bytes)));
    two.pass(LATER);
    assert_eq!(two.sides[0].peer.unacknowledged(), (0, 0));
    assert_eq!(two.send("y"), Ok(Path::MessageNode));
}

#[test]
fn to_a_peer_that_is_not_ours_messages_are_plain_and_follow_the_connection() {
    let mut two = Two::new(Config { dwell: Duration::ZERO, ..Config::default() });
    assert_eq!(two.send("a"), Ok(Path::MessageNode));
    two.open();
    assert_eq!(two.send("b"), Ok(Path::P2p));
    let why = two.sides[0].peer.explain(Some(&two.sides[0].stub), two.now).to_string();
    assert_eq!(why, "p2p, plain: the direct way by runtime://a/1/p2phandler/1/c is open");
    two.sides[0].peer.close_direct(two.now);
    assert_eq!(two.send("c"), Ok(Path::MessageNode));
    two.settle();
    assert_eq!(two.sides[1].heard.len(), 3);
    assert_eq!(two.sides[0].peer.counters().accepted, 0);
}

#[test]
fn the_first_direct_way_is_taken_at_once_and_a_later_one_after_the_dwell() {
    let mut two = Two::agreed(Config { dwell: Duration::from_millis(500), ..Config::default() });
    let explain =
        |two: &Two| two.sides[0].peer.explain(Some(&two.sides[0].stub), two.now).to_string();
    assert_eq!(two.send("a"), Ok(Path::MessageNode));
    assert_eq!(explain(&two), "message-node, numbered: no direct way is open");
    two.pass(LATER);
    two.open();
    assert_eq!(two.send("b"), Ok(Path::P2p));
    two.settle();
    two.sides[0].peer.close_direct(two.now);
    assert_eq!(two.send("c"), Ok(Path::MessageNode));
    two.open();
    let waiting = "message-node, numbered: the direct way came back and is used in 500 ms";
    assert_eq!(explain(&two), waiting);
    assert_eq!(two.send("d"), Ok(Path::MessageNode));
    two.pass(Duration::from_millis(500));
    assert_eq!(two.send("e"), Ok(Path::P2p));
    two.pass(LATER);
    assert_eq!(two.sides[1].heard, ["a", "b", "c", "d", "e"]);
}

/// Plain messages are under way by the stub when the stream is agreed and a direct way opens.
#[test]
fn a_barrier_holds_until_its_marker_is_answered() {
    let mut two = Two::new(Config::default());
    two.sides.iter().for_each(|side| side.peer.set_capable(true));
    assert_eq!(two.send("plain"), Ok(Path::MessageNode));
    let mut slow = Vec::new();
    two.sides[0].by_node.try_drain(&mut slow, usize::MAX);
    two.sides[1].peer.offer(two.now);
    two.open();
    // The Message Node still holds everything that the stub was given.
    assert!(two.sides[0].peer.is_numbered());
    two.sides[0].peer.bind(&two.sides[0].stub, two.now).expect("a known stub");
    assert_eq!(two.send("first"), Ok(Path::MessageNode));
    let why = two.sides[0].peer.explain(Some(&two.sides[0].stub), two.now).to_string();
    assert!(why.starts_with("message-node, numbered: earlier messages"), "{why}");
    let now = two.now;
    slow.into_iter().for_each(|frame| two.sides[1].arrive(frame, now));
    two.pass(LATER);
    assert_eq!(two.send("second"), Ok(Path::P2p));
    two.settle();
    assert_eq!(two.sides[1].heard, ["plain", "first", "second"]);
}

/// An offer that was repeated found a stub without a marker, for it was first used after the stream was
/// agreed, and left a time-out that was due at once instead of sending the marker. Nothing moves before its
/// answer either way.
#[test]
fn a_repeated_offer_marks_what_has_no_marker() {
    let mut two = Two::agreed(Config::default());
    two.send("a").expect("room");
    two.pass(LATER);
    two.open();
    let (other, slow) = other_stub();
    let fast = std::mem::replace(&mut two.sides[0].stub, other);
    assert_eq!(two.send("b"), Ok(Path::MessageNode));
    two.sides[1].peer.offer(two.now);
    two.settle();
    assert!(two.sides[0].peer.poll_timeout().is_some_and(|due| due > two.now));
    let mut frames = Vec::new();
    slow.try_drain(&mut frames, usize::MAX);
    assert_eq!(frames.len(), 2, "the message and behind it a marker");
    assert_eq!(two.send("c"), Ok(Path::MessageNode));
    slow.try_drain(&mut frames, usize::MAX);
    two.sides[0].stub = fast;
    assert_eq!(two.send("d"), Ok(Path::P2p));
    let now = two.now;
    frames.into_iter().for_each(|frame| two.sides[1].arrive(frame, now));
    two.pass(LATER);
    assert_eq!(two.sides[1].heard, ["a", "b", "c", "d"]);
    assert_eq!(two.sides[0].peer.counters().resent, 0);
}

#[test]
fn an_idle_stream_ends_and_a_new_one_starts_empty() {
    let mut two = Two::agreed(Config::default());
    assert_eq!(two.send("a"), Ok(Path::MessageNode));
    two.pass(Duration::from_secs(59));
    assert!(two.sides[0].peer.is_numbered());
    two.pass(Duration::from_secs(2));
    assert!(!two.sides[0].peer.is_numbered());
    assert_eq!(two.send("b"), Ok(Path::MessageNode));
    two.sides[1].peer.offer(two.now);
    two.settle();
    assert!(two.sides[0].peer.is_numbered());
    assert_eq!(two.send("c"), Ok(Path::MessageNode));
    two.pass(LATER);
    assert_eq!(two.sides[1].heard, ["a", "b", "c"]);
    assert_eq!(two.sides[0].peer.counters().delivered, 2);
}

#[test]
fn what_never_left_is_returned_and_what_left_is_in_doubt() {
    let two = Two::agreed(Config::default());
    let from = &two.sides[0];
    two.send("left").expect("room");
    from.by_node.try_drain(&mut Vec::new(), usize::MAX);
    from.by_node.close();
    two.send("stayed").expect("room");
    let late = two.now + Duration::from_secs(11);
    from.peer.handle_timeout(late, &mut |_| Ok(()));
    let mut outcomes = Vec::new();
    from.peer.drain_outcomes(&mut outcomes);
    assert!(
        matches!(&outcomes[..], [Outcome::Returned { code: 503, .. }, Outcome::InDoubt { .. }]),
        "{outcomes:?}"
    );
    assert_eq!(from.peer.unacknowledged(), (0, 0));
}

#[test]
fn control_that_is_wrong_changes_nothing() {
    let mut two = Two::agreed(Config::default());
    two.send("a").expect("room");
    let peer = &two.sides[0].peer;
    let stream = format!("{:032x}", (1_u128 << 32) + 1);
    let ack = format!(r#"{{"control":"ack","stream":"{stream}","number":2}}"#);
    let error = peer.handle_control(&ack, Path::P2p, two.now);
    assert_eq!(error, Err(ControlError::Beyond { number: 2, sent: 1 }));
    assert!(peer.handle_control("{", Path::P2p, two.now).is_err());
    assert_eq!(peer.unacknowledged().0, 1);
    let resource = url("hyperty://b/9");
    let not_here = r#"{"control":"not-here","resource":"hyperty://b/9"}"#;
    let event = peer.handle_control(not_here, Path::P2p, two.now);
    assert_eq!(event, Ok(Some(Event::NotHere { resource })));
    two.pass(LATER);
    assert_eq!(two.sides[1].heard, ["a"]);
}

#[test]
fn the_alarm_rings_when_the_next_time_out_moves_earlier() {
    let mut two = Two::agreed(Config::default());
    two.pass(Duration::from_secs(10));
    let rung = Arc::new(AtomicU64::new(0));
    let bell = Arc::clone(&rung);
    two.sides[0].peer.set_alarm(Box::new(move || {
        bell.fetch_add(1, Ordering::Relaxed);
    }));
    let before = two.sides[0].peer.poll_timeout();
    two.send("a").expect("room");
    let after = two.sides[0].peer.poll_timeout();
    assert!(after < before, "{before:?} {after:?}");
    assert_eq!(rung.load(Ordering::Relaxed), 1);
}

/// No lock is taken twice and no order is lost when many threads send while others carry frames.
#[test]
fn threads_that_send_at_once_keep_each_its_order() {
    const THREADS: usize = 4;
    const MESSAGES: usize = 3_000;
    let mut two = Two::agreed(Config { window_bytes: 64 << 20, ..Config::default() });
    two.open();
    let Two { now, sides: [from, to] } = &mut two;
    let (now, from) = (*now, &*from);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let text = format!(
                        r#"{{"type":"update","from":"hyperty://a/{thread}","to":"hyperty://b/1","body":{{"t":"{thread} {number}"}}}}"#
                    );
                    let message = Message::parse(Bytes::from(text)).expect("a message");
                    let delivery = Delivery { message, ingress: Ingress::LOCAL, hop: None };
                    from.peer.send(delivery, Some(&from.stub), now).expect("room");
                }
            });
        }
        while to.heard.len() < THREADS * MESSAGES {
            let mut frames = Vec::new();
            from.by_node.try_drain(&mut frames, usize::MAX);
            from.direct.try_drain(&mut frames, usize::MAX);
            from.peer.on_room(now);
            frames.into_iter().for_each(|frame| to.arrive(frame, now));
        }
    });
    for thread in 0..THREADS {
        let mine = to.heard.iter().filter_map(|text| text.strip_prefix(&format!("{thread} ")));
        let numbers: Vec<usize> = mine.map(|text| text.parse().expect("a number")).collect();
        assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>());
    }
}

/// The listener is full for longer than the deadline allows, while all that was sent is held back. The
/// receiver confirms the fence, so the sender knows what will never be delivered: 503, although it was sent.
#[test]
fn what_the_receiver_has_fenced_is_returned_though_it_was_sent() {
    let mut two = Two::agreed(Config::default());
    two.send("taken").expect("room");
    two.settle();
    two.sides[1].full = true;
    two.send("held").expect("room");
    two.pass(Duration::from_millis(9_500));
    let mut outcomes = Vec::new();
    two.sides[0].peer.drain_outcomes(&mut outcomes);
    assert!(matches!(&outcomes[..], [Outcome::Returned { code: 503, .. }]), "{outcomes:?}");
    two.sides[1].full = false;
    two.send("later").expect("room");
    two.pass(Duration::from_millis(100));
    assert_eq!(two.sides[1].heard, ["taken", "later"]);
    let counters = two.sides[0].peer.counters();
    assert_eq!((counters.delivered, counters.returned, counters.in_doubt), (2, 1, 0));
}

/// The word on a fence got lost, and meanwhile the listener took more. Asked again, the receiver still tells
/// what it fenced from what it took.
#[test]
fn a_fence_is_told_from_what_was_taken_after_it() {
    let mut two = Two::agreed(Config::default());
    two.sides[1].full = true;
    two.send("fenced").expect("room");
    two.pass(Duration::from_millis(8_000));
    two.send("taken").expect("room");
    two.pass(Duration::from_millis(990));
    // The fence goes out at nine seconds; what the receiver says is lost for a while.
    two.sides[1].mute = true;
    two.pass(Duration::from_millis(500));
    two.sides[1].full = false;
    two.pass(Duration::from_millis(100));
    two.sides[1].mute = false;
    two.pass(Duration::from_millis(300));
    let mut outcomes = Vec::new();
    two.sides[0].peer.drain_outcomes(&mut outcomes);
    assert!(matches!(&outcomes[..], [Outcome::Returned { code: 503, .. }]), "{outcomes:?}");
    assert_eq!(two.sides[1].heard, ["taken"]);
    let counters = two.sides[0].peer.counters();
    assert_eq!((counters.delivered, counters.returned, counters.in_doubt), (1, 1, 0));
}

/// A message was taken, and its acknowledgement was under way by a slow Message Node when the sender gave it
/// up. The acknowledgement came in time, but counted for nothing; and the word on the fence came after the
/// deadline. Given before the receiver had heard of the fence, it can only mean that the listener took the
/// message.
#[test]
fn an_acknowledgement_that_crossed_the_fence_counts() {
    let mut two = Two::agreed(Config::default());
    two.send("slow").expect("room");
    let mut frames = Vec::new();
    two.sides[0].by_node.try_drain(&mut frames, usize::MAX);
    two.sides[0].mute = true;
    two.pass(Duration::from_millis(8_900));
    let now = two.now;
    frames.into_iter().for_each(|frame| two.sides[1].arrive(frame, now));
    assert_eq!(two.sides[1].heard, ["slow"]);
    let later = now + HANDOVER_ACK_WAIT;
    two.sides[1].peer.handle_timeout(later, &mut |_| Ok(()));
    let mut acknowledgement = Vec::new();
    two.sides[1].by_node.try_drain(&mut acknowledgement, usize::MAX);
    two.pass(Duration::from_millis(800));
    assert_eq!(two.sides[0].peer.unacknowledged().0, 1);
    let now = two.now;
    acknowledgement.into_iter().for_each(|frame| two.sides[0].arrive(frame, now));
    assert_eq!(two.sides[0].peer.unacknowledged(), (0, 0));
    two.pass(Duration::from_secs(1));
    let mut outcomes = Vec::new();
    two.sides[0].peer.drain_outcomes(&mut outcomes);
    assert!(outcomes.is_empty(), "{outcomes:?}");
    assert_eq!(two.sides[0].peer.counters().delivered, 1);
}

/// One that was given after the receiver had heard of the fence says nothing about what lies below: it goes
/// up to there though the listener never took it.
#[test]
fn an_acknowledgement_from_behind_the_fence_does_not_count() {
    let mut two = Two::agreed(Config::default());
    two.sides[1].full = true;
    two.send("fenced").expect("room");
    two.pass(Duration::from_millis(8_990));
    two.now += Duration::from_millis(20);
    let now = two.now;
    two.sides[0].peer.handle_timeout(now, &mut |_| Ok(()));
    let (mut asked, mut answers) = (Vec::new(), Vec::new());
    two.sides[0].by_node.try_drain(&mut asked, usize::MAX);
    asked.into_iter().for_each(|frame| two.sides[1].arrive(frame, now));
    two.sides[1].by_node.try_drain(&mut answers, usize::MAX);
    let is = |word: &str, frame: &Outgoing| {
        let Outgoing::Message { bytes, .. } = frame else { return false };
        memchr::memmem::find(bytes, word.as_bytes()).is_some()
    };
    let (words, acknowledgements): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|frame| is("fenced", frame));
    assert!(acknowledgements.iter().any(|frame| is(r#""number":1,"base":2"#, frame)));
    acknowledgements.into_iter().for_each(|frame| two.sides[0].arrive(frame, now));
    assert_eq!(two.sides[0].peer.unacknowledged().0, 1);
    words.into_iter().for_each(|frame| two.sides[0].arrive(frame, now));
    let counters = two.sides[0].peer.counters();
    assert_eq!((counters.delivered, counters.returned, counters.in_doubt), (0, 1, 0));
    assert!(two.sides[1].heard.is_empty());
}

/// Half of what went by a Message Node was lost, every other message. A receiver that named one gap at a time
/// took a round trip for each, and by a slow Message Node the deadline came before the last one.
#[test]
fn many_gaps_are_filled_at_once() {
    let mut two = Two::agreed(Config::default());
    for number in 0..20 {
        two.send(&number.to_string()).expect("room");
    }
    let mut frames = Vec::new();
    two.sides[0].by_node.try_drain(&mut frames, usize::MAX);
    for frame in frames.into_iter().step_by(2) {
        two.sides[1].arrive(frame, two.now);
    }
    two.pass(Duration::from_millis(190));
    assert_eq!(two.sides[1].heard, ["0"]);
    // The gaps are named at 200 ms, all in one.
    two.pass(Duration::from_millis(20));
    assert_eq!(two.sides[1].heard.len(), 19);
    assert_eq!(two.sides[0].peer.counters().resent, 9);
    // That the last one is missing nobody knows before the sender asks.
    two.pass(Duration::from_millis(1_500));
    assert_eq!(two.sides[1].heard.len(), 20);
    assert_eq!(two.sides[1].peer.counters().duplicate, 0);
}

/// Messages that a barrier kept on a stub were lost there, and what was asked for again was lost as well, so
/// that the answers had become seldom. When the barrier is lifted there is another way, and the next time
/// that they are asked for they take it.
#[test]
fn what_a_barrier_kept_is_sent_again_as_soon_as_it_is_lifted() {
    let mut two = Two::agreed(Config::default());
    two.open();
    let (other, slow) = other_stub();
    two.sides[0].stub = other;
    assert_eq!(two.send("a"), Ok(Path::MessageNode));
    assert_eq!(two.send("b"), Ok(Path::MessageNode));
    let (start, mut lost) = (two.now, Vec::new());
    // For so long that what was just sent again would rest for more than a second.
    let mut resent = (0, 0);
    while two.now < start + Duration::from_secs(3) || resent.0 == resent.1 {
        two.pass(Duration::from_millis(50));
        slow.try_drain(&mut lost, usize::MAX);
        resent = (resent.1, two.sides[0].peer.counters().resent);
    }
    assert!(two.sides[1].heard.is_empty() && resent.1 >= 8, "{resent:?}");
    let is_marker = |frame: &Outgoing| match frame {
        Outgoing::Message { bytes, .. } => memchr::memmem::find(bytes, b"\"marker\"").is_some(),
        Outgoing::Control(_) => false,
    };
    let marker = lost.into_iter().rfind(is_marker).expect("one each second");
    let now = two.now;
    two.sides[1].arrive(marker, now);
    two.pass(Duration::from_millis(210));
    assert_eq!(two.sides[1].heard, ["a", "b"]);
}

/// The Message Node is silent, and still has a plain message. What was numbered before that one was posted
/// may not wait for it for longer than eight seconds; what was numbered after it waits for as long itself.
#[test]
fn a_barrier_lapses_for_what_has_waited_and_not_for_what_came_later() {
    let mut two = Two::agreed(Config::default());
    let (other, slow) = other_stub();
    two.sides[0].stub = other;
    two.open();
    let start = two.now;
    let silence = |two: &mut Two, until: u64| {
        let left = start + Duration::from_millis(until) - two.now;
        two.pass(left);
        slow.try_drain(&mut Vec::new(), usize::MAX);
    };
    assert_eq!(two.send("early"), Ok(Path::MessageNode));
    silence(&mut two, 500);
    // Somebody's messages took the stub plain until now.
    two.sides[0].peer.bind(&two.sides[0].stub, two.now).expect("a known stub");
    silence(&mut two, 7_000);
    assert_eq!(two.send("late"), Ok(Path::MessageNode));
    silence(&mut two, 7_990);
    assert_eq!(two.sides[1].heard, [""; 0]);
    silence(&mut two, 8_010);
    assert_eq!(two.sides[1].heard, ["early"]);
    assert_eq!(two.send("later"), Ok(Path::MessageNode));
    silence(&mut two, 14_990);
    assert_eq!(two.sides[1].heard, ["early"]);
    // By now nothing plain can be younger than that.
    silence(&mut two, 15_010);
    assert_eq!(two.sides[1].heard, ["early", "late", "later"]);
    assert_eq!(two.send("last"), Ok(Path::P2p));
}

/// What has lapsed goes by the direct way in one run, and the run ends where the barrier still counts.
#[test]
fn a_run_ends_where_the_barrier_still_counts() {
    let mut two = Two::agreed(Config { dwell: Duration::ZERO, ..Config::default() });
    let (other, slow) = other_stub();
    two.sides[0].stub = other;
    two.open();
    two.send("a").expect("room");
    two.send("b").expect("room");
    two.pass(Duration::from_secs(4));
    two.sides[0].peer.bind(&two.sides[0].stub, two.now).expect("a known stub");
    two.send("c").expect("room");
    // Lost by the direct way, and asked for again by nobody: the way closes, and all goes again when it opens.
    two.pass(Duration::from_millis(3_990));
    two.sides[0].mute = true;
    two.pass(Duration::from_millis(20));
    two.sides[0].mute = false;
    two.sides[0].peer.close_direct(two.now);
    slow.try_drain(&mut Vec::new(), usize::MAX);
    two.sides[0].by_node.try_drain(&mut Vec::new(), usize::MAX);
    two.open();
    two.pass(Duration::from_millis(300));
    assert_eq!(two.sides[1].heard, ["a", "b"]);
}

/// A stub that nobody uses any more keeps its barrier, for its Message Node is dead. What takes the direct way
/// meanwhile, and is not acknowledged since the listener is full, is not sent again for that.
#[test]
fn a_barrier_that_holds_nothing_costs_nothing() {
    let mut two = Two::agreed(Config::default());
    two.open();
    assert_eq!(two.send("a"), Ok(Path::P2p));
    let (other, _) = other_stub();
    two.sides[0].peer.bind(&other, two.now).expect("a second stub");
    two.sides[1].full = true;
    assert_eq!(two.send("b"), Ok(Path::P2p));
    assert_eq!(two.send("c"), Ok(Path::P2p));
    two.pass(Duration::from_millis(8_500));
    two.sides[1].full = false;
    two.pass(Duration::from_millis(300));
    assert_eq!(two.sides[1].heard, ["a", "b", "c"]);
    assert_eq!(two.sides[0].peer.counters().resent, 0);
}
