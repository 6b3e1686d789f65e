//! What is durable before what.

use std::time::Duration;

use flux_engine::{EngineError, HealthState, Until, Waiting};
use flux_model::ErrorCode;
use flux_model::execution::ExecutionStatus;

use crate::world::{Backend, World, admission, on_each, probe, sequence, tenant};

#[test]
fn a_completion_is_durable_before_what_depends_on_it_starts() {
    on_each(|world| {
        let nodes = [("a", "test.probe", &*probe("")), ("b", "test.probe", &*probe(""))];
        world.publish(&sequence("pair", "{}", &nodes));
        world.probe.hold("a");
        let id = world.admit("pair", "{}");
        world.until("a runs", || world.probe.count("a") == 1);
        world.store.close();
        world.probe.release("a");
        world.settle();
        assert_eq!(world.probe.count("b"), 0, "the completion of a is not durable");
        world.store.open();
        world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!(world.probe.order(), ["a", "b"]);
    });
}

#[test]
fn nobody_is_told_before_it_is_durable() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence(
        "pure",
        "{}",
        &[("a", "data.transform", r#""config":{"expression":"{{ 1 }}"}"#)],
    ));
    world.output("pure", "{}");
    world.store.close();
    let engine = world.engine().clone();
    let waiting = Waiting { until: Until::End, timeout: Duration::from_secs(3_600) };
    let told = world.spawn(async move { engine.run(admission("pure", "{}"), waiting).await });
    world.settle();
    assert!(!told.is_finished());
    world.store.open();
    assert!(world.on(told).unwrap().is_ok());
}

#[test]
fn an_execution_whose_caller_went_away_goes_on() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("one", "{}", &[("a", "test.probe", &probe(""))]));
    world.output("one", "{}");
    world.store.close();
    let engine = world.engine().clone();
    world.on(async {
        let admitted = engine.admit(admission("one", "{}"));
        let gone = tokio::time::timeout(Duration::from_millis(50), admitted).await;
        assert!(gone.is_err(), "the caller waits and goes away");
    });
    world.store.open();
    world.until("it ran", || world.probe.count("a") == 2);
    world.is_idle();
}

#[test]
fn a_store_that_failed_is_opened_again_and_nothing_acknowledged_is_lost() {
    on_each(|world| {
        let nodes = [("a", "test.probe", &*probe("")), ("b", "test.probe", &*probe(""))];
        world.publish(&sequence("pair", "{}", &nodes));
        world.probe.hold("a");
        let id = world.admit("pair", "{}");
        world.until("a runs", || world.probe.count("a") == 1);
        world.store.fail();
        world.probe.release("a");
        let reason = world.on(world.engine().failed());
        assert!(reason.contains("the disk is full"), "{reason}");
        assert!(matches!(world.engine().health().state, HealthState::StorageUnavailable { .. }));
        let refused = world.try_admit("pair", "{}").unwrap_err();
        assert_eq!(refused.code(), ErrorCode::StorageUnavailable);
        let waiting = Waiting { until: Until::End, timeout: Duration::from_secs(3_600) };
        let journal = world.on(world.engine().journal(tenant(), id)).unwrap();
        assert!(!journal.is_empty(), "reading goes on");
        assert_eq!(world.probe.count("b"), 0, "what a came to is not durable");
        let still_full = world.store.clone();
        let refused = world.on(world.engine().reopen(still_full)).unwrap_err().to_string();
        assert!(refused.contains("the disk is full"), "{refused}");
        assert!(matches!(world.engine().health().state, HealthState::StorageUnavailable { .. }));
        let store = world.same_store();
        world.on(world.engine().reopen(store)).unwrap();
        assert_eq!(world.engine().health().state, HealthState::Working);
        world.on(world.engine().wait(tenant(), id, waiting)).unwrap();
        assert_eq!((world.probe.count("a"), world.probe.count("b")), (2, 1));
        world.output("pair", "{}");
    });
}

#[test]
fn those_who_wait_are_told_when_the_store_fails() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("one", "{}", &[("a", "test.probe", &probe(""))]));
    world.probe.hold("a");
    let engine = world.engine().clone();
    let waiting = Waiting { until: Until::End, timeout: Duration::from_secs(3_600) };
    let told = world.spawn(async move { engine.run(admission("one", "{}"), waiting).await });
    world.until("a runs", || world.probe.count("a") == 1);
    world.store.fail();
    world.probe.release("a");
    assert_eq!(world.on(told).unwrap().unwrap_err(), EngineError::Stopped);
}
