//! Words of a script once its variables are worked out, as far as the script itself says what they are.

use std::collections::BTreeMap;

use crate::span::Span;

use super::shell::{Command, Item, Part, Word};

/// The folder that the script stands in, where a word says so by an absolute path (`$PWD`, `$(pwd)`). A letter of the
/// private use area stands for it, so that it is found again inside other words.
pub(super) const HERE: char = '\u{f8ff}';

/// A word, worked out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Value {
    pub(super) text: String,
    /// What in it the script does not say, as written; it stands in `text` as it is written.
    pub(super) unknown: Option<String>,
    /// Whether it is a pattern, which stands for the files of that moment.
    pub(super) glob: bool,
    pub(super) span: Span,
}

impl Value {
    pub(super) fn known(text: impl Into<String>, span: Span) -> Self {
        Self {
            text: text.into(),
            span,
            ..Self::default()
        }
    }

    /// The part of it behind `at` bytes.
    pub(super) fn tail(&self, at: usize) -> Self {
        Self {
            text: self.text.get(at..).unwrap_or_default().to_owned(),
            ..self.clone()
        }
    }

    /// The text, with the script's folder as `.`.
    pub(super) fn shown(&self) -> String {
        self.text.replace(HERE, ".")
    }
}

/// What variables hold.
pub(super) type Variables = BTreeMap<String, Value>;

/// Words with their variables worked out; a variable outside quotes may become several words, or none.
pub(super) fn expand(
    words: &[Word],
    variables: &Variables,
    output: &mut dyn FnMut(Span, &str) -> Value,
) -> Vec<Value> {
    let mut values = Vec::new();
    for word in words {
        let mut open = Value {
            span: word.span,
            ..Value::default()
        };
        // Whether there is a word even where its text is empty: quotes make one.
        let mut there = word
            .parts
            .iter()
            .any(|part| matches!(part, Part::Text(_) | Part::Glob(_)));
        for part in &word.parts {
            match part {
                Part::Text(text) => open.text.push_str(text),
                Part::Glob(letter) => {
                    open.text.push(*letter);
                    open.glob = true;
                }
                Part::Output { .. } | Part::Unknown { .. } => {
                    there = true;
                    push(&mut open, self::part(part, variables, output));
                }
                Part::Variable { quoted, .. } => {
                    let value = self::part(part, variables, output);
                    if *quoted || value.unknown.is_some() {
                        there = true;
                        push(&mut open, value);
                        continue;
                    }
                    let mut fields = value
                        .text
                        .split([' ', '\t', '\n'])
                        .filter(|field| !field.is_empty());
                    let Some(first) = fields.next() else { continue };
                    there = true;
                    open.text.push_str(first);
                    for field in fields {
                        let next = Value::known(field, word.span);
                        values.push(std::mem::replace(&mut open, next));
                    }
                }
            }
        }
        if there {
            values.push(open);
        }
    }
    values
}

/// A word as one, as an assignment has it.
pub(super) fn joined(
    word: &Word,
    variables: &Variables,
    output: &mut dyn FnMut(Span, &str) -> Value,
) -> Value {
    let mut value = Value {
        span: word.span,
        ..Value::default()
    };
    for part in &word.parts {
        let next = self::part(part, variables, output);
        push(&mut value, next);
    }
    value
}

fn push(value: &mut Value, next: Value) {
    value.text.push_str(&next.text);
    value.unknown = value.unknown.take().or(next.unknown);
}

fn part(part: &Part, variables: &Variables, output: &mut dyn FnMut(Span, &str) -> Value) -> Value {
    let unknown = |written: &String| Value {
        text: written.clone(),
        unknown: Some(written.clone()),
        ..Value::default()
    };
    match part {
        Part::Text(text) => Value::known(text.clone(), Span::default()),
        Part::Glob(letter) => Value::known(letter.to_string(), Span::default()),
        Part::Unknown { written } => unknown(written),
        Part::Output { inner, written } => output(*inner, written),
        Part::Variable {
            name,
            fallback,
            written,
            ..
        } => match (variables.get(name), fallback) {
            (Some(value), None) => value.clone(),
            (Some(value), Some(_)) if !value.text.is_empty() => value.clone(),
            (None, None) if name == "PWD" => Value::known(HERE.to_string(), Span::default()),
            (None, None) => unknown(written),
            (_, Some(fallback)) => joined(fallback, variables, output),
        },
    }
}

/// What the usual commands in `$(…)` print: where the script stands. `None` for all others.
pub(super) fn place(items: &[Item], source: &str) -> Option<Value> {
    let last = items.last()?;
    let Item::Pipeline(pipeline) = last else {
        return None;
    };
    let [command] = pipeline.commands.as_slice() else {
        return None;
    };
    let first = first_word(command)?;
    let here = match first.as_str() {
        // `cd "$(dirname "$0")" && pwd` leads there as well.
        "pwd" => items.iter().all(|item| match item {
            Item::Pipeline(pipeline) => pipeline.commands.iter().all(|command| {
                let text = source
                    .get(command.span.start..command.span.end)
                    .unwrap_or_default();
                first_word(command).is_some_and(|first| first == "pwd")
                    || (text.starts_with("cd ") && names_script(text))
            }),
            Item::Construct(_) => false,
        }),
        "dirname" | "realpath" | "readlink" => names_script(
            source
                .get(command.span.start..command.span.end)
                .unwrap_or_default(),
        ),
        _ => false,
    };
    here.then(|| Value::known(HERE.to_string(), Span::default()))
}

fn first_word(command: &Command) -> Option<String> {
    command.words.first().and_then(Word::plain)
}

fn names_script(text: &str) -> bool {
    text.contains("$0") || text.contains("${0") || text.contains("BASH_SOURCE")
}

#[cfg(test)]
mod tests {
    use super::super::shell;
    use super::*;

    fn values(source: &str) -> Vec<(String, bool)> {
        let mut variables = Variables::new();
        variables.insert("A".into(), Value::known("x y", Span::default()));
        variables.insert("E".into(), Value::known("", Span::default()));
        let items = shell::read(source, Span::new(0, source.len()));
        let Item::Pipeline(pipeline) = &items[0] else {
            panic!("{source}")
        };
        let mut output = |inner: Span, written: &str| {
            place(&shell::read(source, inner), source).unwrap_or_else(|| Value {
                text: written.into(),
                unknown: Some(written.into()),
                ..Value::default()
            })
        };
        expand(&pipeline.commands[0].words, &variables, &mut output)
            .into_iter()
            .map(|value| (value.shown(), value.unknown.is_some()))
            .collect()
    }

    #[test]
    fn variables_split_outside_quotes_only() {
        let texts: Vec<String> = values(r#"c$A "c$A" $E "$E" '' ${E:-d} ${N-e}"#)
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(texts, ["cx", "y", "cx y", "", "", "d", "e"]);
    }

    #[test]
    fn what_the_script_does_not_say_stays_as_written() {
        assert_eq!(
            values("a:$TAG $(git describe)-x ${V#v} $1"),
            [
                ("a:$TAG".into(), true),
                ("$(git describe)-x".into(), true),
                ("${V#v}".into(), true),
                ("$1".into(), true)
            ]
        );
    }

    #[test]
    fn the_folder_of_the_script_is_known_however_it_is_written() {
        let source = r#"$PWD/a $(pwd)/b "$(dirname "$0")" "$(cd "$(dirname "$0")" && pwd)" `pwd`"#;
        let texts: Vec<String> = values(source).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["./a", "./b", ".", ".", "."]);
    }
}
