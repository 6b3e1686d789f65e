//! Values that are too large for a journal record, to and from objects.

use bytes::Bytes;
use flux_model::Value;
use flux_model::ids::{ExecutionId, Tenant};
use flux_objects::{ObjectError, ObjectName, Objects};
use flux_store::StoreError;

use crate::error::EngineError;

/// Makes objects durable, before the record that names them.
pub(crate) async fn put(
    objects: &Objects,
    tenant: Tenant,
    taken: Vec<(String, String)>,
) -> Result<(), ObjectError> {
    for (name, json) in taken {
        let put = objects.put(tenant, Bytes::from(json)).await?;
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
        | ObjectError::References(_) => unavailable("reading an object", &error),
    })?;
    Value::from_json(&json).map_err(|error| corrupt(format!("object {name} is not JSON: {error}")))
}

/// What failed, for those who know only stores.
pub(crate) fn unavailable(doing: &'static str, error: &ObjectError) -> EngineError {
    EngineError::Store(StoreError::Unavailable { doing, reason: in_full(error) })
}

/// The error and what it comes from, in one line.
pub(crate) fn in_full(error: &ObjectError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
