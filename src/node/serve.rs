//! A Message Node on the network: its WebSocket server, one task a socket, and its clock.
//!
//! What frames mean is the [`MessageNode`]'s; how they come and go is the
//! [`websocket`](crate::transport::websocket)'s.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{Id, JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{debug, warn};

use crate::{
    limits::{SERVE_DRAIN, SERVE_TICK},
    link::{Drained, Outgoing},
    node::{FrameEnd, MessageNode, Socket},
    transport::{
        Ended, Flow,
        websocket::{
            ServerConfig, ServerCounters, SocketEnd, Source, TextReceiver, WebSocketHandle,
            WebSocketLink, WebSocketServer,
        },
    },
};

/// Serves `node` on `listener`. Must be called within a tokio runtime; more than loopback is the caller's
/// decision.
///
/// # Errors
/// If the listener does not know its address.
pub fn serve(
    listener: TcpListener,
    node: Arc<MessageNode>,
    config: ServerConfig,
) -> io::Result<ServeHandle> {
    let unopened = config.unopened;
    let server = Arc::new(WebSocketServer::new(listener, config)?);
    let counters = Arc::new(ServeCounters::default());
    let (stop, stopped) = oneshot::channel();
    let service = Service {
        server: Arc::clone(&server),
        node,
        counters: Arc::clone(&counters),
        unopened,
        sockets: JoinSet::new(),
        handles: HashMap::new(),
    };
    let task = tokio::spawn(service.run(stopped));
    Ok(ServeHandle { server, counters, stop, task })
}

/// A Message Node that is being served. Dropping it shuts down too, unobserved.
#[derive(Debug)]
pub struct ServeHandle {
    server: Arc<WebSocketServer>,
    counters: Arc<ServeCounters>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<usize>,
}

/// How sockets ended so far.
#[derive(Debug, Default)]
pub struct ServeCounters {
    /// Closed in order, by the node or by the peer.
    pub closed: AtomicU64,
    /// Cut because they broke the protocol: binary frames, messages over the limit, bad framing.
    pub protocol: AtomicU64,
    /// Cut because they fell silent.
    pub silent: AtomicU64,
    /// Lost.
    pub lost: AtomicU64,
    /// Refused by the node for want of room.
    pub no_room: AtomicU64,
    /// Closed because no session was opened in time.
    pub unopened: AtomicU64,
}

impl ServeHandle {
    /// The address that is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// What was refused before there was a socket.
    pub fn server_counters(&self) -> &ServerCounters {
        self.server.counters()
    }

    /// How sockets ended.
    pub fn counters(&self) -> &ServeCounters {
        &self.counters
    }

    /// Accepts nobody any more, writes what is queued for the sockets that stand, at most 5 s long, and
    /// closes them. Returns how many had to be cut.
    pub async fn shutdown(self) -> usize {
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

struct Service {
    server: Arc<WebSocketServer>,
    node: Arc<MessageNode>,
    counters: Arc<ServeCounters>,
    unopened: Duration,
    sockets: JoinSet<()>,
    handles: HashMap<Id, WebSocketHandle>,
}

impl Service {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> usize {
        let mut ticks = interval(SERVE_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                Some(link) = self.server.accept() => self.admit(link),
                Some(ended) = self.sockets.join_next_with_id() => self.forget(ended),
                _ = ticks.tick() => {
                    let now = Instant::now();
                    if self.node.poll_timeout().is_some_and(|due| due <= now) {
                        self.node.handle_timeout(now);
                    }
                }
            }
        }
        self.finish().await
    }

    fn admit(&mut self, link: WebSocketLink) {
        let handle = link.handle();
        let task = carry(link, Arc::clone(&self.node), Arc::clone(&self.counters), self.unopened);
        let task = self.sockets.spawn(task);
        self.handles.insert(task.id(), handle);
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                warn!(%error, "a socket's task failed");
                error.id()
            }
        };
        self.handles.remove(&id);
    }

    async fn finish(mut self) -> usize {
        self.server.stop();
        self.handles.values().for_each(|handle| handle.finish("shutting down"));
        let all = async { while self.sockets.join_next().await.is_some() {} };
        let _ = timeout(SERVE_DRAIN, all).await;
        let cut = self.sockets.len();
        self.sockets.shutdown().await;
        cut
    }
}

/// One socket, from its handshake to its end.
async fn carry(
    link: WebSocketLink,
    node: Arc<MessageNode>,
    counters: Arc<ServeCounters>,
    unopened: Duration,
) {
    let socket = match node.open_socket() {
        Ok(socket) => Standing { socket, node },
        Err(error) => {
            counters.no_room.fetch_add(1, Ordering::Relaxed);
            link.refuse(&error.to_string()).await;
            return;
        }
    };
    let receiver =
        Receiver { socket: Arc::clone(&socket.socket), node: Arc::clone(&socket.node), now: None };
    let handle = link.handle();
    let run = link.run(Queue(Arc::clone(&socket.socket)), receiver);
    tokio::pin!(run);
    let SocketEnd { ended, unwritten } = tokio::select! {
        end = &mut run => end,
        () = sleep(unopened) => {
            if socket.socket.is_vacant() {
                counters.unopened.fetch_add(1, Ordering::Relaxed);
                handle.close("no session was opened in time");
            }
            run.await
        }
    };
    let number = socket.socket.number();
    let kept = socket.socket.give_back(unwritten);
    debug!(socket = number, %ended, kept, "socket ended");
    counters.of(&ended).fetch_add(1, Ordering::Relaxed);
}

impl ServeCounters {
    fn of(&self, ended: &Ended) -> &AtomicU64 {
        match ended {
            Ended::ClosedHere | Ended::ClosedByPeer { .. } => &self.closed,
            Ended::Protocol { .. } => &self.protocol,
            Ended::TimedOut => &self.silent,
            Ended::Lost { .. } => &self.lost,
        }
    }
}

/// A socket that the node knows of; however its task ends, the node is told.
struct Standing {
    socket: Arc<Socket>,
    node: Arc<MessageNode>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.node.on_socket_closed(&self.socket, Instant::now());
    }
}

/// What the node wants written to a socket, whichever session stands on it.
struct Queue(Arc<Socket>);

impl Source for Queue {
    fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<Outgoing>,
        max: usize,
    ) -> Poll<Drained> {
        self.0.poll_drain(context, into, max)
    }

    fn give_back(&mut self, unwritten: Vec<Outgoing>) -> Vec<Outgoing> {
        self.0.give_back(unwritten);
        Vec::new()
    }
}

/// Hands what comes in to the node.
struct Receiver {
    socket: Arc<Socket>,
    node: Arc<MessageNode>,
    /// One reading of the clock serves what was read at once.
    now: Option<Instant>,
}

impl TextReceiver for Receiver {
    fn on_text(&mut self, text: Bytes) -> Flow {
        let now = *self.now.get_or_insert_with(Instant::now);
        match self.node.on_frame(&self.socket, text, now) {
            FrameEnd::Continue => Flow::Continue,
            FrameEnd::CloseSocket => Flow::Stop,
        }
    }

    fn on_batch_end(&mut self) {
        self.now = None;
    }
}
