//! What makes a command impossible whatever the store holds: sizes and contradictions. Every
//! backend asks this first, so that no limit is written twice.

use flux_model::flow::Overflow;

use crate::command::{
    Accept, BLOB_BYTES_MAX, Command, SUMMARY_BYTES_MAX, StatusChange, Step, TEXT_BYTES_MAX,
};
use crate::flows::SaveDraft;
use crate::outcome::Refusal;

/// Looks for contradictions and for parts that are too large.
///
/// # Errors
/// The first one found.
pub fn validate(command: &Command) -> Result<(), Refusal> {
    match command {
        Command::Accept(accept) => validate_accept(accept),
        Command::Append(append) => validate_step(&append.step),
        Command::SaveDraft(draft) => validate_draft(draft),
        Command::PublishFlow(publish) => {
            text("author", &publish.author)?;
            validate_draft(&publish.draft)
        }
        Command::PutSecret(secret) => {
            text("secret name", &secret.name)?;
            secret.hosts.iter().try_for_each(|host| text("secret host", host))?;
            blob("sealed secret", secret.sealed.len())
        }
        Command::PutDataKey(key) => blob("wrapped data key", key.wrapped.len()),
        Command::PutKey(key) => {
            text("key name", &key.name)?;
            key.scopes.iter().try_for_each(|scope| text("key scope", scope))
        }
        Command::PutTriggerState(put) => {
            text("flow name", &put.flow)?;
            text("node key", &put.node)?;
            blob("trigger state", put.state.len())
        }
        Command::EnsureProject(project) => text("project name", &project.name),
        Command::Release(_)
        | Command::Promote(_)
        | Command::Retain(_)
        | Command::RestoreFlow(_)
        | Command::SetFlowState(_)
        | Command::DeleteFlow { .. }
        | Command::DeleteSecret { .. }
        | Command::RevokeKey { .. }
        | Command::TouchKey { .. } => Ok(()),
    }
}

fn validate_accept(accept: &Accept) -> Result<(), Refusal> {
    let execution = &accept.execution;
    text("flow name", &execution.flow)?;
    text("version", &execution.version)?;
    text("trigger", &execution.trigger)?;
    text("request id", &execution.request_id)?;
    summary("input summary", &execution.input)?;
    execution.parent.iter().try_for_each(|parent| summary("parent path", parent.path.as_str()))?;
    accept.idempotency_key.iter().try_for_each(|key| text("idempotency key", key))?;
    accept.debounce.iter().try_for_each(|rule| text("debounce key", &rule.key))?;
    accept.rate.iter().try_for_each(|rule| text("rate key", &rule.key))?;
    accept.concurrency.iter().try_for_each(|rule| text("concurrency key", &rule.key))?;
    accept.held.iter().try_for_each(|held| blob("held input", held.bytes.len()))?;
    accept.first.iter().try_for_each(validate_step)?;
    let queues = accept.concurrency.as_ref().is_some_and(|rule| rule.overflow == Overflow::Queue);
    let may_wait = queues || accept.debounce.is_some() || accept.first.is_none();
    if may_wait && accept.held.is_none() {
        return Err(Refusal::NothingHeld);
    }
    Ok(())
}

fn validate_step(step: &Step) -> Result<(), Refusal> {
    if step.entries == 0 || step.record.is_empty() {
        return Err(Refusal::EmptyStep);
    }
    blob("journal record", step.record.len())?;
    match &step.change {
        Some(StatusChange::Waiting { waits }) if waits.is_empty() => Err(Refusal::NoWaits),
        Some(StatusChange::Succeeded { output: Some(output), .. }) => summary("output summary", output),
        Some(StatusChange::Failed { error, .. }) => summary("error message", &error.message),
        Some(StatusChange::Cancelled { reason, .. }) => summary("reason", reason),
        Some(
            StatusChange::Running
            | StatusChange::Waiting { .. }
            | StatusChange::Succeeded { output: None, .. },
        )
        | None => Ok(()),
    }
}

fn validate_draft(draft: &SaveDraft) -> Result<(), Refusal> {
    text("flow name", &draft.name)?;
    text("hash", &draft.hash)?;
    blob("flow definition", draft.definition.len())
}

fn text(what: &'static str, text: &str) -> Result<(), Refusal> {
    bound(what, text.len(), "TEXT_BYTES_MAX", TEXT_BYTES_MAX)
}

fn summary(what: &'static str, text: &str) -> Result<(), Refusal> {
    bound(what, text.len(), "SUMMARY_BYTES_MAX", SUMMARY_BYTES_MAX)
}

fn blob(what: &'static str, bytes: usize) -> Result<(), Refusal> {
    bound(what, bytes, "BLOB_BYTES_MAX", BLOB_BYTES_MAX)
}

fn bound(what: &'static str, bytes: usize, limit: &'static str, max: usize) -> Result<(), Refusal> {
    if bytes > max { Err(Refusal::TooLarge { what, bytes, limit, max }) } else { Ok(()) }
}
