//! Lengths as SVG and CSS have them.

use yew::AttrValue;

/// A length with at most one decimal. Whole numbers do for it: the standard library's way of writing floating point
/// is made to lose nothing, and is larger than all of this drawing's code.
pub(super) fn px(length: f64) -> AttrValue {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, far beyond any drawing"
    )]
    let tenths = (length * 10.0).round() as i64;
    AttrValue::from(decimal(tenths))
}

fn decimal(tenths: i64) -> String {
    let sign = if tenths < 0 { "-" } else { "" };
    let (whole, rest) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    if rest == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{rest}")
    }
}
