//! What comes in by links: decoded messages and control, on the data plane.
//!
//! A transport's reader owns one of these for each link and calls it from its own thread. Neither waits for
//! the control plane.

use std::{fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::{
    address::{Address, Url},
    bus::{Drop, FromCheck, LastTaker, MessageBus, Note},
    handover::{Announced, ControlError, Peer},
    limits,
    link::{Delivery, DirectSink, Ingress, LinkId, Outbox, Path},
    message::{Message, ParseError},
    ua::remote::taken,
};

/// Asks the peer for [`PROBED`].
pub(super) const PROBE: &str = r#"{"control":"probe"}"#;
/// The answer to [`PROBE`].
const PROBED: &str = r#"{"control":"probed"}"#;

/// Places for messages that an ingress keeps while it rests.
const RUN_KEPT: usize = 4;

/// Why a direct connection has to be closed: the peer broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkFault {
    /// A frame is no message.
    NotAMessage(ParseError),
    /// A number came before the stream was announced.
    NoStream {
        /// The number.
        number: u64,
    },
    /// A control frame makes no sense.
    Control(ControlError),
    /// A control frame is no UTF-8.
    ControlNotText,
    /// `from` is ours, or another runtime's.
    ForgedFrom(String),
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkFault::NotAMessage(error) => write!(f, "a frame is no message: {error}"),
            LinkFault::NoStream { number } => {
                write!(f, "number {number} came before its stream was announced")
            }
            LinkFault::Control(error) => write!(f, "a control frame makes no sense: {error}"),
            LinkFault::ControlNotText => f.write_str("a control frame is no UTF-8"),
            LinkFault::ForgedFrom(from) => write!(f, "the peer has no right to send from {from}"),
        }
    }
}

impl std::error::Error for LinkFault {}

/// The receiving end of one direct connection.
pub struct P2pIngress {
    bus: Arc<MessageBus>,
    inbox: Arc<Outbox<Note>>,
    peer: Arc<Peer>,
    direct: Arc<dyn DirectSink>,
    connection: u64,
    announced: Announced,
    /// The `from` that was judged last and found to be the peer's, which is good for the next message too.
    last_from: String,
    /// The `from` that was noted last as one of which nothing is known; it is judged again each time.
    last_unknown: String,
    last_taker: LastTaker,
    /// Numbered messages of the batch at hand.
    run: Vec<Option<Delivery>>,
}

impl P2pIngress {
    pub(super) fn new(
        bus: Arc<MessageBus>,
        inbox: Arc<Outbox<Note>>,
        peer: Arc<Peer>,
        direct: Arc<dyn DirectSink>,
        connection: u64,
    ) -> Self {
        P2pIngress {
            bus,
            inbox,
            peer,
            direct,
            connection,
            announced: Announced::default(),
            last_from: String::new(),
            last_unknown: String::new(),
            last_taker: LastTaker::default(),
            run: Vec::new(),
        }
    }

    /// A message frame has come; number 0 is a plain message.
    ///
    /// # Errors
    /// [`LinkFault`]: close the connection.
    pub fn on_message(&mut self, number: u64, bytes: Bytes, now: Instant) -> Result<(), LinkFault> {
        let (delivery, checked) = self.read(number, bytes)?;
        receive(&self.bus, &self.peer, delivery, now);
        checked
    }

    /// The same, but that numbered messages wait until there are [`READ_BATCH_MESSAGES`] of them, or for
    /// [`P2pIngress::hand_over`]: they go into the hand-over together, under one lock.
    ///
    /// # Errors
    /// As [`P2pIngress::on_message`]; what came before the frame at fault was taken then.
    ///
    /// [`READ_BATCH_MESSAGES`]: limits::READ_BATCH_MESSAGES
    pub fn gather(&mut self, number: u64, bytes: Bytes, now: Instant) -> Result<(), LinkFault> {
        let (delivery, checked) = match self.read(number, bytes) {
            Ok(read) => read,
            Err(fault) => {
                self.hand_over(now);
                return Err(fault);
            }
        };
        if delivery.hop.is_some() {
            self.run.push(Some(delivery));
            if checked.is_err() || self.run.len() >= limits::READ_BATCH_MESSAGES {
                self.hand_over(now);
            }
        } else {
            self.hand_over(now);
            receive(&self.bus, &self.peer, delivery, now);
        }
        checked
    }

    /// True if messages wait to go into the hand-over.
    pub fn has_gathered(&self) -> bool {
        !self.run.is_empty()
    }

    /// What has been gathered goes into the hand-over.
    pub fn hand_over(&mut self, now: Instant) {
        if !self.run.is_empty() {
            let (bus, last) = (&self.bus, &mut self.last_taker);
            self.peer.receive_run(&mut self.run, &mut |run| bus.deliver_run(run, last, now), now);
            self.run.clear();
        }
    }

    /// Keeps no memory for more than a few messages: an idle connection is to cost little.
    pub fn rest(&mut self) {
        self.run.shrink_to(RUN_KEPT);
    }

    /// The message of a frame as it goes into the hand-over, and whether its sender may send it.
    fn read(
        &mut self,
        number: u64,
        bytes: Bytes,
    ) -> Result<(Delivery, Result<(), LinkFault>), LinkFault> {
        let message = Message::parse_with(bytes, self.bus.limits()).map_err(|error| {
            self.bus.drop_for(Drop::NotAMessage);
            LinkFault::NotAMessage(error)
        })?;
        let hop = match number {
            0 => None,
            number => Some(self.announced.hop(number).ok_or_else(|| {
                self.bus.drop_for(Drop::UnknownStream);
                LinkFault::NoStream { number }
            })?),
        };
        let checked = self.check_from(&message);
        let link = if checked.is_ok() { self.peer.link() } else { LinkId::FORGED };
        let ingress = Ingress { path: Path::P2p, link };
        Ok((Delivery { message, ingress, hop }, checked))
    }

