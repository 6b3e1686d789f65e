//! `GET /ready`: whether executions are accepted. What a load balancer asks.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use flux_engine::HealthState;
use flux_model::ErrorCode;
use http::{HeaderValue, header};

use crate::app::Shared;
use crate::problem::{Problem, RETRY_AFTER_DEFAULT, answered_by_problem};

/// Why nothing is accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    #[error("the store takes no writes; nothing is accepted until it is opened again")]
    Storage,
    #[error("the server is stopping")]
    Stopping,
}

impl From<NotReady> for Problem {
    fn from(error: NotReady) -> Self {
        let code = match error {
            NotReady::Storage => ErrorCode::StorageUnavailable,
            NotReady::Stopping => ErrorCode::Overloaded,
        };
        Self::new(code, error.to_string()).retry_after(RETRY_AFTER_DEFAULT)
    }
}

answered_by_problem!(NotReady);

pub(super) async fn get_ready(State(app): State<Shared>) -> Result<Response, NotReady> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    match app.engine.health().state {
        HealthState::Working => Ok(([(header::CONTENT_TYPE, JSON)], r#"{"status":"ready"}"#).into_response()),
        HealthState::StorageUnavailable { .. } => Err(NotReady::Storage),
        HealthState::Stopping => Err(NotReady::Stopping),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn it_follows_the_engine() {
        let world = World::start().await;
        world.gateway("GET /ready").send().await.is(200);
        world.app.engine.shutdown(Duration::ZERO).await;
        let refused = world.gateway("GET /ready").send().await.is(503);
        assert_eq!(refused.header("retry-after"), "1");
    }

    #[test]
    fn a_failed_store_is_red_and_says_when_to_ask_again() {
        let problem = Problem::from(NotReady::Storage);
        assert_eq!((problem.code(), problem.status().as_u16()), (ErrorCode::StorageUnavailable, 503));
    }
}
