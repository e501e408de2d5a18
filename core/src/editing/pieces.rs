//! A file in its smallest pieces: what each is, and what it does.
//!
//! Everything here is read off the text, instruction by instruction, so one that is half written has its pieces too.

use std::ops::Range;

use crate::span::Span;
use crate::syntax::{Arguments, Flag, Keyword, Line, Marker, Node, without_continuation};

use super::document::{Document, Kind};
use super::highlight::TokenKind;
use super::stages::Stages;

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) span: Span,
    pub(super) kind: TokenKind,
    pub(super) role: Role,
    /// The instruction that it is in.
    pub(super) node: Option<usize>,
}

/// What a piece does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing that anyone asks about.
    Plain,
    /// It names an instruction.
    Instruction(Keyword),
    /// It names a flag of an instruction.
    Flag(Keyword, String),
    /// It says of what type a mount is.
    MountType(String),
    /// It names an option of a mount of some type.
    MountOption(String, String),
    /// It gives a stage its name.
    StageName,
    /// It says what a stage starts from.
    Base,
    /// It says where files come from; in COPY, a number counts stages.
    Source {
        /// Whether a number does that here.
        numbers: bool,
    },
    /// It asks for the value of a variable.
    Variable(String),
    /// It gives a variable its value.
    Declared(String),
    /// It is a directive, by index.
    Directive(usize),
}

/// All pieces of a file, in order. None lies in another.
pub(super) fn pieces(document: &Document<'_, '_>, stages: &Stages) -> Vec<Piece> {
    let mut found = Vec::new();
    for (index, node) in document.tree.nodes.iter().enumerate() {
        let mut scan = Scan {
            line: &node.line,
            node: index,
            base: 0,
            escape: document.tree.escape,
            stages,
            in_trigger: false,
            found: &mut found,
        };
        scan.instruction(node.line.text());
        for heredoc in &node.heredocs {
            let runs = node.keyword == Some(Keyword::Run);
            let body = Line::new(
                document
                    .source
                    .get(heredoc.span.start..heredoc.span.end)
                    .unwrap_or_default(),
                heredoc.span.start,
            );
            Scan {
                line: &body,
                node: index,
                base: 0,
                escape: '\\',
                stages,
                in_trigger: node.keyword == Some(Keyword::Onbuild),
                found: &mut found,
            }
            .body(body.text(), runs || heredoc.marker.expand);
        }
    }
    for row in &document.rows {
        line_pieces(document, row, &mut found);
    }
    found.sort_by_key(|piece| (piece.span.start, piece.span.end));
    let mut end = 0;
    found.retain(|piece| {
        let keep = piece.span.start >= end && piece.span.start < piece.span.end;
        if keep {
            end = piece.span.end;
        }
        keep
    });
    found
}

/// What a line has beside its instruction: comments, directives, continuations and the ends of heredocs.
fn line_pieces(document: &Document<'_, '_>, row: &super::document::Row, found: &mut Vec<Piece>) {
    let text = row.text(document.source);
    let inner = text.trim_start();
    let start = row.end - inner.len();
    let mut push = |start: usize, end: usize, kind, role, node| {
        found.push(Piece {
            span: Span::new(start, end),
            kind,
            role,
            node,
        });
    };
    match row.kind {
        Kind::Comment => push(start, row.end, TokenKind::Comment, Role::Plain, None),
        Kind::Within(node) => push(start, row.end, TokenKind::Comment, Role::Plain, Some(node)),
        Kind::Directive(index) => {
            let equals = start + inner.find('=').unwrap_or(0);
            push(start, start + 1, TokenKind::Comment, Role::Plain, None);
            let name = document.source.get(start + 1..equals).unwrap_or_default().trim();
            let at = start + inner.find(name).unwrap_or(0);
            push(
                at,
                at + name.len(),
                TokenKind::Directive,
                Role::Directive(index),
                None,
            );
            push(equals, equals + 1, TokenKind::Operator, Role::Plain, None);
            let value = document.source.get(equals + 1..row.end).unwrap_or_default();
            let value = value.trim();
            let end = equals
                + 1
                + document
                    .source
                    .get(equals + 1..row.end)
                    .map_or(0, |rest| rest.trim_end().len());
            push(
                end.saturating_sub(value.len()),
                end,
                TokenKind::FlagValue,
                Role::Directive(index),
                None,
            );
        }
        Kind::Head(node) => {
            if let Some(before) = without_continuation(text, document.tree.escape) {
                let at = row.start + before.len();
                push(
                    at,
                    at + document.tree.escape.len_utf8(),
                    TokenKind::Continuation,
                    Role::Plain,
                    Some(node),
                );
            }
        }
        Kind::End(node, _) => push(
            row.end - text.trim_start_matches('\t').len(),
            row.end,
            TokenKind::HeredocMarker,
            Role::Plain,
            Some(node),
        ),
        Kind::Endless(node) => push(
            row.start,
            row.end,
            TokenKind::HeredocBody,
            Role::Plain,
            Some(node),
        ),
        Kind::Empty | Kind::Body(..) => {}
    }
}

