//! What ends up in the image, and what stays behind.

use stagewright_core::analysis::{Base, EdgeKind, EdgeSource};
use stagewright_core::digest::Digest;
use stagewright_core::layout::PALETTE;
use stagewright_core::protocol::Layer;

use super::build::Build;
use super::plan::{Plan, StepRef};

/// One bar in the list of layers.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerRow {
    /// What made it: a step, or the name of the base image.
    pub label: String,
    /// Size in bytes: of the blob in the image, else of what was unpacked.
    pub size: u64,
    /// Index into the palette: of the stage that made what is in it; `None` for a base image, which is nobody's here.
    pub colour: Option<usize>,
    /// The step that made it.
    pub at: Option<StepRef>,
    /// Digest of the uncompressed tar; `None` where the row sums up several layers.
    pub diff_id: Option<Digest>,
    /// Whether it is in the image. Not known before the build is done.
    pub ships: Option<bool>,
    /// Entries added, changed and removed.
    pub entries: Option<(u64, u64, u64)>,
}

/// The layers of a build: those of the image from the lowest, then what the stages left behind. While the build
/// runs, all that came so far, in that order.
pub fn rows(plan: &Plan, build: &Build) -> Vec<LayerRow> {
    let Some(image) = &build.image else {
        return build
            .layers
            .iter()
            .map(|layer| of_step(plan, build, &layer.vertex, layer.size, &layer.diff_id, None))
            .collect();
    };
    let mut rows: Vec<LayerRow> = Vec::new();
    for layer in &image.layers {
        let made_here = layer.vertex.as_ref().filter(|vertex| {
            build
                .layers
                .iter()
                .any(|known| &known.vertex == *vertex && known.diff_id == layer.diff_id)
        });
        if let Some(vertex) = made_here {
            rows.push(of_step(
                plan,
                build,
                vertex,
                layer.size,
                &layer.diff_id,
                Some(true),
            ));
            continue;
        }
        let step = layer
            .vertex
            .as_ref()
            .filter(|vertex| plan.step_of_vertex(vertex).is_some());
        if let Some(vertex) = step {
            rows.push(of_step(
                plan,
                build,
                vertex,
                layer.size,
                &layer.diff_id,
                Some(true),
            ));
            continue;
        }
        // A base image is one thing to those who chose it, however many layers it has.
        let label = base_name(plan, layer.vertex.as_ref());
        match rows
            .last_mut()
            .filter(|last| last.colour.is_none() && last.at.is_none() && last.label == label)
        {
            Some(last) => {
                last.size += layer.size;
                last.diff_id = None;
            }
            None => rows.push(LayerRow {
                label,
                size: layer.size,
                colour: None,
                at: None,
                diff_id: Some(layer.diff_id.clone()),
                ships: Some(true),
                entries: None,
            }),
        }
    }
    // Two steps can make the same layer, and one of them stay behind.
    let ships = |layer: &Layer| {
        image.layers.iter().any(|inside| {
            inside.diff_id == layer.diff_id
                && inside
                    .vertex
                    .as_ref()
                    .is_none_or(|vertex| *vertex == layer.vertex)
        })
    };
    let behind = build.layers.iter().filter(|layer| !ships(layer));
    rows.extend(behind.map(|layer| {
        of_step(
            plan,
            build,
            &layer.vertex,
            layer.size,
            &layer.diff_id,
            Some(false),
        )
    }));
    rows
}

fn of_step(
    plan: &Plan,
    build: &Build,
    vertex: &Digest,
    size: u64,
    diff_id: &Digest,
    ships: Option<bool>,
) -> LayerRow {
    let at = plan.step_of_vertex(vertex);
    let step = at.and_then(|at| plan.analysis.stages.get(at.stage)?.steps.get(at.step?));
    // The name in the log stays right when the Dockerfile has changed since.
    let name = build.progress_at(vertex).map(|progress| progress.name.as_str());
    let label = step
        .map(|step| step.text.as_str())
        .or(name)
        .unwrap_or("a step of this build");
    let entries = build
        .layers
        .iter()
        .find(|layer| &layer.diff_id == diff_id)
        .map(|layer| (layer.added, layer.changed, layer.removed));
    LayerRow {
        label: label.to_owned(),
        size,
        colour: at.map(|at| origin(plan, at) % PALETTE),
        at,
        diff_id: Some(diff_id.clone()),
        ships,
        entries,
    }
}

/// The stage whose colour a layer has: what is copied from another stage is that one's work.
fn origin(plan: &Plan, at: StepRef) -> usize {
    let copies =
        plan.analysis.edges.iter().filter(|edge| {
            edge.kind == EdgeKind::Copy && edge.to_stage == at.stage && edge.to_step == at.step
        });
    let mut sources = copies.filter_map(|edge| match edge.from {
        EdgeSource::Stage(stage) => Some(stage),
        EdgeSource::Context | EdgeSource::Image(_) => None,
    });
    sources.next().unwrap_or(at.stage)
}

fn base_name(plan: &Plan, vertex: Option<&Digest>) -> String {
    let by_vertex = plan
        .analysis
        .images
        .iter()
        .find(|image| vertex.is_some() && image.vertex.as_ref() == vertex);
    let of_target = || {
        let mut stage = plan.analysis.stages.get(plan.analysis.target?)?;
        for _ in 0..plan.analysis.stages.len() {
            match stage.base {
                Base::Image(image) => return plan.analysis.images.get(image),
                Base::Stage(earlier) => stage = plan.analysis.stages.get(earlier)?,
                Base::Scratch | Base::Unknown => return None,
            }
        }
        None
    };
    by_vertex
        .or_else(of_target)
        .map_or_else(|| "base image".into(), |image| image.name.clone())
}

/// How large the image would be at least if everything had been done in one stage: the largest image that another
/// stage of the build starts from. `None` where nothing is gained, or sizes are unknown.
pub fn instead_of(plan: &Plan, shipped: u64) -> Option<(u64, String)> {
    let others = plan
        .analysis
        .stages
        .iter()
        .filter(|stage| stage.needed && !stage.ships);
    let sizes = others.filter_map(|stage| match stage.base {
        Base::Image(image) => plan
            .analysis
            .images
            .get(image)
            .map(|image| (image.size, image.name.clone())),
        Base::Scratch | Base::Stage(_) | Base::Unknown => None,
    });
    sizes
        .max_by_key(|(size, _)| *size)
        .filter(|(size, _)| *size > shipped)
}
