//! `GET /forms/{path}`: the page of a form.

use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use flux_triggers::form::content_security_policy;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::answer::nothing_here;
use super::deployed::FormRoute;
use super::project::{SelectError, Selected, select};
use crate::app::Shared;
use crate::problem::{Problem, answered_by_problem};

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    HeaderValue::try_from(content_security_policy()).expect("the policy is a constant of ASCII letters")
});

/// Why there is no page.
#[derive(Debug)]
pub(super) enum FormError {
    /// No such project or path.
    NothingHere,
    /// The request carries a key that is not valid.
    Select(Problem),
}

impl From<SelectError> for FormError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::NoProject => Self::NothingHere,
            SelectError::Key(error) => Self::Select(error.into()),
        }
    }
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        match error {
            FormError::NothingHere => nothing_here(),
            FormError::Select(problem) => problem,
        }
    }
}

answered_by_problem!(FormError);

pub(super) async fn show_form(State(app): State<Shared>, request: Request) -> Result<Response, FormError> {
    let (parts, _) = request.into_parts();
    let route = find(&app, &parts).await?;
    Ok(page(StatusCode::OK, route.form.render(None, &[])))
}

/// The form that a request is for.
pub(super) async fn find(app: &Shared, parts: &Parts) -> Result<Arc<FormRoute>, FormError> {
    let Selected { tenant, path, .. } = select(app, &parts.headers, parts.uri.path()).await?;
    let path = path.strip_prefix("/forms/").ok_or(FormError::NothingHere)?;
    app.deployments.current().form(tenant, path).ok_or(FormError::NothingHere)
}

/// A page of a form, with the headers that keep it a page and nothing else.
pub(super) fn page(status: StatusCode, html: String) -> Response {
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
