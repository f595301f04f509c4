//! Messages whose receivers are local, or local and elsewhere.

use std::time::Instant;

use bytes::Bytes;
use hyperty_router::{
    bus::MiniBus,
    link::{Delivery, Ingress},
    message::Message,
    registry::Place,
};

use crate::{
    BUFFERS, Buffers, OURS, THEIRS, TO,
    agreed::Agreed,
    bus,
    counting::{Asked, asked_by},
    drained, outgoing, places, post, queue, settle, url,
};

pub(super) fn one_listener_is_handed_the_buffer_itself() {
    for in_batches in [false, true] {
        let (bus, sink) = (bus(), queue());
        bus.add_listener(url(TO), None, sink.clone());
        post(&bus, Buffers::Pieces.messages(TO), in_batches);
        drained(&sink);
        for below in ["", "/chat/room-12"] {
            for buffers in BUFFERS {
                let messages = buffers.messages(&format!("{TO}{below}"));
                let expected = places(&messages);
                assert_eq!(post(&bus, messages, in_batches), Asked::NOTHING);
                let taken = drained(&sink);
                assert_eq!(places(&taken), expected);
                let alone = buffers == Buffers::Lone;
                assert!(!alone || taken.iter().all(Bytes::is_unique), "nobody else holds it");
            }
        }
    }
}

pub(super) fn several_listeners_share_one_buffer() {
    for in_batches in [false, true] {
        let (bus, sinks) = (bus(), [queue(), queue(), queue()]);
        sinks.iter().for_each(|sink| drop(bus.add_listener(url(TO), None, sink.clone())));
        post(&bus, Buffers::Pieces.messages(TO), in_batches);
        sinks.iter().for_each(|sink| drop(drained(sink)));
        for buffers in BUFFERS {
            let messages = buffers.messages(TO);
            let expected = places(&messages);
            let asked = post(&bus, messages, in_batches);
            assert!(asked.is_within(buffers.shared()), "{buffers:?}: {asked:?}");
            for sink in &sinks {
                assert_eq!(places(&drained(sink)), expected);
            }
        }
    }
}

/// Two listeners, a remote runtime that has subscribed and gets it numbered, and, as it is published, the
/// Message Node.
pub(super) fn listeners_a_subscriber_and_the_way_out_share_one_buffer() {
    for in_batches in [false, true] {
        let agreed = Agreed::new(OURS, THEIRS, crate::MESSAGES + 1, Instant::now());
        let (bus, sinks) = (agreed.bus(&[], true), [queue(), queue()]);
        sinks.iter().for_each(|sink| drop(bus.add_listener(url(TO), None, sink.clone())));
        bus.subscribe(&url(TO), bus.add_place(Place::Peer(agreed.ours.peer.clone())));
        bus.add_publish(&url(TO));
        let drain = || {
            let (numbered, hops) = outgoing(&agreed.ours.direct);
            let (plain, no_hops) = outgoing(&agreed.ours.by_node);
            assert!(hops.len() == numbered.len() && no_hops.is_empty());
            agreed.acknowledge(hops[hops.len() - 1]);
            [drained(&sinks[0]), drained(&sinks[1]), numbered, plain]
        };
        post(&bus, Buffers::Pieces.messages(TO), in_batches);
        drain();
        for buffers in BUFFERS {
            let messages = buffers.messages(TO);
            let expected = places(&messages);
            let asked = post(&bus, messages, in_batches);
            assert!(asked.is_within(buffers.shared()), "{buffers:?}: {asked:?}");
            drain().iter().for_each(|taken| assert_eq!(places(taken), expected));
        }
    }
}

/// By the listener of a MiniBus, and by its `*`.
pub(super) fn sandboxes_are_handed_the_buffer_itself() {
    let (mini, sink) = (MiniBus::new(), queue());
    mini.add_listener(url(TO), None, sink.clone());
    mini.set_default_listener(Some(sink.clone()));
    let post = |messages: Vec<Bytes>| {
        messages.into_iter().for_each(|bytes| {
            let message = Message::parse(bytes).expect("a message");
            let delivery = Delivery { message, ingress: Ingress::LOCAL, hop: None };
            mini.deliver_to_target(delivery).expect("taken");
        });
    };
    for to in [TO, "comm://example.org/else/where"] {
        post(Buffers::Pieces.messages(to));
        drained(&sink);
        let messages = Buffers::Lone.messages(to);
        let expected = places(&messages);
        settle();
        assert_eq!(asked_by(|| post(messages)), Asked::NOTHING);
        let taken = drained(&sink);
        assert_eq!(places(&taken), expected);
        assert!(taken.iter().all(Bytes::is_unique));
    }
}
