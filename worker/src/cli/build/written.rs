//! What a flag says, and how it was written: a worker elsewhere reads it for itself.

use std::ops::Deref;

/// A value with its text.
#[derive(Debug, Clone)]
pub(super) struct Written<T> {
    pub(super) text: String,
    value: T,
}

impl<T> Written<T> {
    /// A parser for clap that keeps the text of what `read` reads.
    pub(super) fn by(read: fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<Self, String> + Clone {
        move |text| {
            let text = text.to_owned();
            read(&text).map(|value| Self { text, value })
        }
    }
}

/// The values alone.
pub(super) fn values<T: Clone>(written: &[Written<T>]) -> Vec<T> {
    written.iter().map(|written| written.value.clone()).collect()
}

/// The texts alone.
pub(super) fn texts<T>(written: &[Written<T>]) -> Vec<String> {
    written.iter().map(|written| written.text.clone()).collect()
}

impl<T> Deref for Written<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
