//! The files a person works on: Dockerfiles, and the build context around them.

use std::rc::Rc;

use serde::Deserialize;
use stagewright_core::digest::Digest;
use stagewright_core::ignore::{IgnoreFile, ignore_file};
use stagewright_core::protocol::{ContextEntry, ContextEntryKind};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Role {
    /// A plan can be made of it.
    Dockerfile,
    /// Part of the build context, and no more.
    Context,
    /// Run by a person, beside the build.
    Script,
    /// `.dockerignore`.
    Ignore,
    /// Tells about the example; it is not sent along.
    About,
}

impl Role {
    const ALL: [Self; 5] = [
        Self::Dockerfile,
        Self::Context,
        Self::Script,
        Self::Ignore,
        Self::About,
    ];

    /// What it is called in links, and in the list of examples.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dockerfile => "dockerfile",
            Self::Context => "context",
            Self::Script => "script",
            Self::Ignore => "ignore",
            Self::About => "about",
        }
    }

    /// The role that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The role a file's name speaks of.
    pub fn of_path(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        let lower = name.to_ascii_lowercase();
        if lower == "dockerfile"
            || lower.starts_with("dockerfile.")
            || lower.ends_with(".dockerfile")
            || lower == "containerfile"
        {
            if lower.ends_with(".dockerignore") {
                Self::Ignore
            } else {
                Self::Dockerfile
            }
        } else if lower.ends_with(".dockerignore") {
            Self::Ignore
        } else {
            Self::Context
        }
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name).ok_or(name)
    }
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text, which can be edited.
    Text(Rc<str>),
    /// Anything else, which can only be sent along.
    Binary(Rc<[u8]>),
}

impl Content {
    /// Text where `bytes` are UTF-8 without a NUL.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Self::Text(text.into()),
            Ok(text) => Self::Binary(text.into_bytes().into()),
            Err(error) => Self::Binary(error.into_bytes().into()),
        }
    }

    /// The bytes that travel.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text; empty where it is none.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Binary(_) => "",
        }
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative to the context's root, `/` between parts.
    pub path: String,
    /// What it is for.
    pub role: Role,
    /// What is in it.
    pub content: Content,
    /// Counts replacements from outside the editor, which the editor has to be told of.
    pub revision: u32,
}

impl File {
    /// A file by its name.
    pub fn new(path: impl Into<String>, content: Content) -> Self {
        let path = path.into();
        Self {
            role: Role::of_path(&path),
            path,
            content,
            revision: 0,
        }
    }

    /// Permission bits: what starts with `#!` can be run.
    fn mode(&self) -> u32 {
        if self.content.bytes().starts_with(b"#!") {
            0o755
        } else {
            0o644
        }
    }
}

/// Why a file cannot have a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing but spaces.
    #[error("Give the file a name, such as src/app.go.")]
    Empty,
    /// It would lie outside the context, or could mean two places.
    #[error("{0:?} cannot be part of a build context: use a relative path without . and .. parts.")]
    Outside(String),
    /// Another file has it.
    #[error("There is a file {0} already.")]
    Taken(String),
    /// A file stands where the path needs a folder, or the other way round.
    #[error("{0} is a file, so nothing can lie inside it.")]
    InsideFile(String),
}

/// All files, and which of them is shown.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    /// In the order of their tabs.
    pub files: Vec<File>,
    /// The file in the editor.
    pub shown: String,
    /// The Dockerfile that is planned: the one shown last.
    pub dockerfile: String,
    /// Whether anything differs from how the example came.
    pub edited: bool,
    /// Counts replacements of the whole, so that the editor forgets what it knew.
    pub epoch: u32,
}

impl Workspace {
    /// The files of an example; `dockerfile` is shown first.
    pub fn new(files: Vec<File>, dockerfile: &str, epoch: u32) -> Self {
        Self {
            files,
            shown: dockerfile.into(),
            dockerfile: dockerfile.into(),
            edited: false,
            epoch,
        }
    }

