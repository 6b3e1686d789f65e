//! Random configs: what single nodes do, with templates over what is upstream.

use flux_model::Value;
use flux_model::flow::{OnError, Retry};

use super::sketch::{Output, Sketch, Spot};
use crate::values;
use crate::weather::hits;

/// Settings of a node that do not depend on its type's config.
pub(super) struct Dials {
    pub(super) retry: Option<Retry>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) on_error: OnError,
    pub(super) for_each: Option<String>,
    pub(super) concurrency: Option<u32>,
    pub(super) at_most_once: bool,
}

/// A node type with one main port, and its config.
pub(super) fn plain(sketch: &mut Sketch<'_>, spot: &Spot) -> (&'static str, Value) {
    match sketch.rng.u32(..100) {
        0..8 => ("data.set", set(sketch, spot)),
        8..14 => ("data.transform", Value::object([("expression", expression(sketch, spot))])),
        14..18 => ("logic.filter", filter(sketch, spot)),
        18..25 => ("logic.delay", delay(sketch)),
        25..30 => ("flow.respond", respond(sketch, spot)),
        30..42 if !sketch.callees.is_empty() => ("flow.call", call(sketch, spot)),
        42..47 => ("flow.signal", await_signal(sketch)),
        47..51 => ("flow.signal", send_signal(sketch, spot)),
        51..57 => ("pure", Value::object([("in", expression(sketch, spot))])),
        _ => ("task", Value::object([("in", expression(sketch, spot))])),
    }
}

/// How the node retries, fails and repeats.
pub(super) fn dials(sketch: &mut Sketch<'_>, spot: &Spot, node_type: &str) -> Dials {
    let at_most_once = node_type == "task" && hits(sketch.rng, 180);
    let retry = (!at_most_once && hits(sketch.rng, 400)).then(|| Retry {
        attempts: sketch.rng.u32(1..5),
        initial_ms: sketch.rng.u64(..500),
        factor: 1.0 + sketch.rng.f64() * 2.0,
        max_ms: 2_000,
        jitter: sketch.rng.f64(),
    });
    let on_error = match sketch.rng.u32(..10) {
        0..2 => OnError::Continue,
        2..4 => OnError::Branch,
        _ => OnError::Fail,
    };
    let repeats = node_type != "flow.respond" && hits(sketch.rng, 150);
    Dials {
        retry,
        timeout_ms: hits(sketch.rng, 300).then(|| sketch.rng.u64(20..800)),
        on_error,
        for_each: repeats.then(|| items_text(sketch, spot)),
        concurrency: sketch.rng.bool().then(|| sketch.rng.u32(1..4)),
        at_most_once,
    }
}

/// The config of a node whose ports are always the same.
pub(super) fn fork(sketch: &mut Sketch<'_>, spot: &Spot, node_type: &str) -> Value {
    if node_type == "logic.if" {
        return Value::object([("condition", condition(sketch, spot))]);
    }
    let mut members = vec![("title", Value::text("Well?")), ("content", expression(sketch, spot))];
    if sketch.rng.bool() {
        let action = ["expire", "approve", "reject", "fail"][sketch.rng.usize(..4)];
        members.push(("expires_in_ms", Value::from(sketch.rng.u64(1..20_000))));
        members.push(("on_expiry", Value::text(action)));
    }
    Value::object(members)
}

/// `logic.switch` with cases `a` and `b`.
pub(super) fn switch(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    let mut case =
        |name: &str| Value::object([("name", Value::text(name)), ("when", condition(sketch, spot))]);
    let cases = Value::array(vec![case("a"), case("b")]);
    let mode = if sketch.rng.bool() { "all" } else { "first" };
    Value::object([("cases", cases), ("mode", Value::text(mode))])
}

/// `logic.loop`
pub(super) fn repeat(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    let mut members = vec![("items", items(sketch, spot))];
    if sketch.rng.bool() {
        members.push(("concurrency", Value::from(sketch.rng.u64(1..4))));
    }
    if hits(sketch.rng, 400) {
        let collect = ["{{ item }}", "{{ index }}", "{{ input }}", "{{ [index, item] }}"];
        members.push(("collect", Value::text(collect[sketch.rng.usize(..4)])));
    }
    Value::object(members)
}

fn set(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    let values = ["n", "list", "v"].map(|name| (name, expression(sketch, spot)));
    let keep = if sketch.rng.bool() { "all" } else { "none" };
    Value::object([("values", Value::object(values)), ("keep", Value::text(keep))])
}

fn filter(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    let test = ["{{ item }}", "{{ index > 0 }}", "{{ item == 1 }}"][sketch.rng.usize(..3)];
    Value::object([("items", items(sketch, spot)), ("where", Value::text(test))])
}

