//! `GET /flows`: the flows of the project, the last changed first. Functions have a list of their own.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::summary::{FlowSummary, is_function};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::query::{Limit, PageCursor, Query, page};
use crate::refusal::ReadError;

/// Which flows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FlowsQuery {
    /// Only flows whose name contains this.
    search: Option<String>,
    /// Where the page begins: `next_cursor` of the one before.
    #[param(value_type = Option<String>)]
    cursor: Option<PageCursor>,
    /// How many, 1 to 200; 50 where absent.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Limit,
}

/// Lists the flows of the project, the last changed first.
#[utoipa::path(get, path = "/flows", tag = "flows", params(FlowsQuery),
    responses((status = 200, body = Listing<FlowSummary>)))]
pub(crate) async fn list_flows(
    caller: Caller,
    State(app): State<Shared>,
    Query(query): Query<FlowsQuery>,
) -> Result<Json<Listing<FlowSummary>>, ReadError> {
    let mut rows = app.reader().query(move |store| store.flows(caller.tenant)).await?;
    rows.retain(|row| query.search.as_ref().is_none_or(|part| row.name.contains(part.as_str())));
    rows.retain(|row| !is_function(row));
    rows.sort_by(|left, right| right.updated_at.cmp(&left.updated_at).then(left.name.cmp(&right.name)));
    Ok(Json(Listing::cut(rows, page(query.cursor, query.limit), |row| FlowSummary::from(&row))))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, flow};

    #[tokio::test]
    async fn pages_and_searches() {
        let world = World::start().await;
        for name in ["alpha", "beta", "gamma"] {
            world.console("POST /flows").json(flow(name)).send().await.is(201);
            world.clock.advance(1_000);
        }
        let first = world.console("GET /flows?limit=2").send().await.is(200);
        assert_eq!(first.at("/items/0/name"), "gamma");
        assert_eq!(first.at("/items/0/state"), "draft");
        assert_eq!(first.at("/items/0/trigger"), "trigger.manual");
        let path = format!("GET /flows?limit=2&cursor={}", first.at("/next_cursor").as_str().unwrap());
        let second = world.console(&path).send().await.is(200);
        assert_eq!((second.at("/items/0/name"), second.at("/next_cursor")), ("alpha".into(), ().into()));
        let found = world.console("GET /flows?search=et").send().await.is(200);
        assert_eq!(found.at("/items/0/name"), "beta");
        world.console("GET /flows?limit=201").send().await.is(400).says("PAGE_ROWS_MAX");
        world.console("GET /flows?cursor=x").send().await.is(400).says("cursor");
    }
}
