//! Executions whose caller needs the output and not the record.

use std::time::Duration;

use flux_engine::{Admitted, Answer};
use flux_model::Value;
use flux_model::execution::{ExecutionResult, ExecutionStatus};
use flux_store::ExecutionRow;

use crate::world::{Backend, World, admission, impatient_probe, on_each, probe, sequence};

const LONG: Duration = Duration::from_secs(3_600);

fn call(world: &World, flow: &str, timeout: Duration) -> (Admitted, Answer) {
    world.on(world.engine().call(admission(flow, "{}"), timeout)).unwrap()
}

/// The row of an execution, once it is written: the caller may be told before.
fn recorded(world: &World, admitted: &Admitted, status: ExecutionStatus) -> ExecutionRow {
    world.until("it is recorded", || world.stored(status) == 1);
    world.row(admitted.id)
}

#[test]
fn the_caller_is_told_and_everything_is_one_record() {
    on_each(|world| {
        world.publish(&sequence(
            "direct",
            "{}",
            &[
                ("ask", "test.probe", &probe(r#""value":20"#)),
                ("more", "data.transform", r#""config":{"expression":"{{ ask * 2 + 1 }}"}"#),
            ],
        ));
        let (admitted, answer) = call(&world, "direct", LONG);
        assert_eq!(answer, Answer::Ended(ExecutionResult::Succeeded { output: Value::from(41_i64) }));
        let row = recorded(&world, &admitted, ExecutionStatus::Succeeded);
        assert_eq!((row.output.as_deref(), world.probe.count("ask")), (Some("41"), 1));
        assert_eq!(world.store.steps_of(admitted.id), 1);
        assert_eq!(world.log(admitted.id)[0].message, "attempt 1");
        assert_eq!(world.engine().stats().owned, 0);
    });
}

#[test]
fn a_failure_is_told_and_recorded() {
    on_each(|world| {
        world.publish(&sequence("broken", "{}", &[("ask", "test.probe", &probe(r#""broken":true"#))]));
        let (admitted, answer) = call(&world, "broken", LONG);
        assert!(matches!(answer, Answer::Ended(ExecutionResult::Failed { .. })), "{answer:?}");
        let row = recorded(&world, &admitted, ExecutionStatus::Failed);
        assert_eq!(row.error.unwrap().code.as_str(), "http_status");
    });
}

#[test]
fn what_is_not_over_after_its_first_attempt_goes_on_as_any_other() {
    on_each(|world| {
        let rest = format!(
            r#"{},"retry":{{"attempts":2,"initial_ms":60000,"jitter":0}}"#,
            probe(r#""failures":1,"value":"at last""#)
        );
        let next = probe(r#""value":"{{ ask }}!""#);
        world.publish(&sequence(
            "later",
            "{}",
            &[("ask", "test.probe", &rest), ("next", "test.probe", &next)],
        ));
        let engine = world.engine().clone();
        let waiting = world.spawn(async move { engine.call(admission("later", "{}"), LONG).await });
        world.until("the first attempt failed", || world.probe.count("ask") == 1);
        world.until("it is stored", || world.stored(ExecutionStatus::Waiting) == 1);
        world.clock.advance(Duration::from_millis(60_000));
        world.until("the caller is told", || waiting.is_finished());
        let (admitted, answer) = world.on(waiting).unwrap().unwrap();
        assert_eq!(answer, Answer::Ended(ExecutionResult::Succeeded { output: Value::from("at last!") }));
        world.reaches(admitted.id, ExecutionStatus::Succeeded);
        assert_eq!(world.probe.order(), ["ask", "ask", "next"]);
    });
}

#[test]
fn an_attempt_that_takes_too_long_is_stopped_and_recorded() {
    on_each(|world| {
        let rest = format!(r#"{},"timeout_ms":1000,"retry":{{"attempts":1}}"#, impatient_probe(""));
        world.publish(&sequence("slow", "{}", &[("ask", "test.probe", &rest)]));
        world.probe.hold("ask");
        let engine = world.engine().clone();
        let waiting = world.spawn(async move { engine.call(admission("slow", "{}"), LONG).await });
        world.until("it runs", || world.probe.count("ask") == 1);
        world.clock.advance(Duration::from_millis(1_001));
        world.until("the caller is told", || waiting.is_finished());
        let (admitted, _) = world.on(waiting).unwrap().unwrap();
        let row = recorded(&world, &admitted, ExecutionStatus::Failed);
        assert_eq!(row.error.unwrap().code.as_str(), "node_timeout");
    });
}

#[test]
fn a_caller_who_waits_too_short_stops_nothing() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("held", "{}", &[("ask", "test.probe", &probe(r#""value":1"#))]));
    world.probe.hold("ask");
    let (admitted, answer) = call(&world, "held", Duration::ZERO);
    assert_eq!(answer, Answer::Pending(ExecutionStatus::Running));
    world.probe.release("ask");
    world.until("it is stored", || world.stored(ExecutionStatus::Succeeded) == 1);
    assert_eq!(world.row(admitted.id).output.as_deref(), Some("1"));
}

#[test]
fn what_the_store_has_to_judge_is_judged_first() {
    on_each(|world| {
        let settings = r#"{"concurrency":{"key":"one","limit":1,"overflow":"drop"}}"#;
        world.publish(&sequence("limited", settings, &[("ask", "test.probe", &probe(r#""value":1"#))]));
        world.probe.hold("ask");
        let engine = world.engine().clone();
        let first = world.spawn(async move { engine.call(admission("limited", "{}"), LONG).await });
        world.until("it runs", || world.probe.count("ask") == 1);
        let second = world.on(world.engine().call(admission("limited", "{}"), LONG));
        assert_eq!(second.unwrap_err().code().as_str(), "concurrency_dropped");
        world.probe.release("ask");
        world.until("the first is told", || first.is_finished());
        assert_eq!(world.probe.count("ask"), 1);
    });
}
