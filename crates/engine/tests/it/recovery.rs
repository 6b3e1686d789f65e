//! The process is killed and starts again on what it left.

use flux_model::execution::{ExecutionStatus, WaitOn};
use flux_model::review::{ReviewAction, ReviewReason};

use crate::reviews::decision;
use crate::world::{Backend, World, on_each, probe, sequence, tenant};

#[test]
fn an_interrupted_attempt_is_begun_again_and_a_completed_one_is_not() {
    on_each(|mut world| {
        let nodes = [("a", "test.probe", &*probe("")), ("b", "test.probe", &*probe(""))];
        world.publish(&sequence("pair", "{}", &nodes));
        world.probe.hold("b");
        let id = world.admit("pair", "{}");
        world.until("b runs", || world.probe.count("b") == 1);
        world.restart();
        world.until("b runs again", || world.probe.count("b") == 2);
        world.probe.release("b");
        world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!((world.probe.count("a"), world.probe.count("b")), (1, 2));
    });
}

#[test]
fn what_must_not_happen_twice_is_put_before_a_person() {
    let check = |world: &mut World, action: ReviewAction, status: ExecutionStatus, attempts: usize| {
        let before = world.probe.count("once");
        world.probe.hold("once");
        let id = world.admit("careful", "{}");
        world.until("it runs", || world.probe.count("once") == before + 1);
        world.restart();
        let row = world.reaches(id, ExecutionStatus::Waiting);
        assert!(matches!(row.waits[0].on, WaitOn::Review { .. }));
        let review = world.pending_review(id);
        assert_eq!(review.request.reason, ReviewReason::OutcomeUnknown);
        world.probe.release("once");
        world.settle();
        assert_eq!(world.probe.count("once"), before + 1, "never twice by itself");
        world.on(world.engine().decide(tenant(), review.request.id, decision(action, 1))).unwrap();
        world.reaches(id, status);
        assert_eq!(world.probe.count("once"), before + attempts);
    };
    on_each(|mut world| {
        let rest = format!(r#"{},"at_most_once":true"#, probe(""));
        world.publish(&sequence("careful", "{}", &[("once", "test.probe", &rest)]));
        check(&mut world, ReviewAction::Approve, ExecutionStatus::Succeeded, 1);
        check(&mut world, ReviewAction::Reject, ExecutionStatus::Failed, 1);
        check(&mut world, ReviewAction::Revise, ExecutionStatus::Succeeded, 2);
    });
}

#[test]
fn waiting_executions_cost_no_owner_after_a_restart_and_go_on_when_asked() {
    on_each(|mut world| {
        let rest = r#""config":{"title":"t","content":"{{ start }}"}"#;
        world.publish(&sequence("asked", "{}", &[("ask", "human.review", rest)]));
        let ids: Vec<_> = (0..50).map(|n| world.admit("asked", &n.to_string())).collect();
        for id in &ids {
            world.reaches(*id, ExecutionStatus::Waiting);
        }
        world.restart();
        world.settle();
        let stats = world.engine().stats();
        assert_eq!((stats.owned, stats.loaded), (0, 0));
        let review = world.pending_review(ids[7]).request.id;
        world.on(world.engine().decide(tenant(), review, decision(ReviewAction::Approve, 1))).unwrap();
        world.reaches(ids[7], ExecutionStatus::Succeeded);
        assert_eq!(world.engine().stats().loaded, 1);
    });
}

#[test]
fn parallel_work_goes_on_where_each_branch_was() {
    on_each(|mut world| {
        let node = |key: &str| format!(r#"{{"key":"{key}","type":"test.probe",{}}}"#, probe(""));
        let nodes: Vec<String> = ["a", "b", "c", "d"].map(node).to_vec();
        world.publish(&format!(
            r#"{{"name":"fork","nodes":[{{"key":"start","type":"trigger.manual"}},{}],"edges":[
                {{"from":"start","to":"a"}},{{"from":"start","to":"b"}},{{"from":"a","to":"c"}},
                {{"from":"b","to":"d"}},{{"from":"c","to":"d"}}]}}"#,
            nodes.join(",")
        ));
        world.probe.hold("b");
        let id = world.admit("fork", "{}");
        world.until("c is durable", || world.store.steps_of(id) >= 3 && world.probe.count("c") == 1);
        world.settle();
        world.restart();
        world.until("b runs again", || world.probe.count("b") == 2);
        world.probe.release("b");
        world.reaches(id, ExecutionStatus::Succeeded);
        let counts = ["a", "b", "c", "d"].map(|key| world.probe.count(key));
        assert_eq!(counts, [1, 2, 1, 1]);
    });
}

#[test]
fn more_running_executions_than_fit_all_go_on() {
    let mut world = World::with(Backend::Memory, |settings| settings.running_max = 40);
    world.publish(&sequence("one", "{}", &[("a", "test.probe", &probe(""))]));
    world.probe.hold("a");
    let ids: Vec<_> = (0..40).map(|_| world.admit("one", "{}")).collect();
    world.crash();
    world.set_running_max(4);
    world.start();
    world.until("some run again", || world.probe.count("a") >= 44);
    world.settle();
    assert!(world.engine().stats().owned <= 4);
    world.probe.release("a");
    ids.into_iter().for_each(|id| drop(world.reaches(id, ExecutionStatus::Succeeded)));
}
