//! A rawjson log, read: what was reported last of each vertex.
//!
//! A log is one JSON object a line, but it has been through terminals and CI systems before it comes here. Text before
//! an object, lines that are none, a last line that was torn off, fields of other versions: all of it is passed over.
//! Fields are looked up one by one, since one that cannot be read must not cost the others.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::time::Moment;
use crate::span::LineRange;

/// How much of a vertex's output is kept to be shown: its end.
const TAIL: usize = 4096;

/// What a log says.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// In the order in which they were first spoken of.
    pub(super) vertices: Vec<Vertex>,
    pub(super) warnings: Vec<Warning>,
    /// Lines that hold a status object.
    pub(super) lines: u64,
    /// Lines with something on them that hold none.
    pub(super) skipped: u64,
    known: BTreeMap<String, usize>,
}

/// A vertex as the last report has it.
#[derive(Debug, Default)]
pub(super) struct Vertex {
    pub(super) digest: String,
    pub(super) inputs: Vec<String>,
    pub(super) name: String,
    pub(super) started: Option<Moment>,
    pub(super) completed: Option<Moment>,
    pub(super) cached: bool,
    pub(super) error: String,
    /// Why it ran or did not, where the worker says so.
    pub(super) reason: String,
    pub(super) output: Output,
    /// In the order in which they were first spoken of.
    pub(super) statuses: Vec<Status>,
    known: BTreeMap<String, usize>,
}

/// What a vertex printed.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: u64,
    ended_lines: u64,
    /// The last bytes of it.
    tail: Vec<u8>,
}

/// Progress within a vertex as the last report has it.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) current: u64,
    pub(super) total: u64,
    pub(super) started: Option<Moment>,
    pub(super) completed: Option<Moment>,
}

/// Something a person should know.
#[derive(Debug, Default)]
pub(super) struct Warning {
    pub(super) vertex: String,
    pub(super) level: u64,
    pub(super) short: String,
    pub(super) detail: Vec<String>,
    pub(super) url: String,
    pub(super) lines: Option<LineRange>,
}

impl Output {
    fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.ended_lines += data.split(|byte| *byte == b'\n').skip(1).count() as u64;
        self.tail
            .extend_from_slice(data.get(data.len().saturating_sub(TAIL)..).unwrap_or_default());
        // Cut only now and then, so that many small pieces do not each move the whole tail.
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }

    /// How many lines it is; one that was not ended is one.
    pub(super) fn lines(&self) -> u64 {
        let open = self.tail.last().is_some_and(|byte| *byte != b'\n');
        self.ended_lines + u64::from(open)
    }

    /// The last lines of it.
    pub(super) fn tail(&self) -> String {
        let start = self.tail.len().saturating_sub(TAIL);
        let text = String::from_utf8_lossy(self.tail.get(start..).unwrap_or_default());
        if (self.tail.len() as u64) < self.bytes || start > 0 {
            // The first line is likely torn.
            return text
                .split_once('\n')
                .map_or_else(String::new, |(_, rest)| rest.to_owned());
        }
        text.into_owned()
    }
}

/// Reads a log. Whatever the text is, the cost is linear in it.
pub(super) fn read(text: &str) -> Log {
    let mut log = Log::default();
    for line in text.lines() {
        if log.line(line) {
            log.lines += 1;
        } else if !line.trim().is_empty() {
            log.skipped += 1;
        }
    }
    log
}

impl Log {
    /// Takes in one line; false where there is no status in it.
    fn line(&mut self, line: &str) -> bool {
        // What stands before an object may hold a brace too, but hardly many.
        const ATTEMPTS: usize = 4;
        for (place, _) in line.match_indices('{').take(ATTEMPTS) {
            let rest = line.get(place..).unwrap_or_default();
            let mut found = false;
            // Something may stand behind the object, even another one.
            for value in serde_json::Deserializer::from_str(rest).into_iter::<Value>() {
                let Ok(Value::Object(object)) = value else { break };
                found |= self.status(object);
            }
            if found {
                return true;
            }
        }
        false
    }

