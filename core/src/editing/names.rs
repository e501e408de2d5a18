//! Names: where a stage or a variable comes from, and where it is used.

use std::collections::BTreeMap;

use crate::span::Span;
use crate::syntax::{self, Keyword};

use super::pieces::{Piece, Role};
use super::reading::{Reading, clamp};
use super::stages::Stages;

/// Where what is named at `offset` gets its name: the AS of a stage, the ARG or ENV of a variable. `None` where nothing
/// is named, or nothing in the file says what it is.
#[must_use]
pub fn definition(source: &str, offset: usize) -> Option<Span> {
    let tree = syntax::parse(source);
    let reading = Reading::new(source, &tree);
    let piece = reading.piece_at(clamp(source, offset))?;
    if let Some(stage) = reading.stage_of(piece) {
        let stage = reading.stages.all.get(stage)?;
        let from = tree.nodes.get(stage.node)?;
        return Some(stage.name.as_ref().map_or(from.name_span, |(_, span)| *span));
    }
    match &piece.role {
        Role::Variable(name) | Role::Declared(name) => {
            let declarations = Declarations::of(&reading, name);
            declarations.before(&reading, piece).or(match piece.role {
                Role::Declared(_) => Some(piece.span),
                _ => None,
            })
        }
        _ => None,
    }
}

