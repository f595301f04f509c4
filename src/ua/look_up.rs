//! Unknown addresses: looked up behind the messages that go by Message Node, once for all who wait.
//!
//! Carries out step 5 of `resolve`. The message itself is never held back; what is learnt serves the next
//! one.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use simd_json::{OwnedValue, json, prelude::*};

use crate::{
    address::Url,
    bus::P2pPolicy,
    limits,
    message::Message,
    slab::Target,
    ua::{RuntimeUa, exchange::Purpose, node_leg::domain_registry},
};

/// Addresses that are being looked up, or were in vain.
#[derive(Debug, Default)]
pub(super) struct LookUps {
    /// Each has a route to its MN stub in the table, so that the data plane does not ask again.
    known: HashMap<Url, (Instant, Target)>,
    by_expiry: BTreeSet<(Instant, Url)>,
    /// Streams that nobody here knows, by the sender that is being looked up to be told.
    unknown_streams: HashMap<Url, u128>,
}

impl LookUps {
    pub(super) fn len(&self) -> usize {
        self.known.len() + self.unknown_streams.len()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.by_expiry.first().map(|(at, _)| *at)
    }
}

impl RuntimeUa {
    /// A message went by Message Node to an address of which nothing is known.
    pub(super) fn on_unknown(&mut self, address: Url, message: Option<&Message>, now: Instant) {
        if self.config.policy == P2pPolicy::Off || self.look_ups.known.contains_key(&address) {
            return;
        }
        if let Some(handler) = message.and_then(|message| hint(message, "p2pHandler", "p2phandler"))
            && let Some(remote) = runtime_of_stub(&handler)
        {
            return self.on_found(&address, &remote, Some(handler), now);
        }
        if let Some(stub) =
            message.and_then(|message| hint(message, "p2pRequester", "p2prequester"))
            && let Some(remote) = runtime_of_stub(&stub)
            && self.connections.to_runtime(&remote).next().is_some()
        {
            return self.on_found(&address, &remote, None, now);
        }
        if self.remember(&address, now) {
            let (from, to) = (self.registry_url(), domain_registry(&address));
            let body = json!({ "resource": address.as_str() });
            let purpose = Purpose::LookUp { address };
            let ingress = self.own_ingress();
            self.request("read", (&from, &to), &body, ingress, purpose, now);
        }
    }

    /// A runtime sends us a stream that an earlier life of ours gave it: find its stub, and tell it.
    pub(super) fn on_unknown_stream(&mut self, from: Url, stream: u128, now: Instant) {
        if self.look_ups.unknown_streams.len() < limits::LOOK_UPS_MAX {
            self.look_ups.unknown_streams.insert(from.clone(), stream);
            self.on_unknown(from.clone(), None, now);
        }
        if !self.look_ups.known.contains_key(&from) {
            // Nothing was asked, so nothing will be found.
            self.look_ups.unknown_streams.remove(&from);
        }
    }

    /// The domain registry has answered, or not.
    pub(super) fn on_looked_up(&mut self, address: &Url, answer: Option<&Message>, now: Instant) {
        let body = answer.and_then(Message::body_value);
        let found = body.as_ref().and_then(|body| body.get("value")).and_then(|value| match value
            .as_array()
        {
            Some(list) => list.iter().find_map(read_entry),
            None => read_entry(value),
        });
        if let Some((remote, handler)) = found
            && !self.bus.own().is_ours(&remote.address())
        {
            self.forget_look_up(address);
            self.on_found(address, &remote, handler, now);
        }
    }

    pub(super) fn look_ups_timeout(&mut self, now: Instant) {
        while let Some((at, address)) = self.look_ups.by_expiry.first().cloned()
            && at <= now
        {
            self.forget_look_up(&address);
            self.look_ups.unknown_streams.remove(&address);
        }
    }

