//! The routes of the console API, each with the scope its callers need. The handler's name is the
//! operation id.

use http::Method;

use super::{
    events, executions, flows, functions, keys, node_types, openapi, reviews, secrets, status,
    template_preview, traces,
};
use crate::access::scope::Scope;
use crate::route::Access::{Needs, Open};
use crate::route::Endpoint;

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Endpoint> {
    use Scope::*;
    let get = |path, access| Row { method: Method::GET, path, access };
    let post = |path, access| Row { method: Method::POST, path, access };
    let put = |path, access| Row { method: Method::PUT, path, access };
    let delete = |path, access| Row { method: Method::DELETE, path, access };
    vec![
        get("/openapi.json", Open).by(openapi::get_openapi),
        get("/status", Needs(ExecutionsRead)).by(status::get_status),
        get("/node-types", Needs(FlowsRead)).by(node_types::list_node_types),
        post("/templates/preview", Needs(FlowsRead)).by(template_preview::preview_template),

        get("/flows", Needs(FlowsRead)).by(flows::list::list_flows),
        post("/flows", Needs(FlowsWrite)).by(flows::save::save_flow),
        post("/flows/validate", Needs(FlowsRead)).by(flows::validate::validate_flow),
        get("/flows/{name}", Needs(FlowsRead)).by(flows::get::get_flow),
        delete("/flows/{name}", Needs(FlowsWrite)).by(flows::delete::delete_flow),
        get("/flows/{name}/versions", Needs(FlowsRead)).by(flows::versions::list_flow_versions),
        get("/flows/{name}/diff", Needs(FlowsRead)).by(flows::diff::diff_flow),
        post("/flows/{name}/publish", Needs(FlowsWrite)).by(flows::publish::publish_flow),
        post("/flows/{name}/restore", Needs(FlowsWrite)).by(flows::restore::restore_flow),
        put("/flows/{name}/state", Needs(FlowsWrite)).by(flows::state::set_flow_state),
        post("/flows/{name}/executions", Needs(ExecutionsWrite)).by(executions::start::start_execution),

        get("/functions", Needs(FlowsRead)).by(functions::list::list_functions),
        get("/functions/{name}", Needs(FlowsRead)).by(functions::get::get_function),

        get("/executions", Needs(ExecutionsRead)).by(executions::list::list_executions),
        get("/executions/{id}", Needs(ExecutionsRead)).by(executions::get::get_execution),
        get("/executions/{id}/journal", Needs(ExecutionsRead)).by(executions::journal::get_journal),
        get("/executions/{id}/logs", Needs(ExecutionsRead)).by(executions::logs::get_logs),
        post("/executions/{id}/cancel", Needs(ExecutionsWrite)).by(executions::cancel::cancel_execution),
        post("/executions/{id}/signal", Needs(ExecutionsWrite)).by(executions::signal::signal_execution),
        post("/executions/{id}/rerun", Needs(ExecutionsWrite)).by(executions::rerun::rerun_execution),
        get("/traces/{request_id}", Needs(ExecutionsRead)).by(traces::get_trace),

        get("/reviews", Needs(ReviewsRead)).by(reviews::list::list_reviews),
        get("/reviews/{id}", Needs(ReviewsRead)).by(reviews::get::get_review),
        post("/reviews/{id}/decision", Needs(ReviewsDecide)).by(reviews::decide::decide_review),

        get("/secrets", Needs(SecretsRead)).by(secrets::list::list_secrets),
        put("/secrets/{name}", Needs(SecretsWrite)).by(secrets::put::put_secret),
        delete("/secrets/{name}", Needs(SecretsWrite)).by(secrets::delete::delete_secret),

        get("/keys", Needs(KeysRead)).by(keys::list::list_keys),
        post("/keys", Needs(KeysWrite)).by(keys::create::create_key),
        delete("/keys/{id}", Needs(KeysWrite)).by(keys::revoke::revoke_key),

        get("/events", Needs(ExecutionsRead)).by(events::follow_events),
    ]
}

/// The left half of a line of the table.
struct Row {
    method: Method,
    path: &'static str,
    access: crate::route::Access,
}

