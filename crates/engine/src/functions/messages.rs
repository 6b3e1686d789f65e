//! Messages to functions: a message is an execution of the function that nobody waits for. The
//! queue, its order, its delays and its dead letters are readings of executions.

use std::time::Duration;

use flux_functions::QueueSend;
use flux_model::Value;
use flux_model::admission::ConcurrencyRule;
use flux_model::flow::Overflow;

use crate::admission::{Admission, TriggerKind};
use crate::shared::Facts;

/// The execution that a message is.
pub(super) fn admission(facts: &Facts, send: &QueueSend, idempotency_key: String) -> Admission {
    let mut admission =
        Admission::new(facts.tenant, send.function.as_str(), TriggerKind::Queue, given(&send.payload));
    admission.request_id.clone_from(&facts.request_id);
    admission.idempotency_key = Some(idempotency_key);
    admission.delay = send.delay_ms.filter(|delay| *delay > 0).map(Duration::from_millis);
    // One after the other, in the order in which they were accepted.
    admission.concurrency = send.ordering_key.as_ref().map(|key| ConcurrencyRule {
        key: format!("order/{key}"),
        limit: 1,
        overflow: Overflow::Queue,
    });
    admission
}

/// What a function's trigger would give for this input without a request.
fn given(input: &Value) -> Value {
    Value::object([
        ("input", input.clone()),
        ("headers", Value::object::<&str>([])),
        ("user", Value::Null),
        ("method", Value::Null),
    ])
}

/// The message as it is recorded.
pub(super) fn shown(send: &QueueSend) -> Value {
    let mut members = vec![("payload", send.payload.clone())];
    members.extend(send.delay_ms.map(|delay| ("delay_ms", Value::from(delay))));
    members.extend(send.idempotency_key.as_ref().map(|key| ("idempotency_key", Value::text(key))));
    members.extend(send.ordering_key.as_ref().map(|key| ("ordering_key", Value::text(key))));
    Value::object(members)
}
