//! `[process]`: the process itself.

use serde::{Deserialize, Serialize};

use super::section::{Setting, section};

/// A part that a process can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Serves webhooks and forms
    Gateway,
    /// Serves the console API
    Console,
    /// Runs executions
    Engine,
    /// Fires schedules
    Scheduler,
}

impl Role {
    /// Every role.
    pub(crate) const ALL: [Self; 4] = [Self::Gateway, Self::Console, Self::Engine, Self::Scheduler];
}

impl Setting for Role {
    fn read(text: &str) -> Result<toml::Value, String> {
        String::read(text)
    }
}

section! {
    /// The process itself.
    Process {
        /// Which roles it plays: `gateway`, `console`, `engine`, `scheduler`.
        roles: Vec<Role> = Role::ALL.to_vec();
        /// How long running steps get to reach a commit when it is asked to stop, in milliseconds.
        shutdown_grace_ms: u64 = 10_000;
        /// Threads that run executions and requests; 0 means one per processor.
        threads: usize = 0;
    }
}
