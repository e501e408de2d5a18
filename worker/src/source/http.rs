//! Files from web servers.
//!
//! An address may come from a stranger and so may an answer: every answer has a longest length, every wait an end,
//! HTTPS never becomes HTTP on the way, and unless the build's owner is who asks, no address leads to this machine or
//! into a private network, at first or by a redirect.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{
    AUTHORIZATION, CONTENT_DISPOSITION, COOKIE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, PROXY_AUTHORIZATION,
};
use reqwest::{Client, Response, StatusCode, Url, redirect};

use super::address::{Network, Reach, is_this_machine};
use crate::said::innermost;
use crate::trust;

const MOST_REDIRECTS: usize = 10;
const CONNECT: Duration = Duration::from_secs(10);
/// For the next bytes.
const READ: Duration = Duration::from_mins(1);

/// A client for files of builds. Connections are kept and shared.
pub struct Web {
    limit: u64,
    /// How far addresses lead that others than the owner ask for.
    public: Reach,
    clients: [OnceLock<Result<Client, String>>; 3],
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The address, `http://` or `https://`.
    pub url: String,
    /// More headers. Those that prove who asks do not follow to another host.
    pub headers: HeaderMap,
    /// What is known from an earlier answer.
    pub known: Known,
    /// Whether it may be an address of this machine, or of a private network.
    pub local: bool,
}

/// By what a server tells whether a file changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its `ETag`, as it came.
    pub etag: Option<String>,
    /// Its `Last-Modified`, as it came.
    pub last_modified: Option<String>,
}

/// What a server said.
pub enum Answer {
    /// The file is as it was.
    Unchanged,
    /// The file, to be read.
    File(Download),
}

/// A file on its way.
pub struct Download {
    response: Response,
    url: String,
    limit: u64,
    received: u64,
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// It is no address that could be asked.
    #[error("{url} is no address that a file could come from: {reason}")]
    Address {
        /// As written.
        url: String,
        /// Why not.
        reason: String,
    },
    /// It leads to this machine or a private network, and the build may not.
    #[error(
        "{0} is an address of the worker's own machine or of a private network, from which builds that others start get \
         no files; its owner can allow a network (private-networks in the worker's configuration)"
    )]
    Local(String),
    /// No answer came.
    #[error("{url} cannot be fetched: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// The server refused.
    #[error("{url} cannot be fetched: the server answers {status}{hint}")]
    Status {
        /// The address.
        url: String,
        /// What it said.
        status: StatusCode,
        /// What to do next: a sentence that begins with its own punctuation.
        hint: &'static str,
    },
    /// It is too large.
    #[error(
        "{url} is larger than the {limit} bytes that this worker downloads at most (limits.download-size)"
    )]
    TooLarge {
        /// The address.
        url: String,
        /// The limit.
        limit: u64,
    },
}

/// Which client: with the machine's proxies or without, and whether to this machine.
#[derive(Clone, Copy)]
enum Way {
    Direct = 0,
    Proxied = 1,
    Outside = 2,
}

impl Web {
    /// A client that takes files of up to `limit` bytes, and where others than the owner ask, those of public addresses
    /// and of `networks` only.
    pub fn new(limit: u64, networks: &[Network]) -> Self {
        Self {
            limit,
            public: Reach::Public(networks.into()),
            clients: [const { OnceLock::new() }; 3],
        }
    }

