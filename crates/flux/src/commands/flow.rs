//! `flux flow`: flow files and published flows.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use flux_model::{Diagnostic, Flow as FlowFileContent};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::{PageOptions, note_more};
use super::{Ended, Remote, flow_diff, flow_export, flow_import, remote};
use crate::cli::Global;
use crate::client::answers::{Page, When};
use crate::client::parse;
use crate::error::{CommandError, Exit};
use crate::output::moment::{now, relative};
use crate::output::style::{self, paint};
use crate::output::table::{Cell, Table};
use crate::output::{Format, Out, diagnostics};
use crate::project::check::{Checker, can_run};
use crate::project::publish::publish;
use crate::project::{self, FlowFile, read_flows};

/// Check, publish, compare, export and import flows
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux flow validate && flux flow publish")]
pub(crate) struct Flow {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Validate(Validate),
    Publish(Publish),
    List(List),
    Diff(flow_diff::Diff),
    Export(flow_export::Export),
    Import(flow_import::Import),
}

/// Say everything that is wrong with flow files; needs no server
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flux flow validate\n  flux flow validate flows/orders.json --json")]
struct Validate {
    /// The files [default: all in flows/ of this project]
    files: Vec<PathBuf>,
}

/// Publish flow files: check, save, make active
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux flow publish\n  flux flow publish flows/orders.json --server https://flux.example.com"
)]
struct Publish {
    /// The files [default: all in flows/ of this project]
    files: Vec<PathBuf>,
}

/// List the flows of the server
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux flow list")]
struct List {
    #[command(flatten)]
    page: PageOptions,
}

impl Flow {
    pub(crate) fn run(self, global: &Global, out: Out) -> Ended {
        match self.action {
            Action::Validate(validate) => validate.run(out),
            Action::Publish(publish) => {
                remote(global, out, async |mut remote| publish.run(&mut remote).await)
            }
            Action::List(list) => remote(global, out, async |mut remote| list.run(&mut remote).await),
            Action::Diff(diff) => remote(global, out, async |mut remote| diff.run(&mut remote).await),
            Action::Export(export) => remote(global, out, async |mut remote| export.run(&mut remote).await),
            Action::Import(import) => remote(global, out, async |mut remote| import.run(&mut remote).await),
        }
    }
}

/// The files that are named, else those of the project.
fn read_files(files: Vec<PathBuf>) -> Result<Vec<FlowFile>, CommandError> {
    if let Some(missing) = files.iter().find(|file| !file.is_file()) {
        let message = format!("there is no file {}", missing.display());
        return Err(CommandError::local(flux_model::ErrorCode::NotFound, message));
    }
    if !files.is_empty() {
        let here = std::env::current_dir().unwrap_or_default();
        return Ok(read_flows(&here, &files));
    }
    let project = project::current()?;
    Ok(read_flows(&project.root, &project.flow_files()?))
}

impl Validate {
    fn run(self, mut out: Out) -> Ended {
        let checker = Checker::new();
        let now = now();
        let checked: Vec<(String, Option<String>, Vec<Diagnostic>)> = read_files(self.files)?
            .into_iter()
            .map(|file| match file.flow {
                Ok(flow) => (file.shown, Some(flow.name.clone()), checker.check(&flow, now)),
                Err(findings) => (file.shown, None, findings),
            })
            .collect();
        let valid = checked.iter().all(|(_, _, findings)| can_run(findings));
        match out.format() {
            Format::Json => out.json(&validation(&checked, valid)),
            Format::Text => {
                for (file, _, findings) in &checked {
                    show_file(file, findings, &mut out);
                }
                if checked.is_empty() {
                    out.note("no flow files");
                }
            }
        }
        Ok(if valid { Exit::Success } else { Exit::Failed })
    }
}

fn validation(checked: &[(String, Option<String>, Vec<Diagnostic>)], valid: bool) -> Value {
    let files: Vec<Value> = checked
        .iter()
        .map(|(file, flow, findings)| {
            json!({"file": file, "flow": flow, "valid": can_run(findings), "diagnostics": findings})
        })
        .collect();
    json!({"valid": valid, "files": files})
}

