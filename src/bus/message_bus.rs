//! The MessageBus: a message comes in, `resolve` says where it goes, each sink gets the same bytes.
//!
//! Posting takes `&self` from any thread, never blocks and never waits. What could not be sent is said in the
//! return value, at once. **Bytes in are bytes out**: only an array `to` makes copies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::{SmallVec, smallvec};

use crate::{
    address::{Address, Url},
    bus::{Answered, Counters, Drop, PostError, Requests, TooManyRequests},
    fib::{Entry, Match},
    handover::{Event, Peer},
    limits,
    link::{Delivery, Ingress, LinkId, Outbox, Path, Refusal, Sink, Stub, Weigh},
    message::{Kind, Message, ParseLimits, To, respond},
    registry::{
        Listener, ListenerKey, Onward, Own, Place, Receiver, Resolution, RoutingTable, Unreachable,
        resolve, table::stub_key,
    },
    slab::Target,
};

/// The bus of one runtime.
pub struct MessageBus {
    pub(super) own: Own,
    pub(super) table: Arc<RoutingTable>,
    pub(super) counters: Counters,
    pub(super) limits: ParseLimits,
    inbox: Arc<Outbox<Note>>,
    requests: Mutex<Requests<Reply>>,
    /// Requests pending, so that a response costs no lock when there are none.
    pending: AtomicUsize,
    next_id: std::sync::atomic::AtomicU64,
    policy: P2pPolicy,
    tap: Option<Arc<dyn Sink>>,
}

/// How a bus is made.
#[derive(Clone)]
pub struct BusConfig {
    /// The runtime's URL.
    pub runtime: Url,
    /// Bounds for each message.
    pub limits: ParseLimits,
    /// Which unknown addresses are worth a look-up behind their messages.
    pub policy: P2pPolicy,
    /// Gets a copy of each message that the router writes itself.
    pub tap: Option<Arc<dyn Sink>>,
}

/// When a direct connection is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum P2pPolicy {
    /// For every remote address.
    Automatic,
    /// When a message asks for it by `body.p2p`, or by a hint.
    Asked,
    /// Never.
    Off,
}

/// What the control plane is told.
#[derive(Debug)]
pub enum Note {
    /// A message for one of its own listeners.
    Message(Delivery),
    /// A message went out by Message Node to an address of which nothing is known.
    Unknown {
        /// The address.
        to: Url,
        /// The message, for its hints (`body.p2p`, `body.p2pHandler`, `body.p2pRequester`).
        message: Message,
    },
    /// A message came in by the connection to this runtime from an address of which nothing is known.
    UnknownSender {
        /// The sender.
        from: Url,
    },
    /// The other side of a connection has answered our probe.
    Probed {
        /// Which connection.
        connection: u64,
    },
    /// A control word of a peer asks something of the Registry.
    Peer {
        /// The peer's link.
        link: LinkId,
        /// What.
        event: Event,
    },
    /// A message came in by the connection to `peer` for an address where nobody is.
    NotHere {
        /// Who sent it.
        link: LinkId,
        /// The address.
        to: Url,
    },
}

impl Weigh for Note {
    fn weight_bytes(&self) -> usize {
        match self {
            Note::Message(delivery) => delivery.message.bytes().len(),
            Note::Unknown { message, .. } => message.bytes().len(),
            Note::UnknownSender { from } => from.as_str().len(),
            Note::NotHere { to, .. } => to.as_str().len(),
            Note::Probed { .. } | Note::Peer { .. } => 0,
        }
    }
}

/// What is called with the response to a request.
pub type Reply = Box<dyn FnOnce(Message) + Send>;

/// How one copy went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The way it took.
    pub path: Path,
    /// Local receivers that took it.
    pub receivers: usize,
}

/// How a posted message went: one outcome for each URL of `to`.
#[derive(Clone, Debug)]
pub struct Posted {
    /// In the order of `to`.
    pub targets: SmallVec<[Result<Sent, PostError>; 1]>,
}

