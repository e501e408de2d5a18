//! The stages of a file, by name and by number, as they are written.

use std::collections::BTreeMap;

use crate::instruction::from::is_stage_name;
use crate::span::Span;
use crate::syntax::{Arguments, Keyword, Line, Node, Tree};

/// The stages of a file.
pub(super) struct Stages {
    /// In the order of the file.
    pub(super) all: Vec<Stage>,
    /// The stage of each instruction; the last that began, if any did.
    of_node: Vec<Option<usize>>,
    /// Which stages have a name, in the order of the file.
    by_name: BTreeMap<String, Vec<usize>>,
}

/// A stage.
pub(super) struct Stage {
    /// Its FROM, by index in the tree.
    pub(super) node: usize,
    /// What it starts from, as written.
    pub(super) base: Option<(String, Span)>,
    /// Its name as written.
    pub(super) name: Option<(String, Span)>,
}

impl Stage {
    /// What to call it.
    pub(super) fn label(&self, index: usize) -> String {
        match &self.name {
            Some((name, _)) => name.clone(),
            None => format!("stage {index}"),
        }
    }
}

impl Stages {
    pub(super) fn new(tree: &Tree<'_>) -> Self {
        let mut stages = Self {
            all: Vec::new(),
            of_node: Vec::with_capacity(tree.nodes.len()),
            by_name: BTreeMap::new(),
        };
        for (index, node) in tree.nodes.iter().enumerate() {
            if node.keyword == Some(Keyword::From) {
                let stage = read(node, index, tree.escape);
                if let Some((name, _)) = &stage.name
                    && is_stage_name(&name.to_ascii_lowercase())
                {
                    let named = stages.by_name.entry(name.to_ascii_lowercase()).or_default();
                    named.push(stages.all.len());
                }
                stages.all.push(stage);
            }
            stages.of_node.push(stages.all.len().checked_sub(1));
        }
        stages
    }

    /// The stage that an instruction belongs to; a FROM belongs to the one that it begins.
    pub(super) fn of_node(&self, node: usize) -> Option<usize> {
        self.of_node.get(node).copied().flatten()
    }

    /// The stage that a FROM means by `name`: one before it, named as written.
    pub(super) fn base(&self, stage: usize, name: &str) -> Option<usize> {
        let named = self.by_name.get(name)?;
        let before = named.partition_point(|&found| found < stage);
        named.get(before.checked_sub(1)?).copied()
    }

    /// The stage that a copy or a mount means by `name`: any, in any case; the last of several.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_ascii_lowercase())?.last().copied()
    }

    /// The stage that a copy means, which may say its number.
    pub(super) fn source(&self, name: &str, numbers: bool) -> Option<usize> {
        match name.parse::<i64>() {
            Ok(number) if numbers => {
                let index = usize::try_from(number).ok()?;
                (index < self.all.len()).then_some(index)
            }
            _ => self.named(name),
        }
    }
}

fn read(node: &Node<'_>, index: usize, escape: char) -> Stage {
    // Whoever made out what the instruction says has taken its arguments; its text is there to be read again.
    let again = Node::read(Line::new(node.line.text(), 0), escape);
    let words = again.arguments.map(Arguments::words).unwrap_or_default();
    let mut words = words.into_iter().map(|word| {
        let span = node.line.span(word.span.start..word.span.end);
        (word.text, span)
    });
    let base = words.next();
    let name = match words.next() {
        Some((word, _)) if word.eq_ignore_ascii_case("as") => words.next(),
        _ => None,
    };
    Stage {
        node: index,
        base,
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_stands_before_and_a_source_anywhere() {
        let tree = crate::syntax::parse("FROM a AS One\nFROM one AS two\nFROM x AS ONE\nCOPY a b\n");
        let stages = Stages::new(&tree);
        assert_eq!(stages.base(1, "one"), Some(0));
        assert_eq!(stages.base(2, "one"), Some(0));
        assert_eq!(stages.base(0, "one"), None);
        assert_eq!(stages.base(1, "One"), None);
        assert_eq!(stages.source("One", true), Some(2));
        assert_eq!(stages.source("1", true), Some(1));
        assert_eq!(stages.source("1", false), None);
        assert_eq!(stages.source("3", true), None);
        assert_eq!(stages.of_node(3), Some(2));
    }
}
