//! What an editor asks of a file while it is written.
//!
//! Every service is a function from a text, and mostly a place in it, to plain data. Places are bytes; a place behind the
//! end or within a letter is taken for the next one before it. A file with mistakes in it, which is what a file that is
//! being written always is, is served as far as it can be read.

mod document;
mod format;

use crate::syntax;

pub use format::{FormatOptions, format};

/// The file written in one way: each instruction on one line, with the comments that belong to it right above. It says
/// what `source` says, and is for comparing files rather than for people.
#[must_use]
pub fn print(source: &str) -> String {
    syntax::print(&syntax::parse(source))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_printed_file_says_the_same() {
        assert_eq!(super::print("from a\nRUN b \\\n  c"), "from a\nRUN b   c\n");
    }
}
