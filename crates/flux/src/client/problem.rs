//! An error answer of the server, read as far as it is understood.

use flux_model::Diagnostic;
use serde::Deserialize;
use serde_json::Value;

/// What a server said instead of an answer (RFC 9457).
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The stable code.
    pub(crate) code: String,
    title: String,
    detail: String,
    /// The id of the request.
    pub(crate) request_id: String,
    /// What is wrong, field by field.
    pub(crate) errors: Vec<FieldProblem>,
    /// What is wrong with a flow.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What the user could do, where this side knows.
    pub(crate) hint: Option<String>,
    /// The answer as it came.
    pub(crate) raw: Value,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct FieldProblem {
    /// The field as a dotted path.
    #[serde(default)]
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

impl Problem {
    /// Reads an error answer. One that is not a problem (a proxy's, say) becomes one.
    pub(crate) fn from_body(status: u16, body: &[u8]) -> Self {
        let read = serde_json::from_slice::<Value>(body).ok().filter(Value::is_object);
        let raw = read.unwrap_or_else(|| {
            let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
            let detail = if text.trim().is_empty() { format!("HTTP status {status}") } else { text };
            serde_json::json!({"code": format!("http_{status}"), "status": status, "detail": detail})
        });
        let text = |name: &str| raw[name].as_str().unwrap_or_default().to_owned();
        Self {
            status,
            code: raw["code"].as_str().map_or_else(|| format!("http_{status}"), str::to_owned),
            title: text("title"),
            detail: text("detail"),
            request_id: text("request_id"),
            errors: Vec::deserialize(&raw["errors"]).unwrap_or_default(),
            diagnostics: Vec::deserialize(&raw["diagnostics"]).unwrap_or_default(),
            hint: None,
            raw,
        }
    }

    /// What happened, for people.
    pub(crate) fn message(&self) -> &str {
        if self.detail.is_empty() { &self.title } else { &self.detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, code: &str, message: &str) {
        let problem = Problem::from_body(502, body.as_bytes());
        assert_eq!((problem.code.as_str(), problem.message()), (code, message), "{body}");
    }

    #[test]
    fn problems_are_read_and_other_answers_become_one() {
        check(r#"{"code":"conflict","title":"T","detail":"D"}"#, "conflict", "D");
        check(r#"{"code":"conflict","title":"T"}"#, "conflict", "T");
        check(
            r#"{"code":"later","detail":"D","diagnostics":[{"code":"unknown to this version"}]}"#,
            "later",
            "D",
        );
        check("<html>Bad gateway", "http_502", "<html>Bad gateway");
        check("", "http_502", "HTTP status 502");
        check("[1]", "http_502", "[1]");
    }
}
