//! `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date in one of its three forms.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

/// How long `value` asks to wait from `now`, in milliseconds, at most `longest`.
pub(crate) fn parse(value: &str, now: DateTime<Utc>, longest: Duration) -> Option<u64> {
    let value = value.trim();
    let asked = match value.parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1_000),
        Err(_) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => u64::MAX,
        Err(_) => u64::try_from((date(value)? - now).num_milliseconds()).unwrap_or(0),
    };
    Some(asked.min(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)))
}

fn date(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc2822(value) {
        return Some(date.to_utc());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
        .map(|date| date.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_bounded() {
        let now = DateTime::parse_from_rfc2822("Sun, 06 Nov 1994 08:49:00 GMT").unwrap().to_utc();
        let longest = Duration::from_secs(3_600);
        let cases = [
            ("0", Some(0)),
            (" 7 ", Some(7_000)),
            ("999999999999", Some(3_600_000)),
            ("99999999999999999999999", Some(3_600_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37_000)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37_000)),
            ("Sun Nov  6 08:49:37 1994", Some(37_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:00:00 GMT", Some(3_600_000)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, expect) in cases {
            assert_eq!(parse(value, now, longest), expect, "{value}");
        }
    }
}
