//! What a build is asked for with from afar: the fields of a request.
//!
//! They are called as the inputs of docker/build-push-action are, so that what is known of one is known of the other. A list
//! is an array of the texts that `docker build`'s flag of that name takes, or one text with a line for each.

use std::fmt;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

use super::remote;
use crate::source::http;

/// A build as somebody asks for it who is not at this machine. Every field may be left out.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BuildRequest {
    /// The build context: a git address `URL#REF:FOLDER`, `content:DIGEST` of a context that was offered and sent here,
    /// `upload:DIGEST` of a tar that was sent here, or the address of an archive on a web server. Without it there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The text of the Dockerfile itself, in the place of `file`. Our addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The text of the ignore file that counts, in the place of the context's own. Our addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerignore: Option<String>,
    /// The Dockerfile's path in the context; `Dockerfile` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The stage to build; the last one where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What to call the image.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `NAME=VALUE`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub build_args: Vec<String>,
    /// `NAME=VALUE`: an image, an address, or `content:DIGEST`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub build_contexts: Vec<String>,
    /// `NAME=VALUE`, over those of the Dockerfile.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// `[PLACE:]NAME=VALUE`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<String>,
    /// `OS/ARCH[/VARIANT]`; `linux/amd64` where none is named.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// What becomes of the result. The image stays here to be downloaded, but for `type=cacheonly`; with `type=tar` its files do
    /// as well.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Whether the image is pushed to the registries of its names.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
    /// Refused: there is no engine here that an image could be loaded into.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub load: Option<bool>,
    /// Run every step again.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub no_cache: Option<bool>,
    /// Stages whose steps run again.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub no_cache_filters: Vec<String>,
    /// Ask registries what tags point to now, which every build does anyway.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub pull: Option<bool>,
    /// Caches in registries that steps may come from.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub cache_from: Vec<String>,
    /// Caches in registries to write, or `type=inline`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub cache_to: Vec<String>,
    /// `ID=VALUE`: what steps may ask for. Kept nowhere.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Refused: files that secrets come from are the client's to read.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub secret_files: Vec<String>,
    /// Refused: variables that secrets come from are the client's to read.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub secret_envs: Vec<String>,
    /// Refused: agents are on the client's machine.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<String>,
    /// What proves to the git server of the context who asks; a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub github_token: Option<String>,
    /// The network of steps that name none: `default`, `none`, or `host` where the owner allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `NAME:ADDRESS`, for `/etc/hosts` of steps.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub add_hosts: Vec<String>,
    /// How large `/dev/shm` is for steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<String>,
    /// `NAME=SOFT[:HARD]`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub ulimit: Vec<String>,
    /// What steps may have beyond their sandbox, of what the owner allows.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Statements about what is built: `type=provenance,…`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub attests: Vec<String>,
    /// Whether its provenance is attached, or `mode=min` and the like.
    #[serde(deserialize_with = "word", skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
    /// Only `false`: lists of contents are not made here.
    #[serde(deserialize_with = "word", skip_serializing_if = "Option::is_none")]
    pub sbom: Option<String>,
    /// Only `build`: what else can be asked of a Dockerfile is asked at other addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Refused: this worker is the builder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    /// Refused: control groups of steps are the worker's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_parent: Option<String>,
}

impl BuildRequest {
    /// The same without what is secret, as it may be kept until it is built.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        Self {
            secrets: Vec::new(),
            github_token: None,
            ..self.clone()
        }
    }

    /// The same as it may be told: also without what proves in its addresses who asks, and of a repository on this machine
    /// only what it is called.
    #[must_use]
    pub fn told(&self) -> Self {
        let mut told = self.without_secrets();
        if let Some(context) = &mut told.context {
            *context = remote::told(context);
        }
        // Each by its name, so that none that is added later is told unseen.
        let Self {
            context,
            dockerfile,
            dockerignore,
            file,
            target,
            tags,
            build_args,
            build_contexts,
            labels,
            annotations,
            platforms,
            outputs,
            push: _,
            load: _,
            no_cache: _,
            no_cache_filters,
            pull: _,
            cache_from,
            cache_to,
            secrets: _,
            secret_files,
            secret_envs,
            ssh,
            github_token: _,
            network,
            add_hosts,
            shm_size,
            ulimit,
            allow,
            attests,
            provenance,
            sbom,
            call,
            builder,
            cgroup_parent,
        } = &mut told;
        let texts = [
            context,
            dockerfile,
            dockerignore,
            file,
            target,
            network,
            shm_size,
            provenance,
            sbom,
            call,
            builder,
            cgroup_parent,
        ];
        let lists = [
            tags,
            build_args,
            build_contexts,
            labels,
            annotations,
            platforms,
            outputs,
            no_cache_filters,
            cache_from,
            cache_to,
            secret_files,
            secret_envs,
            ssh,
            add_hosts,
            ulimit,
            allow,
            attests,
        ];
        for text in texts.into_iter().flatten().chain(lists.into_iter().flatten()) {
            *text = http::told(text);
        }
        told
    }

    /// Whether it brings along what may not be kept.
    pub fn has_secrets(&self) -> bool {
        !self.secrets.is_empty() || self.github_token.is_some()
    }
}

