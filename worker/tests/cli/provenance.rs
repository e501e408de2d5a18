//! `build --provenance`: what is stated of an image, read as other tools read it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{Folder, run};

/// Serves `content` to whoever asks, as long as the test runs.
fn serve(content: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            // All of the request comes at once.
            _ = client.read(&mut [0; 4096]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                content.len()
            );
            _ = client.write_all((head + content).as_bytes());
        }
    });
    format!("http://{address}/file.txt")
}

fn folder(url: &str) -> Folder {
    let dockerfile = format!("FROM scratch\nARG VERSION\nADD {url} /file.txt\nCOPY own /own\n");
    Folder::with(&[("context/Dockerfile", &dockerfile), ("context/own", "own")])
}

fn blob(layout: &Path, digest: &Value) -> Value {
    let name = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    serde_json::from_slice(&std::fs::read(layout.join("blobs/sha256").join(name)).unwrap()).unwrap()
}

/// The list in a layout, its image's manifest digest, and the statement about it.
fn attested(layout: &Path) -> (Value, Value) {
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let list = blob(layout, &index["manifests"][0]["digest"]);
    let entries = list["manifests"].as_array().unwrap();
    let [image, statement] = entries.as_slice() else {
        panic!("{list:#}")
    };
    assert_eq!(image["platform"]["os"], "linux");
    assert_eq!(
        statement["platform"],
        json!({ "architecture": "unknown", "os": "unknown" })
    );
    assert_eq!(
        statement["annotations"]["vnd.docker.reference.type"],
        "attestation-manifest"
    );
    assert_eq!(
        statement["annotations"]["vnd.docker.reference.digest"],
        image["digest"]
    );
    let manifest = blob(layout, &statement["digest"]);
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
    assert_eq!(
        layer["annotations"]["in-toto.io/predicate-type"],
        "https://slsa.dev/provenance/v1"
    );
    assert_eq!(
        manifest["artifactType"],
        "application/vnd.docker.attestation.manifest.v1+json"
    );
    assert_eq!(manifest["subject"]["digest"], image["digest"]);
    assert_eq!(manifest["subject"]["size"], image["size"]);
    assert_eq!(blob(layout, &manifest["config"]["digest"]), json!({}));
    (image["digest"].clone(), blob(layout, &layer["digest"]))
}

