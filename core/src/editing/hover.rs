//! Hover: what the thing under the pointer is, and what it comes to in the build that is planned.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::analysis::Input;
use crate::instruction::guide::{FlagGuide, Value, guide};
use crate::instruction::{MOUNT_OPTIONS, MOUNTS, usual_option};
use crate::reference::Reference;
use crate::shell::Lexer;
use crate::span::Span;
use crate::study::{Study, study};
use crate::syntax::{self, Keyword};

use super::highlight::TokenKind;
use super::names::stage_references;
use super::pieces::{Piece, Role};
use super::predefined;
use super::reading::{Reading, clamp};
use super::variables::{Origin, Visible};

/// What can be said of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hover {
    /// What it is said of.
    pub span: Span,
    /// What is said, in Markdown: paragraphs, lists, `code`, **bold** and fenced blocks.
    pub markdown: String,
}

/// What is at `offset`: an instruction, a flag, a stage, an image, a variable with its value in the build of `input`.
#[must_use]
pub fn hover(input: &Input, offset: usize) -> Option<Hover> {
    let source = &input.source;
    let tree = syntax::parse(source);
    let reading = Reading::new(source, &tree);
    let piece = reading.piece_at(clamp(source, offset))?;
    let markdown = match &piece.role {
        Role::Instruction(keyword) => instruction(*keyword),
        Role::Flag(keyword, name) => flag(*keyword, name)?,
        Role::MountType(name) => mount(name)?,
        Role::MountOption(kind, name) => mount_option(kind, name)?,
        Role::Directive(index) => {
            let name = &tree.directives.get(*index)?.name;
            titled(name, predefined::directive(name)?)
        }
        Role::StageName | Role::Base | Role::Source { .. } => match reading.stage_of(piece) {
            Some(index) => stage(&reading, &study(input), index)?,
            None => image(input, reading.text(piece)),
        },
        Role::Variable(name) | Role::Declared(name) => {
            let study = study(input);
            let mut said = variable(&reading, &study, piece, name)?;
            said.push_str(&expanded_base(&reading, &study, piece).unwrap_or_default());
            said
        }
        Role::Plain => match piece.kind {
            TokenKind::Image => expanded_base(&reading, &study(input), piece)?,
            TokenKind::HeredocMarker => titled(
                reading.text(piece),
                "A heredoc: the lines up to the one that says the same are its content.",
            ),
            _ => return None,
        },
    };
    Some(Hover {
        span: piece.span,
        markdown: markdown.trim().to_owned(),
    })
}

/// Adds to what is said.
fn say(said: &mut String, more: fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = said.write_fmt(more);
}

fn titled(title: &str, text: &str) -> String {
    format!("**{title}**\n\n{text}\n")
}

/// Text as code, whatever is in it.
fn code(text: &str) -> String {
    // Backticks in it need more of them around it.
    let longest = text
        .split(|letter| letter != '`')
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if text.starts_with('`') || text.ends_with('`') || text.is_empty() {
        " "
    } else {
        ""
    };
    format!("{fence}{space}{text}{space}{fence}")
}

/// What an instruction does.
pub(super) fn instruction(keyword: Keyword) -> String {
    let guide = guide(keyword);
    let mut said = titled(keyword.name(), guide.text);
    said.push_str("\n```dockerfile\n");
    for example in guide.examples {
        said.push_str(example);
        said.push('\n');
    }
    said.push_str("```\n");
    if !guide.flags.is_empty() {
        let flags: Vec<String> = guide
            .flags
            .iter()
            .map(|flag| format!("`--{}`", flag.name))
            .collect();
        say(&mut said, format_args!("\nFlags: {}\n", flags.join(", ")));
    }
    said
}

fn flag(keyword: Keyword, name: &str) -> Option<String> {
    let flag = guide(keyword).flags.iter().find(|flag| flag.name == name)?;
    Some(titled(&format!("{} --{name}", keyword.name()), &described(flag)))
}

