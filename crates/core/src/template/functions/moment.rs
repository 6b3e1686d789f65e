//! Points in time with a time zone: reading, writing and calendar arithmetic.
//!
//! Days, months and years are counted on the calendar of the zone, so that "tomorrow at nine" is
//! at nine also when the clocks change in between; hours and less are counted exactly.

use chrono::{
    DateTime, Datelike, Days, FixedOffset, LocalResult, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset,
    SecondsFormat, TimeDelta, TimeZone, Utc,
};
use chrono_tz::{TZ_VARIANTS, Tz};
use flux_model::Timestamp;
use flux_model::diagnostic::nearest;
use flux_model::value::Value;

use crate::template::path::shorten;

/// Milliseconds up to which a number counts as seconds since 1970: the year 5138 in seconds, March
/// 1973 in milliseconds.
const SECONDS_BELOW: f64 = 1e11;

/// A point in time and the zone it is shown in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    utc: DateTime<Utc>,
    zone: Zone,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Zone {
    Named(Tz),
    Fixed(FixedOffset),
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Counted on the calendar, in months.
    Months(i64),
    /// Counted on the calendar, in days.
    Days(i64),
    /// Exact, in milliseconds.
    Millis(i64),
}

impl Zone {
    pub(super) const UTC: Self = Self::Named(Tz::UTC);

    /// A zone by its IANA name, or an offset such as `+02:00`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if let Ok(zone) = text.parse::<Tz>() {
            return Ok(Self::Named(zone));
        }
        if let Ok(offset) = text.parse::<FixedOffset>() {
            return Ok(Self::Fixed(offset));
        }
        let near = nearest(text, TZ_VARIANTS.iter().map(|zone| zone.name()));
        let hint = near
            .map_or_else(|| "such as `Europe/Berlin`".to_owned(), |name| format!("did you mean `{name}`?"));
        Err(format!("there is no time zone `{}`; {hint}", shorten(text)))
    }

    fn offset_of(self, local: &NaiveDateTime) -> LocalResult<FixedOffset> {
        match self {
            Self::Named(zone) => zone.offset_from_local_datetime(local).map(|offset| offset.fix()),
            Self::Fixed(offset) => LocalResult::Single(offset),
        }
    }

    /// The moment at which clocks in the zone show `local`. Of two such moments it is the first;
    /// where the clocks skip that time, it is as much later as they skip.
    fn moment(self, local: NaiveDateTime) -> Option<Moment> {
        let offset = self.offset_of(&local).earliest().or_else(|| {
            let before = local.checked_sub_days(Days::new(1))?;
            self.offset_of(&before).latest()
        })?;
        let utc = local.checked_sub_offset(offset)?.and_utc();
        Some(Moment { utc, zone: self })
    }
}

impl Unit {
    pub(super) fn read(text: &str) -> Option<Self> {
        const DAY_MS: i64 = 24 * 3_600_000;
        Some(match text.strip_suffix('s').unwrap_or(text) {
            "year" => Self::Months(12),
            "month" => Self::Months(1),
            "week" => Self::Days(7),
            "day" => Self::Days(1),
            "hour" => Self::Millis(DAY_MS / 24),
            "minute" => Self::Millis(60_000),
            "second" => Self::Millis(1_000),
            "millisecond" => Self::Millis(1),
            _ => return None,
        })
    }
}

impl Moment {
    pub(super) fn new(now: Timestamp) -> Option<Self> {
        now.to_utc().map(|utc| Self { utc, zone: Zone::UTC })
    }

