//! Executions that are over are run again.

use flux_engine::{Rerun, RerunVersion};
use flux_model::execution::ExecutionStatus;

use crate::world::{Backend, World, on_each, probe, sequence, tenant};

#[test]
fn a_rerun_takes_over_what_was_before_its_node() {
    on_each(|world| {
        let second = |broken: bool| probe(&format!(r#""broken":{broken},"value":"{{{{ a }}}}""#));
        let flow = |broken| {
            let first = probe(r#""value":"{{ start.n }}""#);
            sequence("pair", "{}", &[("a", "test.probe", &first), ("b", "test.probe", &second(broken))])
        };
        world.publish(&flow(true));
        let id = world.admit("pair", r#"{"n":4}"#);
        world.reaches(id, ExecutionStatus::Failed);
        world.publish(&flow(false));
        let rerun = |from_node: Option<&str>, version| {
            let rerun = Rerun {
                from_node: from_node.map(str::to_owned),
                request_id: "request-2".to_owned(),
                version,
            };
            world.on(world.engine().rerun(tenant(), id, rerun))
        };
        let same = rerun(Some("b"), RerunVersion::Same).unwrap();
        world.reaches(same.id, ExecutionStatus::Failed);
        let mended = rerun(Some("b"), RerunVersion::Active).unwrap();
        let row = world.reaches(mended.id, ExecutionStatus::Succeeded);
        assert_eq!((row.output.as_deref(), row.trigger.as_str()), (Some("4"), "rerun"));
        assert_eq!((world.probe.count("a"), world.probe.count("b")), (1, 3));
        let whole = rerun(None, RerunVersion::Active).unwrap();
        world.reaches(whole.id, ExecutionStatus::Succeeded);
        assert_eq!(world.probe.count("a"), 2);
        let unknown = rerun(Some("c"), RerunVersion::Active).unwrap_err();
        assert_eq!(unknown.code().as_str(), "request_invalid");
    });
}

#[test]
fn what_is_not_over_is_not_run_again() {
    let world = World::new(Backend::Memory);
    world.publish(&sequence("later", "{}", &[("wait", "logic.delay", r#""config":{"ms":50000}"#)]));
    let id = world.admit("later", "{}");
    world.reaches(id, ExecutionStatus::Waiting);
    let refused = world.on(world.engine().rerun(tenant(), id, Rerun::default())).unwrap_err();
    assert_eq!(refused.code().as_str(), "conflict");
}
