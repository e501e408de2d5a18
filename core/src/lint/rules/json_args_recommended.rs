//! `JSONArgsRecommended`: A shell between the system and the program keeps signals from it.

use crate::analysis::Base;
use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::file::{File, Step};
use crate::lint::finding::{Fix, Found};
use crate::syntax::{Arguments, Node};

pub(super) const RULE: Rule = Rule::reference(
    "JSONArgsRecommended",
    "json-args-recommended",
    "A shell between the system and the program keeps signals from it.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut finished: Vec<bool> = Vec::new();
    for stage in &file.stages {
        // Who chooses a shell wants one; a stage has that of the stage or image it starts from.
        let mut chosen = match stage.base {
            Some(base) => finished.get(base).copied().unwrap_or_default(),
            None => has_shell(file, stage.index),
        };
        for step in &stage.steps {
            let command = match step.instruction() {
                Some(Instruction::Cmd(cmd)) => &cmd.command,
                Some(Instruction::Entrypoint(entrypoint)) => &entrypoint.command,
                Some(Instruction::Shell(_)) => {
                    chosen = true;
                    continue;
                }
                _ => continue,
            };
            if command.shell && !chosen && stage.looked_at {
                let message = format!(
                    "The program of {} gets no signals, because a shell starts it. Write it as JSON: [\"program\", \"argument\"].",
                    step.node.name()
                );
                found.push(Found::done(step, message).fix(as_json(file, step)));
            }
        }
        finished.push(chosen);
    }
}

/// Whether the image that a stage starts from names a shell.
fn has_shell(file: &File<'_>, stage: usize) -> bool {
    let Some(Base::Image(image)) = file.study.plan.bases.get(stage) else {
        return false;
    };
    let shell = file
        .facts(*image)
        .and_then(|facts| facts.config.pointer("/config/Shell")?.as_array());
    shell.is_some_and(|shell| !shell.is_empty())
}

/// Letters that are nothing but themselves to a shell.
const PLAIN: &str = "/._-:@%+,=";

/// What is a word of the shell itself, and no program.
const BUILTIN: [&str; 26] = [
    ".", ":", "alias", "bg", "break", "cd", "command", "continue", "eval", "exec", "exit", "export", "fg",
    "if", "read", "readonly", "return", "set", "shift", "source", "times", "trap", "type", "ulimit", "umask",
    "unset",
];

/// The command as an array, where a shell would do nothing with it but start it.
fn as_json(file: &File<'_>, step: &Step<'_>) -> Option<Fix> {
    if step.trigger {
        return None;
    }
    let node = Node::read(step.node.line.clone(), file.study.tree.escape);
    let Ok(Arguments::Text(text)) = node.arguments else {
        return None;
    };
    let written = file.study.source.get(text.span.start..text.span.end)?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || PLAIN.contains(letter) || letter == ' ';
    let mut words = written.split(' ').filter(|word| !word.is_empty());
    let program = words.next()?;
    if written != text.text
        || !written.chars().all(plain)
        || program.contains('=')
        || BUILTIN.contains(&program)
    {
        return None;
    }
    let words: Vec<String> = std::iter::once(program)
        .chain(words)
        .map(|word| format!("\"{word}\""))
        .collect();
    let array = format!("[{}]", words.join(", "));
    Some(Fix::safe(
        format!("Write {array}"),
        vec![TextEdit::replace(text.span, array)],
    ))
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(lines_of("JSONArgsRecommended", "FROM scratch\nCMD a b\n"), [2]);
        assert_eq!(
            lines_of("JSONArgsRecommended", "FROM scratch\nSHELL [\"sh\"]\nCMD a b\n"),
            [0; 0]
        );
        let inherited = "FROM scratch AS a\nSHELL [\"sh\"]\nFROM a AS b\nFROM b\nCMD a b\n";
        assert_eq!(lines_of("JSONArgsRecommended", inherited), [0; 0]);
    }

    #[test]
    fn a_plain_command_is_written_as_json() {
        let rule = "JSONArgsRecommended";
        assert_eq!(
            fixed(rule, "FROM scratch\nCMD  node  server.js --port=80\n"),
            "FROM scratch\nCMD  [\"node\", \"server.js\", \"--port=80\"]\n"
        );
        for shell in [
            "CMD a && b",
            "CMD a $B",
            "CMD A=1 b",
            "CMD cd /x",
            "CMD a \\\n b",
            "CMD 'a b'",
            "CMD a*",
        ] {
            let source = format!("FROM scratch\n{shell}\n");
            assert_eq!(fixed(rule, &source), source);
        }
    }
}
