//! Checks of a flow that need no graph: sizes, names, types, settings, the ends of edges.

use std::collections::BTreeMap;

use flux_model::diagnostic::{Diagnostic, nearest};
use flux_model::error::ErrorCode;
use flux_model::flow::{FLOW_FORMAT, Flow, Node, OnError, Retry};
use flux_model::limits::{
    DURATION_MS_MAX, ELEMENT_CONCURRENCY_MAX, EXECUTION_STEPS_MAX, FLOW_EDGES_MAX, FLOW_NODES_MAX,
    RETRY_ATTEMPTS_MAX,
};
use flux_model::node_type::{NodeKind, NodeType, Ports};

use super::Catalog;

const NAME_LENGTH_MAX: usize = 64;
const KEYS_RESERVED: [&str; 9] =
    ["trigger", "input", "vars", "secrets", "execution", "item", "index", "loop", "error"];

/// Everything that is wrong with the flow before its graph is looked at.
pub(super) fn check_flow(flow: &Flow, catalog: &Catalog) -> Vec<Diagnostic> {
    let mut found = check_size(flow);
    if !found.is_empty() {
        return found;
    }
    check_name(flow, &mut found);
    check_keys(flow, &mut found);
    check_trigger(flow, catalog, &mut found);
    for node in &flow.nodes {
        check_node(node, catalog, &mut found);
    }
    check_edges(flow, catalog, &mut found);
    check_settings(flow, &mut found);
    found
}

fn check_size(flow: &Flow) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut over = |what: &str, count: usize, max: usize, limit: &str| {
        if count > max {
            let message = format!("the flow has {count} {what}, at most {max} are allowed ({limit})");
            let way_out = "move a part of it into a flow of its own and use flow.call".to_owned();
            found.push(Diagnostic::error(ErrorCode::FlowTooLarge, message).suggest(Some(way_out)));
        }
    };
    over("nodes", flow.nodes.len(), FLOW_NODES_MAX, "FLOW_NODES_MAX");
    over("edges", flow.edges.len(), FLOW_EDGES_MAX, "FLOW_EDGES_MAX");
    found
}

fn check_name(flow: &Flow, found: &mut Vec<Diagnostic>) {
    if flow.flux != FLOW_FORMAT {
        let message =
            format!("`flux: {}` is not a known format version; write `flux: {FLOW_FORMAT}`", flow.flux);
        found.push(Diagnostic::error(ErrorCode::FlowSyntax, message).at_field("flux"));
    }
    let valid = flow.name.len() <= NAME_LENGTH_MAX
        && flow.name.starts_with(|first: char| first.is_ascii_alphabetic())
        && flow.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !valid {
        let message = format!(
            "`{}` is not a flow name: a letter, then up to {} letters, digits, `-` and `_`",
            flow.name,
            NAME_LENGTH_MAX - 1
        );
        found.push(Diagnostic::error(ErrorCode::FlowSyntax, message).at_field("name"));
    }
}

fn check_keys(flow: &Flow, found: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &flow.nodes {
        let key = node.key.as_str();
        let valid = key.len() <= NAME_LENGTH_MAX
            && key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let message = if !valid {
            format!(
                "`{key}` is not a node key: a letter or `_`, then letters, digits and `_`, at most {NAME_LENGTH_MAX}"
            )
        } else if KEYS_RESERVED.contains(&key) {
            format!("`{key}` is a name that templates use for something else; choose another key")
        } else if seen.insert(key, 1).is_some() {
            format!("two nodes have the key `{key}`")
        } else {
            continue;
        };
        found.push(Diagnostic::error(ErrorCode::NodeKey, message).at_node(key).at_field("key"));
    }
}

fn check_trigger(flow: &Flow, catalog: &Catalog, found: &mut Vec<Diagnostic>) {
    let is_trigger = |node: &&Node| {
        catalog.get(&node.node_type).is_some_and(|entry| entry.kind == NodeKind::Trigger)
            || node.node_type.starts_with("trigger.")
    };
    let triggers: Vec<&Node> = flow.nodes.iter().filter(is_trigger).collect();
    match triggers.as_slice() {
        [_] => {}
        [] => found.push(
            Diagnostic::error(ErrorCode::TriggerCount, "the flow has no trigger; it needs exactly one")
                .suggest(Some("add a node of type trigger.manual or trigger.webhook".to_owned())),
        ),
        [_, rest @ ..] => found.extend(rest.iter().map(|extra| {
            let message = format!("`{}` is a second trigger; a flow has exactly one", extra.key);
            Diagnostic::error(ErrorCode::TriggerCount, message)
                .at_node(&extra.key)
                .suggest(Some("put it into a flow of its own".to_owned()))
        })),
    }
}

