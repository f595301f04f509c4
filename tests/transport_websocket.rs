//! WebSocket links on loopback: against raw sockets of another making, and client against server.
//!
//! Method: real sockets on port 0, every wait is on an event and bounded by [`bounded`]; nothing sleeps.

#![cfg(feature = "websocket")]

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyperty_router::{
    link::{Outbox, Outgoing},
    message::Hop,
    transport::{
        Ended, Flow,
        websocket::{
            ConnectError, ServerConfig, SocketConfig, TextReceiver, WebSocketLink, WebSocketServer,
            connect,
        },
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async, client_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// Nothing here takes long; a test that hangs fails instead.
async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within 20 s"),
    }
}

/// A listener and the URL to reach it by.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    (listener, url)
}

async fn server(config: ServerConfig) -> (WebSocketServer, String) {
    let (listener, url) = listen().await;
    (WebSocketServer::new(listener, config).unwrap(), url)
}

/// A socket to our server that is not ours.
async fn raw(url: &str) -> WebSocketStream<TcpStream> {
    let address = url.strip_prefix("ws://").unwrap().strip_suffix("/ws").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    bounded("handshake", client_async(url, stream)).await.unwrap().0
}

/// Passes texts on, and says `verdict` to each.
struct Recorder {
    texts: mpsc::UnboundedSender<Bytes>,
    verdict: Flow,
}

impl Recorder {
    fn new(verdict: Flow) -> (Self, mpsc::UnboundedReceiver<Bytes>) {
        let (texts, receiver) = mpsc::unbounded_channel();
        (Recorder { texts, verdict }, receiver)
    }
}

impl TextReceiver for Recorder {
    fn on_text(&mut self, text: Bytes) -> Flow {
        let _ = self.texts.send(text);
        self.verdict.clone()
    }
}

/// Writes back what comes in.
struct Echo(Arc<Outbox<Outgoing>>);

impl TextReceiver for Echo {
    fn on_text(&mut self, text: Bytes) -> Flow {
        self.0.push(plain(text)).unwrap();
        Flow::Continue
    }
}

fn outbox() -> Arc<Outbox<Outgoing>> {
    Arc::new(Outbox::new(100_000, 1 << 30))
}

fn plain(bytes: impl Into<Bytes>) -> Outgoing {
    Outgoing::Message { bytes: bytes.into(), hop: None }
}

fn text(number: usize) -> String {
    let size = if number.is_multiple_of(97) { 60_000 } else { 40 };
    format!(r#"{{"n":"{number:0size$}"}}"#)
}

async fn in_order(texts: &mut mpsc::UnboundedReceiver<Bytes>, count: usize) {
    for number in 0..count {
        let found = bounded("a text", texts.recv()).await.expect("the link runs");
        assert_eq!(found, text(number), "text {number}");
    }
}

/// Goal: a client speaks with a server of another making: order, sizes, pings, and the close at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_server_echoes() {
    const COUNT: usize = 5_000;
    let (listener, url) = listen().await;
    let echo = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        socket.send(Message::Ping("alive?".into())).await.unwrap();
        let mut pongs = 0;
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(_) => socket.send(message).await.unwrap(),
                Message::Pong(payload) => {
                    assert_eq!(payload, "alive?");
                    pongs += 1;
                }
                Message::Close(close) => return (pongs, close),
                other => panic!("{other:?}"),
            }
        }
        panic!("no close");
    });
    let link = bounded("connect", connect(&url, &SocketConfig::client())).await.unwrap();
    let (queue, (receiver, mut texts)) = (outbox(), Recorder::new(Flow::Continue));
    let run = tokio::spawn(link.run(queue.clone(), receiver));
    (0..COUNT).for_each(|number| queue.push(plain(text(number))).unwrap());
    in_order(&mut texts, COUNT).await;
    queue.close();
    let end = bounded("the end", run).await.unwrap();
    assert_eq!(end.ended, Ended::ClosedHere);
    assert!(end.unwritten.is_empty());
    let (pongs, close) = bounded("the server's end", echo).await.unwrap();
    assert_eq!(pongs, 1);
    assert_eq!(close.map(|close| close.code), Some(CloseCode::Normal));
}

