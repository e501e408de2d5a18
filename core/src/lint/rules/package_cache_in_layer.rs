//! `PackageCacheInLayer`: What a package manager keeps for itself goes into a layer, and is of no use there.
//!
//! It has to go in the step that brings it: what a later step removes stays in its layer. A cache mount keeps it out of
//! the layer, and there for the next build. Only layers that ship are looked at.
//!
//! ```dockerfile
//! FROM debian:12
//! RUN apt-get update && apt-get install -y curl
//! ```

use crate::edit::TextEdit;
use crate::instruction::{Instruction, MountKind};
use crate::lint::Rule;
use crate::lint::commands::{Command, commands, mounts};
use crate::lint::file::{File, Step};
use crate::lint::finding::{Fix, Found};

pub(super) const RULE: Rule = Rule::own(
    "PackageCacheInLayer",
    "What a package manager keeps for itself goes into a layer, and is of no use there.",
    check,
);

/// A package manager, and what it leaves behind.
struct Manager {
    programs: &'static [&'static str],
    /// What brings the cache.
    verbs: &'static [&'static str],
    /// Where it is, and what it is called.
    caches: &'static [&'static str],
    what: &'static str,
    /// An option that keeps it away, behind the verb.
    option: Option<&'static str>,
    /// Arguments that take it away again.
    cleans: &'static [&'static str],
    /// What to do in the same step, where there is no such option.
    remedy: &'static str,
    /// A variable that keeps it away.
    variable: Option<&'static str>,
}

const MANAGERS: [Manager; 7] = [
    Manager {
        programs: &["apt-get", "apt"],
        verbs: &["update"],
        caches: &["/var/lib/apt"],
        what: "the lists of packages",
        option: None,
        cleans: &["/var/lib/apt/lists", "/var/lib/apt"],
        remedy: "rm -rf /var/lib/apt/lists/*",
        variable: None,
    },
    Manager {
        programs: &["apk"],
        verbs: &["add"],
        caches: &["/var/cache/apk", "/etc/apk/cache"],
        what: "the index of packages",
        option: Some("--no-cache"),
        cleans: &["/var/cache/apk", "/var/cache"],
        remedy: "rm -rf /var/cache/apk/*",
        variable: None,
    },
    Manager {
        programs: &["yum", "dnf", "microdnf", "tdnf"],
        verbs: &["install", "update", "upgrade", "groupinstall", "makecache"],
        caches: &["/var/cache/yum", "/var/cache/dnf", "/var/cache/libdnf5"],
        what: "what was downloaded",
        option: None,
        cleans: &[
            "clean",
            "/var/cache/yum",
            "/var/cache/dnf",
            "/var/cache",
            "/var/cache/libdnf5",
        ],
        remedy: "dnf clean all",
        variable: None,
    },
    Manager {
        programs: &["zypper"],
        verbs: &["install", "in"],
        caches: &["/var/cache/zypp"],
        what: "what was downloaded",
        option: None,
        cleans: &["clean", "cc", "/var/cache/zypp", "/var/cache"],
        remedy: "zypper clean --all",
        variable: None,
    },
    Manager {
        programs: &["pip", "pip3"],
        verbs: &["install", "wheel"],
        caches: &["/.cache/pip", "/.cache"],
        what: "what was downloaded",
        option: Some("--no-cache-dir"),
        cleans: &["purge", "/.cache/pip", "/.cache"],
        remedy: "pip cache purge",
        variable: Some("PIP_NO_CACHE_DIR"),
    },
    Manager {
        programs: &["npm"],
        verbs: &["ci", "install", "i", "clean-install"],
        caches: &["/.npm"],
        what: "what was downloaded",
        option: None,
        cleans: &["clean", "/.npm"],
        remedy: "npm cache clean --force",
        variable: None,
    },
    Manager {
        programs: &["yarn"],
        verbs: &["install", "add"],
        caches: &["/.cache/yarn", "/usr/local/share/.cache", "/.yarn", "/.cache"],
        what: "what was downloaded",
        option: None,
        cleans: &["clean", "/.cache/yarn", "/usr/local/share/.cache", "/.cache"],
        remedy: "yarn cache clean",
        variable: None,
    },
];

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut variables: Vec<Vec<String>> = Vec::new();
    for stage in &file.stages {
        let base = stage.base.and_then(|base| variables.get(base));
        let mut set = base.cloned().unwrap_or_default();
        for step in &stage.steps {
            if matches!(step.instruction(), Some(Instruction::Env(_))) {
                let known = MANAGERS.iter().filter_map(|manager| manager.variable);
                set.extend(
                    known
                        .filter(|name| step.worked.words.iter().any(|word| word == name))
                        .map(str::to_owned),
                );
            }
            if stage.looked_at && stage.ships {
                let commands = commands(step);
                let managers = MANAGERS.iter().filter(|manager| {
                    let variable = manager.variable;
                    !variable.is_some_and(|variable| set.iter().any(|name| name == variable))
                });
                found.extend(managers.filter_map(|manager| left(file, step, &commands, manager)));
            }
        }
        variables.push(set);
    }
}

