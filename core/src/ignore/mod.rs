//! `.dockerignore`: which files of a build context stay behind.
//!
//! The patterns mean what they mean to BuildKit, oddities included, for a file that one of the two lets in and the
//! other does not makes another image. Two questions are asked of them, and they are not the same question:
//!
//! - [`Ignore::ignores`]: is this path kept out? A path is kept out where a pattern names it or a folder it is in, and
//!   a later `!` pattern that names it or a folder it is in lets it in again.
//! - [`Ignore::walk`]: what is sent? The walk goes down from the top, and what a pattern said of a folder is carried
//!   along. After `a/b` and `!a` the first question lets `a/b` in; the walk does not, because nothing had kept `a` out
//!   when `!a` was looked at.
//!
//! A pattern costs at most its own length for each letter of a path; none can be written that costs more.

mod glob;
mod pattern;
mod place;
mod reader;
mod regex;
mod walk;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Severity};
use crate::path::clean;
use crate::span::{LineRange, Span};

use pattern::Matcher;

pub use place::{IgnoreFile, ignore_file};
pub use walk::{Entry, Looked, Verdict};

pub(crate) use reader::patterns;

/// An ignore file that was read.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
    /// What each rule matches.
    matchers: Vec<Matcher>,
}

/// One line of an ignore file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The pattern as it counts: cleaned, without a `/` in front and without the `!`.
    pub pattern: String,
    /// Whether it lets in again what an earlier one keeps out: whether it was written with a `!`.
    pub negated: bool,
    /// Its line, from 1.
    pub line: u32,
    /// Where it stands, the `!` included.
    pub span: Span,
}

/// Whether a path is kept out, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Whether it is kept out.
    pub ignored: bool,
    /// The rule that had the last word, by index into [`Ignore::rules`]; `None` where none says anything of the path.
    pub rule: Option<usize>,
}

impl Ignore {
    /// Reads an ignore file. Lines that are no patterns are left out, and said.
    pub fn parse(text: &str) -> (Self, Vec<Diagnostic>) {
        let mut ignore = Self::default();
        let mut diagnostics = Vec::new();
        let mut room = regex::LARGEST;
        for line in reader::lines(text) {
            let lines = LineRange {
                start: line.number,
                end: line.number,
            };
            let written = line.pattern.and_then(|text| pattern::read(&text));
            let read = written.and_then(|found| {
                let Some(found) = found else { return Ok(None) };
                let matcher = Matcher::compile(&found.pattern, &mut room)?;
                Ok(Some((found, matcher)))
            });
            match read {
                // Nothing is left of it once blanks are taken away.
                Ok(None) => {}
                Ok(Some((found, matcher))) => {
                    ignore.rules.push(Rule {
                        pattern: found.pattern,
                        negated: found.negated,
                        line: line.number,
                        span: line.span,
                    });
                    ignore.matchers.push(matcher);
                }
                Err(problem) => {
                    diagnostics.push(problem.into_diagnostic(Severity::Error, line.span, lines));
                }
            }
        }
        (ignore, diagnostics)
    }

