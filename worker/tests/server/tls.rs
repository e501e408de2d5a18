//! TLS: by files, which may change.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use stagewright::server::{Limits, TlsFiles};
use stagewright::token::Scope;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{Answer, Ask, read_answer};
use crate::worker::{Setup, Worker};

/// Makes a certificate for localhost, which is its own authority. `false` where this machine has no openssl.
fn certify(folder: &Path) -> bool {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,DNS:builder.example.org",
        ])
        // What is its own authority is no server otherwise.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder)
        .output();
    let Ok(made) = made else {
        println!("skipped: this machine has no openssl");
        return false;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    true
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    }
}

/// Greets the worker by a name, trusting the certificate in `folder` and no other.
async fn greet(worker: &Worker, folder: &Path, name: &'static str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(folder.join("certificate.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(worker.address).await.unwrap();
    let name = ServerName::try_from(name).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn ask(worker: &Worker, folder: &Path, name: &'static str, ask: Ask) -> Answer {
    let mut stream = greet(worker, folder, name).await.unwrap();
    let host = format!("{name}:{}", worker.address.port());
    stream
        .write_all(&ask.header("host", &host).raw(worker.address))
        .await
        .unwrap();
    read_answer(&mut stream).await
}

#[tokio::test]
async fn a_worker_with_a_certificate_answers_by_tls_and_in_no_other_way() {
    let folder = tempfile::tempdir().unwrap();
    if !certify(folder.path()) {
        return;
    }
    let worker = Worker::with(Setup {
        tls: Some(files(folder.path())),
        hosts: vec!["builder.example.org"],
        ..Setup::default()
    })
    .await;
    let token = worker.token_for(&[Scope::Build]);
    for name in ["localhost", "builder.example.org"] {
        let list = Ask::get("/v1/builds").by(&token);
        assert_eq!(
            ask(&worker, folder.path(), name, list).await.status,
            200,
            "{name}"
        );
        let origin = format!("https://{name}:{}", worker.address.port());
        let own = Ask::get("/v1/builds").by(&token).header("origin", &origin);
        assert_eq!(ask(&worker, folder.path(), name, own).await.status, 200, "{name}");
        let plain = Ask::get("/v1/builds")
            .by(&token)
            .header("origin", &origin.replace("https", "http"));
        assert_eq!(
            ask(&worker, folder.path(), name, plain).await.status,
            403,
            "{name}"
        );
    }
    worker.token().await;
    let announced = worker.announced().remove(0);
    assert!(
        announced.starts_with("https://builder.example.org:"),
        "{announced}"
    );
    // Without TLS nothing is said.
    let mut stream = TcpStream::connect(worker.address).await.unwrap();
    stream
        .write_all(&Ask::get("/healthz").raw(worker.address))
        .await
        .unwrap();
    let mut said = Vec::new();
    _ = stream.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
}

#[tokio::test]
async fn a_certificate_that_changes_is_read_again_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    if !certify(folder.path()) {
        return;
    }
    let worker = Worker::with(Setup {
        tls: Some(files(folder.path())),
        ..Setup::default()
    })
    .await;
    let good = folder.path().join("certificate.pem");
    let first = std::fs::read(&good).unwrap();
    assert!(greet(&worker, folder.path(), "localhost").await.is_ok());
    // Being written: no certificate at all, then one without its key.
    let old = tempfile::tempdir().unwrap();
    std::fs::write(old.path().join("certificate.pem"), &first).unwrap();
    std::fs::write(&good, "-----BEGIN").unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(greet(&worker, old.path(), "localhost").await.is_ok());
    // What could not be read is tried again, also where nothing of the file tells that it is another by now.
    let new = tempfile::tempdir().unwrap();
    certify(new.path());
    let renewed = std::fs::read(new.path().join("certificate.pem")).unwrap();
    std::fs::copy(new.path().join("key.pem"), folder.path().join("key.pem")).unwrap();
    let then = std::time::SystemTime::now();
    for content in [vec![b'-'; renewed.len()], renewed] {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(greet(&worker, old.path(), "localhost").await.is_ok());
        std::fs::write(&good, content).unwrap();
        std::fs::File::options()
            .write(true)
            .open(&good)
            .unwrap()
            .set_modified(then)
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(greet(&worker, folder.path(), "localhost").await.is_ok());
    assert!(greet(&worker, old.path(), "localhost").await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_greet_is_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    if !certify(folder.path()) {
        return;
    }
    let worker = Worker::with(Setup {
        tls: Some(files(folder.path())),
        limits: Limits {
            headers: Duration::from_millis(50),
            ..Limits::default()
        },
        ..Setup::default()
    })
    .await;
    let mut silent = TcpStream::connect(worker.address).await.unwrap();
    let mut said = Vec::new();
    silent.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"");
}
