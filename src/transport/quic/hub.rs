//! What the connections of one endpoint share: quinn-proto's endpoint, the socket, and the task that receives.
//!
//! A datagram goes to the mailbox of its connection; what opens a new one is let in or refused here.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, IoSliceMut},
    net::{SocketAddr, SocketAddrV6},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use quinn_proto::{
    ClientConfig, ConnectionError, ConnectionEvent, ConnectionHandle, DatagramEvent, EcnCodepoint,
    Endpoint as Machine, EndpointConfig, EndpointEvent, Incoming, ServerConfig, Transmit,
};
use quinn_udp::RecvMeta;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tracing::{debug, warn};

use super::{
    CloseCode, QuicLink,
    connection::{Admission, Connection},
    mailbox::Mailbox,
    socket::UdpSocket,
    tls::Expected,
};
use crate::limits::{QUIC_HANDSHAKES_MAX, QUIC_RECEIVES_A_TURN, QUIC_RECEIVES_AT_ONCE};

/// A name has no meaning when keys are pinned; TLS wants one and we don't send it.
const SERVER_NAME: &str = "hyperty";

/// Shared by the endpoint's owner, the task that receives, and every connection's task.
pub(super) struct Hub {
    state: Mutex<State>,
    door: Door,
    /// The last connection has gone.
    idle: Notify,
}

/// What is needed to let somebody in.
pub(super) struct Door {
    pub(super) expected: Expected,
    pub(super) links: mpsc::Sender<QuicLink>,
    pub(super) handshake: Duration,
    pub(super) payload_bytes_max: usize,
    handshakes: Arc<Semaphore>,
}

impl Door {
    pub(super) fn new(
        expected: Expected,
        links: mpsc::Sender<QuicLink>,
        handshake: Duration,
        payload_bytes_max: usize,
    ) -> Self {
        let handshakes = Arc::new(Semaphore::new(QUIC_HANDSHAKES_MAX));
        Door { expected, links, handshake, payload_bytes_max, handshakes }
    }
}

struct State {
    machine: Machine,
    socket: Arc<UdpSocket>,
    /// The one before, until something comes by the new one.
    socket_before: Option<Arc<UdpSocket>>,
    /// By handle: these are small numbers, used again.
    mailboxes: Vec<Option<Arc<Mailbox>>>,
    connections: usize,
    /// Nobody is let in, and nobody is dialled.
    is_closed: bool,
    /// The owner has gone: the task that receives ends with the last connection.
    is_orphan: bool,
    receiver: Option<Waker>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// Must be called within a tokio runtime: it starts the task that receives.
    pub(super) fn start(
        socket: UdpSocket,
        config: EndpointConfig,
        server: ServerConfig,
        door: Door,
    ) -> Arc<Hub> {
        let searches_limit = !socket.may_fragment();
        let datagram_bytes_max = config.get_max_udp_payload_size() as usize;
        let gathered_bytes_max = datagram_bytes_max * socket.receive_segments();
        let server = Some(Arc::new(server));
        let machine = Machine::new(Arc::new(config), server, searches_limit, None);
        let state = Mutex::new(State {
            machine,
            socket: Arc::new(socket),
            socket_before: None,
            mailboxes: Vec::new(),
            connections: 0,
            is_closed: false,
            is_orphan: false,
            receiver: None,
        });
        let hub = Arc::new(Hub { state, door, idle: Notify::new() });
        tokio::spawn(receive(hub.clone(), gathered_bytes_max));
        hub
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.state.lock().socket.local_addr()
    }

