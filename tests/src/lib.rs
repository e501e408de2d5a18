//! What the tests and measurements share.

pub mod sizes;
pub mod traces;
