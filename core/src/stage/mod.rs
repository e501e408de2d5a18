//! Stages: which there are, what each starts from, and which need which.

mod arguments;
mod collect;
mod cycle;
mod resolve;

pub(crate) use arguments::{Globals, globals};
pub(crate) use collect::{Program, StageSource, Statement, collect};
pub(crate) use cycle::find_cycle;
pub(crate) use resolve::{Command, Dependency, Node, Origin, Resolved, resolve};
