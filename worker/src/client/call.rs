//! One question and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Response, StatusCode, Url, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stagewright_core::protocol::{BuildId, BuildStarted, ContextAnswer, ContextEntry, OutputFormat};
use tokio::sync::watch;
use tokio::time::Instant;

use super::ClientError;
use super::address::{Address, Token};
use crate::request::BuildRequest;
use crate::said::innermost;
use crate::trust;

/// How long the worker may take to answer the phone.
const CONNECT: Duration = Duration::from_secs(10);

/// How long it may be silent in the middle of an answer. A stream of events says that it is there every twenty seconds.
const SILENCE: Duration = Duration::from_mins(1);

/// How long it may think of an answer: a plan may ask registries and fetch a repository first.
pub(super) const THINKING: Duration = Duration::from_mins(10);

/// How long the line may be down before the command gives up.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// The first wait before it is tried again; each is twice as long as the one before, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Longer answers are not read: no refusal is.
const LONGEST_ANSWER: usize = 64 << 20;

/// A worker elsewhere. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    pub(super) web: reqwest::Client,
    pub(super) address: Address,
    authorization: HeaderValue,
    /// Whether it ever answered. Whoever never did is not there, and waiting for it would say nothing.
    met: Arc<AtomicBool>,
}

impl Client {
    /// For the worker at `address`. `roots` are certificates, in PEM, to trust besides those of this machine.
    pub(crate) fn new(address: Address, token: &Token, roots: Option<&[u8]>) -> Result<Self, ClientError> {
        let broken = |reason: String| ClientError::Unreachable {
            worker: address.to_string(),
            reason,
        };
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| {
                ClientError::File("STAGEWRIGHT_TOKEN holds characters that no token has".to_owned())
            })?;
        authorization.set_sensitive(true);
        // Fails where another part of the process has chosen one already, which is as good.
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("stagewright/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // A token goes to the one address that was named, and nowhere else.
            .redirect(redirect::Policy::none());
        if address.is_here() {
            // Nobody stands between, and a machine without root certificates can do it too.
            builder = builder.no_proxy();
            if roots.is_none() {
                builder = builder.tls_backend_preconfigured(trust::nobody().map_err(broken)?);
            }
        }
        for root in roots.map(certificates).transpose()?.into_iter().flatten() {
            builder = builder.add_root_certificate(root);
        }
        let web = builder.build().map_err(|error| {
            broken(format!(
                "{} (are the system's CA certificates installed?)",
                innermost(&error)
            ))
        })?;
        Ok(Self {
            web,
            address,
            authorization,
            met: Arc::default(),
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The plan of a request, as the worker makes it, without building.
    pub(crate) async fn plan<T: DeserializeOwned>(&self, request: &BuildRequest) -> Result<T, ClientError> {
        let question = self.with_json(Method::POST, &["plan"], request)?;
        self.json(self.asked_again(question).await?).await
    }

    /// Offers a context by its content; the answer says what is lacking there.
    pub(crate) async fn offer(&self, entries: &[ContextEntry]) -> Result<ContextAnswer, ClientError> {
        let question = self.with_json(
            Method::POST,
            &["contexts"],
            &serde_json::json!({ "entries": entries }),
        )?;
        self.json(self.asked_again(question).await?).await
    }

    /// Starts a build. It is asked once: where the answer is lost, nobody knows whether the build began.
    pub(crate) async fn start(&self, request: &BuildRequest) -> Result<BuildId, ClientError> {
        let question = self.with_json(Method::POST, &["builds"], request)?;
        let answer = self.asked(question).await?;
        let started: BuildStarted = self.json(answer).await?;
        Ok(started.id)
    }

    /// Cancels a build.
    pub(crate) async fn cancel(&self, id: &str) -> Result<(), ClientError> {
        let question = self.question(Method::POST, self.address.of(&["builds", id, "cancel"], &[]));
        self.asked_again(question).await.map(drop)
    }

    /// A build's image as one file, to be read from the answer.
    pub(crate) async fn image(&self, id: &str, format: OutputFormat) -> Result<Response, ClientError> {
        let format = match format {
            OutputFormat::Oci => "oci",
            OutputFormat::Docker => "docker",
        };
        let url = self.address.of(&["builds", id, "image"], &[("format", format)]);
        self.asked_again(self.question(Method::GET, url)).await
    }

    /// The files of a build's result for one platform in a tar, to be read from the answer.
    pub(crate) async fn files(&self, id: &str, platform: &str) -> Result<Response, ClientError> {
        let url = self
            .address
            .of(&["builds", id, "files"], &[("platform", platform)]);
        self.asked_again(self.question(Method::GET, url)).await
    }

    pub(super) fn question(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, url);
        request
            .headers_mut()
            .insert(AUTHORIZATION, self.authorization.clone());
        request
    }

    fn with_json<T: Serialize>(
        &self,
        method: Method,
        parts: &[&str],
        value: &T,
    ) -> Result<Request, ClientError> {
        let text = serde_json::to_vec(value).map_err(|error| ClientError::File(error.to_string()))?;
        let mut request = self.question(method, self.address.of(parts, &[]));
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(text.into());
        Ok(request)
    }

    /// Asks once. What the worker refuses is an error.
    pub(super) async fn asked(&self, question: Request) -> Result<Response, ClientError> {
        self.asked_until(question, tokio::time::sleep(THINKING)).await
    }

    /// The same, for as long as `patience` lasts.
    pub(super) async fn asked_until(
        &self,
        question: Request,
        patience: impl Future<Output = ()>,
    ) -> Result<Response, ClientError> {
        let answer = self.executed(question, patience).await?;
        self.met.store(true, Ordering::Relaxed);
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refusal(answer).await)
    }

    /// Asks, and asks again where the line drops or the worker is busy, for as long as there is patience. For what may be
    /// done twice.
    pub(super) async fn asked_again(&self, question: Request) -> Result<Response, ClientError> {
        let mut waits = Waits::new();
        loop {
            let Some(copy) = question.try_clone() else {
                return self.asked(question).await;
            };
            let (passes, least, failed) = match self.executed(copy, tokio::time::sleep(THINKING)).await {
                Ok(answer) => {
                    self.met.store(true, Ordering::Relaxed);
                    if answer.status().is_success() {
                        return Ok(answer);
                    }
                    let (busy, least) = (is_busy(answer.status()), retry_after(&answer));
                    (busy, least, self.refusal(answer).await)
                }
                Err(error) => (self.met.load(Ordering::Relaxed), None, error),
            };
            if !passes || !waits.wait(least).await {
                return Err(failed);
            }
        }
    }

    /// What comes back, whatever it says. A machine that is gone is noticed by the system, in whatever is under way.
    async fn executed(
        &self,
        question: Request,
        patience: impl Future<Output = ()>,
    ) -> Result<Response, ClientError> {
        tokio::select! {
            answer = self.web.execute(question) => answer.map_err(|error| self.unreachable(&error)),
            () = patience => Err(self.gone("it does not answer")),
        }
    }

    /// What has arrived of an answer; `None` after its end.
    pub(crate) async fn piece(&self, answer: &mut Response) -> Result<Option<Bytes>, ClientError> {
        match tokio::time::timeout(SILENCE, answer.chunk()).await {
            Ok(piece) => piece.map_err(|error| self.unreachable(&error)),
            Err(_) => Err(self.gone("it stopped in the middle of an answer")),
        }
    }

    pub(super) fn gone(&self, reason: &str) -> ClientError {
        ClientError::Unreachable {
            worker: self.address.to_string(),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            worker: self.address.to_string(),
            reason: innermost(error),
        }
    }

    pub(super) fn strange(&self, reason: impl std::fmt::Display) -> ClientError {
        ClientError::Strange {
            worker: self.address.to_string(),
            reason: reason.to_string(),
        }
    }

    /// The worker's own sentence (RFC 9457), or its status where it has none.
    pub(super) async fn refusal(&self, mut answer: Response) -> ClientError {
        #[derive(serde::Deserialize)]
        struct Problem {
            detail: String,
        }
        let status = answer.status();
        if status.is_redirection() {
            return self
                .strange("it leads elsewhere, and a token is sent to the address that was named alone");
        }
        let body = self.body(&mut answer).await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => ClientError::Refused {
                status: status.as_u16(),
                detail: problem.detail,
            },
            // An answer to HEAD has no sentence, and neither has a proxy that waits for its worker.
            Err(_) if body.is_empty() || is_busy(status) => ClientError::Refused {
                status: status.as_u16(),
                detail: format!("the worker at {} answers {status}", self.address),
            },
            Err(_) => self.strange(format_args!("it answers {status}")),
        }
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, mut answer: Response) -> Result<T, ClientError> {
        let body = self.body(&mut answer).await?;
        serde_json::from_slice(&body).map_err(|error| self.strange(error))
    }