    /// Begins to dial `remote`, in a task of its own. Who waits is told when the peer has let us in.
    pub(super) fn dial(
        self: &Arc<Self>,
        client: ClientConfig,
        remote: SocketAddr,
    ) -> Result<Dialled, String> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err("the endpoint is closed".to_owned());
        }
        let both = state.socket.local_addr().is_ok_and(|address| address.is_ipv6());
        let remote = if both { mapped(remote) } else { remote };
        let connected = state.machine.connect(super::now(), client, remote, SERVER_NAME);
        let (handle, machine) = connected.map_err(|error| error.to_string())?;
        let socket = state.socket.clone();
        let (connection, mailbox, told) =
            Connection::dialled(machine, handle, self.clone(), socket);
        state.put(handle, mailbox.clone());
        drop(state);
        tokio::spawn(connection);
        Ok((mailbox, told))
    }

    /// What a connection wants of the endpoint, and its answer. With its last event it is forgotten.
    pub(super) fn handle_event(
        &self,
        handle: ConnectionHandle,
        event: EndpointEvent,
    ) -> Option<ConnectionEvent> {
        let mut state = self.state.lock();
        if event.is_drained() {
            // At once: from here on the handle may be another's.
            state.mailboxes[handle.0] = None;
            state.connections -= 1;
            if state.connections == 0 {
                self.idle.notify_waiters();
                state.wake_receiver();
            }
        }
        state.machine.handle_event(handle, event)
    }

    /// Goes on with `socket`.
    pub(super) fn move_to(&self, socket: UdpSocket) {
        let socket = Arc::new(socket);
        let mut state = self.state.lock();
        state.socket_before = Some(std::mem::replace(&mut state.socket, socket.clone()));
        for mailbox in state.mailboxes.iter().flatten() {
            mailbox.move_to(socket.clone());
        }
        state.wake_receiver();
    }

    /// Closes every connection with `reason` and waits until the peers were told.
    pub(super) async fn close(&self, reason: &str) {
        self.state.lock().give_up(reason);
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.state.lock().connections == 0 {
                return;
            }
            idle.await;
        }
    }

    /// The owner has gone: nobody new is let in, those who are in go on.
    pub(super) fn orphan(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.is_orphan = true;
        state.wake_receiver();
    }

    /// Receives until there is nothing more. Ready when nobody is left to receive for.
    fn poll_receive(self: &Arc<Self>, context: &mut Context<'_>, memory: &mut [u8]) -> Poll<()> {
        let (socket, before) = {
            let mut state = self.state.lock();
            if state.is_orphan && state.connections == 0 {
                return Poll::Ready(());
            }
            if !state.receiver.as_ref().is_some_and(|of| of.will_wake(context.waker())) {
                state.receiver = Some(context.waker().clone());
            }
            (state.socket.clone(), state.socket_before.clone())
        };
        if let Some(before) = before {
            let _ = self.poll_socket(&before, context, memory);
        }
        match self.poll_socket(&socket, context, memory) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                // It has had its share.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Pending once nothing more is there.
    fn poll_socket(
        self: &Arc<Self>,
        socket: &Arc<UdpSocket>,
        context: &mut Context<'_>,
        memory: &mut [u8],
    ) -> Poll<()> {
        for _ in 0..QUIC_RECEIVES_A_TURN {
            let mut metas = [RecvMeta::default(); QUIC_RECEIVES_AT_ONCE];
            let each = memory.len() / QUIC_RECEIVES_AT_ONCE;
            let mut parts = memory.chunks_exact_mut(each);
            let mut buffers = metas.map(|_| IoSliceMut::new(parts.next().unwrap_or_default()));
            let received = match socket.poll_receive(context, &mut buffers, &mut metas) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(received)) => received,
                // It is told of an earlier datagram of ours, which anybody can bring about.
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::ConnectionReset => continue,
                Poll::Ready(Err(error)) => {
                    warn!(%error, "the P2P socket fails: its connections are given up");
                    self.state.lock().give_up("the socket has failed");
                    return Poll::Pending;
                }
            };
            let now = super::now();
            let mut state = self.state.lock();
            for (meta, buffer) in metas.iter().zip(&buffers).take(received) {
                state.take(self, socket, meta, &buffer[..meta.len], now);
            }
            if state.socket_before.is_some() && Arc::ptr_eq(&state.socket, socket) {
                state.socket_before = None;
            }
        }
        Poll::Ready(())
    }
}

/// Who is being dialled, and who will hear of it.
pub(super) type Dialled = (Arc<Mailbox>, oneshot::Receiver<Result<(), ConnectionError>>);

async fn receive(hub: Arc<Hub>, gathered_bytes_max: usize) {
    let mut memory = vec![0; gathered_bytes_max * QUIC_RECEIVES_AT_ONCE];
    poll_fn(|context| hub.poll_receive(context, &mut memory)).await;
}

