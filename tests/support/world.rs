//! A world without a network: runtimes, one Message Node, direct links, one virtual clock.
//!
//! Each runtime is a whole RuntimeUa with its MessageBus; between them stands what a transport would be: queues
//! with a latency. Nothing here runs by itself: [`World::run_for`] moves the clock from event to event. A cut link
//! loses what is under way on it; a socket to the Message Node that is lost loses nothing that was not yet sent.

#![allow(dead_code)] // Each test file uses a part of it.

mod drawn;
mod flight;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    address::{Address, Url},
    bus::{PostError, Posted, TargetReport},
    link::{Delivery, Ingress, Outbox, Outgoing, Path, Refusal},
    message::Message,
    node::{FrameEnd, MessageNode, Socket},
    p2p::{Candidate, Description},
    status::Status,
    ua::{NodeIngress, Output, P2pIngress, RuntimeUa, UaConfig},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use drawn::{node, numbers};
use flight::{carry, due, encode};

/// The domain of the Message Node and of all runtimes.
pub(crate) const DOMAIN: &str = "example.org";
/// One way between a runtime and the Message Node.
pub(crate) const NODE_LATENCY: Duration = Duration::from_millis(5);
/// One way on a direct link.
pub(crate) const LINK_LATENCY: Duration = Duration::from_millis(1);

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) node: Arc<MessageNode>,
    pub(crate) parties: Vec<Party>,
    pub(crate) links: Vec<Link>,
    dials: Vec<Dial>,
    expects: Vec<Expect>,
    nodes_made: u8,
    /// The keys that anybody was told to let in.
    pub(crate) expected_keys: Vec<String>,
    /// Every attempt to dial fails at once.
    pub(crate) dials_fail: bool,
}

/// One runtime and what its owner would hold.
pub(crate) struct Party {
    pub(crate) name: &'static str,
    pub(crate) url: Url,
    pub(crate) ua: RuntimeUa,
    /// The P2P endpoint's key and address.
    description: Description,
    /// The MN stub's queue, and the session at the other end.
    stub: Arc<Outbox<Outgoing>>,
    ingress: NodeIngress,
    socket: Option<Arc<Socket>>,
    token: Option<String>,
    /// Under way to the Message Node and from it.
    up: Flight<Bytes>,
    down: Flight<Bytes>,
    /// Each message that the runtime itself wrote, in order.
    pub(crate) written: Arc<Mutex<Vec<Message>>>,
    /// Each message that came from the Message Node, in order.
    pub(crate) from_node: Vec<Value>,
    /// What the listeners of its Hyperties took, in order.
    pub(crate) heard: Arc<Mutex<Vec<(Path, Value)>>>,
    pub(crate) statuses: Vec<(Url, Status, Url)>,
    pub(crate) undelivered: Vec<(u16, Message)>,
    pub(crate) log: Vec<String>,
    pub(crate) ready: bool,
    /// False after [`World::kill`]: it does nothing any more.
    alive: bool,
}

/// A direct link between two runtimes.
pub(crate) struct Link {
    pub(crate) ends: [End; 2],
    /// When both sides notice that it is cut; what is sent meanwhile is lost.
    noticed_at: Option<Instant>,
}

/// One side of a link.
pub(crate) struct End {
    pub(crate) party: usize,
    connection: u64,
    queue: Arc<Outbox<Outgoing>>,
    flight: Flight<Outgoing>,
    ingress: P2pIngress,
}

type Flight<T> = VecDeque<(Instant, T)>;

struct Dial {
    party: usize,
    connection: u64,
    fingerprint: String,
}

struct Expect {
    party: usize,
    connection: u64,
    fingerprint: String,
}

