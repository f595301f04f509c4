//! Registry changes, both ways: what lives in a remote runtime, and telling others what lives here.
//!
//! Carries out "Subscribe for Registry changes" and "Registry changes update", and steps 8 to 18 of "P2P
//! Connection Registration for Handler". Without `body.operation` an update replaces the list; with `add` or
//! `remove` it changes it.

use std::time::Instant;

use simd_json::{OwnedValue, json, prelude::*};

use crate::{
    address::Url,
    bus::Drop,
    limits,
    link::Delivery,
    message::{Kind, Message},
    ua::{RuntimeUa, Stubs, exchange::Purpose},
};

impl RuntimeUa {
    /// The address of our own Registry's changes.
    pub(super) fn own_changes(&self) -> Option<Url> {
        self.config.runtime.join("registry/changes").ok()
    }

    /// Listens on `<remote>/registry/changes`, then asks the remote Registry for them.
    pub(super) fn subscribe_to_changes(&mut self, remote: &Url, now: Instant) {
        let Ok(changes) = remote.join("registry/changes") else { return };
        let listening = self.remotes.get(remote).is_some_and(|of| of.changes_listener.is_some());
        if !listening {
            let key = self.listen(changes.clone());
            if let Some(state) = self.remotes.get_mut(remote) {
                state.changes_listener = Some(key);
            }
        }
        let (from, to) = (self.registry_url(), format!("{remote}/registry"));
        let body = json!({ "subscribe": [changes.as_str()] });
        let epoch = self.remotes.get(remote).map_or(0, |state| state.epoch);
        let purpose = Purpose::Changes { remote: remote.clone(), epoch };
        let ingress = self.own_ingress();
        self.request("subscribe", (&from, &to), &body, ingress, purpose, now);
        if self.config.stubs == Stubs::Played
            && let Some(state) = self.remotes.get_mut(remote)
        {
            state.changes_accepted = true;
        }
    }

    pub(super) fn on_changes_accepted(&mut self, remote: &Url, response: &Message, now: Instant) {
        let mut body = response.body_value();
        let more = body.as_ref().and_then(|body| body.get("more")).and_then(ValueAsScalar::as_u64);
        let list = body.as_mut().and_then(|body| body.remove("value").ok().flatten());
        if let Some(state) = self.remotes.get_mut(remote) {
            state.changes_accepted = true;
            let more = more.unwrap_or(0).min(limits::ASSOCIATIONS_MAX as u64) as usize;
            self.learn_list(remote, list.unwrap_or_default(), Some(more), now);
        }
    }

    /// The remote Registry does not tell; the connection is used for what is known otherwise.
    pub(super) fn on_changes_refused(&mut self, remote: &Url, code: u16, now: Instant) {
        let stands = self.remotes.get(remote).and_then(|state| state.direct.clone());
        if let (408, Some((stub, _))) = (code, stands)
            && self.is_capable(&stub, remote)
        {
            // One of ours answers: the question or the answer was lost with a stream.
            return self.subscribe_to_changes(remote, now);
        }
        if let Some(state) = self.remotes.get_mut(remote)
            && !state.changes_accepted
            && let Some(key) = state.changes_listener.take()
        {
            self.bus.remove_listener(&key);
        }
    }

    /// An update has come to `<remote>/registry/changes`.
    pub(super) fn on_changes_update(&mut self, remote: &Url, message: &Message, now: Instant) {
        let registry = format!("{remote}/registry");
        let counts = message.kind() == Kind::Update
            && message.from() == registry
            && self.remotes.get(remote).is_some_and(|state| state.changes_accepted);
        let mut body = message.body_value().filter(|_| counts);
        // What is no list says nothing about what lives there: it must not empty the table.
        let list = body.as_mut().and_then(|body| body.remove("value").ok().flatten());
        let Some(list) = list.filter(|list| list.is_array()) else {
            self.bus.drop_for(Drop::Control);
            return;
        };
        let operation = body.as_ref().and_then(|body| body.get("operation"));
        match operation.map(|word| word.as_str().unwrap_or_default()) {
            None => self.learn_list(remote, list, Some(0), now),
            Some("add") => self.learn_list(remote, list, None, now),
            Some("remove") => self.unlearn_list(remote, list),
            Some(_) => {
                self.bus.drop_for(Drop::Control);
            }
        }
    }

