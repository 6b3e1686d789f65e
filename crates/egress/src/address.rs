//! What kind of network an address belongs to, from the special-purpose registries of IANA
//! (RFC 6890 and its updates) and the documented metadata services of cloud providers.
//!
//! An IPv6 address outside `2000::/3` is never public. An address that carries an IPv4 address in
//! it (mapped, compatible, NAT64, 6to4, Teredo) is refused for what it is, whatever it carries.
//! This module decides nothing about policy and resolves nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of network an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// Globally routed unicast.
    Public,
    /// The machine itself.
    Loopback,
    /// A private network (RFC 1918).
    Private,
    /// One link only (RFC 3927, RFC 4291).
    LinkLocal,
    /// The metadata service of a cloud provider: it hands out credentials.
    Metadata,
    /// Shared address space of carriers (RFC 6598).
    CarrierNat,
    /// For benchmarks (RFC 2544, RFC 5180).
    Benchmarking,
    /// For documentation (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// Groups, and broadcast.
    Multicast,
    /// Reserved, or not assigned to anybody.
    Reserved,
    /// "This host on this network" (RFC 1122); on most systems it means the machine itself.
    Unspecified,
    /// IPv4 in IPv6 form, `::ffff:a.b.c.d`, and its translated form `::ffff:0:a.b.c.d`.
    Mapped,
    /// IPv4 in IPv6 form without a mark, `::a.b.c.d`.
    Compatible,
    /// Translated to IPv4 by a gateway (RFC 6052, RFC 8215).
    Nat64,
    /// Tunnelled to IPv4 (RFC 3056), and its relays.
    SixToFour,
    /// Tunnelled through UDP (RFC 4380).
    Teredo,
    /// Unique local: the private networks of IPv6 (RFC 4193).
    UniqueLocal,
    /// Site local: the deprecated private networks of IPv6 (RFC 3879).
    SiteLocal,
    /// Cryptographic identifiers that are not routed (RFC 4843, RFC 7343).
    Orchid,
}

impl AddressClass {
    /// Whether anybody may be reached there.
    pub fn is_public(self) -> bool {
        self == Self::Public
    }

