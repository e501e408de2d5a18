//! An image's configuration: the OCI image specification's, with the fields that Docker adds.
//!
//! A configuration is read, changed and written again. Fields that neither specification has are not kept, as
//! BuildKit has it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::platform::Platform;

/// The `PATH` of everything that is not Windows.
const PATH_UNIX: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image's configuration file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Image {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub(crate) author: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) architecture: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) os: String,
    #[serde(
        rename = "os.version",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    pub(crate) os_version: String,
    #[serde(
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "nullable"
    )]
    pub(crate) os_features: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub(crate) variant: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) config: Config,
    #[serde(deserialize_with = "nullable")]
    pub(crate) rootfs: RootFs,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) history: Vec<History>,
}

/// The configuration that a planned image is going to have.
///
/// It is written as the JSON of the OCI image specification ("Image Configuration"), which [`ImageConfig::to_value`]
/// makes when it is asked for: whoever only draws a plan never does.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageConfig(pub(crate) Image);

impl ImageConfig {
    /// The configuration as JSON: an object.
    pub fn to_value(&self) -> serde_json::Value {
        // Strings, lists and maps with strings for keys cannot fail to be written.
        serde_json::to_value(&self.0).unwrap_or_default()
    }
}

impl Serialize for ImageConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ImageConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Image::deserialize(deserializer).map(Self)
    }
}

/// What a container made from the image starts with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Config {
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub(crate) user: String,
    #[serde(skip_serializing_if = "BTreeSet::is_empty", with = "set")]
    pub(crate) exposed_ports: BTreeSet<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) cmd: Vec<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty", with = "set")]
    pub(crate) volumes: BTreeSet<String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub(crate) working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "nullable")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub(crate) stop_signal: String,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "nullable")]
    pub(crate) args_escaped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) on_build: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) shell: Vec<String>,
}

/// How to tell that a container is well. Times are in nanoseconds; 0 leaves the choice to the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Healthcheck {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub(crate) interval: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub(crate) timeout: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub(crate) start_period: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub(crate) start_interval: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub(crate) retries: i64,
}

/// The layers, by the digests of their tars.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RootFs {
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub(crate) kind: Cow<'static, str>,
    /// `None` is written as null: a planned image has no layers yet.
    pub(crate) diff_ids: Option<Vec<String>>,
}

/// What made a layer, or changed the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub(crate) created_by: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub(crate) author: String,
    #[serde(skip_serializing_if = "is_blank", deserialize_with = "nullable")]
    pub(crate) comment: Cow<'static, str>,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "nullable")]
    pub(crate) empty_layer: bool,
}

/// A set, which is a map to empty objects in JSON.
mod set {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::de::IgnoredAny;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(set: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Empty {}
        serializer.collect_map(set.iter().map(|key| (key, Empty {})))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        #[expect(
            clippy::zero_sized_map_values,
            reason = "only the keys count, whatever the values are"
        )]
        let map = Option::<BTreeMap<String, IgnoredAny>>::deserialize(deserializer)?;
        let mut set = BTreeSet::new();
        for key in map.unwrap_or_default().into_keys() {
            set.insert(key);
        }
        Ok(set)
    }
}

/// Tools write `null` where a list or map is empty.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn is_blank(text: &str) -> bool {
    text.is_empty()
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference; not found where pointers have 32 bits"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Image {
    /// An image with nothing in it.
    pub(crate) fn scratch(platform: &Platform) -> Self {
        let mut image = Self::assumed(platform);
        image.config.working_dir.push('/');
        image
    }

    /// What is taken for the configuration of an image that nobody has looked up.
    pub(crate) fn assumed(platform: &Platform) -> Self {
        let mut image = Self {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            os_version: platform.os_version.clone(),
            rootfs: RootFs {
                kind: Cow::Borrowed("layers"),
                diff_ids: None,
            },
            ..Self::default()
        };
        image.ensure_path(&platform.os);
        image
    }

    /// Whether it holds no files at all: no layers, and no history of any. Such a base is as good as `scratch`.
    pub(crate) fn is_empty(&self) -> bool {
        self.rootfs.diff_ids.as_deref().unwrap_or_default().is_empty()
            && self.history.iter().all(|entry| entry.empty_layer)
    }

    /// Makes sure that there is a `PATH`, except on Windows, which has its own.
    pub(crate) fn ensure_path(&mut self, os: &str) {
        let has_path = self
            .config
            .env
            .iter()
            .any(|variable| split_variable(variable).0 == "PATH");
        if !has_path && os != "windows" {
            self.config.env.push(PATH_UNIX.to_owned());
        }
    }

    /// Sets a variable where it stands, or at the end.
    pub(crate) fn set_env(&mut self, key: &str, value: &str) {
        let variable = [key, "=", value].concat();
        match self
            .config
            .env
            .iter_mut()
            .find(|variable| split_variable(variable).0 == key)
        {
            Some(place) => *place = variable,
            None => self.config.env.push(variable),
        }
    }

    /// What reads commands in shell form.
    pub(crate) fn shell(&self) -> Vec<&str> {
        match self.config.shell.as_slice() {
            [] if self.os == "windows" => vec!["cmd", "/S", "/C"],
            [] => vec!["/bin/sh", "-c"],
            shell => shell.iter().map(String::as_str).collect(),
        }
    }
}

/// `KEY` and `value` of `KEY=value`.
pub(crate) fn split_variable(variable: &str) -> (&str, &str) {
    variable.split_once('=').unwrap_or((variable, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_empty_and_unknown_fields_are_dropped() {
        let json = r#"{"os":"linux","config":{"Env":null,"Labels":null,"Hostname":"x"},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let image: Image = serde_json::from_str(json).unwrap();
        assert!(image.is_empty());
        let again = serde_json::to_string(&image).unwrap();
        assert_eq!(
            again,
            r#"{"architecture":"","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#
        );
    }

    #[test]
    fn setting_a_variable_again_keeps_its_place() {
        let mut image = Image::assumed(&Platform::default());
        image.set_env("A", "1");
        image.set_env("PATH", "/x");
        assert_eq!(image.config.env, ["PATH=/x", "A=1"]);
    }
}
