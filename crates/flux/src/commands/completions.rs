//! `flux completions`: scripts that let a shell complete commands and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Ended;
use crate::cli::Cli;
use crate::error::Exit;
use crate::output::Out;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux completions bash > ~/.local/share/bash-completion/completions/flux\n  flux completions zsh > ~/.zfunc/_flux\n  flux completions fish > ~/.config/fish/completions/flux.fish"
)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut out: Out) -> Ended {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "flux", &mut script);
        out.text(&String::from_utf8_lossy(&script));
        Ok(Exit::Success)
    }
}
