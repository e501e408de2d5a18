//! `RUN --mount=…`: files that a command sees beside those of its stage.

use crate::diagnostic::Problem;
use crate::span::Span;
use crate::syntax::{Word, comma_separated};

use super::guide::{FlagGuide, MountGuide, Value};
use super::number;

/// A `--mount` before variables are known: only where it mounts from has to be known by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountSource {
    pub(crate) text: Word,
    /// A stage or image.
    pub(crate) from: Option<String>,
}

/// A `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) kind: MountKind,
    pub(crate) from: String,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    /// Most bytes that a tmpfs holds; 0 is no limit.
    pub(crate) size: i64,
    pub(crate) id: String,
    pub(crate) sharing: Option<Sharing>,
    pub(crate) required: bool,
    /// The variable that holds a secret.
    pub(crate) env: Option<String>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MountKind {
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// What happens when two commands want a cache at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Private,
    Locked,
}

const KINDS: [(&str, MountKind); 5] = [
    ("bind", MountKind::Bind),
    ("cache", MountKind::Cache),
    ("tmpfs", MountKind::Tmpfs),
    ("secret", MountKind::Secret),
    ("ssh", MountKind::Ssh),
];

const SHARINGS: [(&str, Sharing); 3] = [
    ("shared", Sharing::Shared),
    ("private", Sharing::Private),
    ("locked", Sharing::Locked),
];

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// What people are told about the types of mounts.
pub(crate) const MOUNTS: &[MountGuide] = &[
    MountGuide {
        name: "bind",
        text: "Files of a stage, an image or the build context, as they are. What is written to them is \
                   thrown away.",
        options: &["target", "source", "from", "readwrite"],
    },
    MountGuide {
        name: "cache",
        text: "A directory that is kept from build to build, such as that of a package manager.",
        options: &[
            "target", "id", "sharing", "from", "source", "mode", "uid", "gid", "readonly",
        ],
    },
    MountGuide {
        name: "tmpfs",
        text: "A directory in memory, which is gone with the command.",
        options: &["target", "size"],
    },
    MountGuide {
        name: "secret",
        text: "A file, or a variable, with something secret that reaches neither the image nor the cache.",
        options: &["id", "target", "env", "required", "mode", "uid", "gid"],
    },
    MountGuide {
        name: "ssh",
        text: "The SSH agent of who builds, for keys that never get into the build.",
        options: &["id", "target", "required", "mode", "uid", "gid"],
    },
];

/// What people are told about the options of mounts.
pub(crate) const MOUNT_OPTIONS: &[FlagGuide] = &[
    FlagGuide {
        name: "type",
        value: Value::OneOf(&["bind", "cache", "tmpfs", "secret", "ssh"]),
        text: "What is mounted; bind where it is not given. It stands before the options that depend on it.",
    },
    FlagGuide {
        name: "target",
        value: Value::Like("/"),
        text: "Where the command finds it.",
    },
    FlagGuide {
        name: "source",
        value: Value::Like("/"),
        text: "Which part of the source is mounted; all of it where it is not given.",
    },
    FlagGuide {
        name: "from",
        value: Value::Source,
        text: "The stage, by name, or the image that it comes from; the build context where it is not \
                   given, or nothing for a cache.",
    },
    FlagGuide {
        name: "readwrite",
        value: Value::Switch,
        text: "Lets the command write to it. What it writes is thrown away.",
    },
    FlagGuide {
        name: "readonly",
        value: Value::Switch,
        text: "Keeps the command from writing to it.",
    },
    FlagGuide {
        name: "id",
        value: Value::Like("name"),
        text: "What it is called: what has one name is one cache, secret or agent. A cache and a secret take it from \
               their target where it is not given.",
    },
    FlagGuide {
        name: "sharing",
        value: Value::OneOf(&["shared", "private", "locked"]),
        text: "What happens when two commands want a cache at once: both write to it, as where it is not given; the \
               second gets one of its own; or it waits.",
    },
    FlagGuide {
        name: "required",
        value: Value::Switch,
        text: "Makes the build fail where it is not given to it.",
    },
    FlagGuide {
        name: "env",
        value: Value::Like("NAME"),
        text: "The variable that holds the secret, in the place of a file or beside it.",
    },
    FlagGuide {
        name: "mode",
        value: Value::Like("0400"),
        text: "Its permissions, in octal.",
    },
    FlagGuide {
        name: "uid",
        value: Value::Like("1000"),
        text: "The number of the user that owns it; 0 where it is not given.",
    },
    FlagGuide {
        name: "gid",
        value: Value::Like("1000"),
        text: "The number of the group that owns it; 0 where it is not given.",
    },
    FlagGuide {
        name: "size",
        value: Value::Like("64m"),
        text: "How much it holds at most.",
    },
];

