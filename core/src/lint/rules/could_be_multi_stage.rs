//! `CouldBeMultiStage`: What only builds the program is shipped with it.
//!
//! A compiler and its libraries are needed to build a program and not to run it. Where a file that compiles one has a
//! single stage, the compiler ships; with two stages, only the program does.
//!
//! ```dockerfile
//! FROM golang:1.24
//! WORKDIR /src
//! COPY . .
//! RUN go build -o /bin/server .
//! CMD ["/bin/server"]
//! ```
//!
//! Nothing is said of images that start the tool itself, such as those for development.

use crate::analysis::Base;
use crate::edit::TextEdit;
use crate::instruction::{CommandLine, Instruction};
use crate::lint::Rule;
use crate::lint::commands::{Command, commands};
use crate::lint::file::{File, Stage, Step};
use crate::lint::finding::{Fix, Found};
use crate::lint::moment::Moment;

pub(super) const RULE: Rule = Rule::own(
    "CouldBeMultiStage",
    "What only builds the program is shipped with it.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut ships = file.looked_at().filter(|stage| stage.ships);
    let (Some(stage), None) = (ships.next(), ships.next()) else {
        return;
    };
    // Where something comes from another stage, it was thought of.
    let steps = || stage.steps.iter();
    if steps().any(|step| matches!(step.instruction(), Some(Instruction::Copy(copy)) if copy.from.is_some()))
    {
        return;
    }
    let Some((step, build)) = steps().find_map(|step| {
        let mut commands = commands(step).into_iter();
        Some((step, commands.find_map(|command| Build::read(&command))?))
    }) else {
        return;
    };
    let Some(started) = started(stage) else { return };
    let Some(artifact) = build.artifact(&started, stage) else {
        return;
    };
    let line = step.node.lines.start;
    let message = format!(
        "The image ships {}, and all that {} in line {line} needs. Call this stage {STAGE}, and begin a second one behind it: FROM {}, COPY --from={STAGE} {artifact} {artifact}, and what says how it is started.",
        build.tools,
        build.command,
        build.runtime(file, stage),
    );
    let fix = split(file, stage, &artifact, &build);
    found.push(Found::at(stage.node, Moment::TEXT, message).fix(fix));
}

/// What the first stage is best called.
const STAGE: &str = "build";

/// That a program is compiled.
struct Build {
    tools: &'static str,
    command: String,
    /// What it is written to, where the command says so.
    output: Option<String>,
    /// What has to be there to run it; `None` where that is an operating system and no more.
    needs: Option<&'static str>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A program that runs by itself.
    Program,
    /// An archive that a runtime runs.
    Archive,
}

impl Build {
    fn read(command: &Command) -> Option<Self> {
        let verb = command.operands().next().unwrap_or_default();
        let goal = |goals: &[&str]| command.operands().any(|word| goals.contains(&word));
        let after = |option: &str| {
            let words = command.arguments();
            words.skip_while(|word| *word != option).nth(1).map(str::to_owned)
        };
        let (tools, kind, output, needs) = match command.program() {
            "go" if matches!(verb, "build" | "install") => {
                ("the Go toolchain", Kind::Program, after("-o"), None)
            }
            "cargo" if matches!(verb, "build" | "install") => {
                ("the Rust toolchain", Kind::Program, None, None)
            }
            "gcc" | "g++" | "cc" | "c++" | "clang" | "clang++" if !command.has("-c") => {
                ("a C compiler", Kind::Program, after("-o"), None)
            }
            "swift" if verb == "build" => ("the Swift toolchain", Kind::Program, None, None),
            "mvn" | "mvnw" if goal(&["package", "install", "verify"]) => (
                "Maven and a JDK",
                Kind::Archive,
                None,
                Some("eclipse-temurin:21-jre"),
            ),
            "gradle" | "gradlew"
                if goal(&["build", "assemble", "bootJar", "shadowJar", "jar", "installDist"]) =>
            {
                (
                    "Gradle and a JDK",
                    Kind::Archive,
                    None,
                    Some("eclipse-temurin:21-jre"),
                )
            }
            "dotnet" if verb == "publish" => (
                "the .NET SDK",
                Kind::Archive,
                after("-o").or_else(|| after("--output")),
                Some("mcr.microsoft.com/dotnet/aspnet"),
            ),
            _ => return None,
        };
        Some(Self {
            tools,
            command: command.shown(),
            output,
            needs,
            kind,
        })
    }

