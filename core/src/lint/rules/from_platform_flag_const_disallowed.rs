//! `FromPlatformFlagConstDisallowed`: A constant platform keeps a file from being built for others.

use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::Found;
use crate::lint::moment::Moment;
use crate::lint::variables::expanded;
use crate::platform::Platform;

pub(super) const RULE: Rule = Rule::reference(
    "FromPlatformFlagConstDisallowed",
    "from-platform-flag-const-disallowed",
    "A constant platform keeps a file from being built for others.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in &file.stages {
        let Some(from) = stage.from else { continue };
        let Some(platform) = &from.platform else { continue };
        let Some(word) = expanded(file, &platform.text) else {
            continue;
        };
        let Ok(parsed) = word.text.parse::<Platform>() else {
            continue;
        };
        let name = from.name.as_ref().map_or("", |name| name.text.as_str());
        // A name such as build-amd64 says that it is meant.
        let meant = name.contains(&parsed.os) || name.contains(&parsed.architecture);
        if word.used.is_empty() && word.unset.is_empty() && !meant {
            let message = format!(
                "The platform is always {}. Take it from $BUILDPLATFORM or $TARGETPLATFORM.",
                word.text
            );
            found.push(Found::at(stage.node, Moment::platform(stage.index), message));
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
                "FromPlatformFlagConstDisallowed",
                "FROM --platform=linux/amd64 alpine AS build\n"
            ),
            [1]
        );
        assert_eq!(
            lines_of(
                "FromPlatformFlagConstDisallowed",
                "FROM --platform=linux/amd64 alpine AS build-amd64\n"
            ),
            [0; 0]
        );
    }
}
