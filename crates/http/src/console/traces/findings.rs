//! What stands out in a trace: the same thing asked over and over, and slow answers.

use std::collections::BTreeMap;

use flux_engine::reading::{Span, SpanKind};
use serde::Serialize;
use utoipa::ToSchema;

/// Calls of one node to one place from which they are a finding.
const REPEATED_CALLS_MIN: usize = 10;
/// A call that took longer is slow, in microseconds.
const SLOW_CALL_US: u64 = 1_000_000;
/// Findings in one trace.
const FINDINGS_MAX: usize = 20;

/// Something that stands out.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Finding {
    /// What it is.
    kind: FindingKind,
    /// What was found, and what helps.
    message: String,
    /// The spans it is about.
    spans: Vec<String>,
}

/// What a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FindingKind {
    /// One node asked the same place many times, as a query within a loop does.
    RepeatedCall,
    /// An answer took long.
    SlowCall,
}

/// What stands out, repeated calls first.
pub(super) fn findings(spans: &[Span]) -> Vec<Finding> {
    let mut found = repeated(spans);
    found.extend(spans.iter().filter_map(slow));
    found.truncate(FINDINGS_MAX);
    found
}

fn repeated(spans: &[Span]) -> Vec<Finding> {
    let mut groups: BTreeMap<(String, &str), Vec<&Span>> = BTreeMap::new();
    for span in spans {
        if let SpanKind::Call { path, .. } = &span.kind {
            let place = span.name.split('?').next().unwrap_or_default();
            groups.entry((format!("{}/{}", span.execution, path.key()), place)).or_default().push(span);
        }
    }
    let many = groups.into_iter().filter(|(_, calls)| calls.len() >= REPEATED_CALLS_MIN);
    many.map(|((node, place), calls)| {
        let node = node.rsplit('/').next().unwrap_or_default();
        Finding {
            kind: FindingKind::RepeatedCall,
            message: format!(
                "`{node}` asked {place} {} times; one call for all of them would be faster",
                calls.len()
            ),
            spans: calls.into_iter().map(|span| span.id.clone()).collect(),
        }
    })
    .collect()
}

fn slow(span: &Span) -> Option<Finding> {
    let duration_us = span.duration_us.filter(|duration_us| *duration_us > SLOW_CALL_US)?;
    let SpanKind::Call { path, .. } = &span.kind else { return None };
    Some(Finding {
        kind: FindingKind::SlowCall,
        message: format!("`{path}` waited {} ms for {}", duration_us / 1_000, span.name),
        spans: vec![span.id.clone()],
    })
}

#[cfg(test)]
mod tests {
    use flux_engine::reading::SpanStatus;
    use flux_model::{CallKind, ExecutionId, NodePath, Timestamp};

    use super::*;

    fn call(index: u32, name: &str, duration_us: u64) -> Span {
        let at = Timestamp::from_millis(0);
        let path = NodePath::root("each").element(index);
        Span {
            id: index.to_string(),
            parent: None,
            execution: ExecutionId::new(at, 1),
            kind: SpanKind::Call { path, attempt: 1, kind: CallKind::Http },
            name: name.to_owned(),
            start: at,
            duration_us: Some(duration_us),
            status: SpanStatus::Ok,
            error: None,
        }
    }

    fn check(spans: &[Span], expected: &[(FindingKind, &str, usize)]) {
        let found = findings(spans);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (finding, (kind, message, spans)) in found.iter().zip(expected) {
            assert_eq!((finding.kind, finding.spans.len()), (*kind, *spans));
            assert!(finding.message.contains(message), "{}", finding.message);
        }
    }

    #[test]
    fn repeated_and_slow_calls_are_found() {
        let many = |count: u32| -> Vec<Span> {
            (0..count).map(|index| call(index, &format!("GET https://a/b?id={index}"), 5)).collect()
        };
        check(&many(9), &[]);
        check(&many(10), &[(FindingKind::RepeatedCall, "`each` asked GET https://a/b 10 times", 10)]);
        check(
            &[call(3, "GET https://a", 1_500_000)],
            &[(FindingKind::SlowCall, "`each[3]` waited 1500 ms", 1)],
        );
    }
}
