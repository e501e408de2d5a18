//! What the tests and measurements share.

pub mod fuzzed;
pub mod sizes;
pub mod traces;
