//! `SecretInLayer`: A secret gets into a layer, where everyone who has the image can read it.
//!
//! Looked for are files that are there to hold secrets, copied into what ships (removing them later leaves them in
//! their layer); words with the form of an access token or a password in an address; and arguments that sound secret
//! in commands of what ships, because the history of an image tells their values.
//!
//! ```dockerfile
//! FROM node:22
//! ARG NPM_TOKEN
//! COPY .npmrc ./
//! RUN npm config set //registry.example.com/:_authToken=$NPM_TOKEN
//! ```
//!
//! A secret of a build belongs in `RUN --mount=type=secret`.

use std::collections::BTreeSet;

use crate::edit::TextEdit;
use crate::instruction::{Instruction, MountKind};
use crate::lint::Rule;
use crate::lint::commands::{mounts, script};
use crate::lint::file::{File, Step};
use crate::lint::finding::{Fix, Found};
use crate::lint::rules::secrets_used_in_arg_or_env::is_secret;

pub(super) const RULE: Rule = Rule::own(
    "SecretInLayer",
    "A secret gets into a layer, where everyone who has the image can read it.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    // What was declared by stages that others start from holds there too.
    let mut declared: Vec<BTreeSet<&str>> = Vec::new();
    for stage in &file.stages {
        let base = stage
            .base
            .filter(|_| stage.ships)
            .and_then(|base| declared.get(base));
        let mut secrets = base.cloned().unwrap_or_default();
        for step in &stage.steps {
            if let Some(Instruction::Arg(arg)) = step.instruction() {
                let names = arg.declarations.iter().map(|arg| arg.name.as_str());
                secrets.extend(names.filter(|name| is_secret(name)));
            }
            if !stage.looked_at {
                continue;
            }
            if let Some(token) = token_in(step) {
                let message = format!(
                    "There is what looks like {token} in this instruction; who has the file or the image has it too. Take it out, and make it invalid."
                );
                found.push(Found::done(step, message));
            }
            if stage.ships {
                found.extend(secret_files(step));
                found.extend(argument_used(step, &secrets));
            }
        }
        declared.push(secrets);
    }
}

/// Files that are there to hold secrets.
fn secret_files(step: &Step<'_>) -> Vec<Found> {
    match step.instruction() {
        Some(Instruction::Add(_)) => {}
        Some(Instruction::Copy(copy)) if copy.from.is_none() => {}
        _ => return Vec::new(),
    }
    let Some((_, sources)) = step.worked.words.split_last() else {
        return Vec::new();
    };
    let secret = sources.iter().filter(|source| is_secret_file(source));
    let message = |source| {
        format!(
            "{source} is there to hold secrets, and stays in this layer even if a later step removes it. Let the step that needs it have it by RUN --mount=type=secret."
        )
    };
    secret.map(|source| Found::done(step, message(source))).collect()
}

fn is_secret_file(path: &str) -> bool {
    const NAMES: [&str; 13] = [
        ".env",
        ".npmrc",
        ".netrc",
        ".pypirc",
        ".git-credentials",
        ".dockercfg",
        ".pgpass",
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "privkey.pem",
        "service-account.json",
    ];
    const ENDS: [&str; 3] = [".docker/config.json", ".aws/credentials", ".kube/config"];
    const EXAMPLES: [&str; 8] = [
        "example", "sample", "template", "dist", "default", "defaults", "test", "ci",
    ];
    let name = path.rsplit('/').next().unwrap_or(path);
    let variant = name.strip_prefix(".env.");
    NAMES.contains(&name)
        || ENDS
            .iter()
            .any(|end| path == *end || path.ends_with(&["/", end].concat()))
        || variant.is_some_and(|variant| {
            !variant.contains(['*', '?']) && !variant.split('.').any(|part| EXAMPLES.contains(&part))
        })
}

