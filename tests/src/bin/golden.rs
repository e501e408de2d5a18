//! Compares the planner with the reference implementation, case by case.
//!
//! `cargo run -p stagewright-tests --bin golden -- --cases cases.jsonl --dockerfiles folder [--only text] [--show n] [--rewrite]`
//!
//! A case names a Dockerfile, a target, build arguments and a platform, and says what the reference makes of them.
//! With `--rewrite` it also writes each file in other ways and looks whether they plan the same.
//! With `--traces folder` it also lays recorded builds over their plans (aspect `trace`); then cases may be left out.
//!
//! For each aspect it prints `aspect passed/total`, then the first cases that differ. It succeeds only if all pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};
use stagewright_core::analysis::{ImageFacts, Input, LocalContext, LocalIdentity, NamedContext, Options};
use stagewright_core::calls;
use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::digest::Digest;
use stagewright_core::edit;
use stagewright_core::editing::{self, FormatOptions};
use stagewright_core::lint::{self, Finding, Fix, Origin, Report, Scope};
use stagewright_core::{Analysis, analyze, llb};
use stagewright_tests::traces::{self, Recording};

#[derive(Deserialize)]
struct Case {
    file: String,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    args: Option<BTreeMap<String, String>>,
    platform: String,
    /// Named contexts, as a frontend is told of them: `docker-image://…`, `local:name`, an address.
    #[serde(default)]
    contexts: BTreeMap<String, String>,
    /// The `.dockerignore` in a folder that is a named context.
    #[serde(default, rename = "contextIgnore")]
    context_ignore: BTreeMap<String, String>,
    /// Stages with commas between; empty for all.
    #[serde(default, rename = "noCache")]
    no_cache: Option<String>,
    #[serde(default)]
    ignore: Option<String>,
    /// Configurations of images, by reference.
    #[serde(default)]
    images: BTreeMap<String, Value>,
    #[serde(default)]
    session: Option<String>,
    /// Whether it is one of several platforms.
    #[serde(default, rename = "multiPlatform")]
    several: bool,
    ok: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default, rename = "errorLines")]
    error_lines: Option<Vec<String>>,
    #[serde(default)]
    digests: Option<Vec<String>>,
    #[serde(default)]
    head: Option<String>,
    #[serde(default, rename = "defSha256")]
    definition: Option<String>,
    #[serde(default)]
    image: Option<Value>,
    #[serde(default)]
    ops: Option<Vec<ReferenceOp>>,
    #[serde(default)]
    outline: Option<Value>,
    #[serde(default, rename = "outlineError")]
    outline_error: Option<String>,
    #[serde(default)]
    targets: Option<Value>,
    #[serde(default)]
    warnings: Option<Vec<Warning>>,
    #[serde(default, rename = "checkWarnings")]
    check_warnings: Option<Vec<Warning>>,
    #[serde(default, rename = "checkError")]
    check_error: Option<String>,
    #[serde(default, rename = "targetsError")]
    targets_error: Option<String>,
}

