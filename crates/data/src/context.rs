//! On whose behalf a query runs, and which call of which execution it is.

use std::sync::Arc;
use std::time::Duration;

use flux_model::{ExecutionId, Timestamp, Value};

/// What the engine must know about a call beside the query object. Nothing of it comes from the
/// client: claims are of a verified key or token, the rest is the host's.
#[derive(Debug, Clone)]
pub struct Context {
    /// Whose rights apply.
    pub access: Access,
    /// The execution that asks.
    pub execution: Option<ExecutionId>,
    /// The request id of its trace.
    pub request_id: Option<Arc<str>>,
    /// Which boundary call of the execution this is, from zero.
    pub call: u32,
    /// When the call is made; it is what the mutation history records.
    pub at: Timestamp,
    /// How long this query may take; the engine's own limit applies where it is shorter.
    pub timeout: Option<Duration>,
}

impl Context {
    /// A context of Flux itself, at `at`.
    pub const fn service(at: Timestamp) -> Self {
        Self { access: Access::Service, execution: None, request_id: None, call: 0, at, timeout: None }
    }

    /// A context of a caller with these claims, at `at`.
    pub fn of(claims: Claims, at: Timestamp) -> Self {
        Self { access: Access::Claims(claims), ..Self::service(at) }
    }
}

/// Whose rights apply to a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// Flux itself, or an operator: no tenant predicate, no policy.
    Service,
    /// A caller, with verified claims: the tenant predicate and the policy apply.
    Claims(Claims),
}

/// The verified claims of a caller: an object such as `{"sub": "u1", "role": "member", "tenant": "t1"}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims(Value);

impl Claims {
    /// These claims; anything but an object holds none.
    pub const fn new(claims: Value) -> Self {
        Self(claims)
    }

    /// The claim at a path such as `tenant` or `user.id`, if it is there and not null.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut value = &self.0;
        for name in path.split('.') {
            value = value.get(name)?;
        }
        Some(value).filter(|value| !value.is_null())
    }

    /// The claim `role`.
    pub fn role(&self) -> Option<&str> {
        self.get("role").and_then(Value::as_str)
    }

    /// The claims as JSON text.
    pub fn to_json(&self) -> String {
        self.0.to_json()
    }
}
