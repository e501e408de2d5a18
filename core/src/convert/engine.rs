//! What a command line of docker, podman or buildah asks for.

use super::words::Value;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Build(Box<Build>),
    /// A container is made; `starts` where its command runs too.
    Create {
        run: Box<Run>,
        starts: bool,
    },
    Start(Vec<Value>),
    Exec {
        container: Value,
        command: Vec<Value>,
        run: Box<Run>,
    },
    Copy {
        from: Value,
        to: Value,
    },
    Export {
        container: Value,
        output: Option<Value>,
    },
    Tag {
        from: Value,
        to: Vec<Value>,
    },
    Push(Option<Value>),
    Commit {
        container: Value,
        image: Value,
    },
    RemoveContainers(Vec<Value>),
    RemoveImages(Vec<Value>),
    /// Something that changes neither images nor files, such as `docker login`.
    Aside,
    /// Something that cannot be followed.
    Unclear(Value),
}

/// `docker build`.
#[derive(Debug, Clone, Default)]
pub(super) struct Build {
    pub(super) tags: Vec<Value>,
    pub(super) file: Option<Value>,
    pub(super) args: Vec<Value>,
    pub(super) target: Option<Value>,
    pub(super) platform: Option<Value>,
    pub(super) context: Option<Value>,
    /// Where the files of the result go (`--output`).
    pub(super) outputs: Vec<Value>,
    pub(super) no_cache: bool,
    pub(super) push: bool,
    pub(super) named_contexts: Vec<Value>,
    /// All other flags that one build may be given as well.
    pub(super) others: Vec<(String, Option<Value>)>,
}

/// `docker run`, `create`.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) name: Option<Value>,
    pub(super) image: Option<Value>,
    pub(super) command: Vec<Value>,
    pub(super) entrypoint: Option<Value>,
    pub(super) env: Vec<Value>,
    pub(super) workdir: Option<Value>,
    pub(super) user: Option<Value>,
    pub(super) volumes: Vec<Value>,
    pub(super) mounts: Vec<Value>,
    pub(super) detached: bool,
    /// Flags that a build cannot keep, such as `--device`.
    pub(super) lost: Vec<Value>,
}

