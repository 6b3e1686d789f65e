//! Flows that are started by the clock.

use std::time::Duration;

use flux_model::execution::ExecutionStatus;
use flux_model::{ExecutionId, Timestamp};
use flux_store::{ExecutionFilter, ExecutionRow, PageRequest, Store};

use crate::clock::START_MS;
use crate::world::{World, on_each, probe, tenant};

const MINUTE: Duration = Duration::from_secs(60);

fn publish(world: &World, trigger: &str, settings: &str) {
    world.publish(&format!(
        r#"{{"name":"scheduled","nodes":[{{"key":"tick","type":"trigger.schedule","config":{{{trigger}}}}},
            {{"key":"a","type":"test.probe",{}}}],"edges":[{{"from":"tick","to":"a"}}],"settings":{settings}}}"#,
        probe(r#""value":"{{ tick.scheduled_at }}""#)
    ));
}

/// The executions of the schedule, oldest first.
fn fired(world: &World) -> Vec<ExecutionRow> {
    let filter = ExecutionFilter { flow: Some("scheduled".to_owned()), ..ExecutionFilter::default() };
    let mut rows = world.store.executions(tenant(), &filter, PageRequest::first(200)).unwrap().items;
    rows.reverse();
    rows
}

fn scheduled_at(world: &World) -> Vec<String> {
    fired(world).into_iter().filter_map(|row| row.output).map(|text| text.replace('"', "")).collect()
}

fn fires(world: &World, count: usize) {
    world.until(&format!("{count} fires ended"), || {
        fired(world).iter().filter(|row| row.status == ExecutionStatus::Succeeded).count() == count
    });
}

#[test]
fn a_schedule_fires_at_its_time_and_once() {
    on_each(|mut world| {
        publish(&world, r#""cron":"*/5 * * * *""#, "{}");
        world.settle();
        assert_eq!(fired(&world).len(), 0, "what was before it was published does not count");
        world.clock.advance(5 * MINUTE - Duration::from_millis(1));
        world.settle();
        assert_eq!(fired(&world).len(), 0, "not before its time");
        world.clock.advance(Duration::from_millis(1));
        fires(&world, 1);
        assert_eq!(scheduled_at(&world), ["2026-03-01T00:05:00+00:00"]);
        // A restart right after it does not repeat it.
        world.restart();
        world.settle();
        world.clock.advance(5 * MINUTE);
        fires(&world, 2);
        assert_eq!(fired(&world)[0].trigger, "trigger.schedule");
    });
}

#[test]
fn what_a_stopped_process_missed_is_made_up_within_the_window() {
    on_each(|mut world| {
        publish(&world, r#""every_ms":60000,"catch_up_ms":180000,"overlap":"allow""#, "{}");
        world.settle();
        world.clock.advance(MINUTE);
        fires(&world, 1);
        world.settle();
        world.crash();
        world.clock.advance(10 * MINUTE);
        world.start();
        fires(&world, 5);
        assert_eq!(scheduled_at(&world)[1], "2026-03-01T00:08:00+00:00");
        world.settle();
        assert_eq!(fired(&world).len(), 5);
    });
}

#[test]
fn jumps_of_the_clock_fire_nothing_twice() {
    on_each(|world| {
        publish(&world, r#""every_ms":60000,"overlap":"allow""#, "{}");
        world.settle();
        world.clock.advance(MINUTE);
        fires(&world, 1);
        let back = |minutes: i64| Timestamp::from_millis(START_MS + minutes * 60_000 - 30_000);
        world.clock.set(back(1));
        world.settle();
        world.clock.set(back(2));
        world.settle();
        assert_eq!(fired(&world).len(), 1, "the same moment came again");
        world.clock.set(back(3));
        fires(&world, 2);
    });
}

#[test]
fn the_clocks_of_a_time_zone_are_put_forward() {
    on_each(|world| {
        // Berlin, 2026-03-29: 02:30 does not exist.
        let evening = Timestamp::from_millis(START_MS + 27 * 86_400_000 + 72_000_000);
        world.clock.set(evening);
        publish(&world, r#""cron":"30 2 * * *","timezone":"Europe/Berlin","catch_up_ms":3600000"#, "{}");
        world.settle();
        for day in 1..=3 {
            world.clock.advance(Duration::from_secs(5 * 3600));
            fires(&world, day);
            world.clock.advance(Duration::from_secs(19 * 3600));
            world.settle();
        }
        let expected =
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"];
        assert_eq!(scheduled_at(&world), expected);
    });
}

#[test]
fn a_fire_is_skipped_while_an_earlier_one_runs() {
    on_each(|world| {
        publish(&world, r#""every_ms":60000"#, "{}");
        world.settle();
        world.probe.hold("a");
        world.clock.advance(MINUTE);
        world.until("it runs", || world.probe.count("a") == 1);
        world.clock.advance(MINUTE);
        world.settle();
        assert_eq!(fired(&world).len(), 1);
        world.probe.release("a");
        fires(&world, 1);
        world.clock.advance(MINUTE);
        fires(&world, 2);
    });
}

#[test]
fn a_fire_waits_for_or_replaces_an_earlier_one() {
    on_each(|world| {
        publish(&world, r#""every_ms":60000,"overlap":"queue""#, "{}");
        world.settle();
        world.probe.hold("a");
        world.clock.advance(MINUTE);
        world.until("it runs", || world.probe.count("a") == 1);
        world.clock.advance(MINUTE);
        world.until("the second is queued", || fired(&world).len() == 2);
        assert_eq!(fired(&world)[1].status, ExecutionStatus::Queued);
        world.probe.release("a");
        fires(&world, 2);
        publish(&world, r#""every_ms":60000,"overlap":"cancel_other""#, "{}");
        world.settle();
        world.probe.hold("a");
        world.clock.advance(MINUTE);
        world.until("it runs", || world.probe.count("a") == 3);
        world.clock.advance(MINUTE);
        world.until("the fourth came", || fired(&world).len() == 4);
        let third: ExecutionId = fired(&world)[2].id;
        world.reaches(third, ExecutionStatus::Cancelled);
        world.probe.release("a");
        fires(&world, 3);
    });
}

#[test]
fn a_limit_of_the_flow_itself_goes_before_and_overlap_still_holds() {
    on_each(|world| {
        publish(&world, r#""every_ms":60000"#, r#"{"concurrency":{"limit":5}}"#);
        world.settle();
        world.probe.hold("a");
        world.clock.advance(MINUTE);
        world.until("it runs", || world.probe.count("a") == 1);
        world.clock.advance(MINUTE);
        world.settle();
        assert_eq!(fired(&world).len(), 1, "skipped");
        world.probe.release("a");
        fires(&world, 1);
    });
}
