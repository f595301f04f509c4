//! The Message Node: routes between the runtimes that have a session with it.
//!
//! Everything but the network: frames come in by [`MessageNode::on_frame`] and are taken out of a
//! [`Socket`]; time comes in as `now`. No socket, clock or task is here but in `serve` (feature `node`).
//!
//! Many threads call it at once. Ordinary messages pass without its control lock; frames of one
//! socket are handed in one after the other, by one task, and are handled in that order.
//!
//! ```
//! use std::time::Instant;
//! use bytes::Bytes;
//! use hyperty_router::node::{FrameEnd, MessageNode, NodeConfig};
//!
//! let node = MessageNode::new(NodeConfig::new("example.org"), |bytes: &mut [u8]| bytes.fill(7))?;
//! let now = Instant::now();
//! let socket = node.open_socket().expect("room for one");
//! let open = r#"{"id":1,"type":"open","from":"runtime://example.org/1","to":"mn:/session"}"#;
//! assert_eq!(node.on_frame(&socket, Bytes::from(open), now), FrameEnd::Continue);
//!
//! let mut frames = Vec::new();
//! socket.try_drain(&mut frames, 16); // a real writer uses poll_drain
//! assert_eq!(frames.len(), 1); // the response, with its runtimeToken
//! node.on_socket_closed(&socket, now);
//! assert_eq!(node.poll_timeout(), Some(now + hyperty_router::limits::SESSION_KEEP));
//! # Ok::<(), hyperty_router::address::AddressError>(())
//! ```

mod allocated;
mod allocation;
mod config;
mod control;
mod domain_registry;
mod forward;
mod metrics;
mod random;
mod registry;
mod reply;
#[cfg(feature = "node")]
pub mod serve;
mod session;
mod socket;

pub use config::{NodeConfig, NodeLimits};
pub use domain_registry::{
    Criteria, DomainRegistry, Found, MemoryRegistry, RegistryEntry, RegistryFull,
};
pub use metrics::{DropReason, Metrics};
pub use random::Random;
pub use socket::Socket;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    address::{Address, AddressError, Url},
    fib::{Fib, FibWriter},
    message::ParseLimits,
    slab::{Slab, SlabWriter},
    subscription::{Policy, SubscriptionManager},
};
use control::{Control, Service};
use metrics::Counters;
use socket::SessionQueue;

/// Where sessions are opened, re-opened and closed. It is no URL address.
pub const SESSION_ADDRESS: &str = "mn:/session";

/// A Message Node.
pub struct MessageNode {
    /// `domain://msg-node.<domain>`, from where it speaks when no address was asked.
    name: String,
    manager_url: String,
    allocation_url: String,
    /// `msg-node.<domain>` and `registry.<domain>`.
    authorities: [String; 2],
    policy: Policy,
    message_limits: ParseLimits,
    sockets_max: usize,
    fib: Fib,
    queues: Slab<Arc<SessionQueue>>,
    counters: Arc<Counters>,
    control: Mutex<Control>,
    sockets: AtomicUsize,
    next_socket: AtomicU32,
}

/// What the transport does after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum FrameEnd {
    /// Read the next one.
    Continue,
    /// Write what is left in the [`Socket`] and close.
    CloseSocket,
}

/// There are too many sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySockets {
    /// Sockets that there may be.
    pub sockets_max: usize,
}

impl fmt::Display for TooManySockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} sockets are allowed", self.sockets_max)
    }
}

impl std::error::Error for TooManySockets {}

impl MessageNode {
    /// A node with a domain registry in memory. `random` fills buffers with random bytes; tokens
    /// and allocated addresses are made of them, so outside of tests it must be unpredictable.
    ///
    /// # Errors
    /// [`AddressError`] if the domain can't be part of a URL.
    pub fn new(
        config: NodeConfig,
        random: impl FnMut(&mut [u8]) + Send + 'static,
    ) -> Result<Self, AddressError> {
        let registry = Box::new(MemoryRegistry::default());
        MessageNode::with_registry(config, random, registry)
    }

