//! The one Dockerfile: every file as it is written, with what has to change in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::analysis::{EdgeKind, EdgeSource};
use crate::diagnostic::{Problem, Severity};
use crate::edit::{TextEdit, apply};
use crate::span::{LineRange, Span};

use super::Finding;
use super::arguments;
use super::builds::Unit;
use super::containers::Step;
use super::host;
use super::names::{Extra, Names, stands_alone};
use super::story::{Section, Source, Story};
use super::transfer::Transfers;
use super::words::{HERE, Value};

/// Writes the Dockerfile, and the command that builds it. `None` where there is nothing to build.
pub(super) fn write(story: &mut Story<'_>, names: &mut Names) -> Option<(String, String)> {
    story.last.as_ref()?;
    let context = common_context(story);
    let directives = directives(story);
    let mut transfers: Vec<Vec<TextEdit>> = Vec::new();
    let mut files: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    // Which stages there are has to be known before any of them is called by its place.
    for unit in 0..story.units.len() {
        let edits = Transfers {
            names,
            files: &mut files,
            unit,
            context: &context,
            found: Vec::new(),
        }
        .all(story);
        transfers.push(edits);
    }
    names.count(story);
    let arguments = arguments::settle(story, names);
    let mut heads = String::new();
    let mut bodies: Vec<(Section, String)> = Vec::new();
    for section in story.sections.clone() {
        match section {
            Section::Container(at) if stands_alone(story, at) => {
                bodies.push((section, container(story, names, at, &context, "\n")));
            }
            Section::Container(_) => {}
            Section::Unit(index) => {
                let unit = story.units.get(index)?;
                let mut edits = transfers.get(index).cloned().unwrap_or_default();
                edits.extend(arguments.edits.get(&index).cloned().unwrap_or_default());
                edits.extend(stage_edits(story, names, index));
                edits.extend(extras(story, names, index, &files, &context));
                let (head, body) = split(unit, edits)?;
                heads.push_str(&head);
                bodies.push((section, body));
            }
        }
    }
    let mut text = directives;
    let head = heads.trim_end_matches(['\r', '\n']);
    if !head.trim().is_empty() {
        text.push_str(
            heads
                .trim_start_matches(['\r', '\n'])
                .trim_end_matches(['\r', '\n']),
        );
        text.push_str(end_of(head));
    }
    for (_, body) in &bodies {
        let body = body.trim_start_matches(['\r', '\n']);
        if !text.is_empty() {
            text.push_str(end_of(body));
        }
        text.push_str(body.trim_end_matches(['\r', '\n']));
        text.push_str(end_of(body));
    }
    let command = command(story, names, &arguments.given, &context);
    Some((text, command))
}

/// The line end that a text uses.
fn end_of(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text.get(..at).is_some_and(|line| line.ends_with('\r')) => "\r\n",
        _ => "\n",
    }
}

impl Unit<'_> {
    /// The line end of the file.
    pub(super) fn line_end(&self) -> &'static str {
        end_of(self.source)
    }

    /// Where the stages begin: behind the last global ARG, or behind the directives.
    fn split(&self) -> usize {
        let first = self
            .program
            .stages
            .first()
            .map_or(self.source.len(), |stage| stage.span.start);
        let arg = self
            .program
            .globals
            .iter()
            .map(|arg| arg.span.end)
            .filter(|end| *end <= first)
            .max();
        let directive = self.directives.iter().map(|(_, _, span)| span.end).max();
        let Some(end) = arg.or(directive) else {
            return if self.source.starts_with('\u{feff}') { 3 } else { 0 };
        };
        let rest = self.source.get(end..).unwrap_or_default();
        end + rest.find('\n').map_or(rest.len(), |newline| newline + 1)
    }

    /// Where a stage begins, with the comments right above its FROM.
    fn stage_start(&self, stage: usize) -> usize {
        let from = self.program.stages.get(stage).map_or(0, |stage| stage.span.start);
        let mut start = self
            .source
            .get(..from)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |newline| newline + 1);
        while let Some(before) = start.checked_sub(1).and_then(|end| self.source.get(..end)) {
            let line = before.rfind('\n').map_or(0, |newline| newline + 1);
            if !before
                .get(line..)
                .is_some_and(|line| line.trim_start().starts_with('#'))
            {
                break;
            }
            start = line;
        }
        start.max(self.split())
    }
}

