//! Why a command did not do what it was asked, how that is shown, and the exit code it ends with.
//!
//! Nothing else in this crate decides on an exit code. Errors go to standard error; with `--json`
//! as one line of JSON in the form of a problem (`docs/operating/cli.md`).

use std::process::ExitCode;

use flux_model::ErrorCode;
use serde_json::json;

use crate::client::Problem;
use crate::output::{Format, Out, diagnostics, style};

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what it was asked.
    Success = 0,
    /// The thing asked about failed.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
    /// Nothing has that name or id.
    NotFound = 3,
    /// The key does not allow it.
    NotAllowed = 4,
    /// No server answered.
    Unreachable = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The arguments do not make sense together, or one of them is not what it should be.
    Usage { message: String, hint: Option<String> },
    /// Something local failed or is not valid.
    Local { code: ErrorCode, message: String, hint: Option<String> },
    /// The server answered that it will not or cannot.
    Server(Box<Problem>),
    /// No server answered.
    Unreachable { server: String, reason: String, hint: Option<String> },
    /// Something on this machine failed that has no code of its own: a file, a folder, a port.
    Other(anyhow::Error),
}

impl CommandError {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    pub(crate) fn local(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Local { code, message: message.into(), hint: None }
    }

    /// The same error with a way out.
    #[must_use]
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage { hint, .. } | Self::Local { hint, .. } | Self::Unreachable { hint, .. } => {
                *hint = Some(text.into());
            }
            Self::Server(problem) => problem.hint = Some(text.into()),
            Self::Other(_) => {}
        }
        self
    }

    /// Whether the thing changed in the meantime.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Server(problem) if problem.status == 409)
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Local { code: ErrorCode::NotFound | ErrorCode::FlowNotFound, .. } => Exit::NotFound,
            Self::Local { .. } | Self::Other(_) => Exit::Failed,
            Self::Server(problem) => exit_of_status(problem.status),
            Self::Unreachable { .. } => Exit::Unreachable,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Usage { .. } => ErrorCode::RequestInvalid.as_str(),
            Self::Local { code, .. } => code.as_str(),
            Self::Server(problem) => &problem.code,
            Self::Unreachable { .. } => "server_unreachable",
            Self::Other(_) => "local_error",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Usage { message, .. } | Self::Local { message, .. } => message.clone(),
            Self::Server(problem) => problem.message().to_owned(),
            Self::Unreachable { server, reason, .. } => format!("no server answers at {server}: {reason}"),
            Self::Other(error) => format!("{error:#}"),
        }
    }

    fn way_out(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } | Self::Local { hint, .. } | Self::Unreachable { hint, .. } => {
                hint.as_deref()
            }
            Self::Server(problem) => problem.hint.as_deref(),
            Self::Other(_) => None,
        }
    }

    /// What it says, and the way out.
    pub(crate) fn parts(&self) -> (String, Option<&str>) {
        (self.message(), self.way_out())
    }

    /// Shows it.
    pub(crate) fn show(&self, out: &mut Out) {
        match out.format() {
            Format::Json => out.error_line(&self.to_json().to_string()),
            Format::Text => self.show_text(out),
        }
    }

    fn show_text(&self, out: &mut Out) {
        let (red, dim, reset) = (style::ERROR, style::DIM, style::RESET);
        let code = self.code();
        out.error_line(&format!("{red}error[{code}]{reset}: {}", self.message()));
        if let Self::Server(problem) = self {
            for field in &problem.errors {
                let place = if field.field.is_empty() { "body" } else { &field.field };
                out.error_line(&format!("  {place}: {}", field.message));
            }
            for line in diagnostics::lines(None, &problem.diagnostics) {
                out.error_line(&line);
            }
            if problem.status >= 500 && !problem.request_id.is_empty() {
                out.error_line(&format!("  {dim}request {}{reset}", problem.request_id));
            }
        }
        if let Some(hint) = self.way_out() {
            out.error_line(&format!("{}hint{reset}: {hint}", style::HINT));
        }
    }

    fn to_json(&self) -> serde_json::Value {
        if let Self::Server(problem) = self {
            return problem.raw.clone();
        }
        let mut body = json!({"code": self.code(), "detail": self.message()});
        if let Some(hint) = self.way_out() {
            body["hint"] = hint.into();
        }
        body
    }
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// What an answer's status means for the exit code.
fn exit_of_status(status: u16) -> Exit {
    match status {
        400 => Exit::Usage,
        401 | 403 => Exit::NotAllowed,
        404 => Exit::NotFound,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: CommandError, exit: Exit) {
        assert_eq!(error.exit(), exit, "{error:?}");
    }

    #[test]
    fn every_error_has_its_exit_code() {
        let server = |status: u16| {
            CommandError::Server(Box::new(Problem::from_body(status, br#"{"code":"x","detail":"y"}"#)))
        };
        check(server(400), Exit::Usage);
        check(server(401), Exit::NotAllowed);
        check(server(403), Exit::NotAllowed);
        check(server(404), Exit::NotFound);
        check(server(409), Exit::Failed);
        check(server(500), Exit::Failed);
        check(CommandError::usage("x"), Exit::Usage);
        check(CommandError::local(ErrorCode::ConfigurationInvalid, "x"), Exit::Failed);
        check(CommandError::local(ErrorCode::NotFound, "x"), Exit::NotFound);
        let unreachable = CommandError::Unreachable { server: "x".into(), reason: "y".into(), hint: None };
        check(unreachable, Exit::Unreachable);
        check(anyhow::anyhow!("x").into(), Exit::Failed);
    }
}
