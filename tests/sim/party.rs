//! One runtime, its stubs' queues and its listeners. When anything happens to it is the world's to say.

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
    address::Url,
    handover,
    limits::STUB_DEADLINE,
    link::{Delivery, Path, Refusal, Sink},
    message::{Hop, Message},
    node::Socket,
    p2p::{Candidate, Description},
    ua::{NodeIngress, RuntimeUa, UaConfig},
};
use parking_lot::Mutex;

use super::dice::Dice;

/// Frames under way, each with the moment of its arrival; in order.
pub(crate) type Flight<T> = VecDeque<(Instant, T)>;

/// Puts `item` on its way, behind all that is on its way already.
pub(crate) fn launch<T>(flight: &mut Flight<T>, at: Instant, item: T) {
    let last = flight.back().map_or(at, |(last, _)| *last);
    flight.push_back((at.max(last), item));
}

/// The next item that has arrived.
pub(crate) fn landed<T>(flight: &mut Flight<T>, now: Instant) -> Option<T> {
    let due = flight.front().is_some_and(|(at, _)| *at <= now);
    if due { flight.pop_front().map(|(_, item)| item) } else { None }
}

/// Hyperties of each runtime.
pub(crate) const HYPERTIES: usize = 2;

/// One process life of a runtime.
pub(crate) struct Party {
    pub(crate) url: Url,
    pub(crate) life: u32,
    pub(crate) alive: bool,
    pub(crate) ready: bool,
    /// Its process does not get to run: nothing is read, sent or noticed.
    pub(crate) frozen: bool,
    /// It has shut down, and does not connect again.
    pub(crate) leaving: bool,
    pub(crate) ua: RuntimeUa,
    pub(crate) description: Description,
    /// One for each Message Node that it has a stub for; the first is its own.
    pub(crate) legs: Vec<Leg>,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
    /// Of a hundred messages its listeners refuse so many as full.
    pub(crate) full_percent: Arc<AtomicU64>,
}

/// A message that a listener took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) number: usize,
    pub(crate) path: Path,
}

/// What is chosen for all runtimes of a world.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) hand_over: handover::Config,
    pub(crate) queue_items: usize,
}

/// The name of runtime `index`.
pub(crate) const NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// Its Hyperty `which`.
pub(crate) fn hyperty(domain: &str, index: usize, which: usize) -> String {
    format!("hyperty://{domain}/{}-{which}", NAMES[index])
}

impl Party {
    /// Process life number `life` of runtime `index`, with stubs for the Message Nodes of `nodes` (domain and
    /// index).
    pub(crate) fn new(
        index: usize,
        life: u32,
        nodes: &[(String, usize)],
        choice: Choice,
        dice: &Dice,
        clock: &Clock,
    ) -> Party {
        let domain = nodes[0].0.clone();
        let url = Url::parse(&format!("hyperty-runtime://{domain}/{}", NAMES[index])).unwrap();
        let own = Dice::new(dice.draw());
        let draw = own.clone();
        let config = UaConfig::new(url.clone(), Arc::new(move || draw.draw_u128())).unwrap();
        let mut ua = RuntimeUa::new(UaConfig { hand_over: choice.hand_over, ..config });
        let legs = nodes.iter().map(|(domain, node)| {
            let queue = Arc::new(StubQueue::new(choice.queue_items, clock.clone()));
            let ingress = ua.add_node(domain, queue.clone());
            Leg::new(domain.clone(), *node, queue, ingress)
        });
        let legs = legs.collect();
        let key = format!("{:02X}", 16 * (index as u32 + 1) + life % 16);
        let description = Description {
            fingerprint: format!("sha-256 {}", vec![key; 32].join(":")),
            candidates: vec![Candidate(([127, 0, 0, 1], 4000 + index as u16).into())],
        };
        ua.set_local_description(description.clone());
        let mut party = Party {
            url,
            life,
            alive: true,
            ready: false,
            frozen: false,
            leaving: false,
            ua,
            description,
            legs,
            heard: Arc::default(),
            full_percent: Arc::default(),
        };
        for which in 0..HYPERTIES {
            party.listen(Url::parse(&hyperty(&domain, index, which)).unwrap(), &own, clock.now());
        }
        party
    }