impl State {
    fn put(&mut self, handle: ConnectionHandle, mailbox: Arc<Mailbox>) {
        if self.mailboxes.len() <= handle.0 {
            self.mailboxes.resize(handle.0 + 1, None);
        }
        self.mailboxes[handle.0] = Some(mailbox);
        self.connections += 1;
    }

    /// Lets nobody in any more and closes every connection.
    fn give_up(&mut self, reason: &str) {
        let reason = Bytes::copy_from_slice(reason.as_bytes());
        self.is_closed = true;
        for mailbox in self.mailboxes.iter().flatten() {
            mailbox.close(CloseCode::Done, reason.clone());
        }
    }

    fn wake_receiver(&self) {
        if let Some(receiver) = &self.receiver {
            receiver.wake_by_ref();
        }
    }

    /// What one receive has gathered from one sender.
    fn take(
        &mut self,
        hub: &Arc<Hub>,
        socket: &UdpSocket,
        meta: &RecvMeta,
        bytes: &[u8],
        now: Instant,
    ) {
        let mut all = BytesMut::from(bytes);
        while !all.is_empty() {
            let datagram = all.split_to(meta.stride.clamp(1, all.len()));
            let mut response = Vec::new();
            let ecn = meta.ecn.map(mark);
            let (from, to) = (meta.addr, meta.dst_ip);
            match self.machine.handle(now, from, to, ecn, datagram, &mut response) {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some(Some(mailbox)) = self.mailboxes.get(handle.0) {
                        mailbox.push(event);
                    }
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    self.admit(hub, socket, incoming, now);
                }
                Some(DatagramEvent::Response(transmit)) => respond(socket, &transmit, &response),
                None => {}
            }
        }
    }

    /// Lets a new connection into its handshake, or refuses it.
    fn admit(&mut self, hub: &Arc<Hub>, socket: &UdpSocket, incoming: Incoming, now: Instant) {
        let mut response = Vec::new();
        let door = &hub.door;
        let is_open = !self.is_closed && !door.expected.is_empty();
        let permit = door.handshakes.clone().try_acquire_owned().ok().filter(|_| is_open);
        let Some(permit) = permit else {
            let transmit = self.machine.refuse(incoming, &mut response);
            return respond(socket, &transmit, &response);
        };
        let from = incoming.remote_address();
        match self.machine.accept(incoming, now, &mut response, None) {
            Ok((handle, machine)) => {
                let admission = Admission {
                    links: door.links.clone(),
                    payload_bytes_max: door.payload_bytes_max,
                    permit,
                    deadline: now + door.handshake,
                };
                let socket = self.socket.clone();
                let (connection, mailbox) =
                    Connection::accepted(machine, handle, hub.clone(), socket, admission);
                self.put(handle, mailbox);
                tokio::spawn(connection);
            }
            Err(error) => {
                debug!(%from, reason = %error.cause, "QUIC handshake failed");
                if let Some(transmit) = error.response {
                    respond(socket, &transmit, &response);
                }
            }
        }
    }
}

/// A packet of the endpoint itself. Where there is no room it is lost, as a network may lose it.
fn respond(socket: &UdpSocket, transmit: &Transmit, bytes: &[u8]) {
    let sent = socket.try_send(&quinn_udp::Transmit {
        destination: transmit.destination,
        ecn: None,
        contents: &bytes[..transmit.size],
        segment_size: transmit.segment_size,
        src_ip: transmit.src_ip,
    });
    if let Err(error) = sent {
        debug!(%error, "a QUIC packet of the endpoint was not sent");
    }
}

/// `address` as a socket for both families names it.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(_) => address,
        SocketAddr::V4(of) => SocketAddrV6::new(of.ip().to_ipv6_mapped(), of.port(), 0, 0).into(),
    }
}

fn mark(ecn: quinn_udp::EcnCodepoint) -> EcnCodepoint {
    match ecn {
        quinn_udp::EcnCodepoint::Ect0 => EcnCodepoint::Ect0,
        quinn_udp::EcnCodepoint::Ect1 => EcnCodepoint::Ect1,
        quinn_udp::EcnCodepoint::Ce => EcnCodepoint::Ce,
    }
}
