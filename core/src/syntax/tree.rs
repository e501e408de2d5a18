//! From text to instructions.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Problem, Severity};
use crate::span::{LineRange, Span};

use super::directive::{self, Directive};
use super::heredoc::{Heredoc, Marker};
use super::line::{Line, Lines, Physical, without_continuation};
use super::words::{RawFlag, first_word, flags};
use super::{Arguments, Keyword};

/// A file, instruction by instruction.
#[derive(Debug)]
pub(crate) struct Tree<'s> {
    /// The escape character: `\`, or what the directive says.
    pub(crate) escape: char,
    pub(crate) directives: Vec<Directive>,
    pub(crate) nodes: Vec<Node<'s>>,
    /// What could not be read.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl<'s> Tree<'s> {
    /// The instruction that stands at a place, where one does.
    pub(crate) fn node_at(&self, offset: usize) -> Option<&Node<'s>> {
        let behind = self.nodes.partition_point(|node| node.span.start <= offset);
        let node = self.nodes.get(behind.checked_sub(1)?)?;
        (offset < node.span.end).then_some(node)
    }
}

/// One instruction.
#[derive(Debug, Clone)]
pub(crate) struct Node<'s> {
    /// Where its name stands in the line.
    name: Range<usize>,
    /// Where the name stands.
    pub(crate) name_span: Span,
    /// What the name stands for; `None` where there is no such instruction.
    pub(crate) keyword: Option<Keyword>,
    pub(crate) flags: Vec<Flag>,
    /// What stands behind name and flags, or why that cannot be read.
    pub(crate) arguments: Result<Arguments, Problem>,
    /// The heredocs it begins, with their content.
    pub(crate) heredocs: Vec<Heredoc>,
    /// The instruction on one line.
    pub(crate) line: Line<'s>,
    /// From its first letter to the end of its last line.
    pub(crate) span: Span,
    pub(crate) lines: LineRange,
    /// The comments right above it.
    pub(crate) comments: Vec<&'s str>,
}

/// A flag: `--name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flag {
    /// Without quotes and escapes.
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Node<'_> {
    /// Its name as written.
    pub(crate) fn name(&self) -> &str {
        self.line.text().get(self.name.clone()).unwrap_or_default()
    }

    /// The instruction on one line, without white space around it.
    pub(crate) fn code(&self) -> &str {
        self.line.text().trim()
    }
}

/// Reads a whole file.
pub(crate) fn parse(source: &str) -> Tree<'_> {
    let mut parser = Parser {
        source,
        lines: Lines::new(source),
        at_directives: true,
        comments: Vec::new(),
        tree: Tree {
            escape: '\\',
            directives: Vec::new(),
            // Nodes are large, and a file has about one in fifty bytes.
            nodes: Vec::with_capacity(source.len() / 50 + 1),
            diagnostics: Vec::new(),
        },
    };
    while let Some(line) = parser.lines.next() {
        parser.line(line);
    }
    parser.tree
}

/// Reads the instruction that an ONBUILD of another file or stage left behind; all of it is said to stand at `span`.
/// `None` where it is not exactly one instruction.
pub(crate) fn parse_trigger(text: &str, span: Span, lines: LineRange) -> Option<Node<'_>> {
    let mut tree = parse(text);
    let is_error = |found: &Diagnostic| found.severity == Severity::Error;
    if tree.diagnostics.iter().any(is_error) || tree.nodes.len() != 1 {
        return None;
    }
    // Its own offsets mean nothing in the file at hand.
    let mut node = tree.nodes.pop()?;
    node.flags.iter_mut().for_each(|flag| flag.span = span);
    node.heredocs.iter_mut().for_each(|heredoc| heredoc.span = span);
    node.arguments = match node.arguments {
        Ok(arguments) => Ok(relocated(arguments, span)),
        Err(problem) => Err(Problem {
            span: Some(span),
            ..problem
        }),
    };
    (node.line, node.span, node.lines, node.name_span) = (node.line.relocate(span), span, lines, span);
    Some(node)
}