/// What a package manager leaves behind in a step.
fn left(file: &File<'_>, step: &Step<'_>, commands: &[Command], manager: &Manager) -> Option<Found> {
    let brings = |command: &&Command| {
        let verb = command.operands().next().unwrap_or_default();
        manager.programs.contains(&command.program())
            && manager.verbs.contains(&verb)
            && !manager.option.is_some_and(|option| command.has(option))
            && !command.has("--help")
    };
    let python = |command: &&Command| {
        let module = command.words.windows(2).any(|pair| pair == ["-m", "pip"]);
        manager.programs.contains(&"pip")
            && command.program().starts_with("python")
            && module
            && command.has("install")
            && !command.has("--no-cache-dir")
    };
    let command = commands
        .iter()
        .find(|command| brings(command) || python(command))?;
    let cleans = |command: &Command| {
        let program = command.program();
        let mut arguments = command.arguments();
        let own = manager.programs.contains(&program) || program.starts_with("python");
        (program == "rm" || program == "find" || own)
            && arguments.any(|argument| {
                let path = argument.trim_end_matches(['*', '/']);
                let path = path.trim_end_matches("/*");
                manager.cleans.iter().any(|clean| {
                    path == *clean
                        || clean.starts_with('/') && path.ends_with(clean)
                        || path.starts_with(clean) && clean.starts_with("/var")
                })
            })
    };
    let covered = mounts(step).into_iter().any(|mount| {
        let target = mount.target.trim_end_matches('/');
        matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs)
            && manager
                .caches
                .iter()
                .any(|cache| target.ends_with(cache) || target.starts_with(cache) || target == "/root")
    });
    if covered || commands.iter().any(cleans) {
        return None;
    }
    let what = manager.what;
    let shown = command.shown();
    let message = match manager.option {
        Some(option) => format!("{shown} leaves {what} in this layer. Add {option}, or a cache mount."),
        None => format!(
            "{shown} leaves {what} in this layer. End the step with {}, or add a cache mount.",
            remedy(command, manager)
        ),
    };
    Some(Found::done(step, message).fix(fix(file, step, command, manager)))
}

/// What takes the cache away, by the program that brought it.
fn remedy(command: &Command, manager: &Manager) -> String {
    match manager.remedy.strip_prefix("dnf ") {
        Some(rest) => [command.program(), " ", rest].concat(),
        None => manager.remedy.to_owned(),
    }
}

fn fix(file: &File<'_>, step: &Step<'_>, command: &Command, manager: &Manager) -> Option<Fix> {
    let Some(Instruction::Run(run)) = step.instruction() else {
        return None;
    };
    if step.trigger || !run.command.shell || !run.command.heredocs.is_empty() {
        return None;
    }
    let span = step.node.span;
    let text = file.study.source.get(span.start..span.end)?;
    if let Some(option) = manager.option {
        let verb = command.operands().next()?;
        let pair = format!("{} {verb}", command.program());
        let mut places = text.match_indices(&pair);
        let (at, _) = places.next()?;
        let at = span.start + at + pair.len();
        let edit = TextEdit::insert(at, [" ", option].concat());
        return places
            .next()
            .is_none()
            .then(|| Fix::changing(format!("Add {option}"), vec![edit]));
    }
    let remedy = remedy(command, manager);
    // A comment or a second branch at the end would take what is added along.
    if text.contains(['#', '|', ';', '(', '"', '\'']) {
        return None;
    }
    let edit = TextEdit::insert(span.end, [" && ", &remedy].concat());
    Some(Fix::changing(format!("End with {remedy}"), vec![edit]))
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    const RULE: &str = "PackageCacheInLayer";

    fn lines(step: &str) -> Vec<u32> {
        lines_of(RULE, &format!("FROM a\n{step}\n"))
    }

    #[test]
    fn says_so() {
        for step in [
            "RUN apt-get update && apt-get install -y curl",
            "RUN set -x; apk add curl",
            "RUN yum -y install curl",
            "RUN pip install -r x.txt",
            "RUN python3 -m pip install x",
            "RUN npm ci --omit=dev",
            "RUN <<E\napt-get update\nE",
            "RUN [\"apk\", \"add\", \"curl\"]",
        ] {
            assert_eq!(lines(step), [2], "{step}");
        }
    }

    #[test]
    fn what_is_taken_away_or_mounted_is_not_left() {
        for step in [
            "RUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*",
            "RUN apt update && apt install -y curl && rm -r /var/lib/apt/lists /var/cache/apt",
            "RUN --mount=type=cache,target=/var/lib/apt,sharing=locked apt-get update",
            "RUN apk --no-cache add curl",
            "RUN apk add --no-cache curl",
            "RUN apk add curl && rm -rf /var/cache/apk/*",
            "RUN dnf install -y x && dnf clean all",
            "RUN pip install --no-cache-dir x",
            "RUN --mount=type=cache,target=/root/.cache/pip pip install x",
            "ENV PIP_NO_CACHE_DIR=1\nRUN pip install x",
            "RUN npm ci && npm cache clean --force",
            "RUN apt-get install -y curl",
            "RUN pip --version",
        ] {
            assert_eq!(lines(step), [0; 0], "{step}");
        }
    }

    #[test]
    fn only_what_ships_counts() {
        let source = "FROM a AS b\nRUN apk add curl\nFROM c\nCOPY --from=b /x /\n";
        assert_eq!(lines_of(RULE, source), [0; 0]);
        assert_eq!(lines_of(RULE, "FROM a AS b\nRUN apk add curl\nFROM b\n"), [2]);
    }

    #[test]
    fn it_goes_in_the_same_step() {
        for (before, after) in [
            ("RUN apk add curl", "RUN apk add --no-cache curl"),
            (
                "RUN apt-get update \\\n && apt-get install x",
                "RUN apt-get update \\\n && apt-get install x && rm -rf /var/lib/apt/lists/*",
            ),
            (
                "RUN microdnf install x",
                "RUN microdnf install x && microdnf clean all",
            ),
        ] {
            let mended = fixed(RULE, &format!("FROM a\n{before}\n"));
            assert_eq!(mended, format!("FROM a\n{after}\n"));
            assert_eq!(lines_of(RULE, &mended), [0; 0]);
        }
    }
}
