//! The data plane of the node: from a frame to the queues of the sessions that get it.
//!
//! No lock is taken for an ordinary message but each receiving queue's own. Nothing is parsed
//! beyond the envelope, and the bytes that came in are the bytes that go out, `hop` included.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use crossbeam_epoch as epoch;

use crate::{
    address::Address,
    fib::Match,
    link::{Outgoing, Refusal},
    message::{Kind, Message, ParseError, ParseErrorKind, To, compose, respond, salvage},
    node::{
        FrameEnd, MessageNode, SESSION_ADDRESS,
        control::Service,
        metrics::{DropReason, count},
        reply::Reply,
        socket::{Socket, Standing},
    },
    slab::Target,
    subscription::{Policy, held_by_other},
};

impl MessageNode {
    pub(super) fn handle_frame(&self, socket: &Arc<Socket>, text: Bytes, now: Instant) -> FrameEnd {
        let row = self.counters.row(socket.number());
        count(&row.frames);
        if socket.is_ended() {
            row.drop(DropReason::NoSession);
            return FrameEnd::CloseSocket;
        }
        let message = match Message::parse_with(text.clone(), &self.message_limits) {
            Ok(message) => message,
            Err(error) => {
                self.refuse_frame(socket, &text, error);
                return FrameEnd::Continue;
            }
        };
        let to = message.to();
        if matches!(&to, To::One(to) if to == SESSION_ADDRESS) {
            return self.control.lock().session_request(socket, &message, now);
        }
        let Standing::Session(session) = socket.standing() else {
            let error = Reply::error(400, "no session on this socket: send open to mn:/session");
            self.refuse(socket, &message, &self.name, error, DropReason::NoSession);
            return FrameEnd::Continue;
        };
        match to {
            To::One(to) => self.route(socket, session, &message, &to, now),
            To::Many(to) if to.is_empty() => {
                let error = Reply::error(400, "`to` is an empty array");
                self.refuse(socket, &message, &self.name, error, DropReason::BadAddress);
            }
            To::Many(to) => {
                for to in to {
                    self.route(socket, session, &message.with_to(&to), &to, now);
                }
            }
        }
        FrameEnd::Continue
    }

    /// Serves or forwards a message whose `to` is the one URL `to`.
    fn route(&self, socket: &Socket, session: Target, message: &Message, to: &str, now: Instant) {
        let refuse = |reply, reason| self.refuse(socket, message, to, reply, reason);
        let address = match Address::parse(to) {
            Ok(address) => address,
            Err(error) => {
                let error = Reply::error(400, format_args!("`to`: {error}"));
                return refuse(error, DropReason::BadAddress);
            }
        };
        if let Some(service) = self.service(&address) {
            let is_served = message.kind().is_request()
                || (message.kind() == Kind::Update && service == Service::Registry);
            if is_served {
                return self.serve(socket, service, session, message, to, now);
            }
            return self.counters.row(socket.number()).drop(DropReason::Unreachable);
        }
        let from = message.from();
        let from = match Address::parse(&from) {
            Ok(from) => from,
            Err(error) => {
                let error = Reply::error(400, format_args!("`from`: {error}"));
                return refuse(error, DropReason::BadAddress);
            }
        };
        let mut found = [Match::default(), Match::default()];
        // One guard over look-up and slab: a target found is not given to another session
        // meanwhile.
        let guard = epoch::pin();
        self.fib.look_up_batch(&[from, address], &mut found);
        let [of_from, of_to] = &mut found;
        if self.policy == Policy::Owner && (self.is_own(&from) || held_by_other(of_from, session)) {
            let why = format_args!("`from`: {from} is another session's");
            return refuse(Reply::error(403, why), DropReason::Forbidden);
        }
        match self.deliver(socket, session, message, receivers(of_to), &guard) {
            Outcome::Taken => {}
            Outcome::Nobody => {
                let why = format_args!("nobody stands at {address}");
                refuse(Reply::error(404, why), DropReason::Unreachable);
            }
            Outcome::Refused(refusal) => {
                let error =
                    Reply::error(503, format_args!("the receiver takes no more: {refusal}"));
                self.send_error(socket, message, to, error);
            }
        }
    }