pub(super) fn relocated(mut arguments: Arguments, span: Span) -> Arguments {
    match &mut arguments {
        Arguments::Words(words) | Arguments::Json(words) => {
            for word in words {
                word.span = span;
            }
        }
        Arguments::Text(word) => word.span = span,
        Arguments::Pairs(pairs) => {
            for pair in pairs {
                pair.span = span;
            }
        }
        Arguments::Tagged(word, rest) => {
            word.span = span;
            let inner = std::mem::replace(rest.as_mut(), Arguments::Words(Vec::new()));
            **rest = relocated(inner, span);
        }
        Arguments::Trigger(_) => {}
    }
    arguments
}

impl<'s> Node<'s> {
    /// Reads one joined line.
    pub(crate) fn read(line: Line<'s>, escape: char) -> Self {
        let text = line.text();
        let trimmed = text.trim();
        let start = text.len() - text.trim_start().len();
        let end = start + trimmed.len();
        let (name, next) = first_word(trimmed);
        let keyword = Keyword::read(name);
        let name_span = line.span(start..start + name.len());
        let rest = next.map_or(end, |next| start + next);
        let (found, arguments) = flags(text.get(rest..end).unwrap_or_default(), escape);
        let flag = |(text, range): RawFlag| Flag {
            text,
            span: line.span(rest + range.start..rest + range.end),
        };
        let found = found.into_iter().map(flag).collect();
        // Flags are read by bytes, and so may end inside a letter.
        let mut from = rest + arguments;
        while !text.is_char_boundary(from) {
            from += 1;
        }
        let tail = text.get(from..end).unwrap_or_default();
        let from = from + (tail.len() - tail.trim_start().len());
        let arguments = match keyword {
            Some(keyword) => Arguments::read(keyword, &line, from..end.max(from), escape),
            None => Ok(Arguments::Words(Vec::new())),
        };
        let span = line.span(start..end);
        Self {
            name: start..start + name.len(),
            name_span,
            keyword,
            flags: found,
            arguments,
            heredocs: Vec::new(),
            span,
            lines: LineRange::default(),
            comments: Vec::new(),
            line,
        }
    }

    /// Whether `<<` in it may begin a heredoc.
    fn takes_heredocs(&self, escape: char) -> bool {
        match (&self.arguments, self.keyword) {
            (Ok(Arguments::Json(_)), _) | (_, None) => false,
            (Ok(Arguments::Trigger(range)), _) => {
                let inner = self.line.text().get(range.clone()).unwrap_or_default();
                let inner = Node::read(Line::new(inner, 0), escape);
                inner.keyword != Some(Keyword::Onbuild) && inner.takes_heredocs(escape)
            }
            (_, Some(keyword)) => keyword.takes_heredocs(),
        }
    }
}

/// Whether there is a `<<` in a text.
fn has_marker(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'<', bytes).any(|at| bytes.get(at + 1) == Some(&b'<'))
}

struct Parser<'s> {
    source: &'s str,
    lines: Lines<'s>,
    /// Directives are over with the first line that is none.
    at_directives: bool,
    comments: Vec<&'s str>,
    tree: Tree<'s>,
}

impl<'s> Parser<'s> {
    fn problem(&mut self, problem: Problem, span: Span, lines: LineRange) {
        self.tree
            .diagnostics
            .push(problem.into_diagnostic(Severity::Error, span, lines));
    }

    fn line(&mut self, line: Physical<'s>) {
        let number = self.lines.taken;
        let content = line.content();
        let start = line.start + (content.len() - content.trim_start().len());
        let content = content.trim_start();
        if self.at_directives && self.directive(content, start, number) {
            return;
        }
        if line.is_comment() {
            match directive::comment(line.text) {
                "" => self.comments.clear(),
                comment => self.comments.push(comment),
            }
            return;
        }
        match without_continuation(content, self.tree.escape) {
            None if content.is_empty() => {}
            None => self.instruction(Line::new(content, start), start, start + content.len(), number),
            Some(before) => {
                let mut joined = Line::new(before, start);
                let end = self.continuation(&mut joined, start + content.len());
                self.instruction(joined, start, end, number);
            }
        }
    }

