//! Set-ups and the connections that came of them: one attempt for each generation.
//!
//! Here the machines of [`crate::p2p::setup`] are driven: what arrived is told to them, what they ask for is
//! done, and each step of a connection is fired as a status event of its stub.

use std::{sync::Arc, time::Instant};

use crate::{
    address::{Address, Url},
    bus::{Drop, MiniKey},
    limits,
    link::{DirectSink, Ingress, Sink},
    message::Message,
    p2p::{Action, Candidate, Party, Setup, Step},
    registry::{ListenerKey, connections::Role},
    status::Status,
    ua::{
        Output, RuntimeUa, Stubs, exchange::Purpose, ingress::PROBE, stubs::DeployedStub,
        timed::Due,
    },
};

/// One set-up and the connection that came of it: one generation.
pub(super) struct Attempt {
    pub(super) stub: Url,
    pub(super) role: Role,
    pub(super) remote: Url,
    pub(super) generation: u64,
    /// False for a contender: an invitation that is not proven yet, beside what stands. Nobody is
    /// told of it.
    pub(super) standing: bool,
    /// The process life that invited.
    pub(super) incarnation: Option<u128>,
    pub(super) setup: Setup,
    /// The connection, once it is up.
    pub(super) direct: Option<Arc<dyn DirectSink>>,
    /// The connection's listener on the stub's MiniBus.
    pub(super) mini_listener: Option<MiniKey>,
    /// Our Connection object's listener, and that on the other's changes.
    listeners: Vec<ListenerKey>,
    /// The set-up must be done by then.
    pub(super) deadline: Option<Instant>,
    pub(super) status: Status,
}

impl Due for Attempt {
    fn due(&self) -> Option<Instant> {
        self.deadline
    }
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
        let id = self.add_attempt(Role::Requester, (stub, remote), setup, now);
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.generation = generation;
        }
        self.set_status(id, Status::Created, None, now);
        self.perform(id, actions, now);
    }

    /// The other side observes our Connection object.
    pub(super) fn on_observed(&mut self, attempt: u64, message: &Message, now: Instant) {
        let Some(state) = self.attempts.get_mut(&attempt) else { return };
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
            || state.setup.their_object().is_some_and(|object| is_below(&from, object));
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

    /// Says at which addresses our P2P endpoint can be reached now; those new to a set-up that is
    /// under way are told to the other side.
    pub fn set_candidates(&mut self, candidates: Vec<Candidate>, now: Instant) {
        let Some(local) = &mut self.local else { return };
        Arc::make_mut(local).candidates.clone_from(&candidates);
        let under_way: Vec<u64> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.direct.is_none())
            .map(|(id, _)| *id)
            .collect();
        for id in under_way {
            let told = self.attempts.get_mut(&id).map(|of| of.setup.set_candidates(&candidates));
            self.perform(id, told.unwrap_or_default(), now);
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
        let is_proof = step == Step::Invite && state.role == Role::Handler;
        match state.setup.on_response(step, response.body_value().as_ref()) {
            Ok(_) if is_proof && !self.prove(attempt, now) => {}
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
        attempt.setup.on_connected();
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

    /// A transport has cut a peer for bytes that are no frames. Its end comes by
    /// [`RuntimeUa::link_down`].
    pub fn count_broken_frame(&mut self) {
        self.bus.drop_for(Drop::NotAMessage);
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
            let sink: Arc<dyn Sink> = direct;
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
        if !state.standing {
            self.log(format!(
                "an invitation in the name of {} was no good: {reason}",
                state.remote
            ));
        }
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
        for id in self.attempts.take_due(now) {
            self.end_attempt(id, "the connection was not up in time", now);
        }
    }

    /// The set-up or connection of `stub` to `remote` that has not ended.
    pub(super) fn attempt_of(&self, stub: &Url, remote: &Url) -> Option<u64> {
        let of = |attempt: &Attempt| {
            attempt.standing && attempt.stub == *stub && attempt.remote == *remote
        };
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

    pub(super) fn perform(&mut self, attempt: u64, actions: Vec<Action>, now: Instant) {
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
                Action::Tell { from, to, body } => {
                    // Who was not told dials what it knows.
                    self.tell("update", (&from, &to), &body, ingress, now);
                }
                Action::Listen(url) => {
                    let key = self.listen(url);
                    if let Some(state) = self.attempts.get_mut(&attempt) {
                        state.listeners.reserve_exact(1);
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

    pub(super) fn add_attempt(
        &mut self,
        role: Role,
        (stub, remote): (&Url, &Url),
        setup: Setup,
        now: Instant,
    ) -> u64 {
        let id = self.next_attempt;
        self.next_attempt += 1;
        let attempt = Attempt {
            stub: stub.clone(),
            role,
            remote: remote.clone(),
            generation: 0,
            standing: true,
            incarnation: None,
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

    /// Notes the status and fires the event, unless it is a contender's.
    pub(super) fn set_status(
        &mut self,
        attempt: u64,
        status: Status,
        desc: Option<&str>,
        now: Instant,
    ) {
        let Some(state) = self.attempts.get_mut(&attempt) else { return };
        state.status = status;
        if !state.standing {
            return;
        }
        let (stub, remote, generation) =
            (state.stub.clone(), state.remote.clone(), state.generation);
        self.fire(&stub, &remote, status, generation, desc, now);
    }

    /// Who we are in a set-up by `stub`.
    pub(super) fn party(&self, stub: &Url) -> Party {
        Party {
            stub: stub.clone(),
            runtime: self.config.runtime.clone(),
            incarnation: self.incarnation,
            token: (self.config.random)(),
        }
    }

    /// Numbered by the stub, from 1, for each remote runtime.
    pub(super) fn next_generation(&mut self, stub: &Url, remote: &Url) -> u64 {
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

/// True for what `object` covers.
fn is_below(from: &str, object: &Url) -> bool {
    Address::parse(from).is_ok_and(|from| object.address().covers(&from))
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("stub", &self.stub).field("status", &self.status).finish()
    }
}
