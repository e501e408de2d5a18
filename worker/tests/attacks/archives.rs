//! Archives that mean harm: as sources of `ADD`, as images to load, as layers of a base image.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use serde_json::json;
use stagewright::snapshot::tar::{Entry, EntryKind, TarWriter};
use stagewright_core::digest::Digest;

use crate::stage::{Stage, Victim, printed};

/// An archive in the making, which takes whatever names it is given.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, kind: tar::EntryType, name: &str, link: &str, content: &[u8]) -> &mut Self {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o4777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_device_major(1).unwrap();
        header.set_device_minor(5).unwrap();
        // Names that the library would not write.
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(&mut self, name: &str, content: &[u8]) -> &mut Self {
        self.add(tar::EntryType::Regular, name, "", content)
    }

    fn link(&mut self, name: &str, target: &str) -> &mut Self {
        self.add(tar::EntryType::Symlink, name, target, b"")
    }

    fn hard_link(&mut self, name: &str, target: &str) -> &mut Self {
        self.add(tar::EntryType::Link, name, target, b"")
    }

    fn done(&self) -> Vec<u8> {
        [self.0.as_slice(), &[0; 1024]].concat()
    }
}

/// Archives that would write to, read from or change the victim.
fn escapes(victim: &Victim) -> Vec<(&'static str, Vec<u8>)> {
    let folder = victim.folder.to_str().unwrap();
    let file = victim.path.to_str().unwrap();
    let up = format!("{}{}", "../".repeat(12), folder.trim_start_matches('/'));
    let mut attacks = Vec::new();
    let mut attack = |name: &'static str, build: &dyn Fn(&mut Archive)| {
        let mut archive = Archive::default();
        archive.file("first", b"so that it is an archive");
        build(&mut archive);
        attacks.push((name, archive.done()));
    };
    attack("dots", &|archive| _ = archive.file(&format!("{up}/new"), b"x"));
    attack("dots in the middle", &|archive| {
        _ = archive.file(&format!("a/../{up}/new"), b"x");
    });
    attack("an absolute path", &|archive| _ = archive.file(file, b"x"));
    attack("through a link", &|archive| {
        _ = archive
            .link("out", folder)
            .file("out/new", b"x")
            .file("out/file", b"x");
    });
    attack("through a link of dots", &|archive| {
        _ = archive.link("out", &up).file("out/file", b"x");
    });
    attack("through a link by way of /proc", &|archive| {
        _ = archive
            .link("out", "/proc/self/root")
            .file(&format!("out{file}"), b"x");
    });
    attack("onto a link", &|archive| {
        _ = archive.link("out", file).file("out", b"x");
    });
    attack("a directory onto a link", &|archive| {
        _ = archive
            .link("out", folder)
            .add(tar::EntryType::Directory, "out", "", b"")
            .file("out/new", b"x");
    });
    attack("a hard link", &|archive| {
        _ = archive.hard_link("stolen", file).file("stolen", b"x");
    });
    attack("a hard link of dots", &|archive| {
        _ = archive.hard_link("stolen", &format!("{up}/file"));
    });
    attack("a hard link through a link", &|archive| {
        _ = archive
            .link("out", folder)
            .hard_link("stolen", "out/file")
            .file("stolen", b"x");
    });
    attack("a hard link to a link", &|archive| {
        _ = archive
            .link("out", file)
            .hard_link("second", "out")
            .file("second", b"x");
    });
    attacks
}

#[test]
fn add_of_an_archive_neither_writes_nor_reads_outside() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    for (name, archive) in escapes(&victim) {
        stage.add("a.tar", archive);
        // It may be refused, or end up inside; what is outside stays as it is.
        let (ended, output) = stage.build("ADD a.tar /in/", &["--no-cache-filter", "stage-1"]);
        assert!(matches!(ended.code, Some(0 | 1)), "{name}: {}", ended.err);
        victim.is_untouched();
        victim.is_not_in(&output.join("in"));
    }
    victim.is_not_in(&stage.ground.state);
}

#[test]
fn devices_in_an_archive_are_devices_in_the_image_and_open_nowhere() {
    let Some(stage) = Stage::new() else { return };
    let mut archive = Archive::default();
    archive.add(tar::EntryType::Char, "zero", "", b"");
    archive.add(tar::EntryType::Block, "disk", "", b"");
    archive.add(tar::EntryType::Fifo, "pipe", "", b"");
    stage.add("a.tar", archive.done());
    let open = "RUN for name in zero disk; do dd if=/in/$name of=/dev/null bs=1 count=1 2>&1 && echo opened $name; done; true";
    let (ended, _) = stage.build(&format!("ADD a.tar /in/\n{open}"), &[]);
    let said = printed(&ended.well().err);
    assert_eq!(said.matches("Permission denied").count(), 2, "{said}");
    assert!(!said.contains("opened"), "{said}");
}

