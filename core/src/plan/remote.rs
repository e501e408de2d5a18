//! Addresses that ADD fetches from: http and git, told apart and taken apart as BuildKit does.

use crate::boolean;
use crate::diagnostic::Problem;
use crate::llb::{Attr, SourceOp};

use super::path;

/// The parts of an address that matter here (Go's `net/url`).
#[derive(Debug, PartialEq, Eq)]
struct Address {
    scheme: String,
    /// `user:password@`, where there is one.
    user: String,
    host: String,
    /// Without percent signs.
    path: String,
    /// As it is sent.
    escaped_path: String,
    query: String,
    fragment: String,
}

impl Address {
    fn read(text: &str) -> Option<Self> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return None;
        }
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (user, host) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        let after_bracket = host.rsplit(']').next().unwrap_or_default();
        let port = after_bracket.split_once(':').map_or("", |(_, port)| port);
        if !port.bytes().all(|byte| byte.is_ascii_digit()) || host.contains([' ', '<', '>', '"', '%']) {
            return None;
        }
        let decoded = unescape(path)?;
        let escaped_path = if path.bytes().all(is_path_byte) {
            path.to_owned()
        } else {
            escape(&decoded)
        };
        Some(Self {
            scheme: scheme.to_ascii_lowercase(),
            user: user.to_owned(),
            host: host.to_owned(),
            path: decoded,
            escaped_path,
            query: query.to_owned(),
            fragment: unescape(fragment)?,
        })
    }
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&byte)
}

