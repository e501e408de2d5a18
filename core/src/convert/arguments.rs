//! `ARG`s of several Dockerfiles in one: what each of them meant by a name, it goes on to mean.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Problem, Severity};
use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::instruction::arg::Declaration;
use crate::span::Span;

use super::builds::Unit;
use super::names::Names;
use super::story::Story;

/// What is to be done about ARGs.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// By unit.
    pub(super) edits: BTreeMap<usize, Vec<TextEdit>>,
    /// What the one build is given: names and values as the script writes them.
    pub(super) given: Vec<(String, Option<String>)>,
}

/// A declaration in its file.
struct Declared<'u> {
    declaration: &'u Declaration,
    /// The instruction it stands in, and how many it declares.
    instruction: Span,
    of: usize,
    global: bool,
}

fn declared<'u>(unit: &'u Unit<'_>) -> Vec<Declared<'u>> {
    let globals = unit.program.globals.iter().flat_map(|placed| {
        let all = &placed.value.declarations;
        all.iter().map(move |declaration| Declared {
            declaration,
            instruction: placed.span,
            of: all.len(),
            global: true,
        })
    });
    let statements = unit.program.stages.iter().flat_map(|stage| &stage.statements);
    let locals = statements.flat_map(|statement| {
        let all = match &statement.instruction {
            Some(Instruction::Arg(arg)) => arg.declarations.as_slice(),
            _ => &[],
        };
        all.iter().map(move |declaration| Declared {
            declaration,
            instruction: statement.span,
            of: all.len(),
            global: false,
        })
    });
    globals.chain(locals).collect()
}

/// What a unit makes of a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Meaning {
    /// Whether it is declared before the first FROM, and with which default.
    global: Option<Written>,
    /// Whether a stage declares it without a default, and so takes the global one.
    inherits: bool,
    /// What the script gives it.
    given: Option<Written>,
}

/// A value, where one is written.
type Written = Option<String>;

/// Settles the ARGs of all units.
pub(super) fn settle(story: &mut Story<'_>, names: &Names) -> Arguments {
    let mut meanings: BTreeMap<String, BTreeMap<usize, Meaning>> = BTreeMap::new();
    for (index, unit) in story.units.iter().enumerate() {
        for found in declared(unit) {
            let name = &found.declaration.name;
            let meaning = meanings
                .entry(name.clone())
                .or_default()
                .entry(index)
                .or_default();
            if found.global {
                meaning.global = Some(found.declaration.default.clone());
            } else {
                meaning.inherits |= found.declaration.default.is_none();
            }
            let given = unit.args.get(name);
            meaning.given = given.map(|value| value.as_ref().map(|value| value.text.clone()));
        }
    }
    let last = story.last.as_ref().map(|last| last.unit);
    let mut arguments = Arguments::default();
    let mut problems = Vec::new();
    // What the second and later files declare just as the first one did.
    let mut repeated: BTreeSet<(usize, String)> = BTreeSet::new();
    let mut renamed: BTreeMap<(usize, String), String> = BTreeMap::new();
    let mut baked: BTreeMap<(usize, String), String> = BTreeMap::new();
    for (name, units) in &meanings {
        if !differ(units) {
            let globals = units.iter().filter(|(_, meaning)| meaning.global.is_some());
            repeated.extend(globals.skip(1).map(|(unit, _)| (*unit, name.clone())));
            if let Some(given) = units.values().find_map(|meaning| meaning.given.clone()) {
                arguments.given.push((name.clone(), given));
            }
            continue;
        }
        let inherited_alone = units
            .values()
            .any(|meaning| meaning.inherits && meaning.global.is_none());
        for (unit, meaning) in units {
            if let Some(given) = &meaning.given {
                match given {
                    Some(value) if !story.unknown_arg(*unit, name) => {
                        baked.insert((*unit, name.clone()), value.clone());
                    }
                    _ => problems.push((*unit, name.clone())),
                }
            }
            let keeps = last == Some(*unit) && !inherited_alone;
            if meaning.global.is_some() && !keeps {
                let stage = names.stage(*unit, 0).unwrap_or("build");
                let prefix: String = stage
                    .chars()
                    .map(|letter| {
                        if letter.is_ascii_alphanumeric() {
                            letter.to_ascii_uppercase()
                        } else {
                            '_'
                        }
                    })
                    .collect();
                renamed.insert((*unit, name.clone()), format!("{prefix}_{name}"));
            }
        }
    }
    // What no file declares may still be meant for the engine, such as a proxy.
    for (name, value) in story.units.iter().flat_map(|unit| &unit.args) {
        if !meanings.contains_key(name) && !arguments.given.iter().any(|(given, _)| given == name) {
            let value = value.as_ref().map(|value| value.text.clone());
            arguments.given.push((name.clone(), value));
        }
    }
    for (unit, name) in problems {
        let span = story
            .units
            .get(unit)
            .and_then(|unit| unit.args.get(&name)?.as_ref().map(|value| value.span));
        let message =
            format!("{name} differs from build to build, and the script does not say its value here.");
        let problem = Problem::new("unknown-argument", message);
        let hint =
            "Set the variable in the script, or call the argument differently in one of the Dockerfiles.";
        story.report(Severity::Error, span.unwrap_or_default(), problem.hint(hint));
    }
    for (index, unit) in story.units.iter().enumerate() {
        let own: BTreeMap<&str, &str> = renamed
            .iter()
            .filter(|((unit, _), _)| *unit == index)
            .map(|((_, name), new)| (name.as_str(), new.as_str()))
            .collect();
        let mut edits = Vec::new();
        for found in declared(unit) {
            let name = &found.declaration.name;
            let key = (index, name.clone());
            if found.global && repeated.contains(&key) {
                edits.push(remove(unit, &found));
                continue;
            }
            let baked = baked.get(&key).map(|value| quoted(value));
            let default = found.declaration.default.clone();
            let new = own.get(name.as_str());
            let text = match (found.global, new, baked) {
                (true, new, baked) => {
                    let default = baked.or_else(|| default.map(|default| rename_all(&default, &own)));
                    let name = new.copied().unwrap_or(name);
                    default.map_or_else(|| name.to_owned(), |default| format!("{name}={default}"))
                }
                (false, Some(new), _) if default.is_none() => {
                    let line = format!("ARG {new}{}", unit.line_end());
                    edits.push(TextEdit::insert(found.instruction.start, line));
                    format!("{name}=${new}")
                }
                (false, _, Some(baked)) => format!("{name}={baked}"),
                (false, _, None) => continue,
            };
            let span = found.declaration.span;
            if unit.source.get(span.start..span.end) != Some(text.as_str()) {
                edits.push(TextEdit::replace(span, text));
            }
        }
        if !own.is_empty() {
            let froms = unit.program.stages.iter().filter_map(|stage| stage.from.as_ref());
            for word in froms
                .flat_map(|from| [Some(&from.base), from.platform.as_ref()])
                .flatten()
            {
                let written = unit
                    .source
                    .get(word.span.start..word.span.end)
                    .unwrap_or_default();
                let text = rename_all(written, &own);
                if text != written {
                    edits.push(TextEdit::replace(word.span, text));
                }
            }
        }
        arguments.edits.insert(index, edits);
    }
    arguments
}

