//! A plan from the outline of a Dockerfile: enough of one to be laid out, made without the planner, so that what the
//! layout is tested with says what it holds and changes only when a test does.

use crate::analysis::{Analysis, Base, Edge, EdgeKind, EdgeSource, ExternalImage, Stage, Step};
use crate::platform::Platform;
use crate::span::{LineRange, Span};

/// Reads one instruction per line. The last stage ships; a stage is needed if a chain of edges leads to it.
pub(crate) fn sketch(source: &str) -> Analysis {
    let mut analysis = Analysis::default();
    for line in source.replace("\\\n", " ").lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let keyword = words[0].to_uppercase();
        if keyword == "FROM" {
            start(&mut analysis, &words);
        } else if !analysis.stages.is_empty() {
            step(&mut analysis, &keyword, line, &words);
        }
    }
    finish(&mut analysis);
    analysis
}

fn start(analysis: &mut Analysis, words: &[&str]) {
    let index = analysis.stages.len();
    let words: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !word.starts_with("--"))
        .collect();
    let name = words.get(3).map(|name| name.to_lowercase());
    let from = words.get(1).copied().unwrap_or("scratch");
    let base = match stage_named(analysis, from) {
        _ if from == "scratch" => Base::Scratch,
        Some(stage) => Base::Stage(stage),
        None => Base::Image(image(analysis, from)),
    };
    let from = match base {
        Base::Stage(stage) => Some(EdgeSource::Stage(stage)),
        Base::Image(image) => Some(EdgeSource::Image(image)),
        Base::Scratch | Base::Unknown => None,
    };
    analysis.stages.push(Stage {
        index,
        label: name.clone().unwrap_or_else(|| format!("stage-{index}")),
        name,
        base,
        span: Span::new(0, 0),
        lines: LineRange { start: 1, end: 1 },
        steps: Vec::new(),
        replaced: false,
        needed: false,
        ships: false,
        reason: String::new(),
        base_vertex: None,
    });
    if let Some(from) = from {
        edge(analysis, EdgeKind::Base, from, None, &[]);
    }
}

fn step(analysis: &mut Analysis, keyword: &str, line: &str, words: &[&str]) {
    let at = analysis.stages.len() - 1;
    let changes_files = matches!(keyword, "RUN" | "COPY" | "ADD" | "WORKDIR");
    let text = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let (span, lines) = (Span::new(0, 0), LineRange { start: 1, end: 1 });
    let step = Step {
        keyword: keyword.to_owned().into(),
        text,
        span,
        lines,
        vertex: None,
        changes_files,
    };
    analysis.stages[at].steps.push(step);
    let step = Some(analysis.stages[at].steps.len() - 1);
    let plain: Vec<&str> = words[1..]
        .iter()
        .copied()
        .filter(|word| !word.starts_with("--"))
        .collect();
    if keyword == "COPY" || keyword == "ADD" {
        let from = words.iter().find_map(|word| word.strip_prefix("--from="));
        let sources = plain.split_last().map_or(&[][..], |(_, sources)| sources);
        match from {
            Some(from) => {
                let from = source(analysis, from);
                edge(analysis, EdgeKind::Copy, from, step, sources);
            }
            None => edge(analysis, EdgeKind::Copy, EdgeSource::Context, step, sources),
        }
    }
    for mount in words.iter().filter_map(|word| word.strip_prefix("--mount=")) {
        let field = |key: &str| mount.split(',').find_map(|part| part.strip_prefix(key));
        if let Some(from) = field("from=") {
            let from = source(analysis, from);
            let path = field("source=").or(field("target=")).unwrap_or("/");
            edge(analysis, EdgeKind::Mount, from, step, &[path]);
        }
    }
}

fn source(analysis: &mut Analysis, name: &str) -> EdgeSource {
    match stage_named(analysis, name).or_else(|| name.parse().ok()) {
        Some(stage) => EdgeSource::Stage(stage),
        None => EdgeSource::Image(image(analysis, name)),
    }
}

fn stage_named(analysis: &Analysis, name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    analysis
        .stages
        .iter()
        .rposition(|stage| stage.name.as_ref() == Some(&name))
}

fn image(analysis: &mut Analysis, name: &str) -> usize {
    if let Some(known) = analysis.images.iter().position(|image| image.name == name) {
        return known;
    }
    analysis.images.push(ExternalImage {
        name: name.into(),
        reference: name.into(),
        context: None,
        platform: Platform::default(),
        resolved: false,
        needed: false,
        size: 0,
        note: None,
        vertex: None,
        span: Span::new(0, 0),
    });
    analysis.images.len() - 1
}

fn edge(analysis: &mut Analysis, kind: EdgeKind, from: EdgeSource, to_step: Option<usize>, paths: &[&str]) {
    let label = match paths {
        [] => String::new(),
        [path] => path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
        more => format!("{} paths", more.len()),
    };
    analysis.edges.push(Edge {
        kind,
        from,
        to_stage: analysis.stages.len() - 1,
        to_step,
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        label,
        needed: false,
        span: Span::new(0, 0),
    });
}

fn finish(analysis: &mut Analysis) {
    let Some(last) = analysis.stages.len().checked_sub(1) else {
        return;
    };
    analysis.target = Some(last);
    analysis.stages[last].ships = true;
    let mut open = vec![last];
    while let Some(stage) = open.pop() {
        if std::mem::replace(&mut analysis.stages[stage].needed, true) {
            continue;
        }
        for edge in analysis.edges.iter_mut().filter(|edge| edge.to_stage == stage) {
            edge.needed = true;
            match edge.from {
                EdgeSource::Stage(stage) => open.push(stage),
                EdgeSource::Image(image) => analysis.images[image].needed = true,
                EdgeSource::Context => {}
            }
        }
    }
}