/// Flags of one command: long name, letter, and whether a value follows.
type Known = (&'static str, char, bool);

const BUILD: &[Known] = &[
    ("tag", 't', true),
    ("file", 'f', true),
    ("build-arg", ' ', true),
    ("target", ' ', true),
    ("platform", ' ', true),
    ("label", ' ', true),
    ("network", ' ', true),
    ("cache-from", ' ', true),
    ("cache-to", ' ', true),
    ("secret", ' ', true),
    ("ssh", ' ', true),
    ("output", 'o', true),
    ("progress", ' ', true),
    ("build-context", ' ', true),
    ("add-host", ' ', true),
    ("memory", 'm', true),
    ("memory-swap", ' ', true),
    ("cpu-period", ' ', true),
    ("cpu-quota", ' ', true),
    ("cpu-shares", 'c', true),
    ("cpuset-cpus", ' ', true),
    ("cpuset-mems", ' ', true),
    ("shm-size", ' ', true),
    ("ulimit", ' ', true),
    ("isolation", ' ', true),
    ("iidfile", ' ', true),
    ("cgroup-parent", ' ', true),
    ("builder", ' ', true),
    ("allow", ' ', true),
    ("attest", ' ', true),
    ("annotation", ' ', true),
    ("metadata-file", ' ', true),
    ("no-cache-filter", ' ', true),
    ("security-opt", ' ', true),
    ("format", ' ', true),
    ("no-cache", ' ', false),
    ("pull", ' ', false),
    ("quiet", 'q', false),
    ("rm", ' ', false),
    ("force-rm", ' ', false),
    ("compress", ' ', false),
    ("squash", ' ', false),
    ("load", ' ', false),
    ("push", ' ', false),
    ("debug", 'D', false),
    ("layers", ' ', false),
    ("disable-content-trust", ' ', false),
];

const RUN: &[Known] = &[
    ("name", ' ', true),
    ("env", 'e', true),
    ("env-file", ' ', true),
    ("workdir", 'w', true),
    ("user", 'u', true),
    ("volume", 'v', true),
    ("mount", ' ', true),
    ("entrypoint", ' ', true),
    ("network", ' ', true),
    ("net", ' ', true),
    ("platform", ' ', true),
    ("publish", 'p', true),
    ("hostname", 'h', true),
    ("label", 'l', true),
    ("memory", 'm', true),
    ("cpus", ' ', true),
    ("cpu-shares", 'c', true),
    ("add-host", ' ', true),
    ("tmpfs", ' ', true),
    ("restart", ' ', true),
    ("cidfile", ' ', true),
    ("pull", ' ', true),
    ("ulimit", ' ', true),
    ("device", ' ', true),
    ("cap-add", ' ', true),
    ("cap-drop", ' ', true),
    ("security-opt", ' ', true),
    ("shm-size", ' ', true),
    ("log-driver", ' ', true),
    ("runtime", ' ', true),
    ("gpus", ' ', true),
    ("group-add", ' ', true),
    ("ipc", ' ', true),
    ("pid", ' ', true),
    ("userns", ' ', true),
    ("dns", ' ', true),
    ("link", ' ', true),
    ("volumes-from", ' ', true),
    ("expose", ' ', true),
    ("stop-signal", ' ', true),
    ("stop-timeout", ' ', true),
    ("attach", 'a', true),
    ("detach", 'd', false),
    ("interactive", 'i', false),
    ("tty", 't', false),
    ("rm", ' ', false),
    ("privileged", ' ', false),
    ("init", ' ', false),
    ("read-only", ' ', false),
    ("publish-all", 'P', false),
    ("quiet", 'q', false),
    ("no-healthcheck", ' ', false),
    ("sig-proxy", ' ', false),
];

const REMOVE: &[Known] = &[
    ("force", 'f', false),
    ("volumes", 'v', false),
    ("link", 'l', false),
    ("no-prune", ' ', false),
    ("time", 't', true),
    ("attach", 'a', false),
    ("interactive", 'i', false),
    ("all", 'a', false),
];

const COPY: &[Known] = &[
    ("archive", 'a', false),
    ("follow-link", 'L', false),
    ("quiet", 'q', false),
];

const EXPORT: &[Known] = &[("output", 'o', true)];

const COMMIT: &[Known] = &[
    ("author", 'a', true),
    ("message", 'm', true),
    ("pause", 'p', false),
    ("change", 'c', true),
    ("rm", ' ', false),
    ("quiet", 'q', false),
];

/// The flags of a command, and what stands between and behind them.
struct Flags {
    given: Vec<(&'static str, Option<Value>)>,
    rest: Vec<Value>,
    /// Flags that are not known, so that it is not known either whether a value follows.
    strange: Vec<Value>,
}

impl Flags {
    /// Reads `words`. With `leading`, flags end with the first word that is none.
    fn read(words: &[Value], known: &[Known], leading: bool) -> Self {
        let mut flags = Self {
            given: Vec::new(),
            rest: Vec::new(),
            strange: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let text = word.text.as_str();
            if text == "--" {
                flags.rest.extend(words.by_ref().cloned());
            } else if let Some(long) = text.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, _)) => (name, Some(word.tail(2 + name.len() + 1))),
                    None => (long, None),
                };
                match known.iter().find(|(known, ..)| *known == name) {
                    None => flags.strange.push(word.clone()),
                    Some(&(name, _, true)) => {
                        flags.given.push((name, value.or_else(|| words.next().cloned())));
                    }
                    Some(&(name, _, false)) => {
                        let off = value.as_ref().is_some_and(|value| value.text == "false");
                        if !off {
                            flags.given.push((name, value));
                        }
                    }
                }
            } else if text.len() > 1 && text.starts_with('-') {
                let letters = text.char_indices().skip(1);
                for (at, letter) in letters {
                    match known.iter().find(|(_, known, _)| *known == letter) {
                        None => {
                            flags.strange.push(word.clone());
                            break;
                        }
                        Some(&(name, _, false)) => flags.given.push((name, None)),
                        Some(&(name, _, true)) => {
                            let tail = word.tail(at + letter.len_utf8());
                            let tail = match tail.text.strip_prefix('=') {
                                Some(_) => tail.tail(1),
                                None => tail,
                            };
                            let value = if tail.text.is_empty() {
                                words.next().cloned()
                            } else {
                                Some(tail)
                            };
                            flags.given.push((name, value));
                            break;
                        }
                    }
                }
            } else {
                flags.rest.push(word.clone());
                if leading {
                    flags.rest.extend(words.by_ref().cloned());
                }
            }
        }
        flags
    }

    fn all(&self, name: &str) -> Vec<Value> {
        let given = self.given.iter().filter(|(given, _)| *given == name);
        given.filter_map(|(_, value)| value.clone()).collect()
    }

    fn last(&self, name: &str) -> Option<Value> {
        self.all(name).pop()
    }

    fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == name)
    }
}

