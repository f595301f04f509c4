//! Two peers, two Message Node legs each way, and direct links that are cut, on a virtual clock.
//!
//! Everything random comes from one seed, so a seed is a run. No socket, thread or real time.

mod checks;
mod dice;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    address::Url,
    handover::{Announced, Config, Event, Mutation, Peer, SendError},
    link::{Delivery, Ingress, LinkId, Outbox, Outgoing, Path, Refusal, Stub},
    message::{Message, To},
};

use dice::Dice;

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
    direct_up: bool,
    node_delay_ms: (u64, u64),
    node_loss_percent: u64,
    node_dead: bool,
    full_percent: u64,
    config: Config,
}

#[derive(Clone, Copy, Debug)]
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
    NodeDead(bool),
    Reborn {
        side: usize,
    },
    Calm,
}

struct Node {
    peer: Peer,
    life: u32,
    stubs: Vec<Leg>,
    direct: Option<Link>,
    numbers: BTreeMap<(u64, u64), u64>,
    /// What was accepted for sending, and whether numbered.
    accepted: BTreeMap<Pair, Vec<(u64, bool)>>,
    /// What the listener of this side took.
    heard: BTreeMap<Pair, Vec<u64>>,
    ended: BTreeMap<Pair, Vec<u64>>,
    by: [u64; 2],
    refused: u64,
    /// Counts of lives gone by.
    before: Report,
}

/// A queue into a Message Node, and what is under way.
struct Leg {
    stub: Arc<Stub>,
    queue: Arc<Outbox<Outgoing>>,
    flight: VecDeque<(Instant, Outgoing)>,
}

/// One end of a direct connection: its queue, and what is under way *from* it.
struct Link {
    connection: u64,
    queue: Arc<Outbox<Outgoing>>,
    flight: VecDeque<(Instant, Outgoing)>,
    announced: Announced,
    /// The stream as the frame encoder knows it is not on the wire; only the number is.
    alive: bool,
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL of the simulation")
}

fn new_peer(side: usize, random: &Arc<Dice>, config: Config, stubs: &[Leg]) -> Peer {
    let ids = Arc::clone(random);
    let incarnation = random.draw_u128();
    let draw = Arc::new(move || ids.draw_u128());
    let remote = url(["runtime://b/1", "runtime://a/1"][side]);
    let peer = Peer::new(remote, LinkId(9), incarnation, draw, config);
    let ends = ["runtime://a/1/p2phandler/1", "runtime://b/1/p2prequester/1"];
    peer.set_endpoints(url(ends[side]), url(ends[1 - side]));
    peer.set_stub(&stubs[0].stub).expect("one stub");
    peer.set_capable(true);
    peer
}

