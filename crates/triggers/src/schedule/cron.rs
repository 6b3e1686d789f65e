//! Cron expressions on a clock that is put forward and back.
//!
//! Two kinds of expression, told apart by their hour field:
//! - *Every hour* (`*`, or anything that allows all 24): follows time as it passes. `0 * * * *`
//!   fires in both passes of a repeated hour, and a skipped hour is no hour.
//! - *Named hours* (`30 2 * * *`, `0 2,14 * * *`, `*/10 2 * * *`): follows the clock on the wall.
//!   A time in a repeated hour fires once, in the first pass. Times that do not exist fire once, at
//!   the first moment after the gap: a daily job is neither lost nor doubled.
//!
//! The search for matching dates is croner's.

use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use croner::Cron;
use flux_model::Timestamp;

/// Wall-clock times of one repeated or missing stretch that a search walks over: a day of seconds.
const TRANSITION_STEPS_MAX: usize = 24 * 3600;
/// How far back a previous fire is looked for, in seconds: each window holds few fires of any
/// schedule that had none in the one before.
const LOOK_BACK_SECONDS: [i64; 9] =
    [2, 60, 3_600, 86_400, 8 * 86_400, 32 * 86_400, 367 * 86_400, 4 * 367 * 86_400, 10 * 367 * 86_400];

/// A parsed expression in its time zone.
#[derive(Debug, Clone)]
pub(super) struct CronRule {
    cron: Cron,
    zone: Tz,
    every_hour: bool,
}

impl CronRule {
    pub(super) fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        let cron = Cron::from_str(text).map_err(|error| error.to_string())?;
        let every_hour = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        Ok(Self { cron, zone, every_hour })
    }

    pub(super) fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let local = time.to_utc()?.with_timezone(&self.zone);
        if self.every_hour {
            return self.cron.find_next_occurrence(&local, false).ok().map(|next| next.to_utc().into());
        }
        let mut wall = local.naive_local();
        for _ in 0..TRANSITION_STEPS_MAX {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let instant = self.instant_of(wall)?;
            if instant > local {
                return Some(instant.to_utc().into());
            }
        }
        None
    }

    pub(super) fn previous_before(&self, time: Timestamp) -> Option<Timestamp> {
        let found = LOOK_BACK_SECONDS.iter().find_map(|seconds| {
            let start = Timestamp::from_millis(time.millis().checked_sub(seconds * 1000)?);
            self.next_after(start).filter(|first| *first < time)
        });
        let mut last = found?;
        while let Some(next) = self.next_after(last).filter(|next| *next < time) {
            last = next;
        }
        Some(last)
    }

    /// The moment that a wall clock shows `wall`: the first of two, or the end of the gap.
    fn instant_of(&self, wall: NaiveDateTime) -> Option<DateTime<Tz>> {
        match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant),
            LocalResult::None => self.end_of_gap(wall),
        }
    }

    /// The first moment after the gap that `wall` lies in. Zones have changed by minutes and, over
    /// the date line, by a whole day.
    fn end_of_gap(&self, wall: NaiveDateTime) -> Option<DateTime<Tz>> {
        let exists = |seconds: i64| {
            let shifted = wall.checked_add_signed(TimeDelta::try_seconds(seconds)?)?;
            self.zone.from_local_datetime(&shifted).earliest()
        };
        let (mut missing, mut present) = (0, 25 * 3600);
        exists(present)?;
        while present - missing > 1 {
            let middle = missing + (present - missing) / 2;
            match exists(middle) {
                Some(_) => present = middle,
                None => missing = middle,
            }
        }
        exists(present)
    }
}
