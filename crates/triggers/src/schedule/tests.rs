//! Schedules against the clocks of three continents, jumping clocks and an oracle.

use std::collections::BTreeSet;

use chrono::{NaiveDateTime, Timelike, Utc};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc).into()
}

fn cron(expression: &str, zone: &str) -> Schedule {
    Schedule::parse(&Value::object([("cron", Value::from(expression)), ("timezone", Value::from(zone))]))
        .unwrap()
}

fn every(millis: u64, catch_up_ms: u64) -> Schedule {
    let config = [("every_ms", Value::from(millis)), ("catch_up_ms", Value::from(catch_up_ms))];
    Schedule::parse(&Value::object(config)).unwrap()
}

/// `fires`: how the schedule writes the moments that follow `from`.
fn check(expression: &str, zone: &str, from: &str, fires: &[&str]) {
    let schedule = cron(expression, zone);
    let mut time = at(from);
    for expected in fires {
        let next = schedule.next_after(time).unwrap();
        assert_eq!(schedule.written(next).as_str(), Some(*expected), "{expression} in {zone}");
        assert_eq!(
            schedule.next_after(schedule.previous_before(next).unwrap()),
            Some(next),
            "back and forth"
        );
        time = next;
    }
}

#[test]
fn clocks_put_forward() {
    // Berlin: 2026-03-29, 02:00 becomes 03:00.
    let berlin = ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"];
    check("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", &berlin);
    let once = ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00", "2026-03-30T02:20:00+02:00"];
    check("*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &once);
    let hourly = ["2026-03-29T01:15:00+01:00", "2026-03-29T03:15:00+02:00", "2026-03-29T04:15:00+02:00"];
    check("15 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", &hourly);
    // New York: 2026-03-08, 02:00 becomes 03:00; 03:00 is scheduled too and fires once.
    let merged = ["2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00", "2026-03-09T03:00:00-04:00"];
    check("0 2,3 * * *", "America/New_York", "2026-03-08T05:00:00Z", &merged);
    // Lord Howe: 2026-10-04, 02:00 becomes 02:30.
    let half = ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"];
    check("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", &half);
    let quarters = ["2026-10-04T01:45:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-04T02:45:00+11:00"];
    check("*/15 * * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", &quarters);
}

#[test]
fn clocks_put_back() {
    // Berlin: 2026-10-25, 03:00 becomes 02:00.
    let daily = ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"];
    check("30 2 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", &daily);
    let twice = ["2026-10-25T02:00:00+02:00", "2026-10-25T14:00:00+01:00", "2026-10-26T02:00:00+01:00"];
    check("0 2,14 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", &twice);
    let hourly = ["2026-10-25T02:15:00+02:00", "2026-10-25T02:15:00+01:00", "2026-10-25T03:15:00+01:00"];
    check("15 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", &hourly);
    // New York: 2026-11-01, 02:00 becomes 01:00.
    let newyork = ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"];
    check("0 30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z", &newyork);
    // Lord Howe: 2026-04-05, 02:00 becomes 01:30.
    let half = ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"];
    check("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", &half);
}

#[test]
fn ordinary_expressions() {
    check("30 6 * * MON-FRI", "UTC", "2026-05-01T12:00:00Z", &["2026-05-04T06:30:00+00:00"]);
    check("*/30 * * * * *", "UTC", "2026-05-01T12:00:00.500Z", &["2026-05-01T12:00:30+00:00"]);
    check("0 0 29 2 *", "UTC", "2026-05-01T00:00:00Z", &["2028-02-29T00:00:00+00:00"]);
    check("@daily", "Asia/Kolkata", "2026-05-01T00:00:00Z", &["2026-05-02T00:00:00+05:30"]);
    // Samoa skipped 2011-12-30 altogether.
    check("0 12 30 * *", "Pacific/Apia", "2011-12-29T00:00:00Z", &["2011-12-31T00:00:00+14:00"]);
}

#[test]
fn wrong_configs_name_the_field() {
    let wrong = |json: &str| {
        let found = Schedule::parse(&Value::from_json(json.as_bytes()).unwrap()).unwrap_err();
        found.into_iter().map(|found| found.to_string()).collect::<Vec<_>>().join("\n")
    };
    let check = |json: &str, expected: &[&str]| {
        let said = wrong(json);
        assert!(expected.iter().all(|part| said.contains(part)), "{json}: {said}");
    };
    check(r#"{"cron":"61 * * * *"}"#, &["config.cron", "61 * * * *"]);
    check(r#"{"cron":""}"#, &["config.cron"]);
    check(r#"{"cron":"0 0 30 2 *"}"#, &["config.cron", "never comes"]);
    check(r#"{"cron":"* * * * *","timezone":"Europe/Berln"}"#, &["config.timezone", "Europe/Berlin"]);
    check(r#"{}"#, &["config.cron", "either"]);
    check(r#"{"cron":"* * * * *","every_ms":1000}"#, &["config.every_ms"]);
    check(r#"{"every_ms":10}"#, &["config.every_ms", "1000"]);
    check(r#"{"every_ms":1000,"overlap":"both"}"#, &["config.overlap", "cancel_other"]);
    check(
        r#"{"every_ms":5,"timezone":"x","catch_up_ms":99999999999}"#,
        &["every_ms", "timezone", "catch_up_ms"],
    );
    check(r#"{"every_ms":1000,"chron":""}"#, &["config.chron"]);
}

#[test]
fn missed_fires_within_the_window_are_delivered_and_older_ones_counted() {
    let schedule = every(60_000, 180_000);
    let start = at("2026-05-01T00:00:00Z");
    let due = schedule.due_between(start, start + Duration::from_millis(600_000));
    let minutes: Vec<i64> =
        due.fires.iter().map(|fire| (fire.at.millis() - start.millis()) / 60_000).collect();
    assert_eq!((minutes, due.skipped), (vec![7, 8, 9, 10], 6));
    assert_eq!(due.fires[0].previous, Some(start + Duration::from_millis(360_000)));
    assert_eq!(schedule.due_between(due.cursor, due.cursor).fires, []);
}

#[test]
fn a_long_backlog_is_delivered_in_batches_without_loss() {
    let schedule = every(1_000, 3_600_000);
    let start = at("2026-05-01T00:00:00Z");
    let now = start + Duration::from_secs(250);
    let (mut cursor, mut batches) = (start, Vec::new());
    while cursor < now {
        let due = schedule.due_between(cursor, now);
        batches.push(due.fires.len());
        cursor = due.cursor;
    }
    assert_eq!(batches, [MISSED_FIRES_MAX, MISSED_FIRES_MAX, 50]);
}

/// Runs the scheduler over the given readings of the clock and returns how often each fire
/// reached admission, which drops keys it has seen.
fn run(schedule: &Schedule, readings: &[&str]) -> (Vec<String>, usize) {
    let mut cursor = at(readings[0]);
    let (mut admitted, mut seen, mut delivered) = (Vec::new(), BTreeSet::new(), 0);
    for reading in &readings[1..] {
        let due = schedule.due_between(cursor, at(reading));
        cursor = due.cursor;
        for fire in due.fires {
            delivered += 1;
            if seen.insert(fire.idempotency_key("daily", "tick")) {
                admitted.push(fire.at.to_string()[11..16].to_owned());
            }
        }
    }
    (admitted, delivered)
}

#[test]
fn jumping_clocks_neither_lose_nor_double() {
    let schedule = every(3_600_000, 4 * 3_600_000);
    let forward = ["2026-05-01T00:30:00Z", "2026-05-01T04:10:00Z", "2026-05-01T05:10:00Z"];
    assert_eq!(run(&schedule, &forward).0, ["01:00", "02:00", "03:00", "04:00", "05:00"]);
    let back =
        ["2026-05-01T00:30:00Z", "2026-05-01T02:10:00Z", "2026-05-01T00:40:00Z", "2026-05-01T03:10:00Z"];
    let (admitted, delivered) = run(&schedule, &back);
    assert_eq!((admitted, delivered), (vec!["01:00".into(), "02:00".into(), "03:00".into()], 5));
    // A clock that was wrong by a year for a moment does not silence the schedule for a year.
    let wild =
        ["2026-05-01T00:30:00Z", "2027-05-01T00:30:00Z", "2026-05-01T00:50:00Z", "2026-05-01T01:10:00Z"];
    assert!(run(&schedule, &wild).0.ends_with(&["01:00".to_owned()]));
}

#[test]
fn a_late_scheduler_misses_nothing_even_without_catch_up() {
    let schedule = every(60_000, 0);
    let due = schedule.due_between(at("2026-05-01T00:00:30Z"), at("2026-05-01T00:01:09Z"));
    assert_eq!((due.fires.len(), due.skipped), (1, 0));
    let due = schedule.due_between(at("2026-05-01T00:00:30Z"), at("2026-05-01T00:01:30Z"));
    assert_eq!((due.fires.len(), due.skipped), (0, 1));
}

#[test]
fn output_and_key_name_the_scheduled_instant() {
    let schedule = cron("0 9 * * *", "Europe/Berlin");
    let due = schedule.due_between(at("2026-05-02T06:59:00Z"), at("2026-05-02T07:00:02Z"));
    let json = r#"{"scheduled_at":"2026-05-02T09:00:00+02:00","previous_at":"2026-05-01T09:00:00+02:00"}"#;
    assert_eq!(schedule.output(due.fires[0]).to_json(), json);
    let key = due.fires[0].idempotency_key("report", "tick");
    assert_eq!(key, "schedule/report/tick/2026-05-02T07:00:00.000Z");
}

/// The moments of one day by trying every minute, from the rules in the documentation of `cron`.
fn oracle(minutes: &[u32], hours: &[u32], zone: Tz, from: Timestamp, count: i64) -> Vec<Timestamp> {
    let matches = |wall: NaiveDateTime| minutes.contains(&wall.minute()) && hours.contains(&wall.hour());
    let local = |time: Timestamp| time.to_utc().unwrap().with_timezone(&zone).naive_local();
    let mut fires = Vec::new();
    let mut shown = BTreeSet::new();
    for minute in 1 - 180..=count {
        let time = Timestamp::from_millis(from.millis() + minute * 60_000);
        let wall = local(time);
        let before = local(time - Duration::from_secs(60)) + chrono::TimeDelta::minutes(1);
        let gap = (0..(wall - before).num_minutes()).any(|i| matches(before + chrono::TimeDelta::minutes(i)));
        let first_pass = shown.insert(wall);
        let due = if hours.len() == 24 { matches(wall) } else { gap || matches(wall) && first_pass };
        if due && minute > 0 {
            fires.push(time);
        }
    }
    fires
}

fn list(numbers: &BTreeSet<u32>) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_search_agrees_with_trying_every_minute(
        minutes in proptest::collection::btree_set(0u32..60, 1..4),
        hours in prop_oneof![proptest::collection::btree_set(0u32..5, 1..4), Just((0..24).collect())],
        place in proptest::sample::select(vec![
            ("Europe/Berlin", "2026-03-28T20:00:00Z"), ("Europe/Berlin", "2026-10-24T20:00:00Z"),
            ("America/New_York", "2026-03-08T00:00:00Z"), ("America/New_York", "2026-11-01T00:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-03T10:00:00Z"), ("Australia/Lord_Howe", "2026-04-04T10:00:00Z"),
        ]),
    ) {
        let (zone, start) = place;
        let (minutes_list, hours_list): (Vec<u32>, Vec<u32>) =
            (minutes.iter().copied().collect(), hours.iter().copied().collect());
        let schedule = cron(&format!("{} {} * * *", list(&minutes), list(&hours)), zone);
        let from = at(start);
        let expected = oracle(&minutes_list, &hours_list, zone.parse().unwrap(), from, 16 * 60);
        let end = from + Duration::from_secs(16 * 3600);
        let first = schedule.next_after(from);
        let found: Vec<Timestamp> = std::iter::successors(first, |at| schedule.next_after(*at))
            .take_while(|at| *at <= end)
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn consecutive_fires_strictly_increase(
        second in 0u32..60, step in 1u32..30, hour in prop_oneof![Just("*".to_owned()), (0u32..24).prop_map(|h| h.to_string())],
        zone in proptest::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
        start in 1_200_000_000_000i64..1_900_000_000_000,
    ) {
        let schedule = cron(&format!("{second} */{step} {hour} * * *"), zone);
        let mut time = Timestamp::from_millis(start);
        for _ in 0..50 {
            let next = schedule.next_after(time).unwrap();
            prop_assert!(next > time);
            time = next;
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>(), zone in any::<String>()) {
        let config = [("cron", Value::from(text)), ("timezone", Value::from(zone))];
        let _ = Schedule::parse(&Value::object(config));
    }
}
