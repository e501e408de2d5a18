//! Layers on a real kernel: mounted, unpacked, compared, and attacked.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, mknodat, utimensat,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use stagewright_core::digest::Digest;
use tempfile::TempDir;

use super::tar::{Entry, EntryKind, Most, TarReader, TarWriter};
use super::*;

fn id(name: &str) -> SnapshotId {
    name.parse().unwrap()
}

/// Where a store is. What is mounted there goes with it.
struct Place {
    dir: TempDir,
    mounted: bool,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        Self { dir, mounted: false }
    }

    /// One whose store is on a file system of its own.
    fn on(kind: &str, options: impl FnOnce(&Path) -> String) -> Option<Self> {
        let mut place = Self::new();
        let options = CString::new(options(place.path())).unwrap();
        match mount(kind, place.state(), kind, MountFlags::empty(), options.as_c_str()) {
            Ok(()) => {
                place.mounted = true;
                Some(place)
            }
            Err(error) => {
                println!("skipped: a file system of the kind {kind} cannot be mounted: {error}");
                None
            }
        }
    }

    fn on_overlay() -> Option<Self> {
        Self::on("overlay", |dir| {
            let [lower, upper, work] = ["lower", "upper", "work"].map(|part| dir.join(part));
            for part in [&lower, &upper, &work] {
                fs::create_dir(part).unwrap();
            }
            format!(
                "lowerdir={},upperdir={},workdir={}",
                lower.display(),
                upper.display(),
                work.display()
            )
        })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn state(&self) -> PathBuf {
        self.path().join("state")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted {
            unmount(self.state(), UnmountFlags::DETACH).unwrap();
        }
    }
}

/// A store in a fresh directory; `None`, with the reason printed, where this machine cannot mount layers.
fn store() -> Option<(Place, SnapshotStore)> {
    let place = Place::new();
    let store = SnapshotStore::open(&place.state()).unwrap();
    can_show(&store).then_some((place, store))
}

fn can_show(store: &SnapshotStore) -> bool {
    let probe = store.begin(&[]).unwrap();
    probe.commit(&id("probe")).unwrap();
    let active = store.begin(&[id("probe")]).unwrap();
    let probe = active.mount();
    if let Err(error) = &probe {
        println!("skipped: {error}");
    }
    probe.is_ok()
}

/// Stores in which layers come together in all ways there are: mounted, copied though they could be mounted, and copied
/// on a file system that overlay does not take.
fn stores() -> Vec<(Place, SnapshotStore)> {
    let Some(mounted) = store() else {
        return Vec::new();
    };
    assert_eq!(mounted.1.way().unwrap(), &Way::Mounted);
    let copying = Place::new();
    let store = SnapshotStore::open_copying(&copying.state()).unwrap();
    let mut all = vec![mounted, (copying, store)];
    all.extend(Place::on_overlay().map(copied));
    all
}

/// A store where layers have to be copied.
fn copied(place: Place) -> (Place, SnapshotStore) {
    let store = SnapshotStore::open(&place.state()).unwrap();
    let Way::Copied(reason) = store.way().unwrap() else {
        panic!("layers are mounted");
    };
    assert_eq!(reason.matches("choose").count(), 1, "one advice: {reason}");
    (place, store)
}

/// Makes the layer `name` by changing files on top of `parents`.
fn layer(
    store: &SnapshotStore,
    parents: &[SnapshotId],
    name: &str,
    change: impl FnOnce(&Path),
) -> SnapshotId {
    let active = store.begin(parents).unwrap();
    let mounted = active.mount().unwrap();
    change(mounted.path());
    drop(mounted);
    active.commit(&id(name)).unwrap();
    id(name)
}

fn diff_of(store: &SnapshotStore, layer: &SnapshotId, parents: &[SnapshotId]) -> (Vec<u8>, DiffStats) {
    let mut bytes = Vec::new();
    let lowers = store.layer_paths(parents).unwrap();
    let stats = diff(
        &store.layer_path(layer),
        &lowers,
        &DiffOptions::default(),
        &mut bytes,
    )
    .unwrap();
    assert_eq!(stats.diff_id, Digest::of(&bytes));
    assert_eq!(stats.size, bytes.len() as u64);
    (bytes, stats)
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut reader = TarReader::new(archive);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(String::from_utf8_lossy(&entry.name).into_owned());
    }
    names
}

fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &mut &**content).unwrap();
    }
    writer.finish().unwrap()
}

