//! How messages leave and enter the process: QUIC between runtimes, WebSocket towards a Message Node.
//!
//! A transport drains an [`Outbox`](crate::link::Outbox) and hands what comes in to a receiver. It knows
//! nothing of routing, registry or hand-over, and parses no message. Everything here but [`frame`] runs on
//! tokio.

pub mod frame;
#[cfg(feature = "quic")]
pub mod quic;
#[cfg(feature = "websocket")]
pub mod websocket;

#[cfg(any(feature = "quic", feature = "websocket"))]
mod flow;
#[cfg(any(feature = "quic", feature = "websocket"))]
pub use flow::{Ended, Flow};
