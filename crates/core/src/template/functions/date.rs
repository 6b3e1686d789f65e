//! Date functions. Dates are texts in RFC 3339; "now" is the time of the scope, never a clock.

use chrono::format::{Item, StrftimeItems};
use flux_model::value::Value;

use super::moment::{Moment, Unit, Zone};
use super::{Call, Doc, Function, Manner};
use crate::template::error::TemplateError;
use crate::template::path::shorten;

/// Longest date format, in bytes.
const FORMAT_BYTES_MAX: usize = 256;

pub(super) const TABLE: &[Function] = &[
    Function::new(
        "now",
        "zone?",
        Doc(
            "The time of the evaluation, in UTC or a time zone.",
            "now(\"Europe/Berlin\")",
            "\"2026-03-28T11:30:00+01:00\"",
        ),
        |call| {
            let now = Moment::new(call.run.now).ok_or_else(|| call.error("the time is out of range"))?;
            text(call, zone(call, 0)?.map_or(now, |zone| now.shown_in(zone)))
        },
    )
    .treating(Manner::Total),
    Function::new(
        "date_add",
        "date, amount, unit?, zone?",
        Doc(
            "So many years, months, weeks, days (the default), hours, minutes, seconds or milliseconds later. Days and longer follow the calendar of the zone, also when clocks change.",
            "date_add(\"2026-03-28T09:00:00+01:00\", 1, \"day\", \"Europe/Berlin\")",
            "\"2026-03-29T09:00:00+02:00\"",
        ),
        |call| {
            let unit = unit(call, 2)?;
            let moved = moment(call, 0, zone(call, 3)?)?.add(call.number(1)?, unit);
            let moved = moved.ok_or_else(|| {
                let Unit::Millis(_) = unit else {
                    return call
                        .error("`amount` must be a whole number that stays within the years 0 to 9999");
                };
                call.error("the result is out of range")
            })?;
            text(call, moved)
        },
    ),
    Function::new(
        "date_diff",
        "from, to, unit?, zone?",
        Doc(
            "Whole units, days where not given, from one date to a later one; negative if it is earlier.",
            "date_diff(\"2026-01-31\", \"2026-03-01\", \"days\")",
            "29",
        ),
        |call| {
            let zone = Some(zone(call, 3)?.unwrap_or(Zone::UTC));
            let (from, to) = (moment(call, 0, zone)?, moment(call, 1, zone)?);
            Ok(Value::from(from.until(to, unit(call, 2)?)))
        },
    ),
    Function::new(
        "format_date",
        "date, format, zone?",
        Doc(
            "By a strftime format, in English, in the date's own offset or a time zone.",
            "format_date(\"2026-07-01T12:00:00Z\", \"%d.%m.%Y %H:%M\", \"Europe/Berlin\")",
            "\"01.07.2026 14:00\"",
        ),
        |call| {
            let format = call.text(1)?;
            check_format(call, &format)?;
            Ok(Value::text(moment(call, 0, zone(call, 2)?)?.format(&format)))
        },
    ),
    Function::new(
        "parse_date",
        "text, format?, zone?",
        Doc(
            "A date as RFC 3339, read by a strftime format or, without one, from RFC 3339, RFC 2822, `2026-03-01`, `2026-03-01 14:00` or seconds or milliseconds since 1970.",
            "parse_date(\"24.12.2026 18:00\", \"%d.%m.%Y %H:%M\", \"Europe/Berlin\")",
            "\"2026-12-24T18:00:00+01:00\"",
        ),
        |call| {
            let zone = zone(call, 2)?;
            if !call.has(1) {
                return text(call, moment(call, 0, zone)?);
            }
            let format = call.text(1)?;
            check_format(call, &format)?;
            let written = call.text(0)?;
            let read = Moment::read_as(&written, &format, zone).ok_or_else(|| {
                call.error(format!("\"{}\" is not a date in the format \"{format}\"", shorten(&written)))
            })?;
            text(call, read)
        },
    ),
    Function::new(
        "start_of",
        "date, unit, zone?",
        Doc(
            "The start of the year, month, week (Monday), day, hour or minute it lies in.",
            "start_of(\"2026-03-28T14:05:00Z\", \"month\")",
            "\"2026-03-01T00:00:00Z\"",
        ),
        |call| {
            let name = call.text(1)?;
            let start = moment(call, 0, zone(call, 2)?)?.start_of(name.strip_suffix('s').unwrap_or(&name));
            text(call, start.ok_or_else(|| call.wrong_type(1, "year, month, week, day, hour or minute"))?)
        },
    ),
    Function::new(
        "unix",
        "date",
        Doc(
            "Seconds since 1970, with milliseconds as fraction.",
            "unix(\"2026-01-01T00:00:00Z\")",
            "1767225600",
        ),
        |call| {
            let millis = moment(call, 0, None)?.millis();
            Ok(match millis % 1_000 {
                0 => Value::from(millis / 1_000),
                _ => Value::from(serde_json::Value::from(milliseconds(millis) / 1_000.0)),
            })
        },
    ),
];

