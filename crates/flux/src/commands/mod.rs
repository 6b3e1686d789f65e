//! The commands, one file each, and what they share: how they are started and how they end.

pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod executions;
pub(crate) mod flow;
mod flow_diff;
mod flow_export;
mod flow_import;
pub(crate) mod follow;
pub(crate) mod init;
mod input;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod openapi;
mod page;
pub(crate) mod rerun;
pub(crate) mod review;
pub(crate) mod run;
pub(crate) mod secrets;
pub(crate) mod serve;
pub(crate) mod signal;
pub(crate) mod trace;
pub(crate) mod version;
mod when;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Cli, Command, Global};
use crate::client::{Client, Target};
use crate::error::{CommandError, Exit};
use crate::output::Out;

/// What a command ends with.
pub(crate) type Ended = Result<Exit, CommandError>;

/// A command's connection to the server and to its user.
pub(crate) struct Remote {
    pub(crate) client: Client,
    pub(crate) out: Out,
}

/// Runs the command and shows why it failed, if it did.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let mut out = Out::new(cli.global.format());
    let ended = dispatch(cli, out);
    let exit = ended.unwrap_or_else(|error| {
        error.show(&mut out);
        error.exit()
    });
    exit.into()
}

fn dispatch(cli: Cli, out: Out) -> Ended {
    let global = cli.global;
    match cli.command {
        Command::Init(init) => init.run(out),
        Command::Dev(dev) => dev.run(out),
        Command::Serve(serve) => serve.run(out),
        Command::Doctor(doctor) => doctor.run(out),
        Command::Openapi(openapi) => openapi.run(out),
        Command::Version(version) => version.run(out),
        Command::Completions(completions) => completions.run(out),
        Command::Flow(flow) => flow.run(&global, out),
        Command::Run(run) => remote(&global, out, async |mut remote| run.run(&mut remote).await),
        Command::Executions(list) => remote(&global, out, async |mut remote| list.run(&mut remote).await),
        Command::Trace(trace) => remote(&global, out, async |mut remote| trace.run(&mut remote).await),
        Command::Logs(logs) => remote(&global, out, async |mut remote| logs.run(&mut remote).await),
        Command::Cancel(cancel) => remote(&global, out, async |mut remote| cancel.run(&mut remote).await),
        Command::Signal(signal) => remote(&global, out, async |mut remote| signal.run(&mut remote).await),
        Command::Rerun(rerun) => remote(&global, out, async |mut remote| rerun.run(&mut remote).await),
        Command::Review(review) => remote(&global, out, async |mut remote| review.run(&mut remote).await),
        Command::Secrets(secrets) => remote(&global, out, async |mut remote| secrets.run(&mut remote).await),
        Command::Keys(keys) => remote(&global, out, async |mut remote| keys.run(&mut remote).await),
    }
}

/// Runs a command that talks to a server: on one thread, since it only waits.
pub(crate) fn remote<F>(global: &Global, out: Out, command: impl FnOnce(Remote) -> F) -> Ended
where
    F: Future<Output = Ended>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the async runtime cannot be started")?;
    let client = Client::new(Target::find(&global.target)?)?;
    runtime.block_on(command(Remote { client, out }))
}
