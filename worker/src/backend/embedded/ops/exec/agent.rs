//! An SSH agent, lent to a step: a socket of the step's own, and behind it the agent of whoever asked for the build.
//!
//! The step never sees the agent's own socket, which belongs to somebody else and which not every user of the step
//! could open.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use stagewright_core::llb::SshOpt;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};

/// Connections of one step to its agent at the same time; more wait.
const MOST_CONNECTIONS: usize = 32;

/// The name of the socket in its directory.
const SOCKET: &str = "agent";

/// The id of a mount that names none.
pub(super) fn id(options: &SshOpt) -> &str {
    if options.id.is_empty() {
        "default"
    } else {
        &options.id
    }
}

/// A socket that is there, and passed on, as long as this value.
pub(super) struct Lent {
    directory: PathBuf,
    passing: AbortHandle,
}

impl Lent {
    /// Makes a socket in `directory`, which is made for it, with the owner and mode that `options` ask for; what
    /// connects to it speaks with `agent`. Call it on the Tokio runtime.
    pub(super) fn open(directory: PathBuf, agent: &Path, options: &SshOpt) -> io::Result<Self> {
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let made = listen(&directory, options);
        if made.is_err() {
            // What is left is an empty directory.
            _ = std::fs::remove_dir(&directory);
        }
        let passing = tokio::spawn(pass_on(made?, agent.to_owned())).abort_handle();
        Ok(Self { directory, passing })
    }

    /// The directory and the name in it, for mounting.
    pub(super) fn place(&self) -> (PathBuf, PathBuf) {
        (self.directory.clone(), PathBuf::from(SOCKET))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.passing.abort();
        // The next start of the worker clears what is left.
        _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn listen(directory: &Path, options: &SshOpt) -> io::Result<UnixListener> {
    // An address holds a hundred bytes or so, which a state directory may exceed; a descriptor is always short.
    let opened = std::fs::File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd())).join(SOCKET);
    let listener = std::os::unix::net::UnixListener::bind(short)?;
    listener.set_nonblocking(true)?;
    let path = directory.join(SOCKET);
    let mode = options.mode & 0o777;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    std::os::unix::fs::chown(&path, Some(options.uid), Some(options.gid))?;
    UnixListener::from_std(listener)
}

async fn pass_on(listener: UnixListener, agent: PathBuf) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                let Ok((mut near, _)) = accepted else { return };
                let agent = agent.clone();
                connections.spawn(async move {
                    match UnixStream::connect(&agent).await {
                        // However it ends: the step sees its connection closed.
                        Ok(mut far) => _ = copy_bidirectional(&mut near, &mut far).await,
                        Err(error) => tracing::warn!(%error, "the SSH agent of a build does not answer"),
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_connects_speaks_with_the_agent_and_the_socket_goes_with_the_loan() {
        let directory = tempfile::tempdir().unwrap();
        let agent = directory.path().join("real");
        let listener = UnixListener::bind(&agent).unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 4];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_all(&question).await.unwrap();
            stream.write_all(b"!").await.unwrap();
        });
        let place = directory.path().join("x".repeat(120));
        let options = SshOpt {
            mode: 0o640,
            ..SshOpt::default()
        };
        let lent = Lent::open(place.clone(), &agent, &options).unwrap();
        let socket = place.join(SOCKET);
        assert_eq!(
            std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
            0o640
        );
        let opened = std::fs::File::open(&place).unwrap();
        let short = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
        let mut stream = UnixStream::connect(short).await.unwrap();
        stream.write_all(b"keys").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "keys!");
        answering.await.unwrap();
        drop(lent);
        assert!(!place.exists());
    }
}
