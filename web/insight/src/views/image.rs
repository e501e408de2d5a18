//! Image: what is left of all stages in the end. Layers in their order, and how the image starts.

use stagewright_core::analysis::{Analysis, Base, Stage};
use stagewright_core::insight::{self, HealthReport, ImageReport, Setting, Source};
use stagewright_core::layout::PALETTE;

use crate::human::{count, size};
use crate::markup::Markup;
use crate::question::{Built, Question};

/// A layer, or the layers of an image that it starts from.
struct Layer<'a> {
    stage: &'a Stage,
    /// The step that made it; `None` for the image.
    step: Option<usize>,
    text: String,
    /// Its size in bytes, where that is known.
    size: Option<u64>,
    /// Entries that were added, changed and removed.
    entries: Option<[u64; 3]>,
}

pub(super) fn draw(question: &Question, page: &mut Markup) {
    let analysis = stagewright_core::analyze(&question.input);
    let target = analysis.target.and_then(|target| analysis.stages.get(target));
    let (Some(target), Some(image)) = (target, insight::image(&question.input)) else {
        let text = "There is no image while an error stands in the way of the target. Problems says which.";
        return page.leaf("p", &[("class", "empty")], text);
    };
    let layers = layers(&analysis, target, question.build.as_ref());
    page.element("div", &[("class", "sheet")], |page| {
        page.leaf(
            "p",
            &[("class", "muted view-head")],
            &summary(&analysis, target, &layers, question.build.as_ref()),
        );
        page.element("section", &[("class", "stage-list")], |page| {
            page.element("h3", &[], |page| {
                page.text("Layers");
                page.leaf("span", &[("class", "muted")], "from the bottom up");
            });
            if layers.is_empty() {
                page.leaf(
                    "p",
                    &[("class", "muted")],
                    "None: the image is as empty as scratch.",
                );
            }
            let largest = layers.iter().filter_map(|layer| layer.size).max().unwrap_or(1);
            for layer in &layers {
                draw_layer(layer, largest, page);
            }
        });
        page.element("section", &[("class", "stage-list")], |page| {
            page.leaf("h3", &[], "How it starts");
            draw_config(&image, page);
        });
    });
}

/// The layers of the target, with those of the stages and the image that it stands on, from the bottom up.
fn layers<'a>(analysis: &'a Analysis, target: &'a Stage, build: Option<&Built>) -> Vec<Layer<'a>> {
    let mut chain = vec![target];
    let mut above = target;
    // Stages stand on earlier ones; anything else is a mistake that the planner has named.
    while let Base::Stage(below) = &above.base
        && *below < above.index
        && let Some(stage) = analysis.stages.get(*below)
    {
        chain.push(stage);
        above = stage;
    }
    let mut layers = Vec::new();
    for stage in chain.into_iter().rev() {
        if let Base::Image(image) = stage.base {
            let known = analysis.images.get(image).map(|image| image.size);
            layers.push(Layer {
                stage,
                step: None,
                text: super::base_of(analysis, stage),
                size: known.filter(|size| *size > 0),
                entries: None,
            });
        }
        for (index, step) in stage.steps.iter().enumerate() {
            let Some(vertex) = step.vertex.as_ref().filter(|_| step.changes_files) else {
                continue;
            };
            let known = build.and_then(|build| build.layers.iter().find(|layer| &layer.vertex == vertex));
            layers.push(Layer {
                stage,
                step: Some(index),
                text: step.text.clone(),
                size: known.map(|layer| layer.size),
                entries: known.map(|layer| layer.entries),
            });
        }
    }
    layers
}

