//! The plan for Graphviz: stages and what flows between them; Graphviz finds the places itself.

use std::fmt::Write as _;

use super::outline::{Outline, Shape};
use super::theme::LIGHT;
use crate::analysis::{Analysis, EdgeKind};

/// Writes the plan in the DOT language. What the target does without is dashed.
pub fn render_dot(analysis: &Analysis) -> String {
    let outline = Outline::of(analysis);
    let mut out = String::from(
        "digraph stagewright {\n  rankdir=LR;\n  node [fontname=\"sans-serif\", fontsize=11, style=rounded];\n  \
         edge [fontname=\"monospace\", fontsize=10, color=gray40];\n",
    );
    // Writing to a String cannot fail, here and below.
    for node in &outline.nodes {
        let shape = match node.shape {
            Shape::Stage(_) => "shape=box",
            Shape::Image | Shape::Scratch => "shape=box, fontname=\"monospace\", color=gray60",
            Shape::Context => "shape=folder, color=gray60",
        };
        let style = match (node.dimmed, node.ships) {
            (true, _) => ", style=\"rounded,dashed\", fontcolor=gray50",
            (false, true) => ", style=\"rounded,bold\"",
            (false, false) => "",
        };
        let colour = colour(node.shape)
            .map(|colour| format!(", color=\"{colour}\""))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "  {} [label={}, {shape}{colour}{style}];",
            node.id,
            Quoted(&node.text)
        );
    }
    for edge in &outline.edges {
        let weight = match edge.kind {
            EdgeKind::Copy if !edge.context => "penwidth=2.4",
            EdgeKind::Mount if !edge.context => "style=dotted",
            EdgeKind::Base => "arrowhead=none",
            EdgeKind::Copy | EdgeKind::Mount => "style=dashed, arrowhead=none",
        };
        let label = match edge.label.as_str() {
            "" => String::new(),
            label => format!(", label={}", Quoted(label)),
        };
        let colour = colour(edge.shape)
            .map(|colour| format!(", color=\"{colour}\""))
            .unwrap_or_default();
        let faint = if edge.dimmed { ", fontcolor=gray60" } else { "" };
        let _ = writeln!(
            out,
            "  {} -> {} [{weight}{colour}{label}{faint}];",
            edge.from, edge.to
        );
    }
    out.push_str("}\n");
    out
}

fn colour(shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Stage(stage) => LIGHT.stages.get(stage % LIGHT.stages.len()).copied(),
        Shape::Image | Shape::Scratch | Shape::Context => None,
    }
}

/// A string of the DOT language. Only quotes need escaping there; a backslash would begin an escape of Graphviz's.
struct Quoted<'text>(&'text str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => formatter.write_str("\\\"")?,
                '\\' => formatter.write_str("\\\\")?,
                '\n' => formatter.write_str("\\n")?,
                other if other.is_control() => formatter.write_char(' ')?,
                other => formatter.write_char(other)?,
            }
        }
        formatter.write_char('"')
    }
}
