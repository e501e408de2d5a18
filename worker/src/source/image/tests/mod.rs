//! Images from registries that behave and registries that do not.

mod access;
mod downloads;
mod fixture;
mod hostile;
mod layouts;
mod real_registry;
mod server;
mod uploads;

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use stagewright_core::digest::Digest;
use tokio_util::sync::CancellationToken;

use self::fixture::{Bench, Content, OCI_INDEX, platform, silent};
use self::server::Server;
use super::layer_reader;

fn one_image() -> (Content, Digest) {
    let mut content = Content::default();
    let image = content.image("amd64", &[b"one", b"two"]);
    content.tag("1", &image);
    (content, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn tag_resolves_to_its_digest_and_the_answer_is_kept() {
    let (content, image) = one_image();
    let server = content.serve().await;
    let bench = Bench::new("");
    let name = format!("{}/a:1", server.host);
    let facts = bench.source.resolve(&name, &platform("amd64")).await.unwrap();
    assert_eq!(facts.digest, image);
    assert_eq!(facts.config["config"]["Env"][0], "PATH=/bin");
    assert!(facts.size > 0 && facts.note.is_none());
    let asked = server.seen().len();
    assert_eq!(
        bench.source.resolve(&name, &platform("amd64")).await.unwrap(),
        facts
    );
    assert_eq!(server.seen().len(), asked);
    assert!(server.seen()[0].header("accept").contains(OCI_INDEX));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_ask_at_once_share_one_answer() {
    let (content, _) = one_image();
    // The registry answers only once both have asked: the futures below are polled in their order.
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let server = Server::start(move |request| {
        while request.path.contains("/manifests/") && !gate.load(Ordering::SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        content.answer(request)
    })
    .await;
    let bench = Bench::new("");
    let platform = platform("amd64");
    for (tag, there) in [("1", true), ("2", false)] {
        open.store(false, Ordering::SeqCst);
        let name = format!("{}/a:{tag}", server.host);
        let (one, two, ()) = tokio::join!(
            bench.source.resolve(&name, &platform),
            bench.source.resolve(&name, &platform),
            async {
                open.store(true, Ordering::SeqCst);
            }
        );
        assert_eq!((one.is_ok(), two.is_ok()), (there, there));
        assert_eq!(server.count(&format!("manifests/{tag}")), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pulled_image_is_there_without_its_registry() {
    let (content, image) = one_image();
    let server = content.serve().await;
    let bench = Bench::new("");
    let name = format!("{}/a:1@{image}", server.host);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&heard);
    let report = Arc::new(move |progress| tell.lock().unwrap().push(progress));
    let cancel = CancellationToken::new();
    let pulled = bench
        .source
        .pull(&name, &platform("amd64"), report, &cancel)
        .await
        .unwrap();
    assert_eq!((&pulled.digest, &pulled.manifest), (&image, &image));
    for (layer, tar) in pulled.layers.iter().zip([b"one", b"two"]) {
        let mut text = Vec::new();
        layer_reader(&bench.store, layer, 100)
            .unwrap()
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, tar);
        let heard = heard.lock().unwrap();
        assert!(
            heard
                .iter()
                .any(|progress| progress.digest == layer.digest && progress.current == layer.size)
        );
    }
    drop(server);
    let again = bench
        .source
        .pull(&name, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap();
    assert_eq!(again, pulled);
    assert_eq!(
        bench.source.describe(&name, &platform("amd64")).await.unwrap(),
        pulled
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn index_gives_the_platforms_image_or_says_which_there_are() {
    let mut content = Content::default();
    let (arm, amd) = (
        content.image("arm64", &[b"arm"]),
        content.image("amd64", &[b"amd"]),
    );
    let mut attestation = content.entry("unknown", &arm);
    attestation["platform"]["os"] = "unknown".into();
    let inner_entries = [content.descriptor("", &amd), attestation];
    let inner = content.index(&inner_entries);
    let entries = [
        content.entry("arm64", &arm),
        content.descriptor(OCI_INDEX, &inner),
    ];
    let index = content.index(&entries);
    content.tag("1", &index);
    let server = content.serve().await;
    let bench = Bench::new("");
    let name = format!("{}/a:1", server.host);
    for (architecture, manifest) in [("arm64", arm), ("amd64", amd)] {
        let image = bench
            .source
            .describe(&name, &platform(architecture))
            .await
            .unwrap();
        assert_eq!((image.digest, image.manifest), (index.clone(), manifest));
    }
    let error = bench.source.resolve(&name, &platform("s390x")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/a:1 is not there for linux/s390x; it is there for linux/amd64, linux/arm64"),
        "{error}"
    );
}
