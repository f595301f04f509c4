//! The ways to one remote runtime: the direct one, the stubs, and how control takes them.
//!
//! It knows no numbers beyond what a barrier needs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    address::Url,
    handover::{barrier::Lane, control::Control, outcome::SendError},
    limits::{HANDOVER_DWELL_MAX, HANDOVER_PROBE_WAIT, HANDOVER_STUBS_MAX},
    link::{Delivery, DirectSink, Ingress, Refusal, Stub},
    message::compose,
};

/// Index of a stub among the lanes of one peer.
pub(super) type LaneIndex = u16;

/// All ways to one remote runtime.
pub(super) struct Ways {
    pub(super) direct: Option<Direct>,
    pub(super) lanes: Vec<Lane>,
    /// Takes control, and messages without a stub of their own.
    home: Option<LaneIndex>,
    endpoints: Option<Endpoints>,
    dwell: Duration,
    had_direct: bool,
    last_mark: u64,
    last_id: u64,
    pub(super) no_barrier: bool,
    pub(super) control_refused: u64,
}

/// The direct way, from `live` to its end.
pub(super) struct Direct {
    pub(super) sink: Arc<dyn DirectSink>,
    pub(super) via: Url,
    /// The end of the dwell.
    pub(super) usable_from: Instant,
    /// The dwell is known to be over.
    pub(super) is_in_use: bool,
    /// The stream that the other side knows the numbers on it to belong to.
    pub(super) announced: Option<u128>,
}

/// Where control by MN comes from and goes to.
struct Endpoints {
    ours: Url,
    theirs: Url,
}

/// The way that one message takes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    Lane(LaneIndex),
}

/// Which ways a control object takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The direct one if it is open, else the home stub.
    One,
    /// The direct one and the home stub.
    Every,
}

/// Control that one half of a peer wants said, after its lock is let go, and how.
pub(super) type Posts = Vec<(Control, Reach)>;

impl Ways {
    pub(super) fn new(dwell: Duration) -> Self {
        Ways {
            direct: None,
            lanes: Vec::new(),
            home: None,
            endpoints: None,
            dwell: dwell.min(HANDOVER_DWELL_MAX),
            had_direct: false,
            last_mark: 0,
            last_id: 0,
            no_barrier: false,
            control_refused: 0,
        }
    }

    /// A direct way opened; the first is used at once, a later one after the dwell.
    pub(super) fn open(&mut self, sink: Arc<dyn DirectSink>, via: Url, now: Instant) {
        let usable_from = if self.had_direct { now + self.dwell } else { now };
        self.had_direct = true;
        self.direct = Some(Direct { sink, via, usable_from, is_in_use: false, announced: None });
    }

    pub(super) fn has_endpoints(&self) -> bool {
        self.endpoints.is_some()
    }

    pub(super) fn set_endpoints(&mut self, ours: Url, theirs: Url) {
        self.endpoints = Some(Endpoints { ours, theirs });
    }

    /// The lane of `stub`, made if it is new. O(stubs of this peer), usually one.
    pub(super) fn lane(&mut self, stub: &Arc<Stub>, now: Instant) -> Result<LaneIndex, SendError> {
        let found = self.find(stub);
        let index = found.map_or(self.lanes.len(), usize::from);
        if index == HANDOVER_STUBS_MAX {
            return Err(SendError::TooManyStubs { stubs_max: HANDOVER_STUBS_MAX });
        }
        if found.is_none() {
            // Usually the only one.
            self.lanes.reserve_exact(1);
            self.lanes.push(Lane::new(Arc::clone(stub), now));
        } else if !Arc::ptr_eq(&self.lanes[index].stub, stub) {
            // The same stub with a new queue: what the old queue held may be anywhere.
            self.lanes[index] = Lane::new(Arc::clone(stub), now);
        }
        self.home.get_or_insert(index as LaneIndex);
        Ok(index as LaneIndex)
    }

    /// The lane of `stub`, by identity or else by URL.
    pub(super) fn find(&self, stub: &Arc<Stub>) -> Option<LaneIndex> {
        let same = |lane: &Lane| Arc::ptr_eq(&lane.stub, stub);
        let found = self
            .lanes
            .iter()
            .position(same)
            .or_else(|| self.lanes.iter().position(|lane| lane.stub.url == stub.url));
        found.map(|index| index as LaneIndex)
    }