#[derive(Deserialize)]
struct ReferenceOp {
    digest: String,
    kind: String,
    #[serde(default)]
    inputs: Vec<String>,
    #[serde(default)]
    platform: Option<Value>,
    #[serde(default)]
    op: Option<Value>,
    #[serde(default)]
    name: Option<String>,
    /// All else that is known of it.
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl ReferenceOp {
    /// The op as `llb::to_json` has it.
    fn whole(&self) -> Value {
        let mut whole = self.rest.clone();
        whole.remove("raw");
        let fields = [
            ("digest", Some(json!(self.digest))),
            ("kind", Some(json!(self.kind))),
            ("inputs", (!self.inputs.is_empty()).then(|| json!(self.inputs))),
            ("platform", self.platform.clone()),
            ("op", self.op.clone()),
            ("name", self.name.as_ref().map(|name| json!(name))),
        ];
        for (key, value) in fields {
            if let Some(value) = value {
                whole.insert(key.into(), value);
            }
        }
        without_group_ids(Value::Object(whole))
    }
}

/// The ids of progress groups are made up for each build.
fn without_group_ids(mut op: Value) -> Value {
    if let Some(group) = op.get_mut("progressGroup").and_then(Value::as_object_mut) {
        group.remove("id");
    }
    op
}

/// Every op of the definition with all that is said of it, through its bytes and back.
fn whole(input: &Input) -> Result<Vec<Value>, String> {
    let written = calls::llb(input, "Dockerfile").map_err(|errors| format!("{errors:?}"))?;
    let (definition, vertices) =
        llb::Definition::decode(&written.to_bytes()).map_err(|error| error.to_string())?;
    if definition != written {
        return Err("it is not read as it was written".into());
    }
    let Value::Array(ops) = llb::to_json(&definition, &vertices) else {
        return Err("it is no list".into());
    };
    Ok(ops.into_iter().map(without_group_ids).collect())
}

/// What a lint rule of the reference found.
#[derive(Deserialize)]
struct Warning {
    rule: String,
    lines: Vec<String>,
}

#[derive(Default)]
struct Tally {
    passed: usize,
    total: usize,
    differences: Vec<String>,
}

/// What the comparison leaves out, said at the end of each run.
const NOT_COMPARED: &str = "not compared here: error words";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        arguments
            .iter()
            .position(|argument| argument == name)
            .and_then(|place| arguments.get(place + 1))
            .cloned()
    };
    let traces = option("--traces");
    let (cases, dockerfiles) = match (option("--cases"), option("--dockerfiles")) {
        (Some(cases), Some(dockerfiles)) => (Some(cases), dockerfiles),
        (None, None) if traces.is_some() => (None, String::new()),
        _ => {
            eprintln!(
                "usage: golden --cases cases.jsonl --dockerfiles folder [--traces folder] [--only text] [--show number] [--rewrite]"
            );
            return ExitCode::from(2);
        }
    };
    let show: usize = option("--show")
        .and_then(|number| number.parse().ok())
        .unwrap_or(3);
    let text = match cases.as_ref().map(std::fs::read_to_string).transpose() {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => {
            eprintln!("{} cannot be read: {error}", cases.unwrap_or_default());
            return ExitCode::from(2);
        }
    };
    let mut tallies: BTreeMap<&'static str, Tally> = BTreeMap::new();
    let mut compared = 0;
    if let Some(folder) = traces {
        match traces::recordings(folder.as_ref()) {
            Ok(recordings) => compare_traces(&recordings, &mut tallies),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        }
    }
    for (number, line) in text.lines().enumerate() {
        let case: Case = match serde_json::from_str(line) {
            Ok(case) => case,
            Err(error) => {
                eprintln!("line {} of the cases cannot be read: {error}", number + 1);
                return ExitCode::from(2);
            }
        };
        if option("--only").is_some_and(|only| !case.file.contains(&only)) {
            continue;
        }
        let path = PathBuf::from(&dockerfiles).join(&case.file);
        let source = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                eprintln!("{} cannot be read: {error}", path.display());
                return ExitCode::from(2);
            }
        };
        compared += 1;
        if arguments.iter().any(|argument| argument == "--own")
            && case.target.is_none()
            && case.args.is_none()
        {
            say_own(&case, &source);
        }
        if arguments.iter().any(|argument| argument == "--rewrite") {
            let input = input(&case, source.clone());
            let tally = tallies.entry("print").or_default();
            rewrite(&input, editing::print, &case.file, tally);
            let tally = tallies.entry("format").or_default();
            rewrite(&input, formatted, &case.file, tally);
        }
        compare(&case, source, &mut tallies);
    }
    report(&tallies, compared, show)
}