/// Goal: client and server of ours, both ways at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_and_server_keep_order() {
    const COUNT: usize = 5_000;
    let (server, url) = server(ServerConfig::default()).await;
    let link = bounded("connect", connect(&url, &SocketConfig::client())).await.unwrap();
    let accepted = bounded("accept", server.accept()).await.unwrap();
    let echo = outbox();
    let serving = tokio::spawn(accepted.run(echo.clone(), Echo(echo)));
    let (queue, (receiver, mut texts)) = (outbox(), Recorder::new(Flow::Continue));
    let handle = link.handle();
    let run = tokio::spawn(link.run(queue.clone(), receiver));
    (0..COUNT).for_each(|number| queue.push(plain(text(number))).unwrap());
    in_order(&mut texts, COUNT).await;
    handle.close("enough");
    assert_eq!(bounded("the end", run).await.unwrap().ended, Ended::ClosedHere);
    let ended = bounded("the server's end", serving).await.unwrap().ended;
    assert_eq!(ended, Ended::ClosedByPeer { code: 1000, reason: "enough".into() });
}

/// Goal: what is to go first goes first, and a hop is written before the rest of the message in one frame.
#[tokio::test]
async fn first_things_first_and_hops_in_front() {
    let (mut socket, mut link) = pair(SocketConfig::client()).await;
    let queue = outbox();
    queue.push(plain("{\"third\":3}")).unwrap();
    let hop = Some(Hop { stream: 0xab, number: 12 });
    queue.push(Outgoing::Message { bytes: " {\"fourth\":4}".into(), hop }).unwrap();
    queue.push(Outgoing::Control("{}".into())).unwrap();
    queue.push(plain("{\"last\":5}")).unwrap();
    link.write_first([plain("{\"first\":1}"), plain("{\"second\":2}")]);
    let (receiver, _texts) = Recorder::new(Flow::Continue);
    let run = tokio::spawn(link.run(queue, receiver));
    let wanted = [
        "{\"first\":1}",
        "{\"second\":2}",
        "{\"third\":3}",
        "{\"hop\":[\"000000000000000000000000000000ab\",12],\"fourth\":4}",
        "{\"last\":5}",
    ];
    for wanted in wanted {
        let frame = bounded("a frame", socket.next()).await.unwrap().unwrap();
        assert_eq!(frame, Message::text(wanted));
    }
    drop(socket);
    let ended = bounded("the end", run).await.unwrap().ended;
    assert!(matches!(ended, Ended::Lost { .. }), "{ended:?}");
}

/// A raw server's socket and our client on the other end of it.
async fn pair(config: SocketConfig) -> (WebSocketStream<TcpStream>, WebSocketLink) {
    let (listener, url) = listen().await;
    let server = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
    let (socket, link) =
        bounded("pairing", async { tokio::join!(server, connect(&url, &config)) }).await;
    (socket, link.unwrap())
}

/// Goal: a Message Node that vanished without a word is noticed. Method: a server that reads nothing after
/// its handshake and so answers no ping.
#[tokio::test]
async fn a_silent_server_is_noticed() {
    let config = SocketConfig { keep_alive: Duration::from_millis(50), ..SocketConfig::client() };
    let (_socket, link) = pair(config).await;
    let (receiver, _texts) = Recorder::new(Flow::Continue);
    assert_eq!(bounded("the end", link.run(outbox(), receiver)).await.ended, Ended::TimedOut);
}

