//! Heredocs: `<<EOF` in an instruction, and the lines up to `EOF` behind it.

use nom::Parser as _;
use nom::bytes::complete::tag;
use nom::character::complete::digit0;
use nom::combinator::{opt, rest};

use crate::shell::{ExpandError, Lexer, NoVariables};
use crate::span::Span;

/// What a word like `<<-"EOF"` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The word that ends the heredoc; in ADD and COPY also the file's name.
    pub(crate) name: String,
    /// Whether variables in the content are worked out: not where any of the word is quoted.
    pub(crate) expand: bool,
    /// Whether tabs at the beginning of lines are taken away (`<<-`).
    pub(crate) chomp: bool,
}

/// A heredoc with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heredoc {
    pub(crate) marker: Marker,
    /// The lines up to the one that ends it, newlines included.
    pub(crate) content: String,
    /// Where the content stands.
    pub(crate) span: Span,
}

impl Heredoc {
    /// The content as it is used, without its leading tabs where `<<-` says so.
    pub(crate) fn chomped(&self) -> String {
        self.read_as(&self.marker)
    }

    /// The content as `marker` wants it.
    pub(crate) fn read_as(&self, marker: &Marker) -> String {
        if !marker.chomp {
            return self.content.clone();
        }
        self.content
            .split_inclusive('\n')
            .map(|line| line.trim_start_matches('\t'))
            .collect()
    }
}

impl Marker {
    /// Reads a word; `None` where it does not begin a heredoc.
    pub(crate) fn read(word: &str) -> Result<Option<Self>, ExpandError> {
        if !word.contains('<') {
            return Ok(None);
        }
        let mut parts = (
            digit0::<&str, nom::error::Error<&str>>,
            tag("<<"),
            opt(tag("-")),
            rest,
        );
        let Ok((_, (_, _, dash, rest))) = parts.parse(word) else {
            return Ok(None);
        };
        let rest = rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
        if rest.is_empty() || rest.contains('<') {
            return Ok(None);
        }
        let lexer = Lexer {
            keep_unset: true,
            ..Lexer::new('\\')
        };
        let plain = lexer.expand(rest, &NoVariables)?.words;
        let raw = Lexer {
            raw_quotes: true,
            ..lexer
        }
        .expand(rest, &NoVariables)?
        .words;
        let (Ok([plain]), Ok([raw])) = (<[String; 1]>::try_from(plain), <[String; 1]>::try_from(raw)) else {
            return Ok(None);
        };
        let quotes = |text: &str| text.matches(['\'', '"']).count();
        Ok(Some(Self {
            expand: quotes(&plain) == quotes(&raw),
            name: plain,
            chomp: dash.is_some(),
        }))
    }

    /// The heredocs that an instruction begins, in order.
    pub(crate) fn all(line: &str) -> Result<Vec<Self>, ExpandError> {
        let lexer = Lexer {
            raw_quotes: true,
            raw_escapes: true,
            keep_unset: true,
            ..Lexer::new('\\')
        };
        // A line that is no proper shell has no heredocs; whatever is wrong with it is for others to say.
        let words = lexer
            .expand(line, &NoVariables)
            .map(|expanded| expanded.words)
            .unwrap_or_default();
        words
            .iter()
            .filter_map(|word| Self::read(word).transpose())
            .collect()
    }

    /// Whether `line` (without newline) ends the heredoc.
    pub(super) fn ends_at(&self, line: &str) -> bool {
        self.name
            == if self.chomp {
                line.trim_start_matches('\t')
            } else {
                line
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Option<(String, bool, bool)> {
        Marker::read(word)
            .unwrap()
            .map(|marker| (marker.name, marker.expand, marker.chomp))
    }

    #[test]
    fn markers_say_how_the_content_is_meant() {
        assert_eq!(read("<<EOF"), Some(("EOF".into(), true, false)));
        assert_eq!(read("<<-EOF"), Some(("EOF".into(), true, true)));
        assert_eq!(read("<<'EOF'"), Some(("EOF".into(), false, false)));
        assert_eq!(read("3<<\"E F\""), Some(("E F".into(), false, false)));
        for none in ["<EOF", "<<<EOF", "<<", "a<<EOF", "<<-"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn one_instruction_may_begin_several() {
        let markers = Marker::all("RUN cat <<A - <<'B' # \"<<C\"").unwrap();
        let names: Vec<_> = markers.iter().map(|marker| marker.name.as_str()).collect();
        assert_eq!(names, ["A", "B"]);
    }
}
