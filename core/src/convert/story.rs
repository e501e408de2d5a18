//! What a script does, command by command: which images and containers there are, and which files lie beside it.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Problem, Severity};
use crate::ignore::Ignore;
use crate::reference::Reference;
use crate::span::{LineRange, Span};

use super::builds::{LastBuild, Unit};
use super::containers::Container;
use super::engine;
use super::host::{self, Entry, Host};
use super::shell::{self, Command, Construct, Item, Joined, Part, Pipeline, RedirectKind, Word};
use super::words::{self, Value, Variables};
use super::{Became, Finding, Note, Pattern};

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// The end of a stage of a Dockerfile.
    Stage { unit: usize, stage: usize },
    /// A container that ran something.
    Container(usize),
    /// An image from outside.
    Image(String),
}

/// A file or folder that left a container.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is known, or not, whatever is known of the others"
)]
pub(super) struct Carried {
    pub(super) container: String,
    pub(super) source: Source,
    /// Its path there, absolute and clean.
    pub(super) path: String,
    pub(super) host: String,
    /// Whether it is known to be a folder, of which the content was taken.
    pub(super) folder: bool,
    /// Whether it is known to be a file.
    pub(super) file: bool,
    /// Whether it lies over what was there before, so that not everything there came from the container.
    pub(super) over: bool,
    /// The mode that the script gave it.
    pub(super) mode: Option<String>,
    pub(super) span: Span,
    /// What copied it.
    pub(super) uses: BTreeSet<Use>,
    /// Whether the script moved it on, so that something else is copied in its place.
    pub(super) moved: bool,
}

/// Who copies something that was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    Step { unit: usize, stage: usize, step: usize },
    Container(usize),
}

/// A part of the one Dockerfile, in the order of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Unit(usize),
    Container(usize),
}

/// A script, followed to its end.
pub(super) struct Story<'p> {
    pub(super) pattern: &'p Pattern,
    pub(super) units: Vec<Unit<'p>>,
    pub(super) containers: Vec<Container>,
    pub(super) sections: Vec<Section>,
    pub(super) carried: Vec<Carried>,
    pub(super) notes: Vec<Note>,
    pub(super) findings: Vec<Finding>,
    pub(super) last: Option<LastBuild>,
    /// Names of Dockerfiles that are not there.
    pub(super) lacking: Vec<String>,
    /// What does not enter the context.
    pub(super) ignore: Option<Ignore>,
    /// Images made here, by their names in full.
    pub(super) images: BTreeMap<String, Source>,
    /// Containers by name.
    pub(super) running: BTreeMap<String, usize>,
    pub(super) host: Host,
    /// The folder that the script is in, seen from its own.
    pub(super) folder: String,
    pub(super) variables: Variables,
    /// Where the lines of the script begin.
    starts: Vec<usize>,
    depth: usize,
    /// Whether the script ended.
    over: bool,
}

/// Follows the script of a pattern.
pub(super) fn follow(pattern: &Pattern) -> Story<'_> {
    let text = &pattern.script.text;
    let starts = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let variables = pattern.variables.iter();
    let mut story = Story {
        pattern,
        units: Vec::new(),
        containers: Vec::new(),
        sections: Vec::new(),
        carried: Vec::new(),
        notes: Vec::new(),
        findings: Vec::new(),
        last: None,
        lacking: Vec::new(),
        ignore: pattern.ignore.as_deref().map(|text| Ignore::parse(text).0),
        images: BTreeMap::new(),
        running: BTreeMap::new(),
        host: Host::new(
            pattern
                .files
                .as_ref()
                .map(|files| files.iter().cloned().collect()),
        ),
        folder: String::new(),
        variables: variables
            .map(|(name, value)| (name.clone(), Value::known(value.clone(), Span::default())))
            .collect(),
        starts,
        depth: 0,
        over: false,
    };
    for item in shell::read(text, Span::new(0, text.len())) {
        if story.over {
            break;
        }
        story.item(&item);
    }
    story.doubts();
    story
}

/// The name of an image in full, so that `app` and `app:latest` are one.
pub(super) fn image_key(name: &str) -> String {
    name.parse::<Reference>()
        .map_or_else(|_| name.to_owned(), |reference| reference.to_string())
}

