//! From the fields of a request to what they mean, with nothing fetched yet. Whoever asks is a stranger to this machine: what
//! a field would give away of it is refused by the field's name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use stagewright_core::analysis::{NamedContext, Options, RunOptions};
use stagewright_core::digest::Digest;
use stagewright_core::llb::{MetaParts, NetMode};

use super::annotation::Annotation;
use super::attest;
use super::cache::{CacheFrom, CacheTo, Caches};
use super::error::RequestError;
use super::fields::BuildRequest;
use super::keys::{Keys, fields};
use super::order::Order;
use super::output::{Destination, Kind, Output};
use super::platform::{platform, settled};
use super::remote::Address;
use super::sources::OWN;
use super::steps;
use super::wanted::{Wanted, Wishes};
use crate::config::Entitlement;
use crate::sandbox::Limits;
use crate::sharing::Place as CachePlace;
use crate::source::image::reference;
use crate::source::secret::{Secret, Secrets};

/// The secret that proves to a git server who asks for the context; BuildKit's name for it.
const TOKEN: &str = "GIT_AUTH_TOKEN";

/// A request that is understood.
pub(crate) struct Understood {
    pub(crate) place: Place,
    pub(crate) dockerfile: Written,
    /// The text of the ignore file, where the request has it.
    pub(crate) ignore: Option<String>,
    pub(crate) options: Options,
    /// Contexts that stand for names, known by their content.
    pub(crate) contexts: BTreeMap<String, Digest>,
    pub(crate) order: Order,
    /// A header that proves to the context's server who asks.
    pub(crate) proof: Option<Secret>,
}

/// Where the build context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Nowhere,
    /// Here, as a list of files.
    Content(Digest),
    /// Here, as an archive.
    Upload(Digest),
    Far(Address),
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// In the request.
    Inline(String),
    /// In the context.
    In(String),
}

/// What the worker's owner allows, and whether it is the owner who asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) owner: bool,
    pub(crate) entitlements: BTreeSet<Entitlement>,
}

impl Understood {
    pub(crate) fn of(request: &BuildRequest, given: &Secrets, rules: &Rules) -> Result<Self, RequestError> {
        refused(request)?;
        let place = place(request, rules)?;
        let dockerfile = written(request, &place)?;
        let (contexts, named) = contexts(request)?;
        let filters = split(&request.no_cache_filters);
        let no_cache = request.no_cache == Some(true);
        if no_cache && !filters.is_empty() {
            return Err(RequestError::wrong(
                "no-cache-filters",
                "no-cache already runs every step again",
                "leave one of the two out",
            ));
        }
        let entitlements = entitlements(request, rules)?;
        let options = Options {
            target: request.target.clone().filter(|target| !target.is_empty()),
            build_args: arguments(request)?,
            contexts: named,
            no_cache: (no_cache || !filters.is_empty()).then_some(filters),
            run: run(request, &entitlements, rules)?,
            ..Options::default()
        };
        let (secrets, proof) = secrets(request, given)?;
        let order = order(request, &options, secrets, entitlements)?;
        Ok(Self {
            place,
            dockerfile,
            ignore: request.dockerignore.clone(),
            options,
            contexts,
            order,
            proof,
        })
    }

    /// Whether anything of it goes to a registry.
    pub(crate) fn pushes(&self) -> bool {
        let pushed = |output: &Output| matches!(output.kind, Kind::Image(Some(_)));
        let registry = |place: &CachePlace| matches!(place, CachePlace::Registry(_));
        self.order.wanted.outputs.iter().any(pushed)
            || self.order.caches.to.iter().any(|cache| registry(&cache.place))
    }
}

