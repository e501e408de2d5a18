//! The commands that a `RUN` runs, as far as they can be told from their text. No shell is run: what a variable or
//! another command would fill in stays as it is written.

use crate::instruction::{Instruction, Mount};

use super::file::Step;

/// A program and its arguments, without quotes and redirections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Command {
    pub(super) words: Vec<String>,
}

impl Command {
    /// The program's name, without the folder it is in.
    pub(super) fn program(&self) -> &str {
        let program = self.words.first().map(String::as_str).unwrap_or_default();
        program.rsplit('/').next().unwrap_or(program)
    }

    /// The arguments behind the program.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.words.iter().skip(1).map(String::as_str)
    }

    /// The arguments that are no options.
    pub(super) fn operands(&self) -> impl Iterator<Item = &str> {
        self.arguments().filter(|word| !word.starts_with('-'))
    }

    /// Whether an argument is `word`.
    pub(super) fn has(&self, word: &str) -> bool {
        self.arguments().any(|argument| argument == word)
    }

    /// The command on one line, as far as a sentence has room for it.
    pub(super) fn shown(&self) -> String {
        const ROOM: usize = 40;
        let text = self.words.join(" ");
        match text.char_indices().nth(ROOM) {
            Some((end, _)) => [text.get(..end).unwrap_or_default(), "…"].concat(),
            None => text,
        }
    }
}

/// The commands of a step, in their order; none where it is no `RUN`.
pub(super) fn commands(step: &Step<'_>) -> Vec<Command> {
    let Some(Instruction::Run(run)) = step.instruction() else {
        return Vec::new();
    };
    let command = &run.command;
    if !command.shell {
        return inner(Command {
            words: command.args.clone(),
        });
    }
    let mut commands = Vec::new();
    for text in &command.args {
        commands.extend(read(text));
    }
    for heredoc in &command.heredocs {
        commands.extend(read(&heredoc.content));
    }
    commands
}

/// The text that a step's shells read.
pub(super) fn script(step: &Step<'_>) -> String {
    let Some(Instruction::Run(run)) = step.instruction() else {
        return String::new();
    };
    let mut text = run.command.args.join(" ");
    for heredoc in &run.command.heredocs {
        text.push('\n');
        text.push_str(&heredoc.content);
    }
    text
}

/// The mounts of a step, as written; none that cannot be read.
pub(super) fn mounts(step: &Step<'_>) -> Vec<Mount> {
    let Some(Instruction::Run(run)) = step.instruction() else {
        return Vec::new();
    };
    let read = |mount: &crate::instruction::run::MountSource| {
        Mount::read(&mount.text, |value| Ok(value.to_owned())).ok()
    };
    run.mounts.iter().filter_map(read).collect()
}

/// Words that stand before a command and are none.
const BEFORE: [&str; 14] = [
    "if", "then", "elif", "else", "do", "while", "until", "!", "{", "time", "exec", "sudo", "env", "command",
];

fn read(text: &str) -> Vec<Command> {
    let mut reader = Reader::default();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('\n') | None => {}
                Some(escaped) => reader.push(escaped),
            },
            '\'' => {
                reader.begun = true;
                reader
                    .word
                    .extend(letters.by_ref().take_while(|&letter| letter != '\''));
            }
            '"' => {
                reader.begun = true;
                while let Some(letter) = letters.next() {
                    match letter {
                        '"' => break,
                        '\\' => reader.word.extend(letters.next()),
                        letter => reader.word.push(letter),
                    }
                }
            }
            // What another command gives is part of the word.
            '$' if letters.peek() == Some(&'(') => {
                reader.push('$');
                let mut depth = 0_usize;
                for letter in letters.by_ref() {
                    reader.push(letter);
                    match letter {
                        '(' => depth += 1,
                        ')' if depth <= 1 => break,
                        ')' => depth -= 1,
                        _ => {}
                    }
                }
            }
            '#' if !reader.begun => while letters.next_if(|&letter| letter != '\n').is_some() {},
            '>' | '<' => {
                let descriptor = reader
                    .word
                    .chars()
                    .all(|letter| letter.is_ascii_digit() || letter == '&');
                if reader.begun && !descriptor {
                    reader.end_word();
                }
                reader.push(letter);
                while let Some(letter) = letters.next_if(|letter| "<>&".contains(*letter)) {
                    reader.push(letter);
                }
                reader.redirect();
            }
            '&' if letters.peek() == Some(&'>') => reader.push('&'),
            '&' | '|' | ';' | '\n' | '(' | ')' => reader.end_command(),
            letter if letter.is_whitespace() => reader.end_word(),
            letter => reader.push(letter),
        }
    }
    reader.end_command();
    reader.commands
}