    /// A request to our Registry: the subscription to its changes, or its end.
    pub(super) fn on_registry_request(&mut self, delivery: &Delivery, now: Instant) {
        let message = &delivery.message;
        let (word, subscribes) = match message.kind() {
            Kind::Subscribe => ("subscribe", true),
            Kind::Unsubscribe => ("unsubscribe", false),
            _ => {
                return self.answer(
                    message,
                    400,
                    "the Registry takes subscribe and unsubscribe",
                    now,
                );
            }
        };
        let changes = self.own_changes();
        let asked = message.body_value();
        let asked = asked.as_ref().and_then(|body| body.get(word)).and_then(|list| list.as_array());
        let ours = |each: &OwnedValue| {
            changes.as_ref().is_some_and(|changes| each.as_str() == Some(changes.as_str()))
        };
        if !asked.is_some_and(|list| !list.is_empty() && list.iter().all(ours)) {
            let reason = format!("`body.{word}` must name the Registry's changes and nothing else");
            return self.answer(message, 400, &reason, now);
        }
        let subscriber = Url::parse(&message.from()).ok();
        let remote = subscriber.as_ref().and_then(|from| self.remote_at(from, now));
        let (Some(remote), Some(changes)) = (remote, changes) else {
            return self.answer(message, 403, "only a runtime can subscribe to a Registry", now);
        };
        let members = match subscribes {
            true => self.grant_changes(&remote, &changes),
            false => {
                self.end_changes(&remote, &changes);
                None
            }
        };
        self.respond(message, 200, members, now);
        self.flush_changes(now);
    }

    /// Tells the subscribers that `url` came or went.
    pub(super) fn publish_change(&mut self, operation: &str, url: &Url, now: Instant) {
        let Some(changes) = self.own_changes() else { return };
        if self.remotes.values().any(|remote| remote.subscribed_here) {
            let body = json!({ "value": [url.as_str()], "operation": operation });
            self.pending_changes.push_back((changes, body));
            self.flush_changes(now);
        }
    }

    /// What lives here and fits one message goes into the response; the rest follows as `add` updates.
    fn grant_changes(&mut self, remote: &Url, changes: &Url) -> Option<OwnedValue> {
        let target = self.remotes.get_mut(remote).map(|state| {
            state.subscribed_here = true;
            state.target
        })?;
        self.bus.subscribe(changes, target);
        let mut lists = self.own_lists().into_iter();
        let first = lists.next().unwrap_or_default();
        let mut more = 0;
        for list in lists {
            more += list.len();
            let body = json!({ "value": list, "operation": "add" });
            self.pending_changes.push_back((changes.clone(), body));
        }
        let mut members = json!({ "value": first });
        if more > 0 {
            // Inserting into an object cannot fail.
            let _ = members.insert("more", more as u64);
        }
        Some(members)
    }

    /// Says what is to be said, in order; what finds no room waits, and so does what comes after
    /// it.
    pub(super) fn flush_changes(&mut self, now: Instant) {
        self.changes_at = None;
        while let Some((changes, body)) = self.pending_changes.front().cloned() {
            let (from, ingress) = (self.registry_url(), self.own_ingress());
            let heard = self.remotes.values().any(|remote| remote.subscribed_here);
            if heard && !self.tell("update", (&from, changes.as_str()), &body, ingress, now) {
                self.changes_at = Some(now + limits::CHANGES_WAIT);
                return;
            }
            self.pending_changes.pop_front();
        }
    }

    pub(super) fn changes_timeout(&mut self, now: Instant) {
        if self.changes_at.is_some_and(|at| at <= now) {
            self.flush_changes(now);
        }
    }

    /// All our Hyperties and data objects, in parts that fit one message each.
    fn own_lists(&self) -> Vec<Vec<String>> {
        let budget = self.config.limits.bytes_max.saturating_sub(limits::CHANGES_HEADER_BYTES);
        let mut lists: Vec<Vec<String>> = vec![Vec::new()];
        let mut bytes = 0;
        for url in self.registered.keys() {
            // Two quotes and a comma; a character that needs an escape is at worst six bytes.
            let cost = 6 * url.as_str().len().min(budget / 6) + 3;
            if bytes + cost > budget {
                lists.push(Vec::new());
                bytes = 0;
            }
            bytes += cost;
            if let Some(list) = lists.last_mut() {
                list.push(url.to_string());
            }
        }
        lists
    }

    fn end_changes(&mut self, remote: &Url, changes: &Url) {
        if let Some(state) = self.remotes.get_mut(remote)
            && std::mem::take(&mut state.subscribed_here)
        {
            self.bus.unsubscribe(changes, state.target);
        }
    }

    /// The remote runtime that `from` belongs to: one that is known, or the one whose Registry it is.
    fn remote_at(&mut self, from: &Url, now: Instant) -> Option<Url> {
        if let Some(known) = self.remote_over(from) {
            return Some(known);
        }
        let runtime = Url::parse(from.as_str().strip_suffix("/registry")?).ok()?;
        let is_runtime = matches!(runtime.address().scheme(), "hyperty-runtime" | "runtime");
        is_runtime.then(|| self.remote(&runtime, now).map(|_| ()))?.map(|()| runtime)
    }
}