/// Walks through an instruction.
struct Scan<'a, 'l> {
    line: &'a Line<'l>,
    node: usize,
    /// Where the text that is looked at begins in the line.
    base: usize,
    escape: char,
    stages: &'a Stages,
    /// In an ONBUILD, whose variables are those of another build.
    in_trigger: bool,
    found: &'a mut Vec<Piece>,
}

/// How a piece of text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Words.
    Words,
    /// Words among which heredocs begin.
    Sources,
    /// A command.
    Command,
    /// Ports.
    Ports,
    /// Nothing in it means anything.
    Letters,
}

impl Scan<'_, '_> {
    fn push(&mut self, range: Range<usize>, kind: TokenKind, role: Role) {
        let spans = self.line.spans(self.base + range.start..self.base + range.end);
        // A word that a continuation tears apart is shown, but nobody can be asked about it.
        let role = if spans.len() == 1 { role } else { Role::Plain };
        for span in spans {
            self.found.push(Piece {
                span,
                kind,
                role: role.clone(),
                node: Some(self.node),
            });
        }
    }

    fn instruction(&mut self, text: &str) {
        let node = Node::read(Line::new(text, 0), self.escape);
        let name = node.name_span.start..node.name_span.end;
        let Some(keyword) = node.keyword else {
            self.push(name, TokenKind::Unknown, Role::Plain);
            return;
        };
        self.push(name, TokenKind::Keyword, Role::Instruction(keyword));
        for flag in &node.flags {
            self.flag(text, keyword, flag);
        }
        let from = node.flags.last().map_or(node.name_span.end, |flag| flag.span.end);
        let rest = from.min(text.len())..text.len();
        match node.arguments {
            Ok(Arguments::Words(words)) if keyword == Keyword::From => {
                for (place, word) in words.iter().enumerate() {
                    let range = word.span.start..word.span.end;
                    match place {
                        0 => {
                            let stage = self.stages.of_node(self.node);
                            let known = stage.and_then(|stage| self.stages.base(stage, &word.text));
                            self.reference(text, range, known.is_some(), &Role::Base);
                        }
                        1 => self.push(range, TokenKind::Keyword, Role::Plain),
                        2 => self.push(range, TokenKind::Stage, Role::StageName),
                        _ => self.push(range, TokenKind::Unknown, Role::Plain),
                    }
                }
            }
            Ok(Arguments::Words(words)) if keyword == Keyword::Arg => {
                for word in words {
                    let range = word.span.start..word.span.end;
                    let written = text.get(range.clone()).unwrap_or_default();
                    let length = written.find('=').unwrap_or(written.len());
                    self.declared(text, range, length, false);
                }
            }
            Ok(Arguments::Pairs(pairs)) => {
                for pair in pairs {
                    self.declared(
                        text,
                        pair.span.start..pair.span.end,
                        pair.key.len(),
                        keyword == Keyword::Label,
                    );
                }
            }
            Ok(Arguments::Tagged(word, rest)) => {
                let range = word.span.start..word.span.end;
                self.push(range.clone(), TokenKind::Keyword, Role::Plain);
                let json = matches!(*rest, Arguments::Json(_));
                self.command(text, range.end..text.len(), json);
            }
            Ok(Arguments::Trigger(range)) => {
                let inner = text.get(range.clone()).unwrap_or_default();
                let before = (self.base, self.in_trigger);
                (self.base, self.in_trigger) = (self.base + range.start, true);
                // Such a trigger cannot be; it is not looked into, however deep it goes.
                if !Keyword::Onbuild
                    .name()
                    .eq_ignore_ascii_case(inner.get(..7).unwrap_or_default())
                {
                    self.instruction(inner);
                }
                (self.base, self.in_trigger) = before;
            }
            Ok(arguments) => {
                let json = matches!(arguments, Arguments::Json(_));
                match keyword {
                    Keyword::Run | Keyword::Cmd | Keyword::Entrypoint | Keyword::Shell => {
                        self.command(text, rest, json);
                    }
                    Keyword::Add | Keyword::Copy | Keyword::Volume if json => {
                        self.json(text, rest, Manner::Words);
                    }
                    Keyword::Add | Keyword::Copy => self.text(text, rest, Manner::Sources),
                    Keyword::Expose => self.text(text, rest, Manner::Ports),
                    Keyword::Maintainer => {}
                    _ => self.text(text, rest, Manner::Words),
                }
            }
            Err(_)
                if matches!(
                    keyword,
                    Keyword::Run | Keyword::Cmd | Keyword::Entrypoint | Keyword::Shell
                ) =>
            {
                self.text(text, rest, Manner::Command);
            }
            Err(_) => self.text(text, rest, Manner::Sources),
        }
    }

