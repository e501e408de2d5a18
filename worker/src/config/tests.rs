use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/stagewright"))
}

fn problem(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn no_file_and_an_empty_file_are_the_same() {
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn sample_shows_every_key_and_the_default_limits() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("docker-hub-token"), "secret\n").unwrap();
    std::fs::write(directory.path().join("app-hook-secret"), "sixteen letters.\n").unwrap();
    let config = Config::parse(SAMPLE, directory.path()).unwrap();
    let docker_io = &config.registries["docker.io"];
    assert_eq!(
        docker_io.mirrors,
        [Mirror {
            plain_http: true,
            host: "127.0.0.1:5000".into(),
            prefix: String::new()
        }]
    );
    assert_eq!(docker_io.credentials.as_ref().unwrap().password, "secret");
    assert_eq!(config.registries["127.0.0.1:5000"].plain_http, Some(true));
    assert_eq!(config.caches, ["registry.example/app:cache".parse().unwrap()]);
    assert_eq!(
        config.substitutes[0].from,
        SubstituteSource::Layout {
            path: directory.path().join("images/golang"),
            image: LayoutImage::Name("1.7.3".into()),
        }
    );
    let builder = &config.buildkit[0];
    let certificates = builder.certificates.as_ref().unwrap();
    assert_eq!(builder.address.to_string(), "tcp://builder.example:1234");
    assert_eq!(certificates.authority, directory.path().join("builder/ca.pem"));
    assert_eq!(certificates.server_name.as_deref(), Some("builder"));
    assert_eq!(
        config.limits,
        Limits {
            parallel_steps: 4,
            step_processors: Some(1500),
            ..Limits::default()
        }
    );
    assert_eq!(config.storage, StorageLimits::default());
    let tls = TlsFiles {
        certificate: directory.path().join("certificate.pem"),
        key: directory.path().join("key.pem"),
    };
    assert_eq!(
        config.serve,
        ServeConfig {
            tls: Some(tls),
            hosts: vec!["builder.example.org".parse().unwrap()],
            ..ServeConfig::default()
        }
    );
    let networks = ["10.1.0.0/16", "fd00:1::/32"].map(|network| network.parse().unwrap());
    assert_eq!(config.private_networks, networks);
    assert_eq!(config.entitlements.len(), 2);
    assert!(config.allows_registry("ghcr.io") && !config.allows_registry("quay.io"));
    assert_eq!(
        config.substitute_notes().into_iter().collect::<Vec<_>>(),
        [(
            "docker.io/library/golang:1.7.3".to_owned(),
            "stand-in for golang:1.7.3, made from distribution packages".to_owned()
        )]
    );
}