/// What a flag or an option does, and what it can be.
pub(super) fn described(flag: &FlagGuide) -> String {
    match flag.value {
        Value::OneOf(values) => {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("{}\n\nOne of {}.", flag.text, values.join(", "))
        }
        Value::Like(example) if example.len() > 1 => format!("{}\n\nSuch as `{example}`.", flag.text),
        Value::Like(_) | Value::Switch | Value::Source | Value::Platform | Value::Mount => {
            flag.text.to_owned()
        }
    }
}

fn mount(name: &str) -> Option<String> {
    let mount = MOUNTS.iter().find(|mount| mount.name == name)?;
    let options: Vec<String> = mount.options.iter().map(|name| format!("`{name}`")).collect();
    let text = format!("{}\n\nOptions: {}", mount.text, options.join(", "));
    Some(titled(&format!("type={name}"), &text))
}

fn mount_option(kind: &str, name: &str) -> Option<String> {
    let usual = usual_option(name);
    let option = MOUNT_OPTIONS.iter().find(|option| option.name == usual)?;
    let knows = MOUNTS
        .iter()
        .find(|mount| mount.name == kind)
        .is_none_or(|mount| mount.options.contains(&usual));
    let mut said = titled(&format!("--mount {name}"), &described(option));
    if !knows && usual != "type" && !matches!(usual, "readonly" | "readwrite" | "source") {
        say(
            &mut said,
            format_args!("\nA mount of type `{kind}` has no such option.\n"),
        );
    }
    Some(said)
}

fn line(reading: &Reading<'_, '_>, offset: usize) -> usize {
    reading.document.row_at(offset) + 1
}

fn stage(reading: &Reading<'_, '_>, study: &Study<'_>, index: usize) -> Option<String> {
    /// More of them would hide what is below.
    const MOST: usize = 8;
    let stage = reading.stages.all.get(index)?;
    let mut said = match &stage.name {
        Some((name, _)) => format!("**Stage {}**, number {index}\n\n", code(name)),
        None => format!("**Stage {index}**, without a name\n\n"),
    };
    if let Some((base, span)) = &stage.base {
        let expanded = study
            .plan
            .resolved
            .nodes
            .get(index)
            .map(|node| node.base_name.as_str());
        say(
            &mut said,
            format_args!("Line {} starts it from {}", line(reading, span.start), code(base)),
        );
        match expanded.filter(|expanded| expanded != base && !expanded.is_empty()) {
            Some(expanded) => say(&mut said, format_args!(", which is {}.\n\n", code(expanded))),
            None => said.push_str(".\n\n"),
        }
    }
    said.push_str(match (study.plan.target, study.plan.needed.get(index)) {
        (Some(target), _) if target == index => "It is what is built.\n\n",
        (Some(_), Some(true)) => "What is built needs it.\n\n",
        (Some(_), Some(false)) => "What is built does not need it.\n\n",
        _ => "",
    });
    let users: Vec<&Piece> = stage_references(reading, index)
        .filter(|piece| piece.role != Role::StageName)
        .collect();
    for user in users.iter().take(MOST) {
        let own = user.node.and_then(|node| reading.stages.of_node(node));
        let own = own.and_then(|own| Some(reading.stages.all.get(own)?.label(own)));
        let does = match user.role {
            Role::Base => "starts from it",
            Role::Source { numbers: true } => "copies from it",
            _ => "mounts it",
        };
        say(
            &mut said,
            format_args!(
                "- line {}: {} {does}\n",
                line(reading, user.span.start),
                code(&own.unwrap_or_default())
            ),
        );
    }
    if users.len() > MOST {
        say(&mut said, format_args!("- and {} more\n", users.len() - MOST));
    }
    Some(said)
}

