//! What one stream has accepted and not yet seen acknowledged: numbers, cursor, bytes. It pushes nothing.

use std::{collections::VecDeque, time::Instant};

use crate::{
    handover::{timer::Backoff, ways::LaneIndex},
    limits::{HANDOVER_PLACES_KEPT, HANDOVER_PROBE_WAIT, HANDOVER_WINDOW_MESSAGES},
    link::{Delivery, Ingress},
    message::{Hop, Message},
};

/// The unacknowledged messages of one stream, in the order of their numbers.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) stream: u128,
    entries: VecDeque<Entry>,
    /// Sent, given up, and not yet told how they ended: the receiver is asked (law "Fence"). By number.
    fencing: VecDeque<(u64, Entry)>,
    /// The number of the first entry; everything below is acknowledged or given up.
    base: u64,
    bytes: usize,
    bytes_max: usize,
    /// The next number to push.
    cursor: u64,
    /// The lowest number never pushed to any sink.
    unsent: u64,
    /// Everything below has waited for its barrier for as long as it may.
    lapsed: u64,
    /// What a receiver asked for again, ascending; goes before what is at the cursor.
    again: VecDeque<Again>,
    /// True until the receiver has heard of a `base` above what it has.
    pub(super) base_unheard: bool,
    /// When to ask by marker.
    pub(super) probe_at: Option<Instant>,
    /// When to ask again what the fence met.
    pub(super) fence_at: Option<Instant>,
    /// The receiver's last word on this stream.
    pub(super) heard_at: Instant,
    /// When the window was last seen empty.
    pub(super) empty_at: Instant,
    asked: Asked,
}

/// One message and what is known of it; its number is its place in the window.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Message,
    pub(super) ingress: Ingress,
    pub(super) lane: Option<LaneIndex>,
    pub(super) accepted_at: Instant,
}

impl Entry {
    fn weight_bytes(&self) -> usize {
        self.message.bytes().len()
    }
}

/// What to push next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) number: u64,
    /// Not by the direct way, which was tried before.
    pub(super) shun: bool,
    /// True if no sink ever had it.
    pub(super) first: bool,
    /// For how many messages from it on the barrier does not count any more.
    pub(super) lapsed: usize,
}

/// A range that is sent again, `from` to before `to`.
#[derive(Clone, Copy, Debug)]
struct Again {
    from: u64,
    to: u64,
    shun: bool,
}

/// The last `have`, so that a repeat is told from news.
#[derive(Debug)]
struct Asked {
    number: u64,
    times: u32,
    not_before: Instant,
    wait: Backoff,
}

impl Window {
    pub(super) fn new(stream: u128, bytes_max: usize, now: Instant) -> Self {
        Window {
            stream,
            entries: VecDeque::new(),
            fencing: VecDeque::new(),
            base: 1,
            bytes: 0,
            bytes_max,
            cursor: 1,
            unsent: 1,
            lapsed: 1,
            again: VecDeque::new(),
            base_unheard: false,
            probe_at: None,
            fence_at: None,
            heard_at: now,
            empty_at: now,
            asked: Asked { number: NOT_ASKED, times: 0, not_before: now, wait: asked_wait() },
        }
    }

    /// The number that the next accepted message gets.
    pub(super) fn next_number(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// True if `weight` more bytes fit. A message larger than the whole window fits an empty one.
    pub(super) fn has_room(&self, weight: usize) -> bool {
        let bytes = self.is_empty() || self.bytes + weight <= self.bytes_max;
        bytes && self.messages() < HANDOVER_WINDOW_MESSAGES
    }

    /// Bytes unacknowledged, bytes allowed, messages unacknowledged.
    pub(super) fn usage(&self) -> (usize, usize, usize) {
        (self.bytes, self.bytes_max, self.messages())
    }

    fn messages(&self) -> usize {
        self.entries.len() + self.fencing.len()
    }

    pub(super) fn append(&mut self, entry: Entry) {
        if self.is_empty() {
            self.heard_at = entry.accepted_at;
        }
        if self.entries.is_empty() {
            self.probe_at = Some(entry.accepted_at + HANDOVER_PROBE_WAIT);
        }
        self.bytes += entry.weight_bytes();
        self.entries.push_back(entry);
    }

    /// Nothing is unacknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.fencing.is_empty()
    }

