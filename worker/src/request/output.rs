//! What becomes of a build's result, written as docker build has it in `--output`.

use std::fmt::Display;
use std::path::PathBuf;

use stagewright_core::protocol::OutputFormat;

use super::annotation::Annotation;
use super::keys::{Keys, fields};
use crate::export::Encoding;
use crate::source::image::reference::{self, Reference};

/// One output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) kind: Kind,
    /// What is chosen of the image, where it is an image that is put out.
    pub(crate) choice: Choice,
}

/// What is put out, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The files, into a folder; each platform's in one of its own where that is asked for.
    Folder(PathBuf, Option<bool>),
    /// The files, as a tar.
    Tar(Destination),
    /// The files, as a tar for each platform that is kept with the build.
    Kept,
    /// An image in one file.
    Archive(OutputFormat, Destination),
    /// An image in a folder.
    Layout(PathBuf),
    /// An image in Docker or Podman on this machine.
    Load,
    /// An image in the worker's own store, and in a registry where it is pushed.
    Image(Option<Push>),
    /// Nothing: what the steps made stays in the cache, and no image is put together or compressed.
    Nothing,
}

/// How an image is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Push {
    /// Without a tag.
    pub(crate) by_digest: bool,
}

/// Where a file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    StandardOutput,
    File(PathBuf),
}

/// What is chosen of an image. Nothing chosen is [`Choice::default`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Choice {
    pub(crate) names: Vec<Reference>,
    pub(crate) encoding: Encoding,
    pub(crate) encode_all: bool,
    pub(crate) rewrite_timestamps: bool,
    pub(crate) annotations: Vec<Annotation>,
}

/// The keys that every image has.
const IMAGE_KEYS: &str =
    "name, compression, compression-level, force-compression, rewrite-timestamp, annotation.NAME";

impl Kind {
    /// Whether it is an image rather than its files.
    pub(crate) fn is_image(&self) -> bool {
        !matches!(self, Self::Folder(..) | Self::Tar(_) | Self::Kept | Self::Nothing)
    }

    /// Whether it is an image as `docker load` takes it.
    pub(crate) fn is_for_docker_load(&self) -> bool {
        matches!(self, Self::Load | Self::Archive(OutputFormat::Docker, _))
    }

    /// Whether it takes standard output.
    pub(crate) fn takes_standard_output(&self) -> bool {
        matches!(
            self,
            Self::Tar(Destination::StandardOutput) | Self::Archive(_, Destination::StandardOutput)
        )
    }
}

impl Output {
    pub(crate) fn of(kind: Kind) -> Self {
        Self {
            kind,
            choice: Choice::default(),
        }
    }

    /// Reads the flag's value; the error completes clap's own sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let fields = fields(text)?;
        // What is no list of keys is a place, as docker build has it.
        if let [only] = fields.as_slice()
            && only == text
            && !only.starts_with("type=")
        {
            return Ok(Self::of(match text {
                "" => return Err("it names no place".into()),
                "-" => Kind::Tar(Destination::StandardOutput),
                place => Kind::Folder(place.into(), None),
            }));
        }
        let mut keys = Keys::read(&fields, "an output is a place")?;
        let Some(kind) = keys.take("type") else {
            return Err(
                "it has no type: write type=local, tar, oci, docker, image, registry or cacheonly".into(),
            );
        };
        let output = match kind.as_str() {
            "local" => {
                let Some(Destination::File(place)) = keys.destination()? else {
                    return Err("type=local needs a folder: add dest=FOLDER".into());
                };
                Self::of(Kind::Folder(place, keys.flag("platform-split")?))
            }
            "tar" => Self::of(Kind::Tar(
                keys.destination()?.unwrap_or(Destination::StandardOutput),
            )),
            "cacheonly" => Self::of(Kind::Nothing),
            "oci" | "docker" => keys.archive(&kind)?,
            "image" | "registry" => {
                let by_digest = keys.flag("push-by-digest")?.unwrap_or(false);
                let push = keys.flag("push")?.unwrap_or(kind == "registry") || by_digest;
                // Images stay in the worker's store in any case, and it speaks the OCI's media types only.
                keys.must_be("store", true)?;
                keys.must_be("oci-mediatypes", true)?;
                Self {
                    kind: Kind::Image(push.then_some(Push { by_digest })),
                    choice: keys.choice()?,
                }
            }
            other => {
                return Err(format!(
                    "there is no type {other:?}; there are local, tar, oci, docker, image, registry and cacheonly"
                ));
            }
        };
        let more = match kind.as_str() {
            "local" => "dest, platform-split".to_owned(),
            "tar" => "dest".to_owned(),
            "cacheonly" => "no other key".to_owned(),
            "oci" | "docker" => format!("dest, tar, oci-mediatypes, {IMAGE_KEYS}"),
            _ => format!("push, push-by-digest, store, oci-mediatypes, {IMAGE_KEYS}"),
        };
        match keys.rest() {
            None => Ok(output),
            Some(key) => Err(format!("type={kind} takes no {key:?}; it takes {more}")),
        }
    }
}

