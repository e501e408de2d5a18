//! `stagewright prune`: removes what nobody needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use super::du::{self, Format};
use super::style::Style;
use super::{Failure, machine, measure, print};
use crate::config::size;
use crate::storage::StorageError;
use crate::storage::control::{self, Answer, Request};
use crate::storage::prune::{Policy, Pruned};
use crate::storage::usage::{Item, Kind, Usage};

/// Remove what nobody needs from the state folder
///
/// What builds make or fetch again by themselves goes: layers, the records of steps, blobs, contexts. What is in use
/// stays: what an image with a name is made of (see `image`), and what a running build relies on.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Also remove what does not come back as it was: cache mounts, and the records and logs of past builds
    #[arg(short, long)]
    all: bool,

    /// Only what was not used since then: `until=24h`, `until=7d`, `until=2026-01-31T12:00:00Z`
    #[arg(long, value_name = "until=TIME", value_parser = filter)]
    filter: Option<SystemTime>,

    /// Remove no more than it takes to get down to this size, the longest unused first: `10GiB`, `500MB`
    #[arg(long, visible_alias = "max-used-space", value_name = "SIZE", value_parser = bytes)]
    keep_storage: Option<u64>,

    /// Only things of this kind; may be given several times
    #[arg(long, value_name = "KIND", conflicts_with = "all")]
    kind: Vec<Kind>,

    /// Say what would go, and leave it
    #[arg(long)]
    dry_run: bool,

    /// How to say it; as JSON everything is named
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Nothing is asked anyway; Docker's command has this flag
    #[arg(short, long, hide = true)]
    force: bool,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut policy = if arguments.all {
        Policy::all()
    } else {
        Policy::cache()
    };
    if !arguments.kind.is_empty() {
        policy.kinds = arguments.kind.iter().copied().collect();
    }
    policy.unused_since = arguments.filter;
    policy.keep = arguments.keep_storage;
    arguments.machine.run(async { prune(arguments, &policy) })
}

fn prune(arguments: &Arguments, policy: &Policy) -> Result<ExitCode, Failure> {
    let broken = |error: StorageError| Failure::new(Failure::PLACE, error.to_string());
    let pruned = match arguments.machine.open() {
        Ok(machine) if arguments.dry_run => foreseen(policy, &machine.storage.usage().map_err(broken)?),
        Ok(machine) => machine.storage.prune(policy).map_err(broken)?,
        Err(failure) => through_worker(arguments, policy, failure)?,
    };
    print(&match arguments.format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&pruned)
                .map_err(|error| Failure::new(Failure::WORK, format!("cannot write JSON: {error}")))?;
            format!("{json}\n")
        }
        Format::Table if arguments.dry_run => {
            let list = du::list(&pruned.removed, SystemTime::now(), Style::out());
            format!("{list}{}", summary(&pruned, "would go"))
        }
        Format::Table => summary(&pruned, "removed"),
    })?;
    match pruned.failed.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        [first, rest @ ..] => {
            let more = match rest.len() {
                0 => String::new(),
                count => format!(", and {count} more"),
            };
            Err(Failure::new(
                Failure::PLACE,
                format!("something could not be removed: {first}{more}"),
            ))
        }
    }
}

/// What would be removed.
fn foreseen(policy: &Policy, usage: &Usage) -> Pruned {
    let removed = policy.choose(usage);
    Pruned {
        freed: removed
            .iter()
            .filter(|item| item.takes_room())
            .map(|item| item.size)
            .sum(),
        removed,
        failed: Vec::new(),
    }
}

/// Where a worker is at work, only it knows what its builds hold, so it is asked to do it. `refused` says why this
/// process may not.
fn through_worker(arguments: &Arguments, policy: &Policy, refused: Failure) -> Result<Pruned, Failure> {
    let request = if arguments.dry_run {
        Request::Usage
    } else {
        Request::Prune(policy.clone())
    };
    match control::ask(&arguments.machine.place()?, &request) {
        Ok(Answer::Usage(usage)) => Ok(foreseen(policy, &usage)),
        Ok(Answer::Pruned(pruned)) => Ok(pruned),
        Ok(Answer::Failed(reason)) => Err(Failure::new(Failure::PLACE, reason)),
        Err(_) if arguments.machine.is_in_use() => Err(refused
            .hint("`serve` prunes when it is asked to, but a build that runs by itself is waited for: try again when it has ended")),
        Err(_) => Err(refused),
    }
}

/// `removed 2 layers, 1 blob: 1.4 GiB`.
fn summary(pruned: &Pruned, verb: &str) -> String {
    if pruned.removed.is_empty() {
        return "nothing to remove\n".to_owned();
    }
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    for Item { kind, .. } in &pruned.removed {
        *counts.entry(*kind).or_default() += 1;
    }
    let mut text = String::new();
    for (kind, count) in counts {
        let comma = if text.is_empty() { "" } else { ", " };
        let name = match (count, kind) {
            (1, kind) => kind.name().to_owned(),
            (_, Kind::Repository) => "repositories".to_owned(),
            (_, kind) => format!("{}s", kind.name()),
        };
        _ = write!(text, "{comma}{count} {name}");
    }
    format!("{verb}: {text}; {}\n", measure::size(pruned.freed))
}

fn filter(text: &str) -> Result<SystemTime, String> {
    let wrong = || format!("{text:?} is no filter; write until=24h, until=7d or until=2026-01-31T12:00:00Z");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    if name != "until" {
        return Err(format!(
            "there is no filter {name:?}; what there is: until=TIME, and --kind KIND for one kind of things"
        ));
    }
    measure::moment(value, SystemTime::now()).ok_or_else(wrong)
}

fn bytes(text: &str) -> Result<u64, String> {
    size::parse(text).ok_or_else(|| {
        format!("{text:?} is no size; write a number of bytes, or a whole number and one of KiB, MiB, GiB, kB, MB, GB")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_sizes_are_read_as_docker_has_them() {
        assert!(filter("until=24h").is_ok());
        assert!(filter("until=2026-01-31T12:00:00Z").is_ok());
        assert!(filter("until=yesterday").unwrap_err().contains("until=24h"));
        assert!(filter("label=a").unwrap_err().contains("no filter \"label\""));
        assert_eq!(bytes("10GiB"), Ok(10 << 30));
        assert!(bytes("much").is_err());
    }

    #[test]
    fn nothing_removed_is_said() {
        assert_eq!(summary(&Pruned::default(), "removed"), "nothing to remove\n");
    }
}
