//! Exports, read by other people's tools.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::*;
use crate::export::stored::Image;
use crate::export::{
    Encoding, ExportLayer, ImageOptions, LayerHistory, assemble, assemble_index, finish_config,
};

struct Setup {
    directory: tempfile::TempDir,
    store: ContentStore,
    index: LayerIndex,
}

fn setup() -> Setup {
    let directory = tempfile::tempdir().unwrap();
    let store = ContentStore::open(directory.path().join("content")).unwrap();
    let index = LayerIndex::open(&directory.path().join("layers"), store.clone()).unwrap();
    Setup {
        directory,
        store,
        index,
    }
}

/// These names, and nothing else said.
fn named(names: &[&str]) -> Naming {
    Naming {
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        annotations: BTreeMap::new(),
    }
}

/// A layer's tar with one file.
fn tar_of(path: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = Archive::new(Vec::new());
    archive.file(path, content).unwrap();
    archive.builder.into_inner().unwrap()
}

impl Setup {
    fn tar_layer(&self, tar: &[u8]) -> ExportLayer {
        self.layer(tar, Encoding::default())
    }

    fn layer(&self, tar: &[u8], encoding: Encoding) -> ExportLayer {
        let write = |out: &mut dyn Write| {
            out.write_all(tar)?;
            Ok((Digest::of(tar), tar.len() as u64))
        };
        let (diff_id, made) = self.index.encode(encoding, None, write).unwrap();
        ExportLayer {
            blob: made.descriptor(diff_id, encoding),
            vertex: None,
        }
    }

    fn docker_layer(&self, tar: &[u8]) -> ExportLayer {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(tar).unwrap();
        let blob = encoder.finish().unwrap();
        let layer = LayerDescriptor {
            digest: self.store.put(&blob).unwrap(),
            diff_id: Digest::of(tar),
            media_type: "application/vnd.docker.image.rootfs.diff.tar.gzip".into(),
            size: blob.len() as u64,
        };
        ExportLayer {
            blob: layer,
            vertex: None,
        }
    }

    /// Two layers with files, and the same empty layer twice, as two steps without effect leave it.
    fn image(&self) -> Digest {
        self.image_with(&ImageOptions::default())
    }

    fn image_with(&self, options: &ImageOptions) -> Digest {
        let empty = self.tar_layer(&[0; 1024]);
        let built = self.tar_layer(&tar_of("app", &b"binary ".repeat(400_000)));
        let layers = [
            self.docker_layer(&tar_of("etc/base", b"base\n")),
            empty.clone(),
            built,
            empty,
        ];
        let history: Vec<_> = layers
            .iter()
            .map(|layer| LayerHistory {
                diff_id: layer.blob.diff_id.clone(),
                created_by: "step".into(),
                created: Some(time::OffsetDateTime::UNIX_EPOCH),
            })
            .collect();
        let plan = serde_json::json!({
            "architecture": "amd64", "os": "linux",
            "config": { "Cmd": ["/app"], "Env": ["PATH=/bin"], "Labels": { "a": "b" } }
        });
        let config = finish_config(&plan, &history, Some(0)).unwrap();
        assemble(&self.store, &layers, &config, options).unwrap().digest
    }

    fn oci(&self, image: &Digest) -> Vec<u8> {
        let mut out = Vec::new();
        oci_archive(
            &self.store,
            image,
            &named(&["example.com/team/app:1.2"]),
            &mut out,
        )
        .unwrap();
        out
    }

    fn docker(&self, image: &Digest) -> Vec<u8> {
        let mut out = Vec::new();
        docker_archive(&self.store, &self.index, image, &named(&["app"]), &mut out).unwrap();
        out
    }
}

