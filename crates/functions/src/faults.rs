//! From what happened in or to a worker to the error that a caller gets.

use std::sync::Arc;
use std::time::Duration;

use crate::bundle::Bundle;
use crate::error::{CallSite, FunctionError, Thrown};
use crate::protocol::heads::Failure;
use crate::worker::TimeLimit;

/// Why a worker ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Death {
    /// Its code kept the processor.
    Cpu { limit: Duration, measured: Duration },
    /// It used too much memory.
    Memory { limit_mb: u64, measured_mb: u64 },
    /// A call did not end in time and the worker did not react.
    Overdue { function: Arc<str>, limit: Duration, measured: Duration, setting: &'static str },
    /// Anything else.
    Ended(String),
}

/// The setting that bounds processor time.
const CPU_SETTING: &str = "functions.cpu_ms in flux-server.toml";
/// The setting that bounds memory.
const MEMORY_SETTING: &str =
    "memory_mb of the function in flux.json, else functions.memory_mb in flux-server.toml";
/// What a call does that does not react.
const KEEPS_PROCESSOR: &str = "It did not give up the processor, so its process was ended";

pub(crate) fn overdue(function: &Arc<str>, limit: &TimeLimit, measured: Duration) -> Death {
    Death::Overdue { function: Arc::clone(function), limit: limit.most, measured, setting: limit.setting }
}

/// The error of a call that had begun when its worker ended.
pub(crate) fn from_death(death: &Death, function: &str) -> FunctionError {
    let function = function.to_owned();
    match death {
        Death::Cpu { limit, measured } => FunctionError::Cpu {
            function,
            limit_ms: ms(*limit),
            measured_ms: ms(*measured),
            setting: CPU_SETTING,
        },
        Death::Memory { limit_mb, measured_mb } => FunctionError::Memory {
            function,
            limit_mb: *limit_mb,
            measured_mb: *measured_mb,
            setting: MEMORY_SETTING,
        },
        Death::Overdue { function: culprit, limit, measured, setting } if **culprit == *function => {
            FunctionError::Timeout {
                function,
                limit_ms: ms(*limit),
                measured_ms: ms(*measured),
                setting,
                state: KEEPS_PROCESSOR.to_owned(),
            }
        }
        Death::Overdue { function: culprit, limit, measured, setting } => FunctionError::WorkerLost {
            function,
            reason: format!(
                "`{culprit}` ran for {} ms and did not react; its limit is {} ms ({setting})",
                ms(*measured),
                ms(*limit)
            ),
        },
        Death::Ended(reason) => FunctionError::Crashed { function, reason: reason.clone() },
    }
}

/// The error of a call that the worker gave up because its time was over.
pub(crate) fn timeout(
    function: &str,
    limit: &TimeLimit,
    measured: Duration,
    pending: &[String],
) -> FunctionError {
    let (limit_ms, measured_ms, setting) = (ms(limit.most), ms(measured), limit.setting);
    let function = function.to_owned();
    if pending.is_empty() {
        return FunctionError::NeverResolved { function, limit_ms, measured_ms, setting };
    }
    let state = format!("It waited for {}", pending.join(", for "));
    FunctionError::Timeout { function, limit_ms, measured_ms, setting, state }
}

/// The error that a worker reports.
pub(crate) fn from_failure(failure: Failure, function: &str, bundle: &Bundle) -> FunctionError {
    let function = function.to_owned();
    match failure {
        Failure::Thrown { thrown } => FunctionError::Thrown(Box::new(framed(thrown, bundle))),
        Failure::Exit { code } => FunctionError::Exit { function, code },
        Failure::Unserialisable { reason } => FunctionError::Unserialisable { function, reason },
        Failure::Input { reason } => FunctionError::Input(reason),
        Failure::UnknownFunction => FunctionError::NotFound { name: function, nearest: None },
        Failure::Aborted { .. } => FunctionError::Cancelled("its caller went away".to_owned()),
    }
}

fn framed(mut thrown: Thrown, bundle: &Bundle) -> Thrown {
    let own =
        thrown.frames.iter().map(|frame| &frame.site).find(|site| !site.file.starts_with("node_modules/"));
    thrown.code_frame = own.and_then(|site| code_frame_of(bundle, site));
    thrown
}

/// The lines around a place in a bundle.
pub(crate) fn code_frame_of(bundle: &Bundle, site: &CallSite) -> Option<String> {
    // The path comes from the worker: it must not lead out of the bundle.
    let is_inside = !site.file.starts_with('/') && !site.file.split('/').any(|part| part == "..");
    let source = is_inside.then(|| std::fs::read_to_string(bundle.folder.join(&site.file)).ok())??;
    code_frame(&source, site.line, site.column)
}

/// Lines shown before and after the one it is about.
const LINES_AROUND: u32 = 2;
/// Characters of a shown line.
const LINE_CHARS_MAX: usize = 160;

/// The lines around `line`, numbered, with a mark under `column`; both from 1.
pub(crate) fn code_frame(source: &str, line: u32, column: u32) -> Option<String> {
    let first = line.saturating_sub(LINES_AROUND).max(1);
    let last = line.saturating_add(LINES_AROUND);
    let width = last.to_string().len();
    let mut frame = String::new();
    let mut is_there = false;
    for (text, number) in source.lines().zip(1..).skip(first as usize - 1).take((last - first) as usize + 1) {
        let shown: String = text.chars().take(LINE_CHARS_MAX).collect();
        let mark = if number == line { '>' } else { ' ' };
        frame.push_str(&format!("{mark} {number:width$} | {shown}\n"));
        if number == line {
            is_there = true;
            let indent: String = text
                .chars()
                .take((column.max(1) - 1).min(LINE_CHARS_MAX as u32) as usize)
                .map(|letter| if letter == '\t' { '\t' } else { ' ' })
                .collect();
            frame.push_str(&format!("  {:width$} | {indent}^\n", ""));
        }
    }
    is_there.then(|| frame.trim_end().to_owned())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_frame_marks_the_column_of_its_line() {
        let source = "one\ntwo\n\tthree()\nfour\nfive\nsix\n";
        let expect = "  1 | one\n  2 | two\n> 3 | \tthree()\n    | \t     ^\n  4 | four\n  5 | five";
        assert_eq!(code_frame(source, 3, 7).as_deref(), Some(expect));
        assert_eq!(code_frame("one", 1, 1).as_deref(), Some("> 1 | one\n    | ^"));
        assert_eq!(code_frame("one", 2, 1), None, "a line that is not there");
    }

    #[test]
    fn a_call_that_waits_for_nothing_never_resolved() {
        let limit = TimeLimit { most: Duration::from_millis(50), setting: "timeout_ms" };
        let error = timeout("f", &limit, Duration::from_millis(51), &[]);
        assert!(matches!(error, FunctionError::NeverResolved { limit_ms: 50, measured_ms: 51, .. }));
        let error = timeout("f", &limit, Duration::from_millis(51), &["fetch GET x for 9 ms".to_owned()]);
        assert!(error.to_string().ends_with("It waited for fetch GET x for 9 ms"), "{error}");
    }
}
