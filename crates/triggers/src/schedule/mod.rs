//! `trigger.schedule`: when a flow is due, by cron expression or interval.
//!
//! A schedule is a pure function of time. The caller keeps one cursor per schedule, the time up
//! to which everything is decided, and asks [`Schedule::due_between`] what came due since. The
//! cursor may be lost, repeated or moved by a clock that jumps: every fire carries a key derived
//! from its scheduled instant, so admission makes one execution of it however often it is
//! delivered.
//!
//! This module never decides what an overlapping run does; it only reads the policy.

mod cron;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;
use flux_model::config;
use flux_model::diagnostic::nearest;
use flux_model::limits::DURATION_MS_MAX;
use flux_model::{Diagnostic, Timestamp, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::cron::CronRule;

/// Fires delivered by one call of [`Schedule::due_between`]; the next call goes on after them.
pub const MISSED_FIRES_MAX: usize = 100;
/// Fires outside the catch-up window that are counted one by one; beyond it they are skipped
/// uncounted.
pub const SKIPPED_COUNT_MAX: u64 = 10_000;
/// How late a fire may always be delivered, in milliseconds, whatever the catch-up window: a busy
/// scheduler is late without having missed anything.
pub const LATENESS_MS: u64 = 10_000;
/// The catch-up window where the config has none, in milliseconds: a restart misses nothing.
pub const CATCH_UP_MS_DEFAULT: u64 = 60_000;
/// The longest catch-up window, in milliseconds: 30 days.
pub const CATCH_UP_MS_MAX: u64 = 30 * 24 * 3600 * 1000;
/// The shortest interval, in milliseconds.
pub const EVERY_MS_MIN: u64 = 1_000;
/// Bytes of a cron expression.
pub const CRON_BYTES_MAX: usize = 256;

/// The config of `trigger.schedule`: either `cron` or `every_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// A cron expression of five fields (minute, hour, day, month, weekday), six with seconds
    /// first, or a nickname such as `@daily`.
    #[serde(default)]
    pub cron: Option<String>,
    /// The interval between two fires, in milliseconds, counted from 1970-01-01T00:00:00Z so that
    /// publishing the flow again does not move it. At least 1000.
    #[serde(default)]
    pub every_ms: Option<u64>,
    /// The IANA time zone that `cron` is read in and times are written in, such as
    /// `Europe/Berlin`. UTC where absent.
    #[serde(default)]
    pub timezone: Option<String>,
    /// What happens to a fire while an execution of an earlier one still runs.
    #[serde(default)]
    pub overlap: Overlap,
    /// How old a fire may be and still be delivered, in milliseconds, when the process was down or
    /// the clock jumped. 60000 where absent, at most 30 days.
    #[serde(default)]
    pub catch_up_ms: Option<u64>,
}

/// What happens to a fire while an execution of an earlier one still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is dropped.
    #[default]
    Skip,
    /// It waits for the earlier one to end.
    Queue,
    /// It starts beside it.
    Allow,
    /// The earlier one is cancelled.
    CancelOther,
}

/// A schedule that is known to fire.
#[derive(Debug, Clone)]
pub struct Schedule {
    rule: Rule,
    zone: Tz,
    overlap: Overlap,
    window: Duration,
}

#[derive(Debug, Clone)]
enum Rule {
    Cron(Box<CronRule>),
    Every { millis: i64 },
}

/// One scheduled moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fire {
    /// When it is scheduled for.
    pub at: Timestamp,
    /// The scheduled moment before it, delivered or not.
    pub previous: Option<Timestamp>,
}

/// What came due between two looks at the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What to deliver, oldest first.
    pub fires: Vec<Fire>,
    /// Fires that were too old to deliver; counted up to [`SKIPPED_COUNT_MAX`].
    pub skipped: u64,
    /// The cursor to ask with next time. Before `now` when there is more to deliver.
    pub cursor: Timestamp,
}

impl Schedule {
    /// Reads the config of a schedule trigger, templates evaluated.
    ///
    /// # Errors
    /// Everything that is wrong with it, each naming its field.
    pub fn parse(config: &Value) -> Result<Self, Vec<Diagnostic>> {
        let config: ScheduleConfig = config::read(config).map_err(|error| vec![error])?;
        let mut wrong = Vec::new();
        let zone = parse_zone(config.timezone.as_deref()).unwrap_or_else(|error| {
            wrong.push(error);
            Tz::UTC
        });
        let window = parse_window(config.catch_up_ms).unwrap_or_else(|error| {
            wrong.push(error);
            Duration::ZERO
        });
        let rule = parse_rule(&config, zone).map_err(|error| wrong.push(error));
        match rule {
            Ok(rule) if wrong.is_empty() => Ok(Self { rule, zone, overlap: config.overlap, window }),
            Ok(_) | Err(()) => Err(wrong),
        }
    }

    /// What happens to a fire while an execution of an earlier one still runs.
    pub fn overlap(&self) -> Overlap {
        self.overlap
    }

