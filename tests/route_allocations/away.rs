//! Messages that leave: by a direct connection, plain and numbered, and by a Message Node.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use hyperty_router::{
    bus::{BusConfig, MessageBus, Note, P2pPolicy},
    handover::Peer,
    link::{LinkId, Outbox, Outgoing, Stub},
    message::{HOP_BYTES_MAX, Hop, Message, write_hop},
    registry::Place,
    status::Status,
};

use crate::{
    BUFFERS, Buffers, MESSAGES, OURS, THEIRS, TO,
    agreed::Agreed,
    bus,
    counting::{Asked, asked_by},
    outgoing, places, post, queue, url,
};

/// Plain: the peer has agreed on no stream. Nobody else holds the buffer, whoever is asked first whether it
/// takes it.
pub(super) fn a_live_peer_gets_the_bytes_themselves() {
    for in_batches in [false, true] {
        let (bus, sink, now) = (bus(), queue(), Instant::now());
        let peer = Peer::new(url(THEIRS), LinkId(1), 1, Arc::new(|| 5), Default::default());
        let peer = Arc::new(peer);
        let place = bus.add_place(Place::Peer(peer.clone()));
        bus.associate(place, [&url(TO)]);
        peer.open_direct(sink.clone(), url("hyperty-runtime://example.org/me/p2phandler/1/1"), now);
        peer.slot().store(1, Status::Live);
        post(&bus, Buffers::Pieces.messages(TO), in_batches);
        outgoing(&sink);
        for buffers in BUFFERS {
            let messages = buffers.messages(TO);
            let expected = places(&messages);
            let asked = post(&bus, messages, in_batches);
            assert_eq!(asked, Asked::NOTHING, "{buffers:?}");
            let (taken, hops) = outgoing(&sink);
            assert_eq!((places(&taken), hops), (expected, vec![]));
        }
    }
}

/// Until they are acknowledged the window holds them, too; then the receiver is the only one.
pub(super) fn numbered_messages_share_their_buffer_with_the_window() {
    numbered(true);
}

/// The same messages by the stub, when no connection is live.
pub(super) fn by_message_node_too() {
    numbered(false);
}

fn numbered(is_live: bool) {
    for in_batches in [false, true] {
        let agreed = Agreed::new(OURS, THEIRS, MESSAGES + 1, Instant::now());
        let bus = agreed.bus(&[url(TO)], is_live);
        let ours = &agreed.ours;
        let (sink, other) = match is_live {
            true => (&ours.direct, &ours.by_node),
            false => (&ours.by_node, &ours.direct),
        };
        post(&bus, Buffers::Pieces.messages(TO), in_batches);
        let (_, hops) = outgoing(sink);
        let mut last = hops[hops.len() - 1];
        agreed.acknowledge(last);
        for buffers in BUFFERS {
            let messages = buffers.messages(TO);
            let expected = places(&messages);
            let asked = post(&bus, messages, in_batches);
            assert!(asked.is_within(buffers.shared()), "{buffers:?}: {asked:?}");
            let (taken, hops) = outgoing(sink);
            assert_eq!(places(&taken), expected);
            let numbers = last.number + 1..=last.number + MESSAGES as u64;
            assert!(hops.iter().map(|hop| hop.number).eq(numbers));
            last = hops[hops.len() - 1];
            assert!(taken.iter().all(|bytes| !bytes.is_unique()), "the window holds it");
            agreed.acknowledge(last);
            let alone = buffers == Buffers::Lone;
            assert!(!alone || taken.iter().all(Bytes::is_unique), "acknowledged and held");
        }
        assert!(outgoing(other).0.is_empty());
    }
}

/// Addresses of which a look-up is under way, or was in vain, by the stub of our own domain and by that of
/// another.
pub(super) fn the_message_node_gets_the_bytes_themselves() {
    let domains = ["example.org", "example.net"];
    for (in_batches, domain) in [false, true].iter().flat_map(|of| domains.map(|to| (*of, to))) {
        let (bus, sink, _) = automatic();
        let stub = stub(domain, sink.clone());
        let place = bus.add_stub(stub).expect("a domain");
        let to = format!("hyperty://{domain}/5d3c9e60-75c1-4c8f-91d8-0d6f3f8a2b11");
        bus.associate(place, [&url(&to)]);
        post(&bus, Buffers::Pieces.messages(&to), in_batches);
        outgoing(&sink);
        for buffers in BUFFERS {
            let messages = buffers.messages(&to);
            let expected = places(&messages);
            assert_eq!(post(&bus, messages, in_batches), Asked::NOTHING);
            let (taken, hops) = outgoing(&sink);
            assert_eq!((places(&taken), hops), (expected, vec![]));
        }
    }
}

/// Behind a message to an address that nobody has looked up yet the control plane is told of it.
pub(super) fn an_unknown_address_costs_its_url() {
    for in_batches in [false, true] {
        let (bus, sink, inbox) = automatic();
        bus.add_stub(stub("example.org", sink.clone()));
        post(&bus, Buffers::Pieces.messages(TO), in_batches);
        outgoing(&sink);
        assert_eq!(inbox.try_drain(&mut Vec::new(), usize::MAX), MESSAGES);
        let messages = Buffers::Pieces.messages(TO);
        let expected = places(&messages);
        let asked = post(&bus, messages, in_batches);
        assert!(asked.times <= MESSAGES, "{asked:?}");
        assert!(asked.bytes <= MESSAGES * 2 * TO.len(), "{asked:?}");
        assert_eq!(places(&outgoing(&sink).0), expected);
    }
}

/// What a transport writes for a numbered message: the slice of the hop, in a buffer that it has, and behind
/// it the message from its second byte on, as it is.
pub(super) fn a_hop_is_a_slice_of_its_own() {
    let messages = Buffers::Pieces.messages(TO);
    let expected = places(&messages);
    let read = |bytes: Bytes| Message::parse(bytes).expect("a message");
    let messages: Vec<_> = messages.into_iter().map(read).collect();
    let mut slice = Vec::with_capacity(HOP_BYTES_MAX);
    let mut members = Vec::with_capacity(MESSAGES);
    let asked = asked_by(|| {
        for (message, number) in messages.iter().zip(u64::MAX - MESSAGES as u64..) {
            slice.clear();
            write_hop(Hop { stream: u128::MAX, number }, &mut slice);
            members.push(message.members());
        }
    });
    assert_eq!(asked, Asked::NOTHING);
    let behind = |place: &*const u8| place.wrapping_add(1);
    assert_eq!(places(&members), expected.iter().map(behind).collect::<Vec<_>>());
}

/// A bus that tells its control plane of unknown addresses, a queue to a Message Node, and what the control
/// plane reads.
fn automatic() -> (MessageBus, Arc<Outbox<Outgoing>>, Arc<Outbox<Note>>) {
    let (policy, inbox) = (P2pPolicy::Automatic, queue());
    let config = BusConfig { policy, inbox: Some(inbox.clone()), ..BusConfig::new(url(OURS)) };
    (MessageBus::new(config), queue(), inbox)
}

fn stub(domain: &str, sink: Arc<Outbox<Outgoing>>) -> Arc<Stub> {
    let url = url(&format!("{OURS}/protostub/{domain}"));
    Arc::new(Stub { url, domain: domain.into(), link: LinkId(3), sink })
}