impl fmt::Debug for BuildRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = serde_json::to_string(&self.told()).map_err(|_| fmt::Error)?;
        write!(formatter, "BuildRequest {told}")
    }
}

/// A list, or one text with a line for each.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "expected a list of texts, or one text with a line for each"
    )]
    enum Written {
        List(Vec<String>),
        Lines(String),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::List(list) => list,
        Written::Lines(text) => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(str::to_owned).collect()
        }
    })
}

/// Yes or no, as inputs of actions have it too, which are texts.
fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match word(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(de::Error::custom(format!("{other:?} is neither true nor false"))),
    }
}

/// A text; yes and no may be written without quotes.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected true, false or a text")]
    enum Written {
        Switch(bool),
        Text(String),
    }
    Ok(
        Option::<Written>::deserialize(deserializer)?.map(|written| match written {
            Written::Switch(switch) => switch.to_string(),
            Written::Text(text) => text,
        }),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<BuildRequest, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_are_arrays_or_lines_and_switches_may_be_texts() {
        let listed = read(json!({
            "build-args": ["A=1\n2", "B="], "tags": "a\n\n  b:1 \n", "push": "true", "pull": false, "provenance": true,
            "sbom": "false", "no-cache": null,
        }))
        .unwrap();
        assert_eq!(listed.build_args, ["A=1\n2", "B="]);
        assert_eq!(listed.tags, ["a", "b:1"]);
        assert_eq!(
            (listed.push, listed.pull, listed.no_cache),
            (Some(true), Some(false), None)
        );
        assert_eq!(listed.provenance.as_deref(), Some("true"));
        let again: BuildRequest = serde_json::from_value(serde_json::to_value(&listed).unwrap()).unwrap();
        assert_eq!(again, listed);
        assert_eq!(serde_json::to_value(BuildRequest::default()).unwrap(), json!({}));
    }

    #[test]
    fn what_is_no_field_or_no_value_of_it_is_refused() {
        for (value, said) in [
            (json!({ "tag": ["a"] }), "unknown field `tag`"),
            (json!({ "tags": 1 }), "a list of texts"),
            (json!({ "push": "yes" }), "neither true nor false"),
            (json!({ "provenance": [] }), "true, false or a text"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_proves_in_an_address_who_asks_is_not_told_wherever_it_stands() {
        let asked = read(json!({
            "context": "https://me:hunter2@git.example/app.git#main:sub",
            "dockerfile": "FROM scratch\nADD https://hunter2@files.example/a https://me:hunter2@files.example/b /\n",
            "build-args": ["A=https://me:hunter2@x.example/", "B=plain@x.example"],
            "build-contexts": "lib=ssh://git:hunter2@git.example/lib.git",
            "labels": "source=https://hunter2@git.example/app",
            "cache-from": "type=registry,ref=r.example/cache",
        }))
        .unwrap();
        let told = asked.told();
        let text = serde_json::to_string(&told).unwrap();
        assert!(
            !text.contains("hunter") && !format!("{asked:?}").contains("hunter"),
            "{text}"
        );
        assert_eq!(
            told.context.as_deref(),
            Some("https://git.example/app.git#main:sub")
        );
        assert_eq!(
            told.dockerfile.as_deref(),
            Some("FROM scratch\nADD https://files.example/a https://files.example/b /\n")
        );
        assert_eq!(told.build_args, ["A=https://x.example/", "B=plain@x.example"]);
        assert_eq!(told.build_contexts, ["lib=ssh://git.example/lib.git"]);
        // It is built with all of it, also by the next worker.
        assert_eq!(asked.without_secrets(), asked);
    }

    #[test]
    fn no_field_tells_what_proves_in_an_address_who_asks() {
        for field in [
            "context",
            "dockerfile",
            "dockerignore",
            "file",
            "target",
            "tags",
            "build-args",
            "build-contexts",
            "labels",
            "annotations",
            "platforms",
            "outputs",
            "no-cache-filters",
            "cache-from",
            "cache-to",
            "secret-files",
            "secret-envs",
            "ssh",
            "network",
            "add-hosts",
            "shm-size",
            "ulimit",
            "allow",
            "attests",
            "provenance",
            "sbom",
            "call",
            "builder",
            "cgroup-parent",
        ] {
            let told =
                |text: &str| serde_json::to_string(&read(json!({ field: text })).unwrap().told()).unwrap();
            let text = told("type=provenance,builder-id=https://me:hunter2@ci.example/");
            assert_eq!(
                text,
                told("type=provenance,builder-id=https://ci.example/"),
                "{field}"
            );
        }
    }

    #[test]
    fn what_is_secret_is_left_out_of_what_is_kept() {
        let asked =
            read(json!({ "secrets": ["a=hunter2"], "github-token": "hunter3", "target": "x" })).unwrap();
        assert!(asked.has_secrets());
        let kept = serde_json::to_string(&asked.without_secrets()).unwrap();
        assert_eq!(kept, r#"{"target":"x"}"#);
        assert!(!format!("{asked:?}").contains("hunter"));
    }
}
