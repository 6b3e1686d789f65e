//! Flows from admission to their end.

use flux_engine::{Admission, Answer, TriggerKind, Until, Waiting};
use flux_model::Value;
use flux_model::execution::{ExecutionResult, ExecutionStatus};
use std::time::Duration;

use crate::world::{Backend, World, admission, impatient_probe, json, on_each, probe, sequence, tenant};

const WAIT: Waiting = Waiting { until: Until::Response, timeout: Duration::from_secs(3_600) };

#[test]
fn a_flow_that_answers_at_once_costs_one_commit() {
    on_each(|world| {
        world.publish(&sequence(
            "answer",
            "{}",
            &[
                ("double", "data.set", r#""config":{"values":{"n":"{{ start.n * 2 }}"}}"#),
                ("check", "data.transform", r#""config":{"expression":"{{ double.n + 1 }}"}"#),
                ("reply", "flow.respond", r#""config":{"status":201,"body":"{{ check }}"}"#),
            ],
        ));
        let (admitted, answer) =
            world.on(world.engine().run(admission("answer", r#"{"n":20}"#), WAIT)).unwrap();
        let Answer::Responded(response) = answer else { panic!("{answer:?}") };
        assert_eq!((response.status, response.body), (201, Value::from(41_i64)));
        assert_eq!(world.store.steps_of(admitted.id), 1);
        let row = world.row(admitted.id);
        assert_eq!((row.status, row.output.as_deref()), (ExecutionStatus::Succeeded, Some("41")));
        assert_eq!(world.engine().stats().owned, 0);
    });
}

#[test]
fn each_effect_costs_one_commit_and_runs_once() {
    on_each(|world| {
        let steps = ["a", "b", "c"].map(|key| (key, probe(&format!(r#""value":"{key}""#))));
        let nodes: Vec<_> = steps.iter().map(|(key, rest)| (*key, "test.probe", rest.as_str())).collect();
        world.publish(&sequence("effects", "{}", &nodes));
        let (admitted, answer) = world.on(world.engine().run(admission("effects", "{}"), WAIT)).unwrap();
        assert_eq!(answer, Answer::Ended(ExecutionResult::Succeeded { output: Value::from("c") }));
        assert_eq!(world.probe.order(), ["a", "b", "c"]);
        assert_eq!(world.store.steps_of(admitted.id), 4, "acceptance and three completions");
        world.is_idle();
    });
}

#[test]
fn many_elements_run_side_by_side() {
    on_each(|world| {
        let node = format!(
            r#"{{"key":"each","type":"test.probe","for_each":"{{{{ start.items }}}}","for_each_concurrency":400,{}}}"#,
            probe(r#""value":"{{ item }}""#)
        );
        world.publish(&format!(
            r#"{{"name":"many","nodes":[{{"key":"start","type":"trigger.manual"}},{node}],"edges":[{{"from":"start","to":"each"}}]}}"#
        ));
        let items = Value::array((0..400_i64).map(Value::from).collect());
        let input = Value::object([("items", items.clone())]).to_json();
        assert_eq!(world.output("many", &input), items);
        assert_eq!(world.probe.order().len(), 400);
    });
}

#[test]
fn an_attempt_that_fails_is_repeated_after_its_pause() {
    on_each(|world| {
        let rest = format!(
            r#"{},"retry":{{"attempts":3,"initial_ms":1000,"factor":2,"jitter":0}}"#,
            probe(r#""failures":2,"value":"at last""#)
        );
        world.publish(&sequence("retried", "{}", &[("shaky", "test.probe", &rest)]));
        let id = world.admit("retried", "{}");
        for (attempt, pause_ms) in [(1, 1_000), (2, 2_000)] {
            world.until("the attempt failed", || world.probe.count("shaky") == attempt);
            world.reaches(id, ExecutionStatus::Waiting);
            world.is_idle();
            world.clock.advance(Duration::from_millis(pause_ms - 1));
            world.settle();
            assert_eq!(world.probe.count("shaky"), attempt, "not before its time");
            world.clock.advance(Duration::from_millis(1));
        }
        let row = world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!((row.output.as_deref(), world.probe.count("shaky")), (Some("\"at last\""), 3));
    });
}

#[test]
fn an_attempt_that_takes_too_long_is_stopped() {
    on_each(|world| {
        let rest = format!(r#"{},"timeout_ms":1000,"retry":{{"attempts":1}}"#, impatient_probe(""));
        world.publish(&sequence("slow", "{}", &[("slow", "test.probe", &rest)]));
        world.probe.hold("slow");
        let id = world.admit("slow", "{}");
        world.until("it runs", || world.probe.count("slow") == 1);
        world.clock.advance(Duration::from_millis(1_001));
        let row = world.reaches(id, ExecutionStatus::Failed);
        assert_eq!(row.error.unwrap().code.as_str(), "node_timeout");
    });
}

#[test]
fn large_values_are_kept_in_objects() {
    on_each(|world| {
        world.publish(&sequence(
            "large",
            "{}",
            &[("echo", "test.probe", &probe(r#""value":"{{ start }}""#))],
        ));
        let text = "x".repeat(100_000);
        let id = world.admit("large", &format!(r#"{{"text":"{text}"}}"#));
        let row = world.reaches(id, ExecutionStatus::Succeeded);
        assert!(row.journal_bytes < 10_000, "{} bytes of journal", row.journal_bytes);
        assert!(row.output.unwrap().len() < 1_000);
        let result = world.on(world.engine().result(tenant(), id)).unwrap().unwrap();
        let ExecutionResult::Succeeded { output } = result else { panic!("{result:?}") };
        assert_eq!(output.get("text").and_then(Value::as_str), Some(text.as_str()));
    });
}

#[test]
fn a_wait_that_ends_too_early_says_where_the_execution_stands() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("held", "{}", &[("held", "test.probe", &probe(""))]));
    world.probe.hold("held");
    let id = world.admit("held", "{}");
    let soon = Waiting { until: Until::End, timeout: Duration::ZERO };
    let answer = world.on(world.engine().wait(tenant(), id, soon)).unwrap();
    assert_eq!(answer, Answer::Pending(ExecutionStatus::Running));
    world.probe.release("held");
    world.reaches(id, ExecutionStatus::Succeeded);
    let ended = ExecutionResult::Succeeded { output: Value::Null };
    assert_eq!(world.on(world.engine().wait(tenant(), id, soon)).unwrap(), Answer::Ended(ended));
    let other = flux_model::Tenant { project: flux_model::ProjectId::from_bits(9), ..tenant() };
    assert_eq!(world.on(world.engine().wait(other, id, soon)).unwrap_err().code().as_str(), "not_found");
}

#[test]
fn a_pure_node_on_much_data_does_not_hold_up_the_rest() {
    let world = World::new(Backend::Memory);
    let rest = r#""config":{"content":"{{ start.text }}"}"#;
    let flow = sequence("pure", "{}", &[("html", "data.markdown", rest)]);
    world.publish(&flow);
    let text = "word ".repeat(80_000);
    let output = world.output("pure", &format!(r#"{{"text":"{text}"}}"#));
    assert!(output.to_json().len() > 400_000);
}

#[test]
fn followers_see_what_happens() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("seen", "{}", &[("a", "test.probe", &probe(""))]));
    let mut events = world.engine().events();
    let input = Admission::new(tenant(), "seen", TriggerKind::Webhook, json("{}"));
    let id = world.on(world.engine().admit(input)).unwrap().id;
    world.reaches(id, ExecutionStatus::Succeeded);
    world.is_idle();
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        assert_eq!(event.execution, id);
        seen.push(format!("{:?}", event.change));
    }
    let said = |part: &str| seen.iter().any(|change| change.contains(part));
    assert!(
        said("Running { attempt: 1 }") && said("status: Running") && said("status: Succeeded"),
        "{seen:?}"
    );
}
