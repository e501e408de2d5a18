//! A state folder, something to build, and the worker's command line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Three stages side by side on one base, and one that takes files of them all and looks whether they are whole. What
/// depends on ROUND is new in every round, the rest is cached.
pub(crate) const DOCKERFILE: &str = r#"
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]

FROM base AS one
RUN seq 1 20000 > /one.txt
ARG ROUND
RUN echo "one $ROUND" > /one.round

FROM base AS two
ARG ROUND
RUN echo "two $ROUND" > /two.round && seq 1 3 > /gone
RUN seq 1 40000 > /two.txt && rm /gone && mkdir /d && chmod 700 /d

FROM base AS three
COPY data /data
ARG ROUND
RUN --mount=type=cache,target=/kept echo $ROUND >> /kept/rounds && cat /data/* > /three.txt

FROM base
COPY --from=one /one.txt /one.round /
COPY --from=two /two.txt /two.round /
COPY --from=three /three.txt /
COPY sums /sums
ARG ROUND
RUN sha256sum -c /sums && [ "$(cat /one.round /two.round)" = "$(printf 'one %s\ntwo %s' $ROUND $ROUND)" ]
"#;

/// Where builds happen.
pub(crate) struct Ground {
    folder: Option<tempfile::TempDir>,
    pub(crate) state: PathBuf,
    pub(crate) context: PathBuf,
    config: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ground {
    /// `None`, with the reason printed, where no builds can run.
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut ground = Self::at(folder.path())?;
        ground.folder = Some(folder);
        Some(ground)
    }

    /// The same in a folder that is there already.
    pub(crate) fn at(folder: &Path) -> Option<Self> {
        let ground = Self {
            state: folder.join("state"),
            context: folder.join("context"),
            config: folder.join("worker.toml"),
            folder: None,
        };
        let busybox = Path::new("/bin/busybox");
        if !busybox.exists() {
            println!("skipped: there is no /bin/busybox to build with");
            return None;
        }
        // What is removed by itself would be missed by those who look for what is cached.
        fs::write(
            &ground.config,
            "[storage]\nmax-used-space = 0\nmin-free-space = 0\n",
        )
        .unwrap();
        fs::create_dir_all(ground.context.join("data")).unwrap();
        fs::copy(busybox, ground.context.join("busybox")).unwrap();
        let seq = |last: u32| {
            let numbers: Vec<String> = (1..=last).map(|number| number.to_string()).collect();
            numbers.join("\n") + "\n"
        };
        let mut three = String::new();
        for number in 10..40 {
            let text = format!("file {number}\n").repeat(500);
            fs::write(ground.context.join(format!("data/{number}")), &text).unwrap();
            three += &text;
        }
        let sum = |text: &str, name: &str| {
            let digest = stagewright_core::digest::Digest::of(text.as_bytes());
            format!("{}  /{name}\n", digest.hex())
        };
        let sums = sum(&seq(20_000), "one.txt") + &sum(&seq(40_000), "two.txt") + &sum(&three, "three.txt");
        fs::write(ground.context.join("sums"), sums).unwrap();
        fs::write(ground.context.join("Dockerfile"), DOCKERFILE).unwrap();
        let doctor = ground.run(&["doctor"]);
        if doctor.code != Some(0) {
            println!("skipped: this machine cannot run builds: {}", doctor.out);
            return None;
        }
        Some(ground)
    }

    /// The command, on this state folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stagewright"));
        command
            .args(arguments)
            .current_dir(&self.context)
            .env("STAGEWRIGHT_STATE", &self.state)
            .env("STAGEWRIGHT_CONFIG", &self.config)
            .env_remove("STAGEWRIGHT_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(&self.command(arguments).output().unwrap())
    }

    /// Builds the Dockerfile in a round.
    pub(crate) fn build(&self, round: &str) -> Ended {
        self.run(&[
            "build",
            "-t",
            "app",
            "--build-arg",
            &format!("ROUND={round}"),
            ".",
        ])
    }
}

pub(crate) fn ended(output: &Output) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn well(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }

    /// The steps of which `word` is said, by name.
    pub(crate) fn steps(&self, word: &str) -> BTreeSet<String> {
        let mut names = std::collections::BTreeMap::new();
        let mut found = BTreeSet::new();
        for line in self.err.lines() {
            let Some((number, rest)) = line.strip_prefix('#').and_then(|line| line.split_once(' ')) else {
                continue;
            };
            if rest.starts_with('[') {
                names.insert(number, rest);
            } else if rest.starts_with(word)
                && let Some(name) = names.get(number)
            {
                found.insert((*name).to_owned());
            }
        }
        found
    }
}
