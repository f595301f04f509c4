//! Where this runtime's P2P endpoint can be reached: which address it binds, and which candidates
//! it names.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::{UdpSocket, lookup_host};
use tracing::warn;

use crate::{p2p::Candidate, transport::quic::reachable_at};

/// What decides where we can be reached.
pub(super) struct Reach {
    /// The one address that was configured; `None`: all interfaces.
    pub(super) address: Option<IpAddr>,
    /// Our own Message Node's URL: the address by which it is reached is the best candidate.
    pub(super) node: String,
}

impl Reach {
    /// Binds with `bind`: the configured address, or all interfaces in both families, or in IPv4
    /// alone.
    pub(super) fn bind<T>(&self, bind: impl Fn(IpAddr) -> io::Result<T>) -> io::Result<T> {
        match self.address {
            Some(address) => bind(address),
            None => {
                bind(Ipv6Addr::UNSPECIFIED.into()).or_else(|_| bind(Ipv4Addr::UNSPECIFIED.into()))
            }
        }
    }

    /// The candidates of an endpoint at `port`, best first.
    pub(super) async fn candidates(&self, port: u16) -> Vec<Candidate> {
        let addresses = match self.address.filter(|address| !address.is_unspecified()) {
            Some(address) => vec![address],
            None => {
                let first = local_address_towards(&self.node).await;
                reachable_at(first).unwrap_or_else(|error| {
                    warn!(%error, "the interfaces cannot be listed");
                    vec![first]
                })
            }
        };
        addresses.into_iter().map(|ip| Candidate(SocketAddr::new(ip, port))).collect()
    }
}

/// The local address by which the host of a WebSocket URL is reached. Nothing is sent to find out.
async fn local_address_towards(node: &str) -> IpAddr {
    let fallback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let authority = node.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    let with_port = match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    let Ok(mut found) = lookup_host(with_port).await else { return fallback };
    let Some(remote) = found.next() else { return fallback };
    let any: SocketAddr = match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    match UdpSocket::bind(any).await {
        Ok(socket) if socket.connect(remote).await.is_ok() => {
            socket.local_addr().map_or(fallback, |address| address.ip())
        }
        _ => fallback,
    }
}