#[derive(Default)]
struct Reader {
    commands: Vec<Command>,
    words: Vec<String>,
    word: String,
    /// Whether there is a word, which may be empty.
    begun: bool,
    /// Whether the next word is a file that is redirected to.
    to_file: bool,
}

impl Reader {
    fn push(&mut self, letter: char) {
        self.word.push(letter);
        self.begun = true;
    }

    fn redirect(&mut self) {
        self.word.clear();
        (self.begun, self.to_file) = (false, true);
    }

    fn end_word(&mut self) {
        if !std::mem::take(&mut self.begun) {
            return;
        }
        let word = std::mem::take(&mut self.word);
        if !std::mem::take(&mut self.to_file) {
            self.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.to_file = false;
        let words = std::mem::take(&mut self.words);
        let mut rest = words.as_slice();
        let mut prefixed = false;
        while let [first, others @ ..] = rest {
            let before = BEFORE.contains(&first.as_str());
            let option = prefixed && first.starts_with('-');
            if !(before || option || is_assignment(first)) {
                break;
            }
            prefixed |= before;
            rest = others;
        }
        if !rest.is_empty() {
            self.commands.extend(inner(Command { words: rest.to_vec() }));
        }
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// What `sh -c "…"` runs stands for it.
fn inner(command: Command) -> Vec<Command> {
    const SHELLS: [&str; 5] = ["sh", "bash", "ash", "dash", "zsh"];
    let text = match command.words.as_slice() {
        [_, options, text, ..] if options.starts_with('-') && options.ends_with('c') => text,
        [_, _, options, text, ..] if options.starts_with('-') && options.ends_with('c') => text,
        _ => return vec![command],
    };
    if SHELLS.contains(&command.program()) {
        read(text)
    } else {
        vec![command]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        read(text).iter().map(|command| command.words.join("|")).collect()
    }

    #[test]
    fn commands_are_told_apart() {
        assert_eq!(
            lines("set -ex; apt-get update && apt-get install -y 'a b' \"c\" || (x; y) | z"),
            [
                "set|-ex",
                "apt-get|update",
                "apt-get|install|-y|a b|c",
                "x",
                "y",
                "z"
            ]
        );
        assert_eq!(
            lines("if [ -f x ]; then make; fi # make install\nls"),
            ["[|-f|x|]", "make", "fi", "ls"]
        );
    }

    #[test]
    fn what_is_no_part_of_a_command_is_left_out() {
        assert_eq!(
            lines("A=1 B=$(x; y) sudo -E env make > log 2>&1 </dev/null"),
            ["make"]
        );
        assert_eq!(lines("echo $(a && b) c>d e"), ["echo|$(a && b)|c|e"]);
        assert_eq!(lines("a &>/dev/null"), ["a"]);
    }

    #[test]
    fn a_shell_stands_for_what_it_runs() {
        assert_eq!(lines("bash -lc 'npm ci && ls'"), ["npm|ci", "ls"]);
        assert_eq!(lines("sh -e -c 'a'"), ["a"]);
        assert_eq!(lines("sh script -c"), ["sh|script|-c"]);
    }
}
