//! The receiving half of a peer: gives streams, dedupes, orders, holds back, acknowledges. It pushes into
//! no sink; what is to be said goes back to the caller as posts.

use std::{sync::Arc, time::Instant};

use crate::{
    handover::{
        config::{Mutation, Random},
        control::Control,
        outcome::{Counters, RunTaken},
        stream::{Arrived, Deliver, DeliverRun, Stream},
        timer::{Backoff, Timer},
        ways::{Posts, Reach},
    },
    limits::{
        HANDOVER_GAP_WAIT, HANDOVER_IDLE_RECEIVER, HANDOVER_REPEAT_MAX, HANDOVER_REPEAT_WAIT,
        HANDOVER_REPEATS,
    },
    link::{Delivery, Refusal},
    message::Hop,
};

/// Everything under the lock of what arrives.
pub(super) struct Receiver {
    pub(super) timer: Timer,
    pub(super) counters: Counters,
    /// Our own incarnation.
    pub(super) incarnation: u128,
    pub(super) direct_open: bool,
    random: Arc<dyn Random>,
    window_bytes: usize,
    theirs: Option<u128>,
    /// One who says that it is the remote runtime now, and the challenge that it is to answer.
    candidate: Option<(u128, u128)>,
    epoch: u64,
    round: u64,
    stream: Option<Stream>,
    offer: Option<Offer>,
    /// The stream last announced by the link, for hops that name none.
    announced: Option<u128>,
    complained_at: Option<Instant>,
    mutation: Mutation,
}

/// An offer that is repeated until it is taken.
struct Offer {
    at: Instant,
    wait: Backoff,
    left: u32,
    /// Whom it was last made to.
    known: Option<u128>,
}

/// Who speaks, and to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Greeting {
    pub(super) incarnation: u128,
    pub(super) known: Option<u128>,
    pub(super) challenge: Option<u128>,
    pub(super) answer: Option<u128>,
}

/// What we make of who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// The incarnation that we know, or the first one.
    Known,
    /// A new one that proved to be alive; everything agreed with the old is void.
    Reborn,
    /// One that does not speak to us, or may be dead: what it says does not count.
    Stranger,
}

impl Receiver {
    pub(super) fn new(
        incarnation: u128,
        random: Arc<dyn Random>,
        window_bytes: usize,
        mutation: Mutation,
    ) -> Self {
        Receiver {
            timer: Timer::default(),
            counters: Counters::default(),
            incarnation,
            direct_open: false,
            random,
            window_bytes,
            theirs: None,
            candidate: None,
            epoch: 0,
            round: 0,
            stream: None,
            offer: None,
            announced: None,
            complained_at: None,
            mutation,
        }
    }

