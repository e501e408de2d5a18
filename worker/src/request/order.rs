//! A build as it was asked for, by flags or from afar, and what becomes of it for each platform.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::StartBuild;

use super::cache::Caches;
use super::definition;
use super::obstacle::Obstacle;
use super::planning::Planned;
use super::wanted::Wanted;
use crate::backend::Extras;
use crate::config::Entitlement;
use crate::provenance::{Origin, ProvenanceOptions};
use crate::sandbox::Limits;
use crate::source::secret::Secrets;

/// What all platforms of a build share.
pub(crate) struct Order {
    pub(crate) wanted: Wanted,
    pub(crate) caches: Caches,
    /// `NAME=VALUE`, over those of the Dockerfile.
    pub(crate) labels: Vec<String>,
    /// Whether every step is to run again.
    pub(crate) no_cache: bool,
    /// What is stated of the build.
    pub(crate) provenance: Option<ProvenanceOptions>,
    pub(crate) secrets: Arc<Secrets>,
    /// Sockets of SSH agents, by id.
    pub(crate) agents: Arc<BTreeMap<String, PathBuf>>,
    /// What steps may have beyond their sandbox, besides what the worker allows to all.
    pub(crate) entitlements: BTreeSet<Entitlement>,
    pub(crate) limits: Limits,
    /// Whether files may come from this machine and from private networks.
    pub(crate) local: bool,
}

impl Order {
    /// Notes what is known of the builds for their provenance, where one is asked for. `machine` is what they run on.
    pub(crate) fn state(
        &self,
        planned: &mut [Planned],
        origin: impl FnOnce() -> Origin,
        machine: impl FnOnce() -> Platform,
    ) -> Result<(), Obstacle> {
        let Some(asked) = self.provenance.clone() else {
            return Ok(());
        };
        let common = self.wanted.stated(asked, origin(), &self.labels, machine())?;
        for plan in planned {
            plan.draft = Some(common.draft(plan)?);
        }
        Ok(())
    }

    /// The build for one platform, to be started, and what it brings along.
    pub(crate) fn ready(
        &self,
        plan: &Planned,
        contexts: &BTreeMap<String, Digest>,
    ) -> Result<(StartBuild, Extras), Obstacle> {
        let (Some(plan_of), Some(config)) = (&plan.analysis.definition, &plan.analysis.image_config) else {
            return Err(Obstacle::work("there is no plan to build"));
        };
        let request = StartBuild {
            ops: definition::ops(plan_of),
            digest: plan_of.digest.clone(),
            image_config: definition::labelled(config.to_value(), &self.labels),
            contexts: contexts.clone(),
            title: self.wanted.title(),
            no_cache: self.no_cache,
        };
        let extras = Extras {
            no_cache: Arc::new(definition::afresh(plan_of)),
            secrets: Arc::clone(&self.secrets),
            agents: Arc::clone(&self.agents),
            entitlements: self.entitlements.clone(),
            limits: self.limits,
            local: self.local,
            image: self.wanted.image_options(&plan.platform),
            files: Arc::new(self.wanted.files(&plan.platform)),
            tell_exports: true,
            part: String::new(),
            cache_from: Arc::clone(&self.caches.from),
            cache_to: Arc::clone(&self.caches.to),
            inline_cache: self.caches.inline,
            provenance: plan.draft.clone(),
        };
        Ok((request, extras))
    }
}
