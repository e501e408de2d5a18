//! Numbers as Go reads them, for those who write Dockerfiles are used to that.

/// Digits only, without a sign.
pub(super) fn unsigned(text: &str, radix: u32) -> Option<u32> {
    if text.starts_with('+') {
        None
    } else {
        u32::from_str_radix(text, radix).ok()
    }
}

/// A size in bytes: `64`, `64m`, `1.5GiB`; a thousand is 1024 here. The number may be written like `1_000` and `1.5e3`, as in Go.
/// One that is too large becomes the smallest number there is, as it does for `BuildKit` on amd64.
pub(super) fn size(text: &str) -> Option<i64> {
    let last = text.rfind(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | ' '))?;
    let (number, unit) = text.split_at(last + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let unit = unit.to_ascii_lowercase();
    let (prefix, rest) = unit.split_at(usize::from(!unit.is_empty() && unit.is_char_boundary(1)));
    let shift = match (prefix, rest) {
        ("" | "b", "") => 0,
        ("k", "" | "b" | "ib") => 10,
        ("m", "" | "b" | "ib") => 20,
        ("g", "" | "b" | "ib") => 30,
        ("t", "" | "b" | "ib") => 40,
        ("p", "" | "b" | "ib") => 50,
        _ => return None,
    };
    let (mut digits, mut tens) = decimal(number)?;
    if digits == 0 {
        return Some(0);
    }
    while tens > 0 {
        let Some(more) = digits.checked_mul(10) else {
            return Some(i64::MIN);
        };
        (digits, tens) = (more, tens - 1);
    }
    let mut bytes = u128::from(digits) << shift;
    while tens < 0 && bytes > 0 {
        (bytes, tens) = (bytes / 10, tens + 1);
    }
    // The largest ones are rounded to what is too large, since the number has a point there.
    let bytes = i64::try_from(bytes).ok().filter(|bytes| *bytes < i64::MAX - 511);
    Some(bytes.unwrap_or(i64::MIN))
}

/// A number that is not below zero, as its digits and the power of ten that they are multiplied with.
fn decimal(text: &str) -> Option<(u64, i32)> {
    let (negative, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if exponent.is_empty() || ![whole, fraction, unsigned].into_iter().all(is_grouped) {
        return None;
    }
    let mut tens: i32 = exponent.replace('_', "").parse().ok()?;
    let mut digits: u64 = 0;
    let places = whole.bytes().map(|digit| (digit, 0));
    for (digit, step) in places.chain(fraction.bytes().map(|digit| (digit, 1))) {
        if digit == b'_' {
            continue;
        }
        let longer = digits
            .checked_mul(10)
            .and_then(|digits| digits.checked_add(u64::from(digit - b'0')));
        // More than nineteen make no difference.
        match longer {
            Some(longer) => {
                digits = longer;
                tens = tens.saturating_sub(step);
            }
            None => tens = tens.saturating_add(1 - step),
        }
    }
    // What is too large for a number with a point is none.
    let too_large = digits != 0 && tens.saturating_add(digits.ilog10().cast_signed()) > 308;
    let below_zero = negative && digits != 0;
    (!too_large && !below_zero).then_some((digits, tens))
}

/// Whether there is nothing but digits, which may be set apart by `_`.
fn is_grouped(digits: &str) -> bool {
    digits.is_empty()
        || digits
            .split('_')
            .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A length of time in nanoseconds: `1h2m3.5s`, `300ms`, `0`.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let length = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let (whole, after) = rest.split_at(length);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(
                after
                    .find(|letter: char| !letter.is_ascii_digit())
                    .unwrap_or(after.len()),
            ),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let length = after
            .find(|letter: char| letter == '.' || letter.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(length);
        let nanoseconds: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total
            .checked_add(whole.checked_mul(nanoseconds)?)?
            .checked_add(part(fraction, nanoseconds))?;
        rest = after;
    }
    let total = i64::try_from(total).ok()?;
    Some(if negative { -total } else { total })
}

/// `0.fraction` of `unit`, rounded down.
fn part(fraction: &str, unit: u64) -> u64 {
    let mut scale: u64 = 1;
    let mut value: u64 = 0;
    for digit in fraction.bytes().take(15) {
        value = value * 10 + u64::from(digit - b'0');
        scale *= 10;
    }
    u64::try_from(u128::from(value) * u128::from(unit) / u128::from(scale)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("64", 64),
            ("64b", 64),
            ("1k", 1024),
            ("1.5 GiB", 1_610_612_736),
            ("2Mb", 2_097_152),
            ("+1e3t", 1_099_511_627_776_000),
            ("1E+3", 1000),
            ("1e-3g", 1_073_741),
            ("1_000", 1000),
            (".5", 0),
            ("5.k", 5120),
            ("-0k", 0),
            ("1e-400", 0),
            ("0e400", 0),
            ("1.1t", 1_209_462_790_553),
            ("9223372036854775807", i64::MIN),
            ("1e300p", i64::MIN),
            ("123456789012345678901234567890", i64::MIN),
            ("0.123456789012345678901234567890g", 132_560_717),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in [
            "", "x", "1x", "-1", "1kk", "1 é", "1__0", "_1", "1e", "1e400", ".", "1_.5", "1.2.3", "inf", "+",
        ] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1h2m3.5s"), Some(3_723_500_000_000));
        assert_eq!(duration("300ms"), Some(300_000_000));
        assert_eq!(duration("-1us"), Some(-1000));
        for bad in ["", "3", "s", "1d", "1s2", "."] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
