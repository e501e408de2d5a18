//! Which rules apply: what `# check=skip=…;experimental=…;error=…` and the build argument in its place ask for.

use crate::analysis::Input;
use crate::study::asked;
use crate::syntax::{Check, check_comment};

use super::Rule;

/// What is asked of a whole file.
#[derive(Debug, Default)]
pub(super) struct Settings(Check);

impl Settings {
    /// What the build, or else the top of the file, says. What cannot be read asks for nothing.
    pub(super) fn of(input: &Input) -> Self {
        Self(
            asked(input)
                .and_then(|text| Check::read(text).ok())
                .unwrap_or_default(),
        )
    }

    /// Whether a build with findings fails.
    pub(super) fn error(&self) -> bool {
        self.0.error
    }

    /// Whether a rule applies to an instruction with these comments right above it: each place may leave a rule out,
    /// and each may ask for an experimental one.
    pub(super) fn allow(&self, rule: &Rule, comments: &[String]) -> bool {
        let own = check_comment(comments.iter().map(String::as_str)).and_then(|text| Check::read(text).ok());
        let own = own.unwrap_or_default();
        if rule.experimental {
            self.0.experimental.contain(rule.name) || own.experimental.contain(rule.name)
        } else {
            !self.0.skip.contain(rule.name) && !own.skip.contain(rule.name)
        }
    }
}
