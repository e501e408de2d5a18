//! What a build asks the worker for: the plan, and what it says of itself.

use std::collections::BTreeSet;

use stagewright_core::analysis::{Definition, PlannedOp};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::WireOp;

/// The ops as they are handed over.
pub(crate) fn ops(definition: &Definition) -> Vec<WireOp> {
    let wire = |op: &PlannedOp| WireOp {
        bytes: op.bytes.clone(),
        name: op.name.clone(),
    };
    definition.ops.iter().map(wire).collect()
}

/// The steps that `no-cache-filters` is about.
pub(crate) fn afresh(definition: &Definition) -> BTreeSet<Digest> {
    let asked = definition.ops.iter().filter(|op| op.ignore_cache);
    asked.map(|op| op.digest.clone()).collect()
}

/// The planned configuration with the labels that were asked for, which count more than those of the Dockerfile.
pub(crate) fn labelled(mut config: serde_json::Value, labels: &[String]) -> serde_json::Value {
    for label in labels {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        config["config"]["Labels"][name] = value.into();
    }
    config
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_set_over_those_of_the_dockerfile() {
        let config = json!({ "config": { "Labels": { "a": "1", "b": "2" } } });
        let labels = ["b=3=4".to_owned(), "c".to_owned()];
        let labelled_config = labelled(config, &labels);
        assert_eq!(
            labelled_config["config"]["Labels"],
            json!({ "a": "1", "b": "3=4", "c": "" })
        );
        let none = labelled(json!({ "os": "linux" }), &labels[..1]);
        assert_eq!(
            none,
            json!({ "os": "linux", "config": { "Labels": { "b": "3=4" } } })
        );
    }
}
