//! What is read from journals: node runs, logs, traces.

use flux_engine::reading::{NodeRunStatus, SpanKind, SpanStatus};
use flux_engine::{JOURNAL_PART_BYTES, LogQuery};
use flux_model::Value;
use flux_model::execution::ExecutionStatus;
use flux_model::journal::LogLevel;

use crate::world::{Backend, World, on_each, probe, sequence, tenant};

#[test]
fn runs_logs_and_spans_tell_what_happened() {
    let world = World::new(Backend::Memory);
    let shaky = format!(
        r#"{},"retry":{{"attempts":3,"initial_ms":1}}"#,
        probe(r#""failures":1,"value":{"ok":true}"#)
    );
    world.publish(&sequence("child", "{}", &[("shaky", "test.probe", &shaky)]));
    let flow = r#"{"name":"parent","nodes":[
        {"key":"start","type":"trigger.manual"},
        {"key":"go","type":"logic.if","config":{"condition":"{{ start.go }}"}},
        {"key":"call","type":"flow.call","name":"The child","config":{"flow":"child"}},
        {"key":"skip","type":"data.transform","config":{"expression":"{{ 1 }}"}}],
        "edges":[{"from":"start","to":"go"},{"from":"go.true","to":"call"},{"from":"go.false","to":"skip"}]}"#;
    world.publish(flow);
    let id = world.admit("parent", r#"{"go":true}"#);
    world.until("the first attempt failed", || world.probe.count("shaky") >= 1);
    world.until("the pause is over", || {
        world.clock.advance(std::time::Duration::from_millis(1));
        world.row(id).status == ExecutionStatus::Succeeded
    });
    let runs = world.on(world.engine().node_runs(tenant(), id)).unwrap();
    let by_key = |key: &str| runs.iter().find(|run| run.path.as_str() == key).unwrap();
    assert_eq!(by_key("start").output, Some(Value::object([("go", Value::from(true))])));
    assert_eq!(by_key("go").status, NodeRunStatus::Succeeded { ports: vec!["true".to_owned()] });
    assert_eq!(by_key("skip").status, NodeRunStatus::Skipped);
    let call = by_key("call");
    assert_eq!(
        (call.name.as_str(), call.node_type.as_str(), call.calls.len()),
        ("The child", "flow.call", 1)
    );
    assert_eq!(call.output.as_ref().unwrap().to_json(), r#"{"ok":true}"#);

    let spans = world.on(world.engine().trace(tenant(), "request-1")).unwrap();
    let executions: Vec<_> = spans.iter().filter(|span| span.kind == SpanKind::Execution).collect();
    assert_eq!((executions.len(), executions[0].parent.is_none()), (2, true));
    assert_eq!(
        executions[1].parent,
        Some(format!("{id}/call")),
        "the child hangs below the node that called"
    );
    let failed = spans.iter().filter(|span| span.status == SpanStatus::Error).count();
    assert_eq!(failed, 0);
    let child = executions[1].execution;
    let shaky = world.on(world.engine().node_runs(tenant(), child)).unwrap().pop().unwrap();
    assert_eq!((shaky.attempts, shaky.error.unwrap().attempt), (2, 1));
    let logs = world.log(child);
    let levels: Vec<_> = logs.iter().map(|line| line.level).collect();
    assert_eq!(levels, [LogLevel::Info, LogLevel::Warn, LogLevel::Info]);
    assert!(logs.windows(2).all(|pair| pair[0].seq < pair[1].seq));
}

#[test]
fn a_journal_that_is_too_large_for_one_answer_is_read_in_parts() {
    on_each(|mut world| {
        world.set_journal_read_bytes_max(1_000_000);
        world.restart();
        let text = "x".repeat(JOURNAL_PART_BYTES as usize / 4);
        let copies: Vec<_> = (0..10).map(|n| (format!("n{n}"), probe(r#""value":"{{ start }}""#))).collect();
        let nodes: Vec<_> =
            copies.iter().map(|(key, rest)| (key.as_str(), "test.probe", rest.as_str())).collect();
        world.publish(&sequence("large", "{}", &nodes));
        let id = world.admit("large", &format!("\"{text}\""));
        world.reaches(id, ExecutionStatus::Succeeded);
        let whole = world.on(world.engine().journal(tenant(), id)).unwrap_err();
        assert!(whole.to_string().contains("journal_read_bytes_max"), "{whole}");

        let (mut next, mut entries, mut parts) = (Some(0), 0, 0);
        while let Some(from) = next {
            let part = world.on(world.engine().journal_part(tenant(), id, from)).unwrap();
            assert_eq!(part.entries[0].seq, entries);
            let bytes: usize =
                part.entries.iter().map(|entry| serde_json::to_vec(entry).unwrap().len()).sum();
            assert!(bytes < 2 * JOURNAL_PART_BYTES as usize, "{bytes}");
            (next, entries, parts) = (part.next_seq, entries + part.entries.len() as u64, parts + 1);
        }
        assert_eq!((entries, parts > 1), (world.row(id).next_seq, true));

        let (mut next, mut lines) = (Some(0), Vec::new());
        while let Some(from_seq) = next {
            let query = LogQuery { from_seq, level: LogLevel::Info, lines_max: 4 };
            let part = world.on(world.engine().log_part(tenant(), id, query)).unwrap();
            assert!(part.lines.len() <= 4);
            lines.extend(part.lines);
            next = part.next_seq;
        }
        assert!(lines.len() == 10 && lines.windows(2).all(|pair| pair[0].seq < pair[1].seq), "{lines:?}");
        let query = LogQuery { from_seq: 0, level: LogLevel::Warn, lines_max: 4 };
        let none = world.on(world.engine().log_part(tenant(), id, query)).unwrap();
        assert!(none.lines.is_empty() && none.next_seq.is_none());
    });
}
