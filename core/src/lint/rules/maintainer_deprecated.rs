//! `MaintainerDeprecated`: A label says the same, and more.

use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::span::Span;
use crate::syntax::{Arguments, Keyword, Node};

pub(super) const RULE: Rule = Rule::reference(
    "MaintainerDeprecated",
    "maintainer-deprecated",
    "A label says the same, and more.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for node in &file.study.tree.nodes {
        if node.keyword != Some(Keyword::Maintainer) {
            continue;
        }
        let message = "MAINTAINER is a thing of the past: use LABEL org.opencontainers.image.authors=….";
        found.push(Found::written(node, message.to_owned()).fix(as_label(file, node)));
    }
}

fn as_label(file: &File<'_>, node: &Node<'_>) -> Option<Fix> {
    let escape = file.study.tree.escape;
    let Ok(Arguments::Text(text)) = Node::read(node.line.clone(), escape).arguments else {
        return None;
    };
    // The name was taken as it stands; in a label, quotes and variables mean something.
    let mut value = String::new();
    for letter in text.text.chars() {
        if letter == '"' || letter == '$' || letter == escape {
            value.push(escape);
        }
        value.push(letter);
    }
    let name = if node.name().chars().all(char::is_lowercase) {
        "label"
    } else {
        "LABEL"
    };
    let label = format!("{name} org.opencontainers.image.authors=\"{value}\"");
    let span = Span::new(node.name_span.start, text.span.end);
    Some(Fix::safe("Write a label", vec![TextEdit::replace(span, label)]))
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of("MaintainerDeprecated", "FROM scratch\nMAINTAINER me\n"),
            [2]
        );
        assert_eq!(
            lines_of(
                "MaintainerDeprecated",
                "FROM scratch\nLABEL org.opencontainers.image.authors=me\n"
            ),
            [0; 0]
        );
    }

    #[test]
    fn the_name_goes_into_a_label() {
        assert_eq!(
            fixed(
                "MaintainerDeprecated",
                "FROM scratch\nMAINTAINER A \"B\" <a@b.c>\n"
            ),
            "FROM scratch\nLABEL org.opencontainers.image.authors=\"A \\\"B\\\" <a@b.c>\"\n"
        );
    }
}