/// `final: 3 layers of its own on alpine:latest; 7.9 MB`.
fn summary(analysis: &Analysis, target: &Stage, layers: &[Layer<'_>], build: Option<&Built>) -> String {
    let own = layers.iter().filter(|layer| layer.step.is_some()).count();
    let base = layers.first().filter(|layer| layer.step.is_none());
    let base = base.map_or_else(
        || "scratch".to_owned(),
        |layer| super::base_of(analysis, layer.stage),
    );
    let what = format!("{}: {} on {base}", target.label, count(own, "layer"));
    // The sizes of another plan's build are not those of this image.
    let whole = layers
        .iter()
        .filter(|layer| layer.step.is_some())
        .all(|layer| layer.size.is_some());
    match build.filter(|build| whole && build.image_size > 0) {
        Some(build) => format!("{what}, {} to download", size(build.image_size)),
        None => format!("{what}. A build says how large they are."),
    }
}

fn draw_layer(layer: &Layer<'_>, largest: u64, page: &mut Markup) {
    let at = match layer.step {
        Some(step) => format!("step {} {step}", layer.stage.index),
        None => format!("step {}", layer.stage.index),
    };
    let class = match layer.step {
        Some(_) => format!("bar-row stage-colour-{}", layer.stage.index % PALETTE),
        None => "bar-row from-outside".to_owned(),
    };
    let row = [
        ("class", class.as_str()),
        ("data-do", at.as_str()),
        ("data-testid", "image-layer"),
        ("title", layer.text.as_str()),
    ];
    page.element("button", &row, |page| {
        page.leaf("code", &[("class", "bar-name")], &layer.text);
        page.element(
            "svg",
            &[("class", "bar-track"), ("aria-hidden", "true")],
            |page| {
                let thousandths = layer.size.unwrap_or(0).saturating_mul(1000) / largest.max(1);
                let width = format!("{}.{}%", thousandths / 10, thousandths % 10);
                let shape = [
                    ("class", "bar"),
                    ("x", "0"),
                    ("width", width.as_str()),
                    ("y", "3"),
                    ("height", "12"),
                    ("rx", "2"),
                ];
                page.leaf("rect", &shape, "");
            },
        );
        let about = layer
            .entries
            .map(|[added, changed, removed]| format!("{added} added, {changed} changed, {removed} removed"));
        let text = layer.size.map(size).unwrap_or_default();
        page.leaf(
            "span",
            &[
                ("class", "bar-time"),
                ("title", about.as_deref().unwrap_or_default()),
            ],
            &text,
        );
    });
}

/// What a container of the image begins with, in the order in which one asks. What a step said leads to the step.
fn draw_config(image: &ImageReport, page: &mut Markup) {
    let command = &image.command;
    let written = |words: &[String], source: Source| {
        let json = serde_json::to_string(words).unwrap_or_default();
        (!words.is_empty()).then_some((json, source))
    };
    let value = |setting: &Setting| (setting.value.clone(), setting.source);
    let pair = |setting: &Setting| (format!("{}={}", setting.name, setting.value), setting.source);
    let name = |setting: &Setting| (setting.name.clone(), setting.source);
    let health = |health: &HealthReport| (health.test.join(" "), health.source);
    let facts: [(&str, Vec<(String, Source)>); 12] = [
        (
            "Entrypoint",
            written(&command.entrypoint, command.entrypoint_source)
                .into_iter()
                .collect(),
        ),
        (
            "Command",
            written(&command.cmd, command.cmd_source).into_iter().collect(),
        ),
        ("User", vec![value(&image.user)]),
        ("Folder", vec![value(&image.working_dir)]),
        ("Environment", image.env.iter().map(pair).collect()),
        ("Ports", image.ports.iter().map(name).collect()),
        ("Volumes", image.volumes.iter().map(name).collect()),
        ("Health check", image.healthcheck.iter().map(health).collect()),
        ("Stop signal", image.stop_signal.iter().map(value).collect()),
        ("Labels", image.labels.iter().map(pair).collect()),
        (
            "For those who build on it",
            image
                .triggers
                .iter()
                .map(|text| (text.clone(), Source::Trigger))
                .collect(),
        ),
        ("Platform", vec![(image.platform.to_string(), Source::Default)]),
    ];
    page.element("dl", &[("class", "config-facts")], |page| {
        for (name, values) in facts.iter().filter(|(_, values)| !values.is_empty()) {
            page.leaf("dt", &[], name);
            page.element("dd", &[("data-fact", name)], |page| {
                for (value, source) in values {
                    setting(value, *source, page);
                }
            });
        }
    });
    for sentence in command.explanation.iter().chain(&image.notes) {
        page.leaf("p", &[("class", "muted fact-note")], sentence);
    }
}

fn setting(value: &str, source: Source, page: &mut Markup) {
    match source {
        Source::Step { stage, step } => {
            let at = format!("step {stage} {step}");
            let button = [("class", "link"), ("data-do", at.as_str())];
            page.element("button", &button, |page| page.leaf("code", &[], value));
        }
        Source::Base => page.element("span", &[], |page| {
            page.leaf("code", &[], value);
            page.leaf("span", &[("class", "muted")], " from the base");
        }),
        Source::Trigger | Source::Default => page.leaf("code", &[], value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::BuiltLayer;
    use stagewright_core::Input;

    fn drawn(source: &str, build: impl FnOnce(&Analysis) -> Option<Built>) -> String {
        let input = Input {
            source: source.into(),
            ..Input::default()
        };
        let build = build(&stagewright_core::analyze(&input));
        let question = Question {
            input,
            build,
            ..Question::default()
        };
        let mut page = Markup::default();
        draw(&question, &mut page);
        page.finish()
    }

    const ON_A_STAGE: &str =
        "FROM scratch AS one\nCOPY a /\nENV A=1\nFROM one\nCOPY b /\nUSER me\nENTRYPOINT [\"/b\", \"<x>\"]\n";

    #[test]
    fn layers_of_the_stages_below_come_first() {
        let html = drawn(ON_A_STAGE, |_| None);
        let layers = html.split("bar-row").skip(1);
        let at: Vec<&str> = layers
            .filter_map(|rest| rest.split("data-do=\"").nth(1)?.split('"').next())
            .collect();
        assert_eq!(at, ["step 0 0", "step 1 0"]);
        assert!(
            html.contains("stage-1: 2 layers on scratch. A build says how large they are."),
            "{html}"
        );
    }

    #[test]
    fn the_image_says_how_it_starts() {
        let html = drawn(ON_A_STAGE, |_| None);
        for expected in [
            "<dd data-fact=\"Entrypoint\"><button class=\"link\" data-do=\"step 1 2\"><code>[&quot;/b&quot;,&quot;&lt;x&gt;&quot;]</code>",
            "<dd data-fact=\"User\"><button class=\"link\" data-do=\"step 1 1\"><code>me</code>",
            "<code>A=1</code>",
            "<code>linux/amd64</code>",
        ] {
            assert!(html.contains(expected), "{expected} in {html}");
        }
        assert!(!html.contains("Volumes"), "{html}");
    }

    #[test]
    fn a_build_adds_sizes() {
        let html = drawn(ON_A_STAGE, |analysis| {
            let vertices = analysis.stages.iter().flat_map(|stage| &stage.steps);
            let vertices = vertices
                .filter(|step| step.changes_files)
                .filter_map(|step| step.vertex.clone());
            let layer = |vertex| BuiltLayer {
                vertex,
                size: 2_000_000,
                entries: [3, 0, 0],
            };
            Some(Built {
                layers: vertices.map(layer).collect(),
                image_size: 1_900_000,
                ..Built::default()
            })
        });
        assert!(html.contains("2 layers on scratch, 1.9 MB to download"), "{html}");
        assert!(html.contains("title=\"3 added, 0 changed, 0 removed\""), "{html}");
    }

    #[test]
    fn without_a_target_there_is_no_image() {
        assert!(drawn("FROM scratch\nRUNN\n", |_| None).contains("There is no image"));
    }
}
