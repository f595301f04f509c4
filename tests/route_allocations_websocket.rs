//! What a message costs in memory that is written to a Message Node by WebSocket, behind what
//! `route_allocations.rs` holds: from the stub's queue to the system.
//!
//! Goal: a plain message costs nothing of its size; nor does a numbered one, which, since a frame is written
//! from one piece, is copied behind its hop into a buffer that is used again. Method: a real socket on
//! loopback whose other end reads on another thread, and an allocator that counts what this thread asks for.
//! What buffers of the socket take is bounded, and little beside what all messages hold.

#![cfg(feature = "websocket")]

#[path = "support/counting.rs"]
mod counting;

use std::{net::TcpListener, sync::Arc, thread, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyperty_router::{
    link::{Outbox, Outgoing},
    message::Hop,
    transport::{
        Ended, Flow,
        websocket::{SocketConfig, TextReceiver, connect},
    },
};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::{accept_async, tungstenite::Message};

use counting::{Asked, asked_by};

const MESSAGES: usize = 1_000;
const MESSAGE_BYTES: usize = 8_000;
/// What a socket's own buffers may ask for while all of them are written.
const BUFFERS_BYTES_MAX: usize = MESSAGES * MESSAGE_BYTES / 4;

#[test]
fn a_message_node_costs_a_message_nothing() {
    for hop in [None, Some(Hop { stream: u128::MAX, number: u64::MAX })] {
        let asked = written(hop);
        assert!(asked.bytes < BUFFERS_BYTES_MAX && asked.times < MESSAGES, "{hop:?}: {asked:?}");
    }
}

/// What writing all messages asks for, each with `hop`.
fn written(hop: Option<Hop>) -> Asked {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/ws", listener.local_addr().expect("bound"));
    let node = thread::spawn(move || runtime().block_on(read_all(listener, hop)));
    let queue = Arc::new(Outbox::new(MESSAGES, usize::MAX));
    for bytes in messages() {
        queue.push(Outgoing::Message { bytes, hop }).expect("room");
    }
    queue.close();
    let runtime = runtime();
    let link = runtime.block_on(connect(&url, &SocketConfig::client())).expect("connected");
    let asked = asked_by(|| {
        let end = runtime.block_on(link.run(queue, Deaf));
        assert!(matches!(end.ended, Ended::ClosedHere) && end.unwritten.is_empty());
    });
    node.join().expect("all were read");
    asked
}

/// The other end: every message has come, unchanged behind its hop.
async fn read_all(listener: TcpListener, hop: Option<Hop>) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let read = async {
        let (stream, _) = listener.accept().await.expect("a client");
        let mut socket = accept_async(stream).await.expect("a handshake");
        for message in messages() {
            let frame = socket.next().await.expect("a frame").expect("well formed");
            let Message::Text(text) = frame else { panic!("{frame:?}") };
            assert_eq!(text.starts_with(r#"{"hop":["#), hop.is_some());
            assert!(text.as_bytes().ends_with(&message[1..]));
        }
        while let Some(Ok(frame)) = socket.next().await {
            assert!(matches!(frame, Message::Close(_)), "{frame:?}");
        }
    };
    // Ends a hang, and nothing else.
    tokio::time::timeout(Duration::from_secs(60), read).await.expect("within a minute");
}

/// Pieces of one buffer, as they come from another socket.
fn messages() -> Vec<Bytes> {
    let mut read = BytesMut::new();
    let message = |number: usize| {
        let open = format!(r#"{{"id":{number},"body":{{"value":""#);
        let close = r#""}}"#;
        let value = "x".repeat(MESSAGE_BYTES - open.len() - close.len());
        [&open, &value, close].iter().for_each(|piece| read.extend_from_slice(piece.as_bytes()));
        read.split().freeze()
    };
    (0..MESSAGES).map(message).collect()
}

struct Deaf;

impl TextReceiver for Deaf {
    fn on_text(&mut self, text: Bytes) -> Flow {
        panic!("{text:?}")
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
