//! `SecretsUsedInArgOrEnv`: who has the image has its variables and its history.

use crate::instruction::Instruction;
use crate::lint::file::{File, at};
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "SecretsUsedInArgOrEnv",
    url: Some("secrets-used-in-arg-or-env"),
    experimental: false,
    check,
};

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
        let names: Vec<&str> = match step.instruction() {
            Some(Instruction::Arg(arg)) => arg.declarations.iter().map(|arg| arg.name.as_str()).collect(),
            Some(Instruction::Env(env)) => env.pairs.iter().map(|pair| pair.key.as_str()).collect(),
            _ => continue,
        };
        for name in names.into_iter().filter(|name| is_secret(name)) {
            let message =
                format!("{name} sounds like a secret, and stays in the image. Use RUN --mount=type=secret.");
            found.push(at(step.node, message));
        }
    }
}

/// Whether one of the words of a name, between underscores, says that it is secret, and none that it is not.
fn is_secret(name: &str) -> bool {
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
