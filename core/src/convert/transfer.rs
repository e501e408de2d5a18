//! COPYs that take what was made by another build from the stage that makes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::diagnostic::{Problem, Severity};
use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::span::Span;
use crate::syntax::{Keyword, Word};

use super::builds::{Rewrite, Take, Taken, Unit, sources};
use super::containers::Step;
use super::host;
use super::names::Names;
use super::story::{Source, Story, image_key};
use super::write::{below, json, words};

/// The COPYs of one unit.
pub(super) struct Transfers<'a> {
    pub(super) names: &'a mut Names,
    /// Lines of the stages with files under their old names.
    pub(super) files: &'a mut BTreeMap<(usize, usize), Vec<String>>,
    pub(super) unit: usize,
    pub(super) context: &'a str,
    pub(super) found: Vec<(Severity, Span, Problem)>,
}

/// A line `COPY --from`.
struct Line {
    from: String,
    path: String,
    to: String,
    owner: bool,
    mode: Option<String>,
}

impl Transfers<'_> {
    /// What changes in the unit's COPYs.
    pub(super) fn all(mut self, story: &mut Story<'_>) -> Vec<TextEdit> {
        let mut edits = Vec::new();
        let shared: &Story<'_> = story;
        let Some(unit) = shared.units.get(self.unit) else {
            return edits;
        };
        let prefix = unit
            .context
            .as_deref()
            .and_then(|own| host::inside(self.context, own))
            .unwrap_or_default();
        let prefix = prefix.to_owned();
        let rewrites: BTreeMap<(usize, usize), &Rewrite> = unit
            .rewrites
            .iter()
            .map(|rewrite| ((rewrite.stage, rewrite.step), rewrite))
            .collect();
        for (stage, source) in unit.program.stages.iter().enumerate() {
            for (step, statement) in source.statements.iter().enumerate() {
                let rewrite = rewrites.get(&(stage, step)).copied();
                let from_context = match &statement.instruction {
                    Some(Instruction::Copy(copy)) => copy.from.is_none(),
                    Some(Instruction::Add(_)) => true,
                    Some(Instruction::Run(run)) => {
                        let binds = run.mounts.iter().any(|mount| {
                            mount.from.is_none()
                                && (mount.text.text.contains("type=bind")
                                    || !mount.text.text.contains("type="))
                        });
                        if binds && !prefix.is_empty() {
                            let message = format!(
                                "This mounts the context, which was {prefix} and is a folder above now."
                            );
                            let problem = Problem::new("mounted-context", message);
                            let hint = "Say the folder in it: source=, and its path from the new context.";
                            self.found
                                .push((Severity::Error, statement.span, problem.hint(hint)));
                        }
                        false
                    }
                    _ => false,
                };
                if from_context && (rewrite.is_some() || !prefix.is_empty()) {
                    edits.extend(self.transfer(shared, unit, (stage, step), &prefix, rewrite));
                }
            }
        }
        let found = std::mem::take(&mut self.found);
        let at = self.unit;
        for (severity, span, problem) in found {
            story.report_in(at, severity, span, problem);
        }
        edits
    }

    /// What becomes of one COPY or ADD.
    fn transfer(
        &mut self,
        story: &Story<'_>,
        unit: &Unit<'_>,
        (stage, step): (usize, usize),
        prefix: &str,
        rewrite: Option<&Rewrite>,
    ) -> Vec<TextEdit> {
        let Some((node, Some(instruction))) = unit.node(stage, step) else {
            return Vec::new();
        };
        let Some(sources) = sources(instruction) else {
            return Vec::new();
        };
        let is_array = sources
            .paths
            .first()
            .is_some_and(|first| first.span == sources.destination.span);
        let parents = matches!(instruction, Instruction::Copy(copy) if copy.parents);
        let destination = sources.destination.text.as_str();
        let untouched = Taken {
            context: true,
            ..Taken::default()
        };
        let mut lines: Vec<(usize, Line)> = Vec::new();
        let mut kept: Vec<(usize, String)> = Vec::new();
        for (at, word) in sources.paths.iter().enumerate() {
            let taken = rewrite
                .and_then(|rewrite| rewrite.sources.get(at))
                .unwrap_or(&untouched);
            if taken.context {
                let remote = word.text.contains("://") || word.text.starts_with("git@");
                kept.push((
                    at,
                    if remote {
                        word.text.clone()
                    } else {
                        prefixed(prefix, &word.text)
                    },
                ));
            }
            for take in &taken.takes {
                if let Some(line) = self.line(
                    story,
                    (stage, node.keyword),
                    parents,
                    destination,
                    take,
                    word.span,
                ) {
                    lines.push((at, line));
                }
            }
        }
        let flags: Vec<&str> = node
            .flags
            .iter()
            .filter_map(|flag| unit.source.get(flag.span.start..flag.span.end))
            .collect();
        let mut edits = Vec::new();
        // All of it comes from one place: the words are exchanged, and all else stays as it is written.
        let same = lines.windows(2).all(|pair| match pair {
            [(_, left), (_, right)] => {
                left.from == right.from
                    && left.to == right.to
                    && left.owner == right.owner
                    && left.mode == right.mode
            }
            _ => true,
        });
        let plain =
            |line: &Line| !line.path.contains(char::is_whitespace) && !line.to.contains(char::is_whitespace);
        let same = same && lines.iter().all(|(_, line)| plain(line));
        let in_place = kept.is_empty()
            && sources.contents.is_empty()
            && !is_array
            && same
            && lines.len() == sources.paths.len();
        if let (true, Some((_, first)), Some(word)) = (in_place, lines.first(), sources.paths.first()) {
            if node.keyword == Some(Keyword::Add) {
                edits.push(TextEdit::replace(node.name_span, "COPY"));
            }
            edits.push(TextEdit::insert(word.span.start, first.flags(&flags)));
            for ((_, line), word) in lines.iter().zip(&sources.paths) {
                edits.push(TextEdit::replace(word.span, line.path.clone()));
            }
            if first.to != destination {
                edits.push(TextEdit::replace(sources.destination.span, first.to.clone()));
            }
            return edits;
        }
        let end = unit.line_end();
        let carried_flags: Vec<&str> = flags
            .iter()
            .copied()
            .filter(|flag| {
                !["--keep-git-dir", "--checksum", "--unpack"]
                    .iter()
                    .any(|own| flag.starts_with(own))
            })
            .collect();
        let written: Vec<String> = lines.iter().map(|(_, line)| line.text(&carried_flags)).collect();
        let written = written.join(end);
        if kept.is_empty() && sources.contents.is_empty() {
            edits.push(TextEdit::replace(node.span, written));
            return edits;
        }
        if is_array {
            let mut words: Vec<String> = kept.into_iter().map(|(_, text)| text).collect();
            words.push(destination.to_owned());
            edits.push(TextEdit::replace(sources.destination.span, json(&words)));
        } else {
            for (at, word) in sources.paths.iter().enumerate() {
                match kept.iter().find(|(kept, _)| *kept == at) {
                    Some((_, text)) if *text != word.text => {
                        edits.push(TextEdit::replace(word.span, text.clone()));
                    }
                    Some(_) => {}
                    None => edits.push(without(unit, word)),
                }
            }
        }
        if !written.is_empty() {
            edits.push(TextEdit::insert(node.span.end, format!("{end}{written}")));
        }
        edits
    }

    /// The line that takes one file from where it was made; `None` where that cannot be.
    fn line(
        &mut self,
        story: &Story<'_>,
        (stage, keyword): (usize, Option<Keyword>),
        parents: bool,
        destination: &str,
        take: &Take,
        span: Span,
    ) -> Option<Line> {
        let carried = story.carried.get(take.carried)?;
        let from = self.names.source(&carried.source);
        let add = keyword == Some(Keyword::Add);
        if take.archive && !add {
            let message = format!(
                "{} is an archive of files in a container, and is copied as such.",
                take.host
            );
            let problem = Problem::new("archive-kept", message);
            let hint = "Make the archive in a RUN of the stage, or use ADD if it is to be unpacked.";
            self.found.push((Severity::Error, span, problem.hint(hint)));
            return None;
        }
        if add && !take.archive && is_archive(&take.host) {
            let message = format!("ADD unpacks {}, and COPY --from does not.", take.host);
            let problem = Problem::new("archive-unpacked", message);
            let hint = "Leave the files unpacked in the stage that makes them, and take their folder out.";
            self.found.push((Severity::Error, span, problem.hint(hint)));
            return None;
        }
        let owner = other_owner(story, &carried.source);
        let mode = carried.mode.clone();
        let line = |path: String, from: String, to: String| {
            Some(Line {
                from,
                path,
                to,
                owner,
                mode: mode.clone(),
            })
        };
        if take.archive {
            let named = if carried.path == "/" {
                ""
            } else {
                host::base(&carried.path)
            };
            let named = if carried.folder { "" } else { named };
            return line(take.path.clone(), from, below(destination, named));
        }
        let name = host::base(&take.host);
        let folder =
            destination.ends_with('/') || matches!(destination, "." | "..") || destination.ends_with("/.");
        let same_end = !folder && host::base(destination) == name;
        if !parents && !take.renamed {
            let to = below(destination, &take.below);
            return line(take.path.clone(), from, to);
        }
        if !parents && carried.file && folder {
            return line(take.path.clone(), from, below(destination, name));
        }
        if !parents && same_end {
            return line(take.path.clone(), from, destination.to_owned());
        }
        // What it becomes hangs on its name beside the script, so it gets that name first.
        let files = self.names.files(self.unit, stage);
        let seen = host::inside(self.context, &take.host).unwrap_or(&take.host);
        let old = format!("/{}", seen.trim_start_matches(['/', '.']));
        let lines = self.files.entry((self.unit, stage)).or_default();
        let make = format!("COPY --from={from} {}", words(&take.path, &old));
        if !lines.contains(&make) {
            lines.push(make);
        }
        let to = below(destination, &take.below);
        let path = if parents { format!("/.{old}") } else { old };
        line(path, files, to)
    }
}

