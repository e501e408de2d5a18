//! What happens in a build: each event once and in order, over as many lines as it takes.

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, Response};
use stagewright_core::protocol::{BuildEvent, Event};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::ClientError;
use super::call::{Client, Waits, may_pass};

/// Longer lines are no events.
const LONGEST_LINE: usize = 64 << 20;

/// What is heard of a build.
#[derive(Debug)]
pub(crate) enum Heard {
    Event(BuildEvent),
    /// The line dropped, for this reason; another is tried.
    Dropped(String),
}

/// The events of one build, from its first to its last.
pub(crate) struct Events {
    heard: mpsc::Receiver<Result<Heard, ClientError>>,
    // Connecting again and waiting go on while whoever listens does something else.
    _listening: AbortOnDropHandle<()>,
}

impl Events {
    pub(crate) fn of(client: &Client, id: &str) -> Self {
        let listener = Listener {
            client: client.clone(),
            id: id.to_owned(),
            last: 0,
            line: None,
            over: false,
        };
        let (tell, heard) = mpsc::channel(16);
        Self {
            heard,
            _listening: AbortOnDropHandle::new(tokio::spawn(listener.listen(tell))),
        }
    }

    /// The next; `None` after the last event, or the error that ended it. Giving the future up loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Heard>, ClientError> {
        self.heard.recv().await.transpose()
    }
}

struct Listener {
    client: Client,
    id: String,
    /// The number of the last event that was told.
    last: u64,
    line: Option<Line>,
    over: bool,
}

/// One answer that goes on.
struct Line {
    answer: Response,
    text: Text,
}

impl Listener {
    async fn listen(mut self, tell: mpsc::Sender<Result<Heard, ClientError>>) {
        let mut waits = Waits::new();
        while !self.over {
            let failed = match self.read().await {
                Ok(None) => {
                    waits.good();
                    continue;
                }
                Ok(Some(event)) => {
                    waits = Waits::new();
                    // Where nobody listens any more, this task ends with its listener.
                    _ = tell.send(Ok(Heard::Event(event))).await;
                    continue;
                }
                Err(error) => error,
            };
            self.line = None;
            let passes = match &failed {
                ClientError::Unreachable { .. } => true,
                // A worker that starts again, or that has many who follow, is there in a moment.
                ClientError::Refused { status, .. } => may_pass(*status),
                ClientError::Strange { .. } | ClientError::File(_) => false,
            };
            if passes {
                _ = tell.send(Ok(Heard::Dropped(failed.to_string()))).await;
            }
            if !passes || !waits.wait(None).await {
                _ = tell.send(Err(failed)).await;
                return;
            }
        }
    }

    /// Takes what has arrived, or waits for more.
    async fn read(&mut self) -> Result<Option<BuildEvent>, ClientError> {
        let line = match &mut self.line {
            Some(line) => line,
            none => {
                let answer = open(&self.client, &self.id, self.last).await?;
                none.insert(Line {
                    answer,
                    text: Text::default(),
                })
            }
        };
        while let Some(data) = line.text.take() {
            let event: BuildEvent =
                serde_json::from_slice(&data).map_err(|error| self.client.strange(error))?;
            if event.seq <= self.last {
                continue;
            }
            if event.seq != self.last + 1 {
                return Err(self.client.strange("events of the build are missing"));
            }
            self.last = event.seq;
            self.over = matches!(event.event, Event::Done(_) | Event::Failed(_) | Event::Cancelled);
            return Ok(Some(event));
        }
        match self.client.piece(&mut line.answer).await? {
            Some(piece) if line.text.len() + piece.len() > LONGEST_LINE => {
                Err(self.client.strange("an event of the build does not end"))
            }
            Some(piece) => {
                line.text.put(&piece);
                Ok(None)
            }
            None => Err(self.client.gone("the connection ended before the build did")),
        }
    }
}

async fn open(client: &Client, id: &str, since: u64) -> Result<Response, ClientError> {
    let url = client
        .address
        .of(&["builds", id, "events"], &[("since", &since.to_string())]);
    let mut question = client.question(Method::GET, url);
    question
        .headers_mut()
        .insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    client.asked(question).await
}

/// The text of server-sent events, as it comes in. Of each, the data is what counts here: it has its own number.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    /// Up to where it was looked through for the end of a line.
    looked: usize,
    data: Vec<u8>,
}

impl Text {
    fn len(&self) -> usize {
        self.bytes.len() + self.data.len()
    }

    fn put(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The data of the next event that is whole.
    fn take(&mut self) -> Option<Vec<u8>> {
        let mut begin = 0;
        let mut taken = None;
        while let Some(at) = self
            .bytes
            .get(self.looked..)?
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let end = self.looked + at;
            let line = self.bytes.get(begin..end)?;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() && !self.data.is_empty() {
                taken = Some(std::mem::take(&mut self.data));
            } else if let Some(value) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data
                    .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            }
            (begin, self.looked) = (end + 1, end + 1);
            if taken.is_some() {
                break;
            }
        }
        self.bytes.drain(..begin);
        self.looked = if taken.is_some() { 0 } else { self.bytes.len() };
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let whole = b"retry: 1000\nid: 1\ndata: {\"a\":\ndata: 1}\n\n: still here\n\nid: 2\r\ndata:two\r\n\r\ndata: half";
        for size in 1..=whole.len() {
            let mut text = Text::default();
            let mut taken = Vec::new();
            for piece in whole.chunks(size) {
                text.put(piece);
                while let Some(data) = text.take() {
                    taken.push(String::from_utf8(data).unwrap());
                }
            }
            assert_eq!(taken, ["{\"a\":\n1}", "two"], "in pieces of {size}");
        }
    }
}