fn check_node(node: &Node, catalog: &Catalog, found: &mut Vec<Diagnostic>) {
    let Some(entry) = catalog.get(&node.node_type) else {
        let suggestion =
            nearest(&node.node_type, catalog.names()).map(|name| format!("did you mean `{name}`?"));
        let message = format!("`{}` is not a node type", node.node_type);
        found.push(
            Diagnostic::error(ErrorCode::UnknownNodeType, message)
                .at_node(&node.key)
                .at_field("type")
                .suggest(suggestion),
        );
        return;
    };
    let mut wrong = |field: &str, message: String| {
        found.push(Diagnostic::error(ErrorCode::SettingInvalid, message).at_node(&node.key).at_field(field));
    };
    if let Some(retry) = &node.retry {
        check_retry(retry, &mut wrong);
        if node.at_most_once && retry.attempts > 1 {
            wrong("retry", "an at_most_once node is never tried again; leave out `retry`".to_owned());
        }
    }
    if node.timeout_ms.is_some_and(|ms| ms == 0 || ms > DURATION_MS_MAX) {
        wrong("timeout_ms", format!("timeout_ms is between 1 and {DURATION_MS_MAX}"));
    }
    if node.on_error == OnError::Continue && entry.ports != Ports::Main {
        let message =
            format!("{} leaves by named ports, so an error cannot continue; use `branch`", entry.name);
        wrong("on_error", message);
    }
    check_for_each(node, entry, &mut wrong);
}

fn check_for_each(node: &Node, entry: &NodeType, wrong: &mut impl FnMut(&str, String)) {
    if node.for_each.is_some() {
        let single = match entry.kind {
            NodeKind::Task
            | NodeKind::Filter
            | NodeKind::Set
            | NodeKind::Transform
            | NodeKind::Delay
            | NodeKind::Call
            | NodeKind::Signal => entry.ports == Ports::Main,
            NodeKind::Trigger
            | NodeKind::If
            | NodeKind::Switch
            | NodeKind::Merge
            | NodeKind::Loop
            | NodeKind::Respond
            | NodeKind::Review => false,
        };
        if !single {
            wrong("for_each", format!("{} cannot run once per element; use logic.loop", entry.name));
        }
    }
    match node.for_each_concurrency {
        Some(_) if node.for_each.is_none() => {
            wrong("for_each_concurrency", "for_each_concurrency needs for_each".to_owned());
        }
        Some(count) if count == 0 || count > ELEMENT_CONCURRENCY_MAX => wrong(
            "for_each_concurrency",
            format!("for_each_concurrency is {count}; it is between 1 and {ELEMENT_CONCURRENCY_MAX}"),
        ),
        Some(_) | None => {}
    }
}

fn check_retry(retry: &Retry, wrong: &mut impl FnMut(&str, String)) {
    if retry.attempts == 0 || retry.attempts > RETRY_ATTEMPTS_MAX {
        wrong(
            "retry.attempts",
            format!("attempts is {}; it is between 1 and {RETRY_ATTEMPTS_MAX}", retry.attempts),
        );
    }
    if !(1.0..=1_000.0).contains(&retry.factor) {
        wrong("retry.factor", format!("factor is {}; it is between 1 and 1000", retry.factor));
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        wrong("retry.jitter", format!("jitter is {}; it is between 0 and 1", retry.jitter));
    }
    if retry.initial_ms > DURATION_MS_MAX || retry.max_ms > DURATION_MS_MAX {
        wrong("retry.max_ms", format!("a pause is at most {DURATION_MS_MAX} ms"));
    }
}

fn check_edges(flow: &Flow, catalog: &Catalog, found: &mut Vec<Diagnostic>) {
    let mut seen = BTreeMap::new();
    for (index, edge) in flow.edges.iter().enumerate() {
        let field = format!("edges[{index}]");
        let mut wrong = |message: String, suggestion: Option<String>| {
            found.push(
                Diagnostic::error(ErrorCode::EdgeInvalid, message)
                    .at_field(field.clone())
                    .suggest(suggestion),
            );
        };
        let keys = || flow.nodes.iter().map(|node| node.key.as_str());
        let (from, port) = edge.source();
        let known = |name: &str| flow.nodes.iter().find(|node| node.key == name);
        let did_you_mean = |name: &str| nearest(name, keys()).map(|near| format!("did you mean `{near}`?"));
        match known(edge.target()) {
            None => {
                wrong(
                    format!("the edge leads to `{}`, which is not a node", edge.to),
                    did_you_mean(edge.target()),
                );
            }
            Some(target) if target.node_type.starts_with("trigger.") => {
                wrong(format!("the edge leads to the trigger `{}`; nothing comes before it", edge.to), None);
            }
            Some(_) => {}
        }
        match known(from) {
            None => wrong(format!("the edge comes from `{from}`, which is not a node"), did_you_mean(from)),
            Some(source) => {
                if let Some(entry) = catalog.get(&source.node_type)
                    && let Err((message, suggestion)) = check_port(source, entry, port)
                {
                    wrong(message, suggestion);
                }
            }
        }
        if seen.insert((&edge.from, edge.target()), index).is_some() {
            wrong(format!("the edge from `{}` to `{}` is there twice", edge.from, edge.to), None);
        }
    }
}

