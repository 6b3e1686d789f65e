//! The functions of a project, read out of the flows that deploying writes for them: each has a
//! `trigger.function` and a `function.call`.

use flux_core::plan::Plan;
use flux_engine::{ActivePlan, EngineError, trigger_config};
use flux_model::{ErrorCode, Tenant, Timestamp, Value, config};
use flux_store::flows::FlowVersionRow;
use flux_store::{Store, StoreError};
use flux_triggers::function::{AnswerWhen, Auth, FunctionConfig, FunctionRoute};
use flux_triggers::route::{Method, Target};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Shared;
use crate::gateway::deployed::FUNCTION;
use crate::moment::Moment;
use crate::problem::{Problem, answered_by_problem};
use crate::schema;

/// The node type that calls a function.
const CALL: &str = "function.call";

/// A deployed function.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Function {
    /// Its name.
    pub(super) name: String,
    /// The path on the gateway; a part in braces is a parameter.
    route: String,
    /// The methods it answers to.
    #[schema(value_type = Vec<schema::Method>)]
    methods: Vec<Method>,
    /// Who may call.
    #[schema(value_type = schema::Auth)]
    auth: Auth,
    /// When a caller is answered.
    #[schema(value_type = schema::AnswerWhen)]
    answer: AnswerWhen,
    /// How long a caller waits for the answer, in milliseconds.
    timeout_ms: u64,
    /// The version of the project's functions that it is called in; the active one where absent.
    bundle: Option<String>,
    /// The JSON Schema that inputs must fit.
    #[schema(value_type = Option<serde_json::Value>)]
    input_schema: Option<Value>,
    /// The number of its version, from 1.
    version: u64,
    /// The hash of its version.
    hash: String,
    /// When that was first published.
    pub(super) published_at: Moment,
}

/// Why functions are not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FunctionsError {
    #[error("there is no function `{0}`")]
    NotFound(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FunctionsError> for Problem {
    fn from(error: FunctionsError) -> Self {
        match error {
            FunctionsError::NotFound(_) => {
                let problem = Self::new(ErrorCode::FunctionNotFound, error.to_string());
                problem.with_status(http::StatusCode::NOT_FOUND)
            }
            FunctionsError::Engine(error) => error.into(),
            FunctionsError::Store(error) => error.into(),
        }
    }
}

answered_by_problem!(FunctionsError);

/// The functions of a project, in no particular order.
pub(super) async fn functions(app: &Shared, tenant: Tenant) -> Result<Vec<Function>, FunctionsError> {
    let mut active = app.engine.active_plans().await?;
    active.retain(|active| active.tenant == tenant && active.plan.trigger().node_type == FUNCTION);
    let wanted: Vec<(String, String)> =
        active.iter().map(|active| (active.plan.flow().name.clone(), active.version.to_string())).collect();
    let versions = app.reader().query(move |store| versions(store, tenant, &wanted)).await?;
    let now = app.clock.now();
    let deployed = active.iter().zip(versions);
    Ok(deployed.filter_map(|(active, version)| Function::of(active, version?, now)).collect())
}

/// The versions of these names and hashes, each in its place.
fn versions(
    store: &dyn Store,
    tenant: Tenant,
    wanted: &[(String, String)],
) -> Result<Vec<Option<FlowVersionRow>>, StoreError> {
    wanted.iter().map(|(name, hash)| store.flow_version(tenant, name, hash)).collect()
}

impl Function {
    /// `None` if its route cannot be read: then it cannot be called either.
    fn of(active: &ActivePlan, version: FlowVersionRow, now: Timestamp) -> Option<Self> {
        let rendered = trigger_config(&active.plan, now).ok()?;
        let route = FunctionRoute::parse(&rendered).ok()?;
        let config: FunctionConfig = config::read(&rendered).ok()?;
        Some(Self {
            name: version.flow,
            route: format!("/{}", route.path()),
            methods: route.methods().to_vec(),
            auth: route.auth(),
            answer: route.answer(),
            timeout_ms: u64::try_from(route.timeout().as_millis()).unwrap_or(u64::MAX),
            bundle: bundle(&active.plan),
            input_schema: config.input_schema,
            version: version.number,
            hash: version.hash,
            published_at: version.published_at.into(),
        })
    }
}

fn bundle(plan: &Plan) -> Option<String> {
    let call = plan.flow().nodes.iter().find(|node| node.node_type == CALL)?;
    call.config.get("bundle")?.as_str().map(str::to_owned)
}
