//! The command line: which commands there are and which options all of them share.
//!
//! What a command does is in its own file under `commands`.

use clap::{Args, Parser, Subcommand};

use crate::client::TargetOptions;
use crate::commands::{
    cancel, completions, dev, doctor, executions, flow, init, keys, logs, openapi, rerun, review, run,
    secrets, serve, signal, trace, version,
};
use crate::output::Format;

/// Durable flows from webhook to answer, in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "flux",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Start here:\n  flux init hello && cd hello && flux dev\n\nExit codes: 0 success, 1 the thing asked about failed, 2 usage, 3 not found, 4 not allowed, 5 server unreachable."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Print JSON for scripts instead of text for people
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    pub(crate) target: TargetOptions,
}

impl Global {
    /// In which form results are printed.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    Dev(dev::Dev),
    Serve(serve::Serve),
    Run(run::Run),
    Executions(executions::Executions),
    Trace(trace::Trace),
    Logs(logs::Logs),
    Cancel(cancel::Cancel),
    Signal(signal::Signal),
    Rerun(rerun::Rerun),
    Flow(flow::Flow),
    Review(review::Review),
    Secrets(secrets::Secrets),
    Keys(keys::Keys),
    Doctor(doctor::Doctor),
    Openapi(openapi::Openapi),
    Version(version::Version),
    Completions(completions::Completions),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_has_an_option_of_all_commands() {
        fn check(command: &clap::Command, global: &[&str]) {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                assert!(!global.contains(&id), "`{}` has its own --{id}", command.get_name());
            }
            command.get_subcommands().for_each(|command| check(command, global));
        }
        let cli = Cli::command();
        let global: Vec<&str> = cli.get_arguments().map(|argument| argument.get_id().as_str()).collect();
        assert!(global.contains(&"server"), "{global:?}");
        cli.get_subcommands().for_each(|command| check(command, &global));
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "`{} --help` has no example", command.get_name());
            command.get_subcommands().for_each(check);
        }
        Cli::command().get_subcommands().for_each(check);
    }
}
