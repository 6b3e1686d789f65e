//! Values that are too large for a journal record, to and from objects.

use bytes::Bytes;
use flux_model::Value;
use flux_model::ids::{ExecutionId, Tenant};
use flux_objects::{ObjectError, ObjectName, Objects};
use flux_store::StoreError;

use crate::error::EngineError;

/// Why a value could not be stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PutError {
    /// It is larger than an object may be.
    TooLarge(String),
    /// The place where objects are kept failed.
    Unavailable(StoreError),
}

/// Makes objects durable, before the record that names them.
pub(crate) async fn put(
    objects: &Objects,
    tenant: Tenant,
    taken: Vec<(String, String)>,
) -> Result<(), PutError> {
    for (name, json) in taken {
        let put = objects.put(tenant, Bytes::from(json)).await.map_err(|error| match error {
            ObjectError::TooLarge { .. } => PutError::TooLarge(error.to_string()),
            ObjectError::Name(_)
            | ObjectError::NotFound(_)
            | ObjectError::Damaged { .. }
            | ObjectError::Source(_)
            | ObjectError::Storage(_)
            | ObjectError::References(_) => PutError::Unavailable(unavailable("storing an object", &error)),
        })?;
        debug_assert_eq!(put.as_str(), name, "both are the hash of the content");
    }
    Ok(())
}

/// Reads a value back.
pub(crate) async fn get(
    objects: &Objects,
    tenant: Tenant,
    execution: ExecutionId,
    name: &str,
) -> Result<Value, EngineError> {
    let corrupt = |reason: String| EngineError::Corrupt { execution, reason };
    let parsed: ObjectName =
        name.parse().map_err(|_| corrupt(format!("`{name}` is not an object's name")))?;
    let json = objects.get(tenant, &parsed).await.map_err(|error| match error {
        ObjectError::NotFound(_) | ObjectError::Damaged { .. } | ObjectError::TooLarge { .. } => {
            corrupt(error.to_string())
        }
        ObjectError::Name(_)
        | ObjectError::Source(_)
        | ObjectError::Storage(_)
        | ObjectError::References(_) => unavailable("reading an object", &error).into(),
    })?;
    Value::from_json(&json).map_err(|error| corrupt(format!("object {name} is not JSON: {error}")))
}

/// What failed, for those who know only stores.
fn unavailable(doing: &'static str, error: &ObjectError) -> StoreError {
    let source = std::error::Error::source(error);
    let reason = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    StoreError::Unavailable { doing, reason }
}
