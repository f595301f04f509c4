//! The listening side: TCP connections become WebSockets on `/ws`, or get an HTTP error.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode, header::CONNECTION},
    },
};
use tracing::{debug, warn};

use super::{PATH, SocketConfig, WebSocketLink};
use crate::limits::{SERVE_UNOPENED, WEBSOCKET_HANDSHAKES_MAX, WEBSOCKET_SOCKETS_MAX};

/// Before another try when the system has no more descriptors; nothing else makes `accept` fail for long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What can be set on a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Of each socket.
    pub socket: SocketConfig,
    /// Sockets open at once; who comes beyond gets 503.
    pub sockets_max: usize,
    /// How long a socket may stand before a session is opened on it. Held by who knows of sessions, `serve`.
    pub unopened: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            socket: SocketConfig::server(),
            sockets_max: WEBSOCKET_SOCKETS_MAX,
            unopened: SERVE_UNOPENED,
        }
    }
}

/// What a server refused before there was a socket.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Requests for another path.
    pub not_found: AtomicU64,
    /// Refused for want of room.
    pub no_room: AtomicU64,
    /// What was no WebSocket handshake, or took too long.
    pub bad_handshake: AtomicU64,
}

/// Accepts WebSockets on path `/ws`. Dropping it stops that; sockets that exist go on.
#[derive(Debug)]
pub struct WebSocketServer {
    address: SocketAddr,
    accepted: Mutex<mpsc::Receiver<WebSocketLink>>,
    counters: Arc<ServerCounters>,
    acceptor: AbortHandle,
}

impl WebSocketServer {
    /// Begins to accept on `listener`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the listener does not know its address.
    pub fn new(listener: TcpListener, config: ServerConfig) -> io::Result<WebSocketServer> {
        let address = listener.local_addr()?;
        let counters = Arc::new(ServerCounters::default());
        let (sender, accepted) = mpsc::channel(WEBSOCKET_HANDSHAKES_MAX);
        let door = Door {
            sockets: Arc::new(Semaphore::new(config.sockets_max)),
            config: config.socket,
            counters: Arc::clone(&counters),
            sender,
        };
        let acceptor = tokio::spawn(accept_all(listener, door)).abort_handle();
        Ok(WebSocketServer { address, accepted: Mutex::new(accepted), counters, acceptor })
    }

    /// The address that is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What was refused so far.
    pub fn counters(&self) -> &ServerCounters {
        &self.counters
    }

    /// The next socket whose handshake is done. `None` after [`WebSocketServer::stop`]. Cancel-safe.
    pub async fn accept(&self) -> Option<WebSocketLink> {
        self.accepted.lock().await.recv().await
    }

    /// Accepts nobody any more and gives the port back.
    pub fn stop(&self) {
        self.acceptor.abort();
    }
}

impl Drop for WebSocketServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What one handshake needs.
#[derive(Clone, Debug)]
struct Door {
    config: SocketConfig,
    sockets: Arc<Semaphore>,
    counters: Arc<ServerCounters>,
    sender: mpsc::Sender<WebSocketLink>,
}

async fn accept_all(listener: TcpListener, door: Door) {
    // Ends with this task, so that nothing outlives a stopped server.
    let mut handshakes = JoinSet::new();
    loop {
        if handshakes.len() >= WEBSOCKET_HANDSHAKES_MAX {
            handshakes.join_next().await;
        }
        while handshakes.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                handshakes.spawn(door.clone().admit(stream, from));
            }
            Err(error) => {
                warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Door {
    #[expect(clippy::result_large_err, reason = "tungstenite's callback has it so")]
    async fn admit(self, stream: TcpStream, from: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let mut place = None;
        let config = Some(self.config.tungstenite());
        let handshake = accept_hdr_async_with_config(
            stream,
            |request: &Request, response: Response| match self.judge(request) {
                Ok(permit) => {
                    place = Some(permit);
                    Ok(response)
                }
                Err(status) => Err(refusal(status)),
            },
            config,
        );
        match timeout(self.config.handshake, handshake).await {
            Ok(Ok(socket)) => {
                let link = WebSocketLink::new(socket, self.config.keep_alive, place);
                // Whoever dropped the server wants it no more.
                let _ = self.sender.send(link).await;
            }
            Ok(Err(error)) => {
                debug!(%from, %error, "no WebSocket");
                self.count_bad(&error);
            }
            Err(_) => {
                debug!(%from, "WebSocket handshake timed out");
                self.counters.bad_handshake.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn judge(&self, request: &Request) -> Result<OwnedSemaphorePermit, StatusCode> {
        if request.uri().path() != PATH {
            self.counters.not_found.fetch_add(1, Ordering::Relaxed);
            return Err(StatusCode::NOT_FOUND);
        }
        Arc::clone(&self.sockets).try_acquire_owned().map_err(|_| {
            self.counters.no_room.fetch_add(1, Ordering::Relaxed);
            StatusCode::SERVICE_UNAVAILABLE
        })
    }

    /// Counts what was refused neither for its path nor for want of room.
    fn count_bad(&self, error: &tokio_tungstenite::tungstenite::Error) {
        if !matches!(error, tokio_tungstenite::tungstenite::Error::Http(_)) {
            self.counters.bad_handshake.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let text = status.canonical_reason().map(|reason| format!("{reason}\n"));
    let mut response = ErrorResponse::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