#[test]
fn unknown_keys_are_refused_with_their_place_and_the_one_meant() {
    assert_eq!(
        problem("[limits]\nparallel_step = 3\n"),
        "<configuration>:2:1: there is no key \"parallel_step\"; did you mean \"parallel-steps\"?"
    );
    assert_eq!(
        problem("[registry.\"docker.io\"]\n  mirror = []\n"),
        "<configuration>:2:3: there is no key \"mirror\"; did you mean \"mirrors\"?"
    );
    let unlike_any = problem("[[substitute]]\nimage = \"a\"\nfrom = \"docker-image://b\"\nwhy = \"c\"\n");
    assert_eq!(
        unlike_any,
        "<configuration>:4:1: there is no key \"why\"; there are: image, from, note"
    );
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    for (text, expected) in [
        (
            "[limits]\nstep-memory = \"8 gigs\"",
            "<configuration>:2:15: \"8 gigs\" is not a size",
        ),
        (
            "[limits]\nparallel-steps = 0",
            "<configuration>:2:18: nothing would ever be done",
        ),
        ("[limits]\nstep-seconds = -1", "<configuration>:2:16:"),
        (
            "[registry.\"http://x\"]\n",
            "<configuration>:1:11: \"http://x\" is not a registry's name",
        ),
        (
            "[registry.a]\nmirrors = [\"b\"]",
            "<configuration>:2:12: \"b\" is not a mirror's address",
        ),
        (
            "[registry.a]\nusername = \"b\"",
            "<configuration>:2:12: a username needs a password",
        ),
        (
            "[registry.a]\npassword = \"b\"",
            "<configuration>:2:12: a password needs a username",
        ),
        (
            "[registry.a]\nusername=\"b\"\npassword-file = \"none\"",
            "<configuration>:3:17: cannot read the password file /etc/stagewright/none",
        ),
        (
            "[[substitute]]\nimage = \"A B\"\nfrom = \"docker-image://b\"",
            "<configuration>:2:9: ",
        ),
        (
            "[[substitute]]\nimage = \"a\"\nfrom = \"b\"",
            "<configuration>:3:8: \"b\" is no place for an image",
        ),
        (
            "[[substitute]]\nimage = \"a\"\n",
            "<configuration>:1:1: missing field `from`",
        ),
        (
            "allowed-registries = [\"a/b\"]",
            "<configuration>:1:23: \"a/b\" is not a registry's name",
        ),
        (
            "private-networks = [\"10.1.2.3/8\"]",
            "<configuration>:1:21: \"10.1.2.3/8\" is no network",
        ),
        ("limits = [", "<configuration>:1:11: "),
        (
            "[serve]\ntls-cert = \"x\"",
            "<configuration>:2:12: a certificate needs its private key",
        ),
        (
            "[serve]\nhosts = [\"https://x\"]",
            "<configuration>:2:10: \"https://x\" is not a host",
        ),
        (
            "[serve]\nrequests-per-second = 0",
            "<configuration>:2:23: nobody could ever ask",
        ),
    ] {
        let message = problem(text);
        assert!(message.starts_with(expected), "{text}\n{message}");
    }
}

#[test]
fn one_image_has_one_substitute() {
    let twice = "[[substitute]]\nimage = \"alpine\"\nfrom = \"docker-image://b\"\n\
                 [[substitute]]\nimage = \"docker.io/library/alpine:latest\"\nfrom = \"docker-image://c\"\n";
    assert!(problem(twice).contains("docker.io/library/alpine:latest is substituted twice"));
}

#[test]
fn layouts_are_named_by_tag_digest_or_not_at_all() {
    let digest = Digest::of(b"x");
    for (from, path, image) in [
        ("oci-layout:///a/b:1.7", "/a/b", LayoutImage::Name("1.7".into())),
        ("oci-layout://c:d/b", "/etc/stagewright/c:d/b", LayoutImage::Only),
        (
            &format!("oci-layout:///a@{digest}"),
            "/a",
            LayoutImage::Digest(digest.clone()),
        ),
    ] {
        let config = parse(&format!("[[substitute]]\nimage = \"a\"\nfrom = \"{from}\"\n")).unwrap();
        assert_eq!(
            config.substitutes[0].from,
            SubstituteSource::Layout {
                path: path.into(),
                image
            }
        );
    }
}

#[test]
fn passwords_are_not_printed() {
    let config = parse("[registry.a]\nusername = \"b\"\npassword = \"hunter2\"").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_configuration_or_an_explained_error(text in "(\\[(registry\\.x|limits|substitute)\\]\n)?([a-z-]{0,9} ?= ?[\"0-9a-z\\[\\]]{0,6}\n){0,3}\\PC{0,5}") {
        if let Err(error) = parse(&text) {
            proptest::prop_assert!(error.to_string().starts_with("<configuration>:"));
        }
    }
}

#[test]
fn processors_of_a_step_are_some() {
    let limits =
        |text: &str| parse(&format!("[limits]\nstep-processors = {text}\n")).map(|config| config.limits);
    assert_eq!(limits("0.25").unwrap().step_processors, Some(250));
    for text in ["0.0", "-1.0", "nan", "inf", "1e99"] {
        let said = limits(text).unwrap_err().to_string();
        assert!(said.contains("no number of processors"), "{text}: {said}");
    }
}

