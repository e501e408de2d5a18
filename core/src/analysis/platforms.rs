//! One file planned for several platforms: a plan for each, what they have in common, and the index that their images
//! make up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;

use super::{Analysis, Input, analyze};

/// The plans of one file for several platforms.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MultiPlan {
    /// One plan for each platform, in the order asked for.
    pub plans: Vec<PlatformPlan>,
    /// The ops that more than one of the plans has. Each is done once.
    pub shared: Vec<SharedOp>,
    /// What the index of the images lists, in the order of the plans; without those that cannot be built.
    pub index: Vec<IndexEntry>,
}

/// The plan for one platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformPlan {
    /// The platform.
    pub platform: Platform,
    /// What is done for it.
    pub analysis: Analysis,
}

/// An op that several plans have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedOp {
    /// The op.
    pub digest: Digest,
    /// What progress calls it in the first of the plans.
    pub name: String,
    /// The plans that have it, by index into [`MultiPlan::plans`].
    pub plans: Vec<usize>,
}

/// An image in an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexEntry {
    /// What its result goes by among those of the build: `linux/arm64`.
    pub id: String,
    /// What the index says it is for. For Windows it has the version of the base image where none was asked for.
    pub platform: Platform,
    /// The plan, by index into [`MultiPlan::plans`].
    pub plan: usize,
    /// The op whose files it has; `None` for an image without files.
    pub head: Option<Digest>,
}

/// Plans `input` for each of `platforms`, whatever platform it names itself. A platform that is given twice, in this
/// spelling or another, is planned once.
///
/// With more than one platform, steps are named with the platform that they are for.
pub fn analyze_platforms(input: &Input, platforms: &[Platform]) -> MultiPlan {
    let mut wanted: Vec<Platform> = Vec::new();
    for platform in platforms.iter().map(Platform::normalized) {
        if !wanted.contains(&platform) {
            wanted.push(platform);
        }
    }
    let mut input = input.clone();
    input.options.name_platforms |= wanted.len() > 1;
    let mut plans = Vec::with_capacity(wanted.len());
    for platform in wanted {
        input.options.platform = Some(platform.clone());
        plans.push(PlatformPlan {
            platform,
            analysis: analyze(&input),
        });
    }
    MultiPlan {
        shared: shared(&plans),
        index: index(&plans),
        plans,
    }
}

fn shared(plans: &[PlatformPlan]) -> Vec<SharedOp> {
    let mut places: BTreeMap<&Digest, usize> = BTreeMap::new();
    let mut found: Vec<SharedOp> = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        let Some(definition) = &plan.analysis.definition else {
            continue;
        };
        // The last op is the terminal one, which is none to be done.
        let done = definition.ops.len().saturating_sub(1);
        for op in definition.ops.iter().take(done) {
            let place = *places.entry(&op.digest).or_insert_with(|| {
                found.push(SharedOp {
                    digest: op.digest.clone(),
                    name: op.name.clone(),
                    plans: Vec::new(),
                });
                found.len() - 1
            });
            if let Some(known) = found.get_mut(place) {
                known.plans.push(index);
            }
        }
    }
    found.retain(|op| op.plans.len() > 1);
    found
}

fn index(plans: &[PlatformPlan]) -> Vec<IndexEntry> {
    let entry = |(index, plan): (usize, &PlatformPlan)| {
        let definition = plan.analysis.definition.as_ref()?;
        let mut platform = plan.platform.clone();
        let config = plan.analysis.image_config.as_ref()?;
        if platform.os == "windows" && platform.os_version.is_empty() {
            platform.os_version.clone_from(&config.0.os_version);
        }
        Some(IndexEntry {
            id: plan.platform.to_string(),
            platform,
            plan: index,
            head: definition.head.clone(),
        })
    };
    plans.iter().enumerate().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(source: &str, platforms: &[&str]) -> MultiPlan {
        let input = Input {
            source: source.into(),
            ..Input::default()
        };
        let platforms: Vec<Platform> = platforms.iter().map(|text| text.parse().unwrap()).collect();
        analyze_platforms(&input, &platforms)
    }

    const CROSS: &str = "FROM --platform=$BUILDPLATFORM golang AS build\nARG TARGETARCH\nRUN go build\nFROM alpine\n\
                         COPY --from=build /app /\n";

    #[test]
    fn platforms_in_two_spellings_are_planned_once() {
        let plan = plan("FROM alpine\n", &["linux/arm64", "linux/arm64/v8", "linux/amd64"]);
        let planned: Vec<String> = plan.plans.iter().map(|plan| plan.platform.to_string()).collect();
        assert_eq!(planned, ["linux/arm64", "linux/amd64"]);
        let ids: Vec<&str> = plan.index.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, planned);
    }

    #[test]
    fn what_the_platforms_have_in_common_is_found() {
        let plan = plan(CROSS, &["linux/amd64", "linux/arm64"]);
        let names: Vec<&str> = plan.shared.iter().map(|op| op.name.as_str()).collect();
        assert_eq!(
            names,
            ["[linux/amd64 build 1/2] FROM docker.io/library/golang:latest"]
        );
        assert_eq!(plan.shared[0].plans, [0, 1]);
    }

    #[test]
    fn steps_say_which_platform_they_are_for() {
        let plan = plan(CROSS, &["linux/amd64", "linux/arm64"]);
        let definition = plan.plans[1].analysis.definition.as_ref().unwrap();
        let names: Vec<&str> = definition.ops.iter().map(|op| op.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "[linux/arm64 stage-1 1/2] FROM docker.io/library/alpine:latest",
                "[linux/amd64 build 1/2] FROM docker.io/library/golang:latest",
                "[linux/amd64->arm64 build 2/2] RUN go build",
                "[linux/arm64 stage-1 2/2] COPY --from=build /app /",
                "",
            ]
        );
    }
}
