//! Named contexts: what `--build-context` puts in the place of images, stages and sources of files.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::Deserialize as _;

use crate::analysis::{Base, LocalContext, LocalIdentity, NamedContext, Options};
use crate::diagnostic::Problem;
use crate::ignore;
use crate::image::Image;
use crate::llb::{Attr, SourceOp};
use crate::platform::Platform;
use crate::reference::Reference;

use super::build::{Build, Shared, llb_platform};
use super::definition::go_json;
use super::graph::{Graph, Output, Vertex, Work, Written};
use super::image::{FoundImage, find_or_add};
use super::remote;

/// The contexts by the names that are looked for.
#[derive(Debug, Default)]
pub(crate) struct Contexts<'o> {
    by_name: BTreeMap<String, &'o NamedContext>,
}

/// A context that a name stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'f> {
    /// As it is looked for, with the platform where the context is for one platform only.
    key: &'f str,
    /// The same without a platform.
    name: &'f str,
    context: &'f NamedContext,
}

impl<'o> Contexts<'o> {
    pub(crate) fn new(options: &'o Options) -> Self {
        let named = |(name, context): (&String, &'o NamedContext)| (usual_name(name), context);
        Self {
            by_name: options.contexts.iter().map(named).collect(),
        }
    }

    /// The context that `name` stands for where something is built for `platform`: one that is for that platform,
    /// else one that is for any.
    pub(crate) fn find<'f>(&'f self, name: &str, platform: &Platform) -> Option<Found<'f>> {
        if self.by_name.is_empty() {
            return None;
        }
        let name = usual_name(name);
        let (key, context) = self
            .by_name
            .get_key_value(&format!("{name}::{}", platform.normalized()))
            .or_else(|| self.by_name.get_key_value(&name))?;
        Some(Found {
            key,
            name: key.get(..name.len()).unwrap_or(key),
            context,
        })
    }
}

/// An image's name as people write it, without what goes without saying; other names as they are.
fn usual_name(name: &str) -> String {
    let Ok(reference) = name.parse::<Reference>() else {
        return name.to_owned();
    };
    let full = reference.to_string();
    let short = full.strip_suffix(":latest").unwrap_or(&full);
    let Some(hub) = short.strip_prefix("docker.io/") else {
        return short.to_owned();
    };
    match hub.strip_prefix("library/") {
        Some(official) if !official.contains('/') => official.to_owned(),
        _ => hub.to_owned(),
    }
}

/// A folder of the client's that is in use, and what is needed of it.
#[derive(Debug)]
pub(crate) struct LocalUse {
    output: Output,
    source: SourceOp,
    paths: BTreeSet<String>,
}

impl LocalUse {
    /// Notes that `path`, absolute and clean, is needed.
    pub(crate) fn take(&mut self, path: String) {
        self.paths.insert(path);
    }
}

/// What a context gives.
struct Loaded {
    output: Option<Output>,
    /// The configuration, where it is an image.
    image: Option<Image>,
    base: Base,
    local: Option<usize>,
}

/// Lets `build` start from a context that stands in the place of an image.
pub(super) fn start(
    shared: &mut Shared<'_>,
    found: Found<'_>,
    place: Place,
    platform: &Platform,
    build: &mut Build,
    images: &mut Vec<FoundImage>,
) -> Result<Base, Problem> {
    let loaded = load(shared, found, place, platform, images)?;
    build.image = Image {
        created: None,
        ..loaded.image.unwrap_or_else(|| Image::scratch(platform))
    };
    build.output = loaded.output;
    build.platform = Rc::new(platform.clone());
    build.exec_platform = Some(Rc::new(llb_platform(&platform.normalized())));
    build.local = loaded.local;
    Ok(loaded.base)
}

/// Lets `build` be a context that stands in the place of a stage: nothing of what the stage says is done.
pub(super) fn replace(
    shared: &mut Shared<'_>,
    found: Found<'_>,
    place: Place,
    platform: &Platform,
    build: &mut Build,
    images: &mut Vec<FoundImage>,
) -> Result<Base, Problem> {
    let loaded = load(shared, found, place, platform, images)?;
    build.image = Image {
        created: None,
        ..loaded.image.unwrap_or_default()
    };
    let Image { os, architecture, .. } = &build.image;
    if !os.is_empty() && !architecture.is_empty() {
        let platform = Platform {
            os: os.clone(),
            architecture: architecture.clone(),
            variant: build.image.variant.clone(),
            os_version: build.image.os_version.clone(),
        }
        .normalized();
        build.exec_platform = Some(Rc::new(llb_platform(&platform)));
        build.platform = Rc::new(platform);
    }
    build.output = loaded.output;
    build.local = loaded.local;
    Ok(loaded.base)
}

/// Where a context is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The stage, where it is one that is written.
    pub(super) stage: Option<usize>,
    /// The words that name the context.
    pub(super) span: crate::span::Span,
}