impl World {
    /// A Message Node, and runtimes with these names whose sessions are about to open.
    pub(crate) fn new(names: &[&'static str]) -> World {
        let now = Instant::now();
        let mut world = World {
            now,
            start: now,
            node: node(0),
            parties: Vec::new(),
            links: Vec::new(),
            dials: Vec::new(),
            expects: Vec::new(),
            nodes_made: 1,
            expected_keys: Vec::new(),
            dials_fail: false,
        };
        for name in names {
            let number = world.parties.len() as u8;
            world.parties.push(Party::new(name, number));
            world.open_socket(usize::from(number));
        }
        world
    }

    /// The same, run until each has its Hyperty `hyperty://example.org/<name>` registered and is ready.
    pub(crate) fn ready(names: &[&'static str]) -> World {
        let mut world = World::new(names);
        for (party, name) in names.iter().enumerate() {
            world.add_hyperty(party, &hyperty(name));
        }
        world.run_until("all are ready", |world| world.parties.iter().all(|party| party.ready));
        world
    }

    /// A Hyperty or data object that listens and is told of.
    pub(crate) fn add_hyperty(&mut self, party: usize, url: &str) {
        let party = &mut self.parties[party];
        let url = Url::parse(url).unwrap();
        let heard = party.heard.clone();
        let sink = move |delivery: Delivery| -> Result<(), Refusal> {
            let message = serde_json::from_slice(delivery.message.bytes()).expect("JSON");
            heard.lock().push((delivery.ingress.path, message));
            Ok(())
        };
        party.ua.bus().add_listener(url.clone(), None, Arc::new(sink));
        party.ua.add_resource(url, self.now);
    }

    /// Posts an update to `to` with `value` in its body.
    pub(crate) fn post(&mut self, party: usize, to: &str, value: u64) -> Result<Posted, PostError> {
        let from = hyperty(self.parties[party].name);
        self.post_as(party, &from, to, json!({ "value": value }))
    }

    /// The same with more to choose.
    pub(crate) fn post_as(
        &mut self,
        party: usize,
        from: &str,
        to: &str,
        body: Value,
    ) -> Result<Posted, PostError> {
        let text = json!({ "type": "update", "from": from, "to": to, "body": body }).to_string();
        self.parties[party].ua.bus().post(text.into(), Ingress::LOCAL, self.now)
    }

    /// What `resolve` says.
    pub(crate) fn explain(&self, party: usize, to: &str) -> TargetReport {
        self.parties[party].ua.bus().explain(&Address::parse(to).unwrap())
    }

    /// Moves the clock by `span`, from event to event.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            match self.next_event().filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
        }
        self.now = end;
    }

