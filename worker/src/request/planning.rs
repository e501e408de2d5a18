//! From a Dockerfile to a plan that no image is lacking of.

use std::sync::Arc;

use stagewright_core::Input;
use stagewright_core::analysis::{Analysis, ExternalImage};
use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::platform::Platform;
use stagewright_core::protocol::ResolveImage;
use stagewright_core::span::LineRange;

use super::obstacle::Obstacle;
use super::watcher::Watcher;
use crate::backend::BackendError;
use crate::build::Builds;
use crate::provenance::Draft;
use crate::storage::names::ImageNames;

/// A Dockerfile as read, and what to call it when speaking of it.
#[derive(Clone)]
pub(crate) struct Dockerfile {
    pub(crate) name: String,
    pub(crate) input: Input,
    /// What to call the file whose text is [`stagewright_core::analysis::Options::ignore`].
    pub(crate) ignore_name: Option<String>,
}

impl Dockerfile {
    /// What a folder's Dockerfile is called where nobody says: in lower case where it stands there so and no other does, as
    /// docker build has it.
    pub(crate) fn usual(is_there: impl Fn(&str) -> bool) -> &'static str {
        const LOWER: &str = "dockerfile";
        if !is_there("Dockerfile") && is_there(LOWER) {
            LOWER
        } else {
            "Dockerfile"
        }
    }
}

/// The plan for one platform.
pub(crate) struct Planned {
    pub(crate) platform: Platform,
    pub(crate) dockerfile: Dockerfile,
    pub(crate) analysis: Analysis,
    /// What is stated of the build, where that is asked for.
    pub(crate) draft: Option<Arc<Draft>>,
}

/// Plans for every platform. What is found in the file is said once.
pub(crate) async fn plan(
    builds: &Builds,
    local: Option<&ImageNames>,
    platforms: &[Platform],
    dockerfile: &Dockerfile,
    watcher: &mut dyn Watcher,
) -> Result<Vec<Planned>, Obstacle> {
    let mut planned = Vec::new();
    let mut said = Vec::new();
    for platform in platforms {
        let mut dockerfile = dockerfile.clone();
        let options = &mut dockerfile.input.options;
        options.platform = Some(platform.clone());
        options.name_platforms = platforms.len() > 1;
        let analysis = resolve(builds, local, &mut dockerfile, watcher).await?;
        if analysis.diagnostics != said {
            watcher.findings(
                &dockerfile.name,
                &dockerfile.input.source,
                &analysis.diagnostics,
                analysis.has_errors(),
            );
            said.clone_from(&analysis.diagnostics);
        }
        if analysis.definition.is_none() {
            let tally = tally(&analysis.diagnostics).unwrap_or_else(|| "no stage".into());
            return Err(Obstacle::work(format!(
                "{} cannot be built: {tally}",
                dockerfile.name
            )));
        }
        planned.push(Planned {
            platform: platform.clone(),
            dockerfile,
            analysis,
            draft: None,
        });
    }
    Ok(planned)
}

/// "2 errors, 1 warning", or `None` where there is nothing to count.
pub(crate) fn tally(diagnostics: &[Diagnostic]) -> Option<String> {
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let parts: Vec<String> = [
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Info, "note"),
    ]
    .into_iter()
    .filter_map(|(severity, word)| match count(severity) {
        0 => None,
        1 => Some(format!("1 {word}")),
        many => Some(format!("{many} {word}s")),
    })
    .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Images may name further images only through stages, so each round of asking finds some or is the last.
const MOST_ROUNDS: usize = 100;

/// Plans, asks for the images that the plan names, and plans again until it knows them all. An image that has its name
/// in `local` is that one, and no registry is asked.
pub(crate) async fn resolve(
    builds: &Builds,
    local: Option<&ImageNames>,
    dockerfile: &mut Dockerfile,
    watcher: &mut dyn Watcher,
) -> Result<Analysis, Obstacle> {
    for _ in 0..MOST_ROUNDS {
        let analysis = stagewright_core::analyze(&dockerfile.input);
        let unknown: Vec<_> = analysis
            .images
            .iter()
            .filter(|image| image.needed && !image.resolved)
            .collect();
        if unknown.is_empty() || analysis.has_errors() {
            return Ok(analysis);
        }
        for image in unknown {
            let here = local.and_then(|names| names.get(&image.reference.parse().ok()?));
            let reference = match &here {
                // Pinned to what is here, it is not looked for anywhere else.
                Some(named) => format!("{}@{}", named.name, named.digest),
                None => image.reference.clone(),
            };
            let request = ResolveImage {
                reference,
                platform: image.platform.clone(),
            };
            let facts = match builds.backend().resolve_image(request).await {
                Ok(facts) => facts,
                Err(error) => return Err(unresolved(dockerfile, &analysis, image, &error, watcher)),
            };
            if here.is_some() {
                watcher.note(&format!(
                    "{}: the image of that name here, {}\n",
                    image.name, facts.digest
                ));
            } else if let Some(note) = &facts.note {
                watcher.note(&format!("{}: {note}\n", image.name));
            }
            dockerfile
                .input
                .options
                .images
                .insert(image.reference.clone(), facts);
        }
    }
    Err(Obstacle::work(format!(
        "{} names images without end",
        dockerfile.name
    )))
}

/// An image that cannot be had, as an error with its place in the file. Where its name is likely a stage's, mistyped,
/// that is what helps.
fn unresolved(
    dockerfile: &Dockerfile,
    analysis: &Analysis,
    image: &ExternalImage,
    error: &BackendError,
    watcher: &mut dyn Watcher,
) -> Obstacle {
    let source = &dockerfile.input.source;
    let doubt = doubt(source, analysis, image);
    let span = doubt.map_or(image.span, |doubt| doubt.span);
    let before = source.get(..span.start).unwrap_or_default();
    let line = u32::try_from(before.matches('\n').count())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let finding = Diagnostic {
        severity: Severity::Error,
        code: "image".into(),
        message: error.to_string(),
        span,
        lines: LineRange {
            start: line,
            end: line,
        },
        hint: doubt.map(|doubt| match &doubt.hint {
            Some(hint) => format!("{} {hint}", doubt.message),
            None => doubt.message.clone(),
        }),
    };
    watcher.findings(&dockerfile.name, source, &[finding], true);
    Obstacle::work(format!(
        "{} cannot be built without {}",
        dockerfile.name, image.name
    ))
}

/// What the planner said of the image's name as that of a stage, at its first use or at another of the same name.
fn doubt<'a>(source: &str, analysis: &'a Analysis, image: &ExternalImage) -> Option<&'a Diagnostic> {
    let doubts = || {
        let found = analysis.diagnostics.iter();
        found.filter(|found| found.code == "unknown-stage" && found.severity == Severity::Warning)
    };
    // A flag may be all of the place: --from=NAME, or --mount with a from among its keys.
    let named = |found: &&Diagnostic| {
        let text = source.get(found.span.start..found.span.end).unwrap_or_default();
        text.split(['=', ',']).any(|part| part == image.name)
    };
    doubts()
        .find(|found| found.span == image.span)
        .or_else(|| doubts().find(named))
}
