//! The sending half of a peer: gives numbers, pushes, resends, gives up. It knows nothing of what arrives
//! except the control words for a sender.
//!
//! `words` holds what is heard from the receiver and said to it, `due` what happens as time goes by, `pump`
//! how what was accepted is pushed, `run` how messages are accepted that come together.

mod due;
mod pump;
mod run;
mod words;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    address::Url,
    handover::{
        explain::{Explained, Reason},
        outcome::{Counters, Outcome, SendError, Sent},
        timer::{Backoff, Timer},
        ways::{LaneIndex, Way, Ways},
        window::{Entry, Window},
    },
    limits::HANDOVER_PROBE_WAIT,
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
        let lane = stub.map(|stub| self.ways.lane(stub, now)).transpose()?;
        match self.window {
            Some(_) => self.send_numbered(delivery, lane, now),
            None => self.send_plain(delivery, lane, now),
        }
    }

    fn send_plain(
        &mut self,
        mut delivery: Delivery,
        lane: Option<LaneIndex>,
        now: Instant,
    ) -> Result<Sent, SendError> {
        let way = self.plain_way(lane, now)?;
        // A direct way that is closed under us leaves the stub.
        if way == Way::Direct {
            let direct = self.ways.direct.as_ref().ok_or(SendError::NoWay)?;
            // In a place of its own, where it is left if it is not taken: a clone would cost it its sole
            // ownership.
            let mut place = [Some(delivery)];
            match (direct.sink.push_in_order(&mut place), lane, place) {
                (Err(Refusal::Closed), Some(_), [Some(left)]) => delivery = left,
                (pushed, _, _) => {
                    pushed.map_err(SendError::Refused)?;
                    return Ok(Sent { path: Path::P2p, hop: None });
                }
            }
        }
        let lane = plain_lane(way, lane)?;
        self.ways.lanes[usize::from(lane)].raise(now);
        self.ways.push_lane(lane, delivery).map_err(SendError::Refused)?;
        Ok(Sent { path: Path::MessageNode, hop: None })
    }

    fn plain_way(&self, lane: Option<LaneIndex>, now: Instant) -> Result<Way, SendError> {
        match lane {
            Some(lane) if self.capable => Ok(Way::Lane(lane)),
            _ => self.ways.choose(None, now).ok_or(SendError::NoWay),
        }
    }

    fn send_numbered(
        &mut self,
        delivery: Delivery,
        lane: Option<LaneIndex>,
        now: Instant,
    ) -> Result<Sent, SendError> {
        let way = self.ways.choose(lane, now).ok_or(SendError::NoWay)?;
        let Some(window) = &mut self.window else { return Err(SendError::NoWay) };
        if !window.has_room(delivery.weight_bytes()) {
            let (bytes, bytes_max, messages) = window.usage();
            return Err(SendError::WindowFull { bytes, bytes_max, messages });
        }
        let hop = Hop { stream: window.stream, number: window.next_number() };
        self.timer.arm(now + HANDOVER_PROBE_WAIT);
        let Delivery { message, ingress, .. } = delivery;
        window.append(Entry { message, ingress, lane, accepted_at: now });
        self.counters.accepted += 1;
        self.pump(now);
        let path = if way == Way::Direct { Path::P2p } else { Path::MessageNode };
        Ok(Sent { path, hop: Some(hop) })
    }

    /// The direct way opened.
    pub(super) fn open_direct(&mut self, sink: Arc<dyn DirectSink>, via: Url, now: Instant) {
        self.ways.open(sink, via, now);
        self.closed_at = None;
        self.use_direct(now);
        self.mark_barriers(now);
        self.ask_if_waiting();
        self.pump(now);
        self.arm(now);
    }

    /// What is asked for again may take the direct way, once its dwell is over.
    fn use_direct(&mut self, now: Instant) {
        let direct = self.ways.direct.as_mut().filter(|direct| direct.usable_from <= now);
        if let Some(direct) = direct.filter(|direct| !direct.is_in_use) {
            direct.is_in_use = true;
            if let Some(window) = &mut self.window {
                window.ask_anew();
            }
        }
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
        let lane = self.ways.lane(stub, now)?;
        self.ways.lanes[usize::from(lane)].raise(now);
        self.mark_barriers(now);
        self.arm(now);
        Ok(())
    }

    /// Which path a message whose stub is `stub` takes now, and why.
    pub(super) fn explain(&self, stub: Option<&Arc<Stub>>, now: Instant) -> Explained {
        let lane = stub.and_then(|stub| self.ways.find(stub));
        let unknown = stub.filter(|_| lane.is_none());
        let numbered = self.window.is_some();
        let plain_by_stub = !numbered && self.capable && lane.is_some();
        let way = match lane {
            Some(lane) if plain_by_stub => Some(Way::Lane(lane)),
            _ => self.ways.choose(lane.filter(|_| numbered), now),
        };
        if let Some(stub) = unknown {
            return explain_new_stub(stub, numbered, self.capable, way);
        }
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

    /// Everything unacknowledged ends; messages are plain until a new stream is taken.
    pub(super) fn end_stream(&mut self) {
        let Some(mut window) = self.window.take() else { return };
        while let Some(entry) = window.pop_fenced() {
            self.finish(entry, End::InDoubt);
        }
        while let Some((entry, sent)) = window.pop() {
            self.finish(entry, if sent { End::InDoubt } else { End::Returned });
        }
    }

    /// Counts how a message ended, and tells it unless it was delivered.
    fn finish(&mut self, entry: Entry, end: End) {
        let Entry { message, ingress, .. } = entry;
        let delivery = Delivery { message, ingress, hop: None };
        match end {
            End::Delivered => self.counters.delivered += 1,
            End::Returned => {
                self.counters.returned += 1;
                self.outcomes.push(Outcome::Returned { code: 503, delivery });
            }
            End::InDoubt => {
                self.counters.in_doubt += 1;
                self.outcomes.push(Outcome::InDoubt { delivery });
            }
        }
    }

    /// Messages unacknowledged, and their bytes.
    pub(super) fn pending(&self) -> (usize, usize) {
        self.window.as_ref().map_or((0, 0), |window| {
            let (bytes, _, messages) = window.usage();
            (messages, bytes)
        })
    }

    /// When the oldest message that has not ended was accepted.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let window = self.window.as_ref()?;
        let fenced = window.fenced_head().map(|(_, entry)| entry);
        fenced.or(window.head()).map(|entry| entry.accepted_at)
    }

    pub(super) fn stream(&self) -> Option<u128> {
        self.window.as_ref().map(|window| window.stream)
    }

    pub(super) fn has_backlog(&self) -> bool {
        self.window.as_ref().is_some_and(Window::has_backlog)
    }

    pub(super) fn has_stream(&self) -> bool {
        self.window.is_some()
    }
}

/// How a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Delivered,
    /// It never left, or the receiver has fenced it.
    Returned,
    InDoubt,
}

/// The stub of a plain message whose way is `way`, or was before it closed.
fn plain_lane(way: Way, lane: Option<LaneIndex>) -> Result<LaneIndex, SendError> {
    match (way, lane) {
        (_, Some(lane)) | (Way::Lane(lane), None) => Ok(lane),
        (Way::Direct, None) => Err(SendError::NoWay),
    }
}

/// A stub that carried nothing yet for this peer: its first message is plain, or waits for a marker.
fn explain_new_stub(
    stub: &Arc<Stub>,
    numbered: bool,
    capable: bool,
    way: Option<Way>,
) -> Explained {
    let (path, reason) = match way {
        Some(Way::Direct) if numbered => {
            (Path::MessageNode, Reason::Barrier { stub: stub.url.clone() })
        }
        Some(Way::Direct) if !capable => (Path::P2p, Reason::NoStream),
        Some(Way::Direct) => (Path::MessageNode, Reason::NoStream),
        _ => (Path::MessageNode, Reason::NoDirectWay),
    };
    Explained { path: Some(path), reason, numbered }
}