/// The edited file, in two parts: what has to stand before the first stage of all, and its stages.
fn split(unit: &Unit<'_>, mut edits: Vec<TextEdit>) -> Option<(String, String)> {
    let at = unit.split();
    if unit.source.starts_with('\u{feff}') {
        edits.push(TextEdit::remove(Span::new(0, 3)));
    }
    for (_, _, span) in &unit.directives {
        let rest = unit.source.get(span.end..).unwrap_or_default();
        let newline = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        edits.push(TextEdit::remove(Span::new(span.start, span.end + newline)));
    }
    // What follows another file must not be taken for the rest of its last instruction.
    let end = unit.source.trim_end();
    let last = end.rfind('\n').map_or(0, |newline| newline + 1);
    let comment = end
        .get(last..)
        .is_some_and(|line| line.trim_start().starts_with('#'));
    if !comment
        && end.ends_with(unit.escape)
        && unit.nodes.last().is_some_and(|node| node.heredocs.is_empty())
    {
        let start = end.len() - unit.escape.len_utf8();
        edits.push(TextEdit::remove(Span::new(start, end.len())));
    }
    let (head, body): (Vec<TextEdit>, Vec<TextEdit>) =
        edits.into_iter().partition(|edit| edit.span.start < at);
    let body: Vec<TextEdit> = body
        .into_iter()
        .map(|edit| TextEdit {
            span: Span::new(edit.span.start - at, edit.span.end.saturating_sub(at)),
            ..edit
        })
        .collect();
    let head = apply(unit.source.get(..at)?, &head).ok()?;
    let body = apply(unit.source.get(at..)?, &body).ok()?;
    Some((head, body))
}

/// The directives of all files as those of one.
fn directives(story: &mut Story<'_>) -> String {
    let mut kept: Vec<(String, String)> = Vec::new();
    let mut problems = Vec::new();
    let escape = story.units.first().map_or('\\', |unit| unit.escape);
    for (index, unit) in story.units.iter().enumerate() {
        let given = unit.directives.iter().find(|(name, ..)| name == "escape");
        if unit.escape != escape {
            let first = story.units.first().map_or("", |unit| story.file_name(unit.file));
            let message =
                format!("This file's escape character is not that of {first}: one file can have one only.");
            let hint = "Write both files with the same one; \\ is the usual one.";
            let span = given.map_or_else(|| Span::new(0, 0), |(_, _, span)| *span);
            problems.push((
                index,
                Severity::Error,
                span,
                Problem::new("different-escape", message).hint(hint),
            ));
        }
        for (name, value, span) in &unit.directives {
            match kept.iter_mut().find(|(known, _)| known == name) {
                None => kept.push((name.clone(), value.clone())),
                Some((_, known)) if known == value => {}
                Some((_, known)) if name == "check" => *known = both_checks(known, value),
                Some(_) if name == "escape" => {}
                Some((_, known)) => {
                    let message = format!("Another file asks for the syntax {known}, and that one is kept.");
                    let hint = "Write the same in both files.";
                    problems.push((
                        index,
                        Severity::Warning,
                        *span,
                        Problem::new("different-syntax", message).hint(hint),
                    ));
                }
            }
        }
    }
    for (unit, severity, span, problem) in problems {
        story.report_in(unit, severity, span, problem);
    }
    kept.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "# {name}={value}");
        text
    })
}

