//! Lines between stages, and what is written on them.

use yew::prelude::*;

use super::scene::Hovered;
use crate::page::px::px;
use crate::state::plan::Plan;
use stagewright_core::analysis::{Analysis, Edge, EdgeKind, EdgeSource};
use stagewright_core::layout::{EdgeLook, EdgeShape, PALETTE};

fn classes_of(shape: &EdgeShape, lit: bool) -> Classes {
    let look = match shape.look {
        EdgeLook::Context => "edge-context",
        EdgeLook::Base => "edge-base",
        EdgeLook::Mount => "edge-mount",
        EdgeLook::Copy => "edge-copy",
    };
    let colour = shape
        .colour
        .map(|colour| format!("stage-colour-{}", colour % PALETTE));
    classes!(
        "edge",
        look,
        colour,
        shape.dimmed.then_some("dimmed"),
        lit.then_some("lit")
    )
}

/// What an edge comes from, as people call it.
pub(super) fn source_name(analysis: &Analysis, from: EdgeSource) -> String {
    match from {
        EdgeSource::Context => "context".into(),
        EdgeSource::Stage(stage) => analysis
            .stages
            .get(stage)
            .map(|stage| stage.label.clone())
            .unwrap_or_default(),
        EdgeSource::Image(image) => analysis
            .images
            .get(image)
            .map(|image| image.name.clone())
            .unwrap_or_default(),
    }
}

fn hovering(
    shape: &EdgeShape,
    hover: &Callback<Option<Hovered>>,
) -> (Callback<MouseEvent>, Callback<MouseEvent>) {
    let over = shape.edge.map(Hovered::Edge);
    (hover.reform(move |_| over), hover.reform(|_| None))
}

/// A sentence about an edge, for those who point at it and those who listen.
fn sentence(analysis: &Analysis, edge: &Edge) -> String {
    let from = source_name(analysis, edge.from);
    let to = analysis
        .stages
        .get(edge.to_stage)
        .map(|stage| stage.label.as_str())
        .unwrap_or_default();
    let paths = edge.paths.join(", ");
    match edge.kind {
        EdgeKind::Base => format!("{to} starts from {from}"),
        EdgeKind::Copy => format!("{to} copies {paths} from {from}"),
        EdgeKind::Mount => format!("{to} mounts {paths} from {from}"),
    }
}

/// The line.
pub(super) fn line(
    plan: &Plan,
    shape: &EdgeShape,
    index: usize,
    lit: bool,
    hover: &Callback<Option<Hovered>>,
) -> Html {
    let (onmouseenter, onmouseleave) = hovering(shape, hover);
    let edge = shape.edge.and_then(|edge| plan.analysis.edges.get(edge));
    let line = html! {
        <>
            <path class="edge-reach" d={shape.path.clone()} />
            <path class="edge-line" d={shape.path.clone()} />
            if let Some(arrow) = &shape.arrow { <path class="edge-arrow" d={arrow.clone()} /> }
            if shape.look == EdgeLook::Copy { <circle class="edge-start" cx={px(shape.start.x)} cy={px(shape.start.y)} r="3" /> }
        </>
    };
    let Some(edge) = edge else {
        return html! { <g key={format!("edge-{index}")} class={classes_of(shape, lit)} aria-hidden="true">{ line }</g> };
    };
    let kind = match edge.kind {
        EdgeKind::Base => "base",
        EdgeKind::Copy => "copy",
        EdgeKind::Mount => "mount",
    };
    let to = plan
        .analysis
        .stages
        .get(edge.to_stage)
        .map(|stage| stage.label.clone());
    let about = sentence(&plan.analysis, edge);
    html! {
        <g key={format!("edge-{index}")} class={classes_of(shape, lit)} role="img" aria-label={about.clone()} data-testid="edge" data-kind={kind}
            data-from={source_name(&plan.analysis, edge.from)} data-to={to} data-label={edge.label.clone()} data-needed={edge.needed.to_string()}
            {onmouseenter} {onmouseleave}>
            <title>{ about }</title>
            { line }
        </g>
    }
}

/// The box on the line that names what it carries, over everything else.
pub(super) fn label(
    plan: &Plan,
    shape: &EdgeShape,
    index: usize,
    lit: bool,
    hover: &Callback<Option<Hovered>>,
) -> Html {
    let Some(label) = &shape.label else {
        return Html::default();
    };
    let (onmouseenter, onmouseleave) = hovering(shape, hover);
    let edge = shape.edge.and_then(|edge| plan.analysis.edges.get(edge));
    let middle = (label.x + label.width / 2.0, label.y + label.height / 2.0);
    html! {
        <g key={format!("label-{index}")} class={classes!("edge-label", classes_of(shape, lit))} aria-hidden="true" {onmouseenter} {onmouseleave}>
            if let Some(edge) = edge { <title>{ sentence(&plan.analysis, edge) }</title> }
            <rect x={px(label.x)} y={px(label.y)} width={px(label.width)} height={px(label.height)} rx="6" />
            <text x={px(middle.0)} y={px(middle.1)} text-anchor="middle" dominant-baseline="central">{ &label.text }</text>
        </g>
    }
}
