//! `stagewright mdbook`: a preprocessor of mdBook that draws the Dockerfiles in a book.
//!
//! mdBook starts it, hands it the book as JSON and takes it back; <https://rust-lang.github.io/mdBook/for_developers/preprocessors.html>
//! describes the exchange. Blocks that ask for it become a drawing, which is an SVG and needs no script.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::process::ExitCode;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};
use serde_json::Value;
use stagewright_core::Input;
use stagewright_core::analysis::{Analysis, Options};
use stagewright_core::diagnostic::Severity;
use stagewright_core::layout::svg::{SvgOptions, Theme, render_svg};
use stagewright_core::layout::{self, Direction, LayoutOptions};
use stagewright_core::link::{Link, LinkedFile};

use super::{Failure, link, print, style};

/// Draw the Dockerfiles of a book: a preprocessor for mdBook
///
/// mdBook runs it, where book.toml has a section [preprocessor.stagewright] with command = "stagewright mdbook". A code
/// block of `dockerfile,plan` becomes a drawing of the build; docs/embed.md lists what else may stand there.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    question: Option<Question>,
}

#[derive(Debug, clap::Subcommand)]
enum Question {
    /// Whether a renderer can show drawings: ends with 0 where it can
    Supports {
        /// The renderer's name
        renderer: String,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(Question::Supports { renderer }) = &arguments.question {
        // What is written is HTML.
        return Ok(if renderer == "html" {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(Failure::WORK)
        });
    }
    let mut given = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut given);
    read.map_err(|error| Failure::new(Failure::USAGE, format!("cannot read standard input: {error}")))?;
    let (context, mut book): (Value, Value) = serde_json::from_str(&given).map_err(|error| {
        Failure::new(Failure::USAGE, format!("standard input holds no book: {error}")).hint(
            "mdBook starts this command by itself: put [preprocessor.stagewright] and \
             command = \"stagewright mdbook\" into book.toml, and run mdbook build",
        )
    })?;
    let mut warnings = String::new();
    let settings = Settings::of(&context, &mut warnings);
    chapters(&mut book, &mut |name, text| {
        draw_all(name, text, &settings, &mut warnings)
    });
    // A book with a mistake in a Dockerfile is a book all the same.
    _ = std::io::stderr().write_all(warnings.as_bytes());
    print(&book.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// What book.toml says in `[preprocessor.stagewright]`.
struct Settings {
    /// The address of a playground that drawings link to.
    playground: Option<String>,
    theme: Option<Theme>,
}

impl Settings {
    fn of(context: &Value, warnings: &mut String) -> Self {
        let settings = &context["config"]["preprocessor"]["stagewright"];
        let named = &settings["theme"];
        let theme = named.as_str().and_then(theme);
        if theme.is_none() && !named.is_null() {
            let said = format!("there is no theme {named}: write light, dark or auto");
            _ = writeln!(warnings, "warning: book.toml: {}", style::plain(&said));
        }
        Self {
            playground: settings["playground"].as_str().map(ToOwned::to_owned),
            theme,
        }
    }
}

fn theme(name: &str) -> Option<Theme> {
    match name {
        "light" => Some(Theme::Light),
        "dark" => Some(Theme::Dark),
        "auto" => Some(Theme::Auto),
        _ => None,
    }
}

/// Goes through all chapters, wherever they stand: versions of mdBook call the lists by different names.
fn chapters(value: &mut Value, change: &mut impl FnMut(&str, &str) -> String) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(chapter)) = fields.get_mut("Chapter") {
                let text = |field| chapter.get(field).and_then(Value::as_str);
                let name = text("source_path").or(text("name")).unwrap_or("a chapter");
                if let Some(content) = text("content") {
                    let changed = change(name, content);
                    chapter.insert("content".into(), changed.into());
                }
            }
            fields.values_mut().for_each(|value| chapters(value, change));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| chapters(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A chapter with its drawings.
fn draw_all(name: &str, text: &str, settings: &Settings, warnings: &mut String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut written = 0;
    let mut events = Parser::new(text).into_offset_iter();
    while let Some((event, span)) = events.next() {
        let Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) = event else {
            continue;
        };
        let Some(mut wanted) = Wanted::read(&info) else {
            continue;
        };
        wanted.theme = wanted.theme.or(settings.theme);
        let mut source = String::new();
        for (event, _) in events.by_ref() {
            match event {
                Event::Text(piece) => source.push_str(&piece),
                _ => break,
            }
        }
        let line = text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
        for word in &wanted.unknown {
            warn(
                warnings,
                name,
                line,
                &format!("there is no option {word:?} for a plan"),
            );
        }
        out.push_str(text.get(written..span.start).unwrap_or_default());
        let drawn = draw(&source, &wanted, settings, &mut |at, said| {
            warn(warnings, name, line + at, said);
        });
        // A block in a list or a quotation stays there.
        let prefix = prefix(text, &span);
        out.push_str(&drawn.trim_end().replace('\n', &format!("\n{prefix}")));
        out.push('\n');
        written = span.end;
        if !text.get(..written).is_some_and(|before| before.ends_with('\n')) {
            written += usize::from(text.get(written..).is_some_and(|rest| rest.starts_with('\n')));
        }
        // HTML in Markdown goes on to the next blank line, where a fence ended by itself.
        if !is_blank(text.get(written..).unwrap_or_default(), &prefix) {
            out.push_str(prefix.trim_end());
            out.push('\n');
        }
    }
    out.push_str(text.get(written..).unwrap_or_default());
    out
}

/// Whether the first line of what follows a block is blank, where the block stands.
fn is_blank(rest: &str, prefix: &str) -> bool {
    let line = rest.split('\n').next().unwrap_or_default();
    line.replacen('>', "", prefix.matches('>').count())
        .trim()
        .is_empty()
}

fn warn(warnings: &mut String, chapter: &str, line: usize, said: &str) {
    _ = writeln!(
        warnings,
        "warning: {}, line {line}: {}",
        style::plain(chapter),
        style::plain(said)
    );
}

/// What stands before each further line of a block: `> ` of a quotation, the depth of a list.
fn prefix(text: &str, span: &Range<usize>) -> String {
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    // A tab reaches further than a blank.
    let mark = |letter| if matches!(letter, '>' | '\t') { letter } else { ' ' };
    line.chars().map(mark).collect()
}

/// What the words after ```` ```dockerfile ```` ask for.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    options: Options,
    theme: Option<Theme>,
    direction: Direction,
    title: Option<String>,
    /// The source is left out.
    hides_source: bool,
    /// The source is unfolded from the start.
    open: bool,
    unknown: Vec<String>,
}

