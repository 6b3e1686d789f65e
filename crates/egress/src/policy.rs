//! Which targets may be reached: public addresses, and what the operator's rules add.
//!
//! The policy judges a host together with every address it resolved to; one bad address refuses
//! them all. It resolves nothing and connects to nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::address::{AddressClass, classify, is_within};

/// Names that never lead to the public internet (RFC 6761, RFC 6762, RFC 7686, RFC 8375 and the
/// `internal` domain): what they resolve to must be allowed by a rule, even if it looks public.
const SPECIAL_NAMES: &[&str] =
    &["localhost", "localdomain", "local", "internal", "intranet", "home.arpa", "onion"];

/// Ports of other protocols that an HTTP request could be mistaken for a message of, from the
/// blocked ports of the Fetch standard. A rule that names the port allows it.
const FOREIGN_PORTS: &[u16] = &[
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
    526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
    3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

/// Which targets may be reached. The default allows public addresses only.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Targets that may be reached although they are not public.
    pub allowed: Vec<Rule>,
    /// Where this process itself listens. Refused unless a rule names the port.
    pub own_listeners: Vec<SocketAddr>,
}

impl Policy {
    /// Public addresses and loopback: what `flux dev` uses.
    pub fn with_loopback() -> Self {
        let loopback = |address: IpAddr, prefix| Rule::Network { address, prefix, port: None };
        Self {
            allowed: vec![
                loopback(Ipv4Addr::LOCALHOST.into(), 8),
                loopback(Ipv6Addr::LOCALHOST.into(), FULL_PREFIX_V6),
            ],
            own_listeners: Vec::new(),
        }
    }

    /// The addresses to connect to, if every one of `addresses` may be reached as `host`.
    pub(crate) fn admit(
        &self,
        host: &str,
        port: u16,
        addresses: &[IpAddr],
    ) -> Result<Vec<SocketAddr>, Refusal> {
        for address in addresses {
            self.judge(host, port, *address)?;
        }
        Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
    }

    /// Refuses a connection whose two ends are this machine, where a listener on all interfaces
    /// makes every address of the machine its own.
    pub(crate) fn admit_connected(
        &self,
        host: &str,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<(), Refusal> {
        let own = local.ip() == peer.ip()
            && self.own_listeners.iter().any(|own| own.ip().is_unspecified() && own.port() == peer.port());
        if own && !self.names_port(host, peer.port(), peer.ip()) {
            return Err(refusal(host, peer.port(), RefusedFor::OwnListener));
        }
        Ok(())
    }

    fn judge(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Refusal> {
        let class = classify(address);
        let names_port = self.names_port(host, port, address);
        if !names_port && self.is_own_listener(address, port) {
            return Err(refusal(host, port, RefusedFor::OwnListener));
        }
        if !names_port && FOREIGN_PORTS.contains(&port) {
            return Err(refusal(host, port, RefusedFor::ForeignPort));
        }
        let special = is_special_name(host);
        if class.is_public() && !special {
            return Ok(());
        }
        let allowed = self.allowed.iter().any(|rule| {
            rule.covers(host, port, address) && (class != AddressClass::Metadata || rule.is_exact_address())
        });
        match (allowed, class) {
            (true, _) => Ok(()),
            (false, AddressClass::Public) => Err(refusal(host, port, RefusedFor::SpecialName)),
            (false, class) => Err(refusal(host, port, RefusedFor::Class(class))),
        }
    }

    fn names_port(&self, host: &str, port: u16, address: IpAddr) -> bool {
        self.allowed.iter().any(|rule| rule.port() == Some(port) && rule.covers(host, port, address))
    }

    fn is_own_listener(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        self.own_listeners.iter().any(|own| {
            let everywhere = own.ip().is_unspecified() && (address.is_loopback() || address.is_unspecified());
            own.port() == port && (everywhere || own.ip() == address)
        })
    }
}

fn is_special_name(host: &str) -> bool {
    SPECIAL_NAMES
        .iter()
        .any(|name| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

fn refusal(host: &str, port: u16, reason: RefusedFor) -> Refusal {
    Refusal { host: host.to_owned(), port, reason }
}

/// Why a target may not be reached. It names the host but not the address it resolved to, so
/// that a flow cannot read internal name servers through its errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host}:{port} may not be called: {reason}. {}", reason.way_out())]
pub(crate) struct Refusal {
    host: String,
    port: u16,
    reason: RefusedFor,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum RefusedFor {
    #[error("it is {0}")]
    Class(AddressClass),
    #[error("the name is reserved for local use")]
    SpecialName,
    #[error("Flux itself listens there")]
    OwnListener,
    #[error("the port belongs to another protocol")]
    ForeignPort,
}

impl RefusedFor {
    fn way_out(&self) -> &'static str {
        match self {
            Self::Class(AddressClass::Metadata) => {
                "Only a rule in `egress.allow` with exactly this address allows it."
            }
            Self::Class(_) | Self::SpecialName => {
                "Add the address, network or host to `egress.allow` if it is meant to be reached."
            }
            Self::OwnListener | Self::ForeignPort => {
                "Add it with its port to `egress.allow` if it is meant to be reached."
            }
        }
    }
}

const FULL_PREFIX_V4: u8 = 32;
const FULL_PREFIX_V6: u8 = 128;

/// A target that may be reached although it is not public.
///
/// As text: `10.0.0.5`, `10.0.0.0/8`, `fd00::/8`, `db.corp`, `*.corp`, each with an optional
/// `:port` (an IPv6 address with a port is written in brackets).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rule {
    /// A network, or one port in it.
    Network {
        /// Any address in it.
        address: IpAddr,
        /// The length of its prefix in bits.
        prefix: u8,
        /// The only port; any if absent.
        port: Option<u16>,
    },
    /// A host, whatever addresses it resolves to, metadata services excepted.
    Host(HostPattern),
}

impl Rule {
    fn covers(&self, host: &str, port: u16, address: IpAddr) -> bool {
        match self {
            Self::Network { address: network, prefix, port: only } => {
                only.is_none_or(|only| only == port) && is_within(address, *network, *prefix)
            }
            Self::Host(pattern) => pattern.matches(host, port),
        }
    }

    fn port(&self) -> Option<u16> {
        match self {
            Self::Network { port, .. } => *port,
            Self::Host(pattern) => pattern.port,
        }
    }

    fn is_exact_address(&self) -> bool {
        match self {
            Self::Network { address, prefix, .. } => *prefix == full_prefix(*address),
            Self::Host(_) => false,
        }
    }
}

fn full_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { FULL_PREFIX_V4 } else { FULL_PREFIX_V6 }
}

/// A host by name, or every name below a domain (`*.example.com`), with an optional `:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    /// As a parsed URL writes it: ASCII, lower case, IPv6 in brackets.
    name: String,
    below: bool,
    port: Option<u16>,
}

impl HostPattern {
    /// Whether it means `host`, written as a parsed URL writes it, on `port`.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let same_name = if self.below {
            host.strip_suffix(&*self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.name
        };
        same_name && self.port.is_none_or(|only| only == port)
    }
}

