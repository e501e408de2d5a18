//! What copies and their like do to files, on directories of this machine.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use stagewright_core::llb::{ChownOpt, FileActionCopy, NamedUserOpt, User, UserOpt};

use super::super::super::tree::DirectoryTree;
use super::*;

/// A directory to copy from, one to copy to.
struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    /// With files given as `path=content`, links as `path->target`, directories as `path/`.
    fn new(source: &[&str], target: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (part, entries) in [("source", source), ("target", target)] {
            let root = directory.path().join(part);
            fs::create_dir(&root).unwrap();
            for entry in entries {
                if let Some((path, link)) = entry.split_once("->") {
                    fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
                    symlink(link, root.join(path)).unwrap();
                } else if let Some((path, content)) = entry.split_once('=') {
                    fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
                    fs::write(root.join(path), content).unwrap();
                } else {
                    fs::create_dir_all(root.join(entry)).unwrap();
                }
            }
        }
        Self { directory }
    }

    fn source(&self) -> PathBuf {
        self.directory.path().join("source")
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("target")
    }

    fn apply(&self, action: &Action) -> Result<(), FileError> {
        let source = DirectoryTree::open_root(&self.source()).unwrap();
        let target = Target::open(&self.target()).unwrap();
        let owner = owner(action, &|_| {
            Ok(Box::new(DirectoryTree::open_root(&self.target()).unwrap()))
        })?;
        apply(action, Some(&source), &target, owner, &CancellationToken::new())
    }

    fn copy(&self, src: &str, dest: &str) -> Result<(), FileError> {
        self.apply(&Action::Copy(copy(src, dest)))
    }

    /// What is in the target, in the notation of [`Ground::new`].
    fn listing(&self) -> String {
        fn list(root: &Path, at: &Path, text: &mut String) {
            let mut entries: Vec<_> = fs::read_dir(at)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            entries.sort();
            for path in entries {
                let name = path.strip_prefix(root).unwrap().display();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_symlink() {
                    write!(text, "{name}->{} ", fs::read_link(&path).unwrap().display()).unwrap();
                } else if metadata.is_dir() {
                    write!(text, "{name}/ ").unwrap();
                    list(root, &path, text);
                } else {
                    write!(text, "{name}={} ", fs::read_to_string(&path).unwrap()).unwrap();
                }
            }
        }
        let mut text = String::new();
        list(&self.target(), &self.target(), &mut text);
        text.trim_end().to_owned()
    }
}

/// As `COPY` is planned.
fn copy(src: &str, dest: &str) -> FileActionCopy {
    FileActionCopy {
        src: src.into(),
        dest: dest.into(),
        mode: -1,
        follow_symlink: true,
        dir_copy_contents: true,
        create_dest_path: true,
        allow_wildcard: true,
        allow_empty_wildcard: true,
        timestamp: -1,
        ..FileActionCopy::default()
    }
}

#[test]
fn copies_land_where_the_reference_puts_them() {
    for (source, target, src, dest, expected) in [
        (&["app=1"][..], &[][..], "/app", "/app", "app=1"),
        (&["app=1"], &[], "/app", "/bin/app", "bin/ bin/app=1"),
        (&["app=1"], &[], "/app", "/bin/", "bin/ bin/app=1"),
        (&["app=1"], &["bin/"], "/app", "/bin", "bin/ bin/app=1"),
        (&["app=1"], &["app=0"], "/app", "/app", "app=1"),
        (&["d/a=1", "d/s/b=2"], &[], "/d", "/d", "d/ d/a=1 d/s/ d/s/b=2"),
        (&["d/a=1"], &["d/x=0"], "/d", "/d", "d/ d/a=1 d/x=0"),
        (&["d/a=1"], &[], "/d/", "/x/", "x/ x/a=1"),
        (&["d/a=1"], &[], "/", "/w/", "w/ w/d/ w/d/a=1"),
        (
            &["a.go=1", "b.go=2", "c.md=3"],
            &[],
            "/*.go",
            "/src/",
            "src/ src/a.go=1 src/b.go=2",
        ),
        (&["x/a=1", "y/b=2"], &[], "/*", "/all/", "all/ all/a=1 all/b=2"),
        (&["a=1"], &[], "/*.none", "/x/", ""),
        // Links at the source are followed at the top, kept below.
        (&["real=1", "link->real"], &[], "/link", "/copy", "copy=1"),
        (
            &["d/real=1", "d/link->real"],
            &[],
            "/d",
            "/d",
            "d/ d/link->real d/real=1",
        ),
        // Links at the destination are followed inside the root.
        (
            &["app=1"],
            &["real/", "bin->/real"],
            "/app",
            "/bin/",
            "bin->/real real/ real/app=1",
        ),
        (
            &["app=1"],
            &["real=0", "link->real"],
            "/app",
            "/link",
            "link->real real=1",
        ),
        (
            &["app=1"],
            &["out->../../../../tmp"],
            "/app",
            "/out/app",
            "out->../../../../tmp tmp/ tmp/app=1",
        ),
        // A link in the place of a file below the top is replaced, not followed.
        (
            &["d/a=1"],
            &["d/a->../victim", "victim=0"],
            "/d",
            "/d",
            "d/ d/a=1 victim=0",
        ),
    ] {
        let ground = Ground::new(source, target);
        ground.copy(src, dest).unwrap();
        assert_eq!(
            ground.listing(),
            expected,
            "COPY {src} {dest} from {source:?} onto {target:?}"
        );
    }
}

