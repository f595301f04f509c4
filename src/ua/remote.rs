//! What is known of one remote runtime: its peer, its addresses, the connection to it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    address::{Address, Url},
    bus::Incoming,
    handover::{Event, Outcome, Peer},
    limits,
    link::Sink,
    message::Message,
    registry::{ListenerKey, Place},
    slab::Target,
    status::Status,
    ua::{Output, RuntimeUa, Stubs, paths::Watched, timed::Due},
};

/// One remote runtime.
pub(super) struct Remote {
    pub(super) peer: Arc<Peer>,
    /// For addresses that count whichever connection there is: the runtime itself, what was looked up.
    pub(super) target: Target,
    /// Addresses that a look-up gave.
    pub(super) looked_up: HashSet<Url>,
    /// Addresses learnt from the remote Registry over the present connection, or over one that has gone
    /// (then they are retired, and stay for numbering).
    pub(super) learnt: HashMap<Url, Target>,
    /// What earlier lists said, to be dropped when the present one is whole, and their places.
    pub(super) outdated: Vec<(HashMap<Url, Target>, Vec<Target>)>,
    /// How many addresses of the present list are still to come; by then, at the latest, they count
    /// as not there.
    pub(super) awaited: usize,
    pub(super) outdated_until: Option<Instant>,
    /// Where addresses learnt over the present connection point.
    pub(super) learning: Option<Target>,
    /// Where addresses learnt over earlier connections point, until the list is replaced.
    pub(super) retired: Vec<Target>,
    /// Counts the connections that turned live; the generation in the peer's slot.
    pub(super) epoch: u64,
    /// The stub whose connection carries messages, with the URL that `resolve` gives.
    pub(super) direct: Option<(Url, Url)>,
    /// The MessageBus's listener on the p2p-connectionUrl of a Handler's connection, and its sink: messages
    /// go this way.
    pub(super) path_listener: Option<(ListenerKey, Arc<dyn Sink>)>,
    /// Our listener on `<remote>/registry/changes`, while we are subscribed or asking.
    pub(super) changes_listener: Option<ListenerKey>,
    /// The remote Registry has accepted our subscription.
    pub(super) changes_accepted: bool,
    /// The remote runtime has subscribed to our Registry's changes.
    pub(super) subscribed_here: bool,
    /// The process life of it that a set-up has told of.
    pub(super) incarnation: Option<u128>,
    /// Its Handler stub, once known.
    pub(super) handler: Option<Url>,
    /// Our Requester stub for it.
    pub(super) requester: Option<Url>,
    /// The Message Node has confirmed the path to that stub.
    pub(super) requester_path: bool,
    /// When the Requester tries again, and how often it has in a row.
    pub(super) retry_at: Option<Instant>,
    pub(super) retries: u32,
    /// A retry has already waited for an invitation in this runtime's name.
    pub(super) has_waited: bool,
    /// It was not reached for so long that no set-up is tried any more.
    pub(super) given_up: bool,
    /// Which path was told last.
    pub(super) watched: Watched,
    /// When anything last depended on it, as far as was looked.
    pub(super) used_at: Instant,
    /// Generations counted by the Handler stub and by the Requester stub.
    pub(super) handler_generation: u64,
    pub(super) requester_generation: u64,
}

impl RuntimeUa {
    /// The remote runtime `url`, known from now on. `None` at the bound, or if it is ourselves.
    pub(super) fn remote(&mut self, url: &Url, now: Instant) -> Option<&mut Remote> {
        if self.bus.own().is_ours(&url.address()) {
            return None;
        }
        if !self.remotes.contains_key(url) {
            let remotes_max = self.config.remotes_max;
            if self.remotes.len() >= remotes_max {
                self.make_room(now);
            }
            if self.remotes.len() >= remotes_max {
                self.log(format!("{url} is not taken up: {remotes_max} runtimes are"));
                return None;
            }
            let remote = self.new_remote(url, now);
            self.links.insert(remote.peer.link(), url.clone());
            self.remotes.insert(url.clone(), remote);
            self.forget_later(now);
        }
        self.remotes.get_mut(url)
    }

    /// Says that `address`, which was looked up, lives in the runtime `remote`.
    pub(super) fn associate(&mut self, remote: &Url, address: &Url, now: Instant) {
        let stub = self.stub_towards(address);
        let bus = self.bus.clone();
        if bus.own().is_ours(&address.address()) || self.registered.contains_key(address) {
            return;
        }
        let Some(state) = self.remote(remote, now) else { return };
        if state.looked_up.len() + state.learnt.len() >= limits::ASSOCIATIONS_MAX {
            return;
        }
        state.looked_up.insert(address.clone());
        bus.associate(state.target, [address]);
        if let Some(stub) = stub {
            let _ = state.peer.bind(&stub, now);
        }
    }

