//! What is planned to happen in a world, and how it is carried out: messages, faults, deaths.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hyperty_router::{
    address::{Address, Url},
    link::Ingress,
    node::{MessageNode, Socket},
};

use super::{
    ledger::Line,
    legs::server_notices,
    party::{HYPERTIES, hyperty},
    world::World,
};

/// What is planned to happen.
pub(crate) enum Action {
    /// So many messages from one runtime to another.
    Burst {
        from: usize,
        to: usize,
        count: u64,
    },
    /// A link is cut, in both directions or one, and its ends notice within `notice`.
    Cut {
        half: bool,
        notice: Duration,
    },
    /// A leg breaks, is noticed by its client and its server after a while, and can't be made again for
    /// `out`.
    Leg {
        party: usize,
        leg: usize,
        client: Duration,
        server: Duration,
        out: Duration,
    },
    ServerNotices {
        node: Arc<MessageNode>,
        socket: Arc<Socket>,
    },
    NodeStops {
        node: usize,
        down: Duration,
        forget: bool,
    },
    NodeStarts {
        node: usize,
        forget: bool,
    },
    /// A process dies, and is back after a while as another one.
    Kill {
        party: usize,
        dead: Duration,
    },
    Revive {
        party: usize,
    },
    /// A process does not get to run for a while, and has missed all its time-outs when it does again.
    Freeze {
        party: usize,
        span: Duration,
    },
    Thaw {
        party: usize,
        life: u32,
    },
    /// The listeners of a runtime refuse so many of a hundred.
    Full {
        party: usize,
        percent: u64,
    },
    /// So many dials of a hundred fail.
    DialsFail {
        percent: u64,
    },
    /// No more faults.
    Calm,
}

