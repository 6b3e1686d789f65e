//! Functions in real Deno processes.

mod calls;
mod world;
