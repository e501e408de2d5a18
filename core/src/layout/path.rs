//! Drawing a line: straight pieces that run along the axes, joined by round corners.
//!
//! Every piece stays inside the box of its two ends, so a line whose corners are outside all cards is outside too.

use std::fmt::Write as _;

use super::drawing::Point;

/// How far a curve's handles reach, as a part of its radius: a little rounder than a circle's 0.5523.
const HANDLE: f64 = 0.6;
/// Differences in height below this are not drawn.
const LEVEL: f64 = 0.25;

/// A line being drawn, as the data of an SVG path. Only absolute `M`, `L` and `C` are used.
pub(super) struct Path {
    data: String,
    at: Point,
}

impl Path {
    /// Puts the pen down.
    pub(super) fn from(start: Point) -> Self {
        let mut path = Self {
            data: String::new(),
            at: start,
        };
        path.command('M', &[start]);
        path
    }

    /// Where the pen is.
    pub(super) fn end(&self) -> Point {
        self.at
    }

    /// The data of the SVG path.
    pub(super) fn into_data(self) -> String {
        self.data
    }

    /// Straight on to a point.
    pub(super) fn line(&mut self, to: Point) {
        if (to.x - self.at.x).abs() > LEVEL / 2.0 || (to.y - self.at.y).abs() > LEVEL / 2.0 {
            self.command('L', &[to]);
        }
    }

    /// From one height to another by a vertical piece at `track`, then on to `to.x`. `radius` is that of the corners;
    /// they reach as far to either side, so there must be that much room.
    pub(super) fn step(&mut self, to: Point, track: f64, radius: f64) {
        let down = to.y - self.at.y;
        if down.abs() < LEVEL {
            self.line(to);
            return;
        }
        let before = if self.at.x <= track { -1.0 } else { 1.0 };
        let after = if to.x >= track { 1.0 } else { -1.0 };
        let (rx, ry) = (radius, (down.abs() / 2.0).min(radius) * down.signum());
        let from = self.at.y;
        self.line(Point {
            x: track + before * rx,
            y: from,
        });
        self.curve(
            Point {
                x: track + before * rx * (1.0 - HANDLE),
                y: from,
            },
            Point {
                x: track,
                y: from + ry * (1.0 - HANDLE),
            },
            Point {
                x: track,
                y: from + ry,
            },
        );
        self.line(Point {
            x: track,
            y: to.y - ry,
        });
        self.curve(
            Point {
                x: track,
                y: to.y - ry * (1.0 - HANDLE),
            },
            Point {
                x: track + after * rx * (1.0 - HANDLE),
                y: to.y,
            },
            Point {
                x: track + after * rx,
                y: to.y,
            },
        );
        self.line(to);
    }

    /// Out to `trunk`, along it, and back to a point on the side the pen came from.
    pub(super) fn bow(&mut self, to: Point, trunk: f64, radius: f64) {
        let room = (trunk - self.at.x).abs().min((trunk - to.x).abs());
        self.step(to, trunk, radius.min(room));
    }

    fn curve(&mut self, one: Point, two: Point, to: Point) {
        self.command('C', &[one, two, to]);
    }

    fn command(&mut self, letter: char, points: &[Point]) {
        self.data.push(letter);
        for (index, point) in points.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(self.data, "{space}{} {}", Number(point.x), Number(point.y));
            self.at = *point;
        }
    }
}

/// A coordinate, to two decimals and no longer than needed.
pub(super) struct Number(pub(super) f64);

impl std::fmt::Display for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // In whole hundredths: the formatting of floating point numbers is a large piece of code for a page to fetch.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "no drawing is that large; the cast saturates"
        )]
        let hundredths = (self.0 * 100.0).round() as i64;
        let sign = if hundredths < 0 { "-" } else { "" };
        let (whole, rest) = (hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100);
        match (rest / 10, rest % 10) {
            (0, 0) => write!(formatter, "{sign}{whole}"),
            (tenths, 0) => write!(formatter, "{sign}{whole}.{tenths}"),
            (tenths, ones) => write!(formatter, "{sign}{whole}.{tenths}{ones}"),
        }
    }
}

/// The head of an arrow that comes to `tip` from the left (`heading` 1) or from the right (-1).
pub(super) fn arrow(tip: Point, heading: f64) -> String {
    let (x, y) = (tip.x - 6.0 * heading, tip.y);
    let mut path = Path::from(Point { x, y: y - 4.5 });
    path.line(tip);
    path.line(Point { x, y: y + 4.5 });
    path.into_data()
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn numbers_are_no_longer_than_needed() {
        let shown: Vec<_> = [0.0, -0.0, 12.0, 12.5, -3.25, 0.004, -0.004, 1.999, 0.05]
            .map(|x| Number(x).to_string())
            .into();
        assert_eq!(shown, ["0", "0", "12", "12.5", "-3.25", "0", "0", "2", "0.05"]);
    }
}
