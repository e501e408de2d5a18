//! The drawing as a file of its own: no script, nothing fetched, readable by a screen reader.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::drawing::{Card, Drawing, EdgeLook, EdgeShape, Pill, PillKind};
use super::path::Number;
use super::theme::{self, DARK, LIGHT, Palette};
use super::{CARD_PADDING, LABEL_TYPE, ROW_TEXT_X, ROW_TYPE, SUBTITLE_TYPE, TITLE_TYPE, TITLE_X};
use crate::analysis::{Analysis, EdgeKind, EdgeSource};
use crate::digest::Digest;

/// Which palette a file is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Theme {
    /// Light surroundings.
    Light,
    /// Dark surroundings.
    Dark,
    /// Whichever the reader's system asks for (`prefers-color-scheme`).
    #[default]
    Auto,
}

/// How to write a drawing as SVG.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SvgOptions {
    /// Which palette.
    pub theme: Theme,
    /// What the picture is called, for those who hear it; made from the plan where none is given.
    pub title: Option<String>,
}

/// Writes `drawing`, which was laid out from `analysis`, as a standalone SVG 1.1 document.
pub fn render_svg(analysis: &Analysis, drawing: &Drawing, options: &SvgOptions) -> String {
    let mut out = String::with_capacity(drawing.cards.len() * 2048);
    for edge in &drawing.edges {
        line(&mut out, edge);
    }
    for pill in &drawing.pills {
        self::pill(&mut out, pill);
    }
    for card in &drawing.cards {
        self::card(&mut out, analysis, card);
    }
    // On top, so that a dot is whole where a line leaves a card, and no line runs over a label.
    for edge in &drawing.edges {
        ends(&mut out, edge);
    }
    let title = options.title.clone().unwrap_or_else(|| title(analysis));
    // Several drawings may stand in one page, where ids and style rules are everyone's: what is drawn names them.
    let identity = Digest::of(format!("{:?} {title} {out}", options.theme).as_bytes());
    let scope = format!("sw-{}", identity.hex().get(..8).unwrap_or_default());
    let (width, height) = (Number(drawing.width), Number(drawing.height));
    let description = description(analysis);
    let (title, description) = (Escaped(&title), Escaped(&description));
    let style = style(&scope, options.theme);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"{scope}\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{scope}-title {scope}-desc\">\n\
         <title id=\"{scope}-title\">{title}</title>\n<desc id=\"{scope}-desc\">{description}</desc>\n\
         <style>\n{style}</style>\n\
         <defs><pattern id=\"{scope}-dots\" width=\"16\" height=\"16\" patternUnits=\"userSpaceOnUse\">\
         <circle class=\"dot\" cx=\"8\" cy=\"8\" r=\"1\"/></pattern></defs>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
         <rect fill=\"url(#{scope}-dots)\" width=\"{width}\" height=\"{height}\"/>\n\
         {out}</svg>\n"
    )
}

/// The style rules, all of them for what is inside of `scope` alone.
fn style(scope: &str, theme: Theme) -> String {
    let mut style = String::new();
    match theme {
        Theme::Light => colours(&mut style, scope, &LIGHT),
        Theme::Dark => colours(&mut style, scope, &DARK),
        Theme::Auto => {
            colours(&mut style, scope, &LIGHT);
            style.push_str("@media (prefers-color-scheme: dark) {\n");
            colours(&mut style, scope, &DARK);
            style.push_str("}\n");
        }
    }
    rule_for(&mut style, scope, &["text"], &format!("font-family: {SANS}"));
    rule_for(
        &mut style,
        scope,
        &[".code"],
        &format!("font-family: {MONO}; font-size: {ROW_TYPE}px; white-space: pre"),
    );
    rule_for(
        &mut style,
        scope,
        &[".title"],
        &format!("font-size: {TITLE_TYPE}px; font-weight: 600"),
    );
    rule_for(
        &mut style,
        scope,
        &[".subtitle"],
        &format!("font-size: {SUBTITLE_TYPE}px; font-weight: 500"),
    );
    rule_for(
        &mut style,
        scope,
        &[".label"],
        &format!("font-size: {LABEL_TYPE}px; text-anchor: middle"),
    );
    for (selectors, declarations) in RULES {
        rule_for(&mut style, scope, selectors, declarations);
    }
    style
}

