//! Direct links: who dials whom, what is under way, how a link dies. Each direction can die alone, each end
//! notices in its own time, and some of what was under way may still arrive after that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    link::{Outbox, Outgoing},
    ua::P2pIngress,
};

use super::{
    party::{Flight, landed, launch},
    world::World,
};
use crate::take_run::take_run;

/// A direct link between two process lives.
pub(crate) struct Link {
    pub(crate) ends: [End; 2],
}

/// One end of a link, and what is under way from it.
pub(crate) struct End {
    pub(crate) party: usize,
    life: u32,
    connection: u64,
    queue: Arc<Outbox<Outgoing>>,
    pub(crate) flight: Flight<Outgoing>,
    /// What leaves here from now on is lost.
    pub(crate) deaf: bool,
    notices_at: Option<Instant>,
    /// The runtime knows that it is gone.
    pub(crate) closed: bool,
    ingress: P2pIngress,
}

/// A runtime that dials, or expects to be dialled.
pub(crate) struct Waiting {
    party: usize,
    life: u32,
    connection: u64,
    /// The key of the other.
    fingerprint: String,
    /// A dial gives up then.
    until: Option<Instant>,
}

impl World {
    pub(super) fn dial(&mut self, party: usize, connection: u64, fingerprint: String) {
        if self.dice.chance(self.dial_fail_percent) {
            let now = self.now;
            self.parties[party].ua.link_down(connection, "nobody answers there", now);
            return;
        }
        let life = self.parties[party].life;
        let until = Some(self.now + Duration::from_secs(3));
        self.dials.push(Waiting { party, life, connection, fingerprint, until });
        self.join();
    }

    pub(super) fn expect(&mut self, party: usize, connection: u64, fingerprint: String) {
        let life = self.parties[party].life;
        self.expects.push(Waiting { party, life, connection, fingerprint, until: None });
        self.join();
    }

    /// Joins whoever dials with whoever expects them, as the keys say.
    pub(super) fn join(&mut self) {
        let key = |of: &Waiting| {
            let party = &self.parties[of.party];
            (party.is_running() && party.life == of.life).then_some(&party.description.fingerprint)
        };
        let met = self.dials.iter().enumerate().find_map(|(at, dial)| {
            let fits = |expect: &Waiting| {
                key(expect) == Some(&dial.fingerprint) && key(dial) == Some(&expect.fingerprint)
            };
            Some((at, self.expects.iter().position(fits)?))
        });
        let Some((dial, expect)) = met else { return };
        let sides = [self.dials.remove(dial), self.expects.remove(expect)];
        let mut ends = Vec::new();
        for Waiting { party, life, connection, .. } in sides {
            let queue = Arc::new(Outbox::new(self.link_items, 1 << 20));
            match self.parties[party].ua.link_up(connection, queue.clone(), self.now) {
                Some(ingress) => ends.push(End {
                    party,
                    life,
                    connection,
                    queue,
                    flight: Flight::new(),
                    deaf: false,
                    notices_at: None,
                    closed: false,
                    ingress,
                }),
                None => self.parties[party].ua.link_down(connection, "refused", self.now),
            }
        }
        self.trace.note(self.clock.age(), "join", ends.len(), b"");
        match <[End; 2]>::try_from(ends) {
            Ok(ends) => {
                self.report.links += 1;
                self.links.push(Link { ends });
            }
            Err(ends) => {
                for end in ends {
                    end.queue.close();
                    self.parties[end.party].ua.link_down(end.connection, "refused", self.now);
                }
            }
        }
    }

    /// A runtime closes its connection, or gives up before there was one.
    pub(super) fn close(&mut self, party: usize, connection: u64) {
        let life = self.parties[party].life;
        let is = |of: &Waiting| (of.party, of.life, of.connection) == (party, life, connection);
        self.dials.retain(|of| !is(of));
        self.expects.retain(|of| !is(of));
        for link in 0..self.links.len() {
            for side in 0..2 {
                let end = &self.links[link].ends[side];
                if (end.party, end.life, end.connection) == (party, life, connection) && !end.closed
                {
                    self.close_end(link, side);
                    return;
                }
            }
        }
    }

