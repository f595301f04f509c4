//! What the connections of one endpoint share: quinn-proto's endpoint, the socket, and each other's
//! mailboxes.

use std::{io, net::SocketAddr, sync::Arc, task::Waker};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use quinn_proto::{
    ConnectionEvent, ConnectionHandle, Endpoint as Machine, EndpointConfig, EndpointEvent,
    ServerConfig,
};
use tokio::sync::Notify;

use super::{CloseCode, mailbox::Mailbox, socket::UdpSocket};

/// Shared by the endpoint's owner, the task that receives, and every connection's task.
pub(super) struct Hub {
    state: Mutex<State>,
    /// The last connection has gone.
    idle: Notify,
}

/// Everything under the one lock.
pub(super) struct State {
    pub(super) machine: Machine,
    pub(super) socket: Arc<UdpSocket>,
    /// The one before, until something comes by the new one.
    pub(super) socket_before: Option<Arc<UdpSocket>>,
    /// By handle: these are small numbers, used again.
    mailboxes: Vec<Option<Arc<Mailbox>>>,
    pub(super) connections: usize,
    /// Nobody is let in and nobody is dialled; the task that receives ends with the last connection.
    pub(super) is_closed: bool,
    /// The socket receives no more, for good.
    pub(super) has_failed: bool,
    pub(super) receiver: Option<Waker>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    pub(super) fn new(socket: UdpSocket, config: EndpointConfig, server: ServerConfig) -> Self {
        let searches_limit = !socket.may_fragment();
        let server = Some(Arc::new(server));
        let state = Mutex::new(State {
            machine: Machine::new(Arc::new(config), server, searches_limit, None),
            socket: Arc::new(socket),
            socket_before: None,
            mailboxes: Vec::new(),
            connections: 0,
            is_closed: false,
            has_failed: false,
            receiver: None,
        });
        Hub { state, idle: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.state.lock().socket.local_addr()
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
            let place = state.mailboxes.get_mut(handle.0);
            if place.is_none_or(|place| place.take().is_none()) {
                return None;
            }
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
        state.wake_receiver();
    }
}

impl State {
    /// A connection has begun.
    pub(super) fn put(&mut self, handle: ConnectionHandle, mailbox: Arc<Mailbox>) {
        if self.mailboxes.len() <= handle.0 {
            self.mailboxes.resize(handle.0 + 1, None);
        }
        self.mailboxes[handle.0] = Some(mailbox);
        self.connections += 1;
    }

    /// Lets nobody in any more and closes every connection.
    pub(super) fn give_up(&mut self, reason: &str) {
        let reason = Bytes::copy_from_slice(reason.as_bytes());
        self.is_closed = true;
        for mailbox in self.mailboxes.iter().flatten() {
            mailbox.close(CloseCode::Done, reason.clone());
        }
        self.wake_receiver();
    }

    /// The mailbox of `handle`'s connection.
    pub(super) fn mailbox(&self, handle: ConnectionHandle) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(handle.0)?.as_ref()
    }

    fn wake_receiver(&self) {
        if let Some(receiver) = &self.receiver {
            receiver.wake_by_ref();
        }
    }
}
