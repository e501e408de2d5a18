//! What others said, as people may read it.

/// A text that strangers may have written as a terminal may have it: what would move its cursor, name its window, ask it
/// for answers, or turn the direction of writing is seen as a mark in its place. Lines and tabs stay.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\n' | '\t' => letter,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
            _ if letter.is_control() => char::REPLACEMENT_CHARACTER,
            _ => letter,
        })
        .collect()
}

/// What is at the bottom of an error. Those who passed it on repeat what the message around it says already.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
