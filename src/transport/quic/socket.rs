//! The UDP socket of an endpoint: tokio's, with what quinn-udp knows of segmentation and congestion marks.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use quinn_proto::{EcnCodepoint, Transmit};
use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

use super::Blackhole;
use crate::limits::{QUIC_GATHERED_MAX, QUIC_RECEIVES_AT_ONCE};

/// The wait for room to send.
pub(super) type Room = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// One UDP socket behind a [`Blackhole`] switch, shared by all connections of an endpoint.
#[derive(Debug)]
pub(super) struct UdpSocket {
    socket: tokio::net::UdpSocket,
    state: UdpSocketState,
    switch: Blackhole,
}

impl UdpSocket {
    /// Binds `address`; the unspecified IPv6 address takes IPv4 as well. Must be called within a tokio
    /// runtime.
    pub(super) fn bind(address: SocketAddr, switch: &Blackhole) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        let state = UdpSocketState::new((&socket).into())?;
        let socket = tokio::net::UdpSocket::from_std(socket.into())?;
        Ok(UdpSocket { socket, state, switch: switch.clone() })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// True if what is larger than the path carries may come in pieces: its limit cannot be searched for
    /// then.
    pub(super) fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    /// Datagrams that one buffer may receive, gathered.
    pub(super) fn receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    /// Datagrams that one [`UdpSocket::try_send`] may carry.
    pub(super) fn send_segments(&self) -> usize {
        self.state.max_gso_segments().min(QUIC_GATHERED_MAX)
    }

    /// Sends what `transmit` says of `bytes`, or says that there is no room (`WouldBlock`). Other errors are
    /// those of one datagram: they are logged and it is lost, as datagrams may be.
    pub(super) fn try_send(&self, transmit: &Transmit, bytes: &[u8]) -> io::Result<()> {
        if self.switch.is_on() {
            return Ok(());
        }
        let outgoing = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.map(mark_of),
            contents: &bytes[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        let send = || self.state.send((&self.socket).into(), &outgoing);
        self.socket.try_io(Interest::WRITABLE, send)
    }

    /// Resolves when there may be room, or never will be.
    pub(super) fn room(self: Arc<Self>) -> Room {
        Box::pin(async move { self.socket.writable().await })
    }

    /// Receives into `buffers`, or leaves the waker of the one task that receives.
    ///
    /// Few buffers are given to the system at once, so that they are still in the processor's caches when
    /// they are read. On Linux fewer datagrams than buffers say that nothing is left, and spare the call that
    /// would say it again.
    pub(super) fn poll_receive(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>; QUIC_RECEIVES_AT_ONCE],
        metas: &mut [RecvMeta; QUIC_RECEIVES_AT_ONCE],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_recv_ready(context))?;
            let mut received = 0;
            let outcome = self.socket.try_io(Interest::READABLE, || {
                received = self.state.recv((&self.socket).into(), buffers, metas)?;
                let is_last = cfg!(target_os = "linux") && received < buffers.len();
                // For tokio this is how readiness ends.
                if is_last { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match outcome {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                _ if received > 0 && !self.switch.is_on() => return Poll::Ready(Ok(received)),
                _ => {}
            }
        }
    }
}

fn mark_of(ecn: EcnCodepoint) -> quinn_udp::EcnCodepoint {
    match ecn {
        EcnCodepoint::Ect0 => quinn_udp::EcnCodepoint::Ect0,
        EcnCodepoint::Ect1 => quinn_udp::EcnCodepoint::Ect1,
        EcnCodepoint::Ce => quinn_udp::EcnCodepoint::Ce,
    }
}
