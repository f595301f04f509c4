//! Where messages leave the router: sinks, the link a message came by, a peer's slot, bounded outboxes.
//!
//! No socket is here. A transport drains an [`Outbox`]; a listener is whatever implements [`Sink`].

mod outbox;
mod slot;

pub use outbox::{Drained, Outbox, Weigh};
pub use slot::Slot;

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    address::Url,
    message::{Hop, Message},
};

/// Which link a message came in by, or a sink stands on; unique within one router.
///
/// A message never goes back to the link it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u32);

impl LinkId {
    /// The mark of a message that came by a link from which it has no right to come: it takes its place in
    /// its stream, so that nothing behind it waits, and is dropped where it would be delivered.
    pub const FORGED: LinkId = LinkId(u32::MAX);
}

/// The kind of way a message takes or took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Within this runtime.
    Local,
    /// By a Message Node.
    MessageNode,
    /// By a direct connection.
    P2p,
}

impl Path {
    /// The word in the program's output: `local`, `message-node`, `p2p`.
    pub fn word(self) -> &'static str {
        match self {
            Path::Local => "local",
            Path::MessageNode => "message-node",
            Path::P2p => "p2p",
        }
    }
}

/// Where a message came from: the kind of way, and which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The kind of way it came.
    pub path: Path,
    /// The link; [`LinkId`] 0 is "posted by a local caller that is no link".
    pub link: LinkId,
}

impl Ingress {
    /// Posted from within, by no link in particular.
    pub const LOCAL: Ingress = Ingress { path: Path::Local, link: LinkId(0) };
}

/// A message on its way into a sink.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message; its `to` is one URL.
    pub message: Message,
    /// How it came.
    pub ingress: Ingress,
    /// Its stream and number if it is numbered (see [`crate::handover`]).
    pub hop: Option<Hop>,
}

/// Something that takes messages: a listener, a stub's queue, a session.
///
/// **A sink never blocks and never waits**: what it cannot take, it refuses at once. It is dropped some time
/// after it was removed, on any thread that routes or edits, maybe under a lock of the router's: its `Drop`
/// must not call back.
pub trait Sink: Send + Sync {
    /// Takes the message or says why not.
    ///
    /// # Errors
    /// [`Refusal`]; the message is then the caller's to account for.
    fn push(&self, delivery: Delivery) -> Result<(), Refusal>;

    /// True if pushing does nothing but queue and wake the drainer, so that nobody can tell when within a
    /// batch it was done. Only then [`Sink::push_run`] is called.
    fn is_queue(&self) -> bool {
        false
    }

    /// Takes every message of `run`, in order, as [`Sink::push`] would one by one; `refused` gets the place
    /// in `run` and the reason of each that is not taken.
    fn push_run(&self, run: &mut [Option<Delivery>], refused: &mut dyn FnMut(usize, Refusal)) {
        for (at, delivery) in run.iter_mut().enumerate() {
            if let Some(Err(refusal)) = delivery.take().map(|delivery| self.push(delivery)) {
                refused(at, refusal);
            }
        }
    }

    /// Takes messages from the front of `run`, in order, until one is refused. That one and what stands
    /// behind it are left in their places; every place before is `None` then.
    ///
    /// # Errors
    /// Why not all were taken.
    fn push_in_order(&self, run: &mut [Option<Delivery>]) -> Result<(), Refusal> {
        for place in run {
            if let Some(delivery) = place {
                self.push(delivery.clone())?;
                *place = None;
            }
        }
        Ok(())
    }
}

/// The sink of a direct connection, which carries control beside messages.
pub trait DirectSink: Sink {
    /// Queues one control object (JSON text) in order with the messages pushed before and after it.
    ///
    /// # Errors
    /// As [`Sink::push`].
    fn push_control(&self, control: Bytes) -> Result<(), Refusal>;
}

/// A Protostub to a Message Node, as the data plane sees it.
pub struct Stub {
    /// Its URL, `<runtime>/protostub/<domain>`.
    pub url: Url,
    /// The domain whose Message Node it speaks to.
    pub domain: Box<str>,
    /// Its link.
    pub link: LinkId,
    /// The queue towards the Message Node.
    pub sink: Arc<dyn Sink>,
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stub").field("url", &self.url).field("link", &self.link).finish()
    }
}

/// What a transport's outbox holds: encoded only when it is drained.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// A message, unchanged, and its hop if it is numbered.
    Message {
        /// The message's bytes.
        bytes: Bytes,
        /// Its stream and number.
        hop: Option<Hop>,
    },
    /// A control object of a P2P link, as JSON text.
    Control(Bytes),
}

impl Weigh for Outgoing {
    fn weight_bytes(&self) -> usize {
        match self {
            Outgoing::Message { bytes, .. } => bytes.len(),
            Outgoing::Control(bytes) => bytes.len(),
        }
    }
}

impl From<Delivery> for Outgoing {
    fn from(delivery: Delivery) -> Self {
        let hop = delivery.hop;
        Outgoing::Message { bytes: delivery.message.into_bytes(), hop }
    }
}

impl Sink for Outbox<Outgoing> {
    fn push(&self, delivery: Delivery) -> Result<(), Refusal> {
        Outbox::push(self, delivery.into())
    }

    fn push_in_order(&self, run: &mut [Option<Delivery>]) -> Result<(), Refusal> {
        Outbox::push_in_order(self, run)
    }
}

impl DirectSink for Outbox<Outgoing> {
    fn push_control(&self, control: Bytes) -> Result<(), Refusal> {
        Outbox::push(self, Outgoing::Control(control))
    }
}

impl Weigh for Delivery {
    fn weight_bytes(&self) -> usize {
        self.message.bytes().len()
    }
}

impl Sink for Outbox<Delivery> {
    fn push(&self, delivery: Delivery) -> Result<(), Refusal> {
        Outbox::push(self, delivery)
    }

    fn is_queue(&self) -> bool {
        true
    }

    fn push_run(&self, run: &mut [Option<Delivery>], refused: &mut dyn FnMut(usize, Refusal)) {
        Outbox::push_run(self, run, refused);
    }

    fn push_in_order(&self, run: &mut [Option<Delivery>]) -> Result<(), Refusal> {
        Outbox::push_in_order(self, run)
    }
}

impl<F> Sink for F
where
    F: Fn(Delivery) -> Result<(), Refusal> + Send + Sync,
{
    fn push(&self, delivery: Delivery) -> Result<(), Refusal> {
        self(delivery)
    }
}

/// Why a sink did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Its queue is at its bound; room comes back as it drains.
    Full {
        /// The bound that was met, in items or bytes.
        bound: usize,
    },
    /// There is nobody behind it any more.
    Closed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Full { bound } => write!(f, "queue full at its bound of {bound}"),
            Refusal::Closed => f.write_str("nobody behind this sink any more"),
        }
    }
}

impl std::error::Error for Refusal {}
