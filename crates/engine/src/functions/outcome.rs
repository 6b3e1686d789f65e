//! What a function gave, or why it gave nothing, in the words of the journal.

use flux_functions::{FunctionError, Intent, Output, Thrown};
use flux_model::error::{ErrorAnswer, Failure};
use flux_model::limits::VALUE_BYTES_MAX;
use flux_model::{ErrorCode, Value};
use flux_nodes::{FunctionOutput, Recorder, ResponseHead};
use futures::StreamExt;

/// The output of a function, read to its end.
pub(super) async fn output(name: &str, output: Output) -> Result<FunctionOutput, Failure> {
    match output {
        Output::Json(bytes) => {
            let value = Value::from_json(&bytes).map_err(|error| unusable(name, &error.to_string()))?;
            Ok(FunctionOutput { value, response: None })
        }
        Output::Response { status, headers, mut body } => {
            let mut bytes = Vec::new();
            while let Some(piece) = body.next().await {
                bytes.extend_from_slice(&piece.map_err(|error| failure(error, &Recorder::default()))?);
                if bytes.len() > VALUE_BYTES_MAX {
                    let reason = format!("its body has more than {VALUE_BYTES_MAX} bytes (VALUE_BYTES_MAX)");
                    return Err(unusable(name, &reason));
                }
            }
            let text = String::from_utf8(bytes).map_err(|_| {
                unusable(name, "the body of its Response is not text; store it and return a link")
            })?;
            Ok(FunctionOutput { value: Value::from(text), response: Some(ResponseHead { status, headers }) })
        }
    }
}

fn unusable(name: &str, reason: &str) -> Failure {
    Failure::permanent(ErrorCode::FunctionOutput, format!("the output of `{name}` cannot be used: {reason}"))
}

/// Why a function failed. What it threw carries the call that failed last, if it is that call's error.
pub(super) fn failure(error: FunctionError, record: &Recorder) -> Failure {
    let message = error.to_string();
    let permanent = |code| Failure::permanent(code, message.clone());
    let retryable = |code| Failure::retryable(code, message.clone());
    match error {
        FunctionError::Thrown(thrown) => of_thrown(*thrown, record),
        FunctionError::NotDeployed | FunctionError::NotFound { .. } => permanent(ErrorCode::FunctionNotFound),
        FunctionError::Input(_) => permanent(ErrorCode::InputInvalid),
        FunctionError::Timeout { .. } | FunctionError::NeverResolved { .. } => {
            retryable(ErrorCode::FunctionTimeout)
        }
        FunctionError::Cpu { .. } | FunctionError::Memory { .. } => permanent(ErrorCode::FunctionLimit),
        FunctionError::Overloaded { .. } => retryable(ErrorCode::FunctionLimit),
        FunctionError::Exit { .. } => permanent(ErrorCode::FunctionCrashed),
        FunctionError::Crashed { .. } | FunctionError::WorkerLost { .. } => {
            retryable(ErrorCode::FunctionCrashed)
        }
        FunctionError::Unserialisable { .. } => permanent(ErrorCode::FunctionOutput),
        FunctionError::Unavailable(_) => retryable(ErrorCode::RuntimeMissing),
        FunctionError::Cancelled(_) => permanent(ErrorCode::Cancelled),
    }
}

fn of_thrown(thrown: Thrown, record: &Recorder) -> Failure {
    let message = format!("{}: {}", thrown.name, thrown.message);
    // An error that names a code of ours comes from a boundary call that failed.
    let call =
        record.last_failure().filter(|(_, failure)| thrown.code.as_deref() == Some(failure.code.as_str()));
    let mut failure = Failure::permanent(ErrorCode::FunctionFailed, message);
    if let Some((number, cause)) = call {
        failure.class = cause.class;
        failure.retry_after_ms = cause.retry_after_ms;
        failure.call = Some(number);
    }
    if thrown.intent == Intent::Answer {
        failure.message.clone_from(&thrown.message);
        failure.answer = Some(Box::new(ErrorAnswer {
            status: thrown.status.filter(|status| (400..=599).contains(status)).unwrap_or(500),
            code: thrown.code.clone().unwrap_or_else(|| ErrorCode::FunctionFailed.as_str().to_owned()),
        }));
    }
    failure.stack = Some(stack(&thrown)).filter(|text| !text.is_empty());
    failure
}

/// The lines around the place, then the stack, innermost first, then what caused it.
fn stack(thrown: &Thrown) -> String {
    let mut lines: Vec<String> = thrown.code_frame.iter().cloned().collect();
    lines.extend(thrown.frames.iter().map(|frame| match &frame.function {
        Some(function) => format!("    at {function} ({})", frame.site),
        None => format!("    at {}", frame.site),
    }));
    lines.extend(thrown.causes.iter().map(|cause| format!("caused by: {cause}")));
    lines.join("\n")
}
