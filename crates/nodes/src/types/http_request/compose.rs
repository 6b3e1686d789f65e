//! From a config to a request.

use std::time::Duration;

use flux_egress::{FileRef, Part, PartContent, Request};
use flux_model::effect::TaskCall;
use flux_model::error::Failure;
use flux_model::{ErrorCode, Value};
use indexmap::IndexMap;

use super::config::{Auth, Body, Config, ResponseMode};
use super::text::{Text, written};

pub(super) fn request(config: &Config, call: &TaskCall) -> Result<Request, Failure> {
    let timeout = config.timeout_ms.map_or(call.timeout, |ms| Duration::from_millis(ms).min(call.timeout));
    let with_key = !config.method.is_safe() && config.idempotency_key.unwrap_or(true);
    Ok(Request {
        query: pairs("query", &config.query)?,
        auth: auth(&config.auth),
        headers: pairs("headers", &config.headers)?,
        body: config.body.as_ref().map(body).transpose()?.unwrap_or_default(),
        response: mode(config.response),
        timeout: Some(timeout),
        redirects_max: config.redirects_max,
        idempotency_key: with_key.then(|| call.idempotency_key.clone()),
        ..Request::new(config.method.as_str(), config.url.trim())
    })
}

fn auth(given: &Auth) -> flux_egress::Auth {
    match given.clone() {
        Auth::None => flux_egress::Auth::None,
        Auth::Basic { username: Text(username), password: Text(password) } => {
            flux_egress::Auth::Basic { username, password }
        }
        Auth::Bearer { token: Text(token) } => flux_egress::Auth::Bearer { token },
        Auth::Header { name, value: Text(value) } => flux_egress::Auth::Header { name, value },
        Auth::Query { name, value: Text(value) } => flux_egress::Auth::Query { name, value },
    }
}

fn body(given: &Body) -> Result<flux_egress::Body, Failure> {
    Ok(match given {
        Body::Json(value) => flux_egress::Body::Json(value.clone()),
        Body::Form(fields) => flux_egress::Body::Form(pairs("body.form", fields)?),
        Body::Multipart(fields) => flux_egress::Body::Multipart(parts(fields)?),
        Body::Text(Text(content)) => flux_egress::Body::Text { content: content.clone(), content_type: None },
        Body::File(value) => flux_egress::Body::File(file("body.file", value)?),
    })
}

const fn mode(given: ResponseMode) -> flux_egress::ResponseMode {
    match given {
        ResponseMode::Auto => flux_egress::ResponseMode::Auto,
        ResponseMode::Json => flux_egress::ResponseMode::Json,
        ResponseMode::Text => flux_egress::ResponseMode::Text,
        ResponseMode::File => flux_egress::ResponseMode::File,
    }
}

/// Names and texts; an array gives its name several times, `null` is left out.
fn pairs(place: &str, given: &IndexMap<String, Value>) -> Result<Vec<(String, String)>, Failure> {
    let mut pairs = Vec::with_capacity(given.len());
    for (name, value) in given {
        for element in elements(value) {
            let text = written(element).ok_or_else(|| wrong(place, name, element, "a text or a number"))?;
            pairs.push((name.clone(), text));
        }
    }
    Ok(pairs)
}

fn parts(given: &IndexMap<String, Value>) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::with_capacity(given.len());
    for (name, value) in given {
        for element in elements(value) {
            let content = match FileRef::from_value(element) {
                Some(file) => PartContent::File(file),
                None => {
                    let text = written(element);
                    PartContent::Text(
                        text.ok_or_else(|| wrong("body.multipart", name, element, "a text or a file"))?,
                    )
                }
            };
            parts.push(Part { name: name.clone(), content });
        }
    }
    Ok(parts)
}

fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(items) => items,
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) | Value::Secret(_) => {
            std::slice::from_ref(value)
        }
    }
}

fn file(place: &str, value: &Value) -> Result<FileRef, Failure> {
    FileRef::from_value(value).ok_or_else(|| {
        let message =
            format!("config.{place} is of type {}; expected a file, {{\"$file\": …}}", value.type_name());
        Failure::permanent(ErrorCode::NodeConfig, message)
    })
}

fn wrong(place: &str, name: &str, value: &Value, expected: &str) -> Failure {
    let message = format!("config.{place}.{name} is of type {}; expected {expected}", value.type_name());
    Failure::permanent(ErrorCode::NodeConfig, message)
}
