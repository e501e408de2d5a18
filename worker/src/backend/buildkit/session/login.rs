//! Names and passwords of registries, for images that the daemon pulls and pushes. They are those of the worker's own
//! configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use tonic::{Request, Response, Status};

use crate::config::RegistryConfig;

/// What is known of registries.
pub(super) struct Logins(pub(super) Arc<BTreeMap<String, RegistryConfig>>);

/// Docker Hub's name in a configuration, whatever its address is called.
fn name(host: &str) -> &str {
    match host {
        "registry-1.docker.io" | "index.docker.io" | "https://index.docker.io/v1/" => "docker.io",
        other => other,
    }
}

/// Where daemons know nothing of tokens, or are told that we do not, they ask for name and password.
fn by_password<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("ask by Credentials"))
}

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let known = self
            .0
            .get(name(&host))
            .and_then(|registry| registry.credentials.as_ref());
        // No name is how somebody is anonymous.
        let (username, secret) = known
            .map(|known| (known.username.clone(), known.password.clone()))
            .unwrap_or_default();
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        by_password()
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        by_password()
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        by_password()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Credentials;

    #[tokio::test]
    async fn a_registry_gets_its_own_password_and_no_other() {
        let config = RegistryConfig {
            credentials: Some(Credentials {
                username: "ann".into(),
                password: "hunter2".into(),
            }),
            ..RegistryConfig::default()
        };
        let logins = Logins(Arc::new(BTreeMap::from([("docker.io".to_owned(), config)])));
        for (host, secret) in [
            ("registry-1.docker.io", "hunter2"),
            ("docker.io", "hunter2"),
            ("registry.example", ""),
        ] {
            let request = Request::new(CredentialsRequest { host: host.into() });
            let answer = logins.credentials(request).await.unwrap().into_inner();
            assert_eq!(answer.secret, secret, "{host}");
        }
    }
}
