//! A build script as data: its commands with their words, and the places that need a real shell.
//!
//! Nothing is run. What decides or repeats (`if`, `for`, functions) is not guessed at: it comes out as one piece with
//! its place, for the reader to say so.

use crate::span::Span;

/// One thing in a script, in its order.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// Commands, each feeding the next.
    Pipeline(Pipeline),
    /// Something that only a shell can follow.
    Construct(Construct),
}

/// Commands joined by `|`; most are one.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) commands: Vec<Command>,
    /// How it hangs on what stands before it.
    pub(super) joined: Joined,
    pub(super) span: Span,
}

/// When a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    /// In any case.
    Always,
    /// Once the one before succeeded: a script that works runs it.
    Then,
    /// If the one before failed.
    Else,
}

/// One command.
#[derive(Debug, Clone, Default)]
pub(super) struct Command {
    pub(super) assignments: Vec<(String, Word)>,
    pub(super) words: Vec<Word>,
    pub(super) redirects: Vec<Redirect>,
    pub(super) span: Span,
}

/// `>file` and its like. Those of other channels than standard output and input are left out.
#[derive(Debug, Clone)]
pub(super) struct Redirect {
    pub(super) kind: RedirectKind,
    pub(super) target: Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RedirectKind {
    Input,
    Output,
    Append,
    /// The lines that follow.
    Here,
}

/// A word, before variables are worked out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
    pub(super) span: Span,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// A pattern: `*`, `?` or `[`, not quoted.
    Glob(char),
    /// `$name`, `${name}`, `${name:-word}`.
    Variable {
        name: String,
        /// What it is where it is not set.
        fallback: Option<Word>,
        quoted: bool,
        written: String,
    },
    /// `$(…)`: where the commands in it stand.
    Output {
        inner: Span,
        written: String,
    },
    /// Something else with a `$`.
    Unknown {
        written: String,
    },
}

impl Word {
    /// The word, where it is nothing but text.
    pub(super) fn plain(&self) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Glob(letter) => text.push(*letter),
                Part::Variable { .. } | Part::Output { .. } | Part::Unknown { .. } => return None,
            }
        }
        Some(text)
    }
}

/// What only a shell can follow.
#[derive(Debug, Clone)]
pub(super) struct Construct {
    /// What begins it: `if`, `for`, `(`.
    pub(super) what: String,
    pub(super) span: Span,
    /// Whether images or containers are worked on in it.
    pub(super) matters: bool,
    /// Whether its end is there.
    pub(super) ended: bool,
}

/// Reads the part `range` of a script.
pub(super) fn read(source: &str, range: Span) -> Vec<Item> {
    let mut reader = Reader {
        source,
        at: range.start.min(source.len()),
        end: range.end.min(source.len()),
        heredocs: Vec::new(),
        depth: 0,
    };
    let mut items = Vec::new();
    while let Some(item) = reader.item(items.is_empty()) {
        items.push(item);
    }
    items
}

/// Programs that work on images and containers.
pub(super) const ENGINES: [&str; 4] = ["docker", "podman", "buildah", "nerdctl"];

/// What opens a construct, and what closes it.
fn closer(word: &str) -> Option<&'static str> {
    Some(match word {
        "if" => "fi",
        "for" | "while" | "until" | "select" => "done",
        "case" => "esac",
        "{" => "}",
        "(" => ")",
        _ => return None,
    })
}

struct Reader<'s> {
    source: &'s str,
    at: usize,
    end: usize,
    /// Ends of the heredocs that begin behind the next newline.
    heredocs: Vec<(String, bool)>,
    /// How deep `${a:-${b:-…}}` goes.
    depth: usize,
}

