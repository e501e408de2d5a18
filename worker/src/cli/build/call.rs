//! `--call` and `--check`: an answer about the build in the place of the build.

use std::process::ExitCode;

use crate::cli::dockerfile::Dockerfile;
use crate::cli::report::Format;
use crate::cli::{Failure, check, outline, targets};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    question: Question,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Build,
    Check,
    Outline,
    Targets,
}

impl Call {
    /// The question of `--check`.
    pub(super) const CHECK: Self = Self {
        question: Question::Check,
        format: Format::Text,
    };

    /// Reads the flag's value, such as `outline` or `targets,format=json`; the error completes clap's own sentence.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let question = match parts.next().unwrap_or_default() {
            "build" => Question::Build,
            "check" | "lint" => Question::Check,
            "outline" => Question::Outline,
            "targets" => Question::Targets,
            other => {
                return Err(format!(
                    "{other:?} cannot be asked for; what can is build, check, outline and targets"
                ));
            }
        };
        let mut format = Format::Text;
        for part in parts {
            format = match part {
                "format=json" => Format::Json,
                "format=text" => Format::Text,
                other => {
                    return Err(format!(
                        "{other:?} means nothing here; format=json and format=text do"
                    ));
                }
            };
        }
        Ok(Self { question, format })
    }

    /// Whether it is the build itself that is asked for.
    pub(super) fn builds(self) -> bool {
        self.question == Question::Build
    }

    /// Answers, where it is not the build itself that is asked for.
    pub(super) fn answer(self, dockerfile: &Dockerfile) -> Option<Result<ExitCode, Failure>> {
        match self.question {
            Question::Build => None,
            Question::Check => Some(check::answer(dockerfile, self.format)),
            Question::Outline => Some(outline::answer(dockerfile, self.format)),
            Question::Targets => Some(targets::answer(dockerfile, self.format)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_and_format_are_read_and_others_refused_with_what_there_is() {
        assert_eq!(Call::read("check").unwrap(), Call::CHECK);
        let json = Call::read("targets,format=json").unwrap();
        assert_eq!((json.question, json.format), (Question::Targets, Format::Json));
        assert!(Call::read("describe").unwrap_err().contains("outline"));
        assert!(
            Call::read("check,format=xml")
                .unwrap_err()
                .contains("format=json")
        );
    }
}
