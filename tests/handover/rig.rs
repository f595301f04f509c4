//! The parts of the simulated world: dice, the two runtimes, their stubs and links.

use super::*;

/// A small generator (splitmix64), shared with the peers.
pub(super) struct Dice(pub(super) AtomicU64);

impl Dice {
    pub(super) fn draw(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn draw_u128(&self) -> u128 {
        u128::from(self.draw()) << 64 | u128::from(self.draw())
    }

    pub(super) fn in_range(&self, from: u64, to: u64) -> u64 {
        from + self.draw() % (to - from).max(1)
    }

    pub(super) fn chance(&self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }
}

pub(super) struct Node {
    pub(super) peer: Peer,
    pub(super) life: u32,
    pub(super) stubs: Vec<Leg>,
    pub(super) direct: Option<Link>,
    pub(super) numbers: BTreeMap<(u64, u64), u64>,
    /// What was accepted for sending, and whether numbered.
    pub(super) accepted: BTreeMap<Pair, Vec<(u64, bool)>>,
    /// What the listener of this side took.
    pub(super) heard: BTreeMap<Pair, Vec<u64>>,
    pub(super) ended: BTreeMap<Pair, Vec<u64>>,
    /// The first number of each pair that was sent when all was well again.
    pub(super) well: BTreeMap<(u64, u64), u64>,
    pub(super) well_again: bool,
    pub(super) by: [u64; 2],
    pub(super) refused: u64,
    /// Counts of lives gone by.
    pub(super) before: Report,
}

impl Node {
    /// The next message of `pair` was accepted for sending.
    pub(super) fn count_accepted(&mut self, pair: (u64, u64), numbered: bool, path: Path) {
        let number = self.numbers.entry(pair).or_default();
        self.accepted.entry((pair.0, pair.1, self.life)).or_default().push((*number, numbered));
        *number += 1;
        self.by[usize::from(path == Path::P2p)] += 1;
    }
}

/// A queue into a Message Node, and what is under way.
pub(super) struct Leg {
    pub(super) stub: Arc<Stub>,
    pub(super) queue: Arc<Outbox<Outgoing>>,
    pub(super) flight: VecDeque<(Instant, Outgoing)>,
}

/// One end of a direct connection: its queue, and what is under way *from* it.
pub(super) struct Link {
    pub(super) connection: u64,
    pub(super) queue: Arc<Outbox<Outgoing>>,
    pub(super) flight: VecDeque<(Instant, Outgoing)>,
    pub(super) announced: Announced,
    /// The stream as the frame encoder knows it is not on the wire; only the number is.
    pub(super) alive: bool,
}

pub(super) fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL of the simulation")
}

pub(super) fn new_peer(
    side: usize,
    random: &Arc<Dice>,
    config: Config,
    stubs: &[Leg],
    now: Instant,
) -> Peer {
    let ids = Arc::clone(random);
    let incarnation = random.draw_u128();
    let draw = Arc::new(move || ids.draw_u128());
    let remote = url(["runtime://b/1", "runtime://a/1"][side]);
    let peer = Peer::new(remote, LinkId(9), incarnation, draw, config);
    let ends = ["runtime://a/1/p2phandler/1", "runtime://b/1/p2prequester/1"];
    peer.set_endpoints(url(ends[side]), url(ends[1 - side]));
    peer.set_stub(&stubs[0].stub, now).expect("one stub");
    peer.set_capable(true);
    peer
}

pub(super) fn new_node(side: usize, random: &Arc<Dice>, config: Config, now: Instant) -> Node {
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
        peer: new_peer(side, random, config, &stubs, now),
        life: 0,
        stubs,
        direct: None,
        numbers: BTreeMap::new(),
        accepted: BTreeMap::new(),
        heard: BTreeMap::new(),
        ended: BTreeMap::new(),
        well: BTreeMap::new(),
        well_again: false,
        by: [0; 2],
        refused: 0,
        before: Report::default(),
    }
}
