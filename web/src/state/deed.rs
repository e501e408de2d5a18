//! What can be pressed in a view of the insight module: a word or two in an attribute, and a value.

use stagewright_core::edit::TextEdit;

use super::plan::StepRef;
use super::{Action, json};

/// What a press or a choice asks for. Views come from a module of their own, so what they say is read as anything from
/// outside is: what makes no sense does nothing.
pub fn read(what: &str, value: &str) -> Option<Action> {
    let mut words = what.split(' ');
    let (verb, mut number) = (words.next()?, || words.next()?.parse::<u32>().ok());
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
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_press_is_an_action() {
        assert!(matches!(read("line 3", ""), Some(Action::LineChosen(3))));
        assert!(matches!(
            read("step 1 0", ""),
            Some(Action::StepChosen(StepRef {
                stage: 1,
                step: Some(0)
            }))
        ));
        assert!(matches!(
            read("step 1", ""),
            Some(Action::StepChosen(StepRef { stage: 1, step: None }))
        ));
        let edits = r#"[{"span":{"start":0,"end":4},"text":"FROM"}]"#;
        assert!(
            matches!(read("edit 7", edits), Some(Action::EditsAsked { version: 7, edits }) if edits.len() == 1)
        );
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
