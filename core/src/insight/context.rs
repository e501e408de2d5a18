//! What of a directory enters the build context, which step reads which file, and what is sent for nothing.
//!
//! The listing is data: this reads no file. A link in it counts as what it is called, and not as what it leads to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ops::Ops;
use super::selection::{Reads, Selection};
use super::work::{Use, Work};
use crate::analysis::Input;
use crate::diagnostic::Diagnostic;
use crate::ignore::{Entry, Ignore};
use crate::llb::FileActionCopy;
use crate::span::Span;
use crate::{Analysis, analyze};

/// Something in the directory that is to be the build context.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContextFile {
    /// Its path from the root, with `/` between names and none in front.
    pub path: String,
    /// Its length in bytes; 0 for a folder.
    pub size: u64,
    /// Permission bits, `0o644`.
    pub mode: u32,
    /// Whether it is a folder. Folders need not be listed; they count neither as files nor in bytes.
    pub folder: bool,
}

/// What becomes of a build context.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContextReport {
    /// Every entry of the listing, in its order.
    pub files: Vec<FileReport>,
    /// The rules of `.dockerignore`, in its order, and what each decides.
    pub rules: Vec<RuleReport>,
    /// The steps that read the build context, in the order of the file.
    pub readers: Vec<ReaderReport>,
    /// All files of the listing.
    pub listed: Sum,
    /// Files that `.dockerignore` keeps out.
    pub kept_out: Sum,
    /// Files that it lets in.
    pub entering: Sum,
    /// Files that `BuildKit` asks for: of those that enter, the ones at the paths that steps name.
    pub sent: Sum,
    /// Files that some step reads.
    pub read: Sum,
    /// Files that are sent although no step reads them.
    pub for_nothing: Sum,
    /// Files that are sent for nothing, the largest first, by index into `files`.
    pub nothing_files: Vec<usize>,
    /// Files that enter, the largest first, by index into `files`; no more than 100.
    pub largest: Vec<usize>,
    /// What could be kept out without a step of this build missing it, the most bytes first; no more than 20.
    pub suggestions: Vec<KeepOut>,
    /// What is wrong with `.dockerignore`; places are in that file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Files, and their bytes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sum {
    /// How many.
    pub files: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
}

/// An entry of the listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    /// Whether `.dockerignore` lets it in.
    pub enters: bool,
    /// The rule that decided, by index into [`ContextReport::rules`]; `None` where none says anything of it.
    pub rule: Option<usize>,
    /// Whether it is sent.
    pub sent: bool,
    /// How many steps read it.
    pub reads: usize,
    /// The steps that read it, by index into [`ContextReport::readers`]; no more than 20.
    pub readers: Vec<usize>,
}

/// A rule of `.dockerignore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleReport {
    /// The pattern as it counts.
    pub pattern: String,
    /// Whether it lets in again what an earlier one keeps out.
    pub negated: bool,
    /// Its line, from 1.
    pub line: u32,
    /// Where it stands in `.dockerignore`.
    pub span: Span,
    /// Files of which it has the last word.
    pub decides: Sum,
}

/// A step that reads the build context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaderReport {
    /// Index of the stage.
    pub stage: Option<usize>,
    /// Index of the step.
    pub step: Option<usize>,
    /// The instruction on one line, or the name that progress shows.
    pub text: String,
    /// The paths that it names.
    pub sources: Vec<String>,
    /// What it reads.
    pub reads: Sum,
}

/// Something that could be kept out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeepOut {
    /// A line for `.dockerignore`.
    pub pattern: String,
    /// What it would keep out.
    pub saves: Sum,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What becomes of `files` as the build context of `input`, whose [`crate::analysis::Options::ignore`] is the text of
