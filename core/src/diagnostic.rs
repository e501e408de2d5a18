//! What the planner has to say about a place in the source.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::span::{LineRange, Span};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The build as written cannot run.
    Error,
    /// The build runs, but likely not as meant.
    Warning,
    /// Something worth knowing.
    Info,
}

/// One finding. The planner never stops at the first: everything it could say about a file comes back together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// A stable kebab-case name of the kind of finding, such as `unknown-instruction`.
    pub code: String,
    /// What happened, in one sentence.
    pub message: String,
    /// Where, in bytes.
    pub span: Span,
    /// Where, in lines: what BuildKit would report.
    pub lines: LineRange,
    /// What to do next, where something can be said.
    pub hint: Option<String>,
}

/// What went wrong with an instruction, before it is known where that instruction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// The words at fault; the whole instruction where they are not known.
    pub(crate) span: Option<Span>,
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            span: None,
            hint: None,
        }
    }

    /// Says which words are at fault, where that is not said already.
    pub(crate) fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says "Did you mean …?" where one of `candidates` is close to `word`.
    pub(crate) fn suggest<'c>(self, word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Self {
        match closest(word, candidates) {
            Some(candidate) => self.hint(format!("Did you mean {candidate}?")),
            None => self,
        }
    }

    /// The finding, now that the place is known.
    pub(crate) fn into_diagnostic(self, severity: Severity, span: Span, lines: LineRange) -> Diagnostic {
        Diagnostic {
            severity,
            code: self.code.to_owned(),
            message: self.message,
            span: self.span.unwrap_or(span),
            lines,
            hint: self.hint.or_else(|| usual_hint(self.code).map(str::to_owned)),
        }
    }
}

/// What to do about a kind of finding where nothing more exact was said.
fn usual_hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "bad-checksum" => "A checksum is sha256: and 64 hex digits, of one thing that is fetched.",
        "bad-device" => "Write it like vendor.com/gpu=all,required.",
        "bad-duration" => "Write it like 30s, 1m30s or 500ms.",
        "bad-epoch" => "Give it a number of seconds since 1970.",
        "bad-expansion" => "Put the escape character before a quote or a $ that is meant as it stands.",
        "bad-flag-value" => "Leave the value out to turn the flag on.",
        "bad-git-address" => {
            "An address may say ref, tag, branch, subdir, checksum, keep-git-dir, submodules and fetch-by-commit, each once."
        }
        "bad-healthcheck" => "Write HEALTHCHECK NONE, or HEALTHCHECK CMD and a command.",
        "bad-heredoc" => "Write <<EOF, and a line with nothing but EOF behind the content.",
        "bad-image-config" => "Ask for the image again; what came back is not an image.",
        "bad-mount" => "Write it like type=cache,target=/root/.cache.",
        "bad-number" => "Write a whole number, 0 or more.",
        "bad-path" => "Write it like C:\\app or app.",
        "bad-platform" => "Name an operating system and an architecture.",
        "bad-trigger" => "Any instruction but FROM, MAINTAINER and ONBUILD can be one.",
        "blank-name" => "Write name=value.",
        "heredoc-destination" => "Name the path that the file is to have.",
        _ => return None,
    })
}

/// The candidate that `word` was likely meant to be: at most two edits away, and fewer than it has letters.
pub(crate) fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const FAR: usize = 3;
    let word = word.to_ascii_lowercase();
    let letters = letters(&word);
    candidates
        .into_iter()
        // An edit changes a length by one letter of at most four bytes; most candidates need no closer look.
        .filter(|candidate| candidate.len().abs_diff(word.len()) < 4 * FAR)
        .filter(|candidate| far_at_least(letters, self::letters(candidate)) < FAR)
        .filter(|candidate| candidate.chars().count().abs_diff(word.chars().count()) < FAR)
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance > 0 && distance < FAR && distance < candidate.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Which letters a word has, in any case, as far as 32 bits can tell them apart.
fn letters(word: &str) -> u32 {
    word.chars().fold(0, |letters, letter| {
        letters | 1 << (u32::from(letter.to_ascii_lowercase()) & 31)
    })
}

/// Every edit brings at most one letter that was not there, and takes at most one away.
fn far_at_least(left: u32, right: u32) -> usize {
    (left & !right).count_ones().max((right & !left).count_ones()) as usize
}

/// Edits (insert, remove, replace a letter) that turn one word into the other. Long words are never close.
fn distance(left: &str, right: &str) -> usize {
    const LONGEST: usize = 64;
    if left.len() > LONGEST || right.len() > LONGEST {
        return usize::MAX;
    }
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            before = replaced.min(before + 1).min(diagonal + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// The finding as a terminal shows it: what, where, the line with carets under the words at fault, and what to do.
///
/// `file_name` is printed before the line and column; columns count characters from 1.
pub fn render(diagnostic: &Diagnostic, source: &str, file_name: &str) -> String {
    let Diagnostic {
        severity,
        code,
        message,
        span,
        hint,
        ..
    } = diagnostic;
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let start = floor_boundary(source, span.start);
    let end = floor_boundary(source, span.end).max(start);
    let (before, after) = source.split_at(start);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = after.find('\n').map_or(source.len(), |newline| start + newline);
    let line = source
        .get(line_start..line_end)
        .unwrap_or_default()
        .trim_end_matches('\r');
    let number = before.matches('\n').count() + 1;
    let lead = source.get(line_start..start).unwrap_or_default();
    let marked = source
        .get(start..end.min(line_start + line.len()).max(start))
        .unwrap_or_default();
    let gutter = " ".repeat(number.to_string().len());
    let pad: String = lead
        .chars()
        .map(|letter| if letter == '\t' { '\t' } else { ' ' })
        .collect();
    let carets = "^".repeat(marked.chars().count().max(1));
    let column = lead.chars().count() + 1;
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{severity}[{code}]: {message}");
    let _ = writeln!(text, "{gutter}--> {file_name}:{number}:{column}");
    let _ = writeln!(text, "{gutter} |");
    let _ = writeln!(text, "{number} | {line}");
    let _ = writeln!(text, "{gutter} | {pad}{carets}");
    if let Some(hint) = hint {
        let _ = writeln!(text, "{gutter} = help: {hint}");
    }
    text
}

fn floor_boundary(source: &str, offset: usize) -> usize {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_stand_under_the_words_at_fault() {
        let source = "FROM a\n\tRUNN ü x\n";
        let diagnostic = Problem::new("unknown-instruction", "There is no instruction RUNN.")
            .suggest("RUNN", ["ADD", "RUN"])
            .into_diagnostic(Severity::Error, Span::new(8, 12), LineRange { start: 2, end: 2 });
        let expected = "error[unknown-instruction]: There is no instruction RUNN.\n --> Dockerfile:2:2\n  |\n2 | \tRUNN ü x\n  | \t^^^^\n  = help: Did you mean RUN?\n";
        assert_eq!(render(&diagnostic, source, "Dockerfile"), expected);
    }

    #[test]
    fn rendering_takes_any_span() {
        let mut diagnostic =
            Problem::new("x", "y").into_diagnostic(Severity::Info, Span::new(0, 0), LineRange::default());
        for (start, end) in [(0, 0), (1, 2), (2, 1), (90, 900)] {
            diagnostic.span = Span::new(start, end);
            assert!(render(&diagnostic, "ü\r\n", "f").contains('y'));
        }
    }

    #[test]
    fn suggestions_are_close_or_absent() {
        assert_eq!(closest("buidler", ["base", "builder"]), Some("builder"));
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(closest("entirely", ["different"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
