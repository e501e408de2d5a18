//! Which rules apply: the directive `# check=skip=…;experimental=…`.

use crate::syntax::Tree;

use super::Rule;

/// Which rules are left out, and which experimental ones are asked for.
#[derive(Debug, Default)]
pub(super) struct Settings {
    skip: Names,
    experimental: Names,
}

#[derive(Debug, Default)]
struct Names {
    all: bool,
    names: Vec<String>,
}

impl Names {
    fn read(text: &str) -> Self {
        let text = text.trim();
        Self {
            all: text == "all",
            names: text.split(',').map(|name| name.trim().to_owned()).collect(),
        }
    }

    fn contain(&self, name: &str) -> bool {
        self.all || self.names.iter().any(|known| known == name)
    }
}

impl Settings {
    /// What the top of a file says.
    pub(super) fn of_file(tree: &Tree<'_>) -> Self {
        let directive = tree.directives.iter().find(|directive| directive.name == "check");
        directive
            .map(|directive| Self::read(&directive.value))
            .unwrap_or_default()
    }

    /// What the comments above an instruction say.
    pub(super) fn of_comments(comments: &[String]) -> Self {
        let value = comments.iter().find_map(|comment| {
            let (name, value) = comment.split_once('=')?;
            name.trim().eq_ignore_ascii_case("check").then(|| value.trim())
        });
        let word = value.and_then(|value| value.split(' ').next());
        word.map(Self::read).unwrap_or_default()
    }

    fn read(text: &str) -> Self {
        let mut settings = Self::default();
        for option in text.split(';') {
            match option.split_once('=').map(|(name, value)| (name.trim(), value)) {
                Some(("skip", names)) => settings.skip = Names::read(names),
                Some(("experimental", names)) => settings.experimental = Names::read(names),
                // That a finding is an error is for whoever asks to decide.
                _ => {}
            }
        }
        settings
    }

    /// Whether a rule applies where the file says this, and the comments above an instruction say `own`: each may
    /// leave a rule out, and each may ask for an experimental one.
    pub(super) fn allow(&self, own: &Self, rule: &Rule) -> bool {
        if rule.experimental {
            self.experimental.contain(rule.name) || own.experimental.contain(rule.name)
        } else {
            !self.skip.contain(rule.name) && !own.skip.contain(rule.name)
        }
    }
}
