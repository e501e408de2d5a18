//! Sizes and spans of time as people read and write them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `1.4 GiB`: three figures at most.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "it is shown with three figures")]
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        // What would be rounded to 1024 is one of the next unit.
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value < 9.995 {
        format!("{value:.2} {unit}")
    } else if value < 99.95 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// `3 hours ago`.
pub(super) fn ago(time: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(time).unwrap_or_default().as_secs();
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        86_400..5_184_000 => (seconds / 86_400, "day"),
        5_184_000..63_072_000 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// `2h30m` and the like, as Docker's filters have it, with `d` for days besides.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let number: u64 = number.parse().ok()?;
        let seconds = match unit {
            "ms" => {
                total = total.checked_add(Duration::from_millis(number))?;
                rest = after;
                continue;
            }
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// A moment: that long ago (`24h`), or at a time (RFC 3339).
pub(super) fn moment(text: &str, now: SystemTime) -> Option<SystemTime> {
    if let Some(age) = duration(text) {
        return now.checked_sub(age);
    }
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_figures() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_048_575, "1.00 MiB"),
            (15_000_000, "14.3 MiB"),
            (500 << 30, "500 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn spans_of_time_are_read_and_told() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(240_000);
        for (text, seconds) in [("24h", 86_400), ("1h30m", 5400), ("90s", 90), ("7d", 604_800)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "24", "h", "1 h", "-1h", "1w", "1h30", "99999999999999999999h"] {
            assert_eq!(duration(text), None, "{text:?}");
        }
        assert_eq!(moment("1h", now), now.checked_sub(Duration::from_hours(1)));
        assert_eq!(
            moment("1970-01-02T00:00:00Z", now),
            Some(SystemTime::UNIX_EPOCH + Duration::from_hours(24))
        );
        assert_eq!(ago(now, now), "just now");
        assert_eq!(ago(now - Duration::from_mins(1), now), "1 minute ago");
        assert_eq!(ago(now - Duration::from_hours(50), now), "2 days ago");
    }
}