    /// The class as messages name it: "a loopback address".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata service",
            Self::CarrierNat => "a carrier-grade NAT address",
            Self::Benchmarking => "a benchmarking address",
            Self::Documentation => "a documentation address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
            Self::Unspecified => "an unspecified address",
            Self::Mapped => "an IPv4 address mapped into IPv6",
            Self::Compatible => "an IPv4-compatible IPv6 address",
            Self::Nat64 => "a NAT64 address",
            Self::SixToFour => "a 6to4 address",
            Self::Teredo => "a Teredo address",
            Self::UniqueLocal => "a unique local address",
            Self::SiteLocal => "a site-local address",
            Self::Orchid => "an ORCHID address",
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The class of `address`.
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

/// Whether `address` is in the network of `prefix` bits around `network`. Families never mix.
pub(crate) fn is_within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let shift = 32_u32.saturating_sub(u32::from(prefix));
            (address.to_bits() ^ network.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let shift = 128_u32.saturating_sub(u32::from(prefix));
            (address.to_bits() ^ network.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    let found = RANGES_V4
        .iter()
        .find(|(network, prefix, _)| is_within(address.into(), Ipv4Addr::from(*network).into(), *prefix));
    found.map_or(AddressClass::Public, |(_, _, class)| *class)
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    let found = RANGES_V6
        .iter()
        .find(|(network, prefix, _)| is_within(address.into(), Ipv6Addr::from(*network).into(), *prefix));
    match found {
        Some((_, _, class)) => *class,
        None if is_within(address.into(), GLOBAL_UNICAST.into(), 3) => AddressClass::Public,
        None => AddressClass::Reserved,
    }
}

/// The only part of IPv6 from which public unicast addresses are assigned.
const GLOBAL_UNICAST: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);

/// IPv4 ranges that are not public; the first that matches wins.
const RANGES_V4: &[([u8; 4], u8, AddressClass)] = &[
    // AWS, Google, Azure, Oracle, DigitalOcean, Hetzner, OpenStack and others.
    ([169, 254, 169, 254], 32, AddressClass::Metadata),
    // AWS: container credentials, pod identity.
    ([169, 254, 170, 2], 32, AddressClass::Metadata),
    ([169, 254, 170, 23], 32, AddressClass::Metadata),
    // Tencent, Scaleway, Alibaba, Oracle (classic).
    ([169, 254, 0, 23], 32, AddressClass::Metadata),
    ([169, 254, 42, 42], 32, AddressClass::Metadata),
    ([100, 100, 100, 200], 32, AddressClass::Metadata),
    ([192, 0, 0, 192], 32, AddressClass::Metadata),
    // Azure's wire server: a public address that only virtual machines reach.
    ([168, 63, 129, 16], 32, AddressClass::Metadata),
    ([0, 0, 0, 0], 8, AddressClass::Unspecified),
    ([10, 0, 0, 0], 8, AddressClass::Private),
    ([100, 64, 0, 0], 10, AddressClass::CarrierNat),
    ([127, 0, 0, 0], 8, AddressClass::Loopback),
    ([169, 254, 0, 0], 16, AddressClass::LinkLocal),
    ([172, 16, 0, 0], 12, AddressClass::Private),
    ([192, 0, 0, 0], 24, AddressClass::Reserved),
    ([192, 0, 2, 0], 24, AddressClass::Documentation),
    ([192, 88, 99, 0], 24, AddressClass::SixToFour),
    ([192, 168, 0, 0], 16, AddressClass::Private),
    ([198, 18, 0, 0], 15, AddressClass::Benchmarking),
    ([198, 51, 100, 0], 24, AddressClass::Documentation),
    ([203, 0, 113, 0], 24, AddressClass::Documentation),
    ([224, 0, 0, 0], 4, AddressClass::Multicast),
    ([255, 255, 255, 255], 32, AddressClass::Multicast),
    ([240, 0, 0, 0], 4, AddressClass::Reserved),
];

/// IPv6 ranges that have a name and are not public; the first that matches wins.
const RANGES_V6: &[([u16; 8], u8, AddressClass)] = &[
    // AWS: metadata, pod identity. Google. Scaleway. OpenStack.
    ([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254], 128, AddressClass::Metadata),
    ([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23], 128, AddressClass::Metadata),
    ([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128, AddressClass::Metadata),
    ([0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x42], 128, AddressClass::Metadata),
    ([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, AddressClass::Metadata),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, AddressClass::Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, AddressClass::Loopback),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, AddressClass::Mapped),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, AddressClass::Mapped),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, AddressClass::Compatible),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, AddressClass::Nat64),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, AddressClass::Nat64),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, AddressClass::Teredo),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, AddressClass::Benchmarking),
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, AddressClass::Orchid),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, AddressClass::Orchid),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, AddressClass::Reserved),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, AddressClass::Documentation),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, AddressClass::SixToFour),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, AddressClass::Documentation),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, AddressClass::UniqueLocal),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, AddressClass::LinkLocal),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, AddressClass::SiteLocal),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, AddressClass::Multicast),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::AddressClass::*;
    use super::*;

    /// Both ends of every range, and their neighbours.
    const CASES: &[(&str, AddressClass)] = &[
        ("0.0.0.0", Unspecified),
        ("0.255.255.255", Unspecified),
        ("1.0.0.0", Public),
        ("9.255.255.255", Public),
        ("10.0.0.0", Private),
        ("10.255.255.255", Private),
        ("11.0.0.0", Public),
        ("100.63.255.255", Public),
        ("100.64.0.0", CarrierNat),
        ("100.100.100.200", Metadata),
        ("100.127.255.255", CarrierNat),
        ("100.128.0.0", Public),
        ("126.255.255.255", Public),
        ("127.0.0.0", Loopback),
        ("127.255.255.255", Loopback),
        ("128.0.0.0", Public),
        ("168.63.129.15", Public),
        ("168.63.129.16", Metadata),
        ("169.253.255.255", Public),
        ("169.254.0.0", LinkLocal),
        ("169.254.169.254", Metadata),
        ("169.254.255.255", LinkLocal),
        ("169.255.0.0", Public),
        ("172.15.255.255", Public),
        ("172.16.0.0", Private),
        ("172.31.255.255", Private),
        ("172.32.0.0", Public),
        ("191.255.255.255", Public),
        ("192.0.0.0", Reserved),
        ("192.0.1.0", Public),
        ("192.0.2.1", Documentation),
        ("192.88.99.1", SixToFour),
        ("192.168.0.0", Private),
        ("192.168.255.255", Private),
        ("192.169.0.0", Public),
        ("198.17.255.255", Public),
        ("198.18.0.0", Benchmarking),
        ("198.19.255.255", Benchmarking),
        ("198.20.0.0", Public),
        ("198.51.100.1", Documentation),
        ("203.0.113.255", Documentation),
        ("203.0.114.0", Public),
        ("223.255.255.255", Public),
        ("224.0.0.0", Multicast),
        ("239.255.255.255", Multicast),
        ("240.0.0.0", Reserved),
        ("255.255.255.254", Reserved),
        ("255.255.255.255", Multicast),
        ("::", Unspecified),
        ("::1", Loopback),
        ("::2", Compatible),
        ("::127.0.0.1", Compatible),
        ("::ffff:8.8.8.8", Mapped),
        ("::ffff:0:127.0.0.1", Mapped),
        ("64:ff9b::8.8.8.8", Nat64),
        ("64:ff9b:1:ffff::", Nat64),
        ("64:ff9b:2::", Reserved),
        ("100::1", Reserved),
        ("1fff:ffff::", Reserved),
        ("2000::", Public),
        ("2001::1", Teredo),
        ("2001:1::1", Reserved),
        ("2001:2::1", Benchmarking),
        ("2001:10::", Orchid),
        ("2001:2f:ffff::", Orchid),
        ("2001:1ff:ffff::", Reserved),
        ("2001:200::", Public),
        ("2001:db8::1", Documentation),
        ("2001:db9::", Public),
        ("2001:4860:4860::8888", Public),
        ("2002:7f00:1::", SixToFour),
        ("2003::", Public),
        ("2606:4700::1111", Public),
        ("3ffe:ffff::", Public),
        ("3fff:fff:ffff::", Documentation),
        ("3fff:1000::", Public),
        ("4000::", Reserved),
        ("5f00::1", Reserved),
        ("fbff::", Reserved),
        ("fc00::", UniqueLocal),
        ("fd00:ec2::254", Metadata),
        ("fdff:ffff::", UniqueLocal),
        ("fe00::", Reserved),
        ("fe80::1", LinkLocal),
        ("febf::1", LinkLocal),
        ("fec0::1", SiteLocal),
        ("feff::1", SiteLocal),
        ("ff00::", Multicast),
        ("ff02::1", Multicast),
    ];

    #[test]
    fn addresses_are_classed() {
        for (address, expect) in CASES {
            assert_eq!(classify(address.parse().unwrap()), *expect, "{address}");
        }
    }

    /// What the standard library says of IPv4, as a second opinion.
    fn std_refuses(address: Ipv4Addr) -> bool {
        address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_broadcast()
            || address.is_documentation()
            || address.is_multicast()
            || address.is_unspecified()
    }

    proptest! {
        #[test]
        fn nothing_the_standard_library_calls_special_is_public(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            if std_refuses(address) {
                prop_assert!(!classify(address.into()).is_public());
            }
        }

        #[test]
        fn every_ipv6_form_of_an_ipv4_address_is_refused(bits: u32, low: u64) {
            let v4 = u128::from(bits);
            let forms = [
                v4,
                (0xffff_u128 << 32) | v4,
                (0xffff_u128 << 48) | v4,
                (0x0064_ff9b_u128 << 96) | v4,
                (0x0064_ff9b_0001_u128 << 80) | v4,
                (0x2002_u128 << 112) | (v4 << 80) | u128::from(low),
                (0x2001_u128 << 112) | (v4 << 64) | u128::from(low),
            ];
            for form in forms {
                let address = Ipv6Addr::from_bits(form);
                prop_assert!(!classify(address.into()).is_public(), "{address}");
            }
        }

        #[test]
        fn public_ipv6_is_always_global_unicast(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            if classify(address.into()).is_public() {
                prop_assert_eq!(bits >> 125, 1);
            }
        }

        #[test]
        fn a_network_holds_exactly_what_shares_its_prefix(bits: u32, other: u32, prefix in 0_u8..=32) {
            let mask = if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) };
            let (tried, base) = (Ipv4Addr::from_bits(other), Ipv4Addr::from_bits(bits));
            let within = is_within(tried.into(), base.into(), prefix);
            prop_assert_eq!(within, bits & mask == other & mask);
        }
    }
}