/// `skip=A` and `skip=B;error=true` as `skip=A,B;error=true`.
fn both_checks(left: &str, right: &str) -> String {
    let mut settings: Vec<(String, Vec<String>)> = Vec::new();
    for setting in left.split(';').chain(right.split(';')) {
        let (name, values) = setting.split_once('=').unwrap_or((setting, ""));
        let name = name.trim();
        let at = settings
            .iter()
            .position(|(known, _)| known == name)
            .unwrap_or_else(|| {
                settings.push((name.to_owned(), Vec::new()));
                settings.len() - 1
            });
        for value in values.split(',').map(str::trim).filter(|value| !value.is_empty()) {
            if let Some((_, known)) = settings.get_mut(at)
                && !known.iter().any(|known| known == value)
            {
                known.push(value.to_owned());
            }
        }
    }
    let setting = |(name, values): &(String, Vec<String>)| format!("{name}={}", values.join(","));
    settings.iter().map(setting).collect::<Vec<_>>().join(";")
}

/// The folder that the contexts of all builds lie in.
fn common_context(story: &mut Story<'_>) -> String {
    let mut common: Option<String> = None;
    let mut contexts: Vec<String> = story
        .units
        .iter()
        .filter_map(|unit| unit.context.clone())
        .collect();
    for step in story.containers.iter().flat_map(|container| &container.steps) {
        if let Step::Copy { source, taken, .. } = step
            && taken.context
        {
            contexts.push(
                source
                    .rsplit_once('/')
                    .map_or("", |(folder, _)| folder)
                    .to_owned(),
            );
        }
    }
    let mut apart = None;
    for context in contexts {
        let Some(known) = &common else {
            common = Some(context);
            continue;
        };
        common = if host::inside(known, &context).is_some() {
            common
        } else if host::inside(&context, known).is_some() {
            Some(context)
        } else if context.starts_with(['/', '.']) || known.starts_with(['/', '.']) {
            apart = Some((known.clone(), context));
            common
        } else {
            let same = known
                .split('/')
                .zip(context.split('/'))
                .take_while(|(left, right)| left == right);
            Some(same.map(|(part, _)| part).collect::<Vec<_>>().join("/"))
        };
    }
    if let (Some((left, right)), Some(last)) = (apart, story.last.clone()) {
        let span = last.build.context.map(|context| context.span).unwrap_or_default();
        let message = format!(
            "One build has one context, and {left} and {right} do not lie in one folder beside the script."
        );
        let hint = "Put both into one folder, or give the other with --build-context and take from it with COPY --from.";
        story.report(
            Severity::Error,
            span,
            Problem::new("two-contexts", message).hint(hint),
        );
    }
    common.unwrap_or_default()
}

impl Story<'_> {
    fn file_name(&self, file: usize) -> &str {
        self.pattern
            .dockerfiles
            .get(file)
            .map_or("", |file| file.name.as_str())
    }

    /// Says something of a Dockerfile.
    pub(super) fn report_in(&mut self, unit: usize, severity: Severity, span: Span, problem: Problem) {
        let Some(found) = self.units.get(unit) else { return };
        let before = found.source.get(..span.start).unwrap_or_default();
        let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX);
        let lines = found
            .node_at(span.start)
            .filter(|node| node.span.start == span.start);
        let lines = lines.map_or(
            LineRange {
                start: line,
                end: line,
            },
            |node| node.lines,
        );
        let file = self.file_name(found.file).to_owned();
        self.findings.push(Finding {
            file,
            diagnostic: problem.into_diagnostic(severity, span, lines),
        });
    }
}

