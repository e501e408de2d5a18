//! Which stages of a file can be built.

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::study::no_stages;
use crate::syntax::Keyword;
use crate::{stage, syntax};

use super::{Location, description, errors};

/// The stages of a file, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Targets {
    /// One for each `FROM`.
    #[serde(default)]
    pub targets: Vec<Target>,
}

/// A stage as something to build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name that `AS` gives it, in lower case; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether it is built where no target is named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// What the comment above it says: the line that begins with its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it starts from, as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// Its `--platform`, as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Its `FROM`.
    pub location: Location,
}

/// Lists the stages of a file. No variable is worked out, so what a stage starts from need not be known.
///
/// # Errors
/// What is wrong with the file, where an instruction cannot be read.
pub fn targets(source: &str) -> Result<Targets, Vec<Diagnostic>> {
    let mut tree = syntax::parse(source);
    let mut diagnostics = Vec::new();
    let program = stage::collect(&mut tree, &mut diagnostics);
    diagnostics.append(&mut tree.diagnostics);
    // A file of nothing but arguments is one with no stages, and no mistake to the reference.
    if tree.nodes.is_empty() {
        diagnostics.extend(no_stages(source, &program));
    }
    let diagnostics = errors(diagnostics);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let last = program.stages.len().saturating_sub(1);
    let froms = tree
        .nodes
        .iter()
        .filter(|node| node.keyword == Some(Keyword::From));
    let stages = program.stages.iter().zip(froms).enumerate();
    let target = |(index, (stage, node)): (usize, (&stage::StageSource, &syntax::Node<'_>))| {
        let from = stage.from.as_ref()?;
        let name = from
            .name
            .as_ref()
            .map(|name| name.text.clone())
            .unwrap_or_default();
        let platform = from.platform.as_ref().map(|platform| platform.text.clone());
        Some(Target {
            default: index == last,
            description: description(node, &name),
            name,
            base: from.base.text.clone(),
            platform: platform.unwrap_or_default(),
            location: stage.lines.into(),
        })
    };
    Ok(Targets {
        targets: stages.filter_map(target).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_described_by_their_comments() {
        let source = "ARG V\n# something else\n# build compiles it\nFROM --platform=$BUILDPLATFORM go:$V AS Build\nFROM scratch\n";
        let found = serde_json::to_value(targets(source).unwrap()).unwrap();
        let at = |line: u32| serde_json::json!({ "ranges": [{ "start": { "line": line }, "end": { "line": line } }] });
        let expected = serde_json::json!({ "targets": [
            { "name": "build", "description": "compiles it", "base": "go:$V", "platform": "$BUILDPLATFORM", "location": at(4) },
            { "default": true, "base": "scratch", "location": at(5) },
        ] });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_directive_in_the_body_is_a_comment() {
        let found = targets("FROM scratch\n# check=skip=all\nFROM scratch AS b\n").unwrap();
        assert_eq!(found.targets.len(), 2);
    }

    #[test]
    fn a_file_without_instructions_has_no_answer_and_one_without_stages_has_none() {
        let errors = targets("# nothing\n").unwrap_err();
        assert_eq!(errors.first().map(|error| error.code.as_str()), Some("no-stages"));
        assert_eq!(targets("ARG A\n").unwrap().targets, []);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let errors = targets("FROM scratch\nRUNN x\n").unwrap_err();
        assert_eq!(
            errors.first().map(|error| error.code.as_str()),
            Some("unknown-instruction")
        );
    }
}
