use std::ffi::OsString;
use std::net::SocketAddr;

use base64::Engine as _;

use super::*;
use crate::source::address::network;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";
const THREE: &str = "3333333333333333333333333333333333333333";

#[test]
fn branches_go_before_tags_and_tags_lead_to_their_commit() {
    let said = format!(
        "{ONE}\trefs/heads/v1\n{TWO}\trefs/tags/v1\n{THREE}\trefs/tags/v1^{{}}\n{ONE}\trefs/heads/x/v1\n"
    );
    let resolved = |name: &str, object: &str, commit: &str| {
        Some(Resolved {
            name: name.into(),
            object: object.into(),
            commit: commit.into(),
        })
    };
    assert_eq!(find(&said, "v1"), resolved("refs/heads/v1", ONE, ONE));
    assert_eq!(find(&said, "refs/tags/v1"), resolved("refs/tags/v1", TWO, THREE));
    assert_eq!(find(&said, "tags/v1"), resolved("refs/tags/v1", TWO, THREE));
    assert_eq!(find(&said, "1"), None);
    let head = format!("ref: refs/heads/main\tHEAD\n{ONE}\tHEAD\n{TWO}\trefs/remotes/origin/HEAD\n");
    assert_eq!(find(&head, ""), resolved("refs/heads/main", ONE, ONE));
}

#[test]
fn hosts_are_found_in_both_forms_and_other_protocols_have_none() {
    let host = |url: &str| {
        Remote {
            url: url.into(),
            ..Remote::default()
        }
        .host()
        .map(|host| host.name)
    };
    assert_eq!(
        host("https://me@example.com:8443/a.git").as_deref(),
        Some("example.com")
    );
    assert_eq!(host("git@example.com:a/b.git").as_deref(), Some("example.com"));
    assert_eq!(host("git://[::1]:9418/a").as_deref(), Some("::1"));
    for encoded in [
        "https://me%40corp:w%2Frd%25@example.com/a.git",
        "http://t%6fken@example.com:8080/a%20b",
        "ssh://me%40corp@example.com/a.git",
        "ssh://me:w%2Frd@example.com/a.git",
        "ssh://example.com/%7Eme/a.git",
    ] {
        assert_eq!(host(encoded).as_deref(), Some("example.com"), "{encoded}");
    }
    for other in [
        "file:///etc",
        "ext::sh -c id",
        "/etc",
        "-oProxyCommand=x:y",
        // What git and we would read as different hosts.
        "git://%31%32%37.0.0.1:1/x",
        "https://me@%31%32%37.0.0.1/x",
        "git://127.0.0.1%2Fx@example.com/",
        "ssh://127.0.0.1%2Fx@example.com/",
        "ssh://127.0.0.1%3A22@example.com/",
        "ssh://me@%5B127.0.0.1%5D/",
        "ssh://%5B127.0.0.1%5D:1@example.com/",
        "ssh://%2DoProxyCommand=x@example.com/",
        "http://127.0.0.1\n.example.com/",
        "[127.0.0.1:22]:x",
        "http://example.com\\@127.0.0.1/",
    ] {
        assert_eq!(host(other), None, "{other}");
    }
}

#[tokio::test]
async fn protocols_that_are_not_of_the_network_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let repositories = Repositories::open(&directory.path().join("git")).unwrap();
    for url in ["file:///etc", "/etc", "ext::sh -c id"] {
        let remote = Remote {
            url: url.into(),
            reach: Reach::Anywhere,
            ..Remote::default()
        };
        let refused = repositories.resolve(&remote, "").await;
        assert!(matches!(refused, Err(GitError::Address(_))), "{url}");
    }
}

fn remote(url: &str) -> Remote {
    Remote {
        url: url.into(),
        ..Remote::default()
    }
}