fn file(name: &str, content: &'static [u8]) -> (Entry, &'static [u8]) {
    let kind = EntryKind::File {
        size: content.len() as u64,
    };
    (
        Entry {
            kind,
            ..Entry::new(name.into())
        },
        content,
    )
}

fn of_kind(name: &str, kind: EntryKind) -> (Entry, &'static [u8]) {
    (
        Entry {
            kind,
            mode: 0o755,
            ..Entry::new(name.into())
        },
        b"",
    )
}

/// Everything in a tree that a layer is about, by path.
fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let kind = metadata.file_type();
            let content = if kind.is_symlink() {
                format!("-> {:?}", fs::read_link(&path).unwrap())
            } else if kind.is_file() {
                format!("{:?} links {}", fs::read(&path).unwrap(), metadata.nlink())
            } else if kind.is_char_device() || kind.is_block_device() {
                format!("device {}", metadata.rdev())
            } else {
                String::new()
            };
            found.insert(
                path.strip_prefix(root).unwrap().to_owned(),
                format!(
                    "{:o} {}:{} {} {:?} {content}",
                    metadata.mode(),
                    metadata.uid(),
                    metadata.gid(),
                    metadata.mtime(),
                    attribute::read_all(&path).unwrap(),
                ),
            );
            if metadata.is_dir() {
                pending.push(path);
            }
        }
    }
    found
}