fn delay(sketch: &mut Sketch<'_>) -> Value {
    match sketch.rng.u32(..8) {
        0 => Value::object([("until", Value::text("2025-06-15T15:06:50Z"))]),
        1 => Value::object([("ms", Value::text("soon"))]),
        _ => Value::object([("ms", Value::from(sketch.rng.u64(..4_000)))]),
    }
}

fn respond(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    Value::object([("status", Value::from(201_u64)), ("body", expression(sketch, spot))])
}

fn call(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    let flow = sketch.callees[sketch.rng.usize(..sketch.callees.len())].clone();
    let input = if hits(sketch.rng, 700) { Value::text("{{ trigger }}") } else { expression(sketch, spot) };
    let wait = Value::Bool(hits(sketch.rng, 750));
    Value::object([("flow", Value::text(flow)), ("input", input), ("wait", wait)])
}

fn await_signal(sketch: &mut Sketch<'_>) -> Value {
    let mut members = vec![("name", Value::text(signal_name(sketch)))];
    if sketch.rng.bool() {
        members.push(("timeout_ms", Value::from(sketch.rng.u64(1..15_000))));
    }
    Value::object(members)
}

fn send_signal(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    let to = if sketch.rng.bool() { "{{ trigger.peer }}" } else { "{{ execution.id }}" };
    Value::object([
        ("action", Value::text("send")),
        ("name", Value::text(signal_name(sketch))),
        ("execution", Value::text(to)),
        ("payload", expression(sketch, spot)),
    ])
}

fn signal_name(sketch: &mut Sketch<'_>) -> &'static str {
    ["s0", "s1", "s2"][sketch.rng.usize(..3)]
}

fn expression(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    if hits(sketch.rng, 150) {
        return values::scalar(sketch.rng);
    }
    let own = ["{{ trigger }}", "{{ input }}", "{{ trigger.n + 1 }}", "{{ execution.attempt }}"];
    let inside = ["{{ item }}", "{{ index }}", "{{ loop.last }}", "{{ [item, index] }}"];
    let text = match sketch.rng.u32(..10) {
        0..3 => own[sketch.rng.usize(..4)].to_owned(),
        3..6 if spot.loops > 0 => inside[sketch.rng.usize(..4)].to_owned(),
        _ => about_upstream(sketch, spot),
    };
    Value::text(text)
}

fn about_upstream(sketch: &mut Sketch<'_>, spot: &Spot) -> String {
    let Some(seen) = pick(sketch, spot) else { return "{{ trigger.k }}".to_owned() };
    let key = &seen.0;
    match (sketch.rng.u32(..5), seen.1) {
        (0, _) => format!("{{{{ {key} }}}}"),
        (1, _) => format!("{key} gave {{{{ {key} }}}} for {{{{ trigger.k | upper }}}}"),
        (_, Output::Array) => format!("{{{{ {key}[0] }}}}"),
        (2, Output::Anything) => format!("{{{{ {key}.list }}}}"),
        (_, Output::Anything) => format!("{{{{ default({key}.n, 0) }}}}"),
    }
}

fn condition(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    let text = match (sketch.rng.u32(..10), pick(sketch, spot)) {
        (0, _) => return Value::Bool(sketch.rng.bool()),
        (1..5, _) => ["{{ trigger.flag }}", "{{ trigger.n > 4 }}"][sketch.rng.usize(..2)].to_owned(),
        (5, Some((key, Output::Anything))) => format!("{{{{ {key}.n > 4 }}}}"),
        (_, Some((key, Output::Anything))) => format!("{{{{ default({key}.n, 0) > 4 }}}}"),
        (_, Some((key, Output::Array))) => format!("{{{{ len({key}) > 1 }}}}"),
        (_, None) => "{{ trigger.flag }}".to_owned(),
    };
    Value::text(text)
}

fn items(sketch: &mut Sketch<'_>, spot: &Spot) -> Value {
    if sketch.rng.bool() {
        let count = sketch.rng.u32(..4);
        return Value::array((0..count).map(|_| values::scalar(sketch.rng)).collect());
    }
    Value::text(items_text(sketch, spot))
}

fn items_text(sketch: &mut Sketch<'_>, spot: &Spot) -> String {
    match (sketch.rng.u32(..10), pick(sketch, spot)) {
        (0, _) => "{{ trigger.n }}".to_owned(),
        (1..4, _) => "{{ [1, 2, 3] }}".to_owned(),
        (4..8, Some((key, Output::Anything))) => format!("{{{{ default({key}.list, []) }}}}"),
        (_, _) => "{{ trigger.list }}".to_owned(),
    }
}

fn pick(sketch: &mut Sketch<'_>, spot: &Spot) -> Option<(String, Output)> {
    let count = spot.seen.len();
    (count > 0).then(|| {
        let seen = &spot.seen[sketch.rng.usize(..count)];
        (seen.key.clone(), seen.output)
    })
}