fn show_file(file: &str, findings: &[Diagnostic], out: &mut Out) {
    let mark = if can_run(findings) { paint(style::GOOD, "✓") } else { paint(style::ERROR, "✗") };
    out.line(format!("{mark} {file}"));
    diagnostics::lines(None, findings).into_iter().for_each(|line| out.line(line));
}

impl Publish {
    /// Publishes what can be published; one flow that cannot does not keep the others back.
    async fn run(self, remote: &mut Remote) -> Ended {
        let mut results = Vec::new();
        let mut exit = Exit::Success;
        for file in read_files(self.files)? {
            let outcome = match file.flow {
                Ok(flow) => publish_one(remote, &flow).await?,
                Err(findings) => Err(findings),
            };
            if outcome.is_err() {
                exit = Exit::Failed;
            }
            results.push((file.shown, outcome));
        }
        match remote.out.format() {
            Format::Json => {
                let items: Vec<Value> =
                    results.iter().map(|(file, outcome)| published(file, outcome)).collect();
                remote.out.json(&json!({"items": items}));
            }
            Format::Text => {
                results.iter().for_each(|(file, outcome)| show_published(file, outcome, &mut remote.out))
            }
        }
        Ok(exit)
    }
}

/// A flow that is active: its name, its version, and what its author should know.
type Active = (String, u64, Vec<Diagnostic>);

async fn publish_one(
    remote: &Remote,
    flow: &FlowFileContent,
) -> Result<Result<Active, Vec<Diagnostic>>, CommandError> {
    match publish(&remote.client, flow).await {
        Ok(published) => Ok(Ok((flow.name.clone(), published.version, published.diagnostics))),
        Err(CommandError::Server(problem)) if !problem.diagnostics.is_empty() => Ok(Err(problem.diagnostics)),
        Err(error) => Err(error),
    }
}

fn published(file: &str, outcome: &Result<Active, Vec<Diagnostic>>) -> Value {
    match outcome {
        Ok((flow, version, findings)) => {
            json!({"file": file, "flow": flow, "published": true, "version": version, "diagnostics": findings})
        }
        Err(findings) => json!({"file": file, "published": false, "diagnostics": findings}),
    }
}

fn show_published(file: &str, outcome: &Result<Active, Vec<Diagnostic>>, out: &mut Out) {
    match outcome {
        Ok((flow, version, findings)) => {
            out.line(format!("{} {flow} version {version} is active", paint(style::GOOD, "✓")));
            diagnostics::lines(Some(file), findings).into_iter().for_each(|line| out.line(line));
        }
        Err(findings) => {
            out.line(format!("{} {file} was not published", paint(style::ERROR, "✗")));
            diagnostics::lines(None, findings).into_iter().for_each(|line| out.line(line));
        }
    }
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    state: String,
    #[serde(default)]
    trigger: Option<String>,
    #[serde(default)]
    has_changes: bool,
    updated_at: When,
}

impl List {
    async fn run(self, remote: &mut Remote) -> Ended {
        let answer = remote.client.get(&self.page.query().on("/flows")).await?;
        if remote.out.format() == Format::Json {
            remote.out.json(&answer);
            return Ok(Exit::Success);
        }
        let page: Page<Listed> = parse(answer)?;
        if page.items.is_empty() {
            remote.out.note("no flows");
            return Ok(Exit::Success);
        }
        let mut table = Table::new(&["FLOW", "STATE", "TRIGGER", "CHANGED", ""]);
        for flow in page.items {
            let state = if flow.state == "active" { style::GOOD } else { style::DIM };
            let draft = if flow.has_changes && flow.state != "draft" { "draft differs" } else { "" };
            table.row([
                flow.name.into(),
                Cell::styled(state, flow.state),
                flow.trigger.unwrap_or_default().into(),
                relative(flow.updated_at.0, now()).into(),
                draft.into(),
            ]);
        }
        table.show(&mut remote.out);
        note_more(&mut remote.out, page.next_cursor.as_deref());
        Ok(Exit::Success)
    }
}
