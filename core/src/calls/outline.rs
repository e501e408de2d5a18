//! What a target can be given: arguments, secrets, agents.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::analysis::Input;
use crate::diagnostic::Diagnostic;
use crate::plan::{Declared, Plan, Work};
use crate::shell::{Lexer, Recorded, Variables};
use crate::span::LineRange;
use crate::stage::Origin;
use crate::study::{Study, study};

use super::{Location, description, errors};

/// What a target can be given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outline {
    /// The target's name; empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What the comment above it says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Arguments that it uses, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Argument>,
    /// Secrets that its commands ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Grant>,
    /// Agents that its commands ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<Grant>,
}

/// An `ARG` that a target uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What the comment above it says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it is in this build; empty where it is not set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Its instruction.
    pub location: Location,
}

/// Something that a command may be granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub name: String,
    /// Whether the build fails without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The instruction that asks first.
    pub location: Location,
}

/// Says what a target can be given. An argument that only a stage declares which the target does not need is not in
/// it, and neither is a global one that nothing uses.
///
/// # Errors
/// What is wrong with the file, where that keeps the target from being built.
pub fn outline(input: &Input) -> Result<Outline, Vec<Diagnostic>> {
    let mut study = study(input);
    let mut diagnostics = errors(std::mem::take(&mut study.diagnostics));
    // That a command is missing shows only when ops are marshalled, and BuildKit answers before.
    diagnostics.retain(|finding| finding.code != "empty-command");
    let Some(target) = study.plan.target.filter(|_| diagnostics.is_empty()) else {
        return Err(diagnostics);
    };
    let order = visited(&study.plan, target);
    let mut outline = Outline {
        args: arguments(&study, &order),
        ..Outline::default()
    };
    (outline.secrets, outline.ssh) = grants(&study, &order);
    let from = study
        .program
        .stages
        .get(target)
        .and_then(|stage| stage.from.as_ref());
    if let Some(name) = from.and_then(|from| from.name.as_ref()) {
        outline.name.clone_from(&name.text);
        let node = study.tree.node_at(name.span.start);
        outline.description = node.map(|node| description(node, &name.text)).unwrap_or_default();
    }
    Ok(outline)
}

/// The stages that a target needs: it, then what it starts from, then what it copies from, each followed by its own.
fn visited(plan: &Plan, target: usize) -> Vec<usize> {
    let mut order = Vec::new();
    let mut waiting = vec![target];
    let mut seen = BTreeSet::new();
    while let Some(index) = waiting.pop() {
        let Some(node) = plan.resolved.nodes.get(index) else {
            continue;
        };
        if !seen.insert(index) {
            continue;
        }
        if node.origin != Origin::Hidden {
            order.push(index);
        }
        // The last comes off first.
        waiting.extend(node.dependencies.iter().rev().map(|dependency| dependency.on));
        waiting.extend(node.base);
    }
    order
}

/// The variables that are set and stand in `text`.
fn used(lexer: Lexer, text: &str, variables: &dyn Variables) -> BTreeSet<String> {
    let recorded = Recorded::new(variables);
    // What cannot be worked out uses what was reached of it.
    let _ = lexer.word(text, &recorded);
    recorded.used()
}

/// The arguments that stages use, by place.
fn arguments(study: &Study<'_>, order: &[usize]) -> Vec<Argument> {
    let lexer = Lexer::new(study.program.escape.unwrap_or('\\'));
    let globals = &study.plan.globals;
    let global: BTreeMap<&str, &Declared> = (study.plan.args.iter())
        .filter(|declared| declared.stage.is_none())
        .map(|declared| (declared.name.as_str(), declared))
        .collect();
    let needs = global_needs(study, lexer);
    let mut declared_in: BTreeMap<usize, Vec<&Declared>> = BTreeMap::new();
    for declared in &study.plan.args {
        if let Some(stage) = declared.stage {
            declared_in.entry(stage).or_default().push(declared);
        }
    }
    let mut found: BTreeMap<&str, &Declared> = BTreeMap::new();
    for &stage in order {
        let mut known = global.clone();
        let mut names = BTreeSet::new();
        let from = study
            .program
            .stages
            .get(stage)
            .and_then(|source| source.from.as_ref());
        for word in from
            .into_iter()
            .flat_map(|from| [Some(&from.base), from.platform.as_ref()])
            .flatten()
        {
            names.extend(used(lexer, &word.text, globals));
        }
        for &declared in declared_in.get(&stage).into_iter().flatten() {
            names.insert(declared.name.clone());
            if !declared.repeats {
                known.insert(&declared.name, declared);
            }
        }
        let mut waiting: Vec<String> = names.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = waiting.pop() {
            let Some((&name, &declared)) = known.get_key_value(name.as_str()) else {
                continue;
            };
            if !seen.insert(name) {
                continue;
            }
            // Only a global argument is made of others: those of a stage are worked out where they stand.
            if declared.stage.is_none() {
                waiting.extend(needs.get(name).into_iter().flatten().cloned());
            }
            found.entry(name).or_insert(declared);
        }
    }
    let mut found: Vec<&Declared> = found.into_values().collect();
    found.sort_by_key(|declared| declared.span.start);
    found
        .into_iter()
        .map(|declared| argument(study, declared))
        .collect()
}

