//! Set-ups and the connections that came of them: one attempt for each generation.
//!
//! Here the machines of [`crate::p2p::setup`] are driven: what arrived is told to them, what they ask for is done, and
//! each step of a connection is fired as a status event of its stub.

use std::{sync::Arc, time::Instant};

use crate::{
    address::Url,
    bus::{Drop, Note},
    limits,
    link::{Delivery, DirectSink, Ingress, Sink},
    message::Message,
    p2p::{Action, Invitation, Setup, SignallingError, Step, Transport},
    registry::{ListenerKey, connections::Role},
    status::Status,
    ua::{Output, RuntimeUa, Stubs, exchange::Purpose, ingress::PROBE, stubs::DeployedStub},
};

/// One set-up and the connection that came of it: one generation.
pub(super) struct Attempt {
    pub(super) stub: Url,
    role: Role,
    pub(super) remote: Url,
    generation: u64,
    pub(super) setup: Setup,
    /// The connection, once it is up.
    pub(super) direct: Option<Arc<dyn DirectSink>>,
    /// The connection's listener on the stub's MiniBus.
    pub(super) mini_listener: Option<ListenerKey>,
    /// Our Connection object's listener, and that on the other's changes.
    listeners: Vec<ListenerKey>,
    /// The set-up must be done by then.
    pub(super) deadline: Option<Instant>,
    status: Status,
}

impl RuntimeUa {
    /// The Requester's path stands: it starts its set-up.
    pub(super) fn begin_request(&mut self, stub: &Url, remote: &Url, now: Instant) {
        if self.config.stubs == Stubs::Played || self.has_connection(remote) {
            return;
        }
        let Some(local) = self.local.clone() else { return };
        let Some(handler) = self.remotes.get(remote).and_then(|state| state.handler.clone()) else {
            return;
        };
        let generation = self.next_generation(stub, remote);
        let (setup, actions) = Setup::request(self.party(stub), handler, local);
        let id = self.add_attempt(stub, Role::Requester, remote, generation, setup, now);
        self.set_status(id, Status::Created, None, now);
        self.perform(id, actions, now);
    }

    /// Somebody invites one of our stubs to observe a Connection object.
    pub(super) fn on_invitation(
        &mut self,
        stub: &Url,
        role: Role,
        delivery: &Delivery,
        now: Instant,
    ) {
        let message = &delivery.message;
        if self.config.stubs == Stubs::Played {
            return self.respond(message, 200, None, now);
        }
        let body = message.body_value();
        let invitation = match Invitation::read(&message.from(), body.as_ref()) {
            Ok(invitation) => invitation,
            Err(error) => return self.answer(message, 400, &error.to_string(), now),
        };
        match role {
            Role::Handler => self.on_invited(stub, &invitation, delivery, now),
            Role::Requester => self.on_mirrored(stub, &invitation, message, now),
        }
    }

    /// The other side observes our Connection object.
    pub(super) fn on_observed(&mut self, attempt: u64, message: &Message, now: Instant) {
        let Some(state) = self.attempts.get(&attempt) else { return };
        if message.from() != state.setup.peer_stub().as_str() {
            return self.answer(message, 403, "only the invited stub can observe this", now);
        }
        let actions = state.setup.on_observed(message.clone());
        self.perform(attempt, actions, now);
    }

    /// An update of the other side's Connection object.
    pub(super) fn on_object_change(&mut self, attempt: u64, message: &Message, now: Instant) {
        let Some(state) = self.attempts.get_mut(&attempt) else { return };
        let from = message.from();
        let is_theirs = *from == *state.setup.peer_stub().as_str()
            || state.setup.their_object().is_some_and(|object| from.starts_with(object.as_str()));
        if !is_theirs || state.direct.is_some() {
            self.bus.drop_for(Drop::Control);
            return;
        }
        match state.setup.on_change(message.body_value().as_ref()) {
            Ok(None) => {}
            Ok(Some(description)) => {
                self.outputs.push_back(Output::Dial { connection: attempt, description });
            }
            Err(error) => self.end_attempt(attempt, &error.to_string(), now),
        }
    }

