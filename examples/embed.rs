//! The core alone, embedded: a local listener, a Message Node stub, and a peer whose status turns an address
//! from one way to the other and back. No socket: what would go over a wire stands in a queue.
//!
//! ```text
//! cargo run --no-default-features --example embed
//! ```

use std::{error::Error, sync::Arc, time::Instant};

use bytes::Bytes;
use hyperty_router::{
    BusConfig, Delivery, Ingress, MessageBus, Path, Peer, Status, Url,
    link::{LinkId, Outbox, Outgoing, Stub},
    registry::Place,
};

const TO_CHAT: &str = r#"{"type":"update","from":"hyperty://a.example/me","to":"hyperty://a.example/chat/7","body":{"value":"hello"}}"#;
const TO_BOB: &str = r#"{"type":"update","from":"hyperty://a.example/me","to":"hyperty://b.example/bob","body":{"value":"hello"}}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let (now, runtime) = (Instant::now(), Url::parse("hyperty-runtime://a.example/alice")?);
    let bus = MessageBus::new(BusConfig::new(runtime.clone()));
    let post =
        |text: &'static str| bus.post(Bytes::from_static(text.as_bytes()), Ingress::LOCAL, now);

    // Somebody listens on an address and all below it. A listener is any `Sink`; this one is a queue.
    let chat = Arc::new(Outbox::<Delivery>::new(64, 1 << 20));
    let listener = bus.add_listener(Url::parse("hyperty://a.example/chat")?, None, chat.clone());
    assert_eq!(post(TO_CHAT)?.targets[0].as_ref().map(|sent| sent.path), Ok(Path::Local));
    let mut taken = Vec::new();
    chat.try_drain(&mut taken, 64);
    println!("local: {:?}", taken[0].message);
    assert_eq!(taken[0].message.bytes(), TO_CHAT, "bytes in are bytes out");
    assert!(bus.remove_listener(&listener));

    // The way to everybody else: the stub of our Message Node. A transport would drain its queue.
    let to_node = Arc::new(Outbox::<Outgoing>::new(64, 1 << 20));
    let (url, domain) = (runtime.join("protostub/a.example")?, "a.example".into());
    bus.add_stub(Arc::new(Stub { url, domain, link: LinkId(1), sink: to_node.clone() }));

    // A remote runtime and one Hyperty that lives in it. The numbers are an incarnation and stream ids:
    // random.
    let (remote, bob) =
        (Url::parse("hyperty-runtime://b.example/bob")?, Url::parse("hyperty://b.example/bob")?);
    let peer = Peer::new(remote, LinkId(2), 0xa11ce, Arc::new(|| 0x5eed), Default::default());
    let peer = Arc::new(peer);
    let place = bus.add_place(Place::Peer(peer.clone()));
    bus.associate(place, [&bob]);
    let to_peer = Arc::new(Outbox::<Outgoing>::new(64, 1 << 20));
    let via = runtime.join("p2phandler/1/7")?;

    // Its status is one word: storing it turns every address behind it, at once.
    // What is in flight when a connection goes is the hand-over's, which so learns of both ends of it.
    let steps = [
        (Status::InProgress, "message-node", 1, 0),
        (Status::Live, "p2p", 1, 1),
        (Status::Disconnected, "message-node", 2, 1),
    ];
    for (status, decision, by_node, by_peer) in steps {
        match status {
            Status::Live => peer.open_direct(to_peer.clone(), via.clone(), now),
            Status::Disconnected => peer.close_direct(now),
            _ => {}
        }
        peer.slot().store(1, status);
        let report = bus.explain(&bob.address());
        println!("{status}: {} by {}", report.decision, report.via.ok_or("no way")?);
        assert_eq!(report.decision, decision);
        assert!(post(TO_BOB)?.first_error().is_none());
        assert_eq!((to_node.len(), to_peer.len()), (by_node, by_peer));
    }
    Ok(())
}
