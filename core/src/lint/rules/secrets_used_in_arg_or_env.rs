//! `SecretsUsedInArgOrEnv`: Who has the image has its variables and its history.

use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::Found;

pub(super) const RULE: Rule = Rule::reference(
    "SecretsUsedInArgOrEnv",
    "secrets-used-in-arg-or-env",
    "Who has the image has its variables and its history.",
    check,
);

const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
const HARMLESS: [&str; 3] = ["public", "file", "version"];

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for step in file.steps() {
        let failed = step.worked.failed;
        // The arguments before one that fails were looked at; variables are set all together, or not at all.
        let names: Vec<(&str, bool)> = match step.instruction() {
            Some(Instruction::Arg(arg)) => {
                let names = arg.declarations.iter().map(|arg| arg.name.as_str());
                let reached = |index| failed.is_none_or(|failed| index <= failed);
                names
                    .enumerate()
                    .map(|(index, name)| (name, reached(index)))
                    .collect()
            }
            Some(Instruction::Env(_)) => {
                let names = step.worked.words.iter();
                names.map(|name| (name.as_str(), failed.is_none())).collect()
            }
            _ => continue,
        };
        for (name, reached) in names.into_iter().filter(|(name, _)| is_secret(name)) {
            let message =
                format!("{name} sounds like a secret, and stays in the image. Use RUN --mount=type=secret.");
            let finding = Found::done(step, message);
            found.push(if reached { finding } else { finding.late() });
        }
    }
}

/// Whether one of the words of a name, between underscores, says that it is secret, and none that it is not.
pub(in crate::lint) fn is_secret(name: &str) -> bool {
    // Two letters of Unicode are k and s in another case.
    let name = name.replace('\u{212a}', "k").replace('\u{17f}', "s");
    let has = |words: &[&str]| {
        let mut parts = name.split('_');
        parts.any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
    };
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of(
                "SecretsUsedInArgOrEnv",
                "FROM scratch\nARG API_KEY\nENV GITHUB_TOKEN=x\n"
            ),
            [2, 3]
        );
        assert_eq!(
            lines_of(
                "SecretsUsedInArgOrEnv",
                "FROM scratch\nENV PUBLIC_KEY=x KEYBOARD=y\n"
            ),
            [0; 0]
        );
    }
}
