//! The UDP socket of an endpoint. On Linux it asks the system less often than tokio's would.
//!
//! Two habits of a socket that is watched for everything cost a round trip more than most of what is done for a
//! message:
//!
//! - the system tells of room to send each time that a receiver has taken one of our datagrams, which wakes the
//!   process for nothing. Here readiness to send is watched only while there was no room;
//! - a reader asks again until the system says that nothing is left. `recvmmsg` that gives fewer datagrams
//!   than it was asked for has said that already.

use std::{io, net::UdpSocket, sync::Arc};

use quinn::AsyncUdpSocket;

/// `socket` as quinn uses it. Must be called within a tokio runtime.
#[cfg(not(target_os = "linux"))]
pub(super) fn watched(socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    use quinn::Runtime;
    quinn::TokioRuntime.wrap_udp_socket(socket)
}

/// `socket` as quinn uses it. Must be called within a tokio runtime.
#[cfg(target_os = "linux")]
pub(super) fn watched(socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    linux::Watched::new(socket).map(|socket| Arc::new(socket) as Arc<dyn AsyncUdpSocket>)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io::{self, ErrorKind, IoSliceMut},
        net::{SocketAddr, UdpSocket},
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::{Context, Poll, ready},
    };

    use quinn::{
        AsyncUdpSocket, UdpPoller,
        udp::{RecvMeta, Transmit, UdpSocketState},
    };
    use tokio::io::{Interest, unix::AsyncFd};

    /// Watched for what comes in.
    #[derive(Debug)]
    pub(super) struct Watched {
        socket: AsyncFd<UdpSocket>,
        state: UdpSocketState,
        /// There was no room to send, and nobody has seen any since.
        is_full: AtomicBool,
    }

    impl Watched {
        pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
            let state = UdpSocketState::new((&socket).into())?;
            let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
            Ok(Watched { socket, state, is_full: AtomicBool::new(false) })
        }
    }

    impl AsyncUdpSocket for Watched {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            Box::pin(Room { socket: self, watch: None })
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            let sent = self.state.send(self.socket.get_ref().into(), transmit);
            if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                self.is_full.store(true, Ordering::Relaxed);
            }
            sent
        }

        fn poll_recv(
            &self,
            context: &mut Context<'_>,
            buffers: &mut [IoSliceMut<'_>],
            metas: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            loop {
                let mut ready = ready!(self.socket.poll_read_ready(context))?;
                match self.state.recv(self.socket.get_ref().into(), buffers, metas) {
                    Ok(received) => {
                        // What comes from here on is told anew.
                        if received < buffers.len().min(metas.len()) {
                            ready.clear_ready();
                        }
                        return Poll::Ready(Ok(received));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => ready.clear_ready(),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.socket.get_ref().local_addr()
        }

        fn max_transmit_segments(&self) -> usize {
            self.state.max_gso_segments()
        }

        fn max_receive_segments(&self) -> usize {
            self.state.gro_segments()
        }

        fn may_fragment(&self) -> bool {
            self.state.may_fragment()
        }
    }

    /// Waits for room to send, on behalf of one connection.
    #[derive(Debug)]
    struct Room {
        socket: Arc<Watched>,
        /// The same socket, watched for room; only while there is none.
        watch: Option<AsyncFd<UdpSocket>>,
    }

    impl UdpPoller for Room {
        fn poll_writable(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            let Room { socket, watch } = &mut *self;
            if watch.is_none() {
                if !socket.is_full.load(Ordering::Relaxed) {
                    return Poll::Ready(Ok(()));
                }
                let same = socket.socket.get_ref().try_clone()?;
                *watch = Some(AsyncFd::with_interest(same, Interest::WRITABLE)?);
            }
            if let Some(watch) = watch {
                ready!(watch.poll_write_ready(context))?.retain_ready();
            }
            *watch = None;
            socket.is_full.store(false, Ordering::Relaxed);
            Poll::Ready(Ok(()))
        }
    }
}
