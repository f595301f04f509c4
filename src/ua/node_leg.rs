//! The way to the Message Nodes: stubs, the stubs' paths, registrations at the domain registry.
//!
//! Carries out "Add P2P Handler path", "Set P2P Requester routing path" and the requests that remove them.
//! What a Message Node forgot (it restarted, the session was new) is said again.

use std::{sync::Arc, time::Instant};

use simd_json::{json, prelude::MutableObject};

use crate::{
    address::Url,
    bus::P2pPolicy,
    limits,
    link::{Sink, Stub},
    ua::{NodeIngress, Output, RuntimeUa, exchange::Purpose},
};

/// One Message Node that we have a stub for.
#[derive(Debug)]
pub(super) struct NodeLeg {
    pub(super) stub: Arc<Stub>,
    open: bool,
}

impl RuntimeUa {
    /// Adds the MN stub for `domain`, whose queue is `sink`. What comes in by its session goes to what is
    /// given back.
    pub fn add_node(&mut self, domain: &str, sink: Arc<dyn Sink>) -> NodeIngress {
        let link = self.new_link();
        let url = self.config.runtime.join(&format!("protostub/{domain}"));
        let url = url.unwrap_or_else(|_| self.config.runtime.clone());
        let stub = Arc::new(Stub { url, domain: domain.into(), link, sink });
        self.bus.add_stub(stub.clone());
        self.nodes.insert(domain.into(), NodeLeg { stub, open: false });
        NodeIngress::new(self.bus.clone(), self.peers.clone(), link)
    }

    /// The session with the Message Node of `domain` is open. `fresh`: it knows nothing of us, so paths,
    /// subscriptions and registrations are said again.
    pub fn node_opened(&mut self, domain: &str, fresh: bool, now: Instant) {
        let Some(leg) = self.nodes.get_mut(domain) else { return };
        leg.open = true;
        if *domain == *self.bus.own().domain {
            if fresh {
                self.forget_what_was_said();
            }
            self.say_what_was_missed(now);
            // What waited for the Message Node need not wait longer.
            for remote in self.remotes.values_mut().filter(|remote| remote.retry_at.is_some()) {
                remote.retries = 0;
                remote.retry_at = Some(now);
            }
        }
        // What a forgetful Message Node must know goes first, then what is for others.
        self.stub_has_room(domain, now);
        self.check_ready();
    }

    /// The session with the Message Node of `domain` is down; its stub queues within its bounds.
    pub fn node_closed(&mut self, domain: &str) {
        if let Some(leg) = self.nodes.get_mut(domain) {
            leg.open = false;
        }
    }

    /// The queue of the MN stub of `domain` has room again.
    pub fn stub_has_room(&mut self, domain: &str, now: Instant) {
        if self.nodes.contains_key(domain) {
            for remote in self.remotes.values() {
                remote.peer.on_room(now);
            }
        }
    }

    /// Says that a Hyperty or data object lives here: at the domain registry, and to the remote runtimes that
    /// have subscribed to our Registry's changes. False if it was known, or there are too many.
    pub fn add_resource(&mut self, url: Url, now: Instant) -> bool {
        if self.registered.len() >= limits::RESOURCES_MAX || self.registered.contains_key(&url) {
            return false;
        }
        self.registered.insert(url.clone(), false);
        self.removed.remove(&url);
        self.register(&url, now);
        self.publish_change("add", &url, now);
        true
    }

    /// Says that it does not any more. False if it was not known.
    pub fn remove_resource(&mut self, url: &Url, now: Instant) -> bool {
        if self.registered.remove(url).is_none() {
            return false;
        }
        self.publish_change("remove", url, now);
        // Beyond the bound it stays registered until the registration expires, if the one request is lost.
        if self.removed.len() < limits::RESOURCES_MAX {
            self.removed.insert(url.clone());
        }
        self.unregister(url, now);
        true
    }

    pub(super) fn registry_url(&self) -> String {
        format!("{}/registry", self.config.runtime)
    }

    /// Our own Message Node is there.
    pub(super) fn is_open(&self) -> bool {
        self.nodes.get(&self.bus.own().domain).is_some_and(|leg| leg.open)
    }

    /// The stub by which messages for `address` go when they go by Message Node.
    pub(super) fn stub_towards(&self, address: &Url) -> Option<Arc<Stub>> {
        let own = &self.bus.own().domain;
        let leg = self.nodes.get(address.address().domain()).or_else(|| self.nodes.get(own));
        leg.map(|leg| leg.stub.clone())
    }

