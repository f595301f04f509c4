//! The world of one seed: runtimes, Message Nodes and links on a virtual clock, moved from event to event.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use hyperty_router::{
    address::Url,
    handover::{Config, Mutation, Peer},
    ua::Output,
};

use super::{
    act::Action,
    dice::{Dice, Trace},
    ledger::Ledger,
    legs::{Node, new_node},
    links::{Link, Waiting},
    party::{Choice, Clock, HYPERTIES, Party, hyperty, number_of},
    report::Report,
};

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
    pub(super) homes: Vec<Vec<(String, usize)>>,
    pub(super) links: Vec<Link>,
    pub(super) dials: Vec<Waiting>,
    pub(super) expects: Vec<Waiting>,
    pub(super) plan: BTreeMap<(Instant, u64), Action>,
    planned: u64,
    pub(super) ledger: Ledger,
    pub(super) report: Report,
    violation: Option<String>,
    pub(super) choice: Choice,
    /// Microseconds, from and to, of one way.
    pub(super) node_delay: (u64, u64),
    pub(super) link_delay: (u64, u64),
    pub(super) link_items: usize,
    pub(super) duplicate_percent: u64,
    pub(super) dial_fail_percent: u64,
    pub(super) epilogue: bool,
    /// Which life gave each stream.
    pub(super) given: BTreeMap<u128, u32>,
    /// For each direction, how many messages and bytes came to be in doubt at one moment.
    pub(super) in_doubt: BTreeMap<(usize, usize), (Instant, usize, usize)>,
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
            in_doubt: BTreeMap::new(),
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

    pub(super) fn new_party(&mut self, party: usize, life: u32) -> Party {
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
                if self.parties[party].is_running() {
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
        let running = self.parties.iter().enumerate().filter(|(_, party)| party.is_running());
        let parties = running.filter_map(|(at, party)| {
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
        if party.ua.is_busy() {
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
                if code == 504 {
                    self.doubt(number, message.bytes().len());
                }
            }
            Output::PathChanged(change) => {
                let to = [change.to.map_or(0, |path| path as u8 + 1)];
                self.trace.note(age, "path", at, &to);
            }
            Output::Log(line) => self.trace.note(age, "log", at, line.as_bytes()),
        }
    }
}
