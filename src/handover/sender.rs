//! The sending half of a peer: gives numbers, pushes, resends, gives up. It knows nothing of what arrives
//! except the control words for a sender.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    address::Url,
    handover::{
        control::{Control, ControlError},
        explain::{Explained, Reason},
        outcome::{Counters, Outcome, SendError, Sent},
        timer::{Backoff, Timer},
        ways::{LaneIndex, Reach, Way, Ways},
        window::{Entry, Next, Window},
    },
    limits::{
        HANDOVER_BARRIER_MAX, HANDOVER_IDLE_SENDER, HANDOVER_PROBE_WAIT, HANDOVER_REPEAT_MAX,
        HANDOVER_REPEAT_WAIT, HANDOVER_REPEATS, HANDOVER_ROOM_WAIT, HANDOVER_SILENCE_MAX,
    },
    link::{Delivery, DirectSink, Path, Refusal, Stub, Weigh},
    message::Hop,
};

/// Everything under the lock of what leaves.
pub(super) struct Sender {
    pub(super) ways: Ways,
    pub(super) timer: Timer,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) counters: Counters,
    pub(super) capable: bool,
    pub(super) no_resend: bool,
    window: Option<Window>,
    /// Counts the incarnations of the receiver; words from before are void.
    epoch: u64,
    /// The last round taken from this incarnation.
    round: u64,
    ended: Option<Ended>,
    deadline: Duration,
    closed_at: Option<Instant>,
}

/// A stream that we ended and of which the receiver is to hear.
struct Ended {
    stream: u128,
    idle: bool,
    again_at: Option<Instant>,
    wait: Backoff,
    left: u32,
}

impl Sender {
    pub(super) fn new(dwell: Duration, deadline: Duration) -> Self {
        Sender {
            ways: Ways::new(dwell),
            timer: Timer::default(),
            outcomes: Vec::new(),
            counters: Counters::default(),
            capable: false,
            no_resend: false,
            window: None,
            epoch: 0,
            round: 0,
            ended: None,
            deadline,
            closed_at: None,
        }
    }

    /// Accepts a message or says why not.
    pub(super) fn send(
        &mut self,
        delivery: Delivery,
        stub: Option<&Arc<Stub>>,
        now: Instant,
    ) -> Result<Sent, SendError> {
        let lane = stub.map(|stub| self.ways.lane(stub)).transpose()?;
        match self.window {
            Some(_) => self.send_numbered(delivery, lane, now),
            None => self.send_plain(delivery, lane, now),
        }
    }

    fn send_plain(
        &mut self,
        delivery: Delivery,
        lane: Option<LaneIndex>,
        now: Instant,
    ) -> Result<Sent, SendError> {
        let way = match lane {
            Some(lane) if self.capable => Way::Lane(lane),
            _ => self.ways.choose(None, false, now).ok_or(SendError::NoWay)?,
        };
        // The lane of this message goes before the home stub that `choose` falls back to.
        let way = match (way, lane) {
            (Way::Lane(_), Some(lane)) => Way::Lane(lane),
            (way, _) => way,
        };
        let path = match way {
            Way::Direct => {
                let direct = self.ways.direct.as_ref().ok_or(SendError::NoWay)?;
                direct.sink.push(delivery).map_err(SendError::Refused)?;
                Path::P2p
            }
            Way::Lane(lane) => {
                self.ways.lanes[usize::from(lane)].raise();
                self.ways.push_lane(lane, delivery).map_err(SendError::Refused)?;
                Path::MessageNode
            }
        };
        Ok(Sent { path, hop: None })
    }

