//! `POST /executions/{id}/signal`: delivers a signal to an execution.

use axum::extract::State;
use flux_engine::{SignalSent, Signalled};
use flux_model::{ExecutionId, Value};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::query::Named;
use crate::refusal::EngineRefusal;
use crate::request_id::RequestId;
use crate::schema;
use crate::text_limit::TextLimit;

/// Characters of a signal's name or id.
const SIGNAL_NAME_CHARS_MAX: usize = 256;
const NAME: TextLimit = TextLimit::new(1, SIGNAL_NAME_CHARS_MAX, "SIGNAL_NAME_CHARS_MAX");

/// A signal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalRequest {
    /// Its name, 1 to 256 characters.
    #[serde(deserialize_with = "read_name")]
    name: String,
    /// What it carries.
    #[serde(default)]
    #[schema(value_type = serde_json::Value)]
    payload: Value,
    /// Two signals with the same id are one. The id of this request where absent.
    #[serde(default, deserialize_with = "read_id")]
    id: Option<String>,
}

fn read_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    NAME.read(deserializer)
}

fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    NAME.read_optional(deserializer)
}

/// What became of a signal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignalAnswer {
    /// Whether one of the same id was there before.
    duplicate: bool,
}

/// Delivers a signal. One that no node waits for yet is kept until one does.
#[utoipa::path(post, path = "/executions/{id}/signal", tag = "executions",
    params(("id" = schema::ExecutionId, Path, description = "The execution")),
    request_body = SignalRequest,
    responses((status = 200, body = SignalAnswer)))]
pub(crate) async fn signal_execution(
    caller: Caller,
    State(app): State<Shared>,
    axum::Extension(request_id): axum::Extension<RequestId>,
    Named(execution): Named<ExecutionId>,
    Json(request): Json<SignalRequest>,
) -> Result<Json<SignalAnswer>, EngineRefusal> {
    let id = request.id.unwrap_or_else(|| request_id.as_str().to_owned());
    let signal = SignalSent { name: request.name, payload: request.payload, id };
    let signalled = app.engine.signal(caller.tenant, execution, signal).await?;
    Ok(Json(SignalAnswer { duplicate: signalled == Signalled::Duplicate }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow, signal_flow};

    #[tokio::test]
    async fn a_signal_is_delivered_once() {
        let world = World::start().await;
        world.publish(signal_flow("a")).await;
        let id = world.run("a").await;
        let path = format!("POST /executions/{id}/signal");
        world.console(&path).json(json!({"name": ""})).send().await.is(400).says("SIGNAL_NAME_CHARS_MAX");
        world
            .console(&path)
            .json(json!({"name": "go", "paylod": 1}))
            .send()
            .await
            .is(400)
            .says("write `payload`");
        let early = json!({"name": "other", "id": "1"});
        let first = world.console(&path).json(early.clone()).send().await.is(200);
        let second = world.console(&path).json(early).send().await.is(200);
        assert_eq!((first.at("/duplicate"), second.at("/duplicate")), (false.into(), true.into()));
        world.console(&path).json(json!({"name": "go", "payload": {"n": 7}})).send().await.is(200);
        assert_eq!(world.settled(&id).await.at("/status"), "succeeded");
        world.console(&path).json(json!({"name": "go"})).send().await.is(409);
    }

    #[tokio::test]
    async fn an_ended_execution_takes_none() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let id = world.run("a").await;
        let path = format!("POST /executions/{id}/signal");
        world.console(&path).json(json!({"name": "go"})).send().await.is(409).has_code("conflict");
    }
}