    /// Asks for a file, and whether it changed where something is known of it.
    pub async fn ask(&self, question: &Question) -> Result<Answer, WebError> {
        let written = shown(&question.url);
        let address = |reason: &dyn std::fmt::Display| WebError::Address {
            url: written.clone(),
            reason: reason.to_string(),
        };
        let url = Url::parse(&question.url).map_err(|error| address(&error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(address(&"it is neither http nor https"));
        }
        if !question.local && !self.may_lead_to(&url).await {
            return Err(WebError::Local(written));
        }
        let mut headers = question.headers.clone();
        if let Some(etag) = question.known.etag.as_deref().and_then(header) {
            headers.insert(IF_NONE_MATCH, etag);
        } else if let Some(time) = question.known.last_modified.as_deref().and_then(header) {
            headers.insert(IF_MODIFIED_SINCE, time);
        }
        let download = Download {
            response: self.follow(url, headers, question.local, &written).await?,
            url: written,
            limit: self.limit,
            received: 0,
        };
        download.checked(&question.known)
    }

    /// Tells a server something, and gives the status that it answers with. A redirect is an answer: what is told is for
    /// nobody else. The same rules hold for its address as for a file's.
    pub async fn tell(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
        local: bool,
    ) -> Result<StatusCode, WebError> {
        let written = shown(url);
        let address = |reason: &dyn std::fmt::Display| WebError::Address {
            url: written.clone(),
            reason: reason.to_string(),
        };
        let url = Url::parse(url).map_err(|error| address(&error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(address(&"it is neither http nor https"));
        }
        if !local && !self.may_lead_to(&url).await {
            return Err(WebError::Local(written));
        }
        let client = self
            .client(way(&url, local))
            .map_err(|reason| WebError::Unreachable {
                url: written.clone(),
                reason: reason.to_owned(),
            })?;
        let answer = client.post(url).headers(headers).body(body).send().await;
        Ok(answer.map_err(|error| failure(&written, &error))?.status())
    }

    /// Asks, and follows where it is sent on to. Each address is looked at as the first one is.
    async fn follow(
        &self,
        mut url: Url,
        mut headers: HeaderMap,
        local: bool,
        written: &str,
    ) -> Result<Response, WebError> {
        let refused = |reason: &str| WebError::Unreachable {
            url: written.to_owned(),
            reason: reason.to_owned(),
        };
        for _ in 0..=MOST_REDIRECTS {
            let client = self.client(way(&url, local)).map_err(refused)?;
            let request = client.get(url.clone()).headers(headers.clone());
            let response = request.send().await.map_err(|error| failure(written, &error))?;
            let Some(next) = sent_on_to(&url, &response) else {
                return Ok(response);
            };
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(refused("it redirects from HTTPS to an address without"));
            }
            if !matches!(next.scheme(), "http" | "https") {
                return Err(refused(
                    "it redirects to an address that is neither http nor https",
                ));
            }
            if !local && !self.may_lead_to(&next).await {
                return Err(refused(
                    "it redirects to the worker's own machine or into a private network",
                ));
            }
            if next.origin() != url.origin() {
                for proof in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                    headers.remove(proof);
                }
            }
            url = next;
        }
        Err(refused("it redirects without end"))
    }

    /// Whether others than the owner get files from an address. Where a proxy stands between, it is the proxy that looks the
    /// name up and connects; so it is looked up here, too.
    async fn may_lead_to(&self, url: &Url) -> bool {
        let port = url.port_or_known_default().unwrap_or_default();
        self.public.allows_name(host(url), port).await
    }

    fn client(&self, way: Way) -> Result<&Client, &str> {
        let slot = self.clients.get(way as usize).ok_or("there is no such way")?;
        slot.get_or_init(|| client(way, &self.public))
            .as_ref()
            .map_err(String::as_str)
    }
}

fn way(url: &Url, local: bool) -> Way {
    match (local, is_this_machine(host(url))) {
        (false, _) => Way::Outside,
        // What is on this machine no proxy has.
        (true, true) => Way::Direct,
        (true, false) => Way::Proxied,
    }
}

impl Download {
    fn checked(self, known: &Known) -> Result<Answer, WebError> {
        let status = self.response.status();
        // A server that does not look at the question may still say that it is the same file.
        let same =
            known.etag.is_some() && self.etag().as_deref().map(strong) == known.etag.as_deref().map(strong);
        if status == StatusCode::NOT_MODIFIED || (status.is_success() && same) {
            return Ok(Answer::Unchanged);
        }
        if !status.is_success() {
            let hint = match status.as_u16() {
                401 | 403 => {
                    ": where it needs proof of who asks, give it as the secret HTTP_AUTH_TOKEN_<host> or \
                     HTTP_AUTH_HEADER_<host>"
                }
                404 | 410 => ": check the address",
                429 | 500.. => ": try again later",
                _ => "",
            };
            return Err(WebError::Status {
                url: self.url,
                status,
                hint,
            });
        }
        if self.size().is_some_and(|size| size > self.limit) {
            return Err(self.too_large());
        }
        Ok(Answer::File(self))
    }

