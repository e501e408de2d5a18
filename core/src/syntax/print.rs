//! A tree as text again.
//!
//! What comes out says the same, written in one way: each instruction on one line, the comments that belong to it right
//! above, its heredocs behind it. Continuations and the comments within them are not in a tree, so they are gone; what
//! a file looks like is for the formatter to keep.

use super::line::without_continuation;
use super::{Keyword, Node, Tree, directive};

/// The text of `tree`. Reading it gives the same tree, places apart, where every heredoc of it ends.
pub(crate) fn print(tree: &Tree<'_>) -> String {
    let mut text = String::new();
    for directive in &tree.directives {
        for part in ["# ", &directive.name, "=", &directive.value, "\n"] {
            text.push_str(part);
        }
    }
    // Only an empty line keeps the first comment from being read as a directive.
    if !text.is_empty() || tree.nodes.first().is_some_and(would_be_misread) {
        text.push('\n');
    }
    for (index, node) in tree.nodes.iter().enumerate() {
        if index > 0 && node.keyword == Some(Keyword::From) {
            text.push('\n');
        }
        for comment in &node.comments {
            for part in ["# ", comment, "\n"] {
                text.push_str(part);
            }
        }
        instruction(node, tree.escape, &mut text);
    }
    text
}

/// Whether an instruction at the very top of a file would not be what it is elsewhere.
fn would_be_misread(node: &Node<'_>) -> bool {
    match node.comments.first() {
        Some(comment) => {
            let mut line = String::from("# ");
            line.push_str(comment);
            directive::read(&line).is_some()
        }
        // The file's first mark of the byte order is taken for just that.
        None => node.name().starts_with('\u{feff}'),
    }
}

fn instruction(node: &Node<'_>, escape: char, text: &mut String) {
    let line = node.line.text().trim_start();
    text.push_str(line);
    let ends_elsewhere = line.is_empty() || line.ends_with('\r');
    if ends_elsewhere || without_continuation(line, escape).is_some() {
        // Such a line is one that was to be continued when the file ended. It still is.
        text.push(escape);
    }
    text.push('\n');
    for heredoc in &node.heredocs {
        text.push_str(&heredoc.content);
        text.push_str(&heredoc.marker.name);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::span::Span;
    use crate::syntax::generated::{files, mutated_files};
    use crate::syntax::tree::relocated;
    use crate::syntax::{Arguments, parse};

    /// What a tree says, without where it says so.
    #[derive(Debug, PartialEq)]
    struct Meaning {
        escape: char,
        directives: Vec<(String, String)>,
        instructions: Vec<String>,
    }

    fn meaning(tree: &Tree<'_>) -> Meaning {
        let instruction = |node: &Node<'_>| {
            let flags: Vec<&str> = node.flags.iter().map(|flag| flag.text.as_str()).collect();
            let arguments = match node.arguments.clone() {
                Ok(Arguments::Trigger(range)) => node.line.text()[range].to_owned(),
                Ok(arguments) => format!("{:?}", relocated(arguments, Span::default())),
                Err(problem) => format!("{} {}", problem.code, problem.message),
            };
            let heredocs = node
                .heredocs
                .iter()
                .map(|heredoc| (&heredoc.marker, &heredoc.content));
            let heredocs: Vec<_> = heredocs.collect();
            let line = node.line.text().trim_start();
            format!(
                "{:?}",
                (
                    node.name(),
                    node.keyword,
                    flags,
                    arguments,
                    heredocs,
                    line,
                    &node.comments
                )
            )
        };
        let directives = tree.directives.iter();
        Meaning {
            escape: tree.escape,
            directives: directives
                .map(|directive| (directive.name.clone(), directive.value.clone()))
                .collect(),
            instructions: tree.nodes.iter().map(instruction).collect(),
        }
    }

    fn check(source: &str) -> Result<(), TestCaseError> {
        let tree = parse(source);
        let endless = |node: &Node<'_>| {
            let problem = node.arguments.as_ref().err();
            problem.is_some_and(|problem| problem.code == "unterminated-heredoc")
        };
        if tree.nodes.iter().any(endless) {
            return Ok(());
        }
        let printed = print(&tree);
        let again = parse(&printed);
        prop_assert_eq!(
            meaning(&again),
            meaning(&tree),
            "{:?} became {:?}",
            source,
            printed
        );
        prop_assert_eq!(print(&again), printed, "printed once is printed for good");
        Ok(())
    }

    #[test]
    fn an_instruction_is_printed_on_one_line() {
        let source = "#escape = `\nfrom a\n# of b\n\nRun x `\n # within\n  y\ncopy <<A /\n `\nA\nFROM b";
        assert_eq!(
            print(&parse(source)),
            "# escape=`\n\nfrom a\n# of b\nRun x   y\ncopy <<A /\n `\nA\n\nFROM b\n"
        );
    }

    #[test]
    fn what_the_top_of_a_file_would_change_does_not_stand_there() {
        for source in [
            "\n# escape=`\nRUN a \\\nb",
            "\n\u{feff}FROM a",
            "\u{feff}\u{feff}FROM a",
        ] {
            check(source).unwrap();
            assert!(print(&parse(source)).starts_with('\n'));
        }
    }

    #[test]
    fn what_the_end_of_a_file_cut_off_stays_cut_off() {
        for source in [
            "\\",
            "RUN a \\",
            "RUN a \\\n\\ \\\n",
            "ONBUILD RUN a\r\\\n",
            "RUN \\\n\n# x",
        ] {
            check(source).unwrap();
        }
    }

    proptest! {
        #[test]
        fn reading_what_was_printed_gives_the_same(source in files()) {
            check(&source)?;
        }

        #[test]
        fn reading_what_was_printed_gives_the_same_of_broken_files(source in mutated_files()) {
            check(&source)?;
        }

        #[test]
        fn reading_what_was_printed_gives_the_same_of_any_text(source in any::<String>()) {
            check(&source)?;
        }
    }
}
