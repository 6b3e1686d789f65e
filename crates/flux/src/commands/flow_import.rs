//! `flux flow import`: takes over flows that `flux flow export` wrote on another server.
//!
//! All or nothing as far as checks go: the server is asked about every flow before the first is
//! saved.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use flux_model::{Diagnostic, ErrorCode, Flow};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ended, Remote};
use crate::client::parse;
use crate::error::{CommandError, Exit};
use crate::output::style::{self, paint};
use crate::output::{Format, Out, Progress, diagnostics};
use crate::project::bundle::{self, BUNDLE_BYTES_MAX, Source};
use crate::project::check::can_run;
use crate::project::publish::{publish, save};
use crate::project::{FileForm, FlowFile};

/// What stands for standard input.
const STDIN: &str = "-";

/// Take over flows from another server: check all, then save and make active
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux flow import orders.json\n  flux flow import flows.json --draft\n  flux flow export --all --server https://old.example.com | flux flow import - --server https://new.example.com\n\nIf one flow cannot run, none is imported. A flow that exists already gets a new version."
)]
pub(super) struct Import {
    /// Flow files or bundles that `flux flow export` wrote; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Save as drafts; what is active stays active
    #[arg(long)]
    draft: bool,
}

/// A flow on its way, and what became of it.
struct Item {
    /// Where it was read, for people.
    file: String,
    /// Its name, where it is a flow.
    name: Option<String>,
    state: State,
    /// What its author should know.
    findings: Vec<Diagnostic>,
}

/// What became of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// This version is active.
    Active(u64),
    /// It is saved as draft.
    Draft,
    /// It cannot run.
    Refused,
    /// Nothing: another one was refused.
    Untouched,
}

#[derive(Deserialize)]
struct Validation {
    diagnostics: Vec<Diagnostic>,
}

impl Import {
    pub(super) async fn run(self, remote: &mut Remote) -> Ended {
        let files = bundle::read(self.sources()?);
        let progress = Progress::start(&remote.out, "checking");
        let (flows, mut items) = check(remote, files).await?;
        if items.iter().all(|item| item.state != State::Refused) {
            for (flow, item) in flows.iter().zip(&mut items) {
                progress.say(format!("importing {}", flow.name));
                import(remote, flow, self.draft, item).await?;
            }
        }
        drop(progress);
        show(&items, &mut remote.out);
        let refused = items.iter().any(|item| item.state == State::Refused);
        Ok(if refused { Exit::Failed } else { Exit::Success })
    }

    fn sources(&self) -> Result<Vec<Source>, CommandError> {
        self.files.iter().map(source).collect()
    }
}

/// Reads a file, or standard input, no further than anybody may go.
fn source(path: &PathBuf) -> Result<Source, CommandError> {
    let unreadable = |shown: &str, error: std::io::Error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let code = if missing { ErrorCode::NotFound } else { ErrorCode::RequestInvalid };
        CommandError::local(code, format!("{shown} cannot be read: {error}"))
    };
    let mut bytes = Vec::new();
    let limit = BUNDLE_BYTES_MAX as u64 + 1;
    if path.as_os_str() == STDIN {
        let shown = "standard input".to_owned();
        let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&shown, error))?;
        return Ok(Source { shown, bytes, form: None });
    }
    let shown = path.display().to_string();
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(&shown, error))?;
    Ok(Source { shown, bytes, form: FileForm::of(path) })
}

/// Asks the server about every flow. The flows are those that are not refused, in the order of
/// their items, if none is.
async fn check(remote: &Remote, files: Vec<FlowFile>) -> Result<(Vec<Flow>, Vec<Item>), CommandError> {
    let (mut flows, mut items) = (Vec::new(), Vec::new());
    for FlowFile { shown: file, flow } in files {
        let (name, findings) = match flow {
            Ok(flow) => {
                let definition = serde_json::to_value(&flow).unwrap_or(Value::Null);
                let checked: Validation = parse(remote.client.post("/flows/validate", &definition).await?)?;
                let name = flow.name.clone();
                flows.push(flow);
                (Some(name), checked.diagnostics)
            }
            Err(findings) => (None, findings),
        };
        let state = if can_run(&findings) { State::Untouched } else { State::Refused };
        items.push(Item { file, name, state, findings });
    }
    Ok((flows, items))
}

async fn import(remote: &Remote, flow: &Flow, draft: bool, item: &mut Item) -> Result<(), CommandError> {
    let imported = if draft {
        save(&remote.client, flow).await.map(|_| State::Draft)
    } else {
        publish(&remote.client, flow).await.map(|published| State::Active(published.version))
    };
    match imported {
        Ok(state) => item.state = state,
        // Two flows of one bundle may be in each other's way: that shows only now.
        Err(CommandError::Server(problem)) if !problem.diagnostics.is_empty() => {
            (item.state, item.findings) = (State::Refused, problem.diagnostics);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn show(items: &[Item], out: &mut Out) {
    if out.format() == Format::Json {
        let items: Vec<Value> = items.iter().map(Item::to_json).collect();
        return out.json(&json!({"items": items}));
    }
    items.iter().for_each(|item| item.show(out));
    let is = |state: State| items.iter().any(|item| item.state == state);
    if items.is_empty() {
        out.note("no flows in it");
    } else if is(State::Refused) && is(State::Untouched) {
        out.note("nothing was imported; what is refused has to be mended or left out first");
    }
}

impl Item {
    fn to_json(&self) -> Value {
        let (state, version) = match self.state {
            State::Active(version) => ("active", Some(version)),
            State::Draft => ("draft", None),
            State::Refused => ("refused", None),
            State::Untouched => ("untouched", None),
        };
        json!({
            "file": self.file,
            "flow": self.name,
            "state": state,
            "version": version,
            "diagnostics": self.findings,
        })
    }

    fn show(&self, out: &mut Out) {
        let (good, bad) = (paint(style::GOOD, "✓"), paint(style::ERROR, "✗"));
        let name = self.name.as_deref().unwrap_or(&self.file);
        match self.state {
            State::Active(version) => out.line(format!("{good} {name} version {version} is active")),
            State::Draft => out.line(format!("{good} {name} is saved as draft")),
            State::Refused => out.line(format!("{bad} {} was not imported", self.file)),
            State::Untouched => return,
        }
        diagnostics::lines(None, &self.findings).into_iter().for_each(|line| out.line(line));
    }
}