    /// A control frame has come.
    ///
    /// # Errors
    /// [`LinkFault`]: close the connection.
    pub fn on_control(&mut self, control: &[u8], now: Instant) -> Result<(), LinkFault> {
        let taken = self.take_control(control, now);
        if taken.is_err() {
            self.bus.drop_for(Drop::Control);
        }
        taken
    }

    /// Room has come back in the connection's queue.
    pub fn on_room(&self, now: Instant) {
        self.peer.on_room(now);
    }

    fn take_control(&mut self, control: &[u8], now: Instant) -> Result<(), LinkFault> {
        let control = std::str::from_utf8(control).map_err(|_| LinkFault::ControlNotText)?;
        match control {
            PROBE => {
                // A peer that asks faster than we can answer gets fewer answers.
                let _ = self.direct.push_control(PROBED.into());
                return Ok(());
            }
            PROBED => {
                self.note(Note::Probed { connection: self.connection });
                return Ok(());
            }
            _ => {}
        }
        if self.announced.read(control).map_err(LinkFault::Control)? {
            return Ok(());
        }
        let event = self.peer.handle_control(control, Path::P2p, now);
        if let Some(event) = event.map_err(LinkFault::Control)? {
            self.note(Note::Peer { link: self.peer.link(), event });
        }
        Ok(())
    }

    fn check_from(&mut self, message: &Message) -> Result<(), LinkFault> {
        let from = message.from();
        if *from == *self.last_from {
            return Ok(());
        }
        match self.bus.check_from(&from, &self.peer) {
            FromCheck::Forged => return Err(LinkFault::ForgedFrom(from.into_owned())),
            FromCheck::Unknown if *from == *self.last_unknown => {}
            FromCheck::Unknown => {
                self.bus.note_unknown_sender(&from);
                from.as_ref().clone_into(&mut self.last_unknown);
            }
            FromCheck::Peers => from.as_ref().clone_into(&mut self.last_from),
        }
        Ok(())
    }

    fn note(&self, note: Note) {
        if self.inbox.push(note).is_err() {
            self.bus.drop_for(Drop::InboxFull);
        }
    }
}

/// The receiving end of the session with one Message Node.
#[derive(Clone)]
pub struct NodeIngress {
    bus: Arc<MessageBus>,
    peers: Arc<RwLock<Vec<Arc<Peer>>>>,
    link: LinkId,
    /// Whose numbered message came last: the next one is most likely the same peer's.
    last: Option<Arc<Peer>>,
}

impl NodeIngress {
    pub(super) fn new(
        bus: Arc<MessageBus>,
        peers: Arc<RwLock<Vec<Arc<Peer>>>>,
        link: LinkId,
    ) -> Self {
        NodeIngress { bus, peers, link, last: None }
    }

    /// A text frame has come.
    ///
    /// # Errors
    /// [`ParseError`] if it is no message; it has been counted.
    pub fn on_text(&mut self, text: Bytes, now: Instant) -> Result<(), ParseError> {
        let message = Message::parse_with(text, self.bus.limits()).inspect_err(|_| {
            self.bus.drop_for(Drop::NotAMessage);
        })?;
        let ingress = Ingress { path: Path::MessageNode, link: self.link };
        match message.split_hop() {
            Err(message) => {
                let delivery = Delivery { message, ingress, hop: None };
                self.bus.deliver_or_drop(delivery, now);
            }
            Ok((hop, message)) => match self.sender(hop.stream, &message) {
                Some(peer) => {
                    let delivery = Delivery { message, ingress, hop: Some(hop) };
                    receive(&self.bus, &peer, delivery, now);
                }
                None => {
                    self.bus.drop_for(Drop::UnknownStream);
                    if let Ok(from) = Url::parse(&message.from()) {
                        self.bus.note(Note::UnknownStream { from, stream: hop.stream });
                    }
                }
            },
        }
        Ok(())
    }

    /// Whose stream it is: of the peer that we gave it to, else (it will say `unknown`) of the runtime that
    /// `from` lives in.
    fn sender(&mut self, stream: u128, message: &Message) -> Option<Arc<Peer>> {
        if let Some(last) = self.last.as_ref().filter(|last| last.receives(stream)) {
            return Some(last.clone());
        }
        self.last = self.peers.read().iter().find(|peer| peer.receives(stream)).cloned();
        if let Some(peer) = &self.last {
            return Some(peer.clone());
        }
        Address::parse(&message.from()).ok().and_then(|from| self.bus.peer_of(&from))
    }
}

/// Into the hand-over, which gives to the local listeners what is due.
fn receive(bus: &MessageBus, peer: &Peer, delivery: Delivery, now: Instant) {
    let is_plain = delivery.hop.is_none();
    let kept = is_plain.then(|| delivery.clone());
    let outcome =
        peer.receive(delivery, &mut |delivery| bus.deliver(delivery, now).map(taken), now);
    if let (Err(refusal), Some(kept)) = (outcome, kept) {
        bus.refused_plain(&kept, refusal, now);
    }
}
