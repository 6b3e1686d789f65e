//! Journals that cannot be read are served around.

use flux_engine::EngineError;
use flux_model::execution::{ExecutionResult, ExecutionStatus};
use flux_store::{Append, Command, Step, Store};

use crate::world::{Backend, World, on_each, probe, sequence, tenant};

/// Writes what nobody can read at the end of a journal.
fn damage(world: &World, id: flux_model::ExecutionId) {
    let step = Step { record: b"{\"v\":1,\"noise".to_vec(), entries: 1, ..Step::default() };
    let expected_next_seq = world.row(id).next_seq;
    let append = Append { tenant: tenant(), execution: id, expected_next_seq, step };
    world.on(world.engine().submit(Command::Append(Box::new(append)))).unwrap();
}

#[test]
fn a_damaged_execution_fails_by_name_and_the_rest_goes_on() {
    on_each(|mut world| {
        world.publish(&sequence("one", "{}", &[("a", "test.probe", &probe(""))]));
        world.publish(&sequence("parent", "{}", &[("call", "flow.call", r#""config":{"flow":"one"}"#)]));
        world.probe.hold("a");
        let parent = world.admit("parent", "{}");
        world.reaches(parent, ExecutionStatus::Waiting);
        let filter = flux_store::ExecutionFilter { parent: Some(parent), ..Default::default() };
        let page = world.store.executions(tenant(), &filter, flux_store::PageRequest::first(1)).unwrap();
        let child = page.items[0].id;
        let healthy = world.admit("one", "{}");
        damage(&world, child);
        world.restart();
        world.probe.release("a");
        let row = world.reaches(child, ExecutionStatus::Failed);
        assert_eq!(row.error.unwrap().code.as_str(), "journal_corrupt");
        world.reaches(healthy, ExecutionStatus::Succeeded);
        let row = world.reaches(parent, ExecutionStatus::Failed);
        assert_eq!(row.error.unwrap().code.as_str(), "child_failed");
        let health = world.engine().health();
        assert_eq!(health.parked[0].0, child);
        let refused = world.on(world.engine().journal(tenant(), child)).unwrap_err();
        assert!(matches!(refused, EngineError::Corrupt { .. }), "{refused}");
    });
}

#[test]
fn a_damaged_execution_takes_its_child_along() {
    on_each(|mut world| {
        world.publish(&sequence("one", "{}", &[("a", "test.probe", &probe(""))]));
        world.publish(&sequence("parent", "{}", &[("call", "flow.call", r#""config":{"flow":"one"}"#)]));
        world.probe.hold("a");
        let parent = world.admit("parent", "{}");
        world.reaches(parent, ExecutionStatus::Waiting);
        world.is_owned(1);
        let filter = flux_store::ExecutionFilter { parent: Some(parent), ..Default::default() };
        let page = world.store.executions(tenant(), &filter, flux_store::PageRequest::first(1)).unwrap();
        damage(&world, parent);
        world.restart();
        world.until("the child runs again", || world.probe.count("a") == 2);
        let cancelled = world.on(world.engine().cancel(tenant(), parent, "enough"));
        assert_eq!(cancelled.unwrap_err().code().as_str(), "journal_corrupt");
        world.reaches(page.items[0].id, ExecutionStatus::Cancelled);
    });
}

#[test]
fn a_step_that_is_too_large_fails_the_execution() {
    let world = World::new(Backend::Memory);
    let wide = r#""for_each":"{{ start.items }}","for_each_concurrency":1000,"config":{"expression":"{{ start.text }}"}"#;
    let wide = ("wide", "data.transform", wide);
    world.publish(&sequence("first", "{}", &[wide]));
    world.publish(&sequence("later", "{}", &[("a", "test.probe", &probe("")), wide]));
    let text = "x".repeat(60_000);
    let items: Vec<String> = (0..700).map(|n| n.to_string()).collect();
    let input = format!(r#"{{"text":"{text}","items":[{}]}}"#, items.join(","));
    for flow in ["first", "later"] {
        let ExecutionResult::Failed { error } = world.run(flow, &input) else { panic!("{flow} succeeded") };
        assert!(error.code.as_str() == "execution_limit" && error.message.contains("_MAX"), "{error:?}");
    }
}

#[test]
fn an_execution_that_writes_too_much_is_warned_and_then_fails() {
    let world = World::with(Backend::Memory, |settings| settings.journal_bytes_max = 40_000);
    let rest = format!(
        r#""for_each":"{{{{ start.items }}}}","for_each_concurrency":1,{}"#,
        probe(r#""value":"{{ start.text }}""#)
    );
    world.publish(&sequence("chatty", "{}", &[("each", "test.probe", &rest)]));
    let text = "x".repeat(4_000);
    let id = world.admit("chatty", &format!(r#"{{"text":"{text}","items":[1,2,3,4,5,6,7,8,9,10,11,12]}}"#));
    let row = world.reaches(id, ExecutionStatus::Failed);
    let error = row.error.unwrap();
    assert!(error.code.as_str() == "execution_limit" && error.message.contains("journal_bytes_max"));
    let logs = world.log(id);
    let half = logs.iter().find(|line| line.message.contains("half of the journal"));
    assert_eq!(half.unwrap().level, flux_model::journal::LogLevel::Warn);
    assert!(world.probe.order().len() < 12, "it stopped in the middle");
}
