//! The one endpoint of a runtime: its key, its UDP socket, whom it dials and whom it lets in.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use quinn_proto::{
    ClientConfig, ConnectionError, EndpointConfig, ServerConfig, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Blackhole, Expectation, Fingerprint, QuicConfig, QuicLink,
    connection::NotOpened,
    hub::Hub,
    ingress::{Door, dial, receive},
    link::{CloseOnDrop, cut},
    socket::UdpSocket,
    tls::{Expected, Identity, Pin},
};
use crate::limits::{QUIC_CANDIDATES_MAX, QUIC_HANDSHAKES_MAX};

/// One endpoint for all QUIC connections of a runtime, dialling and accepting on one UDP socket.
///
/// Dropping it stops accepting; links that exist go on.
#[derive(Debug)]
pub struct QuicEndpoint {
    hub: Arc<Hub>,
    identity: Identity,
    expected: Expected,
    blackhole: Blackhole,
    config: QuicConfig,
    dialling: Arc<TransportConfig>,
    accepted: Mutex<mpsc::Receiver<QuicLink>>,
}

impl QuicEndpoint {
    /// Binds `address` (port 0: any) and makes a new key. Must be called within a tokio runtime.
    ///
    /// The unspecified IPv6 address takes IPv4 as well: one socket for every interface and both
    /// families.
    ///
    /// # Errors
    /// Those of the socket; [`super::ConfigError`] as `InvalidInput`.
    pub fn bind(address: SocketAddr, config: QuicConfig) -> io::Result<QuicEndpoint> {
        let identity = Identity::generate()?;
        let expected = Expected::default();
        let blackhole = Blackhole::default();
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        // The accepting side opens the one stream, so only a dialling side lets its peer open one.
        let accepting = Arc::new(config.transport(0).map_err(invalid)?);
        let dialling = Arc::new(config.transport(1).map_err(invalid)?);

        let socket = UdpSocket::bind(address, &blackhole)?;
        let tls = identity.server(&expected).map_err(io::Error::other)?;
        let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        let mut server = ServerConfig::with_crypto(Arc::new(tls));
        server.transport_config(accepting).max_incoming(QUIC_HANDSHAKES_MAX);
        let mut common = EndpointConfig::default();
        common.max_udp_payload_size(config.datagram_bytes_max).map_err(io::Error::other)?;
        // Each that waits has its place among the handshakes.
        let (links, accepted) = mpsc::channel(QUIC_HANDSHAKES_MAX);
        let door = Door::new(expected.clone(), links, config.handshake, config.payload_bytes_max);
        let hub = Arc::new(Hub::new(socket, common, server));
        tokio::spawn(receive(hub.clone(), door, config.datagram_bytes_max));
        let accepted = Mutex::new(accepted);
        Ok(QuicEndpoint { hub, identity, expected, blackhole, config, dialling, accepted })
    }

    /// The address that is bound.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.hub.local_addr()
    }

    /// Goes on with another local address: connections that we dialled move there and lose nothing,
    /// for their peers follow; those that we accepted end with their idle time, for QUIC has only
    /// its clients move.
    ///
    /// # Errors Those of the socket, and `InvalidInput` for the other address family; the old
    /// address is kept then.
    pub fn rebind(&self, address: SocketAddr) -> io::Result<()> {
        if address.is_ipv6() != self.local_addr()?.is_ipv6() {
            let reason = "connections cannot move to the other address family";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        self.hub.move_to(UdpSocket::bind(address, &self.blackhole)?);
        Ok(())
    }

    /// Our key's fingerprint, for the `connectionDescription`.
    pub fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint()
    }

    /// The switch that makes this endpoint's network swallow everything.
    pub fn blackhole(&self) -> Blackhole {
        self.blackhole.clone()
    }

    /// Lets the holder of `fingerprint`'s key in, as long as the guard lives. Several guards count.
    pub fn expect(&self, fingerprint: Fingerprint) -> Expectation {
        self.expected.add(fingerprint)
    }

    /// Lets the holder of that key in no longer, whoever still holds a guard.
    pub fn unexpect(&self, fingerprint: Fingerprint) {
        self.expected.remove(fingerprint);
    }

    /// The next connection of an expected peer. `None` once the endpoint is closed. Cancel-safe.
    pub async fn accept(&self) -> Option<QuicLink> {
        let mut link = self.accepted.lock().await.recv().await?;
        link.permit = None;
        Some(link)
    }

    /// Connects to the holder of `expected`'s key at the first of `candidates` that answers.
    ///
    /// The first has a short head start, then all are tried at once, at most 8; returns when the peer
    /// has let us in. Dropping the future abandons all attempts.
    ///
    /// # Errors
    /// [`DialError`], at the latest after the configured handshake time.
    pub async fn dial(
        &self,
        candidates: &[SocketAddr],
        expected: Fingerprint,
    ) -> Result<QuicLink, DialError> {
        let (tls, pin) = self.identity.client(expected).map_err(failed)?;
        let tls = QuicClientConfig::try_from(tls).map_err(failed)?;
        let mut client = ClientConfig::new(Arc::new(tls));
        client.transport_config(self.dialling.clone());
        let mut attempts = JoinSet::new();
        let both = self.local_addr().map_err(failed)?.is_ipv6();
        let within_reach = candidates.iter().filter(|candidate| both || candidate.is_ipv4());
        for (rank, &candidate) in within_reach.take(QUIC_CANDIDATES_MAX).enumerate() {
            let head_start = self.config.head_start;
            let attempt = attempt(self.hub.clone(), client.clone(), candidate);
            attempts.spawn(async move {
                // Even a sleep of nothing takes a tick.
                if rank > 0 {
                    sleep(head_start).await;
                }
                attempt.await
            });
        }
        let after = self.config.handshake;
        let connection = match timeout(after, first(attempts)).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(error)) => return Err(explain(error, expected, &pin)),
            Err(_) => return Err(explain(DialError::TimedOut { after }, expected, &pin)),
        };
        connection.choose();
        let payload_bytes_max = self.config.payload_bytes_max;
        Ok(QuicLink { connection, peer: expected, payload_bytes_max, permit: None })
    }

    /// Closes every connection with `reason` and waits until the peers were told.
    pub async fn close(&self, reason: &str) {
        self.hub.close(cut(reason)).await;
    }
}

