//! The distribution project's own registry, filled by skopeo.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use stagewright_core::digest::Digest;
use tokio_util::sync::CancellationToken;

use super::fixture::{Bench, Content, OCI_INDEX, OCI_MANIFEST, platform, silent};
use super::server::{Reply, Server};
use crate::registry::Registry;
use crate::source::image::{Push, layer_reader};

#[tokio::test(flavor = "multi_thread")]
async fn image_that_skopeo_pushed_is_pulled_as_it_was() {
    let bench = Bench::new("");
    let Some(registry) = Registry::start(bench.directory.path()) else {
        return;
    };
    let mut content = Content::default();
    let (arm, amd) = (
        content.image("arm64", &[b"arm"]),
        content.image("amd64", &[&[0; 1024], &vec![7; 3 << 20]]),
    );
    let entries = [content.entry("arm64", &arm), content.entry("amd64", &amd)];
    let index = content.index(&entries);
    content.tag("1", &index);
    let layout = bench.directory.path().join("layout");
    content.write_layout(&layout);
    let copied = Command::new("skopeo")
        .args([
            "copy",
            "--all",
            "--insecure-policy",
            "--dest-tls-verify=false",
            "--quiet",
        ])
        .arg(format!("oci:{}:1", layout.display()))
        .arg(format!("docker://{}/team/app:1", registry.host))
        .status();
    let Ok(status) = copied else {
        println!("skipped: this machine has no skopeo");
        return;
    };
    assert!(status.success());

    let name = format!("{}/team/app:1", registry.host);
    let facts = bench.source.resolve(&name, &platform("amd64")).await.unwrap();
    assert_eq!(facts.digest, index);
    let pinned = format!("{name}@{index}");
    let cancel = CancellationToken::new();
    let pulled = bench
        .source
        .pull(&pinned, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap();
    assert_eq!(pulled.manifest, amd);
    let lengths: Vec<u64> = pulled
        .layers
        .iter()
        .map(|layer| {
            layer_reader(&bench.store, layer, 1 << 30)
                .unwrap()
                .finish()
                .unwrap()
        })
        .collect();
    assert_eq!(lengths, [1024, 3 << 20]);

    let lacking = format!("{}/team/app:2", registry.host);
    assert!(
        bench
            .source
            .resolve(&lacking, &platform("amd64"))
            .await
            .unwrap_err()
            .is_not_found()
    );
    let lacking = format!("{}/no/such:1", registry.host);
    assert!(
        bench
            .source
            .resolve(&lacking, &platform("amd64"))
            .await
            .unwrap_err()
            .is_not_found()
    );
}

/// Run by [`registry_with_a_trusted_certificate_is_reached_by_https`] in a process of its own, which trusts another
/// authority; does nothing by itself.
#[tokio::test]
async fn child_that_asks_over_https() {
    let Ok(name) = std::env::var("STAGEWRIGHT_HTTPS_TEST") else {
        return;
    };
    let config = "[registry.\"localhost\"]\nplain-http = false";
    let host = name.split('/').next().unwrap();
    let bench = Bench::new(&config.replace("localhost", host));
    match bench.source.resolve(&name, &platform("amd64")).await {
        Ok(facts) => println!("ANSWER resolved {}", facts.digest),
        Err(error) => println!("ANSWER {error}"),
    }
}

/// What the child with the given trust says of the image.
fn ask_over_https(name: &str, trusted: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "source::image::tests::real_registry::child_that_asks_over_https",
            "--nocapture",
        ])
        .env("STAGEWRIGHT_HTTPS_TEST", name)
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = text
        .lines()
        .find_map(|line| line.split_once("ANSWER ").map(|(_, answer)| answer.to_owned()));
    answer.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_with_a_trusted_certificate_is_reached_by_https() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let certificate = |name: &str| {
        Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=stagewright test",
            ])
            .args([
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ])
            .args([
                "-keyout",
                &path(&format!("{name}.key")),
                "-out",
                &path(&format!("{name}.crt")),
            ])
            .stderr(Stdio::null())
            .status()
    };
    if certificate("own").is_err() {
        println!("skipped: this machine has no openssl");
        return;
    }
    certificate("other").unwrap();
    let tls = format!("{{certificate: {}, key: {}}}", path("own.crt"), path("own.key"));
    let Some(registry) = Registry::start_with(directory.path(), &format!(", tls: {tls}"), "") else {
        return;
    };
    let name = format!("{}/team/app:1", registry.host);
    let lacking = ask_over_https(&name, Path::new(&path("own.crt")));
    assert!(lacking.contains("says there is no such image"), "{lacking}");
    let untrusted = ask_over_https(&name, Path::new(&path("other.crt")));
    assert!(
        untrusted.contains("cannot reach") && untrusted.contains("certificate"),
        "{untrusted}"
    );
    let nothing = ask_over_https(&name, Path::new("/dev/null"));
    assert!(
        nothing.contains("are the system's CA certificates installed?"),
        "{nothing}"
    );
}

