//! What routing a message costs in memory: nothing.
//!
//! Goal: no allocation and no copy for a routed message, whoever gets it and by whatever way, one at a time
//! and in batches; one receiver has the buffer itself, several share it. Where something is allocated all the
//! same, it is said here what, and held: see [`Buffers`] and the tests named `…_costs_…`. Method: an
//! allocator that counts what this thread asks for, and the addresses of the buffers: a copy would need
//! somewhere to go. The queues have held as much before, since a queue that grows does allocate. All of it is
//! one test: what edits give back is given back by whichever thread comes by, and another test's would be
//! counted here.

#[path = "support/agreed.rs"]
mod agreed;
#[path = "route_allocations/arriving.rs"]
mod arriving;
#[path = "route_allocations/away.rs"]
mod away;
#[path = "support/counting.rs"]
mod counting;
#[path = "route_allocations/here.rs"]
mod here;

use std::{sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use hyperty_router::{
    address::Url,
    bus::{BusConfig, MessageBus},
    link::{Delivery, Ingress, Outbox, Outgoing, Weigh},
    message::Hop,
};

use counting::{Asked, asked_by};

#[test]
fn routing_allocates_and_copies_nothing() {
    here::one_listener_is_handed_the_buffer_itself();
    here::several_listeners_share_one_buffer();
    here::listeners_a_subscriber_and_the_way_out_share_one_buffer();
    here::sandboxes_are_handed_the_buffer_itself();
    away::a_live_peer_gets_the_bytes_themselves();
    away::numbered_messages_share_their_buffer_with_the_window();
    away::by_message_node_too();
    away::the_message_node_gets_the_bytes_themselves();
    away::an_unknown_address_costs_its_url();
    away::a_hop_is_a_slice_of_its_own();
    arriving::what_comes_by_a_link_is_handed_on();
    arriving::numbered_messages_are_handed_on();
    arriving::a_hop_is_taken_off_in_place();
    arriving::a_hop_on_a_shared_buffer_costs_a_copy();
}

const MESSAGES: usize = 200;
const OURS: &str = "hyperty-runtime://example.org/me";
const THEIRS: &str = "hyperty-runtime://example.net/bob";
const TO: &str = "hyperty://example.net/5d3c9e60-75c1-4c8f-91d8-0d6f3f8a2b11";

/// Where messages stand.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Buffers {
    /// As they come from a socket: frozen pieces of one buffer that is read into.
    Pieces,
    /// Each alone in a buffer of its own. With the first second holder `bytes` makes room for a count of the
    /// holders, three words, which the message keeps.
    Lone,
}

const BUFFERS: [Buffers; 2] = [Buffers::Pieces, Buffers::Lone];

impl Buffers {
    fn messages(self, to: &str) -> Vec<Bytes> {
        let mut read = BytesMut::with_capacity(MESSAGES * 512);
        let mut message = |number: usize| {
            let text = format!(
                r#"{{"id":{number},"type":"update","from":"hyperty://example.org/0123456789","to":"{to}","body":{{"value":"{}"}}}}"#,
                "x".repeat(number)
            );
            match self {
                Buffers::Pieces => {
                    read.extend_from_slice(text.as_bytes());
                    read.split().freeze()
                }
                Buffers::Lone => BytesMut::from(text.as_str()).freeze(),
            }
        };
        (0..MESSAGES).map(&mut message).collect()
    }

    /// What may be asked for, at most, when each message gets a second holder for the first time.
    fn shared(self) -> Asked {
        match self {
            Buffers::Pieces => Asked::NOTHING,
            Buffers::Lone => Asked { times: MESSAGES, bytes: MESSAGES * 3 * size_of::<usize>() },
        }
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a test's URL is right")
}

fn bus() -> MessageBus {
    MessageBus::new(BusConfig::new(url(OURS)))
}

fn queue<T: Weigh>() -> Arc<Outbox<T>> {
    Arc::new(Outbox::new(MESSAGES, usize::MAX))
}

fn places(messages: &[Bytes]) -> Vec<*const u8> {
    messages.iter().map(|bytes| bytes.as_ptr()).collect()
}

fn drained(queue: &Outbox<Delivery>) -> Vec<Bytes> {
    let mut taken = Vec::new();
    queue.try_drain(&mut taken, usize::MAX);
    taken.into_iter().map(|delivery| delivery.message.into_bytes()).collect()
}

/// The messages that wait to be sent, and their numbers if they have some.
fn outgoing(queue: &Outbox<Outgoing>) -> (Vec<Bytes>, Vec<Hop>) {
    let mut taken = Vec::new();
    queue.try_drain(&mut taken, usize::MAX);
    let (mut messages, mut hops) = (Vec::new(), Vec::new());
    for item in taken {
        // A stream is announced once.
        if let Outgoing::Message { bytes, hop } = item {
            messages.push(bytes);
            hops.extend(hop);
        }
    }
    (messages, hops)
}

/// Posts `messages`; what that asked for.
fn post(bus: &MessageBus, messages: Vec<Bytes>, in_batches: bool) -> Asked {
    let (now, mut outcomes) = (Instant::now(), Vec::with_capacity(MESSAGES));
    settle();
    let asked = asked_by(|| match in_batches {
        true => bus.post_batch(messages, Ingress::LOCAL, now, &mut outcomes),
        false => {
            outcomes.extend(messages.into_iter().map(|bytes| bus.post(bytes, Ingress::LOCAL, now)))
        }
    });
    let all_taken = outcomes.iter().all(|posted| posted.as_ref().unwrap().first_error().is_none());
    assert!(all_taken && outcomes.len() == MESSAGES);
    asked
}

/// Gives back what edits have left behind.
fn settle() {
    for _ in 0..1_000 {
        crossbeam_epoch::pin().flush();
    }
}