fn compare_traces(recordings: &[Recording], tallies: &mut BTreeMap<&'static str, Tally>) {
    type Compare = fn(&Recording) -> Result<(), String>;
    let aspects: [(&'static str, Compare); 2] = [
        ("trace", traces::compare),
        ("traceDefinition", traces::compare_definition),
    ];
    for (aspect, compare) in aspects {
        let tally = tallies.entry(aspect).or_default();
        for recording in recordings {
            tally.total += 1;
            match compare(recording) {
                Ok(()) => tally.passed += 1,
                Err(difference) => tally
                    .differences
                    .push(format!("{}\n      {difference}", recording.title)),
            }
        }
    }
}

/// Prints what the rules say that the reference does not have, for someone to judge.
fn say_own(case: &Case, source: &str) {
    let input = input(case, source.to_owned());
    for finding in lint::lint(&input, Scope::All) {
        if finding.origin == Origin::Own {
            println!(
                "{} {:?} {}:{} {}",
                finding.rule, finding.severity, case.file, finding.lines.start, finding.message
            );
        }
    }
}

/// A case as input, with every image that it asks for looked up.
fn input(case: &Case, source: String) -> Input {
    let mut input = Input {
        source,
        options: Options {
            target: case.target.clone(),
            build_args: case.args.clone().unwrap_or_default(),
            platform: case.platform.parse().ok(),
            local: match &case.session {
                Some(session) => LocalIdentity::Session(session.clone()),
                None => LocalIdentity::Unique("refdump".into()),
            },
            ignore: case.ignore.clone(),
            name_platforms: case.several,
            contexts: case
                .contexts
                .iter()
                .map(|(name, text)| (name.clone(), context(case, text)))
                .collect(),
            no_cache: case.no_cache.as_ref().map(|stages| {
                let named = stages.split(',').filter(|_| !stages.is_empty());
                named.map(str::to_owned).collect()
            }),
            ..Options::default()
        },
    };
    // Triggers of a base may name images of their own.
    while look_up(case, &mut input) {}
    input
}

/// Looks up every image that the plan asks for; whether there was any that was not known.
fn look_up(case: &Case, input: &mut Input) -> bool {
    let first = analyze(input);
    let mut found = false;
    for image in first.images.iter().filter(|image| !image.resolved) {
        found = true;
        let digest = match image.reference.split_once('@') {
            Some((_, digest)) => digest.parse().unwrap_or_else(|_| Digest::of(b"")),
            None => Digest::of(image.reference.as_bytes()),
        };
        let usual = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"")] },
        });
        let config = case.images.get(&image.reference).unwrap_or(&usual);
        input.options.images.insert(
            image.reference.clone(),
            ImageFacts {
                digest,
                config: config.clone(),
                size: 0,
                note: None,
            },
        );
    }
    found
}

/// A named context as the frontend gets it from its client.
fn context(case: &Case, text: &str) -> NamedContext {
    match text.strip_prefix("local:") {
        Some(name) => NamedContext::Local(LocalContext {
            name: name.to_owned(),
            shared_key: String::new(),
            ignore: case.context_ignore.get(name).cloned(),
        }),
        None => NamedContext::read("", text),
    }
}

fn formatted(source: &str) -> String {
    let edits = editing::format(source, &FormatOptions::default());
    edit::apply(source, &edits).unwrap_or_else(|error| error.to_string())
}

/// Whether a file that `write` writes in another way plans the same: digests, names, image and errors.
fn rewrite(input: &Input, write: fn(&str) -> String, file: &str, tally: &mut Tally) {
    let planned = |source: &str| {
        let analysis = analyze(&Input {
            source: source.to_owned(),
            options: input.options.clone(),
        });
        let ops = analysis.definition.iter().flat_map(|found| &found.ops);
        let ops: Vec<String> = ops.map(|op| format!("{} {}", op.digest, op.name)).collect();
        let errors = analysis
            .diagnostics
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        let errors: Vec<String> = errors.map(|finding| finding.code.clone()).collect();
        (ops, errors, analysis.image_config)
    };
    let written = write(&input.source);
    tally.total += 1;
    if planned(&input.source) != planned(&written) {
        let difference = format!("{file} plans otherwise once it is written so:\n{written}");
        tally.differences.push(difference);
    } else if write(&written) != written {
        tally
            .differences
            .push(format!("{file} is written otherwise the second time"));
    } else {
        tally.passed += 1;
    }
}

