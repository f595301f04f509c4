//! One remote runtime on the data plane: its slot, what leaves for it, what arrives from it.
//!
//! It holds no address table; which addresses live there is the Registry's to know.

mod asked;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

use crate::{
    address::Url,
    handover::{
        config::{Config, Mutation, Random},
        control::{Control, ControlError},
        outcome::{Event, RunTaken, SendError, Sent, SentRun},
        receiver::{Greeting, Met, Receiver},
        sender::Sender,
        stream::Deliver,
        ways::{Posts, Reach},
    },
    link::{Delivery, DirectSink, LinkId, Path, Refusal, Slot, Stub},
    status::Status,
};

/// Everything about one remote runtime that a message on its way needs.
///
/// Any thread may call anything. See the module for the order of locks and what sinks and listeners must be.
pub struct Peer {
    remote: Url,
    link: LinkId,
    slot: Slot,
    sender: Mutex<Sender>,
    receiver: Mutex<Receiver>,
    /// The receiver has an acknowledgement to go along with a message of ours; read without its lock.
    has_ack: AtomicBool,
    alarm: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Peer {
    /// A peer for the runtime `remote`, reached directly as `link`, no connection yet.
    ///
    /// `incarnation` names the life of our own process: the same for all peers, 128 random bits.
    pub fn new(
        remote: Url,
        link: LinkId,
        incarnation: u128,
        random: Arc<dyn Random>,
        config: Config,
    ) -> Self {
        let mut sender = Sender::new(config.dwell, config.deadline);
        sender.no_resend = config.mutation == Mutation::NoResend;
        sender.ways.no_barrier = config.mutation == Mutation::NoBarrier;
        let receiver = Receiver::new(incarnation, random, config.window_bytes, config.mutation);
        Peer {
            remote,
            link,
            slot: Slot::new(0, Status::Created),
            sender: Mutex::new(sender),
            receiver: Mutex::new(receiver),
            has_ack: AtomicBool::new(false),
            alarm: OnceLock::new(),
        }
    }

    /// The URL of the remote runtime.
    pub fn remote(&self) -> &Url {
        &self.remote
    }

    /// Status and generation of the connection, the Registry's to store. It is not read here; what counts
    /// here are [`Peer::open_direct`] and [`Peer::close_direct`].
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The link by which direct messages come.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// Calls `alarm` whenever [`Peer::poll_timeout`] has moved earlier, maybe under the lock of another
    /// peer's receiver: it must take no lock but a leaf. Once only.
    pub fn set_alarm(&self, alarm: Box<dyn Fn() + Send + Sync>) {
        let _ = self.alarm.set(alarm);
    }
}

/// The data plane.
impl Peer {
    /// Sends a message to an address that lives in the remote runtime; `stub` is the Message Node stub of
    /// the address' domain. Numbered once a stream is agreed, plain before. One short lock; no
    /// allocation beyond growth of the window.
    ///
    /// # Errors
    /// [`SendError`]; the message is then not accepted and has no outcome.
    pub fn send(
        &self,
        delivery: Delivery,
        stub: Option<&Arc<Stub>>,
        now: Instant,
    ) -> Result<Sent, SendError> {
        let sent = self.with_sender(|sender| sender.send(delivery, stub, now))?;
        self.acknowledge_along(sent.path);
        Ok(sent)
    }

    /// Sends messages one behind the other, as [`Peer::send`] would and under one lock, from the front of
    /// `run` for as long as they are accepted and take the same way. Their places are `None` then; the others
    /// are left.
    ///
    /// # Errors
    /// As [`Peer::send`], for the first one, which has no outcome then.
    pub fn send_run(
        &self,
        run: &mut [Option<Delivery>],
        stub: Option<&Arc<Stub>>,
        now: Instant,
    ) -> Result<SentRun, SendError> {
        let sent = self.with_sender(|sender| sender.send_run(run, stub, now))?;
        self.acknowledge_along(sent.path);
        Ok(sent)
    }

