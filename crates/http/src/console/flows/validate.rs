//! `POST /flows/validate`: everything that is wrong with a flow. Nothing is stored.

use axum::extract::State;
use flux_model::Diagnostic;
use serde::Serialize;
use utoipa::ToSchema;

use super::definition::{InvalidFlow, check, read};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::{Json, JsonBytes};
use crate::schema;

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Validation {
    /// Whether the flow can run.
    valid: bool,
    /// Errors and warnings, in the order of the file.
    #[schema(value_type = Vec<schema::Diagnostic>)]
    diagnostics: Vec<Diagnostic>,
}

/// Says everything that is wrong with a flow, and stores nothing.
#[utoipa::path(post, path = "/flows/validate", tag = "flows",
    request_body(content = schema::Flow, content_type = "application/json"),
    responses((status = 200, body = Validation)))]
pub(crate) async fn validate_flow(
    caller: Caller,
    State(app): State<Shared>,
    JsonBytes(body): JsonBytes,
) -> Json<Validation> {
    let checked = read(&body).and_then(|flow| check(&app, caller.tenant, &flow));
    Json(match checked {
        Ok(checked) => Validation { valid: true, diagnostics: checked.warnings },
        Err(InvalidFlow(diagnostics)) => Validation { valid: false, diagnostics },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow, hook_flow};

    #[tokio::test]
    async fn everything_is_said_at_once() {
        let world = World::start().await;
        let good = world.console("POST /flows/validate").json(flow("a")).send().await.is(200);
        assert_eq!((good.at("/valid"), good.at("/diagnostics")), (true.into(), json!([])));
        let bad = world.console("POST /flows/validate").body("not json").send().await.is(200);
        assert_eq!((bad.at("/valid"), bad.at("/diagnostics/0/code")), (false.into(), "flow_syntax".into()));
        world.console("GET /flows/a").send().await.is(404);
    }

    async fn check(world: &World, flow: serde_json::Value, code: &str, message: &str) {
        let bad = world.console("POST /flows/validate").json(flow.clone()).send().await.is(200);
        assert_eq!((bad.at("/valid"), bad.at("/diagnostics/0/code")), (false.into(), code.into()));
        let said = bad.at("/diagnostics/0/message");
        assert!(said.as_str().is_some_and(|said| said.contains(message)), "{said}");
        world.console("POST /flows").json(flow).send().await.is(422).has_code(code);
    }

    #[tokio::test]
    async fn bad_graphs_are_refused_by_code() {
        let world = World::start().await;
        let mut cycle = flow("a");
        let back = json!({"key": "back", "type": "data.set", "config": {"values": {}}});
        cycle["nodes"].as_array_mut().unwrap().push(back);
        for edge in [json!({"from": "next", "to": "back"}), json!({"from": "back", "to": "next"})] {
            cycle["edges"].as_array_mut().unwrap().push(edge);
        }
        check(&world, cycle, "cycle", "next").await;
        let mut unknown = flow("a");
        unknown["nodes"][1]["type"] = "data.sett".into();
        check(&world, unknown, "unknown_node_type", "`data.sett`").await;
        let mut large = flow("a");
        let node = |n: usize| json!({"key": format!("n{n}"), "type": "data.set", "config": {"values": {}}});
        large["nodes"].as_array_mut().unwrap().extend((0..5_000).map(node));
        check(&world, large, "flow_too_large", "5002 nodes, at most 2000").await;
        let mut cron = flow("a");
        cron["nodes"][0]["type"] = "trigger.schedule".into();
        cron["nodes"][0]["config"] = json!({"cron": "61 * * * *"});
        cron["nodes"][1]["config"] = json!({"values": {}});
        check(&world, cron, "config_invalid", "`61 * * * *` is not a cron expression").await;
        world.console("GET /flows/a").send().await.is(404);
    }

    #[tokio::test]
    async fn the_trigger_is_checked_beyond_its_schema_and_against_other_flows() {
        let world = World::start().await;
        let ranged = hook_flow("a", json!({"path": "x", "allow_ips": ["10.0.0.0/99"]}));
        let bad = world.console("POST /flows/validate").json(ranged).send().await.is(200);
        assert_eq!(bad.at("/diagnostics/0/node"), "hook");
        assert_eq!(bad.at("/diagnostics/0/field"), "config.allow_ips");
        world.publish(hook_flow("a", json!({"path": "x"}))).await;
        let other = hook_flow("b", json!({"path": "x"}));
        let clash = world.console("POST /flows/validate").json(other).send().await.is(200);
        assert!(
            clash.at("/diagnostics/0/message").as_str().unwrap().contains("both answer to POST /hooks/x")
        );
    }
}
