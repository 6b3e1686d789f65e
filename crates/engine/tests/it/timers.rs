//! Time passes, stands still, and jumps.

use std::time::Duration;

use flux_engine::{SignalSent, Signalled};
use flux_model::Timestamp;
use flux_model::execution::ExecutionStatus;

use crate::clock::START_MS;
use crate::world::{Backend, World, json, on_each, probe, sequence, tenant};

const HOUR: Duration = Duration::from_secs(3_600);

fn delayed(ms: u64) -> String {
    let delay = format!(r#""config":{{"ms":{ms}}}"#);
    sequence("later", "{}", &[("wait", "logic.delay", &delay), ("a", "test.probe", &probe(""))])
}

#[test]
fn a_delay_ends_at_its_time_and_costs_nothing_until_then() {
    on_each(|world| {
        world.publish(&delayed(3_600_000));
        let id = world.admit("later", "{}");
        world.reaches(id, ExecutionStatus::Waiting);
        world.is_idle();
        assert_eq!(world.engine().stats().timers, 0, "it is far away");
        world.clock.advance(HOUR - Duration::from_millis(1));
        world.settle();
        assert_eq!((world.row(id).status, world.probe.count("a")), (ExecutionStatus::Waiting, 0));
        world.clock.advance(Duration::from_millis(1));
        world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!(world.probe.count("a"), 1);
    });
}

#[test]
fn jumps_of_the_clock_fire_nothing_early_and_nothing_twice() {
    on_each(|world| {
        world.publish(&delayed(30_000));
        let id = world.admit("later", "{}");
        world.reaches(id, ExecutionStatus::Waiting);
        world.clock.set(Timestamp::from_millis(START_MS - 86_400_000));
        world.clock.run(HOUR);
        world.settle();
        assert_eq!(world.probe.count("a"), 0, "the clock was set back by a day");
        world.clock.set(Timestamp::from_millis(START_MS + 86_400_000));
        world.reaches(id, ExecutionStatus::Succeeded);
        world.clock.set(Timestamp::from_millis(START_MS));
        world.settle();
        world.clock.set(Timestamp::from_millis(START_MS + 86_400_000));
        world.settle();
        assert_eq!(world.probe.count("a"), 1);
    });
}

#[test]
fn a_timer_survives_a_restart() {
    on_each(|mut world| {
        world.publish(&delayed(30_000));
        let id = world.admit("later", "{}");
        world.reaches(id, ExecutionStatus::Waiting);
        world.crash();
        world.clock.advance(HOUR);
        world.start();
        world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!(world.probe.count("a"), 1);
    });
}

#[test]
fn an_execution_ends_when_its_time_is_over() {
    on_each(|world| {
        let settings = r#"{"timeout_ms":10000}"#;
        let nodes = [("wait", "logic.delay", r#""config":{"ms":3600000}"#)];
        world.publish(&sequence("bounded", settings, &nodes));
        let id = world.admit("bounded", "{}");
        world.reaches(id, ExecutionStatus::Waiting);
        world.clock.advance(Duration::from_secs(10));
        let row = world.reaches(id, ExecutionStatus::Failed);
        assert_eq!(row.error.unwrap().code.as_str(), "execution_timeout");
        assert_eq!(world.engine().stats().timers, 0, "the delay is forgotten");
    });
}

#[test]
fn many_timers_at_the_same_time_all_fire() {
    let world = World::with(Backend::Memory, |settings| settings.running_max = 50);
    world.publish(&delayed(30_000));
    let ids: Vec<_> = (0..300)
        .map(|_| {
            let id = world.admit("later", "{}");
            world.is_idle();
            id
        })
        .collect();
    world.clock.advance(HOUR);
    world.until("all ran", || world.probe.count("a") == 300);
    ids.into_iter().for_each(|id| drop(world.reaches(id, ExecutionStatus::Succeeded)));
}

#[test]
fn a_signal_is_delivered_once_and_can_come_too_late() {
    on_each(|world| {
        let rest = r#""config":{"name":"paid","timeout_ms":60000}"#;
        world.publish(&sequence("signalled", "{}", &[("wait", "flow.signal", rest)]));
        let id = world.admit("signalled", "{}");
        world.reaches(id, ExecutionStatus::Waiting);
        let send = |name: &str, id_of: &str, payload: &str| {
            let sent = SignalSent { name: name.to_owned(), payload: json(payload), id: id_of.to_owned() };
            world.on(world.engine().signal(tenant(), id, sent))
        };
        assert_eq!(send("other", "1", "0").unwrap(), Signalled::Delivered, "kept until a node asks for it");
        assert_eq!(send("other", "1", "0").unwrap(), Signalled::Duplicate);
        assert_eq!(send("paid", "2", "42").unwrap(), Signalled::Delivered);
        let row = world.reaches(id, ExecutionStatus::Succeeded);
        assert_eq!(row.output.as_deref(), Some("42"));
        assert_eq!(send("paid", "3", "1").unwrap_err().code().as_str(), "conflict");
        let late = world.admit("signalled", "{}");
        world.reaches(late, ExecutionStatus::Waiting);
        world.clock.advance(Duration::from_secs(60));
        assert_eq!(world.reaches(late, ExecutionStatus::Failed).error.unwrap().code.as_str(), "node_timeout");
    });
}
