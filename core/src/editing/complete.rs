//! Completion: what may stand at a place, given what stands before it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::analysis::Input;
use crate::edit::TextEdit;
use crate::instruction::guide::{FlagGuide, Value, guide};
use crate::instruction::{MOUNT_OPTIONS, MOUNTS, usual_option};
use crate::lint;
use crate::reference::Reference;
use crate::span::Span;
use crate::study::study;
use crate::syntax::{self, Keyword, Line, Marker, Node};

use super::document::{Kind, Row};
use super::hover;
use super::pieces::Role;
use super::predefined;
use super::reading::{Reading, clamp};
use super::variables::{Origin, Visible};

/// Something that may stand at the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// What to show, and to compare with what is typed.
    pub label: String,
    /// What it is.
    pub kind: CompletionKind,
    /// A few words beside it; may be empty.
    pub detail: String,
    /// What it does, in Markdown; may be empty.
    pub documentation: String,
    /// What to change if it is taken. All completions of one call replace the same part of the text.
    pub edit: TextEdit,
}

/// What a [`Completion`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CompletionKind {
    /// An instruction, or a word that belongs to one.
    Keyword,
    /// A parser directive.
    Directive,
    /// A flag.
    Flag,
    /// An option of a mount.
    Option,
    /// A value of a flag, an option, a directive or an instruction.
    Value,
    /// A stage.
    Stage,
    /// An image.
    Image,
    /// A variable.
    Variable,
    /// A file or a directory of the build context.
    File,
    /// The beginning or the end of a heredoc.
    Heredoc,
}

/// What is known beside the file and its options.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Surroundings {
    /// The files of the build context, with `/` between the parts of their paths.
    pub files: Vec<String>,
    /// Images that could be meant, as people write them.
    pub images: Vec<String>,
}

/// What may stand at `offset`, given what is typed before it; the best first, where there is a best.
#[must_use]
pub fn complete(input: &Input, offset: usize, around: &Surroundings) -> Vec<Completion> {
    let source = &input.source;
    let offset = clamp(source, offset);
    let tree = syntax::parse(source);
    let reading = Reading::new(source, &tree);
    let index = reading.document.row_at(offset);
    let Some(row) = reading.document.rows.get(index) else {
        return Vec::new();
    };
    let offset = offset.max(row.start);
    let mut place = Place {
        input,
        around,
        offset,
        lower: writes_lower_case(&reading, row),
        reading: &reading,
        found: Vec::new(),
    };
    let before = source.get(row.start..offset).unwrap_or_default();
    let word = before.trim_start();
    match row.kind {
        Kind::Empty => place.instructions(word, None),
        Kind::Comment | Kind::Directive(_) => place.comment(index, word),
        Kind::Head(node) => {
            if let Some(found) = tree.nodes.get(node) {
                if offset <= found.name_span.end {
                    place.instructions(word, None);
                } else {
                    place.arguments(found.line.before(offset), node);
                }
            }
        }
        Kind::Within(node) => {
            let found = tree.nodes.get(node).filter(|_| word.is_empty());
            // In a comment nothing may stand but the comment.
            if let Some(found) = found.filter(|_| row.text(source).trim().is_empty()) {
                let mut said = found.line.before(offset).to_owned();
                // The continuation may stand right behind a word, which is over all the same.
                if !before.is_empty() {
                    said.push(' ');
                }
                place.arguments(&said, node);
            }
        }
        Kind::Body(node, heredoc) => {
            if let Some(found) = tree.nodes.get(node).and_then(|node| node.heredocs.get(heredoc)) {
                place.heredoc(before, &found.marker.name, node);
            }
        }
        Kind::Endless(node) => {
            let found = tree.nodes.get(node);
            let markers = found.map(|found| Marker::all(found.line.text()).unwrap_or_default());
            let ended = found.map_or(0, |found| found.heredocs.len());
            if let Some(marker) = markers.unwrap_or_default().get(ended) {
                place.heredoc(before, &marker.name, node);
            }
        }
        Kind::End(..) => {}
    }
    place.found
}

