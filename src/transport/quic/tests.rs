//! Goal: by default a peer that is killed, so that nothing is sent any more and nobody is told, is noticed
//! within a second, whatever was going on and whenever in its rhythm it dies; and one that lives is not
//! mistaken for dead. Method: two endpoints of quinn with our configuration on a clock and a network of the
//! test's own: [`Virtual`] runs the tasks, carries the datagrams and moves the time from event to event.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{
    AsyncTimer, AsyncUdpSocket, ClientConfig, Connection, ConnectionError, Endpoint,
    EndpointConfig, Runtime, ServerConfig, UdpPoller,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    udp::{RecvMeta, Transmit},
};

use super::{
    QuicConfig,
    tls::{Expected, Identity},
};

const ALICE: usize = 0;
const BOB: usize = 1;
const SECOND: Duration = Duration::from_secs(1);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Who writes meanwhile, every so often.
#[derive(Clone, Copy, Debug)]
enum Traffic {
    Nobody,
    Survivor,
    Victim,
    Both,
}

#[test]
fn a_killed_peer_is_noticed_within_a_second() {
    for latency in [ms(0), ms(50)] {
        for traffic in [Traffic::Nobody, Traffic::Survivor, Traffic::Victim, Traffic::Both] {
            for phase in 0..8 {
                let victim = phase % 2;
                let mut two = Two::connected(latency);
                two.write(traffic, victim);
                two.net.run_for(SECOND + ms(20) * phase as u32);
                two.net.state.lock().sockets[victim].is_dead = true;
                let died = two.net.now();
                let ended = two.noticed(1 - victim, 5 * SECOND);
                let after = two.net.now() - died;
                let case = format!("{latency:?} {traffic:?} {phase}: {ended:?} after {after:?}");
                assert_eq!(ended, Some(ConnectionError::TimedOut), "{case}");
                assert!(after <= SECOND && after >= SECOND / 2, "{case}");
            }
        }
    }
}

/// Also where each datagram is half a keep-alive under way, and a few in a row are lost.
#[test]
fn a_living_peer_is_not_mistaken_for_dead() {
    for latency in [ms(0), ms(40), ms(100)] {
        let mut two = Two::connected(latency);
        for round in 0..10 {
            two.net.run_for(SECOND + ms(13) * round);
            two.net.state.lock().lost = 3;
        }
        for side in [ALICE, BOB] {
            assert_eq!(two.noticed(side, SECOND), None, "{latency:?}");
        }
    }
}

/// Two endpoints and a connection between them.
struct Two {
    net: Arc<Virtual>,
    connections: [Connection; 2],
    _endpoints: [Endpoint; 2],
}

impl Two {
    fn connected(latency: Duration) -> Two {
        let net = Virtual::new(latency);
        let config = QuicConfig::default();
        let keys = [(); 2].map(|()| Identity::generate().unwrap());
        let expected = Expected::default();
        let _alice = expected.add(keys[ALICE].fingerprint());
        let tls = keys[BOB].server(&expected).unwrap();
        let tls = QuicServerConfig::try_from(tls).unwrap();
        let mut server = ServerConfig::with_crypto(Arc::new(tls));
        server.transport_config(Arc::new(config.transport(1).unwrap()));
        let (tls, _) = keys[ALICE].client(keys[BOB].fingerprint()).unwrap();
        let tls = QuicClientConfig::try_from(tls).unwrap();
        let mut client = ClientConfig::new(Arc::new(tls));
        client.transport_config(Arc::new(config.transport(1).unwrap()));
        let end = |side: usize, server: Option<ServerConfig>| {
            let socket = Arc::new(VirtualSocket { side, net: net.clone() });
            let runtime = Arc::new(VirtualRuntime(net.clone()));
            let config = EndpointConfig::default();
            Endpoint::new_with_abstract_socket(config, server, socket, runtime).unwrap()
        };
        let (alice, bob) = (end(ALICE, None), end(BOB, Some(server)));
        let dialled = alice.connect_with(client, address(BOB), "hyperty").unwrap();
        let dialled = net.start(async move { dialled.await.unwrap() });
        let accepting = bob.clone();
        let accepted = net.start(async move { accepting.accept().await.unwrap().await.unwrap() });
        net.run_for(SECOND / 2);
        let connections = [dialled, accepted].map(|of| of.lock().take().expect("connected"));
        Two { net, connections, _endpoints: [alice, bob] }
    }

    fn write(&self, traffic: Traffic, victim: usize) {
        let sides = match traffic {
            Traffic::Nobody => vec![],
            Traffic::Survivor => vec![1 - victim],
            Traffic::Victim => vec![victim],
            Traffic::Both => vec![ALICE, BOB],
        };
        for side in sides {
            let (connection, net) = (self.connections[side].clone(), self.net.clone());
            self.net.start(async move {
                let Ok((mut stream, _receive)) = connection.open_bi().await else { return };
                while stream.write_all(&[0; 400]).await.is_ok() {
                    sleep(&net, ms(19)).await;
                }
            });
        }
    }