    /// How many bytes it has, where the server says so.
    pub fn size(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Its `ETag`.
    pub fn etag(&self) -> Option<String> {
        self.header(&ETAG)
    }

    /// Its `Last-Modified`.
    pub fn last_modified(&self) -> Option<String> {
        self.header(&LAST_MODIFIED)
    }

    /// The name that the server gives the file: one part of a path.
    pub fn name(&self) -> Option<String> {
        disposition_name(&self.header(&CONTENT_DISPOSITION)?)
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, WebError> {
        let chunk = self.response.chunk().await;
        let chunk = chunk.map_err(|error| failure(&self.url, &error))?;
        let Some(chunk) = chunk else { return Ok(None) };
        self.received += chunk.len() as u64;
        if self.received > self.limit {
            return Err(self.too_large());
        }
        Ok(Some(chunk.into()))
    }

    fn header(&self, name: &reqwest::header::HeaderName) -> Option<String> {
        let value = self.response.headers().get(name)?.to_str().ok()?;
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn too_large(&self) -> WebError {
        WebError::TooLarge {
            url: self.url.clone(),
            limit: self.limit,
        }
    }
}

/// An `ETag` for comparing: whether a weak one is meant does not matter, as the content is hashed all the same.
fn strong(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag)
}

/// An address as it may be told to people: without what proves who asks.
pub fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            // Fails for addresses that have no host, and so no user either.
            _ = parsed.set_username("");
            _ = parsed.set_password(None);
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

/// A text with addresses in it, such as an instruction, as it may be told to people and kept.
pub fn told(text: &str) -> String {
    let (mut rest, mut told) = (text, String::with_capacity(text.len()));
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        told.push_str(before);
        // Nothing else ends it: a password may have commas and quotation marks in it.
        let ends = |character: char| character.is_whitespace() || "/?#\"".contains(character);
        let mut end = after.find(ends).unwrap_or(after.len());
        // Where another address follows right behind, the colon is that one's.
        if after.get(..end).is_some_and(|authority| authority.ends_with(':'))
            && after.get(end..).is_some_and(|behind| behind.starts_with("//"))
        {
            end -= 1;
        }
        let (authority, behind) = after.split_at(end);
        let web = ["http://", "https://"].iter().any(|scheme| {
            let before = told.len().checked_sub(scheme.len());
            before
                .and_then(|before| told.get(before..))
                .is_some_and(|written| written.eq_ignore_ascii_case(scheme))
        });
        // Over the web whoever is named alone is named by a token; elsewhere it is only a user.
        match authority.rsplit_once('@') {
            Some((who, host)) if web || who.contains(':') => told.push_str(host),
            _ => told.push_str(authority),
        }
        rest = behind;
    }
    told.push_str(rest);
    told
}

/// The last part of an address's path, to call a file by.
pub fn file_name(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    plain_name(url.path_segments()?.next_back()?)
}

fn disposition_name(header: &str) -> Option<String> {
    let parameters = header.split(';').skip(1);
    let name = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("filename"))?
        .1;
    plain_name(name.trim().trim_matches('"').rsplit('/').next()?)
}

/// A name that is one part of a path and no way out of a directory.
pub fn plain_name(name: &str) -> Option<String> {
    let plain = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= 255;
    plain.then(|| name.to_owned())
}

