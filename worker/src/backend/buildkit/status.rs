//! From what the daemon tells of a build to our events.

use std::collections::BTreeMap;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1 as told;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{SolveStatus, Vertex, VertexLog, VertexStatus, VertexWarning};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Bytes of one build's output that are passed on.
const MOST_LOG: usize = 48 << 20;

/// Tells what one build's daemon says in our words.
pub(super) struct Translation {
    /// The daemon's digest of a step -> the plan's.
    names: BTreeMap<String, Digest>,
    /// Whether to tell of what is no step of the plan, such as exports.
    tasks: bool,
    log_left: usize,
    /// Steps that began and did not end.
    running: BTreeMap<Digest, Vertex>,
    /// The step that failed first, and why.
    failed: Option<(Digest, String)>,
}

impl Translation {
    pub(super) fn new(names: BTreeMap<String, Digest>, tasks: bool) -> Self {
        Self {
            names,
            tasks,
            log_left: MOST_LOG,
            running: BTreeMap::new(),
            failed: None,
        }
    }

    /// The step that failed first.
    pub(super) fn failed(&self) -> Option<&(Digest, String)> {
        self.failed.as_ref()
    }

    /// The plan's name of a step.
    pub(super) fn step(&self, digest: &str) -> Option<&Digest> {
        self.names.get(digest)
    }

    fn digest(&self, digest: &str) -> Option<Digest> {
        match self.names.get(digest) {
            Some(own) => Some(own.clone()),
            None if self.tasks => digest.parse().ok(),
            None => None,
        }
    }

    /// What was at work when the build was stopped ended with it.
    pub(super) fn stopped(&mut self, at: &str) -> SolveStatus {
        let stopped = std::mem::take(&mut self.running).into_values();
        SolveStatus {
            vertexes: stopped
                .map(|vertex| Vertex {
                    completed: Some(at.to_owned()),
                    error: "cancelled".to_owned(),
                    ..vertex
                })
                .collect(),
            ..SolveStatus::default()
        }
    }

    /// What is new.
    pub(super) fn status(&mut self, response: told::StatusResponse) -> SolveStatus {
        let mut status = SolveStatus::default();
        for vertex in response.vertexes {
            let Some(digest) = self.digest(&vertex.digest) else {
                continue;
            };
            let stopped = vertex.error.contains("context canceled");
            if !vertex.error.is_empty() && !stopped && self.failed.is_none() {
                self.failed = Some((digest.clone(), vertex.error.clone()));
            }
            let reason = if vertex.cached {
                "cached: BuildKit has its result"
            } else {
                ""
            };
            let vertex = Vertex {
                inputs: vertex
                    .inputs
                    .iter()
                    .filter_map(|input| self.digest(input))
                    .collect(),
                digest,
                name: vertex.name,
                started: vertex.started.as_ref().map(time),
                completed: vertex.completed.as_ref().map(time),
                cached: vertex.cached,
                error: vertex.error,
                reason: reason.to_owned(),
            };
            if vertex.started.is_some() && vertex.completed.is_none() {
                self.running.insert(vertex.digest.clone(), vertex.clone());
            } else {
                self.running.remove(&vertex.digest);
            }
            status.vertexes.push(vertex);
        }
        for part in response.statuses {
            let Some(vertex) = self.digest(&part.vertex) else {
                continue;
            };
            status.statuses.push(VertexStatus {
                id: part.id,
                vertex,
                name: part.name,
                current: u64::try_from(part.current).unwrap_or_default(),
                total: u64::try_from(part.total).unwrap_or_default(),
                timestamp: part.timestamp.as_ref().map(time).unwrap_or_default(),
                started: part.started.as_ref().map(time),
                completed: part.completed.as_ref().map(time),
            });
        }
        for log in response.logs {
            let Some(vertex) = self.digest(&log.vertex) else {
                continue;
            };
            if let Some(data) = self.log(log.msg) {
                status.logs.push(VertexLog {
                    vertex,
                    stream: u32::try_from(log.stream).unwrap_or(1),
                    data,
                    timestamp: log.timestamp.as_ref().map(time).unwrap_or_default(),
                });
            }
        }
        for warning in response.warnings {
            if let Some(vertex) = self.digest(&warning.vertex) {
                status.warnings.push(VertexWarning {
                    vertex,
                    level: u32::try_from(warning.level).unwrap_or(1),
                    short: warning.short,
                });
            }
        }
        status
    }

    /// What is passed on of something that a step printed.
    fn log(&mut self, mut data: Vec<u8>) -> Option<Vec<u8>> {
        if self.log_left == 0 {
            return None;
        }
        if data.len() > self.log_left {
            data.truncate(self.log_left);
            data.extend_from_slice(b"\n[this build has printed as much as is kept; the rest is left out]\n");
            self.log_left = 0;
        } else {
            self.log_left -= data.len();
        }
        Some(data)
    }
}

fn time(stamp: &Timestamp) -> String {
    let nanoseconds = i128::from(stamp.seconds) * 1_000_000_000 + i128::from(stamp.nanos);
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(digest: &str, error: &str) -> told::Vertex {
        told::Vertex {
            digest: digest.into(),
            name: "[1/2] RUN true".into(),
            inputs: vec!["sha256:theirs".into()],
            started: Some(Timestamp {
                seconds: 1_700_000_000,
                nanos: 5,
            }),
            error: error.into(),
            ..told::Vertex::default()
        }
    }

    fn response(vertexes: Vec<told::Vertex>) -> told::StatusResponse {
        told::StatusResponse {
            vertexes,
            ..told::StatusResponse::default()
        }
    }

    #[test]
    fn steps_have_the_plan_s_digests_and_tasks_their_own_where_they_are_told() {
        let own = Digest::of(b"ours");
        let names = BTreeMap::from([("sha256:theirs".to_owned(), own.clone())]);
        let task = Digest::of(b"exporting").to_string();
        for (tasks, count) in [(true, 2), (false, 1)] {
            let mut translation = Translation::new(names.clone(), tasks);
            let told = translation.status(response(vec![vertex("sha256:theirs", ""), vertex(&task, "")]));
            assert_eq!(told.vertexes.len(), count);
            let step = &told.vertexes[0];
            assert_eq!(
                (&step.digest, step.inputs.as_slice()),
                (&own, [own.clone()].as_slice())
            );
            assert_eq!(step.started.as_deref(), Some("2023-11-14T22:13:20.000000005Z"));
        }
    }

    #[test]
    fn first_step_that_failed_is_remembered_and_those_that_were_stopped_are_not() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let names = [&one, &two].map(|digest| (digest.to_string(), digest.clone()));
        let mut translation = Translation::new(names.into(), false);
        translation.status(response(vec![vertex(
            &one.to_string(),
            "context canceled: context canceled",
        )]));
        assert_eq!(translation.failed(), None);
        translation.status(response(vec![vertex(&two.to_string(), "exit code: 7")]));
        translation.status(response(vec![vertex(&one.to_string(), "later")]));
        assert_eq!(translation.failed(), Some(&(two, "exit code: 7".to_owned())));
    }

    #[test]
    fn output_beyond_what_is_kept_is_left_out_once_and_said() {
        let mut translation = Translation::new(BTreeMap::new(), true);
        translation.log_left = 5;
        assert_eq!(translation.log(b"abc".to_vec()).unwrap(), b"abc");
        let cut = String::from_utf8(translation.log(b"defg".to_vec()).unwrap()).unwrap();
        assert!(cut.starts_with("de\n[this build"), "{cut}");
        assert_eq!(translation.log(b"h".to_vec()), None);
    }
}