impl Reader<'_> {
    const DEEPEST: usize = 50;

    fn rest(&self) -> &str {
        self.source.get(self.at..self.end).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn text(&self, start: usize) -> String {
        self.source.get(start..self.at).unwrap_or_default().to_owned()
    }

    /// Passes blanks and joined lines; comments too.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\r') if self.rest().starts_with("\r\n") => self.at += 1,
                Some('\\') if self.rest().starts_with("\\\n") => self.at += 2,
                Some('\\') if self.rest().starts_with("\\\r\n") => self.at += 3,
                Some('#') => {
                    self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                }
                _ => return,
            }
        }
    }

    /// Passes a newline, and the heredocs that begin behind it.
    fn newline(&mut self) {
        self.at += 1;
        for (name, tabs) in std::mem::take(&mut self.heredocs) {
            loop {
                let rest = self.rest();
                if rest.is_empty() {
                    break;
                }
                let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
                let line = rest
                    .get(..length)
                    .unwrap_or_default()
                    .trim_end_matches(['\r', '\n']);
                let line = if tabs { line.trim_start_matches('\t') } else { line };
                let ends = line == name;
                self.at += length;
                if ends {
                    break;
                }
            }
        }
    }

    /// The next thing in the script.
    fn item(&mut self, first: bool) -> Option<Item> {
        let mut joined = Joined::Always;
        loop {
            self.blanks();
            match self.peek()? {
                '\n' => self.newline(),
                '&' if self.take("&&") => joined = Joined::Then,
                '|' if self.take("||") => joined = Joined::Else,
                // Where nothing feeds a | or opens a ), the shell would refuse it, and the next word is as good.
                ';' | '&' | '|' | ')' => self.at += 1,
                _ => break,
            }
        }
        if first {
            joined = Joined::Always;
        }
        let start = self.at;
        if let Some(construct) = self.construct() {
            return Some(Item::Construct(construct));
        }
        let mut commands = vec![self.command()];
        loop {
            self.blanks();
            if self.rest().starts_with("||") || !self.take("|") {
                break;
            }
            _ = self.take("&");
            loop {
                self.blanks();
                if self.peek() != Some('\n') {
                    break;
                }
                self.newline();
            }
            if let Some(mut construct) = self.construct() {
                construct.span.start = start;
                construct.matters |= commands.iter().any(is_engine);
                return Some(Item::Construct(construct));
            }
            commands.push(self.command());
        }
        let end = commands.last().map_or(self.at, |last| last.span.end);
        Some(Item::Pipeline(Pipeline {
            commands,
            joined,
            span: Span::new(start, end.max(start)),
        }))
    }

    /// A bare word from here on: letters up to the next blank or operator.
    fn bare(&self) -> &str {
        let rest = self.rest();
        let end = rest
            .find(|letter: char| letter.is_whitespace() || ";|&()<>".contains(letter))
            .unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    /// Passes a construct from its first word to its last, where one begins here.
    fn construct(&mut self) -> Option<Construct> {
        let start = self.at;
        let bare = self.bare().to_owned();
        let what = match bare.as_str() {
            "if" | "for" | "while" | "until" | "select" | "case" | "{" => bare.clone(),
            "" if self.peek() == Some('(') => "(".to_owned(),
            "function" => "function".to_owned(),
            "[[" | "((" | "!" => return None,
            name if is_name(name)
                && self
                    .rest()
                    .get(name.len()..)
                    .is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with("()")) =>
            {
                "function".to_owned()
            }
            _ => return None,
        };
        let mut open: Vec<&'static str> = Vec::new();
        let mut matters = false;
        let mut ended = false;
        if what == "function" {
            // Its name and parentheses; the body is a construct of its own.
            while !matches!(self.peek(), None | Some('{' | '\n')) {
                self.at += self.peek().map_or(1, char::len_utf8);
            }
            while matches!(self.peek(), Some('\n' | ' ' | '\t' | '\r')) {
                self.at += 1;
            }
            if self.peek() != Some('{') {
                return Some(Construct {
                    what,
                    span: Span::new(start, self.at),
                    matters: false,
                    ended: true,
                });
            }
        }
        // Whether a word here begins a command, so that it may be a keyword.
        let mut leads = true;
        loop {
            self.blanks();
            let Some(letter) = self.peek() else { break };
            match letter {
                '\n' => {
                    self.newline();
                    leads = true;
                    continue;
                }
                ';' | '&' | '|' => {
                    self.at += 1;
                    leads = true;
                    continue;
                }
                '<' | '>' => {
                    self.redirect();
                    continue;
                }
                '(' => {
                    self.at += 1;
                    // The patterns of a case may begin with one.
                    if open.last() != Some(&"esac") {
                        open.push(")");
                    }
                    leads = true;
                    continue;
                }
                ')' => {
                    self.at += 1;
                    if open.last() == Some(&")") {
                        open.pop();
                    }
                    leads = true;
                }
                _ => {
                    let before = self.at;
                    let word = self.word();
                    if self.at == before {
                        self.next();
                        continue;
                    }
                    let text = word.plain().unwrap_or_default();
                    let written = self.text(before);
                    if leads && closer(&written).is_some() {
                        open.extend(closer(&written));
                    } else if leads && open.last().is_some_and(|closer| *closer == written) {
                        open.pop();
                    }
                    let engine = ENGINES.iter().any(|engine| text.ends_with(engine));
                    matters |= engine && (leads || !text.contains('/'));
                    leads = matches!(
                        written.as_str(),
                        "then"
                            | "do"
                            | "else"
                            | "elif"
                            | "if"
                            | "while"
                            | "until"
                            | "{"
                            | "!"
                            | "in"
                            | "}"
                            | "fi"
                            | "done"
                    );
                }
            }
            if open.is_empty() {
                ended = true;
                break;
            }
        }
        Some(Construct {
            what,
            span: Span::new(start, self.at),
            matters,
            ended,
        })
    }

    fn command(&mut self) -> Command {
        let start = self.at;
        let mut command = Command::default();
        let mut end = start;
        loop {
            self.blanks();
            match self.peek() {
                Some('&') if self.rest().starts_with("&>") => {
                    self.at += 1;
                    self.redirect();
                }
                None | Some('\n' | ';' | '|' | ')' | '&') => break,
                Some('<' | '>') => command.redirects.extend(self.redirect()),
                Some('(') => {
                    self.at += 1;
                }
                Some(letter) if letter.is_ascii_digit() && self.channel().is_some() => {
                    let (digits, output) = self.channel().unwrap_or_default();
                    self.at += digits;
                    let redirect = self.redirect();
                    command.redirects.extend(redirect.filter(|_| output));
                }
                Some(_) => {
                    let before = self.at;
                    let assigned = self.assigned_name();
                    let word = self.word();
                    if self.at == before {
                        // A letter that begins no word.
                        self.next();
                    } else if let Some((name, value)) =
                        assigned.filter(|_| command.words.is_empty()).and_then(|name| {
                            let value = value_of(&word, name.len())?;
                            Some((name, value))
                        })
                    {
                        command.assignments.push((name, value));
                    } else {
                        command.words.push(word);
                    }
                }
            }
            end = self.at;
        }
        command.span = Span::new(start, end);
        command
    }

    /// How many digits name a channel before `<` or `>`, and whether it is standard output or input.
    fn channel(&self) -> Option<(usize, bool)> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let rest = self.rest().get(digits..)?;
        let number = self.rest().get(..digits)?;
        rest.starts_with(['<', '>'])
            .then_some((digits, matches!(number, "0" | "1")))
    }

    fn redirect(&mut self) -> Option<Redirect> {
        if self.take("<<<") {
            self.blanks();
            self.word();
            return None;
        }
        let kind = if self.take("<<") {
            let tabs = self.take("-");
            self.blanks();
            let name = self.word();
            self.heredocs.push((name.plain().unwrap_or_default(), tabs));
            return Some(Redirect {
                kind: RedirectKind::Here,
                target: name,
            });
        } else if self.take(">>") {
            RedirectKind::Append
        } else if self.take(">&") || self.take("<&") {
            self.word();
            return None;
        } else if self.take(">|") || self.take(">") {
            RedirectKind::Output
        } else if self.take("<>") || self.take("<") {
            RedirectKind::Input
        } else {
            return None;
        };
        self.blanks();
        let target = self.word();
        Some(Redirect { kind, target })
    }

    /// The name in `name=value`, where such begins here.
    fn assigned_name(&self) -> Option<String> {
        let (name, _) = self.bare().split_once('=')?;
        is_name(name).then(|| name.to_owned())
    }

    /// A word up to the next blank or operator.
    fn word(&mut self) -> Word {
        let start = self.at;
        let mut parts = Vec::new();
        let mut text = String::new();
        while let Some(letter) = self.peek() {
            match letter {
                ' ' | '\t' | '\n' | ';' | '|' | '&' | '(' | ')' | '<' | '>' => break,
                '\r' if self.rest().starts_with("\r\n") => break,
                '\'' => {
                    self.at += 1;
                    let rest = self.rest();
                    let length = rest.find('\'').unwrap_or(rest.len());
                    text.push_str(rest.get(..length).unwrap_or_default());
                    self.at = (self.at + length + 1).min(self.end);
                }
                '"' => {
                    self.at += 1;
                    self.double_quoted(&mut parts, &mut text);
                }
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        // A joined line.
                        Some('\n') | None => {}
                        Some(letter) => text.push(letter),
                    }
                }
                '$' | '`' => self.dollar(&mut parts, &mut text, false),
                '*' | '?' | '[' => {
                    self.at += 1;
                    flush(&mut parts, &mut text);
                    parts.push(Part::Glob(letter));
                }
                _ => {
                    self.next();
                    text.push(letter);
                }
            }
        }
        // An empty word is one too where it is quoted.
        if !text.is_empty() || parts.is_empty() {
            parts.push(Part::Text(text));
        }
        Word {
            parts,
            span: Span::new(start, self.at),
        }
    }

    fn double_quoted(&mut self, parts: &mut Vec<Part>, text: &mut String) {
        while let Some(letter) = self.peek() {
            match letter {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(letter @ ('$' | '`' | '"' | '\\')) => text.push(letter),
                        Some(letter) => {
                            text.push('\\');
                            text.push(letter);
                        }
                    }
                }
                '$' | '`' => self.dollar(parts, text, true),
                _ => {
                    self.next();
                    text.push(letter);
                }
            }
        }
    }

    /// What begins with `$` or `` ` ``.
    fn dollar(&mut self, parts: &mut Vec<Part>, text: &mut String, quoted: bool) {
        let start = self.at;
        let part = if self.take("`") {
            let inner = self.at;
            let length = self.rest().find('`');
            self.at = length.map_or(self.end, |length| inner + length);
            let inner = Span::new(inner, self.at);
            _ = self.take("`");
            Part::Output {
                inner,
                written: self.text(start),
            }
        } else if self.take("$((") {
            self.parenthesis(2);
            Part::Unknown {
                written: self.text(start),
            }
        } else if self.take("$(") {
            let inner = self.at;
            self.parenthesis(1);
            let closed = self.source.get(..self.at).is_some_and(|read| read.ends_with(')'));
            let end = if closed { (self.at - 1).max(inner) } else { self.at };
            Part::Output {
                inner: Span::new(inner, end),
                written: self.text(start),
            }
        } else if self.take("${") {
            self.braced(start, quoted)
        } else {
            self.at += 1;
            let name = self.name();
            if name.is_empty() {
                if let Some(letter @ ('@' | '*' | '#' | '?' | '-' | '$' | '!' | '0'..='9')) = self.peek() {
                    self.at += 1;
                    Part::Variable {
                        name: letter.to_string(),
                        fallback: None,
                        quoted,
                        written: self.text(start),
                    }
                } else {
                    text.push('$');
                    return;
                }
            } else {
                Part::Variable {
                    name,
                    fallback: None,
                    quoted,
                    written: self.text(start),
                }
            }
        };
        flush(parts, text);
        parts.push(part);
    }

    fn name(&mut self) -> String {
        let start = self.at;
        if self.peek().is_some_and(|letter| letter.is_ascii_digit()) {
            return String::new();
        }
        while self
            .peek()
            .is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        {
            self.at += 1;
        }
        self.text(start)
    }

    /// `${name}` or `${name:-word}`, behind its `${`.
    fn braced(&mut self, start: usize, quoted: bool) -> Part {
        let mut name = self.name();
        if name.is_empty()
            && let Some(letter @ ('0'..='9' | '@' | '*' | '#' | '?' | '-' | '$' | '!')) = self.peek()
        {
            self.at += 1;
            name.push(letter);
        }
        if !name.is_empty() && self.take("}") {
            return Part::Variable {
                name,
                fallback: None,
                quoted,
                written: self.text(start),
            };
        }
        let has_fallback =
            !name.is_empty() && (self.take(":-") || self.take("-") || self.take(":=") || self.take("="));
        let from = self.at;
        self.brace();
        let to = if self.source.get(..self.at).is_some_and(|read| read.ends_with('}')) {
            (self.at - 1).max(from)
        } else {
            self.at
        };
        let written = self.text(start);
        if !has_fallback || self.depth >= Self::DEEPEST {
            return Part::Unknown { written };
        }
        let mut inner = Reader {
            source: self.source,
            at: from,
            end: to,
            heredocs: Vec::new(),
            depth: self.depth + 1,
        };
        let mut parts = Vec::new();
        let mut text = String::new();
        inner.double_quoted_to_end(&mut parts, &mut text);
        flush(&mut parts, &mut text);
        Part::Variable {
            name,
            fallback: Some(Word {
                parts,
                span: Span::new(from, to),
            }),
            quoted,
            written,
        }
    }

    /// A fallback: as between double quotes, which may stand in it too.
    fn double_quoted_to_end(&mut self, parts: &mut Vec<Part>, text: &mut String) {
        while self.at < self.end {
            self.double_quoted(parts, text);
        }
    }

    /// Passes everything up to the `}` that closes what is open.
    fn brace(&mut self) {
        let mut depth = 1_usize;
        while let Some(letter) = self.next() {
            match letter {
                '\\' => {
                    self.next();
                }
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// Passes everything up to the `)` that closes what is open.
    fn parenthesis(&mut self, open: usize) {
        let mut depth = open;
        let mut quote: Option<char> = None;
        while let Some(letter) = self.next() {
            match (quote, letter) {
                (None | Some('"'), '\\') => {
                    self.next();
                }
                (Some(open), letter) if letter == open => quote = None,
                (None, '\'' | '"') => quote = Some(letter),
                (None, '(') => depth += 1,
                (None, ')') => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }
}

fn flush(parts: &mut Vec<Part>, text: &mut String) {
    if !text.is_empty() {
        parts.push(Part::Text(std::mem::take(text)));
    }
}

/// The value in a word that reads `name=value`.
fn value_of(word: &Word, name: usize) -> Option<Word> {
    let mut parts = word.parts.clone();
    let Some(Part::Text(first)) = parts.first_mut() else {
        return None;
    };
    *first = first.get(name..)?.strip_prefix('=')?.to_owned();
    Some(Word {
        parts,
        span: Span::new((word.span.start + name + 1).min(word.span.end), word.span.end),
    })
}

/// Whether `text` can be the name of a variable or function.
fn is_name(text: &str) -> bool {
    let mut letters = text.bytes();
    letters
        .next()
        .is_some_and(|letter| letter.is_ascii_alphabetic() || letter == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

fn is_engine(command: &Command) -> bool {
    let first = command.words.first().and_then(Word::plain);
    first.is_some_and(|first| ENGINES.contains(&first.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command's words as text, with `$` for what is worked out later.
    fn commands(source: &str) -> Vec<String> {
        let word = |word: &Word| {
            let part = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                Part::Glob(letter) => letter.to_string(),
                Part::Variable { name, fallback, .. } => {
                    let fallback = fallback
                        .as_ref()
                        .map(|word| format!("-{}", word.plain().unwrap()));
                    format!("${{{name}{}}}", fallback.unwrap_or_default())
                }
                Part::Output { inner, .. } => format!("$({})", &source[inner.start..inner.end]),
                Part::Unknown { written } => written.clone(),
            };
            word.parts.iter().map(part).collect::<String>()
        };
        let item = |item: &Item| match item {
            Item::Construct(construct) => format!("<{}>", &source[construct.span.start..construct.span.end]),
            Item::Pipeline(pipeline) => {
                let command = |command: &Command| {
                    let mut words: Vec<String> = command
                        .assignments
                        .iter()
                        .map(|(name, value)| format!("{name}={}", word(value)))
                        .collect();
                    words.extend(command.words.iter().map(word));
                    words.extend(
                        command
                            .redirects
                            .iter()
                            .map(|redirect| format!("{:?}:{}", redirect.kind, word(&redirect.target))),
                    );
                    words.join("/")
                };
                let commands: Vec<String> = pipeline.commands.iter().map(command).collect();
                commands.join(" | ")
            }
        };
        read(source, Span::new(0, source.len()))
            .iter()
            .map(item)
            .collect()
    }

    #[test]
    fn commands_are_separated_and_joined_lines_are_one() {
        assert_eq!(
            commands("#!/bin/sh\nset -e; a b && c \\\n  d # note\n\n|| e\r\nf#g & h\n"),
            ["set/-e", "a/b", "c/d", "e", "f#g", "h"]
        );
    }

    #[test]
    fn quotes_variables_and_substitutions_are_told_apart() {
        assert_eq!(
            commands(r#"A="x y" b '$c' "d$e" ${f:-g h} $(i "j)") \$k `l` ${m%n}"#),
            [r#"A=x y/b/$c/d${e}/${f-g h}/$(i "j)")/$k/$(l)/${m%n}"#]
        );
    }

    #[test]
    fn redirects_keep_what_is_written_and_read() {
        assert_eq!(
            commands("a >b 2>&1 </c 2>/dev/null | tar x >>d\ncat <<EOF >e\ndocker build\nEOF\nf"),
            [
                "a/Output:b/Input:/c | tar/x/Append:d",
                "cat/Here:EOF/Output:e",
                "f"
            ]
        );
    }

    #[test]
    fn constructs_are_one_piece_whatever_is_in_them() {
        assert_eq!(
            commands(
                "if [ -f x ]; then\n  for a in b; do c; done\nfi\nd\nf() {\n  docker build .\n}\n(cd x; y)\ncase $1 in\n a) b;;\n *) if c; then d; fi;;\nesac\ne\n"
            ),
            [
                "<if [ -f x ]; then\n  for a in b; do c; done\nfi>",
                "d",
                "<f() {\n  docker build .\n}>",
                "<(cd x; y)>",
                "<case $1 in\n a) b;;\n *) if c; then d; fi;;\nesac>",
                "e"
            ]
        );
    }

    #[test]
    fn a_construct_says_whether_images_are_worked_on_in_it() {
        let matters = |source: &str| match &read(source, Span::new(0, source.len()))[0] {
            Item::Construct(construct) => (construct.matters, construct.ended),
            Item::Pipeline(_) => panic!("{source} is no construct"),
        };
        assert_eq!(matters("if true; then docker build .; fi"), (true, true));
        assert_eq!(
            matters("if [ -d docker/x ]; then rm -r docker/x; fi"),
            (false, true)
        );
        assert_eq!(matters("while true; do sleep 1\n"), (false, false));
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for source in [
            "$",
            "${",
            "${a:-",
            "$(",
            "`",
            "'",
            "\"",
            "\\",
            "((",
            "a <<",
            "<<EOF",
            ")",
            "|",
            "&&",
            "x=$(",
            "ü$ü",
            "f()",
            "case x in",
        ] {
            for item in read(source, Span::new(0, source.len())) {
                let (Item::Construct(Construct { span, .. }) | Item::Pipeline(Pipeline { span, .. })) = item;
                assert!(source.get(span.start..span.end).is_some(), "{source}: {span:?}");
            }
        }
    }
}
