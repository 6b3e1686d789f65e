//! `human.review`: waits for the decision of a person.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::review::OnExpiry;
use flux_model::{Purity, Shape, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct HumanReview;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// One line that says what is to be decided.
    title: String,
    /// What is to be approved; the reviewer may edit it.
    content: Value,
    /// What helps to decide.
    #[serde(default)]
    context: Value,
    /// Who may decide. Everybody with the right to review where absent.
    #[serde(default)]
    assignees: Option<Vec<String>>,
    /// After how many milliseconds `on_expiry` applies. Never where absent.
    #[serde(default)]
    expires_in_ms: Option<u64>,
    /// What happens when nobody decides in time.
    #[serde(default)]
    on_expiry: OnExpiry,
}

impl NodeDefinition for HumanReview {
    const NAME: &'static str = "human.review";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Puts something before a person and goes on with the decision.";
    const KIND: NodeKind = NodeKind::Review;
    const PURITY: Purity = Purity::Wait;
    const EXECUTOR: Executor<Self::Config> = Executor::Core;

    type Config = Config;

    fn ports() -> Ports {
        let names = ["approved", "rejected", "revise", "expired"];
        Ports::Named { names: names.map(str::to_owned).to_vec() }
    }

    fn output() -> Shape {
        Shape::object([("content", Shape::Any), ("comment", Shape::Text), ("decided_by", Shape::Text)])
    }
}
