//! One stream as its receiver sees it: what was taken, what is held back, what is missing.

mod run;

use std::{collections::VecDeque, time::Instant};

use crate::{
    handover::{
        config::Mutation,
        control::{Control, Ranges},
        timer::Timer,
        ways::{Posts, Reach},
    },
    limits::{
        HANDOVER_ACK_ALONG, HANDOVER_ACK_EVERY, HANDOVER_ACK_WAIT, HANDOVER_ACK_WINDOW_PART,
        HANDOVER_GAP_WAIT, HANDOVER_PLACES_KEPT, HANDOVER_PROBE_WAIT, HANDOVER_RANGES_MAX,
        HANDOVER_ROOM_WAIT, HANDOVER_WINDOW_MESSAGES,
    },
    link::{Delivery, Refusal, Weigh},
};

pub(super) use run::DeliverRun;

/// Where a listener takes a message, or refuses it.
pub(super) type Deliver<'a> = &'a mut dyn FnMut(Delivery) -> Result<(), Refusal>;

/// A stream that we gave. `taken ≤ received ≤ highest`.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u128,
    /// The last sign of its sender.
    pub(super) seen_at: Instant,
    /// Everything up to here went to the listener, or is fenced.
    taken: u64,
    /// Everything up to here is here.
    received: u64,
    /// The highest number that is known to have been sent.
    highest: u64,
    /// What lies above `taken`, by number.
    held: VecDeque<Option<Delivery>>,
    held_messages: usize,
    held_bytes: usize,
    bytes_max: usize,
    /// The last acknowledgement given, and when the next is due.
    acknowledged: u64,
    /// Bytes taken since.
    unacknowledged_bytes: usize,
    ack_at: Option<Instant>,
    /// What the sender gave up before the listener took it, by first and last number; what lies below
    /// `fences_from` is not remembered.
    fences: VecDeque<(u64, u64)>,
    fences_from: u64,
    /// The highest number below which the sender has given up, as far as is heard here; 0: it has not.
    base: u64,
    /// When to say `have`, if something is missing.
    gap_at: Option<Instant>,
    /// When to try the listener again, if it was full.
    retry_at: Option<Instant>,
}

/// What became of a message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// So many were taken, it among them; of `unheard` no listener was left.
    Taken { count: u64, unheard: u64 },
    /// It is held back.
    Held,
    /// It was here already.
    Duplicate,
    /// It does not fit what we stated.
    Beyond,
}

impl Stream {
    pub(super) fn new(id: u128, bytes_max: usize, now: Instant) -> Self {
        Stream {
            id,
            seen_at: now,
            taken: 0,
            received: 0,
            highest: 0,
            held: VecDeque::new(),
            held_messages: 0,
            held_bytes: 0,
            bytes_max,
            fences: VecDeque::new(),
            fences_from: 0,
            base: 0,
            acknowledged: 0,
            unacknowledged_bytes: 0,
            ack_at: None,
            gap_at: None,
            retry_at: None,
        }
    }

    /// Takes, holds or drops message `number`. O(1), and the deliveries that it sets free.
    pub(super) fn arrive(
        &mut self,
        delivery: Delivery,
        number: u64,
        deliver: Deliver<'_>,
        now: Instant,
        mutation: Mutation,
    ) -> Arrived {
        self.seen_at = now;
        match mutation {
            Mutation::NoDedupe if number <= self.taken => return deliver_anyway(delivery, deliver),
            Mutation::NoHoldBack if number > self.taken + 1 => {
                self.skip_to(number - 1);
            }
            _ => {}
        }
        if number <= self.taken {
            // The sender would not have sent it had it our acknowledgement.
            self.ack_at.get_or_insert(now + HANDOVER_ACK_WAIT);
            return Arrived::Duplicate;
        }
        if number == self.taken + 1 && self.retry_at.is_none() && self.held_messages == 0 {
            return self.take_next(delivery, deliver, now);
        }
        match self.hold(delivery, number) {
            Arrived::Held => {}
            other => return other,
        }
        self.note_gap(now);
        if number != self.taken + 1 || self.retry_at.is_some() {
            return Arrived::Held;
        }
        let (count, unheard) = self.drain(deliver, now);
        if count == 0 { Arrived::Held } else { Arrived::Taken { count, unheard } }
    }

