//! The MN stub: a session with one Message Node over WebSocket that connects by itself and comes back.
//!
//! Carries out the client's side of the wire: `open`, `re-open` with the token, `close`. It compares `id` and
//! `code` strictly and waits 3 s for the answer.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    limits,
    link::{Delivery, Ingress, Outgoing, Sink},
    message::{Kind, Message, To, compose},
    runtime::{
        Event, NodeAddress, RuntimeConfig, StartError,
        p2p_links::P2pLinks,
        shared::{Shared, Task},
        stub_queue::{QueueSource, StubQueue},
    },
    transport::{
        Flow,
        websocket::{
            SocketConfig, SocketEnd, TextReceiver, WebSocketHandle, WebSocketLink, connect,
        },
    },
    ua::NodeIngress,
};

/// Where the session is opened, by the wire.
const SESSION: &str = "mn:/session";

/// A stub that runs.
pub(super) struct NodeStub {
    queue: Arc<StubQueue>,
    closing: watch::Sender<bool>,
    /// Gives back what was taken out of the queue and not written.
    task: Task<Vec<Outgoing>>,
    shared: Arc<Shared>,
    runtime: String,
    session: Arc<Session>,
}

impl NodeStub {
    pub(super) fn start(
        node: &NodeAddress,
        config: &RuntimeConfig,
        shared: &Arc<Shared>,
        links: &Arc<P2pLinks>,
    ) -> Result<Self, StartError> {
        let domain = config.domain_of(node).to_owned();
        let queue = Arc::new(StubQueue::new());
        let ingress = shared.ua.lock().add_node(&domain, queue.clone());
        let (closing, closed) = watch::channel(false);
        let session = Arc::new(Session::default());
        let runtime = config.ua.runtime.to_string();
        let leg = Leg {
            is_own: domain == config.own_domain(),
            domain,
            url: node.url.clone(),
            runtime: runtime.clone(),
            ingress,
            queue: queue.clone(),
            shared: shared.clone(),
            links: links.clone(),
            session: session.clone(),
            next_id: 1,
        };
        let task = Task(tokio::spawn(leg.run(closed)));
        Ok(NodeStub { queue, closing, task, shared: shared.clone(), runtime, session })
    }

    pub(super) fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    /// Ends the session in order: what is queued is written, then `close`.
    pub(super) fn close(&self) {
        let token = self.session.token.lock().clone();
        if let Some(token) = token.filter(|_| self.queue.is_open()) {
            let from = format!("{}/{token}", self.runtime);
            let message = compose("0", "close", &from, SESSION, None);
            let _ = self.queue.push(Delivery { message, ingress: Ingress::LOCAL, hop: None });
        }
        self.queue.close();
        let _ = self.closing.send(true);
        self.shared.progress.notify_waiters();
    }

    /// Resolves when the session has ended, or at `deadline`. Gives back the plain messages that were not
    /// written.
    pub(super) async fn ended_by(self, deadline: tokio::time::Instant) -> Vec<Message> {
        let NodeStub { queue, mut task, .. } = self;
        let unwritten = match tokio::time::timeout_at(deadline, &mut task.0).await {
            Ok(Ok(unwritten)) => unwritten,
            _ => Vec::new(),
        };
        let plain = |of| match of {
            Outgoing::Message { bytes, hop: None } => Message::parse(bytes).ok(),
            _ => None,
        };
        let mut left: Vec<Message> = unwritten.into_iter().filter_map(plain).collect();
        left.extend(queue.take_all());
        // What the session says of itself is nobody's message.
        left.retain(|message| message.to() != To::One(SESSION.into()));
        left
    }
}

/// What is known of the session.
#[derive(Debug, Default)]
struct Session {
    /// The token to re-open it with.
    token: Mutex<Option<String>>,
}

/// The task's own state.
struct Leg {
    domain: String,
    is_own: bool,
    url: String,
    runtime: String,
    ingress: NodeIngress,
    queue: Arc<StubQueue>,
    shared: Arc<Shared>,
    links: Arc<P2pLinks>,
    session: Arc<Session>,
    next_id: u64,
}

impl Leg {
    async fn run(mut self, mut closed: watch::Receiver<bool>) -> Vec<Outgoing> {
        let mut unwritten = Vec::new();
        let mut failures = 0;
        while !*closed.borrow() {
            let reason = match connect(&self.url, &SocketConfig::client()).await {
                Ok(link) => {
                    let opened = Instant::now();
                    let end = self.carry(link, std::mem::take(&mut unwritten)).await;
                    unwritten = end.unwritten;
                    // Each socket opens its session anew.
                    unwritten.retain(|of| !is_of_session(of));
                    if opened.elapsed() > limits::RECONNECT_CEILING {
                        failures = 0;
                    }
                    end.ended.to_string()
                }
                Err(error) => error.to_string(),
            };
            if *closed.borrow() {
                break;
            }
            self.down(reason);
            self.wait(failures, &mut closed).await;
            failures += 1;
        }
        unwritten
    }

