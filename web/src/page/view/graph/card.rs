//! A stage, with its steps.

use yew::prelude::*;

use super::scene::{Hovered, Props};
use crate::page::px::px;
use crate::page::view::state_icon;
use crate::state::Action;
use crate::state::build::StepState;
use crate::state::human;
use crate::state::layers;
use crate::state::plan::StepRef;
use stagewright_core::layout::{CARD_PADDING, Card, PALETTE, ROW_TEXT_X, Row, TITLE_X};

/// A card.
pub(super) fn card(props: &Props, shape: &Card, hover: &Callback<Option<Hovered>>) -> Html {
    let Some(stage) = props.plan.analysis.stages.get(shape.stage) else {
        return Html::default();
    };
    let (x, y) = (shape.x, shape.y);
    let middle = y + shape.header_height / 2.0;
    let right = x + shape.width - CARD_PADDING;
    let rule = y + shape.header_height;
    let at = StepRef {
        stage: shape.stage,
        step: None,
    };
    let pick = picking(props, at);
    let lit = props.chosen == Some(at);
    let class = classes!(
        "card",
        format!("stage-colour-{}", shape.colour % PALETTE),
        shape.dimmed.then_some("dimmed"),
        shape.ships.then_some("ships"),
        lit.then_some("lit")
    );
    html! {
        <g key={format!("card-{}", shape.stage)} {class} role="group" aria-label={format!("Stage {}. {}", stage.label, stage.reason)} data-testid="stage"
            data-stage={shape.stage.to_string()} data-stage-name={stage.label.clone()} data-needed={stage.needed.to_string()} data-ships={stage.ships.to_string()}>
            <rect class="card-shape" x={px(x)} y={px(y)} width={px(shape.width)} height={px(shape.height)} rx="10" />
            <g class="card-head" role="button" tabindex="0" aria-label={format!("Stage {}, go to its FROM", stage.label)} onclick={pick.0} onkeydown={pick.1}>
                <title>{ &stage.reason }</title>
                <rect class="card-reach" x={px(x)} y={px(y)} width={px(shape.width)} height={px(shape.header_height)} rx="10" />
                <rect class="swatch" x={px(x + 13.0)} y={px(middle - 4.5)} width="9" height="9" rx="2.5" />
                <text class="card-title" x={px(x + TITLE_X)} y={px(middle)} dominant-baseline="central">{ &shape.title }</text>
                <text class="card-subtitle" x={px(right)} y={px(middle)} text-anchor="end" dominant-baseline="central">{ &shape.subtitle }</text>
            </g>
            if !shape.rows.is_empty() {
                <path class="card-rule" d={format!("M{} {}h{}", px(x), px(rule), px(shape.width))} />
            }
            { for shape.rows.iter().map(|row| step(props, shape, row, hover)) }
            if let Some(footer) = shape.footer_y { { foot(props, shape, footer) } }
        </g>
    }
}

fn step(props: &Props, card: &Card, row: &Row, hover: &Callback<Option<Hovered>>) -> Html {
    let at = StepRef {
        stage: card.stage,
        step: Some(row.step),
    };
    let Some(stage) = props.plan.analysis.stages.get(card.stage) else {
        return Html::default();
    };
    let Some(instruction) = stage.steps.get(row.step) else {
        return Html::default();
    };
    let (how, detail) = state_icon::of_step(
        &props.plan,
        props.build.as_deref(),
        props.marks.as_ref().map(|marks| marks.as_slice()),
        card.stage,
        row.step,
        props.now,
    );
    let middle = row.y + row.height / 2.0;
    let lit = props.chosen == Some(at);
    let (onclick, onkeydown) = picking(props, at);
    let (onmouseenter, onmouseleave) = (
        hover.reform(move |_: MouseEvent| Some(Hovered::Step(at))),
        hover.reform(|_: MouseEvent| None),
    );
    let spoken = match how {
        StepState::Idle => String::new(),
        _ if detail.is_empty() || detail == how.name() => format!(", {}", how.name()),
        _ => format!(", {}, {detail}", how.name()),
    };
    html! {
        <g key={row.step} class={classes!("step", format!("step-{}", how.name()), lit.then_some("lit"), (!row.is_op).then_some("config"))} role="button" tabindex="0"
            aria-label={format!("{}, step {}: {}{spoken}", stage.label, row.step + 1, instruction.text)} data-testid="step" data-stage={stage.label.clone()}
            data-step={row.step.to_string()} data-state={how.name()} data-keyword={instruction.keyword.to_string()} data-line={instruction.lines.start.to_string()}
            {onclick} {onkeydown} {onmouseenter} {onmouseleave}>
            <title>{ &instruction.text }</title>
            <rect class="row" x={px(card.x + 1.0)} y={px(row.y)} width={px(card.width - 2.0)} height={px(row.height)} />
            { state_icon::shape(how, card.x + 18.0, middle) }
            <text class="row-text" x={px(card.x + ROW_TEXT_X)} y={px(middle)} dominant-baseline="central">{ &row.text }</text>
            if !detail.is_empty() {
                <text class="row-detail" x={px(card.x + card.width - CARD_PADDING)} y={px(middle)} text-anchor="end" dominant-baseline="central">{ detail }</text>
            }
        </g>
    }
}

/// What comes out of it.
fn foot(props: &Props, card: &Card, top: f64) -> Html {
    let middle = top + (card.y + card.height - top) / 2.0;
    let (left, right) = (px(card.x + CARD_PADDING), px(card.x + card.width - CARD_PADDING));
    let plan = &props.plan;
    let built = props.build.as_ref().filter(|build| {
        plan.analysis
            .definition
            .as_ref()
            .is_some_and(|definition| definition.digest == build.plan)
    });
    let image = built.and_then(|build| build.image.as_ref());
    let (about, text) = match image {
        Some(image) => {
            let instead = layers::instead_of(plan, image.size);
            let about = match &instead {
                Some((_, base)) => format!(
                    "In one stage the image would hold all of {base}; sizes are of compressed layers."
                ),
                None => "The size of its compressed layers.".to_owned(),
            };
            let rest = instead.map(|(size, _)| format!(" instead of {}", human::size(size)));
            (
                about,
                html! { <><tspan class="foot-size">{ human::size(image.size) }</tspan>{ rest }</> },
            )
        }
        None => (
            "What this stage holds at its end becomes the image.".to_owned(),
            html! { "not built yet" },
        ),
    };
    html! {
        <g class="card-foot" data-testid="final-image" data-size={image.map(|image| image.size.to_string())}>
            <title>{ about }</title>
            <path class="card-rule" d={format!("M{} {}h{}", px(card.x), px(top), px(card.width))} />
            <text x={left} y={px(middle)} dominant-baseline="central">{ "final image" }</text>
            <text class="foot-text" x={right} y={px(middle)} text-anchor="end" dominant-baseline="central">{ text }</text>
        </g>
    }
}

/// What a click, Enter or the space bar do: choose the step.
fn picking(props: &Props, at: StepRef) -> (Callback<MouseEvent>, Callback<KeyboardEvent>) {
    let desk = props.desk.clone();
    let on_key = Callback::from(move |key: KeyboardEvent| {
        if matches!(key.key().as_str(), "Enter" | " ") && !key.ctrl_key() && !key.meta_key() {
            key.prevent_default();
            desk.dispatch(Action::StepChosen(at));
        }
    });
    (props.desk.report(Action::StepChosen(at)), on_key)
}