const SANS: &str = "Inter, system-ui, -apple-system, \"Segoe UI\", \"Helvetica Neue\", Arial, sans-serif";
const MONO: &str =
    "\"JetBrains Mono\", ui-monospace, SFMono-Regular, Menlo, Consolas, \"DejaVu Sans Mono\", monospace";

/// How much of its colour a line keeps that the target does without.
const FAINT: f64 = 0.42;

/// What is the same in every palette.
const RULES: &[(&[&str], &str)] = &[
    (&[".end-of-row"], "text-anchor: end"),
    (
        &[".edge", ".arrow", ".icon"],
        "fill: none; stroke-linecap: round; stroke-linejoin: round",
    ),
    (&[".icon"], "stroke-width: 1.2"),
    (&[".thin"], "stroke-width: 1.3"),
    (
        &[".context"],
        "stroke-width: 1.2; stroke-dasharray: 3.5 3.5; stroke-linecap: butt",
    ),
    (&[".mount"], "stroke-width: 1.8; stroke-dasharray: 0.1 4.5"),
    (&[".copy"], "stroke-width: 2.4"),
    // Dashes say it without colour.
    (&[".dimmed .panel"], "stroke-dasharray: 4 3"),
    (
        &[".dimmed .ink", ".dimmed .muted", ".dimmed .mark", ".tag.dimmed"],
        "opacity: 0.55",
    ),
];

/// The rules that differ between palettes.
fn colours(style: &mut String, scope: &str, palette: &Palette) {
    let Palette {
        paper,
        panel,
        ink,
        muted,
        line,
        dots,
        stages,
    } = palette;
    let faint = theme::mix(muted, paper, FAINT);
    let rules = [
        (".paper", format!("fill: {paper}")),
        (".dot", format!("fill: {dots}")),
        (".panel", format!("fill: {panel}; stroke: {line}")),
        (".rule", format!("stroke: {line}")),
        (".ink", format!("fill: {ink}")),
        (".muted", format!("fill: {muted}")),
        (".icon", format!("stroke: {muted}")),
        (".neutral", format!("stroke: {muted}")),
        (".end.neutral", format!("fill: {muted}; stroke: none")),
        (".box", format!("fill: {panel}")),
        (".neutral.dimmed", format!("stroke: {faint}")),
        (".end.neutral.dimmed", format!("fill: {faint}; stroke: none")),
    ];
    for (selector, declarations) in rules {
        rule_for(style, scope, &[selector], &declarations);
    }
    for (index, stage) in stages.iter().enumerate() {
        rule_for(
            style,
            scope,
            &[&format!(".s{index}")],
            &format!("stroke: {stage}"),
        );
        rule_for(style, scope, &[&format!(".f{index}")], &format!("fill: {stage}"));
        // A colour and not an opacity: lines that share a piece would add up to a darker one there.
        let faint = theme::mix(stage, paper, FAINT);
        rule_for(
            style,
            scope,
            &[&format!(".s{index}.dimmed")],
            &format!("stroke: {faint}"),
        );
        rule_for(
            style,
            scope,
            &[&format!(".f{index}.dimmed")],
            &format!("fill: {faint}"),
        );
    }
}

fn rule_for(style: &mut String, scope: &str, selectors: &[&str], declarations: &str) {
    for (index, selector) in selectors.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(style, "{comma}.{scope} {selector}");
    }
    let _ = writeln!(style, " {{ {declarations} }}");
}

/// The class that gives a line its colour.
fn pen(edge: &EdgeShape) -> String {
    edge.colour
        .map_or_else(|| "neutral".to_owned(), |colour| format!("s{colour}"))
}

fn line(out: &mut String, edge: &EdgeShape) {
    let look = match edge.look {
        EdgeLook::Context => "context",
        EdgeLook::Base => "thin",
        EdgeLook::Mount => "mount",
        EdgeLook::Copy => "copy",
    };
    let (pen, dimmed) = (pen(edge), if edge.dimmed { " dimmed" } else { "" });
    let _ = writeln!(
        out,
        "<path class=\"edge {look} {pen}{dimmed}\" d=\"{}\"/>",
        edge.path
    );
    if let Some(arrow) = &edge.arrow {
        let weight = if edge.look == EdgeLook::Copy {
            "copy"
        } else {
            "thin"
        };
        let _ = writeln!(
            out,
            "<path class=\"arrow {weight} {pen}{dimmed}\" d=\"{arrow}\"/>"
        );
    }
}

