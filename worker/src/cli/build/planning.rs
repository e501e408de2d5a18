//! From a Dockerfile to a plan that no image is lacking of.

use stagewright_core::analysis::{Analysis, ExternalImage};
use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::protocol::ResolveImage;
use stagewright_core::span::LineRange;

use super::display::Display;
use super::tell;
use crate::backend::BackendError;
use crate::build::Builds;
use crate::cli::dockerfile::Dockerfile;
use crate::cli::style::Style;
use crate::cli::{Failure, report};
use crate::storage::names::ImageNames;

/// Images may name further images only through stages, so each round of asking finds some or is the last.
const MOST_ROUNDS: usize = 100;

/// Plans, asks for the images that the plan names, and plans again until it knows them all. An image that has its name
/// in `local` is that one, and no registry is asked.
pub(super) async fn plan(
    builds: &Builds,
    local: Option<&ImageNames>,
    dockerfile: &mut Dockerfile,
    display: &mut Display,
) -> Result<Analysis, Failure> {
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
                Err(error) => return Err(unresolved(dockerfile, image, &error)),
            };
            if here.is_some() {
                display.note(&format!(
                    "{}: the image of that name here, {}\n",
                    image.name, facts.digest
                ));
            } else if let Some(note) = &facts.note {
                display.note(&format!("{}: {note}\n", image.name));
            }
            dockerfile
                .input
                .options
                .images
                .insert(image.reference.clone(), facts);
        }
    }
    Err(Failure::new(
        Failure::WORK,
        format!("{} names images without end", dockerfile.name),
    ))
}

/// An image that cannot be had, as an error with its place in the file.
fn unresolved(dockerfile: &Dockerfile, image: &ExternalImage, error: &BackendError) -> Failure {
    let source = &dockerfile.input.source;
    let before = source.get(..image.span.start).unwrap_or_default();
    let line = u32::try_from(before.matches('\n').count())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let finding = Diagnostic {
        severity: Severity::Error,
        code: "image".into(),
        message: error.to_string(),
        span: image.span,
        lines: LineRange {
            start: line,
            end: line,
        },
        hint: None,
    };
    tell(&report::findings(
        Style::err(),
        &dockerfile.name,
        source,
        &[finding],
    ));
    Failure::new(
        Failure::WORK,
        format!("{} cannot be built without {}", dockerfile.name, image.name),
    )
}
