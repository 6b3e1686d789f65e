//! Somebody asks an execution to stop; the engine is asked to.

use std::time::Duration;

use flux_engine::{Cancelled, HealthState};
use flux_model::execution::ExecutionStatus;

use crate::world::{Backend, World, on_each, probe, sequence, tenant};

#[test]
fn a_running_attempt_is_stopped() {
    on_each(|world| {
        let nodes = [("a", "test.probe", &*probe("")), ("b", "test.probe", &*probe(""))];
        world.publish(&sequence("pair", "{}", &nodes));
        world.probe.hold("a");
        let id = world.admit("pair", "{}");
        world.until("a runs", || world.probe.count("a") == 1);
        let cancel = || world.on(world.engine().cancel(tenant(), id, "not needed")).unwrap();
        assert_eq!(cancel(), Cancelled::Requested);
        let row = world.reaches(id, ExecutionStatus::Cancelled);
        assert_eq!(row.error.unwrap().message, "not needed");
        assert_eq!(cancel(), Cancelled::AlreadyOver(ExecutionStatus::Cancelled));
        assert_eq!(world.probe.count("b"), 0);
    });
}

#[test]
fn a_waiting_execution_ends_at_once_and_its_review_is_withdrawn() {
    on_each(|world| {
        let rest = r#""config":{"title":"t","content":"c"}"#;
        world.publish(&sequence("asked", "{}", &[("ask", "human.review", rest)]));
        let id = world.admit("asked", "{}");
        world.reaches(id, ExecutionStatus::Waiting);
        world.on(world.engine().cancel(tenant(), id, "not needed")).unwrap();
        world.reaches(id, ExecutionStatus::Cancelled);
        assert_eq!(world.pending_review(id).status, flux_model::review::ReviewStatus::Withdrawn);
    });
}

#[test]
fn a_queued_execution_is_cancelled_without_having_started() {
    on_each(|world| {
        let settings = r#"{"concurrency":{"limit":1}}"#;
        world.publish(&sequence("single", settings, &[("a", "test.probe", &probe(""))]));
        world.probe.hold("a");
        let first = world.admit("single", "{}");
        let second = world.admit("single", "{}");
        assert_eq!(world.row(second).status, ExecutionStatus::Queued);
        world.on(world.engine().cancel(tenant(), second, "not needed")).unwrap();
        world.reaches(second, ExecutionStatus::Cancelled);
        world.probe.release("a");
        world.reaches(first, ExecutionStatus::Succeeded);
        assert_eq!(world.probe.count("a"), 1);
    });
}

#[test]
fn a_shutdown_lets_running_steps_reach_their_commit() {
    on_each(|mut world| {
        let nodes = [("a", "test.probe", &*probe("")), ("b", "test.probe", &*probe(""))];
        world.publish(&sequence("pair", "{}", &nodes));
        world.probe.hold("a");
        let id = world.admit("pair", "{}");
        world.until("a runs", || world.probe.count("a") == 1);
        let engine = world.engine().clone();
        let stopped = world.spawn(async move { engine.shutdown(Duration::from_secs(3_600)).await });
        world.until("it stops", || world.engine().health().state == HealthState::Stopping);
        assert_eq!(world.try_admit("pair", "{}").unwrap_err().code().as_str(), "overloaded");
        world.probe.release("a");
        world.on(stopped).unwrap();
        assert_eq!(world.probe.order(), ["a"], "nothing new is begun");
        world.restart();
        world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!(world.probe.order(), ["a", "b"]);
    });
}

#[test]
fn a_shutdown_does_not_wait_longer_than_its_grace() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("one", "{}", &[("a", "test.probe", &probe(""))]));
    world.probe.hold("a");
    let id = world.admit("one", "{}");
    world.until("a runs", || world.probe.count("a") == 1);
    world.on(world.engine().shutdown(Duration::ZERO));
    assert_eq!(world.row(id).status, ExecutionStatus::Running, "it goes on after the next start");
}