/// Names of stages, where they are given and where they are used.
fn stage_edits(story: &Story<'_>, names: &Names, index: usize) -> Vec<TextEdit> {
    let mut edits = Vec::new();
    let Some(unit) = story.units.get(index) else {
        return edits;
    };
    let last_platform = story
        .last
        .as_ref()
        .and_then(|last| story.units.get(last.unit)?.platform.clone());
    for (stage, source) in unit.program.stages.iter().enumerate() {
        let Some(from) = &source.from else { continue };
        match (&from.name, names.stage(index, stage)) {
            (Some(name), Some(new)) if name.text != new => edits.push(TextEdit::replace(name.span, new)),
            (None, Some(new)) => edits.push(TextEdit::insert(from.base.span.end, format!(" AS {new}"))),
            _ => {}
        }
        let starts_outside = !matches!(
            unit.analysis.stages.get(stage).map(|stage| &stage.base),
            Some(crate::analysis::Base::Stage(_))
        );
        if let Some(platform) = &unit.platform
            && unit.platform != last_platform
            && from.platform.is_none()
            && starts_outside
            && let Some(node) = unit.node_at(source.span.start)
        {
            edits.push(TextEdit::insert(
                node.name_span.end,
                format!(" --platform={platform}"),
            ));
        }
    }
    let links = unit
        .links
        .iter()
        .map(|link| (link.kind, link.span, names.source(&link.source)));
    let own = unit.analysis.edges.iter().filter_map(|edge| match edge.from {
        EdgeSource::Stage(stage) => {
            let source = Source::Stage { unit: index, stage };
            Some((edge.kind, edge.span, names.source(&source)))
        }
        EdgeSource::Context | EdgeSource::Image(_) => None,
    });
    let mut mounts: BTreeMap<usize, TextEdit> = BTreeMap::new();
    for (kind, span, name) in links.chain(own) {
        let written = unit.source.get(span.start..span.end).unwrap_or_default();
        let text = match kind {
            EdgeKind::Base => name,
            EdgeKind::Copy => format!("--from={name}"),
            EdgeKind::Mount => match mount_from(written, &name) {
                Some(text) => text,
                None => continue,
            },
        };
        if !written.eq_ignore_ascii_case(&text) {
            mounts.insert(span.start, TextEdit::replace(span, text));
        }
    }
    edits.extend(mounts.into_values());
    edits
}

/// A --mount that mounts from another stage.
fn mount_from(written: &str, name: &str) -> Option<String> {
    let at = written.find("from=")?;
    let (before, rest) = written.split_at(at + "from=".len());
    let end = rest
        .find(|letter: char| letter == ',' || letter == '"' || letter.is_whitespace())
        .unwrap_or(rest.len());
    Some(format!("{before}{name}{}", rest.get(end..)?))
}

/// Stages that stand before those of a file.
fn extras(
    story: &Story<'_>,
    names: &Names,
    index: usize,
    files: &BTreeMap<(usize, usize), Vec<String>>,
    context: &str,
) -> Vec<TextEdit> {
    let mut edits = Vec::new();
    let Some(unit) = story.units.get(index) else {
        return edits;
    };
    let end = unit.line_end();
    for ((_, stage), extras) in names.before.range((index, 0)..(index + 1, 0)) {
        let mut text = String::new();
        for extra in extras {
            match extra {
                Extra::Container(at) => text.push_str(&container(story, names, *at, context, end)),
                Extra::Files => {
                    let name = names.files_name(index, *stage);
                    let _ = write!(
                        text,
                        "# Files as they were called beside the script.{end}FROM scratch AS {name}{end}"
                    );
                    for line in files.get(&(index, *stage)).into_iter().flatten() {
                        let _ = write!(text, "{line}{end}");
                    }
                }
            }
            text.push_str(end);
        }
        edits.push(TextEdit::insert(unit.stage_start(*stage), text));
    }
    edits
}

/// The stage of a container that ran something.
fn container(story: &Story<'_>, names: &Names, at: usize, context: &str, end: &str) -> String {
    let Some(container) = story.containers.get(at) else {
        return String::new();
    };
    let mut text = format!(
        "FROM {} AS {}{end}",
        names.source(&container.image),
        names.container(at)
    );
    for step in &container.steps {
        let _ = match step {
            Step::Env(name, value) => write!(text, "ENV {name}={}{end}", env_value(value)),
            Step::Workdir(folder) => write!(text, "WORKDIR {folder}{end}"),
            Step::User(user) => write!(text, "USER {user}{end}"),
            Step::Run { words, mounts } => {
                text.push_str("RUN ");
                for mount in mounts {
                    let _ = write!(text, "--mount={mount} ");
                }
                write!(text, "{}{end}", run_text(words))
            }
            Step::Copy {
                source, taken, to, ..
            } => {
                let source = host::inside(context, source).unwrap_or(source);
                let source = if source.is_empty() { "." } else { source };
                if taken.context {
                    let _ = write!(text, "COPY {}{end}", words(source, to));
                }
                for take in &taken.takes {
                    let Some(carried) = story.carried.get(take.carried) else {
                        continue;
                    };
                    let to = below(to, &take.below);
                    let from = names.source(&carried.source);
                    let _ = write!(text, "COPY --from={from} {}{end}", words(&take.path, &to));
                }
                Ok(())
            }
        };
    }
    text
}

