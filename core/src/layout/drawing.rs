//! What a layout is: plain data, in CSS pixels, the y axis pointing down.
//!
//! The page renders it as keyed SVG and `layout::svg` writes it as a file, so both show the same picture.

use serde::{Deserialize, Serialize};

/// Which way the stages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Columns from left to right: what a stage takes from stands to its left.
    #[default]
    LeftToRight,
    /// One column, in the order of the file where that is an order of building; edges run beside it. For phones.
    TopToBottom,
}

/// How to lay a plan out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LayoutOptions {
    /// Which way the stages go.
    pub direction: Direction,
    /// Width of a stage's card; kept between 160 and 640.
    pub card_width: f64,
    /// Room kept free at the right end of every row, for a time or `cached`; 0 where nothing is written there.
    pub detail_width: f64,
}

impl Default for LayoutOptions {
    fn default() -> Self {
        Self {
            direction: Direction::LeftToRight,
            card_width: super::DEFAULT_CARD,
            detail_width: 52.0,
        }
    }
}

/// A plan, laid out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drawing {
    /// Width of the whole, margins included.
    pub width: f64,
    /// Height of the whole, margins included.
    pub height: f64,
    /// One card per stage, in the order of the stages.
    pub cards: Vec<Card>,
    /// Images, the build context and `scratch`.
    pub pills: Vec<Pill>,
    /// Lines, those to be drawn first (dimmed and thin ones) first. Cards and labels are drawn over them.
    pub edges: Vec<EdgeShape>,
}

/// A point.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    /// Index into `Analysis::stages`.
    pub stage: usize,
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height, header and footer included.
    pub height: f64,
    /// Index into the palette of stage colours.
    pub colour: usize,
    /// The stage's name, shortened to fit.
    pub title: String,
    /// `stage 0`, `stage 1 · ships`.
    pub subtitle: String,
    /// Whether the target does without it.
    pub dimmed: bool,
    /// Whether it is the target.
    pub ships: bool,
    /// Height of the header; the hairline below it is at `y + header_height`.
    pub header_height: f64,
    /// Its steps, from top to bottom.
    pub rows: Vec<Row>,
    /// Top of the footer, on the card of the stage that ships: room for a line about the final image.
    pub footer_y: Option<f64>,
}

/// A step, on the card of its stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Index into the stage's `steps`.
    pub step: usize,
    /// Top edge.
    pub y: f64,
    /// Height.
    pub height: f64,
    /// The instruction, shortened to fit: `COPY --from=builder …/app .`
    pub text: String,
    /// Whether it changes files; the others only change the image's configuration.
    pub is_op: bool,
}

/// What a [`Pill`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PillKind {
    /// An image, by index into `Analysis::images`.
    Image(usize),
    /// The build context.
    Context,
    /// The empty image.
    Scratch,
}

/// Something files come from that is not a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pill {
    /// What it stands for.
    pub kind: PillKind,
    /// The stage it stands beside; `None` for an image that stages copy from, which may be several.
    pub stage: Option<usize>,
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// What is written on it, shortened to fit.
    pub text: String,
    /// Whether the target does without it.
    pub dimmed: bool,
    /// Something a person should know of it, such as that an image is a stand-in.
    pub note: Option<String>,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EdgeLook {
    /// Files from the build context: thin and dashed.
    Context,
    /// What a stage starts from: thin.
    Base,
    /// A mount: thin and dotted.
    Mount,
    /// Files copied from a stage or an image: bold, with an arrow.
    Copy,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeShape {
    /// Index into `Analysis::edges`; `None` for the line between `scratch` and its stage.
    pub edge: Option<usize>,
    /// How it is drawn.
    pub look: EdgeLook,
    /// The line, as the `d` of an SVG path.
    pub path: String,
    /// Where it starts.
    pub start: Point,
    /// Where it ends.
    pub end: Point,
    /// The arrow's head, as the `d` of an SVG path to be stroked with the same pen; `None` where there is none.
    pub arrow: Option<String>,
    /// Index into the palette of the stage it leaves; `None` for ink.
    pub colour: Option<usize>,
    /// The stage it leaves.
    pub from_stage: Option<usize>,
    /// The step it leaves: the last of `from_stage` that changes files.
    pub from_step: Option<usize>,
    /// Whether the target does without it.
    pub dimmed: bool,
    /// What it carries.
    pub label: Option<Label>,
}

/// Text in a box on a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    /// The text, shortened to fit.
    pub text: String,
    /// Left edge of the box.
    pub x: f64,
    /// Top edge of the box.
    pub y: f64,
    /// Width of the box.
    pub width: f64,
    /// Height of the box.
    pub height: f64,
}