    /// A file by its path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    fn file_mut(&mut self, path: &str) -> Option<&mut File> {
        self.files.iter_mut().find(|file| file.path == path)
    }

    /// The text that is planned.
    pub fn source(&self) -> &str {
        self.file(&self.dockerfile).map_or("", |file| file.content.text())
    }

    /// Shows a file; a Dockerfile is planned from then on.
    pub fn show(&mut self, path: &str) {
        let Some(role) = self.file(path).map(|file| file.role) else {
            return;
        };
        if role == Role::Dockerfile {
            path.clone_into(&mut self.dockerfile);
        }
        path.clone_into(&mut self.shown);
    }

    /// Takes what was typed.
    pub fn edit(&mut self, path: &str, text: Rc<str>) {
        if let Some(file) = self.file_mut(path) {
            file.content = Content::Text(text);
            self.edited = true;
        }
    }

    /// Adds a file, or replaces the content of the one that has its path, and shows it.
    pub fn put(&mut self, path: &str, content: Content) {
        match self.file_mut(path) {
            Some(file) => {
                file.content = content;
                file.revision += 1;
            }
            None => self.files.push(File::new(path, content)),
        }
        self.edited = true;
        self.show(path);
    }

    /// Removes a file. The last Dockerfile stays: without it there is nothing to plan.
    pub fn remove(&mut self, path: &str) {
        if !self.can_remove(path) {
            return;
        }
        let Some(at) = self.files.iter().position(|file| file.path == path) else {
            return;
        };
        self.files.remove(at);
        self.edited = true;
        if self.dockerfile == path {
            self.dockerfile = self
                .files
                .iter()
                .find(|file| file.role == Role::Dockerfile)
                .map(|file| file.path.clone())
                .unwrap_or_default();
        }
        if self.shown == path {
            let neighbour = self.files.get(at.saturating_sub(1)).map(|file| file.path.clone());
            self.show(&neighbour.unwrap_or_default());
        }
    }

    /// Whether a file may go.
    pub fn can_remove(&self, path: &str) -> bool {
        let dockerfiles = self.files.iter().filter(|file| file.role == Role::Dockerfile);
        self.file(path)
            .is_some_and(|file| file.role != Role::Dockerfile || dockerfiles.count() > 1)
    }

    /// Gives a file another name; its role follows where the new name speaks of one.
    pub fn rename(&mut self, from: &str, to: &str) {
        let only_dockerfile = !self.can_remove(from);
        let Some(file) = self.file_mut(from) else { return };
        to.clone_into(&mut file.path);
        let role = Role::of_path(to);
        let stays_script = file.role == Role::Script && role == Role::Context;
        if !(only_dockerfile || stays_script) {
            file.role = role;
        }
        let is_dockerfile = file.role == Role::Dockerfile;
        self.edited = true;
        if self.shown == from {
            to.clone_into(&mut self.shown);
        }
        if self.dockerfile == from {
            if is_dockerfile {
                to.clone_into(&mut self.dockerfile);
            } else {
                let other = self.files.iter().find(|file| file.role == Role::Dockerfile);
                self.dockerfile = other.map(|file| file.path.clone()).unwrap_or_default();
            }
        }
    }

    /// A name a file may have: cleaned of spaces and a leading `./`, not taken.
    pub fn check_path(&self, typed: &str) -> Result<String, PathError> {
        let path = typed.trim().trim_start_matches("./");
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        let sound = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 255;
        let clean = path.chars().all(|letter| !letter.is_control() && letter != '\\');
        if !clean || path.len() > 1024 || !path.split('/').all(sound) {
            return Err(PathError::Outside(path.into()));
        }
        if self.file(path).is_some() {
            return Err(PathError::Taken(path.into()));
        }
        for file in &self.files {
            let inside = |outer: &str, inner: &str| {
                inner
                    .strip_prefix(outer)
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            if inside(&file.path, path) {
                return Err(PathError::InsideFile(file.path.clone()));
            }
            if inside(path, &file.path) {
                return Err(PathError::InsideFile(path.into()));
            }
        }
        Ok(path.into())
    }

    /// Whether the context has something at `path`, as `COPY` names it: a file, a folder, or all of it.
    pub fn has(&self, path: &str) -> bool {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                _ => parts.push(part),
            }
        }
        if parts.is_empty() {
            return true;
        }
        let path = parts.join("/");
        self.context().any(|file| {
            file.path
                .strip_prefix(path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The files that make up the build context.
    pub fn context(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.role != Role::About)
    }

    /// The whole context as it is offered to a worker: folders before what is in them. What an ignore file keeps out is
    /// still in it.
    pub fn manifest(&self) -> Vec<ContextEntry> {
        let mut entries: Vec<ContextEntry> = Vec::new();
        for file in self.context() {
            for (at, _) in file.path.match_indices('/') {
                let Some(folder) = file.path.get(..at) else {
                    continue;
                };
                insert(
                    &mut entries,
                    ContextEntry {
                        path: folder.into(),
                        mode: 0o755,
                        kind: ContextEntryKind::Directory,
                    },
                );
            }
            let bytes = file.content.bytes();
            let kind = ContextEntryKind::File {
                digest: Digest::of(bytes),
                size: bytes.len() as u64,
            };
            insert(
                &mut entries,
                ContextEntry {
                    path: file.path.clone(),
                    mode: file.mode(),
                    kind,
                },
            );
        }
        entries
    }

    /// The ignore file that holds for the planned Dockerfile.
    pub fn ignore_file(&self) -> Option<&File> {
        let folder = self.dockerfile.rsplit_once('/').map_or("", |(folder, _)| folder);
        let names = |folder: &'_ str| {
            let inside = self.files.iter().filter_map(move |file| {
                let rest = file.path.strip_prefix(folder)?;
                let name = if folder.is_empty() {
                    rest
                } else {
                    rest.strip_prefix('/')?
                };
                (!name.contains('/')).then_some(name)
            });
            inside.collect::<Vec<_>>()
        };
        match ignore_file(&self.dockerfile, names(folder), names(""))? {
            IgnoreFile::Own(name) if folder.is_empty() => self.file(&name),
            IgnoreFile::Own(name) => self.file(&format!("{folder}/{name}")),
            IgnoreFile::Shared => self.file(".dockerignore"),
        }
    }
}

