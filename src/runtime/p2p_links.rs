//! The direct connections of one runtime: its QUIC endpoint, dialling, accepting, carrying, closing.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak},
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{task::AbortHandle, time::sleep};
use tracing::{info, warn};

use crate::{
    limits,
    link::{Outbox, Outgoing},
    p2p::{Candidate, Description},
    runtime::{RuntimeConfig, reach::Reach, shared::Shared},
    transport::{
        Ended, Flow,
        quic::{
            Expectation, Fingerprint, LinkReceiver, QuicConfig, QuicEndpoint, QuicHandle, QuicLink,
        },
    },
    ua::{LinkFault, P2pIngress},
};

/// The endpoint and what goes on at it.
pub(super) struct P2pLinks {
    shared: Arc<Shared>,
    enabled: bool,
    address: Option<IpAddr>,
    config: QuicConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    endpoint: Option<Arc<QuicEndpoint>>,
    acceptor: Option<AbortHandle>,
    /// Looks for new addresses of this machine.
    watcher: Option<AbortHandle>,
    reach: Option<Arc<Reach>>,
    /// Where peers were told to reach us.
    candidates: Vec<Candidate>,
    /// Which connection the holder of a key belongs to, while it is expected.
    expected: HashMap<Fingerprint, (u64, Expectation)>,
    /// Connections being dialled or carried.
    links: HashMap<u64, Vec<Carried>>,
    dials: u64,
}

enum Carried {
    /// By the number of the dial.
    Dialling(u64, AbortHandle),
    Up(QuicHandle, Arc<Outbox<Outgoing>>),
}

impl P2pLinks {
    pub(super) fn new(config: &RuntimeConfig, shared: Arc<Shared>) -> Self {
        P2pLinks {
            shared,
            enabled: config.ua.policy != crate::bus::P2pPolicy::Off,
            address: config.p2p_address,
            config: config.quic(),
            state: Mutex::default(),
        }
    }

    /// Brings the endpoint up, once it is known by which address the Message Node at `node` is reached.
    pub(super) async fn bind(self: &Arc<Self>, node: &str) {
        if !self.enabled || self.state.lock().endpoint.is_some() {
            return;
        }
        let reach = Reach { address: self.address, node: node.to_owned() };
        let bind = |address| QuicEndpoint::bind(SocketAddr::new(address, 0), self.config.clone());
        match reach.bind(bind) {
            Ok(endpoint) => self.bound(Arc::new(endpoint), reach).await,
            Err(error) => warn!(%error, "no P2P endpoint: messages go by Message Node"),
        }
    }

    /// Dials, and carries what comes of it.
    pub(super) fn dial(self: &Arc<Self>, connection: u64, description: Description) {
        let Some(endpoint) = self.state.lock().endpoint.clone() else { return };
        let owner = self.clone();
        let mut state = self.state.lock();
        state.dials += 1;
        let dial = state.dials;
        let task = tokio::spawn(async move {
            let candidates: Vec<SocketAddr> =
                description.candidates.iter().map(|candidate| candidate.0).collect();
            let failed = match description.fingerprint.parse::<Fingerprint>() {
                Err(error) => error.to_string(),
                Ok(expected) => match endpoint.dial(&candidates, expected).await {
                    Ok(link) => return owner.carry(connection, link),
                    Err(error) => error.to_string(),
                },
            };
            owner.dial_failed(connection, dial, &failed);
        });
        let dialling = Carried::Dialling(dial, task.abort_handle());
        state.links.entry(connection).or_default().push(dialling);
    }

    /// Lets the holder of `fingerprint`'s key in.
    pub(super) fn expect(self: &Arc<Self>, connection: u64, fingerprint: &str) {
        let mut state = self.state.lock();
        let Some(endpoint) = state.endpoint.clone() else { return };
        match fingerprint.parse::<Fingerprint>() {
            // Who comes with it would be taken for one of the two.
            Ok(fingerprint) if state.expected.contains_key(&fingerprint) => {
                drop(state);
                self.down_soon(connection, "its key is another runtime's".to_owned());
            }
            Ok(fingerprint) => {
                let expectation = endpoint.expect(fingerprint);
                state.expected.insert(fingerprint, (connection, expectation));
            }
            Err(error) => {
                drop(state);
                self.down_soon(connection, error.to_string());
            }
        }
    }

    /// Reports the end of a connection from a task of its own, for the caller's own.
    fn down_soon(self: &Arc<Self>, connection: u64, reason: String) {
        let owner = self.clone();
        tokio::spawn(async move { owner.down(connection, &reason) });
    }

