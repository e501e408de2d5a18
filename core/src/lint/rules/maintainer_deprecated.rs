//! `MaintainerDeprecated`: a label says the same, and more.

use crate::lint::file::{File, at};
use crate::lint::{Found, Rule};
use crate::syntax::Keyword;

pub(super) const RULE: Rule = Rule {
    name: "MaintainerDeprecated",
    url: Some("maintainer-deprecated"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let steps = file.stages.iter().flat_map(|stage| &stage.steps);
    for step in steps.filter(|step| step.node.keyword == Some(Keyword::Maintainer)) {
        let message = "MAINTAINER is a thing of the past: use LABEL org.opencontainers.image.authors=….";
        found.push(at(step.node, message.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of("MaintainerDeprecated", "FROM scratch\nMAINTAINER me\n"),
            [2]
        );
        assert_eq!(
            lines_of(
                "MaintainerDeprecated",
                "FROM scratch\nLABEL org.opencontainers.image.authors=me\n"
            ),
            [0; 0]
        );
    }
}
