//! What holds for every template: nothing panics, and the fast path is only fast.

use std::sync::Arc;

use flux_core::template::{OnMissing, Path, Scope, Segment, Template, Warnings, functions};
use flux_model::{Timestamp, Value};
use proptest::prelude::*;

struct Input {
    input: Value,
    on_missing: OnMissing,
}

impl Scope for Input {
    fn root(&self, name: &str) -> Option<Value> {
        (name == "input").then(|| self.input.clone())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_774_693_800_000)
    }

    fn on_missing(&self) -> OnMissing {
        self.on_missing
    }
}

/// JSON of a few names and kinds, nested.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| Value::from(serde_json::Value::from(number))),
        "[a-c0-9:TZ-]{0,20}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::array),
            prop::collection::vec(("[a-c]", inner), 0..4).prop_map(Value::object),
        ]
    })
}

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        "[a-c]".prop_map(|name| Segment::Key(Arc::from(name))),
        (-2_i64..3).prop_map(Segment::Index),
        "\\PC{0,3}".prop_map(|name| Segment::Key(Arc::from(name))),
    ]
}

/// A piece of an expression.
fn piece() -> impl Strategy<Value = String> {
    let names: Vec<String> = functions::all().map(|function| function.name.to_owned()).collect();
    prop_oneof![
        4 => prop::sample::select(names).prop_map(|name| format!(" {name}(")),
        4 => prop::sample::select(vec![
            "(", ")", "[", "]", "{", "}", ",", ".", "|", ":", "+", "-", "*", "/", "//", "%", "**", "~", "==", "<",
            " and ", " or ", " not ", " in ", " if ", " else ", "{{", "}}", "input", ".a", "[0]", "secrets.x",
            "\"days\"", "\"%Y %q %-d\"", "\"Europe/Berlin\"", "null", "\"",
        ]).prop_map(str::to_owned),
        2 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| number.to_string()),
        2 => "\\PC{0,6}".prop_map(|text| format!("{text:?}")),
    ]
}

fn survives(source: &str, input: &Value) {
    for on_missing in [OnMissing::Null, OnMissing::Fail] {
        if let Ok(template) = Template::compile(source) {
            let scope = Input { input: input.clone(), on_missing };
            let _ = template.evaluate(&scope, &mut Warnings::new());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_compiles_and_runs_or_says_why_not(source in "\\PC*", input in value()) {
        survives(&source, &input);
        survives(&format!("{{{{ {source} }}}}"), &input);
    }

    #[test]
    fn any_soup_of_pieces_compiles_and_runs_or_says_why_not(
        pieces in prop::collection::vec(piece(), 0..30),
        input in value(),
    ) {
        survives(&format!("{{{{ {} }}}}", pieces.concat()), &input);
    }

    /// Every function, with arguments of any type.
    #[test]
    fn every_function_takes_any_arguments(input in prop::collection::vec(value(), 4)) {
        let input = Value::array(input);
        for function in functions::all() {
            for count in 0..=4 {
                let args: Vec<String> = (0..count).map(|number| format!("input[{number}]")).collect();
                survives(&format!("{{{{ {}({}) }}}}", function.name, args.join(", ")), &input);
            }
        }
    }

    /// `{{ path }}` is followed directly, `{{ path if true else 0 }}` by the expression machinery.
    #[test]
    fn the_fast_path_agrees_with_the_machinery(
        input in value(),
        segments in prop::collection::vec(segment(), 0..5),
    ) {
        let path = Path { root: Arc::from("input"), segments };
        for on_missing in [OnMissing::Null, OnMissing::Fail] {
            let scope = Input { input: input.clone(), on_missing };
            let run = |source: String| {
                let mut warnings = Warnings::new();
                let template = Template::compile(&source).map_err(|error| error.to_string())?;
                let value = template.evaluate(&scope, &mut warnings).map_err(|error| error.to_string())?;
                Ok::<_, String>((value, warnings))
            };
            prop_assert_eq!(run(format!("{{{{ {path} }}}}")), run(format!("{{{{ {path} if true else 0 }}}}")));
        }
    }

    /// What is written around an expression comes out as it went in.
    #[test]
    fn text_without_expressions_is_itself(text in "[^{]*(\\{[^{]+)*") {
        let scope = Input { input: Value::Null, on_missing: OnMissing::Null };
        let compiled = Template::compile(&text);
        let value = compiled.and_then(|template| template.evaluate(&scope, &mut Warnings::new()));
        prop_assert_eq!(value, Ok(Value::text(&text)));
    }
}