/// Every place where what is named at `offset` is named, the place itself included, in the order of the file.
#[must_use]
pub fn references(source: &str, offset: usize) -> Vec<Span> {
    let tree = syntax::parse(source);
    let reading = Reading::new(source, &tree);
    let Some(piece) = reading.piece_at(clamp(source, offset)) else {
        return Vec::new();
    };
    if let Some(stage) = reading.stage_of(piece) {
        return stage_references(&reading, stage)
            .map(|piece| piece.span)
            .collect();
    }
    match &piece.role {
        Role::Variable(name) | Role::Declared(name) => {
            let declarations = Declarations::of(&reading, name);
            let same = declarations.connected(&reading);
            let scope = |piece: &Piece| same.get(scope(&reading, piece)).copied();
            let wanted = scope(piece);
            let named = reading.pieces.iter().filter(|piece| match &piece.role {
                Role::Variable(found) | Role::Declared(found) => found == name,
                _ => false,
            });
            named
                .filter(|piece| scope(piece) == wanted)
                .map(|piece| name_span(piece, name))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The pieces that name a stage.
pub(super) fn stage_references<'r>(
    reading: &'r Reading<'_, '_>,
    stage: usize,
) -> impl Iterator<Item = &'r Piece> {
    reading
        .pieces
        .iter()
        .filter(move |piece| reading.stage_of(piece) == Some(stage))
}

/// The name alone, without the `$` or `${` before it.
fn name_span(piece: &Piece, name: &str) -> Span {
    Span::new(
        piece.span.end.saturating_sub(name.len()).max(piece.span.start),
        piece.span.end,
    )
}

/// Where variables hold: 0 is what all stages share, then there is one for each stage.
fn scope(reading: &Reading<'_, '_>, piece: &Piece) -> usize {
    match piece.node {
        Some(node) if !reading.is_global(node) => reading.stages.of_node(node).map_or(0, |stage| stage + 1),
        _ => 0,
    }
}

/// The ARGs and ENVs of one name.
struct Declarations {
    /// By scope, in the order of the file.
    by_scope: BTreeMap<usize, Vec<Declaration>>,
}

struct Declaration {
    span: Span,
    node: usize,
    is_env: bool,
    /// An ARG that only repeats a global one.
    repeats: bool,
}

impl Declarations {
    fn of(reading: &Reading<'_, '_>, name: &str) -> Self {
        let mut by_scope: BTreeMap<usize, Vec<Declaration>> = BTreeMap::new();
        for piece in &reading.pieces {
            let (Role::Declared(found), Some(node)) = (&piece.role, piece.node) else {
                continue;
            };
            if found != name {
                continue;
            }
            let keyword = reading
                .document
                .tree
                .nodes
                .get(node)
                .and_then(|node| node.keyword);
            let has_value = reading
                .document
                .source
                .get(piece.span.end..)
                .is_some_and(|rest| rest.starts_with('='));
            by_scope
                .entry(scope(reading, piece))
                .or_default()
                .push(Declaration {
                    span: piece.span,
                    node,
                    is_env: keyword == Some(Keyword::Env),
                    repeats: keyword == Some(Keyword::Arg) && !has_value,
                });
        }
        Self { by_scope }
    }

    /// The declaration that holds at a piece; for a declaration, the one that it takes over from.
    fn before(&self, reading: &Reading<'_, '_>, piece: &Piece) -> Option<Span> {
        let own = scope(reading, piece);
        let node = piece.node?;
        if let Some(found) = self.by_scope.get(&own) {
            let before = found.partition_point(|found| found.span.start < piece.span.start);
            // An ENV sets all of its names at once.
            let mut before = found.iter().take(before).rev();
            if let Some(found) = before.find(|found| !(found.is_env && found.node == node)) {
                return Some(found.span);
            }
        }
        let own_repeats = self.by_scope.get(&own).is_some_and(|found| {
            found
                .iter()
                .any(|found| found.span == piece.span && found.repeats)
        });
        for stage in bases(&reading.stages, own.checked_sub(1)?) {
            if let Some(found) = self.by_scope.get(&(stage + 1)).and_then(|found| found.last()) {
                return Some(found.span);
            }
        }
        let global = self.by_scope.get(&0).and_then(|found| found.last());
        global.filter(|_| own_repeats).map(|found| found.span)
    }

    /// For each scope, one that stands for all in which the name is the same variable.
    fn connected(&self, reading: &Reading<'_, '_>) -> Vec<usize> {
        let mut same: Vec<usize> = (0..=reading.stages.all.len()).collect();
        let mut visible = vec![false; same.len()];
        let shared = self.by_scope.contains_key(&0);
        for (index, stage) in reading.stages.all.iter().enumerate() {
            let own = index + 1;
            let declared = self.by_scope.get(&own);
            let base = stage
                .base
                .as_ref()
                .and_then(|(base, _)| reading.stages.base(index, base));
            let inherited = base
                .map(|base| base + 1)
                .filter(|base| visible.get(*base) == Some(&true));
            let global = declared.is_some_and(|found| found.iter().any(|found| found.repeats)) && shared;
            let mut joined = own;
            for other in inherited.into_iter().chain(global.then_some(0)) {
                let (root, mine) = (same.get(other).copied().unwrap_or(0), joined);
                // Of two that turn out to be one, the smaller stands for both.
                let (least, most) = (root.min(mine), root.max(mine));
                if least != most {
                    same.iter_mut()
                        .filter(|same| **same == most)
                        .for_each(|same| *same = least);
                }
                joined = least;
            }
            if let Some(same) = same.get_mut(own) {
                *same = joined;
            }
            if let Some(visible) = visible.get_mut(own) {
                *visible = declared.is_some() || inherited.is_some();
            }
        }
        same
    }
}

/// What a stage starts from, and what that starts from, and so on.
fn bases(stages: &Stages, stage: usize) -> impl Iterator<Item = usize> {
    let next = move |&stage: &usize| {
        let (base, _) = stages.all.get(stage)?.base.as_ref()?;
        stages.base(stage, base)
    };
    std::iter::successors(Some(stage), next).skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The source has a `|` at the place that is asked about.
    fn place(marked: &str) -> (String, usize) {
        let offset = marked.find('|').unwrap();
        (marked.replacen('|', "", 1), offset)
    }

    /// What stands on the line of the definition, from it on.
    fn defined(marked: &str) -> Option<String> {
        let (source, offset) = place(marked);
        let span = definition(&source, offset)?;
        Some(source[span.start..].lines().next().unwrap_or_default().to_owned())
    }

    fn lines(marked: &str) -> Vec<usize> {
        let (source, offset) = place(marked);
        let spans = references(&source, offset).into_iter();
        spans
            .map(|span| source[..span.start].matches('\n').count() + 1)
            .collect()
    }

    #[test]
    fn a_stage_is_defined_where_it_is_named() {
        let file = "FROM a AS Build # x\nFROM build\nCOPY --from=BUILD a b\n";
        let file = file.replace(" # x", "");
        for at in ["FROM bu", "--from=B"] {
            let marked = file.replacen(at, &format!("{at}|"), 1);
            assert_eq!(defined(&marked).as_deref(), Some("Build"), "{marked}");
        }
        assert_eq!(defined("FROM a\nCOPY --from=|0 a b").as_deref(), Some("FROM a"));
        assert_eq!(defined("FROM a|\nCOPY --from=b a b"), None);
    }

    #[test]
    fn a_stage_is_used_by_name_number_and_mount() {
        assert_eq!(
            lines(
                "FROM a AS |b\nFROM b AS c\nCOPY --from=B x y\nCOPY --from=0 x y\nRUN --mount=from=b,target=/b x\nRUN --mount=from=0,target=/b x\nONBUILD COPY --from=b x y\n"
            ),
            [1, 2, 3, 4, 5, 7]
        );
    }

    #[test]
    fn a_variable_is_defined_by_what_was_said_last() {
        assert_eq!(defined("ARG A=1\nFROM x:$|A").as_deref(), Some("A=1"));
        assert_eq!(
            defined("FROM x\nENV A=2\nENV A=3\nRUN $|A").as_deref(),
            Some("A=3")
        );
        assert_eq!(
            defined("FROM x\nENV A=2\nENV A=3 B=${|A}").as_deref(),
            Some("A=2")
        );
        assert_eq!(
            defined("FROM x AS y\nENV A=2\nFROM y\nRUN $|A").as_deref(),
            Some("A=2")
        );
        assert_eq!(defined("ARG A=1\nFROM x\nARG |A").as_deref(), Some("A=1"));
        assert_eq!(defined("ARG A=1\nFROM x\nRUN $|A"), None);
    }

    #[test]
    fn a_variable_is_used_wherever_it_is_the_same() {
        let file =
            "ARG A=1\nFROM x:$A AS y\nARG A\nRUN echo $A\nFROM y\nRUN ${A:-$B}\nFROM z\nENV A=2\nRUN $A\n";
        let marked = file.replacen("echo $", "echo $|", 1);
        assert_eq!(lines(&marked), [1, 2, 3, 4, 6]);
        let marked = file.replacen("ENV ", "ENV |", 1);
        assert_eq!(lines(&marked), [8, 9]);
    }
}
