//! Statements about what is built, asked for as docker build has it in `--provenance`, `--attest` and `--sbom`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use stagewright_core::calls;
use stagewright_core::digest::Digest;
use stagewright_core::llb;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::ImageSummary;

use super::keys::{Keys, fields};
use super::obstacle::Obstacle;
use super::planning::Planned;
use crate::backend::timestamp;
use crate::content::{ContentStore, LONGEST_DOCUMENT};
use crate::export::Attestation;
use crate::provenance::{
    Draft, Moment, Origin, PREDICATE, ProvenanceOptions, Request, Subject, Written, statement,
};
use crate::source::image::reference::Reference;

/// What the file is called where the files of the result are put out.
const FILE: &str = "provenance.json";

/// What was said of provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// There is to be one.
    With(ProvenanceOptions),
    /// There is to be none.
    Without,
    /// Nothing: it was about another statement.
    Silent,
}

/// What is asked for: what `provenance` says, else what the last of `attested` says that speaks of it.
pub(crate) fn asked<'w>(
    provenance: Option<&'w Wish>,
    attested: impl DoubleEndedIterator<Item = &'w Wish>,
) -> Option<ProvenanceOptions> {
    let mut said = provenance.into_iter().chain(attested.rev());
    match said.find(|wish| **wish != Wish::Silent) {
        Some(Wish::With(asked)) => Some(asked.clone()),
        _ => None,
    }
}

/// Reads the value of `--provenance`; the error completes clap's own sentence.
pub(crate) fn provenance(text: &str) -> Result<Wish, String> {
    match text {
        "true" | "1" => read("type=provenance"),
        "false" | "0" => Ok(Wish::Without),
        keys => read(&format!("type=provenance,{keys}")),
    }
}

/// Reads the value of `--attest`.
pub(crate) fn attest(text: &str) -> Result<Wish, String> {
    read(text)
}

pub(crate) fn sbom(text: &str) -> Result<bool, String> {
    match text {
        "false" | "0" => Ok(false),
        _ => Err(NO_SBOM.into()),
    }
}

const NO_SBOM: &str = "no lists of contents (SBOM) are made here: leave it out, and let a scanner such as syft read the \
                       image; what is made is --provenance";

fn read(text: &str) -> Result<Wish, String> {
    let mut keys = Keys::read(&fields(text)?, "write true, false")?;
    match keys.take("type").as_deref() {
        Some("provenance") => {}
        Some("sbom") => {
            return if keys.flag("disabled")? == Some(true) {
                Ok(Wish::Silent)
            } else {
                Err(NO_SBOM.into())
            };
        }
        Some(other) => {
            return Err(format!(
                "there is no statement of type {other:?}; there is provenance"
            ));
        }
        None => return Err("it has no type: write type=provenance".into()),
    }
    if keys.flag("disabled")? == Some(true) {
        return Ok(Wish::Without);
    }
    let full = match keys.take("mode").as_deref() {
        None | Some("max" | "full") => true,
        Some("min") => false,
        Some(other) => return Err(format!("mode is {other:?}, and can be min or max")),
    };
    match keys.take("version").as_deref() {
        None | Some("v1") => {}
        Some(other) => return Err(format!("version is {other:?}, and only v1 is written here")),
    }
    keys.flag("inline-only")?;
    let file_name = keys.take("filename").unwrap_or_else(|| FILE.to_owned());
    if Path::new(&file_name).file_name() != Some(file_name.as_ref()) {
        return Err(format!(
            "filename is {file_name:?}, and has to be the name of a file, without folders"
        ));
    }
    let asked = ProvenanceOptions {
        full,
        builder: keys.take("builder-id").filter(|id| !id.is_empty()),
        reproducible: keys.flag("reproducible")?.unwrap_or(false),
        file_name,
    };
    match keys.rest() {
        None => Ok(Wish::With(asked)),
        Some(key) => Err(format!(
            "provenance has no {key:?}; it has mode, builder-id, reproducible, filename, inline-only and version"
        )),
    }
}

/// What all platforms of a build share.
pub(crate) struct Common {
    pub(crate) asked: ProvenanceOptions,
    pub(crate) origin: Origin,
    /// Labels that were asked for.
    pub(crate) labels: Vec<String>,
    pub(crate) machine: Platform,
    moment: Option<Moment>,
    /// Whether files of several platforms go to one folder.
    pub(crate) shares_folder: bool,
}

impl Common {
    /// With `epoch` no clock is seen in what is stated.
    pub(crate) fn new(
        asked: ProvenanceOptions,
        origin: Origin,
        labels: &[String],
        machine: Platform,
        epoch: Option<i64>,
        shares_folder: bool,
    ) -> Result<Self, Obstacle> {
        let moment = || {
            let mut number = [0; 16];
            getrandom::fill(&mut number)
                .map_err(|error| Obstacle::work(format!("the system gives no random numbers ({error})")))?;
            Ok::<_, Obstacle>(Moment {
                started: timestamp(),
                invocation: format!("{:032x}", u128::from_be_bytes(number)),
            })
        };
        Ok(Self {
            asked,
            origin,
            labels: labels.to_vec(),
            machine,
            moment: epoch.is_none().then(moment).transpose()?,
            shares_folder,
        })
    }