impl Posted {
    /// The first error among the targets.
    pub fn first_error(&self) -> Option<&PostError> {
        self.targets.iter().find_map(|target| target.as_ref().err())
    }
}

/// What `resolve` says of one target, for people and tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    /// The address.
    pub to: String,
    /// `local`, `p2p`, `message-node` or `unreachable`.
    pub decision: &'static str,
    /// The p2p-connectionUrl or stub that a message takes.
    pub via: Option<Url>,
    /// The URLs of the listeners that get it.
    pub listeners: Vec<Url>,
}

impl MessageBus {
    /// A bus whose control plane reads `inbox`.
    pub fn new(config: BusConfig, inbox: Arc<Outbox<Note>>) -> Self {
        MessageBus {
            own: Own::new(config.runtime),
            table: Arc::new(RoutingTable::new()),
            counters: Counters::default(),
            limits: config.limits,
            inbox,
            requests: Mutex::new(Requests::new(limits::REQUEST_TIMEOUT, limits::REQUESTS_MAX)),
            pending: AtomicUsize::new(0),
            next_id: std::sync::atomic::AtomicU64::new(1),
            policy: config.policy,
            tap: config.tap,
        }
    }

    /// Who we are.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// The bounds for each message.
    pub fn limits(&self) -> &ParseLimits {
        &self.limits
    }

    /// What became of messages.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Adds a listener on `url` and below. Several may stand on one URL; all get what comes. `link`: the sandbox
    /// it stands in, from which it never gets its own messages back.
    pub fn add_listener(&self, url: Url, link: Option<LinkId>, sink: Arc<dyn Sink>) -> ListenerKey {
        self.table.add_listener(Listener { url, link, sink }, false)
    }

    /// Adds a listener that has been made already: a stub's sandbox, or a path through it.
    pub fn add_path_listener(&self, listener: Listener) -> ListenerKey {
        self.table.add_listener(listener, false)
    }

    /// The same as [`MessageBus::add_listener`], on `url` only, not below.
    pub fn add_exact_listener(&self, url: Url, sink: Arc<dyn Sink>) -> ListenerKey {
        self.table.add_listener(Listener { url, link: None, sink }, true)
    }

    /// Removes a listener; false if it had gone already.
    pub fn remove_listener(&self, key: &ListenerKey) -> bool {
        self.table.remove_listener(key)
    }

    /// From now on what is sent to `prefix` and below goes to its local listeners *and* once onward.
    pub fn add_publish(&self, prefix: &Url) {
        self.table.insert([(prefix.address(), Entry::Publish)]);
    }

    /// Ends [`MessageBus::add_publish`]; false if there was none.
    pub fn remove_publish(&self, prefix: &Url) -> bool {
        self.table.remove([(prefix.address(), Entry::Publish)]) > 0
    }

    /// Makes `stub` the way to the Message Node of its domain.
    pub fn add_stub(&self, stub: Arc<Stub>) -> Option<Target> {
        let key = Url::parse(&stub_key(&stub.domain)).ok()?;
        let target = self.table.add_place(Place::Stub(stub));
        self.table.insert([(key.address(), Entry::Route { target })]);
        Some(target)
    }

    /// Gives a remote runtime, or what is learnt over one of its connections, a place that addresses can be
    /// associated with.
    pub fn add_place(&self, place: Place) -> Target {
        self.table.add_place(place)
    }

    /// Takes a place away. No address may be associated with it any more.
    pub fn remove_place(&self, target: Target) -> bool {
        self.table.remove_place(target)
    }

    /// The target of the MN stub of `domain`, to route addresses to it without further look-ups.
    pub fn stub_target(&self, domain: &str) -> Option<Target> {
        self.table.stub_target(domain)
    }

    /// The remote runtime that `address` is known to live in. No lock.
    pub fn peer_of(&self, address: &Address<'_>) -> Option<Arc<Peer>> {
        let guard = crossbeam_epoch::pin();
        let mut found = Match::default();
        self.table.look_up(address, &mut found, &guard);
        self.table.place(found.route?, &guard)?.peer().cloned()
    }

