//! `cargo xtask play`: the playground with a worker behind it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use crate::images;
use crate::place::Place;
use crate::problem::{Outcome, Problem};
use crate::process;
use crate::product;
use crate::report::Report;
use crate::tools;

/// What the person asked for.
pub(crate) struct Options {
    port: u16,
    open: bool,
    stand_ins: bool,
}

impl Options {
    pub(crate) fn read(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self {
            port: 7070,
            open: true,
            stand_ins: true,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--port" => {
                    let given = arguments.next().and_then(|port| port.parse().ok());
                    options.port = given.ok_or_else(|| {
                        Problem::new("--port takes a number from 0 (any free port) to 65535")
                    })?;
                }
                "--no-open" => options.open = false,
                "--no-stand-ins" => options.stand_ins = false,
                other => {
                    return Err(Problem::new(format!(
                        "{other:?} is not understood; `play` takes --port N, --no-open and --no-stand-ins"
                    )));
                }
            }
        }
        Ok(options)
    }
}

/// Sets up what is missing, builds, and serves until it is stopped.
pub(crate) fn run(place: &Place, options: &Options) -> Outcome<ExitCode> {
    let mut report = Report::new(tools::STEPS + product::PAGE_STEPS + 1 + usize::from(options.stand_ins));
    tools::install(place, &mut report)?;
    product::page(place, &mut report)?;
    product::worker(place, &mut report)?;
    let mut command = Command::new(product::worker_program(place));
    command
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{}", options.port),
            "--page",
        ])
        .arg(product::page_folder(place))
        .arg("--state")
        .arg(place.target.join("state"));
    if options.stand_ins {
        images::prepare(place, &mut report)?;
        let config = place.images().join("stagewright.toml");
        if config.exists() {
            command.arg("--config").arg(config);
        }
    }
    if options.open && process::on_path("xdg-open") && has_display() {
        with_browser(&mut command)
    } else {
        alone(&mut command)
    }
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Becomes the worker, so that a signal meant for this command reaches it.
fn alone(command: &mut Command) -> Outcome<ExitCode> {
    let error = command.exec();
    Err(Problem::new(format!("the worker cannot be started: {error}")))
}

/// Waits for the address that the worker prints, and shows it to the person's browser.
fn with_browser(command: &mut Command) -> Outcome<ExitCode> {
    let cannot = |error| Problem::new(format!("the worker cannot be started: {error}"));
    let mut worker = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let mut opened = false;
    if let Some(stdout) = worker.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            println!("{line}");
            let _ = std::io::stdout().flush();
            let address = line
                .split_whitespace()
                .find(|word| word.starts_with("http://") && word.contains('#'));
            if let Some(address) = address.filter(|_| !opened) {
                opened = true;
                let browser = Command::new("xdg-open")
                    .arg(address)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn();
                if browser.is_err() {
                    eprintln!("xdg-open does not start; open the address above yourself");
                }
            }
        }
    }
    let status = worker.wait().map_err(cannot)?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}
