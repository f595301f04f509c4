//! Requests of this bus: posted, answered, or told 408. Which response belongs to which is kept by
//! [`Requests`](crate::bus::Requests).

use std::{sync::atomic::Ordering, time::Instant};

use crate::{
    address::{Address, Url},
    bus::{Answered, MessageBus, PostError, Posted, Reply, TooManyRequests},
    link::{Ingress, Refusal},
    message::{Kind, Message},
};

impl MessageBus {
    /// Posts a request and has `reply` called with its response, which may be before this returns; after 15 s
    /// without one, with a 408. A request without `id` gets one. Whoever waits for a request with the same
    /// `from` and `id` is told 408 at once, since the response could be either's.
    ///
    /// # Errors
    /// [`PostError`] if it was not taken; then `reply` is not called. What nobody is behind is answered 404,
    /// so that is no error here but one of its target.
    pub fn request(
        &self,
        message: Message,
        ingress: Ingress,
        reply: Reply,
        now: Instant,
    ) -> Result<Posted, PostError> {
        let message = match message.id() {
            Some(_) => message,
            None => self.with_id(&message)?,
        };
        let from = Url::parse(&message.from())
            .map_err(|error| PostError::Address { member: "from", error })?;
        let (from, id) = (from.as_str(), message.id().unwrap_or("0").to_owned());
        self.expect(from, &id, reply, now)
            .map_err(|full| PostError::Refused(Refusal::Full { bound: full.pending_max }))?;
        let outcome = self.post_message(message, ingress, now);
        let refused = match &outcome {
            Ok(posted) => posted.targets.iter().all(Result::is_err),
            Err(_) => true,
        };
        let unanswered = refused && self.forget(from, &id);
        match outcome {
            Ok(Posted { mut targets, .. }) if unanswered && targets.len() == 1 => {
                Err(targets.pop().and_then(Result::err).unwrap_or(PostError::NoTarget))
            }
            outcome => outcome,
        }
    }

    /// When [`MessageBus::handle_timeout`] is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.requests.lock().poll_timeout()
    }

    /// Answers the requests whose 15 s are over with a local 408.
    pub fn handle_timeout(&self, now: Instant) {
        let expired = {
            let mut requests = self.requests.lock();
            let expired = requests.handle_timeout(now);
            self.pending.store(requests.len(), Ordering::Release);
            expired
        };
        for (from, id, reply) in expired {
            reply(local_timeout(&from, &id, self.own.runtime.as_str(), "no response within 15 s"));
        }
    }

    /// Hands a response to whoever waits for it.
    pub(super) fn answers_request(
        &self,
        message: &Message,
        to: &Address<'_>,
        now: Instant,
    ) -> Option<()> {
        if message.kind() != Kind::Response || !self.awaits() {
            return None;
        }
        let mut requests = self.requests.lock();
        let answered = requests.answer(message, to.as_str(), now);
        self.pending.store(requests.len(), Ordering::Release);
        drop(requests);
        match answered {
            Answered::Unexpected => None,
            Answered::Provisional => Some(()),
            Answered::Done(reply) => {
                reply(message.clone());
                self.counters.count_local(1);
                Some(())
            }
        }
    }

    /// Whether any request is pending. One load.
    pub(super) fn awaits(&self) -> bool {
        self.pending.load(Ordering::Acquire) != 0
    }

    fn expect(
        &self,
        from: &str,
        id: &str,
        reply: Reply,
        now: Instant,
    ) -> Result<(), TooManyRequests> {
        let mut requests = self.requests.lock();
        let replaced = requests.expect(from, id, reply, now);
        self.pending.store(requests.len(), Ordering::Release);
        drop(requests);
        if let Some(replaced) = replaced? {
            replaced(local_timeout(from, id, self.own.runtime.as_str(), "asked again"));
        }
        Ok(())
    }

    /// False if it had been answered.
    fn forget(&self, from: &str, id: &str) -> bool {
        let mut requests = self.requests.lock();
        let forgotten = requests.forget(from, id);
        self.pending.store(requests.len(), Ordering::Release);
        forgotten.is_some()
    }

    /// A copy of `message` with an `id` of ours as its first member.
    fn with_id(&self, message: &Message) -> Result<Message, PostError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let text = message.bytes();
        let open = memchr::memchr(b'{', text).unwrap_or(0);
        let mut with_id = format!("{{\"id\":\"{id}-{}\",", self.own.domain).into_bytes();
        with_id.extend_from_slice(&text[open + 1..]);
        Ok(Message::parse_with(with_id.into(), &self.limits)?)
    }
}

/// The 408 that stands for a response that did not come.
fn local_timeout(from: &str, id: &str, runtime: &str, desc: &str) -> Message {
    let body = simd_json::json!({ "code": 408, "desc": desc });
    crate::message::compose(id, "response", runtime, from, Some(&body))
}
