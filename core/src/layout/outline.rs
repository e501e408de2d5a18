//! A plan as nodes and edges with texts, for languages that place what they draw by themselves.

use crate::analysis::{Analysis, Base, EdgeKind, EdgeSource};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A stage, by index.
    Stage(usize),
    Image,
    Scratch,
    Context,
}

pub(super) struct Node {
    /// A name of letters and digits.
    pub(super) id: String,
    pub(super) shape: Shape,
    pub(super) text: String,
    pub(super) dimmed: bool,
    pub(super) ships: bool,
}

pub(super) struct Line {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) kind: EdgeKind,
    /// Whether it comes from the build context.
    pub(super) context: bool,
    /// What it leaves.
    pub(super) shape: Shape,
    pub(super) label: String,
    pub(super) dimmed: bool,
}

pub(super) struct Outline {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Line>,
}

impl Outline {
    pub(super) fn of(analysis: &Analysis) -> Self {
        let faint = analysis.target.is_some();
        let mut outline = Self {
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        let mut used = vec![false; analysis.images.len()];
        let (mut context, mut context_needed) = (false, false);
        for edge in analysis
            .edges
            .iter()
            .filter(|edge| edge.to_stage < analysis.stages.len())
        {
            let (from, shape) = match edge.from {
                EdgeSource::Context => {
                    context = true;
                    context_needed |= edge.needed;
                    ("context".to_owned(), Shape::Context)
                }
                EdgeSource::Stage(stage) if stage < analysis.stages.len() => {
                    (format!("s{stage}"), Shape::Stage(stage))
                }
                EdgeSource::Image(image) if image < analysis.images.len() => {
                    used[image] = true;
                    (format!("i{image}"), Shape::Image)
                }
                EdgeSource::Stage(_) | EdgeSource::Image(_) => continue,
            };
            let label = if edge.kind == EdgeKind::Base {
                String::new()
            } else {
                edge.label.clone()
            };
            outline.edges.push(Line {
                from,
                to: format!("s{}", edge.to_stage),
                kind: edge.kind,
                context: shape == Shape::Context,
                shape,
                label,
                dimmed: faint && !edge.needed,
            });
        }
        let scratch = analysis.stages.iter().filter(|stage| stage.base == Base::Scratch);
        let scratch: Vec<&crate::analysis::Stage> = scratch.collect();
        if !scratch.is_empty() {
            let dimmed = faint && !scratch.iter().any(|stage| stage.needed);
            outline.add("scratch".into(), Shape::Scratch, "scratch".into(), dimmed);
        }
        for stage in scratch {
            outline.edges.push(Line {
                from: "scratch".into(),
                to: format!("s{}", stage.index),
                kind: EdgeKind::Base,
                context: false,
                shape: Shape::Scratch,
                label: String::new(),
                dimmed: faint && !stage.needed,
            });
        }
        if context {
            outline.add(
                "context".into(),
                Shape::Context,
                "build context".into(),
                faint && !context_needed,
            );
        }
        for (image, facts) in analysis
            .images
            .iter()
            .enumerate()
            .filter(|(image, _)| used[*image])
        {
            outline.add(
                format!("i{image}"),
                Shape::Image,
                facts.name.clone(),
                faint && !facts.needed,
            );
        }
        for (index, stage) in analysis.stages.iter().enumerate() {
            let ships = if stage.ships { " · ships" } else { "" };
            let text = format!("{}\nstage {index}{ships}", stage.label);
            outline.add(
                format!("s{index}"),
                Shape::Stage(index),
                text,
                faint && !stage.needed,
            );
            if let Some(node) = outline.nodes.last_mut() {
                node.ships = stage.ships;
            }
        }
        outline
    }

    fn add(&mut self, id: String, shape: Shape, text: String, dimmed: bool) {
        self.nodes.push(Node {
            id,
            shape,
            text,
            dimmed,
            ships: false,
        });
    }
}
