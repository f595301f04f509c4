//! Messages that are posted one behind the other, and none before the one ahead of it was taken. Nothing
//! waits here: a burst says when there is no room, and whoever holds it tries again.
//!
//! What goes to the same URL is looked up once, and what goes into the same queue or window is pushed under
//! one lock. That is the same as one by one: only a queue is given several ([`Sink::is_queue`]), or a peer,
//! whose sinks are queues, and pushing there has no other effect; so that the table was read once says no
//! more than that they were all posted then.
//!
//! [`Sink::is_queue`]: crate::link::Sink::is_queue

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

use crate::{
    bus::{MessageBus, PostError, Posted, PostedBatch, post::to_address},
    fib::Match,
    limits::{POST_BURST, POST_BURST_WAITS_MAX},
    link::{Delivery, Ingress, Path, Refusal},
    message::{Kind, Message, To},
    registry::{Onward, resolve_found},
};

/// Messages that were read and checked, and are to be posted in order. See [`MessageBus::post_burst`].
#[derive(Debug)]
pub struct Burst {
    ingress: Ingress,
    /// Emptied from the front; what was no message has left its place empty.
    waiting: Vec<Option<Delivery>>,
    next: usize,
    /// What was wrong with those.
    errors: VecDeque<PostError>,
    /// How often the caller has waited since it was filled.
    waits: u32,
}

/// Why posting a burst has stopped.
#[derive(Debug)]
pub enum Stopped {
    /// All of it was posted.
    Done,
    /// A queue or window on the way of the next message is full, or what its peer has taken before waits for
    /// one.
    NoRoom,
    /// The next message has several targets, of which each may be full by itself: it is for the caller to
    /// post.
    Several(Message),
}

impl Burst {
    /// An empty one, for messages that are posted from `ingress`.
    pub fn new(ingress: Ingress) -> Self {
        Burst { ingress, waiting: Vec::new(), next: 0, errors: VecDeque::new(), waits: 0 }
    }

    /// Says that the caller has waited for room. After [`POST_BURST_WAITS_MAX`] times the burst goes beside
    /// what its peer still holds, if there is room for it.
    pub fn has_waited(&mut self) {
        self.waits = self.waits.saturating_add(1);
    }

    /// Reads and checks what comes next out of `messages`, up to [`POST_BURST`]; false if there was none.
    /// What it held before must have been posted.
    pub fn fill(&mut self, bus: &MessageBus, messages: &mut impl Iterator<Item = Bytes>) -> bool {
        self.waiting.clear();
        (self.next, self.waits) = (0, 0);
        for bytes in messages.take(POST_BURST) {
            let before = self.waiting.last().and_then(Option::as_ref);
            let delivery = match bus.read_after(before, bytes) {
                Ok(message) => Some(Delivery { message, ingress: self.ingress, hop: None }),
                Err(error) => {
                    self.errors.push_back(error);
                    None
                }
            };
            self.waiting.push(delivery);
        }
        !self.waiting.is_empty()
    }

    /// The messages from the next one on that go the same way as it, for nobody waits for one of them.
    fn stretch(&mut self, bus: &MessageBus) -> &mut [Option<Delivery>] {
        let rest = &mut self.waiting[self.next..];
        let awaits = bus.awaits();
        let may_be_awaited = |of: &Delivery| awaits && of.message.kind() == Kind::Response;
        let length = match rest {
            [Some(first), behind @ ..] if !may_be_awaited(first) => {
                let alike =
                    |of: &Delivery| first.message.has_same_to(&of.message) && !may_be_awaited(of);
                let count = behind.iter().take_while(|of| of.as_ref().is_some_and(alike)).count();
                1 + count
            }
            _ => 0,
        };
        &mut rest[..length]
    }
}

impl MessageBus {
    /// Posts what `burst` holds, until a message finds no room. Into `posted` goes how those went that were
    /// posted.
    pub fn post_burst(&self, burst: &mut Burst, now: Instant, posted: &mut PostedBatch) -> Stopped {
        while burst.next < burst.waiting.len() {
            let Some(first) = &burst.waiting[burst.next] else {
                burst.next += 1;
                posted.add(burst.errors.pop_front().map_or(Err(PostError::NoTarget), Err));
                continue;
            };
            if let To::Many(_) = first.message.to() {
                let Some(Delivery { message, .. }) = burst.waiting[burst.next].take() else {
                    break;
                };
                burst.next += 1;
                return Stopped::Several(message);
            }
            let ingress = burst.ingress;
            let may_wait = burst.waits < POST_BURST_WAITS_MAX;
            match self.post_stretch(burst.stretch(self), ingress, may_wait, now) {
                Ok((0, _)) => {}
                Ok((count, path)) => {
                    posted.count(path, count);
                    burst.next += count;
                    continue;
                }
                Err(NoRoom) => return Stopped::NoRoom,
            }
            let Some(Delivery { message, .. }) = burst.waiting[burst.next].clone() else { break };
            let outcome = self.post_checked(message, ingress, now);
            if let Ok(Posted { targets, .. }) = &outcome
                && let [Err(error)] = targets.as_slice()
                && error.is_full()
            {
                return Stopped::NoRoom;
            }
            posted.add(outcome);
            burst.waiting[burst.next] = None;
            burst.next += 1;
        }
        Stopped::Done
    }

    /// To the one queue or peer that all of `stretch` goes to, if that is so: how many it took, and which
    /// way. 0: the first is to be posted by itself.
    fn post_stretch(
        &self,
        stretch: &mut [Option<Delivery>],
        ingress: Ingress,
        may_wait: bool,
        now: Instant,
    ) -> Result<(usize, Path), NoRoom> {
        const BY_ITSELF: Result<(usize, Path), NoRoom> = Ok((0, Path::Local));
        let Some(Some(first)) = stretch.first() else { return BY_ITSELF };
        let To::One(to) = first.message.to() else { return BY_ITSELF };
        let Ok(to) = to_address(&to) else { return BY_ITSELF };
        let guard = crossbeam_epoch::pin();
        let mut found = Match::default();
        self.table.look_up(&to, &mut found, &guard);
        if let Some(listener) = self.taker(&found, ingress, &guard) {
            if !listener.sink.is_queue() {
                return BY_ITSELF;
            }
            let pushed = listener.sink.push_in_order(stretch);
            let count = stretch.iter().take_while(|place| place.is_none()).count();
            self.counters.count_local(count);
            return match pushed {
                Err(refusal @ Refusal::Full { .. }) if count == 0 => {
                    self.counters.count_refusal(refusal);
                    Err(NoRoom)
                }
                _ => Ok((count, Path::Local)),
            };
        }
        let resolution = resolve_found(&self.table, &self.own, &to, &mut found, &guard);
        if resolution.receivers.iter().any(|taker| taker.link() != Some(ingress.link)) {
            return BY_ITSELF;
        }
        let (peer, stub) = match resolution.onward {
            Onward::P2p { peer, stub } => (peer, stub),
            Onward::MessageNode { stub, peer: Some(peer), .. } => (peer, Some(stub)),
            _ => return BY_ITSELF,
        };
        if may_wait && peer.has_backlog() {
            return Err(NoRoom);
        }
        match peer.send_run(stretch, stub, now) {
            Ok(sent) => {
                self.counters.count_sent(sent.path, sent.count);
                Ok((sent.count, sent.path))
            }
            Err(error) if error.is_full() => Err(NoRoom),
            // Posted by itself, its error is told in full.
            Err(_) => BY_ITSELF,
        }
    }
}

/// What is on the way of the first message is full.
struct NoRoom;