#[test]
fn a_password_in_an_address_is_handed_over_as_a_header_and_stands_in_no_address() {
    let directory = tempfile::tempdir().unwrap();
    for (url, plain, pair) in [
        (
            "https://me:w%40rd@example.com/a.git",
            "https://example.com/a.git",
            Some("me:w@rd"),
        ),
        (
            "http://t0ken@example.com:8080/a",
            "http://example.com:8080/a",
            Some("t0ken:"),
        ),
        ("https://example.com/a b", "https://example.com/a b", None),
        ("ssh://git:word@example.com/a", "ssh://git@example.com/a", None),
        ("ssh://git@example.com/a", "ssh://git@example.com/a", None),
        ("git@example.com:a/b.git", "git@example.com:a/b.git", None),
    ] {
        let remote = remote(url);
        let git = Git::new(directory.path(), &remote).unwrap();
        assert_eq!(git.url, plain, "{url}");
        let header = pair.map(|pair| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            OsString::from(format!("Authorization: basic {encoded}"))
        });
        let set = git
            .settings
            .iter()
            .find(|(name, _)| name.ends_with(".extraHeader"));
        assert_eq!(set.map(|(_, value)| value.clone()), header, "{url}");
        if let Some((name, _)) = set {
            assert!(!name.contains('@'), "{name}");
        }
    }
}

#[test]
fn git_is_told_the_addresses_that_were_checked() {
    let directory = tempfile::tempdir().unwrap();
    let pinned = |url: &str| {
        let remote = remote(url);
        let mut git = Git::new(directory.path(), &remote).unwrap();
        let addresses = ["192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()];
        git.pin(&remote.host().unwrap(), &addresses);
        let ssh = git.environment[&OsString::from("GIT_SSH_COMMAND")].clone();
        let last = git.settings.pop().unwrap();
        (last.0, last.1.into_string().unwrap(), ssh.into_string().unwrap())
    };
    let (name, value, _) = pinned("https://example.com/a.git");
    assert_eq!(
        (name.as_str(), value.as_str()),
        ("http.curloptResolve", "example.com:443:192.0.2.1,[2001:db8::1]")
    );
    let (name, value, _) = pinned("git://example.com:99/a.git");
    assert_eq!(
        (name.as_str(), value.as_str()),
        ("url.git://192.0.2.1:99/.insteadOf", "git://example.com:99/")
    );
    let (.., ssh) = pinned("git@example.com:a.git");
    assert!(
        ssh.ends_with("-o HostName=192.0.2.1 -o HostKeyAlias=example.com"),
        "{ssh}"
    );
    let (.., ssh) = pinned("ssh://git@example.com:2222/a.git");
    assert!(
        ssh.ends_with("-o HostName=192.0.2.1 -o HostKeyAlias=[example.com]:2222"),
        "{ssh}"
    );
    assert_ne!(pinned("https://192.0.2.9/a.git").0, "http.curloptResolve");
}

/// A server of a repository's list of branches, as any web server can be one.
fn web_server() -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            let refs = format!("{ONE}\trefs/heads/main\n");
            let asked = String::from_utf8_lossy(&request[..length]).contains("/info/refs");
            let (status, body) = if asked {
                ("200 OK", refs.as_str())
            } else {
                ("404 Not Found", "")
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}",
                body.len()
            );
            write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}").unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_a_moment_later_gains_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let port = web_server();
    // The name is nobody's, so only who was told the address can connect to it.
    let remote = remote(&format!("http://rebound.invalid:{port}/a"));
    let mut git = Git::new(directory.path(), &remote).unwrap();
    let url = git.url.clone();
    let ask = ["ls-remote", "--", &url];
    assert!(git.run("read", &ask).await.is_err());
    git.pin(
        &remote.host().unwrap(),
        &[SocketAddr::from(([127, 0, 0, 1], port))],
    );
    let said = git.run("read", &ask).await.unwrap();
    assert!(said.contains("refs/heads/main"), "{said}");
}

#[tokio::test]
async fn what_only_this_machine_and_its_network_reach_is_not_asked() {
    let directory = tempfile::tempdir().unwrap();
    let repositories = Repositories::open(&directory.path().join("git")).unwrap();
    let port = web_server();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00::1]",
    ] {
        for url in [
            format!("http://{host}:{port}/a"),
            format!("ssh://git@{host}:{port}/a"),
        ] {
            let refused = repositories.resolve(&remote(&url), "main").await;
            assert!(matches!(refused, Err(GitError::Local(_))), "{url}: {refused:?}");
        }
    }
    let allowed = Remote {
        reach: Reach::Public([network("127.0.0.0/8").unwrap()].into()),
        ..remote(&format!("http://localhost:{port}/a"))
    };
    assert_eq!(repositories.resolve(&allowed, "main").await.unwrap().commit, ONE);
}
