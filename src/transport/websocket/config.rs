//! What can be set on one WebSocket, and how it becomes tungstenite's configuration.

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::{
    limits::{
        MESSAGE_BYTES_MAX, WEBSOCKET_HANDSHAKE, WEBSOCKET_KEEP_ALIVE_CLIENT,
        WEBSOCKET_KEEP_ALIVE_SERVER, WEBSOCKET_READ_BUFFER_BYTES, WEBSOCKET_WRITE_BUFFER_BYTES,
    },
    message::HOP_BYTES_MAX,
};

/// What can be set on one WebSocket.
#[derive(Clone, Debug)]
pub struct SocketConfig {
    /// For the handshake; on a client the TCP connection counts in.
    pub handshake: Duration,
    /// Between two looks at a silent peer: it is pinged at the first, and cut if it is silent at the next. A
    /// dead peer is so noticed within three of these.
    pub keep_alive: Duration,
    /// Bytes of one message that comes in, `hop` not counted. A peer that sends more is cut.
    pub message_bytes_max: usize,
}

impl SocketConfig {
    /// The bounds of a client.
    pub fn client() -> Self {
        SocketConfig {
            handshake: WEBSOCKET_HANDSHAKE,
            keep_alive: WEBSOCKET_KEEP_ALIVE_CLIENT,
            message_bytes_max: MESSAGE_BYTES_MAX,
        }
    }

    /// The bounds of a server.
    pub fn server() -> Self {
        SocketConfig { keep_alive: WEBSOCKET_KEEP_ALIVE_SERVER, ..SocketConfig::client() }
    }

    pub(super) fn tungstenite(&self) -> WebSocketConfig {
        let bytes_max = Some(self.message_bytes_max + HOP_BYTES_MAX);
        WebSocketConfig::default()
            .read_buffer_size(WEBSOCKET_READ_BUFFER_BYTES)
            .write_buffer_size(WEBSOCKET_WRITE_BUFFER_BYTES)
            .max_message_size(bytes_max)
            .max_frame_size(bytes_max)
    }
}
