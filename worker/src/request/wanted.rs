//! What is to come of a build: all that was asked for about its result, taken together.

use std::path::PathBuf;

use stagewright_core::analysis::Options;
use stagewright_core::platform::Platform;

use super::annotation::{Annotation, Place};
use super::attest::Common;
use super::obstacle::Obstacle;
use super::output::{self, Choice, Destination, Kind, Output, Push};
use super::{deliver, epoch};
use crate::backend::FilesOutput;
use crate::export::ImageOptions;
use crate::provenance::{Origin, ProvenanceOptions};
use crate::source::image::reference::Reference;

/// What was asked for about a build's result, piece by piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) outputs: Vec<Output>,
    /// Whether the image is pushed to where its names say.
    pub(crate) push: bool,
    /// Whether it goes to an engine on this machine.
    pub(crate) load: bool,
    pub(crate) tags: Vec<Reference>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) platforms: Vec<Platform>,
    /// Whether anything is stated of the build.
    pub(crate) stated: bool,
}

/// What is to come of a build.
pub(crate) struct Wanted {
    pub(crate) outputs: Vec<Output>,
    /// All that the image is called, in whichever output.
    pub(crate) names: Vec<Reference>,
    /// Whether those names are all outputs', since none of them is one output's own.
    named_for_all: bool,
    /// The image's, as all outputs have it.
    pub(crate) choice: Choice,
    pub(crate) platforms: Vec<Platform>,
    epoch: Option<i64>,
    /// The folder in which files are kept with the build.
    pub(crate) keep: PathBuf,
}

impl Wanted {
    pub(crate) fn of(wishes: Wishes, options: &Options) -> Result<Self, Obstacle> {
        let Wishes {
            mut outputs,
            push,
            load,
            tags,
            annotations,
            platforms,
            stated,
        } = wishes;
        if push {
            let image = outputs
                .iter_mut()
                .find(|output| matches!(output.kind, Kind::Image(_)));
            match image {
                Some(image) => {
                    if let Kind::Image(push) = &mut image.kind {
                        push.get_or_insert_default();
                    }
                }
                None => outputs.push(Output::of(Kind::Image(Some(Push::default())))),
            }
        }
        if load {
            outputs.push(Output::of(Kind::Load));
        }
        let mut choice = output::agreed(&outputs).map_err(Obstacle::usage)?;
        choice.annotations.extend(annotations);
        // Names that are given for all count for all outputs; else each may name its image itself.
        let named_for_all = !tags.is_empty();
        let mut names = tags;
        deliver::check(&outputs, &names)?;
        if !named_for_all {
            for name in outputs.iter().flat_map(|output| &output.choice.names) {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        let epoch = epoch::of(options);
        if choice.rewrite_timestamps && epoch.is_none() {
            return Err(Obstacle::usage("rewrite-timestamp=true needs a time to write")
                .hint("set SOURCE_DATE_EPOCH, in the environment or as --build-arg, to seconds since 1970"));
        }
        if stated && outputs.iter().any(|output| output.kind.is_for_docker_load()) {
            return Err(Obstacle::usage(
                "what docker load takes is an image alone, and has no place for its provenance",
            )
            .hint("write -o type=oci,dest=FILE, push it, or leave --provenance out"));
        }
        if platforms.len() == 1 && !stated && choice.annotations.iter().any(Annotation::wants_an_index) {
            return Err(
                Obstacle::usage("an index is annotated, but an image for one platform has none")
                    .hint("annotate its manifest: --annotation manifest:NAME=VALUE"),
            );
        }
        let several = platforms.len() > 1;
        let single =
            |output: &&Output| output.kind.is_for_docker_load() || matches!(output.kind, Kind::Tar(_));
        if several && let Some(output) = outputs.iter().find(single) {
            let what = match output.kind {
                Kind::Tar(_) => "a tar of files holds those of one platform",
                _ => "what docker load takes holds an image for one platform",
            };
            return Err(
                Obstacle::usage(format!("{what}, and {} are asked for", platforms.len()))
                    .hint("write -o type=oci,dest=FILE or -o type=local,dest=FOLDER, or build for one"),
            );
        }
        Ok(Self {
            outputs,
            names,
            named_for_all,
            choice,
            platforms,
            epoch,
            keep: PathBuf::new(),
        })
    }

    /// What the image is called in one of the outputs.
    pub(crate) fn names_in<'w>(&'w self, output: &'w Output) -> &'w [Reference] {
        if self.named_for_all {
            &self.names
        } else {
            &output.choice.names
        }
    }

    /// Whether anybody takes the image, rather than its files only.
    pub(crate) fn image(&self) -> bool {
        // What is kept with a build is kept beside its image.
        self.outputs.is_empty() || self.keeps() || self.outputs.iter().any(|output| output.kind.is_image())
    }

    /// Whether files are kept with the build.
    pub(crate) fn keeps(&self) -> bool {
        self.outputs.iter().any(|output| output.kind == Kind::Kept)
    }

    /// Where the files for one platform go.
    pub(crate) fn files(&self, platform: &Platform) -> Vec<FilesOutput> {
        let several = self.platforms.len() > 1;
        let own = platform.to_string().replace('/', "_");
        let place = |output: &Output| match &output.kind {
            Kind::Folder(place, split) if split.unwrap_or(several) => {
                Some(FilesOutput::Folder(place.join(&own)))
            }
            Kind::Kept => Some(FilesOutput::Kept(self.keep.join(format!("{own}.tar")))),
            Kind::Folder(place, _) => Some(FilesOutput::Folder(place.clone())),
            Kind::Tar(Destination::StandardOutput) => Some(FilesOutput::TarToStandardOutput),
            Kind::Tar(Destination::File(place)) => Some(FilesOutput::Tar(place.clone())),
            Kind::Archive(..) | Kind::Layout(_) | Kind::Load | Kind::Image(_) | Kind::Nothing => None,
        };
        self.outputs.iter().filter_map(place).collect()
    }

    /// What all platforms share of what is stated about the build.
    pub(crate) fn stated(
        &self,
        asked: ProvenanceOptions,
        origin: Origin,
        labels: &[String],
        machine: Platform,
    ) -> Result<Common, Obstacle> {
        let several = self.platforms.len() > 1;
        let shared = |output: &Output| matches!(output.kind, Kind::Folder(_, Some(false)));
        let shares_folder = several && self.outputs.iter().any(shared);
        Common::new(asked, origin, labels, machine, self.epoch, shares_folder)
    }

    pub(crate) fn image_options(&self, platform: &Platform) -> ImageOptions {
        ImageOptions {
            annotations: Annotation::of(&self.choice.annotations, Place::Manifest, platform),
            encoding: self.choice.encoding,
            encode_all: self.choice.encode_all,
            epoch: self.epoch,
            rewrite_timestamps: self.choice.rewrite_timestamps,
            unmade: !self.image(),
        }
    }

    /// What the build is called where builds are listed.
    pub(crate) fn title(&self) -> String {
        let name = self.names.first().map(ToString::to_string);
        let name = name.unwrap_or_else(|| "image".into());
        // A reference is ASCII, and may be longer than a title.
        let name = name.strip_prefix("docker.io/library/").unwrap_or(&name);
        name.chars().take(200).collect()
    }
}