    pub(super) fn check_ready(&mut self) {
        let path = self.handler_path || self.config.policy == P2pPolicy::Off;
        let all = self.registered.values().all(|confirmed| *confirmed);
        if !self.ready && self.is_open() && path && all {
            self.ready = true;
            self.outputs.push_back(Output::Ready);
        }
    }

    pub(super) fn on_registered(&mut self, url: &Url, confirmed: bool) {
        if let Some(state) = self.registered.get_mut(url) {
            *state |= confirmed;
        }
        self.check_ready();
    }

    pub(super) fn on_requester_path(&mut self, remote: &Url) {
        if let Some(state) = self.remotes.get_mut(remote) {
            state.requester_path = true;
        }
    }

    /// A registration was answered otherwise than 200. One without an answer may have been lost.
    pub(super) fn retry_registration(&mut self, url: &Url, code: u16, now: Instant) {
        match code {
            408 if self.registered.get(url) == Some(&false) => self.register(url, now),
            503 => self.say_again_soon(now),
            _ => {}
        }
        self.on_registered(url, false);
    }

    /// The domain registry has answered that `url` is removed, or not.
    pub(super) fn on_unregistered(&mut self, url: &Url, code: u16, now: Instant) {
        match code {
            408 if self.removed.contains(url) => self.unregister(url, now),
            503 => self.say_again_soon(now),
            // A refusal is final; mostly it says that there is nothing to remove.
            _ => {
                self.removed.remove(url);
            }
        }
    }

    pub(super) fn retry_handler_path(&mut self, code: u16, reason: &str, now: Instant) {
        if self.handler_path {
            // It was said again, and that was answered.
            return;
        }
        self.log(format!("the Handler's path was not added: {code} {reason}"));
        // A Message Node that gave no answer may have lost the request; one that refused will again.
        match code {
            408 if self.is_open() => self.add_handler_path(now),
            503 => self.say_again_soon(now),
            _ => {}
        }
    }

    /// The stub had no room, or the Message Node: until it is said, what is sent to us finds nobody.
    fn say_again_soon(&mut self, now: Instant) {
        let soon = now + limits::REGISTRATION_AGAIN;
        self.reregister_at = Some(self.reregister_at.map_or(soon, |at| at.min(soon)));
    }

    /// "Set P2P Requester routing path": the Registry's request to our Message Node.
    pub(super) fn add_requester_path(&mut self, stub: &Url, remote: &Url, now: Instant) {
        let from = self.registry_url();
        let suffix = stub.as_str().rsplit('/').next().unwrap_or("1");
        let source = self.stub_source("p2prequester", &format!("/{suffix}"));
        let purpose = Purpose::RequesterPath { stub: stub.clone(), remote: remote.clone() };
        self.subscribe_path(&from, stub, &source, purpose, now);
    }

    /// The same for the stub that there is for `remote`, unless its path stands.
    pub(super) fn restore_requester_path(&mut self, remote: &Url, now: Instant) {
        let missed = self.remotes.get(remote).filter(|state| !state.requester_path);
        if let Some(stub) = missed.and_then(|state| state.requester.clone()) {
            self.add_requester_path(&stub, remote, now);
        }
    }

    /// The requests that remove the paths of all our stubs.
    pub(super) fn remove_paths(&mut self, now: Instant) {
        if !self.is_open() {
            return;
        }
        if std::mem::take(&mut self.handler_path) {
            let from = format!("{}/ua", self.config.runtime);
            let handler = self.handler_url();
            self.unsubscribe_path(&from, &handler, now);
        }
        let from = self.registry_url();
        let requesters: Vec<Url> =
            self.remotes.values().filter_map(|remote| remote.requester.clone()).collect();
        for stub in requesters {
            self.unsubscribe_path(&from, &stub, now);
        }
    }

    pub(super) fn registrations_timeout(&mut self, now: Instant) {
        if self.reregister_at.is_some_and(|at| at <= now) {
            self.reregister_at = None;
            if !self.handler_path && self.is_open() {
                self.add_handler_path(now);
            }
            self.register_all(now);
            self.unregister_all(now);
        }
    }

    fn add_handler_path(&mut self, now: Instant) {
        if self.config.policy == P2pPolicy::Off {
            return;
        }
        let from = format!("{}/ua", self.config.runtime);
        let source = self.stub_source("p2phandler", "");
        let handler = self.handler_url();
        self.subscribe_path(&from, &handler, &source, Purpose::HandlerPath, now);
    }