/// Runs a tool and gives what it printed; `None`, and says so, where the machine does not have it.
fn tool(name: &str, args: &[&str]) -> Option<String> {
    match Command::new(name).args(args).output() {
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{name} {args:?}: {error}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("skipped: this machine has no {name}");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn inspect(source: &str) -> Option<Value> {
    Some(serde_json::from_str(&tool("skopeo", &["inspect", source])?).unwrap())
}

#[test]
fn same_image_gives_the_same_archives() {
    let (one, two) = (setup(), setup());
    let image = one.image();
    assert_eq!(two.image(), image);
    assert_eq!(Digest::of(&one.oci(&image)), Digest::of(&two.oci(&image)));
    assert_eq!(Digest::of(&one.docker(&image)), Digest::of(&two.docker(&image)));
}

#[test]
fn layers_are_compressed_once() {
    let setup = setup();
    let image = setup.image();
    let blobs = setup.store.blobs().unwrap();
    let known = setup.index.compressed(&Digest::of(&[0; 1024])).unwrap();
    assert_eq!(known.unpacked_size, 1024);
    assert_eq!(setup.store.blobs().unwrap(), blobs);
    setup.store.remove(&known.digest).unwrap();
    assert_eq!(setup.index.compressed(&Digest::of(&[0; 1024])), None);
    assert!(setup.store.contains(&image));
}

#[test]
fn tar_that_is_another_one_than_was_built_is_not_exported() {
    let setup = setup();
    let before = Digest::of(b"before");
    let write = |out: &mut dyn Write| {
        out.write_all(b"after")?;
        Ok((Digest::of(b"after"), 5))
    };
    let error = setup
        .index
        .encode(Encoding::Plain, Some(&before), write)
        .unwrap_err();
    assert!(error.to_string().contains("another one now"), "{error}");
    assert_eq!(setup.index.encoded(&before, Encoding::Plain), None);
}

#[test]
fn layer_that_is_not_here_is_in_no_image_unless_only_its_files_are_wanted() {
    let setup = setup();
    let layer = setup.tar_layer(&tar_of("a", b"a"));
    setup.store.remove(&layer.blob.digest).unwrap();
    let layers = [layer];
    let error = assemble(&setup.store, &layers, b"{}", &ImageOptions::default()).unwrap_err();
    assert!(error.to_string().contains("run the build again"), "{error}");
    let unmade = ImageOptions {
        unmade: true,
        ..ImageOptions::default()
    };
    assemble(&setup.store, &layers, b"{}", &unmade).unwrap();
}

#[test]
fn every_encoding_is_read_by_others() {
    let setup = setup();
    for encoding in [Encoding::Zstd(3), Encoding::Plain, Encoding::Gzip(1)] {
        let layer = setup.layer(&tar_of("etc/file", b"content"), encoding);
        assert_eq!(layer.blob.media_type, encoding.media_type());
        let history = LayerHistory {
            diff_id: layer.blob.diff_id.clone(),
            created_by: "step".into(),
            created: None,
        };
        let plan = serde_json::json!({ "architecture": "amd64", "os": "linux" });
        let config = finish_config(&plan, &[history], None).unwrap();
        let image = assemble(&setup.store, &[layer], &config, &ImageOptions::default()).unwrap();
        let mut archive = Vec::new();
        docker_archive(
            &setup.store,
            &setup.index,
            &image.digest,
            &named(&["a"]),
            &mut archive,
        )
        .unwrap();
        let path = setup.directory.path().join(encoding.folder());
        fs::write(&path, setup.oci(&image.digest)).unwrap();
        let copy = path.with_extension("copy");
        let from = format!("oci-archive:{}:1.2", path.display());
        let to = format!("dir:{}", copy.display());
        if tool("skopeo", &["copy", "--insecure-policy", &from, &to]).is_none() {
            return;
        }
    }
}

#[test]
fn a_folder_that_is_given_up_names_nothing_and_has_nothing_half_written() {
    let setup = setup();
    let image = setup.image();
    let layout = setup.directory.path().join("layout");
    let naming = named(&["app:1"]);
    for last in 0..4 {
        let pieces = std::sync::atomic::AtomicU32::new(0);
        let wanted = || pieces.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < last;
        assert!(oci_layout(&setup.store, &image, &naming, &layout, &wanted).is_err());
        assert!(!layout.join("index.json").exists());
        for entry in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let bytes = fs::read(layout.join("blobs/sha256").join(&name)).unwrap();
            assert_eq!(Digest::of(&bytes).hex(), name);
        }
    }
    oci_layout(&setup.store, &image, &naming, &layout, &|| true).unwrap();
    assert!(layout.join("index.json").exists());
}

#[test]
fn list_of_images_is_written_whole_as_a_tar_and_as_a_folder() {
    let setup = setup();
    let images = [
        (setup.image(), BTreeMap::from([("a".to_owned(), "b".to_owned())])),
        (
            setup.image_with(&ImageOptions {
                annotations: BTreeMap::from([("other".to_owned(), "image".to_owned())]),
                ..ImageOptions::default()
            }),
            BTreeMap::new(),
        ),
    ];
    let annotations = BTreeMap::from([("of".to_owned(), "index".to_owned())]);
    let index = assemble_index(&setup.store, &images, &[], &annotations).unwrap();
    let layout = setup.directory.path().join("layout");
    let naming = Naming {
        annotations: BTreeMap::from([("c".to_owned(), "d".to_owned())]),
        ..named(&["app:1"])
    };
    oci_layout(&setup.store, &index, &naming, &layout, &|| true).unwrap();
    // Again over what is there.
    oci_layout(&setup.store, &index, &naming, &layout, &|| true).unwrap();
    let mut archive = Vec::new();
    oci_archive(&setup.store, &index, &naming, &mut archive).unwrap();
    let root = file_of(&archive, "index.json");
    let text = fs::read_to_string(layout.join("index.json")).unwrap();
    assert_eq!(root, serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!(root["manifests"][0]["digest"], index.as_str());
    assert_eq!(root["manifests"][0]["annotations"]["c"], "d");
    let list = file_of(&archive, &blob_path(&index));
    assert_eq!(list["annotations"]["of"], "index");
    assert_eq!(list["manifests"][0]["annotations"]["a"], "b");
    assert_eq!(list["manifests"][1]["platform"]["architecture"], "amd64");
    let source = format!("oci:{}:1", layout.display());
    if let Some(raw) = tool("skopeo", &["inspect", "--raw", &source]) {
        assert_eq!(Digest::of(raw.as_bytes()), index);
    }
    let mut docker = Vec::new();
    let error = docker_archive(&setup.store, &setup.index, &index, &naming, &mut docker).unwrap_err();
    assert!(error.to_string().contains("one platform"), "{error}");
}

#[test]
fn manifest_speaks_the_ocis_words_only() {
    let setup = setup();
    let bytes = setup.store.read(&setup.image(), 1 << 20).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains("docker"), "{text}");
    assert_eq!(
        text.matches("application/vnd.oci.image.layer.v1.tar+gzip")
            .count(),
        4
    );
}

#[test]
fn skopeo_and_umoci_take_the_oci_archive() {
    let setup = setup();
    let image = setup.image();
    let archive = setup.directory.path().join("image.tar");
    fs::write(&archive, setup.oci(&image)).unwrap();
    let Some(seen) = inspect(&format!("oci-archive:{}:1.2", archive.display())) else {
        return;
    };
    assert_eq!(seen["Digest"], image.as_str());
    assert_eq!(seen["Layers"].as_array().unwrap().len(), 4);
    assert_eq!(seen["Labels"]["a"], "b");

    let layout = setup.directory.path().join("layout");
    fs::create_dir(&layout).unwrap();
    let layout_text = layout.to_str().unwrap();
    tool("tar", &["-xf", archive.to_str().unwrap(), "-C", layout_text]).unwrap();
    let bundle = setup.directory.path().join("bundle");
    let image_name = format!("{layout_text}:1.2");
    let unpack = [
        "unpack",
        "--rootless",
        "--image",
        &image_name,
        bundle.to_str().unwrap(),
    ];
    if tool("umoci", &unpack).is_some() {
        assert_eq!(fs::read(bundle.join("rootfs/etc/base")).unwrap(), b"base\n");
        assert_eq!(
            fs::read(bundle.join("rootfs/app")).unwrap(),
            b"binary ".repeat(400_000)
        );
    }
}

#[test]
fn skopeo_takes_the_docker_archive_and_finds_the_same_layers() {
    let setup = setup();
    let image = setup.image();
    let archive = setup.directory.path().join("image.tar");
    fs::write(&archive, setup.docker(&image)).unwrap();
    let Some(seen) = inspect(&format!(
        "docker-archive:{}:docker.io/library/app:latest",
        archive.display()
    )) else {
        return;
    };
    let config: Value =
        serde_json::from_slice(&Image::read(&setup.store, &image).unwrap().config_bytes).unwrap();
    assert_eq!(seen["Layers"], config["rootfs"]["diff_ids"]);
    let copy = setup.directory.path().join("copy");
    let from = format!("docker-archive:{}", archive.display());
    tool(
        "skopeo",
        &[
            "copy",
            "--insecure-policy",
            &from,
            &format!("oci:{}:x", copy.display()),
        ],
    )
    .unwrap();
    assert_eq!(
        inspect(&format!("oci:{}:x", copy.display())).unwrap()["Labels"]["a"],
        "b"
    );
}

/// What stands in an archive under a path.
fn file_of(archive: &[u8], path: &str) -> Value {
    let mut archive = tar::Archive::new(archive);
    let mut entry = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find(|entry| entry.path().unwrap() == Path::new(path))
        .unwrap();
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn archive_has_every_name_or_none() {
    let setup = setup();
    let image = setup.image();
    for (names, there) in [(named(&["a:1", "b.c/d:2"]), 2), (named(&[]), 0)] {
        let (mut oci, mut docker) = (Vec::new(), Vec::new());
        oci_archive(&setup.store, &image, &names, &mut oci).unwrap();
        docker_archive(&setup.store, &setup.index, &image, &names, &mut docker).unwrap();
        let index = file_of(&oci, "index.json");
        let entries = index["manifests"].as_array().unwrap();
        let annotated = entries.iter().filter(|entry| entry.get("annotations").is_some());
        assert_eq!((entries.len(), annotated.count()), (there.max(1), there));
        let tags = &file_of(&docker, "manifest.json")[0]["RepoTags"];
        assert_eq!(tags.as_array().unwrap().len(), there);
    }
}

#[test]
fn annotations_stand_in_the_manifest() {
    let setup = setup();
    let plain = setup.image();
    let options = ImageOptions {
        annotations: [("org.example.a".to_owned(), "b".to_owned())].into(),
        ..ImageOptions::default()
    };
    let image = setup.image_with(&options);
    assert_ne!(image, plain);
    let manifest =
        |image| -> Value { serde_json::from_slice(&setup.store.read(image, 1 << 20).unwrap()).unwrap() };
    assert_eq!(manifest(&image)["annotations"]["org.example.a"], "b");
    assert_eq!(manifest(&plain).get("annotations"), None);
    assert_eq!(manifest(&image)["layers"], manifest(&plain)["layers"]);
}

#[test]
fn output_that_breaks_off_is_an_error() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or_else(|| io::Error::other("full"))?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let setup = setup();
    let image = setup.image();
    let naming = named(&["app"]);
    assert!(matches!(
        oci_archive(&setup.store, &image, &naming, Full(3000)),
        Err(ExportError::Output(_))
    ));
    let docker = docker_archive(&setup.store, &setup.index, &image, &naming, Full(3000));
    assert!(matches!(docker, Err(ExportError::Output(_))));
}
