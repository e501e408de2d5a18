//! JSON, always by way of [`Value`].
//!
//! A type that is read from text and from a `Value`, and written to both, has four large functions made for it. One
//! way for all keeps the page small.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

/// Reads a value.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    serde_json::from_value(serde_json::from_slice::<Value>(text)?)
}

/// Writes a value.
pub fn write(value: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_value(value)?.to_string())
}
