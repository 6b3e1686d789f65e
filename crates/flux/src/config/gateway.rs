//! `[gateway]`: the public listener.

use std::net::{Ipv4Addr, SocketAddr};

use super::section::section;

section! {
    /// The public listener: webhooks and forms.
    Gateway {
        /// Where it listens. Port 0 picks a free one.
        address: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        /// Connections open at the same time; further ones wait.
        connections_max: usize = flux_http::CONNECTIONS_MAX;
        /// Bytes of one request body, on both listeners.
        body_bytes_max: usize = flux_http::BODY_BYTES_MAX;
        /// How long a whole request body may take to arrive, on both listeners, in milliseconds.
        body_timeout_ms: u64 = 30_000;
        /// How long the head of a request may take to arrive, on both listeners, in milliseconds.
        head_timeout_ms: u64 = 20_000;
        /// Networks of proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`.
        trusted_proxies: Vec<String> = Vec::new();
    }
}
