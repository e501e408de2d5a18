//! `token`: shown once, listed without it, revoked by name or id.

use crate::{Folder, fits, run};

#[test]
fn a_token_is_made_listed_and_revoked() {
    let folder = Folder::with(&[]);
    let state = folder.name("state");
    let (code, token, said) = run(&[
        "token",
        "create",
        "--state",
        &state,
        "--name",
        "ci",
        "--scope",
        "build,push",
        "--expires",
        "30d",
    ]);
    assert_eq!(code, 0, "{said}");
    assert!(token.starts_with("sw_") && token.len() == 47, "{token}");
    assert!(
        said.starts_with("token ci (") && said.contains("for build, push"),
        "{said}"
    );
    assert!(!said.contains(token.trim()), "{said}");

    let (code, listed, _) = run(&["token", "list", "--state", &state]);
    assert_eq!(code, 0);
    assert!(listed.contains("ci") && listed.contains("build,push"), "{listed}");
    assert!(!listed.contains(token.trim()) && !folder.text("state/tokens.json").contains(token.trim()));
    fits(&listed);

    let (code, said, _) = run(&["token", "revoke", "--state", &state, "ci"]);
    assert_eq!(code, 0);
    assert!(said.starts_with("revoked ci ("), "{said}");
    let (_, listed, _) = run(&["token", "list", "--state", &state, "--format", "json"]);
    assert_eq!(listed, "[]\n");
}

#[test]
fn what_cannot_be_made_or_revoked_is_said() {
    let folder = Folder::with(&[]);
    let state = folder.name("state");
    for (arguments, code, said) in [
        (
            ["create", "--scope", "root"],
            2,
            "there are plan, build, push and admin",
        ),
        (["create", "--expires", "soon"], 2, "30d"),
        (
            ["revoke", "nobody", "--verbose"],
            1,
            "there is no token \"nobody\"",
        ),
    ] {
        let mut all = vec!["token"];
        all.extend(arguments);
        all.extend(["--state", &state]);
        let (was, output, error) = run(&all);
        assert_eq!((was, output.as_str()), (code, ""), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
