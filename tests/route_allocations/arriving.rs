//! Messages that come in by a link, and go to local listeners.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hyperty_router::{
    bus::LastTaker,
    link::{Delivery, Ingress, LinkId, Path},
    message::{Hop, Message, write_hop},
};

use crate::{
    BUFFERS, Buffers, MESSAGES, OURS, THEIRS, TO,
    agreed::Agreed,
    bus,
    counting::{Asked, asked_by},
    drained, places, queue, settle, url,
};

const INGRESS: Ingress = Ingress { path: Path::P2p, link: LinkId(7) };

fn read(bytes: Bytes) -> Message {
    Message::parse(bytes).expect("a message")
}

pub(super) fn what_comes_by_a_link_is_handed_on() {
    let (bus, sink, now) = (bus(), queue(), Instant::now());
    bus.add_listener(url(TO), None, sink.clone());
    let arrive = |messages: Vec<Bytes>| {
        messages.into_iter().for_each(|bytes| {
            let delivery = Delivery { message: read(bytes), ingress: INGRESS, hop: None };
            bus.deliver_or_drop(delivery, now);
        });
    };
    arrive(Buffers::Pieces.messages(TO));
    drained(&sink);
    for buffers in BUFFERS {
        let messages = buffers.messages(TO);
        let expected = places(&messages);
        settle();
        assert_eq!(asked_by(|| arrive(messages)), Asked::NOTHING);
        let taken = drained(&sink);
        assert_eq!(places(&taken), expected);
        let alone = buffers == Buffers::Lone;
        assert!(!alone || taken.iter().all(Bytes::is_unique));
    }
}

/// One by one and in runs; a word of acknowledgement for every 256 of them is not counted here.
pub(super) fn numbered_messages_are_handed_on() {
    for in_runs in [false, true] {
        let mut now = Instant::now();
        let agreed = Agreed::new(OURS, THEIRS, MESSAGES, now);
        let (bus, sink) = (bus(), queue());
        bus.add_listener(url(TO), None, sink.clone());
        let (peer, stream) = (&agreed.theirs.peer, agreed.ours.peer.stream().expect("agreed"));
        let mut number = 0;
        let (mut run, mut last) = (Vec::with_capacity(MESSAGES), LastTaker::default());
        let mut arrive = |messages: Vec<Bytes>, now| {
            for bytes in messages {
                number += 1;
                let hop = Some(Hop { stream, number });
                run.push(Some(Delivery { message: read(bytes), ingress: INGRESS, hop }));
            }
            match in_runs {
                true => {
                    let deliver = &mut |run: &mut [_]| bus.deliver_run(run, &mut last, now);
                    peer.receive_run(&mut run, deliver, now);
                }
                false => run.drain(..).flatten().for_each(|numbered| {
                    let deliver = &mut |delivery| bus.deliver(delivery, now).map(drop);
                    peer.receive(numbered, deliver, now).expect("taken");
                }),
            }
            run.clear();
        };
        arrive(Buffers::Pieces.messages(TO), now);
        drained(&sink);
        for buffers in BUFFERS {
            now += Duration::from_secs(1);
            peer.handle_timeout(now, &mut |_| panic!("nothing is held back"));
            let messages = buffers.messages(TO);
            let expected = places(&messages);
            settle();
            // It is kept until the listener has said that it is not full.
            let asked = asked_by(|| arrive(messages, now));
            assert!(asked.is_within(buffers.shared()), "{buffers:?}: {asked:?}");
            let taken = drained(&sink);
            assert_eq!(places(&taken), expected);
            let alone = buffers == Buffers::Lone;
            assert!(!alone || taken.iter().all(Bytes::is_unique));
        }
    }
}

/// Messages with a number before them, as they come by Message Node.
fn with_hop(buffers: Buffers) -> Vec<Bytes> {
    let mut read = BytesMut::new();
    let with = |(bytes, number): (Bytes, u64)| {
        let mut hop = Vec::new();
        write_hop(Hop { stream: 7, number }, &mut hop);
        read.extend_from_slice(&hop);
        read.extend_from_slice(&bytes[1..]);
        match buffers {
            Buffers::Pieces => read.split().freeze(),
            Buffers::Lone => BytesMut::from(&read.split()[..]).freeze(),
        }
    };
    buffers.messages(TO).into_iter().zip(1..).map(with).collect()
}

fn split(messages: Vec<Bytes>, into: &mut Vec<Bytes>) {
    into.extend(messages.into_iter().map(|bytes| {
        let (_, message) = read(bytes).split_hop().expect("a hop");
        message.into_bytes()
    }));
}

pub(super) fn a_hop_is_taken_off_in_place() {
    let (messages, mut taken) = (with_hop(Buffers::Lone), Vec::with_capacity(MESSAGES));
    let end = |bytes: &Bytes| bytes.as_ptr().wrapping_add(bytes.len());
    let ends: Vec<_> = messages.iter().map(end).collect();
    assert_eq!(asked_by(|| split(messages, &mut taken)), Asked::NOTHING);
    assert_eq!(taken.iter().map(end).collect::<Vec<_>>(), ends);
    assert_eq!(taken, Buffers::Lone.messages(TO));
}

/// The comma's place becomes a brace, and a buffer that somebody else holds a piece of may not be written to.
pub(super) fn a_hop_on_a_shared_buffer_costs_a_copy() {
    let (messages, mut taken) = (with_hop(Buffers::Pieces), Vec::with_capacity(MESSAGES));
    let asked = asked_by(|| split(messages, &mut taken));
    assert_eq!(taken, Buffers::Pieces.messages(TO));
    let bytes = taken.iter().map(Bytes::len).sum();
    assert!(asked.times <= MESSAGES && asked.bytes <= bytes, "{asked:?} for {bytes}");
}
