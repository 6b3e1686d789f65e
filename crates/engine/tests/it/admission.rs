//! The rules by which executions are accepted.

use std::time::Duration;

use flux_engine::{AdmissionError, AdmittedAs};
use flux_model::execution::ExecutionStatus;
use flux_model::limits::VALUE_BYTES_MAX;
use flux_store::Command;
use flux_store::flows::{FlowState, SetFlowState};

use crate::world::{Backend, World, admission, on_each, probe, sequence, tenant};

fn publish_limited(world: &World, settings: &str) {
    world.publish(&sequence("limited", settings, &[("a", "test.probe", &probe(r#""value":"{{ start }}""#))]));
}

#[test]
fn a_queue_gives_its_slot_on_in_order_of_priority() {
    on_each(|world| {
        publish_limited(&world, r#"{"concurrency":{"key":"{{ start.k }}","limit":1}}"#);
        world.probe.hold("a");
        let first = world.admit("limited", r#"{"k":1}"#);
        let other = world.admit("limited", r#"{"k":2}"#);
        assert_eq!(world.row(other).status, ExecutionStatus::Running, "another key");
        let queued = world.try_admit("limited", r#"{"k":1}"#).unwrap();
        assert_eq!(queued.outcome, AdmittedAs::Queued { starts_at: None });
        world.settle();
        assert_eq!((world.row(queued.id).status, world.probe.count("a")), (ExecutionStatus::Queued, 2));
        world.probe.release("a");
        for id in [first, other, queued.id] {
            world.reaches(id, ExecutionStatus::Succeeded);
        }
        assert_eq!(world.row(queued.id).output.as_deref(), Some(r#"{"k":1}"#));
    });
}

#[test]
fn a_queue_survives_a_restart() {
    on_each(|mut world| {
        publish_limited(&world, r#"{"concurrency":{"limit":1}}"#);
        world.probe.hold("a");
        let ids = [world.admit("limited", "1"), world.admit("limited", "2"), world.admit("limited", "3")];
        world.restart();
        world.until("the first runs again", || world.probe.count("a") == 2);
        world.probe.release("a");
        ids.into_iter().for_each(|id| drop(world.reaches(id, ExecutionStatus::Succeeded)));
    });
}

#[test]
fn too_many_are_dropped_or_replace_the_oldest() {
    on_each(|world| {
        publish_limited(&world, r#"{"concurrency":{"limit":1,"overflow":"drop"}}"#);
        world.probe.hold("a");
        let first = world.admit("limited", "1");
        let refused = world.try_admit("limited", "2").unwrap_err();
        assert_eq!(refused, AdmissionError::ConcurrencyDropped { flow: "limited".to_owned() });
        publish_limited(&world, r#"{"concurrency":{"limit":1,"overflow":"cancel_oldest"}}"#);
        let second = world.admit("limited", "2");
        let row = world.reaches(first, ExecutionStatus::Cancelled);
        assert!(row.error.unwrap().message.contains(&second.to_string()));
        world.probe.release("a");
        world.reaches(second, ExecutionStatus::Succeeded);
    });
}

#[test]
fn a_rate_says_when_to_come_back() {
    on_each(|world| {
        publish_limited(&world, r#"{"rate_limit":{"limit":2,"period_ms":10000}}"#);
        world.output("limited", "1");
        world.output("limited", "2");
        let refused = world.try_admit("limited", "3").unwrap_err();
        let wait = refused.retry_after().unwrap();
        assert_eq!((refused.code().as_str(), wait), ("rate_limited", Duration::from_secs(5)));
        world.clock.advance(wait);
        world.output("limited", "3");
    });
}

#[test]
fn debounced_events_become_one_execution_with_the_last_input() {
    on_each(|world| {
        publish_limited(&world, r#"{"debounce":{"period_ms":5000}}"#);
        let first = world.try_admit("limited", "1").unwrap();
        assert!(matches!(first.outcome, AdmittedAs::Queued { starts_at: Some(_) }));
        world.clock.advance(Duration::from_secs(4));
        let second = world.try_admit("limited", "2").unwrap();
        assert!(matches!(second.outcome, AdmittedAs::Debounced { .. }) && second.id == first.id);
        world.clock.advance(Duration::from_secs(4));
        world.settle();
        assert_eq!(world.row(first.id).status, ExecutionStatus::Queued);
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(world.reaches(first.id, ExecutionStatus::Succeeded).output.as_deref(), Some("2"));
        assert_eq!(world.probe.count("a"), 1);
    });
}

#[test]
fn the_same_key_is_the_same_execution() {
    on_each(|mut world| {
        publish_limited(&world, "{}");
        let keyed = || {
            let mut admission = admission("limited", "1");
            admission.idempotency_key = Some("order-7".to_owned());
            admission
        };
        let first = world.on(world.engine().admit(keyed())).unwrap();
        world.reaches(first.id, ExecutionStatus::Succeeded);
        world.restart();
        let again = world.on(world.engine().admit(keyed())).unwrap();
        assert_eq!((again.id, again.outcome), (first.id, AdmittedAs::Duplicate));
        let waiting = flux_engine::Waiting { until: flux_engine::Until::End, timeout: Duration::ZERO };
        let (joined, answer) = world.on(world.engine().run(keyed(), waiting)).unwrap();
        assert!(joined.id == first.id && matches!(answer, flux_engine::Answer::Ended(_)), "{answer:?}");
        assert_eq!(world.probe.count("a"), 1);
    });
}

#[test]
fn more_than_can_run_is_refused_at_once() {
    let world = World::with(Backend::Memory, |settings| settings.running_max = 3);
    publish_limited(&world, "{}");
    world.probe.hold("a");
    let ids = [world.admit("limited", "1"), world.admit("limited", "2"), world.admit("limited", "3")];
    let refused = world.try_admit("limited", "4").unwrap_err();
    assert_eq!(refused.code().as_str(), "overloaded");
    assert!(refused.retry_after().is_some() && refused.to_string().contains("running_max"), "{refused}");
    world.probe.release("a");
    ids.into_iter().for_each(|id| drop(world.reaches(id, ExecutionStatus::Succeeded)));
    world.is_idle();
    world.output("limited", "4");
}

#[test]
fn a_disk_that_is_behind_is_not_given_more() {
    let world = World::with(Backend::Memory, |settings| settings.admission_pending_max = 5);
    publish_limited(&world, "{}");
    world.output("limited", "0");
    world.store.close();
    let engine = world.engine().clone();
    let admit = |n: i32| {
        let engine = engine.clone();
        world.spawn(async move { engine.admit(admission("limited", &n.to_string())).await })
    };
    let admitted: Vec<_> = (0..5).map(admit).collect();
    world.until("they are pending", || world.engine().stats().pending_commands == 5);
    let refused = world.try_admit("limited", "6").unwrap_err();
    assert!(refused.to_string().contains("admission_pending_max"), "{refused}");
    world.store.open();
    for task in admitted {
        world.on(task).unwrap().unwrap();
    }
    world.until("all ran", || world.probe.count("a") == 6);
    world.is_idle();
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let world = World::new(Backend::Memory);
    let schema = r#"{"type":"object","required":["id"]}"#;
    world.publish(&format!(
        r#"{{"name":"typed","nodes":[{{"key":"start","type":"trigger.manual","config":{{"input_schema":{schema}}}}},
            {{"key":"end","type":"data.transform","config":{{"expression":"{{{{ start.id }}}}"}}}}],
            "edges":[{{"from":"start","to":"end"}}]}}"#
    ));
    let check = |flow: &str, input: &str, code: &str, part: &str| {
        let refused = world.try_admit(flow, input).unwrap_err();
        assert!(refused.code().as_str() == code && refused.to_string().contains(part), "{refused}");
    };
    check("typed", "{}", "input_invalid", "id");
    check("nowhere", "{}", "flow_not_found", "nowhere");
    let large = format!("\"{}\"", "x".repeat(VALUE_BYTES_MAX + 1));
    check("typed", &large, "input_invalid", "VALUE_BYTES_MAX");
    let state = SetFlowState {
        tenant: tenant(),
        name: "typed".to_owned(),
        state: FlowState::Inactive,
        at: Default::default(),
    };
    world.output("typed", r#"{"id":1}"#);
    world.on(world.engine().submit(Command::SetFlowState(state))).unwrap();
    check("typed", r#"{"id":1}"#, "flow_inactive", "switched off");
    assert_eq!(world.engine().stats().refused, 4);
}
