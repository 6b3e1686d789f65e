//! Diagnostics of flows as people read them: the worst first, each with its place and way out.

use flux_model::{Diagnostic, Severity};

use super::style;

/// The lines for these findings; `file` names where the flow was read from.
pub(crate) fn lines(file: Option<&str>, findings: &[Diagnostic]) -> Vec<String> {
    let mut sorted: Vec<&Diagnostic> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    sorted.into_iter().flat_map(|finding| describe(file, finding)).collect()
}

fn describe(file: Option<&str>, finding: &Diagnostic) -> Vec<String> {
    let (label, colour) = match finding.severity {
        Severity::Error => ("error", style::ERROR),
        Severity::Warning => ("warning", style::WARNING),
    };
    let reset = style::RESET;
    let place = place(file, finding);
    let code = finding.code;
    let mut lines = vec![format!("  {colour}{label}[{code}]{reset} {place}{}", finding.message)];
    if let Some(suggestion) = &finding.suggestion {
        lines.push(format!("    {}help{reset}: {suggestion}", style::HINT));
    }
    lines
}

/// `flows/a.json: node fetch, config.url: `, as far as it is known.
fn place(file: Option<&str>, finding: &Diagnostic) -> String {
    let within = match (&finding.node, &finding.field) {
        (Some(node), Some(field)) => Some(format!("node {node}, {field}")),
        (Some(node), None) => Some(format!("node {node}")),
        (None, Some(field)) => Some(field.clone()),
        (None, None) => None,
    };
    let parts: Vec<String> = file.map(str::to_owned).into_iter().chain(within).collect();
    if parts.is_empty() { String::new() } else { format!("{}: ", parts.join(": ")) }
}

#[cfg(test)]
mod tests {
    use flux_model::ErrorCode;

    use super::*;

    #[test]
    fn a_finding_names_file_node_field_and_way_out() {
        let finding = Diagnostic::error(ErrorCode::ConfigUnknown, "there is no field `ulr`")
            .at_node("fetch")
            .at_field("config.ulr")
            .suggest(Some("write `url`".to_owned()));
        let warning = Diagnostic::warning(ErrorCode::Unreachable, "node `b` cannot be reached");
        let lines = lines(Some("flows/a.json"), &[warning, finding]);
        let plain: Vec<String> =
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(
            plain,
            [
                "  error[config_unknown] flows/a.json: node fetch, config.ulr: there is no field `ulr`",
                "    help: write `url`",
                "  warning[unreachable] flows/a.json: node `b` cannot be reached",
            ]
        );
    }
}