    /// How the connection of `side` ended, at most `within`; the time is then that of its end.
    fn noticed(&mut self, side: usize, within: Duration) -> Option<ConnectionError> {
        let connection = self.connections[side].clone();
        let ended = self.net.start(async move { connection.closed().await });
        let until = self.net.now() + within;
        while ended.lock().is_none() && self.net.step(until) {}
        ended.lock().take()
    }
}

async fn sleep(net: &Arc<Virtual>, wait: Duration) {
    let mut alarm = Alarm { at: net.now() + wait, net: net.clone() };
    std::future::poll_fn(|context| Pin::new(&mut alarm).poll(context)).await;
}

fn address(side: usize) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 4_000 + side as u16).into()
}

/// The clock, the tasks and the network.
#[derive(Debug)]
struct Virtual {
    start: Instant,
    nanoseconds: AtomicU64,
    latency: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Arc<Task>>,
    timers: BTreeMap<(Instant, u64), Waker>,
    /// Datagrams under way, each to one side.
    flights: BTreeMap<(Instant, u64), (usize, Bytes)>,
    sockets: [Wire; 2],
    sequence: u64,
    /// So many datagrams to come are lost.
    lost: u32,
}

#[derive(Debug, Default)]
struct Wire {
    arrived: VecDeque<Bytes>,
    reader: Option<Waker>,
    is_dead: bool,
}

impl Virtual {
    fn new(latency: Duration) -> Arc<Virtual> {
        let (nanoseconds, state) = (AtomicU64::new(0), Mutex::default());
        Arc::new(Virtual { start: Instant::now(), nanoseconds, latency, state })
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    /// Starts a task; what it gives is put where the caller looks.
    fn start<T: Send + 'static>(
        self: &Arc<Self>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Arc<Mutex<Option<T>>> {
        let place = Arc::new(Mutex::new(None));
        let output = place.clone();
        self.spawn(Box::pin(async move {
            let value = future.await;
            *output.lock() = Some(value);
        }));
        place
    }

    fn spawn(self: &Arc<Self>, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let net = Arc::downgrade(self);
        let task = Task { future: Mutex::new(Some(future)), is_ready: AtomicBool::default(), net };
        Arc::new(task).wake();
    }

    fn run_for(&self, span: Duration) {
        let until = self.now() + span;
        while self.step(until) {}
    }

    /// Runs what is ready, or moves on to the next event; false at `until`.
    fn step(&self, until: Instant) -> bool {
        let ready = self.state.lock().ready.pop_front();
        if let Some(task) = ready {
            task.run();
            return true;
        }
        let mut state = self.state.lock();
        let timer = state.timers.keys().next().copied();
        let flight = state.flights.keys().next().copied();
        let next = timer.into_iter().chain(flight).min().filter(|(at, _)| *at <= until);
        let at = next.map_or(until, |(at, _)| at).max(self.now());
        self.nanoseconds.store((at - self.start).as_nanos() as u64, Ordering::Relaxed);
        let Some(next) = next else { return false };
        let waker = match state.flights.remove(&next) {
            Some((to, datagram)) => {
                let wire = &mut state.sockets[to];
                wire.arrived.push_back(datagram);
                wire.reader.take()
            }
            None => state.timers.remove(&next),
        };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        true
    }
}

struct Task {
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    is_ready: AtomicBool,
    net: Weak<Virtual>,
}

impl Task {
    fn run(self: Arc<Self>) {
        self.is_ready.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.clone());
        let mut future = self.future.lock();
        let done = future
            .as_mut()
            .is_some_and(|of| of.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        if done {
            *future = None;
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.is_ready.swap(true, Ordering::Relaxed)
            && let Some(net) = self.net.upgrade()
        {
            net.state.lock().ready.push_back(self);
        }
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}

#[derive(Debug)]
struct VirtualRuntime(Arc<Virtual>);

impl Runtime for VirtualRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Alarm { at, net: self.0.clone() })
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(future);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        self.0.now()
    }
}

#[derive(Debug)]
struct Alarm {
    at: Instant,
    net: Arc<Virtual>,
}

impl AsyncTimer for Alarm {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.at = at;
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.net.now() >= self.at {
            return Poll::Ready(());
        }
        let mut state = self.net.state.lock();
        state.sequence += 1;
        let key = (self.at, state.sequence);
        state.timers.insert(key, context.waker().clone());
        Poll::Pending
    }
}

/// The UDP socket of one side.
#[derive(Debug)]
struct VirtualSocket {
    side: usize,
    net: Arc<Virtual>,
}

impl AsyncUdpSocket for VirtualSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut state = self.net.state.lock();
        if state.sockets[self.side].is_dead {
            return Ok(());
        }
        if state.lost > 0 {
            state.lost -= 1;
            return Ok(());
        }
        state.sequence += 1;
        let key = (self.net.now() + self.net.latency, state.sequence);
        let datagram = Bytes::copy_from_slice(transmit.contents);
        state.flights.insert(key, (1 - self.side, datagram));
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.state.lock();
        let wire = &mut state.sockets[self.side];
        let Some(datagram) = wire.arrived.pop_front().filter(|_| !wire.is_dead) else {
            wire.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        buffers[0][..datagram.len()].copy_from_slice(&datagram);
        let mut meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) =
            (address(1 - self.side), datagram.len(), datagram.len());
        metas[0] = meta;
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(address(self.side))
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
