//! Why each stage is built or not, and what each name turned out to mean.
//!
//! A name may stand for a stage, by name or number, for an image, or for nothing at all, and the rules are not the same
//! for `FROM`, `COPY --from`, `RUN --mount` and the target. Both ends of every answer are places in the source, so that
//! one can be shown beside the other.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::analysis::{Base, EdgeKind, EdgeSource, Input};
use crate::instruction::Instruction;
use crate::span::Span;
use crate::stage::{Node, Origin};
use crate::study::{Study, study};
use crate::{Analysis, analyze};

/// Why things are as they are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reasons {
    /// What was asked for, and what it is.
    pub target: Option<NameReason>,
    /// Every stage, in the order of the file.
    pub stages: Vec<StageReason>,
    /// Every name of a source, in the order of the file.
    pub names: Vec<NameReason>,
}

/// Why a stage is built, or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReason {
    /// Index of the stage.
    pub stage: usize,
    /// What it is called.
    pub label: String,
    /// Whether it is built.
    pub built: bool,
    /// The reason as a sentence.
    pub text: String,
    /// Where it gets its name, or its `FROM` where it has none.
    pub span: Span,
    /// How many stages stand between it and the target: 0 for the target itself; `None` where it is not built.
    pub distance: Option<usize>,
    /// What makes it needed, on a shortest way from the target; [`Reasons::chain`] follows it.
    pub needed_by: Option<Need>,
    /// Everything that uses it, needed or not, by index into [`Analysis::edges`].
    pub users: Vec<usize>,
}

/// That a stage needs another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Need {
    /// The stage that needs it.
    pub stage: usize,
    /// How, by index into [`Analysis::edges`].
    pub edge: usize,
    /// The words that say so.
    pub span: Span,
    /// The same as a sentence: `final copies /app from build.`
    pub text: String,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameReason {
    /// Where it stands.
    pub place: NamePlace,
    /// The stage it stands in; `None` for the target.
    pub stage: Option<usize>,
    /// The step it stands in; `None` in a `FROM`.
    pub step: Option<usize>,
    /// As written.
    pub written: String,
    /// With variables worked out.
    pub name: String,
    /// The words that name it; empty at the start of the file for the target, which is not written there.
    pub span: Span,
    /// What it means.
    pub meaning: Meaning,
    /// By which rule.
    pub rule: NameRule,
    /// Where what it means is defined, where that is in the file.
    pub definition: Option<Span>,
    /// The same as a sentence.
    pub text: String,
}

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NamePlace {
    /// `FROM name`.
    From,
    /// `COPY --from=name`.
    Copy,
    /// `RUN --mount=from=name`.
    Mount,
    /// `--target name`.
    Target,
}

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Meaning {
    /// A stage, by index.
    Stage(usize),
    /// An image or a named context, by index into [`Analysis::images`].
    Image(usize),
    /// Nothing: an empty file system.
    Scratch,
    /// It could not be made out; a diagnostic says why.
    Unknown,
}

/// The rule by which a name got its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NameRule {
    /// An earlier stage is called so: what `FROM` looks for, as it is written.
    EarlierStage,
    /// A stage is called so, in any case of letters; the last one of several.
    StageName,
    /// It is a number: stages are counted from 0.
    StageNumber,
    /// Nothing was named, so it is the last stage.
    LastStage,
    /// No stage is called so, so it is an image.
    NoSuchStage,
    /// A named context is called so.
    NamedContext,
    /// `scratch` always stands for nothing.
    Scratch,
    /// It could not be made out.
    Unknown,
}

impl Reasons {
    /// From the target to `stage`: who needs whom.
    pub fn chain(&self, stage: usize) -> Vec<&Need> {
        let mut chain = Vec::new();
        let mut next = self.stages.get(stage);
        while let Some(need) = next.and_then(|stage| stage.needed_by.as_ref()) {
            if chain.len() > self.stages.len() {
                break;
            }
            chain.push(need);
            next = self.stages.get(need.stage);
        }
        chain.reverse();
        chain
    }
}

/// Why each stage of a file is built or not, and what each name in it means.
pub fn reasons(input: &Input) -> Reasons {
    let analysis = analyze(input);
    let study = study(input);
    Reasons {
        target: target(input, &analysis, &study),
        stages: stages(&analysis, &study),
        names: names(&analysis, &study),
    }
}