    /// Reads a directive; whether the line was one.
    fn directive(&mut self, content: &str, start: usize, number: u32) -> bool {
        let span = Span::new(start, start + content.len());
        let lines = LineRange {
            start: number,
            end: number,
        };
        let Some((name, value)) = directive::read(content) else {
            self.at_directives = false;
            return false;
        };
        if self
            .tree
            .directives
            .iter()
            .any(|directive| directive.name == name)
        {
            let problem = Problem::new(
                "repeated-directive",
                format!("The directive {name} is there twice."),
            )
            .hint("Remove one of the two.");
            self.problem(problem, span, lines);
            return true;
        }
        if name == "escape" {
            match value {
                "\\" => self.tree.escape = '\\',
                "`" => self.tree.escape = '`',
                _ => {
                    let problem = Problem::new(
                        "bad-escape",
                        format!("\"{value}\" cannot be the escape character."),
                    )
                    .hint("It is either \\ or `.");
                    self.problem(problem, span, lines);
                }
            }
        }
        self.tree.directives.push(Directive {
            name,
            value: value.to_owned(),
            span,
            lines,
        });
        true
    }

    /// Joins the lines that continue an instruction; gives the end of the last one.
    fn continuation(&mut self, joined: &mut Line<'s>, mut end: usize) -> usize {
        let mut empty = None;
        while let Some(line) = self.lines.next() {
            let content = line.content();
            end = line.start + content.len();
            if line.is_comment() {
                continue;
            }
            if content.trim_start().is_empty() {
                empty.get_or_insert(Span::new(line.start, end));
                continue;
            }
            let Some(before) = without_continuation(content, self.tree.escape) else {
                joined.join(content, line.start);
                break;
            };
            joined.join(before, line.start);
        }
        if let Some(span) = empty {
            let lines = LineRange {
                start: self.lines.taken,
                end: self.lines.taken,
            };
            let problem = Problem::new(
                "NoEmptyContinuation",
                "There is an empty line within this instruction.",
            )
            .hint("Remove it, or make it a comment: some day it will end the instruction.");
            self.tree
                .diagnostics
                .push(problem.into_diagnostic(Severity::Warning, span, lines));
        }
        end
    }

    fn instruction(&mut self, joined: Line<'s>, start: usize, end: usize, first: u32) {
        let mut node = Node::read(joined, self.tree.escape);
        node.span = Span::new(start, end);
        node.comments = std::mem::take(&mut self.comments);
        let mut end = None;
        if has_marker(node.line.text()) && node.takes_heredocs(self.tree.escape) {
            end = self.heredocs(&mut node);
        }
        node.lines = LineRange {
            start: first,
            end: end.unwrap_or(self.lines.taken),
        };
        self.tree.nodes.push(node);
    }

    /// Reads the heredocs of an instruction. Where one never ends it gives the last line of the file, which BuildKit
    /// looked for its end in.
    fn heredocs(&mut self, node: &mut Node<'s>) -> Option<u32> {
        let markers = match Marker::all(node.line.text()) {
            Ok(markers) => markers,
            Err(error) => {
                node.arguments = Err(Problem::new("bad-heredoc", error.to_string()));
                return None;
            }
        };
        for marker in markers {
            let after = self.lines.clone();
            let Some((content, span, end)) = self.heredoc(&marker) else {
                let message = format!("The heredoc <<{} never ends.", marker.name);
                let hint = format!("Put a line with nothing but {} behind its content.", marker.name);
                node.arguments = Err(Problem::new("unterminated-heredoc", message).hint(hint));
                let last = self.lines.taken;
                self.resume(after);
                return Some(last);
            };
            node.span.end = end;
            node.heredocs.push(Heredoc {
                marker,
                content,
                span,
            });
        }
        None
    }