    /// Takes in a status object; false where it is none.
    fn status(&mut self, mut object: Map<String, Value>) -> bool {
        // This project's own worker wraps a status into an event of its build.
        if let Some(Value::Object(event)) = object.get_mut("event")
            && let Some(Value::Object(status)) = event.get_mut("status")
        {
            let status = std::mem::take(status);
            return self.status(status);
        }
        let mut found = false;
        let mut take = |key: &str| match object.remove(key) {
            Some(Value::Array(entries)) => {
                found = true;
                entries
            }
            _ => Vec::new(),
        };
        let (vertices, statuses) = (take("vertexes"), take("statuses"));
        let (logs, warnings) = (take("logs"), take("warnings"));
        for entry in &vertices {
            self.vertex_report(entry);
        }
        for entry in &statuses {
            self.status_report(entry);
        }
        for entry in &logs {
            if let Some(vertex) = self.of(entry, "vertex") {
                vertex.output.add(&bytes(entry.get("data")));
            }
        }
        for entry in &warnings {
            self.warnings.push(Warning {
                vertex: text(entry, "vertex"),
                level: number(entry, "level"),
                short: lossy(entry.get("short")),
                detail: match entry.get("detail") {
                    Some(Value::Array(detail)) => detail.iter().map(|line| lossy(Some(line))).collect(),
                    _ => Vec::new(),
                },
                url: text(entry, "url"),
                lines: lines(entry.get("range")),
            });
        }
        found
    }

    /// The vertex that an entry speaks of by its digest.
    fn of(&mut self, entry: &Value, key: &str) -> Option<&mut Vertex> {
        let digest = entry.get(key)?.as_str().filter(|digest| !digest.is_empty())?;
        let place = if let Some(&place) = self.known.get(digest) {
            place
        } else {
            self.known.insert(digest.to_owned(), self.vertices.len());
            self.vertices.push(Vertex {
                digest: digest.to_owned(),
                ..Vertex::default()
            });
            self.vertices.len() - 1
        };
        self.vertices.get_mut(place)
    }

    /// A report takes the place of the one before it, with all that it says and all that it does not.
    fn vertex_report(&mut self, entry: &Value) {
        let Some(vertex) = self.of(entry, "digest") else {
            return;
        };
        let inputs = match entry.get("inputs") {
            Some(Value::Array(inputs)) => inputs
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        vertex.inputs = inputs;
        vertex.name = text(entry, "name");
        vertex.started = entry.get("started").and_then(Moment::read);
        vertex.completed = entry.get("completed").and_then(Moment::read);
        vertex.cached = entry.get("cached").and_then(Value::as_bool).unwrap_or(false);
        vertex.error = text(entry, "error");
        vertex.reason = text(entry, "reason");
    }

    fn status_report(&mut self, entry: &Value) {
        let Some(vertex) = self.of(entry, "vertex") else {
            return;
        };
        let status = Status {
            id: text(entry, "id"),
            name: text(entry, "name"),
            current: number(entry, "current"),
            total: number(entry, "total"),
            started: entry.get("started").and_then(Moment::read),
            completed: entry.get("completed").and_then(Moment::read),
        };
        let known = vertex.known.get(&status.id).copied();
        if let Some(known) = known.and_then(|place| vertex.statuses.get_mut(place)) {
            *known = status;
        } else {
            vertex.known.insert(status.id.clone(), vertex.statuses.len());
            vertex.statuses.push(status);
        }
    }

    /// Index of the vertex of that digest.
    pub(super) fn index(&self, digest: &str) -> Option<usize> {
        self.known.get(digest).copied()
    }
}

fn text(entry: &Value, key: &str) -> String {
    entry
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn number(entry: &Value, key: &str) -> u64 {
    entry.get(key).and_then(Value::as_u64).unwrap_or(0)
}

/// Bytes in base64; a text that is not base64 stands for itself.
fn bytes(value: Option<&Value>) -> Vec<u8> {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec())
}

fn lossy(value: Option<&Value>) -> String {
    String::from_utf8_lossy(&bytes(value)).into_owned()
}

/// `[{"start": {"line": 1}, "end": {"line": 2}}]`, several as one.
fn lines(ranges: Option<&Value>) -> Option<LineRange> {
    let end = |range: &Value, key: &str| {
        let line = range.get(key)?.get("line")?.as_u64()?;
        u32::try_from(line).ok()
    };
    let ranges = ranges?.as_array()?.iter();
    ranges
        .filter_map(|range| {
            let start = end(range, "start")?;
            Some((start, end(range, "end").unwrap_or(start)))
        })
        .fold(None, |known: Option<LineRange>, (start, end)| {
            Some(known.map_or(LineRange { start, end }, |known| LineRange {
                start: known.start.min(start),
                end: known.end.max(end),
            }))
        })
}
