//! The image's configuration file, once all layers are there.
//!
//! A plan leaves two things open: the layers, whose digests come only from building, and the times. `BuildKit`'s rules
//! for both are followed (`exporter/containerimage`, `normalizeLayersAndHistory` and `patchImageConfig`), so that a
//! configuration made here has the history that one made there has.

use serde_json::{Map, Value, json};
use stagewright_core::digest::Digest;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ExportError;
use crate::source::http::told;

/// A layer as the history tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerHistory {
    /// sha256 of its tar.
    pub diff_id: Digest,
    /// The step that made it, for a layer that the plan's history does not know.
    pub created_by: String,
    /// When it was made; `None` where that is unknown, as for a base image's layers.
    pub created: Option<OffsetDateTime>,
}

/// Completes a plan's configuration. `layers` are all of the image's, the base's included, lowest first. `epoch` is
/// `SOURCE_DATE_EPOCH`, in seconds: no time in the result is later.
///
/// The history that comes out has as many entries with files as there are layers. Entries that the plan lacks are
/// added; entries that claim files for which there is no layer are marked empty.
pub fn finish_config(
    plan: &Value,
    layers: &[LayerHistory],
    epoch: Option<i64>,
) -> Result<Vec<u8>, ExportError> {
    let Value::Object(mut config) = plan.clone() else {
        return Err(ExportError::Malformed(
            "its planned configuration is no JSON object".to_owned(),
        ));
    };
    let mut history = planned_history(config.remove("history"))?;
    settle_layers(&mut history, layers);
    settle_times(&mut history, layers);
    let latest = epoch.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    if let Some(latest) = latest {
        for entry in &mut history {
            let keeps = created(entry).is_some_and(|created| created <= latest);
            if !keeps {
                set_created(entry, latest);
            }
        }
    }
    let own = config.get("created").and_then(Value::as_str).and_then(parse_time);
    let last = history.iter().rev().find_map(created);
    match (own, latest) {
        (Some(own), Some(latest)) if own > latest => set_created(&mut config, latest),
        (Some(_), _) => {}
        (None, latest) => match last.or(latest) {
            Some(time) => set_created(&mut config, time),
            None => {
                config.remove("created");
            }
        },
    }
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.diff_id).collect();
    config.insert(
        "rootfs".to_owned(),
        json!({ "type": "layers", "diff_ids": diff_ids }),
    );
    config.insert(
        "history".to_owned(),
        Value::Array(history.into_iter().map(Value::Object).collect()),
    );
    serde_json::to_vec(&Value::Object(config)).map_err(|error| ExportError::Malformed(error.to_string()))
}

type Entry = Map<String, Value>;

/// Marks the entries that are added here, as the reference does.
const ADDED: &str = "buildkit.exporter.image.v0";

fn planned_history(history: Option<Value>) -> Result<Vec<Entry>, ExportError> {
    let malformed =
        || ExportError::Malformed("the history in its planned configuration is malformed".to_owned());
    match history {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(entries)) => entries
            .into_iter()
            .map(|entry| match entry {
                Value::Object(mut entry) => {
                    // Whoever has the image reads it: no password that stands in an address gets there.
                    if let Some(Value::String(text)) = entry.get_mut("created_by") {
                        *text = told(text);
                    }
                    Ok(entry)
                }
                _ => Err(malformed()),
            })
            .collect(),
        Some(_) => Err(malformed()),
    }
}

fn has_files(entry: &Entry) -> bool {
    entry.get("empty_layer") != Some(&Value::Bool(true))
}

/// Makes the entries that claim files as many as the layers.
fn settle_layers(history: &mut Vec<Entry>, layers: &[LayerHistory]) {
    let mut known = 0;
    for entry in history.iter_mut() {
        if has_files(entry) && known >= layers.len() {
            entry.insert("empty_layer".to_owned(), Value::Bool(true));
        } else if has_files(entry) {
            known += 1;
        }
    }
    for layer in layers.iter().skip(known) {
        let mut entry = Entry::new();
        entry.insert("created_by".to_owned(), layer.created_by.clone().into());
        entry.insert("comment".to_owned(), ADDED.into());
        if let Some(created) = layer.created {
            set_created(&mut entry, created);
        }
        history.push(entry);
    }
}

/// Gives every entry a time: its layer's, else that of the first new layer, else that of the entry before it.
fn settle_times(history: &mut [Entry], layers: &[LayerHistory]) {
    let mut remaining = layers.iter();
    for entry in history.iter_mut().filter(|entry| has_files(entry)) {
        let layer = remaining.next();
        if let (None, Some(time)) = (created(entry), layer.and_then(|layer| layer.created)) {
            set_created(entry, time);
        }
    }
    let mut time = None;
    let mut gap = false;
    for entry in history.iter() {
        if let Some(own) = created(entry) {
            time = Some(own);
            if gap {
                break;
            }
        } else {
            gap = true;
        }
    }
    gap = false;
    for entry in history.iter_mut() {
        if let Some(own) = created(entry) {
            if gap {
                time = Some(own);
            }
        } else {
            gap = true;
            if let Some(time) = time {
                set_created(entry, time);
            }
        }
    }
}