/// Refuses what is never done for somebody who is not at this machine.
fn refused(request: &BuildRequest) -> Result<(), RequestError> {
    let some = |list: &[String]| !list.is_empty();
    let text = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let refusals = [
        (
            "load",
            request.load == Some(true),
            "there is no engine here that could take the image",
            "download the image once it is built, and hand it to docker load",
        ),
        (
            "ssh",
            some(&request.ssh),
            "an agent is on its owner's machine, and cannot be reached from here",
            "give a token as a secret, and use https addresses",
        ),
        (
            "secret-files",
            some(&request.secret_files),
            "it names files, which would be those of the worker's machine",
            "give their content as secrets: ID=VALUE",
        ),
        (
            "secret-envs",
            some(&request.secret_envs),
            "it names variables, which would be those of the worker",
            "give their values as secrets: ID=VALUE",
        ),
        (
            "builder",
            text(&request.builder),
            "this worker is the builder",
            "leave it out",
        ),
        (
            "cgroup-parent",
            text(&request.cgroup_parent),
            "control groups of steps are the worker's own",
            "leave it out",
        ),
        (
            "call",
            request
                .call
                .as_deref()
                .is_some_and(|call| !matches!(call, "" | "build")),
            "a request for a build builds",
            "leave it out, and ask for the plan or for a check instead",
        ),
    ];
    match refusals.into_iter().find(|(_, asked, ..)| *asked) {
        Some((field, _, what, next)) => Err(RequestError::wrong(field, what, next)),
        None => Ok(()),
    }
}

fn place(request: &BuildRequest, rules: &Rules) -> Result<Place, RequestError> {
    let Some(text) = request.context.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(Place::Nowhere);
    };
    let digest = |text: &str| {
        text.parse::<Digest>().map_err(|_| {
            RequestError::wrong(
                "context",
                format!("{text:?} is no digest"),
                "write sha256: and 64 hexadecimal digits",
            )
        })
    };
    if let Some(id) = text.strip_prefix("content:") {
        return Ok(Place::Content(digest(id)?));
    }
    if let Some(blob) = text.strip_prefix("upload:") {
        return Ok(Place::Upload(digest(blob)?));
    }
    let far = if rules.owner {
        Address::read_for_owner(text)
    } else {
        Address::read(text)
    };
    far.map(Place::Far).ok_or_else(|| {
        RequestError::wrong(
            "context",
            format!("{text:?} would be a path on the worker's machine"),
            "write a git address URL#REF:FOLDER, the address of an archive, content:DIGEST or upload:DIGEST",
        )
    })
}

fn written(request: &BuildRequest, place: &Place) -> Result<Written, RequestError> {
    let file = request.file.as_deref().filter(|file| !file.is_empty());
    match (&request.dockerfile, file) {
        (Some(_), Some(_)) => Err(RequestError::wrong(
            "file",
            "dockerfile has the text already",
            "leave one of the two out",
        )),
        (Some(text), None) => Ok(Written::Inline(text.clone())),
        (None, _) if *place == Place::Nowhere => Err(RequestError::wrong(
            "dockerfile",
            "there is neither a Dockerfile nor a context that has one",
            "give its text as dockerfile, or name a context",
        )),
        (None, Some(file)) if file.starts_with('/') => Err(RequestError::wrong(
            "file",
            format!("{file:?} would be a path on the worker's machine"),
            "write the Dockerfile's path in the context",
        )),
        (None, file) => Ok(Written::In(file.unwrap_or("Dockerfile").to_owned())),
    }
}

type Named = BTreeMap<String, NamedContext>;

