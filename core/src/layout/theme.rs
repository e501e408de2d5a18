//! The colours, light and dark. Dark is a palette of its own, not an inversion.
//!
//! Every stage has one colour, used wherever the stage appears. They keep clear of the colours of states (green for
//! done, blue for running, red for failed), which mean something else.

use std::fmt::Write as _;

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
        "#0f8b8d", "#8f5bd0", "#c8811a", "#c4457e", "#7d8a1c", "#4656b0", "#9c5b3c", "#2f5d62",
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
        "#3cc7c0", "#b792f0", "#e8ae55", "#f08bb4", "#a9c94f", "#7788f2", "#b98468", "#6fa3ad",
    ],
};

/// So much of `colour` on `ground`, as a CSS colour. Both are written `#rrggbb`; `colour` itself where they are not.
pub fn mix(colour: &str, ground: &str, part: f64) -> String {
    let (Some(colour_parts), Some(ground_parts)) = (channels(colour), channels(ground)) else {
        return colour.to_owned();
    };
    let mut mixed = String::from("#");
    for (one, other) in colour_parts.into_iter().zip(ground_parts) {
        let value = f64::from(one) * part + f64::from(other) * (1.0 - part);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates at 0 and 255"
        )]
        let value = value.round() as u8;
        // Writing to a String cannot fail.
        let _ = write!(mixed, "{value:02x}");
    }
    mixed
}

fn channels(colour: &str) -> Option<[u8; 3]> {
    let digits = colour.strip_prefix('#')?;
    let channel = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    Some([channel(0)?, channel(2)?, channel(4)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_mix() {
        assert_eq!(mix("#000000", "#ffffff", 0.5), "#808080");
        assert_eq!(mix("red", "#ffffff", 0.5), "red");
    }

    #[test]
    fn every_palette_is_readable_and_no_two_stages_look_alike() {
        for palette in [LIGHT, DARK] {
            for (index, stage) in palette.stages.iter().enumerate() {
                assert!(
                    contrast(stage, palette.panel) >= 3.0,
                    "{stage} on {}",
                    palette.panel
                );
                let others = &palette.stages[index + 1..];
                assert!(
                    others.iter().all(|other| distance(stage, other) > 60.0),
                    "{stage}"
                );
            }
            for text in [palette.ink, palette.muted] {
                assert!(
                    contrast(text, palette.panel) >= 4.5,
                    "{text} on {}",
                    palette.panel
                );
                assert!(
                    contrast(text, palette.paper) >= 4.5,
                    "{text} on {}",
                    palette.paper
                );
            }
        }
    }

    /// Contrast as WCAG 2 defines it.
    fn contrast(one: &str, other: &str) -> f64 {
        let luminance = |colour: &str| {
            let linear = channels(colour).unwrap().map(|channel| {
                let part = f64::from(channel) / 255.0;
                if part <= 0.040_45 {
                    part / 12.92
                } else {
                    ((part + 0.055) / 1.055).powf(2.4)
                }
            });
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        (one / other).max(other / one)
    }

    /// Distance in RGB: crude, but enough to catch two that were typed alike.
    fn distance(one: &str, other: &str) -> f64 {
        let (one, other) = (channels(one).unwrap(), channels(other).unwrap());
        let squares = one
            .iter()
            .zip(other)
            .map(|(one, other)| (f64::from(*one) - f64::from(other)).powi(2));
        squares.sum::<f64>().sqrt()
    }
}
