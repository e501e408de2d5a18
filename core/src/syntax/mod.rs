//! The text of a Dockerfile as a list of instructions, before anyone asks what they mean.
//!
//! Reading never fails: what cannot be read becomes a finding, and the reading goes on behind it. Everything
//! remembers where it stood in the source ([`Line`]), also where continuations and comments lie in between.

mod arguments;
mod check;
mod directive;
#[cfg(test)]
pub(crate) mod generated;
mod heredoc;
mod keyword;
mod line;
mod print;
mod tree;
mod words;

pub(crate) use arguments::{Arguments, Pair};
pub(crate) use check::{Check, check_comment, check_directive};
pub(crate) use heredoc::{Heredoc, Marker};
pub(crate) use keyword::{Keyword, Shape, instructions};
pub(crate) use line::{Line, without_continuation};
pub(crate) use print::print;
pub(crate) use tree::{Flag, Node, Tree, parse, parse_trigger};
pub(crate) use words::{Word, comma_separated};