/// Where a stage gets its name; the `FROM` itself where it has none.
fn definition(study: &Study<'_>, stage: usize) -> Span {
    let Some(source) = study.program.stages.get(stage) else {
        return Span::default();
    };
    let name = source.from.as_ref().and_then(|from| from.name.as_ref());
    name.map_or(source.span, |name| name.span)
}

fn label(analysis: &Analysis, stage: usize) -> &str {
    analysis
        .stages
        .get(stage)
        .map_or("", |stage| stage.label.as_str())
}

fn stages(analysis: &Analysis, study: &Study<'_>) -> Vec<StageReason> {
    let count = analysis.stages.len();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut needs: Vec<Vec<(usize, usize)>> = vec![Vec::new(); count];
    for (index, edge) in analysis.edges.iter().enumerate() {
        if let EdgeSource::Stage(from) = edge.from {
            if let Some(users) = users.get_mut(from) {
                users.push(index);
            }
            if let Some(needs) = needs.get_mut(edge.to_stage) {
                needs.push((index, from));
            }
        }
    }
    // From the target outwards, so that each stage is found on a shortest way.
    let mut found: Vec<Option<(usize, Option<usize>)>> = vec![None; count];
    let mut open = VecDeque::new();
    if let Some(target) = analysis.target {
        if let Some(place) = found.get_mut(target) {
            *place = Some((0, None));
        }
        open.push_back((target, 0));
    }
    while let Some((stage, distance)) = open.pop_front() {
        for &(edge, from) in needs.get(stage).into_iter().flatten() {
            if let Some(place @ None) = found.get_mut(from) {
                *place = Some((distance + 1, Some(edge)));
                open.push_back((from, distance + 1));
            }
        }
    }
    let reason = |(index, stage): (usize, &crate::analysis::Stage)| {
        let way = found.get(index).copied().flatten().filter(|_| stage.needed);
        let needed_by = way.and_then(|(_, edge)| need(analysis, edge?));
        let users = users.get(index).cloned().unwrap_or_default();
        StageReason {
            stage: index,
            label: stage.label.clone(),
            built: stage.needed,
            text: stage_text(analysis, stage, needed_by.as_ref(), &users),
            span: definition(study, index),
            distance: way.map(|(distance, _)| distance),
            needed_by,
            users,
        }
    };
    analysis.stages.iter().enumerate().map(reason).collect()
}

fn need(analysis: &Analysis, edge: usize) -> Option<Need> {
    let found = analysis.edges.get(edge)?;
    let EdgeSource::Stage(from) = found.from else {
        return None;
    };
    let (user, source) = (label(analysis, found.to_stage), label(analysis, from));
    let paths = match found.paths.as_slice() {
        [path] => path.as_str(),
        _ => found.label.as_str(),
    };
    let text = match found.kind {
        EdgeKind::Base => format!("{user} starts from {source}."),
        EdgeKind::Copy => format!("{user} copies {paths} from {source}."),
        EdgeKind::Mount => format!("{user} mounts {paths} of {source}."),
    };
    Some(Need {
        stage: found.to_stage,
        edge,
        span: found.span,
        text,
    })
}

fn stage_text(
    analysis: &Analysis,
    stage: &crate::analysis::Stage,
    needed_by: Option<&Need>,
    users: &[usize],
) -> String {
    /// More names do not make a sentence clearer.
    const NAMES: usize = 3;
    if let Some(need) = needed_by {
        return need.text.clone();
    }
    if stage.needed || users.is_empty() {
        return stage.reason.clone();
    }
    let mut by: Vec<&str> = Vec::new();
    for user in users.iter().filter_map(|edge| analysis.edges.get(*edge)) {
        let user = label(analysis, user.to_stage);
        if by.len() <= NAMES && !by.contains(&user) {
            by.push(user);
        }
    }
    let more = if by.len() > NAMES { " and others" } else { "" };
    by.truncate(NAMES);
    let names = by.join(", ");
    if by.len() == 1 {
        format!("Only {names} uses it, and that is not built either.")
    } else {
        format!("Only {names}{more} use it, and these are not built either.")
    }
}

