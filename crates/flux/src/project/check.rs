//! What is wrong with a flow, found without a server: all that publishing checks except clashes
//! with flows that are published already.

use flux_core::plan::{Catalog, plan};
use flux_model::{Diagnostic, ErrorCode, Flow, Severity, Timestamp};
use flux_nodes::Registry;

/// Checks flows against the node types of this binary.
pub(crate) struct Checker {
    registry: Registry,
    catalog: Catalog,
}

impl Checker {
    pub(crate) fn new() -> Self {
        let registry = Registry::standard();
        let catalog = Catalog::new(registry.catalog_types());
        Self { registry, catalog }
    }

    /// Everything that is wrong with the flow. `now` is what templates of the trigger may ask for.
    pub(crate) fn check(&self, flow: &Flow, now: Timestamp) -> Vec<Diagnostic> {
        let planned = plan(flow, &self.catalog);
        let mut findings = planned.diagnostics;
        let Some(plan) = planned.plan else { return findings };
        let trigger = plan.trigger();
        let found = match flux_engine::trigger_config(&plan, now) {
            Ok(config) => self.registry.check(&trigger.node_type, &config).err().unwrap_or_default(),
            Err(message) => vec![Diagnostic::error(ErrorCode::TemplateFailed, message)],
        };
        findings.extend(found.into_iter().map(|finding| finding.at_node(&trigger.key)));
        findings
    }
}

/// Whether a flow with these findings can run.
pub(crate) fn can_run(findings: &[Diagnostic]) -> bool {
    findings.iter().all(|finding| finding.severity != Severity::Error)
}
