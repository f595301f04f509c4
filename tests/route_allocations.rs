//! What routing a message costs in memory: nothing.
//!
//! Goal: no allocation and no copy for a routed message, whoever gets it; one receiver has the buffer itself,
//! several share it. Method: an allocator that counts what this thread asks for, and the addresses of the buffers. The
//! queues have held as much before, since a queue that grows does allocate. All of it is one test: what edits give
//! back is given back by whichever thread comes by, and another test's would be counted here.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use hyperty_router::{
    address::Url,
    bus::{BusConfig, MessageBus, MiniBus},
    handover::Peer,
    link::{Delivery, Ingress, LinkId, Outbox, Outgoing, Path},
    message::Message,
    registry::Place,
    status::Status,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to `System` as it is; the counter has no part in what memory is given out, and
// being a constant without a destructor it needs no allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const MESSAGES: usize = 200;
const TO: &str = "hyperty://example.org/5d3c9e60-75c1-4c8f-91d8-0d6f3f8a2b11";

fn url(text: &str) -> Url {
    Url::parse(text).expect("a test's URL is right")
}

fn bus() -> MessageBus {
    MessageBus::new(BusConfig::new(url("hyperty-runtime://example.org/me")))
}

fn queue<T: hyperty_router::link::Weigh>() -> Arc<Outbox<T>> {
    Arc::new(Outbox::new(MESSAGES, usize::MAX))
}

/// Messages as they come from a socket: frozen pieces of one buffer that is read into.
fn messages(to: &str) -> Vec<Bytes> {
    let mut read = BytesMut::with_capacity(MESSAGES * 512);
    let mut message = |number: usize| {
        let text = format!(
            r#"{{"id":{number},"type":"update","from":"hyperty://example.org/0123456789","to":"{to}","body":{{"value":"{}"}}}}"#,
            "x".repeat(number)
        );
        read.extend_from_slice(text.as_bytes());
        read.split().freeze()
    };
    (0..MESSAGES).map(&mut message).collect()
}

/// Each alone in a buffer of its own.
fn lone_messages(to: &str) -> Vec<Bytes> {
    messages(to).iter().map(|bytes| BytesMut::from(&bytes[..]).freeze()).collect()
}

fn places(messages: &[Bytes]) -> Vec<*const u8> {
    messages.iter().map(|bytes| bytes.as_ptr()).collect()
}

fn drained(queue: &Outbox<Delivery>) -> Vec<Bytes> {
    let mut taken = Vec::new();
    queue.try_drain(&mut taken, usize::MAX);
    taken.into_iter().map(|delivery| delivery.message.into_bytes()).collect()
}

/// Posts `messages`; the allocations of it.
fn post(bus: &MessageBus, messages: Vec<Bytes>, in_batches: bool) -> u64 {
    let (now, mut outcomes) = (Instant::now(), Vec::with_capacity(MESSAGES));
    settle();
    let allocations = allocations_of(|| match in_batches {
        true => bus.post_batch(messages, Ingress::LOCAL, now, &mut outcomes),
        false => {
            outcomes.extend(messages.into_iter().map(|bytes| bus.post(bytes, Ingress::LOCAL, now)))
        }
    });
    let all_taken = outcomes.iter().all(|posted| posted.as_ref().unwrap().first_error().is_none());
    assert!(all_taken && outcomes.len() == MESSAGES);
    allocations
}

#[test]
fn routing_allocates_and_copies_nothing() {
    one_listener_is_handed_the_buffer_itself();
    several_receivers_share_one_buffer();
    a_live_peer_gets_the_bytes_themselves();
    incoming_messages_and_sandboxes_copy_nothing_either();
}

/// Gives back what edits have left behind.
fn settle() {
    for _ in 0..1_000 {
        crossbeam_epoch::pin().flush();
    }
}

