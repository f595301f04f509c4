//! A runtime over real sockets: the RuntimeUA driven by tokio.
//!
//! It joins what the modules below it keep apart: the control plane ([`RuntimeUa`]), the sessions with the
//! Message Nodes (WebSocket) and the direct connections (QUIC). What a message means is decided below; here
//! are only tasks, clocks and sockets.
//!
//! ```text
//!   Hyperties ──post──► MessageBus ──► Peer ──► outbox ──► QUIC task        one for each connection
//!                           │  │                  └──────► node task        one for each Message Node
//!                      notes│  └──► listeners' queues
//!                           ▼
//!                      control task: RuntimeUA, timers, status events
//! ```

mod config;
mod control;
mod events;
mod hyperty;
#[cfg(not(feature = "quic"))]
mod no_p2p;
mod node_stub;
#[cfg(feature = "quic")]
mod p2p_links;
mod paths;
#[cfg(feature = "quic")]
mod reach;
mod shared;
mod stub_queue;

#[cfg(not(feature = "quic"))]
use no_p2p as p2p_links;

pub use config::{NodeAddress, RuntimeConfig, StartError};
pub use events::{Event, Events};
pub use hyperty::Hyperty;
pub use paths::PathChanges;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use crate::{
    address::Url,
    bus::{Burst, MessageBus, PathReport, PostError, Posted, PostedBatch, Refused, Stopped},
    limits,
    link::{Delivery, Ingress, Outbox, Sink},
    message::{Message, To},
    registry::ListenerKey,
    ua::RuntimeUa,
};

use node_stub::NodeStub;
use p2p_links::P2pLinks;
use paths::PathWatchers;
use shared::{Shared, Task};

/// A runtime that runs. Dropping it stops its tasks at once; [`Runtime::shut_down`] drains first.
pub struct Runtime {
    shared: Arc<Shared>,
    links: Arc<P2pLinks>,
    bus: Arc<MessageBus>,
    control: Task<()>,
    nodes: Vec<NodeStub>,
    /// Bursts posted so far.
    bursts: AtomicU32,
    /// Ends with the runtime, whether it is shut down or dropped.
    closer: Closer,
}

/// What has to be closed when nobody carries it any more.
struct Closer {
    links: Arc<P2pLinks>,
    hyperties: Mutex<Vec<Weak<Outbox<Delivery>>>>,
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.links.cut_off();
        for inbox in self.hyperties.lock().iter().filter_map(Weak::upgrade) {
            inbox.close();
        }
    }
}

impl Runtime {
    /// Starts a runtime and its connections to the Message Nodes, without waiting for them:
    /// [`Event::Ready`] says when it can be reached. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] if the configuration makes no sense.
    pub fn start(config: RuntimeConfig) -> Result<(Runtime, Events), StartError> {
        config.check()?;
        let (sender, events) = events::channel();
        let ua = RuntimeUa::new(config.ua.clone());
        let bus = ua.bus().clone();
        let inbox = ua.inbox().clone();
        let shared = Arc::new(Shared {
            ua: Mutex::new(ua),
            wake: Arc::new(Notify::new()),
            progress: Arc::new(Notify::new()),
            events: sender,
            paths: PathWatchers::default(),
        });
        let links = Arc::new(P2pLinks::new(&config, shared.clone()));
        let wake = shared.wake.clone();
        shared.ua.lock().set_alarm(Arc::new(move || wake.notify_one()));
        let nodes = config
            .nodes
            .iter()
            .map(|node| NodeStub::start(node, &config, &shared, &links))
            .collect::<Result<Vec<_>, _>>()?;
        let control = Task(tokio::spawn(control::run(shared.clone(), links.clone(), inbox)));
        let closer = Closer { links: links.clone(), hyperties: Mutex::default() };
        let bursts = AtomicU32::new(0);
        Ok((Runtime { shared, links, bus, control, nodes, bursts, closer }, events))
    }

    /// The data plane, for who counts nanoseconds.
    pub fn bus(&self) -> &Arc<MessageBus> {
        &self.bus
    }

    /// Adds a Hyperty (or data object) that lives here: it listens on `url` and below, is registered at the
    /// domain registry, and connected runtimes learn of it. Its messages wait in its own bounded queue.
    pub fn add_hyperty(&self, url: Url) -> Hyperty {
        let inbox =
            Arc::new(Outbox::new(limits::HYPERTY_QUEUE_MESSAGES, limits::HYPERTY_QUEUE_BYTES));
        {
            let mut hyperties = self.closer.hyperties.lock();
            hyperties.retain(|of| of.strong_count() > 0);
            hyperties.push(Arc::downgrade(&inbox));
        }
        let key = self.bus.add_listener(url.clone(), None, inbox.clone());
        self.with_ua(|ua| ua.add_resource(url, Instant::now()));
        Hyperty::new(key, inbox)
    }

