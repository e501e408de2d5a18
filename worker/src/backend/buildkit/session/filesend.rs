//! What a build exports, as the daemon sends it back.

use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSend;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::pieces::{Piece, Pieces};

/// Where the next export goes. Clones are the same place.
#[derive(Clone, Default)]
pub(in super::super) struct Receiving(Arc<Mutex<Option<Expected>>>);

struct Expected {
    pieces: mpsc::Sender<Piece>,
    /// Whether whoever reads them could use them.
    verdict: oneshot::Receiver<Result<(), String>>,
}

impl Receiving {
    /// Expects one export. The daemon's call ends when the reader's verdict is there, and with it, so that a build whose
    /// result could not be kept fails in the daemon, too.
    pub(in super::super) fn expect(&self) -> (Pieces, oneshot::Sender<Result<(), String>>) {
        let (sender, pieces) = Pieces::fed();
        let (give, verdict) = oneshot::channel();
        *self.lock() = Some(Expected {
            pieces: sender,
            verdict,
        });
        (pieces, give)
    }

    /// Expects nothing any more.
    pub(in super::super) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Expected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes exports.
pub(super) struct Exports(pub(super) Receiving);

#[tonic::async_trait]
impl FileSend for Exports {
    type DiffCopyStream = ReceiverStream<Result<BytesMessage, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let Some(expected) = self.0.lock().take() else {
            return Err(Status::failed_precondition("nothing is expected to be exported"));
        };
        let mut stream = request.into_inner();
        // Nothing is ever sent back but the end.
        let (answer, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                match stream.message().await {
                    Ok(Some(message)) => {
                        // Who stops reading says why.
                        if expected.pieces.send(Piece::Data(message.data)).await.is_err() {
                            break;
                        }
                    }
                    Ok(None) => {
                        _ = expected.pieces.send(Piece::End).await;
                        break;
                    }
                    Err(_) => return,
                }
            }
            drop(expected.pieces);
            if let Ok(Err(reason)) = expected.verdict.await {
                _ = answer.send(Err(Status::failed_precondition(reason))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
