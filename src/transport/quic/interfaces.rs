//! At which addresses a socket that is bound to all interfaces can be reached. It binds nothing and
//! sends nothing.

use std::{io, net::IpAddr};

use crate::limits::QUIC_CANDIDATES_MAX;

/// The addresses of this machine's interfaces that a peer may reach, best first and at most 8:
/// `first`, then IPv4 and IPv6 by turns, so that a short list has both. Loopback is for peers on
/// this machine, so it counts only if `first` is loopback; link-local addresses mean nothing
/// without an interface's name.
///
/// # Errors
/// Those of the system when it is asked for its interfaces.
pub fn reachable_at(first: IpAddr) -> io::Result<Vec<IpAddr>> {
    let found = if_addrs::get_if_addrs()?;
    Ok(rank(first, found.into_iter().map(|interface| interface.ip())))
}

fn rank(first: IpAddr, found: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let useful = |ip: &IpAddr| *ip != first && is_useful(ip, first.is_loopback());
    let mut found: Vec<IpAddr> = found.filter(useful).collect();
    // The same order each time, so that a change can be seen.
    found.sort_unstable_by_key(|ip| (ip.is_loopback(), *ip));
    found.dedup();
    let (mut four, mut six): (Vec<_>, Vec<_>) = found.into_iter().partition(IpAddr::is_ipv4);
    four.reverse();
    six.reverse();
    let mut ranked = vec![first];
    let mut six_next = first.is_ipv4();
    while ranked.len() < QUIC_CANDIDATES_MAX {
        let (next, other) = if six_next { (&mut six, &mut four) } else { (&mut four, &mut six) };
        let Some(ip) = next.pop().or_else(|| other.pop()) else { break };
        ranked.push(ip);
        six_next = ip.is_ipv4();
    }
    ranked
}

fn is_useful(ip: &IpAddr, loopback: bool) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_unspecified() && !ip.is_multicast() && !link_local && (loopback || !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(first: &str, found: &[&str]) -> Vec<String> {
        let found = found.iter().map(|ip| ip.parse().unwrap());
        rank(first.parse().unwrap(), found).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn both_families_by_turns_and_nothing_useless() {
        let found = ["127.0.0.1", "10.0.0.2", "10.0.0.1", "fe80::1", "2001:db8::1", "169.254.0.1"];
        assert_eq!(ranked("10.0.0.1", &found), ["10.0.0.1", "2001:db8::1", "10.0.0.2"]);
        assert_eq!(
            ranked("127.0.0.1", &["127.0.0.1", "::1", "10.0.0.2"]),
            ["127.0.0.1", "::1", "10.0.0.2"]
        );
    }

    #[test]
    fn a_machine_of_many_addresses_names_as_many_as_a_peer_tries() {
        let many: Vec<String> = (0..100).map(|n| format!("10.0.1.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let found = [&many[..], &["2001:db8::1"]].concat();
        let ranked = ranked("10.0.0.1", &found);
        assert_eq!(ranked.len(), QUIC_CANDIDATES_MAX);
        assert_eq!(ranked[..3], ["10.0.0.1", "2001:db8::1", "10.0.1.0"]);
    }

    #[test]
    fn this_machine_is_reachable_at_its_loopback() {
        let first = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(reachable_at(first).unwrap()[0], first);
    }
}
