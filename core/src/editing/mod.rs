//! What an editor asks of a file while it is written.
//!
//! Every service is a function from a text, and mostly a place in it, to plain data. Places are bytes; a place behind the
//! end or within a letter is taken for the next one before it. A file with mistakes in it, which is what a file that is
//! being written always is, is served as far as it can be read.

mod complete;
mod document;
mod folding;
mod format;
mod highlight;
mod hover;
mod names;
mod pieces;
mod predefined;
mod reading;
mod rename;
mod stages;
mod symbols;
mod variables;

use crate::syntax;

pub use complete::{Completion, CompletionKind, Surroundings, complete};
pub use folding::{FoldingKind, FoldingRange, folding};
pub use format::{FormatOptions, format};
pub use highlight::{Token, TokenKind, highlight};
pub use hover::{Hover, hover};
pub use names::{definition, references};
pub use rename::{RenameError, rename};
pub use symbols::{Symbol, symbols};

/// The file written in one way: each instruction on one line, with the comments that belong to it right above. It says
/// what `source` says, and is for comparing files rather than for people.
#[must_use]
pub fn print(source: &str) -> String {
    syntax::print(&syntax::parse(source))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::Input;
    use crate::edit::apply;
    use crate::span::Span;
    use crate::syntax::generated::{files, mutated_files};

    #[test]
    fn a_printed_file_says_the_same() {
        assert_eq!(print("from a\nRUN b \\\n  c"), "from a\nRUN b   c\n");
    }

    /// What holds of all services, whatever the text is.
    fn check(source: &str, offset: usize) -> Result<(), TestCaseError> {
        let inside = |span: Span| {
            prop_assert!(
                source.get(span.start..span.end).is_some(),
                "{span:?} is no part of {source:?}"
            );
            Ok(())
        };
        let mut end = 0;
        for token in highlight(source) {
            inside(token.span)?;
            prop_assert!(
                token.span.start >= end && token.span.start < token.span.end,
                "{token:?} in {source:?}"
            );
            end = token.span.end;
        }
        for range in folding(source) {
            inside(range.span)?;
            prop_assert!(range.lines.start < range.lines.end);
            prop_assert!(range.lines.end as usize <= source.matches('\n').count() + 1);
        }
        for symbol in symbols(source) {
            for symbol in symbol.children.iter().chain([&symbol]) {
                inside(symbol.span)?;
                inside(symbol.selection)?;
                prop_assert!(
                    symbol.span.start <= symbol.selection.start && symbol.selection.end <= symbol.span.end
                );
            }
        }
        if let Some(span) = definition(source, offset) {
            inside(span)?;
            // A stage without a name is defined by a FROM, which names nothing.
            let found = references(source, span.start);
            prop_assert!(
                found.is_empty() || found.contains(&span),
                "{span:?} in {source:?}"
            );
        }
        for span in references(source, offset) {
            inside(span)?;
        }
        if let Ok(edits) = rename(source, offset, "other") {
            prop_assert!(apply(source, &edits).is_ok(), "{edits:?} in {source:?}");
        }
        let mut input = Input {
            source: source.to_owned(),
            ..Input::default()
        };
        input.options.build_args.insert("A".into(), "`1".into());
        if let Some(hover) = hover(&input, offset) {
            inside(hover.span)?;
            prop_assert!(!hover.markdown.is_empty());
        }
        let around = Surroundings {
            files: vec!["a/b".into(), "é".into()],
            images: vec!["alpine:3".into()],
        };
        let found = complete(&input, offset, &around);
        for completion in &found {
            prop_assert!(
                apply(source, std::slice::from_ref(&completion.edit)).is_ok(),
                "{completion:?} in {source:?}"
            );
            prop_assert_eq!(completion.edit.span.start, found[0].edit.span.start);
            prop_assert!(!completion.label.is_empty());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn every_file_is_served(source in files(), at in any::<prop::sample::Index>()) {
            check(&source, at.index(source.len() + 3))?;
        }

        #[test]
        fn every_broken_file_is_served(source in mutated_files(), at in any::<prop::sample::Index>()) {
            check(&source, at.index(source.len() + 3))?;
        }

        #[test]
        fn any_text_is_served(source in any::<String>(), at in any::<prop::sample::Index>()) {
            check(&source, at.index(source.len() + 3))?;
        }
    }
}