/// The name of an option that is meant by another.
pub(crate) fn usual_option(name: &str) -> &str {
    match name {
        "src" => "source",
        "dst" | "destination" => "target",
        "ro" => "readonly",
        "rw" => "readwrite",
        usual => usual,
    }
}

/// Finds where a `--mount` mounts from.
pub(super) fn source(text: Word) -> Result<MountSource, Problem> {
    let mut from = None;
    for field in fields(&text.text, text.span)? {
        let Some((key, value)) = field.split_once('=') else {
            continue;
        };
        if !key.eq_ignore_ascii_case("from") {
            continue;
        }
        if value.find('$').is_some_and(|at| at + 1 != value.len()) {
            return Err(Problem::new(
                "variable-in-from",
                "The source of a mount cannot come from a variable.",
            )
            .at(text.span)
            .hint("Name it by a stage of its own: FROM $image AS name, then from=name."));
        }
        from = Some(value.to_owned());
    }
    Ok(MountSource {
        from: from.filter(|from| !from.is_empty()),
        text,
    })
}

fn fields(text: &str, span: Span) -> Result<Vec<String>, Problem> {
    if text.is_empty() {
        return Err(Problem::new("bad-mount", "This --mount says nothing.").at(span));
    }
    comma_separated(text)
        .map_err(|error| Problem::new("bad-mount", format!("This --mount cannot be read: {error}.")).at(span))
}

impl Mount {
    /// Reads a `--mount`; `expand` works out the variables in a value.
    pub(crate) fn read(
        text: &Word,
        mut expand: impl FnMut(&str) -> Result<String, Problem>,
    ) -> Result<Self, Problem> {
        let mut mount = Self {
            kind: MountKind::Bind,
            from: String::new(),
            source: String::new(),
            target: String::new(),
            read_only: false,
            size: 0,
            id: String::new(),
            sharing: None,
            required: false,
            env: None,
            mode: None,
            uid: None,
            gid: None,
        };
        let mut access = None;
        for field in fields(&text.text, text.span)? {
            match field.split_once('=') {
                Some((key, value)) => {
                    let value = expand(value)?;
                    mount.set(&key.to_ascii_lowercase(), value, &mut access)
                }
                None => mount.switch(&field, &mut access),
            }
            .map_err(|problem| problem.at(text.span))?;
        }
        // A cache is there to be written to; what comes from elsewhere is not.
        mount.read_only = access.unwrap_or(!matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs));
        mount.check().map_err(|problem| problem.at(text.span))?;
        Ok(mount)
    }

    /// An option without a value.
    fn switch(&mut self, key: &str, access: &mut Option<bool>) -> Result<(), Problem> {
        match key.to_ascii_lowercase().as_str() {
            "readonly" | "ro" => *access = Some(true),
            "readwrite" | "rw" => *access = Some(false),
            "required" if self.may_be_required() => self.required = true,
            "required" => return Err(self.misplaced("required")),
            _ => {
                return Err(
                    Problem::new("bad-mount", format!("\"{key}\" in this --mount has no value."))
                        .hint(format!("Write {key}=value.")),
                );
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: String, access: &mut Option<bool>) -> Result<(), Problem> {
        match key {
            "type" => self.kind = choose(&KINDS, "a kind of mount", &value)?,
            "from" => self.from = value,
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" => *access = Some(boolean(key, &value)?),
            "readwrite" | "rw" => *access = Some(!boolean(key, &value)?),
            "required" if self.may_be_required() => self.required = boolean(key, &value)?,
            "size" if self.kind == MountKind::Tmpfs => {
                self.size =
                    number::size(&value).ok_or_else(|| bad_value(key, &value).hint("Write it like 64m."))?;
            }
            "required" | "size" => return Err(self.misplaced(key)),
            "id" => self.id = value,
            "sharing" => self.sharing = Some(choose(&SHARINGS, "a way of sharing a cache", &value)?),
            "mode" => self.mode = Some(number::unsigned(&value, 8).ok_or_else(|| bad_value(key, &value))?),
            "uid" => self.uid = Some(number::unsigned(&value, 10).ok_or_else(|| bad_value(key, &value))?),
            "gid" => self.gid = Some(number::unsigned(&value, 10).ok_or_else(|| bad_value(key, &value))?),
            "env" => self.env = Some(value),
            _ => {
                return Err(
                    Problem::new("bad-mount", format!("A --mount has no option \"{key}\"."))
                        .suggest(key, KEYS),
                );
            }
        }
        Ok(())
    }

    fn may_be_required(&self) -> bool {
        matches!(self.kind, MountKind::Secret | MountKind::Ssh)
    }

    fn kind_name(&self) -> &'static str {
        KINDS
            .iter()
            .find(|(_, kind)| *kind == self.kind)
            .map_or("", |(name, _)| name)
    }

    fn misplaced(&self, key: &str) -> Problem {
        Problem::new(
            "bad-mount",
            format!("A mount of type {} has no option {key}.", self.kind_name()),
        )
        .hint("The type has to stand before the options that depend on it.")
    }

    /// Options that do not go together.
    fn check(&self) -> Result<(), Problem> {
        let owned = matches!(self.kind, MountKind::Secret | MountKind::Ssh | MountKind::Cache);
        for (key, given) in [
            ("mode", self.mode.is_some()),
            ("uid", self.uid.is_some()),
            ("gid", self.gid.is_some()),
        ] {
            if given && !owned {
                return Err(self.misplaced(key));
            }
        }
        if self.sharing.is_some() && self.kind != MountKind::Cache {
            return Err(self.misplaced("sharing"));
        }
        if self.kind == MountKind::Secret {
            if !self.from.is_empty() {
                return Err(self.misplaced("from"));
            }
            if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
                return Err(
                    Problem::new("bad-mount", "This mount does not say which secret it is.")
                        .hint("Give it an id, as in --mount=type=secret,id=token."),
                );
            }
            if !self.source.is_empty() && !self.id.is_empty() {
                return Err(Problem::new(
                    "bad-mount",
                    "A secret has either an id or a source, not both.",
                ));
            }
        }
        Ok(())
    }
}

