//! What every request passes through on its way in and out: its id, the headers every answer has,
//! problems written out, panics turned into problems.
//!
//! One hand-written layer, because it is on the path of every webhook. It knows no route.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use flux_model::ErrorCode;
use futures::FutureExt;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use tower::{Layer, Service};

use crate::app::Shared;
use crate::problem::Problem;
use crate::request_id::{RequestId, X_REQUEST_ID, trace_id};

/// Which listener an answer leaves by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// The public one.
    Gateway,
    /// The one for people and their programs.
    Console,
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// What every answer says; an endpoint may say it differently.
const EVERYWHERE: [(HeaderName, HeaderValue); 1] =
    [(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))];
/// What answers of the console say beside that: data, not a page, and not to be kept.
const ON_CONSOLE: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, NO_STORE),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// Puts requests and answers into their envelope.
#[derive(Clone)]
pub(crate) struct EnvelopeLayer {
    pub(crate) app: Shared,
    pub(crate) listener: Listener,
}

/// The service within its envelope.
#[derive(Clone)]
pub(crate) struct Envelope<S> {
    inner: S,
    layer: EnvelopeLayer,
}

impl<S> Layer<S> for EnvelopeLayer {
    type Service = Envelope<S>;

    fn layer(&self, inner: S) -> Envelope<S> {
        Envelope { inner, layer: self.clone() }
    }
}

impl<S> Service<Request> for Envelope<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id = RequestId::of(request.headers(), self.layer.app.clock.now());
        let line = tracing::enabled!(tracing::Level::DEBUG).then(|| Line::of(&request));
        request.extensions_mut().insert(id.clone());
        let listener = self.layer.listener;
        let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Box::pin(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Err(panic) => {
                    tracing::error!(request_id = id.as_str(), "a handler panicked: {}", said(&*panic));
                    Problem::new(ErrorCode::Internal, "the request hit a fault inside Flux").into_response()
                }
            };
            let response = seal(response, &id, listener);
            if let Some(line) = line {
                line.write(&id, &response);
            }
            Ok(response)
        })
    }
}

/// Writes a problem out and sets the headers that every answer has.
fn seal(mut response: Response, id: &RequestId, listener: Listener) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = Body::from(problem.write(id.as_str()));
        // What the router announced is the length of the body before.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    }
    let headers = response.headers_mut();
    let text = HeaderValue::from_str(id.as_str()).expect("a request id is plain ASCII");
    headers.insert(X_REQUEST_ID, text);
    set_missing(headers, &EVERYWHERE);
    match listener {
        Listener::Gateway => {}
        Listener::Console => set_missing(headers, &ON_CONSOLE),
    }
    response
}

fn set_missing(headers: &mut HeaderMap, wanted: &[(HeaderName, HeaderValue)]) {
    for (name, value) in wanted {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// The line about a request in the log, at level debug. Without query: it may hold data.
struct Line {
    method: http::Method,
    path: String,
    trace_id: Option<String>,
    started: Instant,
}

impl Line {
    fn of(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            trace_id: trace_id(request.headers()).map(str::to_owned),
            started: Instant::now(),
        }
    }

    fn write(self, id: &RequestId, response: &Response) {
        let duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(
            request_id = id.as_str(),
            trace_id = self.trace_id,
            duration_us,
            "{} {} answered with {}",
            self.method,
            self.path,
            response.status().as_u16()
        );
    }
}