/// The same as another worker is asked for it, as `text` has it: what goes to a place on this machine is kept there until it is
/// fetched.
pub(crate) fn elsewhere(text: &str, kind: &Kind) -> Option<String> {
    let written = match kind {
        Kind::Folder(..) => "type=local".to_owned(),
        Kind::Tar(_) | Kind::Kept => "type=tar".to_owned(),
        Kind::Nothing => "type=cacheonly".to_owned(),
        Kind::Image(_) => text.to_owned(),
        Kind::Archive(..) | Kind::Layout(_) | Kind::Load => {
            let fields = fields(text).ok()?;
            let of_the_image = fields.iter().filter(|field| {
                let key = field.split('=').next().unwrap_or_default().trim();
                !["type", "dest", "tar"]
                    .iter()
                    .any(|own| key.eq_ignore_ascii_case(own))
            });
            let quoted = of_the_image.map(|field| format!(",\"{}\"", field.replace('"', "\"\"")));
            format!("type=image{}", quoted.collect::<String>())
        }
    };
    Some(written)
}

impl Keys {
    fn destination(&mut self) -> Result<Option<Destination>, String> {
        match self.take("dest").as_deref() {
            None => Ok(None),
            Some("") => Err("dest names no place".into()),
            Some("-") => Ok(Some(Destination::StandardOutput)),
            Some(place) => Ok(Some(Destination::File(place.into()))),
        }
    }

    /// Accepts a key whose one value says what is done anyway.
    fn must_be(&mut self, key: &str, only: bool) -> Result<(), String> {
        match self.flag(key)? {
            Some(value) if value != only => Err(format!(
                "{key}={value} cannot be done here, where {key}={only} is always so: leave it out"
            )),
            _ => Ok(()),
        }
    }

    fn archive(&mut self, kind: &str) -> Result<Output, String> {
        let format = if kind == "oci" {
            OutputFormat::Oci
        } else {
            OutputFormat::Docker
        };
        let destination = self.destination()?;
        let packed = self.flag("tar")?.unwrap_or(true);
        self.must_be("oci-mediatypes", true)?;
        let kind = match (format, destination, packed) {
            (OutputFormat::Docker, None, true) => Kind::Load,
            (_, destination, true) => {
                Kind::Archive(format, destination.unwrap_or(Destination::StandardOutput))
            }
            (OutputFormat::Oci, Some(Destination::File(folder)), false) => Kind::Layout(folder),
            (OutputFormat::Oci, _, false) => {
                return Err("tar=false writes a folder: add dest=FOLDER".into());
            }
            (OutputFormat::Docker, _, false) => {
                return Err("tar=false is for type=oci: what docker load reads is one file".into());
            }
        };
        Ok(Output {
            kind,
            choice: self.choice()?,
        })
    }

    fn choice(&mut self) -> Result<Choice, String> {
        let mut choice = Choice {
            encoding: self.encoding()?,
            encode_all: self.flag("force-compression")?.unwrap_or(false),
            rewrite_timestamps: self.flag("rewrite-timestamp")?.unwrap_or(false),
            ..Choice::default()
        };
        for name in self.take("name").iter().flat_map(|names| names.split(',')) {
            choice.names.push(reference::name(name)?);
        }
        for (key, value) in self.take_all("annotation") {
            let (place, name) = key
                .split_once('.')
                .ok_or_else(|| format!("{key} has no name: write annotation.NAME=VALUE"))?;
            let place = place.strip_prefix("annotation").unwrap_or_default();
            let prefix = match (place, place.strip_prefix('-')) {
                ("", _) => String::new(),
                (_, Some(place)) => format!("{place}:"),
                (platform, None) if platform.starts_with('[') => format!("manifest{platform}:"),
                _ => {
                    return Err(format!("there is no key {key}: write annotation.NAME=VALUE"));
                }
            };
            choice
                .annotations
                .push(Annotation::read(&format!("{prefix}{name}={value}"))?);
        }
        Ok(choice)
    }

