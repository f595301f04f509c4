//! Accepting messages that are sent together: the same as one behind the other, with what they share done
//! once.

use std::{sync::Arc, time::Instant};

use super::{Sender, plain_lane};
use crate::{
    handover::{
        outcome::{SendError, SentRun},
        ways::{LaneIndex, Way},
        window::Entry,
    },
    limits::HANDOVER_PROBE_WAIT,
    link::{Delivery, Path, Refusal, Stub, Weigh},
    message::Hop,
};

impl Sender {
    /// Accepts messages from the front of `run` as long as they are accepted and take the same way; leaves
    /// the rest.
    pub(in crate::handover) fn send_run(
        &mut self,
        run: &mut [Option<Delivery>],
        stub: Option<&Arc<Stub>>,
        now: Instant,
    ) -> Result<SentRun, SendError> {
        let lane = stub.map(|stub| self.ways.lane(stub, now)).transpose()?;
        match self.window {
            Some(_) => self.send_numbered_run(run, lane, now),
            None => self.send_plain_run(run, lane, now),
        }
    }

    fn send_numbered_run(
        &mut self,
        run: &mut [Option<Delivery>],
        lane: Option<LaneIndex>,
        now: Instant,
    ) -> Result<SentRun, SendError> {
        let way = self.ways.choose(lane, now).ok_or(SendError::NoWay)?;
        let path = if way == Way::Direct { Path::P2p } else { Path::MessageNode };
        let Some(window) = &mut self.window else { return Err(SendError::NoWay) };
        let mut count = 0;
        for delivery in run.iter_mut().map_while(Option::as_mut) {
            if !window.has_room(delivery.weight_bytes()) {
                break;
            }
            delivery.hop = Some(Hop { stream: window.stream, number: window.next_number() });
            let (message, ingress) = (delivery.message.clone(), delivery.ingress);
            window.append(Entry { message, ingress, lane, accepted_at: now });
            count += 1;
        }
        if count == 0 {
            let (bytes, bytes_max, messages) = window.usage();
            return Err(SendError::WindowFull { bytes, bytes_max, messages });
        }
        self.timer.arm(now + HANDOVER_PROBE_WAIT);
        self.counters.accepted += count as u64;
        if way == Way::Direct {
            self.push_fresh(&mut run[..count]);
        }
        run[..count].fill(None);
        self.pump(now);
        Ok(SentRun { count, path })
    }

    /// Pushes what was just appended as it came, if the direct way waits for nothing else. What it does not
    /// take, the pump finds in the window.
    fn push_fresh(&mut self, run: &mut [Option<Delivery>]) {
        let (Some(window), Some(direct)) = (&mut self.window, &self.ways.direct) else { return };
        let first = run.first().and_then(|first| first.as_ref()?.hop).map(|hop| hop.number);
        let is_next = window.next().is_some_and(|next| Some(next.number) == first && !next.shun);
        if is_next && direct.announced == Some(window.stream) {
            // Why it took no more the pump is told as well.
            let _ = direct.sink.push_in_order(run);
            let taken = run.iter().take_while(|place| place.is_none()).count();
            self.counters.resent += window.advance(taken);
        }
    }

    fn send_plain_run(
        &mut self,
        run: &mut [Option<Delivery>],
        lane: Option<LaneIndex>,
        now: Instant,
    ) -> Result<SentRun, SendError> {
        let way = self.plain_way(lane, now)?;
        if way == Way::Direct {
            let direct = self.ways.direct.as_ref().ok_or(SendError::NoWay)?;
            let pushed = direct.sink.push_in_order(run);
            let count = run.iter().take_while(|place| place.is_none()).count();
            match pushed {
                Err(Refusal::Closed) if count == 0 && lane.is_some() => {}
                Err(refusal) if count == 0 => return Err(SendError::Refused(refusal)),
                _ => return Ok(SentRun { count, path: Path::P2p }),
            }
        }
        let lane = plain_lane(way, lane)?;
        self.ways.lanes[usize::from(lane)].raise(now);
        let mut count = 0;
        for place in run {
            let Some(delivery) = place.as_ref() else { break };
            match self.ways.push_lane(lane, delivery.clone()) {
                Ok(()) => *place = None,
                Err(refusal) if count == 0 => return Err(SendError::Refused(refusal)),
                Err(_) => break,
            }
            count += 1;
        }
        Ok(SentRun { count, path: Path::MessageNode })
    }
}
