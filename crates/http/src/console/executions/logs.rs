//! `GET /executions/{id}/logs`: what an execution's nodes wrote, oldest first.

use axum::extract::State;
use flux_engine::reading::LogLine;
use flux_model::journal::LogLevel;
use flux_model::{ErrorCode, ExecutionId, NodePath, Value};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ExecutionError;
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::moment::Moment;
use crate::query::{Limit, Named, Query};
use crate::schema;

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogsQuery {
    /// Only this loud or louder: `debug` (where absent), `info`, `warn`, `error`.
    #[param(value_type = Option<String>)]
    level: Option<LogLevel>,
    /// Only from this journal entry on. Whoever follows the log asks with the `seq` of the last
    /// line plus one.
    #[serde(default)]
    cursor: u64,
    /// How many lines, 1 to 200; 50 where absent.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Limit,
}

/// A line of log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(crate) struct LogLineView {
    /// The number of its journal entry.
    seq: u64,
    /// When.
    at: Moment,
    /// `debug`, `info`, `warn` or `error`.
    #[schema(value_type = String)]
    level: LogLevel,
    /// The node it is about.
    #[schema(value_type = Option<schema::NodePath>)]
    node: Option<NodePath>,
    /// The line.
    message: String,
    /// Named values.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = serde_json::Value)]
    fields: Value,
    /// The code, where it is a warning or an error of a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::ErrorCode>)]
    code: Option<ErrorCode>,
}

impl From<LogLine> for LogLineView {
    fn from(line: LogLine) -> Self {
        Self {
            seq: line.seq,
            at: line.at.into(),
            level: line.level,
            node: line.node,
            message: line.message,
            fields: line.fields,
            code: line.code,
        }
    }
}

/// Shows the log of an execution, oldest first.
#[utoipa::path(get, path = "/executions/{id}/logs", tag = "executions",
    params(("id" = schema::ExecutionId, Path, description = "The execution"), LogsQuery),
    responses((status = 200, body = Listing<LogLineView>)))]
pub(crate) async fn get_logs(
    caller: Caller,
    State(app): State<Shared>,
    Named(id): Named<ExecutionId>,
    Query(query): Query<LogsQuery>,
) -> Result<Json<Listing<LogLineView>>, ExecutionError> {
    let level = query.level.unwrap_or(LogLevel::Debug);
    let mut lines = app.engine.logs(caller.tenant, id).await?;
    lines.retain(|line| line.seq >= query.cursor && line.level >= level);
    let next_cursor = lines.get(query.limit.0).map(|line| line.seq.to_string());
    lines.truncate(query.limit.0);
    Ok(Json(Listing { items: lines.into_iter().map(LogLineView::from).collect(), next_cursor }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, failing_flow};

    #[tokio::test]
    async fn failures_are_in_the_log() {
        let world = World::start().await;
        world.publish(failing_flow("a")).await;
        let id = world.run("a").await;
        let log = world.console(&format!("GET /executions/{id}/logs?level=error")).send().await.is(200);
        assert_eq!((log.at("/items/0/level"), log.at("/items/0/node")), ("error".into(), "next".into()));
        let after = log.at("/items/0/seq").as_u64().unwrap() + 1;
        let rest =
            world.console(&format!("GET /executions/{id}/logs?level=error&cursor={after}")).send().await;
        assert_eq!(rest.is(200).at("/items").as_array().map(Vec::len), Some(0));
        world.console(&format!("GET /executions/{id}/logs?level=loud")).send().await.is(400);
        world.console("GET /executions/exec_00000000000000000000000000/logs").send().await.is(404);
    }
}
