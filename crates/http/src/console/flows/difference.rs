//! What differs between two versions of a flow: nodes by key, edges by their ends, settings and
//! node fields by dotted path. Positions on the canvas count as differences of their own field.

use std::collections::BTreeMap;

use flux_model::flow::{Edge, Flow, Node};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

/// What differs.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Difference {
    /// Whether nothing does.
    pub(crate) identical: bool,
    /// Nodes that are only in the later version.
    nodes_added: Vec<NodeName>,
    /// Nodes that are only in the earlier version.
    nodes_removed: Vec<NodeName>,
    /// Nodes that are in both and differ.
    nodes_changed: Vec<NodeChange>,
    /// Edges that are only in the later version.
    edges_added: Vec<EdgeEnds>,
    /// Edges that are only in the earlier version.
    edges_removed: Vec<EdgeEnds>,
    /// What differs in the settings and the description.
    settings_changed: Vec<FieldChange>,
}

/// A node by key and type.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct NodeName {
    key: String,
    #[serde(rename = "type")]
    node_type: String,
}

/// A node that differs.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct NodeChange {
    key: String,
    fields: Vec<FieldChange>,
}

/// An edge.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct EdgeEnds {
    from: String,
    to: String,
}

/// A field that differs. An absent side means that the field is not there.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct FieldChange {
    /// The dotted path.
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Json>,
}

impl Difference {
    /// What leads from `before` to `after`.
    pub(crate) fn between(before: &Flow, after: &Flow) -> Self {
        let mut difference = Self {
            nodes_added: only_in(&after.nodes, &before.nodes),
            nodes_removed: only_in(&before.nodes, &after.nodes),
            nodes_changed: changed(&before.nodes, &after.nodes),
            edges_added: edges_only_in(&after.edges, &before.edges),
            edges_removed: edges_only_in(&before.edges, &after.edges),
            settings_changed: settings(before, after),
            identical: false,
        };
        difference.identical =
            difference == Self { nodes_changed: Vec::new(), identical: false, ..Self::default() };
        difference
    }
}

fn only_in(these: &[Node], those: &[Node]) -> Vec<NodeName> {
    let missing = these.iter().filter(|node| !those.iter().any(|other| other.key == node.key));
    missing.map(|node| NodeName { key: node.key.clone(), node_type: node.node_type.clone() }).collect()
}

fn changed(before: &[Node], after: &[Node]) -> Vec<NodeChange> {
    let earlier: BTreeMap<&str, &Node> = before.iter().map(|node| (node.key.as_str(), node)).collect();
    let changes = after.iter().filter_map(|node| {
        let fields = fields(earlier.get(node.key.as_str())?, node);
        (!fields.is_empty()).then(|| NodeChange { key: node.key.clone(), fields })
    });
    changes.collect()
}

fn edges_only_in(these: &[Edge], those: &[Edge]) -> Vec<EdgeEnds> {
    let missing = these.iter().filter(|edge| !those.contains(edge));
    missing.map(|edge| EdgeEnds { from: edge.from.clone(), to: edge.to.clone() }).collect()
}

fn settings(before: &Flow, after: &Flow) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare("settings", json(&before.settings).as_ref(), json(&after.settings).as_ref(), &mut changes);
    compare(
        "description",
        json(&before.description).as_ref(),
        json(&after.description).as_ref(),
        &mut changes,
    );
    changes
}

fn fields(before: &Node, after: &Node) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare("", json(before).as_ref(), json(after).as_ref(), &mut changes);
    changes
}

/// `null` stands for a field that is not there.
fn json(part: &impl Serialize) -> Option<Json> {
    serde_json::to_value(part).ok().filter(|value| !value.is_null())
}

/// Walks into objects that both sides have; anything else that differs is one change.
fn compare(path: &str, before: Option<&Json>, after: Option<&Json>, changes: &mut Vec<FieldChange>) {
    if before == after {
        return;
    }
    if let (Some(Json::Object(left)), Some(Json::Object(right))) = (before, after) {
        let names = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
        for name in names {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            compare(&path, left.get(name), right.get(name), changes);
        }
        return;
    }
    changes.push(FieldChange { field: path.to_owned(), before: before.cloned(), after: after.cloned() });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FLOW: &str = r#"{"name":"a","description":"one","nodes":[
        {"key":"t","type":"trigger.manual"},
        {"key":"x","type":"http.request","config":{"url":"https://a","headers":{"h":"1"}}},
        {"key":"gone","type":"data.set","config":{"values":{}}}],
        "edges":[{"from":"t","to":"x"},{"from":"x","to":"gone"}],
        "settings":{"priority":1}}"#;

    fn check(change: impl FnOnce(&mut Json), expected: Json) {
        let before: Flow = serde_json::from_str(FLOW).unwrap();
        let mut after: Json = serde_json::from_str(FLOW).unwrap();
        change(&mut after);
        let after: Flow = serde_json::from_value(after).unwrap();
        let found = serde_json::to_value(Difference::between(&before, &after)).unwrap();
        for (name, expected) in expected.as_object().unwrap() {
            assert_eq!(&found[name], expected, "{name}");
        }
    }

    #[test]
    fn the_same_flow_is_identical() {
        check(|_| (), json!({"identical": true, "nodes_changed": [], "settings_changed": []}));
    }

    #[test]
    fn every_kind_of_change_is_found() {
        check(
            |flow| {
                flow["nodes"][1]["config"]["url"] = "https://b".into();
                flow["nodes"][1]["config"]["headers"] = json!({"h": "1", "i": "2"});
                flow["nodes"][1]["timeout_ms"] = 5.into();
                flow["nodes"][2] = json!({"key": "new", "type": "data.set", "config": {"values": {}}});
                flow["edges"][1]["to"] = "new".into();
                flow["settings"] = json!({"strict": true});
                flow["description"] = Json::Null;
            },
            json!({
                "identical": false,
                "nodes_added": [{"key": "new", "type": "data.set"}],
                "nodes_removed": [{"key": "gone", "type": "data.set"}],
                "nodes_changed": [{"key": "x", "fields": [
                    {"field": "config.url", "before": "https://a", "after": "https://b"},
                    {"field": "config.headers.i", "after": "2"},
                    {"field": "timeout_ms", "after": 5}]}],
                "edges_added": [{"from": "x", "to": "new"}],
                "edges_removed": [{"from": "x", "to": "gone"}],
                "settings_changed": [
                    {"field": "settings.priority", "before": 1},
                    {"field": "settings.strict", "after": true},
                    {"field": "description", "before": "one"}],
            }),
        );
    }
}
