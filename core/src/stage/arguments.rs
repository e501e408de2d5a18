//! Global arguments: those that every build has, and those before the first `FROM`.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Problem, Severity};
use crate::platform::Platform;
use crate::shell::{Lexer, Variables};

use super::Program;

/// The arguments that `FROM` may use, and that an `ARG` without a default takes its value from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    values: BTreeMap<String, String>,
    /// Defaults as written and worked out, by name.
    pub(crate) defaults: BTreeMap<String, String>,
    /// Those that the file declares, set or not.
    declared: Vec<String>,
}

impl Variables for Globals {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

impl Globals {
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Those that are set.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

impl Globals {
    /// All that a name could have been meant to be.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &str> {
        self.names().chain(self.declared.iter().map(String::as_str))
    }
}

/// Works out the global arguments. `target` is the name of the stage to build, where it has one.
///
/// The second value is false where one of them cannot be worked out.
pub(crate) fn globals(
    program: &mut Program,
    build_args: &BTreeMap<String, String>,
    (build, target_platform): (&Platform, &Platform),
    target: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Globals {
    let mut globals = Globals::default();
    let predefined = [
        ("BUILDPLATFORM", build.without_os_version().to_string()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", build.os_version.clone()),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", build.variant.clone()),
        ("TARGETPLATFORM", target_platform.to_string()),
        ("TARGETOS", target_platform.os.clone()),
        ("TARGETOSVERSION", target_platform.os_version.clone()),
        ("TARGETARCH", target_platform.architecture.clone()),
        ("TARGETVARIANT", target_platform.variant.clone()),
        (
            "TARGETSTAGE",
            if target.is_empty() {
                "default".into()
            } else {
                target.to_owned()
            },
        ),
    ];
    for (name, value) in predefined {
        globals.set(name, build_args.get(name).cloned().unwrap_or(value));
    }
    let lexer = Lexer::new(program.escape.unwrap_or('\\'));
    let mut broken = false;
    for arg in &program.globals {
        for declaration in &arg.value.declarations {
            globals.declared.push(declaration.name.clone());
            let default = declaration
                .default
                .as_ref()
                .map(|default| lexer.word(default, &globals));
            let default = match default.transpose() {
                Ok(default) => default,
                Err(error) if !build_args.contains_key(&declaration.name) => {
                    let problem = Problem::new("bad-expansion", error.to_string()).at(declaration.span);
                    diagnostics.push(problem.into_diagnostic(Severity::Error, arg.span, arg.lines));
                    broken = true;
                    continue;
                }
                Err(_) => None,
            };
            if let Some(default) = &default {
                globals.defaults.insert(declaration.name.clone(), default.clone());
            }
            if let Some(value) = build_args.get(&declaration.name).cloned().or(default) {
                globals.set(&declaration.name, value);
            }
        }
    }
    program.broken |= broken;
    globals
}