/// The entries of a manifest, a line each; folders end in `/`. No path has a line break in it.
pub fn listing(entries: &[ContextEntry]) -> String {
    let line = |entry: &ContextEntry| match entry.kind {
        ContextEntryKind::Directory => format!("{}/", entry.path),
        ContextEntryKind::File { .. } | ContextEntryKind::Symlink { .. } => entry.path.clone(),
    };
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The entries that `verdicts`, a `1` or a `0` for each, let in.
pub fn entering(entries: Vec<ContextEntry>, verdicts: &str) -> Vec<ContextEntry> {
    let verdicts = verdicts.bytes().chain(std::iter::repeat(b'1'));
    let entries = entries.into_iter().zip(verdicts);
    entries
        .filter(|(_, verdict)| *verdict == b'1')
        .map(|(entry, _)| entry)
        .collect()
}

/// Keeps `entries` sorted by path, each once: so a folder comes before what is in it.
fn insert(entries: &mut Vec<ContextEntry>, entry: ContextEntry) {
    if let Err(at) = entries.binary_search_by(|known| known.path.cmp(&entry.path)) {
        entries.insert(at, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, text: &str) -> File {
        File::new(path, Content::Text(text.into()))
    }

    fn builder_pattern() -> Workspace {
        let script = File {
            role: Role::Script,
            ..text("build.sh", "#!/bin/sh\n")
        };
        let files = vec![
            text("Dockerfile.build", "FROM a\n"),
            script,
            text("Dockerfile", "FROM b\n"),
            text("src/app.go", "package main\n"),
        ];
        Workspace::new(files, "Dockerfile.build", 1)
    }

    #[test]
    fn a_role_is_found_by_its_name_everywhere() {
        for role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(role));
            assert_eq!(serde_json::from_value::<Role>(role.name().into()).unwrap(), role);
        }
        assert_eq!(Role::named(""), None);
        let unknown = serde_json::from_value::<Role>("Script".into()).unwrap_err();
        assert!(unknown.to_string().contains("Script"));
    }

    #[test]
    fn the_plan_follows_the_dockerfile_that_was_shown_last() {
        let mut workspace = builder_pattern();
        assert_eq!(workspace.source(), "FROM a\n");
        workspace.show("Dockerfile");
        workspace.show("build.sh");
        assert_eq!(
            (workspace.shown.as_str(), workspace.source()),
            ("build.sh", "FROM b\n")
        );
        workspace.show("no such file");
        assert_eq!(workspace.shown, "build.sh");
    }

    #[test]
    fn the_ignore_file_of_the_dockerfile_counts_before_that_of_the_context() {
        let files = vec![
            text("docker/web.Dockerfile", "FROM a\n"),
            text(".dockerignore", "src\n"),
            text("docker/web.Dockerfile.dockerignore", "**/*.md\n"),
        ];
        let mut workspace = Workspace::new(files, "docker/web.Dockerfile", 1);
        let path = |workspace: &Workspace| workspace.ignore_file().map(|file| file.path.clone());
        assert_eq!(
            path(&workspace).as_deref(),
            Some("docker/web.Dockerfile.dockerignore")
        );
        workspace.remove("docker/web.Dockerfile.dockerignore");
        assert_eq!(path(&workspace).as_deref(), Some(".dockerignore"));
    }

    #[test]
    fn what_does_not_enter_is_taken_out_of_the_manifest() {
        let workspace = Workspace::new(vec![text("a/b", ""), text("c", "")], "Dockerfile", 1);
        let entries = workspace.manifest();
        assert_eq!(listing(&entries), "a/\na/b\nc");
        let paths: Vec<String> = entering(entries, "101")
            .into_iter()
            .map(|entry| entry.path)
            .collect();
        assert_eq!(paths, ["a", "c"]);
    }

    #[test]
    fn the_last_dockerfile_cannot_be_removed() {
        let mut workspace = builder_pattern();
        workspace.remove("Dockerfile.build");
        assert_eq!(workspace.source(), "FROM b\n");
        workspace.remove("Dockerfile");
        assert_eq!(workspace.source(), "FROM b\n");
    }

    #[test]
    fn removing_the_shown_file_shows_its_neighbour() {
        let mut workspace = builder_pattern();
        workspace.show("src/app.go");
        workspace.remove("src/app.go");
        assert_eq!(workspace.shown, "Dockerfile");
    }

    #[test]
    fn renaming_keeps_the_plan_on_its_dockerfile() {
        let mut workspace = builder_pattern();
        workspace.rename("Dockerfile.build", "build.Dockerfile");
        assert_eq!(
            (workspace.shown.as_str(), workspace.dockerfile.as_str()),
            ("build.Dockerfile", "build.Dockerfile")
        );
        workspace.rename("build.Dockerfile", "notes.txt");
        assert_eq!(
            (workspace.shown.as_str(), workspace.dockerfile.as_str()),
            ("notes.txt", "Dockerfile")
        );
    }

    #[test]
    fn paths_that_leave_the_context_are_refused() {
        let workspace = builder_pattern();
        for bad in [
            "/etc/passwd",
            "../up",
            "a/../b",
            "a//b",
            "a/",
            "nul\0",
            "back\\slash",
        ] {
            assert!(
                matches!(workspace.check_path(bad), Err(PathError::Outside(_))),
                "{bad}"
            );
        }
        assert_eq!(workspace.check_path("  "), Err(PathError::Empty));
        assert_eq!(
            workspace.check_path("build.sh"),
            Err(PathError::Taken("build.sh".into()))
        );
        assert_eq!(
            workspace.check_path("build.sh/x"),
            Err(PathError::InsideFile("build.sh".into()))
        );
        assert_eq!(
            workspace.check_path("src"),
            Err(PathError::InsideFile("src".into()))
        );
        assert_eq!(workspace.check_path(" ./src/new.go "), Ok("src/new.go".into()));
    }

    #[test]
    fn the_manifest_names_folders_first_and_scripts_as_programs() {
        let entries = builder_pattern().manifest();
        let shown: Vec<_> = entries
            .iter()
            .map(|entry| (entry.path.as_str(), entry.mode))
            .collect();
        assert_eq!(
            shown,
            [
                ("Dockerfile", 0o644),
                ("Dockerfile.build", 0o644),
                ("build.sh", 0o755),
                ("src", 0o755),
                ("src/app.go", 0o644)
            ]
        );
        assert_eq!(
            entries.get(3).map(|entry| &entry.kind),
            Some(&ContextEntryKind::Directory)
        );
    }

    #[test]
    fn the_context_is_asked_as_copy_asks_it() {
        let workspace = builder_pattern();
        for there in [".", "/", "src", "src/", "./src/app.go", "/build.sh", "src/.."] {
            assert!(workspace.has(there), "{there}");
        }
        for missing in ["app", "src/app", "build"] {
            assert!(!workspace.has(missing), "{missing}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        assert_eq!(Content::from_bytes(vec![0xff, 0xfe]).bytes(), [0xff, 0xfe]);
        assert_eq!(
            Content::from_bytes(b"a\0b".to_vec()),
            Content::Binary(b"a\0b".as_slice().into())
        );
        assert_eq!(Content::from_bytes(b"hi".to_vec()), Content::Text("hi".into()));
    }

    #[test]
    fn a_replaced_file_tells_the_editor() {
        let mut workspace = builder_pattern();
        workspace.put("src/app.go", Content::Text("package other\n".into()));
        assert_eq!(workspace.file("src/app.go").map(|file| file.revision), Some(1));
        assert_eq!(workspace.shown, "src/app.go");
    }
}
