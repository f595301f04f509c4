//! Two runtimes and a Message Node in one process, over real sockets on loopback: a message goes by the
//! Message Node, the direct connection comes up behind it, and the next one goes directly.
//!
//! `cargo run --example two_runtimes`

use std::{error::Error, sync::Arc, time::Duration};

use hyperty_router::{
    address::Url,
    link::Path,
    node::{MessageNode, NodeConfig, serve::serve},
    runtime::{Event, Events, Runtime, RuntimeConfig},
    status::Status,
    transport::websocket::ServerConfig,
};
use tokio::{net::TcpListener, time::timeout};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A Message Node for example.com on a free port.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("random bytes");
    let node = Arc::new(MessageNode::new(NodeConfig::new("example.com"), random)?);
    let node = serve(listener, node, ServerConfig::default())?;
    let address = format!("ws://{}/ws", node.local_addr());

    // Alice's and Bob's runtimes, each with one Hyperty.
    let (alice, mut alice_events) = start("hyperty-runtime://example.com/alice", &address)?;
    let (bob, mut bob_events) = start("hyperty-runtime://example.com/bob", &address)?;
    let _alice_chat = alice.add_hyperty(Url::parse("hyperty://example.com/alice-chat")?);
    let bob_chat = bob.add_hyperty(Url::parse("hyperty://example.com/bob-chat")?);
    until(&mut alice_events, |event| matches!(event, Event::Ready)).await?;
    until(&mut bob_events, |event| matches!(event, Event::Ready)).await?;

    // The first message knows no better way than the Message Node. It is not held back for a better one.
    alice.post(hello(1))?;
    let first = timeout(Duration::from_secs(5), bob_chat.next()).await?.ok_or("Bob is gone")?;
    println!("message 1 came by {}", first.ingress.path.word());
    assert_eq!(first.ingress.path, Path::MessageNode);

    // Behind it, Alice's runtime has looked Bob's Hyperty up and sets a connection up.
    until(&mut alice_events, |event| {
        if let Event::Status { stub, value, .. } = event {
            println!("{value} at {stub}");
        }
        matches!(event, Event::Status { value: Status::Live, .. })
    })
    .await?;

    // From now on messages take it, as soon as the last one by the Message Node has surely arrived.
    for number in 2..1_000 {
        alice.post(hello(number))?;
        let next = timeout(Duration::from_secs(5), bob_chat.next()).await?.ok_or("Bob is gone")?;
        if next.ingress.path == Path::P2p {
            println!("message {number} came by {}", next.ingress.path.word());
            alice.shut_down(Duration::from_secs(1)).await;
            bob.shut_down(Duration::from_secs(1)).await;
            node.shutdown().await;
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
    Err("messages did not move to the direct connection".into())
}

fn start(url: &str, node: &str) -> Result<(Runtime, Events), Box<dyn Error>> {
    let config = RuntimeConfig::new(Url::parse(url)?, vec![node.parse()?])?;
    Ok(Runtime::start(config)?)
}

fn hello(number: u32) -> bytes::Bytes {
    format!(
        r#"{{"id":{number},"type":"update","from":"hyperty://example.com/alice-chat","to":"hyperty://example.com/bob-chat","body":{{"value":"hello {number}"}}}}"#
    )
    .into()
}

/// Reads events until `wanted` says so.
async fn until(
    events: &mut Events,
    mut wanted: impl FnMut(&Event) -> bool,
) -> Result<(), Box<dyn Error>> {
    timeout(Duration::from_secs(10), async {
        while let Some(event) = events.next().await {
            if wanted(&event) {
                return Ok(());
            }
        }
        Err("the runtime is gone".into())
    })
    .await?
}
