//! How long builds take on this machine: ours, and those of a running `BuildKit` in the same minutes where `buildctl` reaches one.
//!
//! `build-times PROGRAM CONFIG` takes the release build of `stagewright` and the configuration with the stand-in images
//! (`target/images/stagewright.toml`). Every round measures both, one after the other, so that what else the machine does hits
//! both alike. Printed is the table of docs/measurements.md: medians, the fastest in brackets, and how the medians compare.
//!
//! On ext4 the kernel looks past every inode that was freed within the last five minutes, one by one, whenever it makes a file: after
//! thousands of files were removed from the same disk, such as by this program at its end, whatever makes files is several times
//! slower. Wait for so long before it is started.

use std::cell::Cell;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 9;
/// Steps in a row, so that a single one's cost stands out from the start of the build.
const STEPS: u16 = 40;
/// Bytes of the layer that is exported.
const LAYER: usize = 200 << 20;
const CONTEXT_FILES: usize = 10_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, config, only @ ..] = arguments.as_slice() else {
        return Err("usage: build-times PROGRAM CONFIG [WHAT...]".into());
    };
    let scratch = std::env::temp_dir().join(format!("build-times-{}", std::process::id()));
    let bench = Bench {
        ours: Ours {
            program: fs::canonicalize(program)?,
            config: fs::canonicalize(config)?,
            states: scratch.join("states"),
            present: Cell::new(0),
        },
        theirs: BuildKit::find(Path::new(config))?,
        scratch: scratch.clone(),
    };
    if bench.theirs.is_none() {
        eprintln!(
            "buildctl reaches no BuildKit (BUILDKIT_HOST says where it listens), so ours are measured alone"
        );
    }
    let parts = ["diamond", "steps", "export", "context", "rest"];
    let asked = |part: &&&str| only.is_empty() || only.iter().any(|word| word == **part);
    let result = parts.iter().filter(asked).try_for_each(|part| match *part {
        "diamond" => bench.diamond(),
        "steps" => bench.steps(),
        "export" => bench.export(),
        "context" => bench.context(),
        _ => bench.rest(),
    });
    // What was measured counts all the same, and so does why it could not be.
    if let Err(error) = fs::remove_dir_all(&scratch) {
        eprintln!("{} is left behind: {error}", scratch.display());
    }
    result
}

/// One build, as both are asked for it.
struct Build<'b> {
    folder: &'b Path,
    arguments: Vec<(&'b str, String)>,
    no_cache: bool,
    /// `type=…` and what follows, without where it goes; `None` leaves the result in the cache.
    output: Option<&'b str>,
}

impl<'b> Build<'b> {
    fn of(folder: &'b Path) -> Self {
        Self {
            folder,
            arguments: Vec::new(),
            no_cache: false,
            output: None,
        }
    }
}

/// Somebody who builds.
trait Builder {
    /// Leaves nothing of earlier builds.
    fn forget(&self) -> Outcome<()>;
    fn command(&self, build: &Build<'_>, output: &Path) -> Command;

    /// Builds, and says how many milliseconds it took from the command to its end.
    fn build(&self, build: &Build<'_>) -> Outcome<f64> {
        let output = std::env::temp_dir().join(format!("build-times-output-{}.tar", std::process::id()));
        let mut command = self.command(build, &output);
        let begun = Instant::now();
        let ended = command.stdin(Stdio::null()).output()?;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        _ = fs::remove_file(&output);
        if ended.status.success() {
            return Ok(took);
        }
        Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&ended.stderr)).into())
    }
}

struct Ours {
    program: PathBuf,
    config: PathBuf,
    states: PathBuf,
    /// Which of them is the present one.
    present: Cell<usize>,
}

impl Ours {
    fn state(&self) -> PathBuf {
        self.states.join(self.present.get().to_string())
    }
}

impl Builder for Ours {
    /// A folder that is not there yet: removing the old one would keep the disk busy with what is not measured.
    fn forget(&self) -> Outcome<()> {
        self.present.set(self.present.get() + 1);
        Ok(())
    }

