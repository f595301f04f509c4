//! The RuntimeUA: one runtime's control plane, assembled from the parts below it and without any IO.
//!
//! It owns the Registry's tables, the P2P Handler stub and the P2P Requester stubs, and carries out the page
//! P2P Connection Messages: each of its messages is sent and handled here. It is driven from outside:
//!
//! * the data plane ([`MessageBus`]) puts [`Note`]s into its inbox; call [`RuntimeUa::handle_notes`] when it
//!   is not empty;
//! * transports report by [`RuntimeUa::node_opened`], [`RuntimeUa::link_up`], [`RuntimeUa::link_down`];
//! * time comes in as `now`; after every call ask [`RuntimeUa::poll_timeout`] again;
//! * what it wants of a transport or has to tell comes out of [`RuntimeUa::poll_output`]; poll it until
//!   `None` after every call.
//!
//! Messages it writes go through the same MessageBus as everybody's.

mod attempts;
mod bells;
mod changes;
mod config;
mod dispatch;
mod exchange;
mod forget;
mod ingress;
mod invited;
mod learn;
mod load;
mod look_up;
mod node_leg;
mod paths;
mod remote;
mod status_events;
mod stubs;
mod timed;

pub use config::{Output, PathChange, RuntimeUrlError, Stubs, UaConfig};
pub use ingress::{LinkFault, NodeIngress, P2pIngress};
pub use load::Load;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use parking_lot::RwLock;
use simd_json::OwnedValue;

use crate::{
    address::Url,
    bus::{BusConfig, MessageBus, Note, P2pPolicy, Requests},
    handover::Peer,
    limits,
    link::{Ingress, LinkId, Outbox, Path, Sink},
    p2p::Description,
    registry::{ListenerKey, connections::Connections},
};

use attempts::Attempt;
use bells::Bells;
use exchange::Purpose;
use learn::Work;
use look_up::LookUps;
use node_leg::NodeLeg;
use remote::Remote;
use status_events::Unsaid;
use stubs::DeployedStub;
use timed::{Due, Timed};

/// The control plane of one runtime. One owner; see the module for how it is driven.
pub struct RuntimeUa {
    config: UaConfig,
    bus: Arc<MessageBus>,
    inbox: Arc<Outbox<Note>>,
    requests: Requests<Purpose>,
    outputs: VecDeque<Output>,
    next_id: u64,
    next_link: u32,
    /// 128 random bits that name this life of the runtime.
    incarnation: u128,
    ready: bool,
    /// What our own P2P endpoint offers; `None` until the transport is up, and without P2P.
    local: Option<Arc<Description>>,
    nodes: HashMap<Box<str>, NodeLeg>,
    /// The Handler stub's path stands at our Message Node.
    handler_path: bool,
    /// Our Hyperties and data objects; the value is true once the domain registry has confirmed.
    registered: BTreeMap<Url, bool>,
    reregister_at: Option<Instant>,
    /// What was removed, until the domain registry has confirmed it.
    removed: BTreeSet<Url>,
    connections: Connections,
    remotes: Timed<Url, Remote>,
    /// Whose direct messages come by which link.
    links: HashMap<LinkId, Url>,
    bells: Bells,
    /// When to look for remote runtimes that are of no use any more, and when that last made room.
    forget_at: Option<Instant>,
    made_room_at: Option<Instant>,
    peers: Arc<RwLock<Vec<Arc<Peer>>>>,
    /// Wakes the owner when a peer's timer moved earlier.
    alarm: Option<Arc<dyn Fn() + Send + Sync>>,
    stubs: BTreeMap<Url, DeployedStub>,
    attempts: Timed<u64, Attempt>,
    next_attempt: u64,
    next_requester: u64,
    look_ups: LookUps,
    /// Status events of our stubs that the inbox had no room for.
    unsaid: Vec<Unsaid>,
    /// Registry changes that are to be said, in order.
    pending_changes: VecDeque<(Url, OwnedValue)>,
    /// When those that found no room are said again.
    changes_at: Option<Instant>,
    /// Lists of addresses that are still to be worked through.
    work: Work,
}