impl Story<'_> {
    pub(super) fn lines(&self, span: Span) -> LineRange {
        let line = |at: usize| {
            let before = self.starts.partition_point(|start| *start <= at);
            u32::try_from(before).unwrap_or(u32::MAX)
        };
        LineRange {
            start: line(span.start),
            end: line(span.end.saturating_sub(1).max(span.start)),
        }
    }

    /// Says what became of a command.
    pub(super) fn note(&mut self, span: Span, became: Became, message: impl Into<String>) {
        let lines = self.lines(span);
        self.notes.push(Note {
            span,
            lines,
            became,
            message: message.into(),
        });
    }

    /// Says something of the script.
    pub(super) fn report(&mut self, severity: Severity, span: Span, problem: Problem) {
        let lines = self.lines(problem.span.unwrap_or(span));
        self.findings.push(Finding {
            file: self.pattern.script.name.clone(),
            diagnostic: problem.into_diagnostic(severity, span, lines),
        });
    }

    /// A value that has to be known. Says so where it is not.
    pub(super) fn known(&mut self, value: &Value, what: &str) -> Option<String> {
        let Some(unknown) = &value.unknown else {
            return Some(value.text.clone());
        };
        let hint = if let Some(name) = unknown
            .strip_prefix("${")
            .and_then(|name| name.strip_suffix('}'))
            .or(unknown.strip_prefix('$'))
            .filter(|name| {
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            }) {
            format!(
                "Set it in the script before, like {name}=value, or give its value along with the script."
            )
        } else {
            "Write out what it stands for: the script is read, not run.".to_owned()
        };
        let problem = Problem::new(
            "unknown-value",
            format!("The script does not say what {unknown} is, and so not {what}."),
        );
        self.report(Severity::Error, value.span, problem.hint(hint));
        None
    }

    /// Words with their variables worked out.
    fn values(&mut self, words: &[Word]) -> Vec<Value> {
        let outputs = self.outputs(words);
        let text = &self.pattern.script.text;
        words::expand(words, &self.variables, &mut |inner, written| {
            output(&outputs, text, inner, written)
        })
    }

    fn value(&mut self, word: &Word) -> Value {
        let outputs = self.outputs(std::slice::from_ref(word));
        let text = &self.pattern.script.text;
        words::joined(word, &self.variables, &mut |inner, written| {
            output(&outputs, text, inner, written)
        })
    }

    /// What the commands in `$(…)` print, where it is the name of something that they make.
    fn outputs(&mut self, words: &[Word]) -> BTreeMap<usize, Value> {
        const DEEPEST: usize = 20;
        let mut outputs = BTreeMap::new();
        if self.depth >= DEEPEST {
            return outputs;
        }
        for part in words.iter().flat_map(|word| &word.parts) {
            let Part::Output { inner, .. } = part else {
                continue;
            };
            let items = shell::read(&self.pattern.script.text, *inner);
            let [Item::Pipeline(pipeline)] = items.as_slice() else {
                continue;
            };
            let [command] = pipeline.commands.as_slice() else {
                continue;
            };
            self.depth += 1;
            if let Some(value) = self.printed(command) {
                outputs.insert(inner.start, value);
            }
            self.depth -= 1;
        }
        outputs
    }

    /// What a command in `$(…)` prints.
    fn printed(&mut self, command: &Command) -> Option<Value> {
        let first = command.words.first()?.plain()?;
        if first == "mktemp" {
            let path = format!("/tmp/{}", command.span.start);
            self.host.make(&path, false);
            return Some(Value::known(path, command.span));
        }
        let values = self.values(&command.words);
        let (name, words) = engine_words(&values)?;
        let action = engine::read(&name, words);
        let made = self.engine(action, command, &[], command.span)?;
        Some(Value::known(made, command.span))
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Construct(construct) => self.construct(construct),
            Item::Pipeline(pipeline) => self.pipeline(pipeline),
        }
    }

    fn construct(&mut self, construct: &Construct) {
        let what = match construct.what.as_str() {
            "(" => "A part in parentheses",
            "{" => "A part in braces",
            "function" => "A function",
            "if" => "An if",
            "case" => "A case",
            _ => "A loop",
        };
        let first = self
            .pattern
            .script
            .text
            .get(construct.span.start..construct.span.end)
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        let place = Span::new(
            construct.span.start,
            construct.span.start + first.trim_end().len(),
        );
        self.note(construct.span, Became::Unclear, "This is not followed.");
        let (severity, message, hint) = match (construct.ended, construct.matters) {
            (false, _) => (
                Severity::Error,
                format!("{what} begins here and never ends."),
                "Close it: if with fi, for and while with done, case with esac.",
            ),
            (true, true) => (
                Severity::Error,
                format!("{what} with builds or containers in it is not understood."),
                "Write out the commands that are to be converted, one after the other, without it.",
            ),
            (true, false) => (
                Severity::Warning,
                format!("{what} is not understood, and left out."),
                "There is no build in it; see to it that no build needs what it does.",
            ),
        };
        let problem = Problem::new("shell-construct", message).at(place).hint(hint);
        self.report(severity, construct.span, problem);
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        let Some((first, rest)) = pipeline.commands.split_first() else {
            return;
        };
        if pipeline.joined == Joined::Else {
            let values = self.values(&first.words);
            if engine_words(&values).is_some() {
                self.note(pipeline.span, Became::Unclear, "This is not followed.");
                let problem = Problem::new(
                    "runs-on-failure",
                    "This runs only if the command before it fails, so it is left out.",
                );
                let hint = "Where it is what is meant, put it in the place of the command before.";
                self.report(Severity::Warning, pipeline.span, problem.hint(hint));
            }
            return;
        }
        if first.words.is_empty() {
            for (name, word) in &first.assignments {
                let value = self.value(word);
                self.variables.insert(name.clone(), value);
            }
            if !first.assignments.is_empty()
                && !self
                    .notes
                    .iter()
                    .rev()
                    .take(1)
                    .any(|note| note.span.start >= first.span.start)
            {
                self.note(
                    pipeline.span,
                    Became::Nothing,
                    "The value is written where it is used.",
                );
            }
            return;
        }
        let values = self.values(&first.words);
        if let Some((name, words)) = engine_words(&values) {
            let action = engine::read(&name, words);
            _ = self.engine(action, first, rest, pipeline.span);
            return;
        }
        self.beside(first, &values, pipeline);
    }

    /// A command that works on files beside the builds, or on nothing.
    fn beside(&mut self, command: &Command, values: &[Value], pipeline: &Pipeline) {
        let span = pipeline.span;
        let Some((first, words)) = values.split_first() else {
            return;
        };
        let output = self.written_to(command).or_else(|| {
            let last = pipeline.commands.last()?;
            self.written_to(last)
        });
        if let Some(output) = output {
            let text = output.shown();
            self.host
                .put(host::path(&self.folder, &output.text), Entry::Written);
            self.note(span, Became::Beside, format!("{text} is made beside the build."));
            return;
        }
        match first.text.as_str() {
            "set" | ":" | "true" | "sleep" | "trap" | "shopt" | "wait" | "unset" => {
                self.note(
                    span,
                    Became::Nothing,
                    "A build stops at the first error by itself.",
                );
            }
            "echo" | "printf" => self.note(span, Became::Nothing, "The build says itself what it does."),
            "exit" | "return" => {
                self.over = true;
                self.note(span, Became::Nothing, "The script ends here.");
            }
            "export" | "readonly" | "local" | "declare" | "typeset" => {
                for word in words {
                    if let Some((name, _)) = word.text.split_once('=') {
                        self.variables.insert(name.to_owned(), word.tail(name.len() + 1));
                    }
                }
                self.note(span, Became::Nothing, "The value is written where it is used.");
            }
            "cd" | "pushd" => self.change_folder(words, span),
            "mkdir" => {
                let parents = words.iter().any(|word| is_flag(word) && word.text.contains('p'));
                for word in words.iter().filter(|word| !is_flag(word)) {
                    let path = host::path(&self.folder, &word.text);
                    self.host.make(&path, parents);
                }
                self.note(span, Became::Nothing, "COPY makes the folders it needs.");
            }
            "rm" | "rmdir" | "unlink" => self.remove(words, span),
            "mv" | "cp" => self.move_files(first.text == "mv", words, span),
            "chmod" => self.change_mode(words, span),
            "tar" => self.unpack(words, span),
            _ => self.other(first, words, span),
        }
    }

    /// What a command writes its output to.
    pub(super) fn written_to(&mut self, command: &Command) -> Option<Value> {
        let redirect = command
            .redirects
            .iter()
            .rev()
            .find(|redirect| matches!(redirect.kind, RedirectKind::Output | RedirectKind::Append))?;
        let value = self.value(&redirect.target);
        (!value.text.starts_with("/dev/")).then_some(value)
    }

    /// What a command reads its input from.
    pub(super) fn read_from(&mut self, command: &Command) -> Option<Value> {
        let mut redirects = command.redirects.iter();
        let redirect = redirects.find(|redirect| redirect.kind == RedirectKind::Input)?;
        Some(self.value(&redirect.target))
    }

    fn change_folder(&mut self, words: &[Value], span: Span) {
        let Some(word) = words.iter().find(|word| !is_flag(word)) else {
            return;
        };
        // `cd "$(dirname "$0")"` is known; what else is not known would put every path in doubt.
        if let Some(text) = self.known(word, "where the script goes on") {
            self.folder = host::path(&self.folder, &text);
            self.note(
                span,
                Became::Nothing,
                "Paths are written as seen from the context.",
            );
        }
    }

    fn remove(&mut self, words: &[Value], span: Span) {
        let folders = words
            .iter()
            .any(|word| is_flag(word) && word.text.contains(['r', 'R']));
        let mut carried = false;
        for word in words.iter().filter(|word| !is_flag(word)) {
            let path = host::path(&self.folder, &word.text);
            let paths: Vec<String> = if word.glob {
                let below = self.host.below("").map(|(path, _)| path);
                below
                    .filter(|known| host::fits(&path, known))
                    .map(str::to_owned)
                    .collect()
            } else {
                vec![path]
            };
            for path in paths {
                if self.host.get(&path).is_none()
                    && let Some((at, rest, _)) = self.host.taken_above(&path)
                    && !rest.is_empty()
                    && !self.carried.get(at).is_some_and(|carried| carried.over)
                {
                    let problem = Problem::new(
                        "partly-removed",
                        format!(
                            "Only {rest} of a folder that came out of a container is removed; it stays in the conversion."
                        ),
                    );
                    let hint = "Remove it in a RUN of the stage that makes the folder.";
                    self.report(Severity::Warning, word.span, problem.hint(hint));
                }
                for (_, entry) in self.host.remove(&path) {
                    if let Entry::Taken(at) | Entry::Archive(at) = entry {
                        carried = true;
                        if let Some(carried) = self.carried.get_mut(at) {
                            // Without -r only files are removed.
                            carried.file |= !folders && matches!(entry, Entry::Taken(_));
                        }
                    }
                }
            }
        }
        let message = if carried {
            "Nothing is left behind that would have to be removed."
        } else {
            "The build leaves nothing there."
        };
        self.note(span, Became::Nothing, message);
    }

    /// `mv` and `cp`.
    fn move_files(&mut self, moves: bool, words: &[Value], span: Span) {
        let paths: Vec<&Value> = words.iter().filter(|word| !is_flag(word)).collect();
        let Some((to, from)) = paths.split_last() else {
            return;
        };
        let written = to.text.clone();
        let to = host::path(&self.folder, &written);
        let into = written.ends_with('/') || from.len() > 1 || self.host.is_folder(&to);
        let mut carried = false;
        for source in from {
            let path = host::path(&self.folder, &source.text);
            let target = if into {
                host::join(&to, host::base(&path))
            } else {
                to.clone()
            };
            match self.host.taken_above(&path) {
                Some((at, rest, _)) => {
                    carried = true;
                    let Some(mut next) = self.move_on(at) else {
                        continue;
                    };
                    next.path = host::join(&next.path, rest);
                    next.folder &= rest.is_empty();
                    next.host.clone_from(&target);
                    next.span = span;
                    if moves && self.host.get(&path).is_some() {
                        self.host.remove(&path);
                    }
                    self.carried.push(next);
                    let at = self.carried.len() - 1;
                    self.host.put(target, Entry::Taken(at));
                }
                None => self.host.put(target, Entry::Written),
            }
        }
        if carried {
            self.note(
                span,
                Became::Copy,
                "The file is copied to where it is wanted at once.",
            );
        } else {
            self.note(
                span,
                Became::Beside,
                "Do this before the build, where it is needed.",
            );
        }
    }

    fn change_mode(&mut self, words: &[Value], span: Span) {
        let mut words = words
            .iter()
            .filter(|word| !is_flag(word) || word.text.contains(['x', 'w', '=']));
        let Some(mode) = words.next() else { return };
        let octal = mode.text.bytes().all(|byte| (b'0'..b'8').contains(&byte));
        let mode = match mode.text.as_str() {
            "+x" | "a+x" | "u+x" => Some("755".to_owned()),
            text if octal && !text.is_empty() => Some(text.to_owned()),
            _ => None,
        };
        let mut carried = false;
        for word in words {
            let path = host::path(&self.folder, &word.text);
            if let Some(Entry::Taken(at)) = self.host.get(&path)
                && let Some(taken) = self.carried.get_mut(*at)
            {
                carried = true;
                if mode.is_some() {
                    taken.mode.clone_from(&mode);
                } else {
                    let problem = Problem::new("unclear-mode", "What mode this gives the file is not known.");
                    let hint = "Write the mode as a number, such as 755.";
                    self.report(Severity::Warning, span, problem.hint(hint));
                }
            }
        }
        if carried {
            self.note(span, Became::Copy, "COPY gives the file its mode.");
        } else {
            self.note(
                span,
                Became::Beside,
                "Do this before the build, where it is needed.",
            );
        }
    }

    /// `tar`: an archive that came out of a container is unpacked.
    fn unpack(&mut self, words: &[Value], span: Span) {
        let tar = Tar::read(words);
        let archive = tar.file.as_ref().map(|file| host::path(&self.folder, &file.text));
        if let Some(Entry::Archive(at)) = archive.as_ref().and_then(|archive| self.host.get(archive)) {
            if let Some(next) = self.move_on(*at) {
                self.unpacked(next, &tar, span);
            }
            return;
        }
        self.other(&Value::known("tar", span), words, span);
    }

    /// Something that was carried is carried on.
    fn move_on(&mut self, at: usize) -> Option<Carried> {
        let carried = self.carried.get_mut(at)?;
        carried.moved = true;
        Some(Carried {
            moved: false,
            uses: BTreeSet::new(),
            ..carried.clone()
        })
    }

    /// The content of an archive comes to lie beside the script.
    pub(super) fn unpacked(&mut self, mut next: Carried, tar: &Tar, span: Span) {
        let written = tar.folder.as_ref().map_or(".", |folder| folder.text.as_str());
        let folder = host::path(&self.folder, written);
        next.span = span;
        let root = next.path == "/";
        let named = host::base(&next.path).to_owned();
        if let Some(member) = tar.members.first() {
            // Of a whole file system only what is named is taken.
            let path = host::path("", member.text.trim_start_matches(['.', '/']));
            next.path = if root {
                format!("/{path}")
            } else {
                host::join(
                    &next.path,
                    path.strip_prefix(&named).unwrap_or(&path).trim_start_matches('/'),
                )
            };
            let parts = path.split('/').count();
            let kept: Vec<&str> = path
                .split('/')
                .skip(tar.strip.min(parts.saturating_sub(1)))
                .collect();
            next.host = host::join(&folder, &kept.join("/"));
            next.over = false;
        } else if root || tar.strip > 0 {
            next.folder = true;
            next.over = true;
            next.host.clone_from(&folder);
        } else {
            next.host = host::join(&folder, &named);
            next.over = false;
        }
        let host = next.host.clone();
        self.carried.push(next);
        self.host.overlay(host, Entry::Taken(self.carried.len() - 1));
        self.note(
            span,
            Became::Copy,
            "COPY takes the files themselves, without an archive in between.",
        );
    }

    fn other(&mut self, first: &Value, words: &[Value], span: Span) {
        self.note(
            span,
            Became::Beside,
            format!("{} runs beside the build.", first.shown()),
        );
        let looks = matches!(
            first.text.as_str(),
            "ls" | "file"
                | "test"
                | "["
                | "[["
                | "cat"
                | "du"
                | "stat"
                | "wc"
                | "head"
                | "tail"
                | "grep"
                | "which"
                | "diff"
        );
        if looks {
            return;
        }
        for word in words {
            let path = host::path(&self.folder, &word.text);
            if self
                .host
                .get(&path)
                .is_some_and(|entry| matches!(entry, Entry::Taken(_)))
            {
                let problem = Problem::new(
                    "changed-beside",
                    format!(
                        "{} works on {}, which no longer lies beside the build.",
                        first.shown(),
                        word.shown()
                    ),
                );
                let hint = "Where it changes the file, do it in a RUN of the stage that makes it.";
                self.report(Severity::Warning, word.span, problem.hint(hint));
            }
        }
    }

    /// What is odd about the whole.
    fn doubts(&mut self) {
        if self.last.is_none() {
            let end = self.pattern.script.text.lines().next().map_or(0, str::len);
            let problem = Problem::new("no-build", "The script builds no image.");
            let hint = "The builder pattern is a script with at least one docker build.";
            if !self
                .findings
                .iter()
                .any(|finding| finding.diagnostic.severity == Severity::Error)
            {
                self.report(Severity::Error, Span::new(0, end), problem.hint(hint));
            }
        }
        let files: Vec<&str> = self
            .pattern
            .dockerfiles
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.units.iter().any(|unit| unit.file == *index))
            .map(|(_, file)| file.name.as_str())
            .collect();
        let findings = files.into_iter().map(|file| Finding {
            file: file.to_owned(),
            diagnostic: Problem::new("unused-dockerfile", "The script does not build this file.")
                .hint("Leave it out, or build it in the script.")
                .into_diagnostic(Severity::Warning, Span::default(), LineRange { start: 1, end: 1 }),
        });
        let findings: Vec<Finding> = findings.collect();
        if self.last.is_some() {
            self.findings.extend(findings);
        }
        let unused: Vec<(Span, String)> = self
            .carried
            .iter()
            .filter(|carried| carried.uses.is_empty() && !carried.moved)
            .map(|carried| (carried.span, carried.host.clone()))
            .collect();
        let error = |finding: &Finding| finding.diagnostic.severity == Severity::Error;
        let broken = self.findings.iter().any(error);
        for (span, host) in unused {
            // What a mounted folder holds is there for any build to take.
            if host.is_empty() || broken {
                continue;
            }
            let problem = Problem::new("unused-file", format!("No build copies {host} afterwards."));
            let hint = "If the file itself is what is wanted, build its stage with --output.";
            self.report(Severity::Info, span, problem.hint(hint));
        }
    }
}