    fn send_numbered(
        &mut self,
        mut delivery: Delivery,
        lane: Option<LaneIndex>,
        now: Instant,
    ) -> Result<Sent, SendError> {
        let way = self.ways.choose(lane, false, now).ok_or(SendError::NoWay)?;
        let Some(window) = &mut self.window else { return Err(SendError::NoWay) };
        if !window.has_room(delivery.weight_bytes()) {
            let (bytes, bytes_max, messages) = window.usage();
            return Err(SendError::WindowFull { bytes, bytes_max, messages });
        }
        let hop = Hop { stream: window.stream, number: window.next_number() };
        delivery.hop = Some(hop);
        if window.is_empty() {
            self.timer.arm(now + HANDOVER_PROBE_WAIT);
        }
        window.append(Entry { delivery, lane, accepted_at: now });
        self.counters.accepted += 1;
        self.pump(now);
        let path = if way == Way::Direct { Path::P2p } else { Path::MessageNode };
        Ok(Sent { path, hop: Some(hop) })
    }

    /// Pushes from the cursor while the sinks accept.
    pub(super) fn pump(&mut self, now: Instant) {
        while let Some(next) = self.window.as_ref().and_then(Window::next) {
            match self.push(next, now) {
                Ok(()) => {
                    self.counters.resent += u64::from(!next.first);
                    if let Some(window) = &mut self.window {
                        window.advance();
                    }
                }
                Err(Stop::DirectGone) => self.lose_direct(now),
                Err(Stop::Full) => {
                    self.timer.arm(now + HANDOVER_ROOM_WAIT);
                    return;
                }
                Err(Stop::NoWay) => return,
            }
        }
    }

    fn push(&mut self, next: Next, now: Instant) -> Result<(), Stop> {
        let Some(window) = &self.window else { return Err(Stop::NoWay) };
        let entry = window.entry(next.number);
        match self.ways.choose(entry.lane, next.shun, now).ok_or(Stop::NoWay)? {
            Way::Direct => {
                let direct = self.ways.direct.as_mut().ok_or(Stop::NoWay)?;
                if direct.announced != Some(window.stream) {
                    let words = Control::Stream { stream: window.stream }.to_string();
                    direct.sink.push_control(words.into()).map_err(Stop::direct)?;
                    direct.announced = Some(window.stream);
                }
                direct.sink.push(entry.delivery.clone()).map_err(Stop::direct)
            }
            Way::Lane(lane) => {
                self.ways.push_lane(lane, entry.delivery.clone()).map_err(|_| Stop::Full)?;
                if next.first && entry.lane == Some(lane) {
                    self.ways.lanes[usize::from(lane)].passed(next.number);
                }
                Ok(())
            }
        }
    }

    /// The direct way opened.
    pub(super) fn open_direct(&mut self, sink: Arc<dyn DirectSink>, via: Url, now: Instant) {
        self.ways.open(sink, via, now);
        self.closed_at = None;
        self.mark_barriers(now);
        self.ask_if_waiting();
        self.pump(now);
        self.arm(now);
    }

    /// The direct way closed; what was under way on it goes by the stubs, at once.
    pub(super) fn close_direct(&mut self, now: Instant) {
        if self.ways.direct.is_some() {
            self.lose_direct(now);
        }
        self.pump(now);
        self.arm(now);
    }

    fn lose_direct(&mut self, now: Instant) {
        self.ways.direct = None;
        self.closed_at = Some(now);
        if let Some(window) = self.window.as_mut().filter(|_| !self.no_resend) {
            window.rewind();
        }
    }

    /// An address whose messages took `stub` without us is bound to this peer from now on.
    pub(super) fn bind(&mut self, stub: &Arc<Stub>, now: Instant) -> Result<(), SendError> {
        let lane = self.ways.lane(stub)?;
        self.ways.lanes[usize::from(lane)].raise();
        self.mark_barriers(now);
        self.arm(now);
        Ok(())
    }