    fn encoding(&mut self) -> Result<Encoding, String> {
        let (kind, level) = (self.take("compression"), self.take("compression-level"));
        compression(kind.as_deref(), level.as_deref())
    }
}

/// How layers are written, by the names that docker build has for it.
pub(crate) fn compression(kind: Option<&str>, level: Option<&str>) -> Result<Encoding, String> {
    let kind = kind.unwrap_or("gzip");
    let within = |lowest: u8, highest: u8, usual: u8| {
        let Some(level) = level else {
            return Ok(usual);
        };
        level
            .parse()
            .ok()
            .filter(|level| (lowest..=highest).contains(level))
            .ok_or_else(|| format!("compression-level is {level:?}; of {kind} it is {lowest} to {highest}"))
    };
    match kind {
        "gzip" => Ok(Encoding::Gzip(within(0, 9, Encoding::GZIP_LEVEL)?)),
        "zstd" => Ok(Encoding::Zstd(within(1, 22, Encoding::ZSTD_LEVEL)?)),
        "uncompressed" => match level {
            Some(_) => Err("what is not compressed has no compression-level".into()),
            None => Ok(Encoding::Plain),
        },
        other => Err(format!(
            "compression is {other:?}, and can be gzip, zstd or uncompressed"
        )),
    }
}