/// Reads what stands behind the name of the engine.
pub(super) fn read(engine: &str, words: &[Value]) -> Action {
    let Some((first, rest)) = words.split_first() else {
        return Action::Aside;
    };
    let group = matches!(first.text.as_str(), "container" | "image" | "buildx" | "builder");
    let (verb, rest) = match rest.split_first() {
        Some((second, rest)) if group => (second, rest),
        _ => (first, rest),
    };
    let of_image = first.text == "image";
    match verb.text.as_str() {
        "build" | "bud" if !(engine == "buildah" && group) => build(rest),
        "from" if engine == "buildah" => create(rest, false),
        "create" if first.text != "buildx" => create(rest, false),
        "run" if engine == "buildah" => exec(rest),
        "run" => create(rest, true),
        "start" => Action::Start(Flags::read(rest, REMOVE, false).rest),
        "exec" => exec(rest),
        "cp" => {
            let flags = Flags::read(rest, COPY, false);
            match (flags.rest.as_slice(), flags.strange.first()) {
                ([from, to], None) => Action::Copy {
                    from: from.clone(),
                    to: to.clone(),
                },
                (_, Some(strange)) => Action::Unclear(strange.clone()),
                _ => Action::Unclear(verb.clone()),
            }
        }
        "copy" | "add" if engine == "buildah" => {
            let flags = Flags::read(rest, COPY, false);
            match flags.rest.as_slice() {
                [container, from, to] => Action::Copy {
                    from: from.clone(),
                    to: Value {
                        text: format!("{}:{}", container.text, to.text),
                        ..to.clone()
                    },
                },
                _ => Action::Unclear(verb.clone()),
            }
        }
        "export" => {
            let flags = Flags::read(rest, EXPORT, false);
            match flags.rest.first() {
                Some(container) => Action::Export {
                    container: container.clone(),
                    output: flags.last("output"),
                },
                None => Action::Unclear(verb.clone()),
            }
        }
        "tag" => match rest.split_first() {
            Some((from, to)) if !to.is_empty() => Action::Tag {
                from: from.clone(),
                to: to.to_vec(),
            },
            _ => Action::Unclear(verb.clone()),
        },
        "push" => Action::Push(Flags::read(rest, REMOVE, false).rest.pop()),
        "commit" => {
            let flags = Flags::read(rest, COMMIT, false);
            match flags.rest.as_slice() {
                [container, image] if !flags.has("change") => Action::Commit {
                    container: container.clone(),
                    image: image.clone(),
                },
                _ => Action::Unclear(verb.clone()),
            }
        }
        "rm" if of_image => Action::RemoveImages(Flags::read(rest, REMOVE, false).rest),
        "rm" | "remove" => Action::RemoveContainers(Flags::read(rest, REMOVE, false).rest),
        "rmi" => Action::RemoveImages(Flags::read(rest, REMOVE, false).rest),
        "wait" | "stop" | "kill" | "logs" | "inspect" | "ps" | "images" | "pull" | "login" | "logout"
        | "version" | "info" | "save" | "prune" | "ls" | "history" | "system" | "network" | "volume"
        | "attach" | "umount" | "unmount" | "use" | "create" => Action::Aside,
        _ => Action::Unclear(verb.clone()),
    }
}

fn build(words: &[Value]) -> Action {
    let flags = Flags::read(words, BUILD, false);
    if let Some(strange) = flags.strange.first() {
        return Action::Unclear(strange.clone());
    }
    let mut rest = flags.rest.clone();
    if rest.len() > 1 {
        return Action::Unclear(rest.swap_remove(1));
    }
    // What only says how to go about it, or is said of the result and not of the build.
    let own = [
        "tag",
        "file",
        "build-arg",
        "target",
        "platform",
        "output",
        "no-cache",
        "push",
        "build-context",
        "load",
        "quiet",
        "rm",
        "force-rm",
        "iidfile",
        "metadata-file",
        "progress",
        "debug",
        "compress",
        "layers",
        "format",
    ];
    let others = flags.given.iter().filter(|(name, _)| !own.contains(name));
    Action::Build(Box::new(Build {
        tags: flags.all("tag"),
        file: flags.last("file"),
        args: flags.all("build-arg"),
        target: flags.last("target"),
        platform: flags.last("platform"),
        context: rest.pop(),
        outputs: flags.all("output"),
        no_cache: flags.has("no-cache"),
        push: flags.has("push"),
        named_contexts: flags.all("build-context"),
        others: others
            .map(|(name, value)| (format!("--{name}"), value.clone()))
            .collect(),
    }))
}

