//! `NoEmptyContinuation`: An empty line within an instruction will one day end it.

use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::lint::moment::Moment;
use crate::span::Span;
use crate::syntax::Node;

pub(super) const RULE: Rule = Rule::reference(
    "NoEmptyContinuation",
    "no-empty-continuation",
    "An empty line within an instruction will one day end it.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let empty = file
        .study
        .diagnostics
        .iter()
        .filter(|finding| finding.code == RULE.name);
    for finding in empty {
        let fix = file.study.tree.node_at(finding.span.start).map(|node| {
            let edits = empty_lines(file, node).map(TextEdit::remove);
            Fix::safe("Remove the empty lines", edits.collect())
        });
        found.push(Found {
            span: finding.span,
            lines: finding.lines,
            comments: Vec::new(),
            message: finding.message.clone(),
            when: Moment::TEXT,
            severity: None,
            fixes: fix.into_iter().collect(),
        });
    }
}

/// The lines of an instruction that have nothing on them; those of its heredocs are their content.
fn empty_lines<'f>(file: &File<'f>, node: &Node<'_>) -> impl Iterator<Item = Span> + use<'f> {
    let source = file.study.source;
    let end = node
        .heredocs
        .first()
        .map_or(node.span.end, |heredoc| heredoc.span.start);
    // The last line may be empty too, and then its newline belongs to it.
    let end = source
        .get(end..)
        .and_then(|rest| rest.find('\n'))
        .map_or(end, |newline| end + newline + 1);
    let end = node.heredocs.first().map_or(end, |heredoc| heredoc.span.start);
    let mut at = node.span.start;
    let lines = source.get(at..end).unwrap_or_default().split_inclusive('\n');
    let spans = lines.map(move |line| {
        at += line.len();
        (line, Span::new(at - line.len(), at))
    });
    spans
        .filter(|(line, _)| line.trim().is_empty())
        .map(|(_, span)| span)
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of("NoEmptyContinuation", "FROM scratch\nLABEL a=b \\\n\n  c=d\n"),
            [4]
        );
        assert_eq!(
            lines_of("NoEmptyContinuation", "FROM scratch\nLABEL a=b \\\n  c=d\n"),
            [0; 0]
        );
    }

    #[test]
    fn the_empty_lines_go() {
        let source = "FROM scratch\nLABEL a=b \\\n\n  c=d \\\n \t\n # note\n  e=f\n\nLABEL g=h\n";
        let mended = "FROM scratch\nLABEL a=b \\\n  c=d \\\n # note\n  e=f\n\nLABEL g=h\n";
        assert_eq!(fixed("NoEmptyContinuation", source), mended);
    }
}