#[test]
fn an_archive_that_unpacks_to_ever_more_does_not_fill_the_disk() {
    let Some(stage) = Stage::new() else { return };
    // 4 GiB in some kilobytes, twice packed: what is in the archive is not unpacked again.
    let mut bomb = zstd::Encoder::new(Vec::new(), 3).unwrap();
    let mut head = Archive::default();
    head.file("zeros", b"");
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(4 << 30);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    bomb.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..4 << 10 {
        bomb.write_all(&zeros).unwrap();
    }
    bomb.write_all(&[0; 1024]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    stage.add("a.tar.zst", bomb);
    let before = used(&stage);
    let (ended, _) = stage.build("ADD a.tar.zst /in/\nRUN rm /in/zeros", &["--no-cache"]);
    ended.well();
    let grown = used(&stage).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes were written");
}

/// The bytes that the state folder takes on the disk.
fn used(stage: &Stage) -> u64 {
    let files = crate::stage::files(&stage.ground.state);
    let sizes = files.iter().filter_map(|path| fs::metadata(path).ok());
    sizes.map(|metadata| metadata.blocks() * 512).sum()
}

/// An OCI layout, as an archive or a folder, of one image with one layer.
struct Layout {
    files: Vec<(String, Vec<u8>)>,
}

impl Layout {
    fn of(layer: &[u8], diff_id: &Digest) -> Self {
        let mut layout = Self { files: Vec::new() };
        let layer_digest = layout.blob(layer);
        let config = json!({ "os": "linux", "architecture": "amd64", "config": {},
                             "rootfs": { "type": "layers", "diff_ids": [diff_id] } });
        let config = config.to_string().into_bytes();
        let config_digest = layout.blob(&config);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest,
                        "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest,
                         "size": layer.len() }],
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = layout.blob(&manifest);
        layout.index(&json!({ "digest": digest, "size": manifest.len(),
                              "mediaType": "application/vnd.oci.image.manifest.v1+json" }));
        layout
    }

    fn blob(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.files
            .push((format!("blobs/sha256/{}", digest.hex()), bytes.to_vec()));
        digest
    }

    fn index(&mut self, entry: &serde_json::Value) {
        self.files.retain(|(name, _)| name != "index.json");
        let mut entry = entry.clone();
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "hostile:1",
                                       "io.containerd.image.name": "docker.io/library/hostile:1" });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        self.files
            .push(("index.json".to_owned(), index.to_string().into_bytes()));
    }

    fn write(&self, folder: &std::path::Path) {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        for (name, content) in &self.files {
            fs::write(folder.join(name), content).unwrap();
        }
    }
}

#[test]
fn layers_of_an_image_neither_write_nor_read_outside_when_it_is_built_on() {
    let Some(stage) =
        Stage::with_config("[[substitute]]\nimage = \"hostile\"\nfrom = \"oci-layout://layout\"\n")
    else {
        return;
    };
    let victim = stage.victim();
    for (name, layer) in escapes(&victim) {
        let folder = stage.outside().join("layout");
        _ = fs::remove_dir_all(&folder);
        Layout::of(&layer, &Digest::of(&layer)).write(&folder);
        let (ended, output) = stage.build("COPY --from=hostile / /in/", &[]);
        assert!(matches!(ended.code, Some(0 | 1)), "{name}: {}", ended.err);
        victim.is_untouched();
        victim.is_not_in(&output);
    }
    victim.is_not_in(&stage.ground.state);
}

#[test]
fn a_tree_as_deep_as_a_path_may_be_ends_no_worker() {
    let Some(stage) =
        Stage::with_config("[[substitute]]\nimage = \"hostile\"\nfrom = \"oci-layout://layout\"\n")
    else {
        return;
    };
    for levels in [900, 1900] {
        let deep = vec!["d"; levels].join("/");
        let mut archive = TarWriter::new(Vec::new());
        for (name, kind) in [
            ("first", EntryKind::File { size: 0 }),
            (deep.as_str(), EntryKind::Directory),
            // And all of it is replaced again.
            ("e", EntryKind::Directory),
            ("e", EntryKind::File { size: 0 }),
        ] {
            let name = if name == "e" && kind == EntryKind::Directory {
                format!("e/{deep}")
            } else {
                name.to_owned()
            };
            let entry = Entry {
                kind,
                mode: 0o755,
                ..Entry::new(name.into_bytes())
            };
            archive.append(&entry, &mut std::io::empty()).unwrap();
        }
        let archive = archive.finish().unwrap();
        let folder = stage.outside().join("layout");
        _ = fs::remove_dir_all(&folder);
        Layout::of(&archive, &Digest::of(&archive)).write(&folder);
        stage.add("a.tar", &archive);
        for lines in [
            "ADD a.tar /in/",
            "COPY --from=hostile / /in/",
            "COPY --from=hostile /d /in/\nRUN rm -rf /in",
            "RUN --mount=type=cache,from=hostile,target=/c ls /c",
        ] {
            let (ended, _) = stage.build(lines, &["--no-cache"]);
            assert!(
                matches!(ended.code, Some(0 | 1)),
                "{lines}: {:?}\n{}",
                ended.code,
                ended.err
            );
            assert!(!ended.err.contains("overflowed its stack"), "{}", ended.err);
        }
        stage.ground.run(&["prune", "--all"]).well();
    }
}

