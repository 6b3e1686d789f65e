//! Random values: inputs, outputs, payloads. Some are too large for a journal record, some numbers
//! have every digit a double can have.

use fastrand::Rng;
use flux_model::limits::INLINE_VALUE_BYTES_MAX;
use flux_model::{ExecutionId, Value};

use crate::weather::hits;

/// The input of an execution: what the templates of [`crate::flows`] name.
pub(crate) fn input(rng: &mut Rng, peer: Option<ExecutionId>) -> Value {
    let peer = peer.map_or(Value::Null, |id| Value::text(id.to_string()));
    let mut members = numbers(rng);
    members.push(("flag", Value::Bool(rng.bool())));
    members.push(("k", Value::text(format!("k{}", rng.u32(..3)))));
    members.push(("peer", peer));
    Value::object(members)
}

/// What a task answers.
pub(crate) fn output(rng: &mut Rng) -> Value {
    match rng.u32(..20) {
        0 => Value::Null,
        1 => Value::from(rng.i64(..)),
        2 => Value::array((0..rng.u32(..4)).map(|_| scalar(rng)).collect()),
        _ => {
            let mut members = numbers(rng);
            members.push(("ok", Value::Bool(rng.bool())));
            Value::object(members)
        }
    }
}

/// A small value.
pub(crate) fn scalar(rng: &mut Rng) -> Value {
    match rng.u32(..5) {
        0 => Value::Bool(rng.bool()),
        1 => number(rng.f64() * 1e9 - rng.f64()),
        2 => Value::text(format!("t{}", rng.u32(..100))),
        3 => Value::Null,
        _ => Value::from(rng.i64(-5..20)),
    }
}

fn numbers(rng: &mut Rng) -> Vec<(&'static str, Value)> {
    let count = rng.u32(..4);
    let mut members = vec![
        ("n", Value::from(rng.i64(0..10))),
        ("list", Value::array((0..count).map(|_| scalar(rng)).collect())),
        ("f", number(f64::from_bits(rng.u64(..)))),
    ];
    if hits(rng, 15) {
        let text = "x".repeat(INLINE_VALUE_BYTES_MAX + rng.usize(..1_000));
        members.push(("big", Value::text(text)));
    }
    members
}

fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}