    /// Puts the message into the queue of each receiver but the one it came from.
    fn deliver(
        &self,
        socket: &Socket,
        session: Target,
        message: &Message,
        receivers: &[Target],
        guard: &epoch::Guard,
    ) -> Outcome {
        let row = self.counters.row(socket.number());
        let mut outcome = Outcome::Nobody;
        for &receiver in receivers.iter().filter(|receiver| **receiver != session) {
            let Some(queue) = self.queues.get(receiver, guard) else { continue };
            let bytes = message.bytes().clone();
            match queue.outbox.push(Outgoing::Message { bytes, hop: None }) {
                Ok(()) => {
                    count(&row.delivered);
                    outcome = Outcome::Taken;
                }
                Err(refusal) => {
                    row.drop(match refusal {
                        Refusal::Closed => DropReason::QueueClosed,
                        _ => DropReason::QueueFull,
                    });
                    if matches!(outcome, Outcome::Nobody) {
                        outcome = Outcome::Refused(refusal);
                    }
                }
            }
        }
        outcome
    }

    /// Has a request to one of the node's own addresses answered under the control lock.
    fn serve(
        &self,
        socket: &Socket,
        service: Service,
        session: Target,
        message: &Message,
        to: &str,
        now: Instant,
    ) {
        let row = self.counters.row(socket.number());
        let Some(reply) = self.control.lock().serve(service, session, message, now) else {
            return row.drop(DropReason::NoSession);
        };
        row.answer(reply.code);
        if reply.code == 403 {
            row.drop(DropReason::Forbidden);
        }
        let code = reply.code;
        self.send(socket, respond(message, to, code, Some(reply.into_members())));
    }

    /// Counts a message as dropped, and tells the sender of a request.
    fn refuse(
        &self,
        socket: &Socket,
        message: &Message,
        asked: &str,
        error: Reply,
        reason: DropReason,
    ) {
        self.counters.row(socket.number()).drop(reason);
        self.send_error(socket, message, asked, error);
    }

    /// An error response to a request. Updates, responses and whatever has `hop` draw none: the
    /// sender of a numbered message learns its end from the receiver.
    fn send_error(&self, socket: &Socket, message: &Message, asked: &str, error: Reply) {
        if !message.kind().is_request() || message.hop().is_some() {
            return;
        }
        let row = self.counters.row(socket.number());
        count(&row.refused);
        let code = error.code;
        self.send(socket, respond(message, asked, code, Some(error.into_members())));
    }

    /// A frame that is no message: a 400, or 413 if it is one too long, when there is somebody to
    /// tell.
    fn refuse_frame(&self, socket: &Socket, text: &[u8], error: ParseError) {
        let row = self.counters.row(socket.number());
        let (code, reason) = match error.kind {
            ParseErrorKind::TooLong { .. } => (413, DropReason::TooLong),
            _ => (400, DropReason::BadFrame),
        };
        row.drop(reason);
        if let Some((id, from)) = salvage(text) {
            count(&row.refused);
            let body = simd_json::json!({ "code": code, "desc": error.to_string() });
            self.send(socket, compose(&id, "response", &self.name, &from, Some(&body)));
        }
    }

    /// Queues a message of the node's own for the socket that asked.
    fn send(&self, socket: &Socket, message: Message) {
        let bytes = message.into_bytes();
        let guard = epoch::pin();
        let queue = match socket.standing() {
            Standing::Session(session) => self.queues.get(session, &guard),
            _ => None,
        };
        let taken = match queue {
            Some(queue) => queue.outbox.push(Outgoing::Message { bytes, hop: None }).is_ok(),
            None => socket.reply(bytes),
        };
        if !taken {
            self.counters.row(socket.number()).drop(DropReason::ReplyLost);
        }
    }
}

enum Outcome {
    /// At least one session took it.
    Taken,
    /// There is nobody but perhaps the sender.
    Nobody,
    /// There is somebody, and nobody took it.
    Refused(Refusal),
}

/// Who gets a message: every covering subscription, each session once, else the longest route.
fn receivers(found: &mut Match) -> &[Target] {
    if found.subscriptions.is_empty() {
        found.subscriptions.extend(found.route);
    } else if found.subscriptions.len() > 1 {
        found.subscriptions.sort_unstable();
        found.subscriptions.dedup();
    }
    &found.subscriptions
}
