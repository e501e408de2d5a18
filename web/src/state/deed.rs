//! What can be pressed in a view of the insight module: a word or two in an attribute, and a value.

use stagewright_core::edit::TextEdit;
use stagewright_insight::{Change, Durations, TextFile};

use super::plan::StepRef;
use super::workspace::Content;
use super::{Action, json};

/// What a press or a choice asks for. Views come from a module of their own, so what they say is read as anything from
/// outside is: what makes no sense does nothing.
pub fn read(what: &str, value: &str) -> Option<Action> {
    let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
    let mut words = rest.split(' ');
    let mut number = || words.next()?.parse::<u32>().ok();
    match verb {
        "line" => Some(Action::LineChosen(number()?)),
        "step" => Some(Action::StepChosen(StepRef {
            stage: number()? as usize,
            step: number().map(|step| step as usize),
        })),
        "edit" => Some(Action::EditsAsked {
            version: number()?,
            edits: json::read::<Vec<TextEdit>>(value.as_bytes()).ok()?,
        }),
        "show" => Some(Action::FileShown(rest.into())),
        "open" => Some(Action::FilePut {
            path: rest.into(),
            content: Content::Text(value.into()),
            replace: true,
        }),
        "change" => Some(Action::ChangeChosen(change(value)?)),
        "arg" => Some(Action::ChangeChosen(Change::Arg(rest.into(), value.into()))),
        "remember" => Some(Action::PlanRemembered),
        "log" => Some(Action::LogOpened(Some(TextFile {
            path: rest.into(),
            text: value.into(),
        }))),
        "close-log" => Some(Action::LogOpened(None)),
        "durations" => Some(Action::DurationsChosen(match value {
            "equal" => Durations::Equal,
            _ => Durations::Guessed,
        })),
        _ => None,
    }
}

/// `file app.go`, `arg VERSION`, `image docker.io/library/alpine:latest`, `no-cache`, `before`, or nothing.
fn change(value: &str) -> Option<Change> {
    let (kind, name) = value.split_once(' ').unwrap_or((value, ""));
    match kind {
        "" => Some(Change::Nothing),
        "file" => Some(Change::File(name.into())),
        "arg" => Some(Change::Arg(name.into(), String::new())),
        "image" => Some(Change::Image(name.into())),
        "no-cache" => Some(Change::NoCache),
        "before" => Some(Change::SinceBefore),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_press_is_an_action() {
        assert!(matches!(read("line 3", ""), Some(Action::LineChosen(3))));
        let step = |what| match read(what, "") {
            Some(Action::StepChosen(at)) => Some((at.stage, at.step)),
            _ => None,
        };
        assert_eq!(step("step 1 0"), Some((1, Some(0))));
        assert_eq!(step("step 1"), Some((1, None)));
        let edits = r#"[{"span":{"start":0,"end":4},"text":"FROM"}]"#;
        assert!(
            matches!(read("edit 7", edits), Some(Action::EditsAsked { version: 7, edits }) if edits.len() == 1)
        );
        assert!(matches!(read("show a b.txt", ""), Some(Action::FileShown(path)) if path == "a b.txt"));
    }

    #[test]
    fn a_change_is_named_by_what_changes() {
        let chosen = |what, value| match read(what, value) {
            Some(Action::ChangeChosen(change)) => Some(change),
            _ => None,
        };
        assert_eq!(chosen("change", ""), Some(Change::Nothing));
        assert_eq!(
            chosen("change", "file src/a b.go"),
            Some(Change::File("src/a b.go".into()))
        );
        assert_eq!(
            chosen("arg VERSION", "1 2"),
            Some(Change::Arg("VERSION".into(), "1 2".into()))
        );
        assert_eq!(chosen("change", "weather"), None);
    }

    #[test]
    fn what_makes_no_sense_does_nothing() {
        for (what, value) in [
            ("", ""),
            ("line", ""),
            ("line x", ""),
            ("edit 1", "{"),
            ("dance", "now"),
        ] {
            assert!(read(what, value).is_none(), "{what}");
        }
    }
}