#[test]
fn a_layer_holds_only_what_changed() {
    for (_dir, store) in stores() {
        let base = layer(&store, &[], "base", |root| {
            fs::create_dir(root.join("etc")).unwrap();
            fs::write(root.join("etc/kept"), "1").unwrap();
            fs::write(root.join("etc/gone"), "2").unwrap();
        });
        let top = layer(&store, std::slice::from_ref(&base), "top", |root| {
            assert_eq!(fs::read_to_string(root.join("etc/kept")).unwrap(), "1");
            fs::remove_file(root.join("etc/gone")).unwrap();
            fs::write(root.join("etc/new"), "3").unwrap();
        });
        let (bytes, stats) = diff_of(&store, &top, std::slice::from_ref(&base));
        assert_eq!(names(&bytes), ["etc", "etc/.wh.gone", "etc/new"]);
        assert_eq!((stats.added, stats.changed, stats.removed), (1, 1, 1));
        let view = store.view(&[base, top]).unwrap();
        let mut seen: Vec<_> = fs::read_dir(view.path().join("etc"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        seen.sort();
        assert_eq!(seen, ["kept", "new"]);
    }
}

#[test]
fn touching_nothing_gives_dockers_empty_layer() {
    for (_dir, store) in stores() {
        let base = layer(&store, &[], "base", |root| {
            fs::create_dir(root.join("d")).unwrap();
            fs::write(root.join("d/f"), "same").unwrap();
        });
        let top = layer(&store, std::slice::from_ref(&base), "top", |root| {
            // Both are copied up by overlay, and neither is changed.
            let mode = fs::metadata(root.join("d/f")).unwrap().permissions();
            fs::set_permissions(root.join("d/f"), mode).unwrap();
            fs::write(root.join("d/temporary"), "").unwrap();
            let time = fs::metadata(root.join("d")).unwrap().modified().unwrap();
            fs::remove_file(root.join("d/temporary")).unwrap();
            File::open(root.join("d")).unwrap().set_modified(time).unwrap();
            let before = fs::metadata(store.layer_path(&base).join("d"))
                .unwrap()
                .modified()
                .unwrap();
            File::open(root.join("d")).unwrap().set_modified(before).unwrap();
        });
        assert!(
            store.layer_path(&top).join("d/f").exists(),
            "overlay copied the file up"
        );
        let (bytes, stats) = diff_of(&store, &top, &[base]);
        assert!(stats.is_empty(), "{:?}", names(&bytes));
        assert_eq!(
            stats.diff_id.as_str(),
            "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
        );
    }
}

#[test]
fn a_replaced_directory_is_opaque() {
    for (_dir, store) in stores() {
        let base = layer(&store, &[], "base", |root| {
            fs::create_dir_all(root.join("d/sub")).unwrap();
            fs::write(root.join("d/old"), "").unwrap();
        });
        let top = layer(&store, std::slice::from_ref(&base), "top", |root| {
            fs::remove_dir_all(root.join("d")).unwrap();
            fs::create_dir(root.join("d")).unwrap();
            fs::write(root.join("d/new"), "").unwrap();
        });
        let (bytes, stats) = diff_of(&store, &top, std::slice::from_ref(&base));
        assert_eq!(names(&bytes), ["d", "d/.wh..wh..opq", "d/new"]);
        assert_eq!(stats.removed, 2);
        store
            .unpack(&id("again"), bytes.as_slice(), &UnpackOptions::default())
            .unwrap();
        let view = store.view(&[base.clone(), id("again")]).unwrap();
        assert_eq!(
            describe(view.path()).keys().collect::<Vec<_>>(),
            [Path::new("d"), Path::new("d/new")]
        );
        assert_eq!(diff_of(&store, &id("again"), &[base]).0, bytes);
    }
}

#[test]
fn a_new_directory_in_place_of_a_removed_one_hides_the_old_content() {
    for (_dir, store) in stores() {
        let base = layer(&store, &[], "base", |root| {
            fs::create_dir(root.join("d")).unwrap();
            fs::write(root.join("d/old"), "").unwrap();
        });
        for (name, order) in [("first", [0, 1]), ("second", [1, 0])] {
            let entries = [file(".wh.d", b""), of_kind("d", EntryKind::Directory)];
            let bytes = archive(&order.map(|index| entries[index].clone()));
            store
                .unpack(&id(name), bytes.as_slice(), &UnpackOptions::default())
                .unwrap();
            let view = store.view(&[base.clone(), id(name)]).unwrap();
            assert_eq!(
                describe(view.path()).keys().collect::<Vec<_>>(),
                [Path::new("d")],
                "{name}"
            );
        }
    }
}

#[test]
fn unpacking_and_writing_again_gives_the_same_bytes() {
    for (dir, store) in stores() {
        let made = layer(&store, &[], "made", |root| {
            fs::create_dir_all(root.join("usr/b in")).unwrap();
            fs::write(root.join("usr/b in/tool"), vec![1; 70_000]).unwrap();
            fs::set_permissions(root.join("usr/b in/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
            fs::hard_link(root.join("usr/b in/tool"), root.join("usr/zz")).unwrap();
            symlink("../nowhere/\n odd", root.join("usr/link")).unwrap();
            let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe\n new line \\");
            fs::write(root.join(odd), "odd").unwrap();
            fs::write(root.join("n".repeat(255)), "long").unwrap();
            fs::create_dir(root.join("n".repeat(200) + "d")).unwrap();
            fs::write(root.join("n".repeat(200) + "d").join("m".repeat(200)), "longer").unwrap();
            std::os::unix::fs::chown(root.join("usr"), Some(3_000_000), Some(12)).unwrap();
            std::os::unix::fs::lchown(root.join("usr/link"), Some(5), Some(6)).unwrap();
            mknodat(
                CWD,
                root.join("pipe"),
                FileType::Fifo,
                Mode::from_raw_mode(0o640),
                0,
            )
            .unwrap();
            let device = makedev(1, 3);
            mknodat(
                CWD,
                root.join("null"),
                FileType::CharacterDevice,
                Mode::from_raw_mode(0o666),
                device,
            )
            .unwrap();
            // A file capability with a line feed in it: cap_net_bind_service and cap_net_raw would not have one.
            let capability = [1, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            fs::write(root.join("capable"), "").unwrap();
            lsetxattr(
                root.join("capable"),
                "security.capability",
                &capability,
                XattrFlags::empty(),
            )
            .unwrap();
        });
        let (bytes, stats) = diff_of(&store, &made, &[]);
        assert_eq!(stats.changed, 0);
        let unpacked = store.unpack(
            &id("again"),
            bytes.as_slice(),
            &UnpackOptions {
                expected: Some(stats.diff_id.clone()),
                ..UnpackOptions::default()
            },
        );
        assert_eq!(unpacked.unwrap().diff_id, stats.diff_id);
        assert_eq!(
            describe(&store.layer_path(&id("again"))),
            describe(&store.layer_path(&made))
        );
        assert_eq!(diff_of(&store, &id("again"), &[]).0, bytes);
        drop(dir);
    }
}

#[test]
fn attributes_but_capabilities_stay_out_of_a_layer() {
    for (_dir, store) in stores() {
        let base = layer(&store, &[], "base", |root| {
            fs::write(root.join("file"), "").unwrap();
            fs::write(root.join("noted"), "").unwrap();
            lsetxattr(root.join("noted"), "user.note", b"a\nb\0c", XattrFlags::empty()).unwrap();
        });
        let kept = attribute::read_all(&store.layer_path(&base).join("noted")).unwrap();
        assert_eq!(kept.len(), 1, "later steps see it");
        let (bytes, _) = diff_of(&store, &base, &[]);
        assert!(!bytes.windows(9).any(|window| window == b"user.note"));
    }
}

#[test]
fn source_date_epoch_only_makes_files_older() {
    for (_dir, store) in stores() {
        let made = layer(&store, &[], "made", |root| {
            for (name, seconds) in [("old", 1000), ("new", 3000)] {
                let file = File::create(root.join(name)).unwrap();
                file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
                    .unwrap();
            }
        });
        let mut bytes = Vec::new();
        let options = DiffOptions {
            exactly: false,
            source_date_epoch: Some(2000),
        };
        diff(&store.layer_path(&made), &[], &options, &mut bytes).unwrap();
        let mut reader = TarReader::new(bytes.as_slice());
        let mut times = BTreeMap::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            times.insert(entry.name, entry.mtime);
        }
        assert_eq!(times.into_values().collect::<Vec<_>>(), [2000, 1000]);
    }
}

#[test]
fn an_archive_cannot_write_outside_of_its_layer() {
    for (dir, store) in stores() {
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("victim"), "untouched").unwrap();
        let before = describe(&outside);
        let up = format!(
            "{}{}",
            "../".repeat(30),
            outside.to_str().unwrap().trim_start_matches('/')
        );
        let absolute = outside.to_str().unwrap().to_owned();
        let link = |target: &str| of_kind("link", EntryKind::Symlink(target.into()));
        let hard = |name: &str, target: &str| of_kind(name, EntryKind::HardLink(target.into()));
        let attacks = [
            vec![file(&format!("{up}/new"), b"x")],
            vec![file(&format!("{absolute}/victim"), b"x")],
            vec![file("..", b"x")],
            vec![file("a/../../b", b"x")],
            vec![link(&absolute), file("link/victim", b"x")],
            vec![link(&up), file("link/victim", b"x")],
            vec![link(&absolute), file("link/.wh.victim", b"")],
            vec![link(&absolute), file("link/.wh..wh..opq", b"")],
            vec![link(&absolute), of_kind("link/victim", EntryKind::Directory)],
            vec![
                link("/"),
                of_kind("inner", EntryKind::Symlink("link/..".into())),
                file("inner/../x", b"x"),
            ],
            vec![hard("stolen", &format!("{absolute}/victim"))],
            vec![hard("stolen", &format!("{up}/victim"))],
            vec![
                link(&absolute),
                hard("stolen", "link/victim"),
                file("stolen", b"x"),
            ],
            vec![
                of_kind("victim", EntryKind::Symlink(format!("{absolute}/victim").into())),
                file("victim", b"x"),
            ],
            vec![
                of_kind("v", EntryKind::Symlink(format!("{absolute}/victim").into())),
                hard("w", "v"),
                file("w", b"x"),
            ],
            vec![file(".wh...", b"")],
            vec![file(".wh..", b"")],
            vec![file(".wh.", b"")],
            vec![file("d/.wh...", b"")],
            vec![link("link"), file("link/x", b"x")],
            vec![
                of_kind("proc", EntryKind::Symlink("/proc/self/root".into())),
                file(&format!("proc{absolute}/v"), b"x"),
            ],
        ];
        for (number, attack) in attacks.iter().enumerate() {
            let result = store.unpack(
                &id(&format!("attack{number}")),
                archive(attack).as_slice(),
                &UnpackOptions::default(),
            );
            assert_eq!(describe(&outside), before, "attack {number}: {result:?}");
            if result.is_err() {
                assert!(
                    !store.has(&id(&format!("attack{number}"))),
                    "a refused layer is not kept"
                );
            }
        }
        assert!(!dir.path().join("b").exists());
        assert!(!dir.path().join("state/active/b").exists());
    }
}

#[test]
fn an_archive_of_more_entries_or_names_than_anyone_needs_is_not_unpacked() {
    for (_dir, store) in stores() {
        let names: Vec<String> = (0..10)
            .map(|number| format!("directory-{number}/inner"))
            .collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| of_kind(name, EntryKind::Directory))
            .collect();
        let bytes = archive(&entries);
        for (most, said) in [
            (
                Most {
                    entries: 9,
                    ..Most::default()
                },
                "too many entries",
            ),
            (
                Most {
                    paths: 250,
                    ..Most::default()
                },
                "too many names of directories",
            ),
        ] {
            let options = UnpackOptions {
                most,
                ..UnpackOptions::default()
            };
            let error = store.unpack(&id("many"), bytes.as_slice(), &options).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(!store.has(&id("many")));
        }
        store
            .unpack(&id("many"), bytes.as_slice(), &UnpackOptions::default())
            .unwrap();
    }
}

#[test]
fn a_layer_deeper_than_any_path_is_refused_and_one_that_is_deep_is_taken_away_again() {
    for (_dir, store) in stores() {
        let deep = |levels: usize| vec!["d"; levels].join("/");
        let refused = archive(&[of_kind(&deep(3000), EntryKind::Directory)]);
        let error = store
            .unpack(&id("deeper"), refused.as_slice(), &UnpackOptions::default())
            .unwrap_err();
        assert!(matches!(error, SnapshotError::UnsafeEntry { .. }), "{error}");
        // Each level would cost a removal that recurses its stack, and one that does not a descriptor.
        let replaced = archive(&[of_kind(&deep(1800), EntryKind::Directory), file("d", b"x")]);
        store
            .unpack(&id("replaced"), replaced.as_slice(), &UnpackOptions::default())
            .unwrap();
        assert!(store.layer_path(&id("replaced")).join("d").is_file());
    }
}

#[test]
fn marks_of_overlay_are_not_taken_from_an_archive() {
    for (_dir, store) in stores() {
        let base = layer(&store, &[], "base", |root| {
            fs::create_dir_all(root.join("secret")).unwrap();
            fs::write(root.join("secret/key"), "k").unwrap();
        });
        let mut entry = of_kind("d", EntryKind::Directory).0;
        for name in [
            "trusted.overlay.redirect",
            "trusted.overlay.opaque",
            "trusted.overlay.metacopy",
            "user.overlay.opaque",
        ] {
            entry.attributes.insert(name.into(), b"/secret".to_vec());
        }
        entry.attributes.insert(b"user.kept".to_vec(), b"1".to_vec());
        let bytes = archive(&[(entry, b"")]);
        store
            .unpack(&id("evil"), bytes.as_slice(), &UnpackOptions::default())
            .unwrap();
        let names = attribute::read_all(&store.layer_path(&id("evil")).join("d")).unwrap();
        assert_eq!(
            names.keys().map(Vec::as_slice).collect::<Vec<_>>(),
            [b"user.kept"]
        );
        let mut listed = [0; 200];
        let length = rustix::fs::llistxattr(store.layer_path(&id("evil")).join("d"), &mut listed).unwrap();
        assert!(!String::from_utf8_lossy(&listed[..length]).contains("overlay"));
        let view = store.view(&[base, id("evil")]).unwrap();
        assert!(!view.path().join("d/key").exists());
    }
}

#[test]
fn devices_of_an_image_cannot_be_opened_through_a_view() {
    for (_dir, store) in stores() {
        let base = layer(&store, &[], "base", |root| {
            mknodat(
                CWD,
                root.join("zero"),
                FileType::CharacterDevice,
                Mode::from_raw_mode(0o666),
                makedev(1, 5),
            )
            .unwrap();
        });
        let top = layer(&store, std::slice::from_ref(&base), "top", |_| {});
        let view = store.view(&[base, top]).unwrap();
        assert!(
            fs::metadata(view.path().join("zero"))
                .unwrap()
                .file_type()
                .is_char_device()
        );
        assert!(File::open(view.path().join("zero")).is_err());
    }
}

#[test]
fn missing_directories_look_like_those_below() {
    for (_dir, store) in stores() {
        let base = layer(&store, &[], "base", |root| {
            fs::create_dir_all(root.join("srv/app")).unwrap();
            fs::set_permissions(root.join("srv/app"), fs::Permissions::from_mode(0o1770)).unwrap();
            std::os::unix::fs::chown(root.join("srv/app"), Some(33), Some(44)).unwrap();
        });
        let bytes = archive(&[file("srv/app/deep/file", b"x")]);
        let options = UnpackOptions {
            parents: &[base],
            ..UnpackOptions::default()
        };
        store.unpack(&id("top"), bytes.as_slice(), &options).unwrap();
        let metadata = fs::metadata(store.layer_path(&id("top")).join("srv/app")).unwrap();
        assert_eq!(
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid()),
            (0o1770, 33, 44)
        );
    }
}

#[test]
fn later_entries_replace_earlier_ones() {
    for (_dir, store) in stores() {
        let bytes = archive(&[
            of_kind("a", EntryKind::Directory),
            file("a/b/c", b"1"),
            file("a", b"now a file"),
            file("f", b"1"),
            of_kind("f", EntryKind::Directory),
            file("f/inner", b"2"),
            of_kind("l", EntryKind::Symlink("f".into())),
            file("l/through", b"3"),
            file("l", b"no link"),
            of_kind("same", EntryKind::HardLink("l".into())),
            of_kind("same", EntryKind::HardLink("l".into())),
            of_kind("same", EntryKind::HardLink("same".into())),
        ]);
        store
            .unpack(&id("x"), bytes.as_slice(), &UnpackOptions::default())
            .unwrap();
        let root = store.layer_path(&id("x"));
        assert_eq!(fs::read(root.join("a")).unwrap(), b"now a file");
        assert_eq!(fs::read(root.join("f/inner")).unwrap(), b"2");
        assert_eq!(fs::read(root.join("f/through")).unwrap(), b"3");
        assert_eq!(fs::read(root.join("same")).unwrap(), b"no link");
        assert!(root.join("l").symlink_metadata().unwrap().is_file());
    }
}

#[test]
fn content_that_was_not_promised_is_not_kept() {
    for (_dir, store) in stores() {
        let bytes = archive(&[file("f", b"x")]);
        let options = UnpackOptions {
            expected: Some(Digest::of(b"other")),
            ..UnpackOptions::default()
        };
        let error = store.unpack(&id("x"), bytes.as_slice(), &options).unwrap_err();
        assert!(matches!(error, SnapshotError::DiffIdMismatch { .. }), "{error}");
        assert!(!store.has(&id("x")));
        let options = UnpackOptions {
            max_bytes: Some(600),
            ..UnpackOptions::default()
        };
        let error = store.unpack(&id("x"), bytes.as_slice(), &options).unwrap_err();
        assert!(matches!(error, SnapshotError::TooLarge(600)), "{error}");
        assert!(!store.has(&id("x")));
    }
}

#[test]
fn a_hundred_layers_and_long_paths_mount() {
    let Some((dir, _store)) = store() else { return };
    let deep = dir.path().join("p".repeat(200)).join("q".repeat(100));
    let store = SnapshotStore::open(&deep).unwrap();
    let mut parents = Vec::new();
    for number in 0..100 {
        let mut bytes = archive(&[file(&format!("f{number}"), b"x")]);
        let name = id(&format!("layer{number}"));
        store
            .unpack(&name, bytes.as_slice(), &UnpackOptions::default())
            .unwrap();
        bytes.clear();
        parents.push(name);
    }
    let view = store.view(&parents).unwrap();
    assert_eq!(fs::read_dir(view.path()).unwrap().count(), 100);
    let top = layer(&store, &parents, "top", |root| {
        fs::write(root.join("f0"), "y").unwrap();
    });
    let (_, stats) = diff_of(&store, &top, &parents);
    assert_eq!((stats.added, stats.changed), (0, 1));
}

#[test]
fn an_active_layer_may_be_mounted_again() {
    for (_dir, store) in stores() {
        let base = layer(&store, &[], "base", |root| fs::write(root.join("a"), "").unwrap());
        let active = store.begin(&[base]).unwrap();
        for name in ["b", "c"] {
            let mounted = active.mount().unwrap();
            fs::write(mounted.path().join(name), "").unwrap();
        }
        let mounted = active.mount().unwrap();
        assert_eq!(fs::read_dir(mounted.path()).unwrap().count(), 3);
    }
}

#[test]
fn one_store_has_one_worker() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(dir.path()).unwrap();
    assert!(matches!(
        SnapshotStore::open(dir.path()),
        Err(SnapshotError::InUse(_))
    ));
    drop(store);
    SnapshotStore::open(dir.path()).unwrap();
}