    /// Takes an association away: the remote runtime says it is stale.
    pub(super) fn dissociate(&mut self, remote: &Url, address: &Url) {
        let Some(state) = self.remotes.get_mut(remote) else { return };
        if state.looked_up.remove(address) {
            self.bus.dissociate(state.target, [address]);
        }
        if let Some(target) = state.learnt.remove(address) {
            self.bus.dissociate(target, [address]);
        }
    }

    /// `resolve` turns to the direct connection: the path's listeners stand. `path`: the p2p-connectionUrl of
    /// a Handler's connection, the stub's URL of a Requester's.
    pub(super) fn turn_to_direct(&mut self, remote: &Url, path: &Url, now: Instant) {
        let has_list = self.has_list_of(remote);
        let Some(state) = self.remotes.get_mut(remote) else { return };
        let Some((stub, _)) = state.direct.clone().filter(|(_, of)| of == path) else { return };
        let peer = state.peer.clone();
        state.epoch += 1;
        state.retries = 0;
        state.retry_at = None;
        state.has_waited = false;
        state.given_up = false;
        let place = Place::Learnt { peer: peer.clone(), generation: state.epoch };
        let is_unused = state.learnt.is_empty() && state.outdated.is_empty() && !has_list;
        match state.learning.replace(self.bus.add_place(place)) {
            Some(unused) if is_unused => {
                self.bus.remove_place(unused);
            }
            past => state.retired.extend(past),
        }
        peer.slot().store(state.epoch, Status::Live);
        match self.direct_path(&stub, remote, path) {
            Some(direct) => peer.open_direct(direct, path.clone(), now),
            // The connection went between its event and now; its end is on its way.
            None => return self.turn_to_node(remote, Status::Disconnected, now),
        }
        if let Some(node) = self.stub_towards(remote) {
            let _ = peer.set_stub(&node, now);
        }
        if self.config.stubs == Stubs::Ours && self.is_capable(&stub, remote) {
            peer.offer(now);
        }
        self.look_at_path(remote, now);
        self.subscribe_to_changes(remote, now);
    }

    /// True if the connection to `remote` that turned live as number `epoch` is the last that did.
    pub(super) fn is_epoch(&self, remote: &Url, epoch: u64) -> bool {
        self.remotes.get(remote).is_some_and(|state| state.epoch == epoch)
    }

    /// The direct connection is gone: the addresses go by Message Node again, what was learnt by it is
    /// retired.
    pub(super) fn turn_to_node(&mut self, remote: &Url, status: Status, now: Instant) {
        let Some(state) = self.remotes.get_mut(remote) else { return };
        state.direct = None;
        state.peer.slot().store(state.epoch, status);
        let path_listener = state.path_listener.take().map(|(key, _)| key);
        let keys = [path_listener, state.changes_listener.take()];
        state.changes_accepted = false;
        let unsubscribe = std::mem::take(&mut state.subscribed_here);
        let (peer, target) = (state.peer.clone(), state.target);
        for key in keys.into_iter().flatten() {
            self.bus.remove_listener(&key);
        }
        if unsubscribe && let Some(changes) = self.own_changes() {
            self.bus.unsubscribe(&changes, target);
        }
        peer.close_direct(now);
        self.look_at_path(remote, now);
        self.forget_later(now);
    }

    /// Time has come for something at a peer.
    pub(super) fn peers_timeout(&mut self, now: Instant) {
        for remote in self.due_remotes(now) {
            let Some(state) = self.remotes.get(&remote) else { continue };
            let peer = state.peer.clone();
            if peer.poll_timeout().is_none_or(|at| now < at) {
                continue;
            }
            let bus = self.bus.clone();
            peer.handle_timeout(now, &mut |delivery| bus.deliver(delivery, now).map(taken));
            self.collect_outcomes(&peer);
            self.look_at_path(&remote, now);
        }
    }

    /// Reports how messages ended that were not delivered.
    pub(super) fn collect_outcomes(&mut self, peer: &Peer) {
        let mut outcomes = Vec::new();
        peer.drain_outcomes(&mut outcomes);
        for outcome in outcomes {
            let (delivery, code) = match outcome {
                Outcome::Returned { code, delivery } => (delivery, code),
                Outcome::InDoubt { delivery } => (delivery, 504),
            };
            self.tell_undelivered(delivery.message, code);
        }
    }

    /// Our own words are nobody's loss but ours: requests among them have their time-outs.
    fn tell_undelivered(&mut self, message: Message, code: u16) {
        let is_own =
            Address::parse(&message.from()).is_ok_and(|from| self.bus.own().is_ours(&from));
        if !is_own {
            self.outputs.push_back(Output::Undelivered { message, code });
        }
    }