fn choose<T: Copy>(known: &[(&'static str, T)], what: &str, value: &str) -> Result<T, Problem> {
    let lower = value.to_ascii_lowercase();
    known
        .iter()
        .find(|(name, _)| *name == lower)
        .map(|(_, kind)| *kind)
        .ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            Problem::new("bad-mount", format!("\"{value}\" is not {what}."))
                .hint(format!("It can be {}.", names.join(", ")))
                .suggest(value, names)
        })
}

fn boolean(key: &str, value: &str) -> Result<bool, Problem> {
    crate::boolean::read(value).ok_or_else(|| bad_value(key, value).hint("It is true or false."))
}

fn bad_value(key: &str, value: &str) -> Problem {
    Problem::new(
        "bad-mount",
        format!("\"{value}\" is not something that {key} can be."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Mount, Problem> {
        Mount::read(
            &Word {
                text: text.into(),
                span: Span::default(),
            },
            |value| Ok(value.to_owned()),
        )
    }

    #[test]
    fn what_comes_from_elsewhere_is_read_only_unless_asked() {
        assert!(read("target=/x").unwrap().read_only);
        assert!(!read("target=/x,rw").unwrap().read_only);
        assert!(!read("type=cache,target=/x").unwrap().read_only);
        assert!(read("type=cache,target=/x,ro").unwrap().read_only);
    }

    #[test]
    fn every_option_is_explained() {
        for key in KEYS {
            let known = MOUNT_OPTIONS
                .iter()
                .any(|option| option.name == usual_option(key));
            assert!(known, "{key}");
        }
        let names: Vec<&str> = MOUNTS.iter().map(|mount| mount.name).collect();
        assert_eq!(names, KINDS.map(|(name, _)| name));
        for mount in MOUNTS {
            for name in mount.options {
                let option = MOUNT_OPTIONS.iter().find(|option| option.name == *name).unwrap();
                let value = match option.value {
                    Value::Switch => String::new(),
                    Value::OneOf(values) => format!("={}", values[0]),
                    Value::Like(value) => format!("={value}"),
                    Value::Source | Value::Platform | Value::Mount => "=a".into(),
                };
                let text = format!("type={},{name}{value}", mount.name);
                let misplaced = read(&text).is_err_and(|problem| problem.message.contains("no option"));
                assert!(!misplaced, "{text}");
            }
        }
    }

    #[test]
    fn options_that_do_not_fit_are_named() {
        for (text, part) in [
            ("typ=cache", "typ"),
            ("type=cach", "cach"),
            ("type=bind,uid=0", "uid"),
            ("type=secret", "secret"),
            ("type=tmpfs,sharing=locked", "sharing"),
            ("target", "target"),
        ] {
            assert!(read(text).unwrap_err().message.contains(part), "{text}");
        }
    }
}