#[test]
fn a_crash_leaves_whole_layers_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(dir.path()).unwrap();
    let active = store.begin(&[]).unwrap();
    fs::write(active.upper().join("f"), "").unwrap();
    active.commit(&id("whole")).unwrap();
    // As if the worker were killed: nothing is dropped.
    std::mem::forget(store.begin(&[]).unwrap());
    drop(store);
    // As if the machine lost power before this layer was written out.
    fs::create_dir_all(dir.path().join("layers/torn/fs")).unwrap();
    fs::write(dir.path().join("layers/torn/unsynced"), "an earlier boot").unwrap();
    fs::remove_file(dir.path().join("lock")).unwrap();
    let store = SnapshotStore::open(dir.path()).unwrap();
    assert_eq!(store.ids().unwrap(), [id("whole")]);
    assert_eq!(fs::read_dir(dir.path().join("active")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(dir.path().join("trash")).unwrap().count(), 0);
}

#[test]
fn committed_layers_reach_the_disk_before_the_store_closes() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(dir.path()).unwrap();
    store.begin(&[]).unwrap().commit(&id("a")).unwrap();
    assert!(dir.path().join("layers/a/unsynced").exists());
    drop(store);
    assert!(!dir.path().join("layers/a/unsynced").exists());
}

#[test]
fn a_layer_that_a_process_leaves_unsynced_is_seen_to_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("layers/a/unsynced");
    let store = SnapshotStore::open(dir.path()).unwrap();
    store.begin(&[]).unwrap().commit(&id("a")).unwrap();
    store.leave();
    drop(store);
    assert!(marker.exists());
    let store = SnapshotStore::open(dir.path()).unwrap();
    assert!(store.has(&id("a")));
    drop(store);
    assert!(!marker.exists());
    assert!(SnapshotStore::open(dir.path()).unwrap().has(&id("a")));
}

