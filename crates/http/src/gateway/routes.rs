//! The fixed routes of the gateway. All are open: a webhook proves itself by its signature, a form
//! is public, and the probes say one word. Every other path may be a function's, which says itself
//! who may call it.

use http::Method;

use super::{form_page, form_submission, health, hook, ready};
use crate::route::Access::Open;
use crate::route::Endpoint;

pub(super) fn routes() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/health", Open, health::get_health),
        Endpoint::new(Method::GET, "/ready", Open, ready::get_ready),
        Endpoint::any("/hooks/{*path}", Open, hook::receive_hook),
        Endpoint::any("/p/{project}/hooks/{*path}", Open, hook::receive_hook),
        Endpoint::new(Method::GET, "/forms/{*path}", Open, form_page::show_form),
        Endpoint::new(Method::GET, "/p/{project}/forms/{*path}", Open, form_page::show_form),
        Endpoint::new(Method::POST, "/forms/{*path}", Open, form_submission::submit_form),
        Endpoint::new(Method::POST, "/p/{project}/forms/{*path}", Open, form_submission::submit_form),
    ]
}

/// What the routes of functions may not begin with: the parts of paths that lead elsewhere, or are
/// kept for what is to come.
pub(super) const RESERVED: [&str; 6] = ["forms", "health", "hooks", "p", "ready", "v1"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    /// Everything that answers without being asked who calls. A new line here is a decision.
    const OPEN: [&str; 8] = [
        "GET /health",
        "GET /ready",
        "ANY /hooks/{*path}",
        "ANY /p/{project}/hooks/{*path}",
        "GET /forms/{*path}",
        "GET /p/{project}/forms/{*path}",
        "POST /forms/{*path}",
        "POST /p/{project}/forms/{*path}",
    ];

    #[test]
    fn the_open_routes_are_these() {
        let found: Vec<String> =
            routes().iter().filter(|one| one.access == Open).map(Endpoint::line).collect();
        assert_eq!(found, OPEN);
    }

    #[test]
    fn no_function_can_hide_a_fixed_route() {
        for endpoint in routes() {
            let first = endpoint.path.split('/').nth(1).unwrap();
            assert!(RESERVED.contains(&first), "{first}");
        }
    }

    #[tokio::test]
    async fn a_key_of_ours_that_is_not_valid_is_refused_and_others_are_left_alone() {
        let world = World::start().await;
        world.publish(crate::testing::hook_flow("a", serde_json::json!({"path": "x"}))).await;
        let good = world.key("gone", &[]).await;
        let mut mistyped = good.clone();
        mistyped.replace_range(30..34, "AAAA");
        let call =
            |token: &str| world.gateway("POST /hooks/x").header("authorization", &format!("Bearer {token}"));
        call(&good).send().await.is(202);
        call("eyJhbGciOiJIUzI1NiJ9.e30.x").send().await.is(202);
        call(&mistyped).send().await.is(202);
        let keys = world.console("GET /keys").send().await.is(200);
        let keys = keys.at("/items").as_array().unwrap().clone();
        let id = keys.iter().find(|key| key["name"] == "gone").unwrap()["id"].as_str().unwrap().to_owned();
        world.console(&format!("DELETE /keys/{id}")).send().await.is(204);
        call(&good).send().await.is(401).has_code("unauthenticated");
    }
}
