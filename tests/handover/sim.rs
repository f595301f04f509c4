//! Two peers, two Message Node legs each way, and direct links that are cut, on a virtual clock.
//!
//! Everything random comes from one seed, so a seed is a run. No socket, thread or real time.

mod checks;
mod faults;
mod rig;
mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    address::Url,
    handover::{Announced, Config, Event, Mutation, Outcome, Peer, RunTaken, SendError, SentRun},
    link::{Delivery, Ingress, LinkId, Outbox, Outgoing, Path, Refusal, Stub},
    message::{Hop, Message, To},
};

use rig::{Dice, Link, Node, new_node, new_peer, url};
use wire::read_pair;

/// What the world does to the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Direct links are cut and opened again; Message Nodes are slow but lose nothing. All must arrive.
    Cuts,
    /// Message Nodes also lose, all paths may be dead for longer than the deadline, runtimes are reborn.
    Ruin,
}

/// What a run did, when nothing was violated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) messages: u64,
    pub(crate) by_node: u64,
    pub(crate) by_p2p: u64,
    pub(crate) refused: u64,
    pub(crate) resent: u64,
    pub(crate) duplicates_dropped: u64,
    pub(crate) returned: u64,
    pub(crate) in_doubt: u64,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Report) {
        self.messages += other.messages;
        self.by_node += other.by_node;
        self.by_p2p += other.by_p2p;
        self.refused += other.refused;
        self.resent += other.resent;
        self.duplicates_dropped += other.duplicates_dropped;
        self.returned += other.returned;
        self.in_doubt += other.in_doubt;
    }
}

/// Runs `seed`; what was violated, if anything.
pub(crate) fn run(seed: u64, scenario: Scenario, mutation: Mutation) -> Result<Report, String> {
    let mut world = World::new(seed, scenario, mutation);
    let traffic_ends = world.start + Duration::from_millis(world.random.in_range(300, 3_000));
    world.plan(traffic_ends);
    while let Some(now) = world.next_time() {
        if now > world.start + Duration::from_secs(200) {
            return Err("does not come to rest".to_owned());
        }
        world.now = now;
        world.step()?;
    }
    world.check_rest()
}
const STUBS: usize = 2;
const ADDRESSES: u64 = 4;

/// (from, to) by their indexes, and the life of the sender.
type Pair = (u64, u64, u32);

struct World {
    start: Instant,
    now: Instant,
    random: Arc<Dice>,
    scenario: Scenario,
    nodes: [Node; 2],
    plan: BTreeMap<(Instant, u64), Action>,
    planned: u64,
    node_delay_ms: (u64, u64),
    node_loss_percent: u64,
    node_dead: bool,
    /// How long until a side notices a cut, at most.
    notice_ms: u64,
    full_percent: u64,
    /// Messages are sent, and taken from a direct link, several at a time.
    together: bool,
    config: Config,
}

