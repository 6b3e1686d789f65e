//! Egress against real servers on loopback: what may be reached, what is sent, what comes back.
//!
//! No test leaves the machine. Names resolve through a table; where a public address is needed,
//! rules allow a part of 127.0.0.0/8 and the rest of it plays the private network.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod bodies;
mod corpus;
mod limits;
mod masking;
mod mistakes;
mod open;
mod redirects;
mod secrets;
mod streams;
mod tls;
mod world;