fn contexts(request: &BuildRequest) -> Result<(BTreeMap<String, Digest>, Named), RequestError> {
    let wrong = |what: String| {
        RequestError::wrong(
            "build-contexts",
            what,
            "write NAME=docker-image://IMAGE, NAME=content:DIGEST, or NAME= and the address of a repository or of a file",
        )
    };
    let mut contents = BTreeMap::new();
    let mut named = Named::new();
    for written in &request.build_contexts {
        let pair = written
            .split_once('=')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty());
        let Some((name, value)) = pair else {
            return Err(wrong(format!("{written:?} is no NAME=VALUE")));
        };
        let mut context = NamedContext::read(name, value);
        match &mut context {
            NamedContext::Local(local) => {
                let Some(digest) = value.strip_prefix("content:") else {
                    return Err(wrong(format!(
                        "{value:?} would be a path on the worker's machine"
                    )));
                };
                if name == OWN {
                    return Err(wrong(format!("the build's own context is called {name:?}")));
                }
                let digest = digest
                    .parse()
                    .map_err(|_| wrong(format!("{digest:?} is no digest")))?;
                contents.insert(local.name.clone(), digest);
            }
            NamedContext::OciLayout(_) => {
                return Err(wrong(format!(
                    "{value:?} would be a folder on the worker's machine"
                )));
            }
            NamedContext::Image(_) | NamedContext::Remote(_) => {}
        }
        named.insert(name.to_owned(), context);
    }
    Ok((contents, named))
}

