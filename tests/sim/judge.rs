//! What must hold while a world runs and when it has come to rest.

use std::{sync::atomic::Ordering, time::Duration};

use hyperty_router::{address::Url, link::Path, ua::Load};

use super::{party::Party, report::Report, world::World};

/// From acceptance to the end of a message.
const DEADLINE: Duration = Duration::from_secs(10);
/// A hold-back that a path could resolve does so within the deadline.
const HELD_MAX: Duration = Duration::from_secs(10);

impl World {
    /// Notes which paths work now.
    pub(super) fn watch_paths(&mut self) {
        for (from, to) in self.pairs() {
            let [one, other] = [&self.parties[from], &self.parties[to]];
            let lives = one.is_running() && other.is_running();
            let takes = other.full_percent.load(Ordering::Relaxed) == 0;
            let by_node = lives && takes && self.reaches(from, to) && self.reaches(to, from);
            let direct =
                lives && takes && self.has_good_link(from, to) && self.has_turned(from, to);
            self.ledger.paths((from, to), by_node, direct, self.age());
        }
    }

    /// By the Message Node of `to`'s domain: both have a session there that works.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let home = &self.parties[to].legs[0];
        let at = self.parties[from].legs.iter().find(|leg| leg.node == home.node);
        self.nodes[home.node].up && home.is_good() && at.is_some_and(|leg| leg.is_good())
    }

    fn has_turned(&self, from: usize, to: usize) -> bool {
        let via = |from, to| self.peer(from, to).is_some_and(|peer| peer.via().is_some());
        via(from, to) && via(to, from)
    }

    /// No message is open for longer than the deadline, and nothing is held back for longer while a path
    /// works.
    pub(crate) fn check_stalls(&mut self) -> Result<(), String> {
        let now = self.age();
        for (from, to) in self.pairs() {
            if !self.parties[from].is_running() {
                continue;
            }
            let Some(peer) = self.peer(from, to) else { continue };
            if let Some(since) = peer.waiting_since().filter(|at| *at + DEADLINE < self.now) {
                let since = since - self.start;
                return Err(format!("{from} to {to}: a message waits since {since:?} at {now:?}"));
            }
            let taken = peer.counters().taken;
            if peer.held_back().0 == 0 {
                self.held_since.remove(&(from, to));
                continue;
            }
            let since = self.held_since.entry((from, to)).or_insert((now, taken));
            if since.1 != taken {
                *since = (now, taken);
            }
            let since = since.0;
            if since + HELD_MAX < now && self.ledger.works_since((to, from), since) {
                return Err(format!("{from} holds {:?} back since {since:?}", peer.held_back()));
            }
        }
        Ok(())
    }

    /// Everybody's messages to everybody are numbered and take the direct way.
    pub(crate) fn all_is_well(&self) -> bool {
        let direct = |(from, to): (usize, usize)| {
            let bus = self.parties[from].ua.bus();
            let takes = |url: Url| {
                let report = bus.path_of(&url.address(), self.now);
                report.peer.is_some_and(|of| of.numbered && of.path == Some(Path::P2p))
            };
            self.hyperties(to).all(takes)
        };
        self.parties.iter().all(|party| party.ready) && self.pairs().all(direct)
    }

    /// For a failed expectation.
    pub(crate) fn describe(&self) -> String {
        let pairs = self.pairs().map(|(from, to)| match self.peer(from, to) {
            None => format!("{from} does not know {to}"),
            Some(peer) => format!(
                "{from} to {to}: numbered {}, via {:?}, open {:?}, held {:?}",
                peer.is_numbered(),
                peer.via(),
                peer.unacknowledged(),
                peer.held_back()
            ),
        });
        let ready: Vec<bool> = self.parties.iter().map(|party| party.ready).collect();
        format!("ready {ready:?}; {}", pairs.collect::<Vec<_>>().join("; "))
    }

    /// Nothing is open, held back, queued or under way; and every message has had its end.
    pub(crate) fn check_rest(&mut self) -> Result<(), String> {
        let lives = self.lives();
        self.ledger.judge(&lives)?;
        for (from, to) in self.pairs() {
            let Some(peer) = self.peer(from, to) else { continue };
            let counters = peer.counters();
            if counters.accepted != counters.delivered + counters.returned + counters.in_doubt {
                return Err(format!("the ends do not add up: {counters:?}"));
            }
            if peer.unacknowledged() != (0, 0) || peer.held_back() != (0, 0) {
                return Err(format!("left over: {}", self.describe()));
            }
        }
        let legs = self.parties.iter().flat_map(|party| &party.legs);
        let idle = |leg: &super::party::Leg| {
            leg.queue.len() == 0 && leg.up.is_empty() && leg.down.is_empty()
        };
        if !legs.into_iter().all(idle)
            || self.links.iter().any(|link| link.ends.iter().any(|end| !end.flight.is_empty()))
        {
            return Err("something is still under way".to_owned());
        }
        Ok(())
    }

    /// After everybody has shut down: no session, no subscription, nothing in any queue, table or timer.
    pub(crate) fn check_left_over(&self) -> Result<(), String> {
        for node in &self.nodes {
            let of = node.node.metrics();
            let left = [of.sockets, of.sessions, of.subscriptions, of.queue_items, of.queue_bytes];
            if left != [0; 5] {
                return Err(format!("left over at {}: {of:?}", node.domain));
            }
        }
        for (at, party) in self.parties.iter().enumerate() {
            let load = party.ua.load();
            if load != Load::default() {
                return Err(format!("left over in {at}: {load:?}; {}", self.describe()));
            }
        }
        let queued = |party: &Party| party.legs.iter().map(|leg| leg.queue.len()).sum::<usize>();
        let queued: usize = self.parties.iter().map(queued).sum();
        let links = (self.links.len(), self.dials.len(), self.expects.len());
        if (queued, links) != (0, (0, 0, 0)) {
            return Err(format!("left over: {queued} in stubs, links {links:?}"));
        }
        Ok(())
    }

    /// What this run did.
    pub(crate) fn report(&mut self) -> Report {
        for party in 0..self.parties.len() {
            self.add_counters(party);
        }
        let lives = self.lives();
        let read = Report::read(&self.ledger, &lives);
        let mut report = self.report;
        report.seconds = (self.now - self.start).as_secs();
        report.add(&read);
        report
    }
}