fn image(input: &Input, name: &str) -> String {
    if name == "scratch" {
        return titled("scratch", "Nothing: an image without any files.");
    }
    let mut said = format!("**Image {}**\n\n", code(name));
    match name.parse::<Reference>() {
        Ok(reference) => {
            let full = reference.to_string();
            if full != name {
                say(&mut said, format_args!("In full {}\n\n", code(&full)));
            }
            if let Some(facts) = input.options.images.get(&full) {
                say(
                    &mut said,
                    format_args!("Digest {}\n\n", code(facts.digest.as_str())),
                );
                if let Some(note) = &facts.note {
                    say(&mut said, format_args!("{note}\n"));
                }
            }
        }
        Err(error) => say(&mut said, format_args!("{error}.\n")),
    }
    said
}

/// What FROM starts from once its variables are worked out, for a piece of what it says.
fn expanded_base(reading: &Reading<'_, '_>, study: &Study<'_>, piece: &Piece) -> Option<String> {
    let index = reading.stages.of_node(piece.node?)?;
    let stage = reading.stages.all.get(index)?;
    let (base, span) = stage.base.as_ref()?;
    if !span.contains(piece.span.start) {
        return None;
    }
    let node = study
        .plan
        .resolved
        .nodes
        .get(index)
        .filter(|node| !node.base_name.is_empty())?;
    let mut said = format!("\n\n{} is {} here.\n", code(base), code(&node.base_name));
    if node.base.is_none()
        && let Ok(reference) = node.base_name.parse::<Reference>()
    {
        say(
            &mut said,
            format_args!("\nIn full {}\n", code(&reference.to_string())),
        );
    }
    Some(said)
}

fn variable(reading: &Reading<'_, '_>, study: &Study<'_>, piece: &Piece, name: &str) -> Option<String> {
    let node = piece.node?;
    let own = reading.document.tree.nodes.get(node)?;
    let stage = reading.stages.of_node(node).filter(|_| !reading.is_global(node));
    // What an instruction sets holds behind it.
    let declared = matches!(piece.role, Role::Declared(_));
    let from = if declared { own.span.end } else { own.span.start };
    let offset = if own.keyword == Some(Keyword::Arg) && !declared {
        piece.span.start
    } else {
        from
    };
    let visible = Visible::before(study, stage, offset.max(1));
    let found = visible.named(name);
    let mut said = format!("**Variable {}**\n\n", code(name));
    let given = study.options.build_args.contains_key(name);
    match found.map(|found| (found.value.as_deref(), found.origin)) {
        Some((Some(value), _)) => say(&mut said, format_args!("Its value is {} here.\n\n", code(value))),
        Some((None, Origin::Arg(_))) => {
            said.push_str("It has no value, unless `--build-arg` gives it one.\n\n");
        }
        Some((None, _)) => {}
        None if predefined::argument(name).is_some() && stage.is_some() => {
            say(
                &mut said,
                format_args!("It is empty here: write `ARG {name}` before it.\n\n"),
            );
        }
        None if own.keyword == Some(Keyword::Run) => {
            said.push_str("Nothing in this file sets it; the command may.\n\n");
        }
        None => said.push_str("Nothing sets it here, so it is empty.\n\n"),
    }
    match found.map(|found| found.origin) {
        Some(Origin::Arg(span)) if !declared => {
            say(
                &mut said,
                format_args!("From the ARG in line {}", line(reading, span.start)),
            );
            said.push_str(if given {
                ", as given to the build.\n"
            } else {
                ".\n"
            });
        }
        Some(Origin::Arg(_)) if given => said.push_str("As given to the build.\n"),
        Some(Origin::Env(span)) if !declared => {
            say(
                &mut said,
                format_args!("From the ENV in line {}.\n", line(reading, span.start)),
            );
        }
        Some(Origin::Image) => said.push_str("From the image that the stage starts from.\n"),
        Some(Origin::Build | Origin::Arg(_) | Origin::Env(_)) | None => {}
    }
    if let Some(text) = predefined::argument(name).or_else(|| predefined::given(name)) {
        say(&mut said, format_args!("\n{text}\n"));
    }
    // A part that is chosen by `:-` and its like says more than the variable alone.
    let whole = reading
        .document
        .source
        .get(piece.span.start..own.span.end)
        .and_then(braces);
    if let Some(whole) = whole
        && let Ok(value) = Lexer::new(reading.document.tree.escape).word(whole, &visible)
        && found.and_then(|found| found.value.as_deref()) != Some(&value)
    {
        say(
            &mut said,
            format_args!("\n{} is {} here.\n", code(whole), code(&value)),
        );
    }
    Some(said)
}

