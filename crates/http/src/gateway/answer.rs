//! Starting a flow for a caller of the gateway, answering with what it says, and the answers that
//! everything on the gateway shares.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use flux_engine::{Admission, AdmissionError, Answer, EngineError, Until, Waiting};
use flux_model::effect::Response as FlowResponse;
use flux_model::execution::ExecutionResult;
use flux_model::{ErrorCode, ExecutionId, Value};
use flux_triggers::route::Method;
use flux_triggers::webhook::{Respond, Webhook};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::app::Shared;
use crate::problem::Problem;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Headers of the connection, which a flow may not set (RFC 9110 section 7.6.1), and those that
/// are ours.
const NOT_FOR_FLOWS: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::DATE,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    crate::request_id::X_REQUEST_ID,
    header::X_CONTENT_TYPE_OPTIONS,
];

/// Starts the execution and answers as the webhook says.
pub(super) async fn start(
    app: &Shared,
    admission: Admission,
    webhook: &Webhook,
) -> Result<Response, Problem> {
    let until = match webhook.respond() {
        Respond::Immediately => {
            let admitted = app.engine.admit(admission).await.map_err(refused)?;
            return Ok(accepted(admitted.id, None));
        }
        Respond::Last => Until::End,
        Respond::Node => Until::Response,
    };
    let waiting = Waiting { until, timeout: webhook.timeout() };
    let (admitted, answer) = app.engine.run(admission, waiting).await.map_err(not_run)?;
    match answer {
        Answer::Responded(response) => Ok(compose(response)),
        Answer::Ended(ExecutionResult::Succeeded { output }) => Ok(output_of(&output)),
        Answer::Ended(ExecutionResult::Failed { error }) => Err(ended(admitted.id, "failed", error.code)),
        Answer::Ended(ExecutionResult::Cancelled { .. }) => {
            Err(ended(admitted.id, "was cancelled", ErrorCode::Cancelled))
        }
        Answer::Pending(_) => Ok(accepted(admitted.id, Some(&app.console_url))),
    }
}

pub(super) fn not_run(error: EngineError) -> Problem {
    if let EngineError::Admission(error) = error { refused(error) } else { error.into() }
}

/// To a caller of the gateway, a flow that cannot be started is not there.
pub(super) fn refused(error: AdmissionError) -> Problem {
    let hidden = matches!(
        error,
        AdmissionError::FlowNotFound { .. }
            | AdmissionError::FlowInactive { .. }
            | AdmissionError::FlowInvalid { .. }
    );
    if hidden { nothing_here() } else { error.into() }
}

/// The answer to every path that leads nowhere: it names nothing.
pub(super) fn nothing_here() -> Problem {
    Problem::not_found("there is nothing at this path")
}

/// The answer of something, such as `this webhook`, that is there for other methods.
pub(super) fn wrong_method(what: &str, allowed: &[Method]) -> Response {
    let allowed: Vec<&str> = allowed.iter().map(|method| method.as_str()).collect();
    let detail = format!("{what} answers to {}", allowed.join(", "));
    let mut response = Problem::new(ErrorCode::MethodNotAllowed, detail).into_response();
    let allow = HeaderValue::try_from(allowed.join(",")).expect("names of methods are ASCII");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// What went wrong inside is for those who may see the execution.
fn ended(id: ExecutionId, how: &str, code: ErrorCode) -> Problem {
    Problem::new(code, format!("execution {id} {how}"))
}

/// 202 with the id; with the place to look, where the caller wanted more.
pub(super) fn accepted(id: ExecutionId, console_url: Option<&str>) -> Response {
    let mut response = Response::new(Body::from(format!("{{\"id\":\"{id}\"}}")));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    let location = console_url.map(|url| HeaderValue::try_from(format!("{url}/api/v1/executions/{id}")));
    if let Some(Ok(location)) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A value as JSON.
pub(super) fn output_of(output: &Value) -> Response {
    let mut response = Response::new(Body::from(output.to_json()));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// The answer that a flow composed. A status or header that HTTP does not know is left out.
pub(super) fn compose(answer: FlowResponse) -> Response {
    let status = StatusCode::from_u16(answer.status).ok().filter(|status| status.as_u16() >= 200);
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = HeaderMap::with_capacity(answer.headers.len() + 2);
    for (name, value) in answer.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            tracing::warn!("a flow set a header that is not valid; it was left out");
            continue;
        };
        if !NOT_FOR_FLOWS.contains(&name) {
            headers.append(name, value);
        }
    }
    let empty = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let (body, content_type) = if empty || answer.body.is_null() {
        (Body::empty(), None)
    } else if let Some(text) = answer.body.as_str() {
        (Body::from(text.to_owned()), Some(TEXT))
    } else {
        (Body::from(answer.body.to_json()), Some(JSON))
    };
    if let Some(content_type) = content_type {
        headers.entry(header::CONTENT_TYPE).or_insert(content_type);
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn check(status: u16, headers: &[(&str, &str)], body: Value, expected: (u16, &str, &str)) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let response = compose(FlowResponse { status, headers, body });
        let given = (response.status().as_u16(), format!("{:?}", response.headers()));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((given.0, given.1.as_str(), std::str::from_utf8(&body).unwrap()), expected);
    }

    #[tokio::test]
    async fn a_flows_answer_becomes_http() {
        let json = Value::object([("a", Value::from(1_i64))]);
        check(201, &[], json.clone(), (201, r#"{"content-type": "application/json"}"#, r#"{"a":1}"#)).await;
        check(200, &[], Value::from("hi"), (200, r#"{"content-type": "text/plain; charset=utf-8"}"#, "hi"))
            .await;
        let xml = [("Content-Type", "text/xml")];
        check(200, &xml, Value::from("<a/>"), (200, r#"{"content-type": "text/xml"}"#, "<a/>")).await;
        check(200, &[], Value::Null, (200, "{}", "")).await;
        check(204, &[], json, (204, "{}", "")).await;
    }

    #[tokio::test]
    async fn a_flow_does_not_control_the_connection() {
        let bad = [
            ("Content-Length", "999"),
            ("Transfer-Encoding", "chunked"),
            ("X-Request-Id", "forged"),
            ("a b", "c"),
            ("x-split", "a\r\nset-cookie: b=c"),
            ("x-good", "1"),
        ];
        check(200, &bad, Value::Null, (200, r#"{"x-good": "1"}"#, "")).await;
        check(100, &[], Value::Null, (500, "{}", "")).await;
        check(1_000, &[], Value::Null, (500, "{}", "")).await;
    }
}
