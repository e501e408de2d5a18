//! For JavaScript, each behind a feature of its own: the planner for any web page (`js`), and what is known beyond the
//! plan (`js-insight`). They become WebAssembly modules of their own, so that who only plans loads only the planner.

#[cfg(feature = "js-insight")]
pub mod insight;
#[cfg(feature = "js")]
pub mod planner;
#[cfg(test)]
mod shapes;
