//! One connection: quinn-proto's state machine, driven by a task that also carries the frames.
//!
//! quinn-proto is all of QUIC but its sockets, clocks and tasks; these are here and in [`super::hub`]. One task
//! owns the state machine, so that nobody locks it and nothing is handed from task to task:
//!
//! ```text
//!   post ──► outbox ──► [ write ──► machine ──► sendmsg ]          one turn of the task
//!   hub's task ──► mailbox ──► [ machine ──► read ──► receiver ]   one turn of the task
//! ```
//!
//! A turn looks at everything in this order: what came, what the machine says, what can be read, what is to be
//! written, what is to be sent, and what is due. It ends when nothing is left, or when it has done its share.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use quinn_proto::{
    Connection as Machine, ConnectionError, ConnectionEvent, ConnectionHandle, Dir, EndpointEvent,
    Event, Side, StreamEvent, StreamId,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::debug;

use super::{
    CloseCode, Fingerprint, QuicLink,
    carry::{Carrier, Turn},
    egress::Egress,
    hub::Hub,
    link::{CloseOnDrop, ended},
    mailbox::{Known, Mailbox},
    socket::UdpSocket,
    timer::LazyTimer,
    tls,
};
use crate::{
    limits::QUIC_DRAIN,
    transport::{Ended, frame::OPENING},
};

/// Events that a quiet connection keeps room for.
const EVENTS_KEPT: usize = 2;

/// What an incoming connection becomes, once the dialling side has chosen it.
pub(super) struct Admission {
    pub(super) links: mpsc::Sender<QuicLink>,
    pub(super) payload_bytes_max: usize,
    /// One of the handshakes that may be under way.
    pub(super) permit: OwnedSemaphorePermit,
    /// When it has to be over.
    pub(super) deadline: Instant,
}

/// Who waits for the connection to be usable.
enum Waiting {
    /// `dial`.
    Dial(oneshot::Sender<Result<(), ConnectionError>>),
    /// `accept`.
    Accept(Admission),
}

/// How far it is.
enum Stage {
    /// Until both know who is there, the stream is open, and both have said [`OPENING`]. `heard`: bytes of it.
    Opening {
        waiting: Waiting,
        heard: usize,
    },
    /// Until somebody carries.
    Open,
    Carrying(Carrier),
    /// It was told how it ended; the machine drains.
    Over,
}

/// The task.
pub(super) struct Connection {
    machine: Box<Machine>,
    handle: ConnectionHandle,
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    egress: Egress,
    stage: Stage,
    stream: Option<StreamId>,
    is_readable: bool,
    /// For the handshake, or for an orderly close, to be over.
    deadline: Option<Instant>,
    events: Vec<ConnectionEvent>,
    timer: Option<LazyTimer>,
}

impl Connection {
    /// A connection that we dial; who waits is told when the peer has let us in.
    pub(super) fn dialled(
        machine: Machine,
        handle: ConnectionHandle,
        hub: Arc<Hub>,
        socket: Arc<UdpSocket>,
    ) -> (Connection, Arc<Mailbox>, oneshot::Receiver<Result<(), ConnectionError>>) {
        let (tell, told) = oneshot::channel();
        let connection = Connection::new(machine, handle, hub, socket, Waiting::Dial(tell));
        let mailbox = connection.mailbox.clone();
        (connection, mailbox, told)
    }

    /// A connection that comes in.
    pub(super) fn accepted(
        machine: Machine,
        handle: ConnectionHandle,
        hub: Arc<Hub>,
        socket: Arc<UdpSocket>,
        admission: Admission,
    ) -> (Connection, Arc<Mailbox>) {
        let deadline = admission.deadline;
        let mut connection =
            Connection::new(machine, handle, hub, socket, Waiting::Accept(admission));
        connection.deadline = Some(deadline);
        let mailbox = connection.mailbox.clone();
        (connection, mailbox)
    }

    fn new(
        machine: Machine,
        handle: ConnectionHandle,
        hub: Arc<Hub>,
        socket: Arc<UdpSocket>,
        waiting: Waiting,
    ) -> Self {
        let mailbox = Arc::new(Mailbox::new(machine.remote_address()));
        Connection {
            machine: Box::new(machine),
            handle,
            hub,
            mailbox,
            egress: Egress::new(socket),
            stage: Stage::Opening { waiting, heard: 0 },
            stream: None,
            is_readable: false,
            deadline: None,
            events: Vec::new(),
            timer: None,
        }
    }