fn compare(case: &Case, source: String, tallies: &mut BTreeMap<&'static str, Tally>) {
    let input = input(case, source);
    let analysis = analyze(&input);
    let said = lint::check(&input, Scope::Target);
    let errors: Vec<_> = analysis
        .diagnostics
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    let found = errors
        .iter()
        .map(|error| {
            format!(
                "{}-{} {}: {}",
                error.lines.start, error.lines.end, error.code, error.message
            )
        })
        .collect::<Vec<_>>()
        .join("\n      ");
    let title = format!(
        "{} target={:?} args={:?} {}",
        case.file, case.target, case.args, case.platform
    );
    let mut check = |aspect: &'static str, same: bool, difference: &dyn Fn() -> String| {
        let tally = tallies.entry(aspect).or_default();
        tally.total += 1;
        if same {
            tally.passed += 1;
        } else {
            tally.differences.push(format!("{title}\n      {}", difference()));
        }
    };
    check("ok", case.ok == (errors.is_empty() && !said.fails), &|| {
        format!(
            "reference ok={} {}\n      ours: {found}",
            case.ok,
            case.error.as_deref().unwrap_or_default()
        )
    });
    if let Some(lines) = &case.error_lines {
        let expected: Vec<(u32, u32)> = lines.iter().filter_map(|lines| line_range(lines)).collect();
        let same = errors.iter().any(|error| {
            // The reference counts the lines of directives from 0, and so points to the one above.
            let above = u32::from(matches!(error.code.as_str(), "bad-escape" | "repeated-directive"));
            let (start, end) = (error.lines.start, error.lines.end);
            expected.contains(&(start.saturating_sub(above), end.saturating_sub(above)))
        });
        check("errorLines", same, &|| {
            format!(
                "reference {expected:?} {}\n      ours: {found}",
                case.error.as_deref().unwrap_or_default()
            )
        });
    }
    let answer = |answer: Result<Value, Vec<Diagnostic>>| match answer {
        Ok(answer) => answer,
        Err(errors) => json!({ "errors": errors.iter().map(|error| &error.message).collect::<Vec<_>>() }),
    };
    if case.targets.is_some() || case.targets_error.is_some() {
        let ours = answer(calls::targets(&input.source).map(|targets| json!(targets)));
        // An empty list is null in the reference's JSON.
        let theirs = case.targets.clone().map(|mut theirs| {
            if let Some(list) = theirs.get_mut("targets").filter(|list| list.is_null()) {
                *list = json!([]);
            }
            theirs
        });
        let same = theirs
            .as_ref()
            .map_or(ours.get("errors").is_some(), |theirs| *theirs == ours);
        check("targets", same, &|| {
            value_difference("targets", theirs.as_ref(), Some(&ours))
        });
    }
    if case.outline.is_some() || case.outline_error.is_some() {
        let ours = answer(calls::outline(&input).map(|outline| json!(outline)));
        let ours = in_order(ours, &input.source);
        let theirs = case
            .outline
            .clone()
            .map(|outline| in_order(outline, &input.source));
        let same = theirs
            .as_ref()
            .map_or(ours.get("errors").is_some() || said.fails, |theirs| {
                *theirs == ours
            });
        check("outline", same, &|| {
            value_difference("outline", theirs.as_ref(), Some(&ours))
        });
    }
    // A check with a target looks at what that needs.
    let checked = match case.target {
        Some(_) => said.clone(),
        None => lint::check(&input, Scope::All),
    };
    let built = found_by(case.warnings.iter().flatten());
    let mut all = found_by(case.check_warnings.iter().flatten());
    // What a build says a check says too, since it looks at the same stages or more. The reference notes what it
    // finds about images from several threads in one list, without a lock, and now and then loses one.
    for image in built.iter().filter(|found| found.0 == "InvalidBaseImagePlatform") {
        let count = |list: &[Lines]| list.iter().filter(|found| *found == image).count();
        if count(&all) < count(&built) {
            all.push(image.clone());
        }
    }
    for (aspect, report, mut theirs) in [("lint", &said, built), ("check", &checked, all)] {
        theirs.sort();
        let mut ours = reached(report);
        // An image that is only mounted has no place in the reference; ours has that of the instruction.
        let placeless = theirs.iter().filter(|found| found.1 == 0).count();
        theirs.retain(|found| found.1 != 0);
        for _ in 0..placeless {
            let extra = ours
                .iter()
                .position(|found| found.0 == "InvalidBaseImagePlatform" && !theirs.contains(found));
            extra.map(|extra| ours.remove(extra));
        }
        check(aspect, ours == theirs, &|| {
            format!("reference {theirs:?}\n      ours      {ours:?}")
        });
    }
    for (aspect, report, error) in [
        ("lintError", &said, &case.error),
        ("checkError", &checked, &case.check_error),
    ] {
        // Which rules the reference names in the end; `None` where it ends in another way.
        let theirs = error.as_deref().and_then(|error| {
            let names = error.strip_prefix("lint violation found for rules: ")?;
            Some(names.split(", ").map(str::to_owned).collect::<BTreeSet<_>>())
        });
        let ours = report
            .fails
            .then(|| reached(report).into_iter().map(|found| found.0).collect());
        // What is wrong with an op shows when it is written, which is when all of lint has been said.
        let ended = error
            .as_deref()
            .is_some_and(|error| !error.starts_with("marshal: "));
        let same = ours == theirs && (ended == (report.stopped || report.fails));
        check(aspect, same, &|| {
            format!(
                "reference {error:?}\n      ours      {ours:?} stopped={}",
                report.stopped
            )
        });
    }
    for finding in &checked.findings {
        for fix in &finding.fixes {
            let difference = mended(case, &input, &checked, finding, fix);
            check("fixes", difference.is_none(), &|| {
                format!("{finding:#?}\n      {}", difference.clone().unwrap_or_default())
            });
        }
    }
    if !case.ok {
        return;
    }
    let definition = analysis.definition.as_ref();
    let ours: Vec<&str> = definition
        .map(|found| found.ops.iter().map(|op| op.digest.as_str()).collect())
        .unwrap_or_default();
    let theirs: Vec<&str> = case.digests.iter().flatten().map(String::as_str).collect();
    check("digests", definition.is_some() && ours == theirs, &|| {
        first_difference(case, &analysis)
    });
    let head = definition
        .and_then(|found| found.head.as_ref())
        .map(Digest::as_str);
    check(
        "head",
        definition.is_some() && head == case.head.as_deref(),
        &|| format!("reference {:?}\n      ours      {head:?}", case.head),
    );
    let identity = definition.map(|found| found.digest.as_str());
    check("defSha256", identity == case.definition.as_deref(), &|| {
        format!("reference {:?}\n      ours      {identity:?}", case.definition)
    });
    let names: Vec<&str> = definition
        .map(|found| found.ops.iter().map(|op| op.name.as_str()).collect())
        .unwrap_or_default();
    let expected: Vec<&str> = case
        .ops
        .iter()
        .flatten()
        .map(|op| op.name.as_deref().unwrap_or_default())
        .collect();
    // Where a trigger makes a stage needed late, the reference counts that stage's FROM twice. Ours does not.
    let counted_twice = expected
        .iter()
        .any(|name| name.contains("] FROM ") && !name.contains("[1/") && !name.contains(" 1/"));
    check("names", names == expected || counted_twice, &|| {
        let pair = expected.iter().zip(&names).find(|(left, right)| left != right);
        format!("reference, ours: {pair:#?}")
    });
    if case.ops.is_some() && !counted_twice {
        let ours = whole(&input);
        let theirs: Vec<Value> = case.ops.iter().flatten().map(ReferenceOp::whole).collect();
        check("ops", ours.as_ref() == Ok(&theirs), &|| match &ours {
            Ok(ours) => value_difference("ops", Some(&json!(theirs)), Some(&json!(ours))),
            Err(error) => error.clone(),
        });
    }
    let image = analysis.image_config.as_ref();
    let image = image.map(|image| without_layers(image.to_value()));
    check("image", image == case.image.clone().map(without_layers), &|| {
        value_difference(
            "image",
            case.image.clone().map(without_layers).as_ref(),
            image.as_ref(),
        )
    });
}

