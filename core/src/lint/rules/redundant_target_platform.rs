//! `RedundantTargetPlatform`: A stage is for the target platform if nothing else is said.

use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::lint::moment::Moment;
use crate::lint::variables::expanded;
use crate::shell::Variables as _;
use crate::span::Span;

pub(super) const RULE: Rule = Rule::reference(
    "RedundantTargetPlatform",
    "redundant-target-platform",
    "A stage is for the target platform if nothing else is said.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in &file.stages {
        let Some(platform) = stage.from.and_then(|from| from.platform.as_ref()) else {
            continue;
        };
        let Some(word) = expanded(file, &platform.text) else {
            continue;
        };
        let only = word.unset.is_empty() && word.used.iter().eq(["TARGETPLATFORM"]);
        if only && Some(word.text.as_str()) == file.study.plan.globals.get("TARGETPLATFORM") {
            let message = format!("Without --platform={} it would be the same.", platform.text);
            let flags = stage.node.flags.iter();
            let flag = flags.rev().find(|flag| flag.text.starts_with("--platform="));
            let edit = flag.map(|flag| {
                let after = file.study.source.get(flag.span.end..).unwrap_or_default();
                let blanks = after.len() - after.trim_start_matches([' ', '\t']).len();
                TextEdit::remove(Span::new(flag.span.start, flag.span.end + blanks))
            });
            let fix = edit.map(|edit| Fix::safe("Remove the platform", vec![edit]));
            let when = Moment::platform(stage.index);
            found.push(Found::at(stage.node, when, message).fix(fix));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

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

    #[test]
    fn the_flag_goes() {
        let source = "FROM --platform=${TARGETPLATFORM} \\\n  alpine\n";
        assert_eq!(fixed("RedundantTargetPlatform", source), "FROM \\\n  alpine\n");
    }
}
