//! People decide.

use std::time::Duration;

use flux_engine::{DecideError, SignalSent};
use flux_model::execution::{ExecutionStatus, WaitOn};
use flux_model::limits::VALUE_DEPTH_MAX;
use flux_model::review::{Decision, ReviewAction, ReviewStatus};
use flux_model::{ReviewId, Value};

use crate::world::{Backend, World, json, on_each, sequence, tenant};

const FLOW: &str = r#"{"name":"asked","nodes":[
    {"key":"start","type":"trigger.manual"},
    {"key":"ask","type":"human.review","config":{"title":"Order {{ start.id }}","content":"{{ start }}","expires_in_ms":60000}},
    {"key":"yes","type":"data.transform","config":{"expression":"{{ ask.content.id }}"}},
    {"key":"no","type":"data.transform","config":{"expression":"{{ 'no' }}"}},
    {"key":"late","type":"data.transform","config":{"expression":"{{ 'late' }}"}}],
    "edges":[{"from":"start","to":"ask"},{"from":"ask.approved","to":"yes"},{"from":"ask.rejected","to":"no"},
             {"from":"ask.expired","to":"late"}]}"#;

pub(crate) fn decision(action: ReviewAction, expected_version: u32) -> Decision {
    Decision { action, content: None, comment: None, decided_by: "ada".to_owned(), expected_version }
}

#[test]
fn a_decision_lets_the_execution_go_on_and_only_the_first_counts() {
    on_each(|world| {
        world.publish(FLOW);
        let id = world.admit("asked", r#"{"id":7}"#);
        let row = world.reaches(id, ExecutionStatus::Waiting);
        assert!(matches!(row.waits[0].on, WaitOn::Review { until: Some(_), .. }), "{:?}", row.waits);
        world.is_idle();
        let review = world.pending_review(id);
        assert_eq!(review.request.title, "Order 7");
        let decide = |decision| world.on(world.engine().decide(tenant(), review.request.id, decision));
        let stale = decide(decision(ReviewAction::Approve, 2)).unwrap_err();
        assert_eq!(stale, DecideError::Conflict { status: ReviewStatus::Pending, version: 1 });
        let edited = Decision { content: Some(json(r#"{"id":8}"#)), ..decision(ReviewAction::Approve, 1) };
        assert_eq!(decide(edited).unwrap(), id);
        let row = world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!(row.output.as_deref(), Some("8"));
        let again = decide(decision(ReviewAction::Reject, 1)).unwrap_err();
        assert_eq!(again, DecideError::Conflict { status: ReviewStatus::Approved, version: 1 });
        assert_eq!(world.pending_review(id).decision.unwrap().decided_by, "ada");
        let unknown = world.on(world.engine().decide(
            tenant(),
            ReviewId::from_bits(1),
            decision(ReviewAction::Approve, 1),
        ));
        assert_eq!(unknown.unwrap_err(), DecideError::NotFound);
    });
}

#[test]
fn of_many_decisions_at_once_one_wins() {
    let world = World::new(Backend::Memory);
    world.publish(FLOW);
    let id = world.admit("asked", r#"{"id":7}"#);
    world.reaches(id, ExecutionStatus::Waiting);
    let review = world.pending_review(id).request.id;
    let decide = |action| world.engine().decide(tenant(), review, decision(action, 1));
    let decided = world.on(async {
        futures::future::join_all(
            (0..20).map(|n| decide(if n % 2 == 0 { ReviewAction::Approve } else { ReviewAction::Reject })),
        )
        .await
    });
    assert_eq!(decided.iter().filter(|decided| decided.is_ok()).count(), 1);
    world.reaches(id, ExecutionStatus::Succeeded);
}

#[test]
fn nobody_decides_in_time() {
    on_each(|world| {
        world.publish(FLOW);
        let id = world.admit("asked", "{}");
        world.reaches(id, ExecutionStatus::Waiting);
        world.clock.advance(Duration::from_secs(60));
        let row = world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!(row.output.as_deref(), Some("\"late\""));
        assert_eq!(world.pending_review(id).status, ReviewStatus::Expired);
    });
}

#[test]
fn another_tenant_decides_nothing() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("plain", "{}", &[]));
    world.publish(FLOW);
    let id = world.admit("asked", "{}");
    world.reaches(id, ExecutionStatus::Waiting);
    let review = world.pending_review(id).request.id;
    let other = flux_model::Tenant { project: flux_model::ProjectId::from_bits(9), ..tenant() };
    let refused = world.on(world.engine().decide(other, review, decision(ReviewAction::Approve, 1)));
    assert_eq!(refused.unwrap_err(), DecideError::NotFound);
    let cancelled = world.on(world.engine().cancel(other, id, "mine"));
    assert_eq!(cancelled.unwrap_err().code().as_str(), "not_found");
}

#[test]
fn a_decision_or_signal_that_nests_too_deep_is_refused_with_its_reason() {
    let world = World::new(Backend::Memory);
    world.publish(FLOW);
    let id = world.admit("asked", r#"{"id":7}"#);
    world.reaches(id, ExecutionStatus::Waiting);
    let review = world.pending_review(id).request.id;
    let deep = || (0..VALUE_DEPTH_MAX + 7).fold(Value::Null, |inner, _| Value::array(vec![inner]));
    let decided = Decision { content: Some(deep()), ..decision(ReviewAction::Approve, 1) };
    let refused = world.on(world.engine().decide(tenant(), review, decided)).unwrap_err();
    let sent = SignalSent { name: "go".to_owned(), payload: deep(), id: "1".to_owned() };
    let unsent = world.on(world.engine().signal(tenant(), id, sent)).unwrap_err();
    let expect = |place| format!("{place} nests 107 levels deep, at most 100 are allowed (VALUE_DEPTH_MAX)");
    assert_eq!(
        (refused.code().as_str(), refused.to_string()),
        ("input_invalid", expect("the content of the decision"))
    );
    assert_eq!(
        (unsent.code().as_str(), unsent.to_string()),
        ("input_invalid", expect("the payload of the signal"))
    );
    assert_eq!(world.pending_review(id).status, ReviewStatus::Pending);
}