#[test]
fn copies_that_make_no_sense_are_refused_in_words() {
    for (source, target, src, dest, expected) in [
        (
            &["app=1"][..],
            &["app/x=0"][..],
            "/app",
            "/",
            "/app is a directory in the stage",
        ),
        (
            &["d/a=1"],
            &["d=0"],
            "/d",
            "/d",
            "/d is not a directory in the stage",
        ),
        (
            &["app.go=1"],
            &[],
            "/app",
            "/",
            "there is \"app.go\"; is that what is meant?",
        ),
        (
            &[],
            &[],
            "/app",
            "/",
            "\"/app\" is not there: there is nothing at the top",
        ),
    ] {
        let error = Ground::new(source, target)
            .copy(src, dest)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn mode_and_time_are_kept_unless_told_otherwise() {
    let ground = Ground::new(&["d/run=1"], &[]);
    let file = ground.source().join("d/run");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).unwrap();
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(past)
        .unwrap();
    ground.copy("/d", "/kept").unwrap();
    let kept = fs::metadata(ground.target().join("kept/run")).unwrap();
    assert_eq!((kept.mode() & 0o7777, kept.mtime()), (0o750, 1_000));
    let told = FileActionCopy {
        mode: 0o600,
        timestamp: 7_000_000_000,
        ..copy("/d/run", "/told")
    };
    ground.apply(&Action::Copy(told)).unwrap();
    let told = fs::metadata(ground.target().join("told")).unwrap();
    assert_eq!((told.mode() & 0o7777, told.mtime()), (0o600, 7));
    let symbolic = FileActionCopy {
        mode_str: "u+s,o+r".into(),
        ..copy("/d/run", "/symbolic")
    };
    ground.apply(&Action::Copy(symbolic)).unwrap();
    assert_eq!(
        fs::metadata(ground.target().join("symbolic")).unwrap().mode() & 0o7777,
        0o4754
    );
}

#[test]
fn owners_by_name_are_looked_up_in_the_stage() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: giving files to other users needs root");
        return;
    }
    let ground = Ground::new(
        &["app=1"],
        &[
            "etc/passwd=root:x:0:0::/:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n",
            "etc/group=staff:x:50:\n",
        ],
    );
    let by_name = |name: &str| {
        Some(UserOpt {
            user: Some(User::ByName(NamedUserOpt {
                name: name.into(),
                input: 0,
            })),
        })
    };
    for (user, group, expected) in [
        (by_name("node"), None, (1000, 1001)),
        (by_name("node"), by_name("staff"), (1000, 50)),
        (
            Some(UserOpt {
                user: Some(User::ById(7)),
            }),
            None,
            (7, 7),
        ),
    ] {
        let action = FileActionCopy {
            owner: Some(ChownOpt { user, group }),
            ..copy("/app", "/made/app")
        };
        ground.apply(&Action::Copy(action)).unwrap();
        for path in ["made/app", "made"] {
            let metadata = fs::metadata(ground.target().join(path)).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), expected, "{path}");
        }
        fs::remove_dir_all(ground.target().join("made")).unwrap();
    }
}

