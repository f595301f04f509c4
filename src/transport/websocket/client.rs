//! Connecting to a Message Node.

use std::{fmt, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{self, http::Uri},
};

use super::{SocketConfig, WebSocketLink};

/// Connects to `url`, `ws://<host>[:<port>]/ws`, within the configured time. Dropping the future abandons it.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(url: &str, config: &SocketConfig) -> Result<WebSocketLink, ConnectError> {
    let (host, port) = authority(url)?;
    let after = config.handshake;
    let connecting = async {
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        match client_async_with_config(url, stream, Some(config.tungstenite())).await {
            Ok((socket, _)) => Ok(WebSocketLink::new(socket, config.keep_alive, None)),
            Err(tungstenite::Error::Http(response)) => {
                Err(ConnectError::Refused { status: response.status().as_u16() })
            }
            Err(error) => Err(failed(error)),
        }
    };
    timeout(after, connecting).await.unwrap_or(Err(ConnectError::TimedOut { after }))
}

fn authority(url: &str) -> Result<(String, u16), ConnectError> {
    let bad = |reason: String| ConnectError::BadUrl { url: url.to_string(), reason };
    let uri: Uri = url.parse().map_err(|error| bad(format!("{error}")))?;
    match uri.scheme_str() {
        Some("ws") => {}
        Some("wss") => return Err(ConnectError::TlsNotBuilt { url: url.to_string() }),
        Some(scheme) => return Err(bad(format!("scheme `{scheme}` where `ws` is wanted"))),
        None => return Err(bad("no scheme, `ws://` is wanted".into())),
    }
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(bad("no host".into()));
    }
    Ok((host.to_string(), uri.port_u16().unwrap_or(80)))
}

fn failed(error: impl fmt::Display) -> ConnectError {
    ConnectError::Failed { reason: error.to_string() }
}

/// Why there is no connection to the Message Node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none of a WebSocket.
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `wss://`: this build speaks no TLS to Message Nodes.
    TlsNotBuilt {
        /// What was given.
        url: String,
    },
    /// Who answered is no Message Node, or has no room.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// No answer in time.
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The network or the peer said no.
    Failed {
        /// In the system's words.
        reason: String,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::BadUrl { url, reason } => {
                write!(f, "no WebSocket URL: `{url}`: {reason}")
            }
            ConnectError::TlsNotBuilt { url } => {
                write!(f, "`{url}`: wss:// is not supported in this build, use ws://")
            }
            ConnectError::Refused { status } => {
                write!(f, "the server refused the WebSocket with HTTP status {status}")
            }
            ConnectError::TimedOut { after } => write!(f, "no WebSocket within {after:?}"),
            ConnectError::Failed { reason } => write!(f, "no WebSocket: {reason}"),
        }
    }
}

impl std::error::Error for ConnectError {}
