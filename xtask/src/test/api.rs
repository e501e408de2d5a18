//! The API against its own description: Schemathesis reads the document that a worker serves, asks for all that it
//! describes, with values that fit and values that do not, and looks whether the answers are those that it promises.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::tally::Tally;
use crate::place::Place;
use crate::problem::{About as _, Outcome, Problem};
use crate::process;
use crate::product;
use crate::report::{Done, Line};
use crate::stamp::{self, Inputs};

/// How long it asks, in seconds.
const SECONDS: &str = "120";

/// What is not looked at: whether all that fits the schema is taken. A Dockerfile may have errors, a context may lead
/// nowhere; no schema says that.
const LEFT_OUT: &str = "positive_data_acceptance";

/// Many requests are what it is about; how many are too many is tested elsewhere. The hook is the one that the document
/// takes for its example.
const CONFIGURATION: &str = r#"
[serve]
requests-per-second = 100000

[[hook]]
name = "app"
kind = "plain"
secret = "nobody here knows it"
refs = ["main"]
[hook.build]
context = "https://git.example/app.git"
"#;

/// Installs Schemathesis, in an environment of its own.
pub(crate) fn install(place: &Place, line: &mut Line) -> Outcome<Done> {
    let wanted = place.root.join("tests/api/requirements.txt");
    let program = program(place);
    let inputs = Inputs::new().files(&wanted)?;
    let made = stamp::unless_fresh(place, "schemathesis", &program, inputs, || {
        if !process::on_path("python3") {
            return Err(Problem::new(
                "python3 is not installed; install it with its venv module (Debian: apt-get install python3-venv)",
            ));
        }
        let folder = folder(place);
        let run = |command: &mut Command, line: &mut Line| {
            process::quiet(command, line, &place.logs())
                .map_err(|problem| Problem::new(format!("Schemathesis could not be installed: {problem}")))
        };
        run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
            line,
        )?;
        run(
            Command::new(folder.join("bin/pip"))
                .args([
                    "install",
                    "--no-input",
                    "--disable-pip-version-check",
                    "--requirement",
                ])
                .arg(&wanted),
            line,
        )
    })?;
    Ok(if made { Done::Made } else { Done::UpToDate })
}

/// Has a worker asked.
pub(crate) fn run(place: &Place) -> Outcome<Tally> {
    let mut tally = Tally {
        name: "API against its description (Schemathesis)".to_owned(),
        ..Tally::default()
    };
    println!("\n{}", tally.name);
    let worker = Worker::start(place)?;
    let record = place.logs().join("schemathesis.xml");
    fs::create_dir_all(place.logs()).about(&place.logs())?;
    if record.exists() {
        fs::remove_file(&record).about(&record)?;
    }
    let mut command = Command::new(program(place));
    command
        .arg("run")
        .arg(format!("{}/v1/openapi.json", worker.address))
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", worker.token))
        .args(["--exclude-checks", LEFT_OUT, "--max-time", SECONDS])
        // A fault that is found is to be found again.
        .args(["--continue-on-failure", "--generation-deterministic"])
        .args(["--no-color", "--report", "junit", "--report-junit-path"])
        .arg(&record)
        .current_dir(&worker.folder);
    tally.content = process::shown(&mut command)?;
    read(&mut tally, &fs::read_to_string(&record).unwrap_or_default());
    Ok(tally)
}

fn folder(place: &Place) -> PathBuf {
    place.tools().join("schemathesis")
}

fn program(place: &Place) -> PathBuf {
    folder(place).join("bin/schemathesis")
}

/// A worker with a token that allows all, on a state of its own; both are gone with it.
struct Worker {
    process: Child,
    address: String,
    token: String,
    folder: PathBuf,
}

impl Worker {
    fn start(place: &Place) -> Outcome<Self> {
        let folder = place.target.join("api");
        forget(&folder)?;
        fs::create_dir_all(&folder).about(&folder)?;
        let (state, configuration) = (folder.join("state"), folder.join("stagewright.toml"));
        fs::write(&configuration, CONFIGURATION).about(&configuration)?;
        let worker = product::worker_program(place);
        let token = process::output(
            Command::new(&worker)
                .args(["token", "create", "--scope", "admin", "--state"])
                .arg(&state),
        )?;
        let mut process = Command::new(&worker)
            .args(["serve", "--listen", "127.0.0.1:0", "--state"])
            .arg(&state)
            .arg("--config")
            .arg(&configuration)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Problem::new(format!("the worker cannot be started: {error}")))?;
        let output = process.stdout.take();
        let mut started = Self {
            process,
            address: String::new(),
            token: token.trim().to_owned(),
            folder,
        };
        // A worker whose output nobody reads any more works on, and it says little after this line.
        started.address = output
            .into_iter()
            .flat_map(|output| BufReader::new(output).lines())
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("playground: ")?.split_once("/#")?.0.to_owned()))
            .ok_or_else(|| Problem::new("the worker ended before it said where it is"))?;
        Ok(started)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
        _ = forget(&self.folder);
    }
}

fn forget(folder: &Path) -> Outcome<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).about(folder),
        _ => Ok(()),
    }
}

/// Reads the report: a test for each address.
fn read(tally: &mut Tally, report: &str) {
    for case in report.split("<testcase name=\"").skip(1) {
        let Some((name, rest)) = case.split_once('"') else {
            continue;
        };
        if rest.contains("<failure") || rest.contains("<error") {
            tally.failed += 1;
            tally.failures.push(name.to_owned());
        } else if rest.contains("<skipped") {
            tally.skipped += 1;
        } else {
            tally.passed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_a_test() {
        let mut tally = Tally::default();
        read(
            &mut tally,
            r#"<testsuites><testsuite name="schemathesis" tests="3">
                 <testcase name="GET /a" time="1" />
                 <testcase name="GET /b" time="1"><failure type="failure" message="x">no</failure></testcase>
                 <testcase name="GET /c" time="1"><skipped /></testcase>
               </testsuite></testsuites>"#,
        );
        assert_eq!((tally.passed, tally.failed, tally.skipped), (1, 1, 1));
        assert_eq!(tally.failures, ["GET /b"]);
    }
}
