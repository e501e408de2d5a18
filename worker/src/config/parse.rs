//! From the file's text to a [`Config`], with the place of everything that is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::hook::{self, HookTable};
use super::size::Size;
use super::{
    Config, ConfigError, Credentials, LayoutImage, Limits, Mirror, RegistryConfig, ServeConfig,
    StorageLimits, Substitute, SubstituteSource,
};
use crate::backend::buildkit::{Address, Certificates, Route};
use crate::server::{InvalidHost, TlsFiles};
use crate::source::address::{self, Network};
use crate::source::image::reference::{Reference, is_registry_name};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    allowed_registries: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    private_networks: Vec<Spanned<String>>,
    #[serde(default)]
    insecure_entitlements: Vec<Spanned<String>>,
    #[serde(default)]
    caches: Vec<Spanned<String>>,
    #[serde(default)]
    registry: BTreeMap<Spanned<String>, RegistryTable>,
    #[serde(default)]
    substitute: Vec<SubstituteTable>,
    #[serde(default)]
    hook: Vec<HookTable>,
    #[serde(default)]
    buildkit: Vec<BuildkitTable>,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    storage: StorageTable,
    #[serde(default)]
    serve: ServeTable,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ServeTable {
    tls_cert: Option<Spanned<String>>,
    tls_key: Option<Spanned<String>>,
    #[serde(default)]
    hosts: Vec<Spanned<String>>,
    requests_per_second: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RegistryTable {
    #[serde(default)]
    mirrors: Vec<Spanned<String>>,
    plain_http: Option<bool>,
    username: Option<Spanned<String>>,
    password: Option<Spanned<String>>,
    password_file: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SubstituteTable {
    image: Spanned<String>,
    from: Spanned<String>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct BuildkitTable {
    address: Spanned<String>,
    ca: Option<Spanned<String>>,
    cert: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    server_name: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct LimitsTable {
    parallel_builds: Option<Spanned<usize>>,
    parallel_steps: Option<Spanned<usize>>,
    parallel_downloads: Option<Spanned<usize>>,
    step_seconds: Option<u64>,
    step_memory: Option<Size>,
    step_processes: Option<u64>,
    step_processors: Option<Spanned<f64>>,
    step_log: Option<Size>,
    context_size: Option<Size>,
    download_size: Option<Size>,
    image_size: Option<Size>,
    image_unpacked_size: Option<Size>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct StorageTable {
    max_used_space: Option<Size>,
    min_free_space: Option<Size>,
}

/// What is wrong, and where in the text.
pub(super) struct Problem {
    span: Range<usize>,
    message: String,
}

impl Problem {
    pub(super) fn at<T>(place: &Spanned<T>, message: String) -> Self {
        Self {
            span: place.span(),
            message,
        }
    }
}

pub(super) fn parse(text: &str, path: &Path, directory: &Path) -> Result<Config, ConfigError> {
    let file: Result<File, Problem> = toml::from_str(text).map_err(|error| Problem {
        span: error.span().unwrap_or_default(),
        message: with_suggestion(error.message()),
    });
    file.and_then(|file| convert(file, directory)).map_err(|problem| {
        let before = text.get(..problem.span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ConfigError::Invalid {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message: problem.message,
        }
    })
}

fn convert(file: File, directory: &Path) -> Result<Config, Problem> {
    let mut registries = BTreeMap::new();
    for (name, table) in file.registry {
        let key = registry_name(&name)?;
        registries.insert(key, convert_registry(table, directory)?);
    }
    let allowed_registries = file
        .allowed_registries
        .map(|names| names.iter().map(registry_name).collect())
        .transpose()?;
    let private_networks = file
        .private_networks
        .iter()
        .map(network)
        .collect::<Result<_, _>>()?;
    let entitlements = file.insecure_entitlements.iter();
    let entitlements: BTreeSet<_> = entitlements
        .map(|name| {
            let entitlement = name.get_ref().parse();
            entitlement.map_err(|message| Problem::at(name, message))
        })
        .collect::<Result<_, _>>()?;
    let caches = file.caches.iter().map(cache).collect::<Result<_, _>>()?;
    let mut substitutes: Vec<Substitute> = Vec::new();
    for table in file.substitute {
        let substitute = convert_substitute(&table, directory)?;
        if substitutes
            .iter()
            .any(|earlier| earlier.image == substitute.image)
        {
            let message = format!("{} is substituted twice; keep one of the two", substitute.image);
            return Err(Problem::at(&table.image, message));
        }
        substitutes.push(substitute);
    }
    let hooks = hook::convert(file.hook, &entitlements, directory)?;
    let mut buildkit: Vec<Route> = Vec::new();
    for table in file.buildkit {
        let place = table.address.span();
        let route = convert_buildkit(table, directory)?;
        if buildkit.iter().any(|earlier| earlier.address == route.address) {
            return Err(Problem {
                span: place,
                message: format!("{} is there twice; keep one of the two", route.address),
            });
        }
        buildkit.push(route);
    }
    let limits = convert_limits(file.limits)?;
    let kept = StorageLimits::default();
    let storage = StorageLimits {
        max_used_space: file
            .storage
            .max_used_space
            .map_or(kept.max_used_space, |size| size.0),
        min_free_space: file
            .storage
            .min_free_space
            .map_or(kept.min_free_space, |size| size.0),
    };
    Ok(Config {
        registries,
        allowed_registries,
        private_networks,
        entitlements,
        caches,
        substitutes,
        hooks,
        buildkit,
        limits,
        storage,
        serve: convert_serve(file.serve, directory)?,
    })
}

fn convert_serve(table: ServeTable, directory: &Path) -> Result<ServeConfig, Problem> {
    let tls = match (table.tls_cert, table.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: directory.join(certificate.get_ref()),
            key: directory.join(key.get_ref()),
        }),
        (None, None) => None,
        (Some(certificate), None) => {
            let message = "a certificate needs its private key, as tls-key".to_owned();
            return Err(Problem::at(&certificate, message));
        }
        (None, Some(key)) => {
            let message = "a private key needs its certificate, as tls-cert".to_owned();
            return Err(Problem::at(&key, message));
        }
    };
    let host = |name: &Spanned<String>| {
        let host = name.get_ref().parse();
        host.map_err(|error: InvalidHost| Problem::at(name, error.to_string()))
    };
    let requests_per_second = match table.requests_per_second {
        Some(none) if *none.get_ref() == 0 => {
            let message = "nobody could ever ask for anything; write 1 or more".to_owned();
            return Err(Problem::at(&none, message));
        }
        Some(given) => given.into_inner(),
        None => ServeConfig::default().requests_per_second,
    };
    Ok(ServeConfig {
        tls,
        hosts: table.hosts.iter().map(host).collect::<Result<_, _>>()?,
        requests_per_second,
    })
}

fn convert_buildkit(table: BuildkitTable, directory: &Path) -> Result<Route, Problem> {
    let address: Address = table
        .address
        .get_ref()
        .parse()
        .map_err(|message| Problem::at(&table.address, message))?;
    let file = |name: Spanned<String>| directory.join(name.into_inner());
    let own = match (table.cert, table.key) {
        (Some(cert), Some(key)) => Some((file(cert), file(key))),
        (None, None) => None,
        (Some(lone), None) | (None, Some(lone)) => {
            return Err(Problem::at(
                &lone,
                "cert and key go together: give both, or neither".to_owned(),
            ));
        }
    };
    let certificates = match (table.ca, &own, &table.server_name) {
        (Some(ca), ..) => Some(Certificates {
            authority: file(ca),
            own,
            server_name: table.server_name.map(Spanned::into_inner),
        }),
        (None, None, None) => None,
        (None, ..) => {
            let message = "ca is missing: the file with the authority that signed the daemon's certificate";
            return Err(Problem::at(&table.address, message.to_owned()));
        }
    };
    let route = Route {
        address,
        certificates,
    };
    route
        .check()
        .map_err(|error| Problem::at(&table.address, error.to_string()))?;
    Ok(route)
}

fn registry_name(name: &Spanned<String>) -> Result<String, Problem> {
    let text = name.get_ref();
    if is_registry_name(text) {
        return Ok(text.clone());
    }
    let message =
        format!("{text:?} is not a registry's name; write host or host:port, such as \"docker.io\"");
    Err(Problem::at(name, message))
}

fn cache(name: &Spanned<String>) -> Result<Reference, Problem> {
    name.get_ref()
        .parse()
        .map_err(|error| Problem::at(name, format!("a cache is a name in a registry: {error}")))
}

fn network(text: &Spanned<String>) -> Result<Network, Problem> {
    address::network(text.get_ref()).ok_or_else(|| {
        let message = format!(
            "{:?} is no network: write its first address and how many bits all of them share, such as \"10.1.0.0/16\"",
            text.get_ref()
        );
        Problem::at(text, message)
    })
}

fn convert_registry(table: RegistryTable, directory: &Path) -> Result<RegistryConfig, Problem> {
    let mirrors = table
        .mirrors
        .iter()
        .map(convert_mirror)
        .collect::<Result<_, _>>()?;
    let password = match (table.password, table.password_file) {
        (Some(_), Some(file)) => {
            let message = "both password and password-file are given; keep one of the two".to_owned();
            return Err(Problem::at(&file, message));
        }
        (Some(password), None) => Some(password),
        (None, Some(file)) => {
            let path = directory.join(file.get_ref());
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Problem::at(
                    &file,
                    format!("cannot read the password file {}: {error}", path.display()),
                )
            })?;
            Some(Spanned::new(
                file.span(),
                text.trim_end_matches(['\r', '\n']).to_owned(),
            ))
        }
        (None, None) => None,
    };
    let credentials = match (table.username, password) {
        (Some(username), Some(password)) => Some(Credentials {
            username: username.into_inner(),
            password: password.into_inner(),
        }),
        (Some(username), None) => {
            let message = "a username needs a password or a password-file".to_owned();
            return Err(Problem::at(&username, message));
        }
        (None, Some(password)) => {
            return Err(Problem::at(&password, "a password needs a username".to_owned()));
        }
        (None, None) => None,
    };
    Ok(RegistryConfig {
        mirrors,
        plain_http: table.plain_http,
        credentials,
    })
}

fn convert_mirror(entry: &Spanned<String>) -> Result<Mirror, Problem> {
    let text = entry.get_ref();
    let read = || {
        let (scheme, rest) = text.split_once("://")?;
        let plain_http = match scheme {
            "http" => true,
            "https" => false,
            _ => return None,
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
        (is_registry_name(host) && prefix.chars().all(plain)).then(|| Mirror {
            plain_http,
            host: host.to_owned(),
            prefix: prefix.to_owned(),
        })
    };
    read().ok_or_else(|| {
        let message =
            format!("{text:?} is not a mirror's address; write it like \"https://mirror.example.com\"");
        Problem::at(entry, message)
    })
}

fn convert_substitute(table: &SubstituteTable, directory: &Path) -> Result<Substitute, Problem> {
    let reference = |text: &str, place: &Spanned<String>| {
        text.parse::<Reference>()
            .map_err(|error| Problem::at(place, error.to_string()))
    };
    let image = reference(table.image.get_ref(), &table.image)?;
    let from = table.from.get_ref();
    let from = if let Some(layout) = from.strip_prefix("oci-layout://") {
        let (path, image) = split_layout(layout);
        if path.is_empty() {
            return Err(Problem::at(
                &table.from,
                "the layout's directory is missing".to_owned(),
            ));
        }
        SubstituteSource::Layout {
            path: directory.join(path),
            image,
        }
    } else if let Some(other) = from.strip_prefix("docker-image://") {
        SubstituteSource::Image(reference(other, &table.from)?)
    } else {
        let message = format!(
            "{from:?} is no place for an image; write oci-layout://<directory>:<tag> or docker-image://<reference>"
        );
        return Err(Problem::at(&table.from, message));
    };
    Ok(Substitute {
        image,
        from,
        note: table.note.clone().filter(|note| !note.trim().is_empty()),
    })
}

/// Splits `path[:tag|@digest]`. A colon before the last slash belongs to the path.
pub(super) fn split_layout(text: &str) -> (&str, LayoutImage) {
    if let Some((path, digest)) = text.rsplit_once('@')
        && let Ok(digest) = digest.parse()
    {
        return (path, LayoutImage::Digest(digest));
    }
    match text.rsplit_once(':') {
        Some((path, name)) if !name.contains('/') && !name.is_empty() => {
            (path, LayoutImage::Name(name.to_owned()))
        }
        _ => (text, LayoutImage::Only),
    }
}

fn convert_limits(table: LimitsTable) -> Result<Limits, Problem> {
    let count = |given: Option<Spanned<usize>>, default: usize| match given {
        Some(zero) if *zero.get_ref() == 0 => Err(Problem::at(
            &zero,
            "nothing would ever be done; write 1 or more".to_owned(),
        )),
        Some(number) => Ok(number.into_inner()),
        None => Ok(default),
    };
    let size = |given: Option<Size>, default: u64| given.map_or(default, |size| size.0);
    let defaults = Limits::default();
    Ok(Limits {
        parallel_builds: count(table.parallel_builds, defaults.parallel_builds)?,
        parallel_steps: count(table.parallel_steps, defaults.parallel_steps)?,
        parallel_downloads: count(table.parallel_downloads, defaults.parallel_downloads)?,
        step_time: table.step_seconds.map_or(defaults.step_time, Duration::from_secs),
        step_memory: size(table.step_memory, defaults.step_memory),
        step_processes: table.step_processes.unwrap_or(defaults.step_processes),
        step_processors: match table.step_processors {
            None => defaults.step_processors,
            Some(given) => Some(processors(&given)?),
        },
        step_log: size(table.step_log, defaults.step_log),
        context_size: size(table.context_size, defaults.context_size),
        download_size: size(table.download_size, defaults.download_size),
        image_size: size(table.image_size, defaults.image_size),
        image_unpacked_size: size(table.image_unpacked_size, defaults.image_unpacked_size),
    })
}

/// Thousandths of a processor.
fn processors(given: &Spanned<f64>) -> Result<u64, Problem> {
    let millis = (given.get_ref() * 1000.0).round();
    // A hundredth is the least that the kernel hands out.
    if !(10.0..=1e9).contains(&millis) {
        return Err(Problem::at(
            given,
            "is no number of processors; write one such as 2.0 or 0.5".to_owned(),
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within bounds"
    )]
    Ok(millis as u64)
}

/// Adds "did you mean" to serde's "unknown field `x`, expected one of `a`, `b`", where one of those is close.
pub(super) fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown field") {
        return message.to_owned();
    }
    let Some(unknown) = quoted.next() else {
        return message.to_owned();
    };
    let known: Vec<&str> = quoted.collect();
    let closest = known.iter().map(|name| (distance(unknown, name), *name)).min();
    match closest {
        Some((distance, name)) if distance <= 1 + unknown.len() / 4 => {
            format!("there is no key {unknown:?}; did you mean {name:?}?")
        }
        _ => format!("there is no key {unknown:?}; there are: {}", known.join(", ")),
    }
}

/// How many characters to insert, remove or replace to make one text of the other (Levenshtein). `_` and `-` are
/// the same here.
fn distance(one: &str, other: &str) -> usize {
    let fold = |character: char| {
        if character == '_' {
            '-'
        } else {
            character.to_ascii_lowercase()
        }
    };
    let other: Vec<char> = other.chars().map(fold).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, left) in one.chars().map(fold).enumerate() {
        let mut diagonal = index;
        let mut previous = index + 1;
        let mut next = vec![previous];
        for (right, above) in other.iter().zip(row.iter().skip(1)) {
            let substituted = diagonal + usize::from(left != *right);
            diagonal = *above;
            previous = substituted.min(above + 1).min(previous + 1);
            next.push(previous);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