fn target(input: &Input, analysis: &Analysis, study: &Study<'_>) -> Option<NameReason> {
    let wanted = input.options.target.clone().unwrap_or_default();
    if analysis.stages.is_empty() {
        return None;
    }
    let stage = analysis.target;
    let (rule, text) = match stage {
        Some(stage) if wanted.is_empty() => (
            NameRule::LastStage,
            format!(
                "No target is named, so {}, the last stage, is built.",
                label(analysis, stage)
            ),
        ),
        Some(stage) => (
            NameRule::StageName,
            format!("The target {wanted} is the stage {}.", label(analysis, stage)),
        ),
        None => (NameRule::Unknown, format!("There is no stage {wanted} to build.")),
    };
    Some(NameReason {
        place: NamePlace::Target,
        stage: None,
        step: None,
        written: wanted.clone(),
        name: wanted,
        span: Span::default(),
        meaning: stage.map_or(Meaning::Unknown, Meaning::Stage),
        rule,
        definition: stage.map(|stage| definition(study, stage)),
        text,
    })
}

fn names(analysis: &Analysis, study: &Study<'_>) -> Vec<NameReason> {
    let mut names = Vec::new();
    for (stage, source) in study.program.stages.iter().enumerate() {
        let Some(node) = study.plan.resolved.nodes.get(stage) else {
            continue;
        };
        if let Some(from) = &source.from {
            let base = analysis
                .stages
                .get(stage)
                .map_or(&Base::Unknown, |stage| &stage.base);
            names.push(from_name(analysis, study, stage, &from.base, node, base));
        }
        let on: BTreeMap<Span, usize> = node
            .dependencies
            .iter()
            .map(|dependency| (dependency.span, dependency.on))
            .collect();
        for (step, statement) in source.statements.iter().enumerate() {
            let mut add = |place: NamePlace, written: &str, span: Span| {
                let found = on.get(&span).copied();
                names.push(source_name(
                    analysis,
                    study,
                    (place, stage, step),
                    written,
                    span,
                    found,
                ));
            };
            match &statement.instruction {
                Some(Instruction::Copy(copy)) => {
                    if let Some(from) = &copy.from {
                        add(NamePlace::Copy, &from.text, from.span);
                    }
                }
                Some(Instruction::Run(run)) => {
                    for mount in &run.mounts {
                        if let Some(from) = &mount.from {
                            add(NamePlace::Mount, from, mount.text.span);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    names
}

fn from_name(
    analysis: &Analysis,
    study: &Study<'_>,
    stage: usize,
    base: &crate::syntax::Word,
    node: &Node,
    means: &Base,
) -> NameReason {
    let name = &node.base_name;
    let with = if *name == base.text {
        String::new()
    } else {
        format!("{} is {name}. ", base.text)
    };
    let replaced = analysis.stages.get(stage).is_some_and(|stage| stage.replaced);
    let (meaning, rule, text) = match means {
        Base::Image(image) if replaced => (
            Meaning::Image(*image),
            NameRule::NamedContext,
            format!(
                "A named context called {} stands in the place of this stage, so {name} is not asked for.",
                label(analysis, stage)
            ),
        ),
        Base::Stage(other) => (
            Meaning::Stage(*other),
            NameRule::EarlierStage,
            format!("{with}{name} is an earlier stage of this file."),
        ),
        Base::Image(image) => {
            let (rule, text) = image_text(analysis, *image, name, "no earlier stage is called so");
            (Meaning::Image(*image), rule, format!("{with}{text}"))
        }
        Base::Scratch => (
            Meaning::Scratch,
            NameRule::Scratch,
            format!("{with}scratch is no image: the stage starts with no files at all."),
        ),
        Base::Unknown => (
            Meaning::Unknown,
            NameRule::Unknown,
            format!("{} could not be made out.", base.text),
        ),
    };
    NameReason {
        place: NamePlace::From,
        stage: Some(stage),
        step: None,
        written: base.text.clone(),
        name: name.clone(),
        span: base.span,
        definition: defined(study, meaning),
        meaning,
        rule,
        text,
    }
}

fn source_name(
    analysis: &Analysis,
    study: &Study<'_>,
    (place, stage, step): (NamePlace, usize, usize),
    written: &str,
    span: Span,
    found: Option<usize>,
) -> NameReason {
    let number = place == NamePlace::Copy && written.parse::<i64>().is_ok();
    let node = found.and_then(|index| Some((index, study.plan.resolved.nodes.get(index)?)));
    let (meaning, rule, text) = match node {
        None => (
            Meaning::Unknown,
            NameRule::Unknown,
            format!("{written} could not be made out."),
        ),
        Some((
            _,
            Node {
                origin: Origin::Written(other),
                ..
            },
        )) => {
            let other = *other;
            let name = label(analysis, other);
            let (rule, text) = if number {
                (
                    NameRule::StageNumber,
                    format!("Stages are counted from 0, so {written} is {name}."),
                )
            } else {
                (NameRule::StageName, format!("{written} is the stage {name}."))
            };
            (Meaning::Stage(other), rule, text)
        }
        Some((index, _)) => match study.plan.bases.get(index) {
            Some(Base::Image(image)) => {
                let (rule, text) = image_text(analysis, *image, written, "no stage is called so");
                (Meaning::Image(*image), rule, text)
            }
            Some(Base::Scratch) => (
                Meaning::Scratch,
                NameRule::Scratch,
                "scratch stands for no files at all.".to_owned(),
            ),
            Some(Base::Stage(other)) => (
                Meaning::Stage(*other),
                NameRule::StageName,
                format!("{written} is the stage {}.", label(analysis, *other)),
            ),
            Some(Base::Unknown) | None => (
                Meaning::Unknown,
                NameRule::Unknown,
                format!("{written} could not be made out."),
            ),
        },
    };
    NameReason {
        place,
        stage: Some(stage),
        step: Some(step),
        written: written.to_owned(),
        name: written.to_owned(),
        span,
        definition: defined(study, meaning),
        meaning,
        rule,
        text,
    }
}

fn image_text(analysis: &Analysis, image: usize, name: &str, why: &str) -> (NameRule, String) {
    let Some(found) = analysis.images.get(image) else {
        return (NameRule::NoSuchStage, format!("{name} is an image: {why}."));
    };
    let reference = &found.reference;
    if let Some(context) = &found.context {
        let text = format!("{name} is the named context {context}, which is {reference}.");
        return (NameRule::NamedContext, text);
    }
    let full = if reference == name {
        String::new()
    } else {
        format!(", in full {reference}")
    };
    let unknown = if found.resolved {
        ""
    } else {
        " It was not looked up yet."
    };
    (
        NameRule::NoSuchStage,
        format!("{name} is an image{full}: {why}.{unknown}"),
    )
}

fn defined(study: &Study<'_>, meaning: Meaning) -> Option<Span> {
    match meaning {
        Meaning::Stage(stage) => Some(definition(study, stage)),
        Meaning::Image(_) | Meaning::Scratch | Meaning::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str, target: Option<&str>) -> (String, Reasons) {
        let mut input = Input {
            source: source.into(),
            ..Input::default()
        };
        input.options.target = target.map(str::to_owned);
        (source.to_owned(), reasons(&input))
    }

    const FILE: &str = "\
ARG TAG=1
FROM golang:$TAG AS Build
RUN x
FROM build AS test
RUN --mount=from=BUILD,target=/b --mount=type=cache,target=/c y
FROM scratch AS unused
COPY --from=test /t /
FROM alpine
COPY --from=0 /app /
COPY --from=Build /app2 /
COPY --from=nginx /etc/nginx /n
COPY --from=9 /x /
";

    #[test]
    fn every_name_says_what_it_means_and_by_which_rule() {
        let (source, reasons) = of(FILE, None);
        let found: Vec<(NamePlace, &str, Meaning, NameRule)> = reasons
            .names
            .iter()
            .map(|name| (name.place, name.written.as_str(), name.meaning, name.rule))
            .collect();
        assert_eq!(
            found,
            [
                (
                    NamePlace::From,
                    "golang:$TAG",
                    Meaning::Image(0),
                    NameRule::NoSuchStage
                ),
                (
                    NamePlace::From,
                    "build",
                    Meaning::Stage(0),
                    NameRule::EarlierStage
                ),
                (NamePlace::Mount, "BUILD", Meaning::Stage(0), NameRule::StageName),
                (NamePlace::From, "scratch", Meaning::Scratch, NameRule::Scratch),
                (NamePlace::Copy, "test", Meaning::Stage(1), NameRule::StageName),
                (
                    NamePlace::From,
                    "alpine",
                    Meaning::Image(1),
                    NameRule::NoSuchStage
                ),
                (NamePlace::Copy, "0", Meaning::Stage(0), NameRule::StageNumber),
                (NamePlace::Copy, "Build", Meaning::Stage(0), NameRule::StageName),
                (NamePlace::Copy, "nginx", Meaning::Image(2), NameRule::NoSuchStage),
                (NamePlace::Copy, "9", Meaning::Unknown, NameRule::Unknown),
            ]
        );
        for name in &reasons.names {
            assert!(
                source[name.span.start..name.span.end].contains(&name.written),
                "{name:?}"
            );
            assert!(name.text.ends_with('.') && !name.text.is_empty());
        }
        let zero = reasons.names.iter().find(|name| name.written == "0").unwrap();
        let definition = zero.definition.unwrap();
        assert_eq!(&source[definition.start..definition.end], "Build");
        let golang = &reasons.names[0];
        assert_eq!(
            golang.text,
            "golang:$TAG is golang:1. golang:1 is an image, in full docker.io/library/golang:1: no earlier stage is called so. It was not looked up yet."
        );
    }

    #[test]
    fn the_chain_leads_from_the_target_to_a_stage() {
        let source = "FROM a AS one\nRUN x\nFROM one AS two\nFROM b AS three\nCOPY --from=two /x /\nFROM three\nRUN --mount=from=three,target=/m y\nFROM c AS off\nCOPY --from=one /x /\n";
        let (_, reasons) = of(source, Some("stage-3"));
        assert!(
            reasons
                .target
                .as_ref()
                .is_some_and(|target| target.meaning == Meaning::Unknown)
        );
        let named = source.replace("FROM three\n", "FROM three AS last\n");
        let (_, reasons) = of(&named, Some("LAST"));
        let chain: Vec<&str> = reasons.chain(0).iter().map(|need| need.text.as_str()).collect();
        assert_eq!(
            chain,
            [
                "last starts from three.",
                "three copies /x from two.",
                "two starts from one."
            ]
        );
        let distances: Vec<Option<usize>> = reasons.stages.iter().map(|stage| stage.distance).collect();
        assert_eq!(distances, [Some(3), Some(2), Some(1), Some(0), None]);
        assert_eq!(reasons.stages[0].users.len(), 2);
        assert_eq!(reasons.target.unwrap().text, "The target LAST is the stage last.");
    }

    #[test]
    fn a_stage_that_is_not_built_says_who_would_have_used_it() {
        let (_, reasons) = of("FROM a AS one\nFROM one AS two\nFROM b\n", None);
        assert_eq!(
            reasons.stages[0].text,
            "Only two uses it, and that is not built either."
        );
        assert_eq!(reasons.stages[1].text, "Nothing that stage-2 needs uses it.");
        assert!(!reasons.stages[0].built && reasons.stages[2].built);
    }

    #[test]
    fn named_contexts_stand_in_the_place_of_images_and_stages() {
        use crate::analysis::NamedContext;
        let mut input = Input {
            source:
                "FROM golang AS build\nRUN x\nFROM alpine\nCOPY --from=build /x /\nCOPY --from=extra /y /\n"
                    .into(),
            ..Input::default()
        };
        for (name, context) in [
            ("alpine", NamedContext::Image("debian".into())),
            ("build", NamedContext::read("build", "../build")),
            ("extra", NamedContext::read("extra", "../extra")),
        ] {
            input.options.contexts.insert(name.into(), context);
        }
        let found = reasons(&input);
        let rules: Vec<(&str, NameRule)> = found
            .names
            .iter()
            .map(|name| (name.written.as_str(), name.rule))
            .collect();
        assert_eq!(
            rules,
            [
                ("golang", NameRule::NamedContext),
                ("alpine", NameRule::NamedContext),
                ("build", NameRule::StageName),
                ("extra", NameRule::NamedContext),
            ]
        );
    }

    #[test]
    fn any_file_has_reasons() {
        for source in [
            "",
            "RUN x\n",
            "FROM\n",
            "FROM $X\nCOPY --from=$X a b\n",
            "FROM a AS b\nCOPY --from=b x y\n",
        ] {
            let (_, reasons) = of(source, None);
            for stage in 0..reasons.stages.len() {
                assert!(reasons.chain(stage).len() <= reasons.stages.len());
            }
        }
    }
}