    /// What has to be copied; `None` where what is started was not built here.
    fn artifact(&self, started: &[String], stage: &Stage<'_>) -> Option<String> {
        let started = match self.kind {
            Kind::Program => started.first()?,
            Kind::Archive => {
                let program = started.first()?.rsplit('/').next()?;
                if !matches!(program, "java" | "dotnet") {
                    return None;
                }
                let archive = |word: &&String| [".jar", ".war", ".dll"].iter().any(|end| word.ends_with(end));
                let archive = started.iter().find(archive)?;
                if program == "dotnet" {
                    // An assembly is nothing without those beside it.
                    return self.output.as_ref().map(|output| absolute(stage, output));
                }
                archive
            }
        };
        let output = self.output.as_deref().map(|output| absolute(stage, output));
        if let Some(output) = output {
            let started = absolute(stage, started);
            let below = started.strip_prefix(output.trim_end_matches('/'));
            return below
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                .then_some(started);
        }
        // A program of the system is not what was compiled.
        let system = ["/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/"];
        let known = [
            "sh", "bash", "make", "go", "cargo", "mvn", "gradle", "npm", "python", "tail", "sleep",
        ];
        let name = started.rsplit('/').next().unwrap_or(started);
        let script = name.contains(".sh") || name.contains(".py") || name.contains("entrypoint");
        let foreign =
            system.iter().any(|folder| started.starts_with(folder)) || known.contains(&name) || script;
        (started.contains('/') && !foreign).then(|| absolute(stage, started))
    }

    /// What the second stage could start from.
    fn runtime(&self, file: &File<'_>, stage: &Stage<'_>) -> String {
        let image = match file.study.plan.bases.get(stage.index) {
            Some(Base::Image(image)) => file.study.plan.images.get(*image),
            _ => None,
        };
        let name = image.map(|image| image.name.as_str()).unwrap_or_default();
        match self.needs {
            Some(needs) => needs.to_owned(),
            None if name.contains("alpine") => "alpine".to_owned(),
            None => "debian:stable-slim".to_owned(),
        }
    }
}

/// A path as seen from the root, with the last `WORKDIR` of the stage.
fn absolute(stage: &Stage<'_>, path: &str) -> String {
    let mut dir = String::from("/");
    for step in &stage.steps {
        if let (Some(Instruction::Workdir(_)), Some(path)) = (step.instruction(), step.worked.words.first()) {
            dir = join(&dir, path);
        }
    }
    join(&dir, path)
}

fn join(dir: &str, path: &str) -> String {
    if path.starts_with('/') {
        crate::path::clean(path).into()
    } else {
        crate::path::clean(&[dir, "/", path].concat()).into()
    }
}

/// What the image starts, word by word; `None` where a shell has more to do than that.
fn started(stage: &Stage<'_>) -> Option<Vec<String>> {
    let commands = stage.steps.iter().rev();
    let line = |step: &Step<'_>| match step.instruction() {
        Some(Instruction::Entrypoint(entrypoint)) => Some((true, words(&entrypoint.command)?)),
        Some(Instruction::Cmd(cmd)) => Some((false, words(&cmd.command)?)),
        _ => None,
    };
    let mut lines: Vec<(bool, Vec<String>)> = commands.filter_map(line).collect();
    lines.sort_by_key(|(entrypoint, _)| !entrypoint);
    lines.into_iter().next().map(|(_, words)| words)
}

fn words(command: &CommandLine) -> Option<Vec<String>> {
    if !command.shell {
        return Some(command.args.clone());
    }
    let text = command.args.first()?;
    let plain = !text.contains(['$', '&', '|', ';', '"', '\'', '`', '(', '>']);
    plain.then(|| text.split_whitespace().map(str::to_owned).collect())
}