#[test]
fn statement_names_what_the_image_is_of_and_how_it_was_made() {
    let url = serve("from elsewhere");
    let folder = folder(&url);
    let layout = folder.path("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let flags = [
        "--provenance=mode=max",
        "-t",
        "example.com/app:1",
        "--build-arg",
        "VERSION=one",
        "-o",
        &output,
    ];
    let Some((code, printed, said)) = folder.build("state", &flags) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    let (image, statement) = attested(&layout);
    assert_ne!(
        printed.trim(),
        image.as_str().unwrap(),
        "the list is what was built"
    );
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let hex = image.as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert_eq!(
        statement["subject"],
        json!([{ "name": "pkg:docker/example.com/app@1?platform=linux%2Famd64", "digest": { "sha256": hex } }])
    );
    let (made, ran) = (
        &statement["predicate"]["buildDefinition"],
        &statement["predicate"]["runDetails"],
    );
    assert!(made["buildType"].as_str().unwrap().starts_with("https://"));
    assert_eq!(
        made["externalParameters"]["configSource"],
        json!({ "path": "Dockerfile" })
    );
    assert!(
        !statement.to_string().contains(&folder.name("")),
        "no folder of this machine is told"
    );
    let request = &made["externalParameters"]["request"];
    assert_eq!(request["frontend"], "dockerfile.v0");
    assert_eq!(request["args"]["build-arg:VERSION"], "one");
    assert_eq!(request["locals"], json!([{ "name": "context" }]));
    let content = stagewright_core::digest::Digest::of(b"from elsewhere");
    assert_eq!(
        made["resolvedDependencies"],
        json!([{ "uri": url, "digest": { "sha256": content.hex() } }])
    );
    // Each step with what it reads, and the lines that it was written in.
    let config = &made["internalParameters"]["buildConfig"];
    let steps = config["llbDefinition"].as_array().unwrap();
    let step = |part: &str| {
        let found = steps
            .iter()
            .position(|step| step["op"].to_string().contains(part));
        found.unwrap_or_else(|| panic!("{part}: {config:#}"))
    };
    let (copy, last) = (step("\"src\":\"/own\""), steps.len() - 1);
    assert_eq!(steps[last]["inputs"], json!([format!("step{copy}:0")]));
    assert!(
        steps[copy]["op"]["Op"]["file"]["actions"].is_array(),
        "{:#}",
        steps[copy]
    );
    assert!(!config.to_string().contains("local.unique"));
    let own = &ran["metadata"]["buildkit_metadata"];
    let ranges = &own["source"]["locations"][format!("step{copy}")]["locations"][0]["ranges"];
    assert_eq!(ranges[0]["start"]["line"], 4, "{own:#}");
    assert_eq!(own["source"]["infos"][0]["language"], "Dockerfile");
    assert!(
        own["layers"][format!("step{copy}:0")][0]
            .as_array()
            .unwrap()
            .len()
            == 2,
        "{own:#}"
    );
    assert!(ran["builder"]["id"].as_str().unwrap().contains(':'));
    let metadata = &ran["metadata"];
    assert!(metadata["startedOn"].as_str().unwrap() <= metadata["finishedOn"].as_str().unwrap());
    assert_eq!(
        metadata["buildkit_completeness"],
        json!({ "request": true, "resolvedDependencies": false })
    );

    // Another tool copies the list with all that it points to, and so reads and compares every part.
    let copied = Command::new("skopeo")
        .args(["copy", "--all", "--insecure-policy", "--quiet"])
        .arg(format!("oci:{}", layout.display()))
        .arg(format!("oci:{}", folder.path("copy").display()))
        .stdout(Stdio::null())
        .status();
    match copied {
        Ok(status) => assert!(status.success()),
        Err(_) => println!("skipped: this machine has no skopeo"),
    }
}

#[test]
fn least_says_what_it_was_made_from_and_no_values() {
    let url = serve("from elsewhere");
    let folder = folder(&url);
    let layout = folder.path("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let flags = [
        "--attest=type=provenance,mode=min,builder-id=https://ci.example/1",
        "--build-arg",
        "VERSION=hidden",
        "--label",
        "a=hidden",
        "-o",
        &output,
    ];
    let Some((code, _, said)) = folder.build("state", &flags) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    let (_, statement) = attested(&layout);
    assert!(!statement.to_string().contains("hidden"), "{statement:#}");
    assert_eq!(statement["subject"][0]["name"], "_");
    let predicate = &statement["predicate"];
    assert_eq!(
        predicate["buildDefinition"]["internalParameters"]["buildConfig"],
        Value::Null
    );
    assert_eq!(
        predicate["buildDefinition"]["resolvedDependencies"][0]["uri"],
        url
    );
    assert_eq!(predicate["runDetails"]["builder"]["id"], "https://ci.example/1");
    assert_eq!(
        predicate["runDetails"]["metadata"]["buildkit_completeness"]["request"],
        false
    );
}

#[test]
fn nothing_is_stated_unasked_and_with_one_time_two_workers_state_the_same() {
    let url = serve("from elsewhere");
    let folder = folder(&url);
    let digest = |state: &str, flags: &[&str]| {
        let (code, printed, said) = folder.build(state, &[&["-q"], flags].concat())?;
        assert_eq!(code, 0, "{said}");
        Some(printed)
    };
    let file = folder.name("metadata.json");
    let metadata = ["--metadata-file", file.as_str()];
    let kind = || {
        let metadata: Value = serde_json::from_str(&folder.text("metadata.json")).unwrap();
        (
            metadata["containerimage.descriptor"]["mediaType"].clone(),
            metadata["containerimage.digest"].clone(),
        )
    };
    if digest("plain", &metadata).is_none() {
        return;
    }
    assert!(kind().0.as_str().unwrap().contains("manifest"), "{:?}", kind());
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--provenance=true"];
    digest("one", &[&epoch[..], &metadata].concat());
    let one = kind();
    assert!(one.0.as_str().unwrap().contains("index"), "{one:?}");
    digest("two", &[&epoch[..], &metadata].concat());
    assert_eq!(kind(), one);
    digest("one", &[&["--provenance=true"][..], &metadata].concat());
    let clocked = kind();
    digest("one", &[&["--provenance=true"][..], &metadata].concat());
    assert_ne!(kind(), clocked, "each run is one of its own");
}

