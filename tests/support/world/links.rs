//! Direct links: who dials whom, what is under way, how a link ends.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use hyperty_router::{
    link::{Outbox, Outgoing},
    ua::P2pIngress,
};

use super::{Flight, LINK_LATENCY, Party, World, due, take_run::take_run};

/// A direct link between two runtimes.
pub(crate) struct Link {
    pub(crate) ends: [End; 2],
    /// When both sides notice that it is cut; what is sent meanwhile is lost.
    pub(super) noticed_at: Option<Instant>,
}

/// One side of a link.
pub(crate) struct End {
    pub(crate) party: usize,
    pub(super) connection: u64,
    pub(super) queue: Arc<Outbox<Outgoing>>,
    pub(super) flight: Flight<Outgoing>,
    pub(super) ingress: P2pIngress,
}

pub(super) struct Dial {
    pub(super) party: usize,
    pub(super) connection: u64,
    pub(super) fingerprint: String,
}

pub(super) struct Expect {
    pub(super) party: usize,
    pub(super) connection: u64,
    pub(super) fingerprint: String,
}

impl World {
    /// Joins whoever dials with whoever expects them, as the keys say.
    pub(super) fn join(&mut self) {
        let key = |party: &Party| party.description.fingerprint.clone();
        let met = self.dials.iter().enumerate().find_map(|(at, dial)| {
            let fits = |expect: &Expect| {
                dial.fingerprint == key(&self.parties[expect.party])
                    && expect.fingerprint == key(&self.parties[dial.party])
            };
            Some((at, self.expects.iter().position(fits)?))
        });
        let Some((dial, expect)) = met else { return };
        let (dial, expect) = (self.dials.remove(dial), self.expects.remove(expect));
        let sides = [(dial.party, dial.connection), (expect.party, expect.connection)];
        let queues = [(); 2].map(|()| Arc::new(Outbox::new(1 << 16, 64 << 20)));
        let mut ends = Vec::new();
        for ((party, connection), queue) in sides.into_iter().zip(queues) {
            let up = self.parties[party].ua.link_up(connection, queue.clone(), self.now);
            if let Some(ingress) = up {
                let flight = VecDeque::new();
                ends.push(End { party, connection, queue, flight, ingress });
            }
        }
        match <[End; 2]>::try_from(ends) {
            Ok(ends) => self.links.push(Link { ends, noticed_at: None }),
            Err(ends) => {
                for end in ends {
                    end.queue.close();
                    self.parties[end.party].ua.link_down(end.connection, "refused", self.now);
                }
            }
        }
    }

    /// Puts `item` on its way from `party` on its link, as if its runtime had sent it.
    pub(crate) fn inject(&mut self, party: usize, item: Outgoing) {
        let mut ends = self.links.iter_mut().flat_map(|link| &mut link.ends);
        let end = ends.find(|end| end.party == party).expect("a link");
        end.flight.push_back((self.now + LINK_LATENCY, item));
    }

    /// One side closes its connection, or gives up before there was one.
    pub(super) fn close(&mut self, party: usize, connection: u64, reason: &str) {
        self.dials.retain(|of| (of.party, of.connection) != (party, connection));
        self.expects.retain(|of| (of.party, of.connection) != (party, connection));
        let is = |end: &End| (end.party, end.connection) == (party, connection);
        if let Some(at) = self.links.iter().position(|link| link.ends.iter().any(is)) {
            self.break_link(at, reason);
        }
    }

    pub(super) fn break_link(&mut self, at: usize, reason: &str) {
        for end in self.links.remove(at).ends {
            end.queue.close();
            self.parties[end.party].ua.link_down(end.connection, reason, self.now);
        }
    }

    pub(super) fn carry_links(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        let mut broken = Vec::new();
        for (at, link) in self.links.iter_mut().enumerate() {
            let lost = link.noticed_at.is_some();
            for end in &mut link.ends {
                let mut queued = Vec::new();
                end.queue.try_drain(&mut queued, 256);
                moved |= !queued.is_empty();
                if !lost {
                    end.flight.extend(queued.into_iter().map(|item| (now + LINK_LATENCY, item)));
                }
            }
            let [a, b] = &mut link.ends;
            for fault in [carry(a, b, now, &mut moved), carry(b, a, now, &mut moved)] {
                broken.extend(fault.map(|fault| (at, fault)));
            }
            if link.noticed_at.is_some_and(|at| at <= now) {
                broken.push((at, "cut".to_owned()));
            }
        }
        broken.dedup_by_key(|(at, _)| *at);
        for (at, reason) in broken.into_iter().rev() {
            moved = true;
            self.break_link(at, &reason);
        }
        moved
    }
}

/// What is due from one end to the other, messages that come together in one run as a transport's reader has
/// them; the fault that ends the link.
fn carry(from: &mut End, to: &mut End, now: Instant, moved: &mut bool) -> Option<String> {
    let mut run = Vec::new();
    for item in due(&mut from.flight, now) {
        *moved = true;
        let taken = match item {
            Outgoing::Message { bytes, hop } => {
                run.push((hop.map_or(0, |hop| hop.number), bytes));
                Ok(())
            }
            Outgoing::Control(control) => {
                let taken = take_run(&mut to.ingress, &mut run, now);
                taken.and_then(|()| to.ingress.on_control(&control, now))
            }
        };
        if let Err(fault) = taken {
            return Some(fault.to_string());
        }
    }
    take_run(&mut to.ingress, &mut run, now).err().map(|fault| fault.to_string())
}