fn run(flags: &Flags) -> Run {
    let kept = [
        "name",
        "env",
        "workdir",
        "user",
        "volume",
        "mount",
        "entrypoint",
        "detach",
        "rm",
        "interactive",
        "tty",
        "quiet",
        "attach",
        "pull",
        "label",
        "hostname",
        "publish",
        "publish-all",
        "restart",
        "init",
        "sig-proxy",
        "no-healthcheck",
        "expose",
        "stop-signal",
        "stop-timeout",
        "log-driver",
    ];
    let lost = flags.given.iter().filter(|(name, _)| !kept.contains(name));
    Run {
        name: flags.last("name"),
        image: None,
        command: Vec::new(),
        entrypoint: flags.last("entrypoint"),
        env: flags.all("env"),
        workdir: flags.last("workdir"),
        user: flags.last("user"),
        volumes: flags.all("volume"),
        mounts: flags.all("mount"),
        detached: flags.has("detach"),
        lost: lost
            .map(|(name, value)| Value {
                text: format!("--{name}"),
                ..value.clone().unwrap_or_default()
            })
            .collect(),
    }
}

fn create(words: &[Value], starts: bool) -> Action {
    let flags = Flags::read(words, RUN, true);
    if let Some(strange) = flags.strange.first() {
        return Action::Unclear(strange.clone());
    }
    let mut rest = flags.rest.iter();
    let Some(image) = rest.next() else {
        return Action::Unclear(words.last().cloned().unwrap_or_default());
    };
    Action::Create {
        run: Box::new(Run {
            image: Some(image.clone()),
            command: rest.cloned().collect(),
            ..run(&flags)
        }),
        starts,
    }
}

fn exec(words: &[Value]) -> Action {
    let flags = Flags::read(words, RUN, true);
    let (Some(container), None) = (flags.rest.first(), flags.strange.first()) else {
        let strange = flags.strange.first().or(words.last());
        return Action::Unclear(strange.cloned().unwrap_or_default());
    };
    let command = flags.rest.iter().skip(1).skip_while(|word| word.text == "--");
    Action::Exec {
        container: container.clone(),
        command: command.cloned().collect(),
        run: Box::new(run(&flags)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    fn action(line: &str) -> Action {
        let words: Vec<Value> = line
            .split(' ')
            .map(|word| Value::known(word, Span::default()))
            .collect();
        read(&words[0].text, &words[1..])
    }

    fn texts(values: &[Value]) -> Vec<&str> {
        values.iter().map(|value| value.text.as_str()).collect()
    }

    #[test]
    fn builds_are_read_with_flags_anywhere() {
        for line in [
            "docker build -t a:b . -f Dockerfile.build --build-arg=V=1 --no-cache",
            "docker image build --no-cache --tag=a:b -fDockerfile.build --build-arg V=1 .",
            "podman buildx build -qta:b --file Dockerfile.build --build-arg V=1 --no-cache --load .",
            "buildah bud --no-cache -t a:b -f=Dockerfile.build --build-arg V=1 .",
        ] {
            let Action::Build(build) = action(line) else {
                panic!("{line}")
            };
            assert_eq!(texts(&build.tags), ["a:b"], "{line}");
            assert_eq!(build.file.unwrap().text, "Dockerfile.build", "{line}");
            assert_eq!(texts(&build.args), ["V=1"], "{line}");
            assert_eq!(build.context.unwrap().text, ".", "{line}");
            assert!(build.no_cache && build.others.is_empty(), "{line}");
        }
    }

    #[test]
    fn a_container_has_its_flags_before_the_image_and_its_command_behind_it() {
        let Action::Create { run, starts: true } =
            action("docker run -it --rm -v a:/b --name n img make -j all")
        else {
            panic!("no run")
        };
        assert_eq!(run.name.unwrap().text, "n");
        assert_eq!(texts(&run.command), ["make", "-j", "all"]);
        assert_eq!(texts(&run.volumes), ["a:/b"]);
    }

    #[test]
    fn an_unknown_flag_is_not_guessed_at() {
        for line in [
            "docker build --frobnicate x .",
            "docker run --frobnicate x y",
            "docker frobnicate",
        ] {
            assert!(matches!(action(line), Action::Unclear(_)), "{line}");
        }
        assert!(matches!(action("docker login -u x"), Action::Aside));
    }
}
