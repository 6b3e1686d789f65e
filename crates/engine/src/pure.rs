//! Events that come to an end without waiting: what an event makes computable is computed at once.

use std::collections::VecDeque;

use flux_core::session::Session;
use flux_model::effect::TaskCall;
use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::limits::VALUE_BYTES_MAX;
use flux_model::{ErrorCode, Event, Timestamp, Value};
use flux_nodes::Registry;

/// Pure work on more than this many bytes is done on a blocking thread.
const HEAVY_BYTES: usize = 256 * 1024;

/// What an event came to.
pub(crate) struct Settled {
    /// Whether it changed anything.
    pub(crate) changed: bool,
    /// Pure tasks that are too heavy to be computed here.
    pub(crate) heavy: Vec<TaskCall>,
}

/// Applies an event and computes the pure tasks that become ready, until none is left.
pub(crate) fn settle(session: &mut Session, registry: &Registry, now: Timestamp, event: Event) -> Settled {
    let first = session.apply(now, event);
    let mut settled = Settled { changed: first.changed, heavy: Vec::new() };
    let mut ready = VecDeque::from(first.run_now);
    while let Some(call) = ready.pop_front() {
        if call.config.weight(HEAVY_BYTES) > HEAVY_BYTES {
            settled.heavy.push(call);
        } else {
            let completed = compute(registry, call);
            ready.extend(session.apply(now, completed).run_now);
        }
    }
    settled
}

/// Computes a pure task.
pub(crate) fn compute(registry: &Registry, call: TaskCall) -> Event {
    let result = registry.run_pure(&call).unwrap_or_else(|| {
        let message = format!("nothing here computes a node of type `{}`", call.node_type);
        Err(Failure::permanent(ErrorCode::UnknownNodeType, message))
    });
    Event::Completed { path: call.path, attempt: call.attempt, result: result.and_then(bounded) }
}

/// The output, unless it is larger than a value may be.
pub(crate) fn bounded(output: TaskOutput) -> Result<TaskOutput, Failure> {
    match too_large("the output", &output.value) {
        Some(message) => Err(Failure::permanent(ErrorCode::ExecutionLimit, message)),
        None => Ok(output),
    }
}

/// What is wrong with a value that is larger than allowed.
pub(crate) fn too_large(what: &str, value: &Value) -> Option<String> {
    let bytes = value.weight(VALUE_BYTES_MAX);
    (bytes > VALUE_BYTES_MAX).then(|| {
        format!("{what} has more than {bytes} bytes, at most {VALUE_BYTES_MAX} are allowed (VALUE_BYTES_MAX)")
    })
}