impl Drop for QuicEndpoint {
    fn drop(&mut self) {
        self.hub.orphan();
    }
}

/// One candidate, until the peer has opened the stream: only then it has accepted our key.
async fn attempt(
    hub: Arc<Hub>,
    client: ClientConfig,
    candidate: SocketAddr,
) -> Result<CloseOnDrop, DialError> {
    let (mailbox, told) = dial(&hub, client, candidate).map_err(failed)?;
    let connection = CloseOnDrop::new(mailbox);
    match told.await {
        Ok(Ok(())) => Ok(connection),
        Ok(Err(NotOpened::Connection(error))) => Err(refused(error)),
        Ok(Err(NotOpened::Because(words))) => Err(failed(words)),
        Err(gone) => Err(failed(gone)),
    }
}

/// The first attempt that succeeds, or the most telling error. The others are abandoned.
async fn first(
    mut attempts: JoinSet<Result<CloseOnDrop, DialError>>,
) -> Result<CloseOnDrop, DialError> {
    let mut worst = DialError::NoCandidate;
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(attempt)) => return Ok(attempt),
            Ok(Err(error)) if matches!(worst, DialError::Refused { .. }) => drop(error),
            Ok(Err(error)) => worst = error,
            Err(error) => worst = failed(error),
        }
    }
    Err(worst)
}

fn explain(error: DialError, expected: Fingerprint, pin: &Pin) -> DialError {
    match pin.mismatch() {
        Some(found) => DialError::WrongFingerprint { expected, found },
        None => error,
    }
}

fn refused(error: ConnectionError) -> DialError {
    match error {
        ConnectionError::ConnectionClosed(close) => {
            DialError::Refused { reason: close.to_string() }
        }
        ConnectionError::ApplicationClosed(close) => {
            DialError::Refused { reason: close.to_string() }
        }
        other => failed(other),
    }
}

fn failed(error: impl fmt::Display) -> DialError {
    DialError::Failed { reason: error.to_string() }
}

/// Why a dial gave no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialError {
    /// The list of candidates was empty.
    NoCandidate,
    /// Who answered holds another key.
    WrongFingerprint {
        /// What came by signalling.
        expected: Fingerprint,
        /// What was met.
        found: Fingerprint,
    },
    /// The peer does not want us: it expects another key, or nobody.
    Refused {
        /// Its words.
        reason: String,
    },
    /// No candidate answered in time.
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// All candidates failed.
    Failed {
        /// What the last one failed with.
        reason: String,
    },
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::NoCandidate => f.write_str("no candidate to dial"),
            DialError::WrongFingerprint { expected, found } => {
                write!(f, "the peer's key has fingerprint {found}, expected was {expected}")
            }
            DialError::Refused { reason } => write!(f, "refused by the peer: {reason}"),
            DialError::TimedOut { after } => write!(f, "no candidate answered in {after:?}"),
            DialError::Failed { reason } => write!(f, "no candidate could be reached: {reason}"),
        }
    }
}

impl std::error::Error for DialError {}
