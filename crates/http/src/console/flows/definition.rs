//! From bytes to a flow that can run, or to everything that is wrong with it.

use flux_core::plan::{Plan, plan};
use flux_core::template::Warnings;
use flux_model::diagnostic::nearest;
use flux_model::limits::FLOW_BYTES_MAX;
use flux_model::{Diagnostic, ErrorCode, Flow, Severity, Tenant};

use crate::app::Shared;
use crate::gateway::deployed::TriggerScope;
use crate::problem::Problem;

/// A flow can run; this is what its author should know.
pub(crate) struct Checked {
    pub(crate) warnings: Vec<Diagnostic>,
}

/// The flow cannot run.
#[derive(Debug, thiserror::Error)]
#[error("the flow has {} that keep it from running; the first: {}", counted(.0), first(.0))]
pub(crate) struct InvalidFlow(pub(crate) Vec<Diagnostic>);

fn counted(diagnostics: &[Diagnostic]) -> String {
    match errors(diagnostics).count() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    }
}

fn first(diagnostics: &[Diagnostic]) -> String {
    errors(diagnostics).next().map_or_else(String::new, ToString::to_string)
}

fn errors(diagnostics: &[Diagnostic]) -> impl Iterator<Item = &Diagnostic> {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error)
}

impl From<InvalidFlow> for Problem {
    fn from(error: InvalidFlow) -> Self {
        let code = errors(&error.0).next().map_or(ErrorCode::FlowSyntax, |diagnostic| diagnostic.code);
        Self::new(code, error.to_string()).with_diagnostics(error.0)
    }
}

/// Reads a flow file.
///
/// # Errors
/// What keeps it from being one.
pub(crate) fn read(bytes: &[u8]) -> Result<Flow, InvalidFlow> {
    if bytes.len() > FLOW_BYTES_MAX {
        let message = format!(
            "the flow has {} bytes, at most {FLOW_BYTES_MAX} (FLOW_BYTES_MAX) are allowed",
            bytes.len()
        );
        return Err(InvalidFlow(vec![Diagnostic::error(ErrorCode::FlowTooLarge, message)]));
    }
    // Without this, serde would read an array as the fields in order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(syntax(".", "a flow is an object, not an array"));
    }
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let read: Result<Flow, _> = serde_path_to_error::deserialize(&mut source);
    read.map_err(|error| {
        let place = error.path().to_string();
        syntax(&place, &error.into_inner().to_string())
    })
    .and_then(|flow| source.end().map(|()| flow).map_err(|error| syntax(".", &error.to_string())))
}

fn syntax(place: &str, message: &str) -> InvalidFlow {
    let mut diagnostic = Diagnostic::error(ErrorCode::FlowSyntax, message);
    if place != "." && !place.is_empty() {
        diagnostic = diagnostic.at_field(place);
    }
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let mut names = rest.split('`').step_by(2);
        let near = names.next().and_then(|given| nearest(given, names));
        diagnostic = diagnostic.suggest(near.map(|near| format!("write `{near}`")));
    }
    InvalidFlow(vec![diagnostic])
}

/// Plans a flow for a tenant, down to the config of its trigger and the paths that other flows
/// have.
///
/// # Errors
/// What keeps it from running.
pub(crate) fn check(app: &Shared, tenant: Tenant, flow: &Flow) -> Result<Checked, InvalidFlow> {
    let planned = plan(flow, &app.engine.catalog());
    let Some(plan) = planned.plan else { return Err(InvalidFlow(planned.diagnostics)) };
    let mut diagnostics = planned.diagnostics;
    diagnostics.extend(check_trigger(app, tenant, &plan));
    if errors(&diagnostics).next().is_some() {
        return Err(InvalidFlow(diagnostics));
    }
    Ok(Checked { warnings: diagnostics })
}

fn check_trigger(app: &Shared, tenant: Tenant, plan: &Plan) -> Vec<Diagnostic> {
    let (node, now) = (plan.trigger(), app.clock.now());
    let rendered = plan.trigger_config().render(&TriggerScope { plan, now }, &mut Warnings::new());
    let found = match rendered {
        Ok(config) => app.registry.check(&node.node_type, &config).err().unwrap_or_default(),
        Err(error) => vec![error.into()],
    };
    if found.is_empty() {
        return app.deployments.current().obstacles(tenant, plan, now);
    }
    found.into_iter().map(|diagnostic| diagnostic.at_node(&node.key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, field: Option<&str>, message: &str) {
        let InvalidFlow(found) = read(bytes.as_bytes()).unwrap_err();
        assert_eq!((found.len(), found[0].code), (1, ErrorCode::FlowSyntax), "{bytes}");
        assert_eq!(found[0].field.as_deref(), field, "{bytes}: {found:?}");
        assert!(found[0].to_string().contains(message), "{bytes}: {}", found[0]);
    }

    #[test]
    fn what_is_not_a_flow_is_said_where() {
        check("", None, "EOF");
        check("[", None, "is an object");
        check("{}", None, "missing field `name`");
        check(r#"{"name":"a","nodes":[],"edgs":[]}"#, Some("edgs"), "(write `edges`)");
        check(r#"{"name":"a","nodes":[{"key":"t"}]}"#, Some("nodes[0]"), "missing field `type`");
        check(r#"{"name":"a","nodes":[{"key":1}]}"#, Some("nodes[0].key"), "expected a string");
        check(r#"{"name":"a","nodes":[]} x"#, None, "trailing");
        check(&format!(r#"{{"name":{}"#, "[".repeat(100_000)), Some("name"), "");
        let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(FLOW_BYTES_MAX));
        assert_eq!(read(large.as_bytes()).unwrap_err().0[0].code, ErrorCode::FlowTooLarge);
    }
}