/// The dot a copy starts from, and the label.
fn ends(out: &mut String, edge: &EdgeShape) {
    let dimmed = if edge.dimmed { " dimmed" } else { "" };
    if edge.look == EdgeLook::Copy {
        let fill = edge
            .colour
            .map_or_else(|| "neutral".to_owned(), |colour| format!("f{colour}"));
        let (x, y) = (Number(edge.start.x), Number(edge.start.y));
        let _ = writeln!(
            out,
            "<circle class=\"end {fill}{dimmed}\" cx=\"{x}\" cy=\"{y}\" r=\"3.2\"/>"
        );
    }
    if let Some(label) = &edge.label {
        let _ = writeln!(
            out,
            "<rect class=\"box {}{dimmed}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"5\"/>\
             <text class=\"code label tag ink{dimmed}\" x=\"{}\" y=\"{}\">{}</text>",
            pen(edge),
            Number(label.x),
            Number(label.y),
            Number(label.width),
            Number(label.height),
            Number(label.x + label.width / 2.0),
            Number(label.y + label.height / 2.0 + 4.0),
            Escaped(&label.text),
        );
    }
}

fn pill(out: &mut String, pill: &Pill) {
    let (x, y, middle) = (pill.x, pill.y, pill.y + pill.height / 2.0);
    let dimmed = if pill.dimmed { " class=\"dimmed\"" } else { "" };
    let _ = write!(
        out,
        "<g{dimmed}><rect class=\"panel\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>",
        Number(x),
        Number(y),
        Number(pill.width),
        Number(pill.height),
        Number(pill.height / 2.0),
    );
    let (left, top) = (Number(x + 14.0), Number(middle - 5.0));
    let icon = match pill.kind {
        // A box in a box, lines on a page, an empty ring.
        PillKind::Image(_) => format!("M{left} {top}h10v10h-10zm0 4h6v6"),
        PillKind::Context => format!("M{left} {top}h10v10h-10zm0 3.3h10m-10 3.3h10"),
        PillKind::Scratch => format!("M{left} {}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", Number(middle)),
    };
    let _ = write!(out, "<path class=\"icon mark\" d=\"{icon}\"/>");
    let face = if pill.kind == PillKind::Context {
        "code muted"
    } else {
        "code ink"
    };
    let (text_x, text_y) = (Number(x + 31.0), Number(middle + 4.2));
    let _ = write!(
        out,
        "<text class=\"{face}\" x=\"{text_x}\" y=\"{text_y}\">{}</text>",
        Escaped(&pill.text)
    );
    if let Some(note) = &pill.note {
        let _ = write!(out, "<title>{}</title>", Escaped(note));
    }
    out.push_str("</g>\n");
}

