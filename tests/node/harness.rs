//! A node, its clock and its clients.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    link::Outgoing,
    node::{FrameEnd, MessageNode, NodeConfig, Socket},
    subscription::Policy,
};
use serde_json::{Value, json};

/// A node for `a.com` and the time.
pub(crate) struct Net {
    pub(crate) node: MessageNode,
    pub(crate) now: Instant,
}

/// A socket of it, and the runtimeURL and token of the session opened there.
pub(crate) struct Client {
    pub(crate) socket: Arc<Socket>,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Net {
    pub(crate) fn new() -> Self {
        Net::with(|_| {})
    }

    pub(crate) fn open_policy() -> Self {
        Net::with(|config| config.policy = Policy::Open)
    }

    pub(crate) fn with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = NodeConfig::new("a.com");
        change(&mut config);
        let mut state = 1_u64;
        let random = move |bytes: &mut [u8]| {
            for byte in bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
        };
        Net { node: MessageNode::new(config, random).unwrap(), now: Instant::now() }
    }

    /// A socket without a session.
    pub(crate) fn socket(&self) -> Client {
        let socket = self.node.open_socket().unwrap();
        Client { socket, url: String::new(), token: String::new() }
    }

    /// A socket with a session for `hyperty-runtime://a.com/<name>`.
    pub(crate) fn client(&self, name: &str) -> Client {
        let mut client = self.socket();
        client.url = format!("hyperty-runtime://a.com/{name}");
        let reply = self.ask(&client, session(1, "open", &client.url));
        assert_eq!(reply["body"]["code"], 200, "{reply}");
        client.token = reply["body"]["runtimeToken"].as_str().unwrap().to_owned();
        client
    }

    /// The same while others send to it, so that messages may come behind the reply.
    pub(crate) fn client_amid(&self, name: &str) -> Client {
        let mut client = self.socket();
        client.url = format!("hyperty-runtime://a.com/{name}");
        let reply = self.ask_first(&client, session(1, "open", &client.url));
        client.token = reply["body"]["runtimeToken"].as_str().unwrap().to_owned();
        client
    }

    pub(crate) fn frame(&self, client: &Client, text: impl Into<Bytes>) -> FrameEnd {
        self.node.on_frame(&client.socket, text.into(), self.now)
    }

    pub(crate) fn send(&self, client: &Client, message: Value) {
        assert_eq!(self.frame(client, message.to_string()), FrameEnd::Continue);
    }

    /// Sends and returns the one message that comes back.
    pub(crate) fn ask(&self, client: &Client, message: Value) -> Value {
        self.send(client, message);
        let mut got = client.take();
        assert_eq!(got.len(), 1, "{got:?}");
        got.remove(0)
    }

    /// Sends and returns the first message that comes back, leaving the rest.
    pub(crate) fn ask_first(&self, client: &Client, message: Value) -> Value {
        self.send(client, message);
        let frame = client.take_outgoing(1).remove(0);
        serde_json::from_slice(&bytes(frame)).unwrap()
    }

    pub(crate) fn code(&self, client: &Client, message: Value) -> u64 {
        self.ask(client, message)["body"]["code"].as_u64().unwrap()
    }

    /// Subscribes as the runtime itself.
    pub(crate) fn subscribe(&self, client: &Client, urls: &[&str]) -> u64 {
        self.code(client, sm(2, "subscribe", &client.url, json!({ "subscribe": urls })))
    }

    pub(crate) fn close_socket(&self, client: &Client) {
        self.node.on_socket_closed(&client.socket, self.now);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.node.handle_timeout(self.now);
    }
}

impl Client {
    /// What is to be written now.
    pub(crate) fn take(&self) -> Vec<Value> {
        let parse = |bytes: Bytes| serde_json::from_slice(&bytes).unwrap();
        self.take_bytes().into_iter().map(parse).collect()
    }

    pub(crate) fn take_bytes(&self) -> Vec<Bytes> {
        self.take_outgoing(usize::MAX).into_iter().map(bytes).collect()
    }

    pub(crate) fn take_outgoing(&self, max: usize) -> Vec<Outgoing> {
        let mut frames = Vec::new();
        self.socket.try_drain(&mut frames, max);
        frames
    }
}

pub(crate) fn bytes(frame: Outgoing) -> Bytes {
    match frame {
        Outgoing::Message { bytes, hop: None } => bytes,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn session(id: u64, kind: &str, from: &str) -> Value {
    json!({ "id": id, "type": kind, "from": from, "to": "mn:/session" })
}

pub(crate) fn sm(id: u64, kind: &str, from: &str, body: Value) -> Value {
    message(id, kind, from, "domain://msg-node.a.com/sm", body)
}

pub(crate) fn message(id: u64, kind: &str, from: &str, to: &str, body: Value) -> Value {
    json!({ "id": id, "type": kind, "from": from, "to": to, "body": body })
}

pub(crate) fn is_uuid(text: &str) -> bool {
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}
