//! Formatting: white space and case, and nothing that a build would notice.
//!
//! What RUN, COPY, ADD, WORKDIR and ONBUILD say reaches an image letter by letter, in a digest, a name or its
//! configuration. So their white space stays, but for what stands before, behind and around them; of all other
//! instructions only the words count.

use serde::{Deserialize, Serialize};

use crate::edit::TextEdit;
use crate::span::Span;
use crate::syntax::{self, Arguments, Keyword, Node, without_continuation};

use super::document::{Document, Kind, Row, is_endless};

/// How a file should look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FormatOptions {
    /// How many spaces stand before the lines that continue an instruction; at least one.
    pub indent: usize,
    /// How many empty lines may follow each other.
    pub empty_lines: usize,
}

impl Default for FormatOptions {
    fn default() -> Self {
        Self {
            indent: 4,
            empty_lines: 1,
        }
    }
}

/// What has to be changed for `source` to look as `options` say. The build stays the same, digest for digest.
///
/// Behind a heredoc that never ends nothing is changed, since nobody knows what belongs to it.
#[must_use]
pub fn format(source: &str, options: &FormatOptions) -> Vec<TextEdit> {
    let tree = syntax::parse(source);
    let document = Document::new(source, &tree);
    let endless = tree.nodes.iter().position(is_endless);
    let known = match endless {
        Some(node) => document.rows.iter().position(|row| row.kind == Kind::Head(node)),
        None => None,
    };
    let rows = document
        .rows
        .get(..known.unwrap_or(document.rows.len()))
        .unwrap_or_default();
    let mut format = Format {
        document: &document,
        options,
        rows,
        below: None,
        words: None,
        edits: Vec::new(),
    };
    // From the end to the beginning: a comment looks at the line below it.
    for row in rows.iter().rev() {
        format.row(row);
    }
    format.empty_lines();
    if known.is_none() {
        format.last_newline();
    }
    format.edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    format.edits
}

struct Format<'f, 's> {
    document: &'f Document<'f, 's>,
    options: &'f FormatOptions,
    rows: &'f [Row],
    /// The line of an instruction that was met last, which is the next one below.
    below: Option<Row>,
    /// Where the words of an instruction stand, by its index; those of the one that was asked for last.
    words: Option<(usize, Vec<Span>)>,
    edits: Vec<TextEdit>,
}

impl Format<'_, '_> {
    fn text(&self, span: Span) -> &str {
        self.document.source.get(span.start..span.end).unwrap_or_default()
    }

    /// Puts `text` at `span`, where it is not there already.
    fn set(&mut self, span: Span, text: &str) {
        if self.text(span) != text {
            self.edits.push(TextEdit::replace(span, text));
        }
    }

    fn row(&mut self, row: &Row) {
        match row.kind {
            Kind::Directive(directive) => {
                if let Some(directive) = self.document.tree.directives.get(directive) {
                    // An indented one counts for the parser, but not for the check.
                    let text = row.text(self.document.source);
                    let start = row.start + (text.len() - text.trim_start().len());
                    self.set(
                        Span::new(start, row.end),
                        &format!("# {}={}", directive.name, directive.value),
                    );
                }
            }
            Kind::Comment => {
                self.indent(row, 0);
                self.trim(row);
            }
            Kind::Head(index) => {
                self.head(index, row);
                self.below = Some(*row);
            }
            Kind::Within(_) if row.text(self.document.source).trim_start().is_empty() => {
                self.set(Span::new(row.start, row.next), "");
            }
            Kind::Within(index) => {
                // A comment goes with the line that it stands above.
                let next = self.below.filter(|row| row.kind == Kind::Head(index));
                let wanted = match next {
                    Some(next) if !self.may_be_indented(index, &next) => {
                        self.text(leading(self.document.source, &next)).to_owned()
                    }
                    _ => " ".repeat(self.options.indent.max(1)),
                };
                self.set(leading(self.document.source, row), &wanted);
                self.trim(row);
            }
            Kind::Empty | Kind::Body(..) | Kind::End(..) | Kind::Endless(_) => {}
        }
    }

