//! `--provenance`, `--attest` and `--sbom`: statements about what is built.

use std::path::Path;

use crate::provenance::ProvenanceOptions;
use crate::request::attest::{self, Wish, provenance, sbom};

// No group of its own: clap would name it like the group of the command that flattens it.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Attach to the image what it was built from, and how: true, mode=min without the values of arguments, or mode=max,
    /// which is what true stands for
    #[arg(long, value_name = "true|mode=min|mode=max", value_parser = provenance)]
    provenance: Option<Wish>,

    /// The same in other words: type=provenance[,mode=min|max][,builder-id=URL]; may be given several times
    #[arg(long, value_name = "STATEMENT", value_parser = attest::attest)]
    attest: Vec<Wish>,

    /// Lists of contents are not made here; false is accepted
    #[arg(long, value_name = "false", value_parser = sbom)]
    sbom: Option<bool>,
}

impl Arguments {
    /// What is asked for.
    pub(super) fn asked(&self) -> Option<ProvenanceOptions> {
        attest::asked(self.provenance.as_ref(), self.attest.iter())
    }
}

/// What the Dockerfile is called: its path in a repository, else its name alone, for folders of this machine are nobody
/// else's matter.
pub(super) fn path(file: &Path, in_repository: bool) -> String {
    // What came on standard input has no name.
    let unnamed = file == Path::new("-");
    let file = if unnamed { Path::new("Dockerfile") } else { file };
    match file.file_name() {
        Some(name) if !in_repository => name.to_string_lossy().into_owned(),
        _ => file.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_this_machine_are_not_told() {
        assert_eq!(path(Path::new("-"), false), "Dockerfile");
        assert_eq!(
            path(Path::new("/home/me/app.Dockerfile"), false),
            "app.Dockerfile"
        );
        assert_eq!(path(Path::new("docker/Dockerfile"), true), "docker/Dockerfile");
    }

    #[test]
    fn what_speaks_of_no_provenance_changes_nothing_of_it() {
        #[derive(Debug, clap::Parser)]
        struct Command {
            #[command(flatten)]
            arguments: Arguments,
        }
        for (flags, wanted) in [
            (&[][..], None),
            (
                &[
                    "--attest=type=provenance,mode=max",
                    "--attest=type=sbom,disabled=true",
                ],
                Some(true),
            ),
            (&["--attest=type=sbom,disabled=true"], None),
            (
                &[
                    "--attest=type=provenance,mode=max",
                    "--attest=type=provenance,mode=min",
                ],
                Some(false),
            ),
            (
                &[
                    "--attest=type=provenance",
                    "--attest=type=provenance,disabled=true",
                ],
                None,
            ),
            (
                &["--provenance=mode=min", "--attest=type=provenance,mode=max"],
                Some(false),
            ),
            (&["--provenance=false", "--attest=type=provenance"], None),
            (&["--provenance=true", "--sbom=false"], Some(true)),
        ] {
            let command = [&["build"], flags].concat();
            let command = <Command as clap::Parser>::try_parse_from(command).unwrap();
            let asked = command.arguments.asked();
            assert_eq!(asked.map(|asked| asked.full), wanted, "{flags:?}");
        }
    }
}