    /// Says that `addresses` live behind the peer at `target`.
    pub fn associate<'a>(&self, target: Target, addresses: impl IntoIterator<Item = &'a Url>) {
        let entry = Entry::Route { target };
        self.table.insert(addresses.into_iter().map(|url| (url.address(), entry)));
    }

    /// Says that `addresses` do not live behind the peer at `target` any more.
    pub fn dissociate<'a>(&self, target: Target, addresses: impl IntoIterator<Item = &'a Url>) {
        let entry = Entry::Route { target };
        self.table.remove(addresses.into_iter().map(|url| (url.address(), entry)));
    }

    /// Lets the peer or listener at `target` have copies of what is sent to `prefix` and below.
    pub fn subscribe(&self, prefix: &Url, target: Target) {
        self.table.insert([(prefix.address(), Entry::Subscription { target, exact: false })]);
    }

    /// Ends [`MessageBus::subscribe`]; false if there was none.
    pub fn unsubscribe(&self, prefix: &Url, target: Target) -> bool {
        self.table.remove([(prefix.address(), Entry::Subscription { target, exact: false })]) > 0
    }

    /// Scans `bytes` and posts the message.
    ///
    /// # Errors
    /// [`PostError`] if nothing of it was taken because of what it is; errors of single targets are in [`Posted`].
    pub fn post(&self, bytes: Bytes, ingress: Ingress, now: Instant) -> Result<Posted, PostError> {
        let message = Message::parse_with(bytes, &self.limits)?;
        self.post_message(message, ingress, now)
    }

    /// Posts a message from a local party: to each URL of `to`.
    ///
    /// # Errors
    /// As [`MessageBus::post`].
    pub fn post_message(
        &self,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<Posted, PostError> {
        self.check(&message)?;
        let many = match message.to() {
            To::One(to) => {
                let address = to_address(&to)?;
                self.answers_request(&message, &address, now)
                    .map(|()| smallvec![Ok(Sent { path: Path::Local, receivers: 1 })])
                    .ok_or_else(|| self.resolve(&address))
            }
            To::Many(urls) => {
                check_targets(urls.len())?;
                Ok(urls
                    .iter()
                    .map(|url| {
                        let copy = message.with_to(url);
                        let resolution = self.resolve(&to_address(url)?);
                        self.send(copy, ingress, resolution, now)
                    })
                    .collect())
            }
        };
        let targets = match many {
            Ok(targets) => targets,
            Err(resolution) => smallvec![self.send(message, ingress, resolution, now)],
        };
        Ok(Posted { targets })
    }

    /// Posts a message that the router itself has written.
    ///
    /// # Errors
    /// As [`MessageBus::post`].
    pub fn emit(
        &self,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<Posted, PostError> {
        if let Some(tap) = &self.tap {
            let copy = Delivery { message: message.clone(), ingress, hop: None };
            // The tap is a bystander: what it cannot take is no loss of the message.
            let _ = tap.push(copy);
        }
        self.post_message(message, ingress, now)
    }

    /// Posts a request and has `reply` called with its response; after 15 s without one, with a 408. A request
    /// without `id` gets one.
    ///
    /// # Errors
    /// [`PostError`] if it was not taken; then `reply` is not called.
    pub fn request(
        &self,
        message: Message,
        ingress: Ingress,
        reply: Reply,
        now: Instant,
    ) -> Result<Posted, PostError> {
        let message = match message.id() {
            Some(_) => message,
            None => self.with_id(&message)?,
        };
        let (from, id) = (message.from().into_owned(), message.id().unwrap_or("0").to_owned());
        self.expect(&from, &id, reply, now)
            .map_err(|full| PostError::Refused(Refusal::Full { bound: full.pending_max }))?;
        let outcome = self.post_message(message, ingress, now);
        let refused = match &outcome {
            Ok(posted) => posted.targets.iter().all(Result::is_err),
            Err(_) => true,
        };
        if refused {
            self.forget(&from, &id);
        }
        match outcome {
            Ok(Posted { mut targets }) if refused && targets.len() == 1 => {
                Err(targets.pop().and_then(Result::err).unwrap_or(PostError::NoTarget))
            }
            outcome => outcome,
        }
    }

    /// When [`MessageBus::handle_timeout`] is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.requests.lock().poll_timeout()
    }

    /// Answers the requests whose 15 s are over with a local 408.
    pub fn handle_timeout(&self, now: Instant) {
        let expired = {
            let mut requests = self.requests.lock();
            let expired = requests.handle_timeout(now);
            self.pending.store(requests.len(), Ordering::Release);
            expired
        };
        for (from, id, reply) in expired {
            reply(local_timeout(&from, &id, self.own.runtime.as_str()));
        }
    }

    /// What `resolve` says now, without sending anything, of a message that a local party posts.
    pub fn explain(&self, to: &Address<'_>) -> TargetReport {
        self.explain_from(to, Ingress::LOCAL)
    }

    /// The same for a message that comes in by `ingress`, whose own sandbox never gets it back.
    pub fn explain_from(&self, to: &Address<'_>, ingress: Ingress) -> TargetReport {
        let Resolution { receivers, onward } = self.resolve(to);
        let listeners: Vec<Url> = receivers
            .iter()
            .filter_map(|receiver| match receiver {
                Receiver::Listener(listener) if listener.link == Some(ingress.link) => None,
                Receiver::Listener(listener) => Some(listener.url.clone()),
                Receiver::Subscriber(peer) if peer.link() == ingress.link => None,
                Receiver::Subscriber(_) => Some(to.to_owned()),
            })
            .collect();
        let (decision, via) = match onward {
            Onward::None if listeners.is_empty() => ("unreachable", None),
            Onward::None => ("local", None),
            Onward::P2p { peer, .. } => ("p2p", peer.via()),
            Onward::MessageNode { stub, .. } => ("message-node", Some(stub.url.clone())),
            Onward::Unreachable(_) => ("unreachable", None),
        };
        TargetReport { to: to.as_str().to_owned(), decision, via, listeners }
    }

    /// Tells the control plane; a full inbox is counted.
    pub(super) fn note(&self, note: Note) {
        if self.inbox.push(note).is_err() {
            self.counters.count_drop(Drop::InboxFull);
        }
    }

    /// Hands a response to whoever waits for it.
    pub(super) fn answers_request(
        &self,
        message: &Message,
        to: &Address<'_>,
        now: Instant,
    ) -> Option<()> {
        if self.pending.load(Ordering::Acquire) == 0 || message.kind() != Kind::Response {
            return None;
        }
        let mut requests = self.requests.lock();
        let answered = requests.answer(message, to.as_str(), now);
        self.pending.store(requests.len(), Ordering::Release);
        drop(requests);
        match answered {
            Answered::Unexpected => None,
            Answered::Provisional => Some(()),
            Answered::Done(reply) => {
                reply(message.clone());
                self.counters.count_local(1);
                Some(())
            }
        }
    }

    /// Sends an error response to a request; other messages draw none.
    pub(super) fn respond_error(
        &self,
        message: &Message,
        to: &str,
        code: u16,
        reason: &str,
        now: Instant,
    ) {
        if draws_errors(message.kind()) {
            let desc = simd_json::json!({ "desc": reason });
            // What becomes of the answer is counted; a response draws no further error.
            let _ = self.emit(respond(message, to, code, Some(desc)), Ingress::LOCAL, now);
        }
    }

    fn resolve(&self, to: &Address<'_>) -> Resolution {
        resolve(&self.table, &self.own, to, &crossbeam_epoch::pin())
    }

    /// What is refused whatever its address.
    fn check(&self, message: &Message) -> Result<(), PostError> {
        if message.hop().is_some() {
            return Err(PostError::HasHop);
        }
        if let Err(error) = Address::parse(&message.from()) {
            return Err(PostError::Address { member: "from", error });
        }
        if self.names_our_stub(message) {
            self.counters.count_drop(Drop::OwnVia);
            return Err(PostError::OwnVia);
        }
        Ok(())
    }

    /// One copy, to where `resolution` says.
    fn send(
        &self,
        message: Message,
        ingress: Ingress,
        resolution: Resolution,
        now: Instant,
    ) -> Result<Sent, PostError> {
        let Resolution { receivers, onward } = resolution;
        let local = match receivers.is_empty() {
            true => None,
            false => Some(self.deliver_here(&receivers, &message, ingress, now)),
        };
        let outward = match onward {
            Onward::None => None,
            Onward::P2p { peer, stub } => Some(self.to_peer(&peer, stub, message, ingress, now)),
            Onward::MessageNode { stub, peer: Some(peer), .. } => {
                Some(self.to_peer(&peer, Some(stub), message, ingress, now))
            }
            Onward::MessageNode { stub, peer: None, unknown } => {
                Some(self.to_stub(&stub, unknown, message, ingress))
            }
            Onward::Unreachable(why) => Some(Err(self.unreachable(why, &message, now))),
        };
        match (local, outward) {
            (Some(Ok(receivers)), None | Some(Err(_))) => Ok(Sent { path: Path::Local, receivers }),
            (Some(Ok(receivers)), Some(Ok(sent))) => Ok(Sent { receivers, ..sent }),
            (Some(Err(error)), None) | (_, Some(Err(error))) => Err(error),
            (_, Some(Ok(sent))) => Ok(sent),
            (None, None) => Err(PostError::Unreachable(Unreachable::NoListener)),
        }
    }

    /// To local receivers: each once, never back to where it came from.
    fn deliver_here(
        &self,
        receivers: &[Receiver],
        message: &Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<usize, PostError> {
        let mut taken = 0;
        let mut refused = None;
        for receiver in receivers {
            let delivery = Delivery { message: message.clone(), ingress, hop: None };
            match receiver {
                Receiver::Listener(listener) if listener.link == Some(ingress.link) => {}
                Receiver::Listener(listener) => match listener.sink.push(delivery) {
                    Ok(()) => taken += 1,
                    Err(refusal) => refused = Some(PostError::Refused(refusal)),
                },
                Receiver::Subscriber(peer) if peer.link() == ingress.link => {}
                Receiver::Subscriber(peer) => {
                    match self.to_peer(peer, self.stub_of_peer(peer), message.clone(), ingress, now)
                    {
                        Ok(_) => taken += 1,
                        Err(error) => refused = Some(error),
                    }
                }
            }
        }
        self.counters.count_local(taken);
        if refused.is_some() {
            self.counters.count_drop(Drop::Full);
        }
        match (taken, refused) {
            (0, Some(error)) => Err(error),
            (0, None) => Err(self.unreachable(Unreachable::NoListener, message, now)),
            (taken, _) => Ok(taken),
        }
    }

    fn to_peer(
        &self,
        peer: &Arc<Peer>,
        stub: Option<Arc<Stub>>,
        message: Message,
        ingress: Ingress,
        now: Instant,
    ) -> Result<Sent, PostError> {
        let sent = peer
            .send(Delivery { message, ingress, hop: None }, stub.as_ref(), now)
            .map_err(PostError::Peer)?;
        match sent.path {
            Path::P2p => self.counters.count_p2p(),
            _ => self.counters.count_message_node(),
        }
        Ok(Sent { path: sent.path, receivers: 0 })
    }

    fn to_stub(
        &self,
        stub: &Stub,
        unknown: bool,
        message: Message,
        ingress: Ingress,
    ) -> Result<Sent, PostError> {
        let copy = (unknown && self.wants_p2p(&message)).then(|| message.clone());
        stub.sink.push(Delivery { message, ingress, hop: None }).map_err(PostError::Refused)?;
        self.counters.count_message_node();
        if let Some(message) = copy
            && let To::One(to) = message.to()
            && let Ok(to) = Url::parse(&to)
        {
            self.note(Note::Unknown { to, message: message.clone() });
        }
        Ok(Sent { path: Path::MessageNode, receivers: 0 })
    }

    /// Whether the policy wants a direct connection for `message`. With `asked`, a cheap search first.
    fn wants_p2p(&self, message: &Message) -> bool {
        match self.policy {
            P2pPolicy::Automatic => true,
            P2pPolicy::Off => false,
            P2pPolicy::Asked => message.body().is_some_and(|body| {
                memchr::memmem::find(body.as_bytes(), b"\"p2p").is_some()
                    && (message.body_member(&["p2p"]) == Some("true")
                        || message.body_member(&["p2pHandler"]).is_some()
                        || message.body_member(&["p2pRequester"]).is_some())
            }),
        }
    }

    fn stub_of_peer(&self, peer: &Peer) -> Option<Arc<Stub>> {
        let guard = crossbeam_epoch::pin();
        let domain = peer.remote().address().domain();
        crate::registry::resolve::stub_for(&self.table, &self.own, domain, &guard)
    }

    /// Counts it, answers it if it is a request, and says why.
    fn unreachable(&self, why: Unreachable, message: &Message, now: Instant) -> PostError {
        self.counters.count_drop(Drop::Unreachable);
        if let To::One(to) = message.to() {
            self.respond_error(message, &to, 404, why.reason(), now);
        }
        PostError::Unreachable(why)
    }

    /// `body.via` names one of our stubs. A cheap search first: few bodies have the word at all.
    fn names_our_stub(&self, message: &Message) -> bool {
        let Some(body) = message.body() else { return false };
        let bytes = body.as_bytes();
        let may_be = memchr::memmem::find(bytes, b"\"via\"").is_some()
            || memchr::memmem::find(bytes, b"\\u").is_some();
        may_be
            && message.body_text(&["via"]).is_some_and(|via| {
                Address::parse(&via).is_ok_and(|via| is_stub_of(&self.own.runtime, &via))
            })
    }

    fn expect(
        &self,
        from: &str,
        id: &str,
        reply: Reply,
        now: Instant,
    ) -> Result<(), TooManyRequests> {
        let mut requests = self.requests.lock();
        let replaced = requests.expect(from, id, reply, now);
        self.pending.store(requests.len(), Ordering::Release);
        replaced.map(|_| ())
    }

    fn forget(&self, from: &str, id: &str) {
        let mut requests = self.requests.lock();
        requests.forget(from, id);
        self.pending.store(requests.len(), Ordering::Release);
    }

    /// A copy of `message` with an `id` of ours as its first member.
    fn with_id(&self, message: &Message) -> Result<Message, PostError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let text = message.bytes();
        let open = memchr::memchr(b'{', text).unwrap_or(0);
        let mut with_id = format!("{{\"id\":\"{id}-{}\",", self.own.domain).into_bytes();
        with_id.extend_from_slice(&text[open + 1..]);
        Ok(Message::parse_with(with_id.into(), &self.limits)?)
    }
}