impl Line {
    /// `--from` and what else is to be said before the source, beside the flags that are there.
    fn flags(&self, given: &[&str]) -> String {
        let mut text = format!("--from={} ", self.from);
        if self.owner && !given.iter().any(|flag| flag.starts_with("--chown")) {
            text.push_str("--chown=0:0 ");
        }
        if let Some(mode) = &self.mode
            && !given.iter().any(|flag| flag.starts_with("--chmod"))
        {
            let _ = write!(text, "--chmod={mode} ");
        }
        text
    }

    fn text(&self, given: &[&str]) -> String {
        let own = self.flags(given);
        let mut text = "COPY ".to_owned();
        for flag in given {
            text.push_str(flag);
            text.push(' ');
        }
        text + &own + &words(&self.path, &self.to)
    }
}

/// Takes a word out, with the blanks behind it.
fn without(unit: &Unit<'_>, word: &Word) -> TextEdit {
    let rest = unit.source.get(word.span.end..).unwrap_or_default();
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    TextEdit::remove(Span::new(word.span.start, word.span.end + blanks))
}

/// A source as seen from a context further up.
fn prefixed(prefix: &str, written: &str) -> String {
    if prefix.is_empty() {
        return written.to_owned();
    }
    let inner = written.trim_start_matches('/');
    let inner = inner.strip_prefix("./").unwrap_or(inner);
    match inner {
        "" | "." => format!("{prefix}/"),
        inner => format!("{prefix}/{inner}"),
    }
}

