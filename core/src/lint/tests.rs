use super::*;

#[test]
fn a_rule_is_left_out_of_a_file_or_an_instruction() {
    let rule = "JSONArgsRecommended";
    assert_eq!(lines_of(rule, "FROM scratch\nCMD a\n"), [2]);
    assert_eq!(
        lines_of(rule, "# check=skip=JSONArgsRecommended\nFROM scratch\nCMD a\n"),
        [0; 0]
    );
    assert_eq!(lines_of(rule, "FROM scratch\n# check=skip=all\nCMD a\n"), [0; 0]);
}

#[test]
fn what_the_target_does_not_need_is_looked_at_when_asked() {
    let source = "FROM scratch AS a\nCMD a\nFROM scratch AS b\n";
    let input = Input {
        source: source.into(),
        ..Input::default()
    };
    assert_eq!(lint(&input, Scope::Target), []);
    let rules = lint(&input, Scope::All).into_iter().map(|finding| finding.rule);
    assert_eq!(rules.collect::<Vec<_>>(), ["UnusedStage", "JSONArgsRecommended"]);
}

#[test]
fn an_experimental_rule_is_asked_for_by_a_file_or_an_instruction() {
    let rule = "InvalidDefinitionDescription";
    assert_eq!(lines_of(rule, "# about it\nFROM scratch AS a\n"), [0; 0]);
    assert_eq!(
        lines_of(rule, "# check=experimental=all\n# about it\nFROM scratch AS a\n"),
        [3]
    );
    let above = "ARG A\n# check=experimental=InvalidDefinitionDescription\nFROM scratch AS a\n";
    assert_eq!(lines_of(rule, above), [3]);
}

#[test]
fn every_file_of_a_rule_is_registered() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lint/rules");
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| {
        file.unwrap()
            .path()
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    });
    let mut names: Vec<String> = names.filter(|name| name != "mod").collect();
    names.sort();
    assert_eq!(names, rules::FILES);
}

#[test]
fn every_rule_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> = rules().iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), rules::ALL.len());
}

fn input(source: &str) -> Input {
    Input {
        source: source.into(),
        ..Input::default()
    }
}

#[test]
fn a_build_argument_takes_the_place_of_the_directive() {
    let mut input = input("# check=skip=all;error=true\nFROM scratch\nCMD a\n");
    assert_eq!(lint(&input, Scope::Target), []);
    let name = "BUILDKIT_DOCKERFILE_CHECK".to_owned();
    input.options.build_args.insert(name, String::new());
    let report = check(&input, Scope::Target);
    assert_eq!((report.findings.len(), report.fails), (1, false));
}

#[test]
fn a_time_that_is_not_known_yet_leaves_the_default_in_its_place() {
    let mut input = input("FROM scratch\nARG SOURCE_DATE_EPOCH=$UNSET\n");
    let name = "SOURCE_DATE_EPOCH".to_owned();
    for (value, count) in [("", 1), ("context", 1), ("0", 0)] {
        input.options.build_args.insert(name.clone(), value.to_owned());
        let findings = lint(&input, Scope::Target);
        let undefined = findings.iter().filter(|finding| finding.rule == "UndefinedVar");
        assert_eq!(undefined.count(), count, "{value}");
    }
}

#[test]
fn findings_are_errors_where_a_file_says_so() {
    let report = check(&input("# check=error=true\nFROM scratch\nCMD a\n"), Scope::Target);
    assert_eq!(
        (report.findings[0].severity, report.fails),
        (Severity::Error, true)
    );
    let clean = check(&input("# check=error=true\nFROM scratch\n"), Scope::Target);
    assert!(!clean.fails);
}

#[test]
fn options_that_are_none_end_the_check_before_it_begins() {
    let report = check(&input("# check=skp=all\nFROM scratch\nCMD a\n"), Scope::Target);
    assert!(report.stopped && report.findings[0].beyond_error);
}

#[test]
fn what_a_stage_says_that_nobody_asked_for_is_information() {
    let findings = lint(
        &input("FROM scratch AS a\nCMD a\nFROM scratch\nCMD b\n"),
        Scope::All,
    );
    let severities: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
    assert!(severities.ends_with(&[Severity::Warning]));
    assert!(
        severities[..severities.len() - 1]
            .iter()
            .all(|severity| *severity == Severity::Info)
    );
}

#[test]
fn a_missing_command_ends_no_check() {
    let report = check(&input("FROM scratch\nRUN []\nCMD a\n"), Scope::Target);
    assert!(!report.stopped && !report.findings[0].beyond_error);
}