impl World {
    /// What is planned for now.
    pub(super) fn act(&mut self) -> bool {
        let mut moved = false;
        while let Some(entry) = self.plan.first_entry().filter(|entry| entry.key().0 <= self.now) {
            moved = true;
            let action = entry.remove();
            self.carry_out(action);
        }
        moved
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Burst { from, to, count } => (0..count).for_each(|_| self.post(from, to)),
            Action::Cut { half, notice } => {
                if !self.links.is_empty() {
                    let link = self.dice.between(0, self.links.len() as u64) as usize;
                    let half = half.then(|| self.dice.between(0, 2) as usize);
                    self.cut(link, half, notice);
                }
            }
            Action::Leg { party, leg, client, server, out } => {
                let leg = leg % self.parties[party].legs.len();
                self.parties[party].legs[leg].out_until = Some(self.now + out);
                self.break_leg(party, leg, client, server);
            }
            Action::ServerNotices { node, socket } => server_notices(&node, &socket, self.now),
            Action::NodeStops { node, down, forget } => {
                let node = node % self.nodes.len();
                if self.nodes[node].up {
                    self.stop_node(node, down, forget);
                }
            }
            Action::NodeStarts { node, forget } => self.start_node(node, forget),
            Action::Kill { party, dead } => self.kill(party, dead),
            Action::Revive { party } => {
                let life = self.parties[party].life + 1;
                self.parties[party] = self.new_party(party, life);
            }
            Action::Freeze { party, span } => self.freeze(party, span),
            Action::Thaw { party, life } => {
                let of = &mut self.parties[party];
                of.frozen &= of.life != life;
                self.join();
            }
            Action::Full { party, percent } => {
                self.parties[party].full_percent.store(percent, Ordering::Relaxed);
            }
            Action::DialsFail { percent } => self.dial_fail_percent = percent,
            Action::Calm => self.calm(),
        }
    }

    fn calm(&mut self) {
        self.dial_fail_percent = 0;
        for party in &mut self.parties {
            party.full_percent.store(0, Ordering::Relaxed);
            party.legs.iter_mut().for_each(|leg| leg.out_until = None);
        }
    }

    fn kill(&mut self, party: usize, dead: Duration) {
        if !std::mem::take(&mut self.parties[party].alive) {
            return;
        }
        self.parties[party].frozen = false;
        self.report.deaths += 1;
        self.add_counters(party);
        for leg in 0..self.parties[party].legs.len() {
            let server = Duration::from_micros(self.dice.between(0, 2_000_000));
            self.break_leg(party, leg, Duration::ZERO, server);
        }
        self.kill_ends(party);
        self.ledger.new_life(party);
        self.held_since.clear();
        self.plan(self.now + dead, Action::Revive { party });
    }

    fn freeze(&mut self, party: usize, span: Duration) {
        let of = &mut self.parties[party];
        if !of.alive || std::mem::replace(&mut of.frozen, true) {
            return;
        }
        self.report.freezes += 1;
        let life = of.life;
        self.fall_silent(party, span);
        self.plan(self.now + span, Action::Thaw { party, life });
    }

    /// Posts one message.
    pub(super) fn post(&mut self, from: usize, to: usize) {
        if !self.parties[from].is_running() {
            return;
        }
        let dice = self.dice.clone();
        let ends = [0; 2].map(|_| dice.between(0, HYPERTIES as u64) as usize);
        let url = |party: usize, which| hyperty(&self.homes[party][0].0, party, which);
        let target = Url::parse(&url(to, ends[1])).unwrap();
        let text = format!(
            r#"{{"type":"update","from":"{}","to":"{target}","body":{{"n":{},"p":"{:x<3$}"}}}}"#,
            url(from, ends[0]),
            self.ledger.lines.len(),
            "",
            dice.between(0, 300) as usize,
        );
        self.trace.note(self.clock.age(), "post", from, text.as_bytes());
        let bus = self.parties[from].ua.bus().clone();
        let accepted =
            |address: &Address<'_>| bus.peer_of(address).map_or(0, |peer| peer.counters().accepted);
        let before = accepted(&target.address());
        let posted = bus.post(text.into(), Ingress::LOCAL, self.now);
        let numbered = accepted(&target.address()) > before;
        match posted.map(|posted| posted.first_error().cloned()) {
            Ok(None) => {
                let life = if numbered { self.stream_life(from, to) } else { None };
                self.ledger.lines.push(Line {
                    from: (from, ends[0]),
                    to: (to, ends[1]),
                    lives: (self.parties[from].life, life.unwrap_or(self.parties[to].life)),
                    at: self.age(),
                    numbered,
                    heard: None,
                    ended: None,
                    epilogue: self.epilogue,
                });
            }
            Ok(Some(_)) if numbered => self.violation("refused, and yet numbered".to_owned()),
            Ok(Some(error)) if error.is_full() => self.ledger.refused += 1,
            other => self.violation(format!("not taken: {other:?}")),
        }
        self.check_window(from, to);
    }

    /// The life of `to` that gave the stream which `from` numbers by now; none if it was never seen to be
    /// known.
    fn stream_life(&mut self, from: usize, to: usize) -> Option<u32> {
        let stream = self.peer(from, to)?.stream()?;
        if self.parties[to].alive && self.peer(to, from).is_some_and(|peer| peer.receives(stream)) {
            self.given.insert(stream, self.parties[to].life);
        }
        Some(self.given.get(&stream).copied().unwrap_or(u32::MAX - 1))
    }

    /// In doubt is never more than a window may have unacknowledged.
    pub(super) fn doubt(&mut self, number: usize, bytes: usize) {
        let line = &self.ledger.lines[number];
        let direction = (line.from.0, line.to.0);
        let at = self.in_doubt.entry(direction).or_insert((self.now, 0, 0));
        if at.0 != self.now {
            *at = (self.now, 0, 0);
        }
        *at = (self.now, at.1 + 1, at.2 + bytes);
        let (_, messages, bytes) = *at;
        if messages > 1 && bytes > self.choice.hand_over.window_bytes {
            self.violation(format!("{bytes} bytes of {direction:?} are in doubt at once"));
        }
    }

    /// The unacknowledged bytes never exceed what the receiver stated.
    fn check_window(&mut self, from: usize, to: usize) {
        let Some(peer) = self.peer(from, to) else { return };
        let (messages, bytes) = peer.unacknowledged();
        if messages > 1 && bytes > self.choice.hand_over.window_bytes {
            self.violation(format!("{from} has {bytes} bytes unacknowledged"));
        }
    }

    /// What the peers of a process counted goes into the report.
    pub(super) fn add_counters(&mut self, party: usize) {
        for other in (0..self.parties.len()).filter(|other| *other != party) {
            if let Some(peer) = self.peer(party, other) {
                let counters = peer.counters();
                self.report.resent += counters.resent;
                self.report.duplicates_dropped += counters.duplicate;
            }
        }
    }
}
