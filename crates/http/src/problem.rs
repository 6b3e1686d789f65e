//! Errors as callers see them: RFC 9457 problem details, and the one table from error code to
//! HTTP status.
//!
//! A [`Problem`] travels inside the response until [`crate::envelope`] writes it, because only the
//! envelope knows the request id. It never decides what went wrong.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use flux_model::{Diagnostic, ErrorCode};
use flux_store::{StoreError, WriteError};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::schema;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// How long to wait after an answer that says the server is busy but not for how long.
pub(crate) const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem(Box<Content>);

#[derive(Debug, Clone, PartialEq)]
struct Content {
    name: Name,
    status: StatusCode,
    detail: String,
    stack: Option<String>,
    errors: Vec<FieldProblem>,
    diagnostics: Vec<Diagnostic>,
    retry_after: Option<Duration>,
}

/// What a problem is called.
#[derive(Debug, Clone, PartialEq)]
enum Name {
    /// By Flux.
    Flux(ErrorCode),
    /// By a function, which tells its caller in its own words.
    Function(String),
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    /// The field as a dotted path; empty for the body as a whole.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) message: String,
    /// What to write instead, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) suggestion: Option<String>,
}

/// A problem as it is written (RFC 9457, media type `application/problem+json`).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// The stable code; `docs/errors/<code>.md` explains it.
    #[schema(value_type = schema::ErrorCode)]
    code: &'a str,
    /// What the code means.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened here, with the value and the way out.
    detail: &'a str,
    /// The id of this request, also in the header `x-request-id`.
    request_id: &'a str,
    /// What is wrong, field by field.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldProblem],
    /// What is wrong with a flow.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<schema::Diagnostic>)]
    diagnostics: &'a [Diagnostic],
    /// Where user code failed, on a server that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<&'a str>,
    /// After how many seconds to try again, also in the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::called(Name::Flux(code), status_of(code), detail.into())
    }

    /// What a function tells its caller: a status, a code of its own, a message.
    pub(crate) fn of_function(status: StatusCode, code: String, detail: String) -> Self {
        Self::called(Name::Function(code), status, detail)
    }

    fn called(name: Name, status: StatusCode, detail: String) -> Self {
        Self(Box::new(Content {
            name,
            status,
            detail,
            stack: None,
            errors: Vec::new(),
            diagnostics: Vec::new(),
            retry_after: None,
        }))
    }

    /// The request is malformed.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::RequestInvalid, detail)
    }

    /// There is no such thing, or it is another tenant's.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, detail)
    }

    /// The same problem with another status than its code has elsewhere.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// The same problem, with the place in user code.
    pub(crate) fn with_stack(mut self, stack: Option<String>) -> Self {
        self.0.stack = stack;
        self
    }

    /// The same problem, about these fields.
    pub(crate) fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.0.errors = errors;
        self
    }

    /// The same problem, with what is wrong with the flow.
    pub(crate) fn with_diagnostics(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        self.0.diagnostics = diagnostics;
        self
    }

    /// The same problem, which may be gone after this time.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    #[cfg(test)]
    #[track_caller]
    pub(crate) fn code(&self) -> ErrorCode {
        let Name::Flux(code) = self.0.name else { panic!("{:?} is not of Flux", self.0.name) };
        code
    }

    #[cfg(test)]
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    fn is(&self, code: ErrorCode) -> bool {
        self.0.name == Name::Flux(code)
    }

    /// The body, for the request with this id.
    pub(crate) fn write(&self, request_id: &str) -> Vec<u8> {
        let content = &self.0;
        let body = ProblemBody {
            code: content.name.as_str(),
            title: content.name.title(content.status),
            status: self.status().as_u16(),
            detail: &content.detail,
            request_id,
            errors: &content.errors,
            diagnostics: &content.diagnostics,
            stack: content.stack.as_deref(),
            retry_after: content.retry_after.map(whole_seconds),
        };
        serde_json::to_vec(&body).expect("a problem is texts and numbers")
    }
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Self::Flux(code) => code.as_str(),
            Self::Function(code) => code,
        }
    }

    /// What it means; of a function's code only its status is known.
    fn title(&self, status: StatusCode) -> &'static str {
        match self {
            Self::Flux(code) => code.summary(),
            Self::Function(_) => status.canonical_reason().unwrap_or("Error"),
        }
    }
}

/// Seconds as `Retry-After` has them: at least one, and never less than asked for.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(wait) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if self.is(ErrorCode::Unauthenticated) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.is(ErrorCode::MediaTypeUnsupported) {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = error.code();
        // What a backend says of itself is for the operator's log.
        let problem = match &error {
            StoreError::TooSlow { .. } => Self::new(code, error.to_string()),
            StoreError::Unavailable { .. } | StoreError::Poisoned { .. } | StoreError::Undecodable { .. } => {
                tracing::error!(%error, "a request failed in the store");
                Self::new(code, code.summary())
            }
        };
        if code == ErrorCode::StorageUnavailable { problem.retry_after(RETRY_AFTER_DEFAULT) } else { problem }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => error.into(),
            WriteError::Full { .. } => {
                Self::new(ErrorCode::Overloaded, error.to_string()).retry_after(RETRY_AFTER_DEFAULT)
            }
            WriteError::Closed => Self::new(ErrorCode::StorageUnavailable, "the server is shutting down")
                .retry_after(RETRY_AFTER_DEFAULT),
        }
    }
}

