//! Functions in real Deno processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod bundles;
mod calls;
mod faults;
mod fetches;
mod pool;
mod replay;
mod sandbox;
mod world;
