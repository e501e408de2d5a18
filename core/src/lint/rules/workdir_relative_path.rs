//! `WorkdirRelativePath`: A relative path depends on what the base image says.

use crate::analysis::Base;
use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::file::{File, Stage, Step};
use crate::lint::finding::{Fix, Found};
use crate::path::clean;
use crate::plan::is_absolute;
use crate::syntax::Word;

pub(super) const RULE: Rule = Rule::reference(
    "WorkdirRelativePath",
    "workdir-relative-path",
    "A relative path depends on what the base image says.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut set: Vec<bool> = Vec::new();
    for stage in &file.stages {
        let base = stage.base.and_then(|base| set.get(base).copied());
        let mut known = base.unwrap_or_default();
        for step in &stage.steps {
            let Some(Instruction::Workdir(workdir)) = step.instruction() else {
                continue;
            };
            let path = step.worked.words.first().map(String::as_str).unwrap_or_default();
            if !known && stage.looked_at && !is_absolute(path, &stage.os) {
                let message = format!(
                    "Where {} is depends on the base image. Begin with an absolute path.",
                    workdir.path.text
                );
                let finding = Found::done(step, message).fix(absolute(file, stage, step, &workdir.path));
                found.push(if step.worked.failed.is_some() {
                    finding.late()
                } else {
                    finding
                });
            }
            known = true;
        }
        set.push(known);
    }
}

/// The path as it is now, where what the stage starts from is known.
fn absolute(file: &File<'_>, stage: &Stage<'_>, step: &Step<'_>, path: &Word) -> Option<Fix> {
    let dir = match file.study.plan.bases.get(stage.index)? {
        Base::Scratch => "/",
        Base::Image(image) => {
            let dir = file.facts(*image)?.config.pointer("/config/WorkingDir");
            dir.and_then(|dir| dir.as_str())
                .filter(|dir| !dir.is_empty())
                .unwrap_or("/")
        }
        Base::Stage(_) | Base::Unknown => return None,
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-/.".contains(letter);
    let direct = !path.text.split('/').any(|part| part == "." || part == "..");
    if step.trigger || stage.os == "windows" || !path.text.chars().all(plain) || !direct {
        return None;
    }
    // Only a path that is joined to another is cleaned.
    let path_now = clean(&[dir, "/", &path.text].concat()).into_owned();
    Some(Fix::safe(
        format!("Write {path_now}"),
        vec![TextEdit::replace(path.span, path_now)],
    ))
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of("WorkdirRelativePath", "FROM alpine\nWORKDIR app\nWORKDIR sub\n"),
            [2]
        );
        assert_eq!(
            lines_of("WorkdirRelativePath", "FROM alpine\nWORKDIR /app\nWORKDIR sub\n"),
            [0; 0]
        );
    }

    #[test]
    fn it_is_where_it_was() {
        let rule = "WorkdirRelativePath";
        assert_eq!(
            fixed(rule, "FROM scratch\nWORKDIR app/\n"),
            "FROM scratch\nWORKDIR /app\n"
        );
        let unknown = "FROM alpine\nWORKDIR app\n";
        assert_eq!(fixed(rule, unknown), unknown);
    }
}
