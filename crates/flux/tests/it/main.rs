//! Drives the real `flux` executable as its users do: a project, a server, commands, HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod cli;
mod dev;
mod disk;
mod functions;
mod harness;
mod kill;
mod offline;
mod serve;