    fn command(&self, build: &Build<'_>, output: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("build").arg("--progress=plain");
        command.arg("--state").arg(self.state());
        command.arg("--config").arg(&self.config);
        for (name, value) in &build.arguments {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        if build.no_cache {
            command.arg("--no-cache");
        }
        command.arg("--output").arg(match build.output {
            Some(kind) => format!("{kind},dest={}", output.display()),
            None => "type=cacheonly".to_owned(),
        });
        command.arg(build.folder);
        command
    }
}

struct BuildKit {
    layout: PathBuf,
    digest: String,
}

impl BuildKit {
    fn find(config: &Path) -> Outcome<Option<Self>> {
        let reached = Command::new("buildctl").args(["debug", "workers"]).output();
        if !reached.is_ok_and(|reached| reached.status.success()) {
            return Ok(None);
        }
        let layout = config.with_file_name("layout");
        let index: Value = serde_json::from_str(&fs::read_to_string(layout.join("index.json"))?)?;
        let is_base = |manifest: &&Value| {
            manifest["annotations"]["org.opencontainers.image.ref.name"] == "alpine-latest"
        };
        let base = index["manifests"].as_array().into_iter().flatten().find(is_base);
        let digest = base.and_then(|manifest| manifest["digest"].as_str());
        let digest = digest
            .ok_or("the images have no alpine-latest; run `cargo xtask images`")?
            .to_owned();
        Ok(Some(Self { layout, digest }))
    }
}

impl Builder for BuildKit {
    fn forget(&self) -> Outcome<()> {
        let status = Command::new("buildctl")
            .args(["prune", "--all"])
            .stdout(Stdio::null())
            .status()?;
        if status.success() {
            return Ok(());
        }
        Err("buildctl prune failed".into())
    }

    fn command(&self, build: &Build<'_>, output: &Path) -> Command {
        let mut command = Command::new("buildctl");
        let folder = build.folder.display();
        command.args(["build", "--progress=plain", "--frontend=dockerfile.v0"]);
        command.arg("--local").arg(format!("context={folder}"));
        command.arg("--local").arg(format!("dockerfile={folder}"));
        command
            .arg("--oci-layout")
            .arg(format!("base={}", self.layout.display()));
        command
            .arg("--opt")
            .arg(format!("context:alpine=oci-layout://base@{}", self.digest));
        for (name, value) in &build.arguments {
            command.arg("--opt").arg(format!("build-arg:{name}={value}"));
        }
        if build.no_cache {
            command.arg("--no-cache");
        }
        if let Some(kind) = build.output {
            command
                .arg("--output")
                .arg(format!("{kind},dest={}", output.display()));
        }
        command
    }
}

/// Milliseconds of ours and theirs.
#[derive(Default)]
struct Times([Vec<f64>; 2]);

impl Times {
    fn print(mut self, what: &str, show: impl Fn(f64) -> String) {
        let mut row = format!("| {what} |");
        let mut medians = Vec::new();
        for times in &mut self.0 {
            times.sort_by(f64::total_cmp);
            let Some(fastest) = times.first() else {
                row.push_str(" |");
                continue;
            };
            let median = times[times.len() / 2];
            medians.push(median);
            _ = write!(row, " {} ({}) |", show(median), show(*fastest));
        }
        if let [ours, theirs] = medians[..] {
            _ = write!(row, " {:.2} |", ours / theirs);
        }
        println!("{row}");
    }
}

fn milliseconds(time: f64) -> String {
    if time < 20.0 {
        format!("{time:.1} ms")
    } else {
        format!("{time:.0} ms")
    }
}

struct Bench {
    ours: Ours,
    theirs: Option<BuildKit>,
    scratch: PathBuf,
}

impl Bench {
    fn builders(&self) -> impl Iterator<Item = &dyn Builder> {
        let theirs = self.theirs.iter().map(|theirs| theirs as &dyn Builder);
        std::iter::once(&self.ours as &dyn Builder).chain(theirs)
    }

    fn folder(&self, name: &str, dockerfile: &str) -> io::Result<PathBuf> {
        let folder = self.scratch.join(name);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("Dockerfile"), dockerfile)?;
        Ok(folder)
    }

    /// The example of the page: two stages that rest on one and meet in another.
    fn diamond(&self) -> Outcome<()> {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../static/examples/diamond");
        let folder = self.folder("diamond", &fs::read_to_string(example.join("Dockerfile"))?)?;
        fs::write(folder.join("right.txt"), "right")?;
        let (mut cold, mut changed, mut cached) = (Times::default(), Times::default(), Times::default());
        for round in 0..ROUNDS {
            for (place, builder) in self.builders().enumerate() {
                fs::write(folder.join("left.txt"), format!("left {round}"))?;
                builder.forget()?;
                cold.0[place].push(builder.build(&Build::of(&folder))?);
                fs::write(folder.join("left.txt"), format!("left again {round}"))?;
                changed.0[place].push(builder.build(&Build::of(&folder))?);
                cached.0[place].push(builder.build(&Build::of(&folder))?);
            }
        }
        cold.print("diamond, cold", milliseconds);
        changed.print("diamond, one file changed", milliseconds);
        cached.print("diamond, all cached", milliseconds);
        Ok(())
    }

