//! `LegacyKeyValueFormat`: An `=` leaves no doubt where a name ends.

use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::syntax::Pair;

pub(super) const RULE: Rule = Rule::reference(
    "LegacyKeyValueFormat",
    "legacy-key-value-format",
    "An `=` leaves no doubt where a name ends.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for step in file.steps() {
        let pairs = match step.instruction() {
            Some(Instruction::Env(env)) => &env.pairs,
            Some(Instruction::Label(label)) => &label.pairs,
            _ => continue,
        };
        for pair in pairs.iter().filter(|pair| pair.legacy) {
            let message = format!(
                "Write {}=… with an =, so that more than one fits in an instruction.",
                pair.key
            );
            let fix = if step.trigger {
                None
            } else {
                with_equals(file, pair)
            };
            let finding = Found::done(step, message).fix(fix);
            found.push(if step.worked.failed.is_some() {
                finding.late()
            } else {
                finding
            });
        }
    }
}

fn with_equals(file: &File<'_>, pair: &Pair) -> Option<Fix> {
    let written = file.study.source.get(pair.span.start..pair.span.end)?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.-/".contains(letter);
    if written.contains('\n') || !pair.key.chars().all(plain) {
        return None;
    }
    let value = quoted(&pair.value, file.study.tree.escape);
    Some(Fix::safe(
        format!("Write {}=…", pair.key),
        vec![TextEdit::replace(pair.span, [&pair.key, "=", &value].concat())],
    ))
}

/// A value as one word: in quotes where it has white space and no quotes of its own, else with its white space escaped.
fn quoted(value: &str, escape: char) -> String {
    if !value.contains(char::is_whitespace) {
        return value.to_owned();
    }
    if !value.contains(['"', '\'', escape]) {
        return format!("\"{value}\"");
    }
    let mut word = String::new();
    let mut quote = None;
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if letter == escape && quote != Some('\'') {
            word.push(letter);
            word.extend(letters.next());
            continue;
        }
        match quote {
            None if letter.is_whitespace() => word.push(escape),
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            Some(open) if open == letter => quote = None,
            _ => {}
        }
        word.push(letter);
    }
    word
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(lines_of("LegacyKeyValueFormat", "FROM scratch\nENV A 1\n"), [2]);
        assert_eq!(
            lines_of("LegacyKeyValueFormat", "FROM scratch\nENV A=1\n"),
            [0; 0]
        );
    }

    #[test]
    fn a_value_stays_one_word() {
        let rule = "LegacyKeyValueFormat";
        for (before, after) in [
            ("ENV A b", "ENV A=b"),
            ("ENV A  b c", "ENV A=\"b c\""),
            ("ENV A b \"c d\" e", "ENV A=b\\ \"c d\"\\ e"),
            ("ENV A $B c", "ENV A=\"$B c\""),
            ("LABEL a.b it's", "LABEL a.b=it's"),
            ("ENV A b\\ c d", "ENV A=b\\ c\\ d"),
        ] {
            assert_eq!(
                fixed(rule, &format!("FROM scratch\n{before}\n")),
                format!("FROM scratch\n{after}\n")
            );
        }
    }
}
