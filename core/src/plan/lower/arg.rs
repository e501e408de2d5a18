//! `ARG`: sets a variable for the rest of the stage, but not for the image.

use crate::diagnostic::Problem;
use crate::instruction::arg::Arg;
use crate::plan::build::{Declared, Step};
use crate::shell::Variables as _;

/// Arguments that ask for something of BuildKit rather than of a process.
const NOT_IN_ENV: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

pub(super) fn lower(step: &mut Step<'_, '_>, arg: &Arg) -> Result<(), Problem> {
    let mut done = String::from("ARG");
    for declaration in &arg.declarations {
        let name = &declaration.name;
        let given = step.shared.build_args.get(name);
        let default = match &declaration.default {
            Some(default) => match (step.expand(default), given) {
                (Ok(default), _) => Some(default.into_owned()),
                // Nobody asks for the default of an argument that is given.
                (Err(_), Some(_)) => None,
                (Err(problem), None) => return Err(problem.at(declaration.span)),
            },
            None => None,
        };
        let inherited = if declaration.default.is_some() {
            None
        } else {
            step.shared.globals.get(name)
        };
        let value = given.map(String::as_str).or(default.as_deref()).or(inherited);
        let value = value.map(str::to_owned);
        step.shared.declared.push(Declared {
            name: name.clone(),
            repeats: given.is_none() && inherited.is_some(),
            default,
            value: value.clone(),
            stage: Some(step.stage),
            span: declaration.span,
            lines: step.command.statement.lines,
        });
        if let Some(value) = &value
            && !NOT_IN_ENV.contains(&name.as_str())
        {
            step.build.env.set(name, value);
        }
        done.push(' ');
        done.push_str(name);
        if let Some(value) = &value {
            done.push('=');
            done.push_str(value);
        }
        // One that is declared again keeps its place.
        match step.build.args.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => step.build.args.push((name.clone(), value)),
        }
    }
    step.commit(done, false);
    Ok(())
}
