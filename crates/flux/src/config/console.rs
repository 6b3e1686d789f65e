//! `[console]`: the listener of the console API.

use std::net::{Ipv4Addr, SocketAddr};

use super::section::section;

section! {
    /// The listener of the console API.
    Console {
        /// Where it listens. Port 0 picks a free one.
        address: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4001));
        /// How people reach it, such as `https://console.example.com`; its address where absent.
        url: Option<String> = None;
        /// Connections open at the same time; further ones wait.
        connections_max: usize = 512;
    }
}
