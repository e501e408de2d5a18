//! The variables of a stage, in the order in which processes get them.

use std::collections::BTreeSet;

use crate::image::split_variable;
use crate::shell::Variables;

/// Variables in order. Setting one again moves it to the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Env {
    /// `KEY=value` each, as processes get them, and so as every step after them repeats them.
    lines: Vec<String>,
}

impl Env {
    /// Sets a variable, at the end.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.remove(key);
        self.push(key, value);
    }

    /// Sets variables, each `KEY=value`, at the end and in their order. Asked of every stage for all that its base sets.
    pub(crate) fn set_lines(&mut self, lines: &[String]) {
        if self.lines.ends_with(lines) {
            return;
        }
        let keys: BTreeSet<&str> = lines.iter().map(|line| split_variable(line).0).collect();
        self.lines.retain(|known| !keys.contains(split_variable(known).0));
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
        self.lines.push([key, "=", value].concat());
    }

    /// Unsets a variable.
    pub(crate) fn remove(&mut self, key: &str) {
        self.lines.retain(|known| value(known, key).is_none());
    }

    /// `KEY=value` each.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl Variables for Env {
    fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().rev().find_map(|line| value(line, name))
    }
}

/// What stands behind `KEY=` where a line is about that key.
fn value<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.strip_prefix(key)?.strip_prefix('=')
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
