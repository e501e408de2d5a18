//! How wide text is, and how to shorten it.
//!
//! There are no fonts here, so widths are estimates on the safe side: a monospace's advance is 0.6 em (exact for the
//! common ones), a proportional face is measured by a table of classes. Text that is drawn is shortened to fit.

use crate::analysis::Step;

/// Advance of a monospace, in em.
const MONO: f64 = 0.6;

/// Columns a character takes in a monospace: none for combining marks, two for what East Asian fonts draw wide.
pub(super) fn columns(character: char) -> usize {
    match u32::from(character) {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Columns `text` takes in a monospace.
pub(super) fn text_columns(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Width of `text` in a monospace of `size` pixels.
pub(super) fn mono_width(text: &str, size: f64) -> f64 {
    // A count of characters is far below what f64 holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "a count of characters")]
    let columns = text_columns(text) as f64;
    columns * MONO * size
}

/// Columns of a monospace of `size` pixels that fit into `width`.
pub(super) fn mono_budget(width: f64, size: f64) -> usize {
    // `as` saturates, which is what a negative or an absurd width asks for.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let columns = (width / (MONO * size)).floor().max(1.0) as usize;
    columns
}

/// Width of `text` in a grotesque such as Inter at `size` pixels, in its semi-bold.
pub(super) fn sans_width(text: &str, size: f64) -> f64 {
    let em: f64 = text.chars().map(sans_advance).sum();
    em * size
}

/// Advance of a character of a semi-bold grotesque, in em: that of the widest face a reader is likely to have instead
/// of Inter, rounded up to the widest of its class.
fn sans_advance(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '!' | '|' => 0.37,
        ' ' | 'f' | 'r' | 't' | '(' | ')' | '/' | '-' | '·' => 0.46,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 1.0,
        'A'..='Z' => 0.75,
        'a'..='z' | '0'..='9' => 0.67,
        _ => match columns(character) {
            0 => 0.0,
            1 => 0.7,
            _ => 1.1,
        },
    }
}

/// `text` in at most `budget` columns: its end gives way to `…`.
pub(super) fn shorten_end(text: &str, budget: usize) -> String {
    if text_columns(text) <= budget {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += columns(character);
        if used > budget {
            break;
        }
        kept.push(character);
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// `text` in at most `budget` columns: its middle gives way to `…`, because names differ at both ends.
pub(super) fn shorten_middle(text: &str, budget: usize) -> String {
    if text_columns(text) <= budget {
        return text.to_owned();
    }
    let room = budget.saturating_sub(1);
    let tail_room = room / 2;
    let head = take_columns(text.chars(), room - tail_room);
    let tail: String = take_columns(text.chars().rev(), tail_room)
        .chars()
        .rev()
        .collect();
    format!("{head}…{tail}")
}

/// The name of an image in at most `budget` columns: where it comes from gives way before what it is.
pub(super) fn shorten_image(name: &str, budget: usize) -> String {
    match name.rsplit_once('/') {
        Some((_, last)) if text_columns(name) > budget => shorten_middle(&format!("…/{last}"), budget),
        _ => shorten_middle(name, budget),
    }
}

/// The first characters that fit into `room` columns.
fn take_columns(characters: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0;
    characters
        .take_while(|character| {
            used += columns(*character);
            used <= room
        })
        .collect()
}

/// `text`, shortened in the middle until it is at most `width` wide in a grotesque of `size` pixels.
pub(super) fn shorten_sans(text: &str, width: f64, size: f64) -> String {
    let mut budget = text_columns(text);
    let mut shown = text.to_owned();
    while budget > 1 && sans_width(&shown, size) > width {
        // Whoever writes a name of a megabyte must not wait for it to be shortened letter by letter.
        budget = (budget - 1).min(mono_budget(width * 2.0, size));
        shown = shorten_middle(text, budget);
    }
    shown
}

/// A step in at most `budget` columns: what tells it apart stays, what is the same everywhere goes first.
pub(super) fn abbreviate(step: &Step, budget: usize) -> String {
    let text = one_line(&step.text);
    if text_columns(&text) <= budget {
        return text;
    }
    match step.keyword.as_ref() {
        "COPY" | "ADD" => abbreviate_copy(&text, budget),
        "RUN" => abbreviate_run(&text, budget),
        _ => shorten_end(&text, budget),
    }
}

/// `text` with every run of white space and control characters as one space. Text beyond what any card shows is cut
/// off first, so that a step of megabytes costs no more than another.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 4096;
    let mut line = String::new();
    for character in text.chars().take(LONGEST) {
        if !(character.is_whitespace() || character.is_control()) {
            line.push(character);
        } else if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// `COPY --chown=… --from=builder /go/src/app /usr/bin/` -> `COPY --from=builder …/app /usr/bin/`.
fn abbreviate_copy(text: &str, budget: usize) -> String {
    let mut words = text.split(' ');
    let mut shown: Vec<String> = words.next().map(str::to_owned).into_iter().collect();
    let (flags, paths): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with("--"));
    let from = flags.iter().find_map(|flag| flag.strip_prefix("--from="));
    // A third of the room, or a dozen letters, is enough to tell sources apart.
    let source_room = budget.max(36) / 3;
    shown.extend(from.map(|from| format!("--from={}", shorten_image(from, source_room))));
    let fixed = shown.join(" ");
    let written = format!("{fixed} {}", paths.join(" "));
    if text_columns(&written) <= budget {
        return written;
    }
    let Some((destination, sources)) = paths.split_last() else {
        return shorten_end(&written, budget);
    };
    let sources = sources
        .iter()
        .map(|source| last_part(source))
        .collect::<Vec<_>>()
        .join(" ");
    let short = format!("{fixed} {sources} {destination}");
    if text_columns(&short) <= budget {
        return short;
    }
    shorten_end(&format!("{fixed} {sources} {}", last_part(destination)), budget)
}

/// `/go/src/app` -> `…/app`; a path of one part stays.
fn last_part(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit_once('/') {
        Some((parents, last)) if !parents.trim_start_matches(['.', '/']).is_empty() => {
            format!("…/{last}{}", &path[trimmed.len()..])
        }
        _ => path.to_owned(),
    }
}

/// `RUN --mount=… CGO_ENABLED=0 go build -a -installsuffix cgo -o app .` -> `RUN go build … -o app .`.
fn abbreviate_run(text: &str, budget: usize) -> String {
    let mut words = text.split(' ').peekable();
    let mut head: Vec<&str> = words.next().into_iter().collect();
    while words
        .next_if(|word| word.starts_with("--") || is_assignment(word))
        .is_some()
    {}
    let command: Vec<&str> = words.collect();
    // The last flag and its value say what a build makes, but only where the whole is one command.
    let chained = command
        .iter()
        .any(|word| matches!(*word, "&&" | "||" | "|" | ";") || word.ends_with(';'));
    let tail = command
        .iter()
        .rposition(|word| word.starts_with('-'))
        .filter(|_| !chained);
    let tail = tail.and_then(|at| command.get(at..)).map(|words| words.join(" "));
    let whole = [head.as_slice(), command.as_slice()].concat().join(" ");
    if text_columns(&whole) <= budget {
        return whole;
    }
    let Some(tail) = tail.filter(|tail| text_columns(tail) * 5 <= budget * 2) else {
        return shorten_end(&whole, budget);
    };
    let room = budget.saturating_sub(text_columns(&tail) + 3);
    let mut used = head.iter().map(|word| text_columns(word) + 1).sum::<usize>();
    for word in command {
        used += text_columns(word) + 1;
        if used > room + 1 {
            break;
        }
        head.push(word);
    }
    if head.len() < 2 {
        return shorten_end(&whole, budget);
    }
    format!("{} … {tail}", head.join(" "))
}

/// Whether a word of a shell command is `NAME=value`.
fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else {
        return false;
    };
    !name.is_empty()
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{LineRange, Span};

    fn short(text: &str, budget: usize) -> String {
        let keyword = text.split(' ').next().unwrap().to_owned();
        let lines = LineRange { start: 1, end: 1 };
        let span = Span::new(0, text.len());
        abbreviate(
            &Step {
                keyword: keyword.into(),
                text: text.into(),
                span,
                lines,
                vertex: None,
                changes_files: true,
            },
            budget,
        )
    }

    #[test]
    fn a_build_keeps_its_command_and_what_it_makes() {
        let text = "RUN CGO_ENABLED=0 GOOS=linux go build -a -installsuffix cgo -o app .";
        assert_eq!(short(text, 26), "RUN go build -a … -o app .");
    }

    #[test]
    fn a_copy_keeps_where_from_and_what() {
        let text = "COPY --chown=1:1 --from=builder /go/src/github.com/alexellis/href-counter/app .";
        assert_eq!(short(text, 30), "COPY --from=builder …/app .");
        assert_eq!(short(text, 24), "COPY --from=builder …/a…");
    }

    #[test]
    fn an_image_loses_its_registry_first() {
        assert_eq!(
            shorten_image("gcr.io/distroless/static-debian12:nonroot", 26),
            "…/static-debian12:nonroot"
        );
        assert_eq!(shorten_image("golang:1.7.3", 26), "golang:1.7.3");
        assert_eq!(
            short("COPY --from=ghcr.io/acme/certs:2024 /etc/ssl /etc/ssl", 24),
            "COPY --from=…/certs:202…"
        );
    }

    #[test]
    fn what_fits_stays_as_written() {
        assert_eq!(short("COPY app.go .", 25), "COPY app.go .");
    }

    #[test]
    fn a_chain_of_commands_loses_its_end() {
        assert_eq!(
            short("RUN apt-get update && apt-get install -y curl", 20),
            "RUN apt-get update…"
        );
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(shorten_end("雲雲雲雲", 5), "雲雲…");
        assert_eq!(shorten_middle("a-very-long-name", 7), "a-v…ame");
    }

    proptest::proptest! {
        #[test]
        fn shortened_text_fits(text in "\\PC{0,80}", budget in 1usize..40) {
            for keyword in ["RUN", "COPY", "ENV"] {
                let shown = short(&format!("{keyword} {text}"), budget);
                proptest::prop_assert!(text_columns(&shown) <= budget, "{shown}");
            }
            proptest::prop_assert!(text_columns(&shorten_middle(&text, budget)) <= budget);
        }
    }
}