/// The link of the Registry's and the RuntimeUA's own messages.
const OWN_LINK: LinkId = LinkId(1);

impl RuntimeUa {
    /// A runtime with its own listeners and the Handler stub deployed (step 9 of the page P2P Msg delivery),
    /// without Message Nodes, connections or Hyperties.
    pub fn new(config: UaConfig) -> Self {
        let inbox = Arc::new(Outbox::new(limits::INBOX_NOTES_MAX, limits::INBOX_BYTES_MAX));
        let bus_config = BusConfig {
            runtime: config.runtime.clone(),
            limits: config.limits.clone(),
            policy: config.policy,
            tap: config.tap.clone(),
            inbox: Some(inbox.clone()),
        };
        let mut ua = RuntimeUa {
            bus: Arc::new(MessageBus::new(bus_config)),
            inbox,
            requests: Requests::new(limits::REQUEST_TIMEOUT, limits::REQUESTS_MAX),
            outputs: VecDeque::new(),
            next_id: 1,
            next_link: OWN_LINK.0 + 1,
            incarnation: (config.random)(),
            ready: false,
            local: None,
            nodes: HashMap::new(),
            handler_path: false,
            registered: BTreeMap::new(),
            reregister_at: None,
            removed: BTreeSet::new(),
            connections: Connections::default(),
            remotes: Timed::new(),
            links: HashMap::new(),
            bells: Bells::default(),
            forget_at: None,
            made_room_at: None,
            peers: Arc::default(),
            alarm: None,
            stubs: BTreeMap::new(),
            attempts: Timed::new(),
            next_attempt: 1,
            next_requester: 1,
            look_ups: LookUps::default(),
            unsaid: Vec::new(),
            pending_changes: VecDeque::new(),
            changes_at: None,
            work: Work::default(),
            config,
        };
        ua.start();
        ua
    }

    /// The data plane.
    pub fn bus(&self) -> &Arc<MessageBus> {
        &self.bus
    }

    /// What the data plane tells us; drive [`RuntimeUa::handle_notes`] when something is in it.
    pub fn inbox(&self) -> &Arc<Outbox<Note>> {
        &self.inbox
    }

    /// Has `alarm` called when [`RuntimeUa::poll_timeout`] moved earlier by what the data plane did. Set it
    /// before anything is connected.
    pub fn set_alarm(&mut self, alarm: Arc<dyn Fn() + Send + Sync>) {
        self.alarm = Some(alarm);
    }

    /// Says what our own P2P endpoint offers: from now on connections can be set up.
    pub fn set_local_description(&mut self, description: Description) {
        self.local = Some(Arc::new(description));
    }

    /// The Handler stub's URL, `<runtime>/p2phandler/1`.
    pub fn handler_url(&self) -> Url {
        self.own_url("p2phandler/1")
    }

    /// The Handler stub's URL, if connections are wanted at all.
    pub fn p2p_handler(&self) -> Option<Url> {
        (self.config.policy != P2pPolicy::Off).then(|| self.handler_url())
    }

    /// Handles what the data plane has put into the inbox, in order, and lists of addresses that
    /// came before. One call does a bounded part of it: call again while [`RuntimeUa::is_busy`],
    /// and let others have the lock meanwhile.
    pub fn handle_notes(&mut self, now: Instant) {
        let mut items = self.do_work(limits::STEP_ADDRESSES_MAX, now);
        let mut notes = Vec::new();
        let mut left = limits::INBOX_BATCH;
        while left > 0 && self.inbox.try_drain(&mut notes, left) > 0 {
            left = left.saturating_sub(notes.len());
            for note in notes.drain(..) {
                self.handle_note(note, now);
                items += 1;
                // A short list takes effect before what came behind it.
                items += self.do_work(limits::STEP_ADDRESSES_MAX.saturating_sub(items), now);
            }
            // The inbox has room again for the events that it had none for.
            for event in std::mem::take(&mut self.unsaid) {
                self.say(event, now);
            }
        }
        self.note_step(items);
        self.settle();
    }

