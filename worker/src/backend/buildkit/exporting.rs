//! What the daemon is asked to make of the result.

use std::collections::HashMap;

use serde_json::Value;

use crate::export::{Encoding, ImageOptions};
use crate::source::http::told;

/// An exporter of the daemon's, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Exporting {
    /// Its name; empty where nothing is to be made of the result.
    pub(super) exporter: String,
    pub(super) attributes: HashMap<String, String>,
}

/// The image, blob by blob, so that those are not sent which are here; a daemon that does not know of this makes an archive
/// of it.
pub(super) fn image(config: &Value, options: &ImageOptions) -> Exporting {
    let mut attributes = configured(config);
    let mut set = |key: &str, value: String| attributes.insert(key.to_owned(), value);
    set("tar", "false".to_owned());
    match options.encoding {
        Encoding::Plain => _ = set("compression", "uncompressed".to_owned()),
        // The level is said only where one was asked for: daemons have one of their own.
        Encoding::Gzip(Encoding::GZIP_LEVEL) => {}
        Encoding::Gzip(level) => {
            set("compression", "gzip".to_owned());
            set("compression-level", level.to_string());
        }
        Encoding::Zstd(level) => {
            set("compression", "zstd".to_owned());
            set("compression-level", level.to_string());
        }
    }
    if options.encode_all {
        set("force-compression", "true".to_owned());
    }
    if let Some(epoch) = options.epoch {
        set("source-date-epoch", epoch.to_string());
        if options.rewrite_timestamps {
            set("rewrite-timestamp", "true".to_owned());
        }
    }
    Exporting {
        exporter: "oci".to_owned(),
        attributes,
    }
}

/// An image of Docker's engine, under this name.
pub(super) fn engine_image(config: &Value, options: &ImageOptions, name: &str) -> Exporting {
    let mut attributes = configured(config);
    attributes.insert("name".to_owned(), name.to_owned());
    if let Some(epoch) = options.epoch {
        attributes.insert("source-date-epoch".to_owned(), epoch.to_string());
    }
    Exporting {
        exporter: "moby".to_owned(),
        attributes,
    }
}

/// The files of the result, as a tar.
pub(super) fn files() -> Exporting {
    Exporting {
        exporter: "tar".to_owned(),
        attributes: HashMap::new(),
    }
}

/// The planned configuration, which exporters complete as they do with that of a frontend.
fn configured(config: &Value) -> HashMap<String, String> {
    let mut config = if config.is_object() {
        config.clone()
    } else {
        serde_json::json!({})
    };
    // Whoever has the image reads its history: no password that stands in an address gets there.
    let history = config.get_mut("history").and_then(Value::as_array_mut);
    for entry in history.into_iter().flatten() {
        if let Some(Value::String(text)) = entry.get_mut("created_by") {
            *text = told(text);
        }
    }
    HashMap::from([("containerimage.config".to_owned(), config.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn history_has_no_passwords_and_options_are_said_where_they_are_chosen() {
        let config =
            json!({ "os": "linux", "history": [{ "created_by": "ADD https://ann:secret@a.example/x /" }] });
        let plain = image(&config, &ImageOptions::default());
        assert_eq!(plain.attributes.len(), 2, "{plain:?}");
        let said = &plain.attributes["containerimage.config"];
        assert!(
            said.contains("https://a.example/x") && !said.contains("secret"),
            "{said}"
        );
        let options = ImageOptions {
            encoding: Encoding::Zstd(7),
            encode_all: true,
            epoch: Some(5),
            rewrite_timestamps: true,
            ..ImageOptions::default()
        };
        let attributes = image(&Value::Null, &options).attributes;
        for (key, value) in [
            ("compression", "zstd"),
            ("compression-level", "7"),
            ("force-compression", "true"),
            ("source-date-epoch", "5"),
            ("rewrite-timestamp", "true"),
            ("containerimage.config", "{}"),
        ] {
            assert_eq!(attributes[key], value, "{key}");
        }
    }
}