    fn command(&mut self, text: &str, range: Range<usize>, json: bool) {
        if json {
            self.json(text, range, Manner::Letters);
        } else {
            self.text(text, range, Manner::Command);
        }
    }

    fn flag(&mut self, text: &str, keyword: Keyword, flag: &Flag) {
        let range = flag.span.start..flag.span.end;
        let written = text.get(range.clone()).unwrap_or_default();
        let Some(equals) = written.find('=') else {
            let name = written.strip_prefix("--").unwrap_or(written).to_owned();
            self.push(range, TokenKind::Flag, Role::Flag(keyword, name));
            return;
        };
        let name = written.get(..equals).unwrap_or_default();
        let name = name.strip_prefix("--").unwrap_or(name).to_owned();
        let equals = range.start + equals;
        self.push(
            range.start..equals,
            TokenKind::Flag,
            Role::Flag(keyword, name.clone()),
        );
        self.push(equals..equals + 1, TokenKind::Operator, Role::Plain);
        let value = equals + 1..range.end;
        match name.as_str() {
            "from" => self.source(text, value, true),
            "mount" => self.mount(text, &value),
            _ => self.value(text, value, TokenKind::FlagValue, &Role::Plain),
        }
    }

    /// The options of a mount, one after the other.
    fn mount(&mut self, text: &str, range: &Range<usize>) {
        let written = text.get(range.clone()).unwrap_or_default();
        let mut kind = "bind".to_owned();
        for field in written.split(',') {
            if let Some(("type", value)) = field.split_once('=') {
                value.to_ascii_lowercase().clone_into(&mut kind);
            }
        }
        let mut at = range.start;
        for field in written.split(',') {
            let key = field.split('=').next().unwrap_or_default();
            let option = Role::MountOption(kind.clone(), key.to_ascii_lowercase());
            self.push(at..at + key.len(), TokenKind::Option, option);
            if key.len() < field.len() {
                let equals = at + key.len();
                self.push(equals..equals + 1, TokenKind::Operator, Role::Plain);
                let value = equals + 1..at + field.len();
                match key.to_ascii_lowercase().as_str() {
                    "from" => self.source(text, value, false),
                    "type" => self.value(text, value, TokenKind::FlagValue, &Role::MountType(kind.clone())),
                    _ => self.value(text, value, TokenKind::FlagValue, &Role::Plain),
                }
            }
            at += field.len();
            if at < range.end {
                self.push(at..at + 1, TokenKind::Operator, Role::Plain);
                at += 1;
            }
        }
    }

    /// A stage or an image that files come from.
    fn source(&mut self, text: &str, range: Range<usize>, numbers: bool) {
        let written = text.get(range.clone()).unwrap_or_default();
        let inner = written.trim_start_matches(['"', '\'']);
        let start = range.end - inner.len();
        let inner = inner.trim_end_matches(['"', '\'']);
        let range = start..start + inner.len();
        let known = self.stages.source(inner, numbers).is_some();
        self.reference(text, range, known, &Role::Source { numbers });
    }

    fn reference(&mut self, text: &str, range: Range<usize>, known: bool, role: &Role) {
        let written = text.get(range.clone()).unwrap_or_default();
        if known && written.parse::<i64>().is_ok() {
            self.push(range, TokenKind::Number, role.clone());
        } else if known {
            self.push(range, TokenKind::Stage, role.clone());
        } else {
            self.value(text, range, TokenKind::Image, role);
        }
    }