/// Whether most instructions are written in lower case; that of the line that is typed in does not count.
fn writes_lower_case(reading: &Reading<'_, '_>, row: &Row) -> bool {
    let others = reading.document.tree.nodes.iter();
    let others = others
        .filter(|node| node.keyword.is_some() && !(row.start..=row.end).contains(&node.name_span.start));
    let (lower, upper): (Vec<&Node<'_>>, Vec<&Node<'_>>) = others.partition(|node| {
        node.name()
            .starts_with(|letter: char| letter.is_ascii_lowercase())
    });
    lower.len() > upper.len()
}

/// Letters of a name.
fn in_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-')
}

/// Letters of a path or of an image.
fn in_path(letter: char) -> bool {
    !letter.is_whitespace() && !matches!(letter, ',' | '"' | '\'' | '[' | ']')
}

/// The place that is asked about, and what was found for it.
struct Place<'p> {
    input: &'p Input,
    around: &'p Surroundings,
    offset: usize,
    lower: bool,
    reading: &'p Reading<'p, 'p>,
    found: Vec<Completion>,
}

/// One thing to offer.
struct Item<'i> {
    label: &'i str,
    kind: CompletionKind,
    detail: &'i str,
    documentation: String,
    /// What to write.
    text: String,
}

impl<'i> Item<'i> {
    fn plain(label: &'i str, kind: CompletionKind) -> Self {
        Self {
            label,
            kind,
            detail: "",
            documentation: String::new(),
            text: label.to_owned(),
        }
    }
}