    /// The sender says that it sent everything up to `upto`.
    pub(super) fn expect_upto(&mut self, upto: u64, now: Instant) {
        self.seen_at = now;
        let bound = self.taken + HANDOVER_WINDOW_MESSAGES as u64;
        self.highest = self.highest.max(upto.min(bound));
        self.note_gap(now);
    }

    /// Nothing below `number` is delivered any more, and `from` on is spoken of. Returns how many that were
    /// held back fall to it.
    pub(super) fn fence(
        &mut self,
        from: u64,
        number: u64,
        now: Instant,
        mutation: Mutation,
    ) -> u64 {
        self.seen_at = now;
        let before = self.held_messages;
        if self.taken + 1 < number {
            self.fences.push_back((self.taken + 1, number - 1));
        }
        self.forget_fences(from);
        self.base = self.base.max(number);
        if mutation == Mutation::NoFence {
            return 0;
        }
        self.skip_to(number.saturating_sub(1));
        self.note_gap(now);
        if self.held_messages > 0 {
            self.retry_at.get_or_insert(now);
        }
        (before - self.held_messages) as u64
    }

    /// What the fence has met from `from` to before `number`, as far as it is remembered.
    pub(super) fn fenced(&self, from: u64, number: u64) -> Control {
        let from = from.max(self.fences_from);
        let clip = |&(first, last): &(u64, u64)| (first.max(from), last.min(number - 1));
        let met = self.fences.iter().filter(|(first, last)| *first < number && *last >= from);
        Control::Fenced { stream: self.id, from, number, lost: met.map(clip).collect() }
    }

    /// What lies below `from` is known to the sender; what does not fit is forgotten, and not spoken of.
    fn forget_fences(&mut self, from: u64) {
        self.fences_from = self.fences_from.max(from);
        while let Some((_, last)) = self.fences.front().copied()
            && (last < self.fences_from || self.fences.len() > HANDOVER_RANGES_MAX)
        {
            self.fences_from = self.fences_from.max(last + 1);
            self.fences.pop_front();
        }
    }

    /// The acknowledgement, if it is due by number or time.
    pub(super) fn acknowledgement(&mut self, now: Instant) -> Option<Control> {
        let due = self.taken - self.acknowledged >= HANDOVER_ACK_EVERY
            || self.unacknowledged_bytes > self.bytes_max / HANDOVER_ACK_WINDOW_PART
            || self.ack_at.is_some_and(|at| at <= now);
        if !due && self.taken > self.acknowledged {
            self.ack_at.get_or_insert(now + HANDOVER_ACK_WAIT);
        }
        due.then(|| self.acknowledge_now())
    }

    /// Something has arrived: says the acknowledgement if it is due, and asks for the time of what will be.
    pub(super) fn settle(&mut self, posts: &mut Posts, timer: &mut Timer, now: Instant) {
        if let Some(ack) = self.acknowledgement(now) {
            posts.push((ack, Reach::One));
        }
        self.arm(timer);
    }

    /// True if something was taken since the last acknowledgement.
    pub(super) fn has_unacknowledged(&self) -> bool {
        self.taken > self.acknowledged
    }

    /// True if an acknowledgement is worth going along with a message of our own.
    pub(super) fn may_go_along(&self) -> bool {
        self.taken - self.acknowledged >= HANDOVER_ACK_ALONG
    }

    /// The acknowledgement that is to go along. If no sink takes it, one comes when its time does.
    pub(super) fn acknowledge_along(&mut self) -> Control {
        let ack_at = self.ack_at;
        let ack = self.acknowledge_now();
        self.ack_at = ack_at;
        ack
    }

    /// The one of stream `id` up to `number` went along: if that is still all, none is due in its time.
    pub(super) fn went_along(&mut self, id: u128, number: u64) {
        if (self.id, self.taken) == (id, number) {
            self.ack_at = None;
        }
    }

    /// The acknowledgement as things stand.
    pub(super) fn acknowledge_now(&mut self) -> Control {
        self.acknowledged = self.taken;
        self.unacknowledged_bytes = 0;
        self.ack_at = None;
        Control::Ack { stream: self.id, number: self.taken, base: self.base }
    }

    /// No sink took the acknowledgement.
    pub(super) fn acknowledge_later(&mut self, now: Instant) {
        self.ack_at.get_or_insert(now + HANDOVER_ROOM_WAIT);
    }

    /// Tries the listener again if it was full and the wait is over.
    pub(super) fn drain_if_due(&mut self, deliver: Deliver<'_>, now: Instant) -> (u64, u64) {
        if self.retry_at.is_none_or(|at| now < at) {
            return (0, 0);
        }
        self.drain(deliver, now)
    }

