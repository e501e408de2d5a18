//! `StageNameCasing`: A stage is called by its name in lower case, so it is best written that way.

use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};

pub(super) const RULE: Rule = Rule::reference(
    "StageNameCasing",
    "stage-name-casing",
    "A stage is called by its name in lower case, so it is best written that way.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in &file.stages {
        if let [_, _, name] = stage.words.as_slice()
            && name.text.to_lowercase() != name.text
        {
            let message = format!(
                "The name of the stage, {}, is not in lower case, in which it is known.",
                name.text
            );
            let fix = stage.from.and_then(|from| from.name.as_ref()).map(|known| {
                let mut edits = vec![TextEdit::replace(name.span, known.text.as_str())];
                edits.extend(references(file, stage.index, &known.text));
                Fix::safe(format!("Call it {}", known.text), edits)
            });
            found.push(Found::written(stage.node, message).fix(fix));
        }
    }
}

/// Where files are copied from the stage under another case of its name.
fn references(file: &File<'_>, index: usize, name: &str) -> Vec<TextEdit> {
    if file.study.plan.resolved.by_name(name) != Some(index) {
        return Vec::new();
    }
    let steps = file.stages.iter().flat_map(|stage| &stage.steps);
    let mut edits = Vec::new();
    for step in steps.filter(|step| !step.trigger) {
        if let Some(Instruction::Copy(copy)) = step.instruction()
            && let Some(from) = &copy.from
            && from.text != name
            && from.text.eq_ignore_ascii_case(name)
            && let Some(written) = file.study.source.get(from.span.start..from.span.end)
            && written == ["--from=", &from.text].concat()
        {
            edits.push(TextEdit::replace(from.span, ["--from=", name].concat()));
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(lines_of("StageNameCasing", "FROM scratch AS Build"), [1]);
        assert_eq!(lines_of("StageNameCasing", "FROM scratch AS build"), [0; 0]);
    }

    #[test]
    fn it_is_called_the_same_everywhere() {
        let source = "FROM a AS Build\nFROM b\nCOPY --from=BUILD / /\nCOPY --from=build / /\n";
        let mended = "FROM a AS build\nFROM b\nCOPY --from=build / /\nCOPY --from=build / /\n";
        assert_eq!(fixed("StageNameCasing", source), mended);
    }
}
