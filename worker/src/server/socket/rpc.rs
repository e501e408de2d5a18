//! JSON-RPC 2.0 as far as this protocol goes: one request in a frame, whole numbers as ids.

use axum::extract::ws::{Message, Utf8Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stagewright_core::protocol::{Response, RpcError, error_code};

/// A request whose outside is right. The parameters are the method's to read.
#[derive(Debug)]
pub(super) struct Call {
    /// `None` for a notification, which is not answered.
    pub(super) id: Option<u64>,
    pub(super) method: String,
    pub(super) params: Value,
}

/// Reads a text frame. The error comes with the id to answer to, where there was one.
pub(super) fn parse(text: &str) -> Result<Call, (Option<u64>, RpcError)> {
    let value: Value = serde_json::from_str(text).map_err(|failure| {
        (
            None,
            error(error_code::PARSE, format!("the message is not JSON: {failure}")),
        )
    })?;
    let invalid = |id, message: &str| (id, error(error_code::INVALID_REQUEST, message));
    let mut fields = match value {
        Value::Object(fields) => fields,
        Value::Array(_) => {
            return Err(invalid(
                None,
                "batches are not supported: send one request at a time",
            ));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(invalid(
                None,
                "a request is an object with the fields jsonrpc, id, method and params",
            ));
        }
    };
    let id = match fields.get("id") {
        None => None,
        Some(id) => Some(
            id.as_u64()
                .ok_or_else(|| invalid(None, "the request's id has to be a whole number from 0 up"))?,
        ),
    };
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid(id, "the request's field jsonrpc has to be \"2.0\""));
    }
    let Some(Value::String(method)) = fields.remove("method") else {
        return Err(invalid(
            id,
            "the request's field method has to be the name of a method",
        ));
    };
    Ok(Call {
        id,
        method,
        params: fields.remove("params").unwrap_or_default(),
    })
}

/// Reads a method's parameters; what does not fit is named by its path.
pub(super) fn params<T: DeserializeOwned>(params: Value, shape: &str) -> Result<T, RpcError> {
    serde_path_to_error::deserialize(params).map_err(|failure| {
        let path = failure.path().to_string();
        let place = if path == "." {
            String::from("params")
        } else {
            format!("params.{path}")
        };
        error(
            error_code::INVALID_PARAMS,
            format!("{place}: {}; expected {shape}", failure.inner()),
        )
    })
}

pub(super) fn error(code: i32, message: impl Into<String>) -> RpcError {
    RpcError {
        code,
        message: message.into(),
    }
}

/// The frame that answers a call, or a frame that could not be read.
pub(super) fn answer(id: Option<u64>, result: Result<Value, RpcError>) -> Message {
    let (result, error) = match result {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    frame(&Response {
        jsonrpc: "2.0".into(),
        id,
        result,
        error,
    })
}

/// The frame of a notification.
pub(super) fn notification<T: Serialize>(method: &str, params: &T) -> Message {
    #[derive(Serialize)]
    struct Notification<'a, T> {
        jsonrpc: &'a str,
        method: &'a str,
        params: &'a T,
    }
    frame(&Notification {
        jsonrpc: "2.0",
        method,
        params,
    })
}

/// What a method gives, as JSON.
pub(super) fn result<T: Serialize>(value: &T) -> Result<Value, RpcError> {
    serde_json::to_value(value).map_err(|failure| {
        error(
            error_code::INTERNAL,
            format!("the answer cannot be written: {failure}"),
        )
    })
}

fn frame<T: Serialize>(value: &T) -> Message {
    // Types of the protocol have no maps with keys other than text, so they always become JSON.
    let mut text = serde_json::to_string(value).unwrap_or_else(|failure| {
        tracing::error!(%failure, "a message could not be written");
        format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":{},"message":"the worker could not write its answer"}}}}"#, error_code::INTERNAL)
    });
    // It may wait for its client for a long time.
    text.shrink_to_fit();
    Message::Text(Utf8Bytes::from(text))
}

#[cfg(test)]
mod tests {
    use stagewright_core::protocol::BuildRef;

    use super::*;

    fn code(text: &str) -> (Option<u64>, i32) {
        let (id, error) = parse(text).unwrap_err();
        (id, error.code)
    }

    #[test]
    fn faults_are_told_apart_and_keep_the_id_they_have() {
        assert_eq!(code("{"), (None, error_code::PARSE));
        assert_eq!(code(&"[".repeat(100_000)), (None, error_code::PARSE));
        assert_eq!(code("[]"), (None, error_code::INVALID_REQUEST));
        assert_eq!(code("1"), (None, error_code::INVALID_REQUEST));
        assert_eq!(
            code(r#"{"id":7,"method":"x"}"#),
            (Some(7), error_code::INVALID_REQUEST)
        );
        assert_eq!(
            code(r#"{"jsonrpc":"2.0","id":"7","method":"x"}"#),
            (None, error_code::INVALID_REQUEST)
        );
        assert_eq!(
            code(r#"{"jsonrpc":"2.0","id":7,"method":1}"#),
            (Some(7), error_code::INVALID_REQUEST)
        );
        let call = parse(r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#).unwrap();
        assert_eq!(
            (call.id, call.method.as_str(), call.params),
            (Some(7), "x", Value::Null)
        );
    }

    #[test]
    fn what_does_not_fit_is_named_by_its_path() {
        let given = serde_json::json!({ "id": 3 });
        let error = params::<BuildRef>(given, "{id}").unwrap_err();
        assert!(
            error.message.starts_with("params.id: invalid type"),
            "{}",
            error.message
        );
        let error = params::<BuildRef>(Value::Null, "{id}").unwrap_err();
        assert!(error.message.starts_with("params: "), "{}", error.message);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_call_or_an_error_that_can_be_sent(text in "\\PC*|\\{\"(id|jsonrpc|method|params)\":[^}]*\\}") {
            match parse(&text) {
                Ok(call) => proptest::prop_assert!(text.contains(&call.method) || text.contains('\\')),
                Err((id, failure)) => {
                    let Message::Text(frame) = answer(id, Err(failure)) else { panic!("not a text frame") };
                    let response: Response = serde_json::from_str(&frame).unwrap();
                    proptest::prop_assert!(response.error.is_some());
                }
            }
        }
    }
}
