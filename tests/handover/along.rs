//! An acknowledgement that goes along: when, by which way, and what becomes of it where it cannot.
//!
//! Side 0 sends by the direct way and side 1 takes; then side 1 sends, and what it leaves in its queues is
//! looked at frame by frame. On a virtual clock.

use std::{sync::Arc, time::Duration};

use super::two::{LATER, Two, other_stub};
use bytes::Bytes;
use hyperty_router::{
    handover::{Config, Sent},
    limits::HANDOVER_ACK_WAIT,
    link::{Delivery, Ingress, Outbox, Outgoing, Path},
    message::Message,
};

/// As many as are worth an acknowledgement that goes along, and as many as are worth one at once.
const ALONG: usize = 16;
const AT_ONCE: usize = 256;

#[test]
fn while_nothing_is_sent_only_number_and_time_count() {
    let mut two = two();
    take(&mut two, AT_ONCE - 1);
    assert_eq!(left(&two), [""; 0]);
    two.pass(HANDOVER_ACK_WAIT - Duration::from_millis(1));
    assert_eq!(two.sides[0].peer.unacknowledged().0, AT_ONCE - 1);
    two.pass(Duration::from_millis(2));
    assert_eq!(two.sides[0].peer.unacknowledged().0, 0);
    take(&mut two, AT_ONCE);
    assert_eq!(left(&two), [format!("ack {}", 2 * AT_ONCE - 1)]);
}

#[test]
fn behind_the_next_message_by_the_direct_way_goes_one() {
    let mut two = two();
    take(&mut two, ALONG - 1);
    assert_eq!(answer(&two, "a").path, Path::P2p);
    assert_eq!(left(&two), ["direct a"], "too few to be worth it");
    take(&mut two, 1);
    assert_eq!(answer(&two, "b").path, Path::P2p);
    assert_eq!(answer(&two, "c").path, Path::P2p);
    let direct = drain(&two.sides[1].direct);
    assert_eq!(words(&direct), ["b", "ack 16", "c"]);
    let now = two.now;
    direct.into_iter().for_each(|frame| two.sides[0].arrive(frame, now));
    assert_eq!(two.sides[0].peer.unacknowledged(), (0, 0));
    two.sides[1].peer.handle_timeout(now + LATER, &mut |_| Ok(()));
    assert_eq!(left(&two), [""; 0], "it needs none in its time");
}

/// A run that is sent together takes one along as well.
#[test]
fn behind_a_run_goes_one() {
    let mut two = two();
    take(&mut two, ALONG);
    let mut run = ["a", "b", "c"].map(|text| Some(message(text)));
    let side = &two.sides[1];
    let sent = side.peer.send_run(&mut run, Some(&side.stub), two.now).expect("room");
    assert_eq!((sent.count, sent.path), (3, Path::P2p));
    assert_eq!(left(&two), ["direct a", "direct b", "direct c", "ack 16"]);
}

/// What was taken since then is acknowledged in its time.
#[test]
fn what_is_taken_after_it_is_acknowledged_too() {
    let mut two = two();
    take(&mut two, ALONG);
    answer(&two, "a");
    assert_eq!(left(&two), ["direct a", "ack 16"]);
    take(&mut two, 1);
    two.sides[1].peer.handle_timeout(two.now + LATER, &mut |_| Ok(()));
    assert_eq!(left(&two), ["ack 17"]);
}

/// The direct way is open, but a stub that carried nothing yet is not clear.
#[test]
fn a_message_by_message_node_carries_none_along() {
    let mut two = two();
    take(&mut two, ALONG);
    let (stub, other) = other_stub();
    let known = std::mem::replace(&mut two.sides[1].stub, stub);
    assert_eq!(answer(&two, "a").path, Path::MessageNode);
    assert_eq!(words(&drain(&other)), ["a"]);
    assert_eq!(left(&two), [""; 0]);
    two.sides[1].stub = known;
    assert_eq!(answer(&two, "b").path, Path::P2p);
    assert_eq!(left(&two), ["direct b", "ack 16"]);
}

