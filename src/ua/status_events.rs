//! Status events of the P2P stubs, and what the Registry does on each.
//!
//! Carries out "New P2P Connection event", "P2P Connection Update event", "Add Handler listener to minibus
//! for new P2P Connection" and, of the page P2P Msg delivery, "P2P Connection Registration for Handler".

use std::time::Instant;

use simd_json::{OwnedValue, json, prelude::*};

use crate::{
    address::{Address, Url},
    bus::Drop,
    link::{Delivery, Ingress},
    message::{Kind, Message, To},
    registry::{
        Listener,
        connections::{Change, P2pConnection, Role, StatusEvent},
    },
    status::Status,
    ua::{Output, RuntimeUa, Stubs, exchange::Purpose},
};

impl RuntimeUa {
    /// Fires an event from the sandbox of `stub` to `<stub>/status`. The first generation has the page's
    /// members and no other; later ones carry their number.
    pub(super) fn fire(
        &mut self,
        stub: &Url,
        remote: &Url,
        value: Status,
        generation: u64,
        desc: Option<&str>,
        now: Instant,
    ) {
        let Some(deployed) = self.stubs.get(stub) else { return };
        let ingress = deployed.ingress();
        let mut body = json!({ "value": value.word(), "resource": remote.as_str() });
        if generation > 1 {
            // Inserting into an object cannot fail, here and below.
            let _ = body.insert("generation", generation);
        }
        if let Some(desc) = desc {
            let _ = body.insert("desc", desc);
        }
        let kind = if value == Status::Created { "create" } else { "update" };
        self.say(Unsaid { kind, stub: stub.clone(), body, ingress }, now);
    }

    /// Posts an event, and keeps it for later if the inbox has no room: what a connection is must not be
    /// forgotten.
    pub(super) fn say(&mut self, event: Unsaid, now: Instant) {
        let (from, to) = (event.stub.as_str(), format!("{}/status", event.stub));
        if !self.unsaid.is_empty()
            || !self.tell(event.kind, (from, &to), &event.body, event.ingress, now)
        {
            self.unsaid.push(event);
        }
    }

    /// An event has come to `<stub>/status`.
    pub(super) fn on_status_event(&mut self, stub: &Url, delivery: &Delivery, now: Instant) {
        let Some(event) = self.read_event(stub, &delivery.message, delivery.ingress) else {
            self.bus.drop_for(Drop::StatusIgnored);
            return;
        };
        match self.connections.apply(&event) {
            Change::Ignored(_) => {
                self.bus.drop_for(Drop::StatusIgnored);
            }
            Change::Applied { renewed, before, .. } => {
                if renewed && before == Some(Status::Live) {
                    self.leave(&event, Status::Disconnected, now);
                }
                self.report(&event, &delivery.message);
                self.on_status(&event, now);
            }
        }
    }

    /// The Handler stub's answer to the Registry's request was no 200, or did not come: the connection is of
    /// no use.
    pub(super) fn on_path_refused(&mut self, remote: &Url, path: &Url, reason: &str, now: Instant) {
        let Some(state) = self.remotes.get(remote) else { return };
        let Some((stub, _)) = state.direct.clone().filter(|(_, of)| of == path) else { return };
        self.log(format!("the Handler stub did not add its listener for {remote}: {reason}"));
        match self.attempt_of(&stub, remote) {
            Some(attempt) => self.end_attempt(attempt, reason, now),
            None => self.turn_to_node(remote, Status::Disconnected, now),
        }
    }

    /// Only the owner's events count: from the stub, from its own sandbox, to its own status address.
    fn read_event(&self, stub: &Url, message: &Message, ingress: Ingress) -> Option<StatusEvent> {
        let owner = self.stubs.get(stub)?;
        if message.from() != stub.as_str() || ingress != owner.ingress() {
            return None;
        }
        if !matches!(message.kind(), Kind::Create | Kind::Update) {
            return None;
        }
        let body = message.body_value()?;
        let remote = Url::parse(body.get("resource")?.as_str()?).ok()?;
        if self.bus.own().is_ours(&remote.address()) || remote.address().is_bare() {
            return None;
        }
        let generation = match (self.config.stubs, body.get("generation")) {
            (Stubs::Ours, None) => Some(1),
            (_, generation) => generation.and_then(ValueAsScalar::as_u64),
        };
        Some(StatusEvent {
            stub: stub.clone(),
            role: Role::of_stub(&self.config.runtime, stub)?,
            remote,
            status: Status::from_word(body.get("value")?.as_str()?)?,
            generation,
        })
    }

