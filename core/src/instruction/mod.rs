//! What each instruction says, before any variable is worked out. One file per instruction.
//!
//! To add one: a file here, a file in `plan/lower`, and a line in `syntax/keyword.rs`, from which all that tells
//! instructions apart is made. The file here also says what people are told about it, which `guide` asks for.

mod command_line;
mod flags;
pub(crate) mod guide;
mod mount;
mod number;
mod sources;

pub(crate) use command_line::CommandLine;
pub(crate) use mount::{MOUNT_OPTIONS, MOUNTS, Mount, MountKind, Sharing, usual_option};
pub(crate) use sources::{Inline, Sources};

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Keyword, Node, Word, instructions};

macro_rules! declare {
    ($($variant:ident $module:ident $name:literal $shape:ident $changes:ident;)*) => {
        $(pub(crate) mod $module;)*

        /// An instruction.
        #[derive(Debug)]
        pub(crate) enum Instruction {
            $($variant($module::$variant)),*
        }

        fn read(keyword: Keyword, node: &Node<'_>, arguments: Arguments) -> Result<Instruction, Problem> {
            match keyword {
                $(Keyword::$variant => $module::parse(node, arguments).map(Instruction::$variant)),*
            }
        }

        /// The modules of instructions.
        #[cfg(test)]
        pub(crate) const MODULES: &[&str] = &[$(stringify!($module)),*];
    };
}

instructions!(declare);

/// Makes out what an instruction says.
pub(crate) fn parse(node: &mut Node<'_>) -> Result<Instruction, Problem> {
    let Some(keyword) = node.keyword else {
        let problem = Problem::new(
            "unknown-instruction",
            format!("There is no instruction \"{}\".", node.name()),
        );
        let problem = problem
            .at(node.name_span)
            .hint("Every line begins with an instruction such as FROM, RUN or COPY.");
        return Err(problem.suggest(node.name(), Keyword::ALL.into_iter().map(Keyword::name)));
    };
    // The arguments go into the instruction; nobody asks the node for them again.
    let arguments = std::mem::replace(&mut node.arguments, Ok(Arguments::Words(Vec::new())))?;
    let node = &*node;
    let script = node
        .heredocs
        .iter()
        .any(|heredoc| keyword == Keyword::Run && heredoc.content.contains('\0'));
    if script || memchr::memchr(0, node.line.text().as_bytes()).is_some() {
        let problem = Problem::new("zero-byte", "There is a zero byte in this instruction.");
        return Err(problem.hint("Remove it: no command, path or variable can hold one."));
    }
    read(keyword, node, arguments)
}

/// The one argument of an instruction that takes one.
fn only_word(node: &Node<'_>, arguments: Arguments, example: &str) -> Result<Word, Problem> {
    match <[Word; 1]>::try_from(arguments.words()) {
        Ok([word]) => Ok(word),
        Err(_) => Err(missing(node, example)),
    }
}

/// An instruction that says nothing.
fn missing(node: &Node<'_>, example: &str) -> Problem {
    let name = node.keyword.map_or("This", Keyword::name);
    Problem::new("missing-argument", format!("{name} says nothing."))
        .hint(format!("Write it like {example}."))
}

/// Names and values, none of the names empty.
fn named_pairs(
    node: &Node<'_>,
    arguments: Arguments,
    example: &str,
) -> Result<Vec<crate::syntax::Pair>, Problem> {
    let Arguments::Pairs(pairs) = arguments else {
        return Err(missing(node, example));
    };
    if pairs.is_empty() {
        return Err(missing(node, example));
    }
    match pairs.iter().find(|pair| pair.key.is_empty()) {
        Some(pair) => Err(Problem::new("blank-name", "There is no name before the =.").at(pair.span)),
        None => Ok(pairs),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Files here that are of no single instruction.
    const SHARED: [&str; 7] = [
        "command_line",
        "flags",
        "guide",
        "mod",
        "mount",
        "number",
        "sources",
    ];
    /// The same of `plan/lower`.
    const SHARED_BY_LOWER: [&str; 3] = ["files", "mod", "mounts"];

    #[test]
    fn every_file_of_an_instruction_is_registered() {
        for (folder, shared) in [("instruction", &SHARED[..]), ("plan/lower", &SHARED_BY_LOWER)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
            let files = std::fs::read_dir(folder).unwrap();
            let mut files: Vec<String> = files
                .map(|file| {
                    file.unwrap()
                        .path()
                        .file_stem()
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned()
                })
                .filter(|file| !shared.contains(&file.as_str()))
                .collect();
            files.sort();
            assert_eq!(files, MODULES);
        }
    }
}