impl Row {
    fn by<H, T>(self, handler: H) -> Endpoint
    where
        H: axum::handler::Handler<T, crate::app::Shared>,
        T: 'static,
    {
        Endpoint::new(self.method, self.path, self.access, handler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, review_flow};

    /// Everything that answers without being asked who calls. A new line here is a decision.
    const OPEN: [&str; 1] = ["GET /openapi.json"];

    #[test]
    fn the_open_routes_are_these() {
        let found: Vec<String> =
            routes().iter().filter(|one| one.access == Open).map(Endpoint::line).collect();
        assert_eq!(found, OPEN);
    }

    /// Things of the project that a stranger will try to reach.
    struct Things {
        execution: String,
        review: String,
        key: String,
        request: String,
    }

    impl Things {
        async fn of(world: &World) -> Self {
            world.publish(review_flow("a")).await;
            world.console("PUT /secrets/s").json(serde_json::json!({"value": "v"})).send().await.is(204);
            let execution = world.run("a").await;
            let review = world.review_of(&execution).await;
            let found = world.console(&format!("GET /executions/{execution}")).send().await;
            let request = found.at("/request_id").as_str().unwrap().to_owned();
            let key = world.console("GET /keys").send().await.at("/items/0/id").as_str().unwrap().to_owned();
            Self { execution, review, key, request }
        }

        /// The line of a route with the names of these things in it.
        fn fill(&self, line: &str) -> String {
            let id = match line.split('/').nth(1).unwrap() {
                "executions" => &self.execution,
                "reviews" => &self.review,
                "keys" => &self.key,
                _ => "",
            };
            let name = if line.contains("/secrets") { "s" } else { "a" };
            line.replace("{id}", id).replace("{name}", name).replace("{request_id}", &self.request)
        }
    }

    /// A body that a route with this path takes.
    fn body(path: &str) -> serde_json::Value {
        use serde_json::json;
        match path {
            "/flows" => review_flow("b"),
            "/flows/{name}/restore" => json!({"version": "1"}),
            "/flows/{name}/state" => json!({"state": "inactive"}),
            "/executions/{id}/signal" => json!({"name": "go"}),
            "/reviews/{id}/decision" => json!({"action": "approve", "expected_version": 1}),
            "/secrets/{name}" => json!({"value": "v"}),
            "/keys" => json!({"name": "k", "scopes": ["flows:read"]}),
            "/templates/preview" => json!({"template": ""}),
            _ => json!({}),
        }
    }

    /// Routes that name something, and that a stranger may use because they create it.
    const CREATES: [&str; 1] = ["PUT /secrets/{name}"];

    #[tokio::test]
    async fn every_route_asks_who_calls_and_keeps_projects_apart() {
        let world = World::start().await;
        let things = Things::of(&world).await;
        for endpoint in routes() {
            let Needs(scope) = endpoint.access else { continue };
            let line = things.fill(&endpoint.line());
            let call = || world.console(&line).json(body(endpoint.path));
            call().anonymous().send().await.is(401).has_code("unauthenticated");
            call().key("flx_nonsense").send().await.is(401);
            call().header("authorization", "Basic dGVzdDp0ZXN0").send().await.is(401);
            let others: Vec<Scope> = Scope::ALL.into_iter().filter(|one| !allows(*one, scope)).collect();
            let narrow = world.key("narrow", &others).await;
            call().key(&narrow).send().await.is(403).has_code("forbidden").says(scope.as_str());
            if line != endpoint.line() && !CREATES.contains(&endpoint.line().as_str()) {
                call().key(&world.stranger).send().await.is(404);
            }
        }
    }

    fn allows(held: Scope, wanted: Scope) -> bool {
        [held].into_iter().collect::<crate::access::scope::Scopes>().allow(wanted)
    }

    #[tokio::test]
    async fn a_stranger_sees_none_of_it_in_lists() {
        let world = World::start().await;
        Things::of(&world).await;
        for path in ["/flows", "/executions", "/reviews", "/secrets"] {
            let list = world.console(&format!("GET {path}")).key(&world.stranger).send().await.is(200);
            assert_eq!(list.at("/items"), serde_json::json!([]), "{path}");
        }
        let keys = world.console("GET /keys").key(&world.stranger).send().await.is(200);
        assert_eq!((keys.at("/items/0/name"), keys.at("/items/1")), ("stranger".into(), ().into()));
    }

    #[tokio::test]
    async fn answers_have_the_headers_of_an_api() {
        let world = World::start().await;
        let answer =
            world.console("GET /flows").header("origin", "https://evil.example").send().await.is(200);
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("access-control-allow-origin", ""),
        ] {
            assert_eq!(answer.header(name), value, "{name}");
        }
        world.console("OPTIONS /flows").send().await.is(405).has_code("method_not_allowed");
        world.console("GET /nothing").send().await.is(404).has_code("not_found");
        world.console("HEAD /flows").send().await.is(200).body_is("");
        world.console("GET /flows?key=flx_1").anonymous().send().await.is(401);
    }

    #[tokio::test]
    async fn a_panic_is_a_problem() {
        async fn panics() {
            panic!("a fault for this test");
        }
        let world = World::start().await;
        let table = vec![Endpoint::new(Method::GET, "/panic", Open, panics)];
        let table =
            crate::route::Table { prefix: "", endpoints: table, otherwise: axum::routing::any(panics) };
        let router = crate::route::mount(world.app.clone(), crate::envelope::Listener::Console, table);
        let request = http::Request::get("/panic").body(axum::body::Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert!(response.headers().contains_key("x-request-id"));
    }
}
