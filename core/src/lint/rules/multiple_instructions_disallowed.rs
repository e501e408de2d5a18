//! `MultipleInstructionsDisallowed`: Only the last of them counts.

use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::syntax::Keyword;

pub(super) const RULE: Rule = Rule::reference(
    "MultipleInstructionsDisallowed",
    "multiple-instructions-disallowed",
    "Only the last of them counts.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in file.looked_at() {
        for keyword in [Keyword::Cmd, Keyword::Entrypoint, Keyword::Healthcheck] {
            let mut same = stage
                .steps
                .iter()
                .filter(|step| step.node.keyword == Some(keyword));
            let Some(mut before) = same.next() else { continue };
            for step in same {
                let message = format!(
                    "This {} does nothing: a later one of the stage takes its place.",
                    before.node.name()
                );
                let lines = (!before.trigger).then(|| TextEdit::remove(file.whole_lines(&before.node)));
                let fix =
                    lines.map(|edit| Fix::safe(format!("Remove this {}", before.node.name()), vec![edit]));
                // It is the later one that makes it so, and whose comments count.
                let finding = Found::of_file(&before.node, step.when, message).unless(&step.node);
                found.push(finding.fix(fix));
                before = step;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of(
                "MultipleInstructionsDisallowed",
                "FROM scratch\nCMD [\"a\"]\nCMD [\"b\"]\n"
            ),
            [2]
        );
        assert_eq!(
            lines_of("MultipleInstructionsDisallowed", "FROM scratch\nCMD [\"b\"]\n"),
            [0; 0]
        );
    }

    #[test]
    fn the_comments_above_the_later_one_count() {
        let rule = "MultipleInstructionsDisallowed";
        let skip = "# check=skip=MultipleInstructionsDisallowed\n";
        let later = format!("FROM scratch\nCMD [\"a\"]\n{skip}CMD [\"b\"]\n");
        assert_eq!(lines_of(rule, &later), [0; 0]);
        let earlier = format!("FROM scratch\n{skip}CMD [\"a\"]\nCMD [\"b\"]\n");
        assert_eq!(lines_of(rule, &earlier), [3]);
    }

    #[test]
    fn the_earlier_one_goes() {
        let source = "FROM scratch\n  CMD [\"a\", \\\n \"x\"]\nCMD [\"b\"]\n";
        assert_eq!(
            fixed("MultipleInstructionsDisallowed", source),
            "FROM scratch\nCMD [\"b\"]\n"
        );
    }
}
