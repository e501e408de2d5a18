//! `StageNameCasing`: A stage is called by its name in lower case, so it is best written that way.

use std::collections::BTreeMap;

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
    let references = references(file);
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
                let here = file.study.plan.resolved.by_name(&known.text) == Some(stage.index);
                let others = references.get(&known.text).filter(|_| here);
                edits.extend(others.into_iter().flatten().cloned());
                Fix::safe(format!("Call it {}", known.text), edits)
            });
            found.push(Found::written(stage.node, message).fix(fix));
        }
    }
}

/// Where files are copied from stages under another case of their names, by name.
fn references(file: &File<'_>) -> BTreeMap<String, Vec<TextEdit>> {
    let steps = file.stages.iter().flat_map(|stage| &stage.steps);
    let mut edits: BTreeMap<String, Vec<TextEdit>> = BTreeMap::new();
    for step in steps.filter(|step| !step.trigger) {
        let Some(Instruction::Copy(copy)) = step.instruction() else {
            continue;
        };
        let Some(from) = &copy.from else { continue };
        let name = from.text.to_ascii_lowercase();
        let written = file.study.source.get(from.span.start..from.span.end);
        if from.text != name && written == Some(&["--from=", &from.text].concat()) {
            let edit = TextEdit::replace(from.span, ["--from=", &name].concat());
            edits.entry(name).or_default().push(edit);
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
