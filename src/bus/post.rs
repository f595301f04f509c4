//! Posting: a message of a local party is checked, resolved, and given to each sink. No lock but the sinks' own.

use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use bytes::Bytes;
use memchr::memmem::Finder;
use smallvec::smallvec;

use crate::{
    address::{Address, Url},
    bus::{Drop, MessageBus, Note, P2pPolicy, PostError, Posted, Sent},
    handover::Peer,
    limits,
    link::{Delivery, Ingress, Path, Refusal, Stub},
    message::{Message, To, respond},
    registry::{Onward, Receiver, Resolution, Unreachable},
};

impl MessageBus {
    /// Scans `bytes` and posts the message.
    ///
    /// # Errors
    /// [`PostError`] if nothing of it was taken because of what it is; errors of single targets are in [`Posted`].
    pub fn post(&self, bytes: Bytes, ingress: Ingress, now: Instant) -> Result<Posted, PostError> {
        let message = Message::parse_with(bytes, &self.limits)?;
        self.post_message(message, ingress, now)
    }

    /// Posts a message from a local party: to each URL of `to`.
    ///
    /// # Errors
    /// As [`MessageBus::post`].
    pub fn post_message(
        &self,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<Posted, PostError> {
        self.check(&message)?;
        let many = match message.to() {
            To::One(to) => {
                let address = to_address(&to)?;
                self.answers_request(&message, &address, now)
                    .map(|()| smallvec![Ok(Sent { path: Path::Local, receivers: 1 })])
                    .ok_or_else(|| self.resolve(&address))
            }
            To::Many(urls) => {
                check_targets(urls.len())?;
                Ok(urls
                    .iter()
                    .map(|url| {
                        let copy = message.with_to(url);
                        let resolution = self.resolve(&to_address(url)?);
                        self.send(copy, ingress, resolution, now)
                    })
                    .collect())
            }
        };
        let targets = match many {
            Ok(targets) => targets,
            Err(resolution) => smallvec![self.send(message, ingress, resolution, now)],
        };
        Ok(Posted { targets })
    }

    /// Posts a message that the router itself has written.
    ///
    /// # Errors
    /// As [`MessageBus::post`].
    pub fn emit(
        &self,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<Posted, PostError> {
        if let Some(tap) = &self.tap {
            let copy = Delivery { message: message.clone(), ingress, hop: None };
            // The tap is a bystander: what it cannot take is no loss of the message.
            let _ = tap.push(copy);
        }
        self.post_message(message, ingress, now)
    }

    /// Sends an error response to a request; other messages draw none.
    pub(super) fn respond_error(
        &self,
        message: &Message,
        to: &str,
        code: u16,
        reason: &str,
        now: Instant,
    ) {
        if message.kind().is_request() {
            let desc = simd_json::json!({ "desc": reason });
            // What becomes of the answer is counted; a response draws no further error.
            let _ = self.emit(respond(message, to, code, Some(desc)), Ingress::LOCAL, now);
        }
    }

    /// What is refused whatever its address.
    fn check(&self, message: &Message) -> Result<(), PostError> {
        if message.hop().is_some() {
            return Err(PostError::HasHop);
        }
        if let Err(error) = Address::parse(&message.from()) {
            return Err(PostError::Address { member: "from", error });
        }
        if self.names_our_stub(message) {
            self.counters.count_drop(Drop::OwnVia);
            return Err(PostError::OwnVia);
        }
        Ok(())
    }

    /// One copy, to where `resolution` says.
    fn send(
        &self,
        message: Message,
        ingress: Ingress,
        resolution: Resolution,
        now: Instant,
    ) -> Result<Sent, PostError> {
        let Resolution { receivers, onward } = resolution;
        if receivers.iter().all(|taker| taker.link() == Some(ingress.link)) {
            return self.send_onward(onward, message, ingress, now);
        }
        let here = |message| self.deliver_here(&receivers, message, ingress, now);
        if matches!(onward, Onward::None) {
            return here(message).map(|receivers| Sent { path: Path::Local, receivers });
        }
        let local = here(message.clone());
        match (local, self.send_onward(onward, message, ingress, now)) {
            (Ok(receivers), Ok(sent)) => Ok(Sent { receivers, ..sent }),
            (Ok(receivers), Err(_)) => Ok(Sent { path: Path::Local, receivers }),
            (Err(_), outward) => outward,
        }
    }

    fn send_onward(
        &self,
        onward: Onward,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<Sent, PostError> {
        match onward {
            Onward::P2p { peer, stub } => self.to_peer(&peer, stub.as_ref(), message, ingress, now),
            Onward::MessageNode { stub, peer: Some(peer), .. } => {
                self.to_peer(&peer, Some(&stub), message, ingress, now)
            }
            Onward::MessageNode { stub, peer: None, unknown } => {
                self.to_stub(&stub, unknown, message, ingress)
            }
            Onward::None => Err(self.unreachable(Unreachable::NoListener, &message, now)),
            Onward::Unreachable(why) => Err(self.unreachable(why, &message, now)),
        }
    }

    /// To local receivers, at least one: each once, never back to where it came from. The last one gets the
    /// message itself.
    fn deliver_here(
        &self,
        receivers: &[Receiver],
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<usize, PostError> {
        let mut takers =
            receivers.iter().filter(|taker| taker.link() != Some(ingress.link)).peekable();
        let (mut taken, mut refused) = (0, None);
        let mut message = Some(message);
        while let Some(taker) = takers.next() {
            let copy = if takers.peek().is_some() { message.clone() } else { message.take() };
            let Some(copy) = copy else { break };
            match self.give(taker, copy, ingress, now) {
                Ok(()) => taken += 1,
                Err(error) => refused = Some(error),
            }
        }
        self.counters.count_local(taken);
        match refused {
            Some(error) => {
                self.counters.count_drop(match error {
                    PostError::Refused(Refusal::Closed) => Drop::Closed,
                    _ => Drop::Full,
                });
                if taken == 0 { Err(error) } else { Ok(taken) }
            }
            None => Ok(taken),
        }
    }

    fn give(
        &self,
        taker: &Receiver,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<(), PostError> {
        match taker {
            Receiver::Listener(listener) => listener
                .sink
                .push(Delivery { message, ingress, hop: None })
                .map_err(PostError::Refused),
            Receiver::Subscriber(peer) => {
                let stub = self.stub_of_peer(peer);
                self.to_peer(peer, stub.as_ref(), message, ingress, now).map(drop)
            }
        }
    }

    fn to_peer(
        &self,
        peer: &Arc<Peer>,
        stub: Option<&Arc<Stub>>,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<Sent, PostError> {
        let sent = peer
            .send(Delivery { message, ingress, hop: None }, stub, now)
            .map_err(PostError::Peer)?;
        match sent.path {
            Path::P2p => self.counters.count_p2p(),
            _ => self.counters.count_message_node(),
        }
        Ok(Sent { path: sent.path, receivers: 0 })
    }

    fn to_stub(
        &self,
        stub: &Stub,
        unknown: bool,
        message: Message,
        ingress: Ingress,
    ) -> Result<Sent, PostError> {
        let copy = (unknown && self.wants_p2p(&message)).then(|| message.clone());
        stub.sink.push(Delivery { message, ingress, hop: None }).map_err(PostError::Refused)?;
        self.counters.count_message_node();
        if let Some(message) = copy
            && let To::One(to) = message.to()
            && let Ok(to) = Url::parse(&to)
        {
            self.note(Note::Unknown { to, message: message.clone() });
        }
        Ok(Sent { path: Path::MessageNode, receivers: 0 })
    }

    /// Whether the policy wants a direct connection for `message`. With `asked`, a cheap search first.
    fn wants_p2p(&self, message: &Message) -> bool {
        match self.policy {
            P2pPolicy::Automatic => true,
            P2pPolicy::Off => false,
            P2pPolicy::Asked => message.body().is_some_and(|body| {
                memchr::memmem::find(body.as_bytes(), b"\"p2p").is_some()
                    && (message.body_member(&["p2p"]) == Some("true")
                        || message.body_member(&["p2pHandler"]).is_some()
                        || message.body_member(&["p2pRequester"]).is_some())
            }),
        }
    }

    fn stub_of_peer(&self, peer: &Peer) -> Option<Arc<Stub>> {
        let guard = crossbeam_epoch::pin();
        let domain = peer.remote().address().domain();
        crate::registry::resolve::stub_for(&self.table, &self.own, domain, &guard)
    }

    /// Counts it, answers it if it is a request, and says why.
    fn unreachable(&self, why: Unreachable, message: &Message, now: Instant) -> PostError {
        self.counters.count_drop(Drop::Unreachable);
        if let To::One(to) = message.to() {
            self.respond_error(message, &to, 404, why.reason(), now);
        }
        PostError::Unreachable(why)
    }

    /// `body.via` names one of our stubs. A cheap search first: few bodies have the word at all.
    pub(super) fn names_our_stub(&self, message: &Message) -> bool {
        let Some(body) = message.body() else { return false };
        may_name_via(body.as_bytes())
            && message.body_text(&["via"]).is_some_and(|via| {
                Address::parse(&via).is_ok_and(|via| is_stub_of(&self.own.runtime, &via))
            })
    }
}

/// False if there cannot be a member `via`, as it stands or escaped.
fn may_name_via(body: &[u8]) -> bool {
    static VIA: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"via\""));
    VIA.find(body).is_some() || memchr::memchr(b'\\', body).is_some()
}

fn is_stub_of(runtime: &Url, via: &Address<'_>) -> bool {
    runtime.address().covers(via)
        && via.segments().any(|segment| {
            segment == "p2phandler" || segment == "p2prequester" || segment == "protostub"
        })
}

fn check_targets(urls: usize) -> Result<(), PostError> {
    match urls {
        0 => Err(PostError::NoTarget),
        urls if urls > limits::TO_URLS_MAX => {
            Err(PostError::TooManyTargets { urls, urls_max: limits::TO_URLS_MAX })
        }
        _ => Ok(()),
    }
}

fn to_address(to: &str) -> Result<Address<'_>, PostError> {
    Address::parse(to).map_err(|error| PostError::Address { member: "to", error })
}