/// Which findings of `rule` come before the first error, by line.
fn reached(rule: &str, source: &str) -> Vec<(u32, bool)> {
    let findings = lint(&input(source), Scope::Target).into_iter();
    let findings = findings.filter(|finding| finding.rule == rule);
    findings
        .map(|finding| (finding.lines.start, !finding.beyond_error))
        .collect()
}

#[test]
fn an_instruction_that_cannot_be_read_ends_the_reading() {
    let source = "FROM a as b\nFROM a as c\nRUNN x\nFROM a as d\nCMD x\n";
    let expected = [(1, true), (2, true), (4, false)];
    assert_eq!(reached("FromAsCasing", source), expected);
    assert_eq!(reached("JSONArgsRecommended", source), [(5, false)]);
}

#[test]
fn a_line_that_is_none_keeps_all_from_being_read() {
    assert_eq!(reached("FromAsCasing", "FROM a as b\nENV X\n"), [(1, false)]);
    assert_eq!(reached("FromAsCasing", "FROM a as b\nRUN <<E\n"), [(1, false)]);
    assert_eq!(
        reached("FromAsCasing", "FROM a as b\nFROM a as 1c\n"),
        [(1, true), (2, true)]
    );
}

#[test]
fn a_base_that_cannot_be_worked_out_ends_the_check_of_stages() {
    let source = "FROM a:$A\nFROM $B\nFROM a:$C\nCMD c\n";
    let expected = [(1, true), (2, true), (3, false)];
    assert_eq!(reached("UndefinedArgInFrom", source), expected);
    assert_eq!(reached("JSONArgsRecommended", source), [(4, false)]);
}

#[test]
fn an_instruction_that_cannot_be_carried_out_ends_the_check_there() {
    let source = "FROM scratch\nUSER $A\nLABEL b=$B c=${ d=$D\nLABEL e=$E\nCMD e\n";
    assert_eq!(
        reached("UndefinedVar", source),
        [(2, true), (3, true), (3, false), (4, false)]
    );
    assert_eq!(reached("JSONArgsRecommended", source), [(5, false)]);
    let ports = "FROM scratch\nEXPOSE 80/TCP 81/UDP:x 82/TCP\n";
    assert_eq!(reached("ExposeProtoCasing", ports), [(2, true), (2, false)]);
}

#[test]
fn what_a_base_left_behind_is_found_at_the_from() {
    let source = "FROM scratch AS a\nONBUILD ENV API_KEY x\nONBUILD CMD c $X\nFROM a\nCMD [\"d\"]\n";
    let found = |rule| reached(rule, source);
    assert_eq!(found("LegacyKeyValueFormat"), [(4, true)]);
    assert_eq!(found("SecretsUsedInArgOrEnv"), [(4, true)]);
    assert_eq!(found("JSONArgsRecommended"), [(4, true)]);
    assert_eq!(found("MultipleInstructionsDisallowed"), [(4, true)]);
    assert!(
        lint(&input(source), Scope::Target)
            .iter()
            .all(|finding| finding.fixes.is_empty())
    );
}

#[test]
fn stages_that_start_from_one_do_not_share_what_they_set() {
    let source =
        "FROM scratch AS a\nENV A=1\nFROM a AS b\nENV B=2\nUSER $A\nFROM a\nUSER $A$B\nCOPY --from=b / /\n";
    assert_eq!(reached("UndefinedVar", source), [(7, true)]);
}

/// What the files of rules say at their top: the name of the rule, the sentence behind it, and all that follows.
fn headers() -> Vec<(String, String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lint/rules");
    let read = |file: &&str| {
        let text = std::fs::read_to_string(folder.join(file).with_extension("rs")).unwrap();
        let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
        let lines: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        let (name, about) = lines[0].split_once(": ").unwrap();
        (
            name.trim_matches('`').to_owned(),
            about.to_owned(),
            lines[1..].join("\n"),
        )
    };
    rules::FILES.iter().map(read).collect()
}

#[test]
fn what_a_rule_is_for_stands_at_the_top_of_its_file() {
    for (rule, (name, about, _)) in rules::ALL.iter().zip(headers()) {
        assert_eq!((rule.name, rule.about), (name.as_str(), about.as_str()));
    }
}

