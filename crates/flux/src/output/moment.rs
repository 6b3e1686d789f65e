//! Times and lengths of time as people read them.

use flux_model::Timestamp;

/// The present. Only for showing how long ago something was.
pub(crate) fn now() -> Timestamp {
    Timestamp::from(chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()))
}

/// How long ago `at` was: `3 s ago`, `in 4 min`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return format!("in {}", span(at.since(now).as_millis()));
    }
    format!("{} ago", span(now.since(at).as_millis()))
}

/// A length of time in its largest unit: `12 s`, `3 h`.
fn span(millis: u128) -> String {
    const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match UNITS.iter().find(|(length, _)| millis >= *length) {
        Some((length, unit)) => format!("{} {unit}", (millis + length / 2) / length),
        None => format!("{millis} ms"),
    }
}

/// A duration with three digits: `0.42 ms`, `12.3 ms`, `1.24 s`, `3 min 5 s`. Nothing takes no time
/// at all: zero means that the measure was too coarse.
pub(crate) fn duration(micros: u64) -> String {
    let millis = micros as f64 / 1_000.0;
    if micros == 0 {
        "<1 ms".to_owned()
    } else if millis < 9.995 {
        format!("{millis:.2} ms")
    } else if millis < 99.95 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else if millis < 59_995.0 {
        format!("{:.2} s", millis / 1_000.0)
    } else {
        long(micros / 1_000_000)
    }
}

fn long(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {seconds} s"),
        (0, hours) => format!("{hours} h {minutes} min"),
        (days, hours) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(micros: u64, text: &str) {
        assert_eq!(duration(micros), text, "{micros}");
    }

    #[test]
    fn durations_keep_about_three_digits() {
        check(0, "<1 ms");
        check(420, "0.42 ms");
        check(9_999, "10.0 ms");
        check(12_345, "12.3 ms");
        check(123_456, "123 ms");
        check(999_900, "1.00 s");
        check(1_240_000, "1.24 s");
        check(185_000_000, "3 min 5 s");
        check(7_260_000_000, "2 h 1 min");
        check(90_000_000_000, "1 d 1 h");
    }

    #[test]
    fn the_past_and_the_future_are_told_apart() {
        let at = Timestamp::from_millis;
        assert_eq!(relative(at(1_000), at(4_400)), "3 s ago");
        assert_eq!(relative(at(86_400_000), at(3_000)), "in 24 h");
        assert_eq!(relative(at(7_205_000), at(5_000)), "in 2 h");
        assert_eq!(relative(at(5), at(5)), "0 ms ago");
    }
}
