//! A stub that a peer's messages take, and whether plain messages may still be under way by it.

use std::{sync::Arc, time::Instant};

use crate::link::Stub;

/// One stub and its barrier (law "Barrier").
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) stub: Arc<Stub>,
    /// True when nothing plain can still be under way by this stub.
    clear: bool,
    /// By then the last plain message had been given to it, as far as is known.
    raised_at: Instant,
    /// A number that was accepted, and first sent through this stub, after its last plain message.
    number: Option<u64>,
    /// The last marker sent through this stub after its last plain message, and when to repeat it.
    mark: Option<(u64, Instant)>,
}

impl Lane {
    /// A stub that may have carried plain messages before anybody looked.
    pub(super) fn new(stub: Arc<Stub>, now: Instant) -> Self {
        Lane { stub, clear: false, raised_at: now, number: None, mark: None }
    }

    /// True when its messages may take the direct way.
    pub(super) fn is_clear(&self) -> bool {
        self.clear
    }

    /// A plain message took this stub, or may have.
    pub(super) fn raise(&mut self, now: Instant) {
        // Another thread may have looked at the clock before.
        self.raised_at = self.raised_at.max(now);
        (self.clear, self.number, self.mark) = (false, None, None);
    }

    /// By then the last plain message had been given to it, as far as is known.
    pub(super) fn raised_at(&self) -> Instant {
        self.raised_at
    }

    /// The stream changed, so numbers and marks of the old one prove nothing.
    pub(super) fn forget_marks(&mut self) {
        (self.number, self.mark) = (None, None);
    }

    /// `number`, accepted at `accepted_at`, was sent through this stub, and nowhere before.
    ///
    /// One that was accepted before the last plain message proves nothing: it may lapse, go the direct way,
    /// and be acknowledged while that one is still under way.
    pub(super) fn passed(&mut self, number: u64, accepted_at: Instant) {
        if !self.clear && self.number.is_none() && accepted_at >= self.raised_at {
            self.number = Some(number);
        }
    }

    /// Marker `mark` was sent through this stub; it is due again at `again`.
    pub(super) fn marked(&mut self, mark: u64, again: Instant) {
        self.mark = Some((mark, again));
    }

    /// When the next marker is due; `now` if none was sent.
    pub(super) fn mark_due(&self, now: Instant) -> Option<Instant> {
        (!self.clear).then(|| self.mark.map_or(now, |(_, again)| again))
    }

    /// Everything up to `number` is acknowledged. True if that lifts the barrier.
    pub(super) fn acknowledged(&mut self, number: u64) -> bool {
        let lifts = self.number.is_some_and(|first| first <= number);
        self.lift_if(lifts)
    }

    /// The answer to marker `mark` came. True if that lifts the barrier.
    pub(super) fn answered(&mut self, mark: u64) -> bool {
        let lifts = self.mark.is_some_and(|(sent, _)| sent == mark);
        self.lift_if(lifts)
    }

    /// Lifts the barrier whatever may be under way.
    pub(super) fn lapse(&mut self) {
        self.lift_if(true);
    }

    fn lift_if(&mut self, lifts: bool) -> bool {
        let lifted = lifts && !self.clear;
        self.clear |= lifts;
        lifted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        address::Url,
        link::{LinkId, Outbox, Outgoing},
    };

    /// A message that is older than the last plain one may be acknowledged though that one is under way.
    #[test]
    fn only_what_was_accepted_after_the_last_plain_message_lifts_a_barrier() {
        let queue: Arc<Outbox<Outgoing>> = Arc::new(Outbox::new(1, 1));
        let stub = Stub {
            url: Url::parse("runtime://a/1/protostub/d").unwrap(),
            domain: "d".into(),
            link: LinkId(1),
            sink: queue,
        };
        let (start, later) = (Instant::now(), Duration::from_secs(1));
        let mut lane = Lane::new(Arc::new(stub), start);
        lane.raise(start + later);
        lane.passed(7, start);
        assert!(!lane.acknowledged(7) && !lane.is_clear());
        lane.passed(8, start + later);
        assert!(!lane.acknowledged(7) && !lane.is_clear());
        assert!(lane.acknowledged(8) && lane.is_clear());
    }
}
