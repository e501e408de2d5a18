//! What the final image holds: its layers and what made each, and what a container of it starts with.
//!
//! A plan knows no layer's content, but it knows which step makes one. Layers of a base image are counted where its
//! configuration was looked up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::analysis::{Base, Input};
use crate::digest::Digest;
use crate::instruction::Instruction;
use crate::platform::Platform;
use crate::span::LineRange;
use crate::study::{Study, study};
use crate::{Analysis, analyze};

/// The image that a build gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// What it is for.
    pub platform: Platform,
    /// The image at the bottom, where it does not start from nothing.
    pub base: Option<BaseReport>,
    /// The stages that it is made of, from the bottom up, the target last.
    pub stages: Vec<usize>,
    /// Its layers, from the bottom up.
    pub layers: Vec<LayerReport>,
    /// What was done, one entry an instruction, from the bottom up.
    pub history: Vec<HistoryReport>,
    /// Environment variables, in the order of the configuration.
    pub env: Vec<Setting>,
    /// Labels, by name.
    pub labels: Vec<Setting>,
    /// Ports that it says it listens on: `80/tcp`.
    pub ports: Vec<Setting>,
    /// Paths whose files outlive a container.
    pub volumes: Vec<Setting>,
    /// Who runs its processes; `root` where nothing is said.
    pub user: Setting,
    /// Where they run; `/` where nothing is said.
    pub working_dir: Setting,
    /// The signal that stops a container, where one is named.
    pub stop_signal: Option<Setting>,
    /// How to tell that a container is well, where that is said.
    pub healthcheck: Option<HealthReport>,
    /// Instructions for those who build on it.
    pub triggers: Vec<String>,
    /// What a container runs.
    pub command: CommandReport,
    /// What could not be known, a sentence each.
    pub notes: Vec<String>,
}

/// Where something comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The base image.
    Base,
    /// A step.
    Step {
        /// Index of the stage.
        stage: usize,
        /// Index of the step.
        step: usize,
    },
    /// An instruction that a base left behind with `ONBUILD`.
    Trigger,
    /// Nobody said it; it is what counts then.
    Default,
}

/// The image at the bottom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseReport {
    /// Index into [`Analysis::images`].
    pub image: usize,
    /// Its reference in full.
    pub reference: String,
    /// Whether it was looked up; only then its layers and settings are known.
    pub resolved: bool,
    /// How many layers it has, where that is known.
    pub layers: Option<usize>,
    /// Sum of its compressed layers in bytes; 0 where unknown.
    pub size: u64,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerReport {
    /// What made it.
    pub source: Source,
    /// What was done, as the history says; empty where it says nothing.
    pub created_by: String,
    /// sha256 of its tar, for layers of a base image; what a step makes is known once it ran.
    pub diff_id: Option<String>,
    /// Digest of the op that makes it, where a step does.
    pub vertex: Option<Digest>,
    /// The lines of that step.
    pub lines: Option<LineRange>,
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryReport {
    /// What did it.
    pub source: Source,
    /// What was done.
    pub created_by: String,
    /// When, RFC 3339, where that is said.
    pub created: Option<String>,
    /// Index into [`ImageReport::layers`]; `None` where it only changed the configuration.
    pub layer: Option<usize>,
}

/// A setting and who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Its name, such as that of a variable; empty where there is only one.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Who made it so.
    pub source: Source,
}

/// How to tell that a container is well. Times are nanoseconds; 0 leaves the choice to the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthReport {
    /// `NONE`, `CMD` and arguments, or `CMD-SHELL` and a command.
    pub test: Vec<String>,
    /// From one check to the next.
    pub interval: i64,
    /// How long a check may take.
    pub timeout: i64,
    /// How long failures do not count at first.
    pub start_period: i64,
    /// From one check to the next within that time.
    pub start_interval: i64,
    /// Failures in a row that make a container unwell.
    pub retries: i64,
    /// Who said so.
    pub source: Source,
}

/// What a container runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandReport {
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// Who set it.
    pub entrypoint_source: Source,
    /// `CMD`.
    pub cmd: Vec<String>,
    /// Who set it.
    pub cmd_source: Source,
    /// Program and arguments where `docker run` is given nothing more; empty where there is nothing to run.
    pub line: Vec<String>,
    /// Whether a shell runs it, and so gets the signals meant for it.
    pub through_shell: bool,
    /// What follows from it, a sentence each.
    pub explanation: Vec<String>,
}

