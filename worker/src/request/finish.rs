//! From the images of a build to what was asked for: a list of them, names, and outputs.

use std::collections::BTreeMap;

use stagewright_core::digest::Digest;
use stagewright_core::protocol::ImageSummary;

use super::annotation::{Annotation, Place};
use super::attest;
use super::deliver::Image;
use super::obstacle::Obstacle;
use super::planning::Planned;
use super::wanted::Wanted;
use super::watcher::Watcher;
use crate::build::Builds;
use crate::export::{INDEX_TYPE, MANIFEST_TYPE, Naming, assemble_index};
use crate::source::image::reference::Reference;
use crate::storage::names::ImageNames;

/// What was built.
#[derive(Debug)]
pub(crate) struct Built {
    /// Digest of the manifest.
    pub(crate) digest: Digest,
    pub(crate) media_type: &'static str,
    /// Bytes of the manifest, where it is here.
    pub(crate) size: Option<u64>,
    /// Digest of the configuration.
    pub(crate) config: Option<Digest>,
    pub(crate) names: Vec<Reference>,
}

/// Puts the images out; gives what was built, where anybody wanted the image.
pub(crate) async fn finish(
    wanted: &Wanted,
    builds: &Builds,
    kept: &ImageNames,
    planned: &[Planned],
    images: &[ImageSummary],
    watcher: &mut dyn Watcher,
) -> Result<Option<Built>, Obstacle> {
    if !wanted.image() {
        return Ok(None);
    }
    let annotated = |place, plan: &Planned| Annotation::of(&wanted.choice.annotations, place, &plan.platform);
    let content = builds.contexts().content();
    let mut attestations = Vec::new();
    for (plan, image) in planned.iter().zip(images) {
        if let Some(draft) = &plan.draft {
            let stated = attest::attestation(content, draft, &wanted.names, &plan.platform, image);
            attestations.push(stated?);
        }
    }
    let single = attestations.is_empty();
    let (root, media_type, annotations) = if let ([plan], [image]) = (planned, images)
        && single
    {
        let annotations = annotated(Place::ManifestDescriptor, plan);
        (image.digest.clone(), MANIFEST_TYPE, annotations)
    } else {
        let entry = |(plan, image): (&Planned, &ImageSummary)| {
            (image.digest.clone(), annotated(Place::ManifestDescriptor, plan))
        };
        let entries: Vec<_> = planned.iter().zip(images).map(entry).collect();
        let of = |place| {
            planned
                .first()
                .map(|plan| annotated(place, plan))
                .unwrap_or_default()
        };
        let index = assemble_index(content, &entries, &attestations, &of(Place::Index));
        let index = index.map_err(|error| Obstacle::work(error.to_string()))?;
        (index, INDEX_TYPE, of(Place::IndexDescriptor))
    };
    for name in &wanted.names {
        kept.give(name, &root)
            .map_err(|error| Obstacle::place(error.to_string()))?;
    }
    let origins = origins(planned, images);
    for output in &wanted.outputs {
        let naming = Naming {
            names: wanted.names_in(output).to_vec(),
            annotations: annotations.clone(),
        };
        let image = Image {
            builds,
            root: &root,
            naming: &naming,
            origins: &origins,
        };
        image.deliver(output, watcher).await?;
    }
    let config = match images {
        [image] => Some(image.config.clone()),
        _ => None,
    };
    Ok(Some(Built {
        size: builds.contexts().content().size(&root),
        digest: root,
        media_type,
        config,
        names: wanted.names.clone(),
    }))
}

/// The base images that layers came from, by the layers' blobs.
fn origins(planned: &[Planned], images: &[ImageSummary]) -> BTreeMap<Digest, Reference> {
    let mut origins = BTreeMap::new();
    for (plan, image) in planned.iter().zip(images) {
        for layer in &image.layers {
            let base = plan
                .analysis
                .images
                .iter()
                .find(|image| image.vertex.is_some() && image.vertex == layer.vertex);
            if let Some(reference) = base.and_then(|base| base.reference.parse().ok()) {
                origins.insert(layer.digest.clone(), reference);
            }
        }
    }
    origins
}