/// The file in two stages, where all that comes after the last change of files can go into the second.
fn split(file: &File<'_>, stage: &Stage<'_>, artifact: &str, build: &Build) -> Option<Fix> {
    let last = stage.steps.iter().rposition(|step| {
        matches!(
            step.instruction(),
            Some(Instruction::Run(_) | Instruction::Copy(_) | Instruction::Add(_))
        )
    })?;
    // What was said before the last change may count for the second stage too.
    let config = |step: &Step<'_>| {
        !matches!(
            step.instruction(),
            Some(
                Instruction::Run(_)
                    | Instruction::Copy(_)
                    | Instruction::Add(_)
                    | Instruction::Workdir(_)
                    | Instruction::Arg(_)
            )
        )
    };
    let (before, after) = (stage.steps.get(..=last)?, stage.steps.get(last + 1..)?);
    let named = stage.from.is_none_or(|from| from.name.is_some());
    let single = file.stages.len() == 1 && stage.steps.iter().all(|step| !step.trigger);
    if !single || named || before.iter().any(config) || after.is_empty() || stage.words.len() != 1 {
        return None;
    }
    let base = stage.words.first()?;
    let from = stage.node.name();
    let word_as = if from.chars().all(char::is_lowercase) {
        "as"
    } else {
        "AS"
    };
    let copy = if from.chars().all(char::is_lowercase) {
        "copy"
    } else {
        "COPY"
    };
    let at = file.whole_lines(&before.last()?.node).end;
    let second = format!(
        "\n{from} {}\n{copy} --from={STAGE} {artifact} {artifact}\n",
        build.runtime(file, stage)
    );
    Some(Fix::changing(
        "Build in a stage of its own",
        vec![
            TextEdit::insert(base.span.end, format!(" {word_as} {STAGE}")),
            TextEdit::insert(at, second),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    const RULE: &str = "CouldBeMultiStage";

    fn lines(steps: &str) -> Vec<u32> {
        lines_of(RULE, &format!("FROM a\n{steps}\n"))
    }

    #[test]
    fn says_so() {
        for steps in [
            "WORKDIR /src\nCOPY . .\nRUN go build -o /bin/server .\nCMD [\"/bin/server\"]",
            "WORKDIR /src\nRUN go build -o app\nENTRYPOINT ./app",
            "RUN cargo build --release\nCMD [\"./target/release/app\"]",
            "RUN ./mvnw package\nENTRYPOINT [\"java\", \"-jar\", \"/target/app.jar\"]",
            "RUN dotnet publish -c Release -o /out\nENTRYPOINT [\"dotnet\", \"/out/App.dll\"]",
        ] {
            assert_eq!(lines(steps), [1], "{steps}");
        }
    }

    #[test]
    fn an_image_that_starts_something_else_is_left_alone() {
        for steps in [
            "RUN go build -o /bin/server .\nCMD [\"go\", \"run\", \".\"]",
            "RUN go install tool\nCMD [\"bash\"]",
            "RUN go build -o /bin/server .",
            "RUN cargo build\nCMD cargo run",
            "RUN go build -o /x .\nCMD [\"/entrypoint.sh\"]",
            "COPY --from=b /x /x\nRUN go build -o /y\nCMD [\"/y\"]",
            "RUN make\nCMD [\"/app\"]",
        ] {
            assert_eq!(lines(steps), [0; 0], "{steps}");
        }
        let two = "FROM go AS b\nRUN go build -o /x\nFROM scratch\nCOPY --from=b /x /x\nCMD [\"/x\"]\n";
        assert_eq!(lines_of(RULE, two), [0; 0]);
    }

    #[test]
    fn the_second_stage_has_the_program_and_how_it_is_started() {
        let source = "FROM golang:1.24-alpine\nWORKDIR /src\nCOPY . .\nRUN go build -o /server .\nEXPOSE 80\nCMD [\"/server\"]\n";
        let mended = fixed(RULE, source);
        assert_eq!(
            mended,
            "FROM golang:1.24-alpine AS build\nWORKDIR /src\nCOPY . .\nRUN go build -o /server .\n\nFROM alpine\nCOPY --from=build /server /server\nEXPOSE 80\nCMD [\"/server\"]\n"
        );
        assert_eq!(lines_of(RULE, &mended), [0; 0]);
    }
}
