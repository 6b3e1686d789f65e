//! `POST /templates/preview`: what a template gives, against a context or against an execution.

use std::sync::Arc;

use axum::extract::State;
use flux_core::template::{Scope, TemplateError, Templated, Warning, Warnings};
use flux_engine::EngineError;
use flux_engine::reading::NodeRun;
use flux_model::value::Object;
use flux_model::{ErrorCode, ExecutionId, Flow, NodePath, Tenant, Timestamp, Value};
use flux_store::{ExecutionRow, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::caller::{Caller, Forbidden};
use crate::access::scope;
use crate::app::Shared;
use crate::body::Json;
use crate::problem::{Problem, answered_by_problem};
use crate::schema;

/// What to evaluate, and against what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewRequest {
    /// A text with `{{ expressions }}`, or any JSON in which texts may hold them.
    #[schema(value_type = serde_json::Value)]
    template: Value,
    /// The roots as an object: `{"order": …, "vars": …}`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    context: Option<Value>,
    /// An execution whose node outputs are the roots. Needs the scope `executions:read`.
    #[serde(default)]
    #[schema(value_type = Option<schema::ExecutionId>)]
    execution: Option<ExecutionId>,
}

/// What came of it: a value, or an error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    /// The value; secrets in it are masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<Value>,
    /// Paths that led nowhere and gave null.
    warnings: Vec<PreviewWarning>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<PreviewError>,
    /// The first of the errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<PreviewError>,
}

/// A path that led nowhere.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewWarning {
    /// The path.
    path: String,
    /// Where it stopped, and what is there instead.
    message: String,
    /// The field, where the template is not a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// What is wrong with a template.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PreviewError {
    /// The stable code.
    #[schema(value_type = schema::ErrorCode)]
    code: ErrorCode,
    /// What is wrong.
    message: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
    /// The field, where the template is not a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PreviewFailure {
    #[error("give `context` or `execution`, not both")]
    TwoContexts,
    #[error("context: an object is expected, not of type {0}")]
    NotAnObject(&'static str),
    #[error("there is no execution {0}")]
    NotFound(ExecutionId),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("the evaluation stopped unexpectedly")]
    Stopped,
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PreviewFailure> for Problem {
    fn from(error: PreviewFailure) -> Self {
        match error {
            PreviewFailure::TwoContexts | PreviewFailure::NotAnObject(_) => Self::invalid(error.to_string()),
            PreviewFailure::NotFound(_) => Self::not_found(error.to_string()),
            PreviewFailure::Stopped => Self::new(ErrorCode::Internal, error.to_string()),
            PreviewFailure::Forbidden(error) => error.into(),
            PreviewFailure::Engine(error) => error.into(),
            PreviewFailure::Store(error) => error.into(),
        }
    }
}

answered_by_problem!(PreviewFailure);

/// Says what a template gives, without running anything.
#[utoipa::path(post, path = "/templates/preview", tag = "flows",
    request_body = PreviewRequest,
    responses((status = 200, body = Preview)))]
pub(crate) async fn preview_template(
    caller: Caller,
    State(app): State<Shared>,
    Json(request): Json<PreviewRequest>,
) -> Result<Json<Preview>, PreviewFailure> {
    let now = app.clock.now();
    let roots = roots(&app, &caller, request.context, request.execution).await?;
    let template = request.template;
    // Bounded, but by steps and not by time: it must not hold up other requests.
    let evaluated =
        tokio::task::spawn_blocking(move || evaluate(&template, &PreviewScope { roots, now })).await;
    evaluated.map(Json).map_err(|_| PreviewFailure::Stopped)
}

async fn roots(
    app: &Shared,
    caller: &Caller,
    context: Option<Value>,
    execution: Option<ExecutionId>,
) -> Result<Arc<Object>, PreviewFailure> {
    match (context, execution) {
        (Some(_), Some(_)) => Err(PreviewFailure::TwoContexts),
        (None, None) => Ok(Arc::default()),
        (Some(Value::Object(members)), None) => Ok(members),
        (Some(other), None) => Err(PreviewFailure::NotAnObject(other.type_name())),
        (None, Some(id)) => {
            let needed = scope::Scope::ExecutionsRead;
            if !caller.scopes.allow(needed) {
                return Err(Forbidden { needed, held: caller.scopes }.into());
            }
            roots_of(app, caller.tenant, id).await
        }
    }
}

/// What templates of an execution see: the outputs of its nodes, its trigger and its flow's
/// constants.
async fn roots_of(app: &Shared, tenant: Tenant, id: ExecutionId) -> Result<Arc<Object>, PreviewFailure> {
    let row = app.reader().query(move |store| store.execution(tenant, id)).await?;
    let row = row.ok_or(PreviewFailure::NotFound(id))?;
    let runs = app.engine.node_runs(tenant, id).await?;
    let (name, hash) = (row.flow.clone(), row.version.clone());
    let version = app.reader().query(move |store| store.flow_version(tenant, &name, &hash)).await?;
    let flow = version.and_then(|version| serde_json::from_str::<Flow>(&version.definition).ok());
    Ok(Arc::new(assemble(&row, &runs, flow.as_ref())))
}

