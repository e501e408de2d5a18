//! `stagewright du`: what takes room.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::ValueEnum;

use super::state::Look;
use super::style::{COLUMNS, Style, cut};
use super::{Failure, machine, measure, print};
use crate::backend::embedded::step_records;
use crate::storage::control::{self, Answer, Request};
use crate::storage::usage::{Item, Kind, Knowledge, Usage};

/// Say what takes room in the state folder
///
/// What is in use is never pruned: what an image with a name is made of, and what a running build relies on.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Name every single thing, the largest first
    #[arg(short, long)]
    all: bool,

    /// Only things of this kind; may be given several times
    #[arg(long, value_name = "KIND")]
    kind: Vec<Kind>,

    /// How to say it; as JSON everything is named
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    #[command(flatten)]
    machine: machine::Arguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let look = arguments.machine.look()?;
    let mut usage = survey(&look)?;
    if !arguments.kind.is_empty() {
        usage.items.retain(|item| arguments.kind.contains(&item.kind));
    }
    usage
        .items
        .sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.id.cmp(&other.id)));
    let text = match arguments.format {
        Format::Json => json(&usage)?,
        Format::Table if arguments.all => list(&usage.items, SystemTime::now(), Style::out()),
        Format::Table => summary(&usage),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is there. A worker that is at work here is asked; where it cannot be, what its builds hold is not known, and is
/// said to be so.
fn survey(look: &Look) -> Result<Usage, Failure> {
    let mut knowledge = Knowledge::default();
    if look.is_beside_worker() {
        if let Ok(Answer::Usage(usage)) = control::ask(&look.path, &Request::Usage) {
            return Ok(usage);
        }
        eprint("a worker is at work here: what its builds hold, and its records of steps, are not told\n");
    } else {
        knowledge.records = step_records(&look.path).unwrap_or_default();
    }
    Usage::survey(&look.path, &knowledge).map_err(|error| {
        Failure::new(
            Failure::PLACE,
            format!("cannot read the state folder {}: {error}", look.path.display()),
        )
    })
}

fn eprint(text: &str) {
    use std::io::Write as _;
    _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn json(usage: &Usage) -> Result<String, Failure> {
    let mut value = serde_json::to_value(usage)
        .map_err(|error| Failure::new(Failure::WORK, format!("cannot write JSON: {error}")))?;
    value["total"] = usage.total().into();
    value["reclaimable"] = usage.reclaimable().into();
    Ok(format!("{value:#}\n"))
}

fn summary(usage: &Usage) -> String {
    let mut text = format!(
        "{:<12} {:>7} {:>10} {:>10}\n",
        "KIND", "THINGS", "SIZE", "NOT IN USE"
    );
    let mut line = |name: &str, count: String, all: u64, free: u64| {
        _ = writeln!(
            text,
            "{name:<12} {count:>7} {:>10} {:>10}",
            measure::size(all),
            measure::size(free)
        );
    };
    for kind in Kind::ALL {
        let of_kind = || usage.items.iter().filter(move |item| item.kind == kind);
        if of_kind().next().is_some() {
            let free = of_kind().filter(|item| item.in_use.is_none());
            line(
                kind.name(),
                of_kind().count().to_string(),
                of_kind().map(|item| item.size).sum(),
                free.map(|item| item.size).sum(),
            );
        }
    }
    line("total", String::new(), usage.total(), usage.reclaimable());
    if usage.database > 0 {
        _ = writeln!(
            text,
            "The database with the records has {}.",
            measure::size(usage.database)
        );
    }
    text
}

/// One line for each thing.
pub(super) fn list(items: &[Item], now: SystemTime, style: Style) -> String {
    let mut text = format!(
        "{:<11} {:<12} {:>8}  {:<14} {}\n",
        "KIND", "ID", "SIZE", "LAST USED", "WHAT"
    );
    for item in items {
        let line = format!(
            "{:<11} {:<12} {:>8}  {:<14} ",
            item.kind.name(),
            short(&item.id),
            measure::size(item.size),
            measure::ago(item.last_used, now)
        );
        let room = COLUMNS.saturating_sub(line.chars().count());
        let what = match &item.in_use {
            Some(user) => cut(&format!("in use: {}", short_image(user)), room),
            None => cut(&item.description, room),
        };
        let what = if item.in_use.is_some() {
            style.accent(&what)
        } else {
            what
        };
        _ = writeln!(text, "{}", format!("{line}{what}").trim_end());
    }
    text
}

/// What a thing is called where there is little room.
fn short(id: &str) -> String {
    match id.split_once('/') {
        Some((cache, number)) => format!("{}/{number}", cut_plain(cache, 10)),
        None => cut_plain(id, 12).to_owned(),
    }
}

fn cut_plain(text: &str, width: usize) -> &str {
    text.get(..width).unwrap_or(text)
}

fn short_image(user: &str) -> String {
    user.replace("docker.io/library/", "").replace("docker.io/", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Usage {
        let state = tempfile::tempdir().unwrap();
        let blobs = state.path().join("content/blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join("a".repeat(64)), vec![0; 5000]).unwrap();
        let mount = state.path().join("cache-mounts").join("b".repeat(64)).join("0");
        std::fs::create_dir_all(mount).unwrap();
        Usage::survey(state.path(), &Knowledge::default()).unwrap()
    }

    #[test]
    fn a_summary_has_a_line_for_each_kind_there_is() {
        assert_eq!(
            summary(&usage()),
            "KIND          THINGS       SIZE NOT IN USE\n\
             blob               1   4.88 KiB   4.88 KiB\n\
             cache-mount        1        0 B        0 B\n\
             total                  4.88 KiB   4.88 KiB\n"
        );
    }

    #[test]
    fn a_list_names_each_thing_and_who_needs_it() {
        let mut usage = usage();
        usage.items[1].in_use = Some("image docker.io/library/app:latest".into());
        assert_eq!(
            list(&usage.items, SystemTime::now(), Style::default()),
            "KIND        ID               SIZE  LAST USED      WHAT\n\
             blob        aaaaaaaaaaaa 4.88 KiB  just now       of a base image\n\
             cache-mount bbbbbbbbbb/0      0 B  just now       in use: image app:latest\n"
        );
    }
}
