//! What is to come of a build: the flags about its result, taken together.

use stagewright_core::platform::Platform;

use super::annotation::{Annotation, Place};
use super::attest::Common;
use super::output::{self, Choice, Destination, Kind, Output, Push};
use super::{Arguments, deliver, epoch, tell};
use crate::backend::FilesOutput;
use crate::cli::Failure;
use crate::cli::dockerfile::Dockerfile;
use crate::export::ImageOptions;
use crate::provenance::{Asked, Origin};
use crate::source::image::reference::Reference;

/// What is to come of a build.
pub(super) struct Wanted {
    pub(super) outputs: Vec<Output>,
    /// All that the image is called, in whichever output.
    pub(super) names: Vec<Reference>,
    /// Whether those names are all outputs', since none of them is one output's own.
    named_by_flag: bool,
    /// The image's, as all outputs have it.
    pub(super) choice: Choice,
    pub(super) platforms: Vec<Platform>,
    epoch: Option<i64>,
}

impl Wanted {
    pub(super) fn of(arguments: &Arguments, dockerfile: &Dockerfile) -> Result<Self, Failure> {
        let usage = |message: String| Failure::new(Failure::USAGE, message);
        let mut outputs = arguments.output.clone();
        if arguments.push {
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
        if arguments.load {
            outputs.push(Output::of(Kind::Load));
        }
        let mut choice = output::agreed(&outputs).map_err(usage)?;
        choice.annotations.extend(arguments.annotation.iter().cloned());
        // Names that the flag gives count for all outputs; else each may name its image itself.
        let named_by_flag = !arguments.tag.is_empty();
        let mut names = arguments.tag.clone();
        if !named_by_flag {
            for name in outputs.iter().flat_map(|output| &output.choice.names) {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        deliver::check(&outputs, &arguments.tag)?;
        for output in outputs.iter().filter(|_| arguments.manner().speaks()) {
            if let Kind::Folder(place, _) = &output.kind
                && place.extension().is_some_and(|ending| ending == "tar")
                && !place.exists()
            {
                let place = place.display();
                tell(&format!(
                    "note: {place} becomes a folder with the image's files; an archive of the image is -o type=oci,dest={place}\n"
                ));
            }
        }
        let epoch = epoch::of(&dockerfile.input.options);
        if choice.rewrite_timestamps && epoch.is_none() {
            return Err(usage("rewrite-timestamp=true needs a time to write".into())
                .hint("set SOURCE_DATE_EPOCH, in the environment or as --build-arg, to seconds since 1970"));
        }
        let platforms = arguments.dockerfile.platforms();
        let stated = arguments.attest.asked().is_some();
        if stated && outputs.iter().any(|output| output.kind.is_for_docker_load()) {
            return Err(usage(
                "what docker load takes is an image alone, and has no place for its provenance".into(),
            )
            .hint("write -o type=oci,dest=FILE, push it, or leave --provenance out"));
        }
        if platforms.len() == 1 && !stated && choice.annotations.iter().any(Annotation::wants_an_index) {
            return Err(
                usage("an index is annotated, but an image for one platform has none".into())
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
            return Err(usage(format!("{what}, and {} are asked for", platforms.len()))
                .hint("write -o type=oci,dest=FILE or -o type=local,dest=FOLDER, or build for one"));
        }
        Ok(Self {
            outputs,
            names,
            named_by_flag,
            choice,
            platforms,
            epoch,
        })
    }

    /// What the image is called in one of the outputs.
    pub(super) fn names_in<'w>(&'w self, output: &'w Output) -> &'w [Reference] {
        if self.named_by_flag {
            &self.names
        } else {
            &output.choice.names
        }
    }

    /// Whether anybody takes the image, rather than its files only.
    pub(super) fn image(&self) -> bool {
        self.outputs.is_empty() || self.outputs.iter().any(|output| output.kind.is_image())
    }

    /// Where the files for one platform go.
    pub(super) fn files(&self, platform: &Platform) -> Vec<FilesOutput> {
        let several = self.platforms.len() > 1;
        let place = |output: &Output| match &output.kind {
            Kind::Folder(place, split) if split.unwrap_or(several) => {
                let own = platform.to_string().replace('/', "_");
                Some(FilesOutput::Folder(place.join(own)))
            }
            Kind::Folder(place, _) => Some(FilesOutput::Folder(place.clone())),
            Kind::Tar(Destination::StandardOutput) => Some(FilesOutput::TarToStandardOutput),
            Kind::Tar(Destination::File(place)) => Some(FilesOutput::Tar(place.clone())),
            Kind::Archive(..) | Kind::Layout(_) | Kind::Load | Kind::Image(_) | Kind::Nothing => None,
        };
        self.outputs.iter().filter_map(place).collect()
    }

    /// What all platforms share of what is stated about the build.
    pub(super) fn stated(
        &self,
        asked: Asked,
        origin: Origin,
        labels: &[String],
        machine: Platform,
    ) -> Common {
        let several = self.platforms.len() > 1;
        let shared = |output: &Output| matches!(output.kind, Kind::Folder(_, Some(false)));
        let shares_folder = several && self.outputs.iter().any(shared);
        Common::new(asked, origin, labels, machine, self.epoch, shares_folder)
    }

    pub(super) fn image_options(&self, platform: &Platform) -> ImageOptions {
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
    pub(super) fn title(&self) -> String {
        let name = self.names.first().map(ToString::to_string);
        let name = name.unwrap_or_else(|| "image".into());
        // A reference is ASCII, and may be longer than a title.
        let name = name.strip_prefix("docker.io/library/").unwrap_or(&name);
        name.chars().take(200).collect()
    }
}