    /// The same with a sink of the caller's own, called by whichever thread has a message for it, with locks
    /// of the runtime held: **it must be a queue**. One that calls back into the runtime may never return.
    pub fn add_hyperty_sink(&self, url: Url, sink: Arc<dyn Sink>) -> ListenerKey {
        let key = self.bus.add_listener(url.clone(), None, sink);
        self.with_ua(|ua| ua.add_resource(url, Instant::now()));
        key
    }

    /// Removes a Hyperty: nobody listens there any more, and everybody who was told is told so.
    pub fn remove_hyperty(&self, hyperty: &Hyperty) -> bool {
        // First the way in: what comes between finds nobody, and is answered so.
        let was_there = self.remove_hyperty_sink(hyperty.key());
        hyperty.close();
        was_there
    }

    /// The same for one that was added by [`Runtime::add_hyperty_sink`].
    pub fn remove_hyperty_sink(&self, key: &ListenerKey) -> bool {
        self.with_ua(|ua| ua.remove_resource(key.url(), Instant::now()));
        self.bus.remove_listener(key)
    }

    /// Its own URL.
    pub fn url(&self) -> &Url {
        &self.bus.own().runtime
    }

    /// The P2P Handler stub's URL; `None` if P2P is off.
    pub fn p2p_handler(&self) -> Option<Url> {
        self.shared.ua.lock().p2p_handler()
    }

    /// Posts a message from a Hyperty of this runtime.
    ///
    /// # Errors
    /// [`PostError`]; nothing of the message was taken then. Errors of single targets are in [`Posted`].
    pub fn post(&self, message: Bytes) -> Result<Posted, PostError> {
        self.bus.post(message, Ingress::LOCAL, Instant::now())
    }

    /// Posts a message, waiting while a queue or window on its way is full. Of an array `to`, only the copies
    /// that found no room are posted again. Who posts in a loop lets the tasks that write the messages out
    /// run in between, so that these are still at hand in the processor's caches when they leave.
    ///
    /// # Errors
    /// [`PostError`], other than that something is full.
    pub async fn post_when_room(&self, message: Bytes) -> Result<Posted, PostError> {
        tokio::task::consume_budget().await;
        let message = Message::parse_with(message, self.bus.limits())?;
        self.post_message_when_room(message).await
    }

    /// Posts messages one behind the other, waiting where a queue or window on the way of the next one is
    /// full: none passes another. What they share is done once, so it costs less than
    /// [`Runtime::post_when_room`] for each; 64 at a time are worth most of it. Beside others who post to the
    /// same peer without a pause it waits some turns before each 64.
    ///
    /// Dropped before its end it has posted some of them, and has taken up to 64 more out of `messages`.
    pub async fn post_batch_when_room(
        &self,
        messages: impl IntoIterator<Item = Bytes>,
    ) -> PostedBatch {
        let mut messages = messages.into_iter();
        let mut posted = PostedBatch::default();
        let mut burst = Burst::new(Ingress::LOCAL);
        while burst.fill(&self.bus, &mut messages) {
            self.take_turns().await;
            let mut room = None;
            loop {
                match self.bus.post_burst(&mut burst, Instant::now(), &mut posted) {
                    Stopped::Done => break,
                    // Looked for once more, now that nothing that leaves is missed.
                    Stopped::NoRoom => match room.take() {
                        None => room = Some(self.next_progress()),
                        Some(room) => {
                            room.await;
                            burst.has_waited();
                        }
                    },
                    Stopped::Several(message) => {
                        posted.add(self.post_message_when_room(message).await);
                    }
                }
            }
        }
        posted
    }

    /// Lets other tasks run every few bursts.
    async fn take_turns(&self) {
        let burst = self.bursts.fetch_add(1, Ordering::Relaxed);
        if burst.is_multiple_of(limits::POST_BURSTS_IN_A_ROW) {
            tokio::task::yield_now().await;
        }
    }

    async fn post_message_when_room(&self, message: Message) -> Result<Posted, PostError> {
        let mut posted = self.bus.post_message(message.clone(), Ingress::LOCAL, Instant::now())?;
        for (at, target) in posted.targets.iter_mut().enumerate() {
            if !target.as_ref().is_err_and(PostError::is_full) {
                continue;
            }
            let copy = match message.to() {
                To::One(_) => message.clone(),
                To::Many(urls) => message.with_to(&urls[at]),
            };
            let mut again = self.post_copy_when_room(copy).await?;
            posted.refused.retain(|refused| refused.target != at);
            posted
                .refused
                .extend(again.refused.into_iter().map(|one| Refused { target: at, ..one }));
            *target = again.targets.pop().unwrap_or(Err(PostError::NoTarget));
        }
        Ok(posted)
    }

