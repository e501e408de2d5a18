//! How long steps take, where nobody measured it: rough figures of an everyday machine, good for shapes only.

use crate::llb::{Action, OpKind};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
const INSTALL: u64 = 20 * SECOND;
const COMPILE: u64 = 30 * SECOND;
const COMMAND: u64 = 2 * SECOND;
const COPY: u64 = 300 * MILLISECOND;
const SMALL: u64 = 50 * MILLISECOND;
const CONTEXT: u64 = 500 * MILLISECOND;
const FETCH: u64 = 5 * SECOND;
/// Bytes of an image that come within a second.
const SPEED: u64 = 25_000_000;

/// Words of commands that fetch and unpack packages.
const INSTALLS: [&str; 22] = [
    "apt-get install",
    "apt install",
    "apt-get update",
    "apk add",
    "yum install",
    "dnf install",
    "microdnf install",
    "zypper install",
    "pip install",
    "pip3 install",
    "uv sync",
    "poetry install",
    "npm install",
    "npm ci",
    "yarn install",
    "pnpm install",
    "bundle install",
    "composer install",
    "go mod download",
    "cargo fetch",
    "dotnet restore",
    "gem install",
];

/// Words of commands that compile or bundle.
const COMPILES: [&str; 20] = [
    "go build",
    "go install",
    "cargo build",
    "cargo install",
    "make",
    "cmake",
    "ninja",
    "mvn",
    "gradle",
    "gradlew",
    "npm run build",
    "yarn build",
    "pnpm build",
    "dotnet build",
    "dotnet publish",
    "swift build",
    "bazel",
    "gcc",
    "g++",
    "webpack",
];

/// How long an op takes, in nanoseconds; `size` is that of an image in bytes, 0 where it is not known.
pub(super) fn guess(kind: Option<&OpKind>, size: u64) -> u64 {
    match kind {
        Some(OpKind::Exec(exec)) => {
            let arguments = exec
                .meta
                .as_ref()
                .map(|meta| meta.args.join(" "))
                .unwrap_or_default();
            let has = |words: &[&str]| words.iter().any(|words| says(&arguments, words));
            if has(&COMPILES) {
                COMPILE
            } else if has(&INSTALLS) {
                INSTALL
            } else {
                COMMAND
            }
        }
        Some(OpKind::File(file)) => {
            let copies = file
                .actions
                .iter()
                .any(|action| matches!(action.action, Some(Action::Copy(_))));
            if copies { COPY } else { SMALL }
        }
        Some(OpKind::Source(source)) => {
            if source.identifier.starts_with("local://") {
                CONTEXT
            } else if size > 0 {
                // Whole milliseconds, so that large images do not overflow.
                (size / (SPEED / 1000)).saturating_mul(MILLISECOND)
            } else {
                FETCH
            }
        }
        _ => 0,
    }
}

/// Whether a command says these words, as words of their own.
fn says(command: &str, words: &str) -> bool {
    let letter = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '-' || letter == '_')
    };
    command.match_indices(words).any(|(place, found)| {
        let before = command.get(..place).and_then(|text| text.chars().next_back());
        let after = command
            .get(place + found.len()..)
            .and_then(|text| text.chars().next());
        !letter(before) && !letter(after)
    })
}

/// The guesses, for people.
pub(super) fn assumptions() -> Vec<String> {
    vec![
        "A command that compiles or bundles (make, go build, npm run build, …) takes 30 s.".into(),
        "A command that installs packages (apt-get install, npm ci, pip install, …) takes 20 s.".into(),
        "Any other command takes 2 s.".into(),
        "COPY and ADD take 300 ms, WORKDIR 50 ms.".into(),
        "The build context takes 500 ms; an image comes at 25 MB a second, or takes 5 s where its size is unknown; anything else that is fetched takes 5 s.".into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart_by_whole_words() {
        assert!(says("/bin/sh -c make all", "make"));
        assert!(says("/bin/sh -c cd x&&make", "make"));
        assert!(!says("/bin/sh -c cmake-gui", "make"));
        assert!(!says("/bin/sh -c makeself é", "make"));
        assert!(says("apt-get install x", "apt-get install"));
    }
}
