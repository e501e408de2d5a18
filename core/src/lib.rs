//! Stagewright's planner: from the text of a Dockerfile to the very operations BuildKit would run.
//!
//! ```text
//! text -> syntax -> instruction -> stage -> plan -> llb
//!                                             |---> layout -> SVG
//! ```
//!
//! The modules stand on floors; a module imports lower floors only (ARCHITECTURE.md names them). Nothing here
//! reads a file, a clock, the environment or the network: what a plan depends on arrives in [`analysis::Input`],
//! so the page, the command line and the worker plan alike and get the same digests.

// What wasm-bindgen generates for JavaScript is the only unsafe code here.
#![cfg_attr(not(any(feature = "js", feature = "js-insight")), forbid(unsafe_code))]
#![warn(missing_docs)]

pub mod analysis;
pub mod boolean;
pub mod calls;
pub mod convert;
pub mod diagnostic;
pub mod digest;
pub mod edit;
pub mod editing;
pub mod glob;
pub mod ignore;
mod image;
pub mod insight;
mod instruction;
#[cfg(any(feature = "js", feature = "js-insight", test))]
pub mod js;
pub mod layout;
pub mod link;
pub mod lint;
pub mod llb;
mod order;
mod path;
mod plan;
pub mod platform;
pub mod protocol;
pub mod reference;
mod shell;
pub mod span;
mod stage;
mod study;
mod syntax;

pub use analysis::{Analysis, Input, analyze, analyze_platforms};
