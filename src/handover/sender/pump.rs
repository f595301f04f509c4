//! Pushing what the window holds, from its cursor, while the sinks accept. Nothing is numbered here.

use std::time::Instant;

use smallvec::SmallVec;

use super::Sender;
use crate::{
    handover::{
        control::Control,
        ways::{LaneIndex, Way},
        window::{Entry, Next},
    },
    limits::{HANDOVER_PUSH_RUN, HANDOVER_ROOM_WAIT},
    link::{Delivery, Refusal},
};

/// Why the pump stops.
enum Stop {
    /// The sink takes no more now.
    Full,
    /// The direct way's sink is closed.
    DirectGone,
    /// There is no way.
    NoWay,
}

impl Sender {
    /// Pushes from the cursor while the sinks accept.
    pub(in crate::handover) fn pump(&mut self, now: Instant) {
        while let Some(next) = self.window.as_ref().and_then(|window| window.next()) {
            let (taken, stop) = self.push(next, now);
            if let Some(window) = &mut self.window {
                self.counters.resent += window.advance(taken);
            }
            match stop {
                None => {}
                Some(Stop::DirectGone) => self.lose_direct(now),
                Some(Stop::Full) => {
                    self.timer.arm(now + HANDOVER_ROOM_WAIT);
                    return;
                }
                Some(Stop::NoWay) => return,
            }
        }
    }

    /// Pushes `next`, and by the direct way what follows it: how many were taken, and why not more.
    fn push(&mut self, next: Next, now: Instant) -> (usize, Option<Stop>) {
        let Some(window) = &self.window else { return (0, Some(Stop::NoWay)) };
        let Entry { lane, accepted_at, .. } = *window.entry(next.number);
        // For how many messages from this one on no barrier counts.
        let free = if self.ways.is_clear(lane) { usize::MAX } else { next.lapsed };
        match self.ways.choose_if(free > 0 && !next.shun, lane, now) {
            None => (0, Some(Stop::NoWay)),
            Some(Way::Direct) => self.push_direct(next, lane, free),
            Some(Way::Lane(way)) => {
                if self.ways.push_lane(way, window.copy(next.number)).is_err() {
                    return (0, Some(Stop::Full));
                }
                if next.first && lane == Some(way) {
                    self.ways.lanes[usize::from(way)].passed(next.number, accepted_at);
                }
                (1, None)
            }
        }
    }

    /// `next`, of `lane`, takes the direct way, and so does what follows it by the same stub: as many as are
    /// `free` to.
    fn push_direct(
        &mut self,
        next: Next,
        lane: Option<LaneIndex>,
        free: usize,
    ) -> (usize, Option<Stop>) {
        let (Some(window), Some(direct)) = (&self.window, &mut self.ways.direct) else {
            return (0, Some(Stop::NoWay));
        };
        if direct.announced != Some(window.stream) {
            let words = Control::Stream { stream: window.stream }.to_string();
            if let Err(refusal) = direct.sink.push_control(words.into()) {
                return (0, Some(stop(refusal)));
            }
            direct.announced = Some(window.stream);
        }
        let most = free.min(HANDOVER_PUSH_RUN);
        let alike = window.next_lanes().take(most).take_while(|of| *of == lane).count();
        if alike <= 1 {
            return match direct.sink.push(window.copy(next.number)) {
                Ok(()) => (1, None),
                Err(refusal) => (0, Some(stop(refusal))),
            };
        }
        let numbers = next.number..next.number + alike as u64;
        let mut run: SmallVec<[Option<Delivery>; HANDOVER_PUSH_RUN]> =
            numbers.map(|number| Some(window.copy(number))).collect();
        let pushed = direct.sink.push_in_order(&mut run);
        let taken = run.iter().take_while(|place| place.is_none()).count();
        (taken, pushed.err().map(stop))
    }
}

fn stop(refusal: Refusal) -> Stop {
    if refusal == Refusal::Closed { Stop::DirectGone } else { Stop::Full }
}