    /// Takes a message that arrived from the remote runtime; hands to `deliver` whatever is due.
    ///
    /// A plain message goes to `deliver` at once. A numbered one is delivered in its turn, under the lock of
    /// what arrives, so `deliver` must not call back into what arrives at this peer. `Full` from `deliver`
    /// stops the stream until the next time-out; `Closed` counts as taken (the caller answers for it). For a
    /// direct message `hop.stream` may be 0: the one that the link announced last.
    ///
    /// # Errors
    /// For a plain message, what `deliver` said.
    pub fn receive(
        &self,
        delivery: Delivery,
        deliver: &mut dyn FnMut(Delivery) -> Result<(), Refusal>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(hop) = delivery.hop else { return deliver(delivery) };
        let posts = self.with_receiver(|receiver| receiver.receive(delivery, hop, deliver, now));
        self.post(posts, now);
        Ok(())
    }

    /// The same for messages that arrived one behind the other, under one lock. What is in order is given to
    /// `deliver` together: it takes from the front until a listener is full, and leaves the rest in its
    /// places. Leaves `None`s.
    ///
    /// A plain message among them is given to `deliver` in its place, and whether it was taken is lost.
    pub fn receive_run(
        &self,
        run: &mut [Option<Delivery>],
        deliver: &mut dyn FnMut(&mut [Option<Delivery>]) -> RunTaken,
        now: Instant,
    ) {
        let posts = self.with_receiver(|receiver| receiver.receive_run(run, deliver, now));
        self.post(posts, now);
    }

    /// A sink of this peer has room again.
    pub fn on_room(&self, now: Instant) {
        self.with_sender(|sender| sender.pump(now));
    }

    /// When [`Peer::handle_timeout`] is to be called next; may be early. Ask again after every other call,
    /// or use [`Peer::set_alarm`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sender = self.sender.lock().timer.at();
        let receiver = self.receiver.lock().timer.at();
        sender.into_iter().chain(receiver).min()
    }

    /// Does what is due at `now`; messages that a listener refused before go to `deliver` again.
    pub fn handle_timeout(
        &self,
        now: Instant,
        deliver: &mut dyn FnMut(Delivery) -> Result<(), Refusal>,
    ) {
        let deliver: Deliver<'_> = deliver;
        let posts = self.with_receiver(|receiver| receiver.handle_timeout(deliver, now));
        self.post(posts, now);
        self.with_sender(|sender| sender.handle_timeout(now));
    }
}

/// The control plane.
impl Peer {
    /// The URLs of the two P2P stubs, between which control goes by Message Node.
    pub fn set_endpoints(&self, ours: Url, theirs: Url) {
        self.with_sender(|sender| sender.ways.set_endpoints(ours, theirs));
    }

    /// The stub by which control goes, and messages that have none; without it, the first that was used.
    ///
    /// # Errors
    /// [`SendError::TooManyStubs`].
    pub fn set_stub(&self, stub: &Arc<Stub>, now: Instant) -> Result<(), SendError> {
        self.with_sender(|sender| {
            let lane = sender.ways.lane(stub, now)?;
            sender.ways.set_home(lane);
            Ok(())
        })
    }

    /// Whether the remote runtime said `handover: 1` in signalling.
    pub fn set_capable(&self, capable: bool) {
        self.with_sender(|sender| sender.capable = capable);
    }

    /// The same, if nobody has said it before: control is better answered late than never.
    pub fn meet_endpoints(&self, ours: &Url, theirs: &Url) {
        self.with_sender(|sender| {
            if !sender.ways.has_endpoints() {
                sender.ways.set_endpoints(ours.clone(), theirs.clone());
            }
        });
    }

