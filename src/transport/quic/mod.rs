//! QUIC between runtimes: one endpoint for all connections of a runtime, one stream a connection.
//!
//! Both ends show a self-signed key, and each accepts only the key whose fingerprint came by signalling
//! ([`Fingerprint`]). TLS 1.3 only, ALPN `hyperty-p2p/1`, no 0-RTT, no resumption. Which runtime stands
//! behind a fingerprint, and what its messages mean, is not known here.
//!
//! quinn-proto is QUIC, quinn-udp knows the system's sockets; the tasks and clocks around them are here, one
//! task for each connection.
//!
//! ```text
//!  dial ──► handshake ◄── accept          each side pins the other's key
//!           OPENING  ◄── accepting side    it knows who dialled, and wants it
//!  OPENING ──►                             on the one candidate that the dialling side keeps
//!  frames  ◄──► frames                     see `transport::frame`
//! ```

mod blackhole;
mod carry;
mod config;
mod connection;
mod egress;
mod endpoint;
mod fingerprint;
mod hub;
mod ingress;
mod interfaces;
mod link;
mod mailbox;
mod socket;
mod timer;
mod tls;

#[cfg(test)]
mod strangers;
#[cfg(test)]
mod tests;

use std::task::Waker;

pub use blackhole::Blackhole;
pub use carry::LinkReceiver;
pub use config::{ConfigError, QuicConfig};
pub use endpoint::{DialError, QuicEndpoint};
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use interfaces::reachable_at;
pub use link::{QuicHandle, QuicLink};
pub use tls::Expectation;

/// The ALPN protocol of a P2P link.
pub const ALPN: &str = "hyperty-p2p/1";

/// The time by tokio's clock, which a test may own.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// Leaves `waker` in `place`. One that wakes the same task already stays.
fn leave(waker: &Waker, place: &mut Option<Waker>) {
    match place {
        Some(there) => there.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}

/// Why we closed a connection, as the peer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// An ordinary end.
    Done = 0,
    /// The peer broke the protocol.
    Protocol = 1,
    /// Nobody took the connection in time.
    NotTaken = 2,
}

impl From<CloseCode> for quinn_proto::VarInt {
    fn from(code: CloseCode) -> Self {
        quinn_proto::VarInt::from_u32(code as u32)
    }
}
