//! Whether a pattern is one that Go's `filepath.Match` can read: the first of the two readers that a pattern has to
//! please. What it would match is not asked here.

/// Whether `pattern` can be read.
pub(super) fn is_valid(pattern: &str) -> bool {
    let mut rest = pattern;
    while !rest.is_empty() {
        rest = rest.trim_start_matches('*');
        let (chunk, after) = rest.split_at(chunk_end(rest));
        if !is_valid_chunk(chunk) {
            return false;
        }
        rest = after;
    }
    true
}

/// Where the next star stands that is not within brackets.
fn chunk_end(text: &str) -> usize {
    let mut within = false;
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '[' => within = true,
            ']' => within = false,
            '*' if !within => return place,
            _ => {}
        }
    }
    text.len()
}

fn is_valid_chunk(chunk: &str) -> bool {
    let mut letters = chunk.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.next().is_none() => return false,
            '[' if !skip_class(&mut letters) => return false,
            _ => {}
        }
    }
    true
}

/// Goes past the `]` of a class; false where it has none, or nothing in it.
fn skip_class(letters: &mut std::str::Chars<'_>) -> bool {
    let next_is = |letters: &std::str::Chars<'_>, wanted: char| letters.as_str().starts_with(wanted);
    if next_is(letters, '^') {
        letters.next();
    }
    let mut any = false;
    loop {
        if any && next_is(letters, ']') {
            letters.next();
            return true;
        }
        if !skip_class_letter(letters) {
            return false;
        }
        if next_is(letters, '-') {
            letters.next();
            if !skip_class_letter(letters) {
                return false;
            }
        }
        any = true;
    }
}

/// A letter of a class, which something has to follow.
fn skip_class_letter(letters: &mut std::str::Chars<'_>) -> bool {
    let read = match letters.next() {
        None | Some('-' | ']') => false,
        Some('\\') => letters.next().is_some(),
        Some(_) => true,
    };
    read && !letters.as_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_close_and_hold_something() {
        for good in [
            "a*b",
            "[a-z]",
            "[^a]",
            "[\\]]",
            "[a]]",
            "]",
            "[*]",
            "[a\\-b]",
            "**/[[:alpha:]]",
        ] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "[", "[]", "[]a]", "[a", "[a-]", "[-a]", "[^]", "a\\", "*[", "[a-\\]", "[z-]*]",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
