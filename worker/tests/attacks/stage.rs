//! A worker, a base of busybox, and somebody's Dockerfile on it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::ground::{Ended, Ground};

/// What every attack begins with: a shell and its tools.
const BASE: &str = "FROM scratch AS base\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n";

/// Where an attack happens.
pub(crate) struct Stage {
    pub(crate) ground: Ground,
}

impl Stage {
    /// `None`, with the reason printed, where no builds can run.
    pub(crate) fn new() -> Option<Self> {
        Ground::new().map(|ground| Self { ground })
    }

    /// The same with lines of a configuration file.
    pub(crate) fn with_config(lines: &str) -> Option<Self> {
        let stage = Self::new()?;
        let config = stage.outside().join("worker.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(config, format!("{lines}\n{text}")).unwrap();
        Some(stage)
    }

    /// A folder beside context and state, where neither should lead.
    pub(crate) fn outside(&self) -> PathBuf {
        self.ground.context.parent().unwrap().to_owned()
    }

    /// A file outside, with something in it that must be found nowhere, and that must stay as it is.
    pub(crate) fn victim(&self) -> Victim {
        let folder = self.outside().join("victim");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        fs::write(&path, Victim::CONTENT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        Victim { folder, path }
    }

    /// Puts a file into the context.
    pub(crate) fn add(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.ground.context.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Builds these lines on the base, and writes what comes of it to a folder. Flags go before the context.
    pub(crate) fn build(&self, lines: &str, flags: &[&str]) -> (Ended, PathBuf) {
        fs::write(
            self.ground.context.join("Dockerfile"),
            format!("{BASE}\nFROM base\n{lines}\n"),
        )
        .unwrap();
        let output = self.outside().join("output");
        _ = fs::remove_dir_all(&output);
        let to = format!("type=local,dest={}", output.display());
        let arguments = [&["build", "--progress", "plain", "-o", &to], flags, &["."]].concat();
        (self.ground.run(&arguments), output)
    }

    /// What a script prints as a step of a build; the step may end as it likes.
    pub(crate) fn script(&self, script: &str) -> String {
        self.add("attack.sh", script);
        let run = "RUN --mount=type=bind,source=attack.sh,target=/attack.sh sh /attack.sh 2>&1; echo the script has ended";
        let (ended, _) = self.build(run, &[]);
        assert!(ended.well().err.contains("the script has ended"), "{}", ended.err);
        printed(&ended.err)
    }
}

/// What steps printed, without numbers and times.
pub(crate) fn printed(log: &str) -> String {
    let mut text = String::new();
    for line in log.lines() {
        let Some(rest) = line.strip_prefix('#').and_then(|line| line.split_once(' ')) else {
            continue;
        };
        // `#7 0.123 text`
        if let Some((time, line)) = rest.1.split_once(' ')
            && time.parse::<f64>().is_ok()
        {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// A file that nothing may read or change.
pub(crate) struct Victim {
    pub(crate) folder: PathBuf,
    pub(crate) path: PathBuf,
}

impl Victim {
    pub(crate) const CONTENT: &str = "0utside-0f-everything";

    /// It and its folder are as they were.
    #[track_caller]
    pub(crate) fn is_untouched(&self) {
        assert_eq!(fs::read_to_string(&self.path).unwrap(), Self::CONTENT);
        assert_eq!(
            fs::symlink_metadata(&self.path).unwrap().permissions().mode() & 0o7777,
            0o640
        );
        assert_eq!(
            fs::read_dir(&self.folder).unwrap().count(),
            1,
            "something was put beside it"
        );
    }

    /// Nothing under `folder` has its content, and nothing is the file itself under another name.
    #[track_caller]
    pub(crate) fn is_not_in(&self, folder: &Path) {
        use std::os::unix::fs::MetadataExt as _;
        let own = fs::metadata(&self.path).unwrap();
        for path in files(folder) {
            let content = fs::read(&path).unwrap_or_default();
            assert!(!says(&content, Self::CONTENT.as_bytes()), "{}", path.display());
            let other = fs::symlink_metadata(&path);
            let is_own = other.is_ok_and(|other| (own.dev(), own.ino()) == (other.dev(), other.ino()));
            assert!(!is_own, "{}", path.display());
        }
    }
}

/// All files under a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn holds(content: &[u8], needle: &[u8]) -> bool {
    content.windows(needle.len()).any(|part| part == needle)
}

/// Whether a file says something, as it lies or in what is packed in it: a layer, an image with its layers, a file in one.
pub(crate) fn says(content: &[u8], needle: &[u8]) -> bool {
    holds(content, needle) || unpacked(content).iter().any(|inner| says(inner, needle))
}

/// What is packed in a file, one level of it.
fn unpacked(content: &[u8]) -> Vec<Vec<u8>> {
    if content.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        // What is torn has said what it has to say.
        _ = flate2::read::MultiGzDecoder::new(content).read_to_end(&mut plain);
        vec![plain]
    } else if content.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut plain = Vec::new();
        _ = zstd::Decoder::new(content).and_then(|mut decoder| decoder.read_to_end(&mut plain));
        vec![plain]
    } else if content.get(257..262) == Some(b"ustar") {
        let mut archive = tar::Archive::new(content);
        let entries = archive.entries().into_iter().flatten().flatten();
        let read = |mut entry: tar::Entry<'_, &[u8]>| {
            let mut inner = Vec::new();
            _ = entry.read_to_end(&mut inner);
            inner
        };
        // What is not packed once more was seen with the archive.
        entries
            .map(read)
            .filter(|inner| !unpacked(inner).is_empty())
            .collect()
    } else {
        Vec::new()
    }
}

#[test]
fn the_search_finds_what_is_packed_however_often() {
    use std::io::Write as _;
    let needle = b"n33dle";
    let tar = |name: &str, content: &[u8]| {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
        archive.into_inner().unwrap()
    };
    let gzip = |content: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |content: &[u8]| zstd::encode_all(content, 3).unwrap();
    let layer = tar(
        "file",
        b"before n33dle behind, and more that is packed, more that is packed",
    );
    for image in [
        layer.clone(),
        gzip(&layer),
        tar("blobs/a", &gzip(&layer)),
        gzip(&tar("blobs/a", &zstd(&tar("inner.tar.gz", &gzip(&layer))))),
    ] {
        assert!(says(&image, needle));
        assert!(!says(&image, b"an0ther"));
    }
    assert!(!holds(&tar("blobs/a", &gzip(&layer)), needle));
}