/// A text that is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a target: write an address, a network such as 10.0.0.0/8, a host name or \
     *.domain, each with an optional `:port`"
)]
pub struct InvalidRule {
    /// What was given.
    pub text: String,
}

impl FromStr for HostPattern {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let invalid = || InvalidRule { text: text.to_owned() };
        let (name, port) = split_port(text).ok_or_else(invalid)?;
        let (name, below) = name.strip_prefix("*.").map_or((name, false), |rest| (rest, true));
        let host = url::Host::parse(name).map_err(|_| invalid())?;
        let is_name = matches!(host, url::Host::Domain(_));
        let name = host.to_string();
        if name.ends_with('.') || name.contains('*') || (below && !is_name) {
            return Err(invalid());
        }
        Ok(Self { name, below, port })
    }
}

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let invalid = || InvalidRule { text: text.to_owned() };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network { address, prefix: full_prefix(address), port: None });
        }
        if let Some((network, rest)) = text.split_once('/') {
            let address = network.parse::<IpAddr>().map_err(|_| invalid())?;
            let (prefix, port) = split_port(rest).ok_or_else(invalid)?;
            let prefix = prefix.parse().map_err(|_| invalid())?;
            if prefix > full_prefix(address) {
                return Err(invalid());
            }
            return Ok(Self::Network { address, prefix, port });
        }
        let pattern = text.parse::<HostPattern>()?;
        Ok(match pattern.name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => Self::Network { address, prefix: full_prefix(address), port: pattern.port },
            Err(_) => Self::Host(pattern),
        })
    }
}

/// `name` and `port` of `name:port`; a colon within brackets is part of the name.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some((name, Some(port)))
        }
        Some(_) | None => Some((text, None)),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { "*." } else { "" };
        write!(out, "{below}{}", self.name)?;
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { address, prefix, port } if *prefix == full_prefix(*address) => match port {
                Some(port) => write!(out, "{}", SocketAddr::new(*address, *port)),
                None => write!(out, "{address}"),
            },
            Self::Network { address, prefix, port } => {
                write!(out, "{address}/{prefix}")?;
                port.map_or(Ok(()), |port| write!(out, ":{port}"))
            }
            Self::Host(pattern) => fmt::Display::fmt(pattern, out),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidRule;

    fn try_from(text: String) -> Result<Self, InvalidRule> {
        text.parse()
    }
}

impl TryFrom<String> for Rule {
    type Error = InvalidRule;

