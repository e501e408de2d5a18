//! `RedundantTargetPlatform`: a stage is for the target platform if nothing else is said.

use crate::lint::file::{File, at};
use crate::lint::variables::expanded;
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "RedundantTargetPlatform",
    url: Some("redundant-target-platform"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in &file.stages {
        let Some(platform) = stage.from.and_then(|from| from.platform.as_ref()) else {
            continue;
        };
        let Some(word) = expanded(file, &platform.text) else {
            continue;
        };
        let only = word.unset.is_empty() && word.used.iter().eq(["TARGETPLATFORM"]);
        if only && Some(word.text.as_str()) == file.global("TARGETPLATFORM") {
            let message = format!("Without --platform={} it would be the same.", platform.text);
            found.push(at(stage.node, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of(
                "RedundantTargetPlatform",
                "FROM --platform=$TARGETPLATFORM alpine\n"
            ),
            [1]
        );
        assert_eq!(
            lines_of(
                "RedundantTargetPlatform",
                "FROM --platform=$BUILDPLATFORM alpine\n"
            ),
            [0; 0]
        );
    }
}
