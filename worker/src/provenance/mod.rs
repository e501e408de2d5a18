//! Provenance: who built an image from what, as a statement that is attached to it (SLSA v1 in an in-toto statement).
//!
//! ```text
//! draft       what is known before the build: the request, the definition, the Dockerfile
//! materials   what it was built from, found out by the plan and by the build itself
//! predicate   the two together, as SLSA has it          statement   the predicate, and what it is about
//! ```
//!
//! The shape is `BuildKit`'s, and so is the build type that names it, so that whatever reads the one reads the other.
//! Values of secrets are in no part of it, since none of these parts ever has them. With one time for the whole
//! build (`SOURCE_DATE_EPOCH`) it speaks of no clock and of no invocation, so that the same build gives the same bytes.

mod draft;
mod materials;
mod package;
mod predicate;
mod statement;
#[cfg(test)]
mod tests;

pub use draft::{Draft, Moment, Origin, ProvenanceOptions, Request, Written};
pub use materials::Found;
pub use statement::{PREDICATE, Subject, statement};