fn created(entry: &Entry) -> Option<OffsetDateTime> {
    entry.get("created").and_then(Value::as_str).and_then(parse_time)
}

fn set_created(entry: &mut Entry, time: OffsetDateTime) {
    let utc = time.to_offset(time::UtcOffset::UTC);
    if let Ok(text) = utc.format(&Rfc3339) {
        entry.insert("created".to_owned(), Value::String(text));
    }
}

fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, seconds: Option<i64>) -> LayerHistory {
        LayerHistory {
            diff_id: Digest::of(name.as_bytes()),
            created_by: format!("RUN {name}"),
            created: seconds.map(|seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap()),
        }
    }

    fn finish(plan: &Value, layers: &[LayerHistory], epoch: Option<i64>) -> Value {
        serde_json::from_slice(&finish_config(plan, layers, epoch).unwrap()).unwrap()
    }

    fn plan() -> Value {
        json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Cmd": ["/app"] },
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"base")] },
            "history": [
                { "created": "1970-01-01T00:01:00Z", "created_by": "base" },
                { "created": "1970-01-01T00:01:00Z", "created_by": "CMD base", "empty_layer": true },
                { "created_by": "WORKDIR /src" },
                { "created_by": "ENV A=b", "empty_layer": true },
                { "created_by": "RUN two" },
                { "created_by": "CMD [\"/app\"]", "empty_layer": true }
            ]
        })
    }

    #[test]
    fn layers_and_history_line_up_and_every_entry_has_a_time() {
        let layers = [
            layer("base", None),
            layer("one", Some(100)),
            layer("two", Some(200)),
        ];
        let config = finish(&plan(), &layers, None);
        let ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        assert_eq!(config["rootfs"], json!({ "type": "layers", "diff_ids": ids }));
        let times: Vec<_> = config["history"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| &entry["created"])
            .collect();
        assert_eq!(
            times,
            [
                "1970-01-01T00:01:00Z",
                "1970-01-01T00:01:00Z",
                "1970-01-01T00:01:40Z",
                "1970-01-01T00:03:20Z",
                "1970-01-01T00:03:20Z",
                "1970-01-01T00:03:20Z"
            ]
        );
        assert_eq!(config["created"], "1970-01-01T00:03:20Z");
        assert_eq!(config["config"], json!({ "Cmd": ["/app"] }));
    }

    #[test]
    fn no_time_is_later_than_the_epoch() {
        let layers = [
            layer("base", None),
            layer("one", Some(100)),
            layer("two", Some(200)),
        ];
        let config = finish(&plan(), &layers, Some(90));
        let later = |entry: &&Value| entry["created"] != "1970-01-01T00:01:30Z";
        let history = config["history"].as_array().unwrap();
        assert_eq!(
            history.iter().filter(later).count(),
            2,
            "only the base is older: {history:?}"
        );
        assert_eq!(config["created"], "1970-01-01T00:01:30Z");
        let again = [
            layer("base", None),
            layer("one", Some(100_000)),
            layer("two", Some(200_000)),
        ];
        assert_eq!(finish(&plan(), &again, Some(90)), config);
    }

    #[test]
    fn lacking_entries_are_added_and_surplus_ones_become_empty() {
        let config = finish(&json!({}), &[layer("one", Some(1)), layer("two", Some(2))], None);
        assert_eq!(
            config["history"],
            json!([
                { "created_by": "RUN one", "comment": ADDED, "created": "1970-01-01T00:00:01Z" },
                { "created_by": "RUN two", "comment": ADDED, "created": "1970-01-01T00:00:02Z" }
            ])
        );
        let config = finish(&plan(), &[layer("base", None)], None);
        let with_files: Vec<_> = config["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["empty_layer"] != true)
            .map(|entry| entry["created_by"].as_str().unwrap())
            .collect();
        assert_eq!(with_files, ["base"]);
    }

    #[test]
    fn image_of_nothing_has_no_layers_and_no_time() {
        let config = finish(&json!({ "os": "linux" }), &[], None);
        assert_eq!(
            config,
            json!({ "os": "linux", "history": [], "rootfs": { "type": "layers", "diff_ids": [] } })
        );
    }

    #[test]
    fn malformed_plans_are_errors() {
        for plan in [json!([]), json!({ "history": 3 }), json!({ "history": ["x"] })] {
            assert!(finish_config(&plan, &[], None).is_err());
        }
    }
}
