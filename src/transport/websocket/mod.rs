//! WebSocket: the wire of a Message Node, JSON text frames, one message a frame.
//!
//! [`connect`] is the side of a runtime's Message Node stub, [`WebSocketServer`] that of the node; both give
//! a [`WebSocketLink`]. Sessions, `open` and `re-open` are not known here: they are messages as any other.
//! `ws://` only; put a TLS proxy in front for `wss://`.

mod client;
mod config;
mod link;
mod pump;
mod server;

pub use client::{ConnectError, connect};
pub use config::SocketConfig;
pub use link::{SocketEnd, WebSocketHandle, WebSocketLink};
pub use server::{ServerConfig, ServerCounters, WebSocketServer};

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{
    link::{Drained, Outbox, Outgoing},
    transport::Flow,
};

/// The path of a Message Node's socket.
pub const PATH: &str = "/ws";

/// What takes the text frames of one socket, called by one task, in order.
///
/// **No call blocks or waits.**
pub trait TextReceiver: Send {
    /// One text frame. It is taken in any case; the verdict is about the next.
    fn on_text(&mut self, text: Bytes) -> Flow;
    /// Nothing more is at hand.
    fn on_batch_end(&mut self) {}
}

/// Where the frames to write come from: an outbox, or whatever stands for a changing one.
pub trait Source: Send {
    /// As [`Outbox::poll_drain`].
    fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<Outgoing>,
        max: usize,
    ) -> Poll<Drained>;

    /// Takes back, in order, what it gave and what is surely not written, as soon as the connection is known
    /// to be over. Returns what it doesn't want; that is told with the end.
    fn give_back(&mut self, unwritten: Vec<Outgoing>) -> Vec<Outgoing> {
        unwritten
    }
}

impl Source for Arc<Outbox<Outgoing>> {
    fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<Outgoing>,
        max: usize,
    ) -> Poll<Drained> {
        Outbox::poll_drain(self, context, into, max)
    }
}
