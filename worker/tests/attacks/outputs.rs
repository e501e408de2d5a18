//! What comes out of a build: folders that are written to, and what is printed on a terminal.

use std::fs;
use std::os::unix::fs::symlink;

use crate::stage::{Stage, Victim, printed, says};

#[test]
fn a_link_that_an_image_left_in_an_output_folder_leads_no_later_output_out_of_it() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    let (folder, file) = (victim.folder.display(), victim.path.display());
    let output = stage.outside().join("kept");
    let build = |lines: &str| {
        fs::write(
            stage.ground.context.join("Dockerfile"),
            format!(
                "FROM scratch AS base\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
                 FROM base AS made\n{lines}\nFROM scratch\nCOPY --from=made /o /\n"
            ),
        )
        .unwrap();
        let to = format!("type=local,dest={}", output.display());
        let ended = stage.ground.run(&["build", "-o", &to, "."]);
        victim.is_untouched();
        ended
    };
    let first = build(&format!(
        "RUN mkdir /o && ln -s {folder} /o/out && ln -s {file} /o/file && ln -s ../victim /o/up && mkdir /o/d && ln -s {folder} /o/d/out"
    ));
    first.well();
    for link in ["out", "file", "up", "d/out"] {
        assert!(
            output.join(link).symlink_metadata().unwrap().is_symlink(),
            "{link}"
        );
    }
    let second = build(
        "RUN mkdir -p /o/out /o/up /o/d/out && for at in /o/out /o/up /o/d/out; do echo evil > $at/file; echo evil > $at/new; done && echo evil > /o/file && chmod 777 /o/out /o/file",
    );
    // Either the files took the links' places, or it was said that they could not.
    assert!(
        second.code == Some(1) || fs::read(output.join("out/file")).unwrap() == b"evil\n",
        "{}",
        second.err
    );
}

#[test]
fn an_archive_output_has_the_links_of_an_image_as_links() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    symlink(&victim.path, stage.ground.context.join("link")).unwrap();
    let tar = stage.outside().join("out.tar");
    stage.add("copy", "what the 1ink does not lead to");
    fs::write(
        stage.ground.context.join("Dockerfile"),
        "FROM scratch\nCOPY . /\n",
    )
    .unwrap();
    for kind in ["tar", "oci", "docker", "oci,compression=zstd"] {
        let to = format!("type={kind},dest={}", tar.display());
        stage.ground.run(&["build", "-o", &to, "."]).well();
        let content = fs::read(&tar).unwrap();
        // What was copied is found, so what is behind the link would be.
        assert!(says(&content, b"what the 1ink does not lead to"), "{kind}");
        assert!(!says(&content, Victim::CONTENT.as_bytes()), "{kind}");
    }
    victim.is_untouched();
}

#[test]
fn nothing_that_strangers_wrote_reaches_a_terminal_as_a_control_code() {
    let Some(stage) = Stage::new() else { return };
    // Titles, colours, the clipboard, answers of the terminal, overwritten lines, other directions of writing.
    let codes = "\\033]0;evil\\007 \\033[31m \\033]52;c;ZXZpbA==\\007 \\033[6n \\rover \\b\\b \\302\\233 31m \\342\\200\\256 abc";
    let (ended, _) = stage.build(
        &format!("RUN printf '{codes}\\n'; printf '{codes}\\n' >&2; echo \"\u{1b}]0;evil\u{7}\"; false"),
        &[],
    );
    assert_eq!(ended.code, Some(1));
    // What stands between them is printed.
    assert!(printed(&ended.err).contains("abc"), "{}", ended.err);
    let logs = stage.ground.run(&["history", "logs", "1"]);
    let list = stage.ground.run(&["history", "ls"]);
    for text in [&ended.err, &ended.out, &logs.out, &logs.err, &list.out] {
        for code in ['\u{1b}', '\u{7}', '\u{8}', '\r', '\u{9b}', '\u{202e}'] {
            assert!(!text.contains(code), "{code:?} in {text:?}");
        }
    }
}
