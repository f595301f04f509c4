//! What a sender does because time has gone by: giving up, probing, ending. It takes no messages.

use std::time::{Duration, Instant};

use super::{End, Sender};
use crate::{
    handover::{
        barrier::Lane,
        ways::Reach,
        window::{Entry, Window},
    },
    limits::{
        HANDOVER_BARRIER_MAX, HANDOVER_FENCE_AGAIN, HANDOVER_FENCE_WAIT, HANDOVER_IDLE_SENDER,
        HANDOVER_PROBE_WAIT, HANDOVER_SILENCE_MAX,
    },
};

impl Sender {
    /// Does what is due.
    pub(in crate::handover) fn handle_timeout(&mut self, now: Instant) {
        self.give_up_old(now);
        self.use_direct(now);
        self.lapse_barrier(now);
        self.probe(now);
        self.mark_barriers(now);
        self.end_idle(now);
        if let Some(window) = &mut self.window {
            window.give_back(now);
        }
        if self.ended.as_ref().is_some_and(|ended| ended.again_at.is_some_and(|at| at <= now)) {
            self.say_ended(now);
        }
        self.timer.reset();
        self.pump(now);
        self.arm(now);
    }

    /// Gives up what has grown old: first the receiver is asked what it took of it, then it is in doubt.
    pub(super) fn give_up_old(&mut self, now: Instant) {
        let Some(window) = self.window.as_ref() else { return };
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let (old, lost) = (is_due(self.fence_due(window)), is_due(self.doubt_due(window)));
        if (old || lost) && window.heard_at + HANDOVER_SILENCE_MAX <= now {
            let stream = window.stream;
            self.end_stream();
            return self.tell_ended(stream, false, now);
        }
        while let Some(window) = self.window.as_ref()
            && is_due(self.fence_due(window))
        {
            if let Some(entry) = self.window.as_mut().and_then(Window::fence) {
                self.finish(entry, End::Returned);
            }
        }
        while let Some(window) = self.window.as_ref()
            && is_due(self.doubt_due(window))
            && let Some(entry) = self.window.as_mut().and_then(Window::pop_fenced)
        {
            self.finish(entry, End::InDoubt);
        }
        if let Some(window) =
            self.window.as_mut().filter(|window| (old || lost) && window.is_empty())
        {
            window.empty_at = now;
        }
        self.say_fence(old, now);
    }

    /// Says `base` when there is a new one, and again while the receiver's word on it is missing.
    fn say_fence(&mut self, is_new: bool, now: Instant) {
        let Some(window) = &mut self.window else { return };
        let again = window.fence_at.is_some_and(|at| at <= now) && window.fenced_head().is_some();
        if is_new {
            window.base_unheard = true;
            // Not later than it was: what grows old one by one must not keep the rest from being asked about.
            let at = now + HANDOVER_PROBE_WAIT;
            window.probe_at = Some(window.probe_at.map_or(at, |before| before.min(at)));
        }
        if is_new || again {
            window.fence_at = Some(now + HANDOVER_FENCE_AGAIN);
            self.say_base();
        }
    }

    fn fence_due(&self, window: &Window) -> Option<Instant> {
        let asking = HANDOVER_FENCE_WAIT.min(self.deadline / 10);
        window.head().map(|head| head.accepted_at + self.deadline - asking)
    }

    fn doubt_due(&self, window: &Window) -> Option<Instant> {
        window.fenced_head().map(|(_, head)| head.accepted_at + self.deadline)
    }

    /// A barrier must not cost what the direct way could carry (law "Barrier").
    pub(super) fn lapse_barrier(&mut self, now: Instant) {
        if self.lapse_at().is_none_or(|at| now < at) {
            return;
        }
        let wait = self.barrier_max();
        let (lanes, Some(window)) = (&mut self.ways.lanes, &mut self.window) else { return };
        let lane_of = |entry: &Entry| entry.lane.map(|lane| &lanes[usize::from(lane)]);
        let is_old = |entry: &Entry| entry.accepted_at + wait <= now;
        window.lapse(is_old, |entry| lane_of(entry).is_some_and(|lane| !lane.is_clear()));
        let ends = |lane: &Lane| !lane.is_clear() && lane.raised_at() + wait <= now;
        if window.has_sent(|entry| lane_of(entry).is_some_and(ends)) {
            window.rewind();
            window.ask_anew();
        }
        lanes.iter_mut().filter(|lane| ends(lane)).for_each(Lane::lapse);
    }

    /// Of the oldest message that may be held: what lies behind it may be held by another stub.
    pub(super) fn lapse_at(&self) -> Option<Instant> {
        let direct = self.ways.direct.as_ref()?;
        let first = self.window.as_ref()?.next_to_lapse()?;
        let at = (first.accepted_at + self.barrier_max()).max(direct.usable_from);
        self.ways.has_barrier().then_some(at)
    }

    fn barrier_max(&self) -> Duration {
        HANDOVER_BARRIER_MAX.min(self.deadline * 4 / 5)
    }

    /// Asks the receiver on every path what it has (law "Probe").
    pub(super) fn probe(&mut self, now: Instant) {
        let Some(window) = &mut self.window else { return };
        if window.probe_at.is_none_or(|at| now < at) {
            return;
        }
        let wait = match (window.head().is_some(), window.base_unheard) {
            (true, _) => HANDOVER_PROBE_WAIT,
            (false, true) => 4 * HANDOVER_PROBE_WAIT,
            (false, false) => {
                window.probe_at = None;
                return;
            }
        };
        window.probe_at = Some(now + wait);
        let (stream, upto, base_unheard) = (window.stream, window.sent_upto(), window.base_unheard);
        let lane = window.head().and_then(|head| head.lane);
        if base_unheard {
            self.say_base();
        }
        self.mark(Reach::Every);
        if let Some(lane) = lane {
            self.ways.mark_lane(lane, stream, upto, now);
        }
    }