#[expect(clippy::cast_precision_loss, reason = "dates lie far below 2^53 milliseconds")]
fn milliseconds(millis: i64) -> f64 {
    millis as f64
}

fn text(call: &Call<'_>, moment: Moment) -> Result<Value, TemplateError> {
    let text = moment.rfc3339().ok_or_else(|| call.error("the date is outside the years 0 to 9999"))?;
    Ok(Value::text(text))
}

fn zone(call: &Call<'_>, index: usize) -> Result<Option<Zone>, TemplateError> {
    if !call.has(index) {
        return Ok(None);
    }
    Zone::read(&call.text(index)?).map(Some).map_err(|message| call.error(message))
}

fn moment(call: &Call<'_>, index: usize, zone: Option<Zone>) -> Result<Moment, TemplateError> {
    Moment::read(call.value(index), zone).ok_or_else(|| {
        call.wrong_type(index, "a date")
            .suggest("write dates as `2026-03-01T14:00:00Z`, or read them with `parse_date`")
    })
}

fn unit(call: &Call<'_>, index: usize) -> Result<Unit, TemplateError> {
    Unit::read(&call.text_or(index, "days")?).ok_or_else(|| {
        call.wrong_type(index, "years, months, weeks, days, hours, minutes, seconds or milliseconds")
    })
}