/// What the image of `input` holds; `None` where it cannot be built.
pub fn image(input: &Input) -> Option<ImageReport> {
    let analysis = analyze(input);
    let config = &analysis.image_config.as_ref()?.to_value();
    let target = analysis.target?;
    let study = study(input);
    let stages = chain(&analysis, target);
    let bottom = stages.first().and_then(|stage| analysis.stages.get(*stage));
    let base = bottom.and_then(|stage| base_report(input, &analysis, &stage.base));
    let facts = base
        .as_ref()
        .and_then(|base| input.options.images.get(&base.reference))
        .map(|facts| &facts.config);
    let sources = sources(&analysis, &stages, facts);
    let (history, layers) = layers(&analysis, config, facts, &sources);
    let done: Vec<usize> = stages
        .iter()
        .copied()
        .filter(|stage| analysis.stages.get(*stage).is_some_and(|stage| !stage.replaced))
        .collect();
    let setters = Setters::of(&study, &done, facts);
    let settings = config.get("config").unwrap_or(&Value::Null);
    let notes = notes(base.as_ref());
    Some(ImageReport {
        platform: Platform {
            os: text(config, "os"),
            architecture: text(config, "architecture"),
            variant: text(config, "variant"),
            os_version: text(config, "os.version"),
        },
        env: strings(settings, "Env")
            .into_iter()
            .map(|variable| {
                let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
                setters.setting("ENV", name, value.to_owned())
            })
            .collect(),
        labels: settings
            .get("Labels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, value)| {
                let value = value.as_str().unwrap_or_default().to_owned();
                setters.setting("LABEL", name, value)
            })
            .collect(),
        ports: setters.set(settings, "ExposedPorts", "EXPOSE"),
        volumes: setters.set(settings, "Volumes", "VOLUME"),
        user: setters.single("USER", text(settings, "User"), "root"),
        working_dir: setters.single("WORKDIR", text(settings, "WorkingDir"), "/"),
        stop_signal: Some(text(settings, "StopSignal"))
            .filter(|signal| !signal.is_empty())
            .map(|signal| setters.single("STOPSIGNAL", signal, "")),
        healthcheck: health(settings, &setters),
        triggers: strings(settings, "OnBuild"),
        command: command(settings, &setters),
        base,
        stages,
        layers,
        history,
        notes,
    })
}

