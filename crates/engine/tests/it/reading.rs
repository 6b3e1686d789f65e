//! What is read from journals: node runs, logs, traces.

use flux_engine::reading::{NodeRunStatus, SpanKind, SpanStatus};
use flux_model::Value;
use flux_model::execution::ExecutionStatus;
use flux_model::journal::LogLevel;

use crate::world::{Backend, World, probe, sequence, tenant};

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
    let logs = world.on(world.engine().logs(tenant(), child)).unwrap();
    let levels: Vec<_> = logs.iter().map(|line| line.level).collect();
    assert_eq!(levels, [LogLevel::Info, LogLevel::Warn, LogLevel::Info]);
    assert!(logs.windows(2).all(|pair| pair[0].seq < pair[1].seq));
}