fn is_archive(path: &str) -> bool {
    let name = host::base(path).to_ascii_lowercase();
    let Some((before, end)) = name.rsplit_once('.') else {
        return false;
    };
    matches!(end, "tar" | "tgz" | "tbz2" | "txz" | "tzst")
        || (end.len() <= 4 && before.rsplit('.').next() == Some("tar"))
}

/// Whether files there may belong to somebody else than root, whom they belonged to after their way over the host.
fn other_owner(story: &Story<'_>, source: &Source) -> bool {
    let mut waiting = vec![source.clone()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(source) = waiting.pop() {
        if !seen.insert(source.clone()) {
            continue;
        }
        match &source {
            Source::Image(name) => {
                let facts = story.pattern.images.get(&image_key(name));
                let user = facts.and_then(|facts| facts.config.get("config")?.get("User")?.as_str());
                if user.is_some_and(|user| !is_root(user)) {
                    return true;
                }
            }
            Source::Container(at) => {
                let Some(container) = story.containers.get(*at) else {
                    continue;
                };
                let user = |step: &Step| matches!(step, Step::User(user) if !is_root(user));
                if container.steps.iter().any(user) {
                    return true;
                }
                waiting.push(container.image.clone());
            }
            Source::Stage { unit, .. } => {
                let Some(unit) = story.units.get(*unit) else {
                    continue;
                };
                let statements = unit.program.stages.iter().flat_map(|stage| &stage.statements);
                for statement in statements {
                    let owned = match &statement.instruction {
                        Some(Instruction::User(user)) => !is_root(&user.user.text),
                        Some(Instruction::Copy(copy)) => copy.chown.is_some(),
                        Some(Instruction::Add(add)) => add.chown.is_some(),
                        // Archives may hold any owner, and root keeps it.
                        Some(Instruction::Run(_)) => {
                            statement.code.contains("chown") || statement.code.contains("tar ")
                        }
                        _ => false,
                    };
                    if owned {
                        return true;
                    }
                }
                waiting.extend(unit.links.iter().map(|link| link.source.clone()));
                waiting.extend(
                    unit.analysis
                        .images
                        .iter()
                        .map(|image| Source::Image(image.name.clone())),
                );
            }
        }
    }
    false
}

fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or(user);
    matches!(name, "" | "0" | "root")
}
