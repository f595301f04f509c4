//! What a connection sends: packets out of its state machine into the endpoint's socket.

use std::{
    cell::RefCell,
    io::ErrorKind,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use quinn_proto::{Connection as Machine, Transmit};

use super::socket::{Room, UdpSocket};
use crate::limits::QUIC_DATAGRAMS_A_TURN;

thread_local! {
    /// What is sent next by whichever connection has its turn. None keeps a buffer of its own.
    static SENDING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One connection's way into the socket.
pub(super) struct Egress {
    socket: Arc<UdpSocket>,
    /// What found no room in the socket, and the wait for it.
    unsent: Option<Unsent>,
    datagrams_sent: u64,
}

struct Unsent {
    transmit: Transmit,
    bytes: Box<[u8]>,
    room: Room,
}

impl Egress {
    pub(super) fn new(socket: Arc<UdpSocket>) -> Self {
        Egress { socket, unsent: None, datagrams_sent: 0 }
    }

    /// Goes on with another socket; what waited for the old one is lost, as packets may be.
    pub(super) fn move_to(&mut self, socket: Arc<UdpSocket>) {
        self.socket = socket;
        self.unsent = None;
    }

    pub(super) fn datagrams_sent(&self) -> u64 {
        self.datagrams_sent
    }

    /// Sends what the machine has to send; true if that was not all.
    pub(super) fn transmit(
        &mut self,
        machine: &mut Machine,
        context: &mut Context<'_>,
        now: Instant,
    ) -> bool {
        if let Some(unsent) = &mut self.unsent {
            if unsent.room.as_mut().poll(context).is_pending() {
                return false;
            }
            if let Some(Unsent { transmit, bytes, .. }) = self.unsent.take()
                && !self.send(transmit, &bytes, context)
            {
                return false;
            }
        }
        SENDING.with_borrow_mut(|buffer| {
            let segments = self.socket.send_segments();
            let mut datagrams = 0;
            while datagrams < QUIC_DATAGRAMS_A_TURN {
                buffer.clear();
                let Some(transmit) = machine.poll_transmit(now, segments, buffer) else {
                    return false;
                };
                datagrams += datagrams_of(&transmit);
                if !self.send(transmit, buffer, context) {
                    return false;
                }
            }
            true
        })
    }

    /// False if there is no room: it is sent first when there is some.
    fn send(&mut self, transmit: Transmit, bytes: &[u8], context: &mut Context<'_>) -> bool {
        loop {
            match self.socket.try_send(&transmit, bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => {
                    self.datagrams_sent += datagrams_of(&transmit) as u64;
                    return true;
                }
            }
            let mut room = self.socket.clone().room();
            match room.as_mut().poll(context) {
                Poll::Ready(Ok(())) => {}
                // It is lost, as packets may be.
                Poll::Ready(Err(_)) => return true,
                Poll::Pending => {
                    let bytes = bytes[..transmit.size].into();
                    self.unsent = Some(Unsent { transmit, bytes, room });
                    return false;
                }
            }
        }
    }
}

fn datagrams_of(transmit: &Transmit) -> usize {
    transmit.segment_size.map_or(1, |size| transmit.size.div_ceil(size))
}