fn one_listener_is_handed_the_buffer_itself() {
    for in_batches in [false, true] {
        let (bus, sink) = (bus(), queue());
        bus.add_listener(url(TO), None, sink.clone());
        post(&bus, messages(TO), in_batches);
        drained(&sink);
        for below in ["", "/chat/room-12"] {
            let to = format!("{TO}{below}");
            for messages in [messages(&to), lone_messages(&to)] {
                let expected = places(&messages);
                assert_eq!(post(&bus, messages, in_batches), 0);
                assert_eq!(places(&drained(&sink)), expected);
            }
            post(&bus, lone_messages(&to), in_batches);
            assert!(
                drained(&sink).iter().all(Bytes::is_unique),
                "nobody holds it but the listener"
            );
        }
    }
}

fn several_receivers_share_one_buffer() {
    for in_batches in [false, true] {
        let (bus, sinks) = (bus(), [queue(), queue(), queue()]);
        let targets = sinks.clone().map(|sink| bus.add_listener(url(TO), None, sink));
        assert_eq!(targets.len(), 3);
        post(&bus, messages(TO), in_batches);
        sinks.iter().for_each(|sink| drop(drained(sink)));
        let messages = messages(TO);
        let expected = places(&messages);
        assert_eq!(post(&bus, messages, in_batches), 0);
        for sink in &sinks {
            assert_eq!(places(&drained(sink)), expected);
        }
    }
}

fn a_live_peer_gets_the_bytes_themselves() {
    for in_batches in [false, true] {
        let (bus, sink, now) = (bus(), queue(), Instant::now());
        let remote = url("hyperty-runtime://example.org/bob");
        let peer = Peer::new(remote, LinkId(1), 1, Arc::new(|| 5), Default::default());
        let peer = Arc::new(peer);
        let place = bus.add_place(Place::Peer(peer.clone()));
        bus.associate(place, [&url(TO)]);
        peer.open_direct(sink.clone(), url("hyperty-runtime://example.org/me/p2phandler/1/1"), now);
        peer.slot().store(1, Status::Live);
        let drained = || {
            let mut taken = Vec::new();
            sink.try_drain(&mut taken, usize::MAX);
            let bytes = |outgoing| match outgoing {
                Outgoing::Message { bytes, .. } => bytes,
                Outgoing::Control(words) => panic!("{words:?}"),
            };
            taken.into_iter().map(bytes).collect::<Vec<_>>()
        };
        post(&bus, messages(TO), in_batches);
        drained();
        let messages = messages(TO);
        let expected = places(&messages);
        assert_eq!(post(&bus, messages, in_batches), 0);
        assert_eq!(places(&drained()), expected);
    }
}

/// What comes in by a link, and what goes through a sandbox's MiniBus, by its listeners and by `*`.
fn incoming_messages_and_sandboxes_copy_nothing_either() {
    let (bus, mini, sink) = (bus(), MiniBus::new(), queue());
    bus.add_listener(url(TO), None, sink.clone());
    mini.add_listener(url(TO), None, sink.clone());
    mini.set_default_listener(Some(sink.clone()));
    let ingress = Ingress { path: Path::P2p, link: LinkId(7) };
    let now = Instant::now();
    let read = |bytes| {
        let message = Message::parse(bytes).expect("a message");
        Delivery { message, ingress, hop: None }
    };
    let by_bus = |delivery: Delivery| {
        bus.deliver_or_drop(delivery, now);
    };
    let by_mini = |delivery: Delivery| mini.deliver_to_target(delivery).expect("taken");
    let ways: [(&str, &dyn Fn(Delivery)); 3] =
        [(TO, &by_bus), (TO, &by_mini), ("comm://example.org/else/where", &by_mini)];
    for (to, way) in ways {
        messages(to).into_iter().for_each(|bytes| way(read(bytes)));
        drained(&sink);
        let messages = lone_messages(to);
        let expected = places(&messages);
        settle();
        assert_eq!(allocations_of(|| messages.into_iter().for_each(|bytes| way(read(bytes)))), 0);
        let taken = drained(&sink);
        assert_eq!(places(&taken), expected);
        assert!(taken.iter().all(Bytes::is_unique));
    }
}