fn env_value(value: &str) -> String {
    format!(
        "\"{}\"",
        value
            .replace(HERE, ".")
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('$', "\\$")
    )
}

/// A command as RUN has it: as a shell would read it where the container ran a shell, else in exec form.
fn run_text(words: &[String]) -> String {
    if let [shell, flag, text] = words
        && matches!(shell.as_str(), "sh" | "/bin/sh")
        && flag == "-c"
        && !text.contains(['\n', '\r'])
        && !text.contains("<<")
        && !text.trim_end().ends_with(['\\', '`'])
        && !text.trim_start().starts_with(['[', '-'])
        && !text.trim().is_empty()
    {
        return text.trim().to_owned();
    }
    json(words)
}

/// Strings as a JSON array.
pub(super) fn json<S: AsRef<str>>(words: &[S]) -> String {
    let quoted = |word: &S| serde_json::Value::from(word.as_ref()).to_string();
    format!("[{}]", words.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

/// Source and destination; as an array where there are blanks in them.
pub(super) fn words(path: &str, to: &str) -> String {
    if path.contains(char::is_whitespace) || to.contains(char::is_whitespace) {
        json(&[path, to])
    } else {
        format!("{path} {to}")
    }
}

/// A place below a destination as it is written.
pub(super) fn below(destination: &str, below: &str) -> String {
    if below.is_empty() {
        return destination.to_owned();
    }
    match destination {
        "." | "./" => format!("./{below}"),
        destination => format!(
            "{}/{below}",
            destination.trim_end_matches("/.").trim_end_matches('/')
        ),
    }
}

/// The one command in the place of the script.
fn command(story: &Story<'_>, names: &Names, given: &[(String, Option<String>)], context: &str) -> String {
    let Some(last) = &story.last else {
        return String::new();
    };
    let mut words = vec!["docker".to_owned(), "build".to_owned()];
    let mut push = |name: &str, value: Option<String>| {
        let mut flag = vec![name.to_owned()];
        flag.extend(value);
        if !words.windows(flag.len()).any(|window| window == flag) {
            words.extend(flag);
        }
    };
    if last.build.no_cache {
        push("--no-cache", None);
    }
    for (name, value) in given {
        push(
            "--build-arg",
            Some(match value {
                Some(value) => shell_word(&format!("{name}={value}")),
                None => name.clone(),
            }),
        );
    }
    for (name, value) in &last.build.others {
        push(name, value.as_ref().map(|value| shell_word(&value.text)));
    }
    for named in &last.build.named_contexts {
        push("--build-context", Some(shell_word(&named.shown())));
    }
    if let Some(platform) = &last.build.platform {
        push("--platform", Some(shell_word(&platform.text)));
    }
    let is_last = story.sections.last() == Some(&Section::Unit(last.unit))
        && story
            .units
            .get(last.unit)
            .is_some_and(|unit| unit.program.stages.len() == last.stage + 1);
    if !is_last {
        let source = Source::Stage {
            unit: last.unit,
            stage: last.stage,
        };
        push("--target", Some(names.source(&source)));
    }
    for tag in &last.build.tags {
        push("-t", Some(shell_word(&tag.text)));
    }
    for output in &last.build.outputs {
        push("--output", Some(shell_word(&Value::shown(output))));
    }
    if last.build.push {
        push("--push", None);
    }
    words.push(if context.is_empty() {
        ".".into()
    } else {
        shell_word(context)
    });
    words.join(" ")
}

/// A word as a shell reads it back; what the script left open stays a variable.
fn shell_word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@+,=%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else if text.contains('$') {
        format!("\"{}\"", text.replace('"', "\\\""))
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
