//! `[[hook]]`: what a push builds.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::parse::Problem;
use super::{Entitlement, Hook, HookCallback, HookKind};
use crate::hook::fill;
use crate::request::remote::Address;
use crate::request::understood::{Rules, Understood};
use crate::request::{BuildRequest, SigningKey};
use crate::source::secret::Secrets;

/// Shorter secrets can be guessed.
const SHORTEST: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct HookTable {
    name: Spanned<String>,
    kind: Spanned<String>,
    secret: Option<Spanned<String>>,
    secret_file: Option<Spanned<String>>,
    refs: Spanned<Vec<String>>,
    build: Spanned<toml::Table>,
    callback: Option<Spanned<CallbackTable>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct CallbackTable {
    url: Spanned<String>,
    secret: Option<Spanned<String>>,
    secret_file: Option<Spanned<String>>,
}

/// Reads all hooks.
pub(super) fn convert(
    tables: Vec<HookTable>,
    entitlements: &BTreeSet<Entitlement>,
    directory: &Path,
) -> Result<Vec<Hook>, Problem> {
    let rules = Rules {
        owner: true,
        entitlements: entitlements.clone(),
    };
    let mut hooks: Vec<Hook> = Vec::new();
    for table in tables {
        let hook = one(&table, &rules, directory)?;
        if hooks.iter().any(|other| other.name == hook.name) {
            let message = format!("there are two hooks {:?}; give one another name", hook.name);
            return Err(Problem::at(&table.name, message));
        }
        hooks.push(hook);
    }
    Ok(hooks)
}

fn one(table: &HookTable, rules: &Rules, directory: &Path) -> Result<Hook, Problem> {
    let name = table.name.get_ref();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        let message = format!("{name:?} cannot be a hook's name: it has up to 64 letters, digits, - and _");
        return Err(Problem::at(&table.name, message));
    }
    let kind = match table.kind.get_ref().as_str() {
        "github" => HookKind::Github,
        "plain" => HookKind::Plain,
        other => {
            let message = format!("there is no kind {other:?}; there are github and plain");
            return Err(Problem::at(&table.kind, message));
        }
    };
    let written = table.refs.get_ref();
    if written.is_empty() {
        let message = "nothing would ever be built; name branches such as \"main\", or patterns such as \"refs/tags/v*\"";
        return Err(Problem::at(&table.refs, message.to_owned()));
    }
    let refs = written.iter().map(|pattern| match pattern.strip_prefix("refs/") {
        Some(_) => pattern.clone(),
        None => format!("refs/heads/{pattern}"),
    });
    let callback = table
        .callback
        .as_ref()
        .map(|table| callback(table, directory))
        .transpose()?;
    Ok(Hook {
        name: name.clone(),
        kind,
        key: key(
            table.secret.as_ref(),
            table.secret_file.as_ref(),
            &table.name,
            directory,
        )?,
        refs: refs.collect(),
        build: build(&table.build, rules)?,
        callback,
    })
}

fn callback(table: &Spanned<CallbackTable>, directory: &Path) -> Result<HookCallback, Problem> {
    let CallbackTable {
        url,
        secret,
        secret_file,
    } = table.get_ref();
    let address = reqwest::Url::parse(url.get_ref());
    if !address.is_ok_and(|address| matches!(address.scheme(), "http" | "https")) {
        let message = format!("{:?} is no http or https address", url.get_ref());
        return Err(Problem::at(url, message));
    }
    Ok(HookCallback {
        url: url.get_ref().clone(),
        key: key(secret.as_ref(), secret_file.as_ref(), url, directory)?,
    })
}

/// The secret that is given, or that stands in the file that is named.
fn key(
    secret: Option<&Spanned<String>>,
    file: Option<&Spanned<String>>,
    of: &Spanned<String>,
    directory: &Path,
) -> Result<SigningKey, Problem> {
    let (place, text) = match (secret, file) {
        (Some(_), Some(file)) => {
            let message = "both secret and secret-file are given; keep one of the two";
            return Err(Problem::at(file, message.to_owned()));
        }
        (Some(secret), None) => (secret, secret.get_ref().clone()),
        (None, Some(file)) => {
            let path = directory.join(file.get_ref());
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Problem::at(
                    file,
                    format!("cannot read the secret file {}: {error}", path.display()),
                )
            })?;
            (file, text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (None, None) => {
            let message = "it has no secret: add secret or secret-file";
            return Err(Problem::at(of, message.to_owned()));
        }
    };
    if text.len() < SHORTEST {
        let message = format!(
            "a secret of less than {SHORTEST} letters can be guessed; make one with openssl rand -hex 32"
        );
        return Err(Problem::at(place, message));
    }
    Ok(SigningKey::new(text.into_bytes()))
}

/// What is built, which has to make sense before anything is pushed.
fn build(table: &Spanned<toml::Table>, rules: &Rules) -> Result<BuildRequest, Problem> {
    let wrong = |message: String| Problem::at(table, message);
    let request = BuildRequest::deserialize(table.get_ref().clone());
    let request = request.map_err(|error| wrong(super::parse::with_suggestion(error.message())))?;
    let context = request.context.as_deref().unwrap_or_default();
    if !matches!(Address::read_for_owner(context), Some(Address::Git(_))) {
        return Err(wrong(
            "context has to be the address of the git repository: what was pushed is built".to_owned(),
        ));
    }
    let (_, fragment) = context.split_once('#').unwrap_or((context, ""));
    let name = fragment.split(':').next().unwrap_or_default();
    if !name.is_empty() {
        return Err(wrong(format!(
            "context names {name:?}, and what is built is the commit that was pushed: write the address alone, or #:FOLDER"
        )));
    }
    let commit = "0".repeat(40);
    let filled = fill(&request, "refs/heads/main", Some(&commit)).map_err(wrong)?;
    Understood::of(&filled, &Secrets::default(), rules).map_err(|error| wrong(error.to_string()))?;
    Ok(request)
}
