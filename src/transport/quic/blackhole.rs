//! A UDP socket that can be made to swallow everything, so that a dead network can be shown on a living one.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

use crate::limits::QUIC_RECEIVES_AT_ONCE;

/// The switch of an endpoint's socket: on, every datagram is lost, both ways, and nobody is told.
///
/// Off, it costs one relaxed load a system call.
#[derive(Clone, Debug, Default)]
pub struct Blackhole(Arc<AtomicBool>);

impl Blackhole {
    /// Begins or ends to swallow.
    pub fn set(&self, swallow: bool) {
        self.0.store(swallow, Ordering::Relaxed);
    }

    /// True while datagrams are swallowed.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// `inner` behind the switch. It is given no more buffers at once than a processor's cache holds: each has
/// room for as many datagrams as the system gathers.
pub(super) struct BlackholeSocket {
    pub(super) inner: Arc<dyn AsyncUdpSocket>,
    pub(super) switch: Blackhole,
}

impl AsyncUdpSocket for BlackholeSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.switch.is_on() {
            return Ok(());
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let at_once = buffers.len().min(metas.len()).min(QUIC_RECEIVES_AT_ONCE);
        loop {
            let (buffers, metas) = (&mut buffers[..at_once], &mut metas[..at_once]);
            let received = ready!(self.inner.poll_recv(context, buffers, metas))?;
            if !self.switch.is_on() {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl fmt::Debug for BlackholeSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlackholeSocket").field("switch", &self.switch).finish_non_exhaustive()
    }
}