    fn head(&mut self, index: usize, row: &Row) {
        let Some(node) = self.document.tree.nodes.get(index) else {
            return;
        };
        if row.start <= node.span.start {
            self.indent(row, 0);
            self.keyword(node);
        } else if self.may_be_indented(index, row) {
            self.indent(row, self.options.indent.max(1));
        }
        // What a trigger says is kept to its last blank.
        let continued = without_continuation(row.text(self.document.source), self.document.tree.escape);
        if continued.is_some() || node.keyword != Some(Keyword::Onbuild) {
            self.trim(row);
        }
    }

    /// The name of an instruction, the words that belong to it, and what stands between them.
    fn keyword(&mut self, node: &Node<'_>) {
        let Some(keyword) = node.keyword else { return };
        if self.text(node.name_span) == node.name() {
            self.set(node.name_span, keyword.name());
        }
        if !only_words_count(keyword) {
            return;
        }
        let mut words = vec![node.name_span];
        words.extend(node.flags.iter().map(|flag| flag.span));
        match &node.arguments {
            Ok(Arguments::Words(found)) if keyword == Keyword::From => {
                words.extend(found.iter().map(|word| word.span));
                if let Some(word) = found.get(1) {
                    self.upper(word.span, "AS");
                }
            }
            Ok(Arguments::Tagged(word, _)) => {
                self.upper(word.span, "CMD");
                self.upper(word.span, "NONE");
                words.push(word.span);
            }
            Ok(_) => words.extend(argument_spans(node).first()),
            Err(_) => {}
        }
        for pair in words.windows(2) {
            let [before, after] = pair else { continue };
            let gap = Span::new(before.end, after.start.max(before.end));
            let text = self.text(gap);
            if !text.is_empty() && text.trim_matches(BLANKS).is_empty() {
                self.set(gap, " ");
            }
        }
    }

    /// Writes `word` where it stands in any case.
    fn upper(&mut self, span: Span, word: &str) {
        if self.text(span).eq_ignore_ascii_case(word) {
            self.set(span, word);
        }
    }

    fn indent(&mut self, row: &Row, width: usize) {
        if !self.is_marked(row) {
            self.set(leading(self.document.source, row), &" ".repeat(width));
        }
    }

    /// Takes the blanks off the end of a line.
    fn trim(&mut self, row: &Row) {
        let text = row.text(self.document.source);
        let kept = text.trim_end_matches(BLANKS);
        // A line of nothing else has lost them at its beginning. A carriage return that would come to stand at the end
        // would become part of the newline.
        if !kept.is_empty() && !kept.ends_with('\r') {
            self.set(Span::new(row.start + kept.len(), row.end), "");
        }
    }

    /// One empty line between stages, and never more than may be anywhere.
    fn empty_lines(&mut self) {
        let mut index = 0;
        let mut in_stage = false;
        while let Some(row) = self.rows.get(index) {
            let run = self
                .rows
                .iter()
                .skip(index)
                .take_while(|row| row.kind == Kind::Empty)
                .count();
            let next = self.rows.get(index + run);
            let last = (index + run).checked_sub(1).and_then(|last| self.rows.get(last));
            let end = last.map_or(row.start, |last| last.next.max(row.start));
            let span = Span::new(row.start, end);
            let before = index
                .checked_sub(1)
                .and_then(|before| self.rows.get(before))
                .map(|row| row.kind);
            let wanted = match (before, next) {
                // The end of what is formatted; it may be the end of the file.
                (_, None) if self.rows.len() == self.document.rows.len() => 0,
                (_, None) => run,
                // At the top of a file a comment may be one only because of what stands above it, and a mark of the
                // byte order may be none.
                (None, Some(next)) if next.kind != Kind::Comment && !self.is_marked(next) => 0,
                (before, Some(_)) => {
                    let most = run.min(self.options.empty_lines.max(usize::from(before.is_none())));
                    if in_stage && before != Some(Kind::Comment) && self.begins_stage(index + run) {
                        1
                    } else {
                        most
                    }
                }
            };
            if run > 0 || wanted > 0 {
                let own = self.rows.iter().skip(index).take(run.min(wanted));
                let mut text: String = own.map(|row| self.text(row.newline())).collect();
                for _ in run..wanted {
                    text.push_str(self.newline_before(index));
                }
                self.set(span, &text);
            }
            index += run;
            if let Some(Kind::Head(node)) = self.rows.get(index).map(|row| row.kind) {
                in_stage |= self.is_from(node);
            }
            index += 1;
        }
    }