    fn try_from(text: String) -> Result<Self, InvalidRule> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str], own: &[&str]) -> Policy {
        Policy {
            allowed: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            own_listeners: own.iter().map(|own| own.parse().unwrap()).collect(),
        }
    }

    /// `target` is `host:port -> address, …`.
    fn check(rules: &[&str], own: &[&str], target: &str, expect: Option<RefusedFor>) {
        let (place, addresses) = target.split_once(" -> ").unwrap();
        let (host, port) = place.rsplit_once(':').unwrap();
        let addresses: Vec<IpAddr> = addresses.split(", ").map(|text| text.parse().unwrap()).collect();
        let judged = policy(rules, own).admit(host, port.parse().unwrap(), &addresses);
        assert_eq!(judged.err().map(|refusal| refusal.reason), expect, "{rules:?} {own:?} {target}");
    }

    #[test]
    fn without_rules_only_public_addresses_pass() {
        let class = |class| Some(RefusedFor::Class(class));
        check(&[], &[], "a.example:443 -> 8.8.8.8, 2606:4700::1111", None);
        check(&[], &[], "a.example:443 -> 8.8.8.8, 10.0.0.1", class(AddressClass::Private));
        check(&[], &[], "a.example:80 -> 127.0.0.1", class(AddressClass::Loopback));
        check(&[], &[], "a.localhost:80 -> 8.8.8.8", Some(RefusedFor::SpecialName));
        check(&[], &[], "notlocalhost:80 -> 8.8.8.8", None);
        check(&[], &[], "a.example:25 -> 8.8.8.8", Some(RefusedFor::ForeignPort));
    }

    #[test]
    fn rules_allow_what_they_name() {
        let private = || Some(RefusedFor::Class(AddressClass::Private));
        check(&["10.0.0.0/8"], &[], "db.internal:80 -> 10.1.2.3", None);
        check(&["10.0.0.0/8:8080"], &[], "db.internal:80 -> 10.1.2.3", private());
        check(&["db.corp"], &[], "db.corp:5000 -> 10.1.2.3", None);
        check(&["db.corp:5000"], &[], "db.corp:5001 -> 10.1.2.3", private());
        check(&["db.corp"], &[], "xdb.corp:5000 -> 10.1.2.3", private());
        check(&["*.corp"], &[], "db.corp:5000 -> 10.1.2.3", None);
        check(&["*.corp"], &[], "corp:5000 -> 10.1.2.3", private());
        check(&["*.corp"], &[], "evilcorp:5000 -> 10.1.2.3", private());
        check(&["fd00::/8"], &[], "db.corp:80 -> fd00::5", None);
        check(&["mail.corp:25"], &[], "mail.corp:25 -> 10.0.0.25", None);
        check(&["mail.corp"], &[], "mail.corp:25 -> 10.0.0.25", Some(RefusedFor::ForeignPort));
    }

    #[test]
    fn metadata_needs_its_exact_address() {
        let metadata = || Some(RefusedFor::Class(AddressClass::Metadata));
        check(&["169.254.0.0/16"], &[], "169.254.169.254:80 -> 169.254.169.254", metadata());
        check(&["meta.corp"], &[], "meta.corp:80 -> 169.254.169.254", metadata());
        check(&["169.254.169.254"], &[], "meta.corp:80 -> 169.254.169.254", None);
        check(&["0.0.0.0/0"], &[], "meta.corp:80 -> 100.100.100.200", metadata());
    }

    #[test]
    fn own_listeners_need_a_rule_with_the_port() {
        let own = || Some(RefusedFor::OwnListener);
        let gateway = &["127.0.0.1:4000"];
        check(&["127.0.0.0/8"], gateway, "localhost:4000 -> 127.0.0.1", own());
        check(&["127.0.0.0/8"], gateway, "localhost:4002 -> 127.0.0.1", None);
        check(&["127.0.0.1:4000"], gateway, "localhost:4000 -> 127.0.0.1", None);
        check(&["127.0.0.0/8", "0.0.0.0"], &["0.0.0.0:4000"], "a:4000 -> 127.9.9.9", own());
        check(&["127.0.0.0/8", "0.0.0.0"], &["0.0.0.0:4000"], "a:4000 -> 0.0.0.0", own());
        check(&[], &["203.0.114.7:443"], "flux.example:443 -> 203.0.114.7", own());
    }

    #[test]
    fn a_connection_to_oneself_is_recognised_by_its_ends() {
        let policy = policy(&[], &["[::]:4000"]);
        let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
        let own = policy.admit_connected("a", socket("192.0.1.7:50000"), socket("192.0.1.7:4000"));
        assert_eq!(own.unwrap_err().reason, RefusedFor::OwnListener);
        assert!(policy.admit_connected("a", socket("192.0.1.7:50000"), socket("192.0.1.8:4000")).is_ok());
        assert!(policy.admit_connected("a", socket("192.0.1.7:50000"), socket("192.0.1.7:4001")).is_ok());
    }

    #[test]
    fn rules_have_one_text_form() {
        for text in [
            "10.0.0.5",
            "10.0.0.5:80",
            "10.0.0.0/8",
            "10.0.0.0/8:443",
            "::1",
            "[::1]:80",
            "fd00::/8",
            "db.corp",
            "*.corp:443",
        ] {
            let rule: Rule = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
        }
        let normalised =
            [("0x7f.1", "127.0.0.1"), ("DB.Corp", "db.corp"), ("bücher.example", "xn--bcher-kva.example")];
        for (text, expect) in normalised {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), expect);
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "a b",
            "db.corp:0",
            "db.corp:99999",
            "*.10.0.0.1",
            "*",
            "a.",
            "http://a",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}