    /// The receiver gave us a stream. `epoch` counts its incarnations.
    pub(super) fn take_stream(
        &mut self,
        (stream, window, round): (u128, u64, u64),
        epoch: u64,
        now: Instant,
    ) {
        if epoch < self.epoch {
            return;
        }
        if epoch > self.epoch {
            self.end_for_reborn(epoch);
        }
        self.capable = true;
        if round < self.round {
            return;
        }
        if round > self.round {
            self.end_stream();
            self.round = round;
            self.ended = None;
            let bytes_max = usize::try_from(window).unwrap_or(usize::MAX);
            self.window = Some(Window::new(stream, bytes_max, now));
            self.ways.lanes.iter_mut().for_each(|lane| lane.forget_marks());
            self.mark_barriers(now);
        }
        match &self.window {
            Some(_) => self.mark(Reach::One),
            None => self.say_ended(now),
        }
        self.arm(now);
    }

    /// The receiver is a new process: nothing is resent to it.
    pub(super) fn end_for_reborn(&mut self, epoch: u64) {
        if epoch > self.epoch {
            self.end_stream();
            (self.epoch, self.round, self.ended) = (epoch, 0, None);
        }
    }

    /// `ack`: the listener took everything up to `number`.
    pub(super) fn acknowledge(
        &mut self,
        stream: u128,
        number: u64,
        now: Instant,
    ) -> Result<(), ControlError> {
        let Some(window) = current(&mut self.window, stream) else { return Ok(()) };
        check_sent(window, number)?;
        window.heard_at = now;
        window.base_unheard &= number + 1 < window.base();
        self.counters.delivered += window.acknowledge(number, now);
        self.ways.lanes.iter_mut().for_each(|lane| {
            lane.acknowledged(number);
        });
        self.pump(now);
        Ok(())
    }

    /// `have`: the receiver lacks what lies between `number` and `next`.
    pub(super) fn have(
        &mut self,
        (stream, number, next): (u128, u64, u64),
        now: Instant,
    ) -> Result<(), ControlError> {
        let Some(window) = current(&mut self.window, stream) else {
            // One that waits for a stream of ours that is over, or of our life before, waits for ever.
            self.ways.send_control(&Control::Ended { stream, idle: false }, Reach::Every);
            return Ok(());
        };
        check_sent(window, number)?;
        window.heard_at = now;
        if self.no_resend {
            return Ok(());
        }
        if number + 1 < window.base() {
            self.say_base();
        }
        if let Some(window) = &mut self.window {
            window.asked(number, next, now);
        }
        self.pump(now);
        Ok(())
    }

    /// `marked`: what went through that stub before the marker has arrived.
    pub(super) fn marked(&mut self, stream: u128, mark: u64, now: Instant) {
        let Some(window) = current(&mut self.window, stream) else { return };
        window.heard_at = now;
        self.ways.lanes.iter_mut().for_each(|lane| {
            lane.answered(mark);
        });
    }

