//! `build --cache-to` and `--cache-from`: two machines, which are two state folders here.

use crate::Folder;

const DOCKERFILE: &str =
    "FROM scratch AS a\nCOPY one /one\nFROM scratch\nCOPY two /two\nCOPY --from=a /one /both\n";

fn folder() -> Folder {
    Folder::with(&[
        ("context/Dockerfile", DOCKERFILE),
        ("context/one", "1"),
        ("context/two", "2"),
    ])
}

#[test]
fn another_state_folder_takes_steps_from_a_folder_and_says_so() {
    let folder = folder();
    let cache = folder.name("cache");
    let to = format!("type=local,dest={cache},mode=max,compression=zstd");
    let Some((code, first, said)) = folder.build("one", &["--cache-to", &to]) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains(&format!("exporting the local cache {cache}")),
        "{said}"
    );
    let from = format!("type=local,src={cache}");
    let (code, second, said) = folder.build("two", &["--cache-from", &from]).unwrap();
    assert_eq!((code, &second), (0, &first), "{said}");
    let cached = said.matches("CACHED").count();
    assert_eq!(cached, 3, "{said}");
    assert!(
        said.contains(&format!("cached, from local cache {cache}")),
        "{said}"
    );

    std::fs::write(folder.path("context/two"), "changed").unwrap();
    let (code, _, said) = folder.build("three", &["--cache-from", &from]).unwrap();
    assert_eq!((code, said.matches("CACHED").count()), (0, 1), "{said}");

    // A name of its own keeps what is there already.
    let other = format!("type=local,dest={cache},tag=other");
    let (code, ..) = folder.build("three", &["--cache-to", &other]).unwrap();
    assert_eq!(code, 0);
    std::fs::write(folder.path("context/two"), "2").unwrap();
    let (_, _, said) = folder.build("four", &["--cache-from", &from]).unwrap();
    assert_eq!(said.matches("CACHED").count(), 3, "{said}");
}

#[test]
fn cache_that_is_not_there_is_told_and_one_that_cannot_be_written_fails_the_build() {
    let folder = folder();
    let from = format!("type=local,src={}", folder.name("lacking"));
    let Some((code, _, said)) =
        folder.build("state", &["--cache-from", &from, "--cache-from", "127.0.0.1:1/a"])
    else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("is not there yet") && said.contains("goes on without it"),
        "{said}"
    );
    assert!(said.contains("cannot reach 127.0.0.1:1"), "{said}");
    let to = format!("type=local,dest={}", folder.name("context/Dockerfile"));
    let (code, printed, said) = folder.build("state", &["--cache-to", &to]).unwrap();
    assert_eq!((code, printed.as_str()), (3, ""), "{said}");
    assert!(!said.contains("exporting"), "{said}");
    // What only writing finds out.
    let torn = format!("type=local,dest={}", folder.name("torn"));
    std::fs::create_dir(folder.path("torn")).unwrap();
    std::fs::write(folder.path("torn/index.json"), "torn").unwrap();
    let (code, printed, said) = folder.build("state", &["--cache-to", &torn]).unwrap();
    assert_eq!((code, printed.as_str()), (1, ""), "{said}");
    assert!(
        said.contains("torn/index.json") && said.contains("ignore-error=true"),
        "{said}"
    );
    let (code, _, said) = folder
        .build("state", &["--cache-to", &format!("{to},ignore-error=true")])
        .unwrap();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("cannot be written"), "{said}");
}

#[test]
fn one_cache_holds_the_steps_of_all_platforms() {
    let folder = folder();
    let cache = folder.name("cache");
    let to = format!("type=local,dest={cache}");
    let platforms = ["--platform", "linux/amd64,linux/arm64"];
    let Some((code, _, said)) = folder.build("one", &[&platforms[..], &["--cache-to", &to]].concat()) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    let from = format!("type=local,src={cache}");
    for platform in ["linux/amd64", "linux/arm64"] {
        let flags = ["--platform", platform, "--cache-from", &from];
        let (code, _, said) = folder.build(platform, &flags).unwrap();
        assert_eq!((code, said.matches("CACHED").count()), (0, 3), "{said}");
    }
}
