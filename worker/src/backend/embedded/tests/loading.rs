//! Images that leave a worker as an archive and come back.

use std::io::Read as _;

use super::*;
use crate::storage::image;

const DOCKERFILE: &str = "FROM base\nCOPY a.txt /a.txt\nRUN cat /a.txt > /b.txt\nCMD [\"cat\", \"/b.txt\"]\n";

/// What a build's image is as a file.
async fn archive(worker: &Worker, id: &str, format: OutputFormat) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let name: Reference = "app:1".parse().unwrap();
    let out = Box::new(file.reopen().unwrap());
    let root = worker.builds.image(id).unwrap().digest;
    let backend = worker.builds.backend();
    backend.export(&root, &name.into(), format, out).await.unwrap();
    let mut bytes = Vec::new();
    file.reopen().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// The archive with one of its files changed.
fn changed(archive: &[u8], change: impl Fn(&str, &mut Vec<u8>) -> bool) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut header = entry.header().clone();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if change(&name, &mut bytes) {
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, &name, bytes.as_slice()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn an_image_comes_back_from_either_archive_and_keeps_its_name() {
    if !possible() {
        return;
    }
    let (ground, other) = (Ground::new(), Ground::new());
    let (worker, empty) = (ground.worker(), other.worker());
    let built = worker.build(DOCKERFILE, &[("a.txt", "a\n")]).await;
    let wanted = image::read(worker.storage.content(), &built.image().digest).unwrap();

    let oci = archive(&worker, &built.id, OutputFormat::Oci).await;
    let [loaded] = &empty.storage.load(oci.as_slice(), &[]).unwrap()[..] else {
        panic!("there is one image")
    };
    assert_eq!(loaded.digest, built.image().digest);
    assert_eq!(loaded.names, ["app:1".parse().unwrap()]);
    assert_eq!(
        image::read(empty.storage.content(), &loaded.digest).unwrap(),
        wanted
    );
    // It has a name, so it stays.
    let pruned = empty
        .storage
        .prune(&crate::storage::prune::Policy::all())
        .unwrap();
    assert_eq!(pruned.failed, [""; 0]);
    assert_eq!(
        image::read(empty.storage.content(), &loaded.digest).unwrap(),
        wanted
    );

    // What docker save writes has no manifest and its layers as they are: another manifest, the same files.
    let docker = archive(&worker, &built.id, OutputFormat::Docker).await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&docker).unwrap();
    let names = ["other".parse().unwrap()];
    let loaded = empty
        .storage
        .load(packed.finish().unwrap().as_slice(), &names)
        .unwrap();
    assert_eq!(loaded[0].names, names);
    let images = image::read(empty.storage.content(), &loaded[0].digest).unwrap();
    assert_eq!(images[0].config_digest, wanted[0].config_digest);
    let ids =
        |parts: &image::Parts| -> Vec<_> { parts.layers.iter().map(|layer| layer.diff_id.clone()).collect() };
    assert_eq!(ids(&images[0]), ids(&wanted[0]));
}

#[tokio::test]
async fn an_archive_that_is_torn_or_lies_is_refused_and_the_next_one_loads() {
    if !possible() {
        return;
    }
    let (ground, other) = (Ground::new(), Ground::new());
    let (worker, empty) = (ground.worker(), other.worker());
    let built = worker.build(DOCKERFILE, &[("a.txt", "a\n")]).await;
    let oci = archive(&worker, &built.id, OutputFormat::Oci).await;
    let docker = archive(&worker, &built.id, OutputFormat::Docker).await;
    let layer = built.image().layers.last().unwrap();
    let blob = format!("blobs/sha256/{}", layer.digest.hex());
    let tar = format!("{}.tar", layer.diff_id.hex());
    let flip = |bytes: &mut Vec<u8>| {
        *bytes.last_mut().unwrap() ^= 1;
        true
    };
    for (archive, said) in [
        (oci[..oci.len() / 2].to_vec(), "cannot be"),
        (
            changed(&oci, |name, bytes| name != blob || flip(bytes)),
            "has the digest",
        ),
        (changed(&oci, |name, _| name != blob), "is not whole"),
        (
            changed(&oci, |name, _| name != "index.json"),
            "neither an OCI image layout",
        ),
        (
            changed(&docker, |name, bytes| name != tar || flip(bytes)),
            "the image is broken",
        ),
        (changed(&docker, |name, _| name != tar), "which is not in it"),
        (
            b"no archive at all, though it is long enough to be something".repeat(20),
            "cannot be",
        ),
        (Vec::new(), "neither an OCI image layout"),
    ] {
        let error = empty
            .storage
            .load(archive.as_slice(), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{said}: {error}");
        assert_eq!(empty.storage.names().list().unwrap(), []);
    }
    assert!(empty.storage.load(oci.as_slice(), &[]).is_ok());
}