/// What is wrong with a file after a fix was made: it has the finding still, or new errors, or builds something else.
fn mended(case: &Case, input: &Input, before: &Report, finding: &Finding, fix: &Fix) -> Option<String> {
    let source = match edit::apply(&input.source, &fix.edits) {
        Ok(source) => source,
        Err(error) => return Some(error.to_string()),
    };
    let mut mended = Input {
        source,
        options: input.options.clone(),
    };
    while look_up(case, &mut mended) {}
    let scope = match input.options.target {
        Some(_) => Scope::Target,
        None => Scope::All,
    };
    let of_rule = |findings: &[Finding]| {
        // A stage that goes may have been the only one to need another.
        let same = |other: &Finding| finding.rule != "UnusedStage" || other.message == finding.message;
        let findings = findings.iter().filter(|other| other.rule == finding.rule);
        findings.filter(|other| same(other)).count()
    };
    let after = lint::lint(&mended, scope);
    if of_rule(&after) >= of_rule(&before.findings) {
        return Some(format!("is found still in\n{}", mended.source));
    }
    let digest = |input: &Input| {
        let analysis = analyze(input);
        let errors = analysis.diagnostics.iter();
        let errors = errors
            .filter(|finding| finding.severity == Severity::Error)
            .count();
        (errors, analysis.definition.map(|definition| definition.digest))
    };
    let ((errors, digest), (errors_before, digest_before)) = (digest(&mended), digest(input));
    let same = digest == digest_before || !fix.safe;
    (errors > errors_before || !same).then(|| format!("builds something else in\n{}", mended.source))
}