    /// The same, over another domain registry.
    ///
    /// # Errors
    /// As [`MessageNode::new`].
    pub fn with_registry(
        config: NodeConfig,
        random: impl FnMut(&mut [u8]) + Send + 'static,
        registry: Box<dyn DomainRegistry>,
    ) -> Result<Self, AddressError> {
        let NodeConfig { domain, policy, limits } = config;
        let authorities = [format!("msg-node.{domain}"), format!("registry.{domain}")];
        let [name, registry_url] = authorities.each_ref().map(|name| format!("domain://{name}"));
        let reserved = vec![Url::parse(&name)?, Url::parse(&registry_url)?];
        let (fib, queues) = (FibWriter::new(), SlabWriter::new());
        let (fib_reader, queue_reader) = (fib.reader(), queues.reader());
        let counters = Arc::new(Counters::default());
        let quotas = limits.subscriptions.clone();
        let (message_limits, sockets_max) = (limits.message.clone(), limits.sockets_max);
        let control = Control {
            domain,
            limits,
            manager: SubscriptionManager::new(policy, quotas, reserved, fib.reader()),
            fib,
            queues,
            sessions: HashMap::new(),
            by_runtime: HashMap::new(),
            by_token: HashMap::new(),
            dropped: BTreeSet::new(),
            registry,
            random: Box::new(random),
            counters: Arc::clone(&counters),
        };
        Ok(MessageNode {
            manager_url: format!("{name}/sm"),
            allocation_url: format!("{name}/address-allocation"),
            name,
            authorities,
            policy,
            message_limits,
            sockets_max,
            fib: fib_reader,
            queues: queue_reader,
            counters,
            control: Mutex::new(control),
            sockets: AtomicUsize::new(0),
            next_socket: AtomicU32::new(0),
        })
    }

    /// A transport has accepted a connection. Drain the socket from one task, hand its frames in
    /// from one task, and report its end with [`MessageNode::on_socket_closed`].
    ///
    /// # Errors
    /// [`TooManySockets`]: close the connection.
    pub fn open_socket(&self) -> Result<Arc<Socket>, TooManySockets> {
        let sockets_max = self.sockets_max;
        let room = |open| (open < sockets_max).then_some(open + 1);
        self.sockets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .map_err(|_| TooManySockets { sockets_max })?;
        Ok(Arc::new(Socket::new(self.next_socket.fetch_add(1, Ordering::Relaxed))))
    }

    /// A text frame has come. An ordinary message is in its receivers' queues when this returns;
    /// nothing blocks but the control lock, and that only for messages to the node's own addresses.
    ///
    /// What is wrong is told to the sender, or counted; a transport should let frames somewhat over
    /// the size limit through, since those that it cuts off itself get no answer with size and
    /// limit. Only [`FrameEnd`] concerns the transport.
    pub fn on_frame(&self, socket: &Arc<Socket>, text: Bytes, now: Instant) -> FrameEnd {
        self.handle_frame(socket, text, now)
    }

    /// The connection is gone. Its session, if it was not taken over meanwhile, keeps its
    /// subscriptions and its queue for `session_keep`; poll the timeout again. A second call
    /// changes nothing.
    pub fn on_socket_closed(&self, socket: &Arc<Socket>, now: Instant) {
        let mut control = self.control.lock();
        control.part(socket, now);
        socket.end();
        if socket.close() {
            self.sockets.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends sessions whose socket did not come back in time, and lets registry entries expire.
    pub fn handle_timeout(&self, now: Instant) {
        self.control.lock().handle_timeout(now);
    }

    /// When [`MessageNode::handle_timeout`] has something to do next. It changes with closed
    /// sockets, `re-open`, `close` and requests to the domain registry; being late by a second
    /// harms nobody.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.control.lock().poll_timeout()
    }

    /// All counters. O(sessions), under the control lock.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        self.counters.read(&mut metrics);
        metrics.sockets = self.sockets.load(Ordering::Relaxed);
        self.control.lock().read(&mut metrics);
        metrics
    }

    /// Which service `address` is, if it is one.
    fn service(&self, address: &Address<'_>) -> Option<Service> {
        let text = address.as_str();
        if !self.is_own(address) {
            return None;
        }
        if text == self.manager_url {
            return Some(Service::SubscriptionManager);
        }
        if text == self.allocation_url {
            return Some(Service::Allocation);
        }
        let is_registry = address.is_bare() && address.authority() == self.authorities[1];
        is_registry.then_some(Service::Registry)
    }

    /// True for the node's own addresses, services or not.
    fn is_own(&self, address: &Address<'_>) -> bool {
        address.scheme() == "domain" && self.authorities.iter().any(|a| a == address.authority())
    }
}

impl fmt::Debug for MessageNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageNode").field("name", &self.name).finish_non_exhaustive()
    }
}
