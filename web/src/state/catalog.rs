//! The examples that come with the page.

use serde::Deserialize;

use super::workspace::Role;

/// An entry of `examples/index.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Example {
    /// The folder its files are in.
    pub id: String,
    /// What the menu calls it.
    pub title: String,
    /// What it shows, in a sentence.
    pub summary: String,
    /// The Dockerfile to begin with.
    pub dockerfile: String,
    /// The stage to stop at.
    #[serde(default)]
    pub target: Option<String>,
    /// Its files.
    pub files: Vec<ExampleFile>,
}

/// A file of an [`Example`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ExampleFile {
    /// Relative to the example's folder.
    pub path: String,
    /// What it is for.
    pub role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples are part of the repository, so what is read here is what the page reads.
    #[test]
    fn the_examples_of_the_repository_are_read() {
        let index = concat!(env!("CARGO_MANIFEST_DIR"), "/../static/examples/index.json");
        let examples: Vec<Example> = crate::state::json::read(&std::fs::read(index).unwrap()).unwrap();
        assert!(!examples.is_empty());
        for example in examples {
            let shown = example.files.iter().find(|file| file.path == example.dockerfile);
            assert_eq!(
                shown.map(|file| file.role),
                Some(Role::Dockerfile),
                "{}",
                example.id
            );
        }
    }
}
