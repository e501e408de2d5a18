//! Images that come from elsewhere than their name says.

use tokio_util::sync::CancellationToken;

use super::fixture::{Bench, Content, OCI_INDEX, platform, silent};

/// A bench whose directory holds the layout `stand-in`, with `1.7.3` for two platforms and `other`.
fn bench_with_layout(config: &str) -> (Bench, Content) {
    let mut content = Content::default();
    let (arm, amd) = (
        content.image("arm64", &[b"arm"]),
        content.image("amd64", &[b"amd"]),
    );
    let entries = [content.entry("arm64", &arm), content.entry("amd64", &amd)];
    let inner = content.index(&entries);
    let outer_entries = [content.descriptor(OCI_INDEX, &inner)];
    let outer = content.index(&outer_entries);
    content.tag("1.7.3", &outer);
    content.tag("other", &arm);
    let bench = Bench::new(config);
    content.write_layout(&bench.directory.path().join("stand-in"));
    (bench, content)
}

const GOLANG: &str = "allowed-registries = []\n[[substitute]]\nimage = \"golang:1.7.3\"\n\
     from = \"oci-layout://stand-in:1.7.3\"\nnote = \"stand-in for golang:1.7.3\"";

#[tokio::test(flavor = "multi_thread")]
async fn layout_stands_in_for_an_image_and_says_so() {
    let (bench, content) = bench_with_layout(GOLANG);
    let name = "docker.io/library/golang:1.7.3";
    let facts = bench.source.resolve(name, &platform("amd64")).await.unwrap();
    assert_eq!(facts.digest.as_str(), content.tags["1.7.3"]);
    assert_eq!(facts.note.as_deref(), Some("stand-in for golang:1.7.3"));

    let pinned = format!("{name}@{}", facts.digest);
    let cancel = CancellationToken::new();
    let pulled = bench
        .source
        .pull(&pinned, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap();
    assert_eq!(pulled.note, facts.note);
    assert_eq!(pulled.config, facts.config);
    assert!(bench.store.contains(&pulled.layers[0].digest));
    // From the store, too, a stand-in is known for what it is.
    let again = bench
        .source
        .pull(&pinned, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap();
    assert_eq!(again.note, facts.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn digest_that_the_layout_lacks_is_sought_at_the_registry() {
    let mut real = Content::default();
    let image = real.image("amd64", &[b"the real one"]);
    let server = real.serve().await;
    let config = format!(
        "[[substitute]]\nimage = \"{}/golang:1.7.3\"\nfrom = \"oci-layout://stand-in:1.7.3\"\nnote = \"x\"",
        server.host
    );
    let (bench, _) = bench_with_layout(&config);
    let pinned = format!("{}/golang:1.7.3@{image}", server.host);
    let cancel = CancellationToken::new();
    for _ in 0..2 {
        let pulled = bench
            .source
            .pull(&pinned, &platform("amd64"), silent(), &cancel)
            .await
            .unwrap();
        assert_eq!((pulled.digest, pulled.note), (image.clone(), None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_image_that_was_named_is_substituted() {
    let (bench, _) = bench_with_layout(GOLANG);
    for other in ["golang:1.7.4", "golang", "someone/golang:1.7.3"] {
        let error = bench.source.resolve(other, &platform("amd64")).await.unwrap_err();
        assert!(error.to_string().contains("allowed-registries"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_layouts_are_explained() {
    for (from, expected) in [
        ("oci-layout://nowhere:1", "index.json cannot be read"),
        (
            "oci-layout://stand-in:2",
            "it has no image of that name; it has 1.7.3, other",
        ),
        (
            "oci-layout://stand-in",
            "more than one of its images would do; name one of 1.7.3, other",
        ),
    ] {
        let config = format!("[[substitute]]\nimage = \"a\"\nfrom = \"{from}\"");
        let (bench, _) = bench_with_layout(&config);
        let error = bench
            .source
            .resolve("a", &platform("amd64"))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("docker.io/library/a:latest is substituted by the OCI layout"),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_image_stands_in_at_its_own_registry() {
    let mut content = Content::default();
    let image = content.image("amd64", &[b"x"]);
    content.tag("1.7.3", &image);
    let server = content.serve().await;
    let config = format!(
        "[[substitute]]\nimage = \"golang:1.7.3\"\nfrom = \"docker-image://{}/stand-in/golang:1.7.3\"\nnote = \"n\"",
        server.host
    );
    let bench = Bench::new(&config);
    let facts = bench
        .source
        .resolve("golang:1.7.3", &platform("amd64"))
        .await
        .unwrap();
    assert_eq!((&facts.digest, facts.note.as_deref()), (&image, Some("n")));
    let pinned = format!("docker.io/library/golang:1.7.3@{image}");
    let cancel = CancellationToken::new();
    let pulled = bench
        .source
        .pull(&pinned, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap();
    assert_eq!(pulled.note.as_deref(), Some("n"));
    assert!(
        server
            .seen()
            .iter()
            .all(|request| request.path.starts_with("/v2/stand-in/golang/"))
    );
}