/// A rule, and the lines of what it found; 0 where it has no place.
type Lines = (String, u32, u32);

/// Findings of the reference.
fn found_by<'w>(warnings: impl Iterator<Item = &'w Warning>) -> Vec<Lines> {
    let found = warnings.map(|warning| {
        let (start, end) = line_range(&warning.lines.join(",")).unwrap_or_default();
        (warning.rule.clone(), start, end)
    });
    found.collect()
}

/// Findings of the reference's rules, as far as the reference comes.
fn reached(report: &Report) -> Vec<Lines> {
    let findings = report.findings.iter();
    let theirs = findings.filter(|finding| finding.origin == Origin::Reference && !finding.beyond_error);
    let mut lines: Vec<Lines> = theirs
        .map(|finding| (finding.rule.clone(), finding.lines.start, finding.lines.end))
        .collect();
    lines.sort();
    lines
}

/// An outline without what differs from run to run in the reference: the order of what stands on one line, and which
/// of several stages' declarations of one argument is shown.
fn in_order(mut outline: Value, source: &str) -> Value {
    let declared = |name: &str| {
        let words = source
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let of_name = |word: &&str| word.split('=').next() == Some(name);
        words
            .filter(|words| words.first().is_some_and(|word| word.eq_ignore_ascii_case("arg")))
            .filter(|words| words.iter().any(of_name))
            .count()
    };
    for arg in outline
        .get_mut("args")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let name = arg["name"].as_str().unwrap_or_default().to_owned();
        if declared(&name) > 1 {
            *arg = json!({ "name": name });
        }
    }
    for key in ["args", "secrets", "ssh"] {
        if let Some(Value::Array(entries)) = outline.get_mut(key) {
            entries.sort_by_key(|entry| {
                let line = entry
                    .pointer("/location/ranges/0/start/line")
                    .and_then(Value::as_u64);
                (line, entry["name"].as_str().map(str::to_owned))
            });
        }
    }
    outline
}

