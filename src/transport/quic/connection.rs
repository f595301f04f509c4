//! One connection: quinn-proto's state machine, driven by a task that also carries the frames.
//!
//! quinn-proto is all of QUIC but its sockets, clocks and tasks; these are here and in [`super::hub`]. One
//! task owns the state machine, so that nobody locks it and nothing is handed from task to task:
//!
//! ```text
//!   post ──► outbox ──► [ write ──► machine ──► sendmsg ]          one turn of the task
//!   hub's task ──► mailbox ──► [ machine ──► read ──► receiver ]   one turn of the task
//! ```
//!
//! A turn looks at everything in this order: what came, what the machine says, what can be read, what is to
//! be written, what is to be sent, and what is due. It ends when nothing is left, or when it has done its
//! share.

use std::{
    collections::VecDeque,
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
    link::{CloseOnDrop, cut, ended},
    mailbox::{Known, Mailbox},
    socket::UdpSocket,
    timer::LazyTimer,
    tls,
};
use crate::{
    limits::{QUIC_DRAIN, QUIC_PACKETS_A_TURN},
    transport::{Ended, frame::OPENING},
};

/// Packets that a quiet connection keeps room for.
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

/// Why a peer did not let us in.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// QUIC says so.
    Connection(ConnectionError),
    /// We do.
    Because(&'static str),
}

/// Is told when the peer has let us in, or why not.
pub(super) type Told = oneshot::Receiver<Result<(), NotOpened>>;

/// Who waits for the connection to be usable.
enum Waiting {
    /// `dial`.
    Dial(oneshot::Sender<Result<(), NotOpened>>),
    /// `accept`.
    Accept { links: mpsc::Sender<QuicLink>, payload_bytes_max: usize },
}

/// How far it is.
enum Stage {
    /// Until both know who is there, the stream is open, and both have said [`OPENING`]. `heard`: bytes of
    /// it.
    Opening {
        waiting: Waiting,
        heard: usize,
    },
    /// Until somebody carries.
    Open,
    Carrying(Box<Carrier>),
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
    /// How it ended, once it has; what has come before is still handed over.
    ended: Option<Ended>,
    /// The hub knows this connection no more.
    is_forgotten: bool,
    /// For the handshake, or for an orderly close, to be over.
    deadline: Option<Instant>,
    /// The place among the handshakes, until a link has it or all is over.
    permit: Option<OwnedSemaphorePermit>,
    events: VecDeque<ConnectionEvent>,
    timer: Option<LazyTimer>,
}