/// the `.dockerignore` that counts.
pub fn context(input: &Input, files: &[ContextFile]) -> ContextReport {
    let analysis = analyze(input);
    let (ignore, diagnostics) = Ignore::parse(input.options.ignore.as_deref().unwrap_or_default());
    let entries: Vec<Entry<'_>> = files
        .iter()
        .map(|file| Entry {
            path: &file.path,
            folder: file.folder,
        })
        .collect();
    let verdicts = ignore.walk(&entries);
    let rules = ignore.rules().iter().map(|rule| RuleReport {
        pattern: rule.pattern.clone(),
        negated: rule.negated,
        line: rule.line,
        span: rule.span,
        decides: Sum::default(),
    });
    let mut readers = Readers::of(&analysis);
    let mut report = ContextReport {
        rules: rules.collect(),
        diagnostics,
        ..ContextReport::default()
    };
    for (file, verdict) in files.iter().zip(verdicts) {
        let enters = verdict.enters;
        let sent = enters && !file.folder && readers.is_asked_for(&file.path);
        let (reads, by) = if enters && !file.folder {
            readers.read(file)
        } else {
            (0, Vec::new())
        };
        if !file.folder {
            report.listed.add(file.size);
            if enters {
                report.entering.add(file.size);
            } else {
                report.kept_out.add(file.size);
            }
            if sent {
                report.sent.add(file.size);
            }
            if reads > 0 {
                report.read.add(file.size);
            }
            if sent && reads == 0 {
                report.for_nothing.add(file.size);
                report.nothing_files.push(report.files.len());
            }
            if let Some(rule) = verdict.rule.and_then(|rule| report.rules.get_mut(rule)) {
                rule.decides.add(file.size);
            }
        }
        report.files.push(FileReport {
            enters,
            rule: verdict.rule,
            sent,
            reads,
            readers: by,
        });
    }
    let by_size = |index: &usize| Reverse(files.get(*index).map_or(0, |file| file.size));
    report.nothing_files.sort_by_key(by_size);
    let entering = report.files.iter().zip(files).enumerate();
    let entering = entering.filter(|(_, (found, file))| found.enters && !file.folder);
    let mut largest: Vec<usize> = entering.map(|(index, _)| index).collect();
    largest.sort_by_key(by_size);
    largest.truncate(100);
    report.largest = largest;
    report.suggestions = suggestions(files, &report.files);
    report.readers = readers.finish(&report.entering);
    report
}

/// What stands at the root and is of no use to any step of this build.
fn suggestions(files: &[ContextFile], found: &[FileReport]) -> Vec<KeepOut> {
    const MOST: usize = 20;
    let mut tops: BTreeMap<&str, (bool, Sum)> = BTreeMap::new();
    for (file, found) in files
        .iter()
        .zip(found)
        .filter(|(file, found)| found.enters && !file.folder)
    {
        let top = file.path.split('/').next().unwrap_or_default();
        let (useless, sum) = tops.entry(top).or_insert((true, Sum::default()));
        *useless &= found.reads == 0;
        sum.add(file.size);
    }
    let useless = tops
        .into_iter()
        .filter(|(top, (useless, _))| *useless && !top.is_empty());
    let mut found: Vec<KeepOut> = useless
        .map(|(top, (_, saves))| KeepOut {
            pattern: literally(top),
            saves,
        })
        .collect();
    found.sort_by_key(|keep| Reverse((keep.saves.bytes, keep.saves.files)));
    found.truncate(MOST);
    found
}