    /// The patterns of a list, such as those that a copy takes or leaves. None of them is a comment, and a `/` in front
    /// is part of one. Lines are counted as if each had its own.
    ///
    /// # Errors
    /// The first that cannot be read, and why.
    pub fn of(patterns: &[String]) -> Result<Self, String> {
        let mut ignore = Self::default();
        let mut room = regex::LARGEST;
        for (text, line) in patterns.iter().zip(1..) {
            let matcher = pattern::read(text).and_then(|found| {
                let Some(found) = found else { return Ok(()) };
                ignore.matchers.push(Matcher::compile(&found.pattern, &mut room)?);
                ignore.rules.push(Rule {
                    pattern: found.pattern,
                    negated: found.negated,
                    line,
                    span: Span::new(0, 0),
                });
                Ok(())
            });
            matcher.map_err(|problem| problem.message)?;
        }
        Ok(ignore)
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the walk from the top ([`Ignore::walk`]) finds that a rule names `path`, a file.
    pub fn names(&self, path: &str) -> bool {
        let mut above: Option<Looked> = None;
        for folder in parents(path) {
            above = Some(self.look(folder, true, above.as_ref()));
        }
        self.look(path, false, above.as_ref()).verdict.ignored
    }

    /// The rules, in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether any rule lets something in again.
    pub fn has_exclusions(&self) -> bool {
        self.rules.iter().any(|rule| rule.negated)
    }

    /// Whether `path`, seen from the context's root, is kept out. The root itself never is.
    pub fn ignores(&self, path: &str) -> bool {
        self.decide(path).ignored
    }

    /// The same, and which rule says so.
    pub fn decide(&self, path: &str) -> Decision {
        let mut decision = Decision {
            ignored: false,
            rule: None,
        };
        let path = clean(path);
        let path = path.strip_prefix('/').unwrap_or(&path);
        if path.is_empty() || path == "." {
            return decision;
        }
        for (index, (rule, matcher)) in self.rules.iter().zip(&self.matchers).enumerate() {
            // A rule that could change nothing is not looked at.
            if rule.negated != decision.ignored {
                continue;
            }
            if matcher.matches(path) || parents(path).any(|parent| matcher.matches(parent)) {
                decision = Decision {
                    ignored: !rule.negated,
                    rule: Some(index),
                };
            }
        }
        decision
    }

    /// Whether a path is kept out that is matched as it is written, a `/` at its beginning included, which no pattern
    /// has: how the reference asks of the sources of COPY. The root is kept out where everything is.
    pub(crate) fn ignores_as_written(&self, path: &str) -> bool {
        let path = clean(path);
        if path == "." || path == "/" {
            let everything = ["*", "**", "**/*"];
            let mut rules = self.rules.iter().filter(|rule| !rule.negated);
            if !rules.any(|rule| everything.contains(&rule.pattern.as_str())) {
                return false;
            }
        }
        let rooted = path.starts_with('/');
        // What lies in the root is in a folder of that name.
        let in_root = path.rfind('/') == Some(0);
        let matches = |rule: &Rule, matcher: &Matcher| {
            matcher.matches(&path)
                || rooted && matcher.matches("")
                || in_root && rule.pattern == "/"
                || parents(&path).any(|parent| matcher.matches(parent))
        };
        let mut ignored = false;
        for (rule, matcher) in self.rules.iter().zip(&self.matchers) {
            if rule.negated == ignored && matches(rule, matcher) {
                ignored = !rule.negated;
            }
        }
        ignored
    }
}

/// The folders that `path` is in, from the top.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .filter_map(|(place, _)| path.get(..place))
        .filter(|parent| !parent.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(text: &str) -> Ignore {
        let (ignore, diagnostics) = Ignore::parse(text);
        assert_eq!(diagnostics, [], "{text}");
        ignore
    }

    #[test]
    fn the_root_as_a_pattern_is_the_folder_of_what_lies_in_it() {
        let ignore = ignore("/\n");
        let written = ["/a", "a", "/a/b", "./a", ".", "/"].map(|path| ignore.ignores_as_written(path));
        assert_eq!(written, [true, false, false, false, false, false]);
        assert!(!ignore.ignores("/a"), "it keeps nothing out");
    }

    #[test]
    fn path_is_kept_out_with_its_folder_and_let_in_again() {
        let ignore = ignore("# all\nnode_modules\n*.log\n!keep.log\n/dist/**\n");
        for (path, ignored) in [
            ("node_modules", true),
            ("node_modules/x/y", true),
            ("src/node_modules", false),
            ("a.log", true),
            ("keep.log", false),
            ("src/a.log", false),
            ("dist", false),
            ("dist/a", true),
            (".", false),
            ("/", false),
            ("./a.log", true),
        ] {
            assert_eq!(ignore.ignores(path), ignored, "{path}");
        }
        assert!(ignore.has_exclusions());
    }

    #[test]
    fn rule_with_the_last_word_is_named_by_its_line() {
        let ignore = ignore("\u{feff}# first\n  a  \r\n! /a/./b\n");
        let decision = ignore.decide("a/b/c");
        assert_eq!(
            decision,
            Decision {
                ignored: false,
                rule: Some(1)
            }
        );
        let rule = &ignore.rules()[1];
        assert_eq!((rule.pattern.as_str(), rule.line, rule.negated), ("a/b", 3, true));
    }

    #[test]
    fn what_is_no_pattern_is_said_and_the_rest_counts() {
        let text = "a\n!\n[\nb[z-a]*\n\\\nc\n";
        let (ignore, diagnostics) = Ignore::parse(text);
        let lines: Vec<u32> = diagnostics.iter().map(|finding| finding.lines.start).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
        for finding in &diagnostics {
            assert!(text.get(finding.span.start..finding.span.end).is_some());
            assert!(finding.hint.is_some());
        }
        assert!(ignore.ignores("a") && ignore.ignores("c"));
    }

    #[test]
    fn patterns_that_break_backtracking_matchers_are_quick() {
        let ignore = ignore(&format!("{}c", "a*".repeat(500)));
        assert!(!ignore.ignores(&"a".repeat(500)));
    }
}