    pub(super) fn end_idle(&mut self, now: Instant) {
        if let Some((stream, _)) = self.idle_at().filter(|(_, at)| *at <= now) {
            self.end_stream();
            self.tell_ended(stream, true, now);
        }
    }

    pub(super) fn idle_at(&self) -> Option<(u128, Instant)> {
        let window = self.window.as_ref().filter(|window| window.is_empty())?;
        if self.ways.direct.is_some() {
            return None;
        }
        let since = self.closed_at.map_or(window.empty_at, |at| at.max(window.empty_at));
        Some((window.stream, since + HANDOVER_IDLE_SENDER))
    }

    /// Arms the timer from every reason. O(stubs).
    pub(super) fn arm(&mut self, now: Instant) {
        let mut reasons = [None; 9];
        if let Some(window) = &self.window {
            reasons[0] = self.fence_due(window);
            reasons[6] = self.doubt_due(window);
            reasons[7] = window.fence_at.filter(|_| window.fenced_head().is_some());
            reasons[1] = window.probe_at;
            reasons[2] = self.lapse_at();
            reasons[3] = self.idle_at().map(|(_, at)| at);
            reasons[8] = window.give_back_at();
        }
        reasons[4] = self.ended.as_ref().and_then(|ended| ended.again_at);
        reasons[5] = self.ways.direct.as_ref().map(|d| d.usable_from).filter(|at| *at > now);
        reasons.into_iter().flatten().for_each(|at| self.timer.arm(at));
        if self.window.is_some() && self.ways.direct.is_some() {
            let due = self.ways.lanes.iter().filter_map(|lane| lane.mark_due(now)).min();
            due.into_iter().for_each(|at| self.timer.arm(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        address::Url,
        link::{Delivery, Ingress, LinkId, Outbox, Outgoing, Stub},
        message::Message,
    };

    const BURST: u64 = 1_000;

    /// Messages that grow old one by one, each before the next probe, do not put the probe off.
    #[test]
    fn giving_up_does_not_put_the_probe_off() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let (mut sender, stub, queue) = with_stub(start);
        for at in (0..8_000).step_by(400) {
            send(&mut sender, &stub, start + ms(at));
        }
        let mut probes = Vec::new();
        while let Some(at) = sender.timer.at().filter(|at| *at < start + ms(16_000)) {
            queue.try_drain(&mut Vec::new(), usize::MAX);
            sender.handle_timeout(at);
            let mut said = Vec::new();
            queue.try_drain(&mut said, usize::MAX);
            let is_marker = |item: &Outgoing| {
                matches!(item, Outgoing::Control(text)
                if text.windows(8).any(|of| of == b"\"marker\""))
            };
            probes.extend(said.iter().any(is_marker).then_some(at));
        }
        let longest = probes.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest.is_some_and(|wait| wait <= HANDOVER_PROBE_WAIT), "{longest:?}");
        assert!(probes.last().is_some_and(|last| *last > start + ms(14_000)), "{probes:?}");
    }

    /// The window of a burst stays while messages go, and is given back once there were none for a while, by
    /// the timer alone.
    #[test]
    fn the_window_of_a_burst_is_given_back_later() {
        let start = Instant::now();
        let (mut sender, stub, _queue) = with_stub(start);
        (0..BURST).for_each(|_| send(&mut sender, &stub, start));
        sender.acknowledge((7, BURST, 0), start).unwrap();
        let is_large =
            |sender: &Sender| sender.window.as_ref().is_some_and(|of| of.give_back_at().is_some());
        assert!(is_large(&sender));
        let later = start + HANDOVER_PROBE_WAIT / 2;
        send(&mut sender, &stub, later);
        sender.acknowledge((7, BURST + 1, 0), later).unwrap();
        let mut given_back_at = None;
        while let Some(at) = sender.timer.at().filter(|at| *at < start + 9 * HANDOVER_PROBE_WAIT) {
            sender.handle_timeout(at);
            given_back_at = given_back_at.or((!is_large(&sender)).then_some(at));
        }
        assert_eq!(given_back_at, Some(later + HANDOVER_PROBE_WAIT));
    }

    type Queue = Arc<Outbox<Outgoing>>;

    /// A sender with a stub and a direct way, both into one queue, and a stream.
    fn with_stub(start: Instant) -> (Sender, Arc<Stub>, Queue) {
        let mut sender = Sender::new(Duration::ZERO, Duration::from_secs(10));
        let url = |text: &str| Url::parse(text).unwrap();
        let queue: Queue = Arc::new(Outbox::new(BURST as usize * 2, 1 << 20));
        let stub = Arc::new(Stub {
            url: url("runtime://a/1/protostub/d"),
            domain: "d".into(),
            link: LinkId(1),
            sink: Arc::clone(&queue) as _,
        });
        let direct = Arc::clone(&queue) as _;
        sender.ways.lane(&stub, start).unwrap();
        sender.open_direct(direct, url("runtime://a/1/p2phandler/1/c"), start);
        sender.take_stream((7, 1 << 20, 1), 0, start);
        (sender, stub, queue)
    }

    fn send(sender: &mut Sender, stub: &Arc<Stub>, now: Instant) {
        let text = r#"{"type":"update","from":"hyperty://a/1","to":"hyperty://b/1"}"#;
        let message = Message::parse(text.into()).unwrap();
        let delivery = Delivery { message, ingress: Ingress::LOCAL, hop: None };
        sender.send(delivery, Some(stub), now).unwrap();
    }
}