/// A name as a pattern that matches nothing else.
fn literally(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    if name.starts_with(['!', '#']) {
        pattern.push('\\');
    }
    for letter in name.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// The steps that read the build context.
struct Readers {
    list: Vec<ReaderReport>,
    /// Those that read all that is under a plain path, by that path.
    under: BTreeMap<String, Vec<usize>>,
    /// Those that read everything.
    all: BTreeSet<usize>,
    /// The rest.
    picky: Vec<(Selection, usize)>,
    /// What `BuildKit` asks for; everything where there is nothing here.
    asked: Option<(BTreeSet<String>, Vec<Selection>)>,
    /// Whether anything reads the context at all.
    used: bool,
}

impl Readers {
    fn of(analysis: &Analysis) -> Self {
        let ops = Ops::of(analysis);
        let works: Vec<Work> = ops.list.iter().map(Work::of).collect();
        let local = works.iter().position(|work| work.local() == Some("context"));
        let mut readers = Self {
            list: Vec::new(),
            under: BTreeMap::new(),
            all: BTreeSet::new(),
            picky: Vec::new(),
            asked: None,
            used: local.is_some(),
        };
        let Some(local) = local else { return readers };
        readers.asked = works.get(local).and_then(|work| {
            let paths = work.local_patterns("local.followpaths");
            if paths.is_empty() {
                return None;
            }
            let (mut plain, mut patterns) = (BTreeSet::new(), Vec::new());
            for path in paths {
                let selection = Selection::of(&FileActionCopy {
                    src: path,
                    allow_wildcard: true,
                    ..FileActionCopy::default()
                });
                match selection.plain() {
                    Some(path) => drop(plain.insert(path)),
                    None => patterns.push(selection),
                }
            }
            Some((plain, patterns))
        });
        for (op, work) in works.into_iter().enumerate() {
            let inputs = ops.inputs(op);
            for used in work.uses {
                if inputs.get(used.input()) != Some(&local) {
                    continue;
                }
                let (selection, source) = match used {
                    Use::Whole(_) => (Selection::under("/"), "/".to_owned()),
                    Use::Part {
                        selection, source, ..
                    } => (selection, source),
                };
                let source = if source.is_empty() { "/".to_owned() } else { source };
                // Equal steps of several stages are one op, and read the files once.
                let place = ops.places.get(op).and_then(|places| places.first()).copied();
                readers.add(analysis, &ops, (op, place), selection, source);
            }
        }
        readers
    }

    fn add(
        &mut self,
        analysis: &Analysis,
        ops: &Ops<'_>,
        (op, place): (usize, Option<super::ops::Place>),
        selection: Selection,
        source: String,
    ) {
        let (stage, step) = place.map_or((None, None), |(stage, step)| (Some(stage), step));
        let written = stage
            .zip(step)
            .and_then(|(stage, step)| analysis.stages.get(stage)?.steps.get(step));
        let name = || ops.list.get(op).map_or_else(String::new, |op| op.name.clone());
        let text = written.map_or_else(name, |step| step.text.clone());
        let same = self
            .list
            .last_mut()
            .filter(|last| (last.stage, last.step) == (stage, step) && last.text == text);
        if let Some(last) = same {
            last.sources.push(source);
        } else {
            self.list.push(ReaderReport {
                stage,
                step,
                text,
                sources: vec![source],
                reads: Sum::default(),
            });
        }
        let reader = self.list.len() - 1;
        match selection.plain() {
            Some(path) if path.is_empty() => drop(self.all.insert(reader)),
            Some(path) => self.under.entry(path).or_default().push(reader),
            None => self.picky.push((selection, reader)),
        }
    }

    fn is_asked_for(&self, path: &str) -> bool {
        match &self.asked {
            _ if !self.used => false,
            None => true,
            Some((plain, patterns)) => {
                above(path).any(|above| plain.contains(above))
                    || patterns.iter().any(|pattern| pattern.reads(path) == Reads::Yes)
            }
        }
    }

    /// How many steps read a file, and the first of them.
    fn read(&mut self, file: &ContextFile) -> (usize, Vec<usize>) {
        const MOST: usize = 20;
        let named = above(&file.path)
            .filter_map(|above| self.under.get(above))
            .flatten()
            .copied();
        let picky = self
            .picky
            .iter()
            .filter(|(selection, _)| selection.reads(&file.path) == Reads::Yes);
        let mut by: Vec<usize> = named.chain(picky.map(|(_, reader)| *reader)).collect();
        by.sort_unstable();
        by.dedup();
        // Those that read everything are counted at the end, all files at once.
        by.retain(|reader| !self.all.contains(reader));
        for reader in &by {
            if let Some(found) = self.list.get_mut(*reader) {
                found.reads.add(file.size);
            }
        }
        let count = by.len() + self.all.len();
        by.extend(self.all.iter().take(MOST));
        by.sort_unstable();
        by.truncate(MOST);
        (count, by)
    }

    fn finish(mut self, entering: &Sum) -> Vec<ReaderReport> {
        for reader in &self.all {
            if let Some(found) = self.list.get_mut(*reader) {
                found.reads = *entering;
            }
        }
        self.list
    }
}

/// A path and the folders that it is in.
fn above(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    ends.filter_map(move |end| path.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, u64)]) -> Vec<ContextFile> {
        list.iter()
            .map(|(path, size)| ContextFile {
                path: (*path).to_owned(),
                size: *size,
                mode: 0o644,
                folder: false,
            })
            .collect()
    }

    fn input(source: &str, ignore: Option<&str>) -> Input {
        let mut input = Input {
            source: source.into(),
            ..Input::default()
        };
        input.options.ignore = ignore.map(str::to_owned);
        input
    }

    const FILES: [(&str, u64); 7] = [
        (".git/objects/a", 5000),
        ("README.md", 10),
        ("go.mod", 1),
        ("main.go", 100),
        ("sub/x.go", 20),
        ("sub/keep.md", 30),
        ("video.mp4", 90_000),
    ];

    #[test]
    fn each_file_says_which_rule_decided_and_which_steps_read_it() {
        let source = "FROM a AS build\nCOPY go.mod .\nCOPY sub *.go /src/\nRUN --mount=source=main.go,target=/m go build\nFROM b\nCOPY README.md /\n";
        let report = context(&input(source, Some("*.md\n!sub/keep.md\n.git\n")), &files(&FILES));
        let enters: Vec<bool> = report.files.iter().map(|file| file.enters).collect();
        assert_eq!(enters, [false, false, true, true, true, true, true]);
        let rules: Vec<Option<usize>> = report.files.iter().map(|file| file.rule).collect();
        assert_eq!(rules[..2], [Some(2), Some(0)]);
        assert_eq!(
            report.rules[2].decides,
            Sum {
                files: 1,
                bytes: 5000
            }
        );
        let texts: Vec<(&str, u64)> = report
            .readers
            .iter()
            .map(|reader| (reader.text.as_str(), reader.reads.files))
            .collect();
        // What ships needs none of the first stage.
        assert_eq!(texts, [("COPY README.md /", 0)]);

        let mut whole = input(source, Some("*.md\n!sub/keep.md\n.git\n"));
        whole.options.target = Some("build".into());
        let report = context(&whole, &files(&FILES));
        let texts: Vec<(&str, u64)> = report
            .readers
            .iter()
            .map(|reader| (reader.text.as_str(), reader.reads.files))
            .collect();
        assert_eq!(
            texts,
            [
                ("COPY go.mod .", 1),
                ("COPY sub *.go /src/", 3),
                ("RUN --mount=source=main.go,target=/m go build", 1),
            ]
        );
        assert_eq!(report.files[3].readers, [1, 2]);
        assert_eq!(
            report.entering,
            Sum {
                files: 5,
                bytes: 90_151
            }
        );
        assert_eq!(report.sent, Sum { files: 4, bytes: 151 });
        assert_eq!(report.for_nothing, Sum::default());
        let patterns: Vec<&str> = report
            .suggestions
            .iter()
            .map(|keep| keep.pattern.as_str())
            .collect();
        assert_eq!(patterns, ["video.mp4"]);
    }

    #[test]
    fn what_a_whole_copy_leaves_out_was_sent_for_nothing() {
        let source = "FROM a\nCOPY --exclude=*.mp4 . /src/\n";
        let report = context(&input(source, None), &files(&FILES));
        assert_eq!(report.sent.files, 7);
        assert_eq!(
            report.for_nothing,
            Sum {
                files: 1,
                bytes: 90_000
            }
        );
        assert_eq!(report.nothing_files, [6]);
        assert_eq!(report.largest[..2], [6, 0]);
        let all = context(&input("FROM a\nCOPY . /src/\n", None), &files(&FILES));
        assert_eq!((all.for_nothing.files, all.read.files), (0, 7));
        assert_eq!(all.readers[0].reads, all.entering);
        assert_eq!(all.suggestions, []);
    }

    #[test]
    fn without_a_step_that_reads_it_nothing_is_sent() {
        let report = context(&input("FROM a\nRUN x\n", None), &files(&FILES));
        assert_eq!(
            (report.entering.files, report.sent.files, report.readers.len()),
            (7, 0, 0)
        );
    }

    #[test]
    fn patterns_that_are_suggested_keep_out_just_that() {
        for name in ["a*b", "!x", "#y", "[z]", "plain"] {
            let (ignore, diagnostics) = Ignore::parse(&literally(name));
            assert_eq!(diagnostics, [], "{name}");
            assert!(ignore.ignores(name), "{name}");
            assert!(!ignore.ignores("axb") && !ignore.ignores("z"), "{name}");
        }
    }

    #[test]
    fn many_files_and_steps_cost_little() {
        let source = (0..2500).fold(String::from("FROM a\n"), |text, number| {
            text + "COPY d" + &number.to_string() + " /\n"
        });
        let list: Vec<ContextFile> = (0..20_000)
            .map(|number| ContextFile {
                path: format!("d{}/f{number}", number % 3000),
                size: 1,
                ..ContextFile::default()
            })
            .collect();
        let report = context(&input(&source, Some("*.md\n")), &list);
        assert_eq!(report.listed.files, 20_000);
        assert_eq!(report.read.files, report.sent.files);
        assert!(report.sent.files < report.entering.files);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<ContextReport>(&text).unwrap(), report);
    }
}
