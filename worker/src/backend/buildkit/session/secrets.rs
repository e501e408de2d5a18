//! Secrets of the build, handed out one by one to the steps that ask. A daemon keeps them in memory while such a step runs.

use std::sync::Arc;

use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::Secrets as Service;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use tonic::{Request, Response, Status};

use crate::source::secret::Secrets;

/// The secrets that this build was given.
pub(super) struct Given(pub(super) Arc<Secrets>);

#[tonic::async_trait]
impl Service for Given {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let secrets = Arc::clone(&self.0);
        // It may have to be read from a file.
        let read = tokio::task::spawn_blocking(move || (secrets.get(&id), id)).await;
        match read {
            Ok((Ok(Some(secret)), _)) => Ok(Response::new(GetSecretResponse {
                data: secret.reveal().to_vec(),
            })),
            // What to make of it depends on whether the step can do without.
            Ok((Ok(None), id)) => Err(Status::not_found(format!("the build was given no secret {id:?}"))),
            Ok((Err(error), _)) => Err(Status::failed_precondition(error.to_string())),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }
}
