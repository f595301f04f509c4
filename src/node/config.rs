//! What a Message Node is told when it starts: its domain, its policy and its bounds.

use std::time::Duration;

use crate::{
    limits,
    message::ParseLimits,
    subscription::{Policy, Quotas},
};

/// What a Message Node is told when it starts.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The domain it serves; its own addresses are `domain://msg-node.<domain>/…` and
    /// `domain://registry.<domain>`.
    pub domain: String,
    /// Who may use which address.
    pub policy: Policy,
    /// Its bounds.
    pub limits: NodeLimits,
}

impl NodeConfig {
    /// A node for `domain` under policy `owner`, with the default bounds.
    pub fn new(domain: impl Into<String>) -> Self {
        let (policy, limits) = (Policy::default(), NodeLimits::default());
        NodeConfig { domain: domain.into(), policy, limits }
    }
}

/// The bounds of one Message Node. Each default is the constant of the same name in [`limits`].
#[derive(Clone, Debug)]
pub struct NodeLimits {
    /// Size and depth of one message.
    pub message: ParseLimits,
    /// Sockets open at once.
    pub sockets_max: usize,
    /// Sessions, those without a socket included.
    pub sessions_max: usize,
    /// How long a session outlives its socket.
    pub session_keep: Duration,
    /// Messages in one session's queue.
    pub queue_items_max: usize,
    /// Bytes in one session's queue.
    pub queue_bytes_max: usize,
    /// Subscriptions.
    pub subscriptions: Quotas,
    /// Addresses given out by one allocation request.
    pub allocations_per_request_max: usize,
    /// Addresses allocated to one session.
    pub allocations_per_session_max: usize,
    /// Domain registry entries of one session.
    pub registry_entries_per_session_max: usize,
}

impl Default for NodeLimits {
    fn default() -> Self {
        NodeLimits {
            message: ParseLimits::default(),
            sockets_max: limits::NODE_SOCKETS_MAX,
            sessions_max: limits::NODE_SESSIONS_MAX,
            session_keep: limits::SESSION_KEEP,
            queue_items_max: limits::SESSION_QUEUE_ITEMS_MAX,
            queue_bytes_max: limits::SESSION_QUEUE_BYTES_MAX,
            subscriptions: Quotas::default(),
            allocations_per_request_max: limits::ALLOCATIONS_PER_REQUEST_MAX,
            allocations_per_session_max: limits::ALLOCATIONS_PER_SESSION_MAX,
            registry_entries_per_session_max: limits::REGISTRY_ENTRIES_PER_SESSION_MAX,
        }
    }
}
