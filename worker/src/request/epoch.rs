//! `SOURCE_DATE_EPOCH`: the one time of a reproducible build.

use stagewright_core::analysis::Options;

const NAME: &str = "SOURCE_DATE_EPOCH";

/// Takes it from the environment where it is there and no build argument says otherwise, as docker build does.
pub(crate) fn enter(options: &mut Options, environment: impl Fn(&str) -> Option<String>) {
    if !options.build_args.contains_key(NAME)
        && let Some(value) = environment(NAME).filter(|value| !value.is_empty())
    {
        options.build_args.insert(NAME.to_owned(), value);
    }
}

/// Its seconds since 1970. What is no number the planner speaks of.
pub(crate) fn of(options: &Options) -> Option<i64> {
    options.build_args.get(NAME)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argument_counts_more_than_the_environment() {
        let mut options = Options::default();
        enter(&mut options, |_| Some("7".into()));
        assert_eq!(of(&options), Some(7));
        enter(&mut options, |_| Some("8".into()));
        assert_eq!(of(&options), Some(7));
        options.build_args.insert(NAME.into(), "context".into());
        assert_eq!(of(&options), None);
    }
}