    async fn body(&self, answer: &mut Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece(answer).await? {
            if body.len() + piece.len() > LONGEST_ANSWER {
                return Err(self.strange("its answer does not end"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// Whether a refusal is about this moment: pieces that came out of turn, a slow line, a busy worker.
pub(super) fn may_pass(status: u16) -> bool {
    let known = StatusCode::from_u16(status);
    known.is_ok_and(|status| {
        is_busy(status) || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT)
    })
}

/// Whether that may be otherwise in a moment.
fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The waits between one try and the next.
pub(super) struct Waits {
    next: Duration,
    /// When patience ends that began with the first wait.
    until: Option<Instant>,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self {
            next: FIRST_WAIT,
            until: None,
        }
    }

    /// The line is good at the moment: should it drop, patience begins anew. Not so the waits, which are for lines that drop over
    /// and over.
    pub(super) fn good(&mut self) {
        self.until = None;
    }

    /// Waits, at least so long; `false`, at once, where there is no patience for it left.
    pub(super) async fn wait(&mut self, least: Option<Duration>) -> bool {
        let Some(wait) = self.at(Instant::now(), least.unwrap_or_default()) else {
            return false;
        };
        tokio::time::sleep(wait).await;
        true
    }

    /// How long to wait, where the time is `now`.
    fn at(&mut self, now: Instant, least: Duration) -> Option<Duration> {
        let wait = self.next.max(least);
        let until = *self.until.get_or_insert(now + PATIENCE);
        if now.checked_add(wait).is_none_or(|then| then > until) {
            return None;
        }
        self.next = (self.next * 2).min(LONGEST_WAIT);
        Some(wait)
    }
}

/// Returns when nothing of a body was taken for so long, or so long after all of it was. `taken` tells
/// of each piece. How long content takes on its way otherwise is the line's matter.
pub(super) async fn stalled(mut taken: watch::Receiver<()>, within: Duration) {
    while let Ok(told) = tokio::time::timeout(within, taken.changed()).await {
        if told.is_err() {
            return tokio::time::sleep(within).await;
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let read = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| {
        ClientError::File(format!(
            "the certificates to trust cannot be read: {}",
            innermost(&error)
        ))
    })?;
    if read.is_empty() {
        return Err(ClientError::File(
            "there is no certificate in the file of those to trust".to_owned(),
        ));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All waits of a line that is down from `now` on, together.
    fn all(waits: &mut Waits, mut now: Instant) -> Duration {
        let began = now;
        while let Some(wait) = waits.at(now, Duration::ZERO) {
            now += wait;
        }
        now - began
    }

    #[test]
    fn patience_begins_when_the_line_drops_and_not_before() {
        let mut waits = Waits::new();
        let now = Instant::now();
        for later in [PATIENCE * 5, PATIENCE * 50] {
            let waited = all(&mut waits, now + later);
            assert!(
                waited <= PATIENCE && waited + LONGEST_WAIT >= PATIENCE,
                "{waited:?}"
            );
            assert_eq!(waits.at(now + later * 2, Duration::ZERO), None);
            // A line that was good meanwhile has all of it once more.
            waits.good();
        }
        // And no short waits.
        assert_eq!(waits.at(now, Duration::ZERO), Some(LONGEST_WAIT));
    }

    #[test]
    fn who_is_to_wait_longer_than_there_is_patience_does_not_wait() {
        for least in [PATIENCE * 2, Duration::from_secs(u64::MAX)] {
            assert_eq!(Waits::new().at(Instant::now(), least), None);
        }
    }

    #[tokio::test]
    async fn a_body_that_nobody_takes_is_given_up() {
        let (told, taken) = watch::channel(());
        let within = Duration::from_millis(20);
        let mut given_up = Box::pin(stalled(taken, within));
        // However long it takes altogether.
        let began = Instant::now();
        while began.elapsed() < within * 3 {
            told.send_replace(());
            assert!(futures_util::poll!(&mut given_up).is_pending());
            tokio::task::yield_now().await;
        }
        given_up.await;
        drop(told);
    }
}
