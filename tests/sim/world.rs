//! The world of one seed: runtimes, Message Nodes and links on a virtual clock, moved from event to event.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use hyperty_router::{
    address::{Address, Url},
    handover::{Config, Mutation, Peer},
    link::Ingress,
    node::{MessageNode, Socket},
    ua::Output,
};

use super::{
    dice::{Dice, Trace},
    ledger::{Ledger, Line},
    legs::{Node, new_node, server_notices},
    links::{Link, Waiting},
    party::{Choice, Clock, HYPERTIES, Party, hyperty, number_of},
    report::Report,
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
    /// A leg breaks, is noticed by its client and its server after a while, and can't be made again for `out`.
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

/// Everything there is.
pub(crate) struct World {
    pub(super) clock: Clock,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) dice: Dice,
    pub(super) trace: Trace,
    pub(super) nodes: Vec<Node>,
    pub(super) parties: Vec<Party>,
    /// For each runtime, the Message Nodes that it has stubs for, its own first.
    homes: Vec<Vec<(String, usize)>>,
    pub(super) links: Vec<Link>,
    pub(super) dials: Vec<Waiting>,
    pub(super) expects: Vec<Waiting>,
    plan: BTreeMap<(Instant, u64), Action>,
    planned: u64,
    pub(super) ledger: Ledger,
    pub(super) report: Report,
    violation: Option<String>,
    choice: Choice,
    /// Microseconds, from and to, of one way.
    pub(super) node_delay: (u64, u64),
    pub(super) link_delay: (u64, u64),
    pub(super) link_items: usize,
    pub(super) duplicate_percent: u64,
    pub(super) dial_fail_percent: u64,
    pub(super) epilogue: bool,
    /// Which life gave each stream.
    given: BTreeMap<u128, u32>,
    /// For each direction, how much the receiver had taken when its hold-back was last seen to move.
    pub(super) held_since: BTreeMap<(usize, usize), (Duration, u64)>,
}

impl World {
    pub(crate) fn new(seed: u64, mutation: Mutation, loud: bool) -> World {
        let dice = Dice::new(seed);
        let clock = Clock::new();
        let domains = if dice.chance(50) { 1 } else { 2 };
        let parties = if dice.chance(75) { 2 } else { 3 };
        let nodes = (0..domains).map(|at| {
            let domain = ["a.example", "b.example"][at].to_owned();
            Node { node: new_node(&domain, &dice), domain, up: true }
        });
        let nodes: Vec<Node> = nodes.collect();
        let homes = (0..parties).map(|party| {
            let own = party % domains;
            let order = (0..domains).map(|at| (own + at) % domains);
            order.map(|at| (nodes[at].domain.clone(), at)).collect()
        });
        let window = dice.pick(&[3_000, 20_000, 1 << 20]);
        let dwell = Duration::from_millis(dice.between(0, 5) * 100);
        let hand_over = Config { window_bytes: window, dwell, mutation, ..Config::default() };
        let queue_items = dice.pick(&[40, 300, 10_000]);
        let node_delay = dice.pick(&[(0, 1), (100, 3_000), (1_000, 40_000), (50_000, 300_000)]);
        let link_delay = dice.pick(&[(0, 1), (100, 4_000), (10_000, 80_000)]);
        let mut world = World {
            start: clock.now(),
            now: clock.now(),
            trace: Trace::new(loud),
            homes: homes.collect(),
            nodes,
            parties: Vec::new(),
            links: Vec::new(),
            dials: Vec::new(),
            expects: Vec::new(),
            plan: BTreeMap::new(),
            planned: 0,
            ledger: Ledger::default(),
            report: Report::default(),
            violation: None,
            choice: Choice { hand_over, queue_items },
            node_delay,
            link_delay,
            link_items: dice.pick(&[20, 200, 8_192]),
            duplicate_percent: dice.pick(&[0, 0, 10]),
            dial_fail_percent: 0,
            epilogue: false,
            given: BTreeMap::new(),
            held_since: BTreeMap::new(),
            clock,
            dice,
        };
        for party in 0..parties {
            let party = world.new_party(party, 0);
            world.parties.push(party);
        }
        world
    }

    /// Has `action` happen at `at`.
    pub(crate) fn plan(&mut self, at: Instant, action: Action) {
        self.planned += 1;
        self.plan.insert((at, self.planned), action);
    }

    /// Moves the clock from event to event, to `end`.
    pub(crate) fn run_until(&mut self, end: Instant) -> Result<(), String> {
        loop {
            self.settle()?;
            match self.next_event().filter(|at| *at <= end) {
                Some(at) => self.set_now(at),
                None => break,
            }
        }
        self.set_now(end);
        Ok(())
    }

    pub(crate) fn has_plans(&self) -> bool {
        !self.plan.is_empty()
    }

    /// When the last thing that is planned happens.
    pub(crate) fn planned_until(&self) -> Option<Instant> {
        self.plan.keys().next_back().map(|(at, _)| *at)
    }

