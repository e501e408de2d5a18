//! Symbols: the stages of a file and what is in them, for an outline or a list to choose from.

use serde::{Deserialize, Serialize};

use crate::span::Span;
use crate::syntax::{self, Keyword, Node};

use super::stages::Stages;

/// A stage, or an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Symbol {
    /// What to call it: a stage's name, or `stage 0`; an instruction's name.
    pub name: String,
    /// What a stage starts from, or what an instruction says, cut short; as written.
    pub detail: String,
    /// All of it: a stage from its FROM to the end of its last instruction.
    pub span: Span,
    /// What to show of it first: a stage's name or base, an instruction's name.
    pub selection: Span,
    /// The instructions of a stage.
    pub children: Vec<Self>,
}

/// The stages of a file with their instructions; the instructions before the first stage stand by themselves.
#[must_use]
pub fn symbols(source: &str) -> Vec<Symbol> {
    let tree = syntax::parse(source);
    let stages = Stages::new(&tree);
    let mut found: Vec<Symbol> = Vec::new();
    for (index, node) in tree.nodes.iter().enumerate() {
        let stage = stages.of_node(index);
        let begun = stage.and_then(|stage| Some((stage, stages.all.get(stage)?)));
        match (begun, found.last_mut()) {
            (Some((number, stage)), _) if stage.node == index => {
                let base = stage.base.as_ref();
                let selection = stage
                    .name
                    .as_ref()
                    .or(base)
                    .map_or(node.name_span, |(_, span)| *span);
                found.push(Symbol {
                    name: stage.label(number),
                    detail: base.map(|(base, _)| base.clone()).unwrap_or_default(),
                    span: node.span,
                    selection,
                    children: Vec::new(),
                });
            }
            (Some(_), Some(stage)) => {
                stage.span = stage.span.join(node.span);
                stage.children.push(instruction(node));
            }
            _ => found.push(instruction(node)),
        }
    }
    found
}

fn instruction(node: &Node<'_>) -> Symbol {
    /// About as much as fits beside a name.
    const LETTERS: usize = 60;
    let said = node
        .code()
        .get(node.name().len()..)
        .unwrap_or_default()
        .trim_start();
    let mut detail: String = said.chars().take(LETTERS).collect();
    if detail.len() < said.len() {
        detail.push('…');
    }
    Symbol {
        name: node.keyword.map_or_else(
            || node.name().to_owned(),
            |keyword| Keyword::name(keyword).to_owned(),
        ),
        detail,
        span: node.span,
        selection: node.name_span,
        children: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_hold_their_instructions() {
        let found = symbols("ARG A\nfrom a as B\nrun x\nFROM b\n");
        let names: Vec<_> = found
            .iter()
            .map(|symbol| (symbol.name.as_str(), symbol.detail.as_str()))
            .collect();
        assert_eq!(names, [("ARG", "A"), ("B", "a"), ("stage 1", "b")]);
        let children: Vec<_> = found[1]
            .children
            .iter()
            .map(|symbol| symbol.name.as_str())
            .collect();
        assert_eq!(
            (children.as_slice(), found[1].span),
            (&["RUN"][..], Span::new(6, 23))
        );
    }

    #[test]
    fn a_long_instruction_is_cut_short() {
        let found = symbols(&format!("RUN {}", "é".repeat(100)));
        assert_eq!(found[0].detail, format!("{}…", "é".repeat(60)));
    }
}