/// The listener answers at once, under the lock of what arrives. Were that lock waited for, this would not
/// end.
#[test]
fn a_listener_that_sends_while_it_is_delivered_to_leaves_it_to_the_next() {
    let mut two = two();
    take(&mut two, ALONG);
    two.send("x").expect("room");
    let [from, to] = &two.sides;
    let Some(Outgoing::Message { bytes, hop }) = drain(&from.direct).pop() else {
        panic!("a message")
    };
    let message = Message::parse(bytes).expect("parses");
    let delivery = Delivery { message, ingress: Ingress::LOCAL, hop };
    let mut answered = 0;
    let mut listener = |_| {
        answered += 1;
        assert_eq!(answer(&two, "a").path, Path::P2p);
        Ok(())
    };
    to.peer.receive(delivery, &mut listener, two.now).expect("taken");
    assert_eq!(answered, 1);
    assert_eq!(left(&two), ["direct a"]);
    assert_eq!(answer(&two, "b").path, Path::P2p);
    assert_eq!(left(&two), ["direct b", "ack 17"]);
}

/// Neither is it lost, nor does it take the Message Node, which it would cost a message.
#[test]
fn where_the_sink_has_no_room_for_it_it_comes_in_its_time() {
    let mut two = two_by(Outbox::new(2, 1 << 20));
    take(&mut two, ALONG);
    let junk = Outgoing::Control(Bytes::from_static(b"{}"));
    two.sides[1].direct.push(junk).expect("room for two");
    assert_eq!(answer(&two, "a").path, Path::P2p);
    assert_eq!(left(&two), ["direct {}", "direct a"]);
    assert_eq!(answer(&two, "b").path, Path::P2p);
    assert_eq!(left(&two), ["direct b"], "not enough since the last");
    two.sides[1].peer.handle_timeout(two.now + LATER, &mut |_| Ok(()));
    assert_eq!(left(&two), ["ack 16"]);
}

/// Two that are numbered both ways and speak directly; nothing is unacknowledged, nothing is under way.
fn two() -> Two {
    two_by(Outbox::new(1_000, 1 << 20))
}

/// The same; what leaves side 1 directly is queued in `direct`.
fn two_by(direct: Outbox<Outgoing>) -> Two {
    let mut two = Two::agreed(Config::default());
    two.sides[1].direct = Arc::new(direct);
    two.open();
    assert_eq!(answer(&two, "which stream it is, is said before the first").path, Path::P2p);
    two.pass(LATER);
    assert_eq!(two.sides[1].peer.unacknowledged(), (0, 0));
    two
}

/// Side 0 sends so many, and side 1 takes them.
fn take(two: &mut Two, count: usize) {
    for _ in 0..count {
        assert_eq!(two.send("x"), Ok(Path::P2p));
    }
    let now = two.now;
    for frame in drain(&two.sides[0].direct) {
        two.sides[1].arrive(frame, now);
    }
}

/// Side 1 sends.
fn answer(two: &Two, text: &str) -> Sent {
    let side = &two.sides[1];
    side.peer.send(message(text), Some(&side.stub), two.now).expect("room")
}

fn message(text: &str) -> Delivery {
    let bytes = format!(
        r#"{{"id":1,"type":"update","from":"hyperty://b/1","to":"hyperty://a/1","body":{{"t":"{text}"}}}}"#
    );
    let message = Message::parse(Bytes::from(bytes)).expect("a message of the test");
    Delivery { message, ingress: Ingress::LOCAL, hop: None }
}

fn drain(queue: &Outbox<Outgoing>) -> Vec<Outgoing> {
    let mut frames = Vec::new();
    queue.try_drain(&mut frames, usize::MAX);
    frames
}

/// What side 1 has left in its queues: by the direct way, then by the Message Node.
fn left(two: &Two) -> Vec<String> {
    let by = |way: &str, queue| {
        let words = words(&drain(queue)).into_iter();
        words
            .map(|word| if word.starts_with("ack") { word } else { format!("{way} {word}") })
            .collect()
    };
    let mut left: Vec<String> = by("direct", &two.sides[1].direct);
    let node: Vec<String> = by("node", &two.sides[1].by_node);
    left.extend(node);
    left
}

/// Each frame in short: a message by its text, an acknowledgement by its number.
fn words(frames: &[Outgoing]) -> Vec<String> {
    let word = |frame: &Outgoing| match frame {
        Outgoing::Message { bytes, .. } => {
            let message = Message::parse(bytes.clone()).expect("parses");
            message.body_text(&["t"]).map_or("control".to_owned(), String::from)
        }
        Outgoing::Control(text) => {
            let text = std::str::from_utf8(text).expect("control is text");
            let number = text.split_once(r#""number":"#).filter(|_| text.contains(r#""ack""#));
            let number = number.map(|(_, rest)| rest.split([',', '}']).next().unwrap_or_default());
            number.map_or(text.to_owned(), |number| format!("ack {number}"))
        }
    };
    frames.iter().map(word).collect()
}
