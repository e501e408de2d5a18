//! What the page shows beside the drawing: problems, what a change would cost, the schedule, the image, the context.
//!
//! The page asks a [`Question`], which holds everything a view depends on, and gets an [`Answer`]: HTML, and marks for
//! the drawing. Nothing is kept from one question to the next, so what is shown always fits what was asked. A view is
//! a function from plain data to text; it is compiled and tested natively.
//!
//! In a browser all of this is a WebAssembly module of its own (feature `module`), which the page fetches when it is
//! first needed. The page itself depends on this package for the shapes of question and answer, and for [`human`].

pub mod human;
mod ignored;
mod markup;
#[cfg(feature = "module")]
pub mod module;
mod question;
mod remarks;
mod source;
mod views;

pub use ignored::entering;
pub use question::{
    Answer, Built, BuiltLayer, BuiltStep, Change, ContextFile, Durations, Mark, Question, TextFile, View,
};
pub use remarks::remarks;
pub use views::draw;