fn hook(rest: &str, build: &str) -> String {
    format!(
        "[[hook]]\nname = \"app\"\nkind = \"github\"\nsecret = \"sixteen letters.\"\nrefs = [\"main\"]\n{rest}\n[hook.build]\n{build}\n"
    )
}

#[test]
fn hooks_are_read_with_what_they_build() {
    let text = hook(
        "",
        "context = \"https://h.io/a.git#:app\"\ntags = \"r.io/a:{short}\"\npush = true",
    );
    let hooks = parse(&text).unwrap().hooks;
    assert_eq!((hooks.len(), hooks[0].kind), (1, HookKind::Github));
    assert_eq!(hooks[0].refs, ["refs/heads/main"]);
    assert_eq!(hooks[0].build.tags, ["r.io/a:{short}"]);
    // A repository of the machine is the owner's to name.
    assert!(parse(&hook("", "context = \"/srv/a.git\"")).is_ok());
}

#[test]
fn hook_that_could_build_nothing_is_refused_with_its_place() {
    let good = "context = \"https://h.io/a.git\"";
    for (text, said) in [
        (hook("", ""), "git repository"),
        (hook("", "context = \"https://h.io/a.tar\""), "git repository"),
        (
            hook("", "context = \"https://h.io/a.git#main\""),
            "the commit that was pushed",
        ),
        (hook("", &format!("{good}\npush = true")), "without a name"),
        (
            hook("", &format!("{good}\ntags = [\"r.io/a:{{branch}}\"]")),
            "{branch}",
        ),
        (hook("", &format!("{good}\ntagz = []")), "did you mean \"tags\""),
        (
            hook("", &format!("{good}\nallow = \"network.host\"")),
            "insecure-entitlements",
        ),
        (hook("colour = 1", good), "colour"),
        (hook("secret-file = \"x\"", good), "keep one"),
        (hook("", good) + &hook("", good), "two hooks"),
        (
            hook("", good).replace("sixteen letters.", "short"),
            "can be guessed",
        ),
        (hook("", good).replace("github", "gitlab"), "github and plain"),
        (
            hook("", good).replace("[\"main\"]", "[]"),
            "nothing would ever be built",
        ),
        (
            hook("", good).replace("\"app\"", "\"a/b\""),
            "cannot be a hook's name",
        ),
        (
            hook("callback = { url = \"x\", secret = \"sixteen letters.\" }", good),
            "no http",
        ),
        (hook("callback = { url = \"https://h.io\" }", good), "no secret"),
    ] {
        let problem = problem(&text);
        assert!(problem.contains(said), "{text}: {problem}");
        assert!(problem.starts_with("<configuration>:"), "{problem}");
    }
}

#[test]
fn buildkit_beyond_this_machine_needs_certificates_and_all_of_them() {
    for (table, said) in [
        ("address = \"tcp://builder:1234\"", "without encryption"),
        ("address = \"builder\"", "tcp://HOST:PORT"),
        (
            "address = \"tcp://builder:1234\"\nca = \"a\"\ncert = \"b\"",
            "cert and key go together",
        ),
        (
            "address = \"tcp://builder:1234\"\nserver-name = \"b\"",
            "ca is missing",
        ),
        (
            "address = \"/a\"\n[[buildkit]]\naddress = \"unix:///a\"",
            "is there twice",
        ),
    ] {
        let problem = problem(&format!("[[buildkit]]\n{table}"));
        assert!(problem.contains(said), "{table}: {problem}");
    }
    let config = parse("[[buildkit]]\naddress = \"tcp://127.0.0.1:1234\"").unwrap();
    assert_eq!(config.buildkit[0].certificates, None);
}
