//! A real Message Node on loopback: sessions over sockets that come, go and take over, and an orderly end.
//!
//! Method: clients of another making, the wire as design and stub have it; every wait is on an event and
//! bounded by [`bounded`]; nothing sleeps.

#![cfg(feature = "node")]

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use hyperty_router::{
    node::{
        MessageNode, NodeConfig,
        serve::{ServeHandle, serve},
    },
    transport::websocket::ServerConfig,
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

const ALICE: &str = "runtime://example.org/alice";
const BOB: &str = "runtime://example.org/bob";

/// Nothing here takes long; a test that hangs fails instead.
async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within 20 s"),
    }
}

async fn node() -> (ServeHandle, Arc<MessageNode>) {
    node_with(ServerConfig::default()).await
}

async fn node_with(config: ServerConfig) -> (ServeHandle, Arc<MessageNode>) {
    let mut random = 0_u8;
    let fill = move |bytes: &mut [u8]| {
        random += 1;
        bytes.fill(random);
    };
    let node = Arc::new(MessageNode::new(NodeConfig::new("example.org"), fill).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (serve(listener, Arc::clone(&node), config).unwrap(), node)
}

/// A client that knows nothing of the crate.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn connect(handle: &ServeHandle) -> Client {
        let address = handle.local_addr();
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/ws");
        Client(bounded("handshake", client_async(url, stream)).await.unwrap().0)
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        bounded("a frame", self.0.next()).await.expect("the socket is open").unwrap()
    }

    async fn receive(&mut self) -> Value {
        serde_json::from_str(self.next().await.to_text().unwrap()).unwrap()
    }

    async fn session(&mut self, id: u64, kind: &str, from: &str) -> Value {
        self.send(json!({"id": id, "type": kind, "from": from, "to": "mn:/session"})).await;
        self.receive().await
    }

    /// A new session for `runtime`: its token.
    async fn open(&mut self, runtime: &str) -> String {
        let reply = self.session(1, "open", runtime).await;
        let token = reply["body"]["runtimeToken"].as_str().expect("a token").to_string();
        let body = json!({"code": 200, "runtimeToken": token});
        let wanted = json!({"id": 1, "type": "response", "from": "mn:/session", "to": runtime, "body": body});
        assert_eq!(reply, wanted);
        token
    }

    /// The close code of the server, and then nothing more.
    async fn closed(&mut self) -> CloseCode {
        let Message::Close(Some(close)) = self.next().await else { panic!("no close") };
        assert!(bounded("the end", self.0.next()).await.is_none_or(|last| last.is_err()));
        close.code
    }

    /// Closes and waits until the server has.
    async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while bounded("the end", self.0.next()).await.is_some_and(|frame| frame.is_ok()) {}
    }
}

fn hello(number: u64) -> Value {
    let body = json!({"value": "x".repeat(200)});
    json!({"id": number, "type": "update", "from": ALICE, "to": format!("{BOB}/ear"), "body": body})
}

/// Goal: what is sent to a runtime's addresses arrives there, in order, data right behind `open` included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runtimes_talk() {
    let (handle, _node) = node().await;
    let (mut alice, mut bob) = (Client::connect(&handle).await, Client::connect(&handle).await);
    bob.open(BOB).await;
    let open = json!({"id": 1, "type": "open", "from": ALICE, "to": "mn:/session"});
    alice.0.feed(Message::text(open.to_string())).await.unwrap();
    for number in 0..2_000 {
        alice.0.feed(Message::text(hello(number).to_string())).await.unwrap();
    }
    alice.0.flush().await.unwrap();
    assert_eq!(alice.receive().await["body"]["code"], 200);
    for number in 0..2_000 {
        assert_eq!(bob.receive().await, hello(number));
    }
}

/// Goal: messages wait for a runtime whose socket dropped, and come when it re-opens its session.
#[tokio::test]
async fn a_session_outlives_its_socket() {
    let (handle, _node) = node().await;
    let (mut alice, mut bob) = (Client::connect(&handle).await, Client::connect(&handle).await);
    alice.open(ALICE).await;
    let token = bob.open(BOB).await;
    bob.close().await;
    for number in 0..10 {
        alice.send(hello(number)).await;
    }
    // A reply behind them: the node has them all.
    assert_eq!(alice.session(9, "re-open", ALICE).await["body"]["code"], 200);
    let mut bob = Client::connect(&handle).await;
    let reply = bob.session(7, "re-open", &format!("{BOB}/{token}")).await;
    assert_eq!((&reply["id"], &reply["body"]["code"]), (&json!(7), &json!(200)));
    for number in 0..10 {
        assert_eq!(bob.receive().await, hello(number));
    }
}

