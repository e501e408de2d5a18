//! What a change makes of a text, as people read it: the lines before and after, with those around them.

use similar::{ChangeTag, TextDiff};

use super::style::Style;

/// The lines that differ between two texts, in the unified form that `patch` reads; empty where there are none.
pub(super) fn changes(style: Style, name: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(before, after);
    let mut text = format!(
        "{}\n{}\n",
        style.bold(&format!("--- {name}")),
        style.bold(&format!("+++ {name}"))
    );
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        text.push_str(&style.accent(hunk.header().to_string().trim_end()));
        text.push('\n');
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches(['\n', '\r']);
            let line = match change.tag() {
                ChangeTag::Delete => style.bad(&format!("-{line}")),
                ChangeTag::Insert => style.good(&format!("+{line}")),
                ChangeTag::Equal => format!(" {line}"),
            };
            text.push_str(&line);
            text.push('\n');
            if change.missing_newline() {
                text.push_str("\\ No newline at end of file\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_before_and_after_are_shown_with_those_around_them() {
        let changes = changes(Style::default(), "f", "a\nb\nc\nd\ne\n", "a\nb\nC\nd\ne\n");
        assert_eq!(changes, "--- f\n+++ f\n@@ -1,5 +1,5 @@\n a\n b\n-c\n+C\n d\n e\n");
        assert_eq!(super::changes(Style::default(), "f", "a", "a"), "");
    }
}