    /// `address` lives in `remote`: associate it, and set a connection up if there is none.
    fn on_found(&mut self, address: &Url, remote: &Url, handler: Option<Url>, now: Instant) {
        self.associate(remote, address, now);
        let unknown_stream = self.look_ups.unknown_streams.remove(address);
        let (ours, node) = (self.handler_url(), self.stub_towards(remote));
        let Some(state) = self.remote(remote, now) else { return };
        if let Some(theirs) = handler {
            // It may know an earlier life of ours, and is to be answered before there is a connection.
            state.peer.meet_endpoints(&ours, &theirs);
            let _ = node.map(|node| state.peer.set_stub(&node, now));
            state.handler = Some(theirs);
        }
        if let Some(stream) = unknown_stream {
            self.say_unknown(remote, stream, now);
        }
        self.request_connection(remote, now);
    }

    /// A P2P stub of a runtime that is not known speaks of a hand-over: the runtime is known from now on, and
    /// control goes from `ours` to the stub.
    pub(super) fn meet_stub(&mut self, ours: &Url, theirs: &Url, now: Instant) -> Option<Url> {
        let remote = runtime_of_stub(theirs)?;
        let node = self.stub_towards(&remote)?;
        let peer = self.remote(&remote, now)?.peer.clone();
        peer.set_endpoints(ours.clone(), theirs.clone());
        let _ = peer.set_stub(&node, now);
        Some(remote)
    }

    fn say_unknown(&mut self, remote: &Url, stream: u128, now: Instant) {
        let (ours, node) = (self.handler_url(), self.stub_towards(remote));
        let Some(state) = self.remotes.get(remote) else { return };
        if let (Some(theirs), Some(node)) = (state.handler.clone(), node) {
            state.peer.set_endpoints(ours, theirs);
            let _ = state.peer.set_stub(&node, now);
            state.peer.say_unknown(stream);
        }
    }

    /// Notes that `address` is being looked up: until that expires its messages go by Message Node without a
    /// further question.
    fn remember(&mut self, address: &Url, now: Instant) -> bool {
        if self.look_ups.known.len() >= limits::LOOK_UPS_MAX {
            return false;
        }
        let Some(stub) = self.stub_towards(address) else { return false };
        let Some(target) = self.bus.stub_target(&stub.domain) else { return false };
        self.bus.associate(target, [address]);
        let expiry = now + limits::LOOK_UP_FORGOTTEN_AFTER;
        self.look_ups.known.insert(address.clone(), (expiry, target));
        self.look_ups.by_expiry.insert((expiry, address.clone()));
        true
    }

    fn forget_look_up(&mut self, address: &Url) {
        if let Some((expiry, target)) = self.look_ups.known.remove(address) {
            self.look_ups.by_expiry.remove(&(expiry, address.clone()));
            self.bus.dissociate(target, [address]);
        }
    }
}

/// A stub's URL named in the body of a message.
fn hint(message: &Message, member: &str, kind: &str) -> Option<Url> {
    let url = Url::parse(&message.body_text(&[member])?).ok()?;
    let is_of_kind = url.address().segments().any(|segment| segment == kind);
    is_of_kind.then_some(url)
}

/// True for the URL of a P2P stub.
pub(super) fn is_stub(url: &Url) -> bool {
    runtime_of_stub(url).is_some()
}

/// What stands before `/p2phandler/` or `/p2prequester/`.
fn runtime_of_stub(stub: &Url) -> Option<Url> {
    let text = stub.as_str();
    let end = text.find("/p2phandler/").or_else(|| text.find("/p2prequester/"))?;
    Url::parse(&text[..end]).ok().filter(|runtime| !runtime.address().is_bare())
}

/// `runtime` and `p2pHandler` of an entry of the domain registry.
fn read_entry(entry: &OwnedValue) -> Option<(Url, Option<Url>)> {
    let runtime = Url::parse(entry.get("runtime")?.as_str()?).ok()?;
    let handler = entry.get("p2pHandler").and_then(|url| Url::parse(url.as_str()?).ok());
    let handler = handler.filter(|url| runtime.address().covers(&url.address()));
    Some((runtime, handler))
}
