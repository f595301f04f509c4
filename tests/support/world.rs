//! A world without a network: runtimes, one Message Node, direct links, one virtual clock.
//!
//! Each runtime is a whole RuntimeUa with its MessageBus; between them stands what a transport would be:
//! queues with a latency. Nothing here runs by itself: [`World::run_for`] moves the clock from event to
//! event. A cut link loses what is under way on it; a socket to the Message Node that is lost loses nothing
//! that was not yet sent.

#![allow(dead_code)] // Each test file uses a part of it.

#[path = "world/links.rs"]
mod links;
#[path = "world/party.rs"]
mod party;
#[path = "take_run.rs"]
mod take_run;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    address::{Address, Url},
    bus::{PostError, Posted, TargetReport},
    link::{Delivery, Ingress, Outgoing, Refusal},
    message::write_hop,
    node::{FrameEnd, MessageNode, NodeConfig},
    status::Status,
    ua::Output,
};
use serde_json::{Value, json};

use links::{Dial, Expect, Link};
use party::Party;

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
    /// Sees each message without a number that a runtime sends to its Message Node, and may put
    /// another in its place.
    pub(crate) meddle: Option<Meddler>,
}

/// What is sent instead of a message; `None`: the message itself.
type Meddler = Box<dyn FnMut(&Value) -> Option<Value>>;

type Flight<T> = VecDeque<(Instant, T)>;

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
            meddle: None,
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

    /// Alice (0) and Bob (1), connected by a message of hers, with the value 1; nothing is under way.
    pub(crate) fn connected() -> World {
        let mut world = World::ready(&["alice", "bob"]);
        world.post(0, &hyperty("bob"), 1).unwrap();
        world.run_until("both are live", World::all_live);
        world.run_for(Duration::from_secs(1));
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

    /// `frame` has just come to `party` from its Message Node; the runtime has not looked at it yet.
    pub(crate) fn arrive(&mut self, party: usize, frame: String) {
        self.parties[party].take_from_node(frame.into(), self.now);
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

    /// A new process at the URL of one that was killed: it knows nothing, and has its Hyperty.
    pub(crate) fn revive(&mut self, party: usize) {
        let name = self.parties[party].name;
        self.parties[party] = Party::new(name, 100 + party as u8);
        self.open_socket(party);
        self.add_hyperty(party, &hyperty(name));
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
        if party.ua.is_busy() {
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
            Output::Status { stub, value, resource, desc } => {
                party.reasons.extend(desc);
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
            Output::PathChanged(change) => party.paths.push(change),
            Output::Log(line) => party.log.push(line),
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
            for item in &queued {
                let mut bytes = encode(item);
                if let (Some(meddle), Outgoing::Message { hop: None, .. }) =
                    (&mut self.meddle, item)
                    && let Some(other) = meddle(&serde_json::from_slice(&bytes).expect("JSON"))
                {
                    bytes = other.to_string().into();
                }
                party.up.push_back((now + NODE_LATENCY, bytes));
            }
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
}

/// The Hyperty of the runtime `name`.
pub(crate) fn hyperty(name: &str) -> String {
    format!("hyperty://{DOMAIN}/{name}")
}

fn due<T>(flight: &mut Flight<T>, now: Instant) -> Vec<T> {
    let count = flight.iter().take_while(|(at, _)| *at <= now).count();
    flight.drain(..count).map(|(_, item)| item).collect()
}

fn encode(item: &Outgoing) -> Bytes {
    match item {
        Outgoing::Message { bytes, hop: None } => bytes.clone(),
        Outgoing::Message { bytes, hop: Some(hop) } => {
            let mut text = Vec::new();
            write_hop(*hop, &mut text);
            text.extend_from_slice(&bytes[1..]);
            text.into()
        }
        Outgoing::Control(_) => panic!("control has no place on the way to a Message Node"),
    }
}

fn node(number: u8) -> Arc<MessageNode> {
    let next = AtomicU64::new(u64::from(number) << 56);
    let random = move |bytes: &mut [u8]| {
        for part in bytes.chunks_mut(8) {
            let drawn = mix(next.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
            part.copy_from_slice(&drawn[..part.len()]);
        }
    };
    Arc::new(MessageNode::new(NodeConfig::new(DOMAIN), random).unwrap())
}

/// SplitMix64's finaliser.
fn mix(of: u64) -> u64 {
    let mut z = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
