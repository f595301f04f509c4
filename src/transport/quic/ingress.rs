//! How connections come about, and what comes in for them: dialling, letting in, and the task that receives.
//!
//! A datagram goes to the mailbox of its connection; what opens a new one is let in or refused here.

use std::{
    future::poll_fn,
    io::{ErrorKind, IoSliceMut},
    net::{SocketAddr, SocketAddrV6},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn_proto::{ClientConfig, DatagramEvent, EcnCodepoint, Incoming, Transmit};
use quinn_udp::RecvMeta;
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, warn};

use super::{
    QuicLink,
    connection::{Admission, Connection, Told},
    hub::{Hub, State},
    mailbox::Mailbox,
    socket::UdpSocket,
    tls::Expected,
};
use crate::limits::{QUIC_HANDSHAKES_MAX, QUIC_RECEIVES_A_TURN, QUIC_RECEIVES_AT_ONCE};

/// A name has no meaning when keys are pinned; TLS wants one and we don't send it.
const SERVER_NAME: &str = "hyperty";

/// Who is being dialled, and who will hear of it.
pub(super) type Dialled = (Arc<Mailbox>, Told);

/// Begins to dial `remote`, in a task of its own. Who waits is told when the peer has let us in.
pub(super) fn dial(
    hub: &Arc<Hub>,
    client: ClientConfig,
    remote: SocketAddr,
) -> Result<Dialled, String> {
    let mut state = hub.lock();
    if state.is_closed {
        return Err("the endpoint is closed".to_owned());
    }
    let both = state.socket.local_addr().is_ok_and(|address| address.is_ipv6());
    let remote = if both { mapped(remote) } else { remote };
    let connected = state.machine.connect(super::now(), client, remote, SERVER_NAME);
    let (handle, machine) = connected.map_err(|error| error.to_string())?;
    let socket = state.socket.clone();
    let (connection, mailbox, told) = Connection::dialled(machine, handle, hub.clone(), socket);
    state.put(handle, mailbox.clone());
    drop(state);
    tokio::spawn(connection);
    Ok((mailbox, told))
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

/// Receives for the connections of `hub` and lets in who comes by `door`, until the owner and the last
/// connection have gone.
pub(super) async fn receive(hub: Arc<Hub>, door: Door, datagram_bytes_max: u16) {
    let gathered = hub.lock().socket.receive_segments() * usize::from(datagram_bytes_max);
    let mut memory = vec![0; gathered * QUIC_RECEIVES_AT_ONCE];
    let datagram_bytes_max = usize::from(datagram_bytes_max);
    let ingress = Ingress { hub, door, datagram_bytes_max };
    poll_fn(|context| ingress.poll_receive(context, &mut memory)).await;
}

/// What the task that receives works with.
struct Ingress {
    hub: Arc<Hub>,
    door: Door,
    datagram_bytes_max: usize,
}

impl Ingress {
    /// Receives until there is nothing more. Ready when nobody is left to receive for.
    fn poll_receive(&self, context: &mut Context<'_>, memory: &mut [u8]) -> Poll<()> {
        let (socket, before, has_failed) = {
            let mut state = self.hub.lock();
            if state.is_closed && state.connections == 0 {
                return Poll::Ready(());
            }
            super::leave(context.waker(), &mut state.receiver);
            (state.socket.clone(), state.socket_before.clone(), state.has_failed)
        };
        let mut more = !has_failed && self.poll_socket(&socket, context, memory).is_ready();
        if let Some(before) = before {
            more |= self.poll_socket(&before, context, memory).is_ready();
        }
        if more {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Pending once nothing more is there; ready when it has had its share.
    fn poll_socket(
        &self,
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
                    self.lose(socket, &error);
                    return Poll::Pending;
                }
            };
            let now = super::now();
            let mut begun = Begun::new();
            let mut state = self.hub.lock();
            let mut is_used = false;
            for (meta, buffer) in metas.iter().zip(&buffers).take(received) {
                let gathered = Gathered { socket, meta, bytes: &buffer[..meta.len] };
                is_used |= self.take(&mut state, gathered, &mut begun, now);
            }
            if is_used && Arc::ptr_eq(&state.socket, socket) {
                state.socket_before = None;
            }
            drop(state);
            // A runtime that shuts down drops them right here, and that takes the lock.
            begun.into_iter().for_each(|connection| drop(tokio::spawn(connection)));
        }
        Poll::Ready(())
    }

    /// `socket` receives no more.
    fn lose(&self, socket: &Arc<UdpSocket>, error: &std::io::Error) {
        let mut state = self.hub.lock();
        if Arc::ptr_eq(&state.socket, socket) {
            warn!(%error, "the P2P socket fails: its connections are given up");
            state.has_failed = true;
            state.give_up("the socket has failed");
        } else if state.socket_before.as_ref().is_some_and(|of| Arc::ptr_eq(of, socket)) {
            debug!(%error, "the socket before has gone");
            state.socket_before = None;
        }
    }

    /// Passes on what one receive has gathered from one sender; true if it was for a connection.
    fn take(
        &self,
        state: &mut State,
        gathered: Gathered<'_>,
        begun: &mut Begun,
        now: Instant,
    ) -> bool {
        let Gathered { socket, meta, bytes } = gathered;
        let mut is_used = false;
        let mut all = BytesMut::from(bytes);
        while !all.is_empty() {
            let datagram = all.split_to(meta.stride.clamp(1, all.len()));
            if datagram.len() > self.datagram_bytes_max {
                // We have said that we take none so large.
                continue;
            }
            let mut response = Vec::new();
            let ecn = meta.ecn.map(mark);
            let (from, to) = (meta.addr, meta.dst_ip);
            match state.machine.handle(now, from, to, ecn, datagram, &mut response) {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    is_used = true;
                    if let Some(mailbox) = state.mailbox(handle) {
                        mailbox.push(event);
                    }
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    begun.extend(self.admit(state, socket, incoming, now));
                }
                Some(DatagramEvent::Response(transmit)) => respond(socket, &transmit, &response),
                None => {}
            }
        }
        is_used
    }

    /// Lets a new connection into its handshake, or refuses it. Where too many are under way it is left
    /// without an answer, which costs least, and asks again.
    fn admit(
        &self,
        state: &mut State,
        socket: &UdpSocket,
        incoming: Incoming,
        now: Instant,
    ) -> Option<Connection> {
        let mut response = Vec::new();
        let door = &self.door;
        if state.is_closed || door.expected.is_empty() {
            let transmit = state.machine.refuse(incoming, &mut response);
            respond(socket, &transmit, &response);
            return None;
        }
        let Ok(permit) = door.handshakes.clone().try_acquire_owned() else {
            state.machine.ignore(incoming);
            return None;
        };
        let from = incoming.remote_address();
        match state.machine.accept(incoming, now, &mut response, None) {
            Ok((handle, machine)) => {
                let admission = Admission {
                    links: door.links.clone(),
                    payload_bytes_max: door.payload_bytes_max,
                    permit,
                    deadline: now + door.handshake,
                };
                let socket = state.socket.clone();
                let (connection, mailbox) =
                    Connection::accepted(machine, handle, self.hub.clone(), socket, admission);
                state.put(handle, mailbox);
                Some(connection)
            }
            Err(error) => {
                debug!(%from, reason = %error.cause, "QUIC handshake failed");
                if let Some(transmit) = error.response {
                    respond(socket, &transmit, &response);
                }
                None
            }
        }
    }
}

/// What one receive has gathered from one sender.
struct Gathered<'a> {
    socket: &'a UdpSocket,
    meta: &'a RecvMeta,
    bytes: &'a [u8],
}

/// Connections let in by one receive.
type Begun = Vec<Connection>;

/// A packet of the endpoint itself. Where there is no room it is lost, as a network may lose it.
fn respond(socket: &UdpSocket, transmit: &Transmit, bytes: &[u8]) {
    if let Err(error) = socket.try_send(transmit, bytes) {
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
