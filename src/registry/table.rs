//! The routing table of a runtime: the FIB and the places its entries point at, edited together.
//!
//! Editing takes one lock and belongs to the control plane; reading takes none. What an entry *means* for a
//! message is decided in [`resolve`](mod@super::resolve).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crossbeam_epoch::Guard;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::{
    address::{Address, Url},
    fib::{Entry, Fib, FibWriter, Match},
    handover::Peer,
    link::{LinkId, Sink, Stub},
    slab::{self, Slab, SlabWriter, Target},
    status::Status,
};

/// Somebody who takes messages within this runtime.
pub struct Listener {
    /// The URL it listens on.
    pub url: Url,
    /// The sandbox it stands in: it never gets what came from there. `None`: it gets everything.
    pub link: Option<LinkId>,
    /// Where the messages go.
    pub sink: Arc<dyn Sink>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("url", &self.url).field("link", &self.link).finish()
    }
}

/// What a [`Target`] stands for.
#[derive(Debug)]
pub enum Place {
    /// A local listener.
    Listener(Listener),
    /// A remote runtime.
    Peer(Arc<Peer>),
    /// A remote runtime, for addresses learnt over one of its connections: they count for P2P only as long as
    /// that connection stands.
    Learnt {
        /// The remote runtime.
        peer: Arc<Peer>,
        /// The generation in the peer's slot that they were learnt in.
        generation: u64,
    },
    /// A Message Node stub.
    Stub(Arc<Stub>),
}

impl Place {
    /// The remote runtime, if it is one.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        match self {
            Place::Peer(peer) | Place::Learnt { peer, .. } => Some(peer),
            Place::Listener(_) | Place::Stub(_) => None,
        }
    }

    /// True if addresses here may take the direct connection now. One load.
    pub fn is_live(&self) -> bool {
        match self {
            Place::Peer(peer) => peer.slot().is_live(),
            Place::Learnt { peer, generation } => peer.slot().load() == (*generation, Status::Live),
            Place::Listener(_) | Place::Stub(_) => false,
        }
    }
}

// With the state of its place it stands on one line, and a large chunk of them on one huge page.
const _: () = assert!(size_of::<Place>() <= 56 || cfg!(not(target_pointer_width = "64")));

/// FIB and places. Cheap to share behind an [`Arc`].
#[derive(Debug)]
pub struct RoutingTable {
    fib: Fib,
    places: Slab<Place>,
    writer: Mutex<Writer>,
    edits: AtomicU64,
    /// The place of the Message Node stub of our own domain, or [`NO_STUB`].
    home_stub: AtomicU64,
    /// Message Node stubs of other domains that were ever added.
    other_stubs: AtomicUsize,
}

#[derive(Debug)]
struct Writer {
    fib: FibWriter,
    places: SlabWriter<Place>,
}

impl Default for RoutingTable {
    fn default() -> Self {
        RoutingTable::new()
    }
}

impl RoutingTable {
    /// An empty table.
    pub fn new() -> Self {
        let writer = Writer { fib: FibWriter::new(), places: SlabWriter::new() };
        RoutingTable {
            fib: writer.fib.reader(),
            places: writer.places.reader(),
            writer: Mutex::new(writer),
            edits: AtomicU64::new(0),
            home_stub: AtomicU64::new(NO_STUB),
            other_stubs: AtomicUsize::new(0),
        }
    }

    /// How often it was edited. Whoever reads the same number before a look-up and after it, or a place, has
    /// read what stands there now. One load.
    pub fn edits(&self) -> u64 {
        self.edits.load(Ordering::Acquire)
    }

    /// Looks `to` up. No lock. Hold `guard` from here until the places found have been read.
    #[inline]
    pub fn look_up(&self, to: &Address<'_>, found: &mut Match, guard: &Guard) {
        self.fib.look_up_under(to, found, guard);
    }

