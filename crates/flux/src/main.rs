//! The `flux` binary: command line, configuration, roles and wiring.
//!
//! Only this crate reads the environment, picks a store and starts roles. It decides nothing about
//! flows or executions: locally it wires the other crates together, remotely it is one more client
//! of the console API.

mod cli;
mod client;
mod commands;
mod config;
mod doctor;
mod error;
mod file;
mod log;
mod output;
mod project;
mod server;

use std::process::ExitCode;

use clap::Parser;

/// Many small values that live across threads are what an engine allocates; this allocator keeps
/// them fast and the idle process small.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Usage errors end here, with exit code 2.
    let cli = cli::Cli::parse();
    commands::run(cli)
}