    /// What is known of the build for one platform before it runs.
    pub(crate) fn draft(&self, plan: &Planned) -> Result<Arc<Draft>, Obstacle> {
        let input = &plan.dockerfile.input;
        let broken = |error: &dyn std::fmt::Display| {
            Obstacle::work(format!("the provenance cannot be written: {error}"))
        };
        let definition =
            calls::llb(input, &self.origin.path).map_err(|_| broken(&"the plan has no definition"))?;
        let (definition, vertices) =
            llb::Definition::decode(&definition.to_bytes()).map_err(|error| broken(&error))?;
        let mut arguments: BTreeMap<String, String> = input
            .options
            .build_args
            .iter()
            .map(|(name, value)| (format!("build-arg:{name}"), value.clone()))
            .collect();
        for label in &self.labels {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            arguments.insert(format!("label:{name}"), value.to_owned());
        }
        if let Some(target) = &input.options.target {
            arguments.insert("target".to_owned(), target.clone());
        }
        let mut asked = self.asked.clone();
        if self.shares_folder {
            let (stem, ending) = asked
                .file_name
                .rsplit_once('.')
                .unwrap_or((&asked.file_name, "json"));
            asked.file_name = format!("{stem}.{}.{ending}", plan.platform.to_string().replace('/', "_"));
        }
        let request = Request {
            arguments,
            machine: self.machine.clone(),
        };
        let written = Written {
            text: input.source.clone(),
            definition,
            vertices,
        };
        let draft = Draft::new(asked, self.origin.clone(), request, written, self.moment.clone());
        Ok(Arc::new(draft))
    }
}

/// States of an image what is known of its build.
pub(crate) fn attestation(
    content: &ContentStore,
    draft: &Draft,
    names: &[Reference],
    platform: &Platform,
    image: &ImageSummary,
) -> Result<Attestation, Obstacle> {
    let broken =
        |error: &dyn std::fmt::Display| Obstacle::work(format!("the provenance cannot be written: {error}"));
    let layers = layers(content, draft, image).map_err(|error| broken(&error))?;
    let subjects = Subject::image(names, platform, &image.digest);
    let statement = statement(&subjects, &draft.predicate(&timestamp(), &layers));
    let bytes = serde_json::to_vec(&statement).map_err(|error| broken(&error))?;
    Attestation::put(content, &image.digest, PREDICATE, &bytes).map_err(|error| broken(&error))
}

/// The layers that each step's files lie in, by the step's place in the definition: those below it, and its own.
fn layers(
    content: &ContentStore,
    draft: &Draft,
    image: &ImageSummary,
) -> Result<BTreeMap<usize, Vec<Value>>, crate::content::ContentError> {
    let manifest = content.read(&image.digest, LONGEST_DOCUMENT)?;
    let manifest: Value = serde_json::from_slice(&manifest).unwrap_or_default();
    let types: BTreeMap<Digest, String> = manifest["layers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|layer| {
            Some((
                layer["digest"].as_str()?.parse().ok()?,
                layer["mediaType"].as_str()?.to_owned(),
            ))
        })
        .collect();
    let mut chain = Vec::new();
    let mut layers = BTreeMap::new();
    for layer in &image.layers {
        chain.push(json!({
            "mediaType": types.get(&layer.digest),
            "digest": layer.digest,
            "size": layer.size,
        }));
        if let Some(step) = layer.vertex.as_ref().and_then(|vertex| draft.place_of(vertex)) {
            layers.insert(step, chain.clone());
        }
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(wish: Result<Wish, String>) -> Option<bool> {
        match wish.unwrap() {
            Wish::With(asked) => Some(asked.full),
            Wish::Without | Wish::Silent => None,
        }
    }

    #[test]
    fn statements_are_asked_for_as_docker_build_has_it() {
        assert_eq!(full(provenance("true")), Some(true));
        assert_eq!(full(provenance("false")), None);
        assert_eq!(full(provenance("mode=min")), Some(false));
        assert_eq!(full(provenance("mode=max,version=v1")), Some(true));
        assert_eq!(full(attest("type=provenance,mode=min")), Some(false));
        assert_eq!(full(attest("type=provenance,disabled=true")), None);
        assert_eq!(full(attest("type=sbom,disabled=true")), None);
        assert_eq!(sbom("false"), Ok(false));
        let wish = provenance("builder-id=https://ci.example/run/1,reproducible=true,filename=p.json");
        let Ok(Wish::With(asked)) = wish else {
            panic!("{wish:?}");
        };
        assert_eq!(asked.builder.as_deref(), Some("https://ci.example/run/1"));
        assert_eq!((asked.reproducible, asked.file_name.as_str()), (true, "p.json"));
    }

    #[test]
    fn what_cannot_be_stated_says_what_can() {
        for (wish, said) in [
            (attest("type=sbom"), "no lists of contents"),
            (attest("type=sbom,generator=x"), "no lists of contents"),
            (sbom("true").map(|_| Wish::Silent), "no lists of contents"),
            (attest("type=other"), "there is provenance"),
            (attest("mode=max"), "no type"),
            (provenance("yes"), "no value"),
            (provenance("mode=all"), "min or max"),
            (provenance("version=v0.2"), "only v1"),
            (provenance("generator=x"), "\"generator\""),
            (provenance("filename=../x"), "without folders"),
        ] {
            let error = wish.unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
