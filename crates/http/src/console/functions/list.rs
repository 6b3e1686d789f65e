//! `GET /functions`: the functions of the project, the last deployed first.

use std::cmp::Reverse;

use axum::extract::State;

use super::deployed::{Function, FunctionsError, functions};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::query::{PageQuery, Query};

/// Lists the functions of the project, the last deployed first.
#[utoipa::path(get, path = "/functions", tag = "functions", params(PageQuery),
    responses((status = 200, body = Listing<Function>)))]
pub(crate) async fn list_functions(
    caller: Caller,
    State(app): State<Shared>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Function>>, FunctionsError> {
    let mut found = functions(&app, caller.tenant).await?;
    found.sort_by_cached_key(|function| (Reverse(function.published_at.0), function.name.clone()));
    Ok(Json(Listing::cut(found, query.page(), |function| function)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow, function_flow};

    #[tokio::test]
    async fn functions_are_listed_and_flows_are_not() {
        let world = World::start().await;
        world.publish(function_flow("first", json!({"route": "/first"}))).await;
        world.clock.advance(1_000);
        world.publish(function_flow("second", json!({"route": "/second"}))).await;
        world.publish(flow("a")).await;
        let page = world.console("GET /functions?limit=1").send().await.is(200);
        assert_eq!((page.at("/items/0/name"), page.at("/items/1")), ("second".into(), ().into()));
        let next = format!("GET /functions?cursor={}", page.at("/next_cursor").as_str().unwrap());
        let page = world.console(&next).send().await.is(200);
        assert_eq!((page.at("/items/0/name"), page.at("/next_cursor")), ("first".into(), ().into()));
        world.console("GET /functions?flow=a").send().await.is(400);
        let flows = world.console("GET /flows").send().await.is(200);
        assert_eq!((flows.at("/items/0/name"), flows.at("/items/1")), ("a".into(), ().into()));
    }

    #[tokio::test]
    async fn what_is_switched_off_is_not_there() {
        let world = World::start().await;
        world.publish(function_flow("first", json!({"route": "/first"}))).await;
        let off = json!({"state": "inactive"});
        world.console("PUT /flows/first/state").json(off).send().await.is(200);
        let page = world.console("GET /functions").send().await.is(200);
        assert_eq!(page.at("/items"), json!([]));
        world.gateway("POST /first").send().await.is(404);
    }
}