/// What looks like a secret in an instruction, said without telling it.
fn token_in(step: &Step<'_>) -> Option<&'static str> {
    let text = match step.instruction()? {
        Instruction::Run(_) => script(step),
        Instruction::Env(_) | Instruction::Arg(_) | Instruction::Label(_) | Instruction::Add(_) => {
            step.node.line.text().to_owned()
        }
        _ => return None,
    };
    if text.contains("-----BEGIN") && text.contains("PRIVATE KEY-----") && text.contains('\n') {
        return Some("a private key");
    }
    let part = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '-';
    let mut words = text.split(part);
    if let Some(kind) = words.find_map(kind_of_token) {
        return Some(kind);
    }
    text.match_indices("://")
        .any(|(at, _)| has_password(text.get(at + 3..).unwrap_or_default()))
        .then_some("a password in an address")
}

/// What a word is that has the form of an access token.
fn kind_of_token(word: &str) -> Option<&'static str> {
    // The beginning, how many letters follow at least, and what it is.
    const TOKENS: [(&str, usize, &str); 12] = [
        ("ghp_", 36, "a GitHub token"),
        ("gho_", 36, "a GitHub token"),
        ("ghs_", 36, "a GitHub token"),
        ("github_pat_", 40, "a GitHub token"),
        ("glpat-", 20, "a GitLab token"),
        ("npm_", 36, "an npm token"),
        ("pypi-AgEI", 40, "a PyPI token"),
        ("xoxb-", 30, "a Slack token"),
        ("xoxp-", 30, "a Slack token"),
        ("sk_live_", 20, "a Stripe key"),
        ("dckr_pat_", 20, "a Docker Hub token"),
        ("hf_", 34, "a Hugging Face token"),
    ];
    let aws = |rest: &str| {
        rest.len() == 16
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    if word.strip_prefix("AKIA").is_some_and(aws) {
        return Some("an AWS access key");
    }
    let token = TOKENS.iter().find(|(start, least, _)| {
        let rest = word.strip_prefix(start);
        // A made-up one has the same letter again and again.
        rest.is_some_and(|rest| {
            let letters: BTreeSet<char> = rest.chars().collect();
            rest.len() >= *least && letters.len() > 8
        })
    });
    token.map(|(.., kind)| *kind)
}

/// Whether an address, from behind its `://`, has a password that is no variable.
fn has_password(address: &str) -> bool {
    let end = address.find(|letter: char| letter.is_whitespace() || "/\"'?#".contains(letter));
    let host = address.get(..end.unwrap_or(address.len())).unwrap_or_default();
    let Some((user, _)) = host.rsplit_once('@') else {
        return false;
    };
    let Some((_, password)) = user.split_once(':') else {
        return false;
    };
    let made_up = [
        "password",
        "pass",
        "passwd",
        "secret",
        "token",
        "user",
        "postgres",
        "root",
        "x-oauth-basic",
    ];
    password.len() > 3
        && !password.contains(['$', '{', '<', '*', '%', '['])
        && !made_up.contains(&password.to_ascii_lowercase().as_str())
        && !host.ends_with("@localhost")
        && !host.contains("example")
}

/// An argument that sounds secret in a command.
fn argument_used(step: &Step<'_>, secrets: &BTreeSet<&str>) -> Option<Found> {
    if secrets.is_empty() {
        return None;
    }
    let text = script(step);
    let given: BTreeSet<String> = mounts(step)
        .into_iter()
        .filter(|mount| mount.kind == MountKind::Secret)
        .filter_map(|mount| mount.env)
        .collect();
    let mut used = secrets
        .iter()
        .filter(|name| !given.contains(**name) && uses(&text, name));
    let name = used.next()?;
    let mount = format!("--mount=type=secret,id={},env={name}", name.to_ascii_lowercase());
    let message = format!(
        "The history of the image tells what {name} was when this ran. Take the ARG away, and write RUN {mount}."
    );
    let fix = Fix::changing(
        format!("Take {name} from a secret"),
        vec![TextEdit::insert(step.node.name_span.end, format!(" {mount}"))],
    );
    let fix = (!step.trigger).then_some(fix);
    Some(Found::done(step, message).fix(fix))
}

/// Whether a script uses a variable.
fn uses(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + name.len()..).unwrap_or_default();
        let ends = !after.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
        ends && (before.ends_with('$') || before.ends_with("${"))
    })
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    fn lines(body: &str) -> Vec<u32> {
        lines_of("SecretInLayer", &format!("FROM a\n{body}"))
    }

    #[test]
    fn says_so_of_files() {
        assert_eq!(
            lines("COPY .npmrc a.js ./\nADD keys/id_rsa /root/.ssh/\nCOPY .env.prod .\n"),
            [2, 3, 4]
        );
        assert_eq!(
            lines("COPY .env.example id_rsa.pub .env.d/x .environment ./\n"),
            [0; 0]
        );
    }

    #[test]
    fn what_does_not_ship_may_have_a_file() {
        let source = "FROM a AS b\nCOPY .npmrc .\nFROM c\nCOPY --from=b /x /x\nCOPY --from=b .npmrc /y\n";
        assert_eq!(lines_of("SecretInLayer", source), [0; 0]);
        assert_eq!(
            lines_of("SecretInLayer", "FROM a AS b\nCOPY .npmrc .\nFROM b\n"),
            [2]
        );
    }

    #[test]
    fn says_so_of_words() {
        let token = ["gh", "p_", "0123456789abcdefghijklmnopqrstuvwxyz"].concat();
        assert_eq!(
            lines(&format!("RUN curl -H 'token {token}' x\nENV T={token}\n")),
            [2, 3]
        );
        assert_eq!(lines("RUN git clone https://me:hunter22@git.host/x\n"), [2]);
        for fine in [
            "RUN git clone https://me:$PASS@git.host/x\n",
            "RUN git clone https://git@git.host/x:y@z\n",
            "ENV URL=postgres://user:password@db/x\n",
            "RUN echo ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
            "RUN grep -- '-----BEGIN RSA PRIVATE KEY-----' x\n",
        ] {
            assert_eq!(lines(fine), [0; 0], "{fine}");
        }
    }

    #[test]
    fn says_so_of_arguments() {
        let source = "FROM a\nARG NPM_TOKEN\nRUN npm config set x=${NPM_TOKEN}\nRUN echo $NPM_TOKENS\n";
        assert_eq!(lines_of("SecretInLayer", source), [3]);
        let mended = fixed("SecretInLayer", source);
        assert!(mended.contains("RUN --mount=type=secret,id=npm_token,env=NPM_TOKEN npm config"));
        assert_eq!(lines_of("SecretInLayer", &mended), [0; 0]);
    }
}
