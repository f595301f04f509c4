//! Messages that come in by a link: to local listeners, or nobody. **No transit.**

mod run;

pub use run::LastTaker;

use std::time::Instant;

use crate::{
    address::{Address, Url},
    bus::{Drop, MessageBus, Note},
    fib::Match,
    handover::Peer,
    link::{Delivery, Ingress, LinkId, Path, Refusal},
    message::{Kind, Message, To, response_code},
    registry::{Listener, Place, Unreachable, resolve_incoming},
};

/// What became of a message that came in by a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// So many listeners took it.
    Delivered(usize),
    /// It ended here and has been counted.
    Dropped(Drop),
}

/// Whose `from` a message that came by a P2P link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromCheck {
    /// The peer's own, as far as is known.
    Peers,
    /// Nobody's that is known: accepted, and looked up behind.
    Unknown,
    /// Ours or another runtime's: refused.
    Forged,
}

impl MessageBus {
    /// Gives a message that came in by a link to the local listeners.
    ///
    /// # Errors
    /// [`Refusal::Full`] if there are listeners and every one was full: the caller may keep the message and
    /// try again. [`Refusal::Closed`] if every one was closed, on its way out: the caller counts it.
    /// Everything else ends here and is counted.
    pub fn deliver(&self, delivery: Delivery, now: Instant) -> Result<Incoming, Refusal> {
        let ingress = delivery.ingress;
        if ingress.link == LinkId::FORGED {
            return Ok(self.drop_for(Drop::ForgedFrom));
        }
        if ingress.path == Path::MessageNode && self.is_foreign_error(&delivery) {
            return Ok(self.drop_for(Drop::SwallowedError));
        }
        if self.names_our_stub(&delivery.message) {
            return Ok(self.drop_for(Drop::OwnVia));
        }
        let guard;
        let listeners = match delivery.message.to() {
            To::Many(_) => return Ok(self.drop_for(Drop::NotAMessage)),
            To::One(to) => {
                let Ok(to) = Address::parse(&to) else {
                    return Ok(self.drop_for(Drop::NotAMessage));
                };
                if self.answers_request(&delivery.message, &to, now).is_some() {
                    return Ok(Incoming::Delivered(1));
                }
                guard = crossbeam_epoch::pin();
                resolve_incoming(&self.table, &to, ingress.link, &guard)
            }
        };
        if listeners.is_empty() {
            self.nobody_here(&delivery.message, ingress, now);
            return Ok(Incoming::Dropped(Drop::Unreachable));
        }
        self.hand_in(&listeners, delivery)
    }

    /// The same for a message that cannot wait: if every listener is full it ends here, counted, and a
    /// request is answered with 503.
    pub fn deliver_or_drop(&self, delivery: Delivery, now: Instant) -> Incoming {
        // Only a request is needed once more.
        let kept = delivery.message.kind().is_request().then(|| delivery.clone());
        match (self.deliver(delivery, now), kept) {
            (Ok(incoming), _) => incoming,
            (Err(refusal), Some(kept)) => self.refused_plain(&kept, refusal, now),
            (Err(refusal), None) => self.drop_refused(refusal),
        }
    }

    /// A plain message was refused by every listener: counted, and a request is answered with 503.
    pub fn refused_plain(&self, delivery: &Delivery, refusal: Refusal, now: Instant) -> Incoming {
        if let To::One(to) = delivery.message.to() {
            self.respond_error(&delivery.message, &to, 503, &refusal.to_string(), now);
        }
        self.drop_refused(refusal)
    }

    /// A message that a stub had taken was not sent in time: counted, and a request is answered with `code`.
    pub fn return_message(&self, message: &Message, code: u16, now: Instant) {
        self.counters.count_drop(Drop::Returned);
        if let To::One(to) = message.to() {
            self.respond_error(message, &to, code, "the Message Node was not reached in time", now);
        }
    }

    /// Judges the `from` of a message that came by the connection to `peer`. One look-up, no lock.
    pub fn check_from(&self, from: &str, peer: &Peer) -> FromCheck {
        let Ok(from) = Address::parse(from) else { return FromCheck::Forged };
        let own = self.own();
        if own.is_ours(&from) {
            return FromCheck::Forged;
        }
        let guard = crossbeam_epoch::pin();
        let mut found = Match::default();
        self.table.look_up(&from, &mut found, &guard);
        let route = found.route.and_then(|target| self.table.place(target, &guard));
        match route.and_then(Place::peer) {
            Some(of) if of.link() != peer.link() => FromCheck::Forged,
            Some(_) if found.route_len >= found.listener_len => FromCheck::Peers,
            // A local Hyperty or object listens where the sender claims to live.
            _ if found.listener_len > 0 => FromCheck::Forged,
            _ => FromCheck::Unknown,
        }
    }

    /// Tells the control plane that an unknown address speaks through a connection.
    pub fn note_unknown_sender(&self, from: &str) {
        if let Ok(from) = Url::parse(from) {
            self.note(Note::UnknownSender { from });
        }
    }

    /// Counts a message that ended for `reason`.
    pub fn drop_for(&self, reason: Drop) -> Incoming {
        self.counters.count_drop(reason);
        Incoming::Dropped(reason)
    }

    fn drop_refused(&self, refusal: Refusal) -> Incoming {
        match refusal {
            Refusal::Closed => self.drop_for(Drop::Closed),
            _ => self.drop_for(Drop::Full),
        }
    }

    /// To each of at least one listener; the last one gets the message itself.
    fn hand_in(&self, listeners: &[&Listener], delivery: Delivery) -> Result<Incoming, Refusal> {
        let [others @ .., last] = listeners else {
            return Ok(self.drop_for(Drop::Unreachable));
        };
        let mut taken = 0;
        let mut refusal = None;
        let mut count = |outcome| match outcome {
            Ok(()) => taken += 1,
            Err(error) => refusal = Some(error),
        };
        for listener in others {
            count(listener.sink.push(delivery.clone()));
        }
        count(last.sink.push(delivery));
        self.counters.count_local(taken);
        match (taken, refusal) {
            (0, Some(refusal)) => Err(refusal),
            (taken, Some(_)) => {
                self.counters.count_drop(Drop::Full);
                Ok(Incoming::Delivered(taken))
            }
            (taken, None) => Ok(Incoming::Delivered(taken)),
        }
    }

    /// Nobody listens: counted, answered if it is a request, and by P2P the sender's stub learns of its
    /// error.
    fn nobody_here(&self, message: &Message, ingress: Ingress, now: Instant) {
        self.counters.count_drop(Drop::Unreachable);
        let To::One(to) = message.to() else { return };
        if ingress.path == Path::P2p
            && let Ok(to) = Url::parse(&to)
        {
            self.note(Note::NotHere { link: ingress.link, to });
        }
        self.respond_error(message, &to, 404, Unreachable::NoTransit.reason(), now);
    }

    /// An error response that a Message Node gives to a numbered message: the hand-over knows better. What a
    /// numbering peer says itself comes numbered.
    fn is_foreign_error(&self, delivery: &Delivery) -> bool {
        let message = &delivery.message;
        delivery.hop.is_none()
            && message.kind() == Kind::Response
            && response_code(message).is_some_and(|code| code == 404)
            && Address::parse(&message.from())
                .ok()
                .and_then(|from| self.peer_of(&from))
                .is_some_and(|peer| peer.is_numbered())
    }
}