    pub(super) fn violation(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// The peer of one runtime for another, if it knows it.
    pub(super) fn peer(&self, from: usize, to: usize) -> Option<Arc<Peer>> {
        self.parties[from].ua.bus().peer_of(&self.parties[to].url.address())
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let count = self.parties.len();
        let all = (0..count).flat_map(move |from| (0..count).map(move |to| (from, to)));
        all.filter(|(from, to)| from != to)
    }

    /// The Hyperties of a runtime.
    pub(super) fn hyperties(&self, party: usize) -> impl Iterator<Item = Url> + use<'_> {
        let url = move |which| hyperty(&self.homes[party][0].0, party, which);
        (0..HYPERTIES).map(move |which| Url::parse(&url(which)).unwrap())
    }

    pub(super) fn lives(&self) -> Vec<u32> {
        let life = |party: &Party| if party.alive { party.life } else { u32::MAX };
        self.parties.iter().map(life).collect()
    }

    /// Time since the world began.
    pub(super) fn age(&self) -> Duration {
        self.now - self.start
    }

    fn set_now(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.clock.set(self.now);
    }

    fn new_party(&mut self, party: usize, life: u32) -> Party {
        let homes = &self.homes[party];
        let mut party = Party::new(party, life, homes, self.choice, &self.dice, &self.clock);
        party.legs.iter_mut().for_each(|leg| leg.connect_at = Some(self.now));
        party
    }

    /// Everything that happens at this instant.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..20_000 {
            let mut moved = self.act();
            for party in 0..self.parties.len() {
                if self.parties[party].alive {
                    moved |= self.tend(party);
                    moved |= self.tend_legs(party);
                }
            }
            moved |= self.carry_links();
            for at in 0..self.nodes.len() {
                let node = self.nodes[at].node.clone();
                if node.poll_timeout().is_some_and(|due| due <= self.now) {
                    node.handle_timeout(self.now);
                    moved = true;
                }
            }
            self.watch_paths();
            if let Some(violation) = self.violation.take() {
                return Err(violation);
            }
            if !moved {
                return Ok(());
            }
        }
        Err("it does not come to rest".to_owned())
    }

    fn next_event(&self) -> Option<Instant> {
        let alive = self.parties.iter().enumerate().filter(|(_, party)| party.alive);
        let parties = alive.filter_map(|(at, party)| {
            party.ua.poll_timeout().into_iter().chain(self.next_of_legs(at)).min()
        });
        let nodes = self.nodes.iter().filter_map(|node| node.node.poll_timeout());
        let plan = self.plan.keys().next().map(|(at, _)| *at);
        parties.chain(nodes).chain(plan).chain(self.next_of_links()).min()
    }

    /// Time-outs, notes and outputs of one runtime.
    fn tend(&mut self, at: usize) -> bool {
        let now = self.now;
        let party = &mut self.parties[at];
        let mut moved = false;
        if party.ua.poll_timeout().is_some_and(|due| due <= now) {
            party.ua.handle_timeout(now);
            if party.ua.poll_timeout().is_some_and(|due| due <= now) {
                self.violation(format!("runtime {at}: handled, yet still due"));
            }
            moved = true;
        }
        let party = &mut self.parties[at];
        if !party.ua.inbox().is_empty() {
            party.ua.handle_notes(now);
            moved = true;
        }
        moved | self.collect(at)
    }

    /// Takes what a runtime wants and what its listeners heard.
    pub(super) fn collect(&mut self, at: usize) -> bool {
        let mut moved = false;
        while let Some(output) = self.parties[at].ua.poll_output() {
            moved = true;
            self.obey(at, output);
        }
        let heard = std::mem::take(&mut *self.parties[at].heard.lock());
        let life = self.parties[at].life;
        for of in heard {
            moved = true;
            self.trace.note(self.clock.age(), "heard", at, &of.number.to_le_bytes());
            if let Err(what) = self.ledger.heard(of.number, (at, life), of.path, self.age()) {
                self.violation(what);
            }
        }
        moved
    }

    fn obey(&mut self, at: usize, output: Output) {
        let age = self.clock.age();
        match output {
            Output::Ready => self.parties[at].ready = true,
            Output::Status { stub, value, .. } => {
                self.trace.note(age, value.word(), at, stub.as_str().as_bytes());
            }
            Output::Dial { connection, description } => {
                self.dial(at, connection, description.fingerprint);
            }
            Output::Expect { connection, fingerprint } => self.expect(at, connection, fingerprint),
            Output::Close { connection, .. } => self.close(at, connection),
            Output::Undelivered { message, code } => {
                let Some(number) = number_of(&message) else { return };
                self.trace.note(age, "ended", at, &[number as u8, (code - 500) as u8]);
                let lives = self.lives();
                if let Err(what) = self.ledger.ended(number, code, &lives, self.age()) {
                    self.violation(what);
                }
            }
            Output::Log(line) => self.trace.note(age, "log", at, line.as_bytes()),
        }
    }

    /// What is planned for now.
    fn act(&mut self) -> bool {
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

    /// Posts one message.
    pub(super) fn post(&mut self, from: usize, to: usize) {
        if !self.parties[from].alive {
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

    /// The life of `to` that gave the stream which `from` numbers by now; none if it was never seen to be known.
    fn stream_life(&mut self, from: usize, to: usize) -> Option<u32> {
        let stream = self.peer(from, to)?.stream()?;
        if self.parties[to].alive && self.peer(to, from).is_some_and(|peer| peer.receives(stream)) {
            self.given.insert(stream, self.parties[to].life);
        }
        Some(self.given.get(&stream).copied().unwrap_or(u32::MAX - 1))
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