/// An image of two layers that are in the bench's store, and all that a registry has to hold of it.
fn stored_image(bench: &Bench) -> (Digest, Push) {
    let mut content = Content::default();
    let image = content.image("amd64", &[b"one", &vec![7; 3 << 20]]);
    let mut push = Push::default();
    for (digest, bytes) in &content.blobs {
        bench.store.put(bytes).unwrap();
        let digest = digest.parse().unwrap();
        if digest != image {
            push.blobs.insert(digest, bytes.len() as u64);
        }
    }
    let bytes = content.blobs[image.as_str()].clone();
    push.manifests
        .push((image.clone(), OCI_MANIFEST.to_owned(), bytes));
    (image, push)
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_image_is_there_and_its_blobs_are_sent_once() {
    let bench = Bench::new("");
    let Some(registry) = Registry::start(bench.directory.path()) else {
        return;
    };
    let (image, mut push) = stored_image(&bench);
    let name = |text: &str| format!("{}/{text}", registry.host).parse().unwrap();
    let first = bench.source.push(&name("team/app:1"), &push).await.unwrap();
    assert_eq!((first.present, first.mounted, first.uploaded), (0, 0, 3));
    assert_eq!(first.bytes, push.blobs.values().sum::<u64>());
    let again = bench.source.push(&name("team/app:2"), &push).await.unwrap();
    assert_eq!((again.present, again.uploaded), (3, 0));
    // What came from another repository of the same registry is taken over there; what did not is sent.
    let origins = push.blobs.keys().take(2).cloned();
    push.origins = origins.map(|blob| (blob, name("team/app:1"))).collect();
    let other = bench.source.push(&name("other/app:1"), &push).await.unwrap();
    assert_eq!((other.present, other.mounted, other.uploaded), (0, 2, 1));
    // An origin that turns out to lack the blob costs nothing but the question.
    push.origins = push
        .blobs
        .keys()
        .map(|blob| (blob.clone(), name("no/such:1")))
        .collect();
    let sent = bench.source.push(&name("third/app:1"), &push).await.unwrap();
    assert_eq!((sent.mounted, sent.uploaded), (0, 3));

    // A blob that was damaged since is not sent, and can be made or fetched anew.
    push.origins.clear();
    let (blob, _) = push.blobs.iter().max_by_key(|(_, size)| **size).unwrap();
    let bytes = fs::read(bench.store.path(blob)).unwrap();
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(bench.store.path(blob), damaged).unwrap();
    let error = bench.source.push(&name("fourth/app:1"), &push).await.unwrap_err();
    assert!(error.to_string().contains("was damaged on the disk"), "{error}");
    assert!(!bench.store.contains(blob));
    bench.store.put(&bytes).unwrap();
    bench.source.push(&name("fourth/app:1"), &push).await.unwrap();

    let fresh = Bench::new("");
    for name in ["team/app:1", "team/app:2", "other/app:1", "third/app:1"] {
        let name = format!("{}/{name}", registry.host);
        let facts = fresh.source.resolve(&name, &platform("amd64")).await.unwrap();
        assert_eq!(facts.digest, image);
    }
    let cancel = CancellationToken::new();
    let pulled = format!("{}/third/app:1", registry.host);
    fresh
        .source
        .pull(&pulled, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn list_of_images_is_pushed_with_them_and_may_stay_without_a_tag() {
    let bench = Bench::new("");
    let Some(registry) = Registry::start(bench.directory.path()) else {
        return;
    };
    let (image, mut push) = stored_image(&bench);
    let size = push.manifests[0].2.len();
    let index = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{OCI_INDEX}\",\"manifests\":[{{\"mediaType\":\"{OCI_MANIFEST}\",\"digest\":\"{image}\",\"size\":{size},\"platform\":{{\"os\":\"linux\",\"architecture\":\"amd64\"}}}}]}}"
    );
    let list = Digest::of(index.as_bytes());
    push.manifests
        .push((list.clone(), OCI_INDEX.to_owned(), index.into_bytes()));
    push.untagged = true;
    let name = format!("{}/team/app:1", registry.host);
    bench.source.push(&name.parse().unwrap(), &push).await.unwrap();
    let fresh = Bench::new("");
    assert!(
        fresh
            .source
            .resolve(&name, &platform("amd64"))
            .await
            .unwrap_err()
            .is_not_found()
    );
    let pinned = format!("{}/team/app@{list}", registry.host);
    let facts = fresh.source.resolve(&pinned, &platform("amd64")).await.unwrap();
    assert_eq!(facts.digest, list);
}

#[tokio::test(flavor = "multi_thread")]
async fn push_asks_for_a_token_that_opens_what_it_touches() {
    let tokens = Server::start(|_| Reply::ok(r#"{"token":"t"}"#)).await;
    let bench = Bench::new("");
    let auth = format!(
        "auth: {{silly: {{realm: \"http://{}/token\", service: test}}}}",
        tokens.host
    );
    let Some(registry) = Registry::start_with(bench.directory.path(), "", &auth) else {
        return;
    };
    let (_, mut push) = stored_image(&bench);
    let name = |text: &str| format!("{}/{text}", registry.host).parse().unwrap();
    bench.source.push(&name("a:1"), &push).await.unwrap();
    push.origins = push
        .blobs
        .keys()
        .map(|blob| (blob.clone(), name("a:1")))
        .collect();
    let pushed = bench.source.push(&name("b:1"), &push).await.unwrap();
    assert_eq!(pushed.mounted, 3, "{pushed:?}");
    let asked: Vec<String> = tokens.seen().iter().map(|request| request.path.clone()).collect();
    let scope = |text: &str| text.replace(':', "%3A").replace(',', "%2C");
    let with = |scopes: &[&str]| {
        asked.iter().any(|path| {
            path.matches("scope=").count() == scopes.len()
                && scopes.iter().all(|text| path.contains(&scope(text)))
        })
    };
    assert!(with(&["repository:a:pull,push"]), "{asked:?}");
    assert!(
        with(&["repository:b:pull,push", "repository:a:pull"]),
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_that_takes_nothing_is_explained() {
    let bench = Bench::new("");
    let (_, push) = stored_image(&bench);
    for (status, said) in [
        (403, "does not let just anyone push"),
        (405, "takes no uploads"),
        (413, "too large"),
        (500, "failed"),
        (200, "with 200"),
    ] {
        let server = Server::start(move |request| {
            // A question about a blob has no body to answer with.
            if request.path.ends_with("/uploads/") {
                Reply::status(status)
            } else {
                Reply::status(404)
            }
        })
        .await;
        let name = format!("{}/a:1", server.host).parse().unwrap();
        let error = bench.source.push(&name, &push).await.unwrap_err().to_string();
        assert!(error.contains(said), "{status}: {error}");
    }
    let nobody = "127.0.0.1:1/a:1".parse().unwrap();
    let error = bench.source.push(&nobody, &push).await.unwrap_err().to_string();
    assert!(error.contains("cannot reach"), "{error}");
}
