//! What can be set on a QUIC endpoint, and how it becomes quinn-proto's configuration.

use std::{fmt, time::Duration};

use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::limits::{
    MESSAGE_BYTES_MAX, QUIC_DATAGRAM_BYTES_MAX, QUIC_HANDSHAKE, QUIC_HEAD_START, QUIC_IDLE,
    QUIC_KEEP_ALIVE, QUIC_RECEIVE_WINDOW_BYTES, QUIC_SEND_WINDOW_BYTES,
};

/// What can be set on a QUIC endpoint. The default notices a dead peer within a second.
#[derive(Clone, Debug)]
pub struct QuicConfig {
    /// Silence after which a peer counts as dead.
    pub idle: Duration,
    /// Between two signs of life on an idle connection; less than `idle`.
    pub keep_alive: Duration,
    /// For a `dial` with all its candidates, and for one incoming handshake.
    pub handshake: Duration,
    /// How long a `dial` tries the first candidate alone.
    pub head_start: Duration,
    /// Generic segmentation offload: twice the throughput, but some network cards and phones break on it.
    pub segmentation_offload: bool,
    /// Bytes of the largest UDP payload that a path is tried for, from 1,200; the peer's is a bound as well.
    pub datagram_bytes_max: u16,
    /// Bytes in flight to us, unread, on one connection.
    pub receive_window_bytes: u32,
    /// Bytes from us, unacknowledged, on one connection.
    pub send_window_bytes: u64,
    /// Bytes of one frame's payload; a peer that announces more is cut.
    pub payload_bytes_max: usize,
}

impl Default for QuicConfig {
    fn default() -> Self {
        QuicConfig {
            idle: QUIC_IDLE,
            keep_alive: QUIC_KEEP_ALIVE,
            handshake: QUIC_HANDSHAKE,
            head_start: QUIC_HEAD_START,
            segmentation_offload: true,
            datagram_bytes_max: QUIC_DATAGRAM_BYTES_MAX,
            receive_window_bytes: QUIC_RECEIVE_WINDOW_BYTES,
            send_window_bytes: QUIC_SEND_WINDOW_BYTES,
            payload_bytes_max: MESSAGE_BYTES_MAX,
        }
    }
}

impl QuicConfig {
    /// quinn-proto's view of it; `peer_streams` is how many bidirectional streams the peer may open.
    pub(super) fn transport(&self, peer_streams: u32) -> Result<TransportConfig, ConfigError> {
        if self.keep_alive >= self.idle {
            return Err(ConfigError { keep_alive: self.keep_alive, idle: self.idle });
        }
        let idle = IdleTimeout::try_from(self.idle)
            .map_err(|_| ConfigError { keep_alive: self.keep_alive, idle: self.idle })?;
        let mut transport = TransportConfig::default();
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(self.datagram_bytes_max);
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(peer_streams))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(VarInt::from_u32(self.receive_window_bytes))
            .receive_window(VarInt::from_u32(self.receive_window_bytes))
            .send_window(self.send_window_bytes)
            .max_idle_timeout(Some(idle))
            .keep_alive_interval(Some(self.keep_alive))
            .mtu_discovery_config(Some(discovery))
            .enable_segmentation_offload(self.segmentation_offload);
        Ok(transport)
    }
}

/// A time-out that makes no sense: `keep_alive` must be less than `idle`, and `idle` less than 2^62 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What was given.
    pub keep_alive: Duration,
    /// What was given.
    pub idle: Duration,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { keep_alive, idle } = self;
        write!(f, "QUIC keep-alive of {keep_alive:?} does not fit an idle time-out of {idle:?}")
    }
}

impl std::error::Error for ConfigError {}
