//! Functions in real Deno processes.

mod bundles;
mod calls;
mod faults;
mod fetches;
mod pool;
mod replay;
mod sandbox;
mod world;
