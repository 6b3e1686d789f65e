//! `POST /forms/{path}`: a submission starts the flow. A browser gets a page, a program JSON.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use flux_engine::{Admission, TriggerKind};
use flux_model::{ErrorCode, Value};
use flux_triggers::form::{Encoding, Rejected, SUBMISSION_BYTES_MAX};
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::answer::{accepted, refused};
use super::deployed::FormRoute;
use super::form_page::{FormError, find, page};
use crate::app::Shared;
use crate::body::{self, BodyLimits};
use crate::problem::{FieldProblem, Problem, answered_by_problem};
use crate::request_id::RequestId;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a submission did not start the flow, where the answer is not a page.
#[derive(Debug)]
pub(super) enum SubmitError {
    /// There is no form.
    Form(FormError),
    /// The body is neither a browser's form nor JSON.
    MediaType,
    /// The page of another site sent it.
    Foreign,
    /// A program's answers do not fit the form.
    Rejected(Rejected),
    /// The body is too large or too slow, or the flow was not started.
    Refused(Problem),
}

impl From<FormError> for SubmitError {
    fn from(error: FormError) -> Self {
        Self::Form(error)
    }
}

impl From<Problem> for SubmitError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Form(error) => error.into(),
            SubmitError::Refused(problem) => problem,
            SubmitError::MediaType => Self::new(
                ErrorCode::MediaTypeUnsupported,
                "send the form as application/x-www-form-urlencoded or as JSON",
            ),
            SubmitError::Foreign => {
                Self::new(ErrorCode::Forbidden, "a form is sent from its own page, not from another site")
            }
            SubmitError::Rejected(rejected) => {
                let field = |error: flux_triggers::schema::FieldError| FieldProblem {
                    field: error.field,
                    message: error.message,
                    suggestion: None,
                };
                let errors = rejected.errors.into_iter().map(field).collect();
                Self::new(ErrorCode::InputInvalid, "the answers do not fit the form").with_errors(errors)
            }
        }
    }
}

answered_by_problem!(SubmitError);

pub(super) async fn submit_form(
    State(app): State<Shared>,
    request: Request,
) -> Result<Response, SubmitError> {
    let (parts, body) = request.into_parts();
    let route = find(&app, &parts).await?;
    let encoding = encoding(&parts.headers)?;
    let limits = BodyLimits { bytes_max: SUBMISSION_BYTES_MAX, ..app.limits.body };
    let body = body::read(&parts.headers, body, limits).await?;
    let read = route.form.read(encoding, &body);
    match (encoding, read) {
        (Encoding::Form, Err(rejected)) => {
            let again = route.form.render(Some(&rejected.values), &rejected.errors);
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, again))
        }
        (Encoding::Json, Err(rejected)) => Err(SubmitError::Rejected(rejected)),
        (encoding, Ok(input)) => start(&app, &route, &parts, (encoding, input)).await,
    }
}

async fn start(
    app: &Shared,
    route: &FormRoute,
    parts: &Parts,
    (encoding, input): (Encoding, Value),
) -> Result<Response, SubmitError> {
    let mut admission = Admission::new(route.tenant, &route.flow, TriggerKind::Form, input);
    admission.request_id = RequestId::in_parts(parts).as_str().to_owned();
    let admitted = app.engine.admit(admission).await.map_err(refused)?;
    Ok(match encoding {
        Encoding::Form => page(StatusCode::OK, route.form.render_success()).into_response(),
        Encoding::Json => accepted(admitted.id, None),
    })
}

/// How the submission is written. What a page of another site sends is refused where the browser
/// says so; a form has no session, so there is nothing to forge beyond that.
fn encoding(headers: &HeaderMap) -> Result<Encoding, SubmitError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text(SEC_FETCH_SITE) == "cross-site" {
        return Err(SubmitError::Foreign);
    }
    let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => Ok(Encoding::Form),
        "application/json" => Ok(Encoding::Json),
        _ => Err(SubmitError::MediaType),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Call, World};

    async fn world() -> World {
        let world = World::start().await;
        let schema = json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "minLength": 2}, "count": {"type": "integer"}}});
        let config = json!({"path": "contact/us", "title": "Contact <us>", "schema": schema});
        world
            .publish(json!({"flux": 1, "name": "a",
                "nodes": [{"key": "form", "type": "trigger.form", "config": config},
                          {"key": "next", "type": "data.set", "config": {"values": {"n": "{{ form.count }}"}}}],
                "edges": [{"from": "form", "to": "next"}]}))
            .await;
        world
    }

    fn browser(world: &World, body: &str) -> Call {
        let call = world.gateway("POST /forms/contact/us").body(body);
        call.header("content-type", "application/x-www-form-urlencoded")
    }

    #[tokio::test]
    async fn the_page_is_a_page_and_nothing_else() {
        let world = world().await;
        let page = world.gateway("GET /forms/contact/us").send().await.is(200);
        assert!(page.text().contains("Contact &lt;us&gt;"));
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        world.gateway("GET /forms/contact").send().await.is(404);
        world.gateway("GET /p/other/forms/contact/us").send().await.is(404);
        world.gateway("DELETE /forms/contact/us").send().await.is(405);
    }

    #[tokio::test]
    async fn a_browser_gets_a_page() {
        let world = world().await;
        let thanks = browser(&world, "name=Ada&count=3").send().await.is(200);
        assert!(thanks.text().contains("Thank you."));
        let again = browser(&world, "name=A&count=x").send().await.is(422);
        assert!(again.text().contains("value=\"x\"") && again.text().contains("role=\"alert\""));
        let foreign = browser(&world, "name=Ada").header("sec-fetch-site", "cross-site");
        foreign.send().await.is(403).has_code("forbidden");
    }

    #[tokio::test]
    async fn a_program_gets_json() {
        let world = world().await;
        let call = || world.gateway("POST /forms/contact/us");
        let started = call().json(json!({"name": "Ada", "count": 3})).send().await.is(202);
        let ended = world.settled(started.at("/id").as_str().unwrap()).await;
        assert_eq!((ended.at("/output/n"), ended.at("/trigger")), (3.into(), "trigger.form".into()));
        let refused = call().json(json!({"name": "A", "admin": true})).send().await.is(422);
        assert_eq!(
            (refused.at("/code"), refused.at("/errors/1")),
            ("input_invalid".into(), refused.at("/errors/1"))
        );
        assert!(refused.at("/errors").as_array().unwrap().iter().any(|error| error["field"] == "admin"));
        call().body("x").header("content-type", "text/plain").send().await.is(415);
        call().body(vec![b' '; 1_100_000]).send().await.is(413);
    }
}
