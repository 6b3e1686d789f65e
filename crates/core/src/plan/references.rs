//! Checks what templates refer to: only what is upstream, only paths that can exist, secrets only
//! where they are accepted.

use std::collections::BTreeMap;

use flux_model::Shape;
use flux_model::diagnostic::Diagnostic;
use flux_model::error::ErrorCode;
use flux_model::flow::{Flow, Node, OnError};
use flux_model::node_type::{NodeKind, NodeType};

use super::graph::Graph;
use super::node_set::NodeSet;
use super::{Catalog, PlanNode};
use crate::template::{Template, check_reference};

/// Checks every template of every node.
pub(super) fn check(
    flow: &Flow,
    catalog: &Catalog,
    graph: &Graph,
    nodes: &[PlanNode],
    found: &mut Vec<Diagnostic>,
) {
    let ancestors = graph.ancestors();
    for (index, node) in nodes.iter().enumerate() {
        let file_node = &flow.nodes[index];
        let Some(entry) = catalog.get(&file_node.node_type) else { continue };
        let mut roots = Roots {
            flow,
            catalog,
            graph,
            at: index,
            scope: graph.scope_of[index],
            upstream: ancestors[index].clone(),
            element: Element::No,
        };
        if let Some(template) = &node.for_each {
            roots.check("for_each", template, SecretPlace::Refused, found);
        }
        if node.for_each.is_some() {
            roots.element = Element::Yes;
        }
        for (field, template) in node.config.iter() {
            let secrets = secret_place(entry, field);
            roots.check(&join_field("config", field), template, secrets, found);
        }
        roots.element = Element::Yes;
        if let Some(body) = node.body {
            // A loop's `collect` is evaluated at the end of an iteration, inside the body.
            roots.scope = body;
            roots.upstream.insert(index);
            graph.scopes[body].nodes.iter().for_each(|inside| {
                roots.upstream.insert(*inside);
            });
        }
        for (name, templated) in &node.per_element {
            for (field, template) in templated.iter() {
                let place = join_field(&format!("config.{name}"), field);
                roots.check(&place, template, SecretPlace::Refused, found);
            }
        }
    }
}

/// Checks the templates in the flow's settings: they see the trigger's output and `vars` only.
pub(super) fn check_settings(flow: &Flow, catalog: &Catalog, graph: &Graph, found: &mut Vec<Diagnostic>) {
    let settings = &flow.settings;
    let keys = [
        ("settings.concurrency.key", settings.concurrency.as_ref().and_then(|one| one.key.as_deref())),
        ("settings.rate_limit.key", settings.rate_limit.as_ref().and_then(|one| one.key.as_deref())),
        ("settings.debounce.key", settings.debounce.as_ref().and_then(|one| one.key.as_deref())),
    ];
    let mut upstream = NodeSet::new(flow.nodes.len());
    upstream.insert(graph.trigger);
    for (place, source) in keys.into_iter().filter_map(|(place, source)| Some((place, source?))) {
        let roots = Roots {
            flow,
            catalog,
            graph,
            at: graph.trigger,
            scope: 0,
            upstream: upstream.clone(),
            element: Element::No,
        };
        let before = found.len();
        match Template::compile(source) {
            Ok(template) => roots.check(place, &template, SecretPlace::Refused, found),
            Err(error) => found.push(Diagnostic::from(error).at_field(place)),
        }
        // These belong to the flow, not to its trigger.
        found[before..].iter_mut().for_each(|diagnostic| diagnostic.node = None);
    }
}

/// `place` and `field` joined as a dotted path; `field` may be empty or an index.
pub(super) fn join_field(place: &str, field: &str) -> String {
    match field {
        "" => place.to_owned(),
        field if field.starts_with('[') => format!("{place}{field}"),
        field => format!("{place}.{field}"),
    }
}

/// Whether `item` and `index` exist where a template stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Yes,
    No,
}

/// Whether a field accepts secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecretPlace {
    Accepted,
    Refused,
}

fn secret_place(entry: &NodeType, field: &str) -> SecretPlace {
    let steps = |path: &str| -> Vec<String> {
        path.replace('[', ".").replace(']', "").split('.').map(str::to_owned).collect()
    };
    let given = steps(field);
    let accepted = entry.secret_fields.iter().any(|pattern| {
        let pattern = steps(pattern);
        let open = pattern.last().is_some_and(|last| last == "**");
        let fixed = if open { &pattern[..pattern.len() - 1] } else { &pattern[..] };
        let long_enough = if open { given.len() >= fixed.len() } else { given.len() == fixed.len() };
        long_enough && fixed.iter().zip(&given).all(|(want, have)| want == "*" || want == have)
    });
    if accepted { SecretPlace::Accepted } else { SecretPlace::Refused }
}

/// What a template at one node can name.
struct Roots<'a> {
    flow: &'a Flow,
    catalog: &'a Catalog,
    graph: &'a Graph,
    /// The node the template belongs to.
    at: usize,
    /// The scope the template is evaluated in.
    scope: usize,
    /// The nodes whose output exists by then.
    upstream: NodeSet,
    element: Element,
}

