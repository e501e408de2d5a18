//! A stage while it is planned, and what all stages share.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::analysis::{EdgeKind, EdgeSource, Options};
use crate::diagnostic::Problem;
use crate::image::{History, Image};
use crate::instruction::Instruction;
use crate::llb;
use crate::platform::Platform;
use crate::shell::{Lexer, Variables};
use crate::span::{LineRange, Span};
use crate::stage::{Command, Globals};
use crate::syntax::Word;

use super::context::{Contexts, LocalUse};
use super::env::Env;
use super::epoch::Epoch;
use super::graph::{Graph, Output, Vertex, Work, Written};
use super::past::Past;
use super::runs_on;

/// A stage as far as it is planned. A stage that starts from it starts with a copy.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    /// Its files so far; `None` for nothing.
    pub(crate) output: Option<Output>,
    /// What processes in it get, `ARG`s included.
    pub(crate) env: Env,
    /// Where they run.
    pub(crate) dir: String,
    /// Who runs them.
    pub(crate) user: String,
    /// What they run on; `None` where it starts from nothing, and so runs on what is built for.
    pub(crate) exec_platform: Option<Rc<llb::Platform>>,
    /// What it is for.
    pub(crate) platform: Rc<Platform>,
    /// The configuration of the image that it would be.
    pub(crate) image: Image,
    /// What was done to it; the image gets it when all is planned.
    pub(crate) past: Past,
    /// Its `ARG`s, with their values where they have any, in the order in which the history shows them.
    pub(crate) args: Vec<(String, Option<String>)>,
    /// What it takes from the build context.
    pub(crate) context_paths: BTreeSet<String>,
    /// The folder of the client's that it started from, by index into [`Shared::locals`].
    pub(crate) local: Option<usize>,
    /// Whether it has a `CMD` of its own.
    pub(crate) has_cmd: bool,
    pub(crate) steps: StepNames,
}

/// How progress calls the steps of a stage.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepNames {
    /// The stage's name; empty where it is the only one.
    pub(crate) label: Rc<str>,
    /// What the step that is named runs on, with a blank behind; empty where that is not said.
    pub(crate) platform: String,
    /// How many steps there are; 0 where steps are not counted.
    pub(crate) total: usize,
    /// How many have been named.
    pub(crate) named: usize,
}

impl StepNames {
    /// `[builder 2/5] RUN text` for the next step, which is `run text` as it is written.
    pub(crate) fn next(&mut self, lead: &[&str], written: &str) -> String {
        self.named += 1;
        self.current(lead, written)
    }

    /// The same for the step that was named last. What stands in `lead` comes before the instruction.
    fn current(&self, lead: &[&str], written: &str) -> String {
        let Self {
            label,
            platform,
            total,
            named,
        } = self;
        let mut name = String::with_capacity(label.len() + written.len() + 32);
        if *total > 0 {
            let (mut buffer, mut total_buffer) = (itoa::Buffer::new(), itoa::Buffer::new());
            let (named, total) = (buffer.format(*named), total_buffer.format(*total));
            let space = if label.is_empty() { "" } else { " " };
            let pad = "                    ".get(..total.len().saturating_sub(named.len()));
            let pad = pad.unwrap_or_default();
            for part in ["[", platform, label, space, pad, named, "/", total, "] "] {
                name.push_str(part);
            }
        }
        for lead in lead {
            name.push_str(lead);
        }
        let start = name.len();
        name.push_str(written);
        let keyword = memchr::memchr(b' ', written.as_bytes()).unwrap_or(written.len());
        if let Some(keyword) = name.get_mut(start..start + keyword) {
            keyword.make_ascii_uppercase();
        }
        name
    }
}

impl Build {
    /// A stage for `platform` with nothing in it.
    pub(crate) fn new(platform: &Rc<Platform>) -> Self {
        Self {
            output: None,
            env: Env::default(),
            dir: String::from("/"),
            user: String::new(),
            exec_platform: None,
            platform: Rc::clone(platform),
            image: Image::default(),
            past: Past::default(),
            args: Vec::new(),
            context_paths: BTreeSet::new(),
            local: None,
            has_cmd: false,
            steps: StepNames::default(),
        }
    }

