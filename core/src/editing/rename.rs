//! Renaming a stage, everywhere it is named.

use thiserror::Error;

use crate::analysis::Input;
use crate::edit::{TextEdit, apply};
use crate::instruction::from::is_stage_name;
use crate::stage::Resolved;
use crate::study::study;
use crate::syntax;

use super::names::stage_references;
use super::pieces::Role;
use super::reading::{Reading, clamp};

/// Why a stage cannot be renamed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenameError {
    /// No stage is named there.
    #[error("There is no stage's name here. Put the cursor on one, after AS, FROM or --from=.")]
    NoStage,
    /// The stage has a number only.
    #[error("This stage has no name yet. Write AS and a name behind what it starts from.")]
    Unnamed,
    /// It cannot be called so.
    #[error(
        "\"{0}\" cannot be the name of a stage: it begins with a letter, and goes on with letters, digits, -, _ and ."
    )]
    Invalid(String),
    /// The name means something else already.
    #[error("\"{0}\" means something of its own in a Dockerfile. Choose another name.")]
    Reserved(String),
    /// Another stage has the name.
    #[error("There is another stage called \"{0}\". Choose another name.")]
    Taken(String),
    /// An image has the name, and would not be found any more.
    #[error("Line {1} uses the image \"{0}\", which the stage would hide. Choose another name.")]
    HidesImage(String, usize),
    /// A FROM gets the name out of a variable.
    #[error("Line {0} takes the name of this stage from a variable. Write the name there first.")]
    ByVariable(usize),
    /// The file would not mean the same.
    #[error(
        "With that name the file would not mean the same. The stage is named in a way that cannot be changed safely."
    )]
    Unclear,
}

/// What has to be changed for the stage that is named at `offset` to be called `name`, wherever it is named: after AS
/// and FROM, in `COPY --from=` and in mounts, in any case. Numbers stay.
pub fn rename(source: &str, offset: usize, name: &str) -> Result<Vec<TextEdit>, RenameError> {
    let tree = syntax::parse(source);
    let reading = Reading::new(source, &tree);
    let piece = reading
        .piece_at(clamp(source, offset))
        .ok_or(RenameError::NoStage)?;
    let index = reading.stage_of(piece).ok_or(RenameError::NoStage)?;
    let stage = reading.stages.all.get(index).ok_or(RenameError::NoStage)?;
    let Some((old, _)) = &stage.name else {
        return Err(RenameError::Unnamed);
    };
    let lower = name.to_ascii_lowercase();
    if !is_stage_name(&lower) {
        return Err(RenameError::Invalid(name.to_owned()));
    }
    if matches!(lower.as_str(), "scratch" | "context") {
        return Err(RenameError::Reserved(name.to_owned()));
    }
    if !old.eq_ignore_ascii_case(name) && reading.stages.named(name).is_some() {
        return Err(RenameError::Taken(name.to_owned()));
    }
    let line = |offset: usize| reading.document.row_at(offset) + 1;
    let hidden = reading.pieces.iter().find(|piece| match piece.role {
        Role::Base => reading.stage_of(piece).is_none() && reading.text(piece) == lower,
        Role::Source { .. } => {
            reading.stage_of(piece).is_none() && reading.text(piece).eq_ignore_ascii_case(name)
        }
        _ => false,
    });
    if let Some(piece) = hidden {
        return Err(RenameError::HidesImage(name.to_owned(), line(piece.span.start)));
    }
    let named = stage_references(&reading, index).filter(|piece| reading.text(piece).parse::<i64>().is_err());
    let edits = named.map(|piece| {
        // A FROM finds names in lower case only.
        let text = if piece.role == Role::Base {
            lower.as_str()
        } else {
            name
        };
        TextEdit::replace(piece.span, text)
    });
    let edits: Vec<TextEdit> = edits
        .filter(|edit| source.get(edit.span.start..edit.span.end) != Some(&edit.text))
        .collect();
    keeps_meaning(source, &edits, index).map_err(|by_variable| match by_variable {
        Some(offset) => RenameError::ByVariable(line(offset)),
        None => RenameError::Unclear,
    })?;
    Ok(edits)
}

