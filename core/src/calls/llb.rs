//! The whole definition of a build: the ops with all that BuildKit's frontend says of each, and where each was written
//! (BuildKit's subrequest `frontend.convertllb`).

use std::collections::BTreeMap;

use crate::analysis::Input;
use crate::diagnostic::Diagnostic;
use crate::instruction::Instruction;
use crate::llb::definition::{
    COMMAND, CUSTOM_NAME, Location, Locations, Metadata, ProgressGroup, Range, Source, SourceInfo,
};
use crate::llb::{Action, Definition, decode};
use crate::plan::{ActionPlan, Output, Vertex, Work, Written, definition};
use crate::span::LineRange;
use crate::study::{Study, study};
use crate::syntax::Keyword;

use super::errors;

/// The definition of a build, ready for `buildctl build`. `file_name` is what the source map calls the Dockerfile.
/// Where the build cannot be planned, the findings that stand in its way.
pub fn llb(input: &Input, file_name: &str) -> Result<Definition, Vec<Diagnostic>> {
    let mut study = study(input);
    let Some(result) = study.plan.result.take().filter(|_| !study.broken) else {
        return Err(errors(study.diagnostics));
    };
    let Some(head) = result.output else {
        return Ok(Definition::default());
    };
    let local = definition::local_source(study.options, &study.plan.context_paths);
    let graph = std::mem::take(&mut study.plan.graph);
    let order = definition::order(&graph, head);
    let said: Vec<Said> = order
        .iter()
        .filter_map(|&vertex| Some(Said::of(graph.vertices.node_weight(vertex)?, &study)))
        .collect();
    let marshalled = definition::marshal(graph, Some(head), local);
    let mut whole = Definition::default();
    let mut locations: BTreeMap<String, Locations> = BTreeMap::new();
    for (vertex, said) in order.into_iter().zip(said) {
        let Some(digest) = marshalled.digest(vertex).map(ToString::to_string) else {
            continue;
        };
        let places = locations.entry(digest.clone()).or_default();
        places.locations.extend(said.place);
        // Equal ops are one. What was said last counts, but for what is only ever added.
        let metadata = whole.metadata.entry(digest).or_default();
        metadata.ignore_cache |= said.ignore_cache;
        metadata.description.extend(said.description);
        if let Some(group) = said.group {
            let id = marshalled.digest(group.layer.unwrap_or(vertex));
            metadata.progress_group = Some(ProgressGroup {
                id: id
                    .map(|digest| digest.hex().get(..25).unwrap_or_default().to_owned())
                    .unwrap_or_default(),
                name: group.name,
                weak: group.layer.is_none(),
            });
        }
    }
    for op in marshalled.definition.ops {
        let caps = match decode(&op.bytes) {
            Ok(decoded) if decoded.kind.is_some() => decoded.caps(),
            _ => terminal_caps(&whole.metadata),
        };
        let metadata = whole.metadata.entry(op.digest.to_string()).or_default();
        metadata.caps = caps.into_iter().map(|cap| (cap.to_owned(), true)).collect();
        whole.ops.push(op.bytes);
    }
    whole.source = Some(source(locations, input, file_name));
    Ok(whole)
}

/// What a solver has to understand of the definition as a whole.
fn terminal_caps(metadata: &BTreeMap<String, Metadata>) -> Vec<&'static str> {
    let mut caps = vec!["constraints", "platform"];
    if metadata.values().any(|known| known.ignore_cache) {
        caps.push("meta.ignorecache");
    }
    if metadata.values().any(|known| !known.description.is_empty()) {
        caps.push("meta.description");
    }
    caps
}

fn source(locations: BTreeMap<String, Locations>, input: &Input, file_name: &str) -> Source {
    let used = locations.values().any(|places| !places.locations.is_empty());
    let info = SourceInfo {
        filename: file_name.to_owned(),
        data: input.source.clone().into_bytes(),
        definition: Vec::new(),
        language: "Dockerfile".to_owned(),
    };
    Source {
        locations,
        infos: used.then_some(info).into_iter().collect(),
    }
}