    /// Takes a numbered message: delivers it, holds it back, or drops and counts it.
    pub(super) fn receive(
        &mut self,
        delivery: Delivery,
        hop: Hop,
        deliver: Deliver<'_>,
        now: Instant,
    ) -> Posts {
        let announced = self.announced.filter(|_| hop.stream == 0);
        let id = announced.unwrap_or(hop.stream);
        let mut posts = Posts::new();
        let any = self.mutation == Mutation::NoGeneration;
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.id == id || any) else {
            self.counters.unknown += 1;
            self.complain(id, now, &mut posts);
            return posts;
        };
        self.offer = None;
        match stream.arrive(delivery, hop.number, deliver, now, self.mutation) {
            Arrived::Taken { count, unheard } => {
                self.counters.taken += count;
                self.counters.unheard += unheard;
            }
            Arrived::Held => {}
            Arrived::Duplicate => self.counters.duplicate += 1,
            Arrived::Beyond => self.counters.beyond += 1,
        }
        stream.settle(&mut posts, &mut self.timer, now);
        posts
    }

    /// The same for messages that arrived one behind the other: what is in order is delivered together.
    /// Leaves `None`s.
    ///
    /// A plain message is delivered in its place, and nobody hears whether a listener took it.
    pub(super) fn receive_run(
        &mut self,
        run: &mut [Option<Delivery>],
        deliver: DeliverRun<'_>,
        now: Instant,
    ) -> Posts {
        let mut posts = Posts::new();
        let mut rest = run;
        while let Some(first) = rest.first() {
            let hop = first.as_ref().and_then(|first| first.hop);
            let count = self.next_ones(rest, hop);
            let (these, behind) = rest.split_at_mut(count.max(1));
            rest = behind;
            if let Some(stream) = self.stream.as_mut().filter(|_| count > 0) {
                let taken = stream.take_run(these, deliver, now, self.mutation);
                self.offer = None;
                self.counters.taken += taken.count as u64;
                self.counters.unheard += taken.unheard as u64;
            }
            // What is not next, and what the listener had no room for.
            for delivery in these.iter_mut().filter_map(Option::take) {
                let one = &mut |delivery| deliver_one(deliver, delivery);
                match delivery.hop {
                    Some(hop) => posts.extend(self.receive(delivery, hop, one, now)),
                    None => drop(one(delivery)),
                }
            }
        }
        if let Some(stream) = &mut self.stream {
            stream.settle(&mut posts, &mut self.timer, now);
        }
        posts
    }

    /// True if an acknowledgement waits that is worth going along with a message of our own.
    pub(super) fn has_ack_to_go_along(&self) -> bool {
        self.stream.as_ref().is_some_and(Stream::may_go_along)
    }

    /// That acknowledgement. Its time stays set until it is known to have gone.
    pub(super) fn ack_to_go_along(&mut self) -> Option<Control> {
        let stream = self.stream.as_mut().filter(|stream| stream.may_go_along())?;
        Some(stream.acknowledge_along())
    }

    /// A sink took `ack`.
    pub(super) fn went_along(&mut self, ack: &Control) {
        if let (Some(stream), Control::Ack { stream: id, number, .. }) = (&mut self.stream, ack) {
            stream.went_along(*id, *number);
        }
    }

    /// How many messages at the front of `run` are the next ones of our stream; the first one has `hop`.
    fn next_ones(&self, run: &[Option<Delivery>], hop: Option<Hop>) -> usize {
        let (Some(hop), Some(stream)) = (hop, &self.stream) else { return 0 };
        let announced = self.announced.filter(|_| hop.stream == 0);
        let same = |of: &Option<Delivery>| {
            of.as_ref().and_then(|of| of.hop).is_some_and(|of| of.stream == hop.stream)
        };
        if announced.unwrap_or(hop.stream) != stream.id {
            let any = self.mutation == Mutation::NoRunGeneration;
            return if any { run.iter().take_while(|of| same(of)).count() } else { 0 };
        }
        stream.next_ones(&run[..run.iter().take_while(|of| same(of)).count()], self.mutation)
    }

    /// True if `stream` is the one that we gave.
    pub(super) fn gave(&self, stream: u128) -> bool {
        self.stream.as_ref().is_some_and(|of| of.id == stream)
    }

    /// True if the other side has no stream of ours.
    pub(super) fn is_at_rest(&self) -> bool {
        self.stream.is_none()
    }

    /// Gives the other side a stream, or reminds it of the one it has.
    pub(super) fn offer(&mut self, now: Instant) -> Posts {
        if self.stream.is_none() {
            self.round += 1;
            let id = self.random.draw();
            self.stream = Some(Stream::new(id, self.window_bytes, now));
        }
        let wait = Backoff::new(HANDOVER_REPEAT_WAIT, HANDOVER_REPEAT_MAX);
        self.offer = Some(Offer { at: now, wait, left: HANDOVER_REPEATS, known: None });
        let mut posts = Posts::new();
        self.repeat_offer(now, &mut posts);
        posts
    }

    /// Judges who speaks (law "Incarnation"); the epoch counts those that were believed.
    pub(super) fn meet(&mut self, greeting: Greeting, now: Instant) -> (Met, u64, Posts) {
        let Greeting { incarnation, known, challenge, answer } = greeting;
        let mut posts = Posts::new();
        let answered = answer.is_some_and(|answer| self.candidate == Some((incarnation, answer)));
        let met = match self.theirs {
            _ if known != Some(self.incarnation) => Met::Stranger,
            Some(theirs) if theirs == incarnation => Met::Known,
            Some(_) if answered => Met::Reborn,
            Some(_) => Met::Stranger,
            None => Met::Known,
        };
        match met {
            Met::Known => self.theirs = Some(incarnation),
            Met::Reborn => self.begin_anew(incarnation),
            Met::Stranger => posts.push((self.introduce(incarnation), Reach::Every)),
        }
        if let Some(answer) = challenge.filter(|_| known == Some(self.incarnation)) {
            posts.push((self.hello(incarnation, None, Some(answer)), Reach::Every));
        }
        self.offer_again(met, now, &mut posts);
        (met, self.epoch, posts)
    }

    /// The other side is this incarnation, by better proof than its words. True if that is news.
    pub(super) fn set_incarnation(
        &mut self,
        incarnation: u128,
        now: Instant,
    ) -> (bool, u64, Posts) {
        let is_new = self.theirs.is_some_and(|theirs| theirs != incarnation);
        let mut posts = Posts::new();
        match is_new {
            true => {
                self.begin_anew(incarnation);
                self.offer_again(Met::Reborn, now, &mut posts);
            }
            false => self.theirs = Some(incarnation),
        }
        (is_new, self.epoch, posts)
    }

    fn begin_anew(&mut self, incarnation: u128) {
        self.theirs = Some(incarnation);
        self.candidate = None;
        self.epoch += 1;
        self.stream = None;
        self.announced = None;
    }

    /// Says who we are to a stranger; if it may be the new life of one we know, it is to prove that it lives.
    fn introduce(&mut self, incarnation: u128) -> Control {
        let known = self.theirs.is_none_or(|theirs| theirs == incarnation);
        if !known && self.candidate.is_none_or(|(candidate, _)| candidate != incarnation) {
            self.candidate = Some((incarnation, self.random.draw()));
        }
        let challenge = self.candidate.filter(|_| !known).map(|(_, challenge)| challenge);
        self.hello(incarnation, challenge, None)
    }

    fn hello(&self, to: u128, challenge: Option<u128>, answer: Option<u128>) -> Control {
        let incarnation = self.incarnation;
        Control::Hello { incarnation, known: Some(to), challenge, answer }
    }

    /// Says the offer at once, to one who has just said who it is.
    fn offer_again(&mut self, met: Met, now: Instant, posts: &mut Posts) {
        match (met, &mut self.offer) {
            (Met::Reborn, _) if self.round > 0 => posts.extend(self.offer(now)),
            (Met::Known, Some(offer)) if offer.known != self.theirs => {
                offer.at = now;
                self.repeat_offer(now, posts);
            }
            _ => {}
        }
    }

    /// `stream`: what the link's numbers belong to from here on.
    pub(super) fn announced(&mut self, stream: u128) {
        self.announced = Some(stream);
    }

    /// `marker`: answered at once; what it speaks of is missed if it is not here.
    pub(super) fn marker(&mut self, (id, mark, upto): (u128, u64, u64), now: Instant) -> Posts {
        let mut posts = Posts::new();
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.id == id) else {
            self.complain(id, now, &mut posts);
            return posts;
        };
        self.offer = None;
        posts.push((Control::Marked { stream: id, mark }, Reach::One));
        stream.expect_upto(upto, now);
        posts.push((stream.acknowledge_now(), Reach::One));
        stream.arm(&mut self.timer);
        posts
    }

    /// `base`: nothing below `number` is delivered from here on; what the fence met from `from` on is said.
    pub(super) fn base(&mut self, (id, from, number): (u128, u64, u64), now: Instant) -> Posts {
        let mut posts = Posts::new();
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.id == id) else {
            self.complain(id, now, &mut posts);
            return posts;
        };
        self.offer = None;
        self.counters.fenced += stream.fence(from, number, now, self.mutation);
        posts.push((stream.fenced(from, number), Reach::Every));
        posts.push((stream.acknowledge_now(), Reach::One));
        stream.arm(&mut self.timer);
        posts
    }

    /// `ended`: the sender will send no more of the stream.
    pub(super) fn ended(&mut self, id: u128, idle: bool, now: Instant) -> Posts {
        if self.stream.as_ref().is_some_and(|stream| stream.id == id) {
            self.stream = None;
            self.offer = None;
        }
        if idle && !self.direct_open {
            return Posts::new();
        }
        if self.stream.is_some() && self.offer.is_none() {
            return Posts::new();
        }
        self.offer(now)
    }

    /// The acknowledgement that waits for its time, if there is one.
    pub(super) fn acknowledge(&mut self) -> Posts {
        let stream = self.stream.as_mut().filter(|stream| stream.has_unacknowledged());
        stream.map(|stream| (stream.acknowledge_now(), Reach::One)).into_iter().collect()
    }

    /// Acknowledgements did not get through; they are given again a little later.
    pub(super) fn acknowledge_later(&mut self, now: Instant) {
        if let Some(stream) = &mut self.stream {
            stream.acknowledge_later(now);
            stream.arm(&mut self.timer);
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, deliver: Deliver<'_>, now: Instant) -> Posts {
        let mut posts = Posts::new();
        self.timer.reset();
        let idle = (!self.direct_open).then_some(HANDOVER_IDLE_RECEIVER);
        let silent = |stream: &Stream| idle.is_some_and(|idle| stream.seen_at + idle <= now);
        self.stream = self.stream.take().filter(|stream| !silent(stream));
        if let Some(stream) = &mut self.stream {
            let (count, unheard) = stream.drain_if_due(deliver, now);
            self.counters.taken += count;
            self.counters.unheard += unheard;
            posts.extend(stream.acknowledgement(now).map(|ack| (ack, Reach::One)));
            posts.extend(stream.have_if_due(now).map(|have| (have, Reach::Every)));
            stream.give_back(now);
            stream.arm(&mut self.timer);
            idle.into_iter().for_each(|idle| self.timer.arm(stream.seen_at + idle));
        }
        self.repeat_offer(now, &mut posts);
        posts
    }

    /// Messages held back, and their bytes.
    pub(super) fn pending(&self) -> (usize, usize) {
        self.stream.as_ref().map_or((0, 0), Stream::pending)
    }

    fn repeat_offer(&mut self, now: Instant, posts: &mut Posts) {
        let (Some(offer), Some(stream)) = (&mut self.offer, &self.stream) else { return };
        if now < offer.at {
            return self.timer.arm(offer.at);
        }
        if offer.left == 0 {
            self.offer = None;
            return;
        }
        let reach = if offer.left == HANDOVER_REPEATS { Reach::One } else { Reach::Every };
        offer.at = offer.wait.next(now);
        offer.left -= 1;
        offer.known = self.theirs;
        self.timer.arm(offer.at);
        let handover = Control::Handover {
            stream: stream.id,
            window: self.window_bytes as u64,
            incarnation: self.incarnation,
            known: self.theirs,
            round: self.round,
        };
        posts.push((handover, reach));
    }

    /// Answers `unknown`, at most once in a while, and offers what there is instead.
    fn complain(&mut self, id: u128, now: Instant, posts: &mut Posts) {
        if self.complained_at.is_some_and(|at| now < at + HANDOVER_GAP_WAIT / 2) {
            return;
        }
        self.complained_at = Some(now);
        posts.push((Control::Unknown { stream: id }, Reach::Every));
        posts.extend(self.offer(now));
    }
}

/// One message, where several can be taken.
fn deliver_one(deliver: DeliverRun<'_>, delivery: Delivery) -> Result<(), Refusal> {
    let taken = deliver(&mut [Some(delivery)]);
    match taken {
        RunTaken { count: 0, .. } => Err(Refusal::Full { bound: 0 }),
        RunTaken { unheard: 0, .. } => Ok(()),
        _ => Err(Refusal::Closed),
    }
}
