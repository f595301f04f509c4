//! From notes and messages to the part of the control plane that they are for.

use std::time::Instant;

use simd_json::OwnedValue;

use crate::{
    address::Url,
    bus::{Drop, Note},
    link::Delivery,
    message::{Kind, Message, To, respond},
    registry::connections::Role,
    ua::{
        RuntimeUa,
        look_up::is_stub,
        status_events::{only_target, status_owner},
    },
};

impl RuntimeUa {
    pub(super) fn handle_note(&mut self, note: Note, now: Instant) {
        match note {
            Note::Message(delivery) => self.on_message(&delivery, now),
            Note::Unknown { to, message } => self.on_unknown(to, Some(&message), now),
            Note::UnknownStream { from, stream } => self.on_unknown_stream(from, stream, now),
            Note::UnknownSender { from } => self.on_unknown(from, None, now),
            Note::NotHere { link, to } => {
                if let Some(remote) = self.remote_of_link(link) {
                    self.remotes[&remote].peer.say_not_here(&to);
                }
            }
            Note::Probed { connection } => self.on_probed(connection, now),
            Note::Peer { link, event } => {
                if let Some(remote) = self.remote_of_link(link) {
                    self.on_peer_event(&remote, event, now);
                }
            }
        }
    }

    /// Answers `request` with an error.
    pub(super) fn answer(&mut self, request: &Message, code: u16, reason: &str, now: Instant) {
        if request.kind() == Kind::Response || request.kind() == Kind::Update {
            self.bus.drop_for(Drop::Control);
            return;
        }
        let desc = simd_json::json!({ "desc": reason });
        self.respond(request, code, Some(desc), now);
    }

    /// Answers `request`, from the address it was sent to.
    pub(super) fn respond(
        &mut self,
        request: &Message,
        code: u16,
        members: Option<OwnedValue>,
        now: Instant,
    ) {
        let To::One(to) = request.to() else { return };
        let ingress = match self.stubs.values().find(|stub| stub.covers(&to)) {
            Some(stub) => stub.ingress(),
            None => self.own_ingress(),
        };
        // What becomes of it is counted by the bus.
        let _ = self.bus.emit(respond(request, &to, code, members), ingress, now);
    }

    fn on_message(&mut self, delivery: &Delivery, now: Instant) {
        let message = &delivery.message;
        let Some(to) = only_target(message) else { return };
        if message.kind() == Kind::Response {
            return self.on_response(message, now);
        }
        if let Some(stub) = status_owner(&to.address())
            && self.stubs.contains_key(&stub)
        {
            return self.on_status_event(&stub, delivery, now);
        }
        if to.as_str() == self.registry_url() {
            return self.on_registry_request(delivery, now);
        }
        if let Some(remote) = to.as_str().strip_suffix("/registry/changes") {
            return match Url::parse(remote) {
                Ok(remote) if self.remotes.contains_key(&remote) => {
                    self.on_changes_update(&remote, message, now);
                }
                _ => self.nothing_there(message, now),
            };
        }
        self.on_stub_message(&to, delivery, now);
    }

    /// For a stub: its own URL, its `/path`, or one of its Connection objects.
    fn on_stub_message(&mut self, to: &Url, delivery: &Delivery, now: Instant) {
        let message = &delivery.message;
        let text = to.as_str();
        if let Some(stub) = text.strip_suffix("/path").and_then(|stub| Url::parse(stub).ok())
            && let Some(stub) = self.stub_for_control(stub)
        {
            return self.on_path_control(&stub, message, now);
        }
        if let Some(object) = text.strip_suffix("/subscription")
            && let Some(attempt) = self.attempt_reporting(object)
        {
            return self.on_observed(attempt, message, now);
        }
        if let Some(object) = text.strip_suffix("/changes")
            && let Some(attempt) = self.attempt_observing(object)
        {
            return self.on_object_change(attempt, message, now);
        }
        match (Role::of_stub(&self.config.runtime, to), message.kind()) {
            (Some(_), Kind::Subscribe) if self.stubs.contains_key(to) => {
                self.add_to_mini_bus(to, delivery, now);
            }
            (Some(role), Kind::Create) if self.stubs.contains_key(to) => {
                self.on_invitation(to, role, delivery, now);
            }
            _ => self.nothing_there(message, now),
        }
    }

    /// The stub that answers for `stub`: itself, or the Handler if it was a Requester that is gone, maybe with
    /// an earlier life of ours. Who speaks to that one would wait for ever.
    fn stub_for_control(&self, stub: Url) -> Option<Url> {
        if self.stubs.contains_key(&stub) {
            return Some(stub);
        }
        let was_requester = Role::of_stub(&self.config.runtime, &stub) == Some(Role::Requester);
        let handler = was_requester.then(|| self.handler_url())?;
        self.stubs.contains_key(&handler).then_some(handler)
    }

    /// Control of the hand-over that came by Message Node.
    fn on_path_control(&mut self, stub: &Url, message: &Message, now: Instant) {
        let sender = Url::parse(&message.from()).ok();
        let known = sender.as_ref().and_then(|from| self.remote_over(from));
        // Somebody who knew an earlier life of ours: its peer tells it so.
        let remote = known.or_else(|| self.meet_stub(stub, sender.as_ref()?, now));
        let (Some(remote), Some(body)) = (remote, message.body()) else {
            self.bus.drop_for(Drop::Control);
            return;
        };
        let peer = self.remotes[&remote].peer.clone();
        if let Some(theirs) = sender.filter(is_stub) {
            // One that was met by a message of its Hyperty has no other way to be answered.
            peer.meet_endpoints(stub, &theirs);
        }
        match peer.handle_control(body, crate::link::Path::MessageNode, now) {
            Ok(Some(event)) => self.on_peer_event(&remote, event, now),
            Ok(None) => self.collect_outcomes(&peer),
            Err(error) => {
                self.bus.drop_for(Drop::Control);
                self.log(format!("control from {remote} was not taken: {error}"));
            }
        }
        self.look_at_path(&remote, now);
    }

    fn nothing_there(&mut self, message: &Message, now: Instant) {
        self.bus.drop_for(Drop::Control);
        self.answer(message, 404, "nothing of the runtime answers to this", now);
    }
}
