//! Times on the command line: RFC 3339, or how long ago.

use std::time::Duration;

use flux_model::Timestamp;

use crate::output::moment::now;

/// Reads a time, or a length of time before the present.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc().into());
    }
    length(text).map(|length| now() - length)
}

/// Reads a length of time: `90s`, `30m`, `12h`, `7d`.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{text}` is neither a time such as 2026-11-21T04:00:00Z nor a length such as 90s, 30m, 12h or 7d"
        )
    };
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, seconds: Option<u64>) {
        assert_eq!(length(text).ok().map(|length| length.as_secs()), seconds, "{text}");
    }

    #[test]
    fn lengths_have_a_number_and_a_unit() {
        check("90s", Some(90));
        check("30m", Some(1_800));
        check("7d", Some(604_800));
        for wrong in ["", "h", "-1h", "1.5h", "1w", "1ä", "99999999999999999999d", "999999999999999999d"] {
            check(wrong, None);
        }
    }

    #[test]
    fn times_are_taken_as_they_are() {
        assert_eq!(parse("1970-01-01T00:00:01Z"), Ok(Timestamp::from_millis(1_000)));
        assert!(parse("1h").unwrap() < now());
        assert!(parse("yesterday").is_err());
    }
}
