//! `CacheBreakingOrder`: All files are copied before dependencies are installed, so any change installs them again.
//!
//! A step is run again where something before it changed. Dependencies change with a few files that name them; where
//! only those are there when dependencies are installed, everything else can change and the step is not run again.
//!
//! ```dockerfile
//! FROM node:22
//! WORKDIR /app
//! COPY . .
//! RUN npm ci
//! ```

use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::commands::{Command, commands};
use crate::lint::file::{File, Step};
use crate::lint::finding::{Fix, Found};

pub(super) const RULE: Rule = Rule::own(
    "CacheBreakingOrder",
    "All files are copied before dependencies are installed, so any change installs them again.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    // The tools that a stage, or one it starts from, has installed with already.
    let mut finished: Vec<Vec<&'static str>> = Vec::new();
    for stage in &file.stages {
        let base = stage.base.and_then(|base| finished.get(base));
        let mut installed: Vec<&'static str> = base.cloned().unwrap_or_default();
        let mut everything: Option<&Step<'_>> = None;
        for step in &stage.steps {
            if copies_everything(step) {
                everything.get_or_insert(step);
            }
            let commands = commands(step);
            for (index, command) in commands.iter().enumerate() {
                let Some(install) = Install::read(command) else {
                    continue;
                };
                if installed.contains(&install.tool) {
                    continue;
                }
                installed.push(install.tool);
                // Where the step changed the folder before, the files that name dependencies are somewhere else.
                let moved = commands.iter().take(index).any(|before| before.program() == "cd");
                if let Some(copy) = everything.filter(|_| stage.looked_at && !moved) {
                    let message = format!(
                        "Any change of a file makes {} run again, in line {}. Copy {} first, install, and copy the rest after that.",
                        command.shown(),
                        step.node.lines.start,
                        install.files.join(" and ").replace('*', ""),
                    );
                    let fix = if commands.len() == 1 {
                        earlier(file, copy, step, &install)
                    } else {
                        None
                    };
                    found.push(Found::done(copy, message).fix(fix));
                }
            }
        }
        finished.push(installed);
    }
}

/// Whether a step copies all of the build context.
fn copies_everything(step: &Step<'_>) -> bool {
    match step.instruction() {
        Some(Instruction::Add(_)) => {}
        Some(Instruction::Copy(copy)) if copy.from.is_none() && copy.exclude.is_empty() => {}
        _ => return false,
    }
    let sources = step.worked.words.split_last().map(|(_, sources)| sources);
    let mut sources = sources.into_iter().flatten();
    sources.any(|source| matches!(source.as_str(), "." | "./" | "/" | "*" | "./*"))
}

/// That dependencies are installed.
struct Install {
    tool: &'static str,
    /// The files that name them.
    files: Vec<String>,
}

impl Install {
    fn read(command: &Command) -> Option<Self> {
        let mut operands = command.operands();
        let verb = operands.next().unwrap_or_default();
        let more = operands.next();
        let alone = more.is_none();
        let files = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let (tool, files) = match (command.program(), verb) {
            ("npm", "ci" | "install" | "i" | "clean-install") if alone && !is_global(command) => {
                ("npm", files(&["package.json", "package-lock.json*"]))
            }
            ("yarn", "" | "install") if alone && !command.has("--version") => {
                ("yarn", files(&["package.json", "yarn.lock*"]))
            }
            ("pnpm", "install" | "i") if alone && !is_global(command) => {
                ("pnpm", files(&["package.json", "pnpm-lock.yaml*"]))
            }
            ("bun", "install" | "i") if alone => ("bun", files(&["package.json", "bun.lock*"])),
            ("pip" | "pip3", "install") => ("pip", requirements(command)?),
            ("python" | "python3", "pip") if more == Some("install") => ("pip", requirements(command)?),
            ("poetry", "install") => ("poetry", files(&["pyproject.toml", "poetry.lock*"])),
            ("pipenv", "install" | "sync") if alone => ("pipenv", files(&["Pipfile", "Pipfile.lock*"])),
            ("uv", "sync") => ("uv", files(&["pyproject.toml", "uv.lock*"])),
            ("go", "mod") if matches!(more, Some("download")) => ("go", files(&["go.mod", "go.sum*"])),
            ("bundle", "" | "install") if alone => ("bundle", files(&["Gemfile", "Gemfile.lock*"])),
            ("composer", "install") => ("composer", files(&["composer.json", "composer.lock*"])),
            ("mvn", "dependency:go-offline" | "dependency:resolve") => ("mvn", files(&["pom.xml"])),
            ("mix", "deps.get") => ("mix", files(&["mix.exs", "mix.lock*"])),
            ("dotnet", "restore") if alone => ("dotnet", files(&["*.csproj"])),
            _ => return None,
        };
        Some(Self { tool, files })
    }
}