impl Place<'_> {
    fn source(&self) -> &str {
        &self.input.source
    }

    /// Offers something, if it begins with what is typed. What stands behind the place and belongs to the same word, by
    /// `more`, is replaced too.
    fn offer(&mut self, typed: &str, more: fn(char) -> bool, item: Item<'_>) {
        let begins = item
            .label
            .get(..typed.len())
            .is_some_and(|label| label.eq_ignore_ascii_case(typed));
        let Some(start) = self.offset.checked_sub(typed.len()) else {
            return;
        };
        // What a continuation tears apart cannot be replaced in one piece.
        if !begins || self.source().get(start..self.offset) != Some(typed) {
            return;
        }
        let rest = self.source().get(self.offset..).unwrap_or_default();
        let length = if typed.is_empty() {
            0
        } else {
            rest.find(|letter| !more(letter)).unwrap_or(rest.len())
        };
        let rest = rest.get(length..).unwrap_or_default();
        let mut text = item.text;
        // What stands there already is not written again.
        if let Some(last) = text.chars().last().filter(|last| matches!(last, ' ' | '=' | '}'))
            && rest.starts_with(last)
        {
            text.pop();
        }
        self.found.push(Completion {
            label: item.label.to_owned(),
            kind: item.kind,
            detail: item.detail.to_owned(),
            documentation: item.documentation,
            edit: TextEdit::replace(Span::new(start, self.offset + length), text),
        });
    }

    fn values(&mut self, typed: &str, values: &[&str]) {
        for value in values {
            self.offer(typed, in_path, Item::plain(value, CompletionKind::Value));
        }
    }

    fn in_case(&self, word: &str) -> String {
        if self.lower {
            word.to_ascii_lowercase()
        } else {
            word.to_owned()
        }
    }

    /// The instructions that may stand here; in an ONBUILD, those that may stand in one.
    fn instructions(&mut self, typed: &str, trigger: Option<Keyword>) {
        let nodes = &self.reading.document.tree.nodes;
        let before = nodes.partition_point(|node| node.span.end < self.offset.saturating_sub(typed.len()));
        let stage = before
            .checked_sub(1)
            .and_then(|node| self.reading.stages.of_node(node));
        for keyword in Keyword::ALL {
            let fits = match keyword {
                Keyword::From => trigger.is_none(),
                Keyword::Arg => true,
                Keyword::Onbuild | Keyword::Maintainer => stage.is_some() && trigger.is_none(),
                _ => stage.is_some() || trigger.is_some(),
            };
            if !fits {
                continue;
            }
            let name = self.in_case(keyword.name());
            let text = guide(keyword).text;
            let detail = text.split_inclusive(['.', ':', ';']).next().unwrap_or(text);
            let item = Item {
                label: &name,
                kind: CompletionKind::Keyword,
                detail: detail.trim_end_matches(['.', ':', ';']),
                documentation: hover::instruction(keyword),
                text: format!("{name} "),
            };
            self.offer(typed, in_name, item);
        }
    }

    /// Directives, and what `check` can say in any comment.
    fn comment(&mut self, row: usize, typed: &str) {
        let Some(inner) = typed.strip_prefix('#') else {
            return;
        };
        let inner = inner.trim_start();
        let above = self.reading.document.rows.get(..row).unwrap_or_default();
        let at_top = above.iter().all(|row| matches!(row.kind, Kind::Directive(_)));
        let Some((name, value)) = inner.split_once('=') else {
            let used: BTreeSet<&str> = above
                .iter()
                .filter_map(|row| match row.kind {
                    Kind::Directive(index) => {
                        Some(self.reading.document.tree.directives.get(index)?.name.as_str())
                    }
                    _ => None,
                })
                .collect();
            for (name, text) in predefined::DIRECTIVES {
                if (at_top && !used.contains(name)) || name == "check" {
                    let item = Item {
                        documentation: text.to_owned(),
                        text: format!("{name}="),
                        ..Item::plain(name, CompletionKind::Directive)
                    };
                    self.offer(inner, in_name, item);
                }
            }
            return;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "syntax" if at_top => self.values(
                value.trim_start(),
                &["docker/dockerfile:1", "docker/dockerfile:1-labs"],
            ),
            "escape" if at_top => self.values(value.trim_start(), &["\\", "`"]),
            "check" => {
                let part = value.rsplit(';').next().unwrap_or_default().trim_start();
                match part.split_once('=') {
                    Some((key, rules)) if matches!(key.trim(), "skip" | "experimental") => {
                        let typed = rules.rsplit(',').next().unwrap_or_default().trim_start();
                        self.values(typed, &["all"]);
                        for rule in lint::rules() {
                            let item = Item {
                                documentation: rule.about.to_owned(),
                                ..Item::plain(rule.name, CompletionKind::Value)
                            };
                            self.offer(typed, in_name, item);
                        }
                    }
                    Some(("error", typed)) => self.values(typed, &["true", "false"]),
                    Some(_) => {}
                    None => self.values(part, &["skip=", "error=", "experimental="]),
                }
            }
            _ => {}
        }
    }

    /// Variables in a heredoc, and its end.
    fn heredoc(&mut self, before: &str, name: &str, node: usize) {
        let typed = before.trim_start_matches('\t');
        if self.variables(before, node) {
            return;
        }
        let item = Item {
            detail: "ends the heredoc",
            ..Item::plain(name, CompletionKind::Heredoc)
        };
        self.offer(typed, in_name, item);
    }

    /// What may stand behind the name of an instruction, which is `before` up to the place.
    fn arguments(&mut self, before: &str, node: usize) {
        let read = Node::read(Line::new(before, 0), self.reading.document.tree.escape);
        let Some(keyword) = read.keyword else { return };
        let rest = before.trim_start();
        let rest = rest.get(read.name().len()..).unwrap_or_default();
        if keyword == Keyword::Onbuild {
            let inner = rest.trim_start();
            if inner.contains(char::is_whitespace) {
                // A trigger in a trigger is none.
                if !inner
                    .get(..7)
                    .is_some_and(|name| name.eq_ignore_ascii_case("onbuild"))
                {
                    self.arguments(inner, node);
                }
            } else {
                self.instructions(inner, Some(keyword));
            }
            return;
        }
        let typed = rest.rsplit(char::is_whitespace).next().unwrap_or_default();
        if self.variables(typed, node) {
            return;
        }
        let mut words: Vec<&str> = rest.split_whitespace().collect();
        if !typed.is_empty() {
            words.pop();
        }
        let flags = words.iter().take_while(|word| word.starts_with("--")).count();
        let at_flags = flags == words.len();
        if at_flags && typed.starts_with('-') {
            match typed.split_once('=') {
                Some((name, value)) => self.flag_value(keyword, name, value, node),
                None => self.flags(keyword, &words, typed),
            }
            return;
        }
        self.words(keyword, &read, words.len() - flags, typed, node);
        if at_flags && typed.is_empty() {
            self.flags(keyword, &words, typed);
        }
    }

    /// Variables, where one is begun. Whether that is so.
    fn variables(&mut self, before: &str, node: usize) -> bool {
        let Some((_, behind)) = before.rsplit_once('$') else {
            return false;
        };
        let (typed, braces) = match behind.strip_prefix('{') {
            Some(typed) => (typed, true),
            None => (behind, false),
        };
        if !typed
            .chars()
            .all(|letter| letter.is_alphanumeric() || letter == '_')
        {
            return false;
        }
        let study = study(self.input);
        let stage = self
            .reading
            .stages
            .of_node(node)
            .filter(|_| !self.reading.is_global(node));
        let start = self
            .reading
            .document
            .tree
            .nodes
            .get(node)
            .map_or(self.offset, |node| node.span.start);
        let visible = Visible::before(&study, stage, start.max(1));
        for (name, variable) in visible.all() {
            let line = |span: Span| self.reading.document.row_at(span.start) + 1;
            let documentation = match variable.origin {
                Origin::Build => predefined::argument(name).unwrap_or_default().to_owned(),
                Origin::Image => "From the image that the stage starts from.".to_owned(),
                Origin::Arg(span) => format!("From the ARG in line {}.", line(span)),
                Origin::Env(span) => format!("From the ENV in line {}.", line(span)),
            };
            let item = Item {
                detail: variable.value.as_deref().unwrap_or_default(),
                documentation,
                text: if braces {
                    format!("{name}}}")
                } else {
                    name.to_owned()
                },
                ..Item::plain(name, CompletionKind::Variable)
            };
            self.offer(typed, |letter| letter.is_alphanumeric() || letter == '_', item);
        }
        true
    }

    fn flags(&mut self, keyword: Keyword, given: &[&str], typed: &str) {
        for flag in guide(keyword).flags {
            let label = format!("--{}", flag.name);
            let repeats = matches!(flag.name, "mount" | "device" | "exclude");
            if !repeats && given.iter().any(|given| given.split('=').next() == Some(&label)) {
                continue;
            }
            let switch = flag.value == Value::Switch;
            let item = Item {
                detail: wanted(flag),
                documentation: hover::described(flag),
                text: format!("{label}{}", if switch { ' ' } else { '=' }),
                ..Item::plain(&label, CompletionKind::Flag)
            };
            self.offer(typed, in_name, item);
        }
    }

    fn flag_value(&mut self, keyword: Keyword, name: &str, typed: &str, node: usize) {
        let name = name.trim_start_matches('-');
        if let Some(flag) = guide(keyword).flags.iter().find(|flag| flag.name == name) {
            match flag.value {
                Value::Mount => self.mount(typed, node),
                value => self.value(value, typed, true, node),
            }
        }
    }

    fn value(&mut self, value: Value, typed: &str, numbers: bool, node: usize) {
        match value {
            Value::Switch => self.values(typed, &["true", "false"]),
            Value::OneOf(values) => self.values(typed, values),
            Value::Source => self.sources(typed, numbers, node),
            Value::Platform => self.values(typed, &PLATFORMS),
            Value::Like(example) => self.values(typed, &[example]),
            Value::Mount => {}
        }
    }

    /// The options of a mount and their values.
    fn mount(&mut self, typed: &str, node: usize) {
        let mut given: Vec<&str> = typed.split(',').collect();
        let typed = given.pop().unwrap_or_default();
        let kind = given
            .iter()
            .find_map(|field| field.strip_prefix("type="))
            .unwrap_or("bind");
        if let Some((key, value)) = typed.split_once('=') {
            let key = usual_option(key);
            match (key, MOUNT_OPTIONS.iter().find(|option| option.name == key)) {
                ("type", _) => {
                    for mount in MOUNTS {
                        let item = Item {
                            documentation: mount.text.to_owned(),
                            ..Item::plain(mount.name, CompletionKind::Value)
                        };
                        self.offer(value, in_name, item);
                    }
                }
                ("target", _) => self.values(value, TARGETS),
                (_, Some(option)) => self.value(option.value, value, false, node),
                (_, None) => {}
            }
            return;
        }
        let options = MOUNTS
            .iter()
            .find(|mount| mount.name == kind)
            .map(|mount| mount.options);
        let first = given.is_empty().then_some("type");
        for name in first.iter().chain(options.unwrap_or_default()) {
            let used = given
                .iter()
                .any(|field| usual_option(field.split('=').next().unwrap_or_default()) == *name);
            let Some(option) = MOUNT_OPTIONS
                .iter()
                .find(|option| option.name == *name)
                .filter(|_| !used)
            else {
                continue;
            };
            let switch = option.value == Value::Switch;
            let item = Item {
                detail: wanted(option),
                documentation: hover::described(option),
                text: format!("{name}{}", if switch { "" } else { "=" }),
                ..Item::plain(name, CompletionKind::Option)
            };
            self.offer(typed, in_name, item);
        }
    }

    /// Stages and images that files can come from.
    fn sources(&mut self, typed: &str, numbers: bool, node: usize) {
        let own = self.reading.stages.of_node(node);
        self.stages(typed, own, false);
        for (index, stage) in self.reading.stages.all.iter().enumerate() {
            let base = stage
                .base
                .as_ref()
                .map(|(base, _)| base.as_str())
                .unwrap_or_default();
            if numbers && stage.name.is_none() && own != Some(index) {
                let number = index.to_string();
                let item = Item {
                    detail: base,
                    ..Item::plain(&number, CompletionKind::Stage)
                };
                self.offer(typed, in_name, item);
            }
        }
        self.images(typed);
    }

    /// Stages by name: those before `own`, or all but it.
    fn stages(&mut self, typed: &str, own: Option<usize>, before: bool) {
        let mut names = BTreeSet::new();
        for (index, stage) in self.reading.stages.all.iter().enumerate() {
            let fits = if before {
                own.is_none_or(|own| index < own)
            } else {
                own != Some(index)
            };
            let Some((name, _)) = stage.name.as_ref().filter(|_| fits) else {
                continue;
            };
            // FROM finds names in lower case only.
            let name = if before {
                name.to_ascii_lowercase()
            } else {
                name.clone()
            };
            if names.insert(name.clone()) {
                let base = stage
                    .base
                    .as_ref()
                    .map(|(base, _)| base.as_str())
                    .unwrap_or_default();
                let item = Item {
                    detail: base,
                    documentation: format!("The stage in line {}.", self.line_of(stage.node)),
                    ..Item::plain(&name, CompletionKind::Stage)
                };
                self.offer(typed, in_path, item);
            }
        }
    }

    fn line_of(&self, node: usize) -> u32 {
        self.reading
            .document
            .tree
            .nodes
            .get(node)
            .map_or(0, |node| node.lines.start)
    }

    /// Images: those of the file, those that were looked up, and those that the surroundings know.
    fn images(&mut self, typed: &str) {
        let mut names = BTreeSet::new();
        for piece in &self.reading.pieces {
            let image = matches!(piece.role, Role::Base | Role::Source { .. });
            // What is just being typed is no image yet.
            if image && self.reading.stage_of(piece).is_none() && piece.span.end != self.offset {
                names.insert(self.reading.text(piece).to_owned());
            }
        }
        for reference in self.input.options.images.keys() {
            let short = reference.strip_prefix("docker.io/library/");
            names.insert(
                short
                    .or(reference.strip_prefix("docker.io/"))
                    .unwrap_or(reference)
                    .to_owned(),
            );
        }
        names.extend(self.around.images.iter().cloned());
        names.remove("scratch");
        for name in names {
            let full = name.parse::<Reference>().map(|reference| reference.to_string());
            let facts = full.ok().and_then(|full| self.input.options.images.get(&full));
            let item = Item {
                documentation: facts.and_then(|facts| facts.note.clone()).unwrap_or_default(),
                ..Item::plain(&name, CompletionKind::Image)
            };
            self.offer(typed, in_path, item);
        }
    }

    /// Words behind the flags, of which `count` are there already.
    fn words(&mut self, keyword: Keyword, read: &Node<'_>, count: usize, typed: &str, node: usize) {
        if matches!(keyword, Keyword::Run | Keyword::Copy | Keyword::Add) && typed.starts_with("<<") {
            self.heredoc_start(typed);
            return;
        }
        match keyword {
            Keyword::From if count == 0 => {
                self.stages(typed, self.reading.stages.of_node(node), true);
                let item = Item {
                    detail: "nothing",
                    ..Item::plain("scratch", CompletionKind::Image)
                };
                self.offer(typed, in_path, item);
                self.images(typed);
            }
            Keyword::From if count == 1 => {
                let word = self.in_case("AS");
                let text = format!("{word} ");
                let item = Item {
                    text,
                    ..Item::plain(&word, CompletionKind::Keyword)
                };
                self.offer(typed, in_name, item);
            }
            Keyword::Copy | Keyword::Add
                if !read.flags.iter().any(|flag| flag.text.starts_with("--from=")) =>
            {
                self.files(typed);
            }
            Keyword::Arg if !typed.contains('=') && self.reading.stages.of_node(node).is_some() => {
                self.global_args(typed);
            }
            Keyword::Healthcheck if count == 0 => {
                for word in ["CMD", "NONE"] {
                    let word = self.in_case(word);
                    let text = if word.len() == 3 {
                        format!("{word} ")
                    } else {
                        word.clone()
                    };
                    let item = Item {
                        text,
                        ..Item::plain(&word, CompletionKind::Keyword)
                    };
                    self.offer(typed, in_name, item);
                }
            }
            Keyword::Expose => {
                if let Some((_, protocol)) = typed.split_once('/') {
                    self.values(protocol, &["tcp", "udp"]);
                }
            }
            _ => {
                for word in guide(keyword).words {
                    if count == 0 || word.ends_with('=') {
                        self.offer(typed, in_path, Item::plain(word, CompletionKind::Value));
                    }
                }
            }
        }
    }

    /// A heredoc with its end, where nothing stands behind the place.
    fn heredoc_start(&mut self, typed: &str) {
        let rest = self.source().get(self.offset..).unwrap_or_default();
        let clear = rest.lines().next().unwrap_or_default().trim().is_empty();
        let dash = if typed.starts_with("<<-") { "-" } else { "" };
        if clear {
            let label = format!("<<{dash}EOF");
            let item = Item {
                detail: "lines up to EOF",
                text: format!("{label}\n\nEOF"),
                ..Item::plain(&label, CompletionKind::Heredoc)
            };
            self.offer(typed, |_| false, item);
        }
    }

    /// Files of the build context, one part of their paths after the other.
    fn files(&mut self, typed: &str) {
        let typed = typed.trim_start_matches(['[', '"', '\'']);
        let lead = typed
            .strip_prefix("./")
            .map_or(usize::from(typed.starts_with('/')), |_| 2);
        let (lead, inner) = (
            typed.get(..lead).unwrap_or_default(),
            typed.get(lead..).unwrap_or_default(),
        );
        let mut names = BTreeSet::new();
        for file in &self.around.files {
            let file = file.trim_start_matches("./").trim_start_matches('/');
            if let Some(rest) = file.strip_prefix(inner) {
                let part = rest.find('/').map_or(rest.len(), |slash| slash + 1);
                names.insert(format!("{lead}{inner}{}", rest.get(..part).unwrap_or_default()));
            }
        }
        for name in names {
            let detail = if name.ends_with('/') { "directory" } else { "" };
            let item = Item {
                detail,
                ..Item::plain(&name, CompletionKind::File)
            };
            self.offer(typed, in_path, item);
        }
    }

    /// Arguments that a stage can take over by declaring them.
    fn global_args(&mut self, typed: &str) {
        let mut names = BTreeSet::new();
        for piece in &self.reading.pieces {
            if let (Role::Declared(name), Some(node)) = (&piece.role, piece.node)
                && self.reading.is_global(node)
                && names.insert(name.as_str())
            {
                let documentation = format!("From the ARG in line {}.", self.line_of(node));
                let item = Item {
                    documentation,
                    ..Item::plain(name, CompletionKind::Variable)
                };
                self.offer(typed, in_name, item);
            }
        }
        for (name, text) in predefined::ARGUMENTS {
            let item = Item {
                documentation: text.to_owned(),
                ..Item::plain(name, CompletionKind::Variable)
            };
            self.offer(typed, in_name, item);
        }
    }
}