    fn report(&mut self, event: &StatusEvent, message: &Message) {
        self.outputs.push_back(Output::Status {
            stub: event.stub.clone(),
            value: event.status,
            resource: event.remote.clone(),
            desc: message.body_text(&["desc"]).map(|desc| desc.into_owned()),
        });
    }

    fn on_status(&mut self, event: &StatusEvent, now: Instant) {
        match event.status {
            Status::Created | Status::InProgress => {
                // An entry at once, so that no second set-up starts from this side.
                self.remote(&event.remote, now);
            }
            Status::Live => self.on_live(event, now),
            Status::Failed | Status::Disconnected => self.on_end(event, now),
        }
    }

    fn on_live(&mut self, event: &StatusEvent, now: Instant) {
        if self.remote(&event.remote, now).is_some() {
            self.carry_by(&event.stub, event.role, &event.remote, now);
        }
    }

    /// The live connection of `stub` carries the messages for `remote` from now on.
    fn carry_by(&mut self, stub: &Url, role: Role, remote: &Url, now: Instant) {
        match role {
            Role::Requester => {
                self.set_direct(remote, stub, stub);
                self.turn_to_direct(remote, stub, now);
            }
            Role::Handler => self.add_handler_listener(stub, remote, now),
        }
    }

    /// Generates the p2p-connectionUrl, listens on it at the MessageBus and has the Handler stub add it to
    /// its MiniBus.
    fn add_handler_listener(&mut self, stub: &Url, remote: &Url, now: Instant) {
        let id = self.connection_id(stub, remote);
        let Ok(path) = stub.join(&id) else { return };
        self.set_direct(remote, stub, &path);
        let Some(deployed) = self.stubs.get(stub) else { return };
        let sink = deployed.sandbox.path(path.clone());
        let listener = Listener { url: path.clone(), link: None, sink: sink.clone() };
        let key = self.bus.add_path_listener(listener);
        if let Some(state) = self.remotes.get_mut(remote)
            && let Some((old, _)) = state.path_listener.replace((key, sink))
        {
            self.bus.remove_listener(&old);
        }
        let (from, stub) = (self.registry_url(), stub.as_str());
        let body = json!({ "subscribe": [path.as_str()], "source": stub });
        let purpose = Purpose::HandlerListener { remote: remote.clone(), path };
        let ingress = self.own_ingress();
        self.request("subscribe", (&from, stub), &body, ingress, purpose, now);
    }

    fn on_end(&mut self, event: &StatusEvent, now: Instant) {
        self.leave(event, event.status, now);
        self.turn_to_other(&event.remote, now);
        // A connection that we wanted ourselves is not given up because an invitation came to
        // nothing.
        let wanted = self.remotes.get(&event.remote).is_some_and(|state| state.handler.is_some());
        if event.role == Role::Requester || (wanted && event.status == Status::Failed) {
            self.schedule_retry(&event.remote, now);
        } else {
            self.take_up_again(&event.remote, now);
        }
    }

    /// Another connection to the same runtime is live and carries nothing: it takes over.
    fn turn_to_other(&mut self, remote: &Url, now: Instant) {
        if self.remotes.get(remote).is_none_or(|state| state.direct.is_some()) {
            return;
        }
        let live = |(_, of): &(&Url, &P2pConnection)| of.status == Status::Live;
        let other = self.connections.to_runtime(remote).find(live);
        if let Some((stub, role)) = other.map(|(stub, of)| (stub.clone(), of.role)) {
            self.carry_by(&stub, role, remote, now);
        }
    }

    /// The path goes by Message Node again, if it was this stub's connection that carried it.
    fn leave(&mut self, event: &StatusEvent, status: Status, now: Instant) {
        let carries = self.remotes.get(&event.remote).is_some_and(|state| {
            state.direct.as_ref().is_some_and(|(stub, _)| *stub == event.stub)
        });
        if carries {
            self.turn_to_node(&event.remote, status, now);
        }
    }

    fn set_direct(&mut self, remote: &Url, stub: &Url, path: &Url) {
        if let Some(state) = self.remotes.get_mut(remote) {
            state.direct = Some((stub.clone(), path.clone()));
        }
    }
}

/// A status event that is to be posted.
#[derive(Debug)]
pub(super) struct Unsaid {
    kind: &'static str,
    stub: Url,
    body: OwnedValue,
    ingress: Ingress,
}

/// The stub whose status address `to` is.
pub(super) fn status_owner(to: &Address<'_>) -> Option<Url> {
    Url::parse(to.as_str().strip_suffix("/status")?).ok()
}

/// The only URL of a message's `to`.
pub(super) fn only_target(message: &Message) -> Option<Url> {
    match message.to() {
        To::One(to) => Url::parse(&to).ok(),
        To::Many(_) => None,
    }
}
