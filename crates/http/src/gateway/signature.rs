//! Checking the signature of a delivery with the plaintext of the secret its webhook names.

use flux_egress::SecretError;
use flux_model::value::SecretPart;
use flux_model::{ErrorCode, Tenant, Value};
use flux_triggers::webhook::{Refusal, SignatureConfig};
use http::HeaderMap;
use zeroize::Zeroizing;

use crate::app::Shared;
use crate::problem::Problem;

/// Why a delivery is not taken for genuine.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignatureError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the secret of the webhook cannot be read: {0}")]
    Secret(#[from] SecretError),
}

impl From<SignatureError> for Problem {
    fn from(error: SignatureError) -> Self {
        match &error {
            SignatureError::Refused(refusal) if refusal.code() == ErrorCode::SecretMissing => {
                Self::unusable_secret(&error)
            }
            SignatureError::Refused(refusal) => Self::new(refusal.code(), error.to_string()),
            SignatureError::Secret(SecretError::Unavailable { .. }) => {
                tracing::error!(%error, "a webhook was refused");
                Self::new(ErrorCode::StorageUnavailable, ErrorCode::StorageUnavailable.summary())
            }
            SignatureError::Secret(SecretError::Missing { .. } | SecretError::Sealed { .. }) => {
                Self::unusable_secret(&error)
            }
        }
    }
}

impl Problem {
    /// The operator must act; the sender learns no more than that.
    fn unusable_secret(error: &SignatureError) -> Self {
        tracing::error!(%error, "a webhook was refused");
        Self::new(ErrorCode::SecretMissing, "this webhook cannot check signatures at the moment")
    }
}

/// Checks a delivery, if its webhook asks for a signature.
pub(super) async fn verify(
    app: &Shared,
    tenant: Tenant,
    signature: Option<&SignatureConfig>,
    delivery: (&HeaderMap, &[u8]),
) -> Result<(), SignatureError> {
    let Some(signature) = signature else { return Ok(()) };
    let secret = plaintext(app, tenant, &signature.secret).await?;
    let (headers, body) = delivery;
    Ok(signature.verify(&secret, headers, body, app.clock.now())?)
}

/// The secret: a reference resolved, or, in a project that keeps it in the flow, the text itself.
async fn plaintext(app: &Shared, tenant: Tenant, secret: &Value) -> Result<Zeroizing<String>, SecretError> {
    let Value::Secret(parts) = secret else {
        return Ok(Zeroizing::new(secret.as_str().unwrap_or_default().to_owned()));
    };
    let mut text = Zeroizing::new(String::new());
    for part in parts.iter() {
        match part {
            SecretPart::Text(literal) => text.push_str(literal),
            SecretPart::Secret(name) => text.push_str(&app.secrets().resolve(tenant, name).await?.value),
        }
    }
    Ok(text)
}
