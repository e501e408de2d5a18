//! An image as lines of text that can be compared and read.
//!
//! Left out is what cannot be the same twice, or on another machine: times, the digests that follow from them, and
//! what the base image holds, which only its changes are told of.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use stagewright_core::digest::Digest;

use crate::engine::Engine;
use crate::image::Built;
use crate::notation::{self, Entry, Kind};

/// Content that is longer is told by its digest.
const LONGEST: usize = 400;

pub(crate) struct Listing(String);

impl Listing {
    pub(crate) fn of(image: &Built, engine: &Engine) -> Self {
        let base = engine.base();
        let on_base = image.diff_ids.starts_with(&base.diff_ids);
        let below = if on_base { base.diff_ids.len() } else { 0 };
        let mut text = String::new();
        config(&mut text, &image.config);
        history(&mut text, &image.config, below);
        let above = image.diff_ids.len() - below;
        writeln!(text, "layers {above}{}", if on_base { " on alpine" } else { "" }).unwrap();
        let known = base.tree.list();
        files(&mut text, &image.tree.list(), &known, on_base);
        Self(text)
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
}

fn config(text: &mut String, config: &Value) {
    let mut say = |key: &str, value: &Value| {
        // Programs leave out what is empty or write it, as they like.
        let empty = match value {
            Value::Null => true,
            Value::Bool(flag) => !flag,
            Value::String(text) => text.is_empty(),
            Value::Array(_) | Value::Object(_) | Value::Number(_) => false,
        };
        if !empty {
            writeln!(text, "{key} {value}").unwrap();
        }
    };
    for (key, value) in config.as_object().unwrap() {
        match key.as_str() {
            "created" | "rootfs" | "history" => {}
            "config" => {
                for (key, value) in value.as_object().unwrap() {
                    say(&format!("config.{key}"), value);
                }
            }
            key => say(key, value),
        }
    }
}

fn history(text: &mut String, config: &Value, below: usize) {
    let entries = config["history"].as_array().unwrap();
    for entry in entries.iter().skip(below) {
        let words = |key: &str| entry[key].as_str().unwrap_or_default();
        let empty = if entry["empty_layer"] == true {
            "no layer"
        } else {
            "layer"
        };
        let by = notation::escaped(words("created_by").as_bytes());
        writeln!(text, "history {empty} \"{by}\" {}", words("comment")).unwrap();
    }
}

fn files(text: &mut String, tree: &BTreeMap<&str, Entry>, base: &BTreeMap<&str, Entry>, on_base: bool) {
    // A long file of the base is told by its name there, since it differs from one release to the next.
    let long = |entry: &Entry| match &entry.kind {
        Kind::File(content) if content.len() > LONGEST => Some(Digest::of(content)),
        _ => None,
    };
    let mut names = BTreeMap::new();
    for (path, entry) in base {
        if let Some(digest) = long(entry) {
            names.entry(digest).or_insert(*path);
        }
    }
    let mut lines: BTreeMap<&str, String> = BTreeMap::new();
    for (path, entry) in tree {
        // A time alone is no change that anyone asked for: mounts of a step touch the folders that they are made in.
        let as_it_was = |was: &Entry| Entry {
            modified: entry.modified,
            ..was.clone()
        };
        if on_base && base.get(path).map(as_it_was).as_ref() == Some(entry) {
            continue;
        }
        let content = match (&entry.kind, long(entry)) {
            (_, Some(digest)) if names.contains_key(&digest) => format!("of alpine:/{}", names[&digest]),
            (Kind::File(content), Some(digest)) => format!("{} bytes {}", content.len(), digest.as_str()),
            (Kind::File(content), None) => format!("\"{}\"", notation::escaped(content)),
            _ => String::new(),
        };
        lines.insert(path, notation::line(path, entry, &content));
    }
    if on_base {
        for path in base.keys().filter(|path| !tree.contains_key(*path)) {
            // What goes with its folder is not told of each.
            let parent = path.rsplit_once('/').map(|(parent, _)| parent);
            if parent.is_none_or(|parent| tree.contains_key(parent)) {
                lines.insert(path, format!("- /{path}"));
            }
        }
    }
    for line in lines.values() {
        writeln!(text, "{line}").unwrap();
    }
}

/// The lines that differ: `- ` before what the reference has, `+ ` before what is there instead.
pub(crate) fn differences(expected: &str, made: &str) -> Vec<String> {
    let difference = similar::TextDiff::from_lines(expected, made);
    let changes = difference.iter_all_changes();
    let lines = changes.filter_map(|change| match change.tag() {
        similar::ChangeTag::Delete => Some(format!("- {}", change.value().trim_end())),
        similar::ChangeTag::Insert => Some(format!("+ {}", change.value().trim_end())),
        similar::ChangeTag::Equal => None,
    });
    lines.collect()
}
