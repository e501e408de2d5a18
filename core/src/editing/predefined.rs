//! What a Dockerfile knows without saying so: directives, and arguments that every build has.

/// What a parser directive does.
pub(super) fn directive(name: &str) -> Option<&'static str> {
    let (_, text) = DIRECTIVES.iter().find(|(known, _)| *known == name)?;
    Some(text)
}

/// The parser directives.
pub(super) const DIRECTIVES: [(&str, &str); 3] = [
    (
        "syntax",
        "The image of the frontend that reads this file. Here it is read by a grammar that is built in, whatever it says.",
    ),
    (
        "escape",
        "The character that joins lines and takes the meaning from the next one: `\\`, or `` ` `` for files with paths of Windows.",
    ),
    (
        "check",
        "Which lint rules are left out (`skip=`), which are tried (`experimental=`), and whether a finding is an error (`error=true`).",
    ),
];

/// What an argument says that every build has.
pub(super) fn argument(name: &str) -> Option<&'static str> {
    let (_, text) = ARGUMENTS.iter().find(|(known, _)| *known == name)?;
    Some(text)
}

/// The arguments that every build has. FROM may use them as they are; a stage declares them first.
pub(super) const ARGUMENTS: [(&str, &str); 11] = [
    ("TARGETPLATFORM", "What is built for, such as `linux/arm64`."),
    ("TARGETOS", "The operating system that is built for."),
    (
        "TARGETARCH",
        "The architecture that is built for, such as `arm64`.",
    ),
    (
        "TARGETVARIANT",
        "The variant of the architecture that is built for, such as `v7`; mostly empty.",
    ),
    (
        "TARGETOSVERSION",
        "The version of the operating system that is built for; mostly empty.",
    ),
    ("TARGETSTAGE", "The name of the stage that is built."),
    ("BUILDPLATFORM", "The platform of the machine that builds."),
    ("BUILDOS", "The operating system of the machine that builds."),
    ("BUILDARCH", "The architecture of the machine that builds."),
    (
        "BUILDVARIANT",
        "The variant of the architecture of the machine that builds; mostly empty.",
    ),
    (
        "BUILDOSVERSION",
        "The version of the operating system of the machine that builds; mostly empty.",
    ),
];

/// What an argument does that may be given without being declared.
pub(super) fn given(name: &str) -> Option<&'static str> {
    match name.to_ascii_uppercase().as_str() {
        "HTTP_PROXY" | "HTTPS_PROXY" | "FTP_PROXY" | "ALL_PROXY" => Some(
            "A proxy for the steps of the build. It may be given without an ARG, and is not kept in the image.",
        ),
        "NO_PROXY" => Some(
            "The hosts that steps reach without a proxy. It may be given without an ARG, and is not kept in the image.",
        ),
        "SOURCE_DATE_EPOCH" => Some("The time, in seconds since 1970, that the image says it was made at."),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Input;
    use crate::study::study;

    #[test]
    fn every_argument_of_every_build_is_explained() {
        let input = Input {
            source: "FROM scratch".into(),
            ..Input::default()
        };
        let study = study(&input);
        let names: Vec<&str> = study.plan.globals.names().collect();
        assert_eq!(names.len(), ARGUMENTS.len());
        assert!(names.into_iter().all(|name| argument(name).is_some()));
    }
}
