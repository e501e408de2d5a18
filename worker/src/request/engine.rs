//! Docker or Podman on this machine: by what it is reached, and what its socket is told.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::obstacle::Obstacle;

/// Programs that take images, in the order in which they are looked for.
const PROGRAMS: [&str; 2] = ["docker", "podman"];
/// Where engines listen that nobody named.
const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// By what an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Engine {
    /// A program on the path.
    Program(&'static str),
    /// The socket that it listens on.
    Socket(PathBuf),
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(name) => formatter.write_str(name),
            Self::Socket(place) => write!(formatter, "the engine at {}", place.display()),
        }
    }
}

impl Engine {
    /// The engine of this machine.
    pub(crate) fn find() -> Option<Self> {
        Self::among(|name| std::env::var_os(name))
    }

    /// A program knows best where its engine is; where there is none, a socket that answers will do.
    fn among(environment: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let path = environment("PATH").unwrap_or_default();
        let there = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
        if let Some(program) = PROGRAMS.into_iter().find(there) {
            return Some(Self::Program(program));
        }
        let named = environment("DOCKER_HOST").filter(|host| !host.is_empty());
        let sockets: Vec<PathBuf> = if let Some(host) = named {
            // Another machine's engine is not reached from here.
            let socket = host.to_str().and_then(|host| host.strip_prefix("unix://"));
            socket.map(PathBuf::from).into_iter().collect()
        } else {
            let own = environment("XDG_RUNTIME_DIR");
            let own = own.map(|folder| Path::new(&folder).join("podman/podman.sock"));
            own.into_iter().chain(SOCKETS.map(PathBuf::from)).collect()
        };
        let answers = |socket: &PathBuf| UnixStream::connect(socket).is_ok();
        sockets.into_iter().find(answers).map(Self::Socket)
    }
}

impl Engine {
    /// Has the engine take the archive that `write` writes, as `docker load` does: whether it did, and what `write` gave.
    pub(crate) async fn load<F: Future<Output = Result<(), E>>, E>(
        &self,
        write: impl FnOnce(Box<dyn Write + Send>) -> F,
    ) -> (Result<(), Obstacle>, Result<(), E>) {
        match self {
            Self::Program(name) => {
                let begun = Command::new(name)
                    .arg("load")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .and_then(|mut child| {
                        let input = child.stdin.take();
                        Ok((child, input.ok_or_else(|| io::Error::other("it has no input"))?))
                    });
                let (child, input) = match begun {
                    Ok(begun) => begun,
                    Err(error) => return (Err(self.refuses(&error)), Ok(())),
                };
                let written = write(Box::new(BufWriter::with_capacity(1 << 20, input))).await;
                let ended = tokio::task::spawn_blocking(move || child.wait_with_output()).await;
                let taken = match ended.map_err(io::Error::other).flatten() {
                    Ok(ended) if ended.status.success() => Ok(()),
                    Ok(ended) => {
                        let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
                        Err(if said.is_empty() {
                            ended.status.to_string()
                        } else {
                            said
                        })
                    }
                    Err(error) => Err(error.to_string()),
                };
                (taken.map_err(|said| self.refuses(&said)), written)
            }
            Self::Socket(socket) => {
                let begun = Loading::begin(socket).and_then(|loading| {
                    let body = loading.body()?;
                    Ok((loading, body))
                });
                let (loading, body) = match begun {
                    Ok(begun) => begun,
                    Err(error) => return (Err(self.refuses(&error)), Ok(())),
                };
                let written = write(body).await;
                let whole = written.is_ok();
                let answered = tokio::task::spawn_blocking(move || loading.finish(whole)).await;
                let taken = answered.unwrap_or_else(|error| Err(error.to_string()));
                (taken.map_err(|said| self.refuses(&said)), written)
            }
        }
    }

    /// It does not take an image, for this reason.
    pub(crate) fn refuses(&self, reason: &dyn fmt::Display) -> Obstacle {
        let obstacle = Obstacle::work(format!("{self} does not take the image: {reason}"));
        match self {
            Self::Program(name) => obstacle.hint(format!(
                "see whether `{name} info` works, or write a file with -o type=docker,dest=FILE"
            )),
            Self::Socket(_) => {
                obstacle.hint("see whether it is at work, or write a file with -o type=docker,dest=FILE")
            }
        }
    }
}

/// An image on its way through an engine's socket.
struct Loading {
    stream: UnixStream,
}

