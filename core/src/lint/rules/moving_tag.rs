//! `MovingTag`: What a tag stands for can change; a digest cannot.
//!
//! For those who want builds of the same file to be of the same images, whenever they are made. It is silent until a
//! file asks for it with `# check=experimental=MovingTag`, and speaks only of images whose digest is known.
//!
//! ```dockerfile
//! # check=experimental=MovingTag
//! FROM alpine:3.20
//! ```

use crate::analysis::Base;
use crate::diagnostic::Severity;
use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::lint::moment::Moment;
use crate::reference::Reference;

pub(super) const RULE: Rule = Rule {
    experimental: true,
    severity: Severity::Info,
    ..Rule::own(
        "MovingTag",
        "What a tag stands for can change; a digest cannot.",
        check,
    )
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in file.looked_at() {
        let Some(from) = stage.from.filter(|_| stage.base.is_none()) else {
            continue;
        };
        let Some(Base::Image(image)) = file.study.plan.bases.get(stage.index) else {
            continue;
        };
        let image_used = file.study.plan.images.get(*image);
        if image_used.is_some_and(|image| image.context.is_some()) {
            continue;
        }
        let (Some(facts), Ok(reference)) = (file.facts(*image), from.base.text.parse::<Reference>()) else {
            continue;
        };
        // What has no tag at all is for `UnpinnedBase`; what is known of another image in its place says nothing of this one.
        if facts.note.is_none() && reference.digest().is_none() && reference.tag() != Some("latest") {
            let name = &from.base.text;
            let message = format!(
                "{name} is {} now, and may be another image tomorrow.",
                facts.digest
            );
            let pinned = format!("{name}@{}", facts.digest);
            let fix = Fix::safe(
                "Pin it to what it is now",
                vec![TextEdit::replace(from.base.span, pinned)],
            );
            found.push(Found::at(stage.node, Moment::TEXT, message).fix([fix]));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::{ImageFacts, Input};
    use crate::digest::Digest;
    use crate::edit::apply;
    use crate::lint::{Scope, lint};

    #[test]
    fn says_so() {
        let mut input = Input {
            source: "# check=experimental=MovingTag\nFROM alpine:3 AS a\nFROM unknown:1\nCOPY --from=a / /\n"
                .into(),
            ..Input::default()
        };
        let facts = ImageFacts {
            digest: Digest::of(b""),
            config: serde_json::json!({ "os": "linux", "architecture": "amd64" }),
            size: 0,
            note: None,
        };
        input
            .options
            .images
            .insert("docker.io/library/alpine:3".into(), facts);
        let findings = lint(&input, Scope::All);
        let [finding] = findings.as_slice() else {
            panic!("{findings:?}");
        };
        let pinned = apply(&input.source, &finding.fixes[0].edits).unwrap();
        assert!(pinned.contains("FROM alpine:3@sha256:e3b0c442"));
        input.source = pinned;
        assert_eq!(lint(&input, Scope::All), []);
    }

    #[test]
    fn what_is_there_in_the_place_of_an_image_is_not_what_it_is_now() {
        for source in ["FROM alpine:3 AS a\n", "FROM alpine\n"] {
            let mut input = Input {
                source: format!("# check=experimental=MovingTag\n{source}"),
                ..Input::default()
            };
            for name in ["docker.io/library/alpine:3", "docker.io/library/alpine:latest"] {
                let facts = ImageFacts {
                    digest: Digest::of(b""),
                    config: serde_json::json!({ "os": "linux", "architecture": "amd64" }),
                    size: 0,
                    note: Some("a stand-in".into()),
                };
                input.options.images.insert(name.into(), facts);
            }
            let findings = lint(&input, Scope::All);
            assert!(
                findings.iter().all(|finding| finding.fixes.is_empty()),
                "{findings:?}"
            );
        }
    }
}
