//! `GET /functions/{name}`: one function.

use axum::extract::State;

use super::deployed::{Function, FunctionsError, functions};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::query::Named;

/// Shows a function.
#[utoipa::path(get, path = "/functions/{name}", tag = "functions",
    params(("name" = String, Path, description = "The function's name")),
    responses((status = 200, body = Function)))]
pub(crate) async fn get_function(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
) -> Result<Json<Function>, FunctionsError> {
    let found = functions(&app, caller.tenant).await?.into_iter().find(|function| function.name == name);
    found.map(Json).ok_or(FunctionsError::NotFound(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow, function_flow};

    #[tokio::test]
    async fn a_function_shows_what_was_deployed() {
        let world = World::start().await;
        let schema = json!({"type": "object"});
        let config = json!({"route": "orders/{id}", "method": ["PUT", "PATCH"], "auth": "none",
            "answer": "accepted", "timeout_ms": 5_000, "input_schema": schema});
        let mut function = function_flow("save", config.clone());
        function["nodes"][1] =
            json!({"key": "next", "type": "function.call", "config": {"function": "save", "bundle": "b1"}});
        world.publish(function_flow("save", config)).await;
        let published_at = world.clock.text();
        let hash = world.publish(function).await;
        let shown = world.console("GET /functions/save").send().await.is(200);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown.text()).unwrap(),
            json!({"name": "save", "route": "/orders/{id}", "methods": ["PUT", "PATCH"], "auth": "none",
                "answer": "accepted", "timeout_ms": 5_000, "bundle": "b1", "input_schema": schema,
                "version": 2, "hash": hash, "published_at": published_at})
        );
    }

    #[tokio::test]
    async fn a_flow_is_no_function_and_a_function_no_flow() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        world.publish(function_flow("f", json!({"route": "/f"}))).await;
        world.console("GET /functions/a").send().await.is(404).has_code("function_not_found");
        for path in ["f", "f/versions", "f/diff"] {
            let refused = world.console(&format!("GET /flows/{path}")).send().await.is(404);
            refused.has_code("flow_not_found").says("`f` is a function; see /api/v1/functions/f");
        }
    }
}