    /// The same for several addresses, each into its own of `found`, with their memory accesses overlapped.
    ///
    /// # Panics
    /// If `to` and `found` differ in length.
    pub fn look_up_batch(&self, to: &[Address<'_>], found: &mut [Match], _guard: &Guard) {
        self.fib.look_up_batch(to, found);
    }

    /// Asks for the places of the listeners in `found`, which are to be read soon.
    pub fn prefetch(&self, found: &[Match]) {
        self.places.prefetch(found.iter().filter_map(|found| found.listeners.first().copied()));
    }

    /// The place behind a target found under the same `guard`. No lock.
    pub fn place<'g>(&self, target: Target, guard: &'g Guard) -> Option<&'g Place> {
        self.places.get(target, guard)
    }

    /// The listener behind `target`, if it was found while the table's number of edits was `edits` and still
    /// is.
    pub fn listener_as_of<'g>(
        &self,
        target: Target,
        edits: u64,
        guard: &'g Guard,
    ) -> Option<&'g Listener> {
        match self.place(target, guard) {
            // Read after the place, which may have become another's.
            Some(Place::Listener(listener)) if self.edits() == edits => Some(listener),
            _ => None,
        }
    }

    /// Gives `place` a target, to put entries with.
    pub fn add_place(&self, place: Place) -> Target {
        self.writer.lock().places.insert(place)
    }

    /// Takes a place away. Its entries must have been removed before.
    pub fn remove_place(&self, target: Target) -> bool {
        let mut writer = self.writer.lock();
        let was_there = writer.places.remove(target);
        self.count_edit();
        drop(writer);
        slab::hand_on();
        was_there
    }

    /// Puts entries on prefixes, all of them visible when this returns. Gives back the routes replaced.
    pub fn insert<'a>(
        &self,
        entries: impl IntoIterator<Item = (Address<'a>, Entry)>,
    ) -> Vec<Entry> {
        self.insert_under(&mut self.writer.lock(), entries)
    }

    /// The same for addresses that others choose; false, and none of them is put in, if they have filled what
    /// is theirs.
    pub fn insert_of_others<'a>(
        &self,
        entries: impl IntoIterator<Item = (Address<'a>, Entry)>,
    ) -> bool {
        let mut writer = self.writer.lock();
        let has_room = writer.fib.has_room();
        if has_room {
            self.insert_under(&mut writer, entries);
        }
        has_room
    }

    fn insert_under<'a>(
        &self,
        writer: &mut Writer,
        entries: impl IntoIterator<Item = (Address<'a>, Entry)>,
    ) -> Vec<Entry> {
        let replaced =
            entries.into_iter().filter_map(|(at, entry)| writer.fib.insert(&at, entry)).collect();
        writer.fib.publish();
        self.count_edit();
        replaced
    }

    /// Takes entries off prefixes; how many had been there.
    pub fn remove<'a>(&self, entries: impl IntoIterator<Item = (Address<'a>, Entry)>) -> usize {
        let mut writer = self.writer.lock();
        let removed =
            entries.into_iter().filter(|(at, entry)| writer.fib.remove(at, *entry)).count();
        writer.fib.publish();
        self.count_edit();
        removed
    }

    /// Adds a listener on `listener.url`; exact-only ones are passed over below it.
    pub fn add_listener(&self, listener: Listener, exact: bool) -> ListenerKey {
        let url = listener.url.clone();
        let target = self.add_place(Place::Listener(listener));
        let entry = Entry::Listener { target, exact };
        self.insert([(url.address(), entry)]);
        ListenerKey { url, target, exact }
    }

    /// Removes a listener; false if it had gone already.
    pub fn remove_listener(&self, key: &ListenerKey) -> bool {
        let entry = Entry::Listener { target: key.target, exact: key.exact };
        let was_there = self.remove([(key.url.address(), entry)]) > 0;
        was_there && self.remove_place(key.target)
    }

    /// Makes `stub` the way to the Message Node of its domain; `is_home`: that is our own. `None` if the
    /// domain can be no part of an address.
    pub fn add_stub(&self, stub: Arc<Stub>, is_home: bool) -> Option<Target> {
        let key = Url::parse(&stub_key(&stub.domain)).ok()?;
        let target = self.add_place(Place::Stub(stub));
        self.insert([(key.address(), Entry::Route { target })]);
        match is_home {
            true => self.home_stub.store(u64::from(target.0), Ordering::Release),
            false => drop(self.other_stubs.fetch_add(1, Ordering::Release)),
        }
        Some(target)
    }

    /// The MN stub of our own domain. Two loads: it is what most messages that leave go by.
    pub fn home_stub<'g>(&self, guard: &'g Guard) -> Option<&'g Arc<Stub>> {
        let number = self.home_stub.load(Ordering::Acquire);
        self.stub_at(Target(u32::try_from(number).ok()?), guard)
    }

    /// The MN stub of another domain than our own. One load if there never was any.
    pub fn other_stub<'g>(&self, domain: &str, guard: &'g Guard) -> Option<&'g Arc<Stub>> {
        if self.other_stubs.load(Ordering::Acquire) == 0 {
            return None;
        }
        // On the stack: a message that leaves the runtime allocates nothing.
        let mut key: SmallVec<[u8; 128]> = SmallVec::from_slice(STUB_SCHEME.as_bytes());
        key.extend_from_slice(domain.as_bytes());
        let key = Address::parse(std::str::from_utf8(&key).ok()?).ok()?;
        let mut found = Match::default();
        self.look_up(&key, &mut found, guard);
        self.stub_at(found.route?, guard)
    }

    fn stub_at<'g>(&self, target: Target, guard: &'g Guard) -> Option<&'g Arc<Stub>> {
        match self.place(target, guard)? {
            Place::Stub(stub) => Some(stub),
            _ => None,
        }
    }

    /// The target of the MN stub of `domain`.
    pub fn stub_target(&self, domain: &str) -> Option<Target> {
        let key = Url::parse(&stub_key(domain)).ok()?;
        let entries = self.writer.lock().fib.entries(&key.address());
        entries.into_iter().find_map(|entry| match entry {
            Entry::Route { target } => Some(target),
            _ => None,
        })
    }

    /// After the edit, under the writer's lock.
    fn count_edit(&self) {
        self.edits.fetch_add(1, Ordering::Release);
    }
}

/// No number of a place.
const NO_STUB: u64 = u64::MAX;
/// What stands before the domain in [`stub_key`].
const STUB_SCHEME: &str = "domain://";

/// Where the stub of a domain stands in the table: on `domain://<domain>`, which nobody can subscribe to.
fn stub_key(domain: &str) -> String {
    format!("{STUB_SCHEME}{domain}")
}

/// What a listener is removed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerKey {
    url: Url,
    target: Target,
    exact: bool,
}

impl ListenerKey {
    /// The URL listened on.
    pub fn url(&self) -> &Url {
        &self.url
    }
}
