//! Who sends a request: the key in its header, verified, and what it may do.
//!
//! Keys are taken from the `Authorization` header only, never from a URL, which ends up in logs and
//! histories. The answer does not say why a key was refused; the server's log does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use flux_model::{ErrorCode, KeyId, Tenant, Timestamp};
use flux_store::access::KeyRow;
use flux_store::{Command, StoreError};
use http::request::Parts;
use http::{HeaderMap, header};

use super::key;
use super::scope::{Scope, Scopes};
use crate::app::Shared;
use crate::problem::{Problem, answered_by_problem};

/// How exact "last used" is.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// A verified caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose data it may see.
    pub(crate) tenant: Tenant,
    /// The key it sent.
    pub(crate) key: KeyId,
    /// The name of that key.
    pub(crate) name: Arc<str>,
    /// What it may do.
    pub(crate) scopes: Scopes,
}

/// Why there is no caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unauthenticated {
    #[error("there is no `Authorization: Bearer` header")]
    Missing,
    #[error("the key is malformed: cut off, mistyped or not one of Flux")]
    Malformed,
    #[error("there is no such key")]
    Unknown,
    #[error("the key {0} was revoked")]
    Revoked(KeyId),
    #[error("the key {0} has expired")]
    Expired(KeyId),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Unauthenticated> for Problem {
    fn from(error: Unauthenticated) -> Self {
        let detail = match error {
            Unauthenticated::Store(error) => return error.into(),
            Unauthenticated::Missing => "send `Authorization: Bearer <key>`; keys begin with flx_",
            Unauthenticated::Malformed
            | Unauthenticated::Unknown
            | Unauthenticated::Revoked(_)
            | Unauthenticated::Expired(_) => "the key is not valid",
        };
        tracing::info!(reason = %error, "a request was not authenticated");
        Self::new(ErrorCode::Unauthenticated, detail)
    }
}

answered_by_problem!(Unauthenticated);

/// The caller lacks a scope.
#[derive(Debug, thiserror::Error)]
#[error("this needs the scope `{needed}`; the key has {}", written(*.held))]
pub(crate) struct Forbidden {
    pub(crate) needed: Scope,
    pub(crate) held: Scopes,
}

fn written(held: Scopes) -> String {
    let names: Vec<String> = held.iter().map(|scope| format!("`{scope}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl From<Forbidden> for Problem {
    fn from(error: Forbidden) -> Self {
        Self::new(ErrorCode::Forbidden, error.to_string())
    }
}

/// Lets a request through to a handler if its caller has `needed`.
pub(crate) async fn authorize(
    State((app, needed)): State<(Shared, Scope)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = authenticate(&app, request.headers()).await?;
    if !caller.scopes.allow(needed) {
        return Err(Forbidden { needed, held: caller.scopes }.into());
    }
    tracing::debug!(key = %caller.key, scope = needed.as_str(), "a caller was let through");
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The caller of a request with these headers.
pub(crate) async fn authenticate(app: &Shared, headers: &HeaderMap) -> Result<Caller, Unauthenticated> {
    let text = bearer(headers).ok_or(Unauthenticated::Missing)?;
    if !key::is_well_formed(text) {
        return Err(Unauthenticated::Malformed);
    }
    let hash = key::hash(text);
    let row = app.reader().query(move |store| store.key_by_hash(&hash)).await?;
    let row = row.filter(|row| key::is_same(&row.hash, &hash)).ok_or(Unauthenticated::Unknown)?;
    let now = app.clock.now();
    check(&row, now)?;
    touch(app, &row, now);
    Ok(Caller {
        tenant: row.tenant,
        key: row.id,
        name: row.name.into(),
        // A scope of a later version is one that this version cannot grant.
        scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
    })
}

/// The credentials of the scheme `Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, text) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(text.trim())
}

fn check(row: &KeyRow, now: Timestamp) -> Result<(), Unauthenticated> {
    if row.revoked_at.is_some() {
        return Err(Unauthenticated::Revoked(row.id));
    }
    if row.expires_at.is_some_and(|end| end <= now) {
        return Err(Unauthenticated::Expired(row.id));
    }
    Ok(())
}

/// Notes the use, beside the request.
fn touch(app: &Shared, row: &KeyRow, now: Timestamp) {
    if !is_due(row.last_used_at, now) {
        return;
    }
    let (engine, command) = (app.engine.clone(), Command::TouchKey { key: row.id, at: now });
    tokio::spawn(async move {
        if let Err(error) = engine.submit(command).await {
            tracing::debug!(%error, "the use of a key was not noted");
        }
    });
}

fn is_due(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now.since(last) >= TOUCH_INTERVAL)
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        // The route table puts it there; a handler of an open route has no caller to ask for.
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(ErrorCode::Internal, "this route has no caller"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_bearer(value: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        assert_eq!(bearer(&headers), expected, "{value}");
    }

    #[test]
    fn a_use_is_noted_at_most_once_a_minute() {
        let at = Timestamp::from_millis;
        assert!(is_due(None, at(0)));
        assert!(!is_due(Some(at(0)), at(59_999)));
        assert!(is_due(Some(at(0)), at(60_000)));
        assert!(!is_due(Some(at(60_000)), at(0)), "the clock was set back");
    }

    #[test]
    fn only_bearer_credentials_are_read() {
        check_bearer("Bearer flx_a", Some("flx_a"));
        check_bearer("bearer  flx_a ", Some("flx_a"));
        check_bearer("Basic flx_a", None);
        check_bearer("flx_a", None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
