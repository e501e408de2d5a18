//! What each instruction says, before any variable is worked out. One file per instruction.
//!
//! To add one: a variant in [`Instruction`], a line in [`parse`], a file here, a keyword in `syntax`, and a file in
//! `plan/lower`. The file also says what people are told about it, which `guide` asks for.

pub(crate) mod add;
pub(crate) mod arg;
pub(crate) mod cmd;
pub(crate) mod copy;
pub(crate) mod entrypoint;
pub(crate) mod env;
pub(crate) mod expose;
pub(crate) mod from;
pub(crate) mod healthcheck;
pub(crate) mod label;
pub(crate) mod maintainer;
pub(crate) mod onbuild;
pub(crate) mod run;
pub(crate) mod shell;
pub(crate) mod stopsignal;
pub(crate) mod user;
pub(crate) mod volume;
pub(crate) mod workdir;

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
use crate::syntax::{Arguments, Keyword, Node, Word};

/// An instruction.
#[derive(Debug, Clone)]
pub(crate) enum Instruction {
    Add(add::Add),
    Arg(arg::Arg),
    Cmd(cmd::Cmd),
    Copy(copy::Copy),
    Entrypoint(entrypoint::Entrypoint),
    Env(env::Env),
    Expose(expose::Expose),
    From(from::From),
    Healthcheck(healthcheck::Healthcheck),
    Label(label::Label),
    Maintainer(maintainer::Maintainer),
    Onbuild(onbuild::Onbuild),
    Run(run::Run),
    Shell(shell::Shell),
    Stopsignal(stopsignal::Stopsignal),
    User(user::User),
    Volume(volume::Volume),
    Workdir(workdir::Workdir),
}

/// Makes out what an instruction says.
pub(crate) fn parse(node: &mut Node<'_>) -> Result<Instruction, Problem> {
    let Some(keyword) = node.keyword else {
        let problem = Problem::new(
            "unknown-instruction",
            format!("There is no instruction \"{}\".", node.name),
        );
        let problem = problem
            .at(node.name_span)
            .hint("Every line begins with an instruction such as FROM, RUN or COPY.");
        return Err(problem.suggest(&node.name, Keyword::ALL.into_iter().map(Keyword::name)));
    };
    // The arguments go into the instruction; nobody asks the node for them again.
    let arguments = std::mem::replace(&mut node.arguments, Ok(Arguments::Words(Vec::new())))?;
    let node = &*node;
    let script = node
        .heredocs
        .iter()
        .any(|heredoc| keyword == Keyword::Run && heredoc.content.contains('\0'));
    if script || node.line.text().contains('\0') {
        let problem = Problem::new("zero-byte", "There is a zero byte in this instruction.");
        return Err(problem.hint("Remove it: no command, path or variable can hold one."));
    }
    match keyword {
        Keyword::Add => add::parse(node, arguments).map(Instruction::Add),
        Keyword::Arg => arg::parse(node, arguments).map(Instruction::Arg),
        Keyword::Cmd => cmd::parse(node, arguments).map(Instruction::Cmd),
        Keyword::Copy => copy::parse(node, arguments).map(Instruction::Copy),
        Keyword::Entrypoint => entrypoint::parse(node, arguments).map(Instruction::Entrypoint),
        Keyword::Env => env::parse(node, arguments).map(Instruction::Env),
        Keyword::Expose => expose::parse(node, arguments).map(Instruction::Expose),
        Keyword::From => from::parse(node, arguments).map(Instruction::From),
        Keyword::Healthcheck => healthcheck::parse(node, arguments).map(Instruction::Healthcheck),
        Keyword::Label => label::parse(node, arguments).map(Instruction::Label),
        Keyword::Maintainer => maintainer::parse(node, arguments).map(Instruction::Maintainer),
        Keyword::Onbuild => onbuild::parse(node, &arguments).map(Instruction::Onbuild),
        Keyword::Run => run::parse(node, arguments).map(Instruction::Run),
        Keyword::Shell => shell::parse(node, arguments).map(Instruction::Shell),
        Keyword::Stopsignal => stopsignal::parse(node, arguments).map(Instruction::Stopsignal),
        Keyword::User => user::parse(node, arguments).map(Instruction::User),
        Keyword::Volume => volume::parse(node, arguments).map(Instruction::Volume),
        Keyword::Workdir => workdir::parse(node, arguments).map(Instruction::Workdir),
    }
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