/// chrono panics while writing by a format it does not know, so formats are checked before.
fn check_format(call: &Call<'_>, format: &str) -> Result<(), TemplateError> {
    if format.len() > FORMAT_BYTES_MAX {
        return Err(
            call.error(format!("the format has {} bytes; {FORMAT_BYTES_MAX} are allowed", format.len()))
        );
    }
    if StrftimeItems::new(format).any(|item| item == Item::Error) {
        return Err(call
            .error(format!("\"{}\" is not a date format", shorten(format)))
            .suggest("formats look like `%Y-%m-%d %H:%M`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::template::test_scope::evaluate;

    fn check(expression: &str, expected: &str) {
        let value = evaluate(&format!("x{{{{ {expression} }}}}"), "{}");
        assert_eq!(value.unwrap().as_str().unwrap(), format!("x{expected}"), "{expression}");
    }

    #[test]
    fn calendar_units_follow_the_clocks_of_the_zone() {
        // Spring in Berlin: 02:00 becomes 03:00 on 29 March 2026.
        let add = |date: &str, amount: &str, unit: &str, zone: &str, expected: &str| {
            check(&format!("date_add('{date}', {amount}, '{unit}', '{zone}')"), expected);
        };
        let berlin = "Europe/Berlin";
        add("2026-03-28T12:00:00+01:00", "1", "day", berlin, "2026-03-29T12:00:00+02:00");
        add("2026-03-28T12:00:00+01:00", "24", "hours", berlin, "2026-03-29T13:00:00+02:00");
        add("2026-03-28T02:30:00+01:00", "1", "day", berlin, "2026-03-29T03:30:00+02:00");
        add("2026-03-30T02:30:00+02:00", "-1", "day", berlin, "2026-03-29T03:30:00+02:00");
        // Autumn: 03:00 becomes 02:00 on 25 October 2026; 02:30 comes twice, the first is meant.
        add("2026-10-24T02:30:00+02:00", "1", "day", berlin, "2026-10-25T02:30:00+02:00");
        add("2026-10-25T02:30:00+02:00", "1", "hour", berlin, "2026-10-25T02:30:00+01:00");
        add("2026-10-24T12:00:00+02:00", "1", "week", berlin, "2026-10-31T12:00:00+01:00");
        // A day that Samoa skipped altogether.
        add("2011-12-29T12:00:00-10:00", "1", "day", "Pacific/Apia", "2011-12-31T12:00:00+14:00");
        add("2026-01-31T09:00:00Z", "1", "month", "UTC", "2026-02-28T09:00:00Z");
        add("2024-02-29T09:00:00Z", "1", "year", "UTC", "2025-02-28T09:00:00Z");
        add("2026-01-01T00:00:00Z", "1.5", "hours", "UTC", "2026-01-01T01:30:00Z");
        add("2026-01-01", "-1", "millisecond", "UTC", "2025-12-31T23:59:59.999Z");
        // Without a zone, the date's own offset.
        check("date_add('2026-03-28T12:00:00+01:00', 1, 'day')", "2026-03-29T12:00:00+01:00");
        check("date_add('2026-03-28', 1)", "2026-03-29T00:00:00Z");
    }

    #[test]
    fn differences_count_whole_units() {
        let check_diff = |from: &str, to: &str, rest: &str, expected: &str| {
            check(&format!("date_diff('{from}', '{to}'{rest})"), expected);
        };
        check_diff("2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00", ", 'hours'", "23");
        check_diff("2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00", "", "0");
        check_diff(
            "2026-03-28T12:00:00+01:00",
            "2026-03-29T12:00:00+02:00",
            ", 'days', 'Europe/Berlin'",
            "1",
        );
        check_diff("2026-03-01", "2026-02-01", ", 'weeks'", "-4");
        check_diff("2026-01-31", "2026-02-28", ", 'months'", "0");
        check_diff("2026-01-15", "2026-03-15", ", 'months'", "2");
        check_diff("2026-03-15", "2026-01-16", ", 'months'", "-1");
        check_diff("2020-02-29", "2026-02-28", ", 'years'", "5");
    }

    #[test]
    fn dates_are_read_and_written_as_people_do() {
        check("parse_date('2026-03-01 14:05')", "2026-03-01T14:05:00Z");
        check("parse_date('2026-03-01T14:05:06.789')", "2026-03-01T14:05:06.789Z");
        check("parse_date('2026-03-01', null, 'America/New_York')", "2026-03-01T00:00:00-05:00");
        check("parse_date('Sat, 28 Mar 2026 10:30:00 +0000')", "2026-03-28T10:30:00Z");
        check("parse_date(1774693800000)", "2026-03-28T10:30:00Z");
        check("parse_date('28.03.26', '%d.%m.%y')", "2026-03-28T00:00:00Z");
        check(
            "parse_date('2026-03-29 02:30', '%Y-%m-%d %H:%M', 'Europe/Berlin')",
            "2026-03-29T03:30:00+02:00",
        );
        check("parse_date('1 Mar 2026 08:00 +0530', '%d %b %Y %H:%M %z')", "2026-03-01T08:00:00+05:30");
        check("format_date('2026-12-31T23:30:00Z', '%G-W%V %j', 'Asia/Tokyo')", "2026-W53 001");
        check("format_date('2026-07-01', '%Z', 'Europe/Berlin')", "CEST");
        check("start_of('2026-03-29T12:00:00Z', 'day', 'Europe/Berlin')", "2026-03-29T00:00:00+01:00");
        check("start_of('2026-10-25T01:45:00Z', 'hour', 'Europe/Berlin')", "2026-10-25T02:00:00+01:00");
        check("start_of('2026-03-01T10:45:00Z', 'week')", "2026-02-23T00:00:00Z");
        check("unix('1970-01-01T00:00:01.500Z')", "1.5");
    }
}