/// Whether several files mean different things by a name.
fn differ(units: &BTreeMap<usize, Meaning>) -> bool {
    let mut globals = units.values().filter_map(|meaning| meaning.global.as_ref());
    let first = globals.next();
    let defaults = globals.any(|global| Some(global) != first);
    let mut given = units.values().map(|meaning| &meaning.given);
    let first_given = given.next();
    let differently = given.any(|given| Some(given) != first_given);
    let all_given = units.values().all(|meaning| meaning.given.is_some());
    let stolen = first.is_some()
        && (differently || !all_given)
        && units
            .values()
            .any(|meaning| meaning.inherits && meaning.global.is_none());
    defaults || differently || stolen
}

/// Takes a declaration out; its whole line where it stands alone.
fn remove(unit: &Unit<'_>, found: &Declared<'_>) -> TextEdit {
    if found.of > 1 {
        return TextEdit::remove(found.declaration.span);
    }
    let after = unit.source.get(found.instruction.end..).unwrap_or_default();
    let newline = after.find('\n').map_or(after.len(), |newline| newline + 1);
    TextEdit::remove(Span::new(
        found.instruction.start,
        found.instruction.end + newline,
    ))
}

/// A value as the default of an ARG.
fn quoted(value: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@+,=".contains(letter);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\"'\"'"))
    }
}

/// Text with the variables in it called as they are now.
fn rename_all(text: &str, names: &BTreeMap<&str, &str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, from) = rest.split_at(dollar);
        out.push_str(before);
        out.push('$');
        let mut behind = from.get(1..).unwrap_or_default();
        if let Some(inner) = behind.strip_prefix('{') {
            out.push('{');
            behind = inner;
        }
        let end = behind
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .unwrap_or(behind.len());
        let (name, tail) = behind.split_at(end);
        out.push_str(names.get(name).copied().unwrap_or(name));
        rest = tail;
    }
    out.push_str(rest);
    out
}

impl Story<'_> {
    /// Whether the script does not say what it gives an argument.
    fn unknown_arg(&self, unit: usize, name: &str) -> bool {
        let arg = self.units.get(unit).and_then(|unit| unit.args.get(name));
        arg.is_some_and(|value| value.as_ref().is_none_or(|value| value.unknown.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_renamed_whole() {
        let names = BTreeMap::from([("V", "BUILD_V")]);
        assert_eq!(
            rename_all("a:$V-${V:-$VX}$", &names),
            "a:$BUILD_V-${BUILD_V:-$VX}$"
        );
    }
}