    /// Acknowledges at once what was taken from any peer: who ends soon leaves nobody in doubt by it.
    pub fn acknowledge(&self, now: Instant) {
        self.remotes.values().for_each(|remote| remote.peer.acknowledge(now));
    }

    /// Nothing is unacknowledged at any peer.
    pub fn is_idle(&self) -> bool {
        self.remotes.values().all(|remote| remote.peer.unacknowledged().0 == 0)
    }

    /// Waits for nothing more: what is unacknowledged at any peer ends now, and is told.
    pub fn abandon(&mut self) {
        let peers: Vec<Arc<Peer>> =
            self.remotes.values().map(|remote| remote.peer.clone()).collect();
        for peer in peers {
            peer.abandon();
            self.collect_outcomes(&peer);
        }
    }

    /// A plain message that a stub had taken could not be sent: it is told to its sender, if it is a request,
    /// and to our owner.
    pub fn return_message(&mut self, message: Message, code: u16, now: Instant) {
        self.bus.return_message(&message, code, now);
        self.tell_undelivered(message, code);
    }

    /// What a control word of the peer asks of the Registry.
    pub(super) fn on_peer_event(&mut self, remote: &Url, event: Event, now: Instant) {
        match event {
            Event::NotHere { resource } => self.dissociate(remote, &resource),
            Event::Reborn => {
                self.log(format!("{remote} has come back as a new incarnation"));
                self.invite_anew(remote, now);
            }
        }
        if let Some(peer) = self.remotes.get(remote).map(|remote| remote.peer.clone()) {
            self.collect_outcomes(&peer);
        }
    }

    /// The known remote runtime that `address` is a part of; the nearest, if one runtime's URL is below
    /// another's.
    pub(super) fn remote_over(&self, address: &Url) -> Option<Url> {
        let over = self.remotes.keys().filter(|of| of.address().covers(&address.address()));
        over.max_by_key(|of| of.as_str().len()).cloned()
    }

    /// The remote runtime behind a link.
    pub(super) fn remote_of_link(&self, link: crate::link::LinkId) -> Option<Url> {
        self.links.get(&link).cloned()
    }

    fn new_remote(&mut self, url: &Url, now: Instant) -> Remote {
        let random = self.config.random.clone();
        let config = self.config.hand_over;
        let link = self.new_link();
        let draw = Arc::new(move || random());
        let peer = Arc::new(Peer::new(url.clone(), link, self.incarnation, draw, config));
        let (ring, alarm) = (self.bells.bell(url), self.alarm.clone());
        peer.set_alarm(Box::new(move || {
            ring();
            if let Some(alarm) = &alarm {
                alarm();
            }
        }));
        let target = self.bus.add_place(Place::Peer(peer.clone()));
        self.bus.associate(target, [url]);
        self.peers.write().push(peer.clone());
        Remote {
            peer,
            target,
            looked_up: HashSet::new(),
            learnt: HashMap::new(),
            outdated: Vec::new(),
            awaited: 0,
            outdated_until: None,
            learning: None,
            retired: Vec::new(),
            epoch: 0,
            direct: None,
            path_listener: None,
            changes_listener: None,
            changes_accepted: false,
            subscribed_here: false,
            incarnation: None,
            handler: None,
            requester: None,
            requester_path: false,
            retry_at: None,
            retries: 0,
            has_waited: false,
            given_up: false,
            watched: Watched::default(),
            used_at: now,
            handler_generation: 0,
            requester_generation: 0,
        }
    }
}

impl Due for Remote {
    /// What comes first: a word of the hand-over, a retry, the end of a list, a look at the path.
    fn due(&self) -> Option<Instant> {
        let own = [self.retry_at, self.outdated_until, self.watched.poll_timeout()];
        own.into_iter().chain([self.peer.poll_timeout()]).flatten().min()
    }
}

impl Remote {
    /// When the Requester tries again: exponential, with a ceiling, and up to a quarter of jitter.
    pub(super) fn schedule_retry(&mut self, random: u128, now: Instant) {
        let doubled = limits::RETRY_FIRST * 2u32.saturating_pow(self.retries.min(16));
        let base = doubled.min(limits::RETRY_CEILING);
        let jitter = base.as_millis() as u64 / 4;
        let jitter = Duration::from_millis((random as u64).checked_rem(jitter + 1).unwrap_or(0));
        self.retries += 1;
        self.retry_at = Some(now + base - jitter);
    }
}

/// For the hand-over, a message that ended here with a reason counted is taken.
pub(super) fn taken(_: Incoming) {}