    fn heredoc(&mut self, marker: &Marker) -> Option<(String, Span, usize)> {
        let start = self.lines.offset();
        while let Some(line) = self.lines.next() {
            if marker.ends_at(line.content()) {
                let span = Span::new(start, line.start);
                let content = self.source.get(start..line.start).unwrap_or_default().to_owned();
                return Some((content, span, line.start + line.content().len()));
            }
        }
        None
    }

    /// Behind a heredoc without an end the reading goes on with the next stage, so that one line costs one stage.
    fn resume(&mut self, after: Lines<'s>) {
        let mut ahead = after;
        loop {
            let here = ahead.clone();
            match ahead.next() {
                None => return,
                Some(line) if Keyword::read(first_word(line.content()).0) == Some(Keyword::From) => {
                    self.lines = here;
                    return;
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        parse(source)
            .nodes
            .iter()
            .map(|node| node.name().to_owned())
            .collect()
    }

    #[test]
    fn comments_and_empty_lines_lie_between_instructions() {
        assert_eq!(names("\u{feff}# a\n\nFROM a\r\n  # b\nRUN b"), ["FROM", "RUN"]);
    }

    #[test]
    fn continuations_join_and_span_all_their_lines() {
        let source = "RUN a \\\n  # note\n\n b\nCMD c\n";
        let tree = parse(source);
        assert_eq!(tree.nodes[0].code(), "RUN a  b");
        assert_eq!(tree.nodes[0].lines, LineRange { start: 1, end: 4 });
        assert_eq!(
            &source[tree.nodes[0].span.start..tree.nodes[0].span.end],
            "RUN a \\\n  # note\n\n b"
        );
        assert_eq!(tree.nodes[1].lines, LineRange { start: 5, end: 5 });
        assert_eq!(tree.diagnostics.len(), 1);
    }

    #[test]
    fn escape_directive_changes_continuations() {
        assert_eq!(
            names("# escape=`\nRUN a `\n b\nRUN c\\\nCMD d"),
            ["RUN", "RUN", "CMD"]
        );
        assert_eq!(names("# a comment\n# escape=`\nRUN a `\nCMD d"), ["RUN", "CMD"]);
    }

    #[test]
    fn heredocs_are_taken_whole() {
        let tree = parse("RUN <<A cat <<-B\na\nA\n\tb\n\tB\nCMD x");
        let contents: Vec<_> = tree.nodes[0].heredocs.iter().map(Heredoc::chomped).collect();
        assert_eq!(contents, ["a\n", "b\n"]);
        assert_eq!(tree.nodes[0].lines, LineRange { start: 1, end: 5 });
        assert_eq!(tree.nodes[1].name(), "CMD");
    }

    #[test]
    fn heredoc_without_an_end_costs_one_stage() {
        let tree = parse("FROM a\nRUN <<EOF\nx\nFROM b\nRUN y\n");
        let names: Vec<_> = tree.nodes.iter().map(Node::name).collect();
        assert_eq!(names, ["FROM", "RUN", "FROM", "RUN"]);
        assert_eq!(
            tree.nodes[1].arguments.as_ref().unwrap_err().code,
            "unterminated-heredoc"
        );
    }

    #[test]
    fn a_flag_that_ends_inside_a_letter_spans_all_of_it() {
        let source = "RUN --\u{a0}x y";
        let flag = &parse(source).nodes[0].flags[0];
        assert_eq!(source.get(flag.span.start..flag.span.end), Some("--\u{a0}"));
    }

    #[test]
    fn flags_carry_their_place() {
        let source = "COPY \\\n --from=a  b c";
        let tree = parse(source);
        let flag = &tree.nodes[0].flags[0];
        assert_eq!(
            (flag.text.as_str(), &source[flag.span.start..flag.span.end]),
            ("--from=a", "--from=a")
        );
    }
}
