//! The worker's errors as the protocol has them.

use stagewright_core::protocol::{RpcError, error_code};

use super::super::credentials::Refusal;
use super::rpc::error;
use crate::backend::BackendError;
use crate::build::{BuildsError, StartError};
use crate::source::local::ContextError;

/// Which code a failure has on the wire; its text goes along as it is.
pub(super) trait IntoRpc {
    fn into_rpc(self) -> RpcError;
}

impl IntoRpc for Refusal {
    fn into_rpc(self) -> RpcError {
        let code = match self {
            Self::Nothing | Self::Wrong => error_code::UNAUTHORIZED,
            Self::TooMany => error_code::LIMIT,
            Self::NoRandomness => error_code::INTERNAL,
        };
        error(code, self.to_string())
    }
}

impl IntoRpc for BackendError {
    fn into_rpc(self) -> RpcError {
        let code = match self {
            Self::NotFound(_) => error_code::NOT_FOUND,
            Self::Invalid(_) => error_code::INVALID_PARAMS,
            Self::Unavailable(_) => error_code::UNAVAILABLE,
            Self::Upstream(_) => error_code::UPSTREAM,
            Self::Internal(_) => error_code::INTERNAL,
        };
        error(code, self.to_string())
    }
}

impl IntoRpc for StartError {
    fn into_rpc(self) -> RpcError {
        let code = match self {
            Self::Invalid(_) | Self::NotAllowed(_) => error_code::INVALID_PARAMS,
            Self::Context(_) => error_code::NOT_FOUND,
            Self::Limit(_) => error_code::LIMIT,
            Self::Unavailable(_) => error_code::UNAVAILABLE,
            Self::Record(_) => error_code::INTERNAL,
        };
        error(code, self.to_string())
    }
}

impl IntoRpc for BuildsError {
    fn into_rpc(self) -> RpcError {
        match self {
            Self::Unknown(_) | Self::NoImage { .. } => error(error_code::NOT_FOUND, self.to_string()),
            Self::AtWork(_) => error(error_code::INVALID_PARAMS, self.to_string()),
            Self::Records { .. } => error(error_code::INTERNAL, self.to_string()),
            Self::Backend(failure) => failure.into_rpc(),
        }
    }
}

impl IntoRpc for ContextError {
    fn into_rpc(self) -> RpcError {
        let code = match self {
            Self::Path { .. } | Self::Content(_) => error_code::INVALID_PARAMS,
            Self::Limit(_) => error_code::LIMIT,
            Self::Unexpected(_) => error_code::NOT_FOUND,
            Self::Io { .. } => error_code::INTERNAL,
        };
        error(code, self.to_string())
    }
}