impl Wanted {
    /// `None` where no drawing is asked for.
    fn read(info: &str) -> Option<Self> {
        let mut words = info.split([',', ' ']).filter(|word| !word.is_empty());
        if !words.next()?.eq_ignore_ascii_case("dockerfile") {
            return None;
        }
        let words: Vec<&str> = words.collect();
        if !words.contains(&"plan") {
            return None;
        }
        let mut wanted = Self::default();
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let understood = match (name, value) {
                ("plan", "") => true,
                ("hide-source", "") => {
                    wanted.hides_source = true;
                    true
                }
                ("open", "") => {
                    wanted.open = true;
                    true
                }
                ("down", "") => {
                    wanted.direction = Direction::TopToBottom;
                    true
                }
                ("target", target) if !target.is_empty() => {
                    wanted.options.target = Some(target.to_owned());
                    true
                }
                ("arg", arg) if !arg.is_empty() => {
                    let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
                    wanted.options.build_args.insert(name.into(), value.into());
                    true
                }
                ("platform", platform) => {
                    wanted.options.platform = platform.parse().ok();
                    wanted.options.platform.is_some()
                }
                ("theme", name) => {
                    wanted.theme = theme(name);
                    wanted.theme.is_some()
                }
                // No blank can stand in a word; an underscore stands for one.
                ("title", title) if !title.is_empty() => {
                    wanted.title = Some(title.replace('_', " "));
                    true
                }
                _ => false,
            };
            if !understood {
                wanted.unknown.push(word.to_owned());
            }
        }
        Some(wanted)
    }
}

