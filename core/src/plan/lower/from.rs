//! `FROM`: begins a stage, and is none of its steps.

use crate::instruction::from::From;
use crate::plan::build::Step;

/// What a stage starts from is found out before its steps are planned.
pub(super) fn lower(_: &mut Step<'_, '_>, _: &From) {}