/// Goal: a re-open takes the session over from a socket still open; the old one gets nothing more and is
/// closed.
#[tokio::test]
async fn a_re_open_takes_over() {
    let (handle, _node) = node().await;
    let (mut alice, mut old) = (Client::connect(&handle).await, Client::connect(&handle).await);
    alice.open(ALICE).await;
    let token = old.open(BOB).await;
    let mut new = Client::connect(&handle).await;
    assert_eq!(new.session(2, "re-open", &format!("{BOB}/{token}")).await["body"]["code"], 200);
    alice.send(hello(1)).await;
    assert_eq!(new.receive().await, hello(1));
    assert_eq!(old.closed().await, CloseCode::Normal);
    alice.send(hello(2)).await;
    assert_eq!(new.receive().await, hello(2), "the late end of the old socket touches nothing");
}

/// Goal: `close` has no reply; the server closes.
#[tokio::test]
async fn close_closes() {
    let (handle, node) = node().await;
    let mut bob = Client::connect(&handle).await;
    let token = bob.open(BOB).await;
    let from = format!("{BOB}/{token}");
    bob.send(json!({"id": 3, "type": "close", "from": from, "to": "mn:/session"})).await;
    assert_eq!(bob.closed().await, CloseCode::Normal);
    assert_eq!(node.metrics().sessions, 0);
}

/// Goal: rubbish is answered or counted and the socket goes on; a binary frame ends it.
#[tokio::test]
async fn rubbish_is_survived_and_binary_is_not() {
    let (handle, _node) = node().await;
    let mut bob = Client::connect(&handle).await;
    bob.0.send(Message::text("rubbish")).await.unwrap();
    bob.open(BOB).await;
    bob.send(json!({"id": 5, "type": "read", "from": BOB, "to": 7})).await;
    let reply = bob.receive().await;
    assert_eq!((&reply["id"], &reply["body"]["code"]), (&json!(5), &json!(400)));
    bob.0.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(bob.closed().await, CloseCode::Unsupported);
    // The count is made after the socket is gone.
    let counted = async {
        while handle.counters().protocol.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    };
    bounded("the count", counted).await;
}

/// Goal: a shutdown writes what is queued, says that it goes away, and gives the port back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_drains() {
    let (handle, node) = node().await;
    let (mut alice, mut bob) = (Client::connect(&handle).await, Client::connect(&handle).await);
    bob.open(BOB).await;
    alice.open(ALICE).await;
    for number in 0..1_000 {
        alice.0.feed(Message::text(hello(number).to_string())).await.unwrap();
    }
    alice.0.flush().await.unwrap();
    // A reply behind them: they are in Bob's queue or on their way to him.
    assert_eq!(alice.session(9, "re-open", ALICE).await["body"]["code"], 200);
    let address = handle.local_addr();
    let shutdown = tokio::spawn(handle.shutdown());
    for number in 0..1_000 {
        assert_eq!(bob.receive().await, hello(number));
    }
    assert_eq!(bob.closed().await, CloseCode::Away);
    assert_eq!(alice.closed().await, CloseCode::Away);
    assert_eq!(bounded("shutdown", shutdown).await.unwrap(), 0);
    assert_eq!(node.metrics().sockets, 0);
    TcpListener::bind(address).await.expect("the port is free");
}

/// Goal: a socket on which nobody opens a session is closed; one with a session stays.
#[tokio::test]
async fn a_socket_without_a_session_has_its_time() {
    let config = ServerConfig { unopened: Duration::from_secs(1), ..ServerConfig::default() };
    let (handle, _node) = node_with(config).await;
    let (mut alice, mut idle) = (Client::connect(&handle).await, Client::connect(&handle).await);
    alice.open(ALICE).await;
    assert_eq!(idle.closed().await, CloseCode::Normal);
    assert_eq!(handle.counters().unopened.load(Relaxed), 1);
    assert_eq!(alice.session(9, "re-open", ALICE).await["body"]["code"], 200);
}
