//! Both listeners on real sockets: what a router alone cannot show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod connections;
mod streams;
mod world;
