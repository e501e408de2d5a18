//! SSH agents of whoever builds, for steps that ask for one. The keys stay where they are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Where a call says which agent it means.
const ID: &str = "buildkit.ssh.id";
/// The agent that is meant where none is named.
const DEFAULT: &str = "default";

/// The agents that this build was given.
pub(super) struct Agents(pub(super) Arc<BTreeMap<String, PathBuf>>);

impl Agents {
    async fn connect(&self, id: &str) -> Result<UnixStream, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        let Some(socket) = self.0.get(id) else {
            return Err(Status::not_found(format!(
                "the build was given no SSH agent {id:?}"
            )));
        };
        UnixStream::connect(socket).await.map_err(|error| {
            Status::unavailable(format!(
                "the SSH agent {id:?} does not answer at {}: {error}",
                socket.display()
            ))
        })
    }
}

#[tonic::async_trait]
impl Ssh for Agents {
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.connect(&request.into_inner().id).await?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = ReceiverStream<Result<BytesMessage, Status>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(ID).and_then(|id| id.to_str().ok());
        let agent = self.connect(id.unwrap_or_default()).await?;
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(forward(agent, request.into_inner(), sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Carries what a step and the agent say to each other, until one of them has had enough.
async fn forward(
    agent: UnixStream,
    mut asked: Streaming<BytesMessage>,
    answers: mpsc::Sender<Result<BytesMessage, Status>>,
) {
    let (mut from_agent, mut to_agent) = agent.into_split();
    let ask = async {
        while let Ok(Some(message)) = asked.message().await {
            if to_agent.write_all(&message.data).await.is_err() {
                return;
            }
        }
        // What was asked may still be answered.
        _ = to_agent.shutdown().await;
        std::future::pending::<()>().await;
    };
    let answer = async {
        loop {
            let mut data = Vec::with_capacity(16 << 10);
            let read = from_agent.read_buf(&mut data).await;
            if !read.is_ok_and(|count| count > 0) || answers.send(Ok(BytesMessage { data })).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = ask => {}
        () = answer => {}
        () = answers.closed() => {}
    }
}