/// Looks names up, and gives those of their addresses that may be reached: what was checked is what is connected to.
struct Checked(Reach);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            // The proxy is of the owner's choosing, and mostly in a private network.
            let reach = if is_a_proxy(name.as_str()) {
                Reach::Anywhere
            } else {
                reach
            };
            let found: Vec<SocketAddr> = reach.find(name.as_str(), 0).await?;
            if found.is_empty() {
                return Err(
                    "its name leads to the worker's own machine or into a private network only".into(),
                );
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Where the environment names proxies.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Whether a name is that of a proxy of the environment.
fn is_a_proxy(name: &str) -> bool {
    PROXIES.iter().any(|variable| {
        let Ok(written) = std::env::var(variable) else {
            return false;
        };
        let url = if written.contains("://") {
            Url::parse(&written)
        } else {
            Url::parse(&format!("http://{written}"))
        };
        url.is_ok_and(|url| host(&url).eq_ignore_ascii_case(name))
    })
}

fn client(way: Way, public: &Reach) -> Result<Client, String> {
    // Fails where another part of the process has chosen one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        let builder = Client::builder()
            .user_agent(concat!("stagewright/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(READ)
            .redirect(redirect::Policy::none());
        match way {
            Way::Direct => builder.no_proxy(),
            Way::Proxied => builder,
            Way::Outside => builder.dns_resolver(Arc::new(Checked(public.clone()))),
        }
    };
    builder().build().or_else(|error| {
        // A machine without root certificates can still have files that come without TLS, and no others.
        let without = builder().tls_backend_preconfigured(trust::nobody()?).build();
        without.map_err(|_| {
            format!(
                "{} (are the system's CA certificates installed?)",
                innermost(&error)
            )
        })
    })
}

/// The host of an address, as one that is looked up.
fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

/// What is known from an earlier answer as it is sent. What could not be is left out, and the file is fetched again.
fn header(value: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(value).ok()
}

/// The address that an answer sends whoever asks on to.
fn sent_on_to(url: &Url, answer: &Response) -> Option<Url> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let written = answer.headers().get(LOCATION)?.to_str().ok()?;
    url.join(written).ok()
}

fn failure(url: &str, error: &reqwest::Error) -> WebError {
    let cause = innermost(error);
    let reason = if error.is_timeout() {
        "it took too long: try again, or look whether the network is slow".to_owned()
    } else if error.is_connect() {
        let hint = if PROXIES.iter().any(|name| std::env::var_os(name).is_some()) {
            "the proxy of the environment was asked"
        } else {
            "is there a network? A proxy is taken from HTTP_PROXY and HTTPS_PROXY"
        };
        format!("no connection ({cause}): {hint}")
    } else {
        cause
    };
    WebError::Unreachable {
        url: url.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::address::network;

    #[test]
    fn names_of_files_never_lead_anywhere() {
        for (header, name) in [
            ("attachment; filename=\"a.tar.gz\"", Some("a.tar.gz")),
            ("attachment; filename=../../etc/passwd", Some("passwd")),
            ("attachment; FileName=\"..\"", None),
            ("attachment; filename=\"x/\"", None),
            ("inline", None),
        ] {
            assert_eq!(disposition_name(header).as_deref(), name, "{header}");
        }
        assert_eq!(
            file_name("https://example.com/a/b.txt?x=/y").as_deref(),
            Some("b.txt")
        );
        assert_eq!(file_name("https://example.com/"), None);
    }

    #[test]
    fn other_spellings_of_an_address_are_made_one_by_the_parser_of_addresses() {
        for host in ["0x7f.1", "2130706433", "127.1", "0177.0.0.1"] {
            let url = Url::parse(&format!("http://{host}/")).unwrap();
            assert_eq!(url.host_str(), Some("127.0.0.1"), "{host}");
        }
    }

    #[test]
    fn what_proves_who_asks_is_not_shown() {
        assert_eq!(shown("https://me:word@example.com/a"), "https://example.com/a");
        assert_eq!(shown("https://example.com/a b"), "https://example.com/a b");
    }

    #[test]
    fn what_proves_who_asks_is_not_told_in_an_instruction() {
        for (text, expected) in [
            (
                "[2/3] ADD https://me:w@rd@example.com/a https://t0ken@example.com /b/",
                "[2/3] ADD https://example.com/a https://example.com /b/",
            ),
            ("ADD https://me:a,'b@h/x /", "ADD https://h/x /"),
            (
                "ADD HTTPS://t0ken@h/x Http://t0ken@h/",
                "ADD HTTPS://h/x Http://h/",
            ),
            (
                "RUN fetch 'http://h','http://t0ken@i,https://me:word@j'",
                "RUN fetch 'http://h','http://i,https://j'",
            ),
            ("ADD ssh://git:word@h/a.git /", "ADD ssh://h/a.git /"),
            ("ADD ssh://git@h/a.git /", "ADD ssh://git@h/a.git /"),
            (
                "RUN echo 'x://y@z' \"http://a:b@c\"",
                "RUN echo 'x://y@z' \"http://c\"",
            ),
            (
                "FROM docker-image://a/b@sha256:1",
                "FROM docker-image://a/b@sha256:1",
            ),
            ("COPY a /mail@example.com/", "COPY a /mail@example.com/"),
            ("https://", "https://"),
        ] {
            assert_eq!(told(text), expected);
        }
    }

    /// A server that answers everything with a redirect to `location`, or with a file where there is none.
    async fn server(address: &str, location: Option<String>) -> u16 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                _ = stream.read(&mut request).await;
                let answer = match &location {
                    Some(location) => {
                        format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0")
                    }
                    None => "HTTP/1.1 200 OK\r\nContent-Length: 1".to_owned(),
                };
                _ = stream
                    .write_all(format!("{answer}\r\nConnection: close\r\n\r\nx").as_bytes())
                    .await;
            }
        });
        port
    }

    async fn asked(networks: &[&str], url: String) -> Result<(), String> {
        let networks: Vec<Network> = networks.iter().map(|text| network(text).unwrap()).collect();
        let question = Question {
            url,
            ..Question::default()
        };
        let answer = Web::new(10, &networks).ask(&question).await;
        answer.map(drop).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn builds_of_others_get_nothing_from_this_machine_or_its_networks() {
        let port = server("127.0.0.1", None).await;
        for host in [
            "127.0.0.1",
            "localhost",
            "[::ffff:127.0.0.1]",
            "2130706433",
            "[::1]",
        ] {
            let refused = asked(&[], format!("http://{host}:{port}/")).await.unwrap_err();
            assert!(refused.contains("private-networks"), "{refused}");
        }
        for host in [
            "10.0.0.1",
            "192.168.0.1",
            "172.16.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "[fd00::1]",
        ] {
            let refused = asked(&[], format!("http://{host}:1/")).await.unwrap_err();
            assert!(refused.contains("private-networks"), "{refused}");
        }
        // Only the rule stands between: with the owner's word there is an answer.
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            asked(&["127.0.0.0/8"], format!("http://{host}:{port}/"))
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn a_redirect_leads_builds_of_others_into_no_private_network() {
        let hidden = server("127.0.0.1", None).await;
        for host in ["127.0.0.1", "localhost"] {
            let door = server("127.0.0.2", Some(format!("http://{host}:{hidden}/"))).await;
            let url = format!("http://127.0.0.2:{door}/");
            // The first step is allowed, the second is not.
            let refused = asked(&["127.0.0.2"], url.clone()).await.unwrap_err();
            assert!(
                refused.contains("it redirects to the worker's own machine"),
                "{refused}"
            );
            asked(&["127.0.0.0/8"], url).await.unwrap();
        }
    }

    /// Runs one of these tests once more, by itself and with a proxy in its environment.
    fn with_proxy(test: &str, port: u16) {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        for name in ["no_proxy", "NO_PROXY", "REQUEST_METHOD"] {
            again.env_remove(name);
        }
        let ended = again
            .args(["--exact", &format!("source::http::tests::{test}")])
            .env("http_proxy", format!("http://localhost:{port}"))
            .env(BEHIND_A_PROXY, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    }

    const BEHIND_A_PROXY: &str = "STAGEWRIGHT_TEST_BEHIND_A_PROXY";

    /// A proxy that would bring anything: `http://example.com/?URL` as a redirect to that, the rest as a file.
    async fn proxy() -> (u16, Arc<std::sync::Mutex<Vec<String>>>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let url = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = match url.split_once('?') {
                    Some((_, next)) => format!("302 Found\r\nLocation: {next}\r\nContent-Length: 0"),
                    None => "200 OK\r\nContent-Length: 1".to_owned(),
                };
                heard.lock().unwrap().push(url);
                _ = stream
                    .write_all(format!("HTTP/1.1 {answer}\r\nConnection: close\r\n\r\nx").as_bytes())
                    .await;
            }
        });
        (port, asked)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn behind_a_proxy_no_redirect_leads_builds_of_others_to_a_private_name() {
        let test = "behind_a_proxy_no_redirect_leads_builds_of_others_to_a_private_name";
        if std::env::var_os(BEHIND_A_PROXY).is_none() {
            let (port, asked) = proxy().await;
            tokio::task::spawn_blocking(move || with_proxy(test, port))
                .await
                .unwrap();
            let asked = asked.lock().unwrap();
            assert!(
                asked.contains(&"http://public.invalid/file".to_owned()),
                "{asked:?}"
            );
            let mut hosts = asked.iter().map(|url| Url::parse(url).unwrap());
            assert!(
                hosts.all(|url| url.host_str() == Some("public.invalid")),
                "{asked:?}"
            );
            return;
        }
        asked(&[], "http://public.invalid/file".into()).await.unwrap();
        asked(&[], "http://public.invalid/?http://public.invalid/file".into())
            .await
            .unwrap();
        // This machine's own name leads here, where it leads anywhere.
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        for hidden in ["10.0.0.1", "localhost", "intranet", "wiki.internal", &own] {
            let direct = asked(&[], format!("http://{hidden}/file")).await.unwrap_err();
            assert!(direct.contains("private-networks"), "{direct}");
            let led = format!("http://public.invalid/?http://{hidden}/file");
            let led = asked(&[], led).await.unwrap_err();
            assert!(led.contains("it redirects to the worker's own machine"), "{led}");
        }
    }

    #[tokio::test]
    async fn a_redirect_ends_and_leads_to_no_other_kind_of_address() {
        let round = server("127.0.0.1", Some("/again".into())).await;
        let url = format!("http://127.0.0.1:{round}/");
        let refused = asked(&["127.0.0.0/8"], url).await.unwrap_err();
        assert!(refused.contains("without end"), "{refused}");
        let file = server("127.0.0.1", Some("file:///etc/passwd".into())).await;
        let url = format!("http://127.0.0.1:{file}/");
        let refused = asked(&["127.0.0.0/8"], url).await.unwrap_err();
        assert!(refused.contains("neither http nor https"), "{refused}");
    }
}