    /// `have`, if something has been missing for long enough; repeated until it comes.
    pub(super) fn have_if_due(&mut self, now: Instant) -> Option<Control> {
        if self.gap_at.is_none_or(|at| now < at) {
            return None;
        }
        self.gap_at = Some(now + HANDOVER_GAP_WAIT);
        let mut gaps = self.gaps();
        let (number, first) = (self.received, gaps.first().copied());
        if !gaps.is_empty() {
            gaps.remove(0);
        }
        // Above all that is held, the sender knows best how far it goes.
        let next = first.map_or(0, |(_, last)| if last < self.highest { last + 1 } else { 0 });
        Some(Control::Have { stream: self.id, number, next, gaps })
    }

    /// What is missing up to the highest number that is known to have been sent, from below; as many ranges
    /// as one `have` names.
    fn gaps(&self) -> Ranges {
        let mut gaps = Ranges::new();
        let mut number = self.received + 1;
        while number <= self.highest && gaps.len() < HANDOVER_RANGES_MAX {
            let at = (number - self.taken - 1) as usize;
            let held = |at: usize| self.held.get(at).is_some_and(Option::is_some);
            let run = (at..self.held.len()).take_while(|at| !held(*at)).count() as u64;
            if at as u64 + run >= self.held.len() as u64 {
                gaps.push((number, self.highest));
                break;
            }
            if run > 0 {
                gaps.push((number, number + run - 1));
            }
            number += run.max(1);
        }
        gaps
    }

    pub(super) fn arm(&self, timer: &mut Timer) {
        let reasons = [self.ack_at, self.gap_at, self.retry_at, self.give_back_at()];
        reasons.into_iter().flatten().for_each(|at| timer.arm(at));
    }

    /// When to give back what was held back in, if it is more than is kept and holds nothing.
    fn give_back_at(&self) -> Option<Instant> {
        let due = self.held_messages == 0 && self.held.capacity() > HANDOVER_PLACES_KEPT;
        due.then(|| self.seen_at + HANDOVER_PROBE_WAIT)
    }

    /// Gives it back, if it is time.
    pub(super) fn give_back(&mut self, now: Instant) {
        if self.give_back_at().is_some_and(|at| at <= now) {
            self.held = VecDeque::new();
        }
    }

    /// Messages held back, and their bytes.
    pub(super) fn pending(&self) -> (usize, usize) {
        (self.held_messages, self.held_bytes)
    }

    /// The usual case: the next number, and nothing waits before it.
    fn take_next(&mut self, delivery: Delivery, deliver: Deliver<'_>, now: Instant) -> Arrived {
        let weight = delivery.weight_bytes();
        let unheard = match deliver(delivery.clone()) {
            Ok(()) => 0,
            Err(Refusal::Closed) => 1,
            Err(Refusal::Full { .. }) => {
                self.retry_at = Some(now + HANDOVER_ROOM_WAIT);
                let held = self.hold(delivery, self.taken + 1);
                self.note_gap(now);
                return held;
            }
        };
        self.unacknowledged_bytes += weight;
        self.pass();
        self.note_gap(now);
        Arrived::Taken { count: 1, unheard }
    }

    /// Gives the listener what is next, while it takes it: how many went, and how many found nobody.
    fn drain(&mut self, deliver: Deliver<'_>, now: Instant) -> (u64, u64) {
        self.retry_at = None;
        let (mut count, mut unheard) = (0, 0);
        while let Some(Some(next)) = self.held.front() {
            match deliver(next.clone()) {
                Ok(()) => {}
                Err(Refusal::Closed) => unheard += 1,
                Err(Refusal::Full { .. }) => {
                    self.retry_at = Some(now + HANDOVER_ROOM_WAIT);
                    break;
                }
            }
            count += 1;
            self.unacknowledged_bytes += next.weight_bytes();
            self.pass();
        }
        (count, unheard)
    }

    fn hold(&mut self, delivery: Delivery, number: u64) -> Arrived {
        let at = number - self.taken - 1;
        let weight = delivery.weight_bytes();
        let fits = self.held_messages == 0 || self.held_bytes + weight <= self.bytes_max;
        if at >= HANDOVER_WINDOW_MESSAGES as u64 || !fits {
            return Arrived::Beyond;
        }
        let at = at as usize;
        if at >= self.held.len() {
            self.held.resize_with(at + 1, || None);
        }
        if self.held[at].is_some() {
            return Arrived::Duplicate;
        }
        self.held[at] = Some(delivery);
        self.held_messages += 1;
        self.held_bytes += weight;
        self.highest = self.highest.max(number);
        self.advance_received();
        Arrived::Held
    }

