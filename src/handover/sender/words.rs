//! What a sender hears from its receiver, and what it says. It pushes no messages itself.

use std::time::Instant;

use super::{End, Ended, Sender};
use crate::{
    handover::{
        barrier::Lane,
        control::{Control, ControlError},
        timer::Backoff,
        ways::{LaneIndex, Reach},
        window::Window,
    },
    limits::{HANDOVER_REPEAT_MAX, HANDOVER_REPEAT_WAIT, HANDOVER_REPEATS},
};

/// What is heard from the receiver.
impl Sender {
    /// The receiver gave us a stream. `epoch` counts its incarnations.
    pub(in crate::handover) fn take_stream(
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
        }
        // Also for an offer that is repeated: a stub that was first used since then has no marker yet.
        self.mark_barriers(now);
        match &self.window {
            Some(_) => self.mark(Reach::One),
            None => self.say_ended(now),
        }
        self.arm(now);
    }

    /// The receiver is a new process: nothing is resent to it.
    pub(in crate::handover) fn end_for_reborn(&mut self, epoch: u64) {
        if epoch > self.epoch {
            self.end_stream();
            (self.epoch, self.round, self.ended) = (epoch, 0, None);
        }
    }

    /// `ack`: everything up to `number` is done with; no fence that the receiver has heard of reaches `base`,
    /// so what lies from there on the listener took.
    pub(in crate::handover) fn acknowledge(
        &mut self,
        (stream, number, base): (u128, u64, u64),
        now: Instant,
    ) -> Result<(), ControlError> {
        let Some(window) = current(&mut self.window, stream) else { return Ok(()) };
        check_sent(window, number)?;
        window.heard_at = now;
        window.base_unheard &= number + 1 < window.base();
        self.counters.delivered += window.acknowledge(number, base, now);
        lift(&mut self.ways.lanes, window, |lane| lane.acknowledged(number));
        self.pump(now);
        Ok(())
    }

    /// `have`: the receiver lacks what lies between `number` and `next`, and in `gaps`.
    pub(in crate::handover) fn have(
        &mut self,
        (stream, number, next): (u128, u64, u64),
        gaps: &[(u64, u64)],
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
            window.asked((number, next), gaps, now);
        }
        self.pump(now);
        Ok(())
    }

    /// `fenced`: the receiver's word on what we gave up, from `from` to before `number`; the listener took
    /// what is not `lost`.
    pub(in crate::handover) fn fenced(
        &mut self,
        (stream, from, number): (u128, u64, u64),
        lost: &[(u64, u64)],
        now: Instant,
    ) -> Result<(), ControlError> {
        let Some(window) = current(&mut self.window, stream) else { return Ok(()) };
        if number > window.base() {
            return Err(ControlError::Beyond { number, sent: window.base() });
        }
        window.heard_at = now;
        window.base_unheard &= number < window.base();
        let is_lost = |of| lost.iter().any(|(first, last)| (*first..=*last).contains(&of));
        for (of, entry) in window.take_fenced(from, number) {
            self.finish(entry, if is_lost(of) { End::Returned } else { End::Delivered });
        }
        if let Some(window) = self.window.as_mut().filter(|window| window.is_empty()) {
            window.empty_at = now;
        }
        self.pump(now);
        Ok(())
    }

    /// `marked`: what went through that stub before the marker has arrived.
    pub(in crate::handover) fn marked(&mut self, stream: u128, mark: u64, now: Instant) {
        let Some(window) = current(&mut self.window, stream) else { return };
        window.heard_at = now;
        lift(&mut self.ways.lanes, window, |lane| lane.answered(mark));
    }

    /// `unknown`: the receiver has forgotten the stream.
    pub(in crate::handover) fn unknown(&mut self, stream: u128) {
        if current(&mut self.window, stream).is_some() {
            self.end_stream();
        }
    }
}

/// What is said to the receiver.
impl Sender {
    /// Sends a marker through each stub that is not clear and due, while there is a direct way to move to.
    pub(super) fn mark_barriers(&mut self, now: Instant) {
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

    pub(super) fn mark(&mut self, reach: Reach) {
        let Some(window) = &self.window else { return };
        let (stream, upto) = (window.stream, window.sent_upto());
        let mark = self.ways.next_mark();
        self.ways.send_control(&Control::Marker { stream, mark, upto }, reach);
    }

    /// After a direct way opened: has what went by the stubs arrived?
    pub(super) fn ask_if_waiting(&mut self) {
        if self.window.as_ref().is_some_and(|window| !window.is_empty()) {
            self.mark(Reach::One);
        }
    }

    pub(super) fn say_base(&mut self) {
        let Some(window) = &self.window else { return };
        let (from, number) = (window.open_from(), window.base());
        let control = Control::Base { stream: window.stream, from, number };
        self.ways.send_control(&control, Reach::Every);
    }

    pub(super) fn tell_ended(&mut self, stream: u128, idle: bool, now: Instant) {
        let wait = Backoff::new(HANDOVER_REPEAT_WAIT, HANDOVER_REPEAT_MAX);
        let left = if idle { 0 } else { HANDOVER_REPEATS };
        self.ended = Some(Ended { stream, idle, again_at: None, wait, left });
        self.say_ended(now);
    }

    pub(super) fn say_ended(&mut self, now: Instant) {
        let Some(ended) = &mut self.ended else { return };
        let control = Control::Ended { stream: ended.stream, idle: ended.idle };
        ended.again_at = (ended.left > 0).then(|| ended.wait.next(now));
        ended.left = ended.left.saturating_sub(1);
        self.ways.send_control(&control, Reach::Every);
    }
}

fn current(window: &mut Option<Window>, stream: u128) -> Option<&mut Window> {
    window.as_mut().filter(|window| window.stream == stream)
}

/// Lifts the barriers for which `lifts` says so; each is a way that was not there before.
fn lift(lanes: &mut [Lane], window: &mut Window, lifts: impl Fn(&mut Lane) -> bool) {
    for lane in lanes {
        if lifts(lane) {
            window.ask_anew();
        }
    }
}

fn check_sent(window: &Window, number: u64) -> Result<(), ControlError> {
    let sent = window.sent_upto();
    if number > sent {
        return Err(ControlError::Beyond { number, sent });
    }
    Ok(())
}