/// The layers of the base are made up, here as in the cases: only whether there are any counts.
fn without_layers(mut image: Value) -> Value {
    if let Some(layers) = image.pointer_mut("/rootfs/diff_ids") {
        *layers = json!(layers.as_array().map_or(0, Vec::len));
    }
    image
}

/// `4:0-4:0,5:0-5:0` as the first and last of its lines.
fn line_range(text: &str) -> Option<(u32, u32)> {
    let mut lines = text
        .split(',')
        .flat_map(|range| range.split('-'))
        .filter_map(|position| position.split(':').next()?.parse::<u32>().ok());
    let first = lines.next()?;
    Some(lines.fold((first, first), |(start, end), line| {
        (start.min(line), end.max(line))
    }))
}

fn first_difference(case: &Case, analysis: &Analysis) -> String {
    let Some(definition) = &analysis.definition else {
        let errors: Vec<&str> = analysis
            .diagnostics
            .iter()
            .map(|finding| finding.message.as_str())
            .collect();
        return format!("ours has no definition: {errors:?}");
    };
    let theirs: Vec<&ReferenceOp> = case.ops.iter().flatten().collect();
    for (index, op) in theirs.iter().enumerate() {
        let ours = definition.ops.get(index);
        if ours.is_some_and(|ours| ours.digest.as_str() == op.digest) {
            continue;
        }
        let decoded = ours.map(|ours| match llb::decode(&ours.bytes) {
            Ok(decoded) => format!("{:?}", decoded.kind),
            Err(error) => error.to_string(),
        });
        return format!(
            "op {index}\n      reference {} {:?} inputs {:?} {:?}\n        {}\n      ours {:?}\n        {}",
            op.kind,
            op.name,
            op.inputs,
            op.platform.as_ref().map(Value::to_string),
            op.op.as_ref().map(Value::to_string).unwrap_or_default(),
            ours.map(|ours| &ours.name),
            decoded.unwrap_or_else(|| "nothing".into()),
        );
    }
    format!(
        "ours has {} ops, the reference {}",
        definition.ops.len(),
        theirs.len()
    )
}

fn value_difference(path: &str, theirs: Option<&Value>, ours: Option<&Value>) -> String {
    match (theirs, ours) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                if left.get(key) != right.get(key) {
                    return value_difference(&format!("{path}.{key}"), left.get(key), right.get(key));
                }
            }
            path.to_owned()
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for index in 0..left.len().max(right.len()) {
                if left.get(index) != right.get(index) {
                    return value_difference(&format!("{path}[{index}]"), left.get(index), right.get(index));
                }
            }
            path.to_owned()
        }
        (left, right) => {
            let text = |value: Option<&Value>| value.map_or_else(|| "nothing".into(), Value::to_string);
            format!(
                "{path}\n      reference {}\n      ours      {}",
                text(left),
                text(right)
            )
        }
    }
}

fn report(tallies: &BTreeMap<&'static str, Tally>, compared: usize, show: usize) -> ExitCode {
    for (aspect, tally) in tallies {
        for difference in tally.differences.iter().take(show) {
            println!("  {aspect}: {difference}");
        }
    }
    println!("{compared} cases");
    let mut all = true;
    for (aspect, Tally { passed, total, .. }) in tallies {
        println!("{aspect} {passed}/{total}");
        all &= passed == total;
    }
    println!("{NOT_COMPARED}");
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