#[test]
fn files_get_a_statement_about_each_of_them_beside_them() {
    let url = serve("from elsewhere");
    let folder = folder(&url);
    let (out, tar) = (folder.name("out"), folder.name("out.tar"));
    let tar_flag = format!("type=tar,dest={tar}");
    let flags = ["--provenance=mode=max", "-o", &out, "-o", &tar_flag];
    let Some((code, _, said)) = folder.build("state", &flags) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    let statement: Value = serde_json::from_str(&folder.text("out/provenance.json")).unwrap();
    let file = |name: &str, text: &str| {
        let digest = stagewright_core::digest::Digest::of(text.as_bytes());
        json!({ "name": name, "digest": { "sha256": digest.hex() } })
    };
    assert_eq!(
        statement["subject"],
        json!([file("file.txt", "from elsewhere"), file("own", "own")])
    );
    let mut archive = tar::Archive::new(std::fs::File::open(&tar).unwrap());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["file.txt", "own", "provenance.json"]);
    // It is no part of what was built: without it the same files come out.
    let again = folder.name("again");
    folder.build("state", &["-o", &again]).unwrap();
    assert!(!Path::new(&again).join("provenance.json").exists());
}

#[test]
fn what_is_not_made_here_is_refused_with_what_is() {
    let folder = Folder::with(&[("context/Dockerfile", "FROM scratch\n")]);
    let context = folder.name("context");
    for (flags, said) in [
        (&["--sbom=true"][..], "no lists of contents (SBOM) are made here"),
        (
            &["--attest=type=sbom"],
            "no lists of contents (SBOM) are made here",
        ),
        (&["--provenance=mode=all"], "can be min or max"),
        (
            &["--provenance=true", "-o", "type=docker,dest=x.tar"],
            "has no place for its provenance",
        ),
    ] {
        let (code, _, error) = run(&[&["build"], flags, &[&context]].concat());
        assert_eq!(code, 2, "{error}");
        let flat = error.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(said), "{error}");
    }
}

#[test]
fn image_of_each_platform_has_a_statement_of_its_own() {
    let folder = Folder::with(&[
        ("context/Dockerfile", "FROM scratch\nCOPY own /own\n"),
        ("context/own", "own"),
    ]);
    let (layout, out) = (folder.path("layout"), folder.name("out"));
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let files = format!("type=local,platform-split=false,dest={out}");
    let platforms = ["--platform", "linux/amd64,linux/arm64", "-t", "app"];
    let flags = [
        &platforms[..],
        &["--provenance=mode=min", "-o", &output, "-o", &files],
    ]
    .concat();
    let Some((code, _, said)) = folder.build("state", &flags) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let list = blob(&layout, &index["manifests"][0]["digest"]);
    let entries = list["manifests"].as_array().unwrap();
    let about: Vec<&Value> = entries
        .iter()
        .map(|entry| &entry["annotations"]["vnd.docker.reference.digest"])
        .collect();
    assert_eq!(
        about,
        [
            &Value::Null,
            &Value::Null,
            &entries[0]["digest"],
            &entries[1]["digest"]
        ]
    );
    for (entry, platform) in entries[2..].iter().zip(["amd64", "arm64"]) {
        let layer = &blob(&layout, &entry["digest"])["layers"][0]["digest"];
        let name = format!("pkg:docker/app@latest?platform=linux%2F{platform}");
        assert_eq!(blob(&layout, layer)["subject"][0]["name"], name);
    }
    // Files of both go to one folder, so that neither statement is written over.
    for name in ["provenance.linux_amd64.json", "provenance.linux_arm64.json"] {
        assert!(Path::new(&out).join(name).is_file(), "{name}");
    }
    let (_, said, _) = run(&["image", "ls", "--state", &folder.name("state")]);
    assert!(said.contains("app") && !said.contains("unknown"), "{said}");
}
