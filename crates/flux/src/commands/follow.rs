//! Waiting for an execution to end, and showing how it did.

use std::time::Duration;

use serde_json::Value;

use super::{Ended, Remote};
use crate::client::answers::Execution;
use crate::client::{encode, parse};
use crate::error::{CommandError, Exit};
use crate::output::style::{self, paint};
use crate::output::{Format, Progress, readable};
use flux_model::ExecutionStatus;

/// Pause before the first look; each further one is longer.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Waits until the execution is over, and shows how it ended.
pub(crate) async fn to_the_end(remote: &mut Remote, id: &str) -> Ended {
    let answer = wait(remote, id).await?;
    finished(remote, answer)
}

/// Waits until the execution is over; gives the last answer about it.
async fn wait(remote: &mut Remote, id: &str) -> Result<Value, CommandError> {
    let progress = Progress::start(&remote.out, format!("{id} is starting"));
    let path = format!("/executions/{}", encode(id));
    let mut pause = PAUSE_FIRST;
    loop {
        let answer = remote.client.get(&path).await?;
        let execution: Execution = parse(answer.clone())?;
        if execution.status.is_terminal() {
            return Ok(answer);
        }
        progress.say(describe(&execution));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Where it stands, in one line.
fn describe(execution: &Execution) -> String {
    let waits: Vec<String> = execution.waits.iter().map(|wait| wait.describe()).collect();
    let status = execution.status.as_str();
    if waits.is_empty() {
        format!("{} is {status}", execution.id)
    } else {
        format!("{} is {status} for {}", execution.id, waits.join(", "))
    }
}

/// Shows how an execution ended: its output, or its error with the node.
pub(crate) fn finished(remote: &mut Remote, answer: Value) -> Ended {
    let execution: Execution = parse(answer.clone())?;
    let exit = if execution.status == ExecutionStatus::Succeeded { Exit::Success } else { Exit::Failed };
    if remote.out.format() == Format::Json {
        remote.out.json(&answer);
        return Ok(exit);
    }
    let status = paint(style::of_status(execution.status), execution.status.as_str());
    remote.out.note(format!("{} {status}", execution.id));
    if let Some(output) = execution.output.filter(|_| exit == Exit::Success) {
        remote.out.line(readable(&output));
    }
    if let Some(error) = execution.error {
        let place = error.node.map_or_else(String::new, |node| format!("node {node}: "));
        let attempts = match error.attempt {
            Some(attempt) if attempt > 1 => format!(" (attempt {attempt})"),
            Some(_) | None => String::new(),
        };
        let (red, reset) = (style::ERROR, style::RESET);
        remote.out.note(format!("{red}error[{}]{reset}: {place}{}{attempts}", error.code, error.message));
        remote.out.note(format!("{}hint{reset}: flux trace {}", style::HINT, execution.id));
    }
    Ok(exit)
}
