//! How a runtime is made, and why it can't be.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

#[cfg(feature = "quic")]
use crate::transport::quic::QuicConfig;
use crate::{
    address::Url,
    bus::P2pPolicy,
    limits,
    ua::{RuntimeUrlError, UaConfig},
};

/// One Message Node to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// The domain that it serves; `None`: the runtime's own.
    pub domain: Option<String>,
    /// `ws://<host>:<port>/ws`.
    pub url: String,
}

impl std::str::FromStr for NodeAddress {
    type Err = StartError;

    /// `[DOMAIN=]WS_URL`.
    fn from_str(text: &str) -> Result<Self, StartError> {
        let (domain, url) = match text.split_once("=ws") {
            Some((domain, rest)) => (Some(domain.to_owned()), format!("ws{rest}")),
            None => (None, text.to_owned()),
        };
        if !url.starts_with("ws://") {
            return Err(StartError::NodeUrl(text.to_owned()));
        }
        if domain.as_ref().is_some_and(String::is_empty) {
            return Err(StartError::NodeUrl(text.to_owned()));
        }
        Ok(NodeAddress { domain, url })
    }
}

/// How a runtime is made.
#[derive(Clone)]
pub struct RuntimeConfig {
    pub(super) ua: UaConfig,
    /// The Message Nodes; one of them for the runtime's own domain.
    pub nodes: Vec<NodeAddress>,
    /// Where the P2P endpoint listens; `None`: on all interfaces, by IPv4 and IPv6.
    pub p2p_address: Option<IpAddr>,
    /// Generic segmentation offload of QUIC; some network cards break on it.
    pub segmentation_offload: bool,
    /// Silence after which a peer of a direct connection counts as dead; a fifth of it lies between two signs
    /// of life. Some more than the default of 750 ms spares connections where processes wait that long for a
    /// processor. The shorter one of the two sides' holds.
    pub p2p_idle: Duration,
}

impl RuntimeConfig {
    /// A runtime at `runtime` that uses `nodes`, with everything else as is usual.
    ///
    /// # Errors
    /// [`StartError::Runtime`] if no runtime can live at that URL.
    pub fn new(runtime: Url, nodes: Vec<NodeAddress>) -> Result<Self, StartError> {
        let ua = UaConfig::new(runtime, Arc::new(random)).map_err(StartError::Runtime)?;
        Ok(RuntimeConfig {
            ua,
            nodes,
            p2p_address: None,
            segmentation_offload: true,
            p2p_idle: limits::QUIC_IDLE,
        })
    }

    /// When direct connections are wanted.
    pub fn policy(mut self, policy: P2pPolicy) -> Self {
        self.ua.policy = policy;
        self
    }

    /// How long traffic waits before it moves to a direct connection that came back; at most 1 s.
    pub fn dwell(mut self, dwell: Duration) -> Self {
        self.ua.hand_over.dwell = dwell;
        self
    }

    /// Bytes of the largest message that is taken.
    pub fn message_bytes_max(&self) -> usize {
        self.ua.limits.bytes_max
    }

    pub(super) fn own_domain(&self) -> &str {
        self.ua.runtime.address().domain()
    }

    pub(super) fn domain_of<'a>(&'a self, node: &'a NodeAddress) -> &'a str {
        node.domain.as_deref().unwrap_or(self.own_domain())
    }

    /// What the P2P endpoint is made with.
    #[cfg(feature = "quic")]
    pub(super) fn quic(&self) -> QuicConfig {
        QuicConfig {
            idle: self.p2p_idle,
            keep_alive: self.p2p_idle / 5,
            segmentation_offload: self.segmentation_offload,
            payload_bytes_max: self.message_bytes_max(),
            ..QuicConfig::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), StartError> {
        if self.p2p_idle < limits::QUIC_IDLE_MIN {
            return Err(StartError::P2pIdle(self.p2p_idle));
        }
        let own = self.own_domain();
        if !self.nodes.iter().any(|node| self.domain_of(node) == own) {
            return Err(StartError::NoOwnNode(own.to_owned()));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            let domain = self.domain_of(node);
            if self.nodes[..at].iter().any(|other| self.domain_of(other) == domain) {
                return Err(StartError::TwoNodes(domain.to_owned()));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RuntimeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeConfig")
            .field("runtime", &self.ua.runtime)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

/// Why a runtime can't start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// No runtime can live at that URL.
    Runtime(RuntimeUrlError),
    /// Not `[DOMAIN=]ws://…`.
    NodeUrl(String),
    /// None of the Message Nodes serves the runtime's own domain.
    NoOwnNode(String),
    /// Two Message Nodes are given for one domain.
    TwoNodes(String),
    /// A peer would be taken for dead after less than [`limits::QUIC_IDLE_MIN`].
    P2pIdle(Duration),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Runtime(error) => error.fmt(f),
            StartError::NodeUrl(text) => write!(f, "`{text}` is not [DOMAIN=]ws://HOST:PORT/ws"),
            StartError::NoOwnNode(domain) => {
                write!(f, "no Message Node is given for the runtime's own domain {domain}")
            }
            StartError::TwoNodes(domain) => {
                write!(f, "two Message Nodes are given for the domain {domain}")
            }
            StartError::P2pIdle(idle) => {
                write!(
                    f,
                    "a peer silent for {idle:?} is not dead: at least {:?}",
                    limits::QUIC_IDLE_MIN
                )
            }
        }
    }
}

impl std::error::Error for StartError {}

/// 128 bits from the operating system. Without them no key, token or stream is safe, so there is no going on.
fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_ne_bytes(bytes)
}

#[cfg(all(test, feature = "quic"))]
mod tests {
    //! Goal: the time-outs of direct connections are those of [`QuicConfig`] unless others are chosen, and
    //! what would cut the living is refused.

    use super::*;

    #[test]
    fn the_time_outs_are_the_defaults_or_what_is_chosen() {
        let url = Url::parse("hyperty-runtime://a/alice").unwrap();
        let node = "ws://127.0.0.1:1/ws".parse().unwrap();
        let mut config = RuntimeConfig::new(url, vec![node]).unwrap();
        let time_outs = |of: QuicConfig| (of.idle, of.keep_alive);
        assert_eq!(time_outs(config.quic()), time_outs(QuicConfig::default()));
        config.p2p_idle = Duration::from_secs(5);
        assert_eq!(time_outs(config.quic()), (Duration::from_secs(5), Duration::from_secs(1)));
        assert!(config.check().is_ok());
        config.p2p_idle = Duration::from_millis(99);
        let refused = config.check().unwrap_err().to_string();
        assert_eq!(refused, "a peer silent for 99ms is not dead: at least 100ms");
    }
}
