//! `InvalidBaseImagePlatform`: An image for another platform than the one it is used for.

use std::collections::BTreeSet;

use crate::analysis::Base;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::Found;
use crate::lint::moment::Moment;
use crate::stage::Origin;

pub(super) const RULE: Rule = Rule::reference(
    "InvalidBaseImagePlatform",
    "",
    "An image for another platform than the one it is used for.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let nodes = &file.study.plan.resolved.nodes;
    let mut asked = BTreeSet::new();
    for stage in file.looked_at() {
        if let Some(message) = other_platform(file, stage.index) {
            found.push(Found::of_file(stage.node, Moment::IMAGES, message));
        }
        // An image that is copied from is spoken of where that is first done.
        let dependencies = nodes
            .get(stage.index)
            .into_iter()
            .flat_map(|node| &node.dependencies);
        for dependency in dependencies {
            let image = nodes
                .get(dependency.on)
                .filter(|node| node.origin == Origin::Hidden);
            if image.is_none() || !asked.insert(dependency.on) {
                continue;
            }
            let Some(message) = other_platform(file, dependency.on) else {
                continue;
            };
            let place = file.place_of(dependency.span.start).and_then(|(_, step)| step);
            let step = place.and_then(|step| stage.steps.get(step));
            let node = step.map_or(stage.node, |step| &*step.node);
            found.push(Found::of_file(node, Moment::IMAGES, message));
        }
    }
}

/// What to say of a node that starts from an image for another platform.
fn other_platform(file: &File<'_>, node: usize) -> Option<String> {
    let Base::Image(image) = file.study.plan.bases.get(node)? else {
        return None;
    };
    let facts = file.facts(*image)?;
    // An image without layers is as good as scratch, and is for every platform.
    // A named context was chosen by whoever builds, for this very platform.
    let image = file
        .study
        .plan
        .images
        .get(*image)
        .filter(|image| !image.outputs.is_empty() && image.context.is_none())?;
    let os = facts.config.get("os")?.as_str()?;
    let architecture = facts.config.get("architecture")?.as_str()?;
    let fits = os == image.platform.os && architecture == image.platform.architecture;
    (!fits).then(|| {
        format!(
            "{} is for {os}/{architecture}, and {} is wanted.",
            image.name, image.platform
        )
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::analysis::{ImageFacts, Input};
    use crate::digest::Digest;
    use crate::lint::{Scope, lint};

    #[test]
    fn says_so() {
        let mut input = Input {
            source: "FROM alpine\n".into(),
            ..Input::default()
        };
        let mut found = |architecture: &str| {
            let facts = ImageFacts {
                digest: Digest::of(b""),
                config: serde_json::json!({ "os": "linux", "architecture": architecture,
                    "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"")] } }),
                size: 0,
                note: None,
            };
            input
                .options
                .images
                .insert("docker.io/library/alpine:latest".into(), facts);
            lint(&input, Scope::All)
                .iter()
                .filter(|finding| finding.rule == RULE.name)
                .count()
        };
        assert_eq!((found("amd64"), found("arm64")), (0, 1));
    }
}
