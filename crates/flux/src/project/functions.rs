//! The functions of a project as the engine knows them: each is a flow with a function trigger and
//! one node that calls it, pinned to a bundle.

use flux_functions::{Auth, BundleId, Credentials, Durability, Function, FunctionInfo, Mode};
use flux_model::Flow;
use serde_json::{Map, Value, json};

/// The key of the trigger, by which the call's templates name it.
const REQUEST: &str = "request";
/// The key of the node that calls the function.
const RUN: &str = "run";

/// The flow that a function is.
pub(crate) fn flow_of(info: &FunctionInfo, bundle: &BundleId) -> Flow {
    let function = &info.declared;
    let mut trigger = Map::new();
    trigger.insert("route".to_owned(), json!(function.route));
    trigger.insert("method".to_owned(), json!(function.method));
    trigger.insert("auth".to_owned(), json!(auth(function)));
    trigger.insert("answer".to_owned(), json!(answer(function)));
    let optional = [
        ("cors", cors(function)),
        ("rate_limit", rate_limit(function)),
        ("input_schema", info.input.as_ref().map(flux_model::Value::to_serde)),
        ("timeout_ms", function.timeout_ms.map(|ms| json!(ms))),
    ];
    trigger.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let definition = json!({
        "flux": 1,
        "name": function.name,
        "nodes": [
            {"key": REQUEST, "type": "trigger.function", "config": literal(Value::Object(trigger))},
            run(function, bundle),
        ],
        "edges": [{"from": REQUEST, "to": RUN}],
    });
    serde_json::from_value(definition).expect("a function's flow has the form of a flow")
}

fn run(function: &Function, bundle: &BundleId) -> Value {
    let mut node = json!({
        "key": RUN,
        "type": "function.call",
        "name": function.name,
        "config": {
            "function": function.name,
            "bundle": bundle.to_string(),
            "input": format!("{{{{ {REQUEST}.input }}}}"),
            "headers": format!("{{{{ {REQUEST}.headers }}}}"),
            "user": format!("{{{{ {REQUEST}.user }}}}"),
        },
    });
    if let Some(ms) = function.timeout_ms {
        node["timeout_ms"] = json!(ms);
    }
    if let Some(retry) = function.retry {
        node["retry"] = json!({
            "attempts": retry.attempts,
            "initial_ms": retry.initial_ms,
            "factor": retry.factor,
            "max_ms": retry.max_ms,
        });
    }
    node
}

fn auth(function: &Function) -> &'static str {
    match function.auth {
        Auth::Required => "key",
        Auth::None => "none",
    }
}

fn answer(function: &Function) -> &'static str {
    match (function.mode, function.durability) {
        (Mode::Async, _) => "accepted",
        (Mode::Sync, Durability::Durable) => "durable_output",
        (Mode::Sync, Durability::Batched) => "output",
    }
}

fn cors(function: &Function) -> Option<Value> {
    let cors = function.cors.as_ref()?;
    Some(json!({
        "origins": cors.origins,
        "headers": cors.headers,
        "credentials": cors.credentials == Credentials::Allowed,
        "max_age_s": cors.max_age_s,
    }))
}

fn rate_limit(function: &Function) -> Option<Value> {
    let rate = function.rate_limit?;
    Some(json!({"limit": rate.limit, "period_ms": rate.per_ms, "burst": rate.burst}))
}

/// A text that looks like a template is meant as it is: schemas and routes come from the author of a
/// function, who knows nothing of templates.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains("{{") => {
            let quoted = Value::String(text).to_string();
            Value::String(format!("{{{{ {quoted} }}}}"))
        }
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value,
        Value::Array(items) => Value::Array(items.into_iter().map(literal).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, literal(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use flux_core::template::{Scope, Template, Warnings};
    use flux_model::Timestamp;

    use super::*;

    struct Nothing;

    impl Scope for Nothing {
        fn root(&self, _: &str) -> Option<flux_model::Value> {
            None
        }

        fn now(&self) -> Timestamp {
            Timestamp::default()
        }
    }

    #[test]
    fn what_looks_like_a_template_is_quoted() {
        let schema = json!({"description": "say {{ \"name\" }}\n}}", "items": [1, null, "plain"]});
        let quoted = literal(schema.clone());
        assert_eq!(quoted["items"], schema["items"]);
        let template = Template::compile(quoted["description"].as_str().unwrap()).unwrap();
        let value = template.evaluate(&Nothing, &mut Warnings::new()).unwrap();
        assert_eq!(value.as_str(), schema["description"].as_str());
    }
}