#[test]
fn a_name_that_there_are_no_files_to_look_it_up_in_says_so() {
    let ground = Ground::new(&["app=1"], &[]);
    let by_name = UserOpt {
        user: Some(User::ByName(NamedUserOpt {
            name: "www".into(),
            input: -1,
        })),
    };
    let numbered = UserOpt {
        user: Some(User::ById(7)),
    };
    for (user, group) in [(by_name.clone(), None), (numbered, Some(by_name))] {
        let action = FileActionCopy {
            owner: Some(ChownOpt {
                user: Some(user),
                group,
            }),
            ..copy("/app", "/")
        };
        let said = ground.apply(&Action::Copy(action)).unwrap_err().to_string();
        assert!(
            said.contains("\"www\"") && said.contains("scratch does not have; use numbers"),
            "{said}"
        );
    }
}

#[test]
fn directories_on_the_way_take_over_the_setgid_bit_and_its_group() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: giving files to other users needs root");
        return;
    }
    let ground = Ground::new(&["d/f=1"], &["shared/"]);
    std::os::unix::fs::chown(ground.target().join("shared"), Some(0), Some(99)).unwrap();
    fs::set_permissions(ground.target().join("shared"), fs::Permissions::from_mode(0o2775)).unwrap();
    ground.copy("/d/f", "/shared/new/f").unwrap();
    let owned = FileActionCopy {
        owner: Some(ChownOpt {
            user: Some(UserOpt {
                user: Some(User::ById(7)),
            }),
            group: None,
        }),
        ..copy("/d/f", "/shared/owned/f")
    };
    ground.apply(&Action::Copy(owned)).unwrap();
    for (path, group, mode) in [("new", 99, 0o2755), ("new/f", 0, 0o644), ("owned", 7, 0o2755)] {
        let metadata = fs::metadata(ground.target().join("shared").join(path)).unwrap();
        assert_eq!(
            (metadata.gid(), metadata.mode() & 0o7777),
            (group, mode),
            "{path}"
        );
    }
}

#[test]
fn an_archive_changes_no_mode_outside_through_a_link() {
    let ground = Ground::new(&["victim=1"], &[]);
    let victim = ground.source().join("victim");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    for (kind, path, link) in [
        // A second name of a link, and a directory that becomes a link before it is finished.
        (tar::EntryType::Symlink, "link", victim.as_path()),
        (tar::EntryType::Link, "second", Path::new("link")),
        (tar::EntryType::Directory, "folder", Path::new("")),
        (tar::EntryType::Symlink, "folder", victim.as_path()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o4777);
        header.set_size(0);
        header.set_uid(0);
        header.set_gid(0);
        if kind == tar::EntryType::Directory {
            archive.append_data(&mut header, path, io::empty()).unwrap();
        } else {
            archive.append_link(&mut header, path, link).unwrap();
        }
    }
    fs::write(ground.source().join("a.tar"), archive.into_inner().unwrap()).unwrap();
    let add = FileActionCopy {
        attempt_unpack_docker_compatibility: true,
        ..copy("/a.tar", "/out")
    };
    ground.apply(&Action::Copy(add)).unwrap();
    assert!(
        fs::symlink_metadata(ground.target().join("out/second"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn names_that_nobody_has_change_nothing() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: giving files to other users needs root");
        return;
    }
    let ground = Ground::new(&["app=1"], &["etc/passwd=node:x:1000:1001::/:/bin/sh\n"]);
    let by_name = |name: &str| {
        Some(UserOpt {
            user: Some(User::ByName(NamedUserOpt {
                name: name.into(),
                input: 0,
            })),
        })
    };
    for (user, group, expected) in [
        ("nobody-here", None, (0, 0)),
        ("node", by_name("none-here"), (1000, 1001)),
    ] {
        let action = FileActionCopy {
            owner: Some(ChownOpt {
                user: by_name(user),
                group,
            }),
            ..copy("/app", "/app")
        };
        ground.apply(&Action::Copy(action)).unwrap();
        let metadata = fs::metadata(ground.target().join("app")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), expected, "{user}");
    }
}

#[test]
fn directories_on_the_way_have_the_mode_that_was_asked_for_in_digits() {
    let ground = Ground::new(&["d/f=1"], &[]);
    let octal = FileActionCopy {
        mode: 0o4710,
        ..copy("/d/f", "/octal/deep/f")
    };
    ground.apply(&Action::Copy(octal)).unwrap();
    let symbolic = FileActionCopy {
        mode_str: "u=rw".into(),
        ..copy("/d/f", "/symbolic/f")
    };
    ground.apply(&Action::Copy(symbolic)).unwrap();
    for (path, mode) in [
        ("octal", 0o710),
        ("octal/deep", 0o710),
        ("octal/deep/f", 0o4710),
        ("symbolic", 0o755),
    ] {
        let metadata = fs::metadata(ground.target().join(path)).unwrap();
        assert_eq!(metadata.mode() & 0o7777, mode, "{path}");
    }
}

#[test]
fn hard_links_stay_hard_links() {
    let ground = Ground::new(&["d/a=1"], &[]);
    fs::hard_link(ground.source().join("d/a"), ground.source().join("d/b")).unwrap();
    ground.copy("/d", "/d").unwrap();
    let inode = |path: &str| fs::metadata(ground.target().join(path)).unwrap().ino();
    assert_eq!(inode("d/a"), inode("d/b"));
}

#[test]
fn directories_files_and_links_are_made_and_removed() {
    let ground = Ground::new(&[], &["old/x=0", "a.log=1", "b.log=2", "l->old"]);
    let directory = FileActionMkDir {
        path: "/l/new/deep".into(),
        mode: 0o700,
        make_parents: true,
        ..Default::default()
    };
    ground.apply(&Action::MkDir(directory)).unwrap();
    let file = FileActionMkFile {
        path: "/old/new/f".into(),
        mode: 0o640,
        data: b"hi".to_vec(),
        ..Default::default()
    };
    ground.apply(&Action::MkFile(file)).unwrap();
    let link = FileActionSymlink {
        oldpath: "/old".into(),
        newpath: "/link".into(),
        ..Default::default()
    };
    ground.apply(&Action::Symlink(link)).unwrap();
    let rm = |path: &str, allow_not_found| {
        Action::Rm(FileActionRm {
            path: path.into(),
            allow_not_found,
            allow_wildcard: true,
        })
    };
    ground.apply(&rm("/*.log", false)).unwrap();
    ground.apply(&rm("/old/x", false)).unwrap();
    ground.apply(&rm("/nothing", true)).unwrap();
    assert!(ground.apply(&rm("/nothing", false)).is_err());
    assert!(ground.apply(&rm("/", false)).is_err());
    ground.apply(&rm("/l", false)).unwrap();
    assert_eq!(
        ground.listing(),
        "link->/old old/ old/new/ old/new/deep/ old/new/f=hi"
    );
    let made = fs::metadata(ground.target().join("old/new/deep")).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o700);
}

