//! Posting: a message of a local party is checked, resolved, and given to each sink. No lock but the sinks'
//! own.

use std::{borrow::Cow, sync::Arc, time::Instant};

use bytes::Bytes;
use crossbeam_epoch::Guard;
use smallvec::{SmallVec, smallvec};

use crate::{
    address::{Address, Url},
    bus::{Drop, MessageBus, Note, P2pPolicy, PostError, Posted, Refused, Sent},
    fib::Match,
    handover::Peer,
    limits,
    link::{Delivery, Ingress, Path, Stub},
    message::{Message, To, respond},
    registry::{
        Listener, Onward, Receiver, Resolution, Unreachable, resolve, resolve::stub_for,
        resolve_found, sole_listener,
    },
};

impl MessageBus {
    /// Scans `bytes` and posts the message.
    ///
    /// # Errors
    /// [`PostError`] if nothing of it was taken because of what it is; errors of single targets are in
    /// [`Posted`].
    pub fn post(&self, bytes: Bytes, ingress: Ingress, now: Instant) -> Result<Posted, PostError> {
        let message = Message::parse_with(bytes, &self.limits)?;
        self.post_message(message, ingress, now)
    }

    /// Posts a message from a local party: to each URL of `to`.
    ///
    /// # Errors
    /// As [`MessageBus::post`].
    #[inline]
    pub fn post_message(
        &self,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<Posted, PostError> {
        self.check(&message)?;
        self.post_checked(message, ingress, now)
    }

    /// The same for a message that [`MessageBus::check`] has let through.
    #[inline]
    pub(super) fn post_checked(
        &self,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<Posted, PostError> {
        let unescaped;
        let to = match message.to_plain() {
            Some(to) => to,
            None => match message.to() {
                To::One(to) => {
                    unescaped = to.into_owned();
                    &unescaped
                }
                To::Many(urls) => return self.post_copies(&message, &urls, ingress, now),
            },
        };
        let address = to_address(to)?;
        if self.answers_request(&message, &address, now).is_some() {
            return Ok(Posted::here(1));
        }
        let guard = crossbeam_epoch::pin();
        let mut found = Match::default();
        self.table.look_up(&address, &mut found, &guard);
        if let Some(listener) = self.taker(&found, ingress, &guard) {
            return Ok(self.give_one(listener, Delivery { message, ingress, hop: None }));
        }
        let resolution = resolve_found(&self.table, &self.own, &address, &mut found, &guard);
        Ok(self.send_one(message, ingress, resolution, now))
    }

    /// To each of `urls` a copy of its own.
    fn post_copies(
        &self,
        message: &Message,
        urls: &[Cow<'_, str>],
        ingress: Ingress,
        now: Instant,
    ) -> Result<Posted, PostError> {
        check_targets(urls.len())?;
        let mut posted = Posted { targets: SmallVec::new(), refused: Vec::new() };
        for (target, url) in urls.iter().enumerate() {
            let mut refused = Refusals { target, all: &mut posted.refused };
            let outcome = to_address(url).and_then(|to| {
                let guard = crossbeam_epoch::pin();
                let resolution = resolve(&self.table, &self.own, &to, &guard);
                self.send(message.with_to(url), ingress, resolution, now, &mut refused)
            });
            posted.targets.push(outcome);
        }
        Ok(posted)
    }

    /// The one listener that gets what was looked up, if nobody else does and it did not come from there.
    #[inline]
    pub(super) fn taker<'g>(
        &'g self,
        found: &Match,
        ingress: Ingress,
        guard: &'g Guard,
    ) -> Option<&'g Listener> {
        sole_listener(&self.table, found, guard)
            .filter(|listener| listener.link != Some(ingress.link))
    }

    /// To one listener and nobody else: the message itself.
    #[inline]
    pub(super) fn give_one(&self, listener: &Listener, delivery: Delivery) -> Posted {
        match listener.sink.push(delivery) {
            Ok(()) => {
                self.counters.count_local(1);
                Posted::here(1)
            }
            Err(refusal) => {
                self.counters.count_refusal(refusal);
                Posted::refused_by(&listener.url, refusal)
            }
        }
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
    #[inline]
    pub(super) fn check(&self, message: &Message) -> Result<(), PostError> {
        self.check_after(None, message)
    }

    /// The same after `before`, which was let through: what they have in common needs no second look.
    #[inline]
    fn check_after(&self, before: Option<&Message>, message: &Message) -> Result<(), PostError> {
        if message.hop().is_some() {
            return Err(PostError::HasHop);
        }
        let from = message.from();
        if before.is_none_or(|before| before.from() != from)
            && let Err(error) = Address::parse(&from)
        {
            return Err(PostError::Address { member: "from", error });
        }
        if self.names_our_stub(message) {
            self.counters.count_drop(Drop::OwnVia);
            return Err(PostError::OwnVia);
        }
        Ok(())
    }

    /// Reads a message behind `before`, which was let through, and checks everything about it that needs no
    /// look-up.
    pub(super) fn read_after(
        &self,
        before: Option<&Delivery>,
        bytes: Bytes,
    ) -> Result<Message, PostError> {
        let message = Message::parse_with(bytes, &self.limits)?;
        self.check_after(before.map(|before| &before.message), &message)?;
        Ok(message)
    }

    /// A message to one URL, to where `resolution` says.
    pub(super) fn send_one(
        &self,
        message: Message,
        ingress: Ingress,
        resolution: Resolution<'_>,
        now: Instant,
    ) -> Posted {
        let mut all = Vec::new();
        let mut refused = Refusals { target: 0, all: &mut all };
        let outcome = self.send(message, ingress, resolution, now, &mut refused);
        Posted { targets: smallvec![outcome], refused: all }
    }

    /// One copy, to where `resolution` says.
    fn send(
        &self,
        message: Message,
        ingress: Ingress,
        resolution: Resolution<'_>,
        now: Instant,
        refused: &mut Refusals<'_>,
    ) -> Result<Sent, PostError> {
        let Resolution { receivers, onward } = resolution;
        if receivers.iter().all(|taker| taker.link() == Some(ingress.link)) {
            return self.send_onward(onward, message, ingress, now, refused);
        }
        if matches!(onward, Onward::None) {
            let receivers = self.deliver_here(&receivers, message, ingress, now, refused)?;
            return Ok(Sent { path: Path::Local, receivers });
        }
        let local = self.deliver_here(&receivers, message.clone(), ingress, now, refused);
        match (local, self.send_onward(onward, message, ingress, now, refused)) {
            (Ok(receivers), Ok(sent)) => Ok(Sent { receivers, ..sent }),
            (Ok(receivers), Err(_)) => Ok(Sent { path: Path::Local, receivers }),
            (Err(_), outward) => outward,
        }
    }

    fn send_onward(
        &self,
        onward: Onward<'_>,
        message: Message,
        ingress: Ingress,
        now: Instant,
        refused: &mut Refusals<'_>,
    ) -> Result<Sent, PostError> {
        let (outcome, by) = match onward {
            Onward::P2p { peer, stub } => {
                (self.to_peer(peer, stub, message, ingress, now), peer.remote())
            }
            Onward::MessageNode { stub, peer: Some(peer), .. } => {
                (self.to_peer(peer, Some(stub), message, ingress, now), peer.remote())
            }
            Onward::MessageNode { stub, peer: None, unknown } => {
                (self.to_stub(stub, unknown, message, ingress), &stub.url)
            }
            Onward::None => return Err(self.unreachable(Unreachable::NoListener, &message, now)),
            Onward::Unreachable(why) => return Err(self.unreachable(why, &message, now)),
        };
        outcome.inspect_err(|error| refused.add(by, error))
    }

    /// To local receivers, at least one: each once, never back to where it came from. The last one gets the
    /// message itself.
    fn deliver_here(
        &self,
        receivers: &[Receiver<'_>],
        message: Message,
        ingress: Ingress,
        now: Instant,
        refused: &mut Refusals<'_>,
    ) -> Result<usize, PostError> {
        let mut takers =
            receivers.iter().filter(|taker| taker.link() != Some(ingress.link)).peekable();
        let (mut taken, mut last_error) = (0, None);
        let mut message = Some(message);
        while let Some(taker) = takers.next() {
            let copy = if takers.peek().is_some() { message.clone() } else { message.take() };
            let Some(copy) = copy else { break };
            match self.give(taker, copy, ingress, now) {
                Ok(()) => taken += 1,
                Err(error) => {
                    refused.add(taker.url(), &error);
                    last_error = Some(error);
                }
            }
        }
        self.counters.count_local(taken);
        let Some(error) = last_error else { return Ok(taken) };
        match error {
            PostError::Refused(refusal) => self.counters.count_refusal(refusal),
            _ => self.counters.count_drop(Drop::Full),
        }
        if taken == 0 { Err(error) } else { Ok(taken) }
    }

    fn give(
        &self,
        taker: &Receiver<'_>,
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
                let guard = crossbeam_epoch::pin();
                let domain = peer.remote().address().domain();
                let stub = stub_for(&self.table, &self.own, domain, &guard);
                self.to_peer(peer, stub, message, ingress, now).map(drop)
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
            P2pPolicy::Asked => {
                message.body_may_name("\"p2p")
                    && (message.body_member(&["p2p"]) == Some("true")
                        || message.body_member(&["p2pHandler"]).is_some()
                        || message.body_member(&["p2pRequester"]).is_some())
            }
        }
    }

    /// Counts it, answers it if it is a request, and says why.
    fn unreachable(&self, why: Unreachable, message: &Message, now: Instant) -> PostError {
        self.counters.count_drop(Drop::Unreachable);
        if let To::One(to) = message.to() {
            self.respond_error(message, &to, 404, why.reason(), now);
        }
        PostError::Unreachable(why)
    }

    /// `body.via` names one of our stubs. Few bodies can have the word at all.
    #[inline]
    pub(super) fn names_our_stub(&self, message: &Message) -> bool {
        message.body_may_name("\"via\"")
            && message.body_text(&["via"]).is_some_and(|via| {
                Address::parse(&via).is_ok_and(|via| is_stub_of(&self.own.runtime, &via))
            })
    }
}

/// Where those are noted who refuse their copy for one target.
struct Refusals<'a> {
    target: usize,
    all: &'a mut Vec<Refused>,
}

impl Refusals<'_> {
    #[cold]
    fn add(&mut self, by: &Url, error: &PostError) {
        let (target, by, error) = (self.target, by.clone(), error.clone());
        self.all.push(Refused { target, by, error });
    }
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

#[inline]
pub(super) fn to_address(to: &str) -> Result<Address<'_>, PostError> {
    Address::parse(to).map_err(|error| PostError::Address { member: "to", error })
}