fn load(
    shared: &mut Shared<'_>,
    found: Found<'_>,
    place: Place,
    platform: &Platform,
    images: &mut Vec<FoundImage>,
) -> Result<Loaded, Problem> {
    let Found { key, name, context } = found;
    let bad = |what: String| {
        Problem::new(
            "bad-context",
            format!("The context {key} cannot be used: {what}."),
        )
        .hint("Name a folder, docker-image://NAME, oci-layout://NAME@DIGEST, or the address of a repository.")
    };
    let mut described = FoundImage {
        name: key.to_owned(),
        reference: String::new(),
        platform: platform.normalized(),
        resolved: true,
        size: 0,
        note: None,
        span: place.span,
        outputs: Vec::new(),
        context: Some(key.to_owned()),
    };
    let (source, title, for_platform) = match context {
        NamedContext::Image(written) if written == "scratch" => {
            return Ok(Loaded {
                output: None,
                image: None,
                base: Base::Scratch,
                local: None,
            });
        }
        NamedContext::Image(written) => {
            let reference: Reference = written
                .parse()
                .map_err(|error: crate::reference::InvalidReference| bad(error.to_string()))?;
            described.reference = reference.to_string();
            let source = SourceOp::new(format!("docker-image://{reference}"), Vec::new());
            (source, format!("[context {key}] {written}"), true)
        }
        NamedContext::OciLayout(written) => {
            let (store, digest) = written
                .split_once('@')
                .ok_or_else(|| bad("a layout is named with the digest of its image".into()))?;
            let digest = digest
                .parse()
                .map_err(|_| bad(format!("\"{digest}\" is not a digest")))?;
            let store = store.split(':').next().unwrap_or(store);
            let reference: Reference = name
                .parse()
                .map_err(|error: crate::reference::InvalidReference| bad(error.to_string()))?;
            described.reference = reference.untagged(name).with_digest(digest).to_string();
            let mut attrs = vec![Attr::new("oci.store", store)];
            if let LocalIdentity::Session(id) = &shared.options.local {
                attrs.push(Attr::new("oci.session", id));
            }
            let source = SourceOp::new(format!("oci-layout://{}", described.reference), attrs);
            (source, format!("[context {key}] OCI load from client"), true)
        }
        NamedContext::Remote(address) => {
            described.reference.clone_from(address);
            if let Some(git) = remote::git(address)? {
                (
                    git.context(),
                    format!("[internal] load git source {address}"),
                    false,
                )
            } else if address.starts_with("http://") || address.starts_with("https://") {
                let source = SourceOp::new(address.clone(), vec![Attr::new("http.filename", "context")]);
                (source, format!("[context {key}] {address}"), false)
            } else {
                return Err(bad(format!(
                    "\"{address}\" is not an address that can be fetched"
                )));
            }
        }
        NamedContext::Local(local) => {
            described.reference = format!("local://{}", local.name);
            let source = local_source(local, key, &shared.options.local);
            (source, format!("[context {key}] load from client"), false)
        }
    };
    let mut image = None;
    if for_platform {
        let facts = shared.options.images.get(&described.reference);
        image = Some(match facts {
            Some(facts) => Image::deserialize(&facts.config)
                .map_err(|error| bad(format!("its configuration says {error}")))?,
            None => Image::assumed(platform),
        });
        described.resolved = facts.is_some();
        described.size = facts.map_or(0, |facts| facts.size);
        described.note = facts.and_then(|facts| facts.note.clone());
    }
    let is_local = matches!(context, NamedContext::Local(_));
    let output = shared.graph.add(Vertex {
        work: Work::Source(source.clone(), for_platform.then(|| llb_platform(platform))),
        name: title,
        stage: place.stage,
        step: None,
        ignore_cache: false,
        written: Written::Context,
    });
    let index = find_or_add(images, described);
    if let Some(image) = images.get_mut(index) {
        image.outputs.push(output);
    }
    let local = is_local.then(|| {
        shared.locals.push(LocalUse {
            output,
            source,
            paths: BTreeSet::new(),
        });
        shared.locals.len() - 1
    });
    Ok(Loaded {
        output: Some(output),
        image,
        base: Base::Image(index),
        local,
    })
}

/// The source of a folder of the client's, before it is known what is needed of it.
fn local_source(local: &LocalContext, key: &str, identity: &LocalIdentity) -> SourceOp {
    let hint = format!("context:{key}-{}", local.shared_key);
    let mut attrs = vec![Attr::new("local.sharedkeyhint", hint)];
    let ignored = local.ignore.as_deref().map(ignore::patterns).unwrap_or_default();
    if !ignored.is_empty() {
        attrs.push(Attr::new("local.excludepatterns", go_json(&ignored)));
    }
    attrs.push(identity.attr());
    SourceOp::new(format!("local://{}", local.name), attrs)
}

/// Writes into the sources what is needed of them, once all that is needed is known.
pub(super) fn settle(locals: Vec<LocalUse>, graph: &mut Graph) {
    for LocalUse {
        output,
        mut source,
        paths,
    } in locals
    {
        let Some(vertex) = graph.vertices.node_weight_mut(output) else {
            continue;
        };
        let paths = super::followed(paths.iter().map(String::as_str));
        if !paths.is_empty() {
            source.attrs.push(Attr::new("local.followpaths", go_json(&paths)));
        }
        vertex.work = Work::Source(SourceOp::new(source.identifier, source.attrs), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_without_what_goes_without_saying() {
        for (name, usual) in [
            ("alpine", "alpine"),
            ("docker.io/library/alpine:latest", "alpine"),
            ("alpine:3", "alpine:3"),
            ("docker.io/a/b:latest", "a/b"),
            ("docker.io/library/a/b", "library/a/b"),
            ("ghcr.io/a/b", "ghcr.io/a/b"),
            ("a::linux/arm64", "a::linux/arm64"),
        ] {
            assert_eq!(usual_name(name), usual, "{name}");
        }
    }
}
