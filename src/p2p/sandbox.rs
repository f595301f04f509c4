//! The sandbox of a P2P stub: its MiniBus, and the way of messages through it to a direct connection.
//!
//! Carries out "Add Handler listener to minibus for new P2P Connection": the MessageBus listens on the
//! p2p-connectionUrl and hands what comes to this sandbox; within it the MiniBus has, since the stub's 200, a
//! listener on the same URL, which is the connection. Take either away and the path is gone.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    address::Url,
    bus::{MiniBus, Path},
    link::{Delivery, DirectSink, LinkId, Refusal, Sink},
};

/// A stub's sandbox.
#[derive(Debug)]
pub struct StubSandbox {
    /// The stub's URL.
    pub url: Url,
    /// Where events from this sandbox come in by.
    pub link: LinkId,
    /// The bus inside.
    pub bus: Arc<MiniBus>,
}

impl StubSandbox {
    /// A sandbox whose stub takes its own messages by `control`.
    pub fn new(url: Url, link: LinkId, control: Arc<dyn Sink>) -> Self {
        let bus = Arc::new(MiniBus::new());
        bus.add_listener(url.clone(), None, control);
        StubSandbox { url, link, bus }
    }

    /// The sink that the MessageBus gets for what is addressed to the stub and below.
    pub fn entrance(&self) -> Arc<dyn Sink> {
        let bus = self.bus.clone();
        let url = self.url.clone();
        Arc::new(move |delivery: Delivery| bus.deliver(&url.address(), delivery))
    }

    /// The path through a Requester's sandbox: what is not for the stub itself goes to `*`, the connection.
    pub fn default_path(&self) -> Arc<dyn Sink> {
        Arc::new(DefaultPath(self.bus.clone()))
    }

    /// The sink that the MessageBus gets for the path `via` through a Handler's sandbox.
    pub fn path(&self, via: Url) -> Arc<dyn Sink> {
        Arc::new(HandlerPath { bus: self.bus.clone(), path: Path::new(via) })
    }
}

/// Through a Requester's sandbox.
struct DefaultPath(Arc<MiniBus>);

impl Sink for DefaultPath {
    fn push(&self, delivery: Delivery) -> Result<(), Refusal> {
        self.0.deliver_to_target(delivery)
    }

    fn push_in_order(&self, run: &mut [Option<Delivery>]) -> Result<(), Refusal> {
        self.0.deliver_run_to_targets(run)
    }
}

/// Through a Handler's sandbox, by the p2p-connectionUrl of one connection.
struct HandlerPath {
    bus: Arc<MiniBus>,
    path: Path,
}

impl Sink for HandlerPath {
    fn push(&self, delivery: Delivery) -> Result<(), Refusal> {
        self.bus.deliver_by_path(&self.path, delivery)
    }

    fn push_in_order(&self, run: &mut [Option<Delivery>]) -> Result<(), Refusal> {
        self.bus.deliver_run_by_path(&self.path, run)
    }
}

/// The direct way to a remote runtime as its [`crate::handover::Peer`] uses it: messages go through the
/// MessageBus listener of `via` and the sandbox behind it, control straight to the connection.
pub struct DirectPath {
    listener: Arc<dyn Sink>,
    connection: Arc<dyn DirectSink>,
}

impl DirectPath {
    /// From the MessageBus's listener on the path's URL and the connection.
    pub fn new(listener: Arc<dyn Sink>, connection: Arc<dyn DirectSink>) -> Self {
        DirectPath { listener, connection }
    }
}

impl Sink for DirectPath {
    fn push(&self, delivery: Delivery) -> Result<(), Refusal> {
        self.listener.push(delivery)
    }

    fn push_in_order(&self, run: &mut [Option<Delivery>]) -> Result<(), Refusal> {
        self.listener.push_in_order(run)
    }
}

impl DirectSink for DirectPath {
    fn push_control(&self, control: Bytes) -> Result<(), Refusal> {
        self.connection.push_control(control)
    }
}
