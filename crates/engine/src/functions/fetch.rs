//! `fetch` of a function: through egress like everything else, body by body as it comes.

use std::sync::Arc;
use std::time::Duration;

use flux_egress::{BodyStream, ContentMasker, Opened, Recording, Redirects, Request, SecretScope};
use flux_functions::{Body, FetchRequest, FetchResponse, HostError, Redirect, Redirected};
use flux_model::call::BoundaryCall;
use flux_model::error::Failure;
use flux_model::{ErrorCode, Tenant};
use flux_nodes::Recorder;
use futures::{StreamExt, TryStreamExt};

use super::boundary::seen;

/// Headers that belong to the connection, not to the request: what a browser leaves out as well.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Sends the request; gives the head of the answer, and its body to be read. The call is recorded
/// when that body has ended.
pub(super) async fn send(
    egress: &flux_egress::Egress,
    tenant: Tenant,
    (request, limit): (FetchRequest, Duration),
    (known, record, site): (&ContentMasker, Arc<Recorder>, Option<String>),
) -> Result<FetchResponse, HostError> {
    let request = Request { timeout: Some(limit), ..translated(request) };
    let recording = Recording::new(known.clone(), move |call| {
        record.called(BoundaryCall { site, ..call });
    });
    let opened = egress.open(tenant, &SecretScope::empty(), &request, recording).await;
    opened.map(answered).map_err(|failure| seen(&failure))
}

fn translated(request: FetchRequest) -> Request {
    let FetchRequest { method, url, headers, redirect, body } = request;
    let body = match body {
        Body::Empty => flux_egress::Body::None,
        Body::Bytes(content) => flux_egress::Body::Bytes { content, content_type: None },
        Body::Stream(pieces) => {
            let broken = |error: HostError| Failure::permanent(ErrorCode::FunctionFailed, error.message);
            flux_egress::Body::Stream { content: BodyStream::new(pieces.map_err(broken)), content_type: None }
        }
    };
    let redirects = match redirect {
        Redirect::Follow => Redirects::Follow,
        Redirect::Error => Redirects::Error,
        Redirect::Manual => Redirects::Manual,
    };
    let headers =
        headers.into_iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str())).collect();
    Request { headers, body, redirects, ..Request::new(method, url) }
}

fn answered(opened: Opened) -> FetchResponse {
    let redirect = if opened.redirects > 0 { Redirected::Yes } else { Redirected::No };
    let body = match opened.length {
        Some(0) => Body::Empty,
        Some(_) | None => Body::Stream(opened.body.map_err(|failure| seen(&failure)).boxed()),
    };
    FetchResponse { status: opened.status, headers: opened.headers, url: opened.url, redirect, body }
}