/// What a vertex says of itself.
struct Said {
    description: Vec<(String, String)>,
    place: Option<Location>,
    ignore_cache: bool,
    group: Option<Group>,
}

/// The two ops of `COPY --link`, which progress shows as one.
struct Group {
    name: String,
    /// The layer, where this is the op that puts it onto the files before.
    layer: Option<Output>,
}

impl Said {
    fn of(vertex: &Vertex, study: &Study<'_>) -> Self {
        let mut description = vec![(CUSTOM_NAME.to_owned(), vertex.name.clone())];
        if let Some(command) = command(vertex, study) {
            description.push((COMMAND.to_owned(), command));
        }
        Self {
            description,
            place: place(vertex),
            ignore_cache: vertex.ignore_cache,
            group: group(vertex),
        }
    }
}

/// The instruction as it was written, for those kinds of op that say it.
fn command(vertex: &Vertex, study: &Study<'_>) -> Option<String> {
    match (&vertex.work, &vertex.written) {
        (Work::Exec(_), Written::Statement(statement)) => Some(statement.code.clone()),
        (Work::Source(..), Written::From(_)) => {
            let mut froms = study
                .tree
                .nodes
                .iter()
                .filter(|node| node.keyword == Some(Keyword::From));
            let from = vertex.stage.and_then(|stage| froms.nth(stage));
            Some(from.map(|node| node.code().to_owned()).unwrap_or_default())
        }
        // The reference has nothing to say of a download, and says that.
        (Work::Source(source, _), Written::Nowhere) if source.identifier.starts_with("http") => {
            Some(String::new())
        }
        _ => None,
    }
}

fn place(vertex: &Vertex) -> Option<Location> {
    let lines = match &vertex.written {
        Written::Nowhere | Written::Context => return None,
        Written::Statement(statement) => Some(statement.lines),
        Written::From(lines) => *lines,
    };
    Some(Location {
        source_index: 0,
        ranges: lines.map(ranges).unwrap_or_default(),
    })
}

/// A range for each line, as in the reference.
fn ranges(lines: LineRange) -> Vec<Range> {
    (lines.start..=lines.end.max(lines.start))
        .map(Range::line)
        .collect()
}

fn group(vertex: &Vertex) -> Option<Group> {
    let Written::Statement(statement) = &vertex.written else {
        return None;
    };
    let linked = match &statement.instruction {
        Some(Instruction::Copy(copy)) => copy.link,
        Some(Instruction::Add(add)) => add.link,
        _ => false,
    };
    // A mode turns a link into a copy; one that is nothing once variables are worked out does not.
    let has_mode = |plan: &ActionPlan| match &plan.action {
        Action::Copy(copy) => copy.mode != -1 || !copy.mode_str.is_empty(),
        _ => false,
    };
    match &vertex.work {
        Work::File { base: None, actions } if linked && !actions.iter().any(has_mode) => Some(Group {
            name: vertex.name.clone(),
            layer: None,
        }),
        Work::Merge(layers) => Some(Group {
            name: vertex.name.replacen("LINK ", "", 1),
            layer: layers.last().copied(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llb::definition::COMMAND;

    #[test]
    fn a_download_of_a_stage_that_is_called_context_is_no_context() {
        let input = Input {
            source: "FROM alpine AS context\nADD http://h.org/x /\nFROM context\n".into(),
            ..Input::default()
        };
        let definition = llb(&input, "Dockerfile").unwrap();
        let said = definition.metadata.values().filter_map(|said| {
            let name = said.description.get("llb.customname")?;
            Some((name.as_str(), said.description.get(COMMAND).map(String::as_str)))
        });
        // The download and the copy of it have one name.
        let said: Vec<_> = said.collect();
        assert!(
            said.iter()
                .any(|(name, command)| name.contains("ADD") && *command == Some("")),
            "{said:?}"
        );
    }
}