    /// "Set P2P Requester routing path", refused or unanswered. A connection needs the path too: control of
    /// the hand-over comes by it.
    pub(super) fn retry_requester_path(
        &mut self,
        stub: &Url,
        remote: &Url,
        reason: &str,
        now: Instant,
    ) {
        if self.remotes.get(remote).is_none_or(|state| state.requester_path) {
            // It was said again, and that was answered.
            return;
        }
        self.log(format!("{stub}: {reason}"));
        self.schedule_retry(remote, now);
    }

    fn subscribe_path(
        &mut self,
        from: &str,
        stub: &Url,
        source: &str,
        purpose: Purpose,
        now: Instant,
    ) {
        let to = self.subscription_manager();
        let body = json!({ "subscribe": [stub.as_str()], "source": source });
        let ingress = self.own_ingress();
        self.request("subscribe", (from, &to), &body, ingress, purpose, now);
    }

    pub(super) fn unsubscribe_path(&mut self, from: &str, stub: &Url, now: Instant) {
        let to = self.subscription_manager();
        let body = json!({ "unsubscribe": [stub.as_str()] });
        let ingress = self.own_ingress();
        self.request("unsubscribe", (from, &to), &body, ingress, Purpose::Tidy, now);
    }

    fn subscription_manager(&self) -> String {
        format!("domain://msg-node.{}/sm", self.bus.own().domain)
    }

    /// `hyperty-runtime://<domain>/<kind>/<instance identifier>`: who subscribes for a stub's path. The
    /// identifier is the runtime's, so no two runtimes of a domain name the same source.
    fn stub_source(&self, kind: &str, suffix: &str) -> String {
        let runtime = self.config.runtime.address();
        let instance = &runtime.as_str()[runtime.base().len()..];
        format!("{}/{kind}{instance}{suffix}", runtime.base())
    }

    /// The session is new: the Message Node has confirmed nothing of what it is to know.
    fn forget_what_was_said(&mut self) {
        self.handler_path = false;
        self.remotes.values_mut().for_each(|remote| remote.requester_path = false);
        self.registered.values_mut().for_each(|confirmed| *confirmed = false);
    }

    /// What the Message Node has not confirmed: it came up while the session was without a socket, or was
    /// under way on one that broke. Said twice it does no harm.
    fn say_what_was_missed(&mut self, now: Instant) {
        if !self.handler_path {
            self.add_handler_path(now);
        }
        for remote in self.remotes.keys().cloned().collect::<Vec<_>>() {
            self.restore_requester_path(&remote, now);
        }
        self.unregister_all(now);
        if self.reregister_at.is_none() {
            return self.register_all(now);
        }
        let missed = self.registered.iter().filter(|(_, confirmed)| !**confirmed);
        for url in missed.map(|(url, _)| url.clone()).collect::<Vec<_>>() {
            self.register(&url, now);
        }
    }

    fn unregister_all(&mut self, now: Instant) {
        for url in self.removed.iter().cloned().collect::<Vec<_>>() {
            self.unregister(&url, now);
        }
    }

    fn unregister(&mut self, url: &Url, now: Instant) {
        if !self.is_open() {
            return;
        }
        let (from, to) = (self.registry_url(), domain_registry(url));
        let body = json!({ "resource": url.as_str() });
        let (ingress, purpose) = (self.own_ingress(), Purpose::Unregister { url: url.clone() });
        self.request("delete", (&from, &to), &body, ingress, purpose, now);
    }

    fn register_all(&mut self, now: Instant) {
        for url in self.registered.keys().cloned().collect::<Vec<_>>() {
            self.register(&url, now);
        }
    }

    fn register(&mut self, url: &Url, now: Instant) {
        if !self.is_open() {
            return;
        }
        let mut value = json!({
            "url": url.as_str(),
            "user": self.config.user.as_str(),
            "runtime": self.config.runtime.as_str(),
            "status": "live",
            "expires": limits::REGISTRATION_EXPIRES.as_secs(),
            "dataSchemes": [],
            "resources": [],
        });
        if self.config.policy != P2pPolicy::Off {
            // Inserting into an object cannot fail.
            let _ = value.insert("p2pHandler", self.handler_url().as_str());
        }
        let (from, to) = (self.registry_url(), domain_registry(url));
        let (ingress, purpose) = (self.own_ingress(), Purpose::Register { url: url.clone() });
        self.request("create", (&from, &to), &json!({ "value": value }), ingress, purpose, now);
        self.reregister_at.get_or_insert(now + limits::REGISTRATION_EXPIRES / 2);
    }
}

pub(super) fn domain_registry(of: &Url) -> String {
    format!("domain://registry.{}", of.address().domain())
}
