//! The colours, light and dark. Dark is a palette of its own, not an inversion.
//!
//! Every stage has one colour, used wherever the stage appears. They keep clear of the colours of states (green for
//! done, blue for running, red for failed), which mean something else.

/// A palette, as CSS colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    /// Behind everything.
    pub paper: &'static str,
    /// Cards and pills.
    pub panel: &'static str,
    /// Text.
    pub ink: &'static str,
    /// Text of less weight, and thin lines.
    pub muted: &'static str,
    /// Hairlines.
    pub line: &'static str,
    /// The dots of the grid.
    pub dots: &'static str,
    /// One per stage, by index modulo their number.
    pub stages: [&'static str; super::PALETTE],
}

/// For light surroundings.
pub const LIGHT: Palette = Palette {
    paper: "#fbfaf7",
    panel: "#ffffff",
    ink: "#1c2024",
    muted: "#6b7178",
    line: "#e4e2dc",
    dots: "#dcd8ce",
    stages: [
        "#0f8b8d", "#8f5bd0", "#c8811a", "#c4457e", "#7d8a1c", "#5566c9", "#9c5b3c", "#557488",
    ],
};

/// For dark surroundings.
pub const DARK: Palette = Palette {
    paper: "#0e1216",
    panel: "#161b21",
    ink: "#e6e9ec",
    muted: "#98a2ad",
    line: "#262d35",
    dots: "#222a32",
    stages: [
        "#3cc7c0", "#b792f0", "#e8ae55", "#f08bb4", "#bccb5c", "#92a1f5", "#d89c7a", "#93b3c6",
    ],
};
