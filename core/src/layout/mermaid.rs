//! The plan for Mermaid, which many sites that show Markdown draw by themselves.

use std::fmt::Write as _;

use super::outline::{Outline, Shape};
use crate::analysis::{Analysis, EdgeKind};

/// Writes the plan as a Mermaid flowchart. What the target does without is dashed.
pub fn render_mermaid(analysis: &Analysis) -> String {
    let outline = Outline::of(analysis);
    let mut out = String::from("flowchart LR\n");
    // Writing to a String cannot fail, here and below.
    for node in &outline.nodes {
        let text = Quoted(&node.text);
        let _ = match node.shape {
            Shape::Stage(_) => writeln!(out, "  {}[{text}]", node.id),
            Shape::Image | Shape::Scratch => writeln!(out, "  {}([{text}])", node.id),
            Shape::Context => writeln!(out, "  {}[/{text}/]", node.id),
        };
    }
    for edge in &outline.edges {
        let line = match edge.kind {
            EdgeKind::Copy if !edge.context => "==>",
            EdgeKind::Base => "---",
            EdgeKind::Copy | EdgeKind::Mount => "-.->",
        };
        let label = match edge.label.as_str() {
            "" => String::new(),
            label => format!("|{}|", Quoted(label)),
        };
        let _ = writeln!(out, "  {} {line}{label} {}", edge.from, edge.to);
    }
    out.push_str("  classDef unneeded stroke-dasharray: 4 3, opacity: 0.55\n");
    let unneeded: Vec<&str> = outline
        .nodes
        .iter()
        .filter(|node| node.dimmed)
        .map(|node| &*node.id)
        .collect();
    if !unneeded.is_empty() {
        let _ = writeln!(out, "  class {} unneeded", unneeded.join(","));
    }
    out
}

/// Text in quotes, with what Mermaid or HTML would read as markup as entities.
struct Quoted<'text>(&'text str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '\n' => formatter.write_str("<br/>")?,
                '"' | '#' | '&' | '<' | '>' | '`' | '\\' | ';' => {
                    write!(formatter, "#{};", u32::from(character))?;
                }
                other if other.is_control() => formatter.write_char(' ')?,
                other => formatter.write_char(other)?,
            }
        }
        formatter.write_char('"')
    }
}
