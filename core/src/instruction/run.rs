//! `RUN`: a command that changes the files of a stage.

use crate::diagnostic::Problem;
use crate::llb::{NetMode, SecurityMode};
use crate::syntax::{Arguments, Node, Word, comma_separated};

use super::CommandLine;
use super::flags::{Flags, Takes};
use super::guide::{FlagGuide, Guide, Value};
use super::mount;
pub(crate) use super::mount::MountSource;

#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) command: CommandLine,
    /// `--mount`s, with where they mount from; the rest is read when variables are known.
    pub(crate) mounts: Vec<MountSource>,
    pub(crate) network: NetMode,
    pub(crate) security: SecurityMode,
    pub(crate) devices: Vec<Device>,
}

/// A device that a command wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) required: bool,
}

/// The flags that it knows.
pub(super) const FLAGS: &[(&str, Takes)] = &[
    ("mount", Takes::Texts),
    ("network", Takes::Text),
    ("security", Takes::Text),
    ("device", Takes::Texts),
];

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Runs a command in the stage; what it does to the files becomes a layer. A text is run by a \
                   shell, an array is run as it is, and a heredoc is a script.",
    examples: &[
        "RUN make && make install",
        "RUN [\"make\", \"install\"]",
        "RUN <<EOF\nset -e\nmake\nEOF",
    ],
    words: &[],
    flags: &[
        FlagGuide {
            name: "mount",
            value: Value::Mount,
            text: "Gives the command files while it runs: those of a stage, an image or the build context, a \
                   cache, memory, a secret, or an SSH agent. None of them ends up in the layer.",
        },
        FlagGuide {
            name: "network",
            value: Value::OneOf(&["default", "none", "host"]),
            text: "The network that the command sees: the usual one, none at all, or that of the machine where \
                   the builder allows it.",
        },
        FlagGuide {
            name: "security",
            value: Value::OneOf(&["sandbox", "insecure"]),
            text: "Whether the command is confined. With insecure it is not, where the builder allows it.",
        },
        FlagGuide {
            name: "device",
            value: Value::Like("vendor.com/gpu=all"),
            text: "A device that the command may use, by its CDI name.",
        },
    ],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Run, Problem> {
    let flags = Flags::read(node, FLAGS)?;
    let network = match flags.texts("network").first() {
        None => NetMode::Unset,
        Some(word) => match word.text.as_str() {
            "default" => NetMode::Unset,
            "none" => NetMode::None,
            "host" => NetMode::Host,
            _ => return Err(unknown_mode(word, "network", &["default", "none", "host"])),
        },
    };
    let security = match flags.texts("security").first() {
        None => SecurityMode::Sandbox,
        Some(word) => match word.text.as_str() {
            "sandbox" => SecurityMode::Sandbox,
            "insecure" => SecurityMode::Insecure,
            _ => return Err(unknown_mode(word, "security", &["sandbox", "insecure"])),
        },
    };
    Ok(Run {
        command: CommandLine::read(node, arguments),
        mounts: flags
            .texts("mount")
            .into_iter()
            .map(mount::source)
            .collect::<Result<_, _>>()?,
        network,
        security,
        devices: flags
            .texts("device")
            .iter()
            .map(device)
            .collect::<Result<_, _>>()?,
    })
}

fn unknown_mode(word: &Word, flag: &str, known: &[&'static str]) -> Problem {
    Problem::new(
        "bad-flag-value",
        format!("\"{}\" is not something that --{flag} can be.", word.text),
    )
    .at(word.span)
    .hint(format!("It can be {}.", known.join(", ")))
    .suggest(&word.text, known.iter().copied())
}

/// Reads `vendor.com/gpu=gpu1,required` or `name=vendor.com/gpu=gpu1`.
fn device(word: &Word) -> Result<Device, Problem> {
    let bad = |message: String| Problem::new("bad-device", message).at(word.span);
    let mut device = Device {
        name: String::new(),
        required: false,
    };
    if word.text.is_empty() {
        return Err(bad("This --device names no device.".into()));
    }
    let fields = comma_separated(&word.text)
        .map_err(|error| bad(format!("This --device cannot be read: {error}.")))?;
    for field in fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", None) => device.required = true,
            ("required", Some(value)) => {
                device.required = crate::boolean::read(value)
                    .ok_or_else(|| bad(format!("required is true or false, not \"{value}\".")))?;
            }
            ("name", Some(value)) if device.name.is_empty() => value.clone_into(&mut device.name),
            ("name", Some(_)) => return Err(bad("This --device has two names.".into())),
            _ if device.name.is_empty() => device.name = field,
            _ => return Err(bad(format!("--device knows name and required, not \"{key}\"."))),
        }
    }
    Ok(device)
}
