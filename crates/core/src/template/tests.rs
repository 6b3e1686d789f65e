//! Tests of the language as a whole; the corpora are in `tests/it/templates.rs`.

use std::cell::RefCell;
use std::sync::Arc;

use flux_model::error::{ErrorCode, Failure};
use flux_model::{Diagnostic, Timestamp, Value, limits};

use super::test_scope::{NOW, TestScope, evaluate};
use super::{OnMissing, Scope, Template, TemplateError, Warnings, functions};

#[test]
fn what_a_text_is_decides_what_it_gives() {
    let check = |source: &str, expected: &str| {
        let value = evaluate(source, r#"{"n": 5, "o": {"b": 1, "a": 2.0}, "list": [1, null], "none": null}"#)
            .unwrap();
        assert_eq!(value.to_json(), expected, "{source}");
    };
    check("", r#""""#);
    check("plain", r#""plain""#);
    check("{{ input.n }}", "5");
    check(" {{ input.n }}", r#"" 5""#);
    check("{{ input.n }}{{ input.n }}", r#""55""#);
    check("{{ input.o }}", r#"{"b":1,"a":2.0}"#);
    check("o={{ input.o }}", r#""o={\"b\":1,\"a\":2.0}""#);
    check("{{ input.list }}!", r#""[1,null]!""#);
    check("<{{ input.none }}>", r#""<>""#);
    check("{{ true }} {{ 2.0 }} {{ 2.5 }}", r#""true 2 2.5""#);
    check("{{ 'it''s' }}".replace("''", "\\'").as_str(), r#""it's""#);
    check("{{ {\"a\": {\"b\": {}}} }}", r#"{"a":{"b":{}}}"#);
    check("{{ {\"a\": 1}}}", r#"{"a":1}"#);
    check("a\n{{\n input.n\n}}\nb", r#""a\n5\nb""#);
}

#[test]
fn syntax_errors_name_the_place_and_the_way_out() {
    let check = |source: &str, message: &str, suggestion: &str| {
        let error = Template::compile(source).unwrap_err();
        assert_eq!(error.code, ErrorCode::TemplateSyntax, "{source}");
        assert!(error.message.contains(message), "{source}: {error}");
        let given = error.suggestion.unwrap_or_default();
        assert!(given.contains(suggestion), "{source}: {given}");
    };
    check("Hello {{ input.name", "`{{` at character 7 is never closed", "{{ \"{{\" }}");
    check("{{ uper(input.name) }}", "no function `uper`", "did you mean `upper`?");
    check("{{ length(input.name) }}", "no function `length`", "did you mean `len`?");
    check("{{ input.name.toUpperCase() }}", "values have no methods", "value | upper");
    check("{{ input.list.map(x) }}", "values have no methods", "map(value)");
    check(
        "{{ replace(input.a, \"b\") }}",
        "`replace(text, from, to)` needs 3 arguments and is given 2 at character 4",
        "",
    );
    check("{{ a ? b : c }}", "`?` at character 6", "a if condition else b");
    check("{{ a && b }}", "`&&`", "`and`");
    check("{{ a < b < c }}", "cannot be chained", "and");
    check("ü {{ $json.x }}", "`$` at character 6", "without `$`");
    check("{{ input.0 }}", "member name is missing after `.` at character 10", "[0]");
    check("{{ secrets }}", "does not name a secret", "secrets.NAME");
    check("{{ secrets.a | upper }}", "only be placed whole", "Bearer {{ secrets.NAME }}");
    check("{{ 'a\\x' }}", "unknown escape at character 6", "\\n");
    check("{{ }}", "an expression is missing at character 4", "");
    check("{{ a b }}", "unexpected `b` at character 6", "");
}

#[test]
fn strict_scopes_say_what_is_missing_and_what_is_there() {
    let mut scope = TestScope::new(r#"{"name": "Ada", "list": [1], "none": null}"#);
    scope.on_missing = OnMissing::Fail;
    let check = |source: &str, message: &str, suggestion: Option<&str>| {
        let error = Template::compile(source).unwrap().evaluate(&scope, &mut Warnings::new()).unwrap_err();
        assert_eq!(error.code, ErrorCode::TemplateFailed, "{source}");
        assert!(error.message.contains(message), "{source}: {error}");
        assert_eq!(error.suggestion.as_deref(), suggestion, "{source}");
    };
    let did_you_mean = Some("did you mean `name`?");
    for source in
        ["{{ input.nme }}", "Dear {{ input.nme }}", "{{ input.nme | upper }}", "{{ 'x' ~ input.nme }}"]
    {
        let message =
            "`input.nme` does not exist: `input` has no member `nme`; it has `name`, `list`, `none`";
        check(source, message, did_you_mean);
    }
    check("{{ inputs.name }}", "there is no `inputs` here; there is `input`", Some("did you mean `input`?"));
    check("{{ input.list[3] }}", "`input.list` has no element 3; its length is 1", None);
    check("{{ input.name.first }}", "`input.name` is a string and has no parts", None);
    check("{{ input.none.x.y }}", "`input.none` is null", None);
    check("{{ input['na' ~ 'm'] }}", "a computed value has no member `nam`", did_you_mean);
    for source in [
        "{{ default(input.x, 1) }}",
        "{{ exists(input.x.y) }}",
        "{{ input.x | is_empty }}",
        "{{ input.x or 1 }}",
        "{{ 1 if true else input.x }}",
        "{{ false and input.x }}",
        "{{ input.none }}",
        "{{ map(input.list, \"x\") }}",
    ] {
        let result = Template::compile(source).unwrap().evaluate(&scope, &mut Warnings::new());
        assert!(result.is_ok(), "{source}: {result:?}");
    }
}

#[test]
fn warnings_are_recorded_once_and_only_for_paths_that_were_taken() {
    let scope = TestScope::new("{}");
    let mut warnings = Warnings::new();
    let source = "{{ input.a }} {{ input.a }} {{ input.b if input.c else 1 }} {{ x.y }}";
    let value = Template::compile(source).unwrap().evaluate(&scope, &mut warnings).unwrap();
    assert_eq!(value, Value::text("  1 "));
    let paths: Vec<&str> = warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(paths, ["input.a", "input.c", "x.y"]);
}

#[test]
fn references_are_the_paths_that_are_known_beforehand() {
    let check = |source: &str, expected: &[&str]| {
        let template = Template::compile(source).unwrap();
        let references: Vec<String> = template.references().iter().map(ToString::to_string).collect();
        assert_eq!(references, expected, "{source}");
    };
    check("no {braces}", &[]);
    check("{{ a }}", &["a"]);
    check("{{ a.b[0].c }}", &["a.b[0].c"]);
    check("{{ a[\"b\"]['two words'][-1] }}", &["a.b[\"two words\"][-1]"]);
    check("{{ a.b }} and {{ a.b }} and {{ a.c }}", &["a.b", "a.c"]);
    check("{{ upper(a.b) | replace(c.d, \"e.f\") }}", &["a.b", "c.d"]);
    check("{{ \"a.b\" ~ 'c.d' }}", &[]);
    check("{{ rows[input.n].name }}", &["input.n", "rows"]);
    check("{{ first(a.b).c.d }}", &["a.b"]);
    check("{{ map(a.items, \"x.y\") }}", &["a.items"]);
    check("{{ {\"k\": a.b, c: d.e} }}", &["a.b", "d.e"]);
    check("{{ a if b.c else d[0:f.g] }}", &["a", "b.c", "f.g", "d"]);
    check("{{ now() }} {{ upper }}", &["upper"]);
    check("Bearer {{ secrets.token }}", &["secrets.token"]);
    assert_eq!(
        Template::compile("{{ a.b ~ c ~ a.d }} {{ secrets.x }}").unwrap().roots(),
        ["a", "c", "secrets"]
    );
}

/// Counts what it is asked for.
struct Counting {
    input: Value,
    asked: RefCell<Vec<String>>,
}

impl Scope for Counting {
    fn root(&self, name: &str) -> Option<Value> {
        self.asked.borrow_mut().push(name.to_owned());
        Some(self.input.clone())
    }

    fn now(&self) -> Timestamp {
        NOW
    }
}

#[test]
fn values_pass_through_without_being_copied() {
    let list = Arc::new(vec![Value::from(1_i64); 1000]);
    let input = Value::object([("list", Value::Array(Arc::clone(&list)))]);
    let scope = Counting { input, asked: RefCell::default() };
    for source in [
        "{{ a.list }}",
        "{{ a.list if true else 0 }}",
        "{{ a.none or a.list }}",
        "{{ default(a.list, 1) }}",
        "{{ merge(a, {}).list }}",
        "{{ first([a.list]) }}",
    ] {
        scope.asked.borrow_mut().clear();
        let value = Template::compile(source).unwrap().evaluate(&scope, &mut Warnings::new()).unwrap();
        let Value::Array(given) = value else { panic!("{source}: not an array") };
        assert!(Arc::ptr_eq(&given, &list), "{source} copied its value");
        assert_eq!(*scope.asked.borrow(), ["a"], "{source}");
    }
}

#[test]
fn templates_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&Template::compile("{{ upper(a) }}").unwrap());
}

#[test]
fn errors_become_failures_and_diagnostics() {
    let error = Template::compile("{{ uper(1) }}").unwrap_err().at_field("config.url");
    let failure = Failure::from(error.clone());
    assert_eq!(failure.code, ErrorCode::TemplateSyntax);
    assert!(failure.message.starts_with("config.url: there is no function"), "{failure}");
    assert!(failure.message.ends_with("(did you mean `upper`?)"), "{failure}");
    let diagnostic = Diagnostic::from(error);
    assert_eq!(diagnostic.field.as_deref(), Some("config.url"));
    assert_eq!(diagnostic.suggestion.as_deref(), Some("did you mean `upper`?"));
}

#[test]
fn functions_say_which_argument_is_wrong() {
    let check = |source: &str, message: &str| {
        let error = evaluate(source, r#"{"list": [1, "a"]}"#).unwrap_err();
        assert_eq!(error.message, message, "{source}");
    };
    check("{{ upper(input.list) }}", "`upper`: `text` must be a string, but is an array");
    check("{{ join(\"a\") }}", "`join`: `items` must be an array, but is the string \"a\"");
    check("{{ repeat(\"a\", 1.5) }}", "`repeat`: `count` must be a whole number, but is the number 1.5");
    check("{{ sort(input.list) }}", "`sort`: cannot order a mixture of number and string");
    check("{{ 1 / 0 }}", "cannot calculate 1 / 0: division by zero");
    check("{{ \"1\" + 1 }}", "`+` does not apply to string and number");
    check(
        "{{ now(\"Europe/Berln\") }}",
        "`now`: there is no time zone `Europe/Berln`; did you mean `Europe/Berlin`?",
    );
}

#[test]
fn what_is_passed_on_is_not_counted_as_made() {
    let large = format!("{{\"text\": \"{}\"}}", "x".repeat(2 * limits::TEMPLATE_OUTPUT_BYTES_MAX));
    for source in ["{{ default(input.text, 1) }}", "{{ get(input, \"text\") }}", "{{ first([input.text]) }}"]
    {
        assert!(evaluate(source, &large).is_ok(), "{source}");
    }
    for source in ["{{ upper(input.text) }}", "{{ input.text }}!", "{{ input.text ~ 1 }}"] {
        let error = evaluate(source, &large).unwrap_err();
        assert_eq!(error.code, ErrorCode::TemplateBudget, "{source}");
        assert!(error.message.contains("TEMPLATE_OUTPUT_BYTES_MAX"), "{source}: {error}");
    }
}

#[test]
fn every_element_that_is_looked_at_costs_a_step() {
    let items =
        Value::array(vec![Value::from(1_i64); usize::try_from(limits::TEMPLATE_FUEL_MAX).unwrap() + 1]);
    let copy = Value::array(items.as_array().unwrap().to_vec());
    let members = Value::object((0..10_000).map(|number| (number.to_string(), Value::Null)));
    let input = Value::object([("items", items), ("copy", copy), ("members", members)]);
    let scope = TestScope { roots: Value::object([("input", input)]), on_missing: OnMissing::Null };
    let evaluate = |source: &str| Template::compile(source).unwrap().evaluate(&scope, &mut Warnings::new());
    let functions = "map('a') filter('a') find('a') sort reverse unique flatten compact chunk(9) sum \
        group_by('a') min max from_entries join json concat([]) contains(2) slice(0)";
    for function in functions.split_whitespace() {
        check_fuel(function, evaluate(&format!("{{{{ input.items | {function} }}}}")));
    }
    for expression in [
        "2 in input.items",
        "input.items == input.copy",
        "input.items + []",
        "input.items[1:]",
        "'' ~ input.items",
        "pick(input.members, input.items)",
    ] {
        check_fuel(expression, evaluate(&format!("{{{{ {expression} }}}}")));
    }
    let often = "pick(input.members, '1'), ".repeat(101);
    check_fuel("pick", evaluate(&format!("{{{{ [{often}] }}}}")));
    // The parts of a template share one budget, in which each of them alone would fit.
    check_fuel("parts", evaluate(&"{{ sum(input.items[:300000]) }}".repeat(2)));
    for expression in ["len(input.items)", "first(input.items)", "input.items[7]", "input.items or 1"] {
        assert!(evaluate(&format!("{{{{ {expression} }}}}")).is_ok(), "{expression}");
    }
}

#[track_caller]
fn check_fuel(what: &str, result: Result<Value, TemplateError>) {
    let error = result.expect_err(what);
    assert_eq!(error.code, ErrorCode::TemplateBudget, "{what}");
    assert_eq!(error.message, "the template takes more than 1000000 steps (TEMPLATE_FUEL_MAX)", "{what}");
}

#[test]
fn the_documentation_has_the_table_of_functions() {
    let page = include_str!("../../../../docs/concepts/templates.md");
    let table = functions::markdown();
    assert!(page.contains(table.trim_end()), "docs/concepts/templates.md should contain:\n{table}");
}