fn text(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    let list = value.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The stages that start from each other, from the bottom up to `target`.
fn chain(analysis: &Analysis, target: usize) -> Vec<usize> {
    let mut chain = vec![target];
    while let Some(&last) = chain.last()
        && let Some(Base::Stage(base)) = analysis.stages.get(last).map(|stage| &stage.base)
        && *base < last
    {
        chain.push(*base);
    }
    chain.reverse();
    chain
}

fn base_report(input: &Input, analysis: &Analysis, base: &Base) -> Option<BaseReport> {
    let Base::Image(index) = base else { return None };
    let image = analysis.images.get(*index)?;
    let facts = input.options.images.get(&image.reference);
    let layers = facts.and_then(|facts| facts.config.pointer("/rootfs/diff_ids")?.as_array().map(Vec::len));
    Some(BaseReport {
        image: *index,
        reference: image.reference.clone(),
        resolved: image.resolved,
        layers,
        size: image.size,
    })
}

fn notes(base: Option<&BaseReport>) -> Vec<String> {
    match base {
        Some(base) if !base.resolved => vec![format!(
            "{} was not looked up, so its layers and settings are not known.",
            base.reference
        )],
        _ => Vec::new(),
    }
}

/// Who made the entries of the history that the base does not bring along, in its order.
fn sources(analysis: &Analysis, stages: &[usize], facts: Option<&Value>) -> Vec<Source> {
    let mut triggers = facts
        .and_then(|facts| facts.pointer("/config/OnBuild")?.as_array().map(Vec::len))
        .unwrap_or(0);
    let mut sources = Vec::new();
    for &stage in stages {
        let steps = analysis
            .stages
            .get(stage)
            // Where a named context stands in its place, none of its steps is done.
            .filter(|stage| !stage.replaced)
            .map(|stage| stage.steps.as_slice())
            .unwrap_or_default();
        sources.extend(std::iter::repeat_n(Source::Trigger, triggers));
        // A trigger leaves no trace in the history of the stage that has it, and one in the next.
        let later = |step: &crate::analysis::Step| step.keyword == "ONBUILD";
        triggers = steps.iter().filter(|step| later(step)).count();
        let own = steps.iter().enumerate().filter(|(_, found)| !later(found));
        sources.extend(own.map(|(step, _)| Source::Step { stage, step }));
    }
    sources
}

fn layers(
    analysis: &Analysis,
    config: &Value,
    facts: Option<&Value>,
    sources: &[Source],
) -> (Vec<HistoryReport>, Vec<LayerReport>) {
    let entries = config
        .get("history")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let diff_ids = facts.and_then(|facts| facts.pointer("/rootfs/diff_ids")?.as_array());
    let mut diff_ids = diff_ids.into_iter().flatten().filter_map(Value::as_str);
    let from_base = entries.len().saturating_sub(sources.len());
    let mut layers: Vec<LayerReport> = Vec::new();
    let mut history = Vec::new();
    let mut entries_seen = 0;
    let mut push_base = |layers: &mut Vec<LayerReport>, created_by: String| {
        let diff_id = diff_ids.next()?;
        layers.push(LayerReport {
            source: Source::Base,
            created_by,
            diff_id: Some(diff_id.to_owned()),
            vertex: None,
            lines: None,
        });
        Some(layers.len() - 1)
    };
    for (place, entry) in entries.iter().enumerate() {
        if place == from_base {
            // A base whose history does not speak of all its layers.
            while push_base(&mut layers, String::new()).is_some() {}
        }
        entries_seen += 1;
        let created_by = text(entry, "created_by");
        let empty = entry.get("empty_layer").and_then(Value::as_bool).unwrap_or(false);
        let source = match place.checked_sub(from_base) {
            Some(own) => sources.get(own).copied().unwrap_or(Source::Trigger),
            None => Source::Base,
        };
        let layer = if empty {
            None
        } else if source == Source::Base {
            push_base(&mut layers, created_by.clone())
        } else {
            let step = match source {
                Source::Step { stage, step } => {
                    analysis.stages.get(stage).and_then(|stage| stage.steps.get(step))
                }
                _ => None,
            };
            layers.push(LayerReport {
                source,
                created_by: created_by.clone(),
                diff_id: None,
                vertex: step.and_then(|step| step.vertex.clone()),
                lines: step.map(|step| step.lines),
            });
            Some(layers.len() - 1)
        };
        let created = text(entry, "created");
        history.push(HistoryReport {
            source,
            created_by,
            created: Some(created).filter(|created| !created.is_empty()),
            layer,
        });
    }
    if entries_seen == from_base {
        while push_base(&mut layers, String::new()).is_some() {}
    }
    (history, layers)
}

/// Who set what last.
struct Setters {
    /// By instruction and name; the name is empty where an instruction sets one thing.
    last: BTreeMap<(&'static str, String), Source>,
    /// Whether there is an image below whose settings are known.
    base: bool,
}

impl Setters {
    fn of(study: &Study<'_>, stages: &[usize], facts: Option<&Value>) -> Self {
        let mut last: BTreeMap<(&'static str, String), Source> = BTreeMap::new();
        for &stage in stages {
            let statements = study
                .program
                .stages
                .get(stage)
                .map(|stage| stage.statements.as_slice());
            for (step, statement) in statements.unwrap_or_default().iter().enumerate() {
                let mut note = |keyword: &'static str, name: &str| {
                    last.insert((keyword, name.to_owned()), Source::Step { stage, step });
                };
                match &statement.instruction {
                    Some(Instruction::Env(env)) => {
                        for pair in &env.pairs {
                            note("ENV", &pair.key);
                        }
                    }
                    Some(Instruction::Label(label)) => {
                        for pair in &label.pairs {
                            note("LABEL", &pair.key);
                        }
                    }
                    Some(Instruction::Expose(expose)) => {
                        for port in &expose.ports {
                            note("EXPOSE", &port.text);
                        }
                    }
                    Some(Instruction::Volume(volume)) => {
                        for path in &volume.paths {
                            note("VOLUME", &path.text);
                        }
                    }
                    Some(Instruction::User(_)) => note("USER", ""),
                    Some(Instruction::Workdir(_)) => note("WORKDIR", ""),
                    Some(Instruction::Stopsignal(_)) => note("STOPSIGNAL", ""),
                    Some(Instruction::Healthcheck(_)) => note("HEALTHCHECK", ""),
                    Some(Instruction::Cmd(_)) => note("CMD", ""),
                    Some(Instruction::Entrypoint(_)) => note("ENTRYPOINT", ""),
                    Some(Instruction::Shell(_)) => note("SHELL", ""),
                    _ => {}
                }
            }
        }
        Self {
            last,
            base: facts.is_some(),
        }
    }

    fn source(&self, keyword: &'static str, name: &str) -> Source {
        let otherwise = if self.base { Source::Base } else { Source::Default };
        self.last
            .get(&(keyword, name.to_owned()))
            .copied()
            .unwrap_or(otherwise)
    }

    fn setting(&self, keyword: &'static str, name: &str, value: String) -> Setting {
        Setting {
            name: name.to_owned(),
            value,
            source: self.source(keyword, name),
        }
    }

    /// Something of which there is only one; `default` where nothing is said.
    fn single(&self, keyword: &'static str, value: String, default: &str) -> Setting {
        if value.is_empty() {
            return Setting {
                name: String::new(),
                value: default.to_owned(),
                source: Source::Default,
            };
        }
        self.setting(keyword, "", value)
    }

    /// The keys of a map whose values say nothing. A port or path may be written otherwise than it counts in the end
    /// (`80` for `80/tcp`, `$dir`); then the last instruction of its kind is named.
    fn set(&self, settings: &Value, key: &str, keyword: &'static str) -> Vec<Setting> {
        let keys = settings.get(key).and_then(Value::as_object).into_iter().flatten();
        keys.map(|(name, _)| {
            let plain = name.strip_suffix("/tcp").unwrap_or(name);
            let exact = [name.as_str(), plain]
                .into_iter()
                .find_map(|name| self.last.get(&(keyword, name.to_owned())));
            let any = || {
                let of_kind = self
                    .last
                    .iter()
                    .filter(|((kind, name), _)| *kind == keyword && name.contains(['$', '-']));
                of_kind.map(|(_, source)| source).next_back()
            };
            Setting {
                name: name.clone(),
                value: String::new(),
                source: exact
                    .or_else(any)
                    .copied()
                    .unwrap_or_else(|| self.source(keyword, name)),
            }
        })
        .collect()
    }
}

fn health(settings: &Value, setters: &Setters) -> Option<HealthReport> {
    let check = settings.get("Healthcheck").filter(|check| check.is_object())?;
    let number = |key: &str| check.get(key).and_then(Value::as_i64).unwrap_or(0);
    Some(HealthReport {
        test: strings(check, "Test"),
        interval: number("Interval"),
        timeout: number("Timeout"),
        start_period: number("StartPeriod"),
        start_interval: number("StartInterval"),
        retries: number("Retries"),
        source: setters.source("HEALTHCHECK", ""),
    })
}

fn command(settings: &Value, setters: &Setters) -> CommandReport {
    let (entrypoint, cmd) = (strings(settings, "Entrypoint"), strings(settings, "Cmd"));
    let shell = strings(settings, "Shell");
    let shell = if shell.is_empty() {
        vec!["/bin/sh".to_owned(), "-c".to_owned()]
    } else {
        shell
    };
    // A command that a shell runs is written as the shell and one more argument.
    let by_shell = |words: &[String]| words.len() == shell.len() + 1 && words.starts_with(&shell);
    let through_shell = by_shell(if entrypoint.is_empty() { &cmd } else { &entrypoint });
    let mut line = entrypoint.clone();
    line.extend(cmd.iter().cloned());
    let mut explanation = Vec::new();
    let mut say = |sentence: String| explanation.push(sentence);
    match (entrypoint.is_empty(), cmd.is_empty()) {
        (true, true) => {
            say("Nothing says what a container runs: docker run has to be given a command.".into());
        }
        (true, false) => {
            say(format!("A container runs {}.", shown(&cmd)));
            say("What stands behind the image's name in docker run takes its place as a whole.".into());
        }
        (false, true) => {
            say(format!("A container runs {}.", shown(&entrypoint)));
            if !through_shell {
                say("What stands behind the image's name in docker run is added as arguments.".into());
            }
        }
        (false, false) if through_shell => {
            line.clone_from(&entrypoint);
            say(format!("A container runs {}.", shown(&entrypoint)));
            say("CMD is ignored: a shell runs ENTRYPOINT, and does not hand arguments on. Write ENTRYPOINT as a JSON array to use both.".into());
        }
        (false, false) => {
            say(format!("A container runs {}.", shown(&line)));
            say(
                "What stands behind the image's name in docker run takes the place of CMD's arguments only."
                    .into(),
            );
            if by_shell(&cmd) {
                say("CMD was written for a shell, whose name is now an argument of ENTRYPOINT. Write CMD as a JSON array.".into());
            }
        }
    }
    if through_shell {
        say(
            "A shell runs it, so the signal that stops a container reaches the shell and not the program."
                .into(),
        );
    }
    if through_shell && !entrypoint.is_empty() {
        say("What stands behind the image's name in docker run is ignored as well.".into());
    }
    CommandReport {
        entrypoint_source: setters.source("ENTRYPOINT", ""),
        cmd_source: setters.source("CMD", ""),
        entrypoint,
        cmd,
        line,
        through_shell,
        explanation,
    }
}

/// Words as one would type them.
fn shown(words: &[String]) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "-_./:=@%+,".contains(letter);
    let quoted = words.iter().map(|word| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::ImageFacts;

    fn input(source: &str) -> Input {
        Input {
            source: source.into(),
            ..Input::default()
        }
    }

    fn on_alpine(source: &str, triggers: &[&str]) -> Input {
        let mut input = input(source);
        let facts = ImageFacts {
            digest: Digest::of(b"manifest"),
            config: json!({
                "architecture": "amd64", "os": "linux",
                "config": { "Env": ["PATH=/bin", "FROM_BASE=1"], "Cmd": ["/bin/sh"], "WorkingDir": "/base", "OnBuild": triggers },
                "rootfs": { "type": "layers", "diff_ids": ["sha256:one", "sha256:two"] },
                "history": [
                    { "created_by": "first", "created": "2026-01-01T00:00:00Z" },
                    { "created_by": "ENV", "empty_layer": true },
                    { "created_by": "second" },
                ],
            }),
            size: 1234,
            note: None,
        };
        input
            .options
            .images
            .insert("docker.io/library/alpine:latest".into(), facts);
        input
    }

    const FILE: &str = "\
FROM alpine AS base
RUN one
ENV A=1 B=2
FROM base AS middle
WORKDIR /w
LABEL x=y
FROM middle
ENV A=3
EXPOSE 80 443/udp
VOLUME /data
USER nobody
COPY a /
STOPSIGNAL SIGINT
HEALTHCHECK --interval=3s CMD true
ENTRYPOINT [\"/app\"]
CMD [\"--help me\"]
";

    #[test]
    fn layers_say_which_step_of_which_stage_made_them() {
        let report = image(&on_alpine(FILE, &[])).unwrap();
        let layers: Vec<(Source, &str)> = report
            .layers
            .iter()
            .map(|layer| (layer.source, layer.created_by.split(' ').next().unwrap()))
            .collect();
        let step = |stage, step| Source::Step { stage, step };
        assert_eq!(
            layers,
            [
                (Source::Base, "first"),
                (Source::Base, "second"),
                (step(0, 0), "RUN"),
                (step(1, 0), "WORKDIR"),
                (step(2, 4), "COPY"),
            ]
        );
        assert_eq!(report.layers[1].diff_id.as_deref(), Some("sha256:two"));
        assert!(
            report.layers[2..]
                .iter()
                .all(|layer| layer.vertex.is_some() && layer.diff_id.is_none())
        );
        assert_eq!(report.layers[4].lines.unwrap().start, 12);
        assert_eq!(report.history.len(), 3 + 2 + 2 + 9);
        assert_eq!(
            report
                .history
                .iter()
                .filter(|entry| entry.layer.is_some())
                .count(),
            5
        );
        assert_eq!(report.stages, [0, 1, 2]);
        let base = report.base.unwrap();
        assert_eq!((base.layers, base.size, base.resolved), (Some(2), 1234, true));
    }

    #[test]
    fn settings_say_who_made_them() {
        let report = image(&on_alpine(FILE, &[])).unwrap();
        let env: Vec<(&str, &str, Source)> = report
            .env
            .iter()
            .map(|variable| (variable.name.as_str(), variable.value.as_str(), variable.source))
            .collect();
        let step = |stage, step| Source::Step { stage, step };
        assert_eq!(
            env,
            [
                ("PATH", "/bin", Source::Base),
                ("FROM_BASE", "1", Source::Base),
                ("A", "3", step(2, 0)),
                ("B", "2", step(0, 1)),
            ]
        );
        assert_eq!(
            (report.user.value.as_str(), report.user.source),
            ("nobody", step(2, 3))
        );
        assert_eq!(
            (report.working_dir.value.as_str(), report.working_dir.source),
            ("/w", step(1, 0))
        );
        let ports: Vec<(&str, Source)> = report
            .ports
            .iter()
            .map(|port| (port.name.as_str(), port.source))
            .collect();
        assert_eq!(ports, [("443/udp", step(2, 1)), ("80/tcp", step(2, 1))]);
        assert_eq!(report.volumes[0].source, step(2, 2));
        assert_eq!(report.labels[0].source, step(1, 1));
        assert_eq!(report.healthcheck.unwrap().interval, 3_000_000_000);
        assert_eq!(report.stop_signal.unwrap().value, "SIGINT");
    }

    #[test]
    fn triggers_of_a_base_stand_in_the_history_as_such() {
        let source = "FROM alpine AS a\nONBUILD RUN later\nRUN x\nFROM a\nRUN y\n";
        let report = image(&on_alpine(source, &["RUN early"])).unwrap();
        let own: Vec<(Source, &str)> = report.history[3..]
            .iter()
            .map(|entry| (entry.source, entry.created_by.as_str()))
            .collect();
        assert_eq!(own.len(), 4, "{own:?}");
        assert!(own[0].0 == Source::Trigger && own[0].1.contains("early"));
        assert!(own[1].0 == Source::Step { stage: 0, step: 1 } && own[1].1.contains(" x"));
        assert!(own[2].0 == Source::Trigger && own[2].1.contains("later"));
        assert!(own[3].0 == Source::Step { stage: 1, step: 0 } && own[3].1.contains(" y"));
    }

    #[test]
    fn what_a_container_runs_is_explained() {
        let command = |source: &str| image(&input(&format!("FROM scratch\n{source}"))).unwrap().command;
        let both = command("ENTRYPOINT [\"/app\"]\nCMD [\"--help me\"]\n");
        assert_eq!(both.line, ["/app", "--help me"]);
        assert!(both.explanation[0].contains("/app '--help me'"));
        let shell = command("ENTRYPOINT app\nCMD [\"x\"]\n");
        assert_eq!(shell.line, ["/bin/sh", "-c", "app"]);
        assert!(shell.through_shell && shell.explanation[1].starts_with("CMD is ignored"));
        let mixed = command("ENTRYPOINT [\"app\"]\nCMD x\n");
        assert!(!mixed.through_shell && mixed.explanation[2].starts_with("CMD was written for a shell"));
        let other = command("SHELL [\"/bin/bash\", \"-c\"]\nCMD app\n");
        assert!(other.through_shell);
        assert!(command("").line.is_empty());
    }

    #[test]
    fn an_unknown_base_is_said_to_be_one() {
        let report = image(&input("FROM alpine\nRUN x\n")).unwrap();
        assert_eq!(report.notes.len(), 1);
        assert_eq!(report.layers.len(), 1);
        assert_eq!(report.layers[0].source, Source::Step { stage: 0, step: 0 });
        assert_eq!(
            report.user,
            Setting {
                name: String::new(),
                value: "root".into(),
                source: Source::Default
            }
        );
        assert!(image(&input("FROM a\nNONSENSE\n")).is_none());
    }

    #[test]
    fn an_answer_survives_json() {
        let report = image(&on_alpine(FILE, &[])).unwrap();
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<ImageReport>(&text).unwrap(), report);
    }
}
