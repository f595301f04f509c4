//! One runtime of the world and what its owner would hold. When anything happens to it is the world's to say.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use hyperty_router::{
    address::Url,
    link::{Delivery, Outbox, Outgoing, Path},
    message::Message,
    node::Socket,
    p2p::{Candidate, Description},
    status::Status,
    ua::{NodeIngress, PathChange, RuntimeUa, UaConfig},
};
use parking_lot::Mutex;
use serde_json::Value;

use super::{DOMAIN, Flight, mix};

/// One runtime and what its owner would hold.
pub(crate) struct Party {
    pub(crate) name: &'static str,
    pub(crate) url: Url,
    pub(crate) ua: RuntimeUa,
    /// The P2P endpoint's key and address.
    pub(super) description: Description,
    /// The MN stub's queue, and the session at the other end.
    pub(super) stub: Arc<Outbox<Outgoing>>,
    pub(super) ingress: NodeIngress,
    pub(super) socket: Option<Arc<Socket>>,
    pub(super) token: Option<String>,
    /// Under way to the Message Node and from it.
    pub(super) up: Flight<Bytes>,
    pub(super) down: Flight<Bytes>,
    /// Each message that the runtime itself wrote, in order.
    pub(crate) written: Arc<Mutex<Vec<Message>>>,
    /// Each message that came from the Message Node, in order.
    pub(crate) from_node: Vec<Value>,
    /// What the listeners of its Hyperties took, in order.
    pub(crate) heard: Arc<Mutex<Vec<(Path, Value)>>>,
    pub(crate) statuses: Vec<(Url, Status, Url)>,
    /// `desc` of the status events that have one.
    pub(crate) reasons: Vec<String>,
    pub(crate) paths: Vec<PathChange>,
    pub(crate) undelivered: Vec<(u16, Message)>,
    pub(crate) log: Vec<String>,
    pub(crate) ready: bool,
    /// False after [`World::kill`]: it does nothing any more.
    pub(super) alive: bool,
}

impl Party {
    pub(super) fn new(name: &'static str, number: u8) -> Party {
        let url = Url::parse(&format!("hyperty-runtime://{DOMAIN}/{name}")).unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let tap = written.clone();
        let tap = move |delivery: Delivery| {
            tap.lock().push(delivery.message);
            Ok(())
        };
        let config = UaConfig::new(url.clone(), Arc::new(numbers(number))).unwrap();
        let mut ua = RuntimeUa::new(UaConfig { tap: Some(Arc::new(tap)), ..config });
        let stub = Arc::new(Outbox::new(1 << 16, 64 << 20));
        let ingress = ua.add_node(DOMAIN, stub.clone());
        let description = Description {
            fingerprint: format!("sha-256 {}", vec![format!("{number:02X}"); 32].join(":")),
            candidates: vec![Candidate(([127, 0, 0, 1], 4000 + u16::from(number)).into())],
        };
        ua.set_local_description(description.clone());
        Party {
            name,
            url,
            ua,
            description,
            stub,
            ingress,
            socket: None,
            token: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            written,
            from_node: Vec::new(),
            heard: Arc::default(),
            statuses: Vec::new(),
            reasons: Vec::new(),
            paths: Vec::new(),
            undelivered: Vec::new(),
            log: Vec::new(),
            ready: false,
            alive: true,
        }
    }

    pub(super) fn take_from_node(&mut self, frame: Bytes, now: Instant) {
        let message: Value = serde_json::from_slice(&frame).expect("JSON");
        if message["from"] == "mn:/session" {
            assert_eq!(message["body"]["code"], 200, "{message}");
            let token = message["body"]["runtimeToken"].as_str();
            if let Some(token) = token {
                self.token = Some(token.to_owned());
            }
            self.ua.node_opened(DOMAIN, token.is_some(), now);
            return;
        }
        self.from_node.push(message);
        self.ingress.on_text(frame, now).expect("the Message Node sends messages");
    }
}

fn numbers(number: u8) -> impl Fn() -> u128 + Send + Sync {
    let next = AtomicU64::new(u64::from(number) + 1);
    move || {
        let drawn = next.fetch_add(1 << 8, Ordering::Relaxed);
        u128::from(mix(drawn)) << 64 | u128::from(mix(!drawn))
    }
}
