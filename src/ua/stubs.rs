//! The P2P Handler stub and the P2P Requester stubs, deployed in sandboxes of their own.
//!
//! One Handler stub for a runtime, with many connections; one Requester stub for each remote runtime, which
//! tries again. What the stubs do with each other is in [`super::attempts`].

use std::{sync::Arc, time::Instant};

use simd_json::prelude::{ValueAsArray, ValueAsScalar};

use crate::{
    address::{Address, Url},
    bus::P2pPolicy,
    limits,
    link::{Delivery, DirectSink, Ingress, Path, Sink},
    p2p::{StubSandbox, sandbox::DirectPath},
    registry::{Listener, ListenerKey},
    ua::{RuntimeUa, Stubs, remote::Remote},
};

/// A stub in its sandbox.
#[derive(Debug)]
pub(super) struct DeployedStub {
    pub(super) sandbox: StubSandbox,
    /// The URL's listener on the MessageBus, and the status listener.
    listeners: [ListenerKey; 2],
}

impl DeployedStub {
    /// How messages of this stub come in.
    pub(super) fn ingress(&self) -> Ingress {
        Ingress { path: Path::Local, link: self.sandbox.link }
    }

    /// True for the stub's URL and what is below it.
    pub(super) fn covers(&self, to: &str) -> bool {
        Address::parse(to).is_ok_and(|to| self.sandbox.url.address().covers(&to))
    }
}

impl RuntimeUa {
    /// Deploys a stub at `url`: a sandbox, the MessageBus listener into it, and the Registry's listener on
    /// its status. Does nothing if it is there already.
    pub(super) fn deploy(&mut self, url: Url) {
        if self.stubs.contains_key(&url) {
            return;
        }
        let link = self.new_link();
        let sandbox = StubSandbox::new(url.clone(), link, self.control_sink());
        let entrance = Listener { url: url.clone(), link: Some(link), sink: sandbox.entrance() };
        let Ok(status) = url.join("status") else { return };
        let listeners = [self.bus.add_path_listener(entrance), self.listen(status)];
        self.stubs.insert(url, DeployedStub { sandbox, listeners });
    }

    /// How a message comes in whose sender is `from`: from the sandbox of the stub it belongs to, which is
    /// deployed if the stubs are played by somebody else.
    pub fn ingress_of(&mut self, from: &Address<'_>) -> Ingress {
        if self.config.stubs == Stubs::Played
            && self.stubs.len() < limits::P2P_CONNECTIONS_MAX
            && let Some(stub) = stub_prefix(&self.config.runtime, from)
        {
            self.deploy(stub);
        }
        let owner = self.stubs.values().find(|stub| stub.covers(from.as_str()));
        owner.map_or(Ingress::LOCAL, DeployedStub::ingress)
    }

    /// The Requester stub of a runtime that is forgotten goes, with its path.
    pub(super) fn remove_requester(&mut self, stub: &Url, now: Instant) {
        let Some(deployed) = self.stubs.remove(stub) else { return };
        for key in &deployed.listeners {
            self.bus.remove_listener(key);
        }
        if self.is_open() && self.config.stubs == Stubs::Ours {
            let from = self.registry_url();
            self.unsubscribe_path(&from, stub, now);
        }
    }

    /// Wants a connection to `remote`: deploys the Requester, if there is no connection and none on its way.
    pub(super) fn request_connection(&mut self, remote: &Url, now: Instant) {
        if self.config.policy == P2pPolicy::Off
            || self.has_connection(remote)
            || (self.config.stubs == Stubs::Ours && self.local.is_none())
        {
            return;
        }
        let (stub, path_stands) = match self.remotes.get(remote) {
            Some(state) if state.handler.is_none() || state.retry_at.is_some() => return,
            Some(state) => (state.requester.clone(), state.requester_path),
            None => return,
        };
        let stub = match stub {
            // What remains is the set-up.
            Some(stub) if path_stands => return self.begin_request(&stub, remote, now),
            Some(stub) => stub,
            None => {
                let url = self.own_url(&format!("p2prequester/{}", self.next_requester));
                self.next_requester += 1;
                url
            }
        };
        self.deploy(stub.clone());
        if let Some(state) = self.remotes.get_mut(remote) {
            state.requester = Some(stub.clone());
        }
        self.add_requester_path(&stub, remote, now);
    }

    /// "Add Handler listener to minibus": the stub adds the connection, or nothing, to its MiniBus.
    pub(super) fn add_to_mini_bus(&mut self, stub: &Url, delivery: &Delivery, now: Instant) {
        let message = &delivery.message;
        let from_registry = message.from() == self.registry_url();
        let path = message.body_member(&["subscribe"]).and_then(only_url);
        let path = path.filter(|path| stub.address().covers(&path.address()) && from_registry);
        let (Some(path), Some(deployed)) = (path, self.stubs.get(stub)) else {
            let reason = "`body.subscribe` must be the p2p-connectionUrl, asked by the Registry";
            return self.answer(message, 400, reason, now);
        };
        let bus = deployed.sandbox.bus.clone();
        if self.config.stubs == Stubs::Played {
            bus.add_listener(path, None, Arc::new(|_: Delivery| Ok(())));
            return self.respond(message, 200, None, now);
        }
        let id = path.as_str().rsplit('/').next().and_then(|id| id.parse::<u64>().ok());
        let connection = id.and_then(|id| self.attempts.get_mut(&id));
        match connection.and_then(|attempt| Some((attempt.direct.clone()?, attempt))) {
            Some((direct, attempt)) => {
                let sink: Arc<dyn Sink> = direct;
                attempt.mini_listener = Some(bus.add_listener(path, None, sink));
                self.respond(message, 200, None, now);
            }
            None => self.answer(message, 404, "that connection is gone", now),
        }
    }