fn is_global(command: &Command) -> bool {
    command.has("-g") || command.has("--global")
}

/// The files with requirements; `None` where packages are named, or the folder itself is installed.
fn requirements(command: &Command) -> Option<Vec<String>> {
    let mut files = Vec::new();
    let mut arguments = command.arguments();
    while let Some(argument) = arguments.next() {
        match argument {
            "-r" | "--requirement" => files.push(arguments.next()?.to_owned()),
            "-e" | "--editable" | "." | "-c" | "--constraint" => return None,
            _ => {
                let joined = argument
                    .strip_prefix("--requirement=")
                    .or_else(|| argument.strip_prefix("-r"));
                files.extend(joined.map(str::to_owned));
            }
        }
    }
    (!files.is_empty()
        && files
            .iter()
            .all(|file| !file.starts_with('/') && !file.contains('$')))
    .then_some(files)
}

/// The file with the dependencies installed before everything is copied.
fn earlier(file: &File<'_>, copy: &Step<'_>, run: &Step<'_>, install: &Install) -> Option<Fix> {
    let source = file.study.source;
    let plain = install
        .files
        .iter()
        .all(|name| !name.contains('/') && !name.starts_with('*'));
    if copy.trigger || run.trigger || !plain || !run.node.heredocs.is_empty() || !run.node.comments.is_empty()
    {
        return None;
    }
    let destination = match copy.instruction()? {
        Instruction::Copy(copy) if copy.sources.paths.len() == 1 => &copy.sources.destination.text,
        _ => return None,
    };
    if destination.contains(['"', '$', '[']) || copy.node.line.text().contains('[') {
        return None;
    }
    // Between the two there may be steps that the installation needs.
    let between = source.get(copy.node.span.end..run.node.span.start)?;
    if !between.trim().is_empty() {
        return None;
    }
    let lines = file.whole_lines(&run.node);
    let run = source.get(run.node.span.start..run.node.span.end)?;
    let before = file.whole_lines(&copy.node).start;
    let files = install.files.join(" ");
    let folder = destination.trim_end_matches('/');
    let insert = format!("{} {files} {folder}/\n{run}\n", copy.node.name());
    Some(Fix::changing(
        "Install before the rest is copied",
        vec![TextEdit::insert(before, insert), TextEdit::remove(lines)],
    ))
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    const RULE: &str = "CacheBreakingOrder";

    fn lines(steps: &str) -> Vec<u32> {
        lines_of(RULE, &format!("FROM a\n{steps}\n"))
    }

    #[test]
    fn says_so() {
        for install in [
            "npm ci",
            "yarn",
            "yarn install --frozen-lockfile && yarn build",
            "pnpm i",
            "pip install --no-cache-dir -r requirements.txt",
            "python -m pip install -r req/prod.txt",
            "poetry install --no-root",
            "go mod download",
            "bundle install",
            "composer install",
            "mvn -B dependency:go-offline",
        ] {
            assert_eq!(lines(&format!("COPY . .\nRUN {install}")), [2], "{install}");
        }
    }

    #[test]
    fn what_is_installed_before_or_is_no_dependency_is_fine() {
        for steps in [
            "COPY package.json .\nRUN npm ci\nCOPY . .\nRUN npm ci --omit=dev",
            "COPY . .\nRUN npm install -g serve",
            "COPY . .\nRUN npm install express",
            "COPY . .\nRUN pip install flask",
            "COPY . .\nRUN pip install .",
            "COPY . .\nRUN cd web && npm ci",
            "COPY src /src\nRUN npm ci",
            "COPY --from=x . .\nRUN npm ci",
            "RUN npm ci\nCOPY . .",
            "COPY . .\nRUN go build ./...",
        ] {
            assert_eq!(lines(steps), [0; 0], "{steps}");
        }
        let base = "FROM a AS b\nCOPY package.json .\nRUN npm ci\nFROM b\nCOPY . .\nRUN npm ci\n";
        assert_eq!(lines_of(RULE, base), [0; 0]);
    }

    #[test]
    fn dependencies_are_installed_first() {
        let source = "FROM a\nCOPY . .\n\nRUN --mount=type=cache,target=/x \\\n npm ci\nCMD [\"x\"]\n";
        let mended = fixed(RULE, source);
        assert_eq!(
            mended,
            "FROM a\nCOPY package.json package-lock.json* ./\nRUN --mount=type=cache,target=/x \\\n npm ci\nCOPY . .\n\nCMD [\"x\"]\n"
        );
        assert_eq!(lines_of(RULE, &mended), [0; 0]);
    }
}