    /// A value that is all of one kind, but for the variables in it.
    fn value(&mut self, text: &str, range: Range<usize>, kind: TokenKind, role: &Role) {
        let written = text.get(range.clone()).unwrap_or_default();
        if !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit()) {
            self.push(range, TokenKind::Number, Role::Plain);
            return;
        }
        if !written.contains('$') {
            self.push(range, kind, role.clone());
            return;
        }
        let mut from = range.start;
        let mut at = range.start;
        let mut open = 0;
        while at < range.end {
            let next = self.variable(text, at, range.end, &mut open, |scan| {
                scan.push(from..at, kind, Role::Plain);
            });
            match next {
                Some(next) => (at, from) = (next, next),
                None => {
                    at += text
                        .get(at..)
                        .and_then(|rest| rest.chars().next())
                        .map_or(1, char::len_utf8);
                }
            }
        }
        self.push(from..range.end, kind, Role::Plain);
    }

    /// A name, and perhaps its value.
    fn declared(&mut self, text: &str, range: Range<usize>, key: usize, label: bool) {
        let name = range.start..range.start + key;
        let written = text.get(name.clone()).unwrap_or_default();
        if label {
            self.push(name.clone(), TokenKind::Option, Role::Plain);
        } else if written.contains('$') {
            self.value(text, name.clone(), TokenKind::Name, &Role::Plain);
        } else {
            let role = if self.in_trigger {
                Role::Plain
            } else {
                Role::Declared(written.to_owned())
            };
            self.push(name.clone(), TokenKind::Name, role);
        }
        let mut value = name.end..range.end;
        if text
            .get(value.clone())
            .is_some_and(|value| value.starts_with('='))
        {
            self.push(value.start..value.start + 1, TokenKind::Operator, Role::Plain);
            value.start += 1;
        }
        self.text(text, value, Manner::Words);
    }

    /// A variable that begins at `at`, where one does; gives where it ends. `before` is called before its first piece.
    ///
    /// `${` opens a part that may hold more of them; `open` counts these.
    fn variable(
        &mut self,
        text: &str,
        at: usize,
        end: usize,
        open: &mut usize,
        before: impl FnOnce(&mut Self),
    ) -> Option<usize> {
        let rest = text.get(at..end)?;
        if *open > 0 && rest.starts_with('}') {
            *open -= 1;
            before(self);
            self.push(at..at + 1, TokenKind::Variable, Role::Plain);
            return Some(at + 1);
        }
        let inner = rest.strip_prefix('$')?;
        let (brace, inner) = match inner.strip_prefix('{') {
            Some(inner) => (1, inner),
            None => (0, inner),
        };
        let name = inner
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(inner.len());
        let name = inner.get(..name).filter(|name| !name.is_empty())?;
        before(self);
        let role = if self.in_trigger {
            Role::Plain
        } else {
            Role::Variable(name.to_owned())
        };
        let mut to = at + 1 + brace + name.len();
        self.push(at..to, TokenKind::Variable, role);
        if brace == 1 {
            *open += 1;
            let rest = text.get(to..end).unwrap_or_default();
            let colon = usize::from(rest.starts_with(':'));
            let rest = rest.get(colon..).unwrap_or_default();
            let sign = rest.starts_with(['-', '+', '?', '#', '%', '/']);
            let twice = sign && colon == 0 && ["##", "%%", "//"].iter().any(|twice| rest.starts_with(twice));
            let length = colon + usize::from(sign) + usize::from(twice);
            if length > 0 {
                self.push(to..to + length, TokenKind::Operator, Role::Plain);
                to += length;
            }
        }
        Some(to)
    }

    /// Text with strings and variables in it.
    fn text(&mut self, text: &str, range: Range<usize>, manner: Manner) {
        let mut at = range.start;
        let mut open = 0;
        while let Some(letter) = text.get(at..range.end).and_then(|rest| rest.chars().next()) {
            let rest = text.get(at..range.end).unwrap_or_default();
            let next = at + letter.len_utf8();
            at = match letter {
                escape if escape == self.escape => next + rest.chars().nth(1).map_or(0, char::len_utf8),
                '\'' => {
                    let end = text.get(next..range.end).and_then(|rest| rest.find('\''));
                    let end = end.map_or(range.end, |end| next + end + 1);
                    self.push(at..end, TokenKind::String, Role::Plain);
                    end
                }
                '"' => self.string(text, at, range.end, Manner::Words),
                '$' | '}' => self
                    .variable(text, at, range.end, &mut open, |_| {})
                    .unwrap_or(next),
                '<' if matches!(manner, Manner::Sources | Manner::Command) && rest.starts_with("<<") => {
                    let end = self.heredoc(text, at, range.end);
                    end.unwrap_or(at + 1 + rest.chars().skip(1).take_while(|&letter| letter == '<').count())
                }
                '&' | '|' | ';' if manner == Manner::Command => {
                    let end = at
                        + rest
                            .bytes()
                            .take_while(|&byte| byte == rest.as_bytes().first().copied().unwrap_or(0))
                            .count();
                    self.push(at..end, TokenKind::Operator, Role::Plain);
                    end
                }
                '0'..='9' if manner == Manner::Ports => {
                    let end = at + rest.bytes().take_while(u8::is_ascii_digit).count();
                    self.push(at..end, TokenKind::Number, Role::Plain);
                    end
                }
                '/' | '-' | ':' if manner == Manner::Ports => {
                    self.push(at..next, TokenKind::Operator, Role::Plain);
                    next
                }
                _ => next,
            };
        }
    }

    /// A string in double quotes, with the variables in it; gives where it ends.
    fn string(&mut self, text: &str, start: usize, end: usize, manner: Manner) -> usize {
        let escape = if manner == Manner::Letters {
            '\\'
        } else {
            self.escape
        };
        let (mut from, mut at) = (start, start + 1);
        let mut open = 0;
        while let Some(letter) = text.get(at..end).and_then(|rest| rest.chars().next()) {
            let next = at + letter.len_utf8();
            if letter == '"' {
                self.push(from..next, TokenKind::String, Role::Plain);
                return next;
            }
            let found = if manner == Manner::Letters {
                None
            } else {
                self.variable(text, at, end, &mut open, |scan| {
                    scan.push(from..at, TokenKind::String, Role::Plain);
                })
            };
            at = match found {
                Some(next) => {
                    from = next;
                    next
                }
                None if letter == escape => {
                    next + text
                        .get(next..end)
                        .and_then(|rest| rest.chars().next())
                        .map_or(0, char::len_utf8)
                }
                None => next,
            };
        }
        self.push(from..end, TokenKind::String, Role::Plain);
        end
    }

    /// A heredoc's beginning; gives where it ends.
    fn heredoc(&mut self, text: &str, start: usize, end: usize) -> Option<usize> {
        let rest = text.get(start..end)?;
        let begins = if rest.starts_with("<<-") { 3 } else { 2 };
        let mut quote = None;
        let mut length = rest.len();
        for (at, letter) in rest.char_indices().skip(begins) {
            match quote {
                // No word with another < in it begins one.
                _ if letter == '<' => return None,
                Some(open) if open == letter => quote = None,
                None if matches!(letter, '\'' | '"') => quote = Some(letter),
                None if letter.is_whitespace() => {
                    length = at;
                    break;
                }
                Some(_) | None => {}
            }
        }
        let word = rest.get(..length)?;
        Marker::read(word).ok()??;
        self.push(start..start + length, TokenKind::HeredocMarker, Role::Plain);
        Some(start + length)
    }

    /// A JSON array.
    fn json(&mut self, text: &str, range: Range<usize>, manner: Manner) {
        let mut at = range.start;
        while let Some(letter) = text.get(at..range.end).and_then(|rest| rest.chars().next()) {
            let next = at + letter.len_utf8();
            at = match letter {
                '[' | ']' => {
                    self.push(at..next, TokenKind::Bracket, Role::Plain);
                    next
                }
                ',' => {
                    self.push(at..next, TokenKind::Operator, Role::Plain);
                    next
                }
                '"' => self.string(text, at, range.end, manner),
                _ => next,
            };
        }
    }

    /// The content of a heredoc.
    fn body(&mut self, text: &str, expand: bool) {
        let (mut from, mut at) = (0, 0);
        let mut open = 0;
        let next = |at: usize| {
            text.get(at..)
                .and_then(|rest| rest.find(['$', '\\', '}']))
                .filter(|_| expand)
        };
        while let Some(found) = next(at) {
            at += found;
            let next = self.variable(text, at, text.len(), &mut open, |scan| {
                scan.push(from..at, TokenKind::HeredocBody, Role::Plain);
            });
            if let Some(next) = next {
                (at, from) = (next, next);
                continue;
            }
            let escaped = text.get(at..).is_some_and(|rest| rest.starts_with("\\$"));
            at += if escaped { 2 } else { 1 };
        }
        self.push(from..text.len(), TokenKind::HeredocBody, Role::Plain);
    }
}
