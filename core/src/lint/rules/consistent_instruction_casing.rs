//! `ConsistentInstructionCasing`: A file reads best with all its instructions in one case.

use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::lint::moment::Moment;
use crate::syntax::Node;

pub(super) const RULE: Rule = Rule::reference(
    "ConsistentInstructionCasing",
    "consistent-instruction-casing",
    "A file reads best with all its instructions in one case.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let nodes = || {
        let stages = file.stages.iter();
        stages.flat_map(|stage| {
            let steps = stage.steps.iter().filter(|step| !step.trigger);
            std::iter::once((stage.node, stage.words.get(1))).chain(steps.map(|step| (&*step.node, None)))
        })
    };
    let lower = nodes().filter(|(node, _)| is_lower(node)).count();
    let upper = nodes()
        .filter(|(node, _)| !is_lower(node) && is_upper(node))
        .count();
    for (node, word_as) in nodes() {
        let (fits, case) = if lower > upper {
            (is_lower(node), "lower")
        } else {
            (is_upper(node), "upper")
        };
        if !fits {
            let message = format!(
                "{} is not in {case} case, as most instructions of this file are.",
                node.name()
            );
            let cased = |text: &str| {
                if lower > upper {
                    text.to_ascii_lowercase()
                } else {
                    text.to_ascii_uppercase()
                }
            };
            let name = cased(node.name());
            let mut edits = vec![TextEdit::replace(node.name_span, name.as_str())];
            // FROM and AS are one instruction.
            edits.extend(
                word_as
                    .filter(|word| word.text.eq_ignore_ascii_case("as"))
                    .map(|word| TextEdit::replace(word.span, cased(&word.text))),
            );
            // Only the letters that names of instructions have are changed.
            let fix = (name != node.name()).then(|| Fix::safe(format!("Write {name}"), edits));
            found.push(Found::of_file(node, Moment::NAMES, message).fix(fix));
        }
    }
}

fn is_lower(node: &Node<'_>) -> bool {
    node.name().to_lowercase() == node.name()
}

fn is_upper(node: &Node<'_>) -> bool {
    node.name().to_uppercase() == node.name()
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of(
                "ConsistentInstructionCasing",
                "FROM scratch\nCMD [\"a\"]\nenv A=1\n"
            ),
            [3]
        );
        assert_eq!(
            lines_of("ConsistentInstructionCasing", "from scratch\nenv A=1\n"),
            [0; 0]
        );
    }

    #[test]
    fn the_name_is_written_like_the_others() {
        let source = "from scratch as a\nRUN a\nRUN b\n";
        let mended = "FROM scratch AS a\nRUN a\nRUN b\n";
        assert_eq!(fixed("ConsistentInstructionCasing", source), mended);
    }
}
