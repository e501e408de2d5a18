//! The one sort of the layout.
//!
//! A sort is compiled anew for every type it is used with, several kilobytes each, and the page downloads them all.
//! So what is to be sorted is written as rows of numbers.

/// Sorts rows, column by column. Rows that end in an index keep the order of their indices where all else is equal.
pub(super) fn sort(rows: &mut [[f64; 4]]) {
    rows.sort_unstable_by(|one, other| {
        let columns = one.iter().zip(other).map(|(one, other)| one.total_cmp(other));
        columns
            .into_iter()
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
}

/// The index in a column of a sorted row.
pub(super) fn index(number: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was made from an index"
    )]
    let index = number as usize;
    index
}

/// Sorts rows and cuts them where one of the first `columns` numbers changes.
pub(super) fn groups(rows: &mut [[f64; 4]], columns: usize) -> impl Iterator<Item = &[[f64; 4]]> {
    sort(rows);
    rows.chunk_by(move |one, other| one[..columns] == other[..columns])
}
