//! `GET /health`: the process is alive. It says nothing about the store; see `ready`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

pub(super) async fn get_health() -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, JSON)], r#"{"status":"ok"}"#).into_response()
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn it_answers_get_and_head() {
        let world = World::start().await;
        world.gateway("GET /health").send().await.is(200).body_is(r#"{"status":"ok"}"#);
        world.gateway("HEAD /health").send().await.is(200).body_is("");
        let refused = world.gateway("POST /health").send().await.is(405);
        assert_eq!(refused.header("allow"), "GET,HEAD");
    }
}
