//! `GET /executions/{id}/logs`: what an execution's nodes wrote, oldest first.

use axum::extract::State;
use flux_engine::LogQuery;
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
    /// Where the page begins: `next_cursor` of the one before. Whoever follows the log of an
    /// execution that goes on asks with the `seq` of the last line plus one.
    #[serde(default)]
    cursor: u64,
    /// How many lines, 1 to 200; 50 where absent. A page may have fewer, even none, and still not
    /// be the last.
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
    let part = LogQuery {
        from_seq: query.cursor,
        level: query.level.unwrap_or(LogLevel::Debug),
        lines_max: query.limit.0,
    };
    let part = app.engine.log_part(caller.tenant, id, part).await?;
    let items = part.lines.into_iter().map(LogLineView::from).collect();
    Ok(Json(Listing { items, next_cursor: part.next_seq.map(|seq| seq.to_string()) }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    #[tokio::test]
    async fn pages_follow_each_other_without_gap() {
        let world = World::start().await;
        let mut flow = failing_flow("a");
        flow["nodes"][1]["for_each"] = json!("{{ [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] }}");
        flow["nodes"][1]["on_error"] = json!("continue");
        world.publish(flow).await;
        let id = world.run("a").await;
        let path = format!("GET /executions/{id}/logs?level=error");
        let whole = world.console(&path).send().await.is(200);
        let all = whole.at("/items").as_array().unwrap().clone();
        assert_eq!((all.len(), whole.at("/next_cursor")), (10, json!(null)));
        let (mut cursor, mut collected) = ("0".to_owned(), Vec::new());
        loop {
            let page = world.console(&format!("{path}&limit=3&cursor={cursor}")).send().await.is(200);
            let lines = page.at("/items").as_array().unwrap().clone();
            assert!(lines.len() <= 3, "{lines:?}");
            collected.extend(lines);
            let Some(next) = page.at("/next_cursor").as_str().map(str::to_owned) else { break };
            cursor = next;
        }
        assert_eq!(collected, all);
    }
}