fn arguments(request: &BuildRequest) -> Result<BTreeMap<String, String>, RequestError> {
    let pairs = request.build_args.iter().map(|written| {
        let pair = written.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or_else(|| {
            RequestError::wrong(
                "build-args",
                format!("{written:?} is no NAME=VALUE, and the worker's environment gives no values"),
                "write NAME=VALUE",
            )
        })?;
        Ok((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn entitlements(request: &BuildRequest, rules: &Rules) -> Result<BTreeSet<Entitlement>, RequestError> {
    let mut asked = BTreeSet::new();
    for name in split(&request.allow) {
        let entitlement = name
            .parse()
            .map_err(|error| RequestError::wrong("allow", error, "name one of them, or leave it out"))?;
        allowed("allow", entitlement, rules)?;
        asked.insert(entitlement);
    }
    Ok(asked)
}

fn allowed(field: &'static str, asked: Entitlement, rules: &Rules) -> Result<(), RequestError> {
    if rules.entitlements.contains(&asked) {
        return Ok(());
    }
    Err(RequestError::NotAllowed {
        field,
        what: format!("{asked} is not allowed on this worker"),
        next: format!(
            "its owner allows it with insecure-entitlements = [\"{asked}\"] in the worker's configuration"
        ),
    })
}

fn run(
    request: &BuildRequest,
    asked: &BTreeSet<Entitlement>,
    rules: &Rules,
) -> Result<RunOptions, RequestError> {
    let network = match request.network.as_deref() {
        None | Some("" | "default") => NetMode::Unset,
        Some("none") => NetMode::None,
        Some("host") => {
            // Who gives all steps the machine's network means it.
            if !asked.contains(&Entitlement::NetworkHost) {
                allowed("network", Entitlement::NetworkHost, rules)?;
            }
            NetMode::Host
        }
        Some(other) => {
            return Err(RequestError::wrong(
                "network",
                format!("there is no network {other:?}"),
                "write default, none or host",
            ));
        }
    };
    let hosts = each("add-hosts", &split(&request.add_hosts), steps::host)?;
    let limits = each("ulimit", &request.ulimit, steps::ulimit)?;
    let shm_size = match request.shm_size.as_deref() {
        None | Some("") => 0,
        Some(text) => {
            steps::size(text).map_err(|error| RequestError::wrong("shm-size", error, "or leave it out"))?
        }
    };
    Ok(RunOptions {
        network,
        meta: MetaParts::new(hosts, steps::settled(&limits), String::new()),
        shm_size,
    })
}

fn secrets(request: &BuildRequest, given: &Secrets) -> Result<(Secrets, Option<Secret>), RequestError> {
    let mut secrets = given.clone();
    for written in &request.secrets {
        // What is no pair may be a secret: it is not told again.
        let pair = written.split_once('=').filter(|(id, _)| !id.is_empty());
        let Some((id, value)) = pair else {
            return Err(RequestError::wrong(
                "secrets",
                "one of them is no ID=VALUE",
                "write ID=VALUE for each",
            ));
        };
        secrets.add_value(id, Secret::new(value.as_bytes().to_vec()));
    }
    if let Some(token) = request.github_token.as_deref().filter(|token| !token.is_empty()) {
        secrets.add_value(TOKEN, Secret::new(token.as_bytes().to_vec()));
    }
    let token = secrets
        .get(TOKEN)
        .map_err(|error| RequestError::wrong("secrets", error.to_string(), "give a token"))?;
    let proof = token.map(|token| {
        let pair = [b"x-access-token:", token.reveal().trim_ascii()].concat();
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Secret::new(format!("basic {encoded}").into_bytes())
    });
    Ok((secrets, proof))
}

fn order(
    request: &BuildRequest,
    options: &Options,
    secrets: Secrets,
    entitlements: BTreeSet<Entitlement>,
) -> Result<Order, RequestError> {
    let provenance = request.provenance.as_deref().filter(|text| !text.is_empty());
    let provenance = provenance
        .map(attest::provenance)
        .transpose()
        .map_err(|error| RequestError::wrong("provenance", error, "or leave it out"))?;
    let attested = each("attests", &request.attests, attest::attest)?;
    if let Some(sbom) = request.sbom.as_deref().filter(|text| !text.is_empty()) {
        attest::sbom(sbom).map_err(|error| RequestError::wrong("sbom", error, "or write false"))?;
    }
    let provenance = attest::asked(provenance.as_ref(), attested.iter());
    let tags = each("tags", &split(&request.tags), reference::name)?;
    let outputs = each("outputs", &request.outputs, output)?;
    let push = request.push == Some(true);
    let pushed = |output: &Output| matches!(output.kind, Kind::Image(Some(_)));
    let unnamed = |output: &Output| pushed(output) && output.choice.names.is_empty();
    if tags.is_empty() && (push && !outputs.iter().any(pushed) || outputs.iter().any(unnamed)) {
        return Err(RequestError::wrong(
            "tags",
            "an image without a name cannot be pushed",
            "name it REGISTRY/REPOSITORY:TAG",
        ));
    }
    for label in &request.labels {
        if label.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
            return Err(RequestError::wrong(
                "labels",
                format!("{label:?} is no NAME=VALUE"),
                "write NAME=VALUE",
            ));
        }
    }
    let wishes = Wishes {
        outputs,
        push,
        load: false,
        tags,
        annotations: each("annotations", &request.annotations, Annotation::read)?,
        platforms: settled(&each("platforms", &split(&request.platforms), platform)?),
        stated: provenance.is_some(),
    };
    let from = each("cache-from", &request.cache_from, |text| {
        let cache = CacheFrom::read(text)?;
        cache.is_far().then_some(cache).ok_or_else(|| FOLDER.to_owned())
    })?;
    let to = each("cache-to", &request.cache_to, |text| {
        let cache = CacheTo::read(text)?;
        cache.is_far().then_some(cache).ok_or_else(|| FOLDER.to_owned())
    })?;
    Ok(Order {
        wanted: Wanted::of(wishes, options)?,
        caches: Caches::of(&from, &to),
        labels: request.labels.clone(),
        no_cache: request.no_cache == Some(true),
        provenance,
        secrets: Arc::new(secrets),
        agents: Arc::default(),
        entitlements,
        limits: Limits::default(),
        local: false,
    })
}

const FOLDER: &str =
    "type=local is a folder, which would be one on the worker's machine: write type=registry,ref=NAME";

/// Reads an output. Files are kept with the build, as a tar; images can be downloaded in any form.
fn output(text: &str) -> Result<Output, String> {
    let fields = fields(text)?;
    let plain = fields
        .first()
        .is_none_or(|only| fields.len() == 1 && only == text && !only.starts_with("type="));
    if plain {
        return Err(format!(
            "{text:?} would be a place on the worker's machine: write type=tar, and download the files"
        ));
    }
    let mut keys = Keys::read(&fields, "an output has a type")?;
    if keys.take("dest").is_some() {
        return Err(
            "dest would be a place on the worker's machine: leave it out, and download what was built".into(),
        );
    }
    match keys.take("type").as_deref() {
        Some("local" | "tar") => match keys.rest() {
            None => Ok(Output::of(Kind::Kept)),
            Some(key) => Err(format!(
                "files that are kept with the build have no {key:?}: leave it out"
            )),
        },
        Some("oci" | "docker") if keys.flag("tar")? == Some(false) => {
            Err("what is downloaded is one file: leave tar=false out".into())
        }
        _ => {
            let mut output = Output::read(text)?;
            // It is there to be downloaded, in whichever form.
            if matches!(
                output.kind,
                Kind::Load | Kind::Archive(_, Destination::StandardOutput)
            ) {
                output.kind = Kind::Image(None);
            }
            Ok(output)
        }
    }
}

/// The entries of lists that may also be written with commas.
fn split(list: &[String]) -> Vec<String> {
    let parts = list.iter().flat_map(|entry| entry.split(','));
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// Reads each entry of a list.
fn each<T>(
    field: &'static str,
    list: &[String],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, RequestError> {
    let entries = list.iter().map(|entry| {
        read(entry).map_err(|error| {
            RequestError::wrong(
                field,
                format!("in {entry:?}: {error}"),
                "mend it, or leave it out",
            )
        })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn understood(mut request: Value, rules: &Rules) -> Result<Understood, RequestError> {
        if request.get("dockerfile").is_none() && request.get("context").is_none() {
            request["dockerfile"] = "FROM scratch".into();
        }
        let request = serde_json::from_value(request).unwrap();
        Understood::of(&request, &Secrets::default(), rules)
    }

    #[test]
    fn what_would_give_the_machine_away_is_refused_by_its_field() {
        let (zeros, rules) = (format!("sha256:{}", "0".repeat(64)), Rules::default());
        for (request, field, said) in [
            (json!({ "context": "." }), "context", "worker's machine"),
            (json!({ "context": "/etc" }), "context", "worker's machine"),
            (json!({ "context": "file:///etc" }), "context", "worker's machine"),
            (json!({ "context": "content:1" }), "context", "no digest"),
            (
                json!({ "context": "https://a.io/b.git", "file": "/etc/passwd" }),
                "file",
                "worker's machine",
            ),
            (
                json!({ "dockerfile": "FROM a", "file": "x" }),
                "file",
                "leave one",
            ),
            (
                json!({ "build-contexts": ["a=../b"] }),
                "build-contexts",
                "worker's machine",
            ),
            (
                json!({ "build-contexts": ["a=oci-layout:///b"] }),
                "build-contexts",
                "worker's machine",
            ),
            (
                json!({ "build-contexts": ["a=oci-archive:b"] }),
                "build-contexts",
                "worker's machine",
            ),
            (
                json!({ "build-contexts": [format!("context=content:{zeros}")] }),
                "build-contexts",
                "own context",
            ),
            (
                json!({ "outputs": "type=local,dest=/etc" }),
                "outputs",
                "worker's machine",
            ),
            (json!({ "outputs": ["out"] }), "outputs", "worker's machine"),
            (json!({ "outputs": ["-"] }), "outputs", "worker's machine"),
            (
                json!({ "outputs": ["type=oci,tar=false"] }),
                "outputs",
                "one file",
            ),
            (
                json!({ "cache-from": ["type=local,src=/etc"] }),
                "cache-from",
                "worker's machine",
            ),
            (
                json!({ "cache-to": ["type=local,dest=/etc"] }),
                "cache-to",
                "worker's machine",
            ),
            (json!({ "cache-to": ["type=gha"] }), "cache-to", "registry"),
            (json!({ "build-args": ["PATH"] }), "build-args", "environment"),
            (
                json!({ "secret-files": ["a=/etc/shadow"] }),
                "secret-files",
                "ID=VALUE",
            ),
            (json!({ "secret-envs": ["a=HOME"] }), "secret-envs", "ID=VALUE"),
            (json!({ "ssh": ["default"] }), "ssh", "agent"),
            (json!({ "load": true }), "load", "download"),
            (json!({ "builder": "x" }), "builder", "leave it out"),
            (json!({ "cgroup-parent": "x" }), "cgroup-parent", "leave it out"),
            (json!({ "call": "outline" }), "call", "leave it out"),
            (json!({ "allow": ["security.insecure"] }), "allow", "its owner"),
            (json!({ "network": "host" }), "network", "its owner"),
            (json!({ "network": "bridge" }), "network", "default"),
            (json!({ "push": true }), "tags", "without a name"),
            (json!({ "outputs": ["type=registry"] }), "tags", "without a name"),
            (json!({ "tags": ["A B"] }), "tags", "A B"),
            (json!({ "platforms": ["lunix"] }), "platforms", "os/architecture"),
            (json!({ "sbom": true }), "sbom", "lists of contents"),
            (json!({ "labels": ["a"] }), "labels", "NAME=VALUE"),
        ] {
            let error = understood(request.clone(), &rules).err().unwrap();
            assert_eq!(error.field(), Some(field), "{request}: {error}");
            assert!(error.to_string().contains(said), "{request}: {error}");
        }
        let nothing = Understood::of(&BuildRequest::default(), &Secrets::default(), &rules);
        assert_eq!(nothing.err().unwrap().field(), Some("dockerfile"));
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_not_told_again() {
        let error = understood(json!({ "secrets": ["hunter2"] }), &Rules::default())
            .err()
            .unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn the_owner_may_name_a_repository_of_the_machine_and_allow_entitlements() {
        let rules = Rules {
            owner: true,
            entitlements: [Entitlement::NetworkHost].into(),
        };
        let request = json!({ "context": "/srv/app.git#main", "network": "host", "allow": "network.host" });
        let read = understood(request, &rules).unwrap();
        assert!(
            matches!(read.place, Place::Far(Address::Git(_))),
            "{:?}",
            read.place
        );
        assert_eq!(read.options.run.network, NetMode::Host);
    }

    #[test]
    fn outputs_are_kept_or_pushed() {
        let rules = Rules::default();
        let kinds = |outputs: Value| {
            let read =
                understood(json!({ "outputs": outputs, "tags": "r.io/a:1,r.io/a:2" }), &rules).unwrap();
            assert_eq!(read.order.wanted.names.len(), 2);
            let pushes = read.pushes();
            let kinds: Vec<Kind> = read
                .order
                .wanted
                .outputs
                .into_iter()
                .map(|output| output.kind)
                .collect();
            (kinds, pushes)
        };
        assert_eq!(kinds(json!([])), (vec![], false));
        assert_eq!(kinds(json!("type=local")), (vec![Kind::Kept], false));
        assert_eq!(
            kinds(json!(["type=oci", "type=docker"])),
            (vec![Kind::Image(None); 2], false)
        );
        let (outputs, pushes) = kinds(json!(["type=tar", "type=registry"]));
        assert!(matches!(outputs.as_slice(), [Kind::Kept, Kind::Image(Some(_))]) && pushes);
        let cached = understood(json!({ "cache-to": ["type=registry,ref=r.io/a"] }), &rules).unwrap();
        assert!(cached.pushes());
    }

    #[test]
    fn tokens_prove_who_asks_for_the_context() {
        let request = json!({ "context": "https://h.io/a.git", "github-token": "t" });
        let proof = understood(request, &Rules::default()).unwrap().proof.unwrap();
        assert_eq!(proof.reveal(), b"basic eC1hY2Nlc3MtdG9rZW46dA==");
    }
}