    pub(super) fn set_home(&mut self, lane: LaneIndex) {
        self.home = Some(lane);
    }

    /// The way for a message whose stub is `lane`.
    pub(super) fn choose(&self, lane: Option<LaneIndex>, now: Instant) -> Option<Way> {
        self.choose_if(self.is_clear(lane), lane, now)
    }

    /// The same for one that is known to wait, or not to, for its barrier.
    pub(super) fn choose_if(
        &self,
        is_free: bool,
        lane: Option<LaneIndex>,
        now: Instant,
    ) -> Option<Way> {
        let stub_way = lane.or(self.home).map(Way::Lane);
        let Some(direct) = &self.direct else { return stub_way };
        let waits = now < direct.usable_from || !is_free;
        match stub_way {
            Some(way) if waits => Some(way),
            _ => Some(Way::Direct),
        }
    }

    pub(super) fn is_clear(&self, lane: Option<LaneIndex>) -> bool {
        self.no_barrier || lane.is_none_or(|lane| self.lanes[usize::from(lane)].is_clear())
    }

    /// True if messages of some stub may not take the direct way yet.
    pub(super) fn has_barrier(&self) -> bool {
        !self.no_barrier && self.lanes.iter().any(|lane| !lane.is_clear())
    }

    /// Pushes into the stub of `lane`, or if that is closed for good, the home stub.
    pub(super) fn push_lane(&self, lane: LaneIndex, delivery: Delivery) -> Result<(), Refusal> {
        let home = self.home.filter(|home| *home != lane);
        let stub = |lane: LaneIndex| &self.lanes[usize::from(lane)].stub;
        let Some(home) = home else { return stub(lane).sink.push(delivery) };
        match stub(lane).sink.push(delivery.clone()) {
            Err(Refusal::Closed) => stub(home).sink.push(delivery),
            done => done,
        }
    }

    /// Sends `control`; true if some sink took it.
    pub(super) fn send_control(&mut self, control: &Control, reach: Reach) -> bool {
        let text = control.to_string();
        let direct = self.push_direct(Bytes::copy_from_slice(text.as_bytes()));
        if direct && reach == Reach::One {
            return true;
        }
        let stub = self.home.is_some_and(|home| self.control_by_stub(home, text));
        let taken = direct || stub;
        self.control_refused += u64::from(!taken);
        taken
    }

    /// The same by the direct way only; what it has no room for counts as not said.
    pub(super) fn send_control_direct(&self, control: &Control) -> bool {
        self.push_direct(control.to_string().into())
    }

    fn push_direct(&self, text: Bytes) -> bool {
        self.direct.as_ref().is_some_and(|direct| direct.sink.push_control(text).is_ok())
    }

    /// Sends a marker through `lane` itself.
    pub(super) fn mark_lane(&mut self, lane: LaneIndex, stream: u128, upto: u64, now: Instant) {
        let mark = self.next_mark();
        let control = Control::Marker { stream, mark, upto };
        let again = now + HANDOVER_PROBE_WAIT;
        self.lanes[usize::from(lane)].marked(mark, again);
        if !self.control_by_stub(lane, control.to_string()) {
            self.control_refused += 1;
        }
    }

    /// A marker number that was not used before.
    pub(super) fn next_mark(&mut self) -> u64 {
        self.last_mark += 1;
        self.last_mark
    }

    /// Control by MN: an `update` from our P2P stub to `<their P2P stub>/path`.
    fn control_by_stub(&mut self, lane: LaneIndex, text: String) -> bool {
        let Some(Endpoints { ours, theirs }) = &self.endpoints else { return false };
        let Ok(to) = theirs.join("path") else { return false };
        let mut bytes = text.into_bytes();
        let Ok(body) = simd_json::to_owned_value(&mut bytes) else { return false };
        self.last_id += 1;
        let id = self.last_id.to_string();
        let message = compose(&id, "update", ours.as_str(), to.as_str(), Some(&body));
        let delivery = Delivery { message, ingress: Ingress::LOCAL, hop: None };
        self.lanes[usize::from(lane)].stub.sink.push(delivery).is_ok()
    }
}