    /// One end is closed; the other hears of it, or misses it.
    fn close_end(&mut self, link: usize, side: usize) {
        let (now, dice) = (self.now, self.dice.clone());
        let silence = Duration::from_micros(dice.between(0, 1_000_000));
        let heard = Duration::from_micros(self.link_delay.1);
        let link = &mut self.links[link];
        let end = &mut link.ends[side];
        (end.closed, end.notices_at) = (true, None);
        end.queue.close();
        let is_told = !end.deaf;
        end.deaf = true;
        let other = &mut link.ends[1 - side];
        let at = now + if is_told { heard } else { silence };
        if !other.closed {
            other.notices_at = Some(other.notices_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// Cuts one link, in both directions or (`half`) in one. Some of what is under way may still arrive,
    /// late.
    pub(super) fn cut(&mut self, link: usize, half: Option<usize>, notice: Duration) {
        let (now, dice) = (self.now, self.dice.clone());
        for side in (0..2).filter(|side| half.is_none_or(|half| half == *side)) {
            let end = &mut self.links[link].ends[side];
            if end.deaf {
                continue;
            }
            end.deaf = true;
            let kept = dice.between(0, 2 * end.flight.len() as u64 + 1) as usize;
            end.flight.truncate(kept.saturating_sub(3));
            let late = Duration::from_micros(dice.between(0, 1_500_000));
            end.flight.iter_mut().for_each(|(at, _)| *at += late);
        }
        for end in &mut self.links[link].ends {
            let at = now + Duration::from_micros(dice.between(0, notice.as_micros() as u64));
            if !end.closed {
                end.notices_at.get_or_insert(at);
            }
        }
    }

    /// The process behind `party` is gone, and with it its ends of all links.
    pub(super) fn kill_ends(&mut self, party: usize) {
        let (now, dice) = (self.now, self.dice.clone());
        self.dials.retain(|of| of.party != party);
        self.expects.retain(|of| of.party != party);
        for link in &mut self.links {
            let Some(side) = link.ends.iter().position(|end| end.party == party) else { continue };
            let end = &mut link.ends[side];
            (end.closed, end.deaf, end.notices_at) = (true, true, None);
            let other = &mut link.ends[1 - side];
            (other.deaf, other.flight) = (true, Flight::new());
            let notices = now + Duration::from_micros(dice.between(0, 1_000_000));
            if !other.closed {
                other.notices_at.get_or_insert(notices);
            }
        }
    }

    /// The process behind `party` does not run for `span`: who is connected with it hears nothing, and so
    /// does it itself when it runs again, if that is long.
    pub(super) fn fall_silent(&mut self, party: usize, span: Duration) {
        let (now, dice) = (self.now, self.dice.clone());
        for link in &mut self.links {
            let Some(side) = link.ends.iter().position(|end| end.party == party) else { continue };
            let patience = Duration::from_micros(dice.between(750_000, 1_000_000));
            if span < patience {
                continue;
            }
            // What it finds in its socket when it runs again may come before it looks at the time, or after.
            let wakes = dice.chance(50).then_some(now + span);
            for (side, at) in [(1 - side, Some(now + patience)), (side, wakes)] {
                let end = &mut link.ends[side];
                if let Some(at) = at.filter(|_| !end.closed) {
                    end.notices_at = Some(end.notices_at.map_or(at, |earlier| earlier.min(at)));
                }
            }
        }
    }

    pub(super) fn carry_links(&mut self) -> bool {
        let mut moved = false;
        for link in 0..self.links.len() {
            for side in 0..2 {
                moved |= self.launch_frames(link, side);
                moved |= self.land_frames(link, side);
            }
            for side in 0..2 {
                moved |= self.notice(link, side);
            }
        }
        let gone = |end: &End| end.closed && end.flight.is_empty();
        self.links.retain(|link| !link.ends.iter().all(gone));
        let now = self.now;
        while let Some(at) = self.dials.iter().position(|of| {
            of.until.is_some_and(|until| until <= now) && !self.parties[of.party].frozen
        }) {
            let Waiting { party, connection, .. } = self.dials.remove(at);
            self.parties[party].ua.link_down(connection, "nobody answers there", now);
            moved = true;
        }
        moved
    }

    fn launch_frames(&mut self, link: usize, side: usize) -> bool {
        let (now, dice) = (self.now, self.dice.clone());
        let (least, most) = self.link_delay;
        let end = &self.links[link].ends[side];
        if end.queue.is_empty() || self.is_frozen(end.party, end.life) {
            return false;
        }
        let end = &mut self.links[link].ends[side];
        let mut queued = Vec::new();
        end.queue.try_drain(&mut queued, 64);
        for frame in queued {
            if end.deaf {
                continue;
            }
            let at = now + Duration::from_micros(dice.between(least, most));
            if dice.chance(self.duplicate_percent) {
                launch(&mut end.flight, at, frame.clone());
            }
            launch(&mut end.flight, at, frame);
        }
        if !end.closed {
            end.ingress.on_room(now);
        }
        true
    }

    /// What has arrived, messages that come together in one run as a transport's reader has them.
    fn land_frames(&mut self, link: usize, side: usize) -> bool {
        let now = self.now;
        let mut moved = false;
        let mut run = Vec::new();
        let to = &self.links[link].ends[1 - side];
        if self.is_frozen(to.party, to.life) {
            return false;
        }
        while let Some(frame) = landed(&mut self.links[link].ends[side].flight, now) {
            moved = true;
            let party = self.links[link].ends[1 - side].party;
            match frame {
                Outgoing::Message { bytes, hop } => {
                    self.trace.note(self.clock.age(), "direct", party, &bytes);
                    run.push((hop.map_or(0, |hop| hop.number), bytes));
                }
                Outgoing::Control(control) => {
                    self.trace.note(self.clock.age(), "control", party, &control);
                    self.take_frames((link, 1 - side), &mut run, Some(&control));
                }
            }
        }
        if !run.is_empty() {
            self.take_frames((link, 1 - side), &mut run, None);
        }
        moved
    }

    /// One end takes a run of messages, and what of control stood behind it.
    fn take_frames(
        &mut self,
        (link, side): (usize, usize),
        run: &mut Vec<(u64, Bytes)>,
        control: Option<&[u8]>,
    ) {
        let now = self.now;
        let end = &mut self.links[link].ends[side];
        let party = end.party;
        if end.life != self.parties[party].life || !self.parties[party].alive {
            return run.clear();
        }
        let taken = take_run(&mut end.ingress, run, now);
        let taken =
            taken.and_then(|()| control.map_or(Ok(()), |of| end.ingress.on_control(of, now)));
        if let Err(fault) = taken {
            self.violation(format!("a link was at fault: {fault}"));
        }
        self.collect(party);
    }

    fn notice(&mut self, link: usize, side: usize) -> bool {
        let end = &self.links[link].ends[side];
        let waits = end.notices_at.is_none_or(|at| at > self.now);
        if end.closed || waits || self.is_frozen(end.party, end.life) {
            return false;
        }
        let (party, connection) = (end.party, end.connection);
        self.close_end(link, side);
        self.parties[party].ua.link_down(connection, "silent", self.now);
        self.collect(party);
        true
    }

    pub(super) fn next_of_links(&self) -> Option<Instant> {
        let links = self.links.iter().flat_map(|link| {
            let frozen = [0, 1].map(|side| {
                let end: &End = &link.ends[side];
                self.is_frozen(end.party, end.life)
            });
            link.ends.iter().enumerate().flat_map(move |(side, end)| {
                let flight = end.flight.front().map(|(at, _)| *at).filter(|_| !frozen[1 - side]);
                let queue = (!end.queue.is_empty()).then_some(self.now);
                let notices = end.notices_at.filter(|_| !end.closed);
                let own = [queue, notices].map(|at| at.filter(|_| !frozen[side]));
                [flight].into_iter().chain(own).flatten()
            })
        });
        let waiting = self.dials.iter().filter(|dial| !self.parties[dial.party].frozen);
        links.chain(waiting.filter_map(|dial| dial.until)).min()
    }

    /// The process life `life` of `party` does not get to run.
    fn is_frozen(&self, party: usize, life: u32) -> bool {
        self.parties[party].frozen && self.parties[party].life == life
    }

    /// A link between the two that works in both directions.
    pub(super) fn has_good_link(&self, one: usize, other: usize) -> bool {
        self.links.iter().any(|link| {
            let parties = [link.ends[0].party, link.ends[1].party];
            (parties == [one, other] || parties == [other, one])
                && link
                    .ends
                    .iter()
                    .all(|end| !end.deaf && !end.closed && end.life == self.parties[end.party].life)
        })
    }
}