fn assemble(row: &ExecutionRow, runs: &[NodeRun], flow: Option<&Flow>) -> Object {
    let mut roots = Object::new();
    for run in runs.iter().filter(|run| run.path == NodePath::root(run.path.key())) {
        let output = run.output.clone().unwrap_or_default();
        if run.node_type.starts_with("trigger.") {
            roots.insert("trigger".into(), output.clone());
        }
        roots.insert(run.path.key().into(), output);
    }
    let vars = flow.into_iter().flat_map(|flow| &flow.settings.vars);
    roots.insert("vars".into(), Value::object(vars.map(|(name, value)| (name, value.clone()))));
    let started = row.started_at.map_or(Value::Null, |at| Value::text(at.to_string()));
    let execution = [("id", Value::text(row.id.to_string())), ("started_at", started)];
    roots.insert("execution".into(), Value::object(execution));
    roots
}

fn evaluate(template: &Value, scope: &PreviewScope) -> Preview {
    let mut warnings = Warnings::new();
    let rendered = Templated::compile(template, &[])
        .and_then(|compiled| compiled.render(scope, &mut warnings).map_err(|error| vec![error]));
    let warnings = warnings.into_vec().into_iter().map(PreviewWarning::from).collect();
    match rendered {
        Ok(value) => Preview { value: Some(value), warnings, errors: Vec::new(), error: None },
        Err(errors) => {
            let errors: Vec<PreviewError> = errors.into_iter().map(PreviewError::from).collect();
            Preview { value: None, warnings, error: errors.first().cloned(), errors }
        }
    }
}

impl From<Warning> for PreviewWarning {
    fn from(warning: Warning) -> Self {
        Self {
            path: warning.path,
            message: warning.message,
            field: warning.field.filter(|field| !field.is_empty()),
        }
    }
}

impl From<TemplateError> for PreviewError {
    fn from(error: TemplateError) -> Self {
        let field = error.field.filter(|field| !field.is_empty());
        Self { code: error.code, message: error.message, suggestion: error.suggestion, field }
    }
}

struct PreviewScope {
    roots: Arc<Object>,
    now: Timestamp,
}

impl Scope for PreviewScope {
    fn root(&self, name: &str) -> Option<Value> {
        self.roots.get(name).cloned()
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn root_names(&self) -> Vec<String> {
        self.roots.keys().map(|name| name.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::access::scope::Scope;
    use crate::testing::{World, flow};

    #[tokio::test]
    async fn a_template_gives_a_value_warnings_or_an_error() {
        let world = World::start().await;
        let preview = async |body: serde_json::Value| {
            world.console("POST /templates/preview").json(body).send().await.is(200)
        };
        let context = json!({"order": {"total": 7}});
        let typed = preview(json!({"template": "{{ order.total }}", "context": context})).await;
        assert_eq!((typed.at("/value"), typed.at("/warnings")), (7.into(), json!([])));
        let object = preview(json!({"template": {"a": ["{{ order.total + 1 }}"]}, "context": context})).await;
        assert_eq!(object.at("/value/a/0"), 8);
        let lost = preview(json!({"template": "{{ order.totl }}", "context": context})).await;
        assert_eq!((lost.at("/value"), lost.at("/warnings/0/path")), (().into(), "order.totl".into()));
        let wrong = preview(json!({"template": "{{ order. }}", "context": context})).await;
        assert_eq!(wrong.at("/error/code"), "template_syntax");
        for bomb in ["{{ repeat('a', 1000000000) }}", "{{ repeat(repeat('a', 2000000), 3) }}"] {
            let stopped = preview(json!({"template": bomb})).await;
            assert_eq!(stopped.at("/error/code"), "template_budget", "{bomb}");
        }
        let secret = preview(json!({"template": "{{ secrets.token }}"})).await;
        assert_eq!(secret.at("/value"), json!({"$secret": "token"}));
    }

    #[tokio::test]
    async fn an_execution_is_a_context_for_those_who_may_see_it() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let id = world.run("a").await;
        let body = json!({"template": "{{ next.n }} of {{ execution.id }}", "execution": id});
        let shown = world.console("POST /templates/preview").json(body.clone()).send().await.is(200);
        assert_eq!(shown.at("/value"), format!("1 of {id}"));
        let narrow = world.key("narrow", &[Scope::FlowsRead]).await;
        world.console("POST /templates/preview").key(&narrow).json(body).send().await.is(403);
    }

    #[tokio::test]
    async fn bad_requests_are_explained() {
        let world = World::start().await;
        let check = async |body: serde_json::Value, status: u16| {
            world.console("POST /templates/preview").json(body).send().await.is(status);
        };
        check(json!({"template": "", "context": [], }), 400).await;
        check(json!({"template": "", "context": {}, "execution": "exec_00000000000000000000000000"}), 400)
            .await;
        check(json!({"template": "", "execution": "exec_00000000000000000000000000"}), 404).await;
        check(json!({}), 400).await;
    }
}
