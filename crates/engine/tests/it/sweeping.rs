//! The sweeper finds what nobody keeps alive.

use flux_core::session::Session;
use flux_model::execution::{ExecutionKind, ExecutionStatus};
use flux_model::ids::ExecutionId;
use flux_model::journal::{Entry, JournalEvent, Record};
use flux_model::{Event, Timestamp};
use flux_store::{Accept, Command, Held, NewExecution, Outcome, Store};

use crate::world::{World, on_each, probe, sequence, tenant};

/// An execution that is stored as running, without the engine being told.
fn orphan(world: &World, flow: &str, bits: u128) -> ExecutionId {
    let id = ExecutionId::new(Timestamp::from_millis(crate::clock::START_MS), bits);
    let input = Event::Started { input: Default::default(), recorded: None };
    let entry = Entry { seq: 0, at: Timestamp::default(), event: JournalEvent::Input { input } };
    let version = world.store.flow(tenant(), flow).unwrap().unwrap().active_hash.unwrap();
    let accept = Accept {
        execution: NewExecution {
            id,
            tenant: tenant(),
            kind: ExecutionKind::Flow,
            flow: flow.to_owned(),
            version,
            trigger: "api".to_owned(),
            request_id: "request-1".to_owned(),
            parent: None,
            depth: 0,
            priority: 0,
            input: String::new(),
        },
        idempotency_key: None,
        debounce: None,
        rate: None,
        concurrency: None,
        first: None,
        held: Some(Held { bytes: Record::new(vec![entry]).0.encode(), objects: Vec::new() }),
        at: Timestamp::default(),
    };
    let outcome = world.on(world.engine().submit(Command::Accept(Box::new(accept)))).unwrap();
    assert!(matches!(outcome, Outcome::Started { .. }), "{outcome:?}");
    id
}

#[test]
fn an_execution_without_owner_is_set_going_and_counted() {
    on_each(|world| {
        world.publish(&sequence("one", "{}", &[("a", "test.probe", &probe(""))]));
        let id = orphan(&world, "one", 1);
        world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!(world.engine().stats().violations, 1);
        world.violations.set(1);
    });
}

#[test]
fn timers_that_were_lost_are_restored() {
    on_each(|world| {
        world.publish(&sequence("later", "{}", &[("wait", "logic.delay", r#""config":{"ms":50000}"#)]));
        let id = world.admit("later", "{}");
        world.reaches(id, ExecutionStatus::Waiting);
        world.is_idle();
        // Somebody deletes the timer behind the engine's back.
        let row = world.row(id);
        let timers = world.store.timers_of(tenant(), id).unwrap();
        let event = JournalEvent::Logged {
            path: None,
            level: flux_model::journal::LogLevel::Info,
            message: "gone".to_owned(),
            fields: Default::default(),
        };
        let entry = Entry { seq: row.next_seq, at: Timestamp::default(), event };
        let step = flux_store::Step {
            record: Record::new(vec![entry]).0.encode(),
            entries: 1,
            clear_timers: timers.into_iter().map(|timer| timer.name).collect(),
            ..flux_store::Step::default()
        };
        let append =
            flux_store::Append { tenant: tenant(), execution: id, expected_next_seq: row.next_seq, step };
        world.on(world.engine().submit(Command::Append(Box::new(append)))).unwrap();
        world.until("it has a timer again", || !world.store.timers_of(tenant(), id).unwrap().is_empty());
        world.violations.set(1);
        world.clock.advance(std::time::Duration::from_secs(50));
        world.reaches(id, ExecutionStatus::Succeeded);
    });
}

#[test]
fn what_waits_in_good_order_is_left_alone() {
    on_each(|world| {
        world.publish(&sequence(
            "asked",
            "{}",
            &[("ask", "human.review", r#""config":{"title":"t","content":"c"}"#)],
        ));
        world.publish(&sequence("signalled", "{}", &[("wait", "flow.signal", r#""config":{"name":"go"}"#)]));
        world.publish(&sequence(
            "parent",
            "{}",
            &[("call", "flow.call", r#""config":{"flow":"signalled"}"#)],
        ));
        for flow in ["asked", "signalled", "parent"] {
            let id = world.admit(flow, "{}");
            world.reaches(id, ExecutionStatus::Waiting);
        }
        let before = world.engine().stats().sweeps;
        world.until("the sweeper went round", || world.engine().stats().sweeps > before + 3);
        assert_eq!(world.engine().stats().violations, 0);
    });
}

#[test]
fn old_executions_are_deleted_and_others_kept() {
    on_each(|world| {
        let kept = r#"{"retention_days":90}"#;
        world.publish(&sequence("long", kept, &[("a", "test.probe", &probe(""))]));
        world.publish(&sequence("short", "{}", &[("a", "test.probe", &probe(""))]));
        let (long, short) = (world.admit("long", "{}"), world.admit("short", "{}"));
        world.reaches(long, ExecutionStatus::Succeeded);
        world.reaches(short, ExecutionStatus::Succeeded);
        world.clock.advance(std::time::Duration::from_secs(31 * 24 * 3600));
        world.until("it is deleted", || world.store.execution(tenant(), short).unwrap().is_none());
        assert!(world.store.execution(tenant(), long).unwrap().is_some());
        world.until("it is counted", || world.engine().stats().deleted == 1);
    });
}

#[test]
fn folding_a_journal_gives_the_stored_status() {
    on_each(|world| {
        let nodes = [("a", "test.probe", &*probe("")), ("wait", "logic.delay", r#""config":{"ms":50000}"#)];
        world.publish(&sequence("both", "{}", &nodes));
        let id = world.admit("both", "{}");
        let row = world.reaches(id, ExecutionStatus::Waiting);
        let journal = world.on(world.engine().journal(tenant(), id)).unwrap();
        let plan = world.on(world.engine().active_plans()).unwrap().remove(0).plan;
        let session = Session::fold(plan, id, &journal).unwrap();
        assert_eq!((session.state().status(), session.next_seq()), (row.status, row.next_seq));
    });
}
