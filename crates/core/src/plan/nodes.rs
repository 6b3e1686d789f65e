//! Compiles the nodes of a flow whose graph is known: templates, timeouts, retries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flux_model::Value;
use flux_model::diagnostic::Diagnostic;
use flux_model::flow::{Flow, Node, Retry};
use flux_model::limits::{ELEMENT_CONCURRENCY_DEFAULT, NODE_TIMEOUT_MS_DEFAULT};
use flux_model::node_type::{NodeKind, NodeType};

use super::graph::Graph;
use super::{Catalog, Join, PlanNode, schema};
use crate::template::{Template, TemplateError, Templated};

/// The nodes in the order of the file. A node whose templates do not compile has an empty config;
/// its diagnostics keep the plan from being used.
pub(super) fn compile(
    flow: &Flow,
    catalog: &Catalog,
    graph: &Graph,
    found: &mut Vec<Diagnostic>,
) -> Vec<PlanNode> {
    let mut slots = vec![0; flow.nodes.len()];
    for scope in &graph.scopes {
        for (slot, node) in scope.nodes.iter().enumerate() {
            slots[*node] = slot;
        }
    }
    let nodes = flow.nodes.iter().enumerate().filter_map(|(index, node)| {
        let entry = catalog.get(&node.node_type)?;
        check_config(node, entry, found);
        let mut compiled = compile_node(node, entry, found);
        compiled.scope = graph.scope_of[index];
        compiled.slot = slots[index];
        compiled.incoming.clone_from(&graph.incoming[index]);
        compiled.outgoing.clone_from(&graph.outgoing[index]);
        compiled.body = graph.body_of[index];
        compiled.reachable = graph.reachable[index];
        Some(compiled)
    });
    nodes.collect()
}

fn check_config(node: &Node, entry: &NodeType, found: &mut Vec<Diagnostic>) {
    found.extend(schema::misfits(&entry.config_schema, &node.config).into_iter().map(|misfit| {
        Diagnostic::error(misfit.code, misfit.message)
            .at_node(&node.key)
            .at_field(misfit.field)
            .suggest(misfit.suggestion)
    }));
}

fn compile_node(node: &Node, entry: &NodeType, found: &mut Vec<Diagnostic>) -> PlanNode {
    let excluded: Vec<&str> = entry.per_element_fields.iter().map(String::as_str).collect();
    let config = Templated::compile(&node.config, &excluded);
    let config = config.unwrap_or_else(|errors| report(node, "config", errors, found));
    let mut per_element = BTreeMap::new();
    for field in &entry.per_element_fields {
        if let Some(value) = node.config.get(field) {
            let place = format!("config.{field}");
            let compiled = Templated::compile(value, &[]);
            let compiled = compiled.unwrap_or_else(|errors| report(node, &place, errors, found));
            per_element.insert(field.clone(), compiled);
        }
    }
    let for_each = node.for_each.as_deref().and_then(|text| {
        let compiled = Template::compile(text);
        compiled.map_err(|error| found.push(located(node, "for_each", error))).ok()
    });
    let attempts_default = Retry { attempts: 1, ..Retry::default() };
    let timeout_ms = node.timeout_ms.unwrap_or(NODE_TIMEOUT_MS_DEFAULT);
    let takes_first =
        entry.kind == NodeKind::Merge && node.config.get("mode").and_then(Value::as_str) == Some("first");
    PlanNode {
        key: Arc::from(node.key.as_str()),
        kind: entry.kind,
        purity: entry.purity,
        node_type: Arc::from(entry.name.as_str()),
        name: node.name.clone().unwrap_or_else(|| node.key.clone()),
        config,
        per_element,
        for_each,
        element_concurrency: node.for_each_concurrency.unwrap_or(ELEMENT_CONCURRENCY_DEFAULT),
        retry: node.retry.clone().unwrap_or(attempts_default),
        timeout: Duration::from_millis(timeout_ms),
        on_error: node.on_error,
        at_most_once: node.at_most_once,
        join: if takes_first { Join::First } else { Join::All },
        scope: 0,
        slot: 0,
        incoming: Vec::new(),
        outgoing: Vec::new(),
        body: None,
        reachable: false,
    }
}

fn report(node: &Node, place: &str, errors: Vec<TemplateError>, found: &mut Vec<Diagnostic>) -> Templated {
    found.extend(errors.into_iter().map(|error| located(node, place, error)));
    Templated::fixed(Value::Null)
}

fn located(node: &Node, place: &str, error: TemplateError) -> Diagnostic {
    let field = super::references::join_field(place, error.field.as_deref().unwrap_or_default());
    Diagnostic::from(error).at_node(&node.key).at_field(field)
}
