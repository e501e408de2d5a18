//! Runs other programs.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::problem::{About as _, Outcome, Problem};
use crate::report::Line;

/// Lines of a failed command that are worth showing.
const TAIL: usize = 30;

/// Runs `command` and keeps what it prints in `logs`; the newest line is shown behind the step's heading.
pub(crate) fn quiet(command: &mut Command, line: &mut Line, logs: &Path) -> Outcome<()> {
    fs::create_dir_all(logs).about(logs)?;
    let log_path = line.log(logs);
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .about(&log_path)?;
    let shown = describe(command);
    let _ = writeln!(log, "$ {shown}");
    let (reader, writer) = std::io::pipe().map_err(|error| Problem::new(format!("no pipe: {error}")))?;
    let also = writer
        .try_clone()
        .map_err(|error| Problem::new(format!("no pipe: {error}")))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(also)
        .spawn()
        .map_err(|error| cannot_start(command, &error))?;
    // `command` still holds the writing ends; while it does, the pipe never ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut tail = std::collections::VecDeque::new();
    for text in BufReader::new(reader).split(b'\n') {
        let Ok(text) = text else { break };
        let text = String::from_utf8_lossy(&text).into_owned();
        let _ = writeln!(log, "{text}");
        line.news(&text);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(text);
    }
    let status = child
        .wait()
        .map_err(|error| Problem::new(format!("{shown}: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let tail: Vec<String> = tail.into();
    Err(Problem::new(format!(
        "{}\n\n{}\n\n(all of it: {})",
        ended(&shown, status),
        tail.join("\n"),
        log_path.display()
    )))
}

/// Runs `command` and answers what it prints on its standard output.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(Problem::new(format!(
        "{}\n\n{}",
        ended(&describe(command), done.status),
        said.trim()
    )))
}

/// Runs `command` with its output in plain sight; answers whether it was content.
pub(crate) fn shown(command: &mut Command) -> Outcome<bool> {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    Ok(status.success())
}

/// Whether a program of that name is on the `PATH`, or where programs are that only root has there.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn ended(shown: &str, status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("`{shown}` ended with {code}"),
        None => format!("`{shown}` was killed"),
    }
}

fn cannot_start(command: &Command, error: &std::io::Error) -> Problem {
    let program = command.get_program().to_string_lossy();
    if error.kind() == ErrorKind::NotFound {
        Problem::new(format!(
            "`{program}` is not installed; it is needed for `{}`",
            describe(command)
        ))
    } else {
        Problem::new(format!("`{program}` cannot be started: {error}"))
    }
}