    /// One socket, from `open` to its end.
    async fn carry(&mut self, mut link: WebSocketLink, unwritten: Vec<Outgoing>) -> SocketEnd {
        if self.is_own {
            self.links.bind(&self.url).await;
        }
        let (id, open) = self.open_message();
        link.write_first([Outgoing::Message { bytes: open.into_bytes(), hop: None }]);
        link.write_first(unwritten);
        let (answered, answer) = watch::channel(false);
        let receiver = SocketReceiver {
            domain: self.domain.clone(),
            id,
            answered: Some(answered),
            session: self.session.clone(),
            queue: self.queue.clone(),
            shared: self.shared.clone(),
            ingress: self.ingress.clone(),
            handle: link.handle(),
        };
        let handle = link.handle();
        let watchdog = tokio::spawn(unanswered(answer, handle));
        let end = link.run(QueueSource::new(self.queue.clone()), receiver).await;
        watchdog.abort();
        self.queue.set_open(false);
        end
    }

    /// `re-open` if there is a token, else `open`.
    fn open_message(&mut self) -> (String, Message) {
        let id = self.next_id.to_string();
        self.next_id += 1;
        let message = match self.session.token.lock().as_ref() {
            Some(token) => {
                compose(&id, "re-open", &format!("{}/{token}", self.runtime), SESSION, None)
            }
            None => compose(&id, "open", &self.runtime, SESSION, None),
        };
        (id, message)
    }

    fn down(&self, reason: String) {
        warn!(domain = self.domain, reason, "no session with the Message Node");
        self.shared.with_ua(|ua| ua.node_closed(&self.domain));
        self.shared.events.send(Event::NodeClosed { domain: self.domain.clone(), reason });
    }

    /// Exponential back-off with jitter; meanwhile what has waited too long is given back.
    async fn wait(&self, failures: u32, closed: &mut watch::Receiver<bool>) {
        let base = limits::RECONNECT_FIRST * 2u32.saturating_pow(failures.min(16));
        let base = base.min(limits::RECONNECT_CEILING);
        let mut byte = [0];
        let jitter = getrandom::fill(&mut byte).map_or(0, |()| u32::from(byte[0]));
        let until = Instant::now() + base - base * jitter / 1_024;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let step = left.min(limits::STUB_EXPIRY_STEP);
            tokio::select! {
                () = sleep(step) => {}
                _ = closed.changed() => return,
            }
            let now = Instant::now();
            for message in self.queue.take_expired(now) {
                self.shared.with_ua(|ua| ua.return_message(message, 503, now));
            }
        }
    }
}

/// A word of the session itself: `open`, `re-open` or `close`.
fn is_of_session(outgoing: &Outgoing) -> bool {
    match outgoing {
        Outgoing::Message { bytes, .. } => Message::parse(bytes.clone())
            .is_ok_and(|message| message.to() == To::One(SESSION.into())),
        Outgoing::Control(_) => false,
    }
}

/// Closes a socket whose `open` was not answered in time.
async fn unanswered(mut answer: watch::Receiver<bool>, handle: WebSocketHandle) {
    if timeout(limits::OPEN_TIMEOUT, answer.wait_for(|answered| *answered)).await.is_err() {
        handle.close("no answer to open");
    }
}

/// What comes in by the socket.
struct SocketReceiver {
    domain: String,
    id: String,
    answered: Option<watch::Sender<bool>>,
    session: Arc<Session>,
    queue: Arc<StubQueue>,
    shared: Arc<Shared>,
    ingress: NodeIngress,
    handle: WebSocketHandle,
}

impl SocketReceiver {
    /// The answer to `open` or `re-open`. A token in it says that the session is new.
    fn is_answer(&mut self, text: &Bytes) -> bool {
        let Ok(message) = Message::parse(text.clone()) else { return false };
        let is_ours = message.kind() == Kind::Response
            && message.from() == SESSION
            && message.id() == Some(self.id.as_str());
        if !is_ours {
            return false;
        }
        if message.body_member(&["code"]) != Some("200") {
            warn!(domain = self.domain, body = message.body(), "the session was refused");
            self.handle.close("the session was refused");
            return true;
        }
        let token = message.body_text(&["runtimeToken"]).map(|token| token.into_owned());
        let fresh = token.is_some();
        if fresh {
            *self.session.token.lock() = token;
        }
        if let Some(answered) = self.answered.take() {
            let _ = answered.send(true);
        }
        info!(domain = self.domain, fresh, "session with the Message Node");
        self.queue.set_open(true);
        self.shared.with_ua(|ua| ua.node_opened(&self.domain, fresh, Instant::now()));
        self.shared.events.send(Event::NodeOpened { domain: self.domain.clone() });
        true
    }
}

impl TextReceiver for SocketReceiver {
    fn on_text(&mut self, text: Bytes) -> Flow {
        if self.answered.is_some() && self.is_answer(&text) {
            return Flow::Continue;
        }
        if let Err(error) = self.ingress.on_text(text, Instant::now()) {
            warn!(domain = self.domain, %error, "a frame of the Message Node is no message");
        }
        Flow::Continue
    }

    fn on_batch_end(&mut self) {
        self.shared.progress.notify_waiters();
    }
}
