//! `check`: what is wrong, where, and by its exit code.

use crate::run;

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
        error.contains("/nowhere/Dockerfile") && error.contains("help: "),
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