#[test]
fn local_archives_are_unpacked_by_add_and_stay_inside() {
    let ground = Ground::new(&[], &["out/elsewhere/", "out/escape->../../../../elsewhere"]);
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, content: &[u8], link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o750 } else { 0o640 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(5);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            archive.append_data(&mut header, path, content).unwrap();
        } else {
            archive.append_link(&mut header, path, link).unwrap();
        }
    };
    add("d/", tar::EntryType::Directory, b"", "");
    add("d/file", tar::EntryType::Regular, b"hello", "");
    add("d/link", tar::EntryType::Symlink, b"", "file");
    add("d/hard", tar::EntryType::Link, b"", "d/file");
    add("escape/caught", tar::EntryType::Regular, b"in", "");
    add("implied/deep", tar::EntryType::Regular, b"", "");
    let bytes = archive.into_inner().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut packed, &bytes).unwrap();
    fs::write(ground.source().join("a.tgz"), packed.finish().unwrap()).unwrap();
    let add = FileActionCopy {
        attempt_unpack_docker_compatibility: true,
        ..copy("/a.tgz", "/out")
    };
    ground.apply(&Action::Copy(add.clone())).unwrap();
    assert_eq!(
        ground.listing(),
        "out/ out/d/ out/d/file=hello out/d/hard=hello out/d/link->file out/elsewhere/ out/elsewhere/caught=in \
         out/escape->../../../../elsewhere out/implied/ out/implied/deep="
    );
    let directory = fs::metadata(ground.target().join("out/d")).unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.mtime()), (0o750, 5));
    // What is no archive is copied as it is.
    fs::write(ground.source().join("a.tgz"), "not an archive").unwrap();
    ground
        .apply(&Action::Copy(FileActionCopy {
            dest: "/plain".into(),
            ..add
        }))
        .unwrap();
    assert_eq!(
        fs::read_to_string(ground.target().join("plain")).unwrap(),
        "not an archive"
    );
}