    /// Moves the clock until `done`.
    ///
    /// # Panics
    /// If a minute passes meanwhile.
    pub(crate) fn run_until(&mut self, what: &str, mut done: impl FnMut(&World) -> bool) {
        let end = self.now + Duration::from_secs(60);
        loop {
            self.settle();
            if done(self) {
                return;
            }
            match self.next_event().filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => panic!("never came: {what}\n{}", self.describe()),
            }
        }
    }

    /// Time since the world began.
    pub(crate) fn age(&self) -> Duration {
        self.now - self.start
    }

    /// Cuts every direct link: what is under way is lost, and both sides notice after `noticed`.
    pub(crate) fn cut(&mut self, noticed: Duration) {
        for link in &mut self.links {
            link.noticed_at.get_or_insert(self.now + noticed);
            for end in &mut link.ends {
                end.flight.clear();
            }
        }
    }

    /// The socket of `party` to the Message Node is lost, with what is under way.
    pub(crate) fn lose_socket(&mut self, party: usize) {
        let party = &mut self.parties[party];
        if let Some(socket) = party.socket.take() {
            party.up.clear();
            party.down.clear();
            self.node.on_socket_closed(&socket, self.now);
            party.ua.node_closed(DOMAIN);
        }
    }

    /// Connects `party` with the Message Node: opens a session, or re-opens the one it had.
    pub(crate) fn open_socket(&mut self, party: usize) {
        let party = &mut self.parties[party];
        let socket = self.node.open_socket().expect("room");
        let from = match &party.token {
            None => party.url.to_string(),
            Some(token) => format!("{}/{token}", party.url),
        };
        let kind = if party.token.is_some() { "re-open" } else { "open" };
        let open = json!({ "id": 1, "type": kind, "from": from, "to": "mn:/session" });
        party.socket = Some(socket);
        party.up.push_back((self.now + NODE_LATENCY, open.to_string().into()));
    }

    /// The socket of `party` is lost and opened again.
    pub(crate) fn lose_and_open(&mut self, party: usize) {
        self.lose_socket(party);
        self.open_socket(party);
    }

    /// The Message Node starts anew and remembers nothing; all sockets are lost and opened again.
    pub(crate) fn restart_node(&mut self) {
        for party in 0..self.parties.len() {
            self.lose_socket(party);
        }
        self.node = node(self.nodes_made);
        self.nodes_made += 1;
        for party in 0..self.parties.len() {
            self.open_socket(party);
        }
    }

    /// The process of `party` is no more: nothing is said by it, and nobody is told.
    pub(crate) fn kill(&mut self, party: usize, noticed: Duration) {
        self.parties[party].alive = false;
        self.lose_socket(party);
        self.cut(noticed);
    }

    /// The status words that `party` reported, in order, without saying of which stub.
    pub(crate) fn words(&self, party: usize) -> Vec<&'static str> {
        self.parties[party].statuses.iter().map(|(_, status, _)| status.word()).collect()
    }

    /// All that was written by `party` so far, of one `type`, as JSON.
    pub(crate) fn written(&self, party: usize, kind: &str) -> Vec<Value> {
        let written = self.parties[party].written.lock();
        let all = written.iter().map(|message| serde_json::from_slice(message.bytes()).unwrap());
        all.filter(|message: &Value| message["type"] == kind).collect()
    }

    /// True while every party sees a connection of its own as live.
    pub(crate) fn all_live(&self) -> bool {
        let live = |party: &Party| party.statuses.last().is_some_and(|last| last.1 == Status::Live);
        self.parties.iter().all(live)
    }

    /// For a failed expectation.
    pub(crate) fn describe(&self) -> String {
        let of = |party: &Party| {
            let words: Vec<String> = party
                .statuses
                .iter()
                .map(|(stub, status, _)| {
                    format!("{status} {}", &stub.as_str()[party.url.as_str().len()..])
                })
                .collect();
            let written: Vec<String> =
                party.written.lock().iter().map(|message| format!("  {message:?}")).collect();
            format!(
                "{}: statuses {words:?}, log {:#?}, undelivered {:?}, counters {:?}\n{}",
                party.name,
                party.log,
                party.undelivered,
                party.ua.bus().counters().snapshot(),
                written.join("\n")
            )
        };
        let parties: Vec<String> = self.parties.iter().map(of).collect();
        format!("after {:?}, {} links\n{}", self.age(), self.links.len(), parties.join("\n"))
    }

    /// Everything that happens at this instant.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut moved = false;
            for party in 0..self.parties.len() {
                moved |= self.tend(party);
                moved |= self.carry_node(party);
            }
            moved |= self.carry_links();
            if self.node.poll_timeout().is_some_and(|at| at <= self.now) {
                self.node.handle_timeout(self.now);
                moved = true;
            }
            if !moved {
                return;
            }
        }
        panic!("it does not come to rest at {:?}\n{}", self.age(), self.describe());
    }

    fn next_event(&self) -> Option<Instant> {
        let first = |flight: &Flight<Bytes>| flight.front().map(|(at, _)| *at);
        let alive = self.parties.iter().filter(|party| party.alive);
        let parties = alive.flat_map(|party| {
            [party.ua.poll_timeout(), first(&party.up), first(&party.down)].into_iter().flatten()
        });
        let links = self.links.iter().flat_map(|link| {
            let ends = link.ends.iter().filter_map(|end| end.flight.front().map(|(at, _)| *at));
            ends.chain(link.noticed_at)
        });
        parties.chain(links).chain(self.node.poll_timeout()).min()
    }

    /// Time-outs, notes and outputs of one runtime.
    fn tend(&mut self, at: usize) -> bool {
        let now = self.now;
        let party = &mut self.parties[at];
        if !party.alive {
            return false;
        }
        let mut moved = false;
        if party.ua.poll_timeout().is_some_and(|due| due <= now) {
            party.ua.handle_timeout(now);
            assert!(
                party.ua.poll_timeout().is_none_or(|due| due > now),
                "{}: handled, yet still due",
                party.name
            );
            moved = true;
        }
        if !party.ua.inbox().is_empty() {
            party.ua.handle_notes(now);
            moved = true;
        }
        while let Some(output) = self.parties[at].ua.poll_output() {
            moved = true;
            self.obey(at, output);
        }
        moved
    }

    fn obey(&mut self, at: usize, output: Output) {
        let party = &mut self.parties[at];
        match output {
            Output::Ready => party.ready = true,
            Output::Status { stub, value, resource, .. } => {
                party.statuses.push((stub, value, resource));
            }
            Output::Dial { connection, .. } if self.dials_fail => {
                party.ua.link_down(connection, "nobody answers there", self.now);
            }
            Output::Dial { connection, description } => {
                let fingerprint = description.fingerprint;
                self.dials.push(Dial { party: at, connection, fingerprint });
                self.join();
            }
            Output::Expect { connection, fingerprint } => {
                self.expected_keys.push(fingerprint.clone());
                self.expects.push(Expect { party: at, connection, fingerprint });
                self.join();
            }
            Output::Close { connection, reason } => self.close(at, connection, &reason),
            Output::Undelivered { message, code } => party.undelivered.push((code, message)),
            Output::Log(line) => party.log.push(line),
        }
    }

    /// Joins whoever dials with whoever expects them, as the keys say.
    fn join(&mut self) {
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

    /// One side closes its connection, or gives up before there was one.
    fn close(&mut self, party: usize, connection: u64, reason: &str) {
        self.dials.retain(|of| (of.party, of.connection) != (party, connection));
        self.expects.retain(|of| (of.party, of.connection) != (party, connection));
        let is = |end: &End| (end.party, end.connection) == (party, connection);
        if let Some(at) = self.links.iter().position(|link| link.ends.iter().any(is)) {
            self.break_link(at, reason);
        }
    }

    fn break_link(&mut self, at: usize, reason: &str) {
        for end in self.links.remove(at).ends {
            end.queue.close();
            self.parties[end.party].ua.link_down(end.connection, reason, self.now);
        }
    }

    /// What goes to the Message Node and comes from it.
    fn carry_node(&mut self, at: usize) -> bool {
        let (now, party) = (self.now, &mut self.parties[at]);
        let Some(socket) = party.socket.clone() else { return false };
        let mut moved = false;
        if party.token.is_some() {
            let mut queued = Vec::new();
            party.stub.try_drain(&mut queued, 256);
            moved |= !queued.is_empty();
            party.up.extend(queued.iter().map(|item| (now + NODE_LATENCY, encode(item))));
        }
        let mut ended = false;
        for frame in due(&mut party.up, now) {
            moved = true;
            ended |= self.node.on_frame(&socket, frame, now) == FrameEnd::CloseSocket;
        }
        let mut frames = Vec::new();
        socket.try_drain(&mut frames, 256);
        moved |= !frames.is_empty();
        party.down.extend(frames.iter().map(|item| (now + NODE_LATENCY, encode(item))));
        for frame in due(&mut party.down, now) {
            moved = true;
            party.take_from_node(frame, now);
        }
        if ended {
            self.lose_socket(at);
        }
        moved
    }

    fn carry_links(&mut self) -> bool {
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

impl Party {
    fn new(name: &'static str, number: u8) -> Party {
        let url = Url::parse(&format!("hyperty-runtime://{DOMAIN}/{name}")).unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let tap = written.clone();
        let tap = move |delivery: Delivery| {
            tap.lock().push(delivery.message);
            Ok(())
        };
        let config = UaConfig::new(url.clone(), Arc::new(numbers(number))).unwrap();
        let mut ua = RuntimeUa::new(UaConfig { tap: Some(Arc::new(tap)), ..config });
        let stub = Arc::new(Outbox::new(1 << 16, 64 << 20));
        let ingress = ua.add_node(DOMAIN, stub.clone());
        let description = Description {
            fingerprint: format!("sha-256 {}", vec![format!("{number:02X}"); 32].join(":")),
            candidates: vec![Candidate(([127, 0, 0, 1], 4000 + u16::from(number)).into())],
        };
        ua.set_local_description(description.clone());
        Party {
            name,
            url,
            ua,
            description,
            stub,
            ingress,
            socket: None,
            token: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            written,
            from_node: Vec::new(),
            heard: Arc::default(),
            statuses: Vec::new(),
            undelivered: Vec::new(),
            log: Vec::new(),
            ready: false,
            alive: true,
        }
    }

    fn take_from_node(&mut self, frame: Bytes, now: Instant) {
        let message: Value = serde_json::from_slice(&frame).expect("JSON");
        if message["from"] == "mn:/session" {
            assert_eq!(message["body"]["code"], 200, "{message}");
            let token = message["body"]["runtimeToken"].as_str();
            if let Some(token) = token {
                self.token = Some(token.to_owned());
            }
            self.ua.node_opened(DOMAIN, token.is_some(), now);
            return;
        }
        self.from_node.push(message);
        self.ingress.on_text(frame, now).expect("the Message Node sends messages");
    }
}

/// The Hyperty of the runtime `name`.
pub(crate) fn hyperty(name: &str) -> String {
    format!("hyperty://{DOMAIN}/{name}")
}
