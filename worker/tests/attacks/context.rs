//! Build contexts, copies, mounts and working directories that lead elsewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::stage::{Stage, Victim, printed};

#[test]
fn a_link_of_the_context_to_a_file_outside_is_copied_as_a_link_and_followed_by_nobody() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    let up = format!(
        "{}{}",
        "../".repeat(12),
        victim.path.to_str().unwrap().trim_start_matches('/')
    );
    symlink(&victim.path, stage.ground.context.join("absolute")).unwrap();
    symlink(up, stage.ground.context.join("relative")).unwrap();
    symlink(&victim.folder, stage.ground.context.join("folder")).unwrap();
    for lines in [
        "COPY absolute /in/x",
        "COPY relative /in/x",
        "COPY folder /in/",
        "COPY folder/ /in/",
        "COPY folder/file /in/",
        "COPY folder/* /in/",
        "COPY absolute relative folder /in/",
        "ADD folder/file /in/",
        "COPY . /in/",
        "RUN --mount=type=bind,source=folder,target=/m mkdir /in && cat /m/* > /in/x",
        "RUN --mount=type=bind,source=absolute,target=/m mkdir /in && cat /m > /in/x",
        "RUN --mount=type=bind,target=/m mkdir /in && cat /m/absolute /m/relative /m/folder/file > /in/x",
        "RUN --mount=type=cache,from=base,source=/../../../../../..,target=/m mkdir /in && ls /m > /in/x",
    ] {
        let (ended, output) = stage.build(lines, &[]);
        assert!(matches!(ended.code, Some(0 | 1)), "{lines}: {}", ended.err);
        assert!(!ended.err.contains(Victim::CONTENT), "{lines}: {}", ended.err);
        victim.is_not_in(&output);
        victim.is_untouched();
    }
    victim.is_not_in(&stage.ground.state);
}

#[test]
fn a_copy_between_stages_stays_in_both() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    let (folder, file) = (victim.folder.display(), victim.path.display());
    let evil = format!(
        "RUN mkdir /e && ln -s {folder} /e/out && ln -s {file} /e/file && ln -s ../../../../../../../../..{folder} /e/up && \
         ln -s /proc/self/root{folder} /e/proc && ln -s /e/round /e/round\n\
         FROM base\n"
    );
    for lines in [
        // Read through the other stage's links.
        "COPY --from=1 /e/out/file /in/",
        "COPY --from=1 /e/out/ /in/",
        "COPY --from=1 /e/file /in/",
        "COPY --from=1 /e/up/file /in/",
        "COPY --from=1 /e/proc/file /in/",
        "COPY --from=1 /e/round /in/",
        "COPY --from=1 /../../../../../../e/out/file /in/",
        "RUN --mount=from=1,source=/e/out,target=/m cat /m/file",
        "RUN --mount=from=1,source=/e/proc,target=/m cat /m/file",
        // Written through links of one's own.
        &format!("RUN ln -s {folder} /out\nCOPY busybox /out/new"),
        &format!("RUN ln -s {file} /out\nCOPY busybox /out"),
        &format!("RUN ln -s ../../../../../../../../../../../..{folder} /out\nADD busybox /out/new"),
        &format!("RUN ln -s /proc/self/root{folder} /out\nCOPY busybox /out/new"),
        &format!("RUN ln -s {folder} /out\nWORKDIR /out/new\nRUN touch x"),
        &format!("WORKDIR /../../../../../../../..{folder}/new\nRUN touch x"),
        &format!("RUN ln -s {folder} /out\nRUN --mount=type=cache,target=/out/new touch /out/new/x"),
        &format!("RUN ln -s {folder} /out\nRUN --mount=type=tmpfs,target=/out/new touch /out/new/x"),
        &format!(
            "RUN ln -s {file} /out\nRUN --mount=type=bind,from=base,source=/bin/busybox,target=/out true"
        ),
        &format!(
            "RUN mkdir /etc; ln -s {file} /etc/hosts; ln -s {file} /etc/resolv.conf\nRUN cat /etc/hosts"
        ),
        &format!(
            "RUN mkdir /etc; ln -s {file} /etc/passwd; ln -s {file} /etc/group\nUSER {}\nRUN true",
            "0ut"
        ),
        &format!("RUN mkdir /etc; ln -s {file} /etc/passwd\nCOPY --chown=0ut busybox /x"),
    ] {
        let (ended, output) = stage.build(&format!("{evil}{lines}"), &[]);
        assert!(matches!(ended.code, Some(0 | 1)), "{lines}: {}", ended.err);
        assert!(!ended.err.contains(Victim::CONTENT), "{lines}: {}", ended.err);
        victim.is_not_in(&output);
        victim.is_untouched();
    }
    victim.is_not_in(&stage.ground.state);
}