impl std::fmt::Debug for MessageBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageBus").field("own", &self.own).finish_non_exhaustive()
    }
}

/// The kinds of message that an error answers; updates and responses never draw one.
pub(super) fn draws_errors(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Create
            | Kind::Read
            | Kind::Delete
            | Kind::Subscribe
            | Kind::Unsubscribe
            | Kind::Execute
    )
}

fn is_stub_of(runtime: &Url, via: &Address<'_>) -> bool {
    runtime.address().covers(via)
        && via.segments().any(|segment| {
            segment == "p2phandler" || segment == "p2prequester" || segment == "protostub"
        })
}

fn check_targets(urls: usize) -> Result<(), PostError> {
    match urls {
        0 => Err(PostError::NoTarget),
        urls if urls > limits::TO_URLS_MAX => {
            Err(PostError::TooManyTargets { urls, urls_max: limits::TO_URLS_MAX })
        }
        _ => Ok(()),
    }
}

fn to_address(to: &str) -> Result<Address<'_>, PostError> {
    Address::parse(to).map_err(|error| PostError::Address { member: "to", error })
}

/// The 408 that stands for a response that did not come.
fn local_timeout(from: &str, id: &str, runtime: &str) -> Message {
    let body = simd_json::json!({ "code": 408, "desc": "no response within 15 s" });
    crate::message::compose(id, "response", runtime, from, Some(&body))
}