    /// Notes in the image's history what was done.
    pub(crate) fn commit(&mut self, done: String, made_layer: bool, epoch: Option<Epoch>) {
        self.past.push(History {
            created: epoch.map(Epoch::rfc3339),
            created_by: done,
            comment: "buildkit.dockerfile.v0".into(),
            empty_layer: !made_layer,
            ..History::default()
        });
    }
}

/// What all stages share.
pub(crate) struct Shared<'i> {
    pub(crate) options: &'i Options,
    pub(crate) globals: &'i Globals,
    /// `--build-arg`, as far as it counts.
    pub(crate) build_args: &'i BTreeMap<String, String>,
    pub(crate) target_platform: &'i Rc<Platform>,
    /// The same as LLB has it.
    pub(crate) exec_platform: Rc<llb::Platform>,
    pub(crate) lexer: Lexer,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) graph: Graph,
    /// What is there to copy from, by node; `None` for stages that are not planned yet.
    pub(crate) finished: Vec<Option<Build>>,
    /// What node is what to people.
    pub(crate) sources: Vec<EdgeSource>,
    /// Use of files, as it is found.
    pub(crate) edges: Vec<FoundEdge>,
    pub(crate) labels: Vec<Rc<str>>,
    /// The `ARG`s of stages, in the order of the file.
    pub(crate) declared: Vec<Declared>,
    /// What `--build-context` names.
    pub(crate) contexts: &'i Contexts<'i>,
    /// Folders of the client's, beside the build context, that are in use.
    pub(crate) locals: Vec<LocalUse>,
    /// Whether the stage that is being planned is needed. One that is not is looked at for what is wrong with it and
    /// for what flows where; nothing of it gets into the definition.
    pub(crate) counts: bool,
    /// Whether its steps are not to come from the cache.
    pub(crate) ignore_cache: bool,
}

/// An `ARG` that was met.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) name: String,
    /// What is written behind the `=`, worked out.
    pub(crate) default: Option<String>,
    /// What it is in this build.
    pub(crate) value: Option<String>,
    /// Whether it only repeats a global one, whose value it takes.
    pub(crate) repeats: bool,
    /// The stage it stands in, by index; `None` before the first.
    pub(crate) stage: Option<usize>,
    pub(crate) span: Span,
    /// The lines of its instruction.
    pub(crate) lines: LineRange,
}

/// Files going into a step.
#[derive(Debug, Clone)]
pub(crate) struct FoundEdge {
    pub(crate) kind: EdgeKind,
    pub(crate) from: EdgeSource,
    pub(crate) stage: usize,
    pub(crate) step: usize,
    pub(crate) paths: Vec<String>,
    pub(crate) span: Span,
}

/// One instruction on its way into the plan.
pub(crate) struct Step<'s, 'i> {
    pub(crate) build: &'s mut Build,
    pub(crate) shared: &'s mut Shared<'i>,
    pub(crate) command: &'s Command,
    /// The stage, by index in the file.
    pub(crate) stage: usize,
}

impl Step<'_, '_> {
    /// `text` with its variables worked out.
    pub(crate) fn expand<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, Problem> {
        expand(self.shared.lexer, text, &self.build.env)
    }