/// The block in Markdown: the drawing, what is wrong, and the source.
fn draw(source: &str, wanted: &Wanted, settings: &Settings, wrong: &mut dyn FnMut(usize, &str)) -> String {
    let analysis = stagewright_core::analyze(&Input {
        source: source.to_owned(),
        options: wanted.options.clone(),
    });
    let mut out = String::from("<figure class=\"stagewright-plan\" style=\"margin:1.5em 0\">");
    _ = write!(
        out,
        "<div style=\"overflow-x:auto\" role=\"group\" aria-label=\"Drawing\" tabindex=\"0\">{}</div>",
        svg(&analysis, wanted)
    );
    let mut caption = findings(&analysis, wrong);
    if let Some(playground) = &settings.playground {
        match link::fragment(&linked(source, wanted)) {
            Ok(fragment) => {
                _ = write!(
                    caption,
                    "<a href=\"{}{fragment}\">Open in the playground</a>",
                    escaped(playground)
                );
            }
            Err(error) => wrong(0, &format!("There is no link to the playground: {error}.")),
        }
    }
    if !caption.is_empty() {
        _ = write!(out, "<figcaption style=\"font-size:.9em\">{caption}</figcaption>");
    }
    out.push_str("</figure>\n");
    if !wanted.hides_source {
        let open = if wanted.open { " open" } else { "" };
        let fence = fence(source);
        _ = write!(
            out,
            "\n<details{open}><summary>Dockerfile</summary>\n\n{fence}dockerfile\n{source}"
        );
        if !source.ends_with('\n') {
            out.push('\n');
        }
        _ = write!(out, "{fence}\n\n</details>\n");
    }
    out
}

/// A fence that is longer than any in the source.
fn fence(source: &str) -> String {
    let longest = source.split(|letter| letter != '`').map(str::len).max();
    "`".repeat(longest.unwrap_or_default().max(2) + 1)
}

/// What flips the drawing's colours where the system is dark, and where the book is: its own themes are classes.
const SYSTEM_IS_DARK: &str = "@media (prefers-color-scheme: dark) {";
const BOOK_IS_DARK: &str = ":is(.coal, .navy, .ayu) {";

/// How small a drawing that is too wide may become, before it is scrolled.
const SMALLEST: f64 = 2.0 / 3.0;

/// The drawing on one line: a blank one would end the HTML in Markdown.
fn svg(analysis: &Analysis, wanted: &Wanted) -> String {
    let drawing = layout::layout(
        analysis,
        &LayoutOptions {
            direction: wanted.direction,
            detail_width: 0.0,
            ..LayoutOptions::default()
        },
    );
    let options = SvgOptions {
        theme: wanted.theme.unwrap_or_default(),
        title: wanted.title.clone(),
    };
    let svg = render_svg(analysis, &drawing, &options).replace(SYSTEM_IS_DARK, BOOK_IS_DARK);
    // Made a little smaller it is read better than scrolled; much smaller it is not read at all. As in the element.
    let least = (drawing.width * SMALLEST).max(560.0).min(drawing.width);
    let fit = format!("<svg style=\"max-width:100%;height:auto;min-width:{least:.0}px\"");
    svg.replacen("<svg", &fit, 1)
        .replace('\n', " ")
        .trim_end()
        .to_owned()
}

/// What is wrong with the Dockerfile, as a list.
fn findings(analysis: &Analysis, wrong: &mut dyn FnMut(usize, &str)) -> String {
    let mut list = String::new();
    for found in &analysis.diagnostics {
        if found.severity == Severity::Info {
            continue;
        }
        let hint = found
            .hint
            .as_ref()
            .map_or_else(String::new, |hint| format!(" {hint}"));
        let said = format!("{}{hint}", found.message);
        wrong(found.lines.start as usize, &said);
        let kind = if found.severity == Severity::Error {
            "Error"
        } else {
            "Warning"
        };
        let said = escaped(&said).replace('\n', " ");
        _ = write!(list, "<li>{kind} in line {}: {said}</li>", found.lines.start);
    }
    if list.is_empty() {
        list
    } else {
        format!("<ul class=\"stagewright-findings\">{list}</ul>")
    }
}