/// What a flag wants, in a word or two.
fn wanted(flag: &FlagGuide) -> &'static str {
    match flag.value {
        Value::Switch => "",
        Value::OneOf(values) => values.first().copied().unwrap_or_default(),
        Value::Source => "a stage or an image",
        Value::Platform => "a platform",
        Value::Mount => "options",
        Value::Like(example) => example,
    }
}

const PLATFORMS: [&str; 9] = [
    "$BUILDPLATFORM",
    "$TARGETPLATFORM",
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/386",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
];

/// Directories that package managers and compilers keep things in.
const TARGETS: &[&str] = &[
    "/root/.cache",
    "/root/.cache/go-build",
    "/go/pkg/mod",
    "/root/.cache/pip",
    "/root/.npm",
    "/root/.m2",
    "/root/.gradle",
    "/usr/local/cargo/registry",
    "/var/cache/apt",
    "/var/lib/apt",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::apply;

    fn around() -> Surroundings {
        Surroundings {
            files: vec!["src/main.rs".into(), "src/lib/a.rs".into(), "README.md".into()],
            images: vec!["nginx:1".into()],
        }
    }

    fn at(marked: &str) -> (Input, Vec<Completion>) {
        let offset = marked.find('|').unwrap();
        let input = Input {
            source: marked.replacen('|', "", 1),
            ..Input::default()
        };
        let found = complete(&input, offset, &around());
        (input, found)
    }

    /// The labels that are offered at `|`.
    fn labels(marked: &str) -> Vec<String> {
        at(marked).1.into_iter().map(|found| found.label).collect()
    }

    /// The text once the first offer is taken.
    fn taken(marked: &str) -> String {
        let (input, found) = at(marked);
        apply(&input.source, &[found[0].edit.clone()]).unwrap()
    }

    #[test]
    fn instructions_are_offered_where_they_may_stand() {
        assert_eq!(labels("|"), ["ARG", "FROM"]);
        assert_eq!(labels("ARG A\n|\nFROM a"), ["ARG", "FROM"]);
        assert_eq!(labels("FROM a\n|").len(), 18);
        assert_eq!(labels("FROM a\nE|"), ["ENTRYPOINT", "ENV", "EXPOSE"]);
        assert_eq!(labels("from a\ncopy a b\n en|\n"), ["entrypoint", "env"]);
        assert_eq!(labels("FROM a\nONBUILD |").len(), 15);
        assert_eq!(labels("FROM a\nONBUILD f|"), [""; 0]);
        assert_eq!(labels("FROM a\n# |"), ["check"]);
        assert_eq!(taken("FROM a\nwo|"), "FROM a\nWORKDIR ");
        assert_eq!(taken("FROM a\nWOR|K /x"), "FROM a\nWORKDIR /x");
    }

    #[test]
    fn flags_and_their_values_are_offered() {
        assert_eq!(labels("FROM a\nCOPY --c|"), ["--chown", "--chmod"]);
        assert_eq!(labels("FROM a\nCOPY --link --exclude=a --l|"), [""; 0]);
        assert_eq!(labels("FROM a\nCOPY --exclude=a --e|"), ["--exclude"]);
        assert_eq!(taken("FROM a\nCOPY --fr|om=x a b"), "FROM a\nCOPY --from=x a b");
        assert_eq!(labels("FROM a\nRUN --network=|"), ["default", "none", "host"]);
        assert_eq!(labels("FROM --platform=$|")[..2], ["BUILDARCH", "BUILDOS"]);
        assert_eq!(
            labels("FROM --platform=linux/a|"),
            ["linux/amd64", "linux/arm64", "linux/arm/v7"]
        );
        assert_eq!(labels("FROM a\nADD --link=|"), ["true", "false"]);
        assert_eq!(labels("FROM a\nONBUILD COPY --p|"), ["--parents"]);
        assert_eq!(labels("FROM a\nRUN --network=none \\\n  --se|"), ["--security"]);
    }

    #[test]
    fn a_mount_offers_what_its_type_has() {
        assert_eq!(labels("FROM a\nRUN --mount=t|"), ["type", "target"]);
        assert_eq!(
            labels("FROM a\nRUN --mount=type=|"),
            ["bind", "cache", "tmpfs", "secret", "ssh"]
        );
        assert_eq!(labels("FROM a\nRUN --mount=type=tmpfs,|"), ["target", "size"]);
        assert_eq!(
            labels("FROM a\nRUN --mount=type=cache,sharing=|"),
            ["shared", "private", "locked"]
        );
        assert_eq!(
            labels("FROM a AS b\nFROM c\nRUN --mount=from=|"),
            ["b", "a", "c", "nginx:1"]
        );
        assert!(labels("FROM a\nRUN --mount=type=cache,target=/go|").contains(&"/go/pkg/mod".to_owned()));
        assert_eq!(
            taken("FROM a\nRUN --mount=type=cache,sh|"),
            "FROM a\nRUN --mount=type=cache,sharing="
        );
    }

    #[test]
    fn stages_are_offered_where_they_can_be_used() {
        let file = "FROM a AS One\nFROM x\nFROM |\nFROM y AS two\n";
        assert_eq!(
            labels(file),
            ["one", "scratch", "a", "nginx:1", "x", "y", "--platform"]
        );
        let file = "FROM a AS One\nFROM x\nFROM z\nCOPY --from=|\nFROM y AS two\n";
        assert_eq!(labels(file), ["One", "two", "1", "a", "nginx:1", "x", "y", "z"]);
        assert_eq!(labels("FROM a |"), ["AS"]);
        assert_eq!(labels("from a |\nrun x\n"), ["as"]);
        assert_eq!(labels("FROM ng|"), ["nginx:1"]);
    }

    #[test]
    fn variables_are_offered_with_their_values() {
        let file = "ARG V=1\nFROM a\nARG V\nENV WORD=x$V\nRUN echo ${|}\nENV LATER=1\n";
        let (input, found) = at(file);
        let shown: Vec<_> = found
            .iter()
            .map(|found| (found.label.as_str(), found.detail.as_str()))
            .collect();
        assert_eq!(shown, [("PATH", ""), ("V", "1"), ("WORD", "x1")]);
        let text = apply(&input.source, &[found[1].edit.clone()]).unwrap();
        assert!(text.contains("echo ${V}\n"));
        assert_eq!(
            taken("FROM a\nENV ABC=1\nRUN ${A|"),
            "FROM a\nENV ABC=1\nRUN ${ABC}"
        );
        assert_eq!(
            labels("ARG V=1\nARG W=$|"),
            [
                "BUILDARCH",
                "BUILDOS",
                "BUILDOSVERSION",
                "BUILDPLATFORM",
                "BUILDVARIANT",
                "TARGETARCH",
                "TARGETOS",
                "TARGETOSVERSION",
                "TARGETPLATFORM",
                "TARGETSTAGE",
                "TARGETVARIANT",
                "V"
            ]
        );
        assert_eq!(labels("ARG V=1\nFROM a\nARG V|"), ["V"]);
        assert_eq!(labels("FROM a\nARG TARGETA|"), ["TARGETARCH"]);
    }

    #[test]
    fn files_are_offered_part_by_part() {
        assert_eq!(labels("FROM a\nCOPY |")[..2], ["README.md", "src/"]);
        assert_eq!(labels("FROM a\nCOPY src/|"), ["src/lib/", "src/main.rs"]);
        assert_eq!(labels("FROM a\nADD ./R|"), ["./README.md"]);
        assert_eq!(labels("FROM a\nCOPY --from=b s|"), [""; 0]);
    }

    #[test]
    fn heredocs_are_begun_and_ended() {
        assert_eq!(taken("FROM a\nRUN <<|\n"), "FROM a\nRUN <<EOF\n\nEOF\n");
        assert_eq!(labels("FROM a\nRUN <<ONE <<TWO\na\nONE\n|"), ["TWO"]);
        assert_eq!(labels("FROM a\nRUN <<-ONE\na\n\tO|\nb\nONE\n"), ["ONE"]);
        assert_eq!(labels("FROM a\nARG V\nRUN <<E\n$V|\nE\n"), ["V"]);
    }

    #[test]
    fn directives_are_offered_at_the_top() {
        assert_eq!(labels("#|"), ["syntax", "escape", "check"]);
        assert_eq!(labels("# syntax=x\n# |"), ["escape", "check"]);
        assert_eq!(labels("# escape=|"), ["\\", "`"]);
        assert_eq!(labels("# check=|"), ["skip=", "error=", "experimental="]);
        assert!(labels("# check=skip=Und|").contains(&"UndefinedVar".to_owned()));
        assert_eq!(labels("\n# s|"), [""; 0]);
    }

    #[test]
    fn other_words_are_offered_where_there_are_few() {
        assert_eq!(labels("FROM a\nSTOPSIGNAL SIGQ|"), ["SIGQUIT"]);
        assert_eq!(labels("FROM a\nHEALTHCHECK --interval=1s n|"), ["NONE"]);
        assert_eq!(labels("FROM a\nEXPOSE 80/|"), ["tcp", "udp"]);
        assert_eq!(labels("FROM a\nSHELL |").len(), 6);
        assert_eq!(labels("FROM a\nLABEL org.opencontainers.image.v|").len(), 2);
        assert_eq!(labels("FROM a\nUSER r|"), ["root"]);
        assert_eq!(labels("FROM a\nRUN echo h|"), [""; 0]);
    }
}