#[derive(Clone, Debug)]
enum Action {
    Traffic {
        side: usize,
        until: Instant,
    },
    Connect,
    /// One side turns to the direct way, if that connection still stands.
    Open {
        side: usize,
        connection: u64,
    },
    Cut,
    /// One side notices the cut.
    Close {
        side: usize,
        connection: u64,
    },
    /// Something arrives from a connection that is cut already.
    Late {
        side: usize,
        item: Outgoing,
        hop: Option<Hop>,
    },
    NodeDead(bool),
    Reborn {
        side: usize,
    },
    Calm,
    /// All is well again: what is sent from here on must be numbered and arrive.
    Epilogue {
        side: usize,
    },
}
impl World {
    fn new(seed: u64, scenario: Scenario, mutation: Mutation) -> World {
        let random = Arc::new(Dice(AtomicU64::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d))));
        let config = Config {
            window_bytes: random.in_range(2_000, 60_000) as usize,
            dwell: Duration::from_millis(random.in_range(0, 3) * 150),
            mutation,
            ..Config::default()
        };
        let slow = random.in_range(0, 4);
        let start = Instant::now();
        World {
            start,
            now: start,
            scenario,
            nodes: [0, 1].map(|side| new_node(side, &random, config, start)),
            plan: BTreeMap::new(),
            planned: 0,
            node_delay_ms: [(0, 2), (1, 20), (20, 300), (300, 1_200)][slow as usize],
            node_loss_percent: 0,
            node_dead: false,
            notice_ms: [1, 40, 1_500][random.in_range(0, 3) as usize],
            full_percent: [0, 5, 50][random.in_range(0, 3) as usize],
            together: random.chance(50),
            config,
            random,
        }
    }

    fn at(&mut self, at: Instant, action: Action) {
        self.planned += 1;
        self.plan.insert((at, self.planned), action);
    }

    fn plan(&mut self, traffic_ends: Instant) {
        let random = Arc::clone(&self.random);
        let ms = |ms| Duration::from_millis(ms);
        for side in 0..2 {
            self.at(self.start, Action::Traffic { side, until: traffic_ends });
        }
        let mut at = self.start + ms(random.in_range(0, 300));
        for _ in 0..random.in_range(1, 6) {
            self.at(at, Action::Connect);
            at += ms(random.in_range(20, 900));
            self.at(at, Action::Cut);
            at += ms(random.in_range(5, 600));
        }
        if random.chance(50) {
            self.at(at, Action::Connect);
        }
        if self.scenario == Scenario::Ruin {
            self.plan_ruin(traffic_ends);
        }
        let last = self.plan.keys().map(|(at, _)| *at).max().unwrap_or(at).max(traffic_ends);
        self.at(last, Action::Calm);
        if self.scenario == Scenario::Ruin {
            self.at(last + ms(2_000), Action::Connect);
            for side in 0..2 {
                self.at(last + ms(20_000), Action::Epilogue { side });
            }
        }
    }

    fn plan_ruin(&mut self, traffic_ends: Instant) {
        let random = Arc::clone(&self.random);
        let ms = |ms| Duration::from_millis(ms);
        self.node_loss_percent = [0, 1, 20][random.in_range(0, 3) as usize];
        let span = (traffic_ends - self.start).as_millis() as u64;
        if random.chance(60) {
            let dies = self.start + ms(random.in_range(0, span));
            self.at(dies, Action::NodeDead(true));
            self.at(dies + ms(random.in_range(10, 40_000)), Action::NodeDead(false));
        }
        for side in 0..2 {
            if random.chance(30) {
                let dies = self.start + ms(random.in_range(0, span));
                self.at(dies, Action::Reborn { side });
            }
        }
    }

    /// The next moment at which anything happens.
    fn next_time(&self) -> Option<Instant> {
        let planned = self.plan.keys().next().map(|(at, _)| *at);
        let nodes = self.nodes.iter().flat_map(|node| {
            let legs = node.stubs.iter().map(|leg| (&leg.flight, &leg.queue));
            let link = node.direct.iter().map(|link| (&link.flight, &link.queue));
            let wire = legs.chain(link).filter_map(|(flight, queue)| {
                let waits = (!queue.is_empty()).then_some(self.now);
                flight.front().map(|(at, _)| *at).into_iter().chain(waits).min()
            });
            wire.chain(self.idle_filter(node))
        });
        planned.into_iter().chain(nodes).min().map(|at| at.max(self.now))
    }

    /// Once traffic is over and settled, only the long idle timers are left; the run ends there.
    fn idle_filter(&self, node: &Node) -> Option<Instant> {
        let rest = self.plan.is_empty()
            && self.nodes.iter().all(|node| {
                node.peer.unacknowledged().0 == 0
                    && node.peer.held_back().0 == 0
                    && node.direct.as_ref().is_none_or(|link| link.flight.is_empty())
                    && node.stubs.iter().all(|leg| leg.flight.is_empty())
            });
        let at = node.peer.poll_timeout();
        at.filter(|at| !rest || *at < self.now + Duration::from_millis(100))
    }

    fn step(&mut self) -> Result<(), String> {
        while let Some(entry) = self.plan.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let action = entry.remove();
            self.act(action)?;
        }
        for side in 0..2 {
            self.move_queues(side);
            self.arrivals(side)?;
            if self.nodes[side].peer.poll_timeout().is_some_and(|at| at <= self.now) {
                self.time_out(side)?;
            }
            self.outcomes(side)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        let soon =
            |world: &World, ms| world.now + Duration::from_millis(world.random.in_range(0, ms));
        match action {
            Action::Traffic { side, until } => {
                let count = self.random.in_range(1, 6);
                if self.together {
                    self.post_run(side, count as usize);
                } else {
                    (0..count).for_each(|_| self.post(side));
                }
                let next = soon(self, 12);
                if next < until {
                    self.at(next, Action::Traffic { side, until });
                }
            }
            Action::Connect => self.connect(),
            Action::Open { side, connection } => self.open(side, connection),
            Action::Cut => {
                for side in 0..2 {
                    self.cut(side);
                }
            }
            Action::Close { side, connection } => self.close(side, connection),
            Action::Late { side, item, hop } => self.arrive_late(side, item, hop)?,
            Action::NodeDead(dead) => self.node_dead = dead,
            Action::Reborn { side } => self.reborn(side),
            Action::Calm => {
                self.full_percent = 0;
                self.node_loss_percent = 0;
            }
            Action::Epilogue { side } => {
                let node = &mut self.nodes[side];
                node.well = node.numbers.clone();
                node.well_again = node.peer.is_numbered();
                for _ in 0..10 {
                    self.post(side);
                }
            }
        }
        Ok(())
    }
    /// One message from `side`, of random size, between random addresses.
    fn post(&mut self, side: usize) {
        let (from, to) = (self.random.in_range(0, 2), self.random.in_range(0, ADDRESSES));
        let number = self.nodes[side].numbers.get(&(from, to)).copied().unwrap_or(0);
        let delivery = self.write(side, (from, to), number);
        let node = &mut self.nodes[side];
        let stub = Arc::clone(&node.stubs[to as usize % STUBS].stub);
        match node.peer.send(delivery, Some(&stub), self.now) {
            Ok(sent) => node.count_accepted((from, to), sent.hop.is_some(), sent.path),
            Err(SendError::WindowFull { .. } | SendError::Refused(_)) => node.refused += 1,
            Err(error) => panic!("{error}"),
        }
    }

    /// So many messages at once, all by one stub, until one is refused.
    fn post_run(&mut self, side: usize, count: usize) {
        let stub = self.random.in_range(0, STUBS as u64);
        let mut numbers = self.nodes[side].numbers.clone();
        let mut pairs = VecDeque::new();
        let mut run = Vec::new();
        for _ in 0..count {
            let to = stub + STUBS as u64 * self.random.in_range(0, ADDRESSES / STUBS as u64);
            let pair = (self.random.in_range(0, 2), to);
            let number = numbers.entry(pair).or_default();
            run.push(Some(self.write(side, pair, *number)));
            pairs.push_back(pair);
            *number += 1;
        }
        let node = &mut self.nodes[side];
        let stub = Arc::clone(&node.stubs[stub as usize].stub);
        while !pairs.is_empty() {
            let numbered = node.peer.is_numbered();
            let rest = count - pairs.len();
            match node.peer.send_run(&mut run[rest..], Some(&stub), self.now) {
                Ok(SentRun { count, path }) => {
                    for pair in pairs.drain(..count) {
                        node.count_accepted(pair, numbered, path);
                    }
                }
                Err(SendError::WindowFull { .. } | SendError::Refused(_)) => {
                    node.refused += 1;
                    return;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn write(&self, side: usize, (from, to): (u64, u64), number: u64) -> Delivery {
        let padding = "x".repeat(self.random.in_range(0, 400) as usize);
        let life = self.nodes[side].life;
        let text = format!(
            r#"{{"id":1,"type":"update","from":"hyperty://{side}/{from}","to":"hyperty://{}/{to}","body":{{"n":{number},"life":{life},"padding":"{padding}"}}}}"#,
            1 - side
        );
        let message = Message::parse(Bytes::from(text)).expect("a message of the simulation");
        Delivery { message, ingress: Ingress::LOCAL, hop: None }
    }
}
