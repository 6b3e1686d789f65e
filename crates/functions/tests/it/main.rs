//! Functions in real Deno processes.

mod calls;
mod faults;
mod pool;
mod world;