impl Loading {
    /// Begins the request.
    fn begin(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(
            b"POST /images/load?quiet=1 HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\n\
              Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        )?;
        Ok(Self { stream })
    }

    /// Where the archive goes.
    fn body(&self) -> io::Result<Box<dyn Write + Send>> {
        let body = Chunks(self.stream.try_clone()?);
        Ok(Box::new(BufWriter::with_capacity(1 << 20, body)))
    }

    /// Ends the request and says why the engine did not take the image, where it did not. `whole` is whether all of the
    /// archive was written. Blocks.
    fn finish(mut self, whole: bool) -> Result<(), String> {
        if whole {
            // An engine that has had enough already says why.
            // An engine takes the end of the connection for nobody being there any more, so the connection stays open.
            _ = self.stream.write_all(b"0\r\n\r\n");
        } else {
            _ = self.stream.shutdown(std::net::Shutdown::Write);
        }
        let mut answer = Vec::new();
        let read = self.stream.take(1 << 20).read_to_end(&mut answer);
        verdict(&String::from_utf8_lossy(&answer))?;
        read.map(drop).map_err(|error| error.to_string())
    }
}

/// What an engine's answer says.
fn verdict(answer: &str) -> Result<(), String> {
    let status = answer.split(' ').nth(1).unwrap_or_default();
    // What it says comes as lines of JSON, also where it began well.
    let said = answer
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
    let error = said.into_iter().find_map(|said| {
        let text = said["error"].as_str().or_else(|| said["message"].as_str());
        text.map(str::to_owned)
    });
    match (status, error) {
        ("200", None) => Ok(()),
        (_, Some(error)) => Err(error),
        ("", None) => Err("it ended the connection without an answer".into()),
        (status, None) => Err(format!("it answered with the status {status}")),
    }
}

/// A body whose length is not known before its end.
struct Chunks(UnixStream);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An empty piece would be the end.
        if !bytes.is_empty() {
            write!(self.0, "{:x}\r\n", bytes.len())?;
            self.0.write_all(bytes)?;
            self.0.write_all(b"\r\n")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;

    /// What comes up to the last piece of the body, or the connection's end.
    fn read_to_end_of_body(connection: &mut UnixStream) -> String {
        let mut request = Vec::new();
        let mut piece = [0; 1024];
        while !request.ends_with(b"\r\n0\r\n\r\n") {
            match connection.read(&mut piece).unwrap() {
                0 => break,
                length => request.extend_from_slice(&piece[..length]),
            }
        }
        String::from_utf8(request).unwrap()
    }

    #[test]
    fn a_program_goes_before_a_socket_and_one_that_is_named_before_others() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(place("podman")).unwrap();
        let _named = UnixListener::bind(place("named.sock")).unwrap();
        let _own = UnixListener::bind(place("podman/podman.sock")).unwrap();
        let among = |variables: &[(&str, String)]| {
            Engine::among(|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.into())
            })
        };
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let run = ("XDG_RUNTIME_DIR", text(folder.path()));
        let named = ("DOCKER_HOST", format!("unix://{}", text(&place("named.sock"))));
        assert_eq!(
            among(std::slice::from_ref(&run)),
            Some(Engine::Socket(place("podman/podman.sock")))
        );
        assert_eq!(
            among(&[run.clone(), named.clone()]),
            Some(Engine::Socket(place("named.sock")))
        );
        // What was named is not replaced by something else.
        assert_eq!(among(&[run, ("DOCKER_HOST", "tcp://10.0.0.1:2375".into())]), None);
        std::fs::create_dir(place("bin")).unwrap();
        std::fs::write(place("bin/podman"), "").unwrap();
        assert_eq!(
            among(&[named, ("PATH", text(&place("bin")))]),
            Some(Engine::Program("podman"))
        );
    }

    #[test]
    fn a_socket_gets_all_of_the_archive_and_its_word_counts() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        for (answer, wanted) in [
            (
                "HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"Loaded image: app:1\"}\r\n",
                Ok(()),
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\n{\"errorDetail\":{},\"error\":\"no space left\"}\r\n",
                Err("no space left".to_owned()),
            ),
            (
                "HTTP/1.1 500 Internal Server Error\r\n\r\n{\"message\":\"broken\"}\n",
                Err("broken".to_owned()),
            ),
        ] {
            std::thread::scope(|threads| {
                let serving = threads.spawn(|| {
                    let (mut connection, _) = listener.accept().unwrap();
                    let request = read_to_end_of_body(&mut connection);
                    // Who asks is still there when the answer comes.
                    connection
                        .set_read_timeout(Some(Duration::from_millis(100)))
                        .unwrap();
                    let more = connection.read(&mut [0]).map_err(|error| error.kind());
                    assert_eq!(more, Err(io::ErrorKind::WouldBlock));
                    connection.write_all(answer.as_bytes()).unwrap();
                    request
                });
                let loading = Loading::begin(&socket).unwrap();
                loading.body().unwrap().write_all(b"an archive").unwrap();
                assert_eq!(loading.finish(true), wanted);
                let request = serving.join().unwrap();
                assert!(request.starts_with("POST /images/load"), "{request}");
                assert!(
                    request.ends_with("\r\n\r\na\r\nan archive\r\n0\r\n\r\n"),
                    "{request}"
                );
            });
        }
    }

    #[test]
    fn an_archive_that_is_not_whole_is_given_up_without_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::scope(|threads| {
            let serving = threads.spawn(|| {
                let (mut connection, _) = listener.accept().unwrap();
                read_to_end_of_body(&mut connection)
            });
            let loading = Loading::begin(&socket).unwrap();
            loading.body().unwrap().write_all(b"half").unwrap();
            assert!(loading.finish(false).is_err());
            assert!(serving.join().unwrap().ends_with("\r\n\r\n4\r\nhalf\r\n"));
        });
    }
}
