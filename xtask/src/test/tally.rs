//! How a part of the tests went.

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) name: String,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Why tests were skipped.
    pub(crate) reasons: Vec<String>,
    /// Names of tests that failed, where the runner names them.
    pub(crate) failures: Vec<String>,
    /// Whether the runner itself was content.
    pub(crate) content: bool,
}

impl Tally {
    /// Nothing failed, and something ran: a runner that finds no tests has found nothing out.
    pub(crate) fn passed_whole(&self) -> bool {
        self.content && self.failed == 0 && self.passed > 0
    }

    pub(crate) fn sentence(&self) -> String {
        let verdict = match (self.passed_whole(), self.content) {
            (true, _) => "ok    ",
            (false, true) if self.failed == 0 => "EMPTY ",
            (false, _) => "FAILED",
        };
        format!(
            "{verdict} {}: {} passed, {} failed, {} skipped",
            self.name, self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_without_tests_does_not_pass() {
        let tally = Tally {
            name: "empty".into(),
            content: true,
            ..Tally::default()
        };
        assert!(!tally.passed_whole());
        assert_eq!(tally.sentence(), "EMPTY  empty: 0 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn a_runner_that_breaks_off_does_not_pass() {
        assert!(
            !Tally {
                passed: 3,
                ..Tally::default()
            }
            .passed_whole()
        );
    }
}