/// Goal: what was taken out of the queue but not sent is given back, in order, nothing twice.
/// Method: a server that reads nothing until the client has given up.
#[tokio::test]
async fn what_was_not_sent_is_given_back() {
    const COUNT: usize = 800;
    let (mut socket, link) = pair(SocketConfig::client()).await;
    let queue = outbox();
    let long = |number: usize| format!("{{\"n\":\"{number:050000}\"}}");
    (0..COUNT).for_each(|number| queue.push(plain(long(number))).unwrap());
    let (receiver, _texts) = Recorder::new(Flow::Continue);
    let handle = link.handle();
    let run = tokio::spawn(link.run(queue.clone(), receiver));
    // Some of it was read, so writing has begun; 40 MB don't fit into the buffers of two sockets.
    assert_eq!(bounded("a frame", socket.next()).await.unwrap().unwrap(), Message::text(long(0)));
    handle.close("no more");
    let end = bounded("the end", run).await.unwrap();
    assert_eq!(end.ended, Ended::ClosedHere);
    let mut left = end.unwritten;
    queue.try_drain(&mut left, COUNT);
    assert!(!left.is_empty() && left.len() < COUNT, "{} of {COUNT} left", left.len());
    let first = COUNT - left.len();
    for (number, item) in (first..).zip(&left) {
        let Outgoing::Message { bytes, .. } = item else { panic!("{item:?}") };
        assert_eq!(*bytes, long(number));
    }
    // What was sent is what is not left: nothing that came is given back.
    let mut next = 1;
    while let Some(Ok(Message::Text(text))) = bounded("a frame", socket.next()).await {
        assert_eq!(text.as_str(), long(next));
        next += 1;
    }
    assert!(next <= first, "text {next} came and was given back");
}

/// Goal: no URL but `ws://` is tried, and the error says what is wrong.
#[tokio::test]
async fn urls_are_judged_before_connecting() {
    let config = SocketConfig::client();
    let error = connect("wss://example.org/ws", &config).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`wss://example.org/ws`: wss:// is not supported in this build, use ws://"
    );
    for url in ["", "example.org/ws", "http://example.org/ws", "ws:///ws", "ws://a b/"] {
        let error = connect(url, &config).await.unwrap_err();
        assert!(matches!(error, ConnectError::BadUrl { .. }), "{url}: {error}");
    }
    let (listener, url) = listen().await;
    drop(listener);
    let error = bounded("connect", connect(&url, &config)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Failed { .. }), "{error}");
}

/// Goal: a server that accepts the TCP connection and says nothing costs no more than the handshake time.
#[tokio::test]
async fn a_mute_server_is_given_up() {
    let (_listener, url) = listen().await;
    let config = SocketConfig { handshake: Duration::from_millis(50), ..SocketConfig::client() };
    let error = bounded("connect", connect(&url, &config)).await.unwrap_err();
    assert_eq!(error, ConnectError::TimedOut { after: Duration::from_millis(50) });
}

/// Goal: only `/ws` is served, there is room for so many, and a place is free again when its socket has
/// ended.
#[tokio::test]
async fn the_server_judges_path_and_room() {
    let (server, url) = server(ServerConfig { sockets_max: 1, ..ServerConfig::default() }).await;
    let config = SocketConfig::client();
    let other = url.replace("/ws", "/other");
    let status = |error: ConnectError| match error {
        ConnectError::Refused { status } => status,
        other => panic!("{other}"),
    };
    assert_eq!(status(bounded("connect", connect(&other, &config)).await.unwrap_err()), 404);
    let first = bounded("connect", connect(&url, &config)).await.unwrap();
    assert_eq!(status(bounded("connect", connect(&url, &config)).await.unwrap_err()), 503);
    let accepted = bounded("accept", server.accept()).await.unwrap();
    drop(first);
    let (receiver, _texts) = Recorder::new(Flow::Continue);
    bounded("the end", accepted.run(outbox(), receiver)).await;
    bounded("connect", connect(&url, &config)).await.unwrap();
    let counters = server.counters();
    assert_eq!(counters.not_found.load(Relaxed), 1);
    assert_eq!(counters.no_room.load(Relaxed), 1);
}