    /// Closes one connection, or gives up dialling or expecting it.
    pub(super) fn close_one(&self, connection: u64, reason: &str) {
        let mut state = self.state.lock();
        state.expected.retain(|_, (of, _)| *of != connection);
        for carried in state.links.remove(&connection).unwrap_or_default() {
            match carried {
                Carried::Dialling(_, task) => task.abort(),
                Carried::Up(handle, _) => handle.close(reason),
            }
        }
    }

    /// Nothing is left in the queue of any connection.
    pub(super) fn is_drained(&self) -> bool {
        let state = self.state.lock();
        state.links.values().flatten().all(|carried| match carried {
            Carried::Dialling(..) => true,
            Carried::Up(_, outbox) => outbox.is_empty(),
        })
    }

    /// Closes every connection that is up.
    pub(super) fn cut_all(&self) {
        for carried in self.state.lock().links.values().flatten() {
            if let Carried::Up(handle, _) = carried {
                handle.close("cut");
            }
        }
    }

    /// Makes the endpoint's network swallow everything, or no more.
    pub(super) fn set_blackhole(&self, swallow: bool) {
        if let Some(endpoint) = &self.state.lock().endpoint {
            endpoint.blackhole().set(swallow);
        }
    }

    /// Closes everything at once, without waiting.
    pub(super) fn cut_off(&self) {
        let mut state = self.state.lock();
        for task in [state.acceptor.take(), state.watcher.take()].into_iter().flatten() {
            task.abort();
        }
        state.endpoint = None;
        state.expected.clear();
        for carried in std::mem::take(&mut state.links).into_values().flatten() {
            match carried {
                Carried::Dialling(_, task) => task.abort(),
                Carried::Up(handle, _) => handle.close("the runtime is gone"),
            }
        }
    }

    /// Closes everything and waits, within a bound, until the peers were told.
    pub(super) async fn close(&self) {
        let (endpoint, tasks) = {
            let mut state = self.state.lock();
            (state.endpoint.take(), [state.acceptor.take(), state.watcher.take()])
        };
        for task in tasks.into_iter().flatten() {
            task.abort();
        }
        if let Some(endpoint) = endpoint {
            let _ = tokio::time::timeout(limits::P2P_CLOSE, endpoint.close("shut down")).await;
        }
    }

    /// Goes on with another UDP port. Connections that we dialled move there.
    pub(super) async fn rebind(&self) -> io::Result<()> {
        let endpoint = self.state.lock().endpoint.clone();
        let Some(endpoint) = endpoint else { return Ok(()) };
        endpoint.rebind(SocketAddr::new(endpoint.local_addr()?.ip(), 0))?;
        self.look_around().await;
        Ok(())
    }

    /// Looks where we can be reached now, and tells the control plane if that has changed. A
    /// connection that stands goes on by QUIC's own means, or is made anew.
    pub(super) async fn look_around(&self) {
        let (endpoint, reach) = {
            let state = self.state.lock();
            (state.endpoint.clone(), state.reach.clone())
        };
        let (Some(endpoint), Some(reach)) = (endpoint, reach) else { return };
        let Ok(address) = endpoint.local_addr() else { return };
        let candidates = reach.candidates(address.port()).await;
        if candidates == self.state.lock().candidates {
            return;
        }
        info!(?candidates, "the P2P endpoint is reached elsewhere now");
        self.state.lock().candidates.clone_from(&candidates);
        self.shared.with_ua(|ua| ua.set_candidates(candidates, Instant::now()));
    }

    async fn bound(self: &Arc<Self>, endpoint: Arc<QuicEndpoint>, reach: Reach) {
        let Ok(address) = endpoint.local_addr() else { return };
        let candidates = reach.candidates(address.port()).await;
        info!(%address, ?candidates, "P2P endpoint");
        let fingerprint = endpoint.fingerprint().to_string();
        let description = Description { fingerprint, candidates: candidates.clone() };
        let accepting = endpoint.clone();
        let owner = self.clone();
        let acceptor = tokio::spawn(async move {
            while let Some(link) = accepting.accept().await {
                owner.accepted(link);
            }
        });
        {
            let mut state = self.state.lock();
            state.acceptor = Some(acceptor.abort_handle());
            state.endpoint = Some(endpoint);
            state.reach = Some(Arc::new(reach));
            state.candidates = candidates;
            state.watcher = Some(tokio::spawn(watch(Arc::downgrade(self))).abort_handle());
        }
        self.shared.with_ua(|ua| ua.set_local_description(description));
    }

