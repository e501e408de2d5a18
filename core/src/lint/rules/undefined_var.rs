//! `UndefinedVar`: a variable that nobody sets is empty.

use crate::instruction::{Instruction, Sources};
use crate::lint::file::{File, Step, at};
use crate::lint::variables::InStage;
use crate::lint::{Found, Rule};
use crate::syntax::Word;

pub(super) const RULE: Rule = Rule {
    name: "UndefinedVar",
    url: Some("undefined-var"),
    experimental: false,
    check,
};

/// Arguments that ask for something of BuildKit, and are no variables.
const NOT_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut finished = Vec::new();
    for stage in &file.stages {
        let mut variables = InStage::at_start(file, stage.index, &finished);
        for step in &stage.steps {
            for (word, heredoc) in words(file, step) {
                for name in variables.undefined(file, word, heredoc) {
                    if stage.looked_at && !NOT_VARIABLES.contains(&name.as_str()) {
                        let message = format!(
                            "Nothing sets {name} here, so it is empty. Set it with ARG or ENV first."
                        );
                        found.push(at(step.node, message));
                    }
                }
            }
            variables.take(file, step);
        }
        finished.push(variables);
    }
}

/// The words of an instruction in which variables are worked out, and whether each is the content of a heredoc.
fn words<'s>(file: &File<'_>, step: &'s Step<'_>) -> Vec<(&'s str, bool)> {
    let all = |words: &'s [Word]| words.iter().map(|word| (word.text.as_str(), false)).collect();
    let flag = |word: &'s Option<Word>| word.iter().map(|word| (word.text.as_str(), false));
    match step.instruction() {
        Some(Instruction::Add(add)) => {
            let flags = flag(&add.chown)
                .chain(flag(&add.chmod))
                .chain(flag(&add.checksum));
            flags.chain(sources(&add.sources)).collect()
        }
        Some(Instruction::Copy(copy)) => {
            let flags = flag(&copy.chown).chain(flag(&copy.chmod));
            flags.chain(sources(&copy.sources)).collect()
        }
        Some(Instruction::Arg(arg)) => {
            let declarations = arg.declarations.iter();
            // Nobody asks for the default of an argument that is given.
            let used = declarations.filter(|arg| !file.study.options.build_args.contains_key(&arg.name));
            used.filter_map(|arg| Some((arg.default.as_deref()?, false)))
                .collect()
        }
        Some(Instruction::Env(env)) => pairs(&env.pairs),
        Some(Instruction::Label(label)) => pairs(&label.pairs),
        Some(Instruction::Expose(expose)) => all(&expose.ports),
        Some(Instruction::Run(run)) => {
            let mounts = run.mounts.iter();
            mounts.map(|mount| (mount.text.text.as_str(), false)).collect()
        }
        Some(Instruction::Stopsignal(stopsignal)) => vec![(&stopsignal.signal.text, false)],
        Some(Instruction::User(user)) => vec![(&user.user.text, false)],
        Some(Instruction::Volume(volume)) => all(&volume.paths),
        Some(Instruction::Workdir(workdir)) => vec![(&workdir.path.text, false)],
        Some(
            Instruction::Cmd(_)
            | Instruction::Entrypoint(_)
            | Instruction::From(_)
            | Instruction::Healthcheck(_)
            | Instruction::Maintainer(_)
            | Instruction::Onbuild(_)
            | Instruction::Shell(_),
        )
        | None => Vec::new(),
    }
}

fn pairs(pairs: &[crate::syntax::Pair]) -> Vec<(&str, bool)> {
    let words = pairs
        .iter()
        .flat_map(|pair| [pair.key.as_str(), pair.value.as_str()]);
    words.map(|word| (word, false)).collect()
}

fn sources(sources: &Sources) -> impl Iterator<Item = (&str, bool)> {
    let paths = sources.paths.iter().chain([&sources.destination]);
    let contents = sources.contents.iter().filter(|content| content.expand);
    let paths = paths.map(|path| (path.text.as_str(), false));
    paths.chain(contents.map(|content| (content.data.as_str(), true)))
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        let rule = "UndefinedVar";
        assert_eq!(
            lines_of(rule, "FROM alpine\nUSER $NAME\nCOPY <<EOF /x\n$OTHER\nEOF\n"),
            [2, 3]
        );
        assert_eq!(
            lines_of(
                rule,
                "FROM alpine AS a\nARG NAME\nFROM a\nUSER $NAME\nENV P=$PATH\n"
            ),
            [0; 0]
        );
    }
}
