//! Address ranges in CIDR notation (RFC 4632, RFC 4291), IPv4 and IPv6 as one space.

use std::net::{IpAddr, Ipv6Addr};

/// Ranges in one allow list.
pub const ALLOW_RULES_MAX: usize = 1_000;

/// A text that is not an address or range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// It does not read as one.
    #[error("`{0}` is not an address or a range such as 10.0.0.0/8")]
    Syntax(String),
    /// There are too many.
    #[error("{0} ranges are more than {ALLOW_RULES_MAX} (ALLOW_RULES_MAX)")]
    TooMany(usize),
}

/// Addresses that may call. An empty list allows nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AllowList(Vec<Range>);

/// A range as an IPv6 prefix; IPv4 lies in `::ffff:0:0/96`, so that a mapped address is the same
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    network: u128,
    mask: u128,
}

impl AllowList {
    pub(super) fn parse(texts: &[String]) -> Result<Self, InvalidRange> {
        if texts.len() > ALLOW_RULES_MAX {
            return Err(InvalidRange::TooMany(texts.len()));
        }
        texts.iter().map(|text| Range::parse(text)).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let bits = bits_of(address);
        self.0.iter().any(|range| bits & range.mask == range.network)
    }
}

impl Range {
    fn parse(text: &str) -> Result<Self, InvalidRange> {
        let wrong = || InvalidRange::Syntax(text.chars().take(64).collect());
        let (address, length) = match text.trim().split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (width, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let digits = |length: &str| length.bytes().all(|byte| byte.is_ascii_digit());
        let length: u32 = match length {
            None => width,
            Some(length) if digits(length) => length.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        if length > width {
            return Err(wrong());
        }
        let mask = u128::MAX.checked_shl(128 - offset - length).unwrap_or(0);
        Ok(Self { network: bits_of(address) & mask, mask })
    }
}

fn bits_of(address: IpAddr) -> u128 {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &[&str], address: &str, expected: bool) {
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        let list = AllowList::parse(&rules).unwrap();
        assert_eq!(list.contains(address.parse().unwrap()), expected, "{rules:?} {address}");
    }

    #[test]
    fn ranges_hold_their_addresses_in_either_notation() {
        check(&["10.0.0.0/8"], "10.255.0.1", true);
        check(&["10.0.0.0/8"], "::ffff:10.1.2.3", true);
        check(&["10.0.0.0/8"], "11.0.0.1", false);
        check(&["10.1.2.3/8"], "10.9.9.9", true);
        check(&["192.0.2.7"], "192.0.2.7", true);
        check(&["192.0.2.7"], "192.0.2.8", false);
        check(&["::ffff:192.0.2.0/120"], "192.0.2.9", true);
        check(&["2001:db8::/32", "::1"], "2001:db8:1::5", true);
        check(&["2001:db8::/32", "::1"], "::1", true);
        check(&["0.0.0.0/0"], "203.0.113.1", true);
        check(&["0.0.0.0/0"], "2001:db8::1", false);
        check(&["::/0"], "203.0.113.1", true);
        check(&[], "127.0.0.1", false);
    }

    #[test]
    fn malformed_ranges_are_refused() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "010.0.0.1",
            "a/8",
            "1.1.1.1/+8",
        ] {
            let refused = AllowList::parse(&[text.to_owned()]);
            assert!(matches!(refused, Err(InvalidRange::Syntax(_))), "{text}");
        }
    }
}
