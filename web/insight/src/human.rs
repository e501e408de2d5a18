//! Times and sizes, read from the wire and written for people.

/// Milliseconds since 1970 of an RFC 3339 time. `None` where it is no such time.
///
/// Only what the protocol sends is read: a calendar date, a time with any fraction, `Z` or an offset.
pub fn parse_rfc3339(text: &str) -> Option<f64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = three_numbers(date, '-')?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hours, minutes, seconds] = three_numbers(clock, ':')?;
    let offset = match zone.as_bytes().first()? {
        b'+' | b'-' => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let minutes = hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
        _ => 0,
    };
    if !((1..=12).contains(&month) && (1..=31).contains(&day) && (0..=9999).contains(&year)) {
        return None;
    }
    // Days since 1970 by counting years from March, so that the leap day is the last of its year.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era_day = shifted_year * 365 + shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let month_day = (153 * ((month + 9) % 12) + 2) / 5;
    let days = era_day + month_day + day - 1 - 719_468;
    let seconds = f64::from(days) * 86_400.0 + f64::from(hours * 3600 + (minutes - offset) * 60 + seconds);
    Some(seconds * 1000.0 + milliseconds(fraction))
}

/// Three small numbers with `mark` between them.
fn three_numbers(text: &str, mark: char) -> Option<[i32; 3]> {
    let mut parts = text
        .splitn(3, mark)
        .map(|part| part.parse::<u16>().map(i32::from).ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// The digits of a fraction of a second, in milliseconds; below a microsecond nothing is kept.
fn milliseconds(digits: &str) -> f64 {
    let mut unit = 100.0;
    let mut sum = 0.0;
    for digit in digits.chars().take(6).map_while(|digit| digit.to_digit(10)) {
        sum += f64::from(digit) * unit;
        unit /= 10.0;
    }
    sum
}

/// A length of time: `4 ms`, `0.8 s`, `4.2 s`, `12 s`, `3m 5s`.
pub fn duration(milliseconds: f64) -> String {
    let milliseconds = rounded(milliseconds);
    let tenths = (milliseconds + 50) / 100;
    let seconds = (milliseconds + 500) / 1000;
    match (milliseconds, tenths, seconds) {
        (0..100, ..) => format!("{milliseconds} ms"),
        (_, 0..100, _) => format!("{}.{} s", tenths / 10, tenths % 10),
        (.., 0..60) => format!("{seconds} s"),
        _ => format!("{}m {}s", seconds / 60, seconds % 60),
    }
}

/// How long planning took: `0.2 ms`, with a decimal where [`duration`] has none.
pub fn short_time(milliseconds: f64) -> String {
    let tenths = rounded(milliseconds * 10.0);
    if tenths < 100 {
        format!("{}.{} ms", tenths / 10, tenths % 10)
    } else {
        duration(milliseconds)
    }
}

/// The nearest whole number. Times are written by way of whole numbers: the standard library's way of writing
/// floating point loses nothing, for which there is no use here, and is large.
fn rounded(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, which is what a negative time asks for"
    )]
    let whole = number.round() as u64;
    whole
}

/// A size in the decimal units image tools use: `417 B`, `5.6 MB`, `287 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit = 1_000_u64;
    let mut shown = UNITS.iter();
    let mut name = shown.next();
    while bytes.div_ceil(unit) > 999
        && let Some(next) = shown.next()
    {
        unit *= 1000;
        name = Some(next);
    }
    let tenths = bytes / (unit / 10) + u64::from(bytes % (unit / 10) >= unit / 20);
    let name = name.unwrap_or(&"B");
    if tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", (tenths + 5) / 10)
    }
}

/// A count with its noun: `1 step`, `8 steps`.
pub fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_wire_are_read_to_the_fraction() {
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(
            parse_rfc3339("2024-02-29T12:30:15.25Z"),
            Some(1_709_209_815_250.0)
        );
        assert_eq!(
            parse_rfc3339("2024-02-29T13:30:15.25+01:00"),
            Some(1_709_209_815_250.0)
        );
        assert_eq!(
            parse_rfc3339("2024-02-29T11:00:15.25-01:30"),
            Some(1_709_209_815_250.0)
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "T",
            "2024-02-29",
            "2024-13-01T00:00:00Z",
            "2024-02-29T12:30Z",
            "soon",
            "2024-02-29T1:2:3+é:",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn durations_have_as_many_digits_as_matter() {
        let shown: Vec<_> = [0.2, 4.0, 99.4, 840.0, 4_180.0, 9_960.0, 12_400.0, 185_000.0]
            .map(duration)
            .into();
        assert_eq!(
            shown,
            ["0 ms", "4 ms", "99 ms", "0.8 s", "4.2 s", "10 s", "12 s", "3m 5s"]
        );
    }

    #[test]
    fn sizes_are_decimal_and_never_four_digits_long() {
        let shown: Vec<_> = [0, 999, 1_000, 7_940_000, 287_000_000, 999_700_000, u64::MAX]
            .map(size)
            .into();
        assert_eq!(
            shown,
            ["0 B", "999 B", "1.0 kB", "7.9 MB", "287 MB", "1.0 GB", "18 EB"]
        );
    }
}
