//! A router core for Hyperty messages: JSON objects with `id`, `type`, `from`, `to` and `body`, whose `to` is
//! a URL.
//!
//! Three kinds of party embed the same core. A sandbox has a [`MiniBus`]; a runtime has a
//! [`MessageBus`] between its sandboxes, its Message Node (MN) and its peers; a Message Node has sessions
//! and a Subscription Manager ([`node`]). A remote address is reached by the MN until a direct (P2P)
//! connection to its runtime is live, from then on directly, and by the MN again when the connection goes.
//!
//! It is not a transport and not an async runtime: the core opens no socket, reads no clock, starts no task
//! and sends nothing by itself. Time comes in as an argument named `now`, messages leave through a
//! [`Sink`]. It is no JavaScript engine and runs no Hyperty. Nor does it interpret bodies: **bytes in are
//! bytes out**.
//!
//! # The core alone
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//!
//! use bytes::Bytes;
//! use hyperty_router::{
//!     BusConfig, Delivery, Ingress, MessageBus, Path, Peer, Status, Url,
//!     link::{LinkId, Outbox, Outgoing},
//!     registry::Place,
//! };
//!
//! let now = Instant::now();
//! let bus = MessageBus::new(BusConfig::new(Url::parse("hyperty-runtime://a.example/alice")?));
//!
//! // Somebody local listens: on this URL and all below it.
//! let queue = Arc::new(Outbox::<Delivery>::new(16, 64 << 10));
//! bus.add_listener(Url::parse("hyperty://a.example/chat")?, None, queue.clone());
//!
//! // One message: scanned once, looked up without a lock, handed over as it came.
//! let text = r#"{"id":7,"type":"update","from":"hyperty://a.example/me","to":"hyperty://a.example/chat/1"}"#;
//! let posted = bus.post(Bytes::from_static(text.as_bytes()), Ingress::LOCAL, now)?;
//! assert_eq!(posted.targets[0].as_ref().map(|sent| sent.path), Ok(Path::Local));
//! let mut taken = Vec::new();
//! queue.try_drain(&mut taken, 16);
//! assert_eq!(taken[0].message.bytes(), text);
//!
//! // A Hyperty that lives in a remote runtime, and a direct connection to that.
//! let remote = Url::parse("hyperty-runtime://b.example/bob")?;
//! let hyperty = Url::parse("hyperty://b.example/1")?;
//! let peer = Arc::new(Peer::new(
//!     remote, LinkId(1), 0xa11ce, Arc::new(|| 0x5eed), Default::default(),
//! ));
//! let place = bus.add_place(Place::Peer(peer.clone()));
//! bus.associate(place, [&hyperty]);
//! let decision = |to: &Url| bus.explain(&to.address()).decision;
//! assert_eq!(decision(&hyperty), "unreachable"); // no Message Node, no connection
//!
//! // A status flip is one store, however many addresses stand behind the peer.
//! let wire = Arc::new(Outbox::<Outgoing>::new(16, 64 << 10));
//! peer.open_direct(wire, Url::parse("hyperty-runtime://a.example/alice/p2phandler/1/7")?, now);
//! peer.slot().store(1, Status::Live);
//! assert_eq!(decision(&hyperty), "p2p");
//! peer.slot().store(1, Status::Disconnected);
//! assert_eq!(decision(&hyperty), "unreachable");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/embed.rs` tells more of the same story, with a Message Node.
//!
//! # Features
//!
//! | feature | adds | default |
//! |---|---|---|
//! | (none) | the core: everything that needs no socket, the Message Node's logic included | always |
//! | `websocket` | the transport towards a Message Node (tokio) | yes |
//! | `quic` | the transport between runtimes (tokio, quinn-proto, quinn-udp) | yes |
//! | `node` | serving a Message Node over WebSocket | yes |
//! | `runtime` | a runtime over real sockets | yes |
//! | `cli` | the program `hyperty-router` | no |
//!
//! # Modules
//!
//! Lowest first; each names only those above it in this list, and a test holds that.
//!
//! | module | purpose |
//! |---|---|
//! | [`limits`] | every bound, with its unit and why |
//! | [`address`] | URL addresses and the prefix rule |
//! | [`message`] | one message: its bytes, and where its routing members stand in them |
//! | [`slab`] | values that any thread reads without a lock while one thread edits |
//! | [`fib`] | the forwarding table: routes and subscriptions by prefix, read without a lock |
//! | [`status`] | the status of a P2P connection and the steps allowed |
//! | [`link`](mod@link) | where messages leave: sinks, bounded queues, a peer's slot |
//! | [`handover`] | moving between paths once and in order |
//! | [`subscription`] | the Subscription Manager: who gets copies, who may ask for them |
//! | [`registry`] | which way an address takes, and what is known of remote runtimes |
//! | [`bus`] | MessageBus, MiniBus, pending requests |
//! | [`p2p`] | the P2P Handler and Requester stubs, and their signalling |
//! | [`ua`] | the RuntimeUA: what a runtime does about status events, look-ups and changes |
//! | [`transport`] | WebSocket and QUIC, and the frames of a P2P link |
//! | [`node`] | the Message Node: sessions, address allocation, domain registry |
//! | `runtime` | the RuntimeUA over real sockets: WebSocket to the Message Node, QUIC to peers |

pub mod address;
pub mod bus;
pub mod fib;
pub mod handover;
pub mod limits;
pub mod link;
mod memory;
pub mod message;
pub mod node;
pub mod p2p;
pub mod registry;
#[cfg(feature = "runtime")]
pub mod runtime;
mod simd;
pub mod slab;
pub mod status;
pub mod subscription;
pub mod transport;
pub mod ua;

// What an embedder names first. Within the crate things are named by their modules.
pub use address::{Address, AddressError, Url};
pub use bus::{BusConfig, MessageBus, MiniBus, PostError};
pub use fib::{Fib, FibWriter};
pub use handover::Peer;
pub use link::{Delivery, Ingress, Path, Refusal, Sink};
pub use message::{Kind, Message, ParseError};
pub use status::Status;