    pub(super) fn schedule_retry(&mut self, remote: &Url, now: Instant) {
        let random = (self.config.random)();
        if self.config.stubs == Stubs::Ours
            && let Some(state) = self.remotes.get_mut(remote).filter(|state| !state.given_up)
        {
            state.schedule_retry(random, now);
        }
    }

    /// The other side's connection has ended. It tries again, if it can; if both had yielded to each other
    /// nobody would, so our own Requester does too, a little later.
    pub(super) fn take_up_again(&mut self, remote: &Url, now: Instant) {
        let waits = |state: &Remote| state.requester.is_some() && state.retry_at.is_none();
        if self.remotes.get(remote).is_some_and(waits) && !self.has_connection(remote) {
            if let Some(state) = self.remotes.get_mut(remote) {
                state.retries = state.retries.max(limits::RETRIES_BEHIND);
            }
            self.schedule_retry(remote, now);
        }
    }

    pub(super) fn retries_timeout(&mut self, now: Instant) {
        for remote in self.due_remotes(now) {
            let Some(state) = self.remotes.get_mut(&remote) else { continue };
            if state.retry_at.is_none_or(|at| now < at) {
                continue;
            }
            state.retry_at = None;
            if self.waits_for_contender(&remote, now) {
                continue;
            }
            match self.is_open() {
                true if self.has_connection(&remote) => self.restore_requester_path(&remote, now),
                true => self.request_connection(&remote, now),
                false => self.schedule_retry(&remote, now),
            }
        }
    }

    /// An invitation is about to be proven, or not: our own set-up waits for that, but once only.
    fn waits_for_contender(&mut self, remote: &Url, now: Instant) -> bool {
        let contends = self.contenders(remote) > 0;
        let Some(state) = self.remotes.get_mut(remote) else { return false };
        let waits = contends && !std::mem::replace(&mut state.has_waited, contends);
        if waits {
            state.retry_at = Some(now + limits::CONTENDER_WAIT);
        }
        waits
    }

    /// The last segment of the p2p-connectionUrl.
    pub(super) fn connection_id(&mut self, stub: &Url, remote: &Url) -> String {
        match self.attempt_of(stub, remote) {
            Some(attempt) => attempt.to_string(),
            None => {
                self.next_attempt += 1;
                (self.next_attempt - 1).to_string()
            }
        }
    }

    /// The way through the sandbox of `stub` to the connection with `remote`, entered at `path`.
    pub(super) fn direct_path(
        &self,
        stub: &Url,
        remote: &Url,
        path: &Url,
    ) -> Option<Arc<dyn DirectSink>> {
        let sandbox = &self.stubs.get(stub)?.sandbox;
        let entrance = match stub == path {
            true => sandbox.default_path(),
            false => self.remotes.get(remote)?.path_listener.as_ref()?.1.clone(),
        };
        let connection: Arc<dyn DirectSink> = match self.config.stubs {
            Stubs::Played => Arc::new(PlayedLink),
            Stubs::Ours => self.attempts.get(&self.attempt_of(stub, remote)?)?.direct.clone()?,
        };
        if stub == path && self.config.stubs == Stubs::Played {
            sandbox.bus.set_default_listener(Some(Arc::new(|_: Delivery| Ok(()))));
        }
        Some(Arc::new(DirectPath::new(entrance, connection)))
    }

    /// A connection to `remote` exists or is being set up, by either side.
    pub(super) fn has_connection(&self, remote: &Url) -> bool {
        self.attempts.values().any(|attempt| attempt.standing && attempt.remote == *remote)
            || self.connections.to_runtime(remote).any(|(_, of)| !of.status.is_end())
    }
}

/// The connection of a stub that somebody else plays: takes everything, sends nothing.
struct PlayedLink;

impl Sink for PlayedLink {
    fn push(&self, _: Delivery) -> Result<(), crate::link::Refusal> {
        Ok(())
    }
}

impl DirectSink for PlayedLink {
    fn push_control(&self, _: bytes::Bytes) -> Result<(), crate::link::Refusal> {
        Ok(())
    }
}

/// `<runtime>/p2phandler/<id>` or `<runtime>/p2prequester/<id>` at the beginning of `from`.
fn stub_prefix(runtime: &Url, from: &Address<'_>) -> Option<Url> {
    let rest = from.as_str().strip_prefix(runtime.as_str())?.strip_prefix('/')?;
    let mut parts = rest.splitn(3, '/');
    let (kind, id) = (parts.next()?, parts.next()?);
    matches!(kind, "p2phandler" | "p2prequester")
        .then(|| runtime.join(&format!("{kind}/{id}")).ok())?
}

/// The only URL of a JSON list.
fn only_url(list: &str) -> Option<Url> {
    let mut bytes = list.as_bytes().to_vec();
    let list: simd_json::OwnedValue = simd_json::to_owned_value(&mut bytes).ok()?;
    match list.as_array()?.as_slice() {
        [url] => Url::parse(url.as_str()?).ok(),
        _ => None,
    }
}
