//! `--secret` and `--ssh`: what a build's steps may use without it being kept.

#![expect(
    clippy::doc_markdown,
    reason = "clap shows these comments to people, as they are"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use super::Failure;
use crate::source::secret::{MAX_SECRET, Secret, Secrets};

#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Give steps a secret: from the file `src`, or from the variable `env`. It is kept nowhere
    #[arg(long, value_name = "id=NAME[,src=FILE|,env=VAR]")]
    secret: Vec<String>,

    /// Let steps use an SSH agent: the one at $SSH_AUTH_SOCK, or the one behind a socket
    #[arg(long, value_name = "default|ID[=SOCKET]")]
    ssh: Vec<String>,
}

/// The value of a variable of this process.
type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Arguments {
    /// The secrets that were given. Files are only read once a step asks, but have to be there.
    pub(super) fn secrets(&self) -> Result<Secrets, Failure> {
        let mut secrets = Secrets::default();
        for written in &self.secret {
            match origin(written, &|name| std::env::var_os(name))? {
                (id, Origin::Value(value)) => secrets.add_value(id, Secret::new(value)),
                (id, Origin::File(path)) => {
                    let size = std::fs::metadata(&path).map(|file| file.len()).map_err(|error| {
                        wrong(
                            "--secret",
                            written,
                            &format!("{} cannot be read: {error}", path.display()),
                        )
                    })?;
                    if size > MAX_SECRET as u64 {
                        let most = MAX_SECRET / 1024;
                        let what = format!(
                            "{} has more than {most} KiB, too much for a secret",
                            path.display()
                        );
                        return Err(wrong("--secret", written, &what));
                    }
                    secrets.add_file(id, path);
                }
            }
        }
        Ok(secrets)
    }

    /// The sockets of the agents that were given, by id.
    pub(super) fn agents(&self) -> Result<BTreeMap<String, PathBuf>, Failure> {
        let mut agents = BTreeMap::new();
        for written in &self.ssh {
            let (id, socket) = agent(written, &|name| std::env::var_os(name))?;
            let kind = std::fs::metadata(&socket).map(|socket| socket.file_type());
            let wrong = |what: &str| wrong("--ssh", written, &format!("{} {what}", socket.display()));
            match kind {
                Ok(kind) if kind.is_socket() => {}
                Ok(_) => {
                    return Err(wrong("is no socket of an agent")
                        .hint("keys are given through an agent: start ssh-agent, add the key with ssh-add, and use --ssh default"));
                }
                Err(error) => return Err(wrong(&format!("cannot be used: {error}"))),
            }
            agents.insert(id, socket);
        }
        Ok(agents)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Origin {
    Value(Vec<u8>),
    File(PathBuf),
}

/// What `id=…,src=…` and the like mean. Without either of `src` and `env`, the id is the name of a variable, or else
/// of a file.
fn origin(written: &str, variable: Variable<'_>) -> Result<(String, Origin), Failure> {
    let (mut id, mut kind, mut source, mut name) = (None, None, None, None);
    for part in written.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| wrong("--secret", written, &format!("{part:?} is no KEY=VALUE")))?;
        let place = match key.trim().to_lowercase().as_str() {
            "id" => &mut id,
            "type" => &mut kind,
            "src" | "source" => &mut source,
            "env" => &mut name,
            _ => {
                let what = format!("there is no {key:?}: use id, and src or env");
                return Err(wrong("--secret", written, &what));
            }
        };
        *place = Some(value.to_owned());
    }
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| wrong("--secret", written, "it lacks id=NAME, by which steps ask for it"))?;
    match kind.as_deref() {
        // The variable may be called a source then.
        Some("env") if name.is_none() => name = source.take(),
        None | Some("env" | "file") => {}
        Some(other) => {
            let what = format!("there is no type {other:?}: use type=file or type=env");
            return Err(wrong("--secret", written, &what));
        }
    }
    if source.is_some() && name.is_some() {
        return Err(wrong("--secret", written, "it is either from src or from env"));
    }
    if let Some(name) = &name {
        let value = variable(name).ok_or_else(|| {
            wrong(
                "--secret",
                written,
                &format!("there is no variable {name} in the environment"),
            )
        })?;
        return Ok((id, Origin::Value(value.into_vec())));
    }
    if source.is_none()
        && kind.as_deref() != Some("file")
        && let Some(value) = variable(&id)
    {
        return Ok((id, Origin::Value(value.into_vec())));
    }
    let path = PathBuf::from(source.unwrap_or_else(|| id.clone()));
    Ok((id, Origin::File(path)))
}

/// The id of an agent, and its socket.
fn agent(written: &str, variable: Variable<'_>) -> Result<(String, PathBuf), Failure> {
    let (id, socket) = written.split_once('=').unwrap_or((written, ""));
    if id.is_empty() {
        return Err(wrong(
            "--ssh",
            written,
            "it lacks the name by which steps ask for it, such as default",
        ));
    }
    if !socket.is_empty() {
        return Ok((id.to_owned(), socket.into()));
    }
    match variable("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()) {
        Some(socket) => Ok((id.to_owned(), socket.into())),
        None => Err(
            wrong("--ssh", written, "SSH_AUTH_SOCK is not set, so no agent is known").hint(format!(
                "start one with ssh-agent, or name its socket: --ssh {id}=SOCKET"
            )),
        ),
    }
}

fn wrong(flag: &str, written: &str, what: &str) -> Failure {
    Failure::new(Failure::USAGE, format!("{flag} {written}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<OsString> {
        match name {
            "TOKEN" => Some("value".into()),
            "SSH_AUTH_SOCK" => Some("/run/agent".into()),
            _ => None,
        }
    }

    fn secret(written: &str) -> Result<(String, Origin), String> {
        origin(written, &variable).map_err(|failure| failure.to_string())
    }

    #[test]
    fn secrets_come_from_files_and_variables_as_people_know_it() {
        let file = |id: &str, path: &str| Ok((id.to_owned(), Origin::File(path.into())));
        let value = |id: &str| Ok((id.to_owned(), Origin::Value(b"value".to_vec())));
        assert_eq!(secret("id=a,src=dir/file"), file("a", "dir/file"));
        assert_eq!(secret("type=file,id=a,source=f"), file("a", "f"));
        assert_eq!(secret("id=a,env=TOKEN"), value("a"));
        assert_eq!(secret("id=a,type=env,src=TOKEN"), value("a"));
        assert_eq!(secret("id=TOKEN"), value("TOKEN"));
        assert_eq!(secret("id=TOKEN,type=file"), file("TOKEN", "TOKEN"));
        assert_eq!(secret("id=a"), file("a", "a"));
    }

    #[test]
    fn what_is_no_secret_says_why() {
        for (written, why) in [
            ("src=f", "lacks id"),
            ("a", "KEY=VALUE"),
            ("id=a,form=f", "no \"form\""),
            ("id=a,env=MISSING", "no variable MISSING"),
            ("id=a,src=f,env=TOKEN", "either"),
            ("id=a,type=vault", "type=file or type=env"),
        ] {
            let said = secret(written).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn agents_are_the_one_of_the_environment_or_behind_a_socket() {
        let read = |written: &str| agent(written, &variable).map_err(|failure| failure.to_string());
        assert_eq!(read("default"), Ok(("default".into(), "/run/agent".into())));
        assert_eq!(read("git=/x"), Ok(("git".into(), "/x".into())));
        assert!(read("=x").is_err());
        let none = agent("default", &|_| None).unwrap_err().to_string();
        assert!(none.contains("SSH_AUTH_SOCK"), "{none}");
    }
}
