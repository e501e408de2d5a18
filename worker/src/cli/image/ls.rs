//! `stagewright image ls`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::du::Format;
use super::super::style::cut;
use super::super::{Failure, machine, measure, print};
use super::{content, familiar};
use crate::storage::image::{self, Parts};
use crate::storage::names::{ImageNames, NamedImage};

/// List images by name
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only the digests
    #[arg(short, long)]
    quiet: bool,

    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let look = arguments.machine.look()?;
    let names = ImageNames::of(&look.path)
        .list()
        .map_err(|error| Failure::new(Failure::PLACE, error.to_string()))?;
    let content = content(&look)?;
    let images: Vec<(NamedImage, Option<Vec<Parts>>)> = names
        .into_iter()
        .map(|named| {
            let parts = content
                .as_ref()
                .and_then(|content| image::read(content, &named.digest).ok());
            (named, parts)
        })
        .collect();
    print(&match arguments.format {
        _ if arguments.quiet => {
            let mut text = String::new();
            for (named, _) in &images {
                _ = writeln!(text, "{}", named.digest);
            }
            text
        }
        Format::Json => format!("{:#}\n", json(&images)),
        Format::Table => table(&images, SystemTime::now()),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn json(images: &[(NamedImage, Option<Vec<Parts>>)]) -> serde_json::Value {
    let one = |(named, parts): &(NamedImage, Option<Vec<Parts>>)| {
        let platforms = parts.iter().flatten().map(|image| image.platform.to_string());
        json!({
            "name": named.name,
            "digest": named.digest,
            "named": named.created,
            "whole": parts.is_some(),
            "size": parts.as_deref().map(size),
            "created": parts.as_deref().and_then(created),
            "platforms": platforms.collect::<Vec<_>>(),
        })
    };
    images.iter().map(one).collect()
}

fn table(images: &[(NamedImage, Option<Vec<Parts>>)], now: SystemTime) -> String {
    let mut text = format!("{:<36} {:<12} {:>9}  {}\n", "NAME", "DIGEST", "SIZE", "CREATED");
    for (named, parts) in images {
        let size = match parts {
            Some(parts) => measure::size(size(parts)),
            None => "not whole".to_owned(),
        };
        let created = parts
            .as_deref()
            .and_then(created)
            .unwrap_or_else(|| named.created.clone());
        let created = OffsetDateTime::parse(&created, &Rfc3339)
            .map(|time| measure::ago(time.into(), now))
            .unwrap_or_default();
        _ = writeln!(
            text,
            "{:<36} {:<12} {size:>9}  {created}",
            cut(familiar(&named.name), 36),
            named.digest.hex().get(..12).unwrap_or_default()
        );
    }
    text
}

/// The bytes of an image for all its platforms, each blob once.
fn size(parts: &[Parts]) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    let layers = parts.iter().flat_map(|image| &image.layers);
    let repeated: u64 = layers
        .filter(|layer| !seen.insert(&layer.digest))
        .map(|layer| layer.size)
        .sum();
    parts.iter().map(|image| image.size).sum::<u64>() - repeated
}

/// When the image was made, as its configuration has it.
fn created(parts: &[Parts]) -> Option<String> {
    parts.first()?.config["created"].as_str().map(str::to_owned)
}
