//! `PUT /secrets/{name}`: creates or replaces a secret.

use std::fmt;

use axum::extract::State;
use flux_egress::{HostPattern, SecretPlain};
use flux_model::ErrorCode;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::problem::{FieldProblem, Problem, answered_by_problem};
use crate::query::Named;
use crate::vault::VaultFailure;

/// Bytes of a secret.
const SECRET_BYTES_MAX: usize = 64 * 1024;
/// Characters of a secret's name.
const SECRET_NAME_CHARS_MAX: usize = 128;
/// Hosts of a secret.
const SECRET_HOSTS_MAX: usize = 100;

/// A secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutSecretRequest {
    /// The plaintext, at most 64 KiB. It is sealed at once and never shown again.
    #[schema(value_type = String, write_only)]
    value: Zeroizing<String>,
    /// The hosts it may be sent to, such as `api.example.com`, `*.example.com` or
    /// `localhost:9000`. Empty means every host that may be reached.
    #[serde(default)]
    hosts: Vec<String>,
}

impl fmt::Debug for PutSecretRequest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PutSecretRequest").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PutSecretError {
    #[error(
        "a secret's name is a letter or `_`, then letters, digits or `_`, at most {SECRET_NAME_CHARS_MAX} in all (SECRET_NAME_CHARS_MAX)"
    )]
    Name,
    #[error("{field}: {message}")]
    Field { field: String, message: String },
    #[error(transparent)]
    Vault(#[from] VaultFailure),
}

impl From<PutSecretError> for Problem {
    fn from(error: PutSecretError) -> Self {
        let detail = error.to_string();
        match error {
            PutSecretError::Name => Self::invalid(detail),
            PutSecretError::Vault(error) => error.into(),
            PutSecretError::Field { field, message } => Self::new(ErrorCode::RequestInvalid, detail)
                .with_errors(vec![FieldProblem { field, message, suggestion: None }]),
        }
    }
}

answered_by_problem!(PutSecretError);

/// Creates or replaces a secret.
#[utoipa::path(put, path = "/secrets/{name}", tag = "secrets",
    params(("name" = String, Path, description = "The secret's name")),
    request_body = PutSecretRequest,
    responses((status = 204)))]
pub(crate) async fn put_secret(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
    Json(request): Json<PutSecretRequest>,
) -> Result<StatusCode, PutSecretError> {
    if !is_name(&name) {
        return Err(PutSecretError::Name);
    }
    let plain = read(request)?;
    app.vault.put(caller.tenant, &name, plain).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What templates can name: `secrets.x`.
fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    text.len() <= SECRET_NAME_CHARS_MAX
        && letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn read(request: PutSecretRequest) -> Result<SecretPlain, PutSecretError> {
    let wrong = |field: String, message: String| PutSecretError::Field { field, message };
    let bytes = request.value.len();
    if !(1..=SECRET_BYTES_MAX).contains(&bytes) {
        let message = format!("{bytes} bytes are not between 1 and {SECRET_BYTES_MAX} (SECRET_BYTES_MAX)");
        return Err(wrong("value".to_owned(), message));
    }
    let count = request.hosts.len();
    if count > SECRET_HOSTS_MAX {
        let message = format!("{count} hosts are more than {SECRET_HOSTS_MAX} (SECRET_HOSTS_MAX)");
        return Err(wrong("hosts".to_owned(), message));
    }
    let mut hosts = Vec::with_capacity(count);
    for (index, text) in request.hosts.iter().enumerate() {
        let host: HostPattern = text
            .parse()
            .map_err(|error: flux_egress::InvalidRule| wrong(format!("hosts[{index}]"), error.to_string()))?;
        hosts.push(host);
    }
    Ok(SecretPlain { value: request.value, hosts })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::World;

    #[tokio::test]
    async fn a_secret_is_put_listed_and_deleted_but_never_shown() {
        let world = World::start().await;
        let put = json!({"value": "hunter2", "hosts": ["api.example.com", "*.example.org"]});
        world.console("PUT /secrets/token").json(put).send().await.is(204);
        let list = world.console("GET /secrets").send().await.is(200);
        assert_eq!(
            (list.at("/items/0/name"), list.at("/items/0/hosts/1")),
            ("token".into(), "*.example.org".into())
        );
        assert!(!list.text().contains("hunter2"));
        world.console("GET /secrets/token").send().await.is(405);
        world.console("DELETE /secrets/token").send().await.is(204);
        world.console("DELETE /secrets/token").send().await.is(404);
    }

    #[tokio::test]
    async fn bad_secrets_are_explained_without_repeating_them() {
        let world = World::start().await;
        let check = async |name: &str, body: serde_json::Value, says: &str| {
            let refused = world.console(&format!("PUT /secrets/{name}")).json(body).send().await.is(400);
            assert!(!refused.text().contains("hunter2"));
            refused.says(says);
        };
        check("a-b", json!({"value": "hunter2"}), "letters, digits").await;
        check("a%2Fb", json!({"value": "hunter2"}), "letters, digits").await;
        check("a", json!({"value": ""}), "SECRET_BYTES_MAX").await;
        check("a", json!({"value": "x".repeat(70_000)}), "SECRET_BYTES_MAX").await;
        check("a", json!({"value": "hunter2", "hosts": ["ex ample"]}), "hosts[0]").await;
        check("a", json!({"value": "hunter2", "host": []}), "write `hosts`").await;
    }
}