    /// Whether a FROM begins in a line, or right below the comments that begin there.
    fn begins_stage(&self, index: usize) -> bool {
        let first = self.rows.iter().skip(index).find(|row| row.kind != Kind::Comment);
        first.is_some_and(|row| match row.kind {
            Kind::Head(index) => {
                let node = self.document.tree.nodes.get(index);
                node.is_some_and(|node| node.keyword == Some(Keyword::From) && row.start <= node.span.start)
            }
            _ => false,
        })
    }

    /// Whether a line that continues an instruction begins between two of its words, where white space does not count.
    fn may_be_indented(&mut self, index: usize, row: &Row) -> bool {
        let Some(node) = self.document.tree.nodes.get(index) else {
            return false;
        };
        if !node.keyword.is_some_and(only_words_count) || node.arguments.is_err() {
            return false;
        }
        let words = match self.words.take() {
            Some((known, words)) if known == index => words,
            _ => {
                let flags = node.flags.iter().map(|flag| flag.span);
                std::iter::once(node.name_span)
                    .chain(flags)
                    .chain(argument_spans(node))
                    .collect()
            }
        };
        let begins = leading(self.document.source, row).end;
        let before = words.partition_point(|word| word.start < begins);
        let before = before.checked_sub(1).and_then(|before| words.get(before));
        let within = before.is_some_and(|word| begins < word.end);
        self.words = Some((index, words));
        !within
    }

    fn is_marked(&self, row: &Row) -> bool {
        row.text(self.document.source)
            .trim_start_matches(BLANKS)
            .starts_with(MARK)
    }

    fn is_from(&self, node: usize) -> bool {
        self.document
            .tree
            .nodes
            .get(node)
            .is_some_and(|node| node.keyword == Some(Keyword::From))
    }

    /// A newline as the line before has it.
    fn newline_before(&self, index: usize) -> &'static str {
        let before = index.checked_sub(1).and_then(|before| self.rows.get(before));
        if before.is_some_and(|row| self.text(row.newline()).starts_with('\r')) {
            "\r\n"
        } else {
            "\n"
        }
    }

    fn last_newline(&mut self) {
        let source = self.document.source;
        let last = self
            .rows
            .last()
            .is_some_and(|row| !row.text(source).trim().is_empty());
        if last {
            let newline = self.newline_before(self.rows.len().saturating_sub(1));
            self.edits.push(TextEdit::insert(source.len(), newline));
        }
    }
}

/// White space that may be changed. There is more that parsers take for white space; nobody writes it by intent.
const BLANKS: [char; 2] = [' ', '\t'];

/// The mark of the byte order, which is none but at the very beginning of a file.
const MARK: char = '\u{feff}';

/// The blanks at the beginning of a line.
fn leading(source: &str, row: &Row) -> Span {
    let text = row.text(source);
    let length = text.len() - text.trim_start_matches(BLANKS).len();
    Span::new(row.start, row.start + length)
}

/// Whether nothing but the words of an instruction reaches the image.
fn only_words_count(keyword: Keyword) -> bool {
    !keyword.changes_files() && keyword != Keyword::Onbuild
}

