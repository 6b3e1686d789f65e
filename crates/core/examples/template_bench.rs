//! How long templates take: `cargo run --release -p flux-core --example template_bench`.
//!
//! Prints `name: n ns` for each template: nanoseconds per evaluation, the median of several rounds.
//! Targets: a single path under 1 µs; a text with ten expressions over a context of 100 kB under
//! 15 µs.
#![expect(clippy::disallowed_types, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use flux_core::template::{Scope, Template, Warnings};
use flux_model::{Timestamp, Value};

const ROUNDS: usize = 15;
const EVALUATIONS: u32 = 20_000;

struct Context {
    input: Value,
}

impl Scope for Context {
    fn root(&self, name: &str) -> Option<Value> {
        (name == "input").then(|| self.input.clone())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_774_693_800_000)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let context = Context { input: order(100_000) };
    println!("context: {} bytes of JSON", context.input.to_json().len());
    let cases = [
        ("single path", "{{ input.customer.address.city }}"),
        ("path in text", "City: {{ input.customer.address.city }}"),
        ("one function", "{{ input.customer.name | upper }}"),
        ("condition", "{{ input.total > 100 and input.customer.vip }}"),
        (
            "10-expression text",
            "Order {{ input.id }} of {{ input.customer.name | title }} ({{ input.customer.email | lower }}): \
             {{ len(input.lines) }} lines, {{ input.total | round(2) }} {{ input.currency or \"EUR\" }}, \
             {{ \"express\" if input.express else \"standard\" }} to {{ input.customer.address.city }}, \
             {{ first(input.lines).sku }}, placed {{ format_date(input.created, \"%d.%m.%Y\") }}.",
        ),
        ("array of 1,000", "{{ sum(input.lines, \"price\") }}"),
    ];
    for (name, source) in cases {
        let template = Template::compile(source)?;
        println!("{name}: {:.0} ns", median(&template, &context)?);
    }
    Ok(())
}

fn median(template: &Template, context: &Context) -> Result<f64, Box<dyn std::error::Error>> {
    let mut warnings = Warnings::new();
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..EVALUATIONS {
            black_box(template.evaluate(black_box(context), &mut warnings)?);
        }
        rounds.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(EVALUATIONS));
    }
    assert!(warnings.is_empty(), "the benchmark's paths lead somewhere");
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

/// An order with a thousand lines, of about `bytes` as JSON.
fn order(bytes: usize) -> Value {
    let line = |number: u64| {
        let note = "x".repeat(bytes / 1_000 - 45);
        Value::object([
            ("sku", Value::text(format!("A-{number:04}"))),
            ("price", Value::from(number)),
            ("note", Value::text(note)),
        ])
    };
    let address = Value::object([("city", Value::text("Zürich"))]);
    let customer = Value::object([
        ("name", Value::text("ada lovelace")),
        ("email", Value::text("Ada@Example.org")),
        ("vip", Value::from(true)),
        ("address", address),
    ]);
    Value::object([
        ("id", Value::from(17_u64)),
        ("lines", Value::array((0..1_000).map(line).collect())),
        ("customer", customer),
        ("total", Value::from(serde_json::Value::from(1234.567))),
        ("currency", Value::Null),
        ("express", Value::from(true)),
        ("created", Value::text("2026-03-01T12:00:00Z")),
    ])
}