    /// The response to a request of a set-up.
    pub(super) fn on_setup_answer(
        &mut self,
        attempt: u64,
        step: Step,
        response: &Message,
        now: Instant,
    ) {
        let Some(state) = self.attempts.get_mut(&attempt) else { return };
        match state.setup.on_response(step, response.body_value().as_ref()) {
            Ok(actions) => self.perform(attempt, actions, now),
            Err(error) => self.end_attempt(attempt, &error.to_string(), now),
        }
    }

    /// A connection is up: the transport has proved the peer's key. It is `live` once a probe was answered.
    /// Give its queue's sink; what comes in goes to [`super::P2pIngress`].
    pub fn link_up(
        &mut self,
        connection: u64,
        direct: Arc<dyn DirectSink>,
        _now: Instant,
    ) -> Option<super::P2pIngress> {
        let attempt = self.attempts.get_mut(&connection)?;
        if attempt.direct.is_some() {
            return None;
        }
        attempt.direct = Some(direct.clone());
        let peer = self.remotes.get(&attempt.remote)?.peer.clone();
        // A queue that has just been made takes its first item.
        let _ = direct.push_control(PROBE.into());
        let (bus, inbox) = (self.bus.clone(), self.inbox.clone());
        Some(super::P2pIngress::new(bus, inbox, peer, direct, connection))
    }

    /// A connection is gone, or could not be made.
    pub fn link_down(&mut self, connection: u64, reason: &str, now: Instant) {
        self.end_attempt(connection, reason, now);
        self.handle_notes(now);
    }

    /// The peer has answered our probe.
    pub(super) fn on_probed(&mut self, connection: u64, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(&connection) else { return };
        if attempt.status == Status::Live || attempt.direct.is_none() {
            return;
        }
        attempt.deadline = None;
        let capable = attempt.setup.is_capable();
        let (stub, theirs) = (attempt.stub.clone(), attempt.setup.peer_stub().clone());
        let remote = attempt.remote.clone();
        if attempt.role == Role::Requester
            && let Some(direct) = attempt.direct.clone()
            && let Some(deployed) = self.stubs.get(&stub)
        {
            let sink: Arc<dyn Sink> = Arc::new(move |delivery| direct.push(delivery));
            deployed.sandbox.bus.set_default_listener(Some(sink));
        }
        if let Some(state) = self.remotes.get(&remote) {
            let peer = state.peer.clone();
            peer.set_endpoints(stub, theirs);
            peer.set_capable(capable);
            // Its key was given in the same set-up: what was agreed with an earlier life of it ends here.
            if state.incarnation.is_some_and(|of| peer.set_incarnation(of, now)) {
                self.log(format!("{remote} has come back as a new incarnation"));
                self.collect_outcomes(&peer);
            }
        }
        self.set_status(connection, Status::Live, None, now);
    }

    /// Ends a set-up (failed) or a connection (disconnected).
    pub(super) fn end_attempt(&mut self, attempt: u64, reason: &str, now: Instant) {
        let Some(state) = self.attempts.get(&attempt) else { return };
        let end = match state.status {
            Status::Live => Status::Disconnected,
            _ => Status::Failed,
        };
        self.set_status(attempt, end, Some(reason), now);
        let Some(state) = self.attempts.remove(&attempt) else { return };
        for key in state.listeners {
            self.bus.remove_listener(&key);
        }
        if let Some(deployed) = self.stubs.get(&state.stub) {
            match state.role {
                Role::Requester => deployed.sandbox.bus.set_default_listener(None),
                Role::Handler => {
                    if let Some(key) = state.mini_listener {
                        deployed.sandbox.bus.remove_listener(&key);
                    }
                }
            }
        }
        let ingress = self.stubs.get(&state.stub).map_or(Ingress::LOCAL, DeployedStub::ingress);
        if self.is_open() {
            for (kind, to, body) in state.setup.tidy_up() {
                let from = state.stub.as_str();
                self.request(kind, (from, &to), &body, ingress, Purpose::Tidy, now);
            }
        }
        let reason = reason.to_owned();
        self.outputs.push_back(Output::Close { connection: attempt, reason });
    }