/// `docs/rules.md` is what the files of rules say. `UPDATE_DOCS=1 cargo test -p stagewright-core` writes it.
#[test]
fn the_page_of_rules_is_what_their_files_say() {
    let mut page = String::from(
        "# Rules\n\nWhat lint looks for, rule by rule. How to leave one out, and what findings look like, is in \
         [lint.md](lint.md).\n\nThis page is made from the files in `core/src/lint/rules/`.\n",
    );
    for (origin, title) in [(Origin::Own, "Our own"), (Origin::Reference, "BuildKit's")] {
        page.extend(["\n## ", title, "\n"]);
        for (rule, (name, about, rest)) in rules::ALL.iter().zip(headers()) {
            if rule.origin != origin {
                continue;
            }
            page.extend(["\n### ", &name, "\n\n", &about, "\n"]);
            if !rest.trim().is_empty() {
                page.extend(["\n", rest.trim(), "\n"]);
            }
            if rule.experimental {
                page.extend([
                    "\nIt is silent until `# check=experimental=",
                    &name,
                    "` asks for it.\n",
                ]);
            }
            if origin == Origin::Reference && !rule.url.is_empty() {
                page.extend(["\n[BuildKit's page](", &rule.address(), ")\n"]);
            }
        }
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page,
        "docs/rules.md is out of date: run UPDATE_DOCS=1 cargo test -p stagewright-core"
    );
}

/// What the fix of a finding leaves to be wished for: it cannot be made, or leaves the finding, or brings an error, or
/// changes the build although it says that it does not.
fn left_undone(input: &Input, finding: &Finding, fix: &Fix) -> Option<String> {
    let source = match crate::edit::apply(&input.source, &fix.edits) {
        Ok(source) => source,
        Err(error) => return Some(error.to_string()),
    };
    let mended = Input {
        source,
        options: input.options.clone(),
    };
    let of_rule = |input: &Input| {
        let findings = lint(input, Scope::All).into_iter();
        // A stage that goes may have been the only one to need another.
        let same = |other: &Finding| finding.rule != "UnusedStage" || other.message == finding.message;
        findings
            .filter(|other| other.rule == finding.rule && same(other))
            .count()
    };
    if of_rule(&mended) >= of_rule(input) {
        return Some(format!("{} is still found in\n{}", finding.rule, mended.source));
    }
    let (before, after) = (crate::analyze(input), crate::analyze(&mended));
    if after.has_errors() && !before.has_errors() {
        return Some(format!("{} made an error in\n{}", fix.title, mended.source));
    }
    let digest = |analysis: crate::Analysis| analysis.definition.map(|definition| definition.digest);
    (fix.safe && digest(before) != digest(after))
        .then(|| format!("{} made another build of\n{}", fix.title, mended.source))
}

/// Instructions of all kinds that rules speak of, written in all the ways that they speak of.
const LINES: [&str; 43] = [
    "FROM scratch as Build",
    "from alpine:3 As base",
    "FROM --platform=$TARGETPLATFORM   debian",
    "FROM --platform=${TARGETPLATFORM} \\\n  golang:1.24 AS go",
    "FROM base",
    "FROM build AS Last",
    "FROM image:$UNSET",
    "ARG A=1",
    "# about it\nARG B",
    "ENV A b c",
    "ENV A \"b c\" d",
    "env KEY it\\ is $A",
    "ENV A=b TOKEN=x",
    "LABEL a it's",
    "LABEL a b 'c d' \"e",
    "LABEL a=b \\\n\n  c=d",
    "MAINTAINER A \"B\" $C <a@b.c>",
    "maintainer me",
    "CMD node server.js",
    "CMD [\"a\"]",
    "  ENTRYPOINT ./app --port=80",
    "ENTRYPOINT [\"/bin/app\"]",
    "HEALTHCHECK CMD a && b",
    "HEALTHCHECK NONE",
    "EXPOSE 80/TCP 127.0.0.1:53:54/udp",
    "EXPOSE 1:2",
    "WORKDIR app",
    "WORKDIR /src",
    "COPY . .",
    "COPY --from=BUILD /x /y",
    "COPY --from=Last /x /y",
    "COPY --from=0 / /",
    "COPY .npmrc ./",
    "RUN npm ci",
    "RUN apt-get update && \\\n apt-get install -y curl",
    "RUN apk add curl",
    "RUN pip install -r requirements.txt",
    "RUN go build -o /bin/app .",
    "RUN <<EOF\necho\n\napk add x\nEOF",
    "RUN \\\n # note\n\n  dnf install x",
    "USER $NOBODY",
    "Volume /data",
    "ONBUILD RUN apk add git",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    #[test]
    fn a_fix_does_what_it_says(
        first in 0..7_usize,
        lines in proptest::collection::vec(proptest::sample::select(&LINES[..]), 0..12),
        crlf in proptest::bool::ANY,
    ) {
        let mut text = [LINES[first], "\n", &lines.join("\n"), "\n"].concat();
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        let asked = "# check=experimental=InvalidDefinitionDescription\n";
        let input = input(&[asked, &text].concat());
        for finding in lint(&input, Scope::All) {
            for fix in &finding.fixes {
                let undone = left_undone(&input, &finding, fix);
                proptest::prop_assert!(undone.is_none(), "{}\nof\n{}", undone.unwrap_or_default(), input.source);
            }
        }
    }
}
