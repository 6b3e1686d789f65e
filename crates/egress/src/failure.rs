//! Errors of the transport as failures that a user understands, with their retry class.

use std::error::Error;
use std::time::Duration;

use flux_model::ErrorCode;
use flux_model::error::Failure;

use crate::connect::ConnectFailure;
use crate::limits::RESPONSE_HEADERS_MAX;

/// Errors below one another that are looked at.
const CAUSES_MAX: usize = 16;

/// What a failed exchange with `url` (as shown) means.
pub(crate) fn exchange(url: &str, error: &(dyn Error + 'static), header_bytes_max: usize) -> Failure {
    let causes = causes(error);
    if let Some(failure) = causes.iter().find_map(|cause| cause.downcast_ref::<ConnectFailure>()) {
        return connect(failure);
    }
    // The body that was being sent failed.
    if let Some(failure) = causes.iter().find_map(|cause| cause.downcast_ref::<Failure>()) {
        return failure.clone();
    }
    if let Some(error) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return tls(url, error);
    }
    if let Some(error) = causes.iter().find_map(|cause| cause.downcast_ref::<hyper::Error>()) {
        if error.is_parse_too_large() {
            return header_too_large(url, header_bytes_max);
        }
        if error.is_parse() {
            let message = format!("{url} did not answer with HTTP: {error}.");
            return Failure::permanent(ErrorCode::EgressConnection, message);
        }
    }
    let deepest = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
    Failure::retryable(ErrorCode::EgressConnection, format!("The connection to {url} broke: {deepest}."))
}

/// What a refused or failed connection means.
pub(crate) fn connect(failure: &ConnectFailure) -> Failure {
    let message = failure.to_string();
    match failure {
        ConnectFailure::Refused(_) => Failure::permanent(ErrorCode::EgressRefused, message),
        ConnectFailure::Dns { .. } => Failure::retryable(ErrorCode::EgressDns, format!("{message}.")),
        ConnectFailure::Connect { .. } => {
            Failure::retryable(ErrorCode::EgressConnection, format!("{message}."))
        }
        ConnectFailure::Timeout { .. } => Failure::retryable(ErrorCode::EgressTimeout, format!("{message}.")),
    }
}

/// The header of an answer is over one of its two bounds.
pub(crate) fn header_too_large(url: &str, header_bytes_max: usize) -> Failure {
    let message = format!(
        "The header of the answer of {url} is too large: header_bytes_max = {header_bytes_max}, RESPONSE_HEADERS_MAX = {RESPONSE_HEADERS_MAX}."
    );
    Failure::permanent(ErrorCode::EgressLimit, message)
}

/// The whole call took too long.
pub(crate) fn timeout(url: &str, limit: Duration) -> Failure {
    let message = format!("The call to {url} took longer than timeout = {} ms.", limit.as_millis());
    Failure::retryable(ErrorCode::EgressTimeout, message)
}

/// The server paused too long within its answer.
pub(crate) fn idle(url: &str, limit: Duration) -> Failure {
    let message =
        format!("The answer of {url} paused for longer than idle_timeout = {} ms.", limit.as_millis());
    Failure::retryable(ErrorCode::EgressTimeout, message)
}

/// A bad certificate stays bad; a broken handshake may have been the network.
fn tls(url: &str, error: &rustls::Error) -> Failure {
    let message = format!("TLS with {url} failed: {error}.");
    if matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) {
        return Failure::permanent(ErrorCode::EgressConnection, message);
    }
    Failure::retryable(ErrorCode::EgressConnection, message)
}

/// `error` and what caused it. An I/O error hides what it was made from, so it is opened by hand.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
    let mut causes = vec![error];
    let mut current = error;
    while causes.len() < CAUSES_MAX {
        let hidden = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let next = hidden.map(|error| error as &'e (dyn Error + 'static)).or_else(|| current.source());
        let Some(next) = next else { break };
        causes.push(next);
        current = next;
    }
    causes
}
