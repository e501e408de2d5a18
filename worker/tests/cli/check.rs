//! `check`: what is wrong, where, and by its exit code.

use crate::{Folder, fits, run, run_with};

#[test]
fn check_says_what_is_wrong_where_and_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Dockerfile");
    std::fs::write(&file, "FROM scratch\nCOPY --from=nowhere a /a\nRNU make\n").unwrap();
    let (code, output, _) = run(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("3 | RNU make"), "{output}");
    assert!(output.contains("^^^"), "{output}");
    std::fs::write(&file, "FROM scratch\nCOPY a /a\n").unwrap();
    let (code, output, _) = run(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{output}");
    let (code, _, error) = run(&["check", "/nowhere"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("there is no folder /nowhere") && error.contains("help: "),
        "{error}"
    );
}

#[test]
fn check_warns_of_what_had_better_be_written_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    // The target does without the first stage, so what that says is not shouted.
    let source = "FROM scratch AS a\nCMD run it\nFROM scratch\nLABEL a=b \\\n\n  c=d\n";
    std::fs::write(folder.path().join("Dockerfile"), source).unwrap();
    let (code, output, _) = run(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("note[JSONArgsRecommended]"), "{output}");
    assert!(output.contains("2 | CMD run it"), "{output}");
    // The planner says this one too.
    assert_eq!(output.matches("NoEmptyContinuation]").count(), 1, "{output}");
}

const CASES: &str = "FROM scratch as a\nCOPY x /x\n";

#[test]
fn weight_decides_what_ends_the_command_with_1() {
    let folder = Folder::with(&[("Dockerfile", CASES)]);
    for (weight, wanted) in [("error", 0), ("warning", 1), ("info", 1), ("never", 0)] {
        let (code, output, _) = run(&["check", "--fail-on", weight, &folder.name("")]);
        assert_eq!(code, wanted, "{weight}: {output}");
    }
    let broken = Folder::with(&[("Dockerfile", "FROM scratch\nRNU x\n")]);
    assert_eq!(run(&["check", "--fail-on", "never", &broken.name("")]).0, 0);
    assert_eq!(run(&["check", "--fail-on", "nothing", &broken.name("")]).0, 2);
}

#[test]
fn fix_mends_the_file_and_says_what_it_did() {
    let folder = Folder::with(&[("Dockerfile", CASES)]);
    let (code, output, _) = run(&["check", "--diff", &folder.name("")]);
    assert_eq!(code, 0);
    assert!(
        output.contains("\n-FROM scratch as a\n+FROM scratch AS a\n"),
        "{output}"
    );
    assert_eq!(folder.text("Dockerfile"), CASES, "--diff alone writes nothing");
    let (code, output, _) = run(&["check", "--fix", &folder.name("")]);
    assert_eq!(code, 0);
    assert!(
        output.starts_with("fixed ") && output.contains("Dockerfile:1: "),
        "{output}"
    );
    assert!(output.ends_with("nothing to complain about\n"), "{output}");
    assert_eq!(folder.text("Dockerfile"), "FROM scratch AS a\nCOPY x /x\n");
    let (code, _, error) = run_with(&["check", "--fix", "-f", "-"], CASES);
    assert!(code == 2 && error.contains("help: "), "{error}");
}

#[test]
fn programs_get_json_and_sarif() {
    let folder = Folder::with(&[("Dockerfile", "FROM scratch as a\nRNU x\n")]);
    let answer = |format: &str| {
        let (code, output, _) = run(&["check", "--format", format, &folder.name("")]);
        assert_eq!(code, 1, "{output}");
        serde_json::from_str::<serde_json::Value>(&output).unwrap()
    };
    let json = answer("json");
    let codes: Vec<&str> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["FromAsCasing", "unknown-instruction"]);
    assert_eq!(json[0]["fixes"][0]["safe"], true);
    let sarif = answer("sarif");
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 2);
}

#[test]
fn findings_for_people_say_how_to_mend_them() {
    let folder = Folder::with(&[("Dockerfile", CASES)]);
    let (_, output, _) = run(&["check", "-f", &folder.name("Dockerfile"), &folder.name("")]);
    assert!(output.contains("(--fix does it)"), "{output}");
    assert!(!output.contains('\u{1b}'));
    fits(output.lines().last().unwrap().rsplit('/').next().unwrap());
}