#[test]
fn committing_twice_keeps_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(dir.path()).unwrap();
    for content in ["first", "second"] {
        let active = store.begin(&[]).unwrap();
        fs::write(active.upper().join("f"), content).unwrap();
        active.commit(&id("x")).unwrap();
    }
    let mut found = String::new();
    File::open(store.layer_path(&id("x")).join("f"))
        .unwrap()
        .read_to_string(&mut found)
        .unwrap();
    assert_eq!(found, "first");
    store.remove(&id("x")).unwrap();
    assert!(!store.has(&id("x")));
    assert!(matches!(store.begin(&[id("x")]), Err(SnapshotError::Missing(_))));
}

#[test]
fn random_bytes_are_no_layer() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(dir.path()).unwrap();
    let noise = io::repeat(0x5a).take(2000);
    assert!(matches!(
        store.unpack(&id("x"), noise, &UnpackOptions::default()),
        Err(SnapshotError::Tar(_))
    ));
}

/// Gives what is at these paths the same times, whenever it was made.
fn date(root: &Path, paths: &[&str]) {
    let time = Timespec {
        tv_sec: 1_000_000_000,
        tv_nsec: 5,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    for path in paths {
        utimensat(CWD, root.join(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// A layer with something of each kind.
fn varied(root: &Path) {
    for folder in [
        "etc",
        "replaced/deep",
        "full/inner",
        "moved",
        "to-file",
        "quiet",
        "links",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let files = [
        "etc/kept",
        "etc/gone",
        "etc/again",
        "etc/put-back",
        "etc/longer",
        "etc/mode",
        "etc/owner",
        "replaced/deep/old",
        "full/inner/file",
        "moved/file",
        "to-file/file",
        "to-folder",
        "quiet/in-place",
        "links/a",
        "links/c",
        "links/e",
        "links/h",
    ];
    for file in files {
        fs::write(root.join(file), format!("of {file}")).unwrap();
    }
    for (first, second) in [("a", "b"), ("c", "d"), ("e", "f"), ("h", "i")] {
        fs::hard_link(root.join("links").join(first), root.join("links").join(second)).unwrap();
    }
    symlink("kept", root.join("etc/link")).unwrap();
    mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let holes = File::create(root.join("holes")).unwrap();
    holes.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"end", 2 << 20).unwrap();
    date(root, &files);
    date(root, &["etc/link", "pipe", "holes"]);
    let folders = [
        "replaced/deep",
        "full/inner",
        "etc",
        "replaced",
        "full",
        "moved",
        "to-file",
        "quiet",
        "links",
    ];
    date(root, &folders);
}

/// A step that does something to each.
fn revise(root: &Path) {
    let write = |path: &str, text: &str| fs::write(root.join(path), text).unwrap();
    fs::remove_file(root.join("etc/gone")).unwrap();
    fs::remove_file(root.join("etc/again")).unwrap();
    write("etc/again", "of etc/again");
    write("etc/put-back", "fo etc/put-back");
    write("etc/longer", "of etc/longer, and more");
    fs::set_permissions(root.join("etc/mode"), fs::Permissions::from_mode(0o4711)).unwrap();
    std::os::unix::fs::chown(root.join("etc/owner"), Some(33), Some(44)).unwrap();
    fs::remove_file(root.join("etc/link")).unwrap();
    symlink("elsewhere", root.join("etc/link")).unwrap();
    // Gone and made again, with and without what was in it.
    fs::remove_dir_all(root.join("replaced")).unwrap();
    fs::create_dir_all(root.join("replaced/deep")).unwrap();
    write("replaced/new", "new");
    fs::remove_dir_all(root.join("full")).unwrap();
    fs::create_dir_all(root.join("full/inner")).unwrap();
    write("full/inner/file", "of full/inner/file");
    // As `mv` does where it cannot rename.
    fs::create_dir(root.join("elsewhere")).unwrap();
    fs::copy(root.join("moved/file"), root.join("elsewhere/file")).unwrap();
    fs::remove_dir_all(root.join("moved")).unwrap();
    fs::remove_dir_all(root.join("to-file")).unwrap();
    write("to-file", "a file now");
    fs::remove_file(root.join("to-folder")).unwrap();
    fs::create_dir(root.join("to-folder")).unwrap();
    write("to-folder/file", "in a folder");
    // The folder around it is none the wiser.
    write("quiet/in-place", "fo quiet/in-place");
    for name in ["a", "b"] {
        fs::set_permissions(root.join("links").join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(root.join("links/h"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::remove_file(root.join("links/d")).unwrap();
    fs::hard_link(root.join("links/e"), root.join("links/g")).unwrap();
    // Something that came and went leaves nothing.
    fs::hard_link(root.join("etc/kept"), root.join("tmp")).unwrap();
    fs::remove_file(root.join("tmp")).unwrap();
    date(
        root,
        &[
            "etc/again",
            "etc/put-back",
            "etc/longer",
            "etc/mode",
            "etc/owner",
            "etc/link",
            "replaced/new",
            "replaced/deep",
            "full/inner/file",
            "full/inner",
            "elsewhere/file",
            "to-file",
            "to-folder/file",
            "quiet/in-place",
            "links/a",
            "links/b",
            "links/e",
            "etc",
            "replaced",
            "full",
            "elsewhere",
            "to-folder",
            "links",
        ],
    );
}

/// What is in a tree, but for how many names a file has: layers below may have more of them.
fn seen(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = describe(root);
    for text in found.values_mut() {
        if let Some(at) = text.find(" links ") {
            text.truncate(at);
        }
    }
    found
}

#[test]
fn copied_layers_are_to_the_byte_those_that_overlay_leaves() {
    let mut all = stores();
    all.extend(Place::on("ramfs", |_| "mode=700".to_owned()).map(copied));
    let mut expected = None;
    for (place, store) in all {
        let base = layer(&store, &[], "base", varied);
        let next = layer(&store, std::slice::from_ref(&base), "next", revise);
        let parents = [base.clone(), next.clone()];
        let last = layer(&store, &parents, "last", |root| {
            assert!(!root.join("replaced/deep/old").exists() && !root.join("etc/gone").exists());
            fs::remove_file(root.join("replaced/new")).unwrap();
            date(root, &["replaced"]);
        });
        let parents = [base.clone(), next.clone(), last.clone()];
        let found = (
            diff_of(&store, &base, &[]),
            diff_of(&store, &next, &parents[..1]),
            diff_of(&store, &last, &parents[..2]),
            seen(store.view(&parents[..2]).unwrap().path()),
            seen(store.view(&parents).unwrap().path()),
        );
        let place = place.path().display();
        let expected = expected.get_or_insert_with(|| found.clone());
        assert_eq!(names(&found.1.0), names(&expected.1.0), "{place}");
        assert_eq!(found, *expected, "{place}");
        assert_eq!(
            fs::read_dir(store.place(&base).join("../../active"))
                .unwrap()
                .count(),
            0
        );
    }
}

#[test]
fn a_step_that_changes_nothing_copies_and_leaves_nothing() {
    for (_place, store) in stores() {
        let base = layer(&store, &[], "base", varied);
        let next = layer(&store, std::slice::from_ref(&base), "next", |root| {
            assert_eq!(fs::read(root.join("links/b")).unwrap(), b"of links/a");
        });
        let (_, stats) = diff_of(&store, &next, &[base]);
        assert!(stats.is_empty());
        assert_eq!(fs::read_dir(store.layer_path(&next)).unwrap().count(), 0);
    }
}