    /// The same for a word, which a problem points to.
    pub(crate) fn expand_word<'t>(&self, word: &'t Word) -> Result<Cow<'t, str>, Problem> {
        self.expand(&word.text).map_err(|problem| problem.at(word.span))
    }

    /// The same for a flag that need not be there.
    pub(crate) fn expand_flag<'t>(&self, word: Option<&'t Word>) -> Result<Cow<'t, str>, Problem> {
        word.map_or(Ok(Cow::Borrowed("")), |word| self.expand_word(word))
    }

    /// What progress calls this step.
    pub(crate) fn next_name(&mut self, text: &str) -> String {
        if !self.shared.counts {
            return String::new();
        }
        let lead = self.lead();
        if self.shared.options.name_platforms {
            self.build.steps.platform = self.runs_on();
        }
        self.build.steps.next(&[lead], text)
    }

    /// The name of the same step for the vertex that puts its files onto those before.
    pub(crate) fn link_name(&self, text: &str) -> String {
        if !self.shared.counts {
            return String::new();
        }
        self.build.steps.current(&[self.lead(), "LINK "], text)
    }

    /// What a step runs on. Files are copied and made on whatever the stage is for.
    fn runs_on(&self) -> String {
        let build = &*self.build;
        let shown = |platform: &Platform| runs_on::shown(platform, Some(&build.env));
        match &self.command.statement.instruction {
            Some(Instruction::Run(_)) => build
                .exec_platform
                .as_deref()
                .map(|platform| shown(&platform_of(platform)))
                .unwrap_or_default(),
            _ => shown(&build.platform),
        }
    }

    /// Steps that a base left behind say so.
    fn lead(&self) -> &'static str {
        if self.command.step.is_none() {
            "ONBUILD "
        } else {
            ""
        }
    }

    /// The instruction with the variables of the stage worked out; as it stands where that cannot be done.
    pub(crate) fn printed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.shared.counts {
            return Cow::Borrowed(text);
        }
        self.shared
            .lexer
            .worked_out(text, &self.build.env)
            .unwrap_or(Cow::Borrowed(text))
    }

    /// Adds a vertex for something that this step needs.
    pub(crate) fn add(&mut self, work: Work, name: String) -> Output {
        self.vertex(work, name, Written::Nowhere, false)
    }

    /// Adds the vertex that this step is, where `--no-cache` is not about it.
    pub(crate) fn add_kept(&mut self, work: Work, name: String) -> Output {
        let written = Written::Statement(Rc::clone(&self.command.statement));
        self.vertex(work, name, written, false)
    }

    /// Adds the vertex that this step is. It is this one that `--no-cache` is about.
    pub(crate) fn add_main(&mut self, work: Work, name: String) -> Output {
        let written = Written::Statement(Rc::clone(&self.command.statement));
        self.vertex(work, name, written, self.shared.ignore_cache)
    }

    fn vertex(&mut self, work: Work, name: String, written: Written, ignore_cache: bool) -> Output {
        if !self.shared.counts {
            // Only what is not needed either uses it.
            return Output::end();
        }
        self.shared.graph.add(Vertex {
            work,
            name,
            stage: Some(self.stage),
            step: self.command.step,
            ignore_cache,
            written,
        })
    }

    /// Notes that this step needs `path` of what the stage `of` started from, where that is a folder of the client's
    /// and the step is needed itself.
    pub(crate) fn takes(&mut self, of: Option<usize>, path: &str) {
        if !self.shared.counts {
            return;
        }
        if let Some(local) = of.and_then(|local| self.shared.locals.get_mut(local)) {
            local.take(super::path::join(&["/", path]));
        }
    }

    /// Notes what was done in the image's history.
    pub(crate) fn commit(&mut self, done: String, made_layer: bool) {
        if self.shared.counts {
            self.build.commit(done, made_layer, self.shared.epoch);
        }
    }

    /// Notes that files flow into this step.
    pub(crate) fn edge(&mut self, kind: EdgeKind, from: EdgeSource, paths: Vec<String>, span: Span) {
        let Some(step) = self.command.step else { return };
        self.shared.edges.push(FoundEdge {
            kind,
            from,
            stage: self.stage,
            step,
            paths,
            span,
        });
    }
}

/// `text` with its variables worked out.
pub(crate) fn expand<'t>(
    lexer: Lexer,
    text: &'t str,
    variables: &dyn Variables,
) -> Result<Cow<'t, str>, Problem> {
    lexer.worked_out(text, variables).map_err(|error| {
        let problem = Problem::new("bad-expansion", error.to_string());
        match error {
            crate::shell::ExpandError::Required(name, _) => {
                problem.hint(format!("Give {name} a value, with ENV, ARG or --build-arg."))
            }
            crate::shell::ExpandError::TooLong => {
                problem.hint("No process could be given that much: set its variables to something shorter.")
            }
            _ => problem,
        }
    })
}

/// A platform as LLB has it.
pub(crate) fn llb_platform(platform: &Platform) -> llb::Platform {
    llb::Platform {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        os_version: platform.os_version.clone(),
        ..llb::Platform::default()
    }
}

fn platform_of(platform: &llb::Platform) -> Platform {
    Platform {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        os_version: platform.os_version.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_numbers_are_padded() {
        let mut steps = StepNames {
            label: "a".into(),
            platform: String::new(),
            total: 13,
            named: 0,
        };
        assert_eq!(steps.next(&[""], "run x"), "[a  1/13] RUN x");
        assert_eq!(steps.current(&["", "LINK "], "copy y"), "[a  1/13] LINK COPY y");
        assert_eq!(StepNames::default().next(&[""], "RUN x"), "RUN x");
    }
}
