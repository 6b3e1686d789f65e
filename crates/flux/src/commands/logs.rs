//! `flux logs`: what nodes wrote and what went wrong, of one execution or of all as they go.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::{Ended, Remote};
use crate::client::answers::{Execution, LogLine, Page, When};
use crate::client::{Events, Query, encode, parse};
use crate::error::{CommandError, Exit};
use crate::output::style::{self, paint};
use crate::output::table::one_line;
use crate::output::{Format, Out};

/// Pause between two looks at the log of an execution that goes on.
const PAUSE: Duration = Duration::from_millis(300);
/// Lines that are asked for at once.
const PAGE: u16 = 200;
/// Where a log begins.
const FIRST: &str = "0";
/// The event that says that the server no longer has all that happened since.
const MISSED: &str = "reset";
/// Pause before a broken stream is followed again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Show the log of an execution, or follow what all executions do
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux logs --execution exec_01k2m3n4p5q6r7s8t9v0w1x2y3\n  flux logs -f\n  flux logs -f --json | jq -c 'select(.status == \"failed\")'"
)]
pub(crate) struct Logs {
    /// The execution; without it, the latest ones
    #[arg(long, short, value_name = "ID")]
    execution: Option<String>,
    /// Go on as more comes
    #[arg(long, short)]
    follow: bool,
    /// How many of the latest executions, without --execution
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
}

impl Logs {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        match (&self.execution, self.follow) {
            (Some(id), true) => follow_one(remote, id).await,
            (Some(id), false) => show_one(remote, id).await,
            (None, true) => follow_all(remote).await,
            (None, false) => show_latest(remote, self.limit).await,
        }
    }
}

/// A line of log as `--json` prints it: the server's, with the execution it is of.
fn with_execution(mut line: Value, id: &str) -> Value {
    if let Value::Object(members) = &mut line {
        members.insert("execution".to_owned(), id.into());
    }
    line
}

/// Shows all lines from `cursor` on, page by page; gives the cursor of what comes after them.
async fn show_lines(remote: &mut Remote, id: &str, mut cursor: String) -> Result<String, CommandError> {
    let path = format!("/executions/{}/logs", encode(id));
    loop {
        let query = Query::default().with("limit", Some(PAGE)).with("cursor", Some(&cursor));
        let page: Page<Value> = remote.client.get_as(&query.on(&path)).await?;
        for line in page.items {
            if let Some(seq) = line["seq"].as_u64() {
                cursor = (seq + 1).to_string();
            }
            show_line(&mut remote.out, id, line)?;
        }
        match page.next_cursor {
            Some(next) => cursor = next,
            None => return Ok(cursor),
        }
    }
}

async fn show_one(remote: &mut Remote, id: &str) -> Ended {
    show_lines(remote, id, FIRST.to_owned()).await?;
    Ok(Exit::Success)
}

async fn show_latest(remote: &mut Remote, limit: u16) -> Ended {
    let query = Query::default().with("limit", Some(limit));
    let page: Page<Execution> = remote.client.get_as(&query.on("/executions")).await?;
    for execution in page.items.iter().rev() {
        show_lines(remote, &execution.id, FIRST.to_owned()).await?;
    }
    Ok(Exit::Success)
}

/// Shows each line once, until the execution is over.
async fn follow_one(remote: &mut Remote, id: &str) -> Ended {
    let mut cursor = FIRST.to_owned();
    loop {
        // Asked before the lines are: what it writes last is not missed.
        let execution: Execution = remote.client.get_as(&format!("/executions/{}", encode(id))).await?;
        cursor = show_lines(remote, id, cursor).await?;
        if execution.status.is_terminal() {
            return Ok(Exit::Success);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn show_line(out: &mut Out, id: &str, line: Value) -> Result<(), CommandError> {
    if out.format() == Format::Json {
        out.line(with_execution(line, id).to_string());
        return Ok(());
    }
    let line: LogLine = parse(line)?;
    let level = paint(level_style(&line.level), format!("{:<5}", line.level));
    let node = line.node.map_or_else(String::new, |node| format!("{node}: "));
    let at = paint(style::DIM, line.at.0);
    out.line(format!("{at} {level} {} {node}{}", paint(style::DIM, id), one_line(&line.message)));
    Ok(())
}

fn level_style(level: &str) -> anstyle::Style {
    match level {
        "error" => style::ERROR,
        "warn" => style::WARNING,
        "debug" => style::DIM,
        _ => anstyle::Style::new(),
    }
}

/// Shows every change until the user ends it. A stream that ends is followed again from where it
/// ended: the server ends each after a while.
async fn follow_all(remote: &mut Remote) -> Ended {
    let mut events = remote.client.events("/events").await?;
    let mut last = None;
    remote.out.note("following; Ctrl-C ends it");
    loop {
        match events.next().await {
            Ok(Some(event)) => {
                last = event.id.or(last);
                show_event(&mut remote.out, &event.name, &event.data);
            }
            Ok(None) | Err(_) => events = follow_again(remote, last.as_ref()).await?,
        }
    }
}

async fn follow_again(remote: &Remote, last: Option<&String>) -> Result<Events, CommandError> {
    let path = Query::default().with("after", last).on("/events");
    loop {
        tokio::time::sleep(RECONNECT).await;
        match remote.client.events(&path).await {
            // The server is being restarted.
            Err(CommandError::Unreachable { .. }) => {}
            answered => return answered,
        }
    }
}

/// What an event says, whichever kind it is.
#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    at: Option<When>,
    #[serde(default)]
    execution: String,
    #[serde(default)]
    flow: String,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    review: Option<String>,
    /// Of an execution or a review.
    #[serde(default)]
    status: Option<String>,
    /// Of a node.
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

fn show_event(out: &mut Out, name: &str, data: &str) {
    if name == MISSED {
        out.note("some changes were missed");
        return;
    }
    let Ok(value) = serde_json::from_str::<Value>(data) else { return };
    if out.format() == Format::Json {
        out.line(value.to_string());
        return;
    }
    let Ok(change) = serde_json::from_value::<Change>(value) else { return };
    let subject = match (&change.node, &change.review) {
        (Some(node), _) => node.clone(),
        (None, Some(review)) => review.clone(),
        (None, None) => String::new(),
    };
    let status = change.status.or(change.state).unwrap_or_else(|| name.to_owned());
    let colour = match status.as_str() {
        "failed" => style::ERROR,
        "succeeded" | "approved" => style::GOOD,
        "waiting" | "retrying" | "pending" => style::WARNING,
        _ => style::DIM,
    };
    let at = change.at.map_or_else(String::new, |at| at.0.to_string());
    let (at, id) = (paint(style::DIM, at), paint(style::DIM, change.execution));
    let tail = change.message.map_or_else(String::new, |text| format!(" {}", one_line(&text)));
    let separator = if subject.is_empty() { "" } else { " " };
    out.line(format!("{at} {id} {}{separator}{subject} {}{tail}", change.flow, paint(colour, status)));
}
