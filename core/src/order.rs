//! Putting things in order by their text.
//!
//! Every type that is sorted brings the sorting code once more, some kilobytes of a WebAssembly module that is
//! fetched by every page. So it is texts that are sorted, and what they belong to follows.

/// `things` in the order of their texts; those of one text stay in the order that they have.
pub(crate) fn by_text<T>(things: Vec<T>, text: impl Fn(&T) -> &str) -> Vec<T> {
    if things.len() < 2 {
        return things;
    }
    let mut order: Vec<(&str, usize)> = things
        .iter()
        .enumerate()
        .map(|(index, thing)| (text(thing), index))
        .collect();
    order.sort_unstable();
    let order: Vec<usize> = order.into_iter().map(|(_, index)| index).collect();
    let mut things: Vec<Option<T>> = things.into_iter().map(Some).collect();
    order
        .into_iter()
        .filter_map(|index| things.get_mut(index)?.take())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::by_text;

    #[test]
    fn equal_texts_stay_in_place() {
        let sorted = by_text(vec![("b", 1), ("a", 2), ("b", 3), ("a", 4)], |(text, _)| text);
        assert_eq!(sorted, [("a", 2), ("a", 4), ("b", 1), ("b", 3)]);
    }
}