fn linked(source: &str, wanted: &Wanted) -> Link {
    let dockerfile = "Dockerfile".to_owned();
    Link {
        files: vec![LinkedFile::text(&dockerfile, source)],
        dockerfile,
        target: wanted.options.target.clone().unwrap_or_default(),
        platform: wanted
            .options
            .platform
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        build_args: wanted.options.build_args.clone(),
        ..Link::default()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use stagewright_core::link::MAX_JSON;

    use super::*;

    const TWO: &str = "FROM alpine AS one\nRUN date > /now\nFROM scratch\nCOPY --from=one /now /\n";

    fn drawn(text: &str) -> (String, String) {
        let settings = Settings {
            playground: Some("https://play.example/?a&b".into()),
            theme: None,
        };
        let mut warnings = String::new();
        let out = draw_all("guide.md", text, &settings, &mut warnings);
        (out, warnings)
    }

    fn block(info: &str, source: &str) -> String {
        format!("# Title\n\nBefore.\n\n```{info}\n{source}```\n\nAfter.\n")
    }

    #[test]
    fn a_block_that_asks_for_it_becomes_a_drawing_a_link_and_the_source() {
        let (out, warnings) = drawn(&block("dockerfile,plan", TWO));
        assert!(out.starts_with("# Title\n\nBefore.\n\n<figure class=\"stagewright-plan\""));
        assert!(out.contains("<title id=") && out.contains(">Build of stage-1, 2 stages</title>"));
        assert!(out.contains("<a href=\"https://play.example/?a&amp;b#s=A"));
        let source = format!(
            "</figure>\n\n<details><summary>Dockerfile</summary>\n\n```dockerfile\n{TWO}```\n\n</details>\n"
        );
        assert!(out.contains(&source), "{out}");
        assert!(out.ends_with("</details>\n\nAfter.\n"), "{out}");
        assert_eq!(warnings, "");
    }

    #[test]
    fn every_other_block_stays_as_it_is() {
        for text in [
            block("dockerfile", TWO),
            block("rust,plan", "fn main() {}\n"),
            block("", "FROM a\n"),
            "    ```dockerfile,plan\n    FROM a\n    ```\n".to_owned(),
            "````markdown\n```dockerfile,plan\nFROM a\n```\n````\n".to_owned(),
            "No fence at all: `dockerfile,plan`.".to_owned(),
        ] {
            assert_eq!(drawn(&text), (text.clone(), String::new()));
        }
    }

    #[test]
    fn a_drawing_is_html_to_its_end() {
        let (out, _) = drawn(&block(
            "dockerfile,plan,hide-source",
            "FROM scratch\nRUN <<EOF\n\n<b>&\n\nEOF\n",
        ));
        let figure = out.lines().find(|line| line.starts_with("<figure")).unwrap();
        assert!(
            figure.ends_with("</figure>") && !figure.contains("<b>"),
            "{figure}"
        );
        assert!(!out.contains("<details"));
    }

    #[test]
    fn a_block_in_a_list_or_a_quotation_stays_there() {
        let list = "1. First:\n\n   ```dockerfile,plan\n   FROM scratch\n   COPY a /\n   ```\n\n2. Second.\n";
        let (out, _) = drawn(list);
        let inside = |line: &str| line.is_empty() || line.starts_with("   ") || line.starts_with(['1', '2']);
        assert!(out.lines().all(|line| inside(line.trim_end())), "{out}");
        assert!(out.contains("   COPY a /\n   ```\n"), "{out}");
        let (out, _) = drawn("> ```dockerfile,plan\n> FROM scratch\n> ```\n");
        assert!(out.lines().all(|line| line.starts_with('>')), "{out}");
    }

    /// What a Markdown reader makes of it: whether the emphasis after the drawing is one.
    fn emphasises(text: &str) -> bool {
        Parser::new(text).any(|event| event == Event::Start(Tag::Emphasis))
    }

    #[test]
    fn text_directly_after_a_block_stays_markdown() {
        let source = "FROM scratch\nCOPY a /\n";
        for words in ["plan", "plan,hide-source"] {
            for (first, prefix) in [
                ("", ""),
                ("1. ", "   "),
                ("> ", "> "),
                ("> - ", ">   "),
                ("-\t", "\t"),
            ] {
                let block = format!("```dockerfile,{words}\n{source}```\nAfter *x*.\n");
                let lines = block.trim_end().replace('\n', &format!("\n{prefix}"));
                let (out, _) = drawn(&format!("{first}{lines}\n"));
                assert!(
                    emphasises(&out) && out.contains("<figure"),
                    "{words} {first:?}: {out}"
                );
                if first.starts_with('>') {
                    assert!(out.lines().all(|line| line.starts_with('>')), "{out}");
                }
            }
        }
        let (out, _) = drawn("- ```dockerfile,plan,hide-source\n  FROM scratch\nAfter *x*.\n");
        assert!(
            emphasises(&out),
            "a fence that is not closed ends with its list: {out}"
        );
        let (out, _) = drawn("> ```dockerfile,plan\n> FROM scratch\n> ```\n>\n> After *x*.\n");
        assert!(
            out.ends_with("</details>\n>\n> After *x*.\n"),
            "a blank line is enough: {out}"
        );
    }

    #[test]
    fn a_block_behind_a_tab_stays_behind_it() {
        let (out, _) = drawn("-\tFirst:\n\n\t```dockerfile,plan\n\tFROM scratch\n\tCOPY a /\n\t```\n");
        assert!(out.contains("\n\tCOPY a /\n\t```\n"), "{out}");
    }

    #[test]
    fn what_book_toml_says_and_is_not_known_is_said() {
        let of = |settings: Value| {
            let mut warnings = String::new();
            let context = serde_json::json!({"config": {"preprocessor": {"stagewright": settings}}});
            (Settings::of(&context, &mut warnings).theme, warnings)
        };
        assert_eq!(
            of(serde_json::json!({"theme": "dark"})),
            (Some(Theme::Dark), String::new())
        );
        assert_eq!(of(serde_json::json!({})), (None, String::new()));
        for pink in [
            serde_json::json!({"theme": "pink"}),
            serde_json::json!({"theme": 7}),
        ] {
            let (theme, warnings) = of(pink);
            assert_eq!(theme, None);
            assert!(
                warnings.starts_with("warning: book.toml: there is no theme ")
                    && warnings.contains("light, dark or auto"),
                "{warnings}"
            );
        }
    }

    #[test]
    fn a_dockerfile_too_long_for_a_link_is_drawn_without_one() {
        let source = format!("FROM scratch\n#{}\n", "x".repeat(MAX_JSON));
        let (out, warnings) = drawn(&block("dockerfile,plan,hide-source", &source));
        assert!(out.contains("<svg") && !out.contains("<a href"));
        assert!(warnings.starts_with("warning: guide.md, line 5: "), "{warnings}");
        assert!(warnings.contains("link"), "{warnings}");
    }

    #[test]
    fn a_mistake_is_said_in_the_book_and_where_the_book_is_made() {
        let (out, warnings) = drawn(&block("dockerfile,plan", "FROM scratch\nNONSENSE <x>\n"));
        assert!(
            out.contains("<ul class=\"stagewright-findings\"><li>Error in line 2: "),
            "{out}"
        );
        assert!(out.contains("<svg"), "what can be read is drawn");
        assert!(warnings.starts_with("warning: guide.md, line 7: "), "{warnings}");
        assert_eq!(warnings.lines().count(), 1, "{warnings}");
    }

    #[test]
    fn words_after_plan_choose_what_is_drawn() {
        let wanted = |info: &str| Wanted::read(info).unwrap();
        let all = wanted(
            "Dockerfile, plan, target=one, arg=V=1=2, platform=linux/arm64, theme=dark, title=The_plan, open, down",
        );
        assert_eq!(all.options.target.as_deref(), Some("one"));
        assert_eq!(all.options.build_args.get("V").map(String::as_str), Some("1=2"));
        assert_eq!(
            all.options.platform.as_ref().map(ToString::to_string).as_deref(),
            Some("linux/arm64")
        );
        assert_eq!(
            (all.theme, all.title.as_deref()),
            (Some(Theme::Dark), Some("The plan"))
        );
        assert!(all.open && all.direction == Direction::TopToBottom && all.unknown.is_empty());
        assert_eq!(
            wanted("dockerfile,plan,tarket=one,theme=pink").unknown,
            ["tarket=one", "theme=pink"]
        );
        let (out, warnings) = drawn(&block("dockerfile,plan,tarket=one", TWO));
        assert!(out.contains("<figure") && warnings.contains("line 5: there is no option \"tarket=one\""));
    }

    #[test]
    fn a_drawing_follows_the_themes_of_the_book() {
        let (out, _) = drawn(&block("dockerfile,plan", TWO));
        assert!(out.contains(BOOK_IS_DARK) && !out.contains("prefers-color-scheme"));
        let (out, _) = drawn(&block("dockerfile,plan,theme=dark", TWO));
        assert!(!out.contains(BOOK_IS_DARK));
    }

    #[test]
    fn chapters_are_found_in_the_books_of_all_versions() {
        for list in ["sections", "items"] {
            let inner = serde_json::json!({"Chapter": {"name": "B", "content": "x", "sub_items": []}});
            let chapter = serde_json::json!({"Chapter": {"name": "A", "content": "x", "sub_items": [inner, "Separator"], "path": "a.md"}});
            let mut book = serde_json::json!({ list: ["Separator", {"PartTitle": "T"}, chapter], "__non_exhaustive": null });
            let mut seen = Vec::new();
            chapters(&mut book, &mut |name, text| {
                seen.push(name.to_owned());
                format!("{text}!")
            });
            assert_eq!(seen, ["A", "B"]);
            assert_eq!(
                book[list][2]["Chapter"]["sub_items"][0]["Chapter"]["content"],
                "x!"
            );
        }
    }
}