/// Lets a handler give its own closed error enum: whatever turns into a [`Problem`] is an answer.
macro_rules! answered_by_problem {
    ($($error:ty),* $(,)?) => {$(
        impl axum::response::IntoResponse for $error {
            fn into_response(self) -> axum::response::Response {
                $crate::problem::Problem::from(self).into_response()
            }
        }
    )*};
}
pub(crate) use answered_by_problem;

/// The status of every error code.
#[expect(clippy::too_many_lines, reason = "it is one table, and a code without a line must not compile")]
pub(crate) fn status_of(code: ErrorCode) -> StatusCode {
    use ErrorCode as Code;
    match code {
        Code::RequestInvalid | Code::QueryInvalid | Code::QueryLimit | Code::CursorInvalid => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated | Code::SignatureInvalid => StatusCode::UNAUTHORIZED,
        Code::Forbidden | Code::AddressRefused | Code::QueryForbidden => StatusCode::FORBIDDEN,
        Code::NotFound | Code::FlowNotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::Conflict
        | Code::FlowInactive
        | Code::Cancelled
        | Code::ConstraintViolated
        | Code::TransactionConflict
        | Code::TransactionOver
        | Code::MigrationChanged
        | Code::MigrationLocked => StatusCode::CONFLICT,
        Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::MediaTypeUnsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::FlowSyntax
        | Code::TriggerCount
        | Code::NodeKey
        | Code::UnknownNodeType
        | Code::ConfigMissing
        | Code::ConfigUnknown
        | Code::ConfigInvalid
        | Code::EdgeInvalid
        | Code::Cycle
        | Code::Unreachable
        | Code::LoopBody
        | Code::TemplateSyntax
        | Code::TemplateReference
        | Code::SettingInvalid
        | Code::FlowTooLarge
        | Code::InputInvalid
        | Code::CallDepth => StatusCode::UNPROCESSABLE_ENTITY,
        Code::RateLimited | Code::ConcurrencyDropped => StatusCode::TOO_MANY_REQUESTS,
        Code::TemplateFailed
        | Code::TemplateBudget
        | Code::NodeConfig
        | Code::NodeInput
        | Code::ExecutionLimit
        | Code::ChildFailed
        | Code::ReviewExpired
        | Code::OutcomeUnknown
        | Code::RuntimeMissing
        | Code::FunctionFailed
        | Code::FunctionNotFound
        | Code::FunctionLimit
        | Code::FunctionCrashed
        | Code::FunctionOutput
        | Code::JournalCorrupt
        | Code::SecretMissing
        | Code::SecretHost
        | Code::SecretSealed
        | Code::ConfigurationInvalid
        | Code::DatabaseRefused
        | Code::MigrationFailed
        | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::EgressRefused
        | Code::EgressUrl
        | Code::EgressDns
        | Code::EgressConnection
        | Code::EgressLimit
        | Code::HttpStatus
        | Code::HttpResponse => StatusCode::BAD_GATEWAY,
        Code::Overloaded | Code::StorageUnavailable | Code::DataFolderLocked | Code::DatabaseUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::NodeTimeout
        | Code::ExecutionTimeout
        | Code::EgressTimeout
        | Code::QueryTimeout
        | Code::FunctionTimeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_an_error_status_and_has_a_title() {
        for code in ErrorCode::ALL {
            let status = status_of(*code);
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
            assert!(code.summary().ends_with('.'), "{code}");
        }
    }

    #[test]
    fn the_body_has_what_there_is_and_nothing_else() {
        let plain = Problem::not_found("no execution exec_1");
        let json = String::from_utf8(plain.write("r1")).unwrap();
        assert_eq!(
            json,
            r#"{"code":"not_found","title":"Nothing has that name or id.","status":404,"detail":"no execution exec_1","request_id":"r1"}"#
        );
        let full = Problem::new(ErrorCode::RateLimited, "too many").retry_after(Duration::from_millis(1_200));
        let json = String::from_utf8(full.write("r1")).unwrap();
        assert!(json.ends_with(r#""retry_after":2}"#), "{json}");
        assert_eq!(full.into_response().headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn a_function_names_its_errors_itself() {
        let problem = Problem::of_function(StatusCode::GONE, "sold_out".into(), "none left".into());
        let json = String::from_utf8(problem.write("r1")).unwrap();
        let expected =
            r#"{"code":"sold_out","title":"Gone","status":410,"detail":"none left","request_id":"r1"}"#;
        assert_eq!((json.as_str(), problem.into_response().status()), (expected, StatusCode::GONE));
    }

    #[test]
    fn what_a_backend_says_stays_inside() {
        let error = StoreError::Unavailable { doing: "writing", reason: "/var/lib/x: I/O error".into() };
        let problem = Problem::from(error);
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!problem.detail().contains("/var"), "{}", problem.detail());
    }
}
