//! What a MessageBus is made from.

use std::sync::Arc;

use crate::{
    address::Url,
    bus::Note,
    link::{Outbox, Sink},
    message::ParseLimits,
};

/// How a bus is made.
#[derive(Clone)]
pub struct BusConfig {
    /// The runtime's URL.
    pub runtime: Url,
    /// Bounds for each message.
    pub limits: ParseLimits,
    /// Which unknown addresses are worth a look-up behind their messages.
    pub policy: P2pPolicy,
    /// Gets a copy of each message that the router writes itself.
    pub tap: Option<Arc<dyn Sink>>,
    /// What the control plane reads; `None` if there is none to tell.
    pub inbox: Option<Arc<Outbox<Note>>>,
}

impl BusConfig {
    /// A bus for the runtime at `runtime` with the usual bounds and no control plane: no look-ups, no tap.
    pub fn new(runtime: Url) -> Self {
        let limits = ParseLimits::default();
        BusConfig { runtime, limits, policy: P2pPolicy::Off, tap: None, inbox: None }
    }
}

/// When a direct connection is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum P2pPolicy {
    /// For every remote address.
    Automatic,
    /// When a message asks for it by `body.p2p`, or by a hint.
    Asked,
    /// Never.
    Off,
}
