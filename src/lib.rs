//! hyperty-router: skeleton.

pub mod address;
pub mod bus;
pub mod fib;
pub mod handover;
pub mod limits;
pub mod link;
pub mod message;
pub mod node;
pub mod p2p;
pub mod registry;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod slab;
pub mod status;
pub mod subscription;
#[cfg(any(feature = "quic", feature = "websocket"))]
pub mod transport;
pub mod ua;
