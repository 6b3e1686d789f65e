//! `POST /keys`: makes an API key. The answer is the only place where it is shown.

use axum::extract::State;
use flux_engine::EngineError;
use flux_model::{ErrorCode, Timestamp};
use flux_store::{Command, Outcome};
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::list::ApiKey;
use crate::access::caller::Caller;
use crate::access::key::{NewKey, NoRandomness};
use crate::access::scope::{Scope, Scopes};
use crate::app::Shared;
use crate::body::Json;
use crate::moment::Moment;
use crate::problem::{Problem, answered_by_problem};
use crate::text_limit::TextLimit;

/// Characters of a key's name.
const KEY_NAME_CHARS_MAX: usize = 200;
const NAME: TextLimit = TextLimit::new(1, KEY_NAME_CHARS_MAX, "KEY_NAME_CHARS_MAX");

/// What the key is for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKeyRequest {
    /// Its name, for people: who or what uses it.
    #[serde(deserialize_with = "read_name")]
    name: String,
    /// What it allows. A key can allow no more than the one it is made with.
    scopes: Vec<Scope>,
    /// When it stops to work; never where absent.
    #[serde(default)]
    expires_at: Option<Moment>,
}

fn read_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    NAME.read(deserializer)
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedKey {
    /// The key. It is not kept: note it now.
    key: String,
    #[serde(flatten)]
    about: ApiKey,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateKeyError {
    #[error("scopes: name at least one of {known}", known = Scope::ALL.map(Scope::as_str).join(", "))]
    NoScopes,
    #[error("expires_at: {0} is over already")]
    Expired(Timestamp),
    #[error("a key can allow no more than the one it is made with; yours lacks `{0}`")]
    Beyond(Scope),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the store answered with {0:?}")]
    Unexpected(Outcome),
}

impl From<CreateKeyError> for Problem {
    fn from(error: CreateKeyError) -> Self {
        match error {
            CreateKeyError::NoScopes | CreateKeyError::Expired(_) => Self::invalid(error.to_string()),
            CreateKeyError::Beyond(_) => Self::new(ErrorCode::Forbidden, error.to_string()),
            CreateKeyError::Engine(error) => error.into(),
            CreateKeyError::NoRandomness(_) | CreateKeyError::Unexpected(_) => {
                tracing::error!(%error, "a key was not made");
                Self::new(ErrorCode::Internal, ErrorCode::Internal.summary())
            }
        }
    }
}

answered_by_problem!(CreateKeyError);

/// Makes an API key. The answer is the only place where it is shown.
#[utoipa::path(post, path = "/keys", tag = "keys",
    request_body = CreateKeyRequest,
    responses((status = 201, body = CreatedKey)))]
pub(crate) async fn create_key(
    caller: Caller,
    State(app): State<Shared>,
    Json(request): Json<CreateKeyRequest>,
) -> Result<(StatusCode, Json<CreatedKey>), CreateKeyError> {
    let now = app.clock.now();
    request.check(&caller, now)?;
    let expires_at = request.expires_at.map(|at| at.0);
    let new = NewKey { tenant: caller.tenant, name: request.name, scopes: request.scopes, expires_at };
    let issued = new.issue(now)?;
    let outcome = app.engine.submit(Command::PutKey(issued.row.clone())).await?;
    if outcome != Outcome::Done {
        return Err(CreateKeyError::Unexpected(outcome));
    }
    Ok((StatusCode::CREATED, Json(CreatedKey { key: issued.text, about: issued.row.into() })))
}

impl CreateKeyRequest {
    fn check(&self, caller: &Caller, now: Timestamp) -> Result<(), CreateKeyError> {
        if self.scopes.is_empty() {
            return Err(CreateKeyError::NoScopes);
        }
        if let Some(at) = self.expires_at.filter(|at| at.0 <= now) {
            return Err(CreateKeyError::Expired(at.0));
        }
        let wanted: Scopes = self.scopes.iter().copied().collect();
        let beyond = wanted.iter().find(|scope| !caller.scopes.allow(*scope));
        beyond.map_or(Ok(()), |scope| Err(CreateKeyError::Beyond(scope)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::access::scope::Scope;
    use crate::testing::World;

    #[tokio::test]
    async fn a_key_is_shown_once_works_and_is_revoked() {
        let world = World::start().await;
        world.clock.advance(1);
        let request = json!({"name": "ci", "scopes": ["flows:read"]});
        let made = world.console("POST /keys").json(request).send().await.is(201);
        let (key, id) = (made.at("/key").as_str().unwrap().to_owned(), made.at("/id"));
        world.console("GET /flows").key(&key).send().await.is(200);
        world
            .console("GET /executions")
            .key(&key)
            .send()
            .await
            .is(403)
            .says("needs the scope `executions:read`");
        let list = world.console("GET /keys").send().await.is(200);
        assert_eq!(list.at("/items/0/id"), id);
        assert!(!list.text().contains(&key));
        world.console(&format!("DELETE /keys/{}", id.as_str().unwrap())).send().await.is(204);
        world.console("GET /flows").key(&key).send().await.is(401).says("the key is not valid");
    }

    #[tokio::test]
    async fn a_key_expires() {
        let world = World::start().await;
        let at = world.clock.text();
        world.clock.advance(-60_000);
        let request = json!({"name": "short", "scopes": ["flows:read"], "expires_at": at});
        let made = world.console("POST /keys").json(request.clone()).send().await.is(201);
        let key = made.at("/key").as_str().unwrap().to_owned();
        world.console("GET /flows").key(&key).send().await.is(200);
        world.clock.advance(60_000);
        world.console("GET /flows").key(&key).send().await.is(401);
        world.console("POST /keys").json(request).send().await.is(400).says("is over already");
    }

    #[tokio::test]
    async fn a_key_cannot_make_a_stronger_one() {
        let world = World::start().await;
        let maker = world.key("maker", &[Scope::KeysWrite, Scope::FlowsRead]).await;
        let check = async |scopes: serde_json::Value, status: u16| {
            let request = json!({"name": "k", "scopes": scopes});
            world.console("POST /keys").key(&maker).json(request).send().await.is(status);
        };
        check(json!(["flows:read", "keys:read"]), 201).await;
        check(json!(["flows:write"]), 403).await;
        check(json!(["admin"]), 403).await;
        check(json!([]), 400).await;
        check(json!(["flow:read"]), 400).await;
    }
}