#[test]
fn no_path_of_a_step_leads_through_a_descriptor_of_the_worker() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    let up = "../".repeat(12);
    let file = victim.path.to_str().unwrap().trim_start_matches('/');
    // The way of CVE-2024-21626. Which numbers there are is the worker's affair; so all are tried.
    let mut doors: Vec<String> = (3..40).map(|number| format!("/proc/self/fd/{number}")).collect();
    doors.extend(
        [
            "/proc/self/cwd",
            "/proc/1/cwd",
            "/proc/self/root",
            "/proc/thread-self/cwd",
            "/dev/fd/5",
        ]
        .map(String::from),
    );
    let ordinary = "/an/ordinary/one".to_owned();
    for door in doors.iter().chain([&ordinary]) {
        let (ended, output) = stage.build(
            &format!("WORKDIR {door}\nRUN cat ./{up}{file} 2>&1; ls -d {up}home 2>&1; echo BEGAN; true"),
            &[],
        );
        // A step either begins, in a place of its own, or is told that it has no such place.
        let has = printed(&ended.err).contains("BEGAN");
        assert!(has || *door != ordinary, "{}", ended.err);
        assert!(
            has && ended.code == Some(0) || ended.code == Some(1) && ended.err.contains("working directory"),
            "{door}: {}",
            ended.err
        );
        assert!(!ended.err.contains(Victim::CONTENT), "{door}: {}", ended.err);
        victim.is_not_in(&output);
    }
    // The same as the program, as its interpreter, and from a directory below. By a door of the step's own it is found.
    let program = |door: &str, shell: &str| {
        let lines = [
            format!("RUN [\"{door}/{shell}\", \"echo\", \"RAN\"]"),
            format!("RUN printf '#!{door}/{shell} echo\\n' > /s; chmod +x /s\nRUN [\"/s\", \"RAN\"]"),
        ];
        lines.map(|lines| {
            let (ended, _) = stage.build(&lines, &[]);
            let ran = printed(&ended.err).contains("RAN");
            assert_eq!(ran, ended.code == Some(0), "{lines}: {}", ended.err);
            ran
        })
    };
    assert_eq!(program("/proc/self/root", "bin/busybox"), [true, true]);
    let shell = fs::canonicalize("/bin/busybox").unwrap();
    let shell = shell.to_str().unwrap().trim_start_matches('/').to_owned();
    for door in doors.iter().step_by(3) {
        assert_eq!(program(door, &format!("{up}{shell}")), [false, false], "{door}");
    }
}