fn check_port(node: &Node, entry: &NodeType, port: Option<&str>) -> Result<(), (String, Option<String>)> {
    let mut names = ports_of(node, entry);
    if node.on_error == OnError::Branch {
        names.push("error".to_owned());
    }
    match (port, &entry.ports) {
        (None | Some("main"), Ports::Main) => Ok(()),
        (None | Some("main"), Ports::Named { .. } | Ports::PerEntry { .. }) => Err((
            format!("`{}` ({}) has no main port", node.key, entry.name),
            Some(format!("name one of its ports: {}", names.join(", "))),
        )),
        (None, Ports::None) => Err((format!("nothing can follow `{}` ({})", node.key, entry.name), None)),
        (Some(port), _) if names.iter().any(|name| name == port) => Ok(()),
        (Some(port), _) => {
            let suggestion = match nearest(port, names.iter().map(String::as_str)) {
                Some(near) => Some(format!("did you mean `{}.{near}`?", node.key)),
                None if port == "error" => Some(format!("set `on_error: branch` on `{}`", node.key)),
                None if names.is_empty() => Some("leave out the port".to_owned()),
                None => Some(format!("its ports are {}", names.join(", "))),
            };
            Err((format!("`{}` ({}) has no port `{port}`", node.key, entry.name), suggestion))
        }
    }
}

/// The named output ports of a node, without `error`.
pub(super) fn ports_of(node: &Node, entry: &NodeType) -> Vec<String> {
    match &entry.ports {
        Ports::Main | Ports::None => Vec::new(),
        Ports::Named { names } => names.clone(),
        Ports::PerEntry { field } => {
            let entries = node.config.get(field).and_then(flux_model::Value::as_array).unwrap_or_default();
            let names = entries.iter().filter_map(|entry| entry.get("name")?.as_str()).map(str::to_owned);
            names.chain(["default".to_owned()]).collect()
        }
    }
}

fn check_settings(flow: &Flow, found: &mut Vec<Diagnostic>) {
    let settings = &flow.settings;
    let mut wrong = |field: &str, message: String| {
        found.push(
            Diagnostic::error(ErrorCode::SettingInvalid, message).at_field(format!("settings.{field}")),
        );
    };
    if settings.concurrency.as_ref().is_some_and(|concurrency| concurrency.limit == 0) {
        wrong("concurrency.limit", "a limit of 0 would never run anything; it is at least 1".to_owned());
    }
    if let Some(rate) = &settings.rate_limit {
        if rate.limit == 0 || rate.burst == Some(0) {
            wrong("rate_limit.limit", "a limit of 0 would refuse everything; it is at least 1".to_owned());
        }
        if rate.period_ms == 0 || rate.period_ms > DURATION_MS_MAX {
            wrong("rate_limit.period_ms", format!("period_ms is between 1 and {DURATION_MS_MAX}"));
        }
    }
    if let Some(debounce) = &settings.debounce {
        if debounce.period_ms == 0 || debounce.period_ms > DURATION_MS_MAX {
            wrong("debounce.period_ms", format!("period_ms is between 1 and {DURATION_MS_MAX}"));
        }
        if debounce.max_ms.is_some_and(|max| max < debounce.period_ms) {
            wrong("debounce.max_ms", "max_ms is less than period_ms".to_owned());
        }
    }
    if settings.timeout_ms.is_some_and(|ms| ms == 0 || ms > DURATION_MS_MAX) {
        wrong("timeout_ms", format!("timeout_ms is between 1 and {DURATION_MS_MAX}"));
    }
    if let Some(steps) = settings.steps_max
        && (steps == 0 || steps > EXECUTION_STEPS_MAX)
    {
        wrong("steps_max", format!("steps_max is {steps}; it is between 1 and {EXECUTION_STEPS_MAX}"));
    }
}
