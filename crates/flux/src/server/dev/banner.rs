//! What `flux dev` says: where it is reached, what it published, what to try.

use std::path::Path;

use flux_model::{Flow, Severity};

use super::{DevSetup, plain};
use crate::client::DevServer;
use crate::output::style::{self, paint};
use crate::output::{Out, diagnostics};
use crate::project::PROJECT_FILE;
use crate::project::publish::{Change, ChangeOutcome};

/// Where webhooks are reached on the gateway.
const HOOKS: &str = "/hooks";
/// Where forms are reached on the gateway.
const FORMS: &str = "/forms";

/// The first screen.
pub(super) fn show(dev: &DevSetup, running: &DevServer, changes: &[Change], out: &mut Out) {
    let label = |text: &str| paint(style::DIM, format!("{text:<9}"));
    out.line("");
    out.line(format!("  {} {}", paint(style::STRONG, "Flux"), dev.config.access.project));
    out.line("");
    out.line(format!("  {}{}", label("Gateway"), plain(&running.gateway)));
    out.line(format!("  {}{}", label("Console"), plain(&running.console)));
    out.line(format!("  {}{}", label("Key"), running.key));
    out.line(format!("  {}{}", label("Data"), dev.config.storage.data.display()));
    out.line("");
    for change in changes {
        show_change(change, running, out);
    }
    if changes.is_empty() {
        out.line("  No flows yet: put one into flows/, it is published when you save it.");
    }
    out.line("");
    out.line(
        "  Flows may call loopback addresses here. Other private addresses need `egress.allow` in flux.json.",
    );
    out.line("");
    out.line("  Try, in another terminal in this folder:");
    for command in commands_to_try(&dev.project.root, running, changes) {
        out.line(format!("    {command}"));
    }
    out.line("");
    out.line(paint(style::DIM, "  Watching flows/. Ctrl-C stops."));
    out.line("");
}

/// One line per flow, and what is wrong with it.
pub(super) fn show_change(change: &Change, running: &DevServer, out: &mut Out) {
    let file = &change.file;
    match &change.outcome {
        ChangeOutcome::Active { flow, version, warnings } => {
            let version = version.map_or_else(String::new, |number| format!(" version {number}"));
            let entry = entry_of(flow, running);
            out.line(format!(
                "  {} {}{version}  {}",
                paint(style::GOOD, "✓"),
                flow.name,
                paint(style::DIM, entry)
            ));
            diagnostics::lines(Some(file), warnings).into_iter().for_each(|line| out.line(line));
        }
        ChangeOutcome::Refused(findings) => {
            out.line(format!("  {} {file} was not published", paint(style::ERROR, "✗")));
            diagnostics::lines(Some(file), findings).into_iter().for_each(|line| out.line(line));
        }
        ChangeOutcome::SwitchedOff => {
            out.line(format!("  {} {file} is switched off: its file is gone", paint(style::WARNING, "–")))
        }
        ChangeOutcome::Failed(error) => {
            out.line(format!("  {} {file} was not published", paint(style::ERROR, "✗")));
            error.show(out);
        }
    }
}

/// The same for machines.
pub(super) fn log_change(change: &Change) {
    let file = &change.file;
    match &change.outcome {
        ChangeOutcome::Active { flow, version, warnings } => {
            tracing::info!(file, flow = flow.name, version, "flow is active");
            warnings.iter().for_each(|finding| log_finding(file, finding));
        }
        ChangeOutcome::Refused(findings) => findings.iter().for_each(|finding| log_finding(file, finding)),
        ChangeOutcome::SwitchedOff => tracing::info!(flow = file, "flow is switched off: its file is gone"),
        ChangeOutcome::Failed(error) => tracing::error!(file, ?error, "flow was not published"),
    }
}

fn log_finding(file: &str, finding: &flux_model::Diagnostic) {
    let code = finding.code.as_str();
    let (node, field) = (finding.node.as_deref(), finding.field.as_deref());
    let suggestion = finding.suggestion.as_deref();
    match finding.severity {
        Severity::Error => tracing::error!(file, code, node, field, suggestion, "{}", finding.message),
        Severity::Warning => tracing::warn!(file, code, node, field, suggestion, "{}", finding.message),
    }
}

/// How a flow is started: the address of its webhook or form, or the kind of its trigger.
fn entry_of(flow: &Flow, running: &DevServer) -> String {
    let Some(trigger) = flow.nodes.iter().find(|node| node.node_type.starts_with("trigger.")) else {
        return String::new();
    };
    let path = trigger.config.get("path").and_then(|path| path.as_str()).unwrap_or_default();
    match trigger.node_type.as_str() {
        "trigger.webhook" => format!("{}{HOOKS}/{path}", plain(&running.gateway)),
        "trigger.form" => format!("{}{FORMS}/{path}", plain(&running.gateway)),
        "trigger.schedule" => "on schedule".to_owned(),
        "trigger.manual" => format!("flux run {}", flow.name),
        other => other.to_owned(),
    }
}

/// Three commands that show what the project does.
fn commands_to_try(root: &Path, running: &DevServer, changes: &[Change]) -> Vec<String> {
    let active = changes.iter().find_map(|change| match &change.outcome {
        ChangeOutcome::Active { flow, .. } => Some(flow),
        ChangeOutcome::Refused(_) | ChangeOutcome::SwitchedOff | ChangeOutcome::Failed(_) => None,
    });
    let sample = sample(root).map_or_else(|| "'{}'".to_owned(), |file| format!("@{file}"));
    let start = active.map(|flow| {
        let entry = entry_of(flow, running);
        let webhook = flow.nodes.iter().any(|node| node.node_type == "trigger.webhook");
        if webhook {
            format!("curl {entry} --json {sample}")
        } else {
            format!("flux run {} --input {sample} --wait", flow.name)
        }
    });
    let first = start.unwrap_or_else(|| "flux flow validate".to_owned());
    vec![first, "flux executions".to_owned(), "flux trace <execution id>".to_owned()]
}

/// The smallest sample input in the project's folder.
fn sample(root: &Path) -> Option<String> {
    let entries = std::fs::read_dir(root).ok()?.flatten();
    let samples = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let size = entry.metadata().ok()?.len();
        (name.ends_with(".json") && name != PROJECT_FILE && name != "package.json").then_some((size, name))
    });
    samples.min().map(|(_, name)| name)
}