fn escape(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            let digit = |value: u8| {
                char::from_digit(u32::from(value), 16)
                    .unwrap_or('0')
                    .to_ascii_uppercase()
            };
            text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

fn unescape(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A git repository, and what of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Git {
    /// What git is asked for.
    remote: String,
    host: String,
    path: String,
    ssh: bool,
    reference: String,
    directory: String,
    pub(super) checksum: String,
    pub(super) keep_git_dir: Option<bool>,
    submodules: Option<bool>,
    fetch_by_commit: bool,
    mtime: String,
}

/// Whether it is an address of something to fetch, and no path.
pub(crate) fn is_remote(text: &str) -> bool {
    is_http(text) || !matches!(git(text), Ok(None))
}

/// Whether `text` is an address that is fetched by http, and not a git repository.
pub(super) fn is_http(text: &str) -> bool {
    (text.starts_with("http://") || text.starts_with("https://"))
        && !matches!(git(text), Ok(Some(_)) | Err(_))
}

/// Reads `text` as a git repository; `None` where it is none.
pub(super) fn git(text: &str) -> Result<Option<Git>, Problem> {
    if let Some(address) = lookalike(text) {
        // It is a path; but what its query says has to make sense all the same, as in the reference.
        Git::default().query(&address.query)?;
        return Ok(None);
    }
    if !text.contains(':') || text.starts_with("./") || text.starts_with("../") {
        return Ok(None);
    }
    let Some((git, query)) = read_address(text).or_else(|| read_scp(text)) else {
        return Ok(None);
    };
    let mut git = git;
    git.query(&query)?;
    Ok(Some(git))
}

/// Whether a checksum may be given for it, as for what is fetched: so it is for a path that looks like a repository.
pub(super) fn takes_checksum(text: &str) -> bool {
    is_http(text) || lookalike(text).is_some() || !matches!(git(text), Ok(None))
}

/// `github.com/owner/name` was an address once. It is a path now, and in two places the reference remembers.
fn lookalike(text: &str) -> Option<Address> {
    text.starts_with("github.com/")
        .then(|| Address::read(&format!("https://{text}")))
        .flatten()
}

fn read_address(text: &str) -> Option<(Git, String)> {
    let address = Address::read(text)?;
    let Address {
        scheme,
        user,
        host,
        path,
        escaped_path,
        query,
        fragment,
    } = address;
    let ssh = match scheme.as_str() {
        "http" | "https" if path.strip_suffix(".git").is_some() => false,
        "git" => false,
        "ssh" => true,
        _ => return None,
    };
    let remote = format!("{scheme}://{user}{host}{escaped_path}");
    Some((
        Git {
            remote,
            host,
            path,
            ssh,
            ..Git::default()
        }
        .at(&fragment),
        query,
    ))
}

/// `git@github.com:owner/name.git`, as ssh has it.
fn read_scp(text: &str) -> Option<(Git, String)> {
    let (user, rest) = text.split_once('@')?;
    let (host, rest) = rest.split_once(':')?;
    let name = |text: &str, extra: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
    };
    if !name(user, b"-_") || !name(host, b"-.") || rest.contains('\n') {
        return None;
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let remote = format!("{user}@{host}:{path}");
    let git = Git {
        remote,
        host: host.into(),
        path: path.into(),
        ssh: true,
        ..Git::default()
    };
    Some((git.at(fragment), query.to_owned()))
}

impl Git {
    /// What `#branch:directory` says.
    fn at(mut self, fragment: &str) -> Self {
        if !fragment.is_empty() {
            let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
            self.reference = reference.into();
            self.directory = path::join(&["/", directory]).trim_start_matches('/').into();
        }
        self
    }

    /// What `?ref=branch&…` says.
    fn query(&mut self, query: &str) -> Result<(), Problem> {
        let bad = |message: String| Problem::new("bad-git-address", message);
        let (mut tag, mut branch) = (None, None);
        let mut seen: Vec<String> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plus = |text: &str| unescape(&text.replace('+', " "));
            let (Some(key), Some(value)) = (plus(key), plus(value)) else {
                continue;
            };
            if seen.contains(&key) {
                return Err(bad(format!("This git address has {key} more than once.")));
            }
            let flag = matches!(key.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit");
            if value.is_empty() && !flag {
                return Err(bad(format!("In this git address {key} says nothing.")));
            }
            let switch = if flag && !value.is_empty() {
                boolean::read(&value).ok_or_else(|| {
                    bad(format!(
                        "In this git address {key} is true or false, not \"{value}\"."
                    ))
                })?
            } else {
                true
            };
            let conflict = |what: &str| bad(format!("This git address names two {what}."));
            match key.as_str() {
                "ref" if self.reference.is_empty() || self.reference == value => self.reference = value,
                "ref" => return Err(conflict("references")),
                "tag" => tag = Some(value),
                "branch" => branch = Some(value),
                "subdir" if self.directory.is_empty() || self.directory == value => self.directory = value,
                "subdir" => return Err(conflict("directories")),
                "checksum" | "commit" => self.checksum = value,
                "keep-git-dir" => self.keep_git_dir = Some(switch),
                "submodules" => self.submodules = Some(switch),
                "fetch-by-commit" => self.fetch_by_commit = switch,
                "mtime" if matches!(value.as_str(), "checkout" | "commit") => self.mtime = value,
                _ => return Err(bad(format!("A git address has nothing called \"{key}\"."))),
            }
            seen.push(key);
        }
        if tag.is_some() && branch.is_some() {
            return Err(bad("This git address names both a tag and a branch.".into()));
        }
        for (name, prefix) in [(tag, "refs/tags/"), (branch, "refs/heads/")] {
            let Some(name) = name else { continue };
            let full = if name.starts_with(prefix) {
                name
            } else {
                format!("{prefix}{name}")
            };
            if !self.reference.is_empty() && self.reference != full {
                return Err(bad("This git address names two references.".into()));
            }
            self.reference = full;
        }
        Ok(())
    }

    /// The source op of a context. Only there does the address say which time files get.
    pub(super) fn context(&self) -> SourceOp {
        let mut source = self.source(self.keep_git_dir == Some(true), &self.checksum);
        if !self.mtime.is_empty() {
            source.attrs.push(Attr::new("git.mtime", &self.mtime));
        }
        SourceOp::new(source.identifier, source.attrs)
    }

    /// The source op. Protocols of one repository make one source.
    pub(super) fn source(&self, keep_git_dir: bool, checksum: &str) -> SourceOp {
        let mut id = format!("git://{}{}", self.host, path::join(&["/", &self.path]));
        if !self.reference.is_empty() || !self.directory.is_empty() {
            id.push('#');
            id.push_str(&self.reference);
            if !self.directory.is_empty() {
                id.push(':');
                id.push_str(&self.directory);
            }
        }
        let mut attrs = vec![
            Attr::new("git.fullurl", &self.remote),
            Attr::new("git.authtokensecret", "GIT_AUTH_TOKEN"),
            Attr::new("git.authheadersecret", "GIT_AUTH_HEADER"),
        ];
        let mut set = |key: &str, value: &str, given: bool| {
            if given {
                attrs.push(Attr::new(key, value));
            }
        };
        set("git.keepgitdir", "true", keep_git_dir);
        set("git.mountsshsock", "default", self.ssh);
        set("git.checksum", checksum, !checksum.is_empty());
        set("git.skipsubmodules", "true", self.submodules == Some(false));
        set("git.fetchbycommit", "true", self.fetch_by_commit);
        SourceOp::new(id, attrs)
    }
}

/// The name that something fetched by http gets.
pub(super) fn http_file_name(text: &str) -> String {
    match Address::read(text) {
        Some(address) => match path::base(&address.path) {
            "." | "/" => "__unnamed__".into(),
            name => name.into(),
        },
        None => "__unnamed__".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Option<String> {
        git(text).unwrap().map(|git| git.source(false, "").identifier)
    }

    #[test]
    fn git_addresses_are_told_from_others() {
        for (text, expected) in [
            ("https://github.com/a/b.git", Some("git://github.com/a/b.git")),
            (
                "https://github.com/a/b.git#v1:c/d",
                Some("git://github.com/a/b.git#v1:c/d"),
            ),
            (
                "https://github.com/a/b.git?ref=v1&subdir=c",
                Some("git://github.com/a/b.git#v1:c"),
            ),
            ("git@github.com:a/b.git", Some("git://github.com/a/b.git")),
            ("ssh://git@host:22/a", Some("git://host:22/a")),
            ("https://github.com/a/b", None),
            ("a@b", None),
            ("./a.git", None),
            ("app.go", None),
        ] {
            assert_eq!(id(text).as_deref(), expected, "{text}");
        }
        assert!(git("https://x/a.git?nonsense=1").is_err());
        assert!(git("https://x/a.git?tag=1&branch=2").is_err());
    }

    #[test]
    fn a_path_that_looks_like_a_repository_takes_a_checksum_and_no_nonsense() {
        assert_eq!(id("github.com/a/b"), None);
        assert!(takes_checksum("github.com/a/b") && !takes_checksum("github.org/a/b"));
        assert!(git("github.com/a/b?nonsense=1").is_err());
    }

    #[test]
    fn fetched_files_are_named_after_their_path() {
        for (text, name) in [
            ("https://x/a/b.tar.gz?c=d#e", "b.tar.gz"),
            ("https://x/a%20b", "a b"),
            ("https://x/", "__unnamed__"),
            ("https://x", "__unnamed__"),
            ("https://x/%zz", "__unnamed__"),
        ] {
            assert_eq!(http_file_name(text), name, "{text}");
        }
    }
}
