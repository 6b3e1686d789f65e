//! `DELETE /secrets/{name}`: flows that refer to the secret fail from now on.

use axum::extract::State;
use http::StatusCode;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::problem::{Problem, answered_by_problem};
use crate::query::Named;
use crate::vault::VaultFailure;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteSecretError {
    #[error("there is no secret `{0}`")]
    NotFound(String),
    #[error(transparent)]
    Vault(#[from] VaultFailure),
}

impl From<DeleteSecretError> for Problem {
    fn from(error: DeleteSecretError) -> Self {
        match error {
            DeleteSecretError::NotFound(_) => Self::not_found(error.to_string()),
            DeleteSecretError::Vault(error) => error.into(),
        }
    }
}

answered_by_problem!(DeleteSecretError);

/// Deletes a secret. Flows that refer to it fail from now on.
#[utoipa::path(delete, path = "/secrets/{name}", tag = "secrets",
    params(("name" = String, Path, description = "The secret's name")),
    responses((status = 204)))]
pub(crate) async fn delete_secret(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
) -> Result<StatusCode, DeleteSecretError> {
    match app.vault.delete(caller.tenant, &name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(DeleteSecretError::NotFound(name)),
    }
}