    /// The remote runtime is this incarnation: its connection has proved it. If it was another, both streams
    /// end, and nothing is resent; true then.
    pub fn set_incarnation(&self, incarnation: u128, now: Instant) -> bool {
        let (is_new, epoch, posts) =
            self.with_receiver(|receiver| receiver.set_incarnation(incarnation, now));
        self.with_sender(|sender| sender.end_for_reborn(epoch));
        self.post(posts, now);
        is_new
    }

    /// An address whose messages took `stub` without this peer's knowledge lives there: the stub's barrier
    /// rises until a marker has gone through.
    ///
    /// # Errors
    /// [`SendError::TooManyStubs`].
    pub fn bind(&self, stub: &Arc<Stub>, now: Instant) -> Result<(), SendError> {
        self.with_sender(|sender| sender.bind(stub, now))
    }

    /// A direct way is open: `resolve` has turned to P2P. `via` is the URL that `resolve` gives.
    pub fn open_direct(&self, sink: Arc<dyn DirectSink>, via: Url, now: Instant) {
        self.receiver.lock().direct_open = true;
        self.with_sender(|sender| sender.open_direct(sink, via, now));
    }

    /// The direct way is gone: what is unacknowledged goes by the stubs, in order, at once.
    pub fn close_direct(&self, now: Instant) {
        self.receiver.lock().direct_open = false;
        self.with_sender(|sender| sender.close_direct(now));
    }

    /// Says the acknowledgement that waits for its time: there may be none.
    pub fn acknowledge(&self, now: Instant) {
        let posts = self.with_receiver(Receiver::acknowledge);
        self.post(posts, now);
    }

    /// Ends the stream that leaves, without waiting: what is unacknowledged is returned or in doubt.
    pub fn abandon(&self) {
        self.with_sender(Sender::end_stream);
    }

    /// Gives the other side a stream, or reminds it of the one it has; repeated until it is taken.
    pub fn offer(&self, now: Instant) {
        let posts = self.with_receiver(|receiver| receiver.offer(now));
        self.post(posts, now);
    }

    /// Reads one control object that came from the remote runtime.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed then.
    pub fn handle_control(
        &self,
        control: &str,
        _path: Path,
        now: Instant,
    ) -> Result<Option<Event>, ControlError> {
        match Control::read(control)? {
            Control::Hello { incarnation, known, challenge, answer } => {
                let greeting = Greeting { incarnation, known, challenge, answer };
                return Ok(self.meet(greeting, None, now));
            }
            Control::Handover { stream, window, incarnation, known, round } => {
                let greeting = Greeting { incarnation, known, challenge: None, answer: None };
                return Ok(self.meet(greeting, Some((stream, window, round)), now));
            }
            Control::NotHere { resource } => {
                let name = "resource";
                let resource = Url::parse(&resource).map_err(|_| ControlError::Wrong { name })?;
                return Ok(Some(Event::NotHere { resource }));
            }
            Control::Ack { stream, number, base } => {
                self.with_sender(|sender| sender.acknowledge((stream, number, base), now))?;
            }
            Control::Have { stream, number, next, gaps } => {
                self.with_sender(|sender| sender.have((stream, number, next), &gaps, now))?;
            }
            Control::Marked { stream, mark } => {
                self.with_sender(|sender| sender.marked(stream, mark, now));
            }
            Control::Unknown { stream } => self.with_sender(|sender| sender.unknown(stream)),
            Control::Stream { stream } => self.receiver.lock().announced(stream),
            Control::Marker { stream, mark, upto } => {
                let marker = (stream, mark, upto);
                let posts = self.with_receiver(|receiver| receiver.marker(marker, now));
                self.post(posts, now);
            }
            Control::Base { stream, from, number } => {
                let base = (stream, from, number);
                let posts = self.with_receiver(|receiver| receiver.base(base, now));
                self.post(posts, now);
            }
            Control::Fenced { stream, from, number, lost } => {
                let range = (stream, from, number);
                self.with_sender(|sender| sender.fenced(range, &lost, now))?;
            }
            Control::Ended { stream, idle } => {
                let posts = self.with_receiver(|receiver| receiver.ended(stream, idle, now));
                self.post(posts, now);
            }
        }
        Ok(None)
    }