    /// When to give back what a burst has taken, if it was more than is kept and the window is empty.
    pub(super) fn give_back_at(&self) -> Option<Instant> {
        let places = self.entries.capacity().max(self.fencing.capacity());
        let due = self.is_empty() && places > HANDOVER_PLACES_KEPT;
        due.then(|| self.empty_at + HANDOVER_PROBE_WAIT)
    }

    /// Gives it back, if it is time.
    pub(super) fn give_back(&mut self, now: Instant) {
        if self.give_back_at().is_some_and(|at| at <= now) {
            (self.entries, self.fencing) = (VecDeque::new(), VecDeque::new());
        }
    }

    /// The oldest message that is not acknowledged.
    pub(super) fn head(&self) -> Option<&Entry> {
        self.entries.front()
    }

    pub(super) fn entry(&self, number: u64) -> &Entry {
        &self.entries[(number - self.base) as usize]
    }

    /// Message `number` as a sink gets it; it stays here as well.
    pub(super) fn copy(&self, number: u64) -> Delivery {
        let entry = self.entry(number);
        let hop = Some(Hop { stream: self.stream, number });
        Delivery { message: entry.message.clone(), ingress: entry.ingress, hop }
    }

    /// The lanes of the messages that are to be pushed from [`Window::next`] on without a break.
    pub(super) fn next_lanes(&self) -> impl Iterator<Item = Option<LaneIndex>> {
        let (from, to) = match self.again.front() {
            Some(again) => (again.from, again.to),
            None => (self.cursor, self.next_number()),
        };
        let place =
            |number: u64| (number.clamp(self.base, self.next_number()) - self.base) as usize;
        self.entries.range(place(from)..place(to).max(place(from))).map(|entry| entry.lane)
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The highest number that was ever pushed.
    pub(super) fn sent_upto(&self) -> u64 {
        self.unsent - 1
    }

    /// What to push next, if anything.
    pub(super) fn next(&self) -> Option<Next> {
        let (number, shun) = match self.again.front() {
            Some(again) => (again.from, again.shun),
            None => (self.cursor, false),
        };
        let lapsed = self.lapsed.saturating_sub(number) as usize;
        let next = Next { number, shun, first: number == self.unsent, lapsed };
        (number < self.next_number()).then_some(next)
    }

    /// True if something that was accepted waits for room in a sink.
    pub(super) fn has_backlog(&self) -> bool {
        self.next().is_some()
    }

    /// So many of what [`Window::next_lanes`] gave were taken by a sink. Returns how many of them for another
    /// time.
    pub(super) fn advance(&mut self, count: usize) -> u64 {
        let count = count as u64;
        match self.again.front_mut() {
            Some(again) => {
                again.from += count;
                if again.from >= again.to {
                    self.again.pop_front();
                }
                count
            }
            None => {
                self.cursor += count;
                let first = self.cursor.saturating_sub(self.unsent);
                self.unsent = self.unsent.max(self.cursor);
                count - first.min(count)
            }
        }
    }

    /// Everything unacknowledged is to be sent again.
    pub(super) fn rewind(&mut self) {
        self.cursor = self.base;
        self.again.clear();
    }

    /// The receiver lacks what follows `number`, to before `next` (0: to the end), and what lies in `gaps`.
    /// True if anything is to be sent again now; a repeat of the same question is answered with growing
    /// waits, every other time not by the direct way.
    pub(super) fn asked(
        &mut self,
        (number, next): (u64, u64),
        gaps: &[(u64, u64)],
        now: Instant,
    ) -> bool {
        let asked = &mut self.asked;
        if asked.number != number {
            *asked = Asked { number, times: 0, not_before: now, wait: asked_wait() };
        } else if now < asked.not_before {
            return false;
        }
        asked.not_before = asked.wait.next(now);
        asked.times += 1;
        let shun = asked.times.is_multiple_of(2);
        let first = (number.saturating_add(1), if next == 0 { self.cursor } else { next });
        let others = gaps.iter().map(|(first, last)| (*first, last.saturating_add(1)));
        self.again.clear();
        let mut done = self.base;
        for (from, to) in std::iter::once(first).chain(others) {
            let (from, to) = (from.max(done), to.min(self.cursor));
            if from < to {
                self.again.push_back(Again { from, to, shun });
                done = to;
            }
        }
        !self.again.is_empty()
    }

    /// The oldest message for which a barrier still counts, if its stub has one.
    pub(super) fn next_to_lapse(&self) -> Option<&Entry> {
        self.entries.get((self.lapsed.max(self.base) - self.base) as usize)
    }

    /// Barriers do not count any more for the oldest messages for which they still did, as far as they are
    /// `old`: what was sent of those that are `held` is to be sent again.
    pub(super) fn lapse(&mut self, old: impl Fn(&Entry) -> bool, held: impl Fn(&Entry) -> bool) {
        self.lapsed = self.lapsed.max(self.base);
        let waiting = self.entries.range((self.lapsed - self.base) as usize..);
        let (mut from, mut to) = (u64::MAX, 0);
        for entry in waiting.take_while(|entry| old(entry)) {
            if held(entry) {
                (from, to) = (from.min(self.lapsed), self.lapsed + 1);
            }
            self.lapsed += 1;
        }
        let to = to.min(self.cursor);
        if from < to {
            let asked = self.again.front().map_or(from, |asked| asked.from);
            self.again.retain_mut(|asked| {
                asked.from = asked.from.max(to);
                asked.from < asked.to
            });
            self.again.push_front(Again { from: from.min(asked), to, shun: false });
        }
    }

    /// True if some message was sent, and is not acknowledged, that `is` so.
    pub(super) fn has_sent(&self, is: impl Fn(&Entry) -> bool) -> bool {
        self.entries.iter().take((self.cursor - self.base) as usize).any(is)
    }

    /// There is a way that was not there before, so the next `have` is answered at once.
    pub(super) fn ask_anew(&mut self) {
        self.asked.number = NOT_ASKED;
    }

    /// Everything up to `number` was taken, if it lies at `base` or above or was not given up. Returns how
    /// many messages that is news for.
    pub(super) fn acknowledge(&mut self, number: u64, base: u64, now: Instant) -> u64 {
        let mut count = 0;
        if !self.fencing.is_empty() {
            count += self.take_fenced(base, number.saturating_add(1)).len() as u64;
        }
        while self.base <= number && self.pop().is_some() {
            count += 1;
        }
        if count > 0 {
            self.probe_at = (!self.entries.is_empty()).then(|| now + HANDOVER_PROBE_WAIT);
            self.empty_at = now;
        }
        count
    }

    /// Gives the oldest message up: it if it was never sent; else it waits for the word of the receiver.
    pub(super) fn fence(&mut self) -> Option<Entry> {
        let number = self.base;
        let weight = self.head()?.weight_bytes();
        let (entry, sent) = self.pop()?;
        if !sent {
            return Some(entry);
        }
        // Unacknowledged until its end is known.
        self.bytes += weight;
        self.fencing.push_back((number, entry));
        None
    }

    /// The oldest message that waits for the word of the receiver.
    pub(super) fn fenced_head(&self) -> Option<&(u64, Entry)> {
        self.fencing.front()
    }

    /// Takes it off.
    pub(super) fn pop_fenced(&mut self) -> Option<Entry> {
        let (_, entry) = self.fencing.pop_front()?;
        self.bytes -= entry.weight_bytes();
        Some(entry)
    }

    /// The receiver has spoken of all from `from` to before `to`: takes them off, each with its number.
    pub(super) fn take_fenced(&mut self, from: u64, to: u64) -> Vec<(u64, Entry)> {
        let is = |(number, _): &(u64, Entry)| (from..to).contains(number);
        let (taken, left): (VecDeque<_>, _) =
            std::mem::take(&mut self.fencing).into_iter().partition(is);
        self.fencing = left;
        for (_, entry) in &taken {
            self.bytes -= entry.weight_bytes();
        }
        taken.into()
    }

    /// The lowest number whose end is not known.
    pub(super) fn open_from(&self) -> u64 {
        self.fencing.front().map_or(self.base, |(number, _)| *number)
    }

    /// Takes the oldest message off: it and whether it was ever sent.
    pub(super) fn pop(&mut self) -> Option<(Entry, bool)> {
        let entry = self.entries.pop_front()?;
        if self.entries.is_empty() {
            // From the front again: who empties it often uses few of its places, and finds them in the cache.
            self.entries.clear();
        }
        let sent = self.base < self.unsent;
        self.base += 1;
        self.bytes -= entry.weight_bytes();
        self.cursor = self.cursor.max(self.base);
        self.unsent = self.unsent.max(self.base);
        while let Some(again) = self.again.front_mut() {
            again.from = again.from.max(self.base);
            if again.from < again.to {
                break;
            }
            self.again.pop_front();
        }
        Some((entry, sent))
    }
}

/// No `have` names it.
const NOT_ASKED: u64 = u64::MAX;

fn asked_wait() -> Backoff {
    Backoff::new(HANDOVER_PROBE_WAIT / 8, 2 * HANDOVER_PROBE_WAIT)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What was sent and lapses goes again before all else, in order, together with what was asked for;
    /// nothing is named twice, and what was not sent yet is left to the cursor.
    #[test]
    fn what_lapses_goes_again_in_order_and_once() {
        type Range = (u64, u64);
        type Case = (u64, Option<Range>, &'static [Range]);
        // How many were sent, `number` and `next` of a `have`, and what goes again before the cursor then.
        let cases: [Case; 6] = [
            (7, None, &[(1, 5)]),
            (3, None, &[(1, 4)]),
            (0, None, &[]),
            (7, Some((0, 3)), &[(1, 5)]),
            (7, Some((2, 7)), &[(1, 5), (5, 7)]),
            (7, Some((5, 8)), &[(1, 5), (6, 8)]),
        ];
        for (sent, have, again) in cases {
            let (mut window, start) = with_one_a_second(7);
            window.advance(sent as usize);
            if let Some(have) = have {
                assert!(window.asked(have, &[], start));
            }
            let young = start + Duration::from_secs(4);
            window.lapse(|entry| entry.accepted_at < young, |_| true);
            let ranges: Vec<_> = window.again.iter().map(|of| (of.from, of.to)).collect();
            assert_eq!(ranges, again, "{sent} sent, {have:?}");
            assert_eq!(window.next_to_lapse().map(|of| of.accepted_at), Some(young));
            // What has lapsed already does not go again by it.
            window.again.clear();
            window.lapse(|entry| entry.accepted_at < young, |_| true);
            assert!(window.again.is_empty());
        }
    }

    /// Numbers 1 to `count`, the first accepted now.
    fn with_one_a_second(count: u64) -> (Window, Instant) {
        let start = Instant::now();
        let mut window = Window::new(7, 1 << 20, start);
        for second in 0..count {
            let text = r#"{"type":"update","from":"hyperty://a/1","to":"hyperty://b/1"}"#;
            window.append(Entry {
                message: Message::parse(text.into()).unwrap(),
                ingress: Ingress::LOCAL,
                lane: None,
                accepted_at: start + Duration::from_secs(second),
            });
        }
        (window, start)
    }
}