    /// Reads a date as people and services write them. Without a zone of its own it is taken to be
    /// in `zone`, or in UTC.
    pub(super) fn read(value: &Value, zone: Option<Zone>) -> Option<Self> {
        let moment = match value {
            Value::Number(number) => {
                let number = number.as_f64()?;
                let millis = if number.abs() < SECONDS_BELOW { number * 1_000.0 } else { number };
                Self::from_millis(millis)?
            }
            Value::Text(text) => {
                let text = text.trim();
                let with_zone =
                    DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text));
                match with_zone {
                    Ok(time) => Self { utc: time.to_utc(), zone: Zone::Fixed(*time.offset()) },
                    Err(_) => zone.unwrap_or(Zone::UTC).moment(local_time(text)?)?,
                }
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) | Value::Secret(_) => {
                return None;
            }
        };
        Some(zone.map_or(moment, |zone| moment.shown_in(zone)))
    }

    /// Reads a date that is written in this format.
    pub(super) fn read_as(text: &str, format: &str, zone: Option<Zone>) -> Option<Self> {
        if let Ok(time) = DateTime::parse_from_str(text, format) {
            let moment = Self { utc: time.to_utc(), zone: Zone::Fixed(*time.offset()) };
            return Some(zone.map_or(moment, |zone| moment.shown_in(zone)));
        }
        let local = NaiveDateTime::parse_from_str(text, format)
            .or_else(|_| NaiveDate::parse_from_str(text, format).map(|date| date.and_time(NaiveTime::MIN)))
            .ok()?;
        zone.unwrap_or(Zone::UTC).moment(local)
    }

    #[expect(clippy::cast_possible_truncation, reason = "bounded by the range of chrono's dates")]
    fn from_millis(millis: f64) -> Option<Self> {
        let utc = DateTime::from_timestamp_millis(Some(millis).filter(|m| m.abs() < 1e15)?.round() as i64)?;
        Some(Self { utc, zone: Zone::UTC })
    }

    pub(super) fn shown_in(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    pub(super) fn millis(self) -> i64 {
        self.utc.timestamp_millis()
    }

    fn local(self) -> NaiveDateTime {
        self.shown().naive_local()
    }

    fn shown(self) -> DateTime<FixedOffset> {
        match self.zone {
            Zone::Named(zone) => self.utc.with_timezone(&zone).fixed_offset(),
            Zone::Fixed(offset) => self.utc.with_timezone(&offset),
        }
    }

    /// As RFC 3339; `None` outside the years 0 to 9999.
    pub(super) fn rfc3339(self) -> Option<String> {
        let shown = self.shown();
        (0..=9999).contains(&shown.year()).then(|| shown.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }

    /// By a strftime format that is known to be valid.
    pub(super) fn format(self, format: &str) -> String {
        match self.zone {
            Zone::Named(zone) => self.utc.with_timezone(&zone).format(format).to_string(),
            Zone::Fixed(offset) => self.utc.with_timezone(&offset).format(format).to_string(),
        }
    }

    /// So many units later. Parts of calendar units are not a whole number of anything and give
    /// `None`, as do results out of range.
    pub(super) fn add(self, amount: f64, unit: Unit) -> Option<Self> {
        match unit {
            Unit::Millis(length) => {
                let millis = exact(amount * exact_f64(length))?;
                let utc = self.utc.checked_add_signed(TimeDelta::try_milliseconds(millis)?)?;
                Some(Self { utc, ..self })
            }
            Unit::Days(length) => {
                let days = super::number::whole(amount)?.checked_mul(length)?;
                let count = Days::new(days.unsigned_abs());
                let local = self.local();
                let local =
                    if days < 0 { local.checked_sub_days(count) } else { local.checked_add_days(count) };
                self.zone.moment(local?)
            }
            Unit::Months(length) => {
                let months = super::number::whole(amount)?.checked_mul(length)?;
                let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
                let local = self.local();
                let local = if months < 0 {
                    local.checked_sub_months(count)
                } else {
                    local.checked_add_months(count)
                };
                self.zone.moment(local?)
            }
        }
    }

    /// Whole units from `self` to `later`; negative if that is earlier.
    pub(super) fn until(self, later: Self, unit: Unit) -> i64 {
        let span = later.local() - self.local();
        match unit {
            Unit::Millis(length) => (later.millis() - self.millis()) / length,
            Unit::Days(length) => span.num_days() / length,
            Unit::Months(length) => {
                let (from, to) = (self.local(), later.local());
                let month = |time: NaiveDateTime| i64::from(time.year()) * 12 + i64::from(time.month0());
                let within = |time: NaiveDateTime| (time.day(), time.time());
                let mut months = month(to) - month(from);
                if months > 0 && within(to) < within(from) {
                    months -= 1;
                } else if months < 0 && within(to) > within(from) {
                    months += 1;
                }
                months / length
            }
        }
    }

    /// The start of the unit it lies in. Weeks start on Monday.
    pub(super) fn start_of(self, unit: &str) -> Option<Self> {
        let local = self.local();
        let date = local.date();
        let start = match unit {
            "year" => date.with_month(1)?.with_day(1)?,
            "month" => date.with_day(1)?,
            "week" => date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday())))?,
            "day" => date,
            "hour" => return self.back(3_600_000),
            "minute" => return self.back(60_000),
            _ => return None,
        };
        self.zone.moment(start.and_time(NaiveTime::MIN))
    }

    /// Back to the last multiple of `length` milliseconds that a clock in the zone showed.
    fn back(self, length: i64) -> Option<Self> {
        let into = self.local().and_utc().timestamp_millis().rem_euclid(length);
        let utc = DateTime::from_timestamp_millis(self.millis().checked_sub(into)?)?;
        Some(Self { utc, ..self })
    }
}

/// A date, or date and time, without a zone.
fn local_time(text: &str) -> Option<NaiveDateTime> {
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()).or_else(|| {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(NaiveTime::MIN))
    })
}

#[expect(clippy::cast_precision_loss, reason = "lengths of units are small")]
fn exact_f64(length: i64) -> f64 {
    length as f64
}

/// Milliseconds rounded to a whole number, within a range that every date survives.
fn exact(millis: f64) -> Option<i64> {
    super::number::whole(millis.round()).filter(|millis| millis.abs() < 1_000_000_000_000_000)
}