    /// What has come since the last turn.
    fn take_mail(&mut self, context: &Context<'_>, now: Instant) {
        let known = Known {
            remote: self.machine.remote_address(),
            round_trip: self.machine.rtt(),
            datagrams_sent: self.egress.datagrams_sent(),
        };
        let events = &mut self.events;
        let (close, moved, is_chosen, carrier) =
            self.mailbox.open(context.waker(), known, |mail| {
                std::mem::swap(&mut mail.events, events);
                let is_chosen = std::mem::take(&mut mail.is_chosen);
                (mail.close.take(), mail.moved.take(), is_chosen, mail.carrier.take())
            });
        if let Some(socket) = moved {
            self.egress.move_to(socket);
            self.machine.local_address_changed();
        }
        for event in self.events.drain(..) {
            self.machine.handle_event(event);
        }
        if is_chosen && let Some(stream) = self.stream {
            // Two bytes on a stream on which nothing was written fit.
            let _ = self.machine.send_stream(stream).write(&OPENING);
        }
        if let Some(carrier) = carrier {
            match self.stage {
                Stage::Open => self.stage = Stage::Carrying(carrier),
                _ => carrier.end(Ended::Lost { reason: "it had ended before".to_owned() }),
            }
            self.is_readable = true;
        }
        if let Some((code, reason)) = close {
            self.close(code, reason, Ended::ClosedHere, now);
        }
    }

