//! What the data plane tells the control plane. What follows from it is not known here.

use crate::{
    address::Url,
    handover::Event,
    link::{Delivery, LinkId, Weigh},
    message::Message,
};

/// What the control plane is told.
#[derive(Debug)]
pub enum Note {
    /// A message for one of its own listeners.
    Message(Delivery),
    /// A message went out by Message Node to an address of which nothing is known.
    Unknown {
        /// The address.
        to: Url,
        /// The message, for its hints (`body.p2p`, `body.p2pHandler`, `body.p2pRequester`).
        message: Message,
    },
    /// A message came in by the connection to this runtime from an address of which nothing is known.
    UnknownSender {
        /// The sender.
        from: Url,
    },
    /// A message came by Message Node in a stream that nobody here knows, from an address of which nothing is
    /// known: its sender speaks to an earlier life of this runtime and has to be told.
    UnknownStream {
        /// The sender.
        from: Url,
        /// The stream.
        stream: u128,
    },
    /// The other side of a connection has answered our probe.
    Probed {
        /// Which connection.
        connection: u64,
    },
    /// A control word of a peer asks something of the Registry.
    Peer {
        /// The peer's link.
        link: LinkId,
        /// What.
        event: Event,
    },
    /// A message came in by the connection to `peer` for an address where nobody is.
    NotHere {
        /// Who sent it.
        link: LinkId,
        /// The address.
        to: Url,
    },
}

impl Weigh for Note {
    fn weight_bytes(&self) -> usize {
        match self {
            Note::Message(delivery) => delivery.message.bytes().len(),
            Note::Unknown { message, .. } => message.bytes().len(),
            Note::UnknownSender { from } | Note::UnknownStream { from, .. } => from.as_str().len(),
            Note::NotHere { to, .. } => to.as_str().len(),
            Note::Probed { .. } | Note::Peer { .. } => 0,
        }
    }
}
