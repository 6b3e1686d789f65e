//! The address a request really came from.
//!
//! It is the peer's own, unless the peer is a proxy that the configuration trusts: then it is the
//! last address in `X-Forwarded-For` that is not itself such a proxy. Whatever stands before that
//! was written by somebody nobody vouches for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::serve::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Hops that are followed back.
const HOPS_MAX: usize = 16;

/// A range of addresses, such as `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// IPv4 lies in `::ffff:0:0/96`, so that a mapped address is the same address.
    base: u128,
    mask: u128,
}

/// A text that is not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a range such as 10.0.0.0/8")]
pub struct InvalidNetwork(String);

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let wrong = || InvalidNetwork(text.chars().take(64).collect());
        let (address, length) =
            text.split_once('/').map_or((text, None), |(left, right)| (left, Some(right)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (width, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let length: u32 = length.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
        if length > width {
            return Err(wrong());
        }
        let mask = u128::MAX.checked_shl(128 - offset - length).unwrap_or(0);
        Ok(Self { base: bits(address) & mask, mask })
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.base
    }
}

fn bits(address: IpAddr) -> u128 {
    let wide: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    wide.to_bits()
}

/// The address of the client that sent a request; without one, an address that is on no list.
pub(crate) fn client(parts: &Parts, trusted: &[Network]) -> IpAddr {
    let peer = parts.extensions.get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
    address_of(peer, &parts.headers, trusted)
}

fn address_of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer.to_canonical();
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut nearest = peer;
    for hop in hops.take(HOPS_MAX) {
        // Behind something unreadable nothing can be believed.
        let Some(address) = read(hop.trim()) else { break };
        nearest = address;
        if !is_trusted(address) {
            break;
        }
    }
    nearest.to_canonical()
}

/// An address, perhaps with a port, perhaps in brackets.
fn read(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        }
        let found = address_of(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("10.1.1.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.1.1.1", &["198.51.100.1"], "198.51.100.1");
        check("10.1.1.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1");
        check("10.1.1.1", &["198.51.100.1, 10.2.2.2"], "198.51.100.1");
        check("10.1.1.1", &["192.0.2.1", "198.51.100.1"], "198.51.100.1");
        check("10.1.1.1", &[], "10.1.1.1");
        check("10.1.1.1", &["evil"], "10.1.1.1");
        check("10.1.1.1", &["198.51.100.1, unknown, 10.2.2.2"], "10.2.2.2");
        check("::1", &["[2001:db8::7]:443"], "2001:db8::7");
        check("::1", &["198.51.100.1:80"], "198.51.100.1");
    }

    #[test]
    fn malformed_networks_are_refused() {
        for text in ["", "10.0.0", "10.0.0.0/33", "::/129", "a/8", "10.0.0.0/x"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
