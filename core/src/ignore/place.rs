//! Which ignore file counts.

use serde::{Deserialize, Serialize};

/// An ignore file, by where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IgnoreFile {
    /// The Dockerfile's own, beside it.
    Own(String),
    /// `.dockerignore`, at the root of the context.
    Shared,
}

impl IgnoreFile {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Own(name) => name,
            Self::Shared => ".dockerignore",
        }
    }
}

/// The ignore file of a build: the Dockerfile's own, such as `web.Dockerfile.dockerignore`, where there is one, else
/// that of the context. The other one does not count then, not even where the two do not contradict each other.
///
/// `dockerfile` is the Dockerfile's name or path; `beside` are the names in its folder, `root` those at the root of
/// the context.
pub fn ignore_file<'n>(
    dockerfile: &str,
    beside: impl IntoIterator<Item = &'n str>,
    root: impl IntoIterator<Item = &'n str>,
) -> Option<IgnoreFile> {
    let name = dockerfile.rsplit('/').next().unwrap_or(dockerfile);
    let own = format!("{name}.dockerignore");
    if !name.is_empty() && beside.into_iter().any(|beside| beside == own) {
        return Some(IgnoreFile::Own(own));
    }
    let shared = root.into_iter().any(|name| name == ".dockerignore");
    shared.then_some(IgnoreFile::Shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dockerfile_s_own_file_wins() {
        let root = ["Dockerfile", ".dockerignore"];
        assert_eq!(
            ignore_file("Dockerfile", root, root).map(|file| file.name().to_owned()),
            Some(".dockerignore".into())
        );
        assert_eq!(
            ignore_file("docker/web", ["web", "web.dockerignore"], root),
            Some(IgnoreFile::Own("web.dockerignore".into()))
        );
        assert_eq!(ignore_file("", [".dockerignore"], ["a"]), None);
    }
}