/// The arguments of `tar`.
#[derive(Debug, Default)]
pub(super) struct Tar {
    pub(super) extracts: bool,
    pub(super) file: Option<Value>,
    pub(super) folder: Option<Value>,
    pub(super) strip: usize,
    pub(super) members: Vec<Value>,
}

impl Tar {
    pub(super) fn read(words: &[Value]) -> Self {
        let mut tar = Self::default();
        let mut words = words.iter().peekable();
        let mut first = true;
        while let Some(word) = words.next() {
            let text = word.text.as_str();
            if let Some(long) = text.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, _)) => (name, Some(word.tail(3 + name.len()))),
                    None => (long, None),
                };
                match name {
                    "extract" | "get" => tar.extracts = true,
                    "file" => tar.file = value.or_else(|| words.next().cloned()),
                    "directory" => tar.folder = value.or_else(|| words.next().cloned()),
                    "strip-components" => {
                        let value = value.or_else(|| words.next().cloned());
                        tar.strip = value.and_then(|value| value.text.parse().ok()).unwrap_or(0);
                    }
                    _ => {}
                }
            } else if (text.starts_with('-') && text.len() > 1) || first {
                let letters = text.trim_start_matches('-');
                tar.extracts |= letters.contains('x');
                for (at, letter) in letters.char_indices() {
                    let tail = letters.get(at + 1..).unwrap_or_default();
                    let dashed = text.starts_with('-') && !tail.is_empty() && letter == 'C';
                    match letter {
                        'f' => tar.file = words.next().cloned(),
                        'C' if dashed => {
                            tar.folder = Some(Value::known(tail, word.span));
                            break;
                        }
                        'C' => tar.folder = words.next().cloned(),
                        _ => {}
                    }
                }
            } else {
                tar.members.push(word.clone());
            }
            first = false;
        }
        if tar.file.as_ref().is_some_and(|file| file.text == "-") {
            tar.file = None;
        }
        tar
    }
}

fn output(outputs: &BTreeMap<usize, Value>, text: &str, inner: Span, written: &str) -> Value {
    if let Some(value) = outputs.get(&inner.start) {
        return value.clone();
    }
    words::place(&shell::read(text, inner), text).unwrap_or_else(|| Value {
        text: written.to_owned(),
        unknown: Some(written.to_owned()),
        ..Value::default()
    })
}

fn is_flag(word: &Value) -> bool {
    word.text.len() > 1 && word.text.starts_with('-')
}

/// The engine's name and what stands behind it, whatever stands before it (`sudo`, `time`, `env A=b`).
fn engine_words(values: &[Value]) -> Option<(String, &[Value])> {
    let mut rest = values;
    while let Some((first, behind)) = rest.split_first() {
        let name = host::base(&first.text);
        if shell::ENGINES.contains(&name) {
            return Some((name.to_owned(), behind));
        }
        let before = matches!(
            name,
            "sudo" | "time" | "env" | "command" | "exec" | "nohup" | "!" | "-E"
        ) || (rest.len() < values.len() && name.contains('='));
        if !before {
            return None;
        }
        rest = behind;
    }
    None
}
