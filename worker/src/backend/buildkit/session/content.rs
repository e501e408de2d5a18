//! Blobs, as the daemon reads and writes them in a content store of containerd's (`containerd.services.content.v1.Content`):
//! it reads what the build's images are made of, and writes what it exports. A blob that is here already is not sent.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Service;

use super::LONGEST_MESSAGE;
use super::export::Export;
use super::layouts::Layouts;

/// What there is to read, and where what is exported goes.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) layouts: Layouts,
    pub(super) export: Export,
}

impl NamedService for Content {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InfoRequest {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<Info>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Info {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(int64, tag = "2")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReadRequest {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(int64, tag = "2")]
    pub(super) offset: i64,
    /// 0 is all there is.
    #[prost(int64, tag = "3")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReadResponse {
    #[prost(int64, tag = "1")]
    pub(super) offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Action {
    Stat = 0,
    Write = 1,
    Commit = 2,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WriteRequest {
    #[prost(enumeration = "Action", tag = "1")]
    pub(super) action: i32,
    #[prost(int64, tag = "3")]
    pub(super) total: i64,
    #[prost(string, tag = "4")]
    pub(super) expected: String,
    #[prost(int64, tag = "5")]
    pub(super) offset: i64,
    #[prost(bytes = "vec", tag = "6")]
    pub(super) data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WriteResponse {
    #[prost(enumeration = "Action", tag = "1")]
    pub(super) action: i32,
    #[prost(int64, tag = "4")]
    pub(super) offset: i64,
    #[prost(int64, tag = "5")]
    pub(super) total: i64,
    #[prost(string, tag = "6")]
    pub(super) digest: String,
}

impl Content {
    fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Response<ReceiverStream<Result<WriteResponse, Status>>> {
        let mut stream = request.into_inner();
        let (ask, mut asked) = mpsc::channel::<WriteRequest>(2);
        let (answer, answers) = mpsc::channel(2);
        tokio::spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                if ask.send(message).await.is_err() {
                    return;
                }
            }
        });
        let export = self.export.clone();
        tokio::task::spawn_blocking(move || {
            let mut blob = export.blob();
            while let Some(message) = asked.blocking_recv() {
                let answered = blob.take(&message);
                let last = answered.is_err();
                if answer.blocking_send(answered).is_err() || last {
                    return;
                }
            }
        });
        Response::new(ReceiverStream::new(answers))
    }
}

impl Service<http::Request<Body>> for Content {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let content = self.clone();
        let path = request.uri().path();
        let method = path.rsplit('/').next().unwrap_or_default().to_owned();
        Box::pin(async move {
            Ok(match method.as_str() {
                "Info" => {
                    let answer = tower::service_fn(move |request: Request<InfoRequest>| {
                        std::future::ready(content.layouts.info(request.get_ref()))
                    });
                    Grpc::new(ProstCodec::default()).unary(answer, request).await
                }
                "Read" => {
                    let answer = tower::service_fn(move |request: Request<ReadRequest>| {
                        std::future::ready(content.layouts.read(request.get_ref()))
                    });
                    Grpc::new(ProstCodec::default())
                        .server_streaming(answer, request)
                        .await
                }
                "Write" => {
                    let answer = tower::service_fn(move |request: Request<Streaming<WriteRequest>>| {
                        std::future::ready(Ok::<_, Status>(content.write(request)))
                    });
                    Grpc::new(ProstCodec::default())
                        .apply_max_message_size_config(Some(LONGEST_MESSAGE), None)
                        .streaming(answer, request)
                        .await
                }
                _ => {
                    Status::unimplemented("blobs can be read and written here, and nothing else").into_http()
                }
            })
        })
    }
}
