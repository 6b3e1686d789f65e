//! `DELETE /keys/{id}`: revokes an API key. It stays in the list, as revoked.

use axum::extract::State;
use flux_engine::EngineError;
use flux_model::KeyId;
use flux_store::{Command, Outcome};
use http::StatusCode;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::problem::{Problem, answered_by_problem};
use crate::query::Named;
use crate::schema;

#[derive(Debug, thiserror::Error)]
pub(crate) enum RevokeKeyError {
    #[error("there is no key {0}")]
    NotFound(KeyId),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<RevokeKeyError> for Problem {
    fn from(error: RevokeKeyError) -> Self {
        match error {
            RevokeKeyError::NotFound(_) => Self::not_found(error.to_string()),
            RevokeKeyError::Engine(error) => error.into(),
        }
    }
}

answered_by_problem!(RevokeKeyError);

/// Revokes an API key, at once and for good.
#[utoipa::path(delete, path = "/keys/{id}", tag = "keys",
    params(("id" = schema::KeyId, Path, description = "The key's id")),
    responses((status = 204)))]
pub(crate) async fn revoke_key(
    caller: Caller,
    State(app): State<Shared>,
    Named(id): Named<KeyId>,
) -> Result<StatusCode, RevokeKeyError> {
    let command = Command::RevokeKey { tenant: caller.tenant, key: id, at: app.clock.now() };
    match app.engine.submit(command).await? == Outcome::Done {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(RevokeKeyError::NotFound(id)),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn only_keys_that_are_there_are_revoked() {
        let world = World::start().await;
        world.console("DELETE /keys/key_00000000000000000000000000").send().await.is(404);
        world.console("DELETE /keys/1").send().await.is(400).says("key_");
    }
}
