//! What a value must be like to be kept: small enough to be stored, shallow enough to be read back.
//!
//! Whatever enters an execution is checked once, where it enters, and so is what the machine itself
//! puts together. What templates give is checked where they are evaluated.

use flux_model::Value;
use flux_model::error::{ErrorCode, Failure};
use flux_model::limits::{VALUE_BYTES_MAX, VALUE_DEPTH_MAX};

/// Refuses a value that nests deeper than [`VALUE_DEPTH_MAX`]: with what a journal record wraps
/// around it, no JSON reader would take it back.
///
/// # Errors
/// A failure with this code that names `what`, the depth and the limit.
pub fn check_depth(what: &str, value: &Value, code: ErrorCode) -> Result<(), Failure> {
    if !value.is_deeper_than(VALUE_DEPTH_MAX) {
        return Ok(());
    }
    let message = format!(
        "{what} nests {} levels deep, at most {VALUE_DEPTH_MAX} are allowed (VALUE_DEPTH_MAX)",
        value.depth()
    );
    Err(Failure::permanent(code, message))
}

/// Refuses an output that was put together from other values and became too large or too deep. Size
/// comes first: values that share their parts may be larger than memory once they are written out.
pub(crate) fn check_output(value: &Value) -> Result<(), Failure> {
    let bytes = value.weight(VALUE_BYTES_MAX);
    if bytes > VALUE_BYTES_MAX {
        let message = format!(
            "the output has more than {bytes} bytes, at most {VALUE_BYTES_MAX} are allowed (VALUE_BYTES_MAX)"
        );
        return Err(Failure::permanent(ErrorCode::ExecutionLimit, message));
    }
    check_depth("the output", value, ErrorCode::NodeInput)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flux_model::event::{Event, Recorded, TaskOutput};
    use flux_model::flow::Flow;
    use flux_model::journal::{Entry, JournalEvent, LogLevel, Record};
    use flux_model::review::{Decision, ReviewAction};
    use flux_model::{BoundaryCall, CallKind, ExecutionId, Timestamp};
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::admission::terms;
    use crate::plan::{Plan, plan};
    use crate::session::Session;
    use crate::test_catalog::catalog;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn nested(depth: usize) -> Value {
        (0..depth).fold(Value::Null, |inner, level| match level % 2 {
            0 => Value::array(vec![inner]),
            _ => Value::object([("a", inner)]),
        })
    }

    fn plan_of(nodes: Json, edges: &[(&str, &str)]) -> Arc<Plan> {
        let edges: Vec<Json> = edges.iter().map(|(from, to)| json!({"from": from, "to": to})).collect();
        let flow = json!({"name": "f", "nodes": nodes, "edges": edges});
        let flow: Flow = serde_json::from_value(flow).unwrap();
        let planned = plan(&flow, &catalog());
        planned.plan.unwrap_or_else(|| panic!("{:?}", planned.diagnostics))
    }

    /// A trigger `t` and a node of this type behind it.
    fn flow_of(node_type: &str, more: Json) -> Arc<Plan> {
        let mut node = json!({"key": "a", "type": node_type});
        node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plan_of(json!([{"key": "t", "type": "trigger.manual"}, node]), &[("t", "a")])
    }

    fn begin(plan: &Arc<Plan>, input: Value, recorded: Option<Recorded>) -> Session {
        let mut session = Session::new(plan.clone(), ExecutionId::from_bits(42));
        assert!(session.apply(NOW, Event::Started { input, recorded }).changed);
        session
    }

    fn completed(path: &str, value: Value) -> Event {
        Event::Completed { path: path.into(), attempt: 1, result: Ok(TaskOutput::main(value)) }
    }

    /// What the journal holds after it was written and read, from which the execution is folded.
    fn journal(plan: &Arc<Plan>, mut session: Session) -> Vec<Entry> {
        let written = session.flush().unwrap().entries;
        let (record, taken) = Record::new(written.clone());
        assert!(taken.is_empty());
        let read = Record::decode(&record.encode()).unwrap().entries;
        assert_eq!(read, written);
        let folded = Session::fold(plan.clone(), session.state().id(), &read).unwrap();
        assert_eq!(folded.state().result(), session.state().result());
        read
    }

    /// The result of the execution, and whether a node failed because its value nests too deep.
    #[track_caller]
    fn check(plan: &Arc<Plan>, session: Session, fits: bool) {
        let entries = format!("{:?}", journal(plan, session));
        assert_eq!(!entries.contains("NodeFailed"), fits, "{entries}");
        assert_eq!(!entries.contains("VALUE_DEPTH_MAX"), fits, "{entries}");
    }

    #[test]
    fn an_input_as_deep_as_allowed_is_accepted_and_read_back() {
        let plan = flow_of("task", json!({}));
        assert!(terms(&plan, NOW, &nested(VALUE_DEPTH_MAX)).is_ok());
        let error = terms(&plan, NOW, &nested(VALUE_DEPTH_MAX + 7)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InputInvalid);
        let expected = "the input nests 107 levels deep, at most 100 are allowed (VALUE_DEPTH_MAX)";
        assert_eq!(error.message, expected);
        // The deepest place of all: an output that a rerun takes over.
        let outputs = [("t".to_owned(), TaskOutput::main(nested(VALUE_DEPTH_MAX)))];
        let recorded = Recorded {
            execution: ExecutionId::from_bits(7),
            from_node: "a".to_owned(),
            outputs: outputs.into_iter().collect(),
        };
        let mut session = begin(&plan, nested(VALUE_DEPTH_MAX), Some(recorded));
        session.apply(NOW, completed("a", Value::Null));
        check(&plan, session, true);
    }

    #[test]
    fn an_output_as_deep_as_allowed_is_read_back_and_a_deeper_one_fails_its_node() {
        let plan = flow_of("task", json!({"retry": {"attempts": 3}}));
        for (depth, fits) in [(VALUE_DEPTH_MAX, true), (VALUE_DEPTH_MAX + 1, false)] {
            let mut session = begin(&plan, Value::Null, None);
            session.apply(NOW, completed("a", nested(depth)));
            assert!(session.state().result().is_some(), "it is not tried again");
            check(&plan, session, fits);
        }
    }

    #[test]
    fn what_the_machine_puts_together_is_as_deep_as_allowed_or_fails() {
        let merge = flow_of("logic.merge", json!({}));
        let each = flow_of("task", json!({"for_each": "{{ [1] }}"}));
        for (depth, fits) in [(VALUE_DEPTH_MAX - 1, true), (VALUE_DEPTH_MAX, false)] {
            check(&merge, begin(&merge, nested(depth), None), fits);
            let mut session = begin(&each, Value::Null, None);
            session.apply(NOW, completed("a[0]", nested(depth)));
            check(&each, session, fits);
        }
    }

    #[test]
    fn values_that_double_from_node_to_node_end_at_the_largest_value() {
        let mut nodes = vec![json!({"key": "m0", "type": "trigger.manual"})];
        let mut edges: Vec<(String, String)> = Vec::new();
        for number in 1..9 {
            let (before, key) = (format!("m{}", number - 1), format!("m{number}"));
            for copy in ["x", "y"] {
                let between = format!("{copy}{number}");
                nodes.push(json!({"key": between, "type": "logic.merge"}));
                edges.push((before.clone(), between.clone()));
                edges.push((between, key.clone()));
            }
            nodes.push(json!({"key": key, "type": "logic.merge"}));
        }
        let edges: Vec<(&str, &str)> = edges.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        let input = Value::text("x".repeat(VALUE_BYTES_MAX / 128));
        let session = begin(&plan_of(Json::Array(nodes), &edges), input, None);
        let result = format!("{:?}", session.state().result());
        assert!(result.contains("ExecutionLimit") && result.contains("VALUE_BYTES_MAX"), "{result}");
    }

    #[test]
    fn what_was_observed_is_kept_without_values_that_are_too_deep() {
        let plan = flow_of("task", json!({}));
        for (depth, fits) in [(VALUE_DEPTH_MAX, true), (VALUE_DEPTH_MAX + 28, false)] {
            let mut session = begin(&plan, Value::Null, None);
            let call = BoundaryCall {
                kind: CallKind::Http,
                target: "GET https://example.com".to_owned(),
                started_at: NOW,
                duration_us: 1,
                request: nested(depth),
                result: Ok(nested(depth)),
                site: None,
            };
            session.observe(NOW, JournalEvent::Called { path: "a".into(), attempt: 1, call });
            let fields = nested(depth);
            let (level, message) = (LogLevel::Info, "line".to_owned());
            session.observe(NOW, JournalEvent::Logged { path: None, level, message, fields });
            let entries = format!("{:?}", journal(&plan, session));
            let left_out =
                "left out: the value nests 128 levels deep, at most 100 are allowed (VALUE_DEPTH_MAX)";
            assert_eq!(entries.matches(left_out).count(), if fits { 0 } else { 3 }, "{entries}");
        }
    }

    #[test]
    fn a_signal_or_decision_that_is_too_deep_changes_nothing() {
        let send = |plan: &Arc<Plan>, event: &dyn Fn(Value) -> Event| {
            for (depth, fits) in [(VALUE_DEPTH_MAX + 1, false), (VALUE_DEPTH_MAX - 1, true)] {
                let mut session = begin(plan, Value::Null, None);
                assert_eq!(session.apply(NOW, event(nested(depth))).changed, fits);
                journal(plan, session);
            }
        };
        send(&flow_of("flow.signal", json!({"config": {"name": "s"}})), &|payload| Event::Signalled {
            name: "s".to_owned(),
            payload,
            id: "1".to_owned(),
        });
        send(&flow_of("human.review", json!({})), &|content| {
            let decision = Decision {
                action: ReviewAction::Approve,
                content: Some(content),
                comment: None,
                decided_by: "ada".to_owned(),
                expected_version: 1,
            };
            Event::Decided { path: "a".into(), decision }
        });
    }
}