    /// What the owner has to do or to know; `None` when there is nothing more for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`RuntimeUa::handle_timeout`] is due next; may be early. Cost: what was touched since notes or
    /// time-outs were handled last, however many remote runtimes there are.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let rung = self.bells.rung();
        let rung = rung.iter().filter_map(|remote| self.remotes.get(remote)?.due());
        let own = [self.reregister_at, self.changes_at, self.forget_at];
        [self.requests.poll_timeout(), self.bus.poll_timeout()]
            .into_iter()
            .flatten()
            .chain(own.into_iter().flatten())
            .chain(rung)
            .chain(self.remotes.poll_timeout())
            .chain(self.attempts.poll_timeout())
            .chain(self.look_ups.poll_timeout())
            .min()
    }

    /// Does what is due at `now`: afterwards [`RuntimeUa::poll_timeout`] is later, or none. Ask
    /// [`RuntimeUa::is_busy`] too: what was delivered may have left notes.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.bus.handle_timeout(now);
        for (_, _, purpose) in self.requests.handle_timeout(now) {
            self.on_no_answer(purpose, now);
        }
        self.attempts_timeout(now);
        self.retries_timeout(now);
        self.look_ups_timeout(now);
        self.registrations_timeout(now);
        self.changes_timeout(now);
        self.lists_timeout(now);
        self.paths_timeout(now);
        self.forget_timeout(now);
        self.handle_notes(now);
        // Last, for what a note says can have a peer deliver at once: a `base` sets free what is held back.
        self.peers_timeout(now);
        self.settle();
    }

    /// Ends every connection and tells the Message Node that the stubs' paths are gone. Then drain what is
    /// queued and stop.
    pub fn shut_down(&mut self, now: Instant) {
        self.local = None;
        let attempts: Vec<u64> = self.attempts.keys().copied().collect();
        for attempt in attempts {
            self.end_attempt(attempt, "the runtime shuts down", now);
        }
        self.handle_notes(now);
        self.remove_paths(now);
        for remote in self.remotes.values_mut() {
            remote.retry_at = None;
        }
    }

    /// Remote runtimes with something to do, of whatever kind.
    fn due_remotes(&mut self, now: Instant) -> Vec<Url> {
        self.settle();
        self.remotes.take_due(now)
    }

    /// Notes when what was touched is due.
    fn settle(&mut self) {
        for remote in self.bells.take() {
            self.remotes.touch(&remote);
        }
        self.remotes.settle();
        self.attempts.settle();
    }

    fn start(&mut self) {
        for part in ["ua", "registry"] {
            let url = self.own_url(part);
            self.listen(url);
        }
        if self.config.policy != P2pPolicy::Off {
            let handler = self.handler_url();
            self.deploy(handler);
            if self.config.stubs == Stubs::Ours {
                // What comes for Requesters that are gone: somebody may wait for an answer of an earlier life.
                let requesters = self.own_url("p2prequester");
                self.listen(requesters);
            }
        }
    }

    /// A part of this runtime.
    ///
    /// # Panics
    /// If the runtime URL is so long that its parts are no addresses; [`UaConfig::new`] refuses such.
    fn own_url(&self, part: &str) -> Url {
        self.config.runtime.join(part).expect("the runtime URL has room for its parts")
    }

    /// A listener of this control plane on `url`.
    fn listen(&mut self, url: Url) -> ListenerKey {
        let sink = self.control_sink();
        self.bus.add_listener(url, None, sink)
    }

    /// The sink of everything that this control plane itself handles.
    fn control_sink(&self) -> Arc<dyn Sink> {
        let inbox = self.inbox.clone();
        Arc::new(move |delivery| inbox.push(Note::Message(delivery)))
    }

    fn new_link(&mut self) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        link
    }

    fn own_ingress(&self) -> Ingress {
        Ingress { path: Path::Local, link: OWN_LINK }
    }
}

impl std::fmt::Debug for RuntimeUa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuntimeUa")
            .field("runtime", &self.config.runtime)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}