    pub(super) fn attempts_timeout(&mut self, now: Instant) {
        let due: Vec<u64> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.deadline.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.end_attempt(id, "the connection was not up in time", now);
        }
    }

    /// An invitation that nobody has answered went to an earlier life of `remote`: it is given up, and soon sent again.
    pub(super) fn invite_anew(&mut self, remote: &Url, now: Instant) {
        let unanswered = |of: &Attempt| of.remote == *remote && of.status == Status::Created;
        let attempt = self.attempts.iter().find(|(_, of)| unanswered(of)).map(|(id, _)| *id);
        if let (Some(attempt), Some(state)) = (attempt, self.remotes.get_mut(remote)) {
            state.retries = 0;
            self.end_attempt(attempt, "the invitation went to an earlier life of the runtime", now);
        }
    }

    /// The set-up or connection of `stub` to `remote` that has not ended.
    pub(super) fn attempt_of(&self, stub: &Url, remote: &Url) -> Option<u64> {
        let of = |attempt: &Attempt| attempt.stub == *stub && attempt.remote == *remote;
        self.attempts.iter().find(|(_, attempt)| of(attempt)).map(|(id, _)| *id)
    }

    pub(super) fn attempt_reporting(&self, object: &str) -> Option<u64> {
        let is = |attempt: &Attempt| {
            attempt.setup.own_object().is_some_and(|own| own.as_str() == object)
        };
        self.attempts.iter().find(|(_, attempt)| is(attempt)).map(|(id, _)| *id)
    }

    pub(super) fn attempt_observing(&self, object: &str) -> Option<u64> {
        let is = |attempt: &Attempt| {
            attempt.setup.their_object().is_some_and(|their| their.as_str() == object)
        };
        self.attempts.iter().find(|(_, attempt)| is(attempt)).map(|(id, _)| *id)
    }

    /// True if the other side of the connection moves messages between paths.
    pub(super) fn is_capable(&self, stub: &Url, remote: &Url) -> bool {
        let attempt = self.attempt_of(stub, remote).and_then(|id| self.attempts.get(&id));
        attempt.is_some_and(|attempt| attempt.setup.is_capable())
    }

    fn on_invited(
        &mut self,
        stub: &Url,
        invitation: &Invitation,
        delivery: &Delivery,
        now: Instant,
    ) {
        let message = &delivery.message;
        let remote = invitation.runtime.clone();
        let Some(local) = self.local.clone() else {
            return self.answer(message, 503, "no P2P transport is up", now);
        };
        if !invitation.transports.contains(&Transport::Quic) {
            let error = SignallingError::NoCommonTransport.to_string();
            return self.answer(message, 400, &error, now);
        }
        if self.attempts.len() >= limits::P2P_CONNECTIONS_MAX || self.remote(&remote).is_none() {
            return self.answer(message, 503, "over the bound of connections", now);
        }
        let own = self.remotes.get(&remote).and_then(|state| state.requester.clone());
        if let Some(own) = own.and_then(|own| self.attempt_of(&own, &remote)) {
            if !self.yields_to(own, &remote, invitation.incarnation) {
                return self.answer(message, 409, "our own set-up to your runtime goes on", now);
            }
            self.end_attempt(own, "the other side's set-up goes first", now);
            return self.take_again(delivery, now);
        }
        if let Some(old) = self.attempt_of(stub, &remote) {
            self.end_attempt(old, "superseded by a new invitation", now);
            return self.take_again(delivery, now);
        }
        if let Some(state) = self.remotes.get_mut(&remote) {
            state.retry_at = None;
            state.incarnation = invitation.incarnation;
        }
        let generation = self.next_generation(stub, &remote);
        let party = self.party(stub);
        let (setup, actions) = Setup::accept(party, message.clone(), invitation, local);
        let id = self.add_attempt(stub, Role::Handler, &remote, generation, setup, now);
        self.perform(id, actions, now);
    }

    /// When both sides set up at once, the runtime whose URL is lower stays Requester. A connection of ours that
    /// is live is no more for the other side, or it would not invite; an invitation of ours that nobody has answered
    /// went to an earlier life of the other side, if it is another now.
    fn yields_to(&self, own: u64, remote: &Url, incarnation: Option<u128>) -> bool {
        let known = self.remotes.get(remote).and_then(|state| state.incarnation);
        let unanswered = self.attempts.get(&own).is_some_and(|of| of.status == Status::Created);
        let is_another = known.is_some() && incarnation.is_some_and(|of| known != Some(of));
        self.config.runtime > *remote || (unanswered && is_another)
    }

    /// Handles a message once more, behind the events that were fired meanwhile.
    fn take_again(&mut self, delivery: &Delivery, now: Instant) {
        if self.inbox.push(Note::Message(delivery.clone())).is_err() {
            self.answer(&delivery.message, 503, "too much is to be handled", now);
        }
    }

    fn on_mirrored(&mut self, stub: &Url, of: &Invitation, message: &Message, now: Instant) {
        let attempt = self.attempt_of(stub, &of.runtime);
        let Some((id, state)) = attempt.and_then(|id| Some((id, self.attempts.get_mut(&id)?)))
        else {
            return self.answer(message, 404, "no set-up to that runtime is under way", now);
        };
        match state.setup.on_mirrored(message.clone(), of) {
            Ok(actions) => {
                if let Some(state) = self.remotes.get_mut(&of.runtime) {
                    state.incarnation = of.incarnation;
                }
                self.perform(id, actions, now);
            }
            Err(error) => self.answer(message, 400, &error.to_string(), now),
        }
    }

    fn perform(&mut self, attempt: u64, actions: Vec<Action>, now: Instant) {
        for action in actions {
            let Some(state) = self.attempts.get(&attempt) else { return };
            let stub = state.stub.clone();
            let ingress = self.stubs.get(&stub).map_or(Ingress::LOCAL, DeployedStub::ingress);
            match action {
                Action::Request { step, kind, from, to, body } => {
                    let purpose = Purpose::Setup { attempt, step };
                    self.request(kind, (&from, &to), &body, ingress, purpose, now);
                }
                Action::Respond { request, code, members } => {
                    self.respond(&request, code, members, now);
                }
                Action::Listen(url) => {
                    let key = self.listen(url);
                    if let Some(state) = self.attempts.get_mut(&attempt) {
                        state.listeners.push(key);
                    }
                }
                Action::Status(status) => self.set_status(attempt, status, None, now),
                Action::Expect(fingerprint) => {
                    let connection = attempt;
                    self.outputs.push_back(Output::Expect { connection, fingerprint });
                }
                Action::Dial(description) => {
                    let connection = attempt;
                    self.outputs.push_back(Output::Dial { connection, description });
                }
            }
        }
    }

    fn add_attempt(
        &mut self,
        stub: &Url,
        role: Role,
        remote: &Url,
        generation: u64,
        setup: Setup,
        now: Instant,
    ) -> u64 {
        let id = self.next_attempt;
        self.next_attempt += 1;
        let attempt = Attempt {
            stub: stub.clone(),
            role,
            remote: remote.clone(),
            generation,
            setup,
            direct: None,
            mini_listener: None,
            listeners: Vec::new(),
            deadline: Some(now + limits::SETUP_TIMEOUT),
            status: Status::Created,
        };
        self.attempts.insert(id, attempt);
        id
    }

    /// Notes the status and fires the event.
    fn set_status(&mut self, attempt: u64, status: Status, desc: Option<&str>, now: Instant) {
        let Some(state) = self.attempts.get_mut(&attempt) else { return };
        state.status = status;
        let (stub, remote, generation) =
            (state.stub.clone(), state.remote.clone(), state.generation);
        self.fire(&stub, &remote, status, generation, desc, now);
    }

    /// Who we are in a set-up by `stub`.
    fn party(&self, stub: &Url) -> (Url, Url, u128) {
        (stub.clone(), self.config.runtime.clone(), self.incarnation)
    }

    /// Numbered by the stub, from 1, for each remote runtime.
    fn next_generation(&mut self, stub: &Url, remote: &Url) -> u64 {
        let is_handler = *stub == self.handler_url();
        let Some(state) = self.remotes.get_mut(remote) else { return 1 };
        match is_handler {
            true => {
                state.handler_generation += 1;
                state.handler_generation
            }
            false => {
                state.requester_generation += 1;
                state.requester_generation
            }
        }
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("stub", &self.stub).field("status", &self.status).finish()
    }
}