/// Which other arguments the default of each global one is made of. One that is given is made of none.
fn global_needs(study: &Study<'_>, lexer: Lexer) -> BTreeMap<String, BTreeSet<String>> {
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let declarations = study
        .program
        .globals
        .iter()
        .flat_map(|arg| &arg.value.declarations);
    for declaration in declarations {
        let name = &declaration.name;
        let mut names = match &declaration.default {
            Some(default) if !study.options.build_args.contains_key(name) => {
                used(lexer, default, &study.plan.globals)
            }
            _ => BTreeSet::new(),
        };
        // One that is made of its own earlier value needs what that was made of.
        if names.remove(name) {
            names.extend(needs.get(name).into_iter().flatten().cloned());
        }
        needs.insert(name.clone(), names);
    }
    needs
}

fn argument(study: &Study<'_>, declared: &Declared) -> Argument {
    let node = study.tree.node_at(declared.span.start);
    Argument {
        name: declared.name.clone(),
        description: node
            .map(|node| description(node, &declared.name))
            .unwrap_or_default(),
        value: declared.value.clone().unwrap_or_default(),
        location: declared.lines.into(),
    }
}

/// Secrets and agents that the commands of stages ask for, each once, by place.
fn grants(study: &Study<'_>, order: &[usize]) -> (Vec<Grant>, Vec<Grant>) {
    let (mut secrets, mut agents) = (Vec::new(), Vec::new());
    let mut commands: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for vertex in study.plan.graph.vertices.node_weights() {
        if let (Work::Exec(exec), Some(stage)) = (&vertex.work, vertex.stage) {
            commands.entry(stage).or_default().push((exec, vertex.step));
        }
    }
    for &stage in order {
        for &(exec, step) in commands.get(&stage).into_iter().flatten() {
            let lines = lines(study, stage, step);
            for mount in &exec.extra {
                if let Some(secret) = &mount.secret_opt {
                    grant(&mut secrets, &secret.id, secret.optional, lines);
                }
                if let Some(agent) = &mount.ssh_opt {
                    // The definition leaves the usual agent without a name.
                    let id = if agent.id.is_empty() { "default" } else { &agent.id };
                    grant(&mut agents, id, agent.optional, lines);
                }
            }
            for secret in &exec.op.secretenv {
                grant(&mut secrets, &secret.id, secret.optional, lines);
            }
        }
    }
    (in_order(secrets), in_order(agents))
}

/// The lines of a step; those of the `FROM` for what a base left behind.
fn lines(study: &Study<'_>, stage: usize, step: Option<usize>) -> LineRange {
    let source = study.program.stages.get(stage);
    let statement = source.and_then(|source| source.statements.get(step?));
    let whole = source.map(|source| source.lines).unwrap_or_default();
    statement.map_or(whole, |statement| statement.lines)
}

fn grant(grants: &mut Vec<(LineRange, Grant)>, id: &str, optional: bool, lines: LineRange) {
    if grants.iter().any(|(_, known)| known.name == id) {
        return;
    }
    let grant = Grant {
        name: id.to_owned(),
        required: !optional,
        location: lines.into(),
    };
    grants.push((lines, grant));
}

fn in_order(mut grants: Vec<(LineRange, Grant)>) -> Vec<Grant> {
    grants.sort_by_key(|(lines, _)| lines.start);
    grants.into_iter().map(|(_, grant)| grant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Options;

    fn outline_of(source: &str, target: Option<&str>) -> Outline {
        let options = Options {
            target: target.map(str::to_owned),
            ..Options::default()
        };
        outline(&Input {
            source: source.into(),
            options,
        })
        .unwrap()
    }

    fn names(outline: &Outline) -> Vec<(&str, &str)> {
        let args = outline.args.iter();
        args.map(|arg| (arg.name.as_str(), arg.value.as_str())).collect()
    }

    #[test]
    fn a_global_argument_counts_where_it_is_used() {
        let source = "ARG A=1\nARG B=b$A\nARG C=3\nFROM base:$B\n";
        assert_eq!(names(&outline_of(source, None)), [("A", "1"), ("B", "b1")]);
    }

    #[test]
    fn an_argument_that_repeats_a_global_one_stands_where_that_stands() {
        let outline = outline_of("# A says it\nARG A=1\nFROM scratch\nARG A\n", None);
        assert_eq!(names(&outline), [("A", "1")]);
        assert_eq!(outline.args[0].description, "says it");
        assert_eq!(outline.args[0].location.ranges[0].start.line, 2);
    }

    #[test]
    fn a_missing_command_stands_in_the_way_of_a_build_but_not_of_this() {
        let source = "FROM scratch\nARG A=1\nRUN []\n";
        assert_eq!(names(&outline_of(source, None)), [("A", "1")]);
    }

    #[test]
    fn stages_that_the_target_does_not_need_are_left_out() {
        let source =
            "FROM scratch AS a\nARG X=1\nFROM scratch AS b\nARG Y=2\nFROM scratch AS c\nCOPY --from=b / /\n";
        assert_eq!(names(&outline_of(source, None)), [("Y", "2")]);
        assert_eq!(names(&outline_of(source, Some("a"))), [("X", "1")]);
    }

    #[test]
    fn secrets_and_agents_are_listed_once() {
        let source = "FROM alpine AS Main\n\
            RUN --mount=type=secret,id=token,required --mount=type=ssh true\n\
            RUN --mount=type=secret,id=token,env=T --mount=type=secret,id=other,env=O true\n";
        let outline = outline_of(source, None);
        let secrets: Vec<_> = outline
            .secrets
            .iter()
            .map(|secret| (secret.name.as_str(), secret.required))
            .collect();
        assert_eq!(secrets, [("token", true), ("other", false)]);
        assert_eq!(outline.ssh.len(), 1);
        assert_eq!(
            (outline.name.as_str(), outline.ssh[0].name.as_str()),
            ("main", "default")
        );
    }
}
