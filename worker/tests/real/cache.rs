//! Caches of other machines and provenance, of steps that really ran on a real image.

use std::path::{Path, PathBuf};

use crate::bench::Bench;
use crate::registry::Registry;

const DOCKERFILE: &str = "\
FROM alpine:latest AS tools
RUN echo compiler > /usr/bin/compiler && chown 7:8 /usr/bin/compiler && ln /usr/bin/compiler /usr/bin/again
FROM tools AS build
WORKDIR /src
COPY main.c .
RUN --mount=type=secret,id=word cat /run/secrets/word > /dev/null && cat /usr/bin/compiler main.c > app && chmod 4755 app
FROM alpine:latest
RUN echo someone:x:1000:1000::/:/bin/sh >> /etc/passwd
COPY --from=build --chown=someone /src/app /app
USER someone
RUN cat /app > /tmp/seen
";
const SECRET: &str = "never-to-be-seen-again";

/// What is built here.
fn bench() -> Bench {
    let bench = Bench::new(DOCKERFILE);
    std::fs::write(bench.path("context/main.c"), "main\n").unwrap();
    std::fs::write(bench.path("word"), SECRET).unwrap();
    bench
}

/// Builds as a machine of that name, which is a state folder here.
fn build(bench: &Bench, machine: &str, flags: &[&str]) -> Option<(i32, String, String)> {
    let all = ["--progress", "plain", "--secret", "id=word,src=word"];
    bench.build(machine, &[&all[..], flags].concat())
}

/// Every file under `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => open.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// A blob's bytes, unpacked where it is gzip.
fn plain(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let mut unpacked = Vec::new();
    let read = std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&*bytes), &mut unpacked);
    if read.is_ok() { unpacked } else { bytes }
}

#[test]
fn machines_share_a_cache_by_a_registry_and_no_secret_is_in_it() {
    let bench = bench();
    let Some(registry) = Registry::start(&bench.path("")) else {
        return;
    };
    let (name, cache) = (
        format!("{}/app:1", registry.host),
        format!("{}/app:cache", registry.host),
    );
    let to = format!("type=registry,ref={cache},mode=max");
    let flags = ["-t", &name, "--push", "--provenance=mode=max", "--cache-to", &to];
    let Some((code, first, said)) = build(&bench, "one", &flags) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    let image = |said: &str, state: &str, flags: &[&str]| {
        let file = bench.path(&format!("{state}.json"));
        let flags = [flags, &["--metadata-file", file.to_str().unwrap()]].concat();
        let (code, _, more) = build(&bench, state, &flags).unwrap();
        assert_eq!(code, 0, "{said}\n{more}");
        let metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        (metadata["containerimage.digest"].clone(), more)
    };
    // Without a statement, which is of its own time, both have the same image.
    let (own, _) = image("", "one", &[]);
    let (other, said) = image("", "two", &["--cache-from", &cache]);
    assert_eq!(own, other);
    assert_eq!(
        said.matches(&format!("cached, from registry cache {cache}"))
            .count(),
        7,
        "{said}"
    );
    assert!(!said.contains("extracting"), "nothing is unpacked: {said}");

    // One file changed: what follows it runs, on layers that came from the cache.
    std::fs::write(bench.path("context/main.c"), "other\n").unwrap();
    let (code, _, said) = build(&bench, "three", &["--cache-from", &cache, "-o", "out"]).unwrap();
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        std::fs::read_to_string(bench.path("out/app")).unwrap(),
        "compiler\nother\n"
    );
    for cached in ["echo compiler", "WORKDIR /src", "someone:x"] {
        let line = said.lines().find(|line| line.contains(cached)).unwrap();
        let number = line.split(' ').next().unwrap();
        assert!(said.contains(&format!("{number} CACHED")), "{cached}: {said}");
    }
    // Owner, mode and links of a layer that was fetched are those of the one that was made.
    let (code, _, said) = build(
        &bench,
        "four",
        &[
            "--cache-from",
            &cache,
            "--target",
            "tools",
            "-o",
            "type=tar,dest=t.tar",
        ],
    )
    .unwrap();
    assert_eq!(code, 0, "{said}");
    let mut archive = tar::Archive::new(std::fs::File::open(bench.path("t.tar")).unwrap());
    let tools: Vec<_> = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| {
            let path = entry.path().unwrap();
            path == Path::new("usr/bin/compiler") || path == Path::new("usr/bin/again")
        })
        .map(|entry| {
            (
                entry.header().uid().unwrap(),
                entry.header().gid().unwrap(),
                entry.link_name().unwrap().is_some(),
            )
        })
        .collect();
    assert_eq!(tools, [(7, 8, false), (7, 8, true)]);

    // Nothing that left the machine has the secret in it.
    assert!(first.starts_with("sha256:"));
    let mut looked_at = 0;
    for file in files(&bench.path("registry")) {
        let bytes = plain(&file);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(SECRET), "{}", file.display());
        looked_at += usize::from(text.contains("id=word") || text.contains("\"word\""));
    }
    assert!(looked_at > 0, "its name is in the statement");

    // A registry that is gone costs the cache and not the build.
    drop(registry);
    let (code, _, said) = build(&bench, "five", &["--cache-from", &cache]).unwrap();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("goes on without it"), "{said}");
    let (code, _, said) = build(&bench, "five", &["--cache-to", &cache]).unwrap();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cannot reach"), "{said}");
}
