//! `UnpinnedBase`: What an image without a tag, or with `latest`, holds is decided anew each day.
//!
//! ```dockerfile
//! FROM ubuntu
//! COPY --from=busybox:latest /bin/busybox /bin/
//! ```
//!
//! `MovingTag` goes further, and asks for a digest.

use std::collections::BTreeSet;

use crate::analysis::Base;
use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::lint::moment::Moment;
use crate::reference::Reference;
use crate::stage::Origin;

pub(super) const RULE: Rule = Rule::own(
    "UnpinnedBase",
    "What an image without a tag, or with `latest`, holds is decided anew each day.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    // A name that was likely meant to be a stage's needs no version.
    let findings = file.study.diagnostics.iter();
    let doubted = findings.filter(|finding| finding.code == "unknown-stage");
    let doubted: BTreeSet<usize> = doubted.map(|finding| finding.span.start).collect();
    for stage in file.looked_at() {
        let Some(from) = stage.from.filter(|_| stage.base.is_none()) else {
            continue;
        };
        let Some(Base::Image(image)) = file.study.plan.bases.get(stage.index) else {
            continue;
        };
        let Some(name) = file
            .study
            .plan
            .images
            .get(*image)
            .map(|image| image.name.as_str())
        else {
            continue;
        };
        if is_unpinned(name) && !doubted.contains(&from.base.span.start) {
            let fix = (name == from.base.text)
                .then(|| file.facts(*image))
                .flatten()
                // What is known of another image in its place says nothing of this one.
                .filter(|facts| facts.note.is_none())
                .map(|facts| {
                    // The tag says what it was; without it, it would be another source to a build.
                    let tag = if name.ends_with(":latest") { "" } else { ":latest" };
                    let pinned = format!("{name}{tag}@{}", facts.digest);
                    Fix::safe(
                        "Pin it to what it is now",
                        vec![TextEdit::replace(from.base.span, pinned)],
                    )
                });
            found.push(Found::at(stage.node, Moment::TEXT, message(name)).fix(fix));
        }
    }
    for step in file.steps() {
        if let Some(Instruction::Copy(copy)) = step.instruction()
            && let Some(from) = &copy.from
            && from.text.parse::<usize>().is_err()
            && file.study.plan.resolved.by_name(&from.text).is_none()
            && is_image(file, &from.text)
            && is_unpinned(&from.text)
            && !doubted.contains(&from.span.start)
        {
            found.push(Found::done(step, message(&from.text)));
        }
    }
}

/// Whether something is copied from that image, and not from a context of that name.
fn is_image(file: &File<'_>, name: &str) -> bool {
    let nodes = file.study.plan.resolved.nodes.iter().zip(&file.study.plan.bases);
    let mut nodes = nodes.filter(|(node, _)| node.origin == Origin::Hidden && node.base_name == name);
    nodes.next().is_some_and(|(_, base)| match base {
        Base::Image(image) => {
            let image = file.study.plan.images.get(*image);
            image.is_some_and(|image| image.context.is_none())
        }
        _ => false,
    })
}

fn is_unpinned(name: &str) -> bool {
    let reference = name.parse::<Reference>();
    reference.is_ok_and(|reference| reference.digest().is_none() && reference.tag() == Some("latest"))
}

fn message(name: &str) -> String {
    format!("{name} is another image whenever a new one is published. Name the version that you mean.")
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        let source = "ARG V=latest\nFROM ubuntu AS a\nFROM b.c/d:$V AS b\nFROM a\nCOPY --from=busybox /x /\n";
        assert_eq!(lines_of("UnpinnedBase", source), [2, 3, 5]);
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let source =
            format!("FROM ubuntu:24.04 AS a\nFROM ubuntu@{digest}\nFROM scratch\nCOPY --from=a / /\n");
        assert_eq!(lines_of("UnpinnedBase", &source), [0; 0]);
        let misspelt = "FROM a:1 AS builder\nFROM bulider\nCOPY --from=bilder /x /\n";
        assert_eq!(lines_of("UnpinnedBase", misspelt), [0; 0]);
    }
}
