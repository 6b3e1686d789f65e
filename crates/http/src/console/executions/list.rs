//! `GET /executions`: executions, newest first.

use axum::extract::State;
use flux_model::{ExecutionId, ExecutionKind, ExecutionStatus};
use flux_store::ExecutionFilter;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::view::ExecutionSummary;
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::moment::Moment;
use crate::query::{Limit, PageCursor, Query, page};
use crate::refusal::ReadError;

/// Which executions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExecutionsQuery {
    /// Only with this status, or one of several joined by commas.
    #[serde(default, deserialize_with = "statuses")]
    #[param(value_type = Option<String>, example = "failed,cancelled")]
    status: Vec<ExecutionStatus>,
    /// Only of this flow.
    flow: Option<String>,
    /// Only of this function.
    function: Option<String>,
    /// Only of this kind: `flow`, `function` or `captured`.
    #[param(value_type = Option<String>)]
    kind: Option<ExecutionKind>,
    /// Only accepted at or after this time, RFC 3339.
    #[param(value_type = Option<String>)]
    since: Option<Moment>,
    /// Only accepted before this time, RFC 3339.
    #[param(value_type = Option<String>)]
    until: Option<Moment>,
    /// Only of this trace.
    trace: Option<String>,
    /// Only called by this execution.
    #[param(value_type = Option<String>)]
    parent: Option<ExecutionId>,
    /// Where the page begins: `next_cursor` of the one before.
    #[param(value_type = Option<String>)]
    cursor: Option<PageCursor>,
    /// How many, 1 to 200; 50 where absent.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Limit,
}

fn statuses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ExecutionStatus>, D::Error> {
    use serde::de::IntoDeserializer;
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.split(',').map(|name| ExecutionStatus::deserialize(name.into_deserializer())).collect()
}

/// Lists executions, newest first.
#[utoipa::path(get, path = "/executions", tag = "executions", params(ExecutionsQuery),
    responses((status = 200, body = Listing<ExecutionSummary>)))]
pub(crate) async fn list_executions(
    caller: Caller,
    State(app): State<Shared>,
    Query(query): Query<ExecutionsQuery>,
) -> Result<Json<Listing<ExecutionSummary>>, ReadError> {
    let page = page(query.cursor, query.limit);
    let Some(filter) = query.filter() else { return Ok(Json(Listing::whole(Vec::new()))) };
    let found = app.reader().query(move |store| store.executions(caller.tenant, &filter, page)).await?;
    Ok(Json(Listing::of(found, ExecutionSummary::from)))
}

impl ExecutionsQuery {
    /// `None` if nothing can be a flow and a function at once.
    fn filter(self) -> Option<ExecutionFilter> {
        let of_function = self.function.is_some().then_some(ExecutionKind::Function);
        let contradicts = self.flow.is_some() && self.function.is_some()
            || of_function.is_some() && self.kind.is_some() && self.kind != of_function;
        (!contradicts).then(|| ExecutionFilter {
            statuses: self.status,
            kind: self.kind.or(of_function),
            flow: self.flow.or(self.function),
            request_id: self.trace,
            parent: self.parent,
            since: self.since.map(|since| since.0),
            until: self.until.map(|until| until.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, failing_flow, flow};

    #[tokio::test]
    async fn filters_narrow_the_list() {
        let world = World::start().await;
        world.publish(flow("good")).await;
        world.publish(failing_flow("bad")).await;
        let first = world.run("good").await;
        world.clock.advance(1_000);
        let cut = world.clock.text();
        world.clock.advance(1_000);
        let second = world.run("bad").await;
        let check = async |query: &str, expected: &[&str]| {
            let found = world.console(&format!("GET /executions?{query}")).send().await.is(200);
            let ids: Vec<_> =
                found.at("/items").as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
            assert_eq!(ids, expected, "{query}");
        };
        check("", &[&second, &first]).await;
        check("status=failed", &[&second]).await;
        check("status=succeeded,failed&limit=1", &[&second]).await;
        check("flow=good", &[&first]).await;
        check("function=good", &[]).await;
        check("kind=function", &[]).await;
        check(&format!("since={cut}"), &[&second]).await;
        check(&format!("until={cut}"), &[&first]).await;
        check("trace=nothing", &[]).await;
        check(&format!("parent={first}"), &[]).await;
    }

    #[tokio::test]
    async fn bad_filters_are_explained() {
        let world = World::start().await;
        let check = async |query: &str, says: &str| {
            world.console(&format!("GET /executions?{query}")).send().await.is(400).says(says);
        };
        check("status=broken", "unknown variant `broken`").await;
        check("since=yesterday", "`yesterday` is not an RFC 3339 time").await;
        check("parent=exec_1", "is not an id of the form exec_").await;
        check("limit=1000", "1000 is not between 1 and 200").await;
        check("stats=failed", "write `status`").await;
    }
}
