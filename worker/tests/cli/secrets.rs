//! `build --secret` and `--ssh`: given to steps, kept nowhere.

use std::path::Path;

use crate::Folder;

const VALUE: &str = "s3cr3t-fr0m-th3-c0mmand-line";

/// A context with a shell in it; `None`, and says so, where there is none to put there.
fn context(dockerfile: &str) -> Option<Folder> {
    let folder = Folder::with(&[("context/Dockerfile", dockerfile), ("context/token", VALUE)]);
    std::fs::create_dir(folder.path("context/bin")).unwrap();
    if std::fs::copy("/bin/busybox", folder.path("context/bin/sh")).is_err() {
        println!("skipped: there is no /bin/busybox to run");
        return None;
    }
    Some(folder)
}

/// Whether a file under a folder holds the secret.
fn is_kept(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            return is_kept(&path);
        }
        let needle = VALUE.as_bytes();
        metadata.is_file()
            && std::fs::read(&path)
                .unwrap()
                .windows(needle.len())
                .any(|part| part == needle)
    })
}

#[test]
fn a_secret_reaches_the_steps_that_ask_for_it_and_is_kept_nowhere_though_its_file_lies_in_the_context() {
    let dockerfile = "FROM scratch\nCOPY bin /bin\nRUN --mount=type=secret,id=token --mount=type=secret,id=token,env=TOKEN \
        read -r line < /run/secrets/token; test \"$line\" = \"$TOKEN\" && echo length ${#TOKEN}, value $TOKEN\n";
    let Some(folder) = context(dockerfile) else { return };
    let secret = format!("id=token,src={}", folder.name("context/token"));
    let archive = format!("type=oci,dest={}", folder.name("image.tar"));
    let flags = ["--secret", &secret, "-o", &archive, "--progress", "plain"];
    let Some((code, output, error)) = folder.build("state", &flags) else {
        return;
    };
    assert_eq!(code, 0, "{error}");
    assert!(
        error.contains(&format!("length {}, value ***", VALUE.len())),
        "{error}"
    );
    assert!(!output.contains(VALUE) && !error.contains(VALUE));
    std::fs::remove_file(folder.path("context/token")).unwrap();
    assert!(!is_kept(folder.path("").as_path()));
}

#[test]
fn a_secret_that_is_lacking_is_asked_for_and_one_that_is_no_secret_is_wrong_usage() {
    let dockerfile = "FROM scratch\nCOPY bin /bin\nRUN --mount=type=secret,id=token,required=true true\n";
    let Some(folder) = context(dockerfile) else { return };
    let Some((code, _, error)) = folder.build("state", &[]) else {
        return;
    };
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("--secret id=token,src=FILE"), "{error}");
    for (flag, value, says) in [
        ("--secret", "src=x", "lacks id"),
        ("--secret", "id=token,src=/nowhere", "cannot be read"),
        ("--ssh", "default=/nowhere", "cannot be used"),
        ("--ssh", "default=/etc/passwd", "no socket of an agent"),
    ] {
        let (code, _, error) = folder.build("state", &[flag, value]).unwrap();
        assert!(code == 2 && error.contains(says), "{code} {error}");
    }
}