    fn accepted(self: &Arc<Self>, link: QuicLink) {
        let expected = self.state.lock().expected.remove(&link.peer_fingerprint());
        if let Some((connection, _expectation)) = expected {
            self.carry(connection, link);
        }
    }

    /// Carries a connection that is up, in a task of its own.
    fn carry(self: &Arc<Self>, connection: u64, link: QuicLink) {
        let outbox = Arc::new(Outbox::new(limits::P2P_OUTBOX_MESSAGES, limits::P2P_OUTBOX_BYTES));
        let handle = link.handle();
        {
            let mut state = self.state.lock();
            let carried = state.links.entry(connection).or_default();
            // Other dials have lost. One of them is the caller, which does nothing more that could
            // be aborted.
            for lost in carried.extract_if(.., |carried| matches!(carried, Carried::Dialling(..))) {
                if let Carried::Dialling(_, task) = lost {
                    task.abort();
                }
            }
            carried.push(Carried::Up(handle.clone(), outbox.clone()));
        }
        let ingress =
            self.shared.with_ua(|ua| ua.link_up(connection, outbox.clone(), Instant::now()));
        let Some(ingress) = ingress else {
            handle.close("no longer wanted");
            return;
        };
        let fault = Arc::new(Mutex::new(None));
        let receiver = Receiver {
            ingress,
            handle,
            fault: fault.clone(),
            shared: self.shared.clone(),
            since: Instant::now(),
            is_at_fault: false,
        };
        let owner = self.clone();
        link.start(outbox, receiver, move |ended| {
            if matches!(ended, Ended::Protocol { .. }) {
                warn!(%ended, "a peer was cut");
                owner.shared.with_ua(|ua| ua.count_broken_frame());
            }
            let fault = fault.lock().take().map(|fault: LinkFault| fault.to_string());
            owner.down(connection, &fault.unwrap_or_else(|| ended.to_string()));
        });
    }

    /// One dial came to nothing. That is the end of the connection if nothing else is tried and none is up.
    fn dial_failed(&self, connection: u64, dial: u64, reason: &str) {
        let is_last = {
            let mut state = self.state.lock();
            let Some(carried) = state.links.get_mut(&connection) else { return };
            carried.retain(|of| !matches!(of, Carried::Dialling(number, _) if *number == dial));
            carried.is_empty()
        };
        if is_last {
            self.down(connection, reason);
        }
    }

    fn down(&self, connection: u64, reason: &str) {
        self.state.lock().links.remove(&connection);
        self.shared.with_ua(|ua| ua.link_down(connection, reason, Instant::now()));
    }
}

/// Looks around again and again, as long as there are links.
async fn watch(links: Weak<P2pLinks>) {
    loop {
        sleep(limits::INTERFACES_POLL).await;
        let Some(links) = links.upgrade() else { return };
        links.look_around().await;
    }
}

/// What comes in by one connection.
struct Receiver {
    ingress: P2pIngress,
    handle: QuicHandle,
    /// Why we closed the connection, if the peer broke the protocol.
    fault: Arc<Mutex<Option<LinkFault>>>,
    shared: Arc<Shared>,
    /// When the first of those messages was read that wait in the ingress.
    since: Instant,
    is_at_fault: bool,
}

impl Receiver {
    /// Closes the connection of a peer that broke the protocol; nothing more of it is taken.
    fn check(&mut self, outcome: Result<(), LinkFault>) {
        if let Err(fault) = outcome {
            warn!(%fault, "a peer was cut");
            self.is_at_fault = true;
            self.handle.close(&fault.to_string());
            self.fault.lock().get_or_insert(fault);
        }
    }
}

impl LinkReceiver for Receiver {
    fn on_message(&mut self, number: u64, bytes: Bytes) -> Flow {
        if self.is_at_fault {
            return Flow::Stop;
        }
        if !self.ingress.has_gathered() {
            self.since = Instant::now();
        }
        let outcome = self.ingress.gather(number, bytes, self.since);
        self.check(outcome);
        if self.is_at_fault { Flow::Stop } else { Flow::Continue }
    }

    fn on_control(&mut self, bytes: Bytes) {
        if !self.is_at_fault {
            let now = Instant::now();
            self.ingress.hand_over(now);
            let outcome = self.ingress.on_control(&bytes, now);
            self.check(outcome);
        }
    }

    fn on_batch_end(&mut self) {
        let now = Instant::now();
        self.ingress.hand_over(now);
        self.ingress.on_room(now);
        self.shared.progress.notify_waiters();
    }

    fn on_rest(&mut self) {
        self.ingress.rest();
    }
}