/// Where the arguments of an instruction stand, each as far as white space in it counts.
fn argument_spans(node: &Node<'_>) -> Vec<Span> {
    fn spans(arguments: &Arguments) -> Vec<Span> {
        match arguments {
            Arguments::Words(words) | Arguments::Json(words) => words.iter().map(|word| word.span).collect(),
            Arguments::Text(word) => vec![word.span],
            Arguments::Pairs(pairs) => pairs.iter().map(|pair| pair.span).collect(),
            Arguments::Tagged(word, rest) => {
                let mut found = vec![word.span];
                found.extend(spans(rest));
                found
            }
            Arguments::Trigger(_) => Vec::new(),
        }
    }
    node.arguments.as_ref().map(spans).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::Input;
    use crate::diagnostic::Severity;
    use crate::edit::apply;
    use crate::syntax::generated::{files, mutated_files};

    fn formatted(source: &str) -> String {
        apply(source, &format(source, &FormatOptions::default())).unwrap()
    }

    /// All that a build would notice.
    fn planned(source: &str) -> impl PartialEq + std::fmt::Debug + use<> {
        let analysis = crate::analyze(&Input {
            source: source.to_owned(),
            ..Input::default()
        });
        let errors = analysis
            .diagnostics
            .iter()
            .filter(|found| found.severity == Severity::Error);
        let errors: Vec<String> = errors.map(|found| found.code.clone()).collect();
        let ops = analysis.definition.map(|definition| {
            let ops = definition.ops.into_iter().map(|op| (op.digest, op.name));
            ops.collect::<Vec<_>>()
        });
        (ops, errors, analysis.image_config)
    }

    fn check(source: &str) -> Result<(), TestCaseError> {
        let after = formatted(source);
        prop_assert_eq!(
            planned(&after),
            planned(source),
            "{:?} became {:?}",
            source,
            after
        );
        prop_assert_eq!(
            formatted(&after),
            after.clone(),
            "{:?} became {:?}",
            source,
            after
        );
        Ok(())
    }

    #[test]
    fn directive_that_only_the_parser_takes_for_one_stays_that() {
        for blank in ["\u{a0}", " "] {
            let source = format!("#escape=\\\n{blank}#check=all\nFROM scratch\n");
            let wanted = format!("# escape=\\\n{blank}# check=all\nFROM scratch\n");
            assert_eq!(formatted(&source), wanted);
        }
    }

    #[test]
    fn white_space_and_case_are_put_in_order() {
        let source = "\
#Syntax = docker/dockerfile:1
  # the builder

 from   golang:1.22  as build  \t
env A=1 \\
 B=2   \\  \t
# why C

   C=3
run   go build  \\
  # a note
      ./...  &&  true
# what ships
FROM scratch
copy --from=build   /app /  \n\n\n\n
healthcheck   --interval=1s cmd  true";
        let expected = "\
# syntax=docker/dockerfile:1
# the builder

FROM golang:1.22 AS build
ENV A=1 \\
    B=2   \\
    # why C
    C=3
RUN   go build  \\
      # a note
      ./...  &&  true

# what ships
FROM scratch
COPY --from=build   /app /

HEALTHCHECK --interval=1s CMD  true
";
        assert_eq!(formatted(source), expected);
        check(source).unwrap();
    }

    #[test]
    fn what_is_in_order_stays() {
        let source = "# syntax=x\n\nARG A\nFROM a AS b\nRUN <<E\n  x  \n\n\n\nE\n\nFROM b\n";
        assert_eq!(format(source, &FormatOptions::default()), []);
        assert_eq!(format("", &FormatOptions::default()), []);
    }

    #[test]
    fn a_line_within_a_word_keeps_its_blanks() {
        let source = "FROM a\nLABEL a=\"b \\\n  c\" \\\n  d=e\nCMD a \\\n  b\n";
        assert_eq!(
            formatted(source),
            "FROM a\nLABEL a=\"b \\\n  c\" \\\n    d=e\nCMD a \\\n  b\n"
        );
    }

    #[test]
    fn lines_end_as_those_before_them_do() {
        assert_eq!(formatted("from a\r\nfrom b"), "FROM a\r\n\r\nFROM b\r\n");
    }

    #[test]
    fn what_might_be_in_a_heredoc_is_left_alone() {
        let source = "from a\nrun <<E\n  x\n\n\n\nfrom b  ";
        assert_eq!(formatted(source), "FROM a\nrun <<E\n  x\n\n\n\nfrom b  ");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn the_build_stays_the_same(source in files()) {
            check(&source)?;
        }

        #[test]
        fn the_build_of_a_broken_file_stays_the_same(source in mutated_files()) {
            check(&source)?;
        }

        #[test]
        fn any_text_can_be_formatted(source in any::<String>()) {
            check(&source)?;
        }
    }
}