/// What all image outputs of a build agree on; the error says in what they do not.
pub(crate) fn agreed(outputs: &[Output]) -> Result<Choice, String> {
    let mut images = outputs.iter().filter(|output| output.kind.is_image());
    let Some(first) = images.next() else {
        return Ok(Choice::default());
    };
    let differ = |what: &str, one: &dyn Display, other: &dyn Display| {
        Err(format!(
            "a build gives one image, and its outputs ask for two: {what} is {one} in one and {other} in another"
        ))
    };
    for output in images {
        let (one, other) = (&first.choice, &output.choice);
        if one.encoding != other.encoding {
            return differ(
                "compression",
                &one.encoding.media_type(),
                &other.encoding.media_type(),
            );
        }
        if one.encode_all != other.encode_all {
            return differ("force-compression", &one.encode_all, &other.encode_all);
        }
        if one.rewrite_timestamps != other.rewrite_timestamps {
            return differ(
                "rewrite-timestamp",
                &one.rewrite_timestamps,
                &other.rewrite_timestamps,
            );
        }
        if one.annotations != other.annotations {
            return Err("a build gives one image, and its outputs annotate it differently".into());
        }
    }
    Ok(first.choice.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        Output::read(text).unwrap().kind
    }

    #[test]
    fn outputs_are_read_as_docker_build_has_them() {
        let file = |path: &str| Destination::File(path.into());
        for (text, read) in [
            ("out", Kind::Folder("out".into(), None)),
            ("a=b", Kind::Folder("a=b".into(), None)),
            ("-", Kind::Tar(Destination::StandardOutput)),
            ("type=local,dest=out", Kind::Folder("out".into(), None)),
            (
                "type=local,dest=out,platform-split=false",
                Kind::Folder("out".into(), Some(false)),
            ),
            ("type=tar", Kind::Tar(Destination::StandardOutput)),
            ("type=cacheonly", Kind::Nothing),
            ("type=tar,dest=a.tar", Kind::Tar(file("a.tar"))),
            (
                "dest=a.tar,type=oci",
                Kind::Archive(OutputFormat::Oci, file("a.tar")),
            ),
            (
                "type=docker,dest=-",
                Kind::Archive(OutputFormat::Docker, Destination::StandardOutput),
            ),
            ("type=docker", Kind::Load),
            ("type=oci,tar=false,dest=layout", Kind::Layout("layout".into())),
            ("type=image", Kind::Image(None)),
            ("type=image,push=true", Kind::Image(Some(Push::default()))),
            ("type=registry", Kind::Image(Some(Push::default()))),
            (
                "type=image,push-by-digest=true",
                Kind::Image(Some(Push { by_digest: true })),
            ),
        ] {
            assert_eq!(kind(text), read, "{text}");
        }
    }

    #[test]
    fn choices_of_the_image_are_read() {
        let output = Output::read(
            "type=image,\"name=a,b.c/d:1\",compression=zstd,compression-level=9,force-compression=true,\
             rewrite-timestamp=true,annotation.x.y=1,annotation-manifest-descriptor.z=2",
        )
        .unwrap();
        let names: Vec<String> = output.choice.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["docker.io/library/a:latest", "b.c/d:1"]);
        assert_eq!(output.choice.encoding, Encoding::Zstd(9));
        assert!(output.choice.encode_all && output.choice.rewrite_timestamps);
        assert_eq!(output.choice.annotations.len(), 2);
        let read =
            |key: &str| Output::read(&format!("type=image,{key}=1")).map(|output| output.choice.annotations);
        assert_eq!(
            read("annotation[linux/arm64].a"),
            Ok(vec![Annotation::read("manifest[linux/arm64]:a=1").unwrap()])
        );
        assert!(read("annotationfoo.a").is_err());
        // docker build takes their names for keys, and so in whatever case.
        assert_eq!(read(" Annotation.A"), read("annotation.a"));
        let plain = Output::read("type=oci,compression=uncompressed,dest=x").unwrap();
        assert_eq!(plain.choice.encoding, Encoding::Plain);
    }

    #[test]
    fn what_is_no_output_says_what_there_is() {
        for (text, said) in [
            ("", "no place"),
            ("type=none", "there are local, tar"),
            ("type=cacheonly,dest=a", "no other key"),
            ("dest=a,x=b", "no type"),
            ("type=local", "dest=FOLDER"),
            ("type=local,dest=-", "dest=FOLDER"),
            ("type=tar,dest=", "no place"),
            ("type=local,dest=a,compression=zstd", "takes dest, platform-split"),
            ("type=oci,dest", "has no value"),
            ("type=oci,type=tar", "twice"),
            ("type=docker,tar=false,dest=a", "one file"),
            ("type=oci,tar=false", "dest=FOLDER"),
            ("type=oci,compression=xz", "gzip, zstd or uncompressed"),
            ("type=oci,compression=zstd,compression-level=23", "1 to 22"),
            (
                "type=oci,compression=uncompressed,compression-level=1",
                "no compression-level",
            ),
            ("type=image,push=perhaps", "true or false"),
            ("type=image,name=UPPER", "UPPER"),
            ("type=image,\"name=a", "does not end"),
            ("type=image,oci-mediatypes=false", "cannot be done"),
        ] {
            let error = Output::read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn outputs_that_want_different_images_are_refused() {
        let read = |texts: &[&str]| {
            let outputs: Vec<Output> = texts.iter().map(|text| Output::read(text).unwrap()).collect();
            agreed(&outputs)
        };
        let zstd = "type=oci,dest=a,compression=zstd";
        assert_eq!(read(&[zstd, "out"]).unwrap().encoding, Encoding::Zstd(2));
        assert!(
            read(&[zstd, "type=image"])
                .unwrap_err()
                .contains("compression is")
        );
        assert_eq!(read(&[]).unwrap(), Choice::default());
    }

    #[test]
    fn another_worker_is_asked_for_the_image_and_not_for_this_machines_places() {
        for (text, wanted) in [
            ("out", "type=local"),
            ("type=tar,dest=a.tar", "type=tar"),
            ("type=cacheonly", "type=cacheonly"),
            ("type=registry,name=a/b:c", "type=registry,name=a/b:c"),
            (
                "type=oci,dest=a.tar,compression=zstd,\"annotation.x=1,2\"",
                "type=image,\"compression=zstd\",\"annotation.x=1,2\"",
            ),
            ("type=docker", "type=image"),
        ] {
            let output = Output::read(text).unwrap();
            let asked = elsewhere(text, &output.kind).unwrap();
            assert_eq!(asked, wanted);
            if wanted.starts_with("type=image") {
                assert_eq!(Output::read(&asked).unwrap().choice, output.choice);
            }
        }
    }
}
