//! Where files come from that are no stage: images, the build context, nothing.

use yew::prelude::*;

use super::scene::Hovered;
use crate::page::px::px;
use crate::state::human;
use crate::state::plan::Plan;
use stagewright_core::layout::{Pill, PillKind};

/// A pill.
pub(super) fn pill(plan: &Plan, shape: &Pill, index: usize, hover: &Callback<Option<Hovered>>) -> Html {
    let (x, y, middle) = (shape.x, shape.y, shape.y + shape.height / 2.0);
    let kind = shape.kind;
    let image = match kind {
        PillKind::Image(image) => plan.analysis.images.get(image),
        PillKind::Context | PillKind::Scratch => None,
    };
    let (mark, what) = match kind {
        PillKind::Image(_) => ("M2 2h9v9h-9zM6.5 6.5v4.5h-4.5v-4.5z", "image"),
        PillKind::Context => ("M2 2h9v9h-9zM4.5 5h4M4.5 8h4", "context"),
        PillKind::Scratch => ("M2 2h9v9h-9z", "scratch"),
    };
    let size = image
        .map(|image| image.size)
        .filter(|size| *size > 0)
        .map(human::size);
    let about = match image {
        Some(image) => {
            let mut parts = vec![image.reference.clone()];
            parts.extend(size.clone());
            parts.extend(image.note.clone());
            if !image.resolved {
                parts.push("not looked up yet; the plan goes on as if it set nothing but PATH".into());
            }
            parts.join(" · ")
        }
        None if kind == PillKind::Context => "The build context: the files above the editor".to_owned(),
        None => "The empty image".to_owned(),
    };
    let stands_in = shape.note.is_some();
    // Beside the pill, so that the name in it stays what the Dockerfile says.
    let beside = match (size, stands_in) {
        (Some(size), true) => Some(format!("{size} · stand-in")),
        (Some(size), false) => Some(size),
        (None, true) => Some("stand-in".to_owned()),
        (None, false) => None,
    };
    let (onmouseenter, onmouseleave) = (
        hover.reform(move |_: MouseEvent| Some(Hovered::Pill(kind))),
        hover.reform(|_: MouseEvent| None),
    );
    html! {
        <g key={format!("pill-{index}")} class={classes!("pill", shape.dimmed.then_some("dimmed"), stands_in.then_some("stand-in"))} role="img"
            aria-label={about.clone()} data-testid="pill" data-kind={what} data-name={image.map(|image| image.name.clone())}
            data-resolved={image.map(|image| image.resolved.to_string())} {onmouseenter} {onmouseleave}>
            <title>{ about }</title>
            <rect class="pill-shape" x={px(x)} y={px(y)} width={px(shape.width)} height={px(shape.height)} rx={px(shape.height / 2.0)} />
            <path class="pill-mark" d={mark} transform={format!("translate({} {})", px(x + 11.0), px(middle - 6.5))} />
            <text class="pill-name" x={px(x + 30.0)} y={px(middle)} dominant-baseline="central">{ &shape.text }</text>
            if let Some(beside) = beside {
                <text class="pill-fact" x={px(x + shape.width + 8.0)} y={px(middle)} dominant-baseline="central">{ beside }</text>
            }
        </g>
    }
}
