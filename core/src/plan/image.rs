//! What stages start from.

use std::rc::Rc;

use serde::Deserialize as _;

use crate::analysis::Base;
use crate::diagnostic::Problem;
use crate::image::Image;
use crate::llb::SourceOp;
use crate::platform::Platform;
use crate::reference::{InvalidReference, Reference};
use crate::span::Span;
use crate::stage::{Node, Origin};

use super::build::{Build, Shared, llb_platform};
use super::context;
use super::graph::{Output, Vertex, Work, Written};
use super::lower;

/// An image that something starts from or copies from.
#[derive(Debug)]
pub(crate) struct FoundImage {
    /// As it is written.
    pub(crate) name: String,
    /// In full.
    pub(crate) reference: String,
    pub(crate) platform: Platform,
    /// Whether it was looked up.
    pub(crate) resolved: bool,
    pub(crate) size: u64,
    pub(crate) note: Option<String>,
    pub(crate) span: Span,
    /// Its source ops; equal ones become one.
    pub(crate) outputs: Vec<Output>,
    /// The named context that it is.
    pub(crate) context: Option<String>,
}

/// How many steps of a stage progress counts: the image it starts from, and what changes files.
pub(super) fn count_steps(node: &Node) -> usize {
    if node.origin == Origin::Hidden || node.replaced {
        return 0;
    }
    let changes = node
        .commands
        .iter()
        .filter(|command| command.statement.instruction.is_some() && command.statement.changes_files);
    usize::from(node.base.is_none() && node.base_name != "scratch") + changes.count()
}

/// Finds out what `node` starts from, and lets `build` start from it.
pub(super) fn start(
    shared: &mut Shared<'_>,
    node: &Node,
    build: &mut Build,
    images: &mut Vec<FoundImage>,
) -> Result<Base, Problem> {
    let target_platform = shared.target_platform;
    let place = context::Place {
        stage: match node.origin {
            Origin::Written(stage) => Some(stage),
            Origin::Hidden => None,
        },
        span: node.base_span,
    };
    let contexts = shared.contexts;
    if node.replaced {
        // What it would start from is not asked for, but has to be the name of an image all the same. A pinned one is none
        // here where its digest is not of the one kind that is known.
        if !matches!(node.base_name.as_str(), "" | "scratch") && !node.base_name.contains('@') {
            image_name(&node.base_name)?;
        }
        let platform = node.platform.as_ref().unwrap_or(&**target_platform);
        return match contexts.find(&node.label, platform) {
            Some(found) => context::replace(shared, found, place, platform, build, images),
            None => Ok(Base::Unknown),
        };
    }
    if let Some(base) = node.base {
        return Ok(Base::Stage(base));
    }
    if node.base_name.is_empty() {
        // That it could not be worked out was said already.
        return Ok(Base::Unknown);
    }
    if node.base_name == "scratch" {
        build.image = Image::scratch(shared.target_platform);
        return Ok(Base::Scratch);
    }
    let reference = image_name(&node.base_name)?;
    let platform = match &node.platform {
        Some(platform) => Rc::new(platform.clone()),
        None => Rc::clone(shared.target_platform),
    };
    let full = reference.to_string();
    if let Some(found) = contexts.find(&full, &platform) {
        return context::start(shared, found, place, &platform, build, images);
    }
    let facts = shared.options.images.get(&full);
    let image = match facts {
        Some(facts) => Image::deserialize(&facts.config).map_err(|error| {
            Problem::new(
                "bad-image-config",
                format!("The configuration of {full} cannot be read: {error}."),
            )
        })?,
        None => Image::assumed(&platform),
    };
    let empty = facts.is_some() && image.is_empty();
    let pinned = match facts {
        Some(facts) => reference.with_digest(facts.digest.clone()),
        None => reference,
    };
    let normalized = platform.normalized();
    let index = find_or_add(
        images,
        FoundImage {
            name: node.base_name.clone(),
            reference: full,
            platform: normalized.clone(),
            resolved: facts.is_some(),
            size: facts.map_or(0, |facts| facts.size),
            note: facts.and_then(|facts| facts.note.clone()),
            span: node.base_span,
            outputs: Vec::new(),
            context: None,
        },
    );
    build.image = Image {
        created: None,
        ..image
    };
    build.platform = Rc::clone(&platform);
    if !empty {
        let source = SourceOp::new(format!("docker-image://{pinned}"), Vec::new());
        if shared.options.name_platforms {
            build.steps.platform = super::runs_on::shown(&platform, None);
        }
        let name = build.steps.next(&[], &format!("FROM {pinned}"));
        let work = Work::Source(source, Some(llb_platform(&platform)));
        let output = shared.graph.add(Vertex {
            work,
            name,
            stage: place.stage,
            step: None,
            ignore_cache: false,
            written: Written::From((!node.mounted).then_some(node.lines)),
        });
        build.output = Some(output);
        build.exec_platform = Some(Rc::new(llb_platform(&normalized)));
        if let Some(image) = images.get_mut(index) {
            image.outputs.push(output);
        }
    }
    Ok(Base::Image(index))
}

fn image_name(written: &str) -> Result<Reference, Problem> {
    written.parse().map_err(|error: InvalidReference| {
        Problem::new("bad-image-name", format!("{error}."))
            .hint("Image names look like alpine, alpine:3.20 or ghcr.io/owner/name:tag.")
    })
}

/// The place of an image among those that are in use; one that is used again is listed once.
pub(super) fn find_or_add(images: &mut Vec<FoundImage>, image: FoundImage) -> usize {
    let known = images.iter().position(|known| {
        known.reference == image.reference
            && known.platform == image.platform
            && known.context == image.context
    });
    known.unwrap_or_else(|| {
        images.push(image);
        images.len() - 1
    })
}

/// Takes over from the image what processes start with.
pub(super) fn enter(build: &mut Build) -> Result<(), Problem> {
    build.past.extend(std::mem::take(&mut build.image.history));
    build.image.ensure_path(&build.platform.os);
    build.env.set_lines(&build.image.config.env);
    let dir = build.image.config.working_dir.clone();
    if !dir.is_empty() {
        lower::workdir::enter(build, &dir)?;
    }
    if !build.image.config.user.is_empty() {
        build.user.clone_from(&build.image.config.user);
    }
    Ok(())
}