fn new_node(side: usize, random: &Arc<Dice>, config: Config) -> Node {
    let queue_items = random.in_range(4, 200) as usize;
    let leg = |index: usize| {
        let queue = Arc::new(Outbox::new(queue_items, 1 << 20));
        let stub = Stub {
            url: url(&format!("runtime://{side}/protostub/{index}")),
            domain: format!("{index}").into(),
            link: LinkId(index as u32 + 1),
            sink: Arc::clone(&queue) as _,
        };
        Leg { stub: Arc::new(stub), queue, flight: VecDeque::new() }
    };
    let stubs: Vec<Leg> = (0..STUBS).map(leg).collect();
    Node {
        peer: new_peer(side, random, config, &stubs),
        life: 0,
        stubs,
        direct: None,
        numbers: BTreeMap::new(),
        accepted: BTreeMap::new(),
        heard: BTreeMap::new(),
        ended: BTreeMap::new(),
        by: [0; 2],
        refused: 0,
        before: Report::default(),
    }
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
            nodes: [0, 1].map(|side| new_node(side, &random, config)),
            plan: BTreeMap::new(),
            planned: 0,
            direct_up: false,
            node_delay_ms: [(0, 2), (1, 20), (20, 300), (300, 1_200)][slow as usize],
            node_loss_percent: 0,
            node_dead: false,
            full_percent: [0, 5, 50][random.in_range(0, 3) as usize],
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
        self.at(traffic_ends.max(at), Action::Calm);
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
            self.act(action);
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

    fn act(&mut self, action: Action) {
        let soon =
            |world: &World, ms| world.now + Duration::from_millis(world.random.in_range(0, ms));
        match action {
            Action::Traffic { side, until } => {
                for _ in 0..self.random.in_range(1, 6) {
                    self.post(side);
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
                    let Some(link) = &mut self.nodes[side].direct else { continue };
                    let connection = link.connection;
                    link.alive = false;
                    link.flight.clear();
                    let notices = soon(self, 40);
                    self.at(notices, Action::Close { side, connection });
                }
                self.direct_up = false;
            }
            Action::Close { side, connection } => self.close(side, connection),
            Action::NodeDead(dead) => self.node_dead = dead,
            Action::Reborn { side } => self.reborn(side),
            Action::Calm => {
                self.full_percent = 0;
                self.node_loss_percent = 0;
            }
        }
    }

    fn connect(&mut self) {
        let connection = self.random.draw();
        for side in 0..2 {
            self.drop_link(side);
            let items = self.random.in_range(3, 100) as usize;
            self.nodes[side].direct = Some(Link {
                connection,
                queue: Arc::new(Outbox::new(items, 1 << 20)),
                flight: VecDeque::new(),
                announced: Announced::default(),
                alive: true,
            });
            let opens = self.now + Duration::from_millis(self.random.in_range(0, 30));
            self.at(opens, Action::Open { side, connection });
        }
        self.direct_up = true;
    }

    fn open(&mut self, side: usize, connection: u64) {
        let now = self.now;
        let node = &mut self.nodes[side];
        let Some(link) = node.direct.as_ref().filter(|link| link.connection == connection) else {
            return;
        };
        if !link.alive {
            return;
        }
        let via = url("runtime://a/1/p2phandler/1/connection");
        node.peer.open_direct(Arc::clone(&link.queue) as _, via, now);
        node.peer.offer(now);
    }

    fn close(&mut self, side: usize, connection: u64) {
        if self.nodes[side].direct.as_ref().is_some_and(|link| link.connection == connection) {
            self.drop_link(side);
        }
    }

    fn drop_link(&mut self, side: usize) {
        let node = &mut self.nodes[side];
        if let Some(link) = node.direct.take() {
            link.queue.close();
            node.peer.close_direct(self.now);
        }
    }

    fn reborn(&mut self, side: usize) {
        let other = &mut self.nodes[1 - side];
        if let Some(link) = other.direct.as_mut() {
            link.alive = false;
            link.flight.clear();
        }
        let gone = other.direct.as_ref().map(|link| link.connection);
        let node = &mut self.nodes[side];
        let counters = node.peer.counters();
        node.before.messages += counters.accepted;
        node.before.resent += counters.resent;
        node.direct = None;
        node.life += 1;
        // What the dead process had in its queues is gone with it.
        for leg in &mut node.stubs {
            leg.queue.try_drain(&mut Vec::new(), usize::MAX);
        }
        node.peer = new_peer(side, &self.random, self.config, &node.stubs);
        node.numbers.clear();
        if let Some(connection) = gone {
            let notices = self.now + Duration::from_millis(self.random.in_range(0, 1_000));
            self.at(notices, Action::Close { side: 1 - side, connection });
        }
    }

    /// One message from `side`, of random size, between random addresses.
    fn post(&mut self, side: usize) {
        let (from, to) = (self.random.in_range(0, 2), self.random.in_range(0, ADDRESSES));
        let padding = "x".repeat(self.random.in_range(0, 400) as usize);
        let node = &mut self.nodes[side];
        let number = node.numbers.entry((from, to)).or_default();
        let life = node.life;
        let text = format!(
            r#"{{"id":1,"type":"update","from":"hyperty://{side}/{from}","to":"hyperty://{}/{to}","body":{{"n":{number},"life":{life},"padding":"{padding}"}}}}"#,
            1 - side
        );
        let message = Message::parse(Bytes::from(text)).expect("a message of the simulation");
        let delivery = Delivery { message, ingress: Ingress::LOCAL, hop: None };
        let stub = Arc::clone(&node.stubs[to as usize % STUBS].stub);
        match node.peer.send(delivery, Some(&stub), self.now) {
            Ok(sent) => {
                let accepted = node.accepted.entry((from, to, life)).or_default();
                accepted.push((*number, sent.hop.is_some()));
                *number += 1;
                node.by[usize::from(sent.path == Path::P2p)] += 1;
            }
            Err(SendError::WindowFull { .. } | SendError::Refused(_)) => node.refused += 1,
            Err(error) => panic!("{error}"),
        }
    }

    /// Moves what is queued onto the wire.
    fn move_queues(&mut self, side: usize) {
        let random = Arc::clone(&self.random);
        let now = self.now;
        let lost = |world: &World| world.node_dead || random.chance(world.node_loss_percent);
        for index in 0..STUBS {
            let mut items = Vec::new();
            let many = random.in_range(1, 20) as usize;
            self.nodes[side].stubs[index].queue.try_drain(&mut items, many);
            for item in items {
                if lost(self) {
                    continue;
                }
                let (least, most) = self.node_delay_ms;
                let at = now + Duration::from_millis(random.in_range(least, most));
                let flight = &mut self.nodes[side].stubs[index].flight;
                let last = flight.back().map_or(at, |(last, _)| *last);
                flight.push_back((at.max(last), item));
            }
        }
        let node = &mut self.nodes[side];
        let Some(link) = &mut node.direct else { return };
        let mut items = Vec::new();
        link.queue.try_drain(&mut items, random.in_range(1, 30) as usize);
        if link.alive {
            let at = now + Duration::from_millis(random.in_range(0, 4));
            let at = link.flight.back().map_or(at, |(last, _)| at.max(*last));
            link.flight.extend(items.into_iter().map(|item| (at, item)));
        }
        node.peer.on_room(now);
    }

    /// Hands to the other side what has arrived from `side`.
    fn arrivals(&mut self, side: usize) -> Result<(), String> {
        let due = |flight: &mut VecDeque<(Instant, Outgoing)>, now| {
            let arrived = flight.front().is_some_and(|(at, _)| *at <= now);
            if arrived { flight.pop_front().map(|(_, item)| item) } else { None }
        };
        for index in 0..STUBS {
            while let Some(item) = due(&mut self.nodes[side].stubs[index].flight, self.now) {
                self.arrive_by_node(1 - side, item, LinkId(index as u32 + 1))?;
            }
        }
        loop {
            let now = self.now;
            let next = self.nodes[side].direct.as_mut().and_then(|link| due(&mut link.flight, now));
            let Some(item) = next else { return Ok(()) };
            self.arrive_direct(1 - side, item)?;
        }
    }

    fn arrive_by_node(&mut self, side: usize, item: Outgoing, link: LinkId) -> Result<(), String> {
        let Outgoing::Message { bytes, hop } = item else { return Err("bare control".into()) };
        let message = Message::parse(bytes).map_err(|error| format!("{error:?}"))?;
        let is_control = matches!(message.to(), To::One(to) if to.ends_with("/path"));
        if is_control {
            let body = message.body().ok_or("control without a body")?.to_owned();
            return self.control(side, &body, Path::MessageNode);
        }
        let ingress = Ingress { path: Path::MessageNode, link };
        self.receive(side, Delivery { message, ingress, hop })
    }

    fn arrive_direct(&mut self, side: usize, item: Outgoing) -> Result<(), String> {
        let Some(link) = &mut self.nodes[side].direct else { return Ok(()) };
        match item {
            Outgoing::Control(text) => {
                let text = String::from_utf8(text.to_vec()).map_err(|error| error.to_string())?;
                if link.announced.read(&text).map_err(|error| error.to_string())? {
                    return Ok(());
                }
                self.control(side, &text, Path::P2p)
            }
            Outgoing::Message { bytes, hop } => {
                let number = hop.map_or(0, |hop| hop.number);
                let told = link.announced.hop(number);
                if told != hop {
                    return Err(format!("link says {told:?} for {hop:?}"));
                }
                let message = Message::parse(bytes).map_err(|error| format!("{error:?}"))?;
                let ingress = Ingress { path: Path::P2p, link: LinkId(9) };
                self.receive(side, Delivery { message, ingress, hop: told })
            }
        }
    }

    fn control(&mut self, side: usize, text: &str, path: Path) -> Result<(), String> {
        let event = self.nodes[side].peer.handle_control(text, path, self.now);
        match event.map_err(|error| format!("{error}: {text}"))? {
            None => Ok(()),
            Some(Event::Reborn) if self.scenario == Scenario::Ruin => Ok(()),
            Some(event) => Err(format!("{event:?} out of nowhere")),
        }
    }

    fn receive(&mut self, side: usize, delivery: Delivery) -> Result<(), String> {
        let full = if delivery.hop.is_some() { self.full_percent } else { 0 };
        let dice = Arc::clone(&self.random);
        let Node { peer, heard, .. } = &mut self.nodes[side];
        let mut listener = |delivery: Delivery| listen(heard, delivery, dice.chance(full));
        let _ = peer.receive(delivery, &mut listener, self.now);
        self.check_order(side)
    }

    fn time_out(&mut self, side: usize) -> Result<(), String> {
        let dice = Arc::clone(&self.random);
        let full = self.full_percent;
        let Node { peer, heard, .. } = &mut self.nodes[side];
        let mut listener = |delivery: Delivery| listen(heard, delivery, dice.chance(full));
        peer.handle_timeout(self.now, &mut listener);
        self.check_order(side)
    }
}

/// The listener: a queue that is sometimes full.
fn listen(
    heard: &mut BTreeMap<Pair, Vec<u64>>,
    delivery: Delivery,
    full: bool,
) -> Result<(), Refusal> {
    if full {
        return Err(Refusal::Full { bound: 1 });
    }
    let (pair, number) = read_pair(&delivery.message);
    heard.entry(pair).or_default().push(number);
    Ok(())
}

fn read_pair(message: &Message) -> (Pair, u64) {
    let index = |url: &str| url.rsplit('/').next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let To::One(to) = message.to() else { panic!("one URL") };
    let member = |name| {
        let text = message.body_member(&[name]).expect("a body of the simulation");
        text.parse::<u64>().expect("a number")
    };
    ((index(&message.from()), index(&to), member("life") as u32), member("n"))
}
