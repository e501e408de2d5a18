//! Moments as logs write them.

use serde_json::Value;

/// A moment, as written and as a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) written: String,
    /// Nanoseconds since 1970.
    pub(super) at: i64,
}

impl Moment {
    /// Reads a moment: a text of RFC 3339, or nanoseconds since 1970. `None` for what is neither, and for the year 1,
    /// which is how Go writes that there is no time.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let (written, at) = match value {
            Value::String(text) => {
                let at = rfc3339(text).or_else(|| text.parse().ok())?;
                (text.clone(), at)
            }
            Value::Number(number) => (number.to_string(), number.as_i64()?),
            _ => return None,
        };
        Some(Self { written, at })
    }
}

/// Nanoseconds since 1970 of `2026-11-24T00:38:51.007661963Z` or with an offset as `+02:00` in the place of the `Z`.
fn rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0i64, |value, digit| {
            digit
                .is_ascii_digit()
                .then(|| value * 10 + i64::from(digit - b'0'))
        })
    };
    let separators = [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")];
    let separated = separators.iter().all(|(place, allowed)| {
        bytes
            .get(*place)
            .is_some_and(|byte| allowed.as_bytes().contains(byte))
    });
    if !separated {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = bytes.get(19..)?;
    let mut fraction = 0;
    if let Some(digits) = rest.strip_prefix(b".") {
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        // What is finer than a nanosecond is left out.
        fraction = (0..9).fold(0, |value, place| {
            let digit = digits
                .get(place)
                .filter(|_| place < length)
                .map_or(0, |byte| byte - b'0');
            value * 10 + i64::from(digit)
        });
        rest = digits.get(length..)?;
    }
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let start = bytes.len() - 5;
            let minutes = number(start, start + 2)? * 60 + number(start + 3, start + 5)?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// Days from 1970-01-01 in the Gregorian calendar. Years are counted from March, so that a leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(value: &Value) -> Option<i64> {
        Moment::read(value).map(|moment| moment.at)
    }

    #[test]
    fn moments_are_texts_or_nanoseconds() {
        for (written, expected) in [
            (json!("1970-01-01T00:00:00Z"), 0),
            (json!("2000-02-29T12:00:00Z"), 951_825_600_000_000_000),
            (json!("2026-11-24T00:38:51.007661963Z"), 1_795_480_731_007_661_963),
            (json!("2026-11-24T02:38:51.007+02:00"), 1_795_480_731_007_000_000),
            (json!("2026-11-23T23:08:51-01:30"), 1_795_480_731_000_000_000),
            (json!("1969-12-31T23:59:59.5Z"), -500_000_000),
            (json!(1_795_480_731_007_661_963_i64), 1_795_480_731_007_661_963),
            (json!("1795480731007661963"), 1_795_480_731_007_661_963),
        ] {
            assert_eq!(at(&written), Some(expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for written in [
            json!("0001-01-01T00:00:00Z"),
            json!("2026-13-01T00:00:00Z"),
            json!("2026-11-24T00:38:51"),
            json!("2026-11-24T00:38:51.Z"),
            json!("2026-11-24T00:38:51+0200"),
            json!("20ü6-11-24T00:38:51Z"),
            json!("yesterday"),
            json!(1e300),
            json!(null),
            json!([]),
        ] {
            assert_eq!(at(&written), None, "{written}");
        }
    }
}