    /// `unknown`: the receiver has forgotten the stream.
    pub(super) fn unknown(&mut self, stream: u128) {
        if current(&mut self.window, stream).is_some() {
            self.end_stream();
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.give_up_old(now);
        self.lapse_barrier(now);
        self.probe(now);
        self.mark_barriers(now);
        self.end_idle(now);
        if self.ended.as_ref().is_some_and(|ended| ended.again_at.is_some_and(|at| at <= now)) {
            self.say_ended(now);
        }
        self.timer.reset();
        self.pump(now);
        self.arm(now);
    }

    /// Which path a message whose stub is `stub` takes now, and why.
    pub(super) fn explain(&mut self, stub: Option<&Arc<Stub>>, now: Instant) -> Explained {
        let lane = stub.and_then(|stub| self.ways.lane(stub).ok());
        let numbered = self.window.is_some();
        let plain_by_stub = !numbered && self.capable && lane.is_some();
        let way = match lane {
            Some(lane) if plain_by_stub => Some(Way::Lane(lane)),
            _ => self.ways.choose(lane.filter(|_| numbered), false, now),
        };
        let reason = match (way, &self.ways.direct) {
            (Some(Way::Direct), Some(direct)) => Reason::Direct { via: direct.via.clone() },
            (Some(Way::Lane(_)), Some(_)) if plain_by_stub => Reason::NoStream,
            (Some(Way::Lane(_)), Some(direct)) if now < direct.usable_from => {
                let left = direct.usable_from - now;
                Reason::Dwell { milliseconds: left.as_millis() as u64 }
            }
            (Some(Way::Lane(lane)), Some(_)) => {
                Reason::Barrier { stub: self.ways.lanes[usize::from(lane)].stub.url.clone() }
            }
            (Some(_), None) => Reason::NoDirectWay,
            (None, _) => Reason::NoWay,
        };
        let path = way.map(|way| if way == Way::Direct { Path::P2p } else { Path::MessageNode });
        Explained { path, reason, numbered }
    }

    /// Messages unacknowledged, and their bytes.
    pub(super) fn pending(&self) -> (usize, usize) {
        self.window.as_ref().map_or((0, 0), |window| {
            let (bytes, _, messages) = window.usage();
            (messages, bytes)
        })
    }

    pub(super) fn has_stream(&self) -> bool {
        self.window.is_some()
    }
}

/// What happens when time has gone by.
impl Sender {
    fn give_up_old(&mut self, now: Instant) {
        let expired = |window: &Window| {
            window.head().is_some_and(|head| head.accepted_at + self.deadline <= now)
        };
        let Some(window) = self.window.as_ref().filter(|window| expired(window)) else { return };
        if window.heard_at + HANDOVER_SILENCE_MAX <= now {
            let stream = window.stream;
            self.end_stream();
            return self.tell_ended(stream, false, now);
        }
        let deadline = self.deadline;
        if let Some(window) = &mut self.window {
            while window.head().is_some_and(|head| head.accepted_at + deadline <= now) {
                give_up(window, &mut self.outcomes, &mut self.counters);
            }
            window.base_unheard = true;
            if window.is_empty() {
                window.empty_at = now;
            }
            window.probe_at = Some(window.probe_wait.next(now));
        }
        self.say_base();
    }

    /// A barrier must not cost what the direct way could carry (law "Barrier").
    fn lapse_barrier(&mut self, now: Instant) {
        let due = self.lapse_at().filter(|(_, at)| *at <= now);
        let Some((lane, _)) = due else { return };
        self.ways.lanes[usize::from(lane)].lapse();
        if let Some(window) = &mut self.window {
            window.rewind();
        }
    }

    fn lapse_at(&self) -> Option<(LaneIndex, Instant)> {
        let head = self.window.as_ref()?.head()?;
        let lane = head.lane.filter(|_| self.ways.direct.is_some())?;
        let held = !self.ways.is_clear(Some(lane));
        let wait = HANDOVER_BARRIER_MAX.min(self.deadline * 4 / 5);
        held.then_some((lane, head.accepted_at + wait))
    }