impl Roots<'_> {
    /// What is wrong with a template's references, each about the node and the given field.
    fn check(&self, place: &str, template: &Template, secrets: SecretPlace, found: &mut Vec<Diagnostic>) {
        let node = &self.flow.nodes[self.at];
        for reference in template.references() {
            let root = &*reference.root;
            let problem = if root == "secrets" {
                (secrets == SecretPlace::Refused).then(|| {
                    let message = format!("`{reference}`: this field does not accept secrets");
                    (message, Some("secrets go into url, headers, auth or body of http.request".to_owned()))
                })
            } else if let Some(problem) = self.not_upstream(root) {
                Some(problem)
            } else {
                // The names are only needed to say what there is instead.
                let names = if self.shape_of(root).is_none() { self.names() } else { Vec::new() };
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let problem = check_reference(reference, &names, |name| self.shape_of(name));
                problem.map(|problem| (problem.message, problem.suggestion))
            };
            if let Some((message, suggestion)) = problem {
                found.push(
                    Diagnostic::error(ErrorCode::TemplateReference, message)
                        .at_node(&node.key)
                        .at_field(place)
                        .suggest(suggestion),
                );
            }
        }
    }

    /// A node that exists but whose output does not when this one starts.
    fn not_upstream(&self, root: &str) -> Option<(String, Option<String>)> {
        let other = self.flow.nodes.iter().position(|node| node.key == root)?;
        if self.sees(other) {
            return None;
        }
        let at = &self.flow.nodes[self.at].key;
        let message = match self.graph.scopes[self.graph.scope_of[other]].owner {
            Some(owner) if self.upstream.contains(owner) && self.scope != self.graph.scope_of[other] => {
                let owner = &self.flow.nodes[owner].key;
                format!(
                    "`{root}` runs once per element inside loop `{owner}`; after it, use `{owner}`, its collected results"
                )
            }
            Some(_) | None => {
                format!("`{root}` is not upstream of `{at}`: it has no output when `{at}` runs")
            }
        };
        Some((message, Some(format!("draw an edge that leads from `{root}` to `{at}`"))))
    }

    fn sees(&self, other: usize) -> bool {
        let around = self.graph.is_enclosing(self.graph.scope_of[other], self.scope);
        let is_trigger_itself = other == self.graph.trigger && self.at == other;
        (self.upstream.contains(other) && around) || is_trigger_itself
    }

    fn names(&self) -> Vec<String> {
        let seen = (0..self.flow.nodes.len()).filter(|node| self.sees(*node));
        let mut names: Vec<String> = seen.map(|node| self.flow.nodes[node].key.clone()).collect();
        names.extend(["trigger", "input", "vars", "execution"].map(str::to_owned));
        if self.element == Element::Yes || self.scope != 0 {
            names.extend(["item", "index"].map(str::to_owned));
        }
        if self.scope != 0 {
            names.push("loop".to_owned());
        }
        names
    }

    fn shape_of(&self, root: &str) -> Option<Shape> {
        let in_body = self.scope != 0;
        match root {
            "trigger" => Some(self.shape_of_node(self.graph.trigger)),
            "input" => Some(Shape::Any),
            "vars" => {
                let fields: BTreeMap<String, Shape> =
                    self.flow.settings.vars.keys().map(|name| (name.clone(), Shape::Any)).collect();
                // A flow without constants of its own may be written for those of its project.
                let open = fields.is_empty();
                Some(Shape::Object { fields, open })
            }
            "execution" => Some(Shape::object([
                ("id", Shape::Text),
                ("started_at", Shape::Text),
                ("attempt", Shape::Number),
                ("flow", Shape::Text),
            ])),
            "item" if self.element == Element::Yes || in_body => Some(Shape::Any),
            "index" if self.element == Element::Yes || in_body => Some(Shape::Number),
            "loop" if in_body => Some(Shape::object([
                ("item", Shape::Any),
                ("index", Shape::Number),
                ("count", Shape::Number),
                ("first", Shape::Boolean),
                ("last", Shape::Boolean),
            ])),
            key => {
                let node = self.flow.nodes.iter().position(|node| node.key == key)?;
                self.sees(node).then(|| self.shape_of_node(node))
            }
        }
    }

    /// The shape of a node's output as this node sees it.
    fn shape_of_node(&self, index: usize) -> Shape {
        let node = &self.flow.nodes[index];
        let Some(entry) = self.catalog.get(&node.node_type) else { return Shape::Any };
        if node.on_error == OnError::Continue {
            return Shape::Any;
        }
        let own_body =
            self.graph.body_of[index].is_some_and(|body| self.graph.is_enclosing(body, self.scope));
        let one = match entry.kind {
            NodeKind::Loop if own_body => Shape::object([("item", Shape::Any), ("index", Shape::Number)]),
            NodeKind::Loop => Shape::array(Shape::Any),
            NodeKind::Set => set_shape(node),
            NodeKind::Trigger
            | NodeKind::Task
            | NodeKind::If
            | NodeKind::Switch
            | NodeKind::Filter
            | NodeKind::Merge
            | NodeKind::Delay
            | NodeKind::Transform
            | NodeKind::Respond
            | NodeKind::Call
            | NodeKind::Signal
            | NodeKind::Review => entry.output.clone(),
        };
        if node.for_each.is_some() { Shape::array(one) } else { one }
    }
}

/// The output of `data.set` has the names its config lists, and with `keep: all` others too.
fn set_shape(node: &Node) -> Shape {
    let values = node.config.get("values").and_then(flux_model::Value::as_object);
    let fields = values.into_iter().flat_map(|values| values.keys());
    let open = node.config.get("keep").and_then(flux_model::Value::as_str) == Some("all");
    Shape::Object { fields: fields.map(|name| (name.to_string(), Shape::Any)).collect(), open }
}