    /// Tells the remote runtime that `resource` does not live here.
    pub fn say_not_here(&self, resource: &Url) {
        let control = Control::NotHere { resource: resource.as_str().to_owned() };
        self.with_sender(|sender| sender.ways.send_control(&control, Reach::One));
    }

    /// Tells the remote runtime that nobody here knows `stream`: it was given by an earlier life of this
    /// runtime.
    pub fn say_unknown(&self, stream: u128) {
        let control = Control::Unknown { stream };
        self.with_sender(|sender| sender.ways.send_control(&control, Reach::One));
    }

    fn meet(
        &self,
        greeting: Greeting,
        given: Option<(u128, u64, u64)>,
        now: Instant,
    ) -> Option<Event> {
        let (met, epoch, posts) = self.with_receiver(|receiver| receiver.meet(greeting, now));
        if met != Met::Stranger {
            self.with_sender(|sender| {
                sender.end_for_reborn(epoch);
                if let Some(given) = given {
                    sender.take_stream(given, epoch, now);
                }
            });
        }
        self.post(posts, now);
        (met == Met::Reborn).then_some(Event::Reborn)
    }
}

impl Peer {
    fn with_sender<R>(&self, act: impl FnOnce(&mut Sender) -> R) -> R {
        let mut sender = self.sender.lock();
        let done = act(&mut sender);
        let lowered = sender.timer.take_lowered();
        drop(sender);
        self.ring(lowered);
        done
    }

    fn with_receiver<R>(&self, act: impl FnOnce(&mut Receiver) -> R) -> R {
        let mut receiver = self.receiver.lock();
        let done = act(&mut receiver);
        let lowered = receiver.timer.take_lowered();
        let has_ack = receiver.has_ack_to_go_along();
        // Most often it is as it was; who sends has it in a cache of its own then.
        if self.has_ack.load(Ordering::Relaxed) != has_ack {
            self.has_ack.store(has_ack, Ordering::Relaxed);
        }
        drop(receiver);
        self.ring(lowered);
        done
    }

    /// Behind what was sent by `path` goes the acknowledgement that waits, if that is the direct way.
    #[inline]
    fn acknowledge_along(&self, path: Path) {
        if path == Path::P2p && self.has_ack.load(Ordering::Relaxed) {
            self.acknowledge_behind();
        }
    }

    /// Never waits for the receiver's lock: who sends may be a listener that is delivered to under it, or
    /// hold what such a listener waits for. What does not go along now goes with a later message, or in its
    /// time.
    #[cold]
    fn acknowledge_behind(&self) {
        let ack = self.receiver.try_lock().and_then(|mut receiver| {
            self.has_ack.store(false, Ordering::Relaxed);
            receiver.ack_to_go_along()
        });
        let Some(ack) = ack else { return };
        let taken = self.with_sender(|sender| sender.ways.send_control_direct(&ack));
        if taken && let Some(mut receiver) = self.receiver.try_lock() {
            receiver.went_along(&ack);
        }
    }

    fn ring(&self, lowered: bool) {
        if let Some(alarm) = self.alarm.get().filter(|_| lowered) {
            alarm();
        }
    }

    /// Sends what the receiving half wants said, after its lock is let go.
    fn post(&self, posts: Posts, now: Instant) {
        if posts.is_empty() {
            return;
        }
        let ack_lost = self.with_sender(|sender| {
            let mut ack_lost = false;
            for (control, reach) in &posts {
                let taken = sender.ways.send_control(control, *reach);
                ack_lost |= !taken && matches!(control, Control::Ack { .. });
            }
            ack_lost
        });
        if ack_lost {
            self.with_receiver(|receiver| receiver.acknowledge_later(now));
        }
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("remote", &self.remote).field("link", &self.link).finish()
    }
}
