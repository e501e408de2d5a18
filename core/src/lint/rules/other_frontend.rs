//! `OtherFrontend`: The file asks to be read by another frontend than Docker's.
//!
//! With `# syntax=` a file names the program that reads it. Here every file is read as `docker/dockerfile:1` reads it, and no
//! such program is run: if the one that is named knows other instructions, or means other things by them, its plan is another.
//!
//! ```dockerfile
//! # syntax=example.com/our/frontend:2
//! FROM alpine:3.22
//! ```
//!
//! Mirrors of Docker's are known by the end of their name.

use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::Found;
use crate::lint::moment::Moment;
use crate::reference::Reference;

pub(super) const RULE: Rule = Rule::own(
    "OtherFrontend",
    "The file asks to be read by another frontend than Docker's.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut directives = file.study.tree.directives.iter();
    let Some(syntax) = directives.find(|directive| directive.name == "syntax") else {
        return;
    };
    // What follows the image is for the frontend.
    let image = syntax.value.split(' ').next().unwrap_or_default();
    if !is_dockers(image) {
        found.push(Found {
            span: syntax.span,
            lines: syntax.lines,
            comments: Vec::new(),
            message: format!(
                "{image} is not run: the file is read as docker/dockerfile:1 reads it, and what {image} makes of it may be another build."
            ),
            when: Moment::TEXT,
            severity: None,
            fixes: Vec::new(),
        });
    }
}

fn is_dockers(image: &str) -> bool {
    image.parse::<Reference>().is_ok_and(|image| {
        let ends = |end: &str| image.name().ends_with(end);
        ends("/docker/dockerfile") || ends("/docker/dockerfile-upstream")
    })
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        let lines = |syntax: &str| {
            lines_of(
                "OtherFrontend",
                &format!("# escape=\\\n# syntax={syntax}\nFROM scratch\n"),
            )
        };
        for docker in [
            "docker/dockerfile",
            "docker/dockerfile:1.7-labs",
            "docker.io/docker/dockerfile-upstream:master",
            "mirror.example.com/hub/docker/dockerfile:1 some option",
        ] {
            assert_eq!(lines(docker), [0; 0], "{docker}");
        }
        for other in [
            "example.com/our/frontend:2",
            "dockerfile",
            "devthefuture/dockerfile-x",
            "%",
        ] {
            assert_eq!(lines(other), [2], "{other}");
        }
    }
}