impl Connection {
    /// A connection that we dial; who waits is told when the peer has let us in.
    pub(super) fn dialled(
        machine: Machine,
        handle: ConnectionHandle,
        hub: Arc<Hub>,
        socket: Arc<UdpSocket>,
    ) -> (Connection, Arc<Mailbox>, Told) {
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
        let Admission { links, payload_bytes_max, permit, deadline } = admission;
        let waiting = Waiting::Accept { links, payload_bytes_max };
        let mut connection = Connection::new(machine, handle, hub, socket, waiting);
        connection.deadline = Some(deadline);
        connection.permit = Some(permit);
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
            ended: None,
            is_forgotten: false,
            deadline: None,
            permit: None,
            events: VecDeque::new(),
            timer: None,
        }
    }

    /// What has come since the last turn; true if there is more than a turn takes.
    fn take_mail(&mut self, context: &Context<'_>, now: Instant) -> bool {
        let events = &mut self.events;
        let (words, is_left) = self.mailbox.open(context.waker(), |mail| {
            if events.is_empty() {
                std::mem::swap(&mut mail.events, events);
            }
            (std::mem::take(&mut mail.words), !mail.events.is_empty())
        });
        if let Some(socket) = words.moved {
            self.egress.move_to(socket);
            self.machine.local_address_changed();
        }
        self.take_packets(QUIC_PACKETS_A_TURN);
        if words.is_chosen {
            self.say_opening(now);
        }
        if let Some(carrier) = words.carrier {
            match self.stage {
                Stage::Open => self.stage = Stage::Carrying(carrier),
                _ => carrier.end(self.ended.clone().unwrap_or(Ended::ClosedHere)),
            }
            self.is_readable = true;
        }
        if let Some((code, reason)) = words.close {
            self.close(code, reason, Ended::ClosedHere, now);
            if matches!(self.stage, Stage::Carrying(_)) {
                self.end();
            }
        }
        if words.is_abandoned && matches!(self.stage, Stage::Open) {
            self.stage = Stage::Over;
        }
        !self.events.is_empty() || is_left
    }

    /// Gives the machine the first packets that have come.
    fn take_packets(&mut self, count: usize) {
        let count = count.min(self.events.len());
        for event in self.events.drain(..count) {
            // One that was forgotten must not be revived.
            if !self.is_forgotten {
                self.machine.handle_event(event);
            }
        }
    }

    /// Closes from here; who carries is told `ended`.
    fn close(&mut self, code: CloseCode, reason: Bytes, ended: Ended, now: Instant) {
        if self.ended.is_none() && !self.is_forgotten {
            self.machine.close(now, code.into(), reason);
            self.lose(ended, NotOpened::Connection(ConnectionError::LocallyClosed));
        }
    }

    /// It has ended. Who waits for it to open is told `why`; who carries gets first what has come before.
    fn lose(&mut self, ended: Ended, why: NotOpened) {
        self.deadline = None;
        self.is_readable = true;
        self.ended.get_or_insert(ended);
        if !matches!(self.stage, Stage::Opening { .. }) {
            return;
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Opening { waiting: Waiting::Dial(tell), .. } => {
                // Who dialled may have stopped waiting.
                let _ = tell.send(Err(why));
            }
            _ => debug!(from = %self.machine.remote_address(), ?why, "QUIC handshake failed"),
        }
    }

    /// Tells who carries how it ended.
    fn end(&mut self) {
        let ended = self.ended.clone().unwrap_or(Ended::ClosedHere);
        if let Stage::Carrying(carrier) = std::mem::replace(&mut self.stage, Stage::Over) {
            carrier.end(ended);
        }
    }

    /// What the machine has to say.
    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.machine.poll() {
            match event {
                Event::Connected => self.connected(now),
                Event::ConnectionLost { reason } => {
                    self.lose(ended(reason.clone()), NotOpened::Connection(reason));
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    self.stream = self.stream.or_else(|| self.machine.streams().accept(Dir::Bi));
                    self.is_readable = true;
                }
                Event::Stream(StreamEvent::Readable { .. }) => self.is_readable = true,
                // The reason why the machine has closed comes behind these.
                Event::Stream(StreamEvent::Finished { .. }) if !self.machine.is_closed() => {
                    self.close(CloseCode::Done, "done".into(), Ended::ClosedHere, now);
                }
                Event::Stream(StreamEvent::Stopped { .. }) if !self.machine.is_closed() => {
                    self.stopped(now);
                }
                _ => {}
            }
        }
    }

    /// Both know each other's keys. The accepting side opens the one stream.
    fn connected(&mut self, now: Instant) {
        if self.machine.side() == Side::Server {
            self.stream = self.machine.streams().open(Dir::Bi);
            self.say_opening(now);
        }
    }

    /// A peer that has no room for it is none of ours.
    fn say_opening(&mut self, now: Instant) {
        if self.machine.is_closed() {
            return;
        }
        let said = self.stream.map(|stream| self.machine.send_stream(stream).write(&OPENING));
        if !matches!(said, Some(Ok(count)) if count == OPENING.len()) {
            self.refuse("there is no room for a stream", now);
        }
    }

    /// The peer breaks the protocol before the connection is open.
    fn refuse(&mut self, words: &'static str, now: Instant) {
        if self.ended.is_none() {
            self.machine.close(now, CloseCode::Protocol.into(), words.into());
        }
        self.lose(Ended::Protocol { reason: words.to_owned() }, NotOpened::Because(words));
    }

    fn stopped(&mut self, now: Instant) {
        self.close(CloseCode::Protocol, "stream stopped".into(), Ended::ClosedHere, now);
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
                    let told = Bytes::copy_from_slice(cut(&reason).as_bytes());
                    self.close(CloseCode::Protocol, told, Ended::Protocol { reason }, now);
                    self.end();
                    return false;
                }
            }
        }
        if self.ended.is_some() {
            // One that has paused is told at once: the end may be what it has to know.
            if !more {
                self.end();
            }
            return more;
        }
        match carrier.write(&mut self.machine, stream, context) {
            Turn::Waits => {}
            Turn::More => more = true,
            Turn::Finished => self.deadline = Some(now + QUIC_DRAIN),
            Turn::Stopped => {
                self.stopped(now);
                more = true;
            }
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
                match chunks.next(OPENING.len() - *heard) {
                    Ok(Some(chunk)) => {
                        let wanted = &OPENING[*heard..*heard + chunk.bytes.len()];
                        is_wrong = *chunk.bytes != *wanted;
                        *heard += chunk.bytes.len();
                    }
                    Err(quinn_proto::ReadError::Blocked) => break,
                    Ok(None) | Err(_) => is_wrong = true,
                }
            }
            // Whether there is something to send is found out after each turn.
            let _ = chunks.finalize();
        }
        let is_whole = *heard == OPENING.len();
        if is_wrong {
            self.refuse("stream opened with something else", now);
        } else if is_whole {
            self.opened(now);
        }
    }

    /// Both have said [`OPENING`], or the dialling side is about to: whoever waits gets the connection.
    fn opened(&mut self, now: Instant) {
        self.deadline = None;
        let before = std::mem::replace(&mut self.stage, Stage::Open);
        let Stage::Opening { waiting, .. } = before else { return };
        let has_it = match waiting {
            Waiting::Dial(tell) => tell.send(Ok(())).is_ok(),
            Waiting::Accept { links, payload_bytes_max } => {
                let connection = CloseOnDrop::new(self.mailbox.clone());
                let permit = self.permit.take();
                self.peer().is_some_and(|peer| {
                    links.try_send(QuicLink { connection, peer, payload_bytes_max, permit }).is_ok()
                })
            }
        };
        if !has_it {
            self.close(CloseCode::NotTaken, "nobody accepts".into(), Ended::ClosedHere, now);
            self.stage = Stage::Over;
        }
    }

    fn peer(&self) -> Option<Fingerprint> {
        tls::peer_fingerprint(self.machine.crypto_session().peer_identity()?)
    }

    /// What the machine wants of the endpoint, and its answers.
    fn ask_hub(&mut self) {
        while let Some(event) = self.machine.poll_endpoint_events() {
            if self.is_forgotten {
                continue;
            }
            self.is_forgotten = event.is_drained();
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
                self.deadline = None;
                let (reason, ended) = match self.stage {
                    Stage::Opening { .. } => ("handshake timed out", Ended::TimedOut),
                    _ => ("done", Ended::ClosedHere),
                };
                self.close(CloseCode::Done, reason.into(), ended, now);
                return true;
            }
            let due = self.machine.poll_timeout();
            if due.is_some_and(|at| at <= now) {
                if !self.events.is_empty() {
                    // Nobody is silent whose packets are here.
                    self.take_packets(usize::MAX);
                    return true;
                }
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

    fn known(&self) -> Known {
        Known {
            remote: self.machine.remote_address(),
            round_trip: self.machine.rtt(),
            datagrams_sent: self.egress.datagrams_sent(),
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut now = super::now();
        let mut more = this.take_mail(context, now);
        loop {
            this.take_events(now);
            more |= this.carry(context, now);
            this.ask_hub();
            more |= this.egress.transmit(&mut this.machine, context, now);
            if this.is_forgotten && matches!(this.stage, Stage::Over) {
                return Poll::Ready(());
            }
            if !this.is_due(context) {
                break;
            }
            // What becomes due while nothing is carried is the pulse of a quiet connection.
            this.rest();
            now = super::now();
            if more {
                break;
            }
        }
        this.mailbox.know(this.known());
        if more {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let gone = || Ended::Lost { reason: "its task has gone".to_owned() };
        let ended = self.ended.get_or_insert_with(gone).clone();
        self.end();
        if !self.is_forgotten {
            self.hub.handle_event(self.handle, EndpointEvent::drained());
        }
        self.mailbox.leave(ended);
    }
}
