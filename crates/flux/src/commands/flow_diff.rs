//! `flux flow diff`: what differs between two versions of a flow.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::{Ended, Remote};
use crate::client::{Query, encode, parse};
use crate::error::Exit;
use crate::output::style::{self, paint};
use crate::output::{Format, Out};

/// Characters of one value that are shown.
const VALUE_CHARS_MAX: usize = 120;

/// Say what differs between two versions of a flow
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux flow diff orders\n  flux flow diff orders --from 2 --to 3\n\nExits with 1 if the versions differ."
)]
pub(super) struct Diff {
    /// The flow's name
    name: String,
    /// The earlier version: `active`, `draft`, a number or a hash
    #[arg(long, default_value = "active")]
    from: String,
    /// The later version
    #[arg(long, default_value = "draft")]
    to: String,
}

#[derive(Deserialize)]
struct Difference {
    identical: bool,
    nodes_added: Vec<NodeName>,
    nodes_removed: Vec<NodeName>,
    nodes_changed: Vec<NodeChange>,
    edges_added: Vec<Edge>,
    edges_removed: Vec<Edge>,
    settings_changed: Vec<FieldChange>,
}

#[derive(Deserialize)]
struct NodeName {
    key: String,
    #[serde(rename = "type")]
    node_type: String,
}

#[derive(Deserialize)]
struct NodeChange {
    key: String,
    fields: Vec<FieldChange>,
}

#[derive(Deserialize)]
struct Edge {
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct FieldChange {
    field: String,
    #[serde(default)]
    before: Option<Value>,
    #[serde(default)]
    after: Option<Value>,
}

impl Diff {
    pub(super) async fn run(self, remote: &mut Remote) -> Ended {
        let query = Query::default().with("from", Some(&self.from)).with("to", Some(&self.to));
        let answer = remote.client.get(&query.on(&format!("/flows/{}/diff", encode(&self.name)))).await?;
        let difference: Difference = parse(answer.clone())?;
        match remote.out.format() {
            Format::Json => remote.out.json(&answer),
            Format::Text if difference.identical => {
                remote.out.note(format!("{}: {} and {} are the same", self.name, self.from, self.to));
            }
            Format::Text => show(&difference, &mut remote.out),
        }
        Ok(if difference.identical { Exit::Success } else { Exit::Failed })
    }
}

fn show(difference: &Difference, out: &mut Out) {
    let added = |text: String| paint(style::GOOD, format!("+ {text}"));
    let removed = |text: String| paint(style::ERROR, format!("- {text}"));
    let node = |node: &NodeName| format!("node {} ({})", node.key, node.node_type);
    let edge = |edge: &Edge| format!("edge {} → {}", edge.from, edge.to);
    difference.nodes_removed.iter().for_each(|one| out.line(removed(node(one))));
    difference.nodes_added.iter().for_each(|one| out.line(added(node(one))));
    for change in &difference.nodes_changed {
        out.line(format!("{} node {}", paint(style::WARNING, "~"), change.key));
        change.fields.iter().for_each(|field| show_field(field, out));
    }
    difference.edges_removed.iter().for_each(|one| out.line(removed(edge(one))));
    difference.edges_added.iter().for_each(|one| out.line(added(edge(one))));
    if !difference.settings_changed.is_empty() {
        out.line(format!("{} settings", paint(style::WARNING, "~")));
        difference.settings_changed.iter().for_each(|field| show_field(field, out));
    }
}

fn show_field(change: &FieldChange, out: &mut Out) {
    out.line(format!("    {}", change.field));
    if let Some(before) = &change.before {
        out.line(paint(style::ERROR, format!("    - {}", short(before))));
    }
    if let Some(after) = &change.after {
        out.line(paint(style::GOOD, format!("    + {}", short(after))));
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    let cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
    format!("{cut}…")
}