    /// The first scheduled moment after `time`, if there is one at all.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Cron(rule) => rule.next_after(time),
            Rule::Every { millis } => {
                let past = time.millis().div_euclid(*millis);
                past.checked_add(1)?.checked_mul(*millis).map(Timestamp::from_millis)
            }
        }
    }

    /// The last scheduled moment before `time`, if there is one within ten years.
    pub fn previous_before(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Cron(rule) => rule.previous_before(time),
            Rule::Every { millis } => {
                let last = time.millis().checked_sub(1)?.div_euclid(*millis);
                last.checked_mul(*millis).map(Timestamp::from_millis)
            }
        }
    }

    /// What came due after `cursor` and up to `now`.
    ///
    /// Fires older than the catch-up window are skipped and counted. At most [`MISSED_FIRES_MAX`]
    /// are delivered; the cursor then stands at the last of them and the next call goes on. When
    /// the clock stands before the cursor, it was set back: the cursor follows it, and what is
    /// delivered a second time has the key it had before.
    pub fn due_between(&self, cursor: Timestamp, now: Timestamp) -> Due {
        let mut due = Due { fires: Vec::new(), skipped: 0, cursor: now };
        let too_old = now - self.window - Duration::from_millis(1);
        let start = cursor.max(too_old);
        due.skipped = self.count_between(cursor, start);
        let mut previous = None;
        let mut at = start;
        while let Some(next) = self.next_after(at).filter(|next| *next <= now) {
            if due.fires.len() == MISSED_FIRES_MAX {
                due.cursor = at;
                break;
            }
            let before = previous.or_else(|| self.previous_before(next));
            due.fires.push(Fire { at: next, previous: before });
            previous = Some(next);
            at = next;
        }
        due
    }

    /// The trigger's output: `{scheduled_at, previous_at}` as RFC 3339 in the schedule's zone.
    pub fn output(&self, fire: Fire) -> Value {
        Value::object([
            ("scheduled_at", self.written(fire.at)),
            ("previous_at", fire.previous.map_or(Value::Null, |at| self.written(at))),
        ])
    }

    fn written(&self, at: Timestamp) -> Value {
        let local = at.to_utc().map(|utc| utc.with_timezone(&self.zone));
        local.map_or(Value::Null, |local: DateTime<Tz>| {
            Value::from(local.to_rfc3339_opts(SecondsFormat::AutoSi, false))
        })
    }

    fn count_between(&self, after: Timestamp, until: Timestamp) -> u64 {
        let mut count = 0;
        let mut at = after;
        while count < SKIPPED_COUNT_MAX {
            match self.next_after(at).filter(|next| *next <= until) {
                Some(next) => at = next,
                None => break,
            }
            count += 1;
        }
        count
    }
}

impl Fire {
    /// The key that makes every delivery of this fire the same execution. It names the scheduled
    /// instant and not the flow's version, so publishing the flow does not fire again.
    pub fn idempotency_key(&self, flow: &str, node: &str) -> String {
        crate::idempotency_key("schedule", flow, node, &self.at.to_string())
    }
}

fn parse_zone(name: Option<&str>) -> Result<Tz, Diagnostic> {
    let name = name.unwrap_or("UTC");
    name.parse().map_err(|_| {
        let known = nearest(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        config::invalid("timezone", format!("`{name}` is not a time zone of the IANA database"))
            .suggest(known.map(|known| format!("did you mean `{known}`?")))
    })
}

fn parse_window(catch_up_ms: Option<u64>) -> Result<Duration, Diagnostic> {
    let given = catch_up_ms.unwrap_or(CATCH_UP_MS_DEFAULT);
    if given > CATCH_UP_MS_MAX {
        let text = format!("{given} ms is more than the longest catch-up window, {CATCH_UP_MS_MAX} ms");
        return Err(config::invalid("catch_up_ms", text));
    }
    Ok(Duration::from_millis(given.max(LATENESS_MS)))
}

fn parse_rule(config: &ScheduleConfig, zone: Tz) -> Result<Rule, Diagnostic> {
    match (&config.cron, config.every_ms) {
        (Some(text), None) => parse_cron(text, zone),
        (None, Some(millis)) => parse_every(millis),
        (Some(_), Some(_)) => {
            Err(config::invalid("every_ms", "`cron` and `every_ms` exclude each other; keep one of them"))
        }
        (None, None) => Err(config::invalid("cron", "a schedule needs either `cron` or `every_ms`")),
    }
}

fn parse_cron(text: &str, zone: Tz) -> Result<Rule, Diagnostic> {
    let hint = "write minute, hour, day, month and weekday, as in `30 6 * * MON-FRI`".to_owned();
    if text.len() > CRON_BYTES_MAX {
        let message = format!("a cron expression of {} bytes is longer than {CRON_BYTES_MAX}", text.len());
        return Err(config::invalid("cron", message));
    }
    let rule = CronRule::parse(text, zone).map_err(|reason| {
        config::invalid("cron", format!("`{text}` is not a cron expression: {reason}")).suggest(Some(hint))
    })?;
    if rule.next_after(Timestamp::from_millis(0)).is_none() {
        return Err(config::invalid("cron", format!("`{text}` names a date that never comes")));
    }
    Ok(Rule::Cron(Box::new(rule)))
}

fn parse_every(millis: u64) -> Result<Rule, Diagnostic> {
    match i64::try_from(millis) {
        Ok(length) if (EVERY_MS_MIN..=DURATION_MS_MAX).contains(&millis) => {
            Ok(Rule::Every { millis: length })
        }
        Ok(_) | Err(_) => {
            let message = format!("{millis} ms is not between {EVERY_MS_MIN} and {DURATION_MS_MAX} ms");
            Err(config::invalid("every_ms", message))
        }
    }
}