fn card(out: &mut String, analysis: &Analysis, card: &Card) {
    let (x, y, right) = (card.x, card.y, card.x + card.width);
    let dimmed = if card.dimmed { " class=\"dimmed\"" } else { "" };
    let reason = analysis
        .stages
        .get(card.stage)
        .map_or("", |stage| stage.reason.as_str());
    let _ = write!(out, "<g{dimmed}>");
    if !reason.is_empty() {
        let _ = write!(out, "<title>{}</title>", Escaped(reason));
    }
    let (width, height) = (Number(card.width), Number(card.height));
    let _ = write!(
        out,
        "<rect class=\"panel\" x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\" rx=\"10\"/>",
        Number(x),
        Number(y),
    );
    let middle = y + card.header_height / 2.0;
    let square = (Number(x + 12.0), Number(middle - 5.0));
    if card.dimmed {
        // Hollow, so that it shows without colour too.
        let (left, top) = (Number(x + 12.75), Number(middle - 4.25));
        let _ = write!(
            out,
            "<rect class=\"mark s{}\" x=\"{left}\" y=\"{top}\" width=\"8.5\" height=\"8.5\" rx=\"2\" \
             fill=\"none\" stroke-width=\"1.5\"/>",
            card.colour
        );
    } else {
        let _ = write!(
            out,
            "<rect class=\"mark f{}\" x=\"{}\" y=\"{}\" width=\"10\" height=\"10\" rx=\"2.5\"/>",
            card.colour, square.0, square.1
        );
    }
    let baseline = Number(middle + 5.0);
    let _ = write!(
        out,
        "<text class=\"title ink\" x=\"{}\" y=\"{baseline}\">{}</text>\
         <text class=\"subtitle end-of-row muted\" x=\"{}\" y=\"{baseline}\">{}</text>",
        Number(x + TITLE_X),
        Escaped(&card.title),
        Number(right - CARD_PADDING),
        Escaped(&card.subtitle),
    );
    if !card.rows.is_empty() || card.footer_y.is_some() {
        rule(out, x, right, y + card.header_height);
    }
    for row in &card.rows {
        let middle = row.y + row.height / 2.0;
        let mark = Number(x + 17.0);
        // A step that makes a layer has a filled mark, one that only says something about the image a ring.
        let (shape, fill) = if row.is_op {
            ("2.6", "mark muted")
        } else {
            ("2.2", "mark icon")
        };
        let _ = write!(
            out,
            "\n<circle class=\"{fill}\" cx=\"{mark}\" cy=\"{}\" r=\"{shape}\"/>\
             <text class=\"code ink\" x=\"{}\" y=\"{}\">{}</text>",
            Number(middle),
            Number(x + ROW_TEXT_X),
            Number(middle + 4.2),
            Escaped(&row.text),
        );
    }
    if let Some(footer) = card.footer_y {
        rule(out, x, right, footer);
        let _ = write!(
            out,
            "<text class=\"subtitle muted\" x=\"{}\" y=\"{}\">final image</text>",
            Number(x + CARD_PADDING),
            Number(f64::midpoint(footer, card.y + card.height) + 4.0),
        );
    }
    out.push_str("</g>\n");
}

fn rule(out: &mut String, left: f64, right: f64, y: f64) {
    let (left, right, y) = (Number(left + 0.5), Number(right - 0.5), Number(y));
    let _ = write!(out, "<path class=\"rule\" d=\"M{left} {y}H{right}\"/>");
}

fn title(analysis: &Analysis) -> String {
    let target = analysis.target.and_then(|target| analysis.stages.get(target));
    match target {
        Some(stage) => format!("Build of {}, {}", stage.label, stages(analysis.stages.len())),
        None => format!("Build, {}", stages(analysis.stages.len())),
    }
}

fn stages(count: usize) -> String {
    if count == 1 {
        "1 stage".to_owned()
    } else {
        format!("{count} stages")
    }
}

/// The plan in sentences.
fn description(analysis: &Analysis) -> String {
    let mut sentences = Vec::new();
    for stage in &analysis.stages {
        let steps = if stage.steps.len() == 1 { "step" } else { "steps" };
        let ships = if stage.ships { ", the stage that ships" } else { "" };
        let unneeded = if analysis.target.is_some() && !stage.needed {
            ", not needed"
        } else {
            ""
        };
        sentences.push(format!(
            "{}: {} {steps}{ships}{unneeded}.",
            stage.label,
            stage.steps.len()
        ));
    }
    for edge in &analysis.edges {
        let Some(target) = analysis.stages.get(edge.to_stage) else {
            continue;
        };
        let source = match edge.from {
            EdgeSource::Context => Some("the build context"),
            EdgeSource::Stage(stage) => analysis.stages.get(stage).map(|stage| stage.label.as_str()),
            EdgeSource::Image(image) => analysis.images.get(image).map(|image| image.name.as_str()),
        };
        let Some(source) = source else { continue };
        let verb = match edge.kind {
            EdgeKind::Base => "starts from",
            EdgeKind::Copy => "copies from",
            EdgeKind::Mount => "mounts from",
        };
        let what = if edge.label.is_empty() {
            String::new()
        } else {
            format!(" ({})", edge.label)
        };
        sentences.push(format!("{} {verb} {source}{what}.", target.label));
    }
    if sentences.is_empty() {
        sentences.push("No stages.".to_owned());
    }
    sentences.join(" ")
}

/// Text for XML: markup is escaped, and what XML 1.0 has no way to say is left out.
struct Escaped<'text>(&'text str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\t' | '\n' | '\r' => formatter.write_char(' ')?,
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}
