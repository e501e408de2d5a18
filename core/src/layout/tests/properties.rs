//! What holds of every drawing, tried on plans that no person would write.

use proptest::prelude::*;

use super::shapes::fault;
use super::sketch::sketch;
use crate::analysis::{Analysis, Edge, EdgeKind, EdgeSource};
use crate::layout::{Direction, LayoutOptions, layout};
use crate::span::Span;

/// One stage in outline: what it starts from, and its steps.
#[derive(Debug, Clone)]
struct Outline {
    base: usize,
    name: String,
    steps: Vec<(u8, usize)>,
}

fn outlines(most: usize) -> impl Strategy<Value = Vec<Outline>> {
    let stage = (
        any::<u16>(),
        "[a-z-]{1,24}",
        prop::collection::vec((0u8..9, any::<u16>()), 0..12),
    );
    let stage = stage.prop_map(|(base, name, steps)| Outline {
        base: base.into(),
        name,
        steps: steps
            .into_iter()
            .map(|(kind, from)| (kind, from.into()))
            .collect(),
    });
    prop::collection::vec(stage, 0..most)
}

fn source(outlines: &[Outline]) -> String {
    let mut lines = Vec::new();
    for (index, outline) in outlines.iter().enumerate() {
        let stages = index.max(1);
        let base = match outline.base % 4 {
            0 => "scratch".to_owned(),
            1 => format!("registry.example/image-{}:{}", outline.base % 5, outline.name),
            _ if index > 0 => format!(
                "{}-{}",
                outlines[outline.base % stages].name,
                outline.base % stages
            ),
            _ => "alpine:latest".to_owned(),
        };
        lines.push(format!("FROM {base} AS {}-{index}", outline.name));
        for (kind, from) in &outline.steps {
            let from = from % stages;
            lines.push(match kind {
                0 => "ENV ONE=1".to_owned(),
                1 => "COPY a/b/c d/e/f /g".to_owned(),
                2 => format!("COPY --from=image-{from}:latest /usr/bin/tool-{from} /usr/bin/"),
                3 if index > 0 => {
                    format!("RUN --mount=from={from},source=/x/{from} --mount=from=0,source=/y make -o z")
                }
                4..=7 if index > 0 => format!("COPY --from={from} /out/some-file-{from} /usr/bin/"),
                _ => "RUN make && make install".to_owned(),
            });
        }
    }
    lines.join("\n")
}

fn both(analysis: &Analysis) -> Result<(), TestCaseError> {
    for direction in [Direction::LeftToRight, Direction::TopToBottom] {
        let options = LayoutOptions {
            direction,
            ..LayoutOptions::default()
        };
        let drawing = layout(analysis, &options);
        let fault = fault(&drawing);
        prop_assert!(fault.is_none(), "{direction:?}: {}", fault.unwrap_or_default());
        prop_assert_eq!(&drawing, &layout(analysis, &options));
        prop_assert_eq!(drawing.cards.len(), analysis.stages.len());
        let drawn = drawing.edges.iter().filter(|edge| edge.edge.is_some()).count();
        prop_assert!(drawn <= analysis.edges.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_overlaps_and_no_edge_crosses_a_card(outlines in outlines(30)) {
        let analysis = sketch(&source(&outlines));
        both(&analysis)?;
        let drawn = layout(&analysis, &LayoutOptions::default());
        for index in 0..analysis.edges.len() {
            prop_assert!(drawn.edges.iter().any(|edge| edge.edge == Some(index)), "edge {} is missing", index);
        }
    }

    #[test]
    fn circles_and_edges_from_nowhere_are_survived(
        outlines in outlines(9),
        wild in prop::collection::vec((any::<bool>(), 0usize..12, 0usize..12, 0usize..14), 0..16),
    ) {
        let mut analysis = sketch(&source(&outlines));
        for (image, from, to_stage, step) in wild {
            analysis.edges.push(Edge {
                kind: if step % 3 == 0 { EdgeKind::Base } else { EdgeKind::Copy },
                from: if image { EdgeSource::Image(from) } else { EdgeSource::Stage(from) },
                to_stage,
                to_step: Some(step).filter(|step| step % 3 != 0),
                paths: Vec::new(),
                label: "wild".into(),
                needed: false,
                span: Span::new(0, 0),
            });
        }
        both(&analysis)?;
    }
}
