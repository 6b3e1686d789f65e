//! Executions that call executions.

use flux_model::execution::{ExecutionResult, ExecutionStatus, WaitOn};
use flux_model::journal::{Entry, JournalEvent, Record};
use flux_model::{Timestamp, Value};
use flux_store::{Append, Command, ExecutionFilter, PageRequest, StatusChange, Step, Store};

use crate::world::{Backend, World, on_each, probe, sequence, tenant};

fn publish_pair(world: &World, call: &str) {
    world.publish(&sequence("child", "{}", &[("work", "test.probe", &probe(r#""value":"{{ start.n }}""#))]));
    let call = format!(r#""config":{{"flow":"child","input":{{"n":"{{{{ start.n }}}}"}}{call}}}"#);
    world.publish(&sequence("parent", "{}", &[("call", "flow.call", &call)]));
}

fn children_of(world: &World, parent: flux_model::ExecutionId) -> Vec<flux_store::ExecutionRow> {
    let filter = ExecutionFilter { parent: Some(parent), ..ExecutionFilter::default() };
    world.store.executions(tenant(), &filter, PageRequest::first(50)).unwrap().items
}

#[test]
fn a_parent_waits_for_its_child_and_gets_its_output() {
    on_each(|world| {
        publish_pair(&world, "");
        world.probe.hold("work");
        let id = world.admit("parent", r#"{"n":5}"#);
        let row = world.reaches(id, ExecutionStatus::Waiting);
        let children = children_of(&world, id);
        assert_eq!(row.waits[0].on, WaitOn::Child { execution: children[0].id });
        assert_eq!((children.len(), children[0].depth, &*children[0].request_id), (1, 1, "request-1"));
        world.probe.release("work");
        assert_eq!(world.reaches(id, ExecutionStatus::Succeeded).output.as_deref(), Some("5"));
    });
}

#[test]
fn a_parent_that_does_not_wait_gets_the_id() {
    on_each(|world| {
        publish_pair(&world, r#","wait":false"#);
        world.probe.hold("work");
        let output = world.output("parent", r#"{"n":5}"#);
        let child = output.get("execution").and_then(Value::as_str).unwrap().parse().unwrap();
        assert_eq!(world.row(child).status, ExecutionStatus::Running);
        world.probe.release("work");
        world.reaches(child, ExecutionStatus::Succeeded);
    });
}

#[test]
fn cancelling_a_parent_cancels_its_child() {
    on_each(|world| {
        publish_pair(&world, "");
        world.probe.hold("work");
        let id = world.admit("parent", r#"{"n":5}"#);
        world.reaches(id, ExecutionStatus::Waiting);
        world.on(world.engine().cancel(tenant(), id, "enough")).unwrap();
        world.reaches(id, ExecutionStatus::Cancelled);
        let child = children_of(&world, id)[0].id;
        let row = world.reaches(child, ExecutionStatus::Cancelled);
        assert!(row.error.unwrap().message.contains(&id.to_string()));
    });
}

#[test]
fn a_child_that_fails_fails_its_parent() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("child", "{}", &[("work", "test.probe", &probe(r#""broken":true"#))]));
    world.publish(&sequence("parent", "{}", &[("call", "flow.call", r#""config":{"flow":"child"}"#)]));
    let ExecutionResult::Failed { error } = world.run("parent", "{}") else { panic!("it succeeded") };
    assert_eq!((error.code.as_str(), error.node.as_str()), ("child_failed", "call"));
    world.publish(&sequence("lost", "{}", &[("call", "flow.call", r#""config":{"flow":"nowhere"}"#)]));
    let ExecutionResult::Failed { error } = world.run("lost", "{}") else { panic!("it succeeded") };
    assert_eq!(error.code.as_str(), "flow_not_found");
}

#[test]
fn executions_do_not_call_each_other_for_ever() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("again", "{}", &[("call", "flow.call", r#""config":{"flow":"again"}"#)]));
    let ExecutionResult::Failed { error } = world.run("again", "{}") else { panic!("it succeeded") };
    assert!(error.message.contains("CALL_DEPTH_MAX"), "{}", error.message);
}

#[test]
fn a_child_that_ended_while_nobody_ran_is_noticed() {
    on_each(|mut world| {
        publish_pair(&world, "");
        world.probe.hold("work");
        let id = world.admit("parent", r#"{"n":5}"#);
        world.reaches(id, ExecutionStatus::Waiting);
        let child = children_of(&world, id)[0].id;
        world.restart();
        world.until("the child runs again", || world.probe.count("work") == 2);
        world.probe.release("work");
        world.reaches(child, ExecutionStatus::Succeeded);
        assert_eq!(world.reaches(id, ExecutionStatus::Succeeded).output.as_deref(), Some("5"));
    });
}

#[test]
fn one_execution_signals_another() {
    on_each(|world| {
        world.publish(&sequence("waits", "{}", &[("wait", "flow.signal", r#""config":{"name":"go"}"#)]));
        let send = r#""config":{"action":"send","name":"go","execution":"{{ start.to }}","payload":7}"#;
        world.publish(&sequence("sends", "{}", &[("send", "flow.signal", send)]));
        let id = world.admit("waits", "{}");
        world.reaches(id, ExecutionStatus::Waiting);
        let output = world.output("sends", &format!(r#"{{"to":"{id}"}}"#));
        assert_eq!(output.to_json(), r#"{"delivered":true}"#);
        assert_eq!(world.reaches(id, ExecutionStatus::Succeeded).output.as_deref(), Some("7"));
        let ExecutionResult::Failed { error } = world.run("sends", &format!(r#"{{"to":"{id}"}}"#)) else {
            panic!("it succeeded")
        };
        assert_eq!(error.code.as_str(), "conflict", "{}", error.message);
    });
}

#[test]
fn a_child_whose_cancellation_was_lost_is_cancelled_after_the_restart() {
    on_each(|mut world| {
        publish_pair(&world, "");
        world.probe.hold("work");
        let id = world.admit("parent", "{}");
        let parent = world.reaches(id, ExecutionStatus::Waiting);
        world.is_owned(1);
        let child = children_of(&world, id)[0].id;
        // The parent's end is durable, and the process stops before it is carried out.
        let (at, result) = (Timestamp::default(), ExecutionResult::Cancelled { reason: "enough".to_owned() });
        let entry = Entry { seq: parent.next_seq, at, event: JournalEvent::Finished { result } };
        let change = StatusChange::Cancelled { reason: "enough".to_owned(), at };
        let record = Record::new(vec![entry]).0.encode();
        let step = Step { record, entries: 1, change: Some(change), ..Step::default() };
        let append = Append { tenant: tenant(), execution: id, expected_next_seq: parent.next_seq, step };
        world.on(world.engine().submit(Command::Append(Box::new(append)))).unwrap();
        world.restart();
        world.reaches(child, ExecutionStatus::Cancelled);
    });
}