#[test]
fn a_dockerfile_of_a_repository_and_what_it_leaves_out_are_files_of_it() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    // The context's own Dockerfile is whatever its owner says; the worker's state is never in a context.
    fs::write(stage.ground.context.join(".dockerignore"), "!../victim\n").unwrap();
    let (ended, output) = stage.build("COPY .. /in/", &[]);
    assert!(matches!(ended.code, Some(0 | 1)), "{}", ended.err);
    victim.is_not_in(&output);
    let (ended, output) = stage.build("COPY ../victim/file /in/", &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(!output.join("in/file").exists());
    let (ended, output) = stage.build("COPY /../../../victim/file /in/", &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(!output.join("in/file").exists());
}

#[test]
fn a_folder_of_a_repository_that_is_a_link_leads_nowhere() {
    let Some(stage) = Stage::new() else { return };
    let git = |folder: &Path, arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments);
        git.current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
    };
    if git(Path::new("/"), &["--version"]).is_err() {
        return println!("skipped: there is no git");
    }
    let victim = stage.victim();
    let work = stage.outside().join("work");
    fs::create_dir_all(work.join("real")).unwrap();
    fs::write(work.join("real/Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
    let up = format!(
        "{}{}",
        "../".repeat(14),
        victim.folder.to_str().unwrap().trim_start_matches('/')
    );
    for (name, target) in [
        ("sub", victim.folder.to_str().unwrap()),
        ("up", &up),
        ("real/link", victim.path.to_str().unwrap()),
        ("real/.dockerignore", victim.path.to_str().unwrap()),
        ("Dockerfile", victim.path.to_str().unwrap()),
    ] {
        symlink(target, work.join(name)).unwrap();
    }
    let site = stage.outside().join("site");
    fs::create_dir(&site).unwrap();
    let repository = site.join("repo.git");
    for (folder, arguments) in [
        (&work, &["init", "--quiet", "-b", "main"][..]),
        (&work, &["add", "--force", "."]),
        (&work, &["commit", "--quiet", "-m", "links"]),
        (
            &work,
            &["clone", "--quiet", "--bare", ".", repository.to_str().unwrap()],
        ),
        (&repository, &["update-server-info"]),
    ] {
        let said = git(folder, arguments).unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    let site = crate::site::Site::start(&site, |_| true);
    let url = format!("http://me:word@127.0.0.1:{}/repo.git", site.port);
    for folder in ["sub", "up", "real", "real/link", "../victim", "sub/..", ""] {
        for flag in ["", "--keep-git-dir=true "] {
            let (ended, output) = stage.build(&format!("ADD {flag}{url}#main:{folder} /in/"), &[]);
            assert!(matches!(ended.code, Some(0 | 1)), "{folder}: {}", ended.err);
            assert!(!ended.err.contains(Victim::CONTENT), "{folder}: {}", ended.err);
            victim.is_not_in(&output);
        }
        let output = stage.outside().join("of-context");
        let to = format!("type=local,dest={}", output.display());
        let ended = stage
            .ground
            .run(&["build", "-o", &to, &format!("{url}#main:{folder}")]);
        assert!(matches!(ended.code, Some(0..=3)), "{folder}: {}", ended.err);
        assert!(!ended.err.contains(Victim::CONTENT), "{folder}: {}", ended.err);
        victim.is_not_in(&output);
    }
    victim.is_untouched();
    victim.is_not_in(&stage.ground.state);
}

#[test]
fn a_tree_deeper_than_any_path_is_built_or_refused_and_removed_again() {
    let Some(stage) = Stage::new() else { return };
    // Made by changing into each: no single path names the last. Each level would be a frame of a removal that recurses,
    // and an open file of one that does not.
    for thousands in [3, 8] {
        let deep = format!(
            "RUN p=$(yes d/ | head -n 1000 | tr -d '\\n'); mkdir /deep; cd /deep; i=0; \
             while [ $i -lt {thousands} ]; do mkdir -p $p; cd $p 2>/dev/null || cd -P $p 2>/dev/null; i=$((i+1)); done; echo made $i"
        );
        let (ended, _) = stage.build(&deep, &[]);
        assert!(
            printed(&ended.err).contains(&format!("made {thousands}")),
            "{}",
            ended.err
        );
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains("nests directories more than"), "{}", ended.err);
        let left = fs::read_dir(stage.ground.state.join("snapshots/active"))
            .unwrap()
            .count();
        assert_eq!(left, 0);
    }
    // In a cache it is kept, until somebody removes it.
    let cached = "RUN --mount=type=cache,target=/c p=$(yes d/ | head -n 1000 | tr -d '\\n'); cd /c; i=0; \
                  while [ $i -lt 8 ]; do mkdir -p $p; cd $p 2>/dev/null || cd -P $p 2>/dev/null; i=$((i+1)); done";
    stage.build(cached, &[]).0.well();
    // The worker lives, and what is left can be removed.
    stage.build("RUN true", &[]).0.well();
    stage.ground.run(&["prune", "--all"]).well();
    let left = fs::read_dir(stage.ground.state.join("snapshots/trash"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}

#[test]
fn a_cache_mount_that_is_swapped_for_a_link_while_it_is_mounted_leads_nowhere() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    let (folder, file) = (victim.folder.display(), victim.path.display());
    // One step puts links everywhere in the cache, the next mounts folders of it as caches' beginnings and copies.
    let lines = format!(
        "RUN --mount=type=cache,id=evil,target=/c mkdir -p /c/a && ln -sfn {folder} /c/a/out && ln -sfn {file} /c/a/file && \
         rm -rf /c/b && ln -s / /c/b\n\
         RUN --mount=type=cache,id=evil,target=/c cat /c/a/file /c/a/out/file /c/b{file} 2>&1; touch /c/a/out/new 2>&1; true"
    );
    let (ended, output) = stage.build(&lines, &["--no-cache"]);
    ended.well();
    assert!(!printed(&ended.err).contains(Victim::CONTENT), "{}", ended.err);
    victim.is_untouched();
    victim.is_not_in(&output);
}

#[test]
fn what_steps_leave_in_the_state_folder_is_out_of_reach_of_other_users() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(stage) = Stage::new() else { return };
    // Made by somebody else, for others to look into.
    fs::create_dir_all(&stage.ground.state).unwrap();
    fs::set_permissions(&stage.ground.state, fs::Permissions::from_mode(0o755)).unwrap();
    for part in ["cache-mounts", "git", "builds"] {
        fs::create_dir_all(stage.ground.state.join(part)).unwrap();
        fs::set_permissions(stage.ground.state.join(part), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let lines = "RUN --mount=type=cache,target=/c cp /bin/busybox /c/su && chmod 4755 /c/su && mknod /c/disk b 8 0 && chmod 666 /c/disk";
    stage.build(lines, &[]).0.well();
    let mut seen = 0;
    let mut open = vec![stage.ground.state.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let mode = entry.metadata().unwrap().permissions().mode();
            let file_type = entry.file_type().unwrap();
            // As somebody else would walk: only through what others may enter.
            if file_type.is_dir() && mode & 0o001 != 0 {
                open.push(entry.path());
            }
            let is_other = !(file_type.is_dir() || file_type.is_file());
            assert!(
                mode & 0o4000 == 0 && (!is_other || is_socket(&entry.path())),
                "{} can be reached",
                entry.path().display()
            );
            seen += 1;
        }
    }
    assert!(seen > 5);
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}