/// Goal: a client that asks for a subprotocol is served and promised none.
#[tokio::test]
async fn no_subprotocol_is_promised() {
    let (_server, url) = server(ServerConfig::default()).await;
    let address = url.strip_prefix("ws://").unwrap().strip_suffix("/ws").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: chat\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.push(bounded("a byte", stream.read_u8()).await.unwrap());
    }
    let response = String::from_utf8(response).unwrap().to_lowercase();
    assert!(response.starts_with("http/1.1 101"), "{response}");
    assert!(!response.contains("sec-websocket-protocol"), "{response}");
}

/// Goal: a peer that breaks the protocol is told how, and cut; the server tells the same.
#[tokio::test]
async fn what_is_no_text_within_the_limit_is_cut() {
    let socket = SocketConfig { message_bytes_max: 1_000, ..SocketConfig::server() };
    let (server, url) = server(ServerConfig { socket, ..ServerConfig::default() }).await;
    let binary = Message::binary(vec![0; 10]);
    let long = Message::text("x".repeat(1_066));
    let cases = [
        (binary, CloseCode::Unsupported, "binary frame of 10 bytes, only text is spoken"),
        (long, CloseCode::Size, "Message too long: 1066 > 1065"),
    ];
    for (message, code, reason) in cases {
        let mut client = raw(&url).await;
        let accepted = bounded("accept", server.accept()).await.unwrap();
        let (receiver, mut texts) = Recorder::new(Flow::Continue);
        let run = tokio::spawn(accepted.run(outbox(), receiver));
        client.send(Message::text("{}")).await.unwrap();
        client.send(message).await.unwrap();
        let close = bounded("a close", client.next()).await.unwrap().unwrap();
        let frame = CloseFrame { code, reason: reason.into() };
        assert_eq!(close, Message::Close(Some(frame)));
        drop(client);
        let ended = bounded("the end", run).await.unwrap().ended;
        assert_eq!(ended, Ended::Protocol { reason: reason.into() });
        assert_eq!(texts.recv().await, Some(Bytes::from("{}")), "what came before counts");
        assert_eq!(texts.recv().await, None);
    }
}

/// Goal: a receiver that pauses gets one text at a time, and writing goes on meanwhile; one that stops gets
/// none after it, and the end of the source ends the socket.
#[tokio::test]
async fn receivers_pause_and_stop() {
    let gate = Arc::new(Notify::new());
    let (mut socket, link) = pair(SocketConfig::client()).await;
    let (queue, (receiver, mut texts)) = (outbox(), Recorder::new(Flow::Pause(gate.clone())));
    let run = tokio::spawn(link.run(queue.clone(), receiver));
    for number in 0..10 {
        socket.feed(Message::text(text(number))).await.unwrap();
    }
    socket.flush().await.unwrap();
    for number in 0..10 {
        assert_eq!(bounded("a text", texts.recv()).await.unwrap(), text(number));
        queue.push(plain("{}")).unwrap();
        assert_eq!(bounded("a frame", socket.next()).await.unwrap().unwrap(), Message::text("{}"));
        assert!(texts.try_recv().is_err(), "given more than it asked for");
        gate.notify_one();
    }
    drop(socket);
    bounded("the end", run).await.unwrap();

    let (mut socket, link) = pair(SocketConfig::client()).await;
    let (queue, (receiver, mut texts)) = (outbox(), Recorder::new(Flow::Stop));
    let run = tokio::spawn(link.run(queue.clone(), receiver));
    for _ in 0..2 {
        socket.send(Message::text("{}")).await.unwrap();
    }
    assert!(bounded("a text", texts.recv()).await.is_some());
    queue.push(plain("{\"last\":1}")).unwrap();
    queue.close();
    let last = bounded("a frame", socket.next()).await.unwrap().unwrap();
    assert_eq!(last, Message::text("{\"last\":1}"));
    assert!(matches!(bounded("a close", socket.next()).await, Some(Ok(Message::Close(_)))));
    drop(socket);
    assert_eq!(bounded("the end", run).await.unwrap().ended, Ended::ClosedHere);
    assert_eq!(texts.recv().await, None);
}