    /// Posts a request and waits for its response; after 15 s without one that is a 408.
    ///
    /// # Errors
    /// [`PostError`] if it was not taken.
    pub async fn request(&self, message: Bytes) -> Result<Message, PostError> {
        let message = Message::parse_with(message, self.bus.limits())?;
        let (answer, response) = oneshot::channel();
        let reply = Box::new(move |message| {
            // Who asked may have stopped waiting.
            let _ = answer.send(message);
        });
        self.bus.request(message, Ingress::LOCAL, reply, Instant::now())?;
        self.shared.wake.notify_one();
        response.await.map_err(|_| PostError::Refused(crate::link::Refusal::Closed))
    }

    /// Which path messages to `url` take now, and why.
    pub fn path_of(&self, url: &Url) -> PathReport {
        self.bus.path_of(&url.address(), Instant::now())
    }

    /// Tells each change of the path to a remote runtime, from now on.
    pub fn watch_paths(&self) -> PathChanges {
        self.shared.paths.watch()
    }

    /// Cuts every direct connection, as if the network had.
    pub fn cut_connections(&self) {
        self.links.cut_all();
    }

    /// Moves the P2P endpoint to another UDP port, for who knows that the network under it is
    /// another now. Connections that this runtime dialled go on; the others end with their idle
    /// time and are made anew. No message is lost.
    ///
    /// # Errors
    /// Those of the socket; nothing has changed then.
    pub async fn rebind(&self) -> std::io::Result<()> {
        self.links.rebind().await
    }

    /// Makes this runtime's P2P network swallow everything, or no more.
    pub fn set_blackhole(&self, swallow: bool) {
        self.links.set_blackhole(swallow);
    }

    /// Acknowledges what its Hyperties took and lets queues drain, then ends connections and sessions in
    /// order, all within `within` (and half a second for the peers to be told). What is still under way then
    /// is told by [`Event::Undelivered`].
    pub async fn shut_down(self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        let drain = within - limits::SHUT_DOWN_CLOSE.min(within / 4);
        let _ = timeout(drain, self.drained()).await;
        self.with_ua(|ua| {
            let now = Instant::now();
            ua.abandon();
            ua.shut_down(now);
        });
        control::drive(&self.shared, &self.links);
        for node in &self.nodes {
            node.close();
        }
        for node in self.nodes {
            let left = node.ended_by(deadline).await;
            let now = Instant::now();
            let give_back =
                |message| self.shared.with_ua(|ua| ua.return_message(message, 503, now));
            left.into_iter().for_each(give_back);
        }
        control::drive(&self.shared, &self.links);
        drop(self.control);
        self.links.close().await;
    }

    /// One copy, until it is taken or refused for another reason than want of room.
    async fn post_copy_when_room(&self, copy: Message) -> Result<Posted, PostError> {
        loop {
            let room = self.next_progress();
            let posted = self.bus.post_message(copy.clone(), Ingress::LOCAL, Instant::now())?;
            if !posted.first_error().is_some_and(PostError::is_full) {
                return Ok(posted);
            }
            room.await;
        }
    }

    /// Resolves when something has left a queue or a window after this was called; progress that nobody tells
    /// us of is looked for after a while.
    fn next_progress(&self) -> impl Future<Output = ()> + Send {
        let mut progress = Box::pin(self.shared.progress.clone().notified_owned());
        progress.as_mut().enable();
        async move {
            let _ = timeout(limits::PROGRESS_POLL, progress).await;
        }
    }

    /// Acknowledges what is taken, and resolves when nothing is queued or unacknowledged any more.
    async fn drained(&self) {
        loop {
            let idle = {
                let ua = self.shared.ua.lock();
                ua.acknowledge(Instant::now());
                ua.is_idle()
            };
            let sent = self.links.is_drained() && self.nodes.iter().all(NodeStub::is_drained);
            if idle && sent {
                return;
            }
            let _ = timeout(limits::PROGRESS_POLL, self.shared.progress.notified()).await;
        }
    }

    fn with_ua<R>(&self, act: impl FnOnce(&mut RuntimeUa) -> R) -> R {
        self.shared.with_ua(act)
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("bus", &self.bus).finish_non_exhaustive()
    }
}