    /// The number after `taken` is done with.
    fn pass(&mut self) {
        self.taken += 1;
        if let Some(Some(delivery)) = self.held.pop_front() {
            self.held_messages -= 1;
            self.held_bytes -= delivery.weight_bytes();
        }
        self.highest = self.highest.max(self.taken);
        if self.received < self.taken {
            self.received = self.taken;
            self.gap_at = None;
        }
        self.advance_received();
    }

    /// Everything up to `number` is done with, here or not.
    fn skip_to(&mut self, number: u64) {
        while self.taken < number && !self.held.is_empty() {
            self.pass();
        }
        if self.taken < number {
            self.taken = number;
            self.received = self.received.max(number);
            self.highest = self.highest.max(number);
        }
    }

    fn advance_received(&mut self) {
        while matches!(self.held.get((self.received - self.taken) as usize), Some(Some(_))) {
            self.received += 1;
            // Progress: what is missing now has not been missing for long.
            self.gap_at = None;
        }
    }

    fn note_gap(&mut self, now: Instant) {
        if self.highest <= self.received {
            self.gap_at = None;
        } else {
            self.gap_at.get_or_insert(now + HANDOVER_GAP_WAIT);
        }
    }
}

/// A protocol without the law "At most once", to show that the tests see it.
fn deliver_anyway(delivery: Delivery, deliver: Deliver<'_>) -> Arrived {
    let _ = deliver(delivery);
    Arrived::Duplicate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{link::Ingress, message::Message};

    /// Another thread takes a message while the acknowledgement of the one before goes along.
    #[test]
    fn what_was_taken_meanwhile_is_acknowledged_in_its_time() {
        let now = Instant::now();
        let take = |stream: &mut Stream, number| {
            stream.arrive(delivery(), number, &mut |_| Ok(()), now, Mutation::None);
            assert_eq!(stream.acknowledgement(now), None);
        };
        let in_its_time = |stream: &mut Stream| stream.acknowledgement(now + HANDOVER_ACK_WAIT);
        for (meanwhile, id, due) in [(false, 7, None), (true, 7, Some(2)), (false, 8, Some(1))] {
            let mut stream = Stream::new(7, 1_000, now);
            take(&mut stream, 1);
            assert_eq!(stream.acknowledge_along(), Control::Ack { stream: 7, number: 1, base: 0 });
            if meanwhile {
                take(&mut stream, 2);
            }
            stream.went_along(id, 1);
            let due = due.map(|number| Control::Ack { stream: 7, number, base: 0 });
            assert_eq!(in_its_time(&mut stream), due);
        }
    }

    /// A gap held back a burst. When it is filled, and no more comes for a while, what was held in is given
    /// back; while messages come, it stays.
    #[test]
    fn what_a_burst_was_held_back_in_is_given_back_later() {
        const BURST: u64 = 1_000;
        let now = Instant::now();
        let mut stream = Stream::new(7, 1 << 20, now);
        let deliver: Deliver<'_> = &mut |_| Ok(());
        for number in (2..=BURST).chain([1]) {
            stream.arrive(delivery(), number, deliver, now, Mutation::None);
        }
        assert_eq!((stream.taken, stream.held_messages), (BURST, 0));
        let later = now + HANDOVER_PROBE_WAIT / 2;
        stream.arrive(delivery(), BURST + 1, deliver, later, Mutation::None);
        stream.give_back(now + HANDOVER_PROBE_WAIT);
        assert!(stream.held.capacity() >= BURST as usize - 1);
        let mut timer = Timer::default();
        stream.ack_at = None;
        stream.arm(&mut timer);
        assert_eq!(timer.at(), Some(later + HANDOVER_PROBE_WAIT));
        stream.give_back(later + HANDOVER_PROBE_WAIT);
        assert_eq!((stream.held.capacity(), stream.give_back_at()), (0, None));
    }

    fn delivery() -> Delivery {
        let text = r#"{"type":"update","from":"hyperty://a/1","to":"hyperty://b/1"}"#;
        Delivery {
            message: Message::parse(text.into()).unwrap(),
            ingress: Ingress::LOCAL,
            hop: None,
        }
    }
}