    /// Asks the receiver on every path what it has (law "Probe").
    fn probe(&mut self, now: Instant) {
        let Some(window) = &mut self.window else { return };
        if window.probe_at.is_none_or(|at| now < at) {
            return;
        }
        if window.is_empty() && !window.base_unheard {
            window.probe_at = None;
            return;
        }
        window.probe_at = Some(window.probe_wait.next(now));
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

    fn end_idle(&mut self, now: Instant) {
        if let Some((stream, _)) = self.idle_at().filter(|(_, at)| *at <= now) {
            self.end_stream();
            self.tell_ended(stream, true, now);
        }
    }

    fn idle_at(&self) -> Option<(u128, Instant)> {
        let window = self.window.as_ref().filter(|window| window.is_empty())?;
        if self.ways.direct.is_some() {
            return None;
        }
        let since = self.closed_at.map_or(window.empty_at, |at| at.max(window.empty_at));
        Some((window.stream, since + HANDOVER_IDLE_SENDER))
    }

    /// Arms the timer from every reason. O(stubs).
    fn arm(&mut self, now: Instant) {
        let mut reasons = [None; 6];
        if let Some(window) = &self.window {
            reasons[0] = window.head().map(|head| head.accepted_at + self.deadline);
            reasons[1] = window.probe_at;
            reasons[2] = self.lapse_at().map(|(_, at)| at);
            reasons[3] = self.idle_at().map(|(_, at)| at);
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

/// What is said to the receiver.
impl Sender {
    /// Sends a marker through each stub that is not clear and due, while there is a direct way to move to.
    fn mark_barriers(&mut self, now: Instant) {
        let Some(window) = self.window.as_ref().filter(|_| self.ways.direct.is_some()) else {
            return;
        };
        let (stream, upto) = (window.stream, window.sent_upto());
        for lane in 0..self.ways.lanes.len() {
            if self.ways.lanes[lane].mark_due(now).is_some_and(|at| at <= now) {
                self.ways.mark_lane(lane as LaneIndex, stream, upto, now);
            }
        }
    }

    fn mark(&mut self, reach: Reach) {
        let Some(window) = &self.window else { return };
        let (stream, upto) = (window.stream, window.sent_upto());
        let mark = self.ways.next_mark();
        self.ways.send_control(&Control::Marker { stream, mark, upto }, reach);
    }

    /// After a direct way opened: has what went by the stubs arrived?
    fn ask_if_waiting(&mut self) {
        if self.window.as_ref().is_some_and(|window| !window.is_empty()) {
            self.mark(Reach::One);
        }
    }

    fn say_base(&mut self) {
        let Some(window) = &self.window else { return };
        let control = Control::Base { stream: window.stream, number: window.base() };
        self.ways.send_control(&control, Reach::Every);
    }

    fn tell_ended(&mut self, stream: u128, idle: bool, now: Instant) {
        let wait = Backoff::new(HANDOVER_REPEAT_WAIT, HANDOVER_REPEAT_MAX);
        let left = if idle { 0 } else { HANDOVER_REPEATS };
        self.ended = Some(Ended { stream, idle, again_at: None, wait, left });
        self.say_ended(now);
    }

    fn say_ended(&mut self, now: Instant) {
        let Some(ended) = &mut self.ended else { return };
        let control = Control::Ended { stream: ended.stream, idle: ended.idle };
        ended.again_at = (ended.left > 0).then(|| ended.wait.next(now));
        ended.left = ended.left.saturating_sub(1);
        self.ways.send_control(&control, Reach::Every);
    }

    /// Everything unacknowledged ends; messages are plain until a new stream is taken.
    fn end_stream(&mut self) {
        if let Some(mut window) = self.window.take() {
            while give_up(&mut window, &mut self.outcomes, &mut self.counters) {}
        }
    }
}

/// Why the pump stops.
enum Stop {
    /// The sink takes no more now.
    Full,
    /// The direct way's sink is closed.
    DirectGone,
    /// There is no way.
    NoWay,
}

impl Stop {
    fn direct(refusal: Refusal) -> Stop {
        if refusal == Refusal::Closed { Stop::DirectGone } else { Stop::Full }
    }
}

fn current(window: &mut Option<Window>, stream: u128) -> Option<&mut Window> {
    window.as_mut().filter(|window| window.stream == stream)
}

fn check_sent(window: &Window, number: u64) -> Result<(), ControlError> {
    let sent = window.sent_upto();
    if number > sent {
        return Err(ControlError::Beyond { number, sent });
    }
    Ok(())
}

/// Ends the oldest message of `window`: returned if it never left, else in doubt.
fn give_up(window: &mut Window, outcomes: &mut Vec<Outcome>, counters: &mut Counters) -> bool {
    let Some((entry, sent)) = window.pop() else { return false };
    let mut delivery = entry.delivery;
    delivery.hop = None;
    if sent {
        counters.in_doubt += 1;
        outcomes.push(Outcome::InDoubt { delivery });
    } else {
        counters.returned += 1;
        outcomes.push(Outcome::Returned { code: 503, delivery });
    }
    true
}
