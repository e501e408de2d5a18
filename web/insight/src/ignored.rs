//! What of a build context is sent to the worker. The patterns of .dockerignore are a language of their own, so those who
//! only plan do not carry it along: it is asked of this module when a build is started.

use stagewright_core::ignore::{Entry, Ignore};

/// A `1` for each entry of `listing` that `ignore`, the text of a .dockerignore, lets in, and a `0` for each other. The
/// listing has an entry a line; folders end in `/`.
pub fn entering(ignore: &str, listing: &str) -> String {
    let (ignore, _) = Ignore::parse(ignore);
    let entry = |line| match str::strip_suffix(line, "/") {
        Some(path) => Entry { path, folder: true },
        None => Entry {
            path: line,
            folder: false,
        },
    };
    let entries: Vec<Entry<'_>> = listing.lines().map(entry).collect();
    let verdicts = ignore.walk(&entries).into_iter();
    verdicts
        .map(|verdict| if verdict.enters { '1' } else { '0' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_in_again_is_sent_with_its_folder() {
        let listing = "doc/\ndoc/about.md\nsrc/\nsrc/app.go\nsrc/keep.md";
        assert_eq!(entering("**/*.md\ndoc\n!src/keep.md\n", listing), "00111");
        assert_eq!(entering("", listing), "11111");
        assert_eq!(entering("*", ""), "");
    }
}
