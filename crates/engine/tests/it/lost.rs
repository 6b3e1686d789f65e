//! The process dies between a commit and what it asks for, or something is late: nothing is left
//! that nobody owns.

use std::time::Duration;

use flux_model::ExecutionId;
use flux_model::execution::{ExecutionResult, ExecutionStatus, WaitOn};
use flux_model::journal::{Entry, JournalEvent, Record};
use flux_model::{Event, Timestamp};
use flux_store::{Append, Command, ExecutionFilter, ExecutionRow, PageRequest, StatusChange, Step, Store};

use crate::world::{World, json, on_each, probe, sequence, tenant};

const SIGNALLED: (&str, &str, &str) = ("wait", "flow.signal", r#""config":{"name":"go"}"#);

fn children_of(world: &World, parent: ExecutionId) -> Vec<ExecutionRow> {
    let filter = ExecutionFilter { parent: Some(parent), ..ExecutionFilter::default() };
    world.store.executions(tenant(), &filter, PageRequest::first(200)).unwrap().items
}

/// The child of this flow.
fn child_of(world: &World, parent: ExecutionId, flow: &str) -> ExecutionId {
    children_of(world, parent).iter().find(|row| row.flow == flow).unwrap().id
}

fn accepts(flow: &'static str) -> impl Fn(&Command) -> bool {
    move |command| matches!(command, Command::Accept(accept) if accept.execution.flow == flow)
}

fn appends(id: ExecutionId) -> impl Fn(&Command) -> bool {
    move |command| matches!(command, Command::Append(append) if append.execution == id)
}

fn ends(id: ExecutionId) -> impl Fn(&Command) -> bool {
    let over = |step: &Step| step.change.as_ref().is_some_and(|change| change.status().is_terminal());
    move |command| matches!(command, Command::Append(append) if append.execution == id && over(&append.step))
}

/// The commit is durable, and the process dies before it hears of it.
fn dies_after_commit(world: &mut World) {
    world.until("the store fails", || world.store.is_broken());
    world.crash();
    world.start();
}

fn signal(world: &World, id: ExecutionId) {
    let sent = flux_engine::SignalSent { name: "go".to_owned(), payload: json("1"), id: "1".to_owned() };
    world.on(world.engine().signal(tenant(), id, sent)).unwrap();
}

#[test]
fn an_execution_that_was_replaced_is_cancelled_after_the_restart() {
    on_each(|mut world| {
        let settings = r#"{"concurrency":{"limit":1,"overflow":"cancel_oldest"}}"#;
        let nodes = [("a", "test.probe", &*probe("")), SIGNALLED];
        world.publish(&sequence("single", settings, &nodes));
        let waits = world.admit("single", "{}");
        world.reaches(waits, ExecutionStatus::Waiting);
        world.store.fail_after(accepts("single"));
        world.probe.hold("a");
        assert!(world.try_admit("single", "{}").is_err(), "nobody heard of it");
        dies_after_commit(&mut world);
        world.reaches(waits, ExecutionStatus::Cancelled);
        world.until("the second runs", || world.probe.count("a") == 2);
        // The same of one that runs: it is not begun again.
        world.store.fail_after(accepts("single"));
        assert!(world.try_admit("single", "{}").is_err(), "nobody heard of it");
        dies_after_commit(&mut world);
        world.until("the third runs", || world.probe.count("a") == 3);
        world.settle();
        assert_eq!(world.probe.count("a"), 3);
        let slots = world.store.slots(tenant(), "single", "").unwrap();
        assert_eq!((slots.active, slots.queued), (1, 0));
    });
}

fn publish_pair(world: &World) {
    world.publish(&sequence("child", "{}", &[("work", "test.probe", &probe(""))]));
    world.publish(&sequence("parent", "{}", &[("call", "flow.call", r#""config":{"flow":"child"}"#)]));
    world.probe.hold("work");
}

#[test]
fn a_child_whose_start_its_parent_never_noted_is_cancelled_after_the_restart() {
    on_each(|mut world| {
        publish_pair(&world);
        world.store.close_for(accepts("child"));
        let id = world.admit("parent", "{}");
        let engine = world.engine().clone();
        world.spawn(async move { engine.cancel(tenant(), id, "enough").await });
        world.settle();
        world.store.fail_after(ends(id));
        world.store.open();
        dies_after_commit(&mut world);
        world.reaches(id, ExecutionStatus::Cancelled);
        world.reaches(child_of(&world, id, "child"), ExecutionStatus::Cancelled);
    });
}

/// A flow that calls `bad` and `child` at once, and waits for a signal once one of them failed.
fn publish_race(world: &World) {
    world.publish(&sequence("bad", "{}", &[("boom", "test.probe", &probe(r#""broken":true"#))]));
    world.publish(&sequence("child", "{}", &[("work", "test.probe", &probe("")), SIGNALLED]));
    world.publish(
        r#"{"name":"race","nodes":[{"key":"start","type":"trigger.manual"},
            {"key":"each","type":"flow.call","for_each":"{{ ['bad','child'] }}","on_error":"branch",
                "config":{"flow":"{{ item }}"}},
            {"key":"wait","type":"flow.signal","config":{"name":"go"}}],
            "edges":[{"from":"start","to":"each"},{"from":"each.error","to":"wait"}]}"#,
    );
    world.probe.hold("boom");
    world.probe.hold("work");
}

fn awaits_signal(row: &ExecutionRow) -> bool {
    row.waits.iter().any(|wait| matches!(wait.on, WaitOn::Signal { .. }))
}

#[test]
fn a_child_that_its_parent_gave_up_is_cancelled_after_the_restart() {
    on_each(|mut world| {
        publish_race(&world);
        let id = world.admit("race", "{}");
        world.until("both run", || world.probe.count("boom") + world.probe.count("work") == 2);
        world.reaches(id, ExecutionStatus::Waiting);
        world.store.fail_after(appends(id));
        world.probe.release("boom");
        dies_after_commit(&mut world);
        assert!(awaits_signal(&world.row(id)));
        world.reaches(child_of(&world, id, "child"), ExecutionStatus::Cancelled);
        world.settle();
        assert_eq!(world.row(id).status, ExecutionStatus::Waiting);
    });
}

#[test]
fn a_child_that_is_accepted_too_late_is_cancelled() {
    on_each(|world| {
        publish_race(&world);
        world.store.hold_flow("child");
        let id = world.admit("race", "{}");
        world.until("one runs", || world.probe.count("boom") == 1);
        world.probe.release("boom");
        world.until("it gave up the other", || awaits_signal(&world.row(id)));
        world.store.open();
        world.until("the other is accepted", || children_of(&world, id).len() == 2);
        world.reaches(child_of(&world, id, "child"), ExecutionStatus::Cancelled);
    });
}

const CROWD: usize = 130;

/// A parent that waits for more children than its row lists; gives it and one that is not listed.
fn crowd(world: &World) -> (ExecutionId, ExecutionId) {
    world.publish(&sequence("child", "{}", &[SIGNALLED]));
    let each =
        format!(r#""for_each":"{{{{ start }}}}","for_each_concurrency":{CROWD},"config":{{"flow":"child"}}"#);
    world.publish(&sequence("crowd", "{}", &[("each", "flow.call", &each)]));
    let id = world.admit("crowd", &format!("[{}0]", "0,".repeat(CROWD - 1)));
    world.until("all are called", || {
        let row = world.row(id);
        row.status == ExecutionStatus::Waiting && children_of(world, id).len() == CROWD
    });
    world.is_idle();
    let listed = world.row(id).waits;
    assert!(listed.len() < CROWD);
    let is_listed =
        |child: ExecutionId| listed.iter().any(|wait| wait.on == WaitOn::Child { execution: child });
    let unlisted = children_of(world, id).into_iter().find(|row| !is_listed(row.id)).unwrap();
    (id, unlisted.id)
}

fn knows_of_end(world: &World, id: ExecutionId, of: ExecutionId) -> bool {
    let entries = world.on(world.engine().journal(tenant(), id)).unwrap();
    entries.iter().any(|entry| {
        matches!(&entry.event, JournalEvent::Input { input: Event::ChildEnded { child, .. } } if *child == of)
    })
}

#[test]
fn the_end_of_a_child_that_is_not_listed_is_noticed_after_the_restart() {
    on_each(|mut world| {
        let (id, child) = crowd(&world);
        world.store.fail_after(ends(child));
        let engine = world.engine().clone();
        let sent = flux_engine::SignalSent { name: "go".to_owned(), payload: json("1"), id: "1".to_owned() };
        world.spawn(async move { engine.signal(tenant(), child, sent).await });
        dies_after_commit(&mut world);
        world.until("the parent is told", || knows_of_end(&world, id, child));
        for row in children_of(&world, id).iter().filter(|row| row.id != child) {
            signal(&world, row.id);
        }
        world.reaches(id, ExecutionStatus::Succeeded);
    });
}

#[test]
fn the_sweeper_finds_the_end_of_a_child_that_is_not_listed() {
    on_each(|world| {
        let (id, child) = crowd(&world);
        // The child ends behind the engine's back.
        let (at, result) = (Timestamp::default(), ExecutionResult::Cancelled { reason: "gone".to_owned() });
        let next_seq = world.row(child).next_seq;
        let entry = Entry { seq: next_seq, at, event: JournalEvent::Finished { result } };
        let change = StatusChange::Cancelled { reason: "gone".to_owned(), at };
        let record = Record::new(vec![entry]).0.encode();
        let step = Step { record, entries: 1, change: Some(change), ..Step::default() };
        let append = Append { tenant: tenant(), execution: child, expected_next_seq: next_seq, step };
        world.on(world.engine().submit(Command::Append(Box::new(append)))).unwrap();
        world.clock.run(Duration::from_secs(3_600));
        world.until("the parent is told", || knows_of_end(&world, id, child));
        world.violations.set(1);
    });
}

#[test]
fn what_is_called_off_in_the_same_commit_is_not_begun() {
    on_each(|world| {
        world.publish(&sequence("child", "{}", &[SIGNALLED]));
        world.publish(&format!(
            r#"{{"name":"stillborn","nodes":[{{"key":"start","type":"trigger.manual"}},
                {{"key":"a","type":"test.probe",{}}},
                {{"key":"b","type":"flow.call","config":{{"flow":"child"}}}},
                {{"key":"c","type":"data.transform","config":{{"expression":"{{{{ 1 / start.n }}}}"}}}}],
                "edges":[{{"from":"start","to":"a"}},{{"from":"start","to":"b"}},{{"from":"start","to":"c"}}]}}"#,
            probe("")
        ));
        let ExecutionResult::Failed { error } = world.run("stillborn", r#"{"n":0}"#) else {
            panic!("it succeeded")
        };
        assert_eq!(error.node.as_str(), "c");
        let all =
            world.store.executions(tenant(), &ExecutionFilter::default(), PageRequest::first(9)).unwrap();
        let [only] = &*all.items else { panic!("the child was started: {all:?}") };
        assert_eq!((world.probe.count("a"), world.store.steps_of(only.id)), (0, 1));
    });
}

#[test]
fn a_short_pause_before_the_next_attempt_reads_nothing_back() {
    on_each(|world| {
        let retry = r#""retry":{"attempts":4,"initial_ms":100,"jitter":0}"#;
        let rest = format!("{},{retry}", probe(r#""failures":3"#));
        world.publish(&sequence("shaky", "{}", &[("a", "test.probe", &rest)]));
        let id = world.admit("shaky", "{}");
        for attempts in 1..4 {
            world.until("it pauses", || {
                world.probe.count("a") == attempts && world.row(id).status == ExecutionStatus::Waiting
            });
            world.settle();
            world.clock.advance(Duration::from_millis(100 << (attempts - 1)));
        }
        world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!(world.engine().stats().loaded, 0);
        world.is_idle();
    });
}
