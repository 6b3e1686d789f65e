//! `flux executions`: lists executions, or shows one.

use clap::Args;
use flux_model::{ExecutionStatus, Timestamp};

use super::page::note_more;
use super::{Ended, Remote, when};
use crate::client::answers::{Execution, Page};
use crate::client::{Query, encode, parse};
use crate::error::Exit;
use crate::output::moment::{duration, now, relative};
use crate::output::style::{self, paint};
use crate::output::table::{Cell, Table};
use crate::output::{Format, Out, readable};

/// What `--status` takes.
const STATUSES: [&str; 6] = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"];

/// List executions, or show one
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux executions --status failed,cancelled --since 1h\n  flux executions exec_01k2m3n4p5q6r7s8t9v0w1x2y3\n  flux executions --flow orders --json | jq -r '.items[].id'"
)]
pub(crate) struct Executions {
    /// Show this execution with its node runs
    execution: Option<String>,
    /// Only with this status, or one of several separated by commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = STATUSES)]
    status: Vec<String>,
    /// Only of this flow
    #[arg(long)]
    flow: Option<String>,
    /// Only accepted since: a time (2026-11-21T04:00:00Z) or how long ago (30m, 12h, 7d)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<Timestamp>,
    /// Only accepted before
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<Timestamp>,
    /// Only of this trace (request id)
    #[arg(long, value_name = "REQUEST ID")]
    trace: Option<String>,
    /// How many, at most 200
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Go on where an earlier list ended
    #[arg(long)]
    cursor: Option<String>,
}

impl Executions {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        match &self.execution {
            Some(id) => show(remote, id).await,
            None => self.list(remote).await,
        }
    }

    async fn list(self, remote: &mut Remote) -> Ended {
        let statuses = Some(self.status.join(",")).filter(|text| !text.is_empty());
        let query = Query::default()
            .with("status", statuses)
            .with("flow", self.flow)
            .with("since", self.since)
            .with("until", self.until)
            .with("trace", self.trace)
            .with("limit", Some(self.limit))
            .with("cursor", self.cursor);
        let answer = remote.client.get(&query.on("/executions")).await?;
        if remote.out.format() == Format::Json {
            remote.out.json(&answer);
            return Ok(Exit::Success);
        }
        let page: Page<Execution> = parse(answer)?;
        if page.items.is_empty() {
            remote.out.note("no executions");
            return Ok(Exit::Success);
        }
        let mut table = Table::new(&["EXECUTION", "FLOW", "STATUS", "ACCEPTED", "TOOK", ""]);
        page.items.iter().for_each(|execution| table.row(row(execution)));
        table.show(&mut remote.out);
        note_more(&mut remote.out, page.next_cursor.as_deref());
        Ok(Exit::Success)
    }
}

fn row(execution: &Execution) -> [Cell; 6] {
    let took = execution.ended_at.map_or_else(String::new, |end| lasted(execution.created_at.0, end.0));
    [
        execution.id.as_str().into(),
        execution.flow.as_str().into(),
        Cell::styled(style::of_status(execution.status), execution.status.as_str()),
        relative(execution.created_at.0, now()).into(),
        took.into(),
        remark(execution).into(),
    ]
}

/// Why it failed, or what it waits for.
fn remark(execution: &Execution) -> String {
    if let Some(error) = &execution.error {
        return error.message.clone();
    }
    if execution.status != ExecutionStatus::Waiting {
        return String::new();
    }
    execution.waits.iter().map(|wait| wait.describe()).collect::<Vec<_>>().join(", ")
}

fn lasted(from: Timestamp, to: Timestamp) -> String {
    duration(u64::try_from(to.since(from).as_micros()).unwrap_or(u64::MAX))
}

async fn show(remote: &mut Remote, id: &str) -> Ended {
    let answer = remote.client.get(&format!("/executions/{}", encode(id))).await?;
    if remote.out.format() == Format::Json {
        remote.out.json(&answer);
        return Ok(Exit::Success);
    }
    let execution: Execution = parse(answer)?;
    show_head(&execution, &mut remote.out);
    if !execution.nodes.is_empty() {
        remote.out.line("");
        show_nodes(&execution, &mut remote.out);
    }
    if let Some(output) = &execution.output {
        remote.out.line("");
        remote.out.line(readable(output));
    }
    Ok(Exit::Success)
}

fn show_head(execution: &Execution, out: &mut Out) {
    let label = |text: &str| paint(style::DIM, format!("{text:<11}"));
    let status = paint(style::of_status(execution.status), execution.status.as_str());
    out.line(format!("{} {} {status}", paint(style::STRONG, &execution.id), execution.flow));
    out.line(format!(
        "{}{} ({})",
        label("accepted"),
        execution.created_at.0,
        relative(execution.created_at.0, now())
    ));
    if let Some(end) = execution.ended_at {
        out.line(format!("{}{} after {}", label("ended"), end.0, lasted(execution.created_at.0, end.0)));
    }
    out.line(format!("{}{}", label("started by"), execution.trigger));
    out.line(format!("{}{}", label("trace"), execution.request_id));
    for wait in &execution.waits {
        out.line(format!("{}{}", label("waits for"), wait.describe()));
    }
    if let Some(error) = &execution.error {
        let place = error.node.as_ref().map_or_else(String::new, |node| format!("node {node}: "));
        out.line(format!(
            "{}{}{place}{}{} [{}]",
            label("error"),
            style::ERROR,
            error.message,
            style::RESET,
            error.code
        ));
    }
}

fn show_nodes(execution: &Execution, out: &mut Out) {
    let mut table = Table::new(&["NODE", "TYPE", "STATUS", "TOOK", "TRIES", ""]);
    for node in &execution.nodes {
        let took = match (node.started_at, node.ended_at) {
            (Some(start), Some(end)) => lasted(start.0, end.0),
            (_, _) => String::new(),
        };
        let attempts = if node.attempts > 1 { node.attempts.to_string() } else { String::new() };
        table.row([
            node.path.as_str().into(),
            node.node_type.as_str().into(),
            Cell::styled(node_style(&node.status), node.status.as_str()),
            took.into(),
            attempts.into(),
            node.error.as_ref().map_or_else(String::new, |error| error.message.clone()).into(),
        ]);
    }
    table.show(out);
}

fn node_style(status: &str) -> anstyle::Style {
    match status {
        "succeeded" => style::GOOD,
        "failed" => style::ERROR,
        "waiting" | "retrying" => style::WARNING,
        "running" => style::RUNNING,
        _ => style::DIM,
    }
}