/// Whether each stage still gets its files from where it got them. Else, where a FROM that uses a variable stands, if
/// that is why.
fn keeps_meaning(source: &str, edits: &[TextEdit], stage: usize) -> Result<(), Option<usize>> {
    let input = |source: String| Input {
        source,
        ..Input::default()
    };
    let before = input(source.to_owned());
    let before = study(&before);
    let by_variable = before
        .plan
        .resolved
        .nodes
        .iter()
        .zip(&before.program.stages)
        .find(|(node, written)| {
            let base = written.from.as_ref().map(|from| from.base.text.contains('$'));
            node.base == Some(stage) && base == Some(true)
        });
    if let Some((node, _)) = by_variable {
        return Err(Some(node.base_span.start));
    }
    let after = input(apply(source, edits).map_err(|_| None)?);
    if sources(&study(&after).plan.resolved) == sources(&before.plan.resolved) {
        Ok(())
    } else {
        Err(None)
    }
}

/// Where each stage, and each image in the place of one, gets its files from.
fn sources(resolved: &Resolved) -> Vec<(Option<usize>, Option<&str>, Vec<usize>)> {
    let nodes = resolved.nodes.iter().map(|node| {
        let image = node.base.is_none().then_some(node.base_name.as_str());
        let others = node.dependencies.iter().map(|dependency| dependency.on);
        (node.base, image, others.collect())
    });
    nodes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file with the stage at `|` renamed.
    fn renamed(marked: &str, name: &str) -> Result<String, RenameError> {
        let offset = marked.find('|').unwrap();
        let source = marked.replacen('|', "", 1);
        Ok(apply(&source, &rename(&source, offset, name)?).unwrap())
    }

    #[test]
    fn a_stage_is_renamed_wherever_it_is_named() {
        let file = "FROM a AS Build\nFROM build AS c\nCOPY --from=BUILD x y\nCOPY --from=0 x y\nRUN --mount=target=/b,from=build x\nONBUILD COPY --from=build x y\n";
        let expected = "FROM a AS Make\nFROM make AS c\nCOPY --from=Make x y\nCOPY --from=0 x y\nRUN --mount=target=/b,from=Make x\nONBUILD COPY --from=Make x y\n";
        for at in ["AS B", "FROM b", "--from=BU", "--from=", "b,from=b"] {
            let at = if at == "--from=" { "x y\nCOPY --from=" } else { at };
            let marked = file.replacen(at, &format!("{at}|"), 1);
            assert_eq!(renamed(&marked, "Make").as_deref(), Ok(expected), "{marked}");
        }
    }

    #[test]
    fn what_would_go_wrong_is_said() {
        for (marked, name, error) in [
            ("FRO|M a AS b", "c", RenameError::NoStage),
            ("FROM a\nCOPY --from=|0 x y", "c", RenameError::Unnamed),
            ("FROM a AS |b", "1c", RenameError::Invalid("1c".into())),
            ("FROM a AS |b", "scratch", RenameError::Reserved("scratch".into())),
            ("FROM a AS |b\nFROM a AS c", "C", RenameError::Taken("C".into())),
            (
                "FROM a AS |b\nFROM c",
                "c",
                RenameError::HidesImage("c".into(), 2),
            ),
            (
                "FROM a AS |b\nCOPY --from=c x y",
                "c",
                RenameError::HidesImage("c".into(), 2),
            ),
            ("ARG X=b\nFROM a AS |b\nFROM $X", "c", RenameError::ByVariable(3)),
        ] {
            assert_eq!(renamed(marked, name), Err(error), "{marked}");
        }
    }

    #[test]
    fn a_name_that_lines_tear_apart_cannot_be_changed() {
        let marked = "FROM a AS |bc\nFROM x\nCOPY --from=b\\\nc x y\n";
        assert_eq!(renamed(marked, "d"), Err(RenameError::Unclear));
    }

    #[test]
    fn of_stages_of_one_name_each_has_its_own_uses() {
        let marked = "FROM a AS b\nFROM b AS |b\nFROM b\nCOPY --from=b x y\n";
        assert_eq!(
            renamed(marked, "c").as_deref(),
            Ok("FROM a AS b\nFROM b AS c\nFROM c\nCOPY --from=c x y\n")
        );
    }
}