    /// What one `RUN true` adds to a build.
    fn steps(&self) -> Outcome<()> {
        let mut dockerfile = "FROM alpine\nARG ROUND\n".to_owned();
        for step in 0..STEPS {
            _ = writeln!(dockerfile, "RUN [\"true\", \"{step}\"]");
        }
        let folder = self.folder("steps", &dockerfile)?;
        let mut times = Times::default();
        for round in 0..ROUNDS {
            for (place, builder) in self.builders().enumerate() {
                let mut build = Build::of(&folder);
                build.arguments = vec![("ROUND", format!("{round}"))];
                let all = builder.build(&build)?;
                let cached = builder.build(&build)?;
                times.0[place].push((all - cached) / f64::from(STEPS));
            }
        }
        times.print("a `RUN true`", milliseconds);
        Ok(())
    }

    /// A layer from what this machine's programs consist of, made into an archive.
    fn export(&self) -> Outcome<()> {
        let folder = self.folder("export", "FROM scratch\nCOPY files /files\n")?;
        let mut content = Vec::with_capacity(LAYER);
        gather(Path::new("/usr/lib"), &mut content)?;
        fs::create_dir_all(folder.join("files"))?;
        let mut time = 0_u32;
        for kind in ["zstd", "gzip", "uncompressed"] {
            let output = format!("type=oci,compression={kind}");
            let mut times = Times::default();
            for _ in 0..3 {
                for (place, builder) in self.builders().enumerate() {
                    // A megabyte in a file, each new, so that nothing that was compressed before is of use.
                    time += 1;
                    for (number, part) in content.chunks_mut(1 << 20).enumerate() {
                        part[..4].copy_from_slice(&time.to_le_bytes());
                        fs::write(folder.join(format!("files/{number}")), part)?;
                    }
                    let mut build = Build::of(&folder);
                    builder.build(&build)?;
                    // The files and what was made of them are no part of what is measured, nor is the disk that takes them.
                    Command::new("sync").status()?;
                    let cached = builder.build(&build)?;
                    build.output = Some(&output);
                    times.0[place].push(builder.build(&build)? - cached);
                }
            }
            let size = f64::from(u32::try_from(content.len())?) / 1e6;
            times.print(&format!("a layer of {size:.0} MB exported, {kind}"), |time| {
                format!("{} = {:.0} MB/s", milliseconds(time), size / time * 1000.0)
            });
        }
        Ok(())
    }

    /// A context of many files, of which none changed.
    fn context(&self) -> Outcome<()> {
        let folder = self.folder("context", "FROM scratch\nCOPY src /src\n")?;
        for number in 0..CONTEXT_FILES {
            let place = folder.join(format!("src/{}", number / 100));
            fs::create_dir_all(&place)?;
            fs::write(
                place.join(format!("{number}.rs")),
                format!("// {number}\n").repeat(40),
            )?;
        }
        let mut times = Times::default();
        for builder in self.builders() {
            builder.build(&Build::of(&folder))?;
        }
        for _ in 0..ROUNDS {
            for (place, builder) in self.builders().enumerate() {
                times.0[place].push(builder.build(&Build::of(&folder))?);
            }
        }
        times.print(&format!("{CONTEXT_FILES} files looked at again"), milliseconds);
        Ok(())
    }

    /// A worker that waits, after a build's state was opened.
    fn rest(&self) -> Outcome<()> {
        let mut worker = Command::new(&self.ours.program)
            .args(["serve", "--listen", "127.0.0.1:0", "--state"])
            .arg(self.ours.state())
            .arg("--config")
            .arg(&self.ours.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(std::time::Duration::from_secs(3));
        let status = fs::read_to_string(format!("/proc/{}/status", worker.id()));
        worker.kill()?;
        worker.wait()?;
        let status = status?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        println!(
            "| a worker at rest | {} | | |",
            resident.unwrap_or("ended early").trim()
        );
        Ok(())
    }
}

/// Fills `content` with the files below a folder.
fn gather(folder: &Path, content: &mut Vec<u8>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let room = content.capacity() - content.len();
        let kind = entry.file_type()?;
        if room == 0 {
            return Ok(());
        } else if kind.is_dir() {
            gather(&entry.path(), content)?;
        } else if kind.is_file() {
            let file = fs::read(entry.path())?;
            content.extend_from_slice(&file[..file.len().min(room)]);
        }
    }
    Ok(())
}