/// A `${…}` that the text begins with, up to its end.
fn braces(text: &str) -> Option<&str> {
    if !text.starts_with("${") {
        return None;
    }
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => return text.get(..=at),
            '}' => depth -= 1,
            '\n' => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the place at `|`.
    fn said(marked: &str) -> Option<String> {
        let offset = marked.find('|').unwrap();
        let mut input = Input {
            source: marked.replacen('|', "", 1),
            ..Input::default()
        };
        input.options.build_args.insert("GIVEN".into(), "yes".into());
        hover(&input, offset).map(|hover| hover.markdown)
    }

    #[track_caller]
    fn check(marked: &str, parts: &[&str]) {
        let said = said(marked).unwrap_or_default();
        for part in parts {
            assert!(said.contains(part), "{part} is not in {said:?}");
        }
    }

    #[test]
    fn instructions_flags_and_options_are_explained() {
        check("R|UN x", &["**RUN**", "```dockerfile", "`--mount`"]);
        check("copy --fr|om=a b c", &["**COPY --from**"]);
        check(
            "RUN --mount=ty|pe=cache,target=/x y",
            &["--mount type", "`cache`"],
        );
        check(
            "RUN --mount=type=ca|che,target=/x y",
            &["type=cache", "`sharing`"],
        );
        check(
            "RUN --mount=type=tmpfs,i|d=x y",
            &["type `tmpfs` has no such option"],
        );
        check("# esc|ape=`\nFROM a", &["**escape**"]);
        check("ONBUILD US|ER x", &["**USER**"]);
        assert_eq!(said("RUN ec|ho"), None);
        assert_eq!(said("|"), None);
    }

    #[test]
    fn a_stage_says_what_it_is_for() {
        let file = "ARG V=3\nFROM a:$V AS b\nFROM b\nCOPY --from=|b x y\nRUN --mount=from=b z\n";
        check(
            file,
            &[
                "Stage `b`",
                "`a:$V`, which is `a:3`",
                "needs it",
                "line 3: `stage 1` starts",
                "line 4",
                "line 5: `stage 1` mounts",
            ],
        );
        check("FROM a AS b|\nFROM c", &["does not need it"]);
    }

    #[test]
    fn an_image_is_written_in_full() {
        check("FROM al|pine", &["docker.io/library/alpine:latest"]);
        check("FROM scr|atch", &["Nothing"]);
        check(
            "ARG V=3\nFROM alp|ine:$V",
            &["`alpine:3`", "docker.io/library/alpine:3"],
        );
    }

    #[test]
    fn a_variable_has_a_value() {
        check(
            "ARG V=3\nFROM a:$|V",
            &["Its value is `3`", "ARG in line 1", "`a:3`"],
        );
        check("FROM a\nARG GIVEN=no\nRUN $GI|VEN", &["`yes`", "as given"]);
        check("FROM a\nENV |A=1 B=2", &["`1`"]);
        check("FROM a\nENV A=1\nENV A=2 B=$|A", &["`1`", "ENV in line 2"]);
        check("FROM a\nRUN ${|A:-x}", &["the command may", "`${A:-x}` is `x`"]);
        check("FROM a\nCOPY $TARGET|ARCH b", &["`ARG TARGETARCH`"]);
        check("FROM a\nARG TARGET|ARCH", &["`amd64`", "architecture"]);
        check("FROM a\nARG |A", &["no value"]);
        check("FROM a\nRUN $P|ATH", &["From the image"]);
    }

    #[test]
    fn code_holds_backticks() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
    }
}
