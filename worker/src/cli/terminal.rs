//! Standard error: what is said there for good, and the view of a build that a terminal shows below it and draws again and
//! again.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What stands at the bottom of the terminal and is drawn over. There is one standard error for all that write to it.
static DRAWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn drawn() -> MutexGuard<'static, Vec<String>> {
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For people. Where nobody reads standard error any more, the work goes on all the same.
pub(super) fn tell(text: &str) {
    _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Says something for good: above what is drawn, where something is.
pub(super) fn above(text: &str) {
    let drawn = drawn();
    if drawn.is_empty() {
        tell(text);
    } else {
        tell(&redrawn(drawn.len(), text, &drawn));
    }
}

/// Whether the terminal says that it cannot move its cursor.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// Its columns and rows.
pub(super) fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}

/// Draws these lines in the place of those that were drawn before.
pub(super) fn draw(lines: &[String]) {
    let mut drawn = drawn();
    if *drawn != lines {
        tell(&redrawn(drawn.len(), "", lines));
        *drawn = lines.to_vec();
    }
}

/// Leaves what is drawn where it stands.
pub(super) fn leave() {
    drawn().clear();
}

/// What to write so that `before` lines give way to `text` and, below it, `lines`.
fn redrawn(before: usize, text: &str, lines: &[String]) -> String {
    let mut out = String::new();
    if before > 0 {
        // To the first of them, and everything below goes.
        _ = write!(out, "\r\u{1b}[{before}A\u{1b}[J");
    }
    out.push_str(text);
    // Should a line be wider than it was counted, it must not take two.
    out.push_str("\u{1b}[?7l");
    for line in lines {
        out.push_str(line);
        out.push('\n');
    }
    out.push_str("\u{1b}[?7h");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal shows in the end, as far as we use one.
    fn shown(written: &[String]) -> Vec<String> {
        let mut lines = vec![String::new()];
        for written in written {
            let mut rest = written.replace("\u{1b}[?7l", "").replace("\u{1b}[?7h", "");
            if let Some(after) = rest.strip_prefix("\r\u{1b}[") {
                let (count, after) = after.split_once("A\u{1b}[J").unwrap();
                let keep = lines.len() - 1 - count.parse::<usize>().unwrap();
                lines.truncate(keep);
                lines.push(String::new());
                rest = after.to_owned();
            }
            for letter in rest.chars() {
                match letter {
                    '\n' => lines.push(String::new()),
                    letter => lines.last_mut().unwrap().push(letter),
                }
            }
        }
        lines.pop();
        lines
    }

    #[test]
    fn lines_are_drawn_over_and_notes_stay_above() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let written = [
            redrawn(0, "", &lines("a b")),
            redrawn(2, "", &lines("c")),
            redrawn(1, "note\n", &lines("c")),
            redrawn(1, "", &lines("d e f")),
        ];
        assert_eq!(shown(&written), ["note", "d", "e", "f"]);
    }
}