#[test]
fn a_layout_names_no_file_outside_of_itself() {
    let Some(stage) =
        Stage::with_config("[[substitute]]\nimage = \"hostile\"\nfrom = \"oci-layout://layout\"\n")
    else {
        return;
    };
    let victim = stage.victim();
    let layer = Archive::default().file("a", b"a").done();
    let folder = stage.outside().join("layout");
    // A blob that is a link to something outside, and digests that are paths.
    let layout = Layout::of(&layer, &Digest::of(&layer));
    layout.write(&folder);
    let blob = folder.join("blobs/sha256").join(Digest::of(&layer).hex());
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(&victim.path, &blob).unwrap();
    let (ended, _) = stage.build("COPY --from=hostile / /in/", &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    victim.is_not_in(&stage.ground.state);
    for digest in ["sha256:../../../victim/file", "../../victim/file", "sha256:"] {
        let mut layout = Layout::of(&layer, &Digest::of(&layer));
        layout.index(&json!({ "digest": digest, "size": 1, "mediaType": "application/vnd.oci.image.manifest.v1+json" }));
        _ = fs::remove_dir_all(&folder);
        layout.write(&folder);
        let (ended, _) = stage.build("COPY --from=hostile / /in/", &[]);
        assert_eq!(ended.code, Some(1), "{digest}: {}", ended.err);
        assert!(!ended.err.contains(Victim::CONTENT), "{}", ended.err);
    }
}

#[test]
fn image_load_takes_names_in_an_archive_for_no_paths() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    let layer = Archive::default().file("a", b"a").done();
    let good = Layout::of(&layer, &Digest::of(&layer));
    let up = format!(
        "{}{}",
        "../".repeat(12),
        victim.folder.to_str().unwrap().trim_start_matches('/')
    );
    let archive = stage.outside().join("image.tar");
    let load = |bytes: &[u8]| {
        fs::write(&archive, bytes).unwrap();
        let ended = stage
            .ground
            .run(&["image", "load", "-i", archive.to_str().unwrap()]);
        victim.is_untouched();
        ended
    };
    let with = |add: &dyn Fn(&mut Archive)| {
        let mut archive = Archive::default();
        add(&mut archive);
        for (name, content) in &good.files {
            archive.file(name, content);
        }
        archive.done()
    };
    // Beside an image that is whole, whatever else there is changes nothing.
    load(&with(&|archive| {
        archive.file(&format!("{up}/new"), b"x");
        archive.file(victim.path.to_str().unwrap(), b"x");
        archive.link("blobs/sha256", victim.folder.to_str().unwrap());
        archive.hard_link("x", victim.path.to_str().unwrap());
        archive.add(tar::EntryType::Char, "blobs/sha256/zero", "", b"");
        archive.file("blobs/sha256/../../../../index.json.d/x", b"x");
    }))
    .well();
    // A blob that lies about its digest, and links that lead to each other or out.
    let lies = format!("blobs/sha256/{}", Digest::of(b"something else").hex());
    assert_eq!(
        load(&with(&|archive| _ = archive.file(&lies, b"x"))).code,
        Some(1)
    );
    let docker = |layer: &str| {
        json!([{ "Config": "config.json", "RepoTags": ["a:1"], "Layers": [layer] }]).to_string()
    };
    let config = json!({ "os": "linux", "architecture": "amd64",
                         "rootfs": { "type": "layers", "diff_ids": [Digest::of(Victim::CONTENT.as_bytes())] } });
    for target in [
        "round",
        "/etc/passwd",
        victim.path.to_str().unwrap(),
        &format!("{up}/file"),
    ] {
        let mut archive = Archive::default();
        archive.file("manifest.json", docker("layer.tar").as_bytes());
        archive.file("config.json", config.to_string().as_bytes());
        archive.link("layer.tar", target).link("round", "layer.tar");
        let ended = load(&archive.done());
        assert_eq!(ended.code, Some(1), "{target}");
        assert!(ended.err.contains("which is not in it"), "{}", ended.err);
    }
    victim.is_not_in(&stage.ground.state);
}

#[test]
fn image_load_is_stopped_where_an_archive_never_ends() {
    let Some(stage) = Stage::with_config("") else {
        return;
    };
    // `image-size` is the owner's; the table is already there in no file of these tests.
    let config = stage.outside().join("worker.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[limits]\nimage-size = \"8MiB\"\n")).unwrap();
    let mut bomb = zstd::Encoder::new(Vec::new(), 3).unwrap();
    let mut entry = Archive::default();
    entry.add(tar::EntryType::Fifo, "pipe", "", b"");
    for _ in 0..100_000 {
        bomb.write_all(&entry.0).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let archive = stage.outside().join("image.tar.zst");
    fs::write(&archive, bomb).unwrap();
    let ended = stage
        .ground
        .run(&["image", "load", "-i", archive.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("larger than an image may be"), "{}", ended.err);
}