    /// Closes from here; who carries is told `ended`.
    fn close(&mut self, code: CloseCode, reason: Bytes, ended: Ended, now: Instant) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.machine.close(now, code.into(), reason);
        self.end(ConnectionError::LocallyClosed, Some(ended));
    }

    /// It is over: tells who is to know, `reason` or what we make of it.
    fn end(&mut self, reason: ConnectionError, how: Option<Ended>) {
        self.deadline = None;
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Opening { waiting: Waiting::Dial(tell), .. } => {
                // Who dialled may have stopped waiting.
                let _ = tell.send(Err(reason));
            }
            Stage::Opening { waiting: Waiting::Accept(_), .. } => {
                debug!(from = %self.machine.remote_address(), %reason, "QUIC handshake failed");
            }
            Stage::Carrying(carrier) => carrier.end(how.unwrap_or_else(|| ended(reason))),
            Stage::Open | Stage::Over => {}
        }
    }

    /// What the machine has to say.
    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.machine.poll() {
            match event {
                Event::Connected => self.connected(now),
                Event::ConnectionLost { reason } => self.end(reason, None),
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    self.stream = self.stream.or_else(|| self.machine.streams().accept(Dir::Bi));
                    self.is_readable = true;
                }
                Event::Stream(StreamEvent::Readable { .. }) => self.is_readable = true,
                Event::Stream(StreamEvent::Finished { .. }) => {
                    self.close(CloseCode::Done, "done".into(), Ended::ClosedHere, now);
                }
                Event::Stream(StreamEvent::Stopped { .. }) => self.stopped(now),
                _ => {}
            }
        }
    }

    /// Both know each other's keys. The accepting side opens the one stream.
    fn connected(&mut self, now: Instant) {
        if self.machine.side() == Side::Client {
            return;
        }
        let Some(stream) = self.machine.streams().open(Dir::Bi) else {
            let ended = Ended::Protocol { reason: "no stream is allowed".to_owned() };
            return self.close(CloseCode::Protocol, "no stream is allowed".into(), ended, now);
        };
        // Two bytes on a stream on which nothing was written fit.
        let _ = self.machine.send_stream(stream).write(&OPENING);
        self.stream = Some(stream);
    }

    fn stopped(&mut self, now: Instant) {
        let reason = "stream stopped";
        self.close(CloseCode::Protocol, reason.into(), Ended::ClosedHere, now);
    }

    /// Reads and writes what there is; true if there is more.
    fn carry(&mut self, context: &mut Context<'_>, now: Instant) -> bool {
        if matches!(self.stage, Stage::Opening { .. }) {
            self.hear_opening(now);
        }
        let (Stage::Carrying(carrier), Some(stream)) = (&mut self.stage, self.stream) else {
            return false;
        };
        let mut more = false;
        if self.is_readable || carrier.is_paused() {
            match carrier.read(&mut self.machine, stream, context) {
                Ok(turn) => {
                    more = turn == Turn::More;
                    self.is_readable = more;
                }
                Err(reason) => {
                    let ended = Ended::Protocol { reason: reason.clone() };
                    let reason = Bytes::copy_from_slice(super::link::cut(&reason).as_bytes());
                    self.close(CloseCode::Protocol, reason, ended, now);
                    return false;
                }
            }
        }
        match carrier.write(&mut self.machine, stream, context) {
            Turn::Waits => {}
            Turn::More => more = true,
            Turn::Finished => self.deadline = Some(now + QUIC_DRAIN),
            Turn::Stopped => self.stopped(now),
        }
        more
    }

    /// Reads the peer's [`OPENING`], as far as it has come.
    fn hear_opening(&mut self, now: Instant) {
        let (Stage::Opening { heard, .. }, Some(stream)) = (&mut self.stage, self.stream) else {
            return;
        };
        let mut is_wrong = false;
        if let Ok(mut chunks) = self.machine.recv_stream(stream).read(true) {
            while *heard < OPENING.len() && !is_wrong {
                let Ok(Some(chunk)) = chunks.next(OPENING.len() - *heard) else { break };
                is_wrong = *chunk.bytes != OPENING[*heard..*heard + chunk.bytes.len()];
                *heard += chunk.bytes.len();
            }
            // Whether there is something to send is found out after each turn.
            let _ = chunks.finalize();
        }
        let is_whole = *heard == OPENING.len();
        if is_wrong {
            let reason = "stream opened with something else";
            let ended = Ended::Protocol { reason: reason.to_owned() };
            self.close(CloseCode::Protocol, reason.into(), ended, now);
        } else if is_whole {
            self.opened(now);
        }
    }

    /// Both have said [`OPENING`], or the dialling side is about to: whoever waits gets the connection.
    fn opened(&mut self, now: Instant) {
        self.deadline = None;
        let before = std::mem::replace(&mut self.stage, Stage::Open);
        let Stage::Opening { waiting, .. } = before else { return };
        let reason: Bytes = match waiting {
            Waiting::Dial(tell) => match tell.send(Ok(())) {
                Ok(()) => return,
                Err(_) => "nobody waits".into(),
            },
            Waiting::Accept(admission) => match self.peer() {
                None => "no certificate".into(),
                Some(peer) => {
                    let link = QuicLink {
                        connection: CloseOnDrop::new(self.mailbox.clone()),
                        peer,
                        payload_bytes_max: admission.payload_bytes_max,
                        permit: Some(admission.permit),
                    };
                    match admission.links.try_send(link) {
                        Ok(()) => return,
                        Err(_) => "nobody accepts".into(),
                    }
                }
            },
        };
        self.close(CloseCode::NotTaken, reason, Ended::ClosedHere, now);
    }

    fn peer(&self) -> Option<Fingerprint> {
        tls::peer_fingerprint(self.machine.crypto_session().peer_identity()?)
    }

    /// What the machine wants of the endpoint.
    fn ask_hub(&mut self) {
        while let Some(event) = self.machine.poll_endpoint_events() {
            if let Some(answer) = self.hub.handle_event(self.handle, event) {
                self.machine.handle_event(answer);
            }
        }
    }

    /// Does what is due, and waits for what will be; true if something was.
    fn is_due(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            let now = super::now();
            if self.deadline.is_some_and(|at| at <= now) {
                let (reason, ended) = match self.stage {
                    Stage::Opening { .. } => ("handshake timed out", Ended::TimedOut),
                    _ => ("done", Ended::ClosedHere),
                };
                self.close(CloseCode::Done, reason.into(), ended, now);
                return true;
            }
            let due = self.machine.poll_timeout();
            if due.is_some_and(|at| at <= now) {
                self.machine.handle_timeout(now);
                return true;
            }
            let Some(at) = due.into_iter().chain(self.deadline).min() else { return false };
            let timer = self.timer.get_or_insert_with(|| LazyTimer::new(at));
            timer.reset(at);
            if timer.poll(context).is_pending() {
                return false;
            }
        }
    }

    /// Keeps no memory that a quiet connection does not need, if it is one.
    fn rest(&mut self) {
        if let Stage::Carrying(carrier) = &mut self.stage
            && carrier.rest()
        {
            self.events.shrink_to(EVENTS_KEPT);
            self.mailbox.rest(EVENTS_KEPT);
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut now = super::now();
        this.take_mail(context, now);
        loop {
            this.take_events(now);
            let mut more = this.carry(context, now);
            more |= this.egress.transmit(&mut this.machine, context, now);
            this.ask_hub();
            if this.machine.is_drained() {
                this.take_events(now);
                return Poll::Ready(());
            }
            if more {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !this.is_due(context) {
                return Poll::Pending;
            }
            // What has become due while nothing came is the pulse of a quiet connection.
            this.rest();
            now = super::now();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end(ConnectionError::LocallyClosed, None);
        self.mailbox.leave();
        if !self.machine.is_drained() {
            self.hub.handle_event(self.handle, EndpointEvent::drained());
        }
    }
}
