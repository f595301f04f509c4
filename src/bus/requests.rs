//! Pending requests: who waits for which response, and until when.
//!
//! A request is known by the pair (`from`, `id`). No clock is here: `now` is an argument.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::{Duration, Instant},
};

use crate::message::{Message, response_code};

/// What is called with the response to a request.
pub type Reply = Box<dyn FnOnce(Message) + Send>;

/// The requests that wait for a response, each with what its asker wants back.
#[derive(Debug)]
pub struct Requests<T> {
    waiting: HashMap<Key, Waiting<T>>,
    /// By deadline, so that the next one is found in O(log n). The number keeps equal deadlines apart.
    deadlines: BTreeMap<(Instant, u64), Key>,
    next_number: u64,
    timeout: Duration,
    pending_max: usize,
}

/// What a response did.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered<T> {
    /// Nobody waits for it.
    Unexpected,
    /// A provisional code (below 200): the clock has been restarted.
    Provisional,
    /// The request is done.
    Done(T),
}

/// There are as many requests pending as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRequests {
    /// The bound, in requests.
    pub pending_max: usize,
}

impl fmt::Display for TooManyRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests are pending already", self.pending_max)
    }
}

impl std::error::Error for TooManyRequests {}

type Key = (Box<str>, Box<str>);

#[derive(Debug)]
struct Waiting<T> {
    deadline: (Instant, u64),
    asker: T,
}

impl<T> Requests<T> {
    /// None pending; each will wait `timeout`, and at most `pending_max` at once.
    pub fn new(timeout: Duration, pending_max: usize) -> Self {
        Requests {
            waiting: HashMap::new(),
            deadlines: BTreeMap::new(),
            next_number: 0,
            timeout,
            pending_max,
        }
    }

    /// Expects a response to the request (`from`, `id`), `id` being the JSON token. One that was pending
    /// under the same pair is replaced and given back.
    ///
    /// # Errors
    /// [`TooManyRequests`] at the bound.
    pub fn expect(
        &mut self,
        from: &str,
        id: &str,
        asker: T,
        now: Instant,
    ) -> Result<Option<T>, TooManyRequests> {
        let key: Key = (from.into(), id.into());
        let replaced = self.take(&key);
        if self.waiting.len() >= self.pending_max {
            return Err(TooManyRequests { pending_max: self.pending_max });
        }
        let deadline = (now + self.timeout, self.next_number);
        self.next_number += 1;
        self.deadlines.insert(deadline, key.clone());
        self.waiting.insert(key, Waiting { deadline, asker });
        Ok(replaced)
    }

    /// Who waits for this response, whose `to` is the `from` of the request. It goes on waiting.
    pub fn asker(&self, response: &Message, to: &str) -> Option<&T> {
        let key: Key = (to.into(), response.id()?.into());
        self.waiting.get(&key).map(|waiting| &waiting.asker)
    }

    /// Matches a response, whose `to` is the `from` of the request.
    pub fn answer(&mut self, response: &Message, to: &str, now: Instant) -> Answered<T> {
        let Some(id) = response.id() else { return Answered::Unexpected };
        let key: Key = (to.into(), id.into());
        let Some(waiting) = self.waiting.get_mut(&key) else { return Answered::Unexpected };
        if response_code(response).is_some_and(|code| code < 200) {
            self.deadlines.remove(&waiting.deadline);
            waiting.deadline.0 = now + self.timeout;
            self.deadlines.insert(waiting.deadline, key);
            return Answered::Provisional;
        }
        match self.take(&key) {
            Some(asker) => Answered::Done(asker),
            None => Answered::Unexpected,
        }
    }

    /// No longer expects the response to (`from`, `id`).
    pub fn forget(&mut self, from: &str, id: &str) -> Option<T> {
        self.take(&(from.into(), id.into()))
    }

    /// When [`Requests::handle_timeout`] is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.keys().next().map(|(at, _)| *at)
    }

    /// Those whose time was up at `now`: `from`, `id` and the asker, to be told 408.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<(Box<str>, Box<str>, T)> {
        let mut expired = Vec::new();
        while let Some((at, _)) = self.deadlines.first_key_value()
            && at.0 <= now
            && let Some((_, key)) = self.deadlines.pop_first()
        {
            if let Some(waiting) = self.waiting.remove(&key) {
                expired.push((key.0, key.1, waiting.asker));
            }
        }
        expired
    }

    /// Requests pending now.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True if none is pending.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn take(&mut self, key: &Key) -> Option<T> {
        let waiting = self.waiting.remove(key)?;
        self.deadlines.remove(&waiting.deadline);
        Some(waiting.asker)
    }
}
