//! The variables of a stage, in the order in which processes get them.

use std::collections::BTreeSet;

use crate::image::split_variable;
use crate::shell::Variables;

/// Variables in order. Setting one again moves it to the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Env {
    variables: Vec<Variable>,
}

/// A variable as processes get it, and so as every step after it repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    /// `KEY=value`.
    line: String,
    /// Length of the key.
    key: usize,
}

impl Variable {
    fn key(&self) -> &str {
        self.line.get(..self.key).unwrap_or_default()
    }

    fn value(&self) -> &str {
        self.line.get(self.key + 1..).unwrap_or_default()
    }
}

impl Env {
    /// Sets a variable, at the end.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.remove(key);
        self.push(key, value);
    }

    /// Sets variables, each `KEY=value`, at the end and in their order. Asked of every stage for all that its base sets.
    pub(crate) fn set_lines(&mut self, lines: &[String]) {
        let keys: BTreeSet<&str> = lines.iter().map(|line| split_variable(line).0).collect();
        self.variables.retain(|known| !keys.contains(known.key()));
        let distinct = keys.len() == lines.len();
        for line in lines {
            let (key, value) = split_variable(line);
            if !distinct {
                self.remove(key);
            }
            self.push(key, value);
        }
    }

    fn push(&mut self, key: &str, value: &str) {
        self.variables.push(Variable {
            line: [key, "=", value].concat(),
            key: key.len(),
        });
    }

    /// Unsets a variable.
    pub(crate) fn remove(&mut self, key: &str) {
        self.variables.retain(|known| known.key() != key);
    }

    /// `KEY=value` each.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.variables
            .iter()
            .map(|variable| variable.line.clone())
            .collect()
    }
}

impl Variables for Env {
    fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .iter()
            .rev()
            .find(|variable| variable.key() == name)
            .map(Variable::value)
    }
}

/// Variables before others of the same name.
pub(crate) struct Masked<'v> {
    pub(crate) mask: &'v Env,
    pub(crate) below: &'v dyn Variables,
}

impl Variables for Masked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.mask.get(name).or_else(|| self.below.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_again_moves_to_the_end() {
        let mut env = Env::default();
        env.set("A", "1");
        env.set("B", "2");
        env.set("A", "3");
        assert_eq!(env.lines(), ["B=2", "A=3"]);
        assert_eq!(env.get("A"), Some("3"));
        env.set_lines(&["C".into(), "B=4".into(), "C=5".into()]);
        assert_eq!(env.lines(), ["A=3", "B=4", "C=5"]);
    }
}
