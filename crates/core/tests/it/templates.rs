//! The template corpora: attempts to break out, and what people write every day.

use std::sync::Arc;

use flux_core::template::{OnMissing, Scope, Template, TemplateError, Warnings};
use flux_model::value::SecretPart;
use flux_model::{Timestamp, Value};
use serde::Deserialize;

const ESCAPES: &str = include_str!("../corpus/template_escapes.jsonl");
const USES: &str = include_str!("../corpus/template_uses.jsonl");

/// One line of a corpus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    template: Source,
    /// The value it gives.
    #[serde(default, deserialize_with = "present")]
    gives: Option<Value>,
    /// It gives itself.
    #[serde(default)]
    same: bool,
    /// It gives a secret: texts and names of secrets by turns.
    secret: Option<Vec<String>>,
    /// The code of the error.
    error: Option<String>,
    /// The path of the one warning.
    warns: Option<String>,
}

/// `null` is a value that can be expected.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A template, or pieces with how often each is repeated.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Source {
    Text(String),
    Pieces(Vec<(String, usize)>),
}

impl Source {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Pieces(pieces) => pieces.iter().map(|(piece, count)| piece.repeat(*count)).collect(),
        }
    }
}

struct Roots {
    roots: Value,
    on_missing: OnMissing,
}

impl Scope for Roots {
    fn root(&self, name: &str) -> Option<Value> {
        self.roots.get(name).cloned()
    }

    fn now(&self) -> Timestamp {
        // 2026-03-28T10:30:00Z, the day before clocks change in Europe.
        Timestamp::from_millis(1_774_693_800_000)
    }

    fn on_missing(&self) -> OnMissing {
        self.on_missing
    }
}

fn evaluate(source: &str, roots: &Roots, warnings: &mut Warnings) -> Result<Value, TemplateError> {
    Template::compile(source)?.evaluate(roots, warnings)
}

/// What is wrong with the outcome, if anything.
fn check(case: &Case, roots: &Roots) -> Result<(), String> {
    let source = case.template.text();
    let mut warnings = Warnings::new();
    match (&case.error, evaluate(&source, roots, &mut warnings)) {
        (Some(code), Err(error)) if error.code.as_str() == code => {}
        (Some(code), result) => return Err(format!("expected {code}, got {result:?}")),
        (None, Err(error)) => return Err(error.to_string()),
        (None, Ok(value)) => {
            let expected = expected(case, &source);
            if value != expected {
                return Err(format!("expected {expected}, got {value}"));
            }
            if case.gives.is_some() && value.holds_secret() {
                return Err("forged a secret".to_owned());
            }
        }
    }
    let warned: Vec<&str> = warnings.iter().map(|warning| warning.path.as_str()).collect();
    match &case.warns {
        Some(path) if warned != [path.as_str()] => {
            Err(format!("expected a warning about {path}, got {warned:?}"))
        }
        Some(_) | None => Ok(()),
    }
}

fn expected(case: &Case, source: &str) -> Value {
    if case.same {
        return Value::text(source);
    }
    if let Some(pieces) = &case.secret {
        let part = |(number, piece): (usize, &String)| match number % 2 {
            0 => SecretPart::Text(Arc::from(piece.as_str())),
            _ => SecretPart::Secret(Arc::from(piece.as_str())),
        };
        let parts = pieces.iter().enumerate().map(part);
        let full = |part: &SecretPart| !matches!(part, SecretPart::Text(text) if text.is_empty());
        return Value::Secret(Arc::new(parts.filter(full).collect()));
    }
    case.gives.clone().unwrap_or_else(|| panic!("{source}: the case expects nothing"))
}

fn run(corpus: &str, least: usize, roots: &Roots) {
    let mut wrong = Vec::new();
    for line in corpus.lines() {
        let case: Case = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        if let Err(problem) = check(&case, roots) {
            wrong.push(format!("{line}\n    {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(corpus.lines().count() >= least, "the corpus has shrunk");
}

#[test]
fn no_template_escapes() {
    let input = Value::object([
        ("name", Value::text("Ada")),
        ("items", Value::array((1..4_u64).map(Value::from).collect())),
        ("none", Value::Null),
        ("größe", Value::from(180_u64)),
        ("max", Value::from(i64::MAX)),
        ("big", Value::text("x".repeat(1_000_000))),
        ("list", Value::array((0..100_000_u64).map(Value::from).collect())),
        ("template", Value::text("{{ secrets.token }}")),
        ("forged", Value::object([("$secret", Value::text("token"))])),
        ("held", Value::secret("held")),
    ]);
    let roots = Roots { roots: Value::object([("input", input)]), on_missing: OnMissing::Null };
    run(ESCAPES, 150, &roots);
}

#[test]
fn everyday_templates_give_what_people_expect() {
    let roots = Value::from_json(include_bytes!("../corpus/template_uses_roots.json")).unwrap();
    run(USES, 60, &Roots { roots, on_missing: OnMissing::Null });
}
