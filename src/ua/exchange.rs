//! Requests that the control plane sends, and what for.

use std::time::Instant;

use simd_json::OwnedValue;

use crate::{
    address::Url,
    bus::{Answered, Drop},
    link::Ingress,
    message::{Message, To, compose, response_code},
    p2p::Step,
    ua::{Output, RuntimeUa},
};

/// What a pending request of ours is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// "Add P2P Handler path".
    HandlerPath,
    /// "Set P2P Requester routing path".
    RequesterPath { stub: Url, remote: Url },
    /// A Hyperty or object at the domain registry.
    Register { url: Url },
    /// The end of that.
    Unregister { url: Url },
    /// A step of a set-up.
    Setup { attempt: u64, step: Step },
    /// "Add Handler listener to minibus for new P2P Connection".
    HandlerListener { remote: Url, path: Url },
    /// "Subscribe for Registry changes", asked over the connection that turned live as number `epoch`.
    Changes { remote: Url, epoch: u64 },
    /// An unknown address at its domain registry.
    LookUp { address: Url },
    /// Nothing depends on the answer.
    Tidy,
}

impl RuntimeUa {
    /// Sends a request and remembers what it is for. If it can't be sent, it counts as denied at once.
    pub(super) fn request(
        &mut self,
        kind: &str,
        (from, to): (&str, &str),
        body: &OwnedValue,
        ingress: Ingress,
        purpose: Purpose,
        now: Instant,
    ) {
        let id = self.next_id();
        if let Err(full) = self.requests.expect(from, &id, purpose.clone(), now) {
            return self.on_denied(purpose, 503, &full.to_string(), now);
        }
        let posted = self.bus.emit(compose(&id, kind, from, to, Some(body)), ingress, now);
        let error = match posted {
            Ok(posted) => posted.first_error().cloned(),
            Err(error) => Some(error),
        };
        if let Some(error) = error
            && let Some(purpose) = self.requests.forget(from, &id)
        {
            self.on_denied(purpose, error.code(), &error.to_string(), now);
        }
    }

    /// Sends a message that asks for no answer; false if it was not taken.
    pub(super) fn tell(
        &mut self,
        kind: &str,
        (from, to): (&str, &str),
        body: &OwnedValue,
        ingress: Ingress,
        now: Instant,
    ) -> bool {
        let id = self.next_id();
        let posted = self.bus.emit(compose(&id, kind, from, to, Some(body)), ingress, now);
        posted.is_ok_and(|posted| posted.first_error().is_none())
    }

    /// A response has come to one of our listeners.
    pub(super) fn on_response(&mut self, response: &Message, now: Instant) {
        let To::One(to) = response.to() else { return };
        let asker = self.requests.asker(response, &to);
        if asker.is_some_and(|purpose| !self.may_answer(purpose, &response.from())) {
            // Somebody else's: the right one's is still awaited.
            self.bus.drop_for(Drop::Control);
            return;
        }
        match self.requests.answer(response, &to, now) {
            Answered::Provisional => {}
            Answered::Unexpected => {
                self.bus.drop_for(Drop::Control);
            }
            Answered::Done(purpose) => {
                let code = response_code(response).unwrap_or(0);
                match (200..300).contains(&code) {
                    true => self.on_granted(purpose, response, now),
                    false => self.on_denied(purpose, code, &describe(response), now),
                }
            }
        }
    }

    /// No answer within 15 s.
    pub(super) fn on_no_answer(&mut self, purpose: Purpose, now: Instant) {
        self.on_denied(purpose, 408, "no response within 15 s", now);
    }

    pub(super) fn log(&mut self, line: String) {
        self.outputs.push_back(Output::Log(line));
    }

    /// Numbers of requests can be guessed, so what another runtime is asked only it can answer.
    fn may_answer(&self, purpose: &Purpose, from: &str) -> bool {
        match purpose {
            Purpose::Setup { attempt, step } => self
                .attempts
                .get(attempt)
                .and_then(|of| of.setup.asked(*step))
                .is_none_or(|asked| asked == from),
            Purpose::Changes { remote, .. } => from == format!("{remote}/registry"),
            _ => true,
        }
    }

    fn on_granted(&mut self, purpose: Purpose, response: &Message, now: Instant) {
        match purpose {
            Purpose::HandlerPath => {
                self.handler_path = true;
                self.check_ready();
            }
            Purpose::RequesterPath { stub, remote } => {
                self.on_requester_path(&remote);
                self.begin_request(&stub, &remote, now);
            }
            Purpose::Register { url } => self.on_registered(&url, true),
            Purpose::Unregister { url } => self.on_unregistered(&url, 200, now),
            Purpose::Setup { attempt, step } => self.on_setup_answer(attempt, step, response, now),
            Purpose::HandlerListener { remote, path } => self.turn_to_direct(&remote, &path, now),
            Purpose::Changes { remote, epoch } => {
                if self.is_epoch(&remote, epoch) {
                    self.on_changes_accepted(&remote, response, now);
                }
            }
            Purpose::LookUp { address } => self.on_looked_up(&address, Some(response), now),
            Purpose::Tidy => {}
        }
    }

    fn on_denied(&mut self, purpose: Purpose, code: u16, reason: &str, now: Instant) {
        match purpose {
            Purpose::HandlerPath => self.retry_handler_path(code, reason, now),
            Purpose::RequesterPath { stub, remote } => {
                let reason = format!("the routing path was answered {code}: {reason}");
                self.retry_requester_path(&stub, &remote, &reason, now);
            }
            Purpose::Register { url } => {
                self.log(format!("{url} was not registered: {code} {reason}"));
                self.retry_registration(&url, code, now);
            }
            Purpose::Unregister { url } => self.on_unregistered(&url, code, now),
            Purpose::Setup { attempt, step } => {
                let reason = format!("{} was answered {code}: {reason}", step.describe());
                self.end_attempt(attempt, &reason, now);
            }
            Purpose::HandlerListener { remote, path } => {
                self.on_path_refused(&remote, &path, &format!("{code} {reason}"), now);
            }
            Purpose::Changes { remote, epoch } => {
                if self.is_epoch(&remote, epoch) {
                    self.on_changes_refused(&remote, code, now);
                }
            }
            Purpose::LookUp { address } => self.on_looked_up(&address, None, now),
            Purpose::Tidy => {}
        }
    }

    fn next_id(&mut self) -> String {
        let id = self.next_id;
        self.next_id += 1;
        id.to_string()
    }
}

/// `body.desc` of a response, for people.
fn describe(response: &Message) -> String {
    response.body_text(&["desc"]).map_or_else(String::new, |desc| desc.into_owned())
}
