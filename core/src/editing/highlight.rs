//! Highlighting: what each piece of a text is.

use serde::{Deserialize, Serialize};

use crate::span::Span;
use crate::syntax;

use super::document::Document;
use super::pieces::pieces;
use super::stages::Stages;

/// A piece of the text that is not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Where it stands. The content of a heredoc may have newlines in it.
    pub span: Span,
    /// What it is.
    pub kind: TokenKind,
}

/// What a [`Token`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenKind {
    /// The name of an instruction, and words that belong to one: `AS`, `CMD`, `NONE`.
    Keyword,
    /// The name of an instruction that there is not.
    Unknown,
    /// A comment.
    Comment,
    /// The name of a parser directive.
    Directive,
    /// The name of a flag, with its dashes.
    Flag,
    /// The value of a flag, an option or a directive.
    FlagValue,
    /// An option of a mount; the name of a label.
    Option,
    /// The name of a stage.
    Stage,
    /// An image.
    Image,
    /// The name that ARG or ENV gives a value to.
    Name,
    /// A variable that is worked out.
    Variable,
    /// Text in quotes.
    String,
    /// A number.
    Number,
    /// What stands between others: `=`, `,`, `&&`, `:-`.
    Operator,
    /// A bracket of a JSON array.
    Bracket,
    /// What joins a line to the next.
    Continuation,
    /// The beginning or the end of a heredoc.
    HeredocMarker,
    /// The content of a heredoc.
    HeredocBody,
}

/// The pieces of `source` that are not plain, in order; none lies in another.
#[must_use]
pub fn highlight(source: &str) -> Vec<Token> {
    let tree = syntax::parse(source);
    let document = Document::new(source, &tree);
    let found = pieces(&document, &Stages::new(&tree)).into_iter();
    found
        .map(|piece| Token {
            span: piece.span,
            kind: piece.kind,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kind text` of each token.
    fn tokens(source: &str) -> Vec<String> {
        let shown = |token: Token| format!("{:?} {}", token.kind, &source[token.span.start..token.span.end]);
        highlight(source).into_iter().map(shown).collect()
    }

    #[test]
    fn an_instruction_has_its_pieces() {
        assert_eq!(
            tokens(
                "# escape=`\nFROM --platform=$BUILDPLATFORM a:1 as b # c\nCOPY --from=B --chown=1:2 \"x $y\" z"
            ),
            [
                "Comment #",
                "Directive escape",
                "Operator =",
                "FlagValue `",
                "Keyword FROM",
                "Flag --platform",
                "Operator =",
                "Variable $BUILDPLATFORM",
                "Image a:1",
                "Keyword as",
                "Stage b",
                "Unknown #",
                "Unknown c",
                "Keyword COPY",
                "Flag --from",
                "Operator =",
                "Stage B",
                "Flag --chown",
                "Operator =",
                "FlagValue 1:2",
                "String \"x ",
                "Variable $y",
                "String \"",
            ]
        );
    }

    #[test]
    fn a_mount_has_options() {
        assert_eq!(
            tokens("FROM x AS s\nRUN --mount=type=bind,from=s,ro a && b"),
            [
                "Keyword FROM",
                "Image x",
                "Keyword AS",
                "Stage s",
                "Keyword RUN",
                "Flag --mount",
                "Operator =",
                "Option type",
                "Operator =",
                "FlagValue bind",
                "Operator ,",
                "Option from",
                "Operator =",
                "Stage s",
                "Operator ,",
                "Option ro",
                "Operator &&",
            ]
        );
    }

    #[test]
    fn variables_stand_out_everywhere_they_count() {
        assert_eq!(
            tokens("ARG A=${B:-x${C}}\nENV D='$E'\nRUN [\"$F\"]\nADD <<G /\n $H \\$I\nG\n"),
            [
                "Keyword ARG",
                "Name A",
                "Operator =",
                "Variable ${B",
                "Operator :-",
                "Variable ${C",
                "Variable }",
                "Variable }",
                "Keyword ENV",
                "Name D",
                "Operator =",
                "String '$E'",
                "Keyword RUN",
                "Bracket [",
                "String \"$F\"",
                "Bracket ]",
                "Keyword ADD",
                "HeredocMarker <<G",
                "HeredocBody  ",
                "Variable $H",
                "HeredocBody  \\$I\n",
                "HeredocMarker G",
            ]
        );
    }

    #[test]
    fn what_a_continuation_tears_apart_is_shown_in_parts() {
        assert_eq!(
            tokens("EXPOSE 8\\\n# c\n0/tcp\nONBUILD USER a\nNOPE x"),
            [
                "Keyword EXPOSE",
                "Number 8",
                "Continuation \\",
                "Comment # c",
                "Number 0",
                "Operator /",
                "Keyword ONBUILD",
                "Keyword USER",
                "Unknown NOPE",
            ]
        );
    }
}