    /// The process is there, and gets to run.
    pub(crate) fn is_running(&self) -> bool {
        self.alive && !self.frozen
    }

    fn listen(&mut self, url: Url, dice: &Dice, now: Instant) {
        let (heard, full, dice) = (self.heard.clone(), self.full_percent.clone(), dice.clone());
        let sink = move |delivery: Delivery| -> Result<(), Refusal> {
            let full = full.load(Ordering::Relaxed);
            if full > 0 && dice.chance(full) {
                return Err(Refusal::Full { bound: 1 });
            }
            if let Some(number) = number_of(&delivery.message) {
                heard.lock().push(Heard { number, path: delivery.ingress.path });
            }
            Ok(())
        };
        self.ua.bus().add_listener(url.clone(), None, Arc::new(sink));
        self.ua.add_resource(url, now);
    }
}

/// The number that the simulation gave a message.
pub(crate) fn number_of(message: &Message) -> Option<usize> {
    message.body_member(&["n"])?.parse().ok()
}

/// The way of one runtime to one Message Node.
pub(crate) struct Leg {
    pub(crate) domain: String,
    pub(crate) node: usize,
    pub(crate) queue: Arc<StubQueue>,
    pub(crate) ingress: NodeIngress,
    pub(crate) token: Option<String>,
    /// The socket, from connecting until the client knows that it is gone.
    pub(crate) socket: Option<Arc<Socket>>,
    pub(crate) opened: bool,
    pub(crate) up: Flight<Bytes>,
    pub(crate) down: Flight<Bytes>,
    /// Nothing passes any more, whether or not anybody knows.
    pub(crate) broken: bool,
    pub(crate) client_notices: Option<Instant>,
    pub(crate) connect_at: Option<Instant>,
    /// Nobody gets through before.
    pub(crate) out_until: Option<Instant>,
    pub(crate) failures: u32,
}

impl Leg {
    fn new(domain: String, node: usize, queue: Arc<StubQueue>, ingress: NodeIngress) -> Leg {
        Leg {
            domain,
            node,
            queue,
            ingress,
            token: None,
            socket: None,
            opened: false,
            up: Flight::new(),
            down: Flight::new(),
            broken: false,
            client_notices: None,
            connect_at: None,
            out_until: None,
            failures: 0,
        }
    }

    /// The session is open and nothing is in its way.
    pub(crate) fn is_good(&self) -> bool {
        self.opened && !self.broken
    }
}

/// What the stub of a Message Node would be in a runtime: a bounded queue that gives back what waited too
/// long.
pub(crate) struct StubQueue {
    waiting: Mutex<VecDeque<(Instant, Message, Option<Hop>)>>,
    items_max: usize,
    clock: Clock,
}

impl StubQueue {
    fn new(items_max: usize, clock: Clock) -> StubQueue {
        StubQueue { waiting: Mutex::default(), items_max, clock }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    pub(crate) fn pop(&self) -> Option<(Message, Option<Hop>)> {
        self.waiting.lock().pop_front().map(|(_, message, hop)| (message, hop))
    }

    /// When the first of those that wait has waited too long.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.waiting.lock().front().map(|(since, ..)| *since + STUB_DEADLINE)
    }
}

impl Sink for StubQueue {
    fn push(&self, delivery: Delivery) -> Result<(), Refusal> {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= self.items_max {
            return Err(Refusal::Full { bound: self.items_max });
        }
        waiting.push_back((self.clock.now(), delivery.message, delivery.hop));
        Ok(())
    }
}

/// The virtual clock, for those who ask instead of being told.
#[derive(Clone)]
pub(crate) struct Clock {
    start: Instant,
    nanoseconds: Arc<AtomicU64>,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { start: Instant::now(), nanoseconds: Arc::default() }
    }

    pub(crate) fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, now: Instant) {
        let nanoseconds = (now - self.start).as_nanos() as u64;
        self.nanoseconds.store(nanoseconds, Ordering::Relaxed);
    }

    /// Nanoseconds since the world began.
    pub(crate) fn age(&self) -> u128 {
        u128::from(self.nanoseconds.load(Ordering::Relaxed))
    }
}
